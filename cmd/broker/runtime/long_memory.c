/* broker/runtime/long_memory.c - one stack of blocks for all threads: the hottest is on top. */
#include "cmd/broker/runtime/long_memory.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_HEADER_SIZE 64
#define BLOCK_ROUND       (32u << 10) /* so that messages of about the same length can have each other's */

struct block {
    struct list_node node; /* while it is kept */
    size_t capacity;
    uint64_t given_ms;
};

_Static_assert(sizeof(struct block) <= BLOCK_HEADER_SIZE, "bytes start behind it");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list_node kept = {&kept, &kept}; /* the one given back last is first */
static size_t kept_bytes, taken_count;         /* taken: long ones that are out */
static unsigned trimmers;

static struct block *block_of(const uint8_t *bytes)
{
    return (struct block *)(uintptr_t)(bytes - BLOCK_HEADER_SIZE);
}

static bool is_long(const struct block *block)
{
    return block->capacity >= LONG_MEMORY_MIN;
}

/* With the lock. One that is much too large would make many small messages hold much. */
static struct block *find_kept(size_t size)
{
    list_for_each(node, &kept)
    {
        struct block *block = container_of(node, struct block, node);

        if (block->capacity < size || block->capacity > 2 * size) continue;
        list_remove(node);
        kept_bytes -= block->capacity;
        return block;
    }
    return NULL;
}

uint8_t *long_memory_take(size_t size)
{
    bool is_short = size < LONG_MEMORY_MIN;
    struct block *block = NULL;

    if (!is_short) {
        size = (size + BLOCK_ROUND - 1) / BLOCK_ROUND * BLOCK_ROUND;
        pthread_mutex_lock(&lock);
        block = find_kept(size);
        if (block != NULL) taken_count++;
        pthread_mutex_unlock(&lock);
    }
    if (block != NULL) return (uint8_t *)block + BLOCK_HEADER_SIZE;
    block = malloc(BLOCK_HEADER_SIZE + size);
    if (block == NULL) return NULL;
    block->capacity = size;
    if (!is_short) {
        pthread_mutex_lock(&lock);
        taken_count++;
        pthread_mutex_unlock(&lock);
    }
    return (uint8_t *)block + BLOCK_HEADER_SIZE;
}

/* With the lock: the oldest ones, to be freed without it. */
static void take_oldest(struct list_node *to, size_t bytes_max, uint64_t before_ms)
{
    while (!list_is_empty(&kept)) {
        struct block *block = container_of(kept.previous, struct block, node);

        if (kept_bytes <= bytes_max && block->given_ms >= before_ms) return;
        list_remove(&block->node);
        kept_bytes -= block->capacity;
        list_push_back(to, &block->node);
    }
}

static void free_blocks(struct list_node *blocks)
{
    struct list_node *node;

    while ((node = list_pop_front(blocks)) != NULL)
        free(container_of(node, struct block, node));
}

void long_memory_give(uint8_t *bytes)
{
    struct list_node gone;
    struct block *block;

    if (bytes == NULL) return;
    block = block_of(bytes);
    if (!is_long(block)) {
        free(block);
        return;
    }
    list_init(&gone);
    list_init(&block->node);
    block->given_ms = clock_monotonic_ms();
    pthread_mutex_lock(&lock);
    taken_count--;
    list_push_front(&kept, &block->node);
    kept_bytes += block->capacity;
    take_oldest(&gone, trimmers > 0 ? LONG_MEMORY_KEPT_MAX : 0, 0);
    pthread_mutex_unlock(&lock);
    free_blocks(&gone);
}

size_t long_memory_capacity(const uint8_t *bytes)
{
    return block_of(bytes)->capacity;
}

uint8_t *long_memory_grow(uint8_t *bytes, size_t used, size_t size)
{
    uint8_t *larger;

    if (bytes != NULL && long_memory_capacity(bytes) >= size) return bytes;
    larger = long_memory_take(size);
    if (larger == NULL) return NULL;
    if (used > 0) memcpy(larger, bytes, used);
    long_memory_give(bytes);
    return larger;
}

void long_memory_open(void)
{
    pthread_mutex_lock(&lock);
    trimmers++;
    pthread_mutex_unlock(&lock);
}

void long_memory_close(void)
{
    struct list_node gone;

    list_init(&gone);
    pthread_mutex_lock(&lock);
    MESH_ASSERT(trimmers > 0);
    if (--trimmers == 0) take_oldest(&gone, 0, 0);
    pthread_mutex_unlock(&lock);
    free_blocks(&gone);
}

bool long_memory_trim(uint64_t now_ms)
{
    struct list_node gone;
    bool is_any_left;

    list_init(&gone);
    pthread_mutex_lock(&lock);
    if (now_ms >= LONG_MEMORY_KEPT_MS) take_oldest(&gone, LONG_MEMORY_KEPT_MAX, now_ms - LONG_MEMORY_KEPT_MS);
    is_any_left = taken_count > 0 || !list_is_empty(&kept);
    pthread_mutex_unlock(&lock);
    free_blocks(&gone);
    return is_any_left;
}
