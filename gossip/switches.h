/* gossip/switches.h - brings back, one at a time, the defects that this core was built to avoid (PROTOCOLS 1.5), so
 * that the simulator can show that it would notice each.
 *
 * Only in the library mesh_gossip_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the
 * product GOSSIP_DEFECT() is a constant. */
#ifndef GOSSIP_SWITCHES_H
#define GOSSIP_SWITCHES_H

#include "gossip/gossip.h"

enum gossip_defect {
    GOSSIP_DEFECT_NONE,
    GOSSIP_DEFECT_DEAD_NOT_DIALLED,      /* 1: who is dead is never tried again */
    GOSSIP_DEFECT_DEATH_IS_LOCAL,        /* 2: the dead are erased at once, and come back from whoever lists them */
    GOSSIP_DEFECT_TOMBSTONES_FOR_EVER,   /* 2: who left is never forgotten */
    GOSSIP_DEFECT_ACCUSER_REWRITTEN,     /* 3: hearsay is passed on as one's own observation */
    GOSSIP_DEFECT_NO_STALL_GUARD,        /* 4: who slept accuses whom it did not hear */
    GOSSIP_DEFECT_STARVATION,            /* 5: membership takes all the room of a packet */
    GOSSIP_DEFECT_KNOWN_IS_NEWS,         /* 6: what is known already is spread again */
    GOSSIP_DEFECT_RANDOM_HELPERS,        /* 7: helpers are drawn blindly, and missed in small meshes */
    GOSSIP_DEFECT_OLD_BOOT_ACCEPTED,     /* 8: packets of an earlier boot are believed */
    GOSSIP_DEFECT_SEEDS_ONE_BY_ONE,      /* 9: seeds are dialled one at a time, and no more once one answered */
    GOSSIP_DEFECT_TARGET_UNCHECKED,      /* 10: a ping meant for another broker is answered */
    GOSSIP_DEFECT_ACCUSATION_NOT_RETURNED, /* 1.1, bug 1: who is wrongly held dead is never told */
    GOSSIP_DEFECT_STRANGERS_IGNORED,     /* 1.1, bug 2: accusations of unknown brokers are dropped */
    GOSSIP_DEFECT_DEAD_BELIEVED,         /* another's word that a member is dead is taken at once */
    GOSSIP_DEFECT_NO_ANTI_ENTROPY,       /* rumours alone */
    GOSSIP_DEFECT_NO_LIFEGUARD,          /* plain SWIM: no local health, fixed suspicion, no buddy, no nacks */
    GOSSIP_DEFECT_NO_FAST_DEATH,         /* the evidence of a reset link is ignored */
    GOSSIP_DEFECT_LAST_WORD,             /* S14: what comes last counts, not what is newest */
    GOSSIP_DEFECT_GAPS_TAKEN,            /* 2.4: soft changes are applied though earlier ones are missing */
    GOSSIP_DEFECT_REST_OF_RESET_TAKEN,   /* 2.4: so is the rest of a reset whose beginning never came */
    GOSSIP_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; GOSSIP_DEFECT_NONE turns all off. */
void gossip_bring_back(struct gossip *gossip, enum gossip_defect defect);
#define GOSSIP_DEFECT(gossip, which) (((gossip)->defects >> GOSSIP_DEFECT_##which) & 1)
#else
#define GOSSIP_DEFECT(gossip, which) 0
#endif

#endif
