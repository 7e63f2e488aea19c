/* sim/sim_clock.h - a host's clocks: a monotonic one that starts anywhere, drifts and stands still while the host is
 * suspended, and a wall clock that jumps. True time is the simulator's alone. Microseconds. */
#ifndef SIM_SIM_CLOCK_H
#define SIM_SIM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct sim_clock {
    uint64_t base_true_us, base_local_us; /* the two agreed at this moment */
    int32_t drift_ppm;
    bool is_stopped;
    int64_t wall_offset_us; /* wall clock = true time + this */
};

void sim_clock_init(struct sim_clock *clock, uint64_t true_us, uint64_t local_us, int64_t wall_offset_us);
uint64_t sim_clock_local_us(const struct sim_clock *clock, uint64_t true_us);

/* The first true time at which the clock shows local_us or more; UINT64_MAX while it stands still. */
uint64_t sim_clock_true_us(const struct sim_clock *clock, uint64_t local_us);

void sim_clock_set_drift(struct sim_clock *clock, uint64_t true_us, int32_t drift_ppm);
void sim_clock_stop(struct sim_clock *clock, uint64_t true_us);
void sim_clock_resume(struct sim_clock *clock, uint64_t true_us);

#endif
