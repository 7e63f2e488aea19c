#include "segment/due_heap.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/plog.h"

#include <stdlib.h>

void due_heap_deinit(struct due_heap *heap)
{
    free(heap->logs);
    *heap = (struct due_heap){0};
}

struct plog *due_heap_first(const struct due_heap *heap)
{
    return heap->count > 0 ? heap->logs[1] : NULL;
}

static void place(struct due_heap *heap, uint32_t index, struct plog *plog)
{
    heap->logs[index] = plog;
    plog->due_index = index;
}

static void sift_up(struct due_heap *heap, struct plog *plog)
{
    uint32_t index = plog->due_index;

    while (index > 1 && heap->logs[index / 2]->due_ms > plog->due_ms) {
        place(heap, index, heap->logs[index / 2]);
        index /= 2;
    }
    place(heap, index, plog);
}

static void sift_down(struct due_heap *heap, struct plog *plog)
{
    uint32_t index = plog->due_index;

    for (;;) {
        uint32_t child = index * 2;
        if (child > heap->count) break;
        if (child < heap->count && heap->logs[child + 1]->due_ms < heap->logs[child]->due_ms) child++;
        if (heap->logs[child]->due_ms >= plog->due_ms) break;
        place(heap, index, heap->logs[child]);
        index = child;
    }
    place(heap, index, plog);
}

static void take_out(struct due_heap *heap, struct plog *plog)
{
    struct plog *last = heap->logs[heap->count--];

    if (last != plog) {
        place(heap, plog->due_index, last);
        sift_up(heap, last);
        sift_down(heap, last);
    }
    plog->due_index = 0;
}

int due_heap_reserve(struct due_heap *heap, uint64_t count)
{
    uint64_t capacity = heap->capacity > 0 ? heap->capacity : 4;
    struct plog **logs;

    if (count < heap->capacity) return 0;
    while (capacity <= count)
        capacity *= 2;
    if (capacity > UINT32_MAX) return MESH_ENOMEM;
    logs = realloc(heap->logs, capacity * sizeof(struct plog *));
    if (logs == NULL) return MESH_ENOMEM;
    heap->logs = logs;
    heap->capacity = (uint32_t)capacity;
    return 0;
}

void due_heap_set(struct due_heap *heap, struct plog *plog, uint64_t due_ms)
{
    if (due_ms == UINT64_MAX) {
        if (plog->due_index != 0) take_out(heap, plog);
        return;
    }
    if (plog->due_index == 0) {
        MESH_ASSERT(heap->count + 1 < heap->capacity);
        plog->due_index = ++heap->count;
        heap->logs[plog->due_index] = plog;
    }
    plog->due_ms = due_ms;
    sift_up(heap, plog);
    sift_down(heap, plog);
}
