/* sim/metadata_world.h - the world "metadata": brokers' metadata nodes with real stores, topics and producer ids asked for everywhere, brokers
 * that join, leave, restart and lose their disks; the voters choose themselves. Invariants: metadata_watch.h, metadata_clients.h. */
#ifndef SIM_METADATA_WORLD_H
#define SIM_METADATA_WORLD_H

#include "sim/metadata_mesh.h"
#include "sim/sim_world.h"

extern const struct sim_world metadata_world;

/* For tests: every run from now on has these defects (1 << each of metadata/switches.h, of the driver's, of the directories'). */
void metadata_world_set_defects(uint64_t node, unsigned driver, unsigned dirs);

#endif
