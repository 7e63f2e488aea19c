#include "sim/sim_heap.h"

#include "base/assert.h"

#include <stdlib.h>

#define WIDTH 4 /* children of a node: one cache line of entries */

/* Both numbers as one: no branch that depends on them, since nobody can predict which of two events is the earlier. */
static bool is_before(const struct sim_heap_entry *a, const struct sim_heap_entry *b)
{
    return ((unsigned __int128)a->time_us << 64 | a->order) < ((unsigned __int128)b->time_us << 64 | b->order);
}

void sim_heap_deinit(struct sim_heap *heap)
{
    free(heap->entries);
    *heap = (struct sim_heap){0};
}

void sim_heap_clear(struct sim_heap *heap)
{
    heap->count = 0;
    heap->next_order = 0;
}

static void grow(struct sim_heap *heap)
{
    size_t capacity = heap->capacity == 0 ? 1024 : heap->capacity * 2;

    heap->entries = realloc(heap->entries, capacity * sizeof(heap->entries[0]));
    MESH_ASSERT(heap->entries != NULL);
    heap->capacity = capacity;
}

void sim_heap_push(struct sim_heap *heap, uint64_t time_us, uint32_t event)
{
    struct sim_heap_entry entry = {time_us, heap->next_order++ << SIM_HEAP_EVENT_BITS | event};
    size_t at;

    if (heap->count == heap->capacity) grow(heap);
    for (at = heap->count++; at > 0;) {
        size_t parent = (at - 1) / WIDTH;
        if (!is_before(&entry, &heap->entries[parent])) break;
        heap->entries[at] = heap->entries[parent];
        at = parent;
    }
    heap->entries[at] = entry;
}

static size_t first_child(const struct sim_heap *heap, size_t from, size_t end)
{
    size_t best = from;

    for (size_t i = from + 1; i < end; i++)
        best = is_before(&heap->entries[i], &heap->entries[best]) ? i : best;
    return best;
}

uint32_t sim_heap_pop(struct sim_heap *heap, uint64_t *ret_time_us)
{
    struct sim_heap_entry top = heap->entries[0], last;
    size_t at = 0;

    MESH_ASSERT(heap->count > 0);
    last = heap->entries[--heap->count];
    for (;;) {
        size_t child = at * WIDTH + 1, end = child + WIDTH;
        if (child >= heap->count) break;
        child = first_child(heap, child, end < heap->count ? end : heap->count);
        if (!is_before(&heap->entries[child], &last)) break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
    *ret_time_us = top.time_us;
    return (uint32_t)(top.order & ((1u << SIM_HEAP_EVENT_BITS) - 1));
}
