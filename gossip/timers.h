/* gossip/timers.h - what is due when: a heap of intrusive timers. No allocation but in timers_reserve(). */
#ifndef GOSSIP_TIMERS_H
#define GOSSIP_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint32_t slot; /* place in the heap + 1; 0: not armed */
    uint8_t kind;  /* the user's */
};

struct timers {
    struct timers_entry {
        uint64_t due_us;
        struct timer *timer;
    } *heap; /* owned; the earliest first */
    size_t count, capacity;
};

#define TIMERS_NEVER UINT64_MAX

void timers_deinit(struct timers *timers);

/* Room for `capacity` armed timers. Errors: MESH_ENOMEM (unchanged). */
int timers_reserve(struct timers *timers, size_t capacity);

/* Arms, or moves, a timer. There must be room: the capacity counts every timer that exists. */
void timers_arm(struct timers *timers, struct timer *timer, uint64_t due_us);
void timers_cancel(struct timers *timers, struct timer *timer); /* harmless when not armed */

static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->slot != 0;
}

/* When it is due; the timer must be armed. */
static inline uint64_t timers_due_of(const struct timers *timers, const struct timer *timer)
{
    return timers->heap[timer->slot - 1].due_us;
}

static inline uint64_t timers_due_us(const struct timers *timers)
{
    return timers->count == 0 ? TIMERS_NEVER : timers->heap[0].due_us;
}

/* The earliest timer if it is due by now, disarmed; or NULL. */
struct timer *timers_pop(struct timers *timers, uint64_t now_us);

#endif
