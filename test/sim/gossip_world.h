/* sim/gossip_world.h - a mesh of brokers that only gossip: they join through seeds, set soft state and frontiers, leave
 * and come back; after healing the core must agree. */
#ifndef SIM_GOSSIP_WORLD_H
#define SIM_GOSSIP_WORLD_H

#include "sim/gossip_program.h"
#include "sim/sim_world.h"

extern const struct sim_world gossip_world;
extern const struct sim_world gossip_sealed_world; /* lib/crypto in every seed */

#endif
