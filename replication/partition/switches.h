/* partition/switches.h - brings back, one at a time, the defects of PROTOCOLS 4.2 that this core was built to avoid, so that the tests
 * can show that they would notice each.
 *
 * Only in the library mesh_partition_switches, which is compiled with MESH_TEST_SWITCHES and never shipped. In the product
 * REPLICA_DEFECT() is a constant. */
#ifndef PARTITION_SWITCHES_H
#define PARTITION_SWITCHES_H

#include "replication/partition/replica.h"

enum replica_defect {
    REPLICA_DEFECT_NONE,
    REPLICA_DEFECT_CUT_TO_HIGH_WATERMARK, /* 1, 2: a follower that enters an epoch cuts its log to its high watermark (KIP-101) */
    REPLICA_DEFECT_ONE_ROUND,             /* 3: it cuts where the leader's epoch ends, looks at none of its own, and asks no more (KIP-279) */
    REPLICA_DEFECT_EPOCHS_NOT_COMPARED,   /* 4: leader and follower may be in different epochs (KIP-320) */
    REPLICA_DEFECT_JOINS_EARLY,           /* 5: a follower joins the ISR before it has reached the epoch's start (KIP-320) */
    REPLICA_DEFECT_PROPOSED_NOT_COUNTED,  /* 6: what was proposed counts for nothing until it is answered (KIP-497, RocketMQ 5663) */
    REPLICA_DEFECT_LIVES_NOT_SAID,        /* 7: an ALTER names brokers, not their lives (KIP-903) */
    REPLICA_DEFECT_GENERATION_IGNORED,    /* 8: a replica that was removed and added again passes for the one before (KIP-966) */
    REPLICA_DEFECT_INELIGIBLE_PROPOSED,   /* 10: who is fenced or draining is proposed, and holds the high watermark back (KAFKA-15021) */
    REPLICA_DEFECT_ADOPTS_BEFORE_CUT,     /* 11: the high watermark is taken from the answer that asks for a cut (KAFKA-14704) */
    REPLICA_DEFECT_EMPTY_EPOCH_STAYS,     /* 12: where nothing is to be cut, nothing is done, and the epoch stays (KAFKA-10706) */
    REPLICA_DEFECT_NO_EPOCH_START,        /* 12: an epoch begins with no record of its own (KAFKA-20961) */
    REPLICA_DEFECT_RESET_KEEPS_WATERMARK, /* 13: the high watermark stays below a log that begins later (KAFKA-9491) */
    REPLICA_DEFECT_SHRINKS_ALONE,         /* 15: a leader that is heard by nobody shrinks its ISR by itself (RocketMQ 6662) */
    REPLICA_DEFECT_CUT_NOT_AWAITED,       /* 16: a follower goes on before its cut is durable (RocketMQ 10666): for who owns the log */
    REPLICA_DEFECT_ACKS_UNCHECKED,        /* 16: whatever is acknowledged is believed (RocketMQ 1155, 3015) */
    REPLICA_DEFECT_IDLE_NOT_REPAIRED,     /* 19: who asks is answered with the next data, not before (braft 292) */
    REPLICA_DEFECT_MIN_INSYNC_IGNORED,    /* 25: an ISR of one commits, whatever the topic demands (Jepsen on Kafka 0.8) */
    REPLICA_DEFECT_HEALS_BY_COPYING,      /* 26: whose history differs from its leader's throws all of it away and copies anew (RabbitMQ's mirrors) */
    REPLICA_DEFECT_UNDURABLE_COUNTED,     /* R6: what is written counts where it has to be durable */
    REPLICA_DEFECT_UNRECONCILED_COUNTED,  /* R5: a position counts before the histories agree */
    REPLICA_DEFECT_FIGURE_EIGHT,          /* quorum: records of earlier epochs are committed by counting them (Raft 5.4.2) */
    REPLICA_DEFECT_ROLLS_BACK_BLINDLY,    /* R7: a refusal ends what an earlier attempt may yet bring about */
    REPLICA_DEFECT_COUNT,
};

#ifdef MESH_TEST_SWITCHES
/* Any number may be on; REPLICA_DEFECT_NONE turns all off. Before the first assignment. */
void replica_bring_back(struct replica *replica, enum replica_defect defect);
#define REPLICA_DEFECT(replica, which) (((replica)->defects >> REPLICA_DEFECT_##which) & 1)
#else
#define REPLICA_DEFECT(replica, which) 0
#endif

#endif
