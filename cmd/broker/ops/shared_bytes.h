/* broker/ops/shared_bytes.h - memory (runtime/long_memory.h) that several records of one answer lie in; released with the last of them. Any thread. */
#ifndef BROKER_OPS_SHARED_BYTES_H
#define BROKER_OPS_SHARED_BYTES_H

#include "cmd/broker/runtime/long_memory.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct shared_bytes {
    atomic_uint references;
    uint8_t *data; /* owned */
    size_t size;   /* as counted */
    _Atomic uint64_t *counter;
};

/* Takes `data` on success, and counts its size in *counter until the end. NULL: no memory. */
static inline struct shared_bytes *shared_bytes_new(uint8_t *data, size_t size, _Atomic uint64_t *counter)
{
    struct shared_bytes *shared = malloc(sizeof(*shared));

    if (shared == NULL) return NULL;
    atomic_init(&shared->references, 1);
    shared->data = data;
    shared->size = size;
    shared->counter = counter;
    atomic_fetch_add_explicit(counter, size, memory_order_relaxed);
    return shared;
}

static inline struct shared_bytes *shared_bytes_ref(struct shared_bytes *shared)
{
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

static inline void shared_bytes_unref(struct shared_bytes *shared)
{
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1) return;
    atomic_fetch_sub_explicit(shared->counter, shared->size, memory_order_relaxed);
    long_memory_give(shared->data);
    free(shared);
}

#endif
