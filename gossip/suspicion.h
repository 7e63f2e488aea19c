/* gossip/suspicion.h - how long a suspicion lasts: Lifeguard's timer, which the agreement of others shortens.
 *
 * Pure functions. A suspicion remembers who made the accusation first-hand, so that hearing of one observation
 * along two ways never counts twice (PROTOCOLS 1.5, 3). */
#ifndef GOSSIP_SUSPICION_H
#define GOSSIP_SUSPICION_H

#include "base/uuid.h"

#include <stddef.h>

#define SUSPICION_ACCUSERS_MAX 8

struct suspicion {
    uint64_t started_us; /* moved forward by the length of a stall of our own */
    uint64_t min_us, max_us;
    uint8_t expected; /* confirmations at which it has become as short as it gets */
    uint8_t accuser_count;
    struct uuid accusers[SUSPICION_ACCUSERS_MAX];
};

/* The shortest suspicion among `members` (this broker included): mult * max(1, log10 members) * interval. */
uint64_t suspicion_min_us(size_t members, unsigned mult, uint64_t interval_us);

/* How long it lasts with so many confirmations: from max_us down to min_us along a logarithm. */
uint64_t suspicion_length_us(unsigned confirmations, unsigned expected, uint64_t min_us, uint64_t max_us);

struct suspicion_terms {
    size_t members; /* alive or suspect, this broker included */
    unsigned mult, max_mult;
    uint64_t interval_us;
};

void suspicion_start(struct suspicion *suspicion, const struct suspicion_terms *terms, uint64_t now_us);

/* True when this accuser is new and there was room: the suspicion may have become shorter. */
bool suspicion_confirm(struct suspicion *suspicion, const struct uuid *accuser);
bool suspicion_has(const struct suspicion *suspicion, const struct uuid *accuser);

uint64_t suspicion_end_us(const struct suspicion *suspicion);

#endif
