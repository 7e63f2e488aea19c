/* founding/switches.h - brings back, one at a time, the ways in which others ended up with two meshes (PROTOCOLS 3.3), so that the
 * simulator can show that it would notice each.
 *
 * Only in the library mesh_founding_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product
 * FOUNDING_DEFECT() is a constant. */
#ifndef FOUNDING_SWITCHES_H
#define FOUNDING_SWITCHES_H

#include "replication/founding/founding.h"

enum founding_defect {
    FOUNDING_DEFECT_NONE,
    FOUNDING_DEFECT_NOT_DURABLE,      /* promises are said before they are on the disk */
    FOUNDING_DEFECT_TWO_PROMISES,     /* one promise does not bind: a lower ballot is accepted after a higher one */
    FOUNDING_DEFECT_MINORITY,         /* half of those expected is enough */
    FOUNDING_DEFECT_TIMEOUT_FOUNDS,   /* who has waited for long founds alone (Kafka's and Redpanda's early ways) */
    FOUNDING_DEFECT_WIPED_VOTES,      /* a disk that took a wiped one's place votes as if it had been expected */
    FOUNDING_DEFECT_FIRST_ANSWER,     /* a value that others accepted already is not looked for */
    FOUNDING_DEFECT_MEMBER_IGNORED,   /* a founder founds, whoever tells it of a mesh */
    FOUNDING_DEFECT_MARKER_IGNORED,   /* the second place is written and not read */
    FOUNDING_DEFECT_MORE_ARE_WELCOME, /* more brokers than expected found as well */
    FOUNDING_DEFECT_SET_BACK_VOTES,   /* a disk that was set back to an older state goes on as if nothing were missing */
    FOUNDING_DEFECT_LEADER_ONLY,      /* a proposal is driven by its proposer alone, dead or not */
    FOUNDING_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; FOUNDING_DEFECT_NONE turns all off. */
void founding_bring_back(struct founding *founding, enum founding_defect defect);
#define FOUNDING_DEFECT(founding, which) (((founding)->defects >> FOUNDING_DEFECT_##which) & 1)
#else
#define FOUNDING_DEFECT(founding, which) 0
#endif

#endif
