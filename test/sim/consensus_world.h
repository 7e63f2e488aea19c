/* sim/consensus_world.h - a log that servers agree on, on one to seven hosts: proposals, reads, changes of the configuration,
 * transfers and snapshots under all faults there are; after healing there is one leader, everything commits, and all members agree. */
#ifndef SIM_CONSENSUS_WORLD_H
#define SIM_CONSENSUS_WORLD_H

#include "sim/consensus_faults.h"
#include "sim/sim_world.h"

extern const struct sim_world consensus_world;

/* For tests: every run of worlds made from now on has these defects (1 << each of the switches, and of the driver's). */
/* For runs to come: what clients ask for, instead of what each seed draws (a mean of one request in 10 to 320 ms). NULL, or zeros: drawn again. */
struct consensus_load {
    uint64_t mean_us;        /* between two requests */
    uint64_t burst_every_us; /* mean, between two bursts */
    uint32_t burst;          /* proposals in one */
};
void consensus_world_set_load(const struct consensus_load *load);

void consensus_world_set_defects(uint64_t core, unsigned driver);

/* For tests: disks meet only these faults (1 << enum consensus_fault), in every run; 0: those that the seed draws. */
void consensus_world_set_faults(uint32_t kinds);

#endif
