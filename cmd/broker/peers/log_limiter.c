/* peers/log_limiter.c - a hash of the address (the port is the sender's whim) and a second. */
#include "cmd/broker/peers/log_limiter.h"

#include "base/map.h"

#define INTERVAL_MS 1000

bool log_limiter_allows(struct log_limiter *limiter, const struct net_address *source, uint64_t now_ms)
{
    uint64_t *last_ms = &limiter->last_ms[map_hash_bytes(source->ip, sizeof(source->ip)) % LOG_LIMITER_SLOTS];

    if (*last_ms != 0 && now_ms - *last_ms < INTERVAL_MS) return false;
    *last_ms = now_ms == 0 ? 1 : now_ms;
    return true;
}
