/* gossip/rtt.h - how long a peer's answer takes: smoothed per member, and the 99th percentile over all. */
#ifndef GOSSIP_RTT_H
#define GOSSIP_RTT_H

#include <stdint.h>

/* The smoothed value with one more sample in it (1/8, as TCP does); 0 means none yet and is never returned. */
uint32_t rtt_smooth(uint32_t smoothed_us, uint32_t sample_us);

/* Follows the 99th percentile of a stream of samples in one number: a sample above pulls it up 99 times as far as
 * one below lets it sink. */
uint32_t rtt_percentile(uint32_t p99_us, uint32_t sample_us);

/* How long to wait for a direct answer: three times the 99th percentile, within [least, most]. */
uint64_t rtt_timeout_us(uint32_t p99_us, uint64_t least_us, uint64_t most_us);

#endif
