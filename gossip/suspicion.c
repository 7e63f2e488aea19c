#include "gossip/suspicion.h"

#include <math.h>

uint64_t suspicion_min_us(size_t members, unsigned mult, uint64_t interval_us)
{
    double scale = members > 10 ? log10((double)members) : 1.0;

    return (uint64_t)((double)mult * scale * (double)interval_us);
}

uint64_t suspicion_length_us(unsigned confirmations, unsigned expected, uint64_t min_us, uint64_t max_us)
{
    double share;

    if (expected == 0 || confirmations >= expected) return min_us;
    share = log((double)confirmations + 1) / log((double)expected + 1);
    return max_us - (uint64_t)((double)(max_us - min_us) * share);
}

void suspicion_start(struct suspicion *suspicion, const struct suspicion_terms *terms, uint64_t now_us)
{
    unsigned expected = terms->mult > 2 ? terms->mult - 2 : 0;

    /* Too few others to expect so much agreement from: the victim and this broker cannot confirm. */
    if (terms->members < expected + 2) expected = 0;
    if (expected >= SUSPICION_ACCUSERS_MAX) expected = SUSPICION_ACCUSERS_MAX - 1;
    suspicion->started_us = now_us;
    suspicion->min_us = suspicion_min_us(terms->members, terms->mult, terms->interval_us);
    suspicion->max_us = suspicion->min_us * (expected == 0 ? 1 : terms->max_mult);
    suspicion->expected = (uint8_t)expected;
    suspicion->accuser_count = 0;
}

bool suspicion_has(const struct suspicion *suspicion, const struct uuid *accuser)
{
    for (unsigned i = 0; i < suspicion->accuser_count; i++)
        if (uuid_equal(&suspicion->accusers[i], accuser)) return true;
    return false;
}

bool suspicion_confirm(struct suspicion *suspicion, const struct uuid *accuser)
{
    /* Beyond the first accuser and those expected nothing shortens any more, so nothing needs to be kept. */
    if (suspicion->accuser_count > suspicion->expected || suspicion->accuser_count == SUSPICION_ACCUSERS_MAX ||
        suspicion_has(suspicion, accuser))
        return false;
    suspicion->accusers[suspicion->accuser_count++] = *accuser;
    return true;
}

uint64_t suspicion_end_us(const struct suspicion *suspicion)
{
    unsigned confirmations = suspicion->accuser_count > 0 ? suspicion->accuser_count - 1 : 0;

    return suspicion->started_us +
           suspicion_length_us(confirmations, suspicion->expected, suspicion->min_us, suspicion->max_us);
}
