/* broker/runtime/pool.h - buffers in powers of two, reused hot, with one limit for all of a shard.
 *
 * Requests are received into these and answers leave from them, so the limit bounds what connections can make a shard
 * hold. Free buffers are kept on a stack per size (the hottest is on top) until pool_trim(). Owned by one loop. */
#ifndef BROKER_RUNTIME_POOL_H
#define BROKER_RUNTIME_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_SIZE_BITS_MIN 12 /* 4 KiB, header included */
#define POOL_SIZE_BITS_MAX 31
#define POOL_CLASS_COUNT   (POOL_SIZE_BITS_MAX - POOL_SIZE_BITS_MIN + 1)
#define POOL_HEADER_SIZE   64 /* keeps data on a cache line of its own */
#define POOL_CAPACITY_MIN  ((1u << POOL_SIZE_BITS_MIN) - POOL_HEADER_SIZE)

struct pool_buffer {
    struct pool_buffer *next; /* free for the holder */
    uint32_t capacity;        /* bytes of data */
    uint32_t start, end;      /* free for the holder: the bytes in use */
    uint8_t size_class;
    uint8_t padding[POOL_HEADER_SIZE - sizeof(void *) - 3 * sizeof(uint32_t) - 1];
    uint8_t data[];
};

struct pool {
    struct pool_buffer *free[POOL_CLASS_COUNT];
    size_t used_bytes; /* handed out, headers included, and charged */
    size_t free_bytes; /* kept for reuse */
    size_t bytes_max;  /* of used_bytes */
    uint64_t acquired; /* ever; to see whether anything happened since */
};

void pool_init(struct pool *pool, size_t bytes_max);
void pool_deinit(struct pool *pool); /* every buffer has come back */

/* The largest capacity that a buffer for `capacity` bytes costs in memory. */
size_t pool_cost(size_t capacity);

/* A buffer of at least `capacity` bytes, start and end 0; NULL when the limit would be passed or memory is out. With
 * is_urgent the limit does not count: for what ends something and so frees memory. */
struct pool_buffer *pool_acquire(struct pool *pool, size_t capacity, bool is_urgent);
void pool_release(struct pool *pool, struct pool_buffer *buffer); /* accepts NULL */

/* Memory that a request holds elsewhere counts like a buffer that was acquired urgently. All of it is uncharged in the end. */
void pool_charge(struct pool *pool, size_t size);
void pool_uncharge(struct pool *pool, size_t size);

/* Gives the free buffers back to the system. */
void pool_trim(struct pool *pool);

#endif
