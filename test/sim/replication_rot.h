/* sim/replication_rot.h - bits of segment files and their indexes flip at rest, within what replicas promise to survive: of each partition on one
 * broker at most, and only where another one in sync has the same, which keeps it. Everything else must find the damage, say so, refuse what is
 * damaged, and mend it (L7); damage never spreads (S2, S3). */
#ifndef SIM_REPLICATION_ROT_H
#define SIM_REPLICATION_ROT_H

#include "sim/replication_mesh.h"

/* Flips a bit or a few of one partition, if the one that is drawn may be damaged. */
void replication_rot_strike(struct replication_mesh *mesh, struct random *random);

/* L7: what is not sound, or not what the others have, on the disk of whoever was struck. NULL: nothing is left of it. */
const char *replication_rot_remains(struct replication_mesh *mesh);

#endif
