/* broker/runtime/ack_queue.h - produced batches that wait for their acknowledgement, oldest first.
 *
 * A ring that doubles when full: tickets of one store rise, so the acknowledgements that one sync releases are always the
 * front of the queue. In the steady state it allocates nothing. Owned by one loop. */
#ifndef BROKER_RUNTIME_ACK_QUEUE_H
#define BROKER_RUNTIME_ACK_QUEUE_H

#include "cmd/broker/ops/produce.h"

#include <stdbool.h>

struct shard_partition;

struct ack {
    uint64_t ticket;
    struct produce_done done;
    struct shard_partition *partition; /* its pending count holds it */
    uint64_t base_offset, end_offset;  /* of the batch; end is exclusive */
    int64_t append_time_ms;
    uint64_t received_ns; /* when the request was seen */
    int32_t leader_epoch;
    uint32_t timeout_ms; /* from received_ns on; 0: none */
    uint32_t cut_count;  /* the partition's, when it was appended */
    bool is_duplicate;
    bool is_async; /* acknowledged when written */
};

struct ack_queue {
    struct ack *ring; /* owned */
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t head, count;
};

#define ACK_QUEUE_INIT {NULL, 0, 0, 0}

void ack_queue_deinit(struct ack_queue *queue);

/* Room at the back, to be filled by the caller; NULL: no memory. The pointer is good until the next push. */
struct ack *ack_queue_push(struct ack_queue *queue);

static inline struct ack *ack_queue_front(struct ack_queue *queue)
{
    return queue->count == 0 ? NULL : &queue->ring[queue->head];
}

/* The index-th from the front; index < count. */
static inline struct ack *ack_queue_at(struct ack_queue *queue, uint32_t index)
{
    return &queue->ring[(queue->head + index) & (queue->capacity - 1)];
}

static inline void ack_queue_pop(struct ack_queue *queue)
{
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
}

/* Leaves the first `count`. */
static inline void ack_queue_cut(struct ack_queue *queue, uint32_t count)
{
    queue->count = count;
}

/* Undoes the last push. */
static inline void ack_queue_unpush(struct ack_queue *queue)
{
    queue->count--;
}

/* Gives the memory back when the queue is empty and grew large. */
void ack_queue_trim(struct ack_queue *queue);

#endif
