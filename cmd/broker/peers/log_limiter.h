/* peers/log_limiter.h - one line per second and source, whoever shouts. Pure. */
#ifndef BROKER_PEERS_LOG_LIMITER_H
#define BROKER_PEERS_LOG_LIMITER_H

#include "base/net_address.h"

#define LOG_LIMITER_SLOTS 64

struct log_limiter {
    uint64_t last_ms[LOG_LIMITER_SLOTS]; /* of the addresses that share a slot; 0: never */
};

/* May a line about this source be written now? Sources that share a slot share its second, so memory is bounded, and so is
 * the log: LOG_LIMITER_SLOTS lines a second from a whole internet of sources. */
bool log_limiter_allows(struct log_limiter *limiter, const struct net_address *source, uint64_t now_ms);

#endif
