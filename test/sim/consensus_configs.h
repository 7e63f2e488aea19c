/* sim/consensus_configs.h - which configuration may follow which. */
#ifndef SIM_CONSENSUS_CONFIGS_H
#define SIM_CONSENSUS_CONFIGS_H

#include "replication/consensus/raft.h"

/* One voter more or less, or over a joint configuration: then any two majorities meet. */
bool consensus_configs_are_neighbours(const struct raft_config *a, const struct raft_config *b);

#endif
