/* A group in trouble, from a seed: members that come, go, stall, come back as zombies, commit out of order and seek back; requests
 * that arrive late and twice; operators; topics that grow;
 * followers that lag, leaders that die with what was not replicated, replicas that start from the log. An observer knows what was acknowledged. */
#ifndef GROUP_MODEL_H
#define GROUP_MODEL_H

#include "group_rig.h"

struct group_model_result {
    char violation[160]; /* empty: none */
    uint32_t failovers, calm_failovers, restarts, trims, claims, commits, zombie_commits_refused, slow, expired, resets, generations, late_refused;
};

void group_model_run(uint64_t seed, uint32_t steps, enum group_defect defect, struct group_model_result *ret_result);

#endif
