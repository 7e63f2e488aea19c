#include "sim/sim_clock.h"

#define MILLION 1000000

void sim_clock_init(struct sim_clock *clock, uint64_t true_us, uint64_t local_us, int64_t wall_offset_us)
{
    *clock = (struct sim_clock){
        .base_true_us = true_us, .base_local_us = local_us, .wall_offset_us = wall_offset_us};
}

uint64_t sim_clock_local_us(const struct sim_clock *clock, uint64_t true_us)
{
    int64_t passed = (int64_t)(true_us - clock->base_true_us);

    if (clock->is_stopped) return clock->base_local_us;
    if (clock->drift_ppm == 0) return clock->base_local_us + (uint64_t)passed;
    return clock->base_local_us + (uint64_t)(passed + passed * clock->drift_ppm / MILLION);
}

uint64_t sim_clock_true_us(const struct sim_clock *clock, uint64_t local_us)
{
    uint64_t ahead, true_us;

    if (clock->is_stopped) return UINT64_MAX;
    if (local_us <= clock->base_local_us) return clock->base_true_us;
    ahead = local_us - clock->base_local_us;
    if (clock->drift_ppm == 0 || ahead > UINT64_MAX / 4)
        return ahead > UINT64_MAX / 4 ? UINT64_MAX : clock->base_true_us + ahead;
    true_us = clock->base_true_us +
              (uint64_t)((__int128)ahead * MILLION / (MILLION + clock->drift_ppm));
    while (sim_clock_local_us(clock, true_us) < local_us)
        true_us++;
    return true_us;
}

static void rebase(struct sim_clock *clock, uint64_t true_us)
{
    clock->base_local_us = sim_clock_local_us(clock, true_us);
    clock->base_true_us = true_us;
}

void sim_clock_set_drift(struct sim_clock *clock, uint64_t true_us, int32_t drift_ppm)
{
    rebase(clock, true_us);
    clock->drift_ppm = drift_ppm;
}

void sim_clock_stop(struct sim_clock *clock, uint64_t true_us)
{
    rebase(clock, true_us);
    clock->is_stopped = true;
}

void sim_clock_resume(struct sim_clock *clock, uint64_t true_us)
{
    clock->base_true_us = true_us;
    clock->is_stopped = false;
}
