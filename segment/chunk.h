/* segment/chunk.h - aligned, reusable memory in which records gather, wait for the disk, and serve the newest
 * reads.
 *
 * Chunks of one size come from a pool that keeps released ones hot (last in, first out) and gives them back
 * to the system when asked; a batch larger than that gets a chunk of its own. References are counted by any
 * thread (views of readers hold some); the pool's books are under a mutex and outlive the store until the
 * last chunk has come back. */
#ifndef SEGMENT_CHUNK_H
#define SEGMENT_CHUNK_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_BYTES_DEFAULT (2u << 20)
#define CHUNK_ALIGN         4096u

struct chunk_pool;

struct chunk {
    struct list_node link; /* of the owner: the store's list by age, or the pool's free list */
    struct list_node runs; /* struct run.chunk_link, in order of position */
    struct chunk_pool *pool;
    uint8_t *memory; /* capacity bytes, CHUNK_ALIGN aligned */
    uint32_t capacity;
    uint32_t used;                    /* bytes; what follows is free */
    uint32_t dirty_run_count;         /* runs that are not yet in a segment */
    bool is_open;                     /* may still be appended to */
    uint64_t first_frame, last_frame; /* journal frames in it; 0: none */
    uint64_t opened_ms;
    atomic_int references;
};

/* chunk_bytes: of one chunk, a multiple of CHUNK_ALIGN; bytes_max bounds the memory of all chunks handed out.
 * Errors: MESH_ENOMEM. */
int chunk_pool_new(uint32_t chunk_bytes, uint64_t bytes_max, struct chunk_pool **ret_pool);

/* The owner lets go; the pool disappears when every chunk has been released. Accepts NULL. */
void chunk_pool_close(struct chunk_pool *pool);

/* A chunk with one reference, empty, of at least size_min bytes. Errors: MESH_EAGAIN (the limit is reached),
 * MESH_ENOMEM. Any thread. */
int chunk_pool_get(struct chunk_pool *pool, size_t size_min, struct chunk **ret_chunk);

/* Bytes of the chunks that are handed out (not: those kept for reuse). */
uint64_t chunk_pool_used_bytes(struct chunk_pool *pool);

/* Gives what is kept for reuse back to the system. */
void chunk_pool_trim(struct chunk_pool *pool);

static inline struct chunk *chunk_ref(struct chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
    return chunk;
}

void chunk_unref(struct chunk *chunk); /* any thread; accepts NULL */

static inline size_t chunk_round_up(size_t size)
{
    return (size + CHUNK_ALIGN - 1) & ~(size_t)(CHUNK_ALIGN - 1);
}

#endif
