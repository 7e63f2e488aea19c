#include "gossip/rtt.h"

#define RTT_MAX_US (60u * 1000 * 1000)

uint32_t rtt_smooth(uint32_t smoothed_us, uint32_t sample_us)
{
    if (sample_us > RTT_MAX_US) sample_us = RTT_MAX_US;
    if (sample_us == 0) sample_us = 1;
    if (smoothed_us == 0) return sample_us;
    smoothed_us = (uint32_t)((7 * (uint64_t)smoothed_us + sample_us) / 8);
    return smoothed_us == 0 ? 1 : smoothed_us;
}

uint32_t rtt_percentile(uint32_t p99_us, uint32_t sample_us)
{
    uint32_t step;

    if (sample_us > RTT_MAX_US) sample_us = RTT_MAX_US;
    if (p99_us == 0) return sample_us == 0 ? 1 : sample_us;
    step = p99_us / 800 + 1; /* down by 1/8 of itself in a hundred samples */
    if (sample_us <= p99_us) return p99_us > step ? p99_us - step : 1;
    return sample_us - p99_us < 99 * step ? sample_us : p99_us + 99 * step;
}

uint64_t rtt_timeout_us(uint32_t p99_us, uint64_t least_us, uint64_t most_us)
{
    uint64_t timeout_us = 3 * (uint64_t)p99_us;

    if (timeout_us > most_us) timeout_us = most_us;
    return timeout_us < least_us ? least_us : timeout_us;
}
