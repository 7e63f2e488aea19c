#include "gossip/timers.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void timers_deinit(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){NULL, 0, 0};
}

int timers_reserve(struct timers *timers, size_t capacity)
{
    struct timers_entry *heap;

    if (capacity <= timers->capacity) return 0;
    heap = realloc(timers->heap, capacity * sizeof(*heap));
    if (heap == NULL) return MESH_ENOMEM;
    timers->heap = heap;
    timers->capacity = capacity;
    return 0;
}

static void put(struct timers *timers, size_t at, struct timers_entry entry)
{
    timers->heap[at] = entry;
    entry.timer->slot = (uint32_t)at + 1;
}

static void sift_up(struct timers *timers, size_t at, struct timers_entry entry)
{
    while (at > 0 && timers->heap[(at - 1) / 2].due_us > entry.due_us) {
        put(timers, at, timers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(timers, at, entry);
}

static void sift_down(struct timers *timers, size_t at, struct timers_entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->count) break;
        if (child + 1 < timers->count && timers->heap[child + 1].due_us < timers->heap[child].due_us) child++;
        if (timers->heap[child].due_us >= entry.due_us) break;
        put(timers, at, timers->heap[child]);
        at = child;
    }
    put(timers, at, entry);
}

void timers_arm(struct timers *timers, struct timer *timer, uint64_t due_us)
{
    struct timers_entry entry = {due_us, timer};
    size_t at = timer->slot;

    if (at == 0) {
        MESH_ASSERT(timers->count < timers->capacity);
        sift_up(timers, timers->count++, entry);
        return;
    }
    if (due_us < timers->heap[at - 1].due_us)
        sift_up(timers, at - 1, entry);
    else
        sift_down(timers, at - 1, entry);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    size_t at = timer->slot;
    struct timers_entry last;

    if (at == 0) return;
    timer->slot = 0;
    last = timers->heap[--timers->count];
    if (last.timer == timer) return;
    if (at > 1 && timers->heap[(at - 2) / 2].due_us > last.due_us)
        sift_up(timers, at - 1, last);
    else
        sift_down(timers, at - 1, last);
}

struct timer *timers_pop(struct timers *timers, uint64_t now_us)
{
    struct timer *timer;

    if (timers->count == 0 || timers->heap[0].due_us > now_us) return NULL;
    timer = timers->heap[0].timer;
    timers_cancel(timers, timer);
    return timer;
}
