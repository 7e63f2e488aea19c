/* runtime/metrics.h - what a shard counts, and what the control loop gathers for /metrics and /v1/status.
 *
 * Each shard owns one struct metrics_shard and counts in it without locks. To read it the control loop asks the shard
 * by mailbox; the shard answers with a copy (metrics_shard_free() releases it). Counters only rise; durations are ns. */
#ifndef RUNTIME_METRICS_H
#define RUNTIME_METRICS_H

#include "base/buffer.h"
#include "base/histogram.h"
#include "base/uuid.h"
#include "segment/store.h"

#define METRICS_OP_COUNT 39

/* Per topic and shard; made when the topic's first partition opens there. */
struct metrics_topic {
    struct uuid topic_id;
    uint32_t partition_count; /* that this shard keeps */
    uint64_t produced_batches, produced_records, produced_bytes;
    uint64_t fetched_bytes;
    uint64_t stored_bytes; /* now */
};

/* Of the replicas of a shard, and its streams to other brokers' shards. */
struct metrics_replicas {
    /* now; partitions of more than one replica only */
    uint64_t leaders, followers, leaderless;
    uint64_t under_replicated, under_min_insync, at_min_insync; /* of those that lead here */
    uint64_t followers_detached; /* of leaders here: followers that do not follow now */
    uint64_t lag_records_max;
    uint64_t streams_in, streams_out; /* by which others follow, by which replicas here follow */
    /* counters */
    uint64_t isr_shrinks, isr_expands;
    uint64_t sent_bytes, received_bytes; /* of batches */
    uint64_t sent_late_bytes;            /* of those sent: to followers that were not in sync */
    uint64_t lies, damaged_batches;
    uint64_t cuts, cut_records, committed_cuts;
    uint64_t losses; /* elections of leaders here that accepted a loss */
};

struct metrics_groups {
    /* now: replicas of group partitions that are here; the rest of those that lead */
    uint64_t replicas, leads, stopped; /* stopped: their log holds what cannot be followed */
    uint64_t groups, members, offsets, offset_bytes, waiting, log_bytes;
    /* counters */
    uint64_t requests, refused; /* to leads here; that were answered with an error */
    uint64_t records, batches, proofs; /* appended */
    uint64_t rebuilds, rebuilt_records; /* states that were begun anew; records that were read */
    uint64_t expired, slow, assigned, deleted;
    uint64_t rescues, rescued_offsets; /* leads that began after a loss; offsets that others had heard */
};

/* Committed offsets of the group partitions that are kept on a shard (groups/lag.h). */
struct metrics_group_cells {
    struct buffer cells, names;
    uint64_t left_out;
};

struct metrics_shard {
    uint32_t shard;
    /* connections and bytes */
    uint64_t connections_accepted, connections_refused, connections_closed; /* refused: over the limit */
    uint64_t connections;     /* now */
    uint64_t protocol_errors; /* closed for bad bytes */
    uint64_t logins, logins_failed;
    uint64_t received_bytes, sent_bytes;
    uint64_t buffered_bytes; /* now: memory of requests and responses in flight */
    /* requests */
    uint64_t requests[METRICS_OP_COUNT];
    uint64_t request_errors[METRICS_OP_COUNT];
    uint64_t produced_batches, produced_records, produced_bytes, produce_duplicates, produce_errors;
    uint64_t fetched_bytes, fetch_errors, fetch_doubts, fetch_doubts_followed;
    uint64_t fetch_waiting; /* now: long polls parked */
    uint64_t mailbox_messages, loop_turns;
    struct histogram produce_ack_ns; /* request parsed -> acknowledgement queued */
    struct histogram fetch_wait_ns;  /* request parsed -> response queued */
    struct histogram group_answer_ns; /* a request to a group partition led here, from its coming to its answer */
    struct histogram sync_ns;        /* the store's write+sync jobs */
    struct metrics_healing {
        uint64_t damaged; /* now: replicas with damage */
        uint64_t fetched_bytes, compared_bytes, divergences;
    } healing; /* replicas/heal.c, compare.c */
    struct store_stats store;
    struct metrics_replicas replicas;
    struct metrics_groups groups;
    struct metrics_group_cells group_cells;
    struct metrics_topic *topics; /* owned; NULL when there are none */
    size_t topic_count;
};

/* A gathered set: one entry per shard, in order. */
struct metrics_set {
    struct metrics_shard **shards; /* owned, entries too */
    size_t shard_count;
};

#endif
