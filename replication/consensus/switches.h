/* consensus/switches.h - brings back, one at a time, what history got wrong (PROTOCOLS 3.1 and 4.2), so that the simulator can
 * show that it would notice each.
 *
 * Only in the library mesh_consensus_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the
 * product RAFT_DEFECT() is a constant. */
#ifndef CONSENSUS_SWITCHES_H
#define CONSENSUS_SWITCHES_H

#include "replication/consensus/raft.h"

enum raft_defect {
    RAFT_DEFECT_NONE,
    RAFT_DEFECT_VOTE_NOT_HELD,         /* messages leave before the term and vote they depend on are durable (DLedger) */
    RAFT_DEFECT_VOTE_FORGOTTEN,        /* stepping down erases the vote (Redpanda #14) */
    RAFT_DEFECT_OLD_TERM_COUNTED,      /* an older term's entry is committed by counting (Raft 5.4.2, figure 8) */
    RAFT_DEFECT_CHANGE_BEFORE_NOOP,    /* the configuration changes before the leader's first entry is committed (2015) */
    RAFT_DEFECT_TWO_CHANGES,           /* a change begins while another is not committed */
    RAFT_DEFECT_READ_REUSED,           /* a read that is asked again is answered with its old index (etcd #397) */
    RAFT_DEFECT_STALE_STORE_COUNTED,   /* the completion of an entry that was replaced counts for the new one (ABA) */
    RAFT_DEFECT_UNDURABLE_ACKNOWLEDGED, /* entries are acknowledged, and counted, before they are durable */
    RAFT_DEFECT_LEARNERS_COUNTED,      /* learners count for commits (openraft 0.6.2) */
    RAFT_DEFECT_NO_PRE_VOTE,
    RAFT_DEFECT_NO_STICKINESS,         /* votes are given although a leader is heard */
    RAFT_DEFECT_NO_CHECK_QUORUM,       /* a leader stays one without a majority */
    RAFT_DEFECT_UNCONNECTED_CAMPAIGNS, /* a voter campaigns that does not hear a majority */
    RAFT_DEFECT_TRANSFER_UNDURABLE,    /* TimeoutNow is obeyed although entries or a snapshot are not durable */
    RAFT_DEFECT_HOLE_VOTES,            /* a server that lost entries votes, campaigns and counts */
    RAFT_DEFECT_REMOVED_DISRUPTS,      /* who was removed campaigns on, and strangers are heeded (KAFKA-19850) */
    RAFT_DEFECT_DISK_IGNORED,          /* a wiped disk passes for the one before it (KIP-853) */
    RAFT_DEFECT_NO_REPAIR_BY_HEARTBEAT, /* heartbeats do not look at the log: who lost it waits for a write (braft #292) */
    RAFT_DEFECT_LIVES_IGNORED,         /* who was set back or copied votes on, and is heeded */
    RAFT_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; RAFT_DEFECT_NONE turns all off. */
void raft_bring_back(struct raft *raft, enum raft_defect defect);
#define RAFT_DEFECT(raft, which) (((raft)->defects >> RAFT_DEFECT_##which) & 1)
#else
#define RAFT_DEFECT(raft, which) 0
#endif

#endif
