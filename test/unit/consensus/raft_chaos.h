/* unit/consensus/raft_chaos.h - a life full of trouble, drawn from one seed: loss, doubling, long delays, cuts (also one-way), crashes that lose
 * what was not durable, slow disks, damage, changes of the configuration, transfers, reads, proposals; then all is healed, and
 * everybody must agree before long. What must always hold is checked by raft_net. */
#ifndef UNIT_RAFT_CHAOS_H
#define UNIT_RAFT_CHAOS_H

#include "unit/consensus/raft_net.h"

struct chaos_result {
    const char *breach; /* NULL: none */
    bool has_healed;    /* all agreed at the end, and went on */
    uint64_t committed, snapshots, leaders, changes, reads, damages, terms;
};

/* Runs `steps` troubles. With defects (bits of enum raft_defect; the switches' library only) it stops at the first breach. */
void chaos_run(uint64_t seed, unsigned steps, uint32_t defects, struct chaos_result *ret_result);

#endif
