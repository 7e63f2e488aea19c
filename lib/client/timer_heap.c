#include "client/timer_heap.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void timer_heap_deinit(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){NULL, 0, 0};
}

int timer_heap_reserve(struct timer_heap *heap, size_t count)
{
    size_t capacity = heap->capacity ? heap->capacity : 16;
    struct timer **timers;

    if (count <= heap->capacity) return 0;
    while (capacity < count)
        capacity *= 2;
    timers = realloc(heap->timers, capacity * sizeof(struct timer *));
    if (timers == NULL) return MESH_ENOMEM;
    heap->timers = timers;
    heap->capacity = capacity;
    return 0;
}

static void place(struct timer_heap *heap, size_t at, struct timer *timer)
{
    heap->timers[at] = timer;
    timer->index = at + 1;
}

static void sift_up(struct timer_heap *heap, size_t at)
{
    struct timer *timer = heap->timers[at];

    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (heap->timers[parent]->deadline_ms <= timer->deadline_ms) break;
        place(heap, at, heap->timers[parent]);
        at = parent;
    }
    place(heap, at, timer);
}

static void sift_down(struct timer_heap *heap, size_t at)
{
    struct timer *timer = heap->timers[at];

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count &&
            heap->timers[child + 1]->deadline_ms < heap->timers[child]->deadline_ms)
            child++;
        if (timer->deadline_ms <= heap->timers[child]->deadline_ms) break;
        place(heap, at, heap->timers[child]);
        at = child;
    }
    place(heap, at, timer);
}

void timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t deadline_ms)
{
    if (timer->index == 0) {
        MESH_ASSERT(heap->count < heap->capacity);
        timer->deadline_ms = deadline_ms;
        place(heap, heap->count++, timer);
    } else if (timer->deadline_ms == deadline_ms) {
        return;
    }
    timer->deadline_ms = deadline_ms;
    sift_up(heap, timer->index - 1);
    sift_down(heap, timer->index - 1);
}

void timer_disarm(struct timer_heap *heap, struct timer *timer)
{
    size_t at;
    struct timer *last;

    if (timer->index == 0) return;
    at = timer->index - 1;
    MESH_ASSERT(heap->timers[at] == timer);
    last = heap->timers[--heap->count];
    timer->index = 0;
    if (last == timer) return;
    place(heap, at, last);
    sift_up(heap, at);
    sift_down(heap, last->index - 1);
}

uint64_t timer_heap_next_ms(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->timers[0]->deadline_ms : TIMER_NEVER;
}

struct timer *timer_heap_pop_due(struct timer_heap *heap, uint64_t now_ms)
{
    struct timer *timer = heap->count > 0 ? heap->timers[0] : NULL;

    if (timer == NULL || timer->deadline_ms > now_ms) return NULL;
    timer_disarm(heap, timer);
    return timer;
}
