/* sim/replication_world.h - the world of whole brokers: metadata, logs and replicas on bad disks and networks, and clients that produce and consume. */
#ifndef SIM_REPLICATION_WORLD_H
#define SIM_REPLICATION_WORLD_H

#include "sim/sim_world.h"

extern const struct sim_world replication_world, replication_rot_world; /* rot: bits of segment files flip at rest */

/* What all runs from now on bring back: 1 << each of partition/switches.h. */
void replication_world_set_defects(uint32_t replica);
void replication_world_set_driver_defects(uint32_t driver); /* 1 << each of enum replication_driver_defect */

#endif
