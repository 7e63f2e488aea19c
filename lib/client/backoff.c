#include "client/backoff.h"

uint32_t backoff_ms(const struct backoff *backoff, uint32_t attempt, double unit)
{
    uint64_t ceiling_ms = backoff->base_ms;
    uint64_t wait_ms;

    for (uint32_t i = 0; i < attempt && ceiling_ms < backoff->max_ms; i++)
        ceiling_ms *= 2;
    if (ceiling_ms > backoff->max_ms) ceiling_ms = backoff->max_ms;
    wait_ms = ceiling_ms / 2 + (uint64_t)((double)(ceiling_ms - ceiling_ms / 2) * unit);
    return wait_ms > 0 ? (uint32_t)wait_ms : 1;
}
