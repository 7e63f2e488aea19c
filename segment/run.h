/* segment/run.h - runs: consecutive batches of one log that lie side by side in one chunk; and a log's queue
 * of them.
 *
 * A run lives from its append until its chunk is needed again, which is never before its bytes are in a
 * segment. The queue is a ring of pointers in order of offset, so that readers can search it by halves. Owned
 * by the store's loop. */
#ifndef SEGMENT_RUN_H
#define SEGMENT_RUN_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct chunk;
struct plog;
struct segment_file;

struct run {
    struct list_node chunk_link; /* in chunk->runs */
    struct plog *plog;
    struct chunk *chunk;
    struct segment_file *segment;
    uint64_t base_offset, next_offset;
    uint64_t ticket;
    uint32_t chunk_position;   /* of the first batch */
    uint32_t segment_position; /* the same in the segment file */
    uint32_t size;             /* bytes of batches */
    bool is_written;           /* in the segment file, or given up with its log */
    bool is_direct;            /* never in the journal */
};

/* Memory of runs: blocks of them, reused. */
struct run_pool {
    struct list_node blocks;
    struct run *free_runs; /* chained through chunk_link.next */
    uint64_t used_count;
};

void run_pool_init(struct run_pool *pool);
void run_pool_deinit(struct run_pool *pool);
struct run *run_pool_get(struct run_pool *pool); /* NULL: out of memory */
void run_pool_put(struct run_pool *pool, struct run *run);
void run_pool_trim(struct run_pool *pool); /* gives everything back when no run is in use */

struct run_queue {
    struct run **ring; /* owned; NULL while capacity is 0 */
    uint32_t capacity; /* a power of two */
    uint32_t head;     /* of the first run */
    uint32_t count;
    uint32_t written_count; /* of the first runs: is_written */
};

void run_queue_deinit(struct run_queue *queue);
int run_queue_reserve(struct run_queue *queue);                /* room for one more. MESH_ENOMEM */
void run_queue_push(struct run_queue *queue, struct run *run); /* after run_queue_reserve() */
struct run *run_queue_pop_front(struct run_queue *queue);
struct run *run_queue_pop_back(struct run_queue *queue);

static inline struct run *run_queue_at(const struct run_queue *queue, uint32_t index)
{
    return queue->ring[(queue->head + index) & (queue->capacity - 1)];
}

static inline struct run *run_queue_last(const struct run_queue *queue)
{
    return queue->count > 0 ? run_queue_at(queue, queue->count - 1) : 0;
}

/* Index of the last run that begins at or before offset; count must be > 0 and the first run begin there or
 * before. */
uint32_t run_queue_find(const struct run_queue *queue, uint64_t offset);

#endif
