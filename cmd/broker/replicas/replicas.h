/* replicas/replicas.h - the driver of replication/partition on one shard: its replicas, and its streams to other brokers.
 *
 * In a turn of the shard: facts come in (images, positions of logs, packets); then replicas_run() does what the board asks for, before the store's
 * batch is closed; and replicas_send() says what there is to say, at its end. Belongs to the shard's thread. */
#ifndef BROKER_REPLICAS_REPLICAS_H
#define BROKER_REPLICAS_REPLICAS_H

#include "base/buffer.h"
#include "base/list.h"
#include "cmd/broker/peers/log_limiter.h"
#include "cmd/broker/replicas/compare.h"
#include "cmd/broker/replicas/heal.h"
#include "cmd/broker/replicas/pace.h"
#include "cmd/broker/replicas/packet.h"
#include "cmd/broker/runtime/metrics.h"
#include "replication/partition/replica.h"

#include <ev.h>

struct image;
struct peer_stream;
struct shard;
struct shard_partition;

/* What is said of partitions that nobody leads (reports.c). */
struct replica_reports {
    struct list_node due, told;     /* partitions, by ask_link */
    struct report_request *request; /* the one under way */
    uint64_t again_ms;              /* when those that were told are to be told again */
    uint64_t term;                  /* of the newest image: another one means another coordinator, who knows nothing */
};

struct replicas {
    struct shard *shard;
    struct replica_board board;
    struct list_node follows; /* sinks: one per leader's shard */
    struct list_node leads;   /* sources: one per follower's shard */
    struct list_node orders;  /* streams that were asked for */
    struct list_node redo;    /* partitions with something that could not be done yet */
    struct list_node altering; /* partitions whose ISR is to be changed, in no order */
    struct alter_request *alter; /* the one under way */
    struct replica_reports reports;
    struct pace pace; /* of what goes to followers that are not in sync */
    uint64_t moved_told; /* of broker->moved_bytes: this shard's part */
    struct buffer packet;     /* to a leader, being written; holds nothing between turns */
    struct packet outgoing;   /* to a follower, likewise */
    ev_timer timer;
    ev_timer trim;            /* while streams have buffers */
    uint64_t redo_ms;         /* when what failed is tried again; UINT64_MAX: nothing failed */
    uint64_t installed_index; /* of the newest image whose topics were looked at */
    uint64_t brokers_hash;    /* of what that image says of brokers' lives */
    bool is_registered;       /* that image knows of this process: replicas may have roles */
    bool is_incomplete;       /* something of it could not be done for want of memory: once more at incomplete_ms */
    uint64_t incomplete_ms;
    struct healing healing;
    struct comparing comparing;
    struct log_limiter lines; /* about logs that fail: a disk has many of them */
    bool is_stopping;
    struct metrics_replicas counts; /* what only rises; replicas_measure() adds what is now */
};

void replicas_init(struct shard *shard);
void replicas_deinit(struct shard *shard); /* before the partitions go */

/* The shard has a new image. */
void replicas_install_image(struct shard *shard);

/* A partition was opened: gives it its role. Later changes come with images. */
void replicas_assign(struct shard *shard, struct shard_partition *partition);
/* Something of the newest image found no memory: all of it once more, in a moment. */
void replicas_try_again(struct shard *shard);
/* A partition is about to go. */
void replicas_forget(struct shard *shard, struct shard_partition *partition);

void replicas_run(struct shard *shard);
void replicas_send(struct shard *shard);

/* For /metrics; one walk over the shard's partitions. */
void replicas_measure(struct shard *shard, struct metrics_replicas *ret_metrics);

/* Followers and leaders elsewhere are told nothing more. */
void replicas_stop(struct shard *shard);

/* streams.c: takes the stream's remains. */
void replicas_stream_arrived(struct shard *shard, struct peer_stream *stream);

#endif
