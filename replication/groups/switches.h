/* groups/switches.h - brings back, one at a time, defects that this core was built to avoid, so that the tests can show that they would
 * notice each.
 *
 * Only in the library mesh_groups_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product
 * GROUP_DEFECT() is a constant. */
#ifndef GROUPS_SWITCHES_H
#define GROUPS_SWITCHES_H

#include "replication/groups/groups.h"

enum group_defect {
    GROUP_DEFECT_NONE,
    GROUP_DEFECT_OFFSETS_BY_CHECKPOINT,  /* RocketMQ's rewind: who follows learns offsets now and then, not as they are committed */
    GROUP_DEFECT_CLAIMS_OUTLIVE_MEMBERS, /* NATS' stuck consumer: who is gone keeps what it claimed */
    GROUP_DEFECT_TIMERS_FORGOTTEN,       /* NATS' stuck consumer: a new leader watches only members that it has heard itself */
    GROUP_DEFECT_RELEASE_NOT_AWAITED,    /* a partition is claimed while another member consumes it */
    GROUP_DEFECT_RELEASE_NOT_ENFORCED,   /* a member that never releases keeps others waiting for ever */
    GROUP_DEFECT_ZOMBIES_COMMIT,         /* a commit counts whoever sends it, under whatever claim (etcd's locks, 27) */
    GROUP_DEFECT_LARGEST_OFFSET_WINS,    /* seeking back and resets are undone by what was committed before */
    GROUP_DEFECT_FAILOVER_REBALANCES,    /* a new leader assigns everything anew */
    GROUP_DEFECT_LATE_COPIES_COUNT,      /* what was sent before counts, though what was sent after it is acknowledged */
    GROUP_DEFECT_RESET_FREES,            /* what an operator sets back is free at once, though its member has not heard of it */
    GROUP_DEFECT_RESET_UNHEARD,          /* a consumer outside of groups undoes a reset of which it has not heard */
    GROUP_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; GROUP_DEFECT_NONE turns all off. */
void groups_bring_back(struct groups *groups, enum group_defect defect);
#define GROUP_DEFECT(groups, which) (((groups)->defects >> GROUP_DEFECT_##which) & 1)
#else
#define GROUP_DEFECT(groups, which) 0
#endif

#endif
