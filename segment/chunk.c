#include "segment/chunk.h"

#include "base/assert.h"
#include "base/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

struct chunk_pool {
    pthread_mutex_t mutex;
    struct list_node free_chunks; /* of chunk_bytes, hottest first */
    uint32_t chunk_bytes;
    uint64_t bytes_max, used_bytes;
    bool is_closed;
};

int chunk_pool_new(uint32_t chunk_bytes, uint64_t bytes_max, struct chunk_pool **ret_pool)
{
    struct chunk_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) return MESH_ENOMEM;
    pthread_mutex_init(&pool->mutex, NULL);
    list_init(&pool->free_chunks);
    pool->chunk_bytes = chunk_bytes;
    pool->bytes_max = bytes_max;
    *ret_pool = pool;
    return 0;
}

static void chunk_free(struct chunk *chunk)
{
    munmap(chunk->memory, chunk->capacity);
    free(chunk);
}

static void pool_free_kept(struct chunk_pool *pool)
{
    struct list_node *node;

    while ((node = list_pop_front(&pool->free_chunks)) != NULL)
        chunk_free(container_of(node, struct chunk, link));
}

static void pool_free(struct chunk_pool *pool)
{
    pool_free_kept(pool);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

void chunk_pool_close(struct chunk_pool *pool)
{
    bool is_last;

    if (pool == NULL) return;
    pthread_mutex_lock(&pool->mutex);
    pool->is_closed = true;
    is_last = pool->used_bytes == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (is_last) pool_free(pool);
}

static struct chunk *chunk_new(struct chunk_pool *pool, size_t capacity)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk));

    if (chunk == NULL) return NULL;
    chunk->memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk->memory == MAP_FAILED) {
        free(chunk);
        return NULL;
    }
    chunk->pool = pool;
    chunk->capacity = (uint32_t)capacity;
    return chunk;
}

static struct chunk *pool_take_kept(struct chunk_pool *pool, size_t capacity)
{
    struct list_node *node = capacity == pool->chunk_bytes ? list_pop_front(&pool->free_chunks) : NULL;

    return node != NULL ? container_of(node, struct chunk, link) : NULL;
}

int chunk_pool_get(struct chunk_pool *pool, size_t size_min, struct chunk **ret_chunk)
{
    size_t capacity = size_min <= pool->chunk_bytes ? pool->chunk_bytes : chunk_round_up(size_min);
    struct chunk *chunk;

    if (capacity > UINT32_MAX) return MESH_ENOMEM;
    pthread_mutex_lock(&pool->mutex);
    /* One chunk is always granted: a limit below one batch must not stop the store for ever. */
    if (pool->used_bytes > 0 && pool->used_bytes + capacity > pool->bytes_max) {
        pthread_mutex_unlock(&pool->mutex);
        return MESH_EAGAIN;
    }
    chunk = pool_take_kept(pool, capacity);
    pool->used_bytes += capacity;
    pthread_mutex_unlock(&pool->mutex);
    if (chunk == NULL) chunk = chunk_new(pool, capacity);
    if (chunk == NULL) {
        pthread_mutex_lock(&pool->mutex);
        pool->used_bytes -= capacity;
        pthread_mutex_unlock(&pool->mutex);
        return MESH_ENOMEM;
    }
    list_init(&chunk->link);
    list_init(&chunk->runs);
    chunk->used = 0;
    chunk->dirty_run_count = 0;
    chunk->is_open = true;
    chunk->first_frame = chunk->last_frame = 0;
    chunk->opened_ms = 0;
    atomic_init(&chunk->references, 1);
    *ret_chunk = chunk;
    return 0;
}

uint64_t chunk_pool_used_bytes(struct chunk_pool *pool)
{
    uint64_t bytes;

    pthread_mutex_lock(&pool->mutex);
    bytes = pool->used_bytes;
    pthread_mutex_unlock(&pool->mutex);
    return bytes;
}

void chunk_pool_trim(struct chunk_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool_free_kept(pool);
    pthread_mutex_unlock(&pool->mutex);
}

void chunk_unref(struct chunk *chunk)
{
    struct chunk_pool *pool;
    bool is_last;

    if (chunk == NULL || atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) != 1) return;
    pool = chunk->pool;
    MESH_ASSERT(list_is_empty(&chunk->runs));
    pthread_mutex_lock(&pool->mutex);
    pool->used_bytes -= chunk->capacity;
    if (chunk->capacity == pool->chunk_bytes && !pool->is_closed) {
        list_push_front(&pool->free_chunks, &chunk->link);
        chunk = NULL;
    }
    is_last = pool->is_closed && pool->used_bytes == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (chunk != NULL) chunk_free(chunk);
    if (is_last) pool_free(pool);
}
