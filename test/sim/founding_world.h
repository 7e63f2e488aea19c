/* sim/founding_world.h - the worlds of the first boot: brokers that start at random times, crash, are cut off, move, lose their disks, and
 * must end up in one mesh. */
#ifndef SIM_FOUNDING_WORLD_H
#define SIM_FOUNDING_WORLD_H

#include "sim/sim_world.h"

extern const struct sim_world founding_world;        /* as expected, but for one now and then who expects another number */
extern const struct sim_world founding_extra_world;  /* one broker more than expected; nobody is cut off or dies */
extern const struct sim_world founding_marker_world; /* with markers: any disk may go once its marker is written */

/* Of worlds made from now on: enum founding_defect, 1 << each. Only with the switches. Any thread, before runs. */
void founding_world_set_defects(uint64_t defects);

#endif
