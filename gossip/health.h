/* gossip/health.h - how far this broker should doubt itself: Lifeguard's local health multiplier.
 *
 * 0 is good. Whoever misses answers that others would have got probes more slowly and waits longer before it accuses. */
#ifndef GOSSIP_HEALTH_H
#define GOSSIP_HEALTH_H

#include <stdint.h>

struct health {
    uint8_t score, max; /* 0 .. max - 1 */
};

static inline void health_change(struct health *health, int by)
{
    int score = health->score + by;

    if (score >= health->max) score = health->max - 1;
    health->score = (uint8_t)(score < 0 ? 0 : score);
}

static inline uint64_t health_scale(const struct health *health, uint64_t duration_us)
{
    return duration_us * (health->score + 1u);
}

#endif
