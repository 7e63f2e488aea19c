/* sim/consensus_world.h - a log that servers agree on, on one to seven hosts: proposals, reads, changes of the configuration,
 * transfers and snapshots under all faults there are; after healing there is one leader, everything commits, and all members agree. */
#ifndef SIM_CONSENSUS_WORLD_H
#define SIM_CONSENSUS_WORLD_H

#include "sim/consensus_faults.h"
#include "sim/sim_world.h"

extern const struct sim_world consensus_world;

/* For tests: every run of worlds made from now on has these defects (1 << each of the switches, and of the driver's). */
void consensus_world_set_defects(uint64_t core, unsigned driver);

/* For tests: disks meet only these faults (1 << enum consensus_fault), in every run; 0: those that the seed draws. */
void consensus_world_set_faults(uint32_t kinds);

#endif
