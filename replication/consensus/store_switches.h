/* consensus/store_switches.h - brings back, one at a time, the defects that other stores had and this one was built to avoid,
 * so that its tests and the simulator can show that they would notice each.
 *
 * Only in the library mesh_consensus_store_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the
 * product STORE_DEFECT() is a constant. */
#ifndef CONSENSUS_STORE_SWITCHES_H
#define CONSENSUS_STORE_SWITCHES_H

enum store_defect {
    STORE_DEFECT_NONE,
    STORE_DEFECT_VOTE_REWRITTEN,    /* the vote's file is deleted, then written anew (ClickHouse #111454) */
    STORE_DEFECT_VOTE_UNSYNCED,     /* the vote is written and not synced (DLedger) */
    STORE_DEFECT_TORN_ASSUMED,      /* every bad entry is taken for a torn tail, and cut (LogCabin) */
    STORE_DEFECT_SYNC_RETRIED,      /* a failed sync is tried again, and its answer believed (fsyncgate) */
    STORE_DEFECT_CUT_IN_MEMORY,     /* a cut suffix stays on the disk until it is written over (RocketMQ #10666) */
    STORE_DEFECT_SNAPSHOT_REPLACED, /* the old snapshot is deleted before the new one is durable */
    STORE_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* For every store of the process, because opening one is where some of them show. Any number may be on; NONE turns all off. */
void raft_store_bring_back(enum store_defect defect);
extern unsigned raft_store_defects;
#define STORE_DEFECT(which) ((raft_store_defects >> STORE_DEFECT_##which) & 1)
#else
#define STORE_DEFECT(which) 0
#endif

#endif
