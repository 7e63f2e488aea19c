#include "segment/run.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

#define RUNS_PER_BLOCK 64
#define RING_INITIAL   4

struct run_block {
    struct list_node link;
    struct run runs[RUNS_PER_BLOCK];
};

void run_pool_init(struct run_pool *pool)
{
    list_init(&pool->blocks);
    pool->free_runs = NULL;
    pool->used_count = 0;
}

static struct run *next_free(const struct run *run)
{
    return (struct run *)(void *)run->chunk_link.next;
}

static void set_free(struct run_pool *pool, struct run *run)
{
    run->chunk_link.next = (struct list_node *)(void *)pool->free_runs;
    pool->free_runs = run;
}

void run_pool_deinit(struct run_pool *pool)
{
    struct list_node *node;

    while ((node = list_pop_front(&pool->blocks)) != NULL)
        free(container_of(node, struct run_block, link));
    pool->free_runs = NULL;
}

void run_pool_trim(struct run_pool *pool)
{
    if (pool->used_count == 0) run_pool_deinit(pool);
}

struct run *run_pool_get(struct run_pool *pool)
{
    struct run *run;

    if (pool->free_runs == NULL) {
        struct run_block *block = malloc(sizeof(*block));
        if (block == NULL) return NULL;
        list_push_back(&pool->blocks, &block->link);
        for (int i = RUNS_PER_BLOCK - 1; i >= 0; i--)
            set_free(pool, &block->runs[i]);
    }
    run = pool->free_runs;
    pool->free_runs = next_free(run);
    pool->used_count++;
    list_init(&run->chunk_link);
    return run;
}

void run_pool_put(struct run_pool *pool, struct run *run)
{
    pool->used_count--;
    set_free(pool, run);
}

void run_queue_deinit(struct run_queue *queue)
{
    free(queue->ring);
    *queue = (struct run_queue){0};
}

int run_queue_reserve(struct run_queue *queue)
{
    uint32_t capacity = queue->capacity > 0 ? queue->capacity * 2 : RING_INITIAL;
    struct run **ring;

    if (queue->count < queue->capacity) return 0;
    ring = malloc(capacity * sizeof(*ring));
    if (ring == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < queue->count; i++)
        ring[i] = run_queue_at(queue, i);
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->head = 0;
    return 0;
}

void run_queue_push(struct run_queue *queue, struct run *run)
{
    MESH_ASSERT(queue->count < queue->capacity);
    queue->ring[(queue->head + queue->count) & (queue->capacity - 1)] = run;
    queue->count++;
}

struct run *run_queue_pop_front(struct run_queue *queue)
{
    struct run *run;

    if (queue->count == 0) return NULL;
    run = queue->ring[queue->head];
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    if (queue->written_count > 0) queue->written_count--;
    return run;
}

struct run *run_queue_pop_back(struct run_queue *queue)
{
    struct run *run = run_queue_last(queue);

    if (run == NULL) return NULL;
    queue->count--;
    if (queue->written_count > queue->count) queue->written_count = queue->count;
    return run;
}

uint32_t run_queue_find(const struct run_queue *queue, uint64_t offset)
{
    uint32_t low = 0, high = queue->count;

    MESH_ASSERT(queue->count > 0 && run_queue_at(queue, 0)->base_offset <= offset);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (run_queue_at(queue, middle)->base_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}
