/* coordinator/switches.h - brings back, one at a time, the ways in which others' coordinators lost records (PROTOCOLS 4.2), so that tests can
 * show that they would notice each.
 *
 * Only in the library mesh_coordinator_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product
 * COORDINATOR_DEFECT() is a constant. Decisions have no object to keep a switch in: it belongs to the thread. */
#ifndef COORDINATOR_SWITCHES_H
#define COORDINATOR_SWITCHES_H

#include <stdint.h>

enum coordinator_defect {
    COORDINATOR_DEFECT_NONE,
    COORDINATOR_DEFECT_PARTITION_EPOCH_UNCHECKED, /* 6: a wish is taken whatever happened since it was made */
    COORDINATOR_DEFECT_LIFE_UNCHECKED,       /* 7: who caught up in a former life joins the ISR in this one */
    COORDINATOR_DEFECT_GENERATION_UNCHECKED, /* 8: so does a replica that was taken away and is back, empty */
    COORDINATOR_DEFECT_NO_ELR,               /* 9: nobody is eligible but the ISR, whose last member therefore stays in it, gone or not, */
    COORDINATOR_DEFECT_UNCLEAN_STOP_TRUSTED, /* 9: and is trusted when it is back, though it lost what it had not flushed */
    COORDINATOR_DEFECT_FENCED_MAY_JOIN,      /* 10: a broker without a session, or about to stop, joins ISRs and holds the high watermark back */
    COORDINATOR_DEFECT_LOSS_IGNORED,         /* 21: a replica whose disk lost records stays what it was, and wins elections (NATS 7549) */
    COORDINATOR_DEFECT_ANYBODY_LEADS,        /* 25: when the ISR is gone whoever is up leads, and nobody hears of it */
    COORDINATOR_DEFECT_SEAL_UNCOUNTED,       /* quorum: the first report decides, majority or not */
    COORDINATOR_DEFECT_EPOCH_KEPT,           /* S7: another leader under the same epoch, and nobody who looks at what follows what */
    COORDINATOR_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
extern _Thread_local uint32_t coordinator_defects; /* decide.c */
/* Any number may be on; COORDINATOR_DEFECT_NONE turns all off. */
void coordinator_bring_back(enum coordinator_defect defect);
#define COORDINATOR_DEFECT(which) ((coordinator_defects >> COORDINATOR_DEFECT_##which) & 1)
#else
#define COORDINATOR_DEFECT(which) 0
#endif

#endif
