/* sim/groups_world.h - the world of consumer groups: whole brokers under faults (replication_world.h), groups in a replicated topic of theirs, and members that
 * consume two others. */
#ifndef SIM_GROUPS_WORLD_H
#define SIM_GROUPS_WORLD_H

#include "sim/sim_world.h"

extern const struct sim_world groups_world;

/* Brings defects back, 1 << each of groups/switches.h and of cmd/broker/groups/group_turn.h: for tests, where these are compiled with their switches. For the
 * runs that begin afterwards. */
void groups_world_set_defects(uint32_t core, uint32_t part);

#endif
