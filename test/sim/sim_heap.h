/* sim/sim_heap.h - what happens next: a 4-ary heap of (time, order of scheduling, event number).
 *
 * Equal times come out in the order in which they went in, so that a run depends on nothing but its seed. */
#ifndef SIM_SIM_HEAP_H
#define SIM_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_HEAP_EVENT_BITS 24 /* 16 million events waiting at once */

struct sim_heap_entry {
    uint64_t time_us;
    uint64_t order; /* of scheduling, above the event's number */
};

struct sim_heap {
    struct sim_heap_entry *entries; /* owned; grows by doubling and keeps its room */
    size_t count, capacity;
    uint64_t next_order;
};

void sim_heap_deinit(struct sim_heap *heap);
void sim_heap_clear(struct sim_heap *heap);
void sim_heap_push(struct sim_heap *heap, uint64_t time_us, uint32_t event);

/* The heap is not empty. */
uint32_t sim_heap_pop(struct sim_heap *heap, uint64_t *ret_time_us);

static inline bool sim_heap_is_empty(const struct sim_heap *heap)
{
    return heap->count == 0;
}

static inline uint64_t sim_heap_next_us(const struct sim_heap *heap)
{
    return heap->count == 0 ? UINT64_MAX : heap->entries[0].time_us;
}

#endif
