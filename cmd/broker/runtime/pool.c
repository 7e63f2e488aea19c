/* broker/runtime/pool.c - free lists by size class. */
#include "cmd/broker/runtime/pool.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct pool_buffer) == POOL_HEADER_SIZE, "data must start right after the header");

static unsigned class_of(size_t capacity)
{
    size_t size = capacity + POOL_HEADER_SIZE;
    unsigned bits = size <= (1u << POOL_SIZE_BITS_MIN) ? POOL_SIZE_BITS_MIN
                                                       : 64 - (unsigned)__builtin_clzll(size - 1);

    MESH_ASSERT(bits <= POOL_SIZE_BITS_MAX);
    return bits - POOL_SIZE_BITS_MIN;
}

static size_t class_size(unsigned size_class)
{
    return (size_t)1 << (size_class + POOL_SIZE_BITS_MIN);
}

void pool_init(struct pool *pool, size_t bytes_max)
{
    memset(pool, 0, sizeof(*pool));
    pool->bytes_max = bytes_max;
}

void pool_deinit(struct pool *pool)
{
    MESH_ASSERT(pool->used_bytes == 0);
    pool_trim(pool);
}

size_t pool_cost(size_t capacity)
{
    return class_size(class_of(capacity));
}

struct pool_buffer *pool_acquire(struct pool *pool, size_t capacity, bool is_urgent)
{
    unsigned size_class = class_of(capacity);
    size_t size = class_size(size_class);
    struct pool_buffer *buffer = pool->free[size_class];

    if (pool->used_bytes + size > pool->bytes_max && !is_urgent) return NULL;
    if (buffer != NULL) {
        pool->free[size_class] = buffer->next;
        pool->free_bytes -= size;
    } else {
        buffer = aligned_alloc(POOL_HEADER_SIZE, size);
        if (buffer == NULL) return NULL;
        buffer->capacity = (uint32_t)(size - POOL_HEADER_SIZE);
        buffer->size_class = (uint8_t)size_class;
    }
    buffer->next = NULL;
    buffer->start = buffer->end = 0;
    pool->used_bytes += size;
    pool->acquired++;
    return buffer;
}

void pool_release(struct pool *pool, struct pool_buffer *buffer)
{
    size_t size;

    if (buffer == NULL) return;
    size = class_size(buffer->size_class);
    MESH_ASSERT(pool->used_bytes >= size);
    pool->used_bytes -= size;
    pool->free_bytes += size;
    buffer->next = pool->free[buffer->size_class];
    pool->free[buffer->size_class] = buffer;
}

void pool_charge(struct pool *pool, size_t size)
{
    pool->used_bytes += size;
}

void pool_uncharge(struct pool *pool, size_t size)
{
    MESH_ASSERT(pool->used_bytes >= size);
    pool->used_bytes -= size;
}

void pool_trim(struct pool *pool)
{
    for (unsigned i = 0; i < POOL_CLASS_COUNT; i++) {
        while (pool->free[i] != NULL) {
            struct pool_buffer *buffer = pool->free[i];
            pool->free[i] = buffer->next;
            free(buffer);
        }
    }
    pool->free_bytes = 0;
}
