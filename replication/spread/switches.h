/* spread/switches.h - brings back, one at a time, defects that this core was built to avoid, so that the tests can show that they would notice
 * each.
 *
 * Only in the library mesh_spread_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product SPREAD_DEFECT() is a
 * constant. */
#ifndef SPREAD_SWITCHES_H
#define SPREAD_SWITCHES_H

#include <stdint.h>

enum spread_defect {
    SPREAD_DEFECT_NONE,
    SPREAD_DEFECT_LAST_HEARD_WINS,     /* an older version overwrites a newer one that came before it */
    SPREAD_DEFECT_LARGEST_OFFSET_WINS, /* seeking back and resets never arrive */
    SPREAD_DEFECT_GRAVES_FORGOTTEN,    /* what is gone leaves nothing behind, and older news bring it back */
    SPREAD_DEFECT_UNCOMMITTED_TOLD,    /* rounds are told when they are taken, wherever the high watermark is */
    SPREAD_DEFECT_WALKS_ADD,           /* all that a leader has is added to what was held, which so never loses what is gone */
    SPREAD_DEFECT_GAPS_PASSED_OVER,    /* a round is taken for the next one, whatever it begins behind */
    SPREAD_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* For the whole program, any number; SPREAD_DEFECT_NONE turns all off. */
void spread_bring_back(enum spread_defect defect);
extern uint64_t spread_defects;
#define SPREAD_DEFECT(which) ((spread_defects >> SPREAD_DEFECT_##which) & 1)
#else
#define SPREAD_DEFECT(which) 0
#endif

#endif
