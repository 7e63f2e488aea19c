/* metadata/switches.h - brings back, one at a time, what others got wrong (PROTOCOLS 3.4 and 4.2), so that the simulator can show that it
 * would notice each.
 *
 * Only in the library mesh_metadata_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product
 * NODE_DEFECT() is a constant. */
#ifndef METADATA_SWITCHES_H
#define METADATA_SWITCHES_H

#include "replication/metadata/node.h"

enum node_defect {
    NODE_DEFECT_NONE,
    NODE_DEFECT_UNCOMMITTED_FED, /* S14: entries go sideways before they are committed */
    NODE_DEFECT_RETRY_REPEATED,  /* 24: a request that was done is done again when it is asked again */
    NODE_DEFECT_ANY_TERM,        /* 24: a copy that was sent for an earlier term is decided in a later one */
    NODE_DEFECT_REFUSAL_FORGOTTEN, /* 24: what was refused is decided again when it is asked again */
    NODE_DEFECT_LOST_ARE_HEARD, /* brokers that were declared lost come back with a majority of the old configuration, and survivors vote with them */
    NODE_DEFECT_UNREADABLE_WRITTEN, /* what some brokers cannot read yet is written all the same */
    NODE_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; NODE_DEFECT_NONE turns all off. */
void node_bring_back(struct node *node, enum node_defect defect);
#define NODE_DEFECT(node, which) (((node)->defects >> NODE_DEFECT_##which) & 1)
#else
#define NODE_DEFECT(node, which) 0
#endif

#endif
