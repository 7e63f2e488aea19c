/* sim/consensus_cuts.h - what the log of a process lost to later leaders, and how much of that had been durable.
 *
 * An answer waits until the term that it was given in is durable; meanwhile a later leader may have replaced what it is about. It was true when it was
 * given, which is what counts: whoever leads in a later term was voted for after that. */
#ifndef SIM_CONSENSUS_CUTS_H
#define SIM_CONSENSUS_CUTS_H

#include "sim/consensus_shadow.h"

#include <stdbool.h>

#define CONSENSUS_CUTS_MAX 16 /* the newest; an answer waits for one write of a term */

struct consensus_cut {
    uint64_t term;    /* in which it was cut */
    uint64_t index;   /* from which on */
    uint64_t durable; /* up to here the log as it was had been durable */
};

struct consensus_cuts {
    struct consensus_cut all[CONSENSUS_CUTS_MAX]; /* a ring */
    uint32_t count;
};

/* Before `log` is cut from `index` on. */
void consensus_cuts_note(struct consensus_cuts *cuts, uint64_t term, uint64_t index, const struct shadow_log *log, const struct shadow_log *durable);

/* Whether an answer of `term` about entries up to `match` can be one about what was durable then, and was cut in a later term. */
bool consensus_cuts_cover(const struct consensus_cuts *cuts, uint64_t term, uint64_t match);

#endif
