/* client/timer_heap.h - timers in a binary heap: which is due next, and by when must somebody look.
 *
 * Intrusive: the owner embeds struct timer and must disarm it before it goes away. Knows no clock; times are
 * handed in. Owned by one thread. */
#ifndef CLIENT_TIMER_HEAP_H
#define CLIENT_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t deadline_ms;
    size_t index; /* in the heap, plus one; 0: not armed */
    void (*due)(struct timer *timer, uint64_t now_ms);
};

struct timer_heap {
    struct timer **timers; /* owned array of borrowed timers */
    size_t count, capacity;
};

void timer_heap_deinit(struct timer_heap *heap);

/* Makes sure that `count` timers can be armed at once, so that arming them cannot fail. Errors: MESH_ENOMEM.
 */
int timer_heap_reserve(struct timer_heap *heap, size_t count);

static inline void timer_init(struct timer *timer, void (*due)(struct timer *timer, uint64_t now_ms))
{
    *timer = (struct timer){TIMER_NEVER, 0, due};
}

static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->index != 0;
}

/* Arms or moves the timer. There must be room (timer_heap_reserve). */
void timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t deadline_ms);
void timer_disarm(struct timer_heap *heap, struct timer *timer);

/* The earliest deadline, or TIMER_NEVER. */
uint64_t timer_heap_next_ms(const struct timer_heap *heap);

/* Takes out the earliest timer if it is due, else NULL. The caller then calls its due(). */
struct timer *timer_heap_pop_due(struct timer_heap *heap, uint64_t now_ms);

#endif
