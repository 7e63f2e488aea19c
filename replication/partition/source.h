/* partition/source.h - the leader's end of a replication stream: one follower's shard, and all partitions that it follows from here.
 *
 * Packets that came in go in; packets to send come out, with the bytes of batches put there by the caller, who owns the logs:
 *
 *   source_receive(packet) ...                    acks raise high watermarks: see the board
 *   while (source_has_output())
 *       stream_packet_begin(packet)
 *       while (packet is below STREAM_PACKET_AIM and source_next(packet, &read) == 1)
 *           read the log; source_send(...), then the bytes behind it; or source_skip()
 *       send packet
 *
 * Partitions take turns; those whose follower is in the ISR, and somebody may wait for, come first. The others get what they leave, one piece of
 * STREAM_LATE_TURN at least (of as many bytes, where only STREAM_LATE_CREDIT is left), as far as the owner's allowance (late_bytes) goes. Memory: a pointer per slot, and answers that wait (STREAM_CONTROL_MAX and one packet's). Belongs to the
 * shard of its replicas. */
#ifndef PARTITION_SOURCE_H
#define PARTITION_SOURCE_H

#include "base/list.h"
#include "replication/partition/replica.h"
#include "replication/partition/stream.h"

struct replica_peer; /* replica_peers.h */

struct source_ops {
    /* The replica here, or NULL. */
    struct replica *(*find)(void *user, const struct uuid *topic_id, uint32_t partition);
    /* Where the largest epoch <= `epoch` ends in its log: as plog_epoch_end_offset(), where the record before the log's start counts, though
     * it was trimmed away. */
    uint64_t (*epoch_end)(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch);
    /* Of the record before replica->partition.log_start, as far as the log remembers it; -1: none, or it does not. */
    int32_t (*start_epoch)(void *user, const struct replica *replica);
    /* The follower gave up a partition: DAMAGED (what came from here), STORAGE (its own). May be NULL. */
    void (*complained)(void *user, struct replica *replica, int32_t node_id, enum stream_reason reason);
};

struct source {
    const struct source_ops *ops;
    void *user;
    int32_t node_id;             /* the follower's broker */
    struct list_node data;       /* peers that something is to be sent to, in turns; in the maximal ISR */
    struct list_node late;       /* likewise; not in it */
    int64_t late_bytes;          /* what may be sent to those now; the owner sets it. INT64_MAX, as at first: as much as there are credits for */
    uint32_t turn;
    uint64_t in_sync_bytes;      /* sent to those in sync since one that is not had a piece */
    struct list_node marks;      /* peers that only the high watermark is to be told */
    struct replica_peer **slots; /* owned array; NULL: not attached */
    uint32_t slot_count, slot_capacity;
    uint32_t last_session;
    int64_t credit; /* bytes; below 0 after a large batch */
    struct buffer control;
    enum stream_lie lie;
    int error;
};

void source_init(struct source *source, int32_t node_id, const struct source_ops *ops, void *user);
void source_deinit(struct source *source); /* the stream is gone: nobody is told */

/* Takes a packet. Errors: MESH_EPROTO (source->lie says which: end the stream), MESH_ENOMEM (end it too). */
int source_receive(struct source *source, struct slice packet);
/* Receive nothing before what waits has been sent. */
bool source_is_full(const struct source *source);

bool source_has_output(const struct source *source);
/* Something waits for nothing but late_bytes. */
bool source_is_held_back(const struct source *source);

/* Read the replica's log from `offset` on, whole batches, at most bytes_max bytes but one batch at least, below `limit`. */
struct source_read {
    struct replica *replica;
    struct replica_peer *peer;
    uint64_t offset, limit;
    uint32_t bytes_max;
    bool is_late;
};
/* Adds messages to the packet. 1: read and call source_send() or source_skip() before anything else; 0: no more now, or the packet
 * is large enough; MESH_ENOMEM. */
int source_next(struct source *source, struct buffer *packet, struct source_read *ret_read);
/* The batches that were read follow, `size` bytes of them, up to next_offset. What does not fit into the packet goes into the
 * next ones, each piece behind source_more(). Errors: MESH_ENOMEM. */
int source_send(struct source *source, const struct source_read *read, uint32_t size, uint64_t next_offset, struct buffer *packet);
int source_more(const struct source_read *read, uint32_t size, struct buffer *packet);
/* It could not be read: MESH_EAGAIN (replica_set_positions() wakes it), or for good: the follower is sent away. */
void source_skip(struct source *source, const struct source_read *read, int error);

/* For the leader's side of a replica. */
void source_wake(struct replica_peer *peer);                               /* there may be something to say */
void source_sort(struct replica_peer *peer);                               /* whether it counts may have changed */
void source_leave(struct replica_peer *peer, enum stream_reason reason);   /* it is not served any more; harmless when it is not */
void source_move(struct replica_peer *from, struct replica_peer *to);      /* the same peer at another place */

#endif
