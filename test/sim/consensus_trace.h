/* sim/consensus_trace.h - what is told of consensus when a seed is replayed with --trace. */
#ifndef SIM_CONSENSUS_TRACE_H
#define SIM_CONSENSUS_TRACE_H

#include "replication/consensus/raft.h"
#include "sim/sim.h"

void consensus_trace_role(struct sim *sim, struct sim_host *host, const struct raft_output *output);

/* "h0.0 h1.2, before:, learners: h3.0": voters, the old ones, learners, each with the number of its disk. */
void consensus_trace_config(struct sim *sim, struct sim_host *host, const struct raft_config *config, const char *how);

#endif
