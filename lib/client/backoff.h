/* client/backoff.h - how long to wait before trying again: exponential with jitter. A pure function.
 *
 * Jitter keeps a thousand clients of a restarted broker from coming back in the same millisecond. */
#ifndef CLIENT_BACKOFF_H
#define CLIENT_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t base_ms; /* the longest first wait */
    uint32_t max_ms;  /* no wait is longer */
};

/* The wait before retry number `attempt` (0: the first): half of min(base * 2^attempt, max) for certain, the
 * other half drawn by `unit`, which is uniform in [0, 1). At least 1 ms. */
uint32_t backoff_ms(const struct backoff *backoff, uint32_t attempt, double unit);

#endif
