/* unit/replication/replica_rig.h - one broker's replicas (node 1) with logs in memory, and puppets at the other ends of its streams. */
#ifndef UNIT_REPLICA_RIG_H
#define UNIT_REPLICA_RIG_H

#include "replication/partition/replica_peers.h"
#include "replication/partition/sink.h"
#include "replication/partition/source.h"
#include "support/replica_log.h"

#define RIG_PARTITIONS 4
#define RIG_MEMBERS    5
#define RIG_HEARD_MAX  64

struct replica_rig {
    struct replica_board board;
    struct partition_config config;
    struct replica replicas[RIG_PARTITIONS];
    struct replica_log logs[RIG_PARTITIONS];
    int partition_count;
    struct replica_member members[RIG_MEMBERS];
    int member_count;
    bool wants_confirmation; /* told with each assignment */
    struct source sources[RIG_MEMBERS + 1]; /* by node id; of streams that node opened */
    struct sink sink;                       /* towards the leader, whoever that is */
    uint32_t todo[RIG_PARTITIONS];          /* all that came up since rig_turn() began */
    struct stream_message heard[RIG_HEARD_MAX]; /* what the puppet got last; bytes are in `packet` */
    size_t heard_count;
    struct buffer packet, said;
    size_t appended; /* batches that the sink handed out */
};

/* `members` nodes from 1 on, all eligible, in life 100 + node and generation 200 + node; logs are empty. */
void rig_init(struct replica_rig *rig, enum partition_mode mode, int members, uint32_t min_insync);
void rig_deinit(struct replica_rig *rig);
/* With a log of so many single records in each epoch, all durable, and this high watermark. */
void rig_fill(struct replica_rig *rig, int partition, const int *records_by_epoch, int epochs, uint64_t high_watermark);

/* leader: node id or -1. All partitions at once. */
void rig_assign(struct replica_rig *rig, int32_t leader, int32_t leader_epoch, uint32_t partition_epoch, uint16_t isr);
/* Carries out what is to be done: epoch starts, trims; the rest is only noted. */
void rig_turn(struct replica_rig *rig);
void rig_tick(struct replica_rig *rig, uint64_t now_ms);
void rig_append(struct replica_rig *rig, int partition, int records); /* as leader; written, not durable */
void rig_sync(struct replica_rig *rig);                               /* all is durable */
void rig_cut(struct replica_rig *rig, int partition);                 /* does the cut that is to be done */

/* The puppet `node` says something to the leader; 0 or an error of source_receive(). */
int rig_say(struct replica_rig *rig, int node, const struct stream_message *message);
/* ... that it wants partition 0, in slot 0, with a log of that end, all durable. */
int rig_attach(struct replica_rig *rig, int node, uint32_t session, int32_t epoch, int32_t last_epoch, uint64_t end);
int rig_ack(struct replica_rig *rig, int node, uint32_t session, int32_t epoch, uint64_t written, uint64_t durable);
/* What is sent to it: into heard. */
void rig_hear(struct replica_rig *rig, int node);

/* The puppet that leads says something to the follower; `bytes` go behind the message. 0 or an error of sink_next(). */
int rig_lead(struct replica_rig *rig, struct stream_message message, struct slice bytes);
void rig_hear_follower(struct replica_rig *rig);
/* One real batch of one record. */
void rig_batch(struct buffer *to, uint64_t base_offset, int32_t epoch);

#endif
