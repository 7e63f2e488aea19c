/* partition/sink.h - the follower's end of a replication stream: all partitions that one shard follows from one leader's shard.
 *
 *   sink_connected()        sink_add() for every replica that follows there
 *   sink_receive(packet)    then, until it returns 0:
 *       while (sink_next(&event) == 1) ... append, sink_taken()
 *   while (sink_has_output()) stream_packet_begin(packet), sink_output(packet), send
 *   sink_disconnected()     sink_tick() when its deadline has come
 *
 * A sink outlives its connections: what was in it attaches again on the next. Batches stay where they were received. Belongs to the shard
 * of its replicas; memory: a slot per replica, one batch at most when it came in pieces. */
#ifndef PARTITION_SINK_H
#define PARTITION_SINK_H

#include "base/list.h"
#include "replication/partition/replica.h"
#include "replication/partition/stream.h"

struct sink_ops {
    void (*identify)(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition);
    /* Of the record before its log's end, also when that one was trimmed away (a quorum's choice hangs on it); -1: there never was one,
     * or it is not known since the log was emptied. */
    int32_t (*last_epoch)(void *user, const struct replica *replica);
    uint64_t (*epoch_end)(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch); /* as in source.h */
};

enum sink_slot_state {
    SINK_SLOT_WAITING,   /* to attach: connected at last, or its log cut */
    SINK_SLOT_ATTACHING, /* has asked */
    SINK_SLOT_FOLLOWING, /* the histories agree */
    SINK_SLOT_CUTTING,
    SINK_SLOT_REFUSED,   /* asks again at retry_ms */
    SINK_SLOT_BROKEN,    /* its log takes nothing; until it is added again */
};

/* A replica's place in a sink. */
struct sink_slot {
    struct list_node link;  /* in ready or refused, or alone */
    struct list_node owned; /* in all */
    struct sink *sink;
    struct replica *replica;
    uint64_t acked_written, acked_durable;
    uint64_t retry_ms;
    uint32_t number;  /* STREAM_SLOTS_MAX: none in this connection yet */
    uint32_t session; /* 0: none */
    uint32_t backoff_ms;
    uint8_t state; /* enum sink_slot_state */
#ifdef MESH_TEST_SWITCHES
    int32_t claimed_epoch; /* REPLICA_DEFECT_ONE_ROUND */
    bool has_claim;
#endif
};

enum sink_event_type {
    SINK_APPEND,   /* append this batch, then sink_taken(); or sink_fail() */
    SINK_DAMAGED,  /* what the leader sent fails its checksum: it was dropped, and will be asked for again. sink_taken() */
    SINK_REJECTED, /* the leader does not serve the replica, for `reason`: it will be asked again. sink_taken() */
};

struct sink_event {
    enum sink_event_type type;
    struct replica *replica;
    struct record_batch_header header; /* append */
    struct slice batch;                /* append: inside the packet, or the sink */
    enum stream_reason reason;
};

struct sink {
    const struct sink_ops *ops;
    void *user;
    struct replica_board *board;
    struct list_node all, ready, refused;
    struct sink_slot **slots;   /* by number; owned arrays of slot_capacity */
    uint32_t *free_numbers;
    uint32_t slot_count, slot_capacity, free_count;
    uint32_t last_session;
    bool is_connected;
    int64_t balance; /* of what was granted: what the leader may still send */
    uint64_t owed;   /* taken, and to be granted again */
    uint64_t deadline_ms;
    struct buffer control;
    enum stream_lie lie;
    int error;
    /* What is being read. */
    struct codec_reader reader;
    bool has_packet;
    bool has_event;
    struct sink_event event;
    struct stream_message data; /* the DATA whose batches are being handed out; data.bytes: the rest of them */
    bool has_data;
    struct buffer pieces; /* the batches of `data` while it comes in pieces */
    bool is_in_pieces;
};

void sink_init(struct sink *sink, struct replica_board *board, const struct sink_ops *ops, void *user);
void sink_deinit(struct sink *sink); /* its replicas have no place any more */

/* The replica follows the leader at the other end. Errors: MESH_ENOMEM, MESH_EFULL (STREAM_SLOTS_MAX). */
int sink_add(struct sink *sink, struct replica *replica);

void sink_connected(struct sink *sink);
void sink_disconnected(struct sink *sink); /* also drops what was being read */

/* Takes a packet, borrowed until sink_next() returns 0 or the connection is lost. The one before must be done with. Errors: MESH_EPROTO. */
int sink_receive(struct sink *sink, struct slice packet);
/* 1: an event, the same one until it is taken (or it has become void meanwhile: always ask again after a pause); 0: the packet is done
 * with. Errors: MESH_EPROTO (sink->lie says which), MESH_ENOMEM: end the stream. */
int sink_next(struct sink *sink, struct sink_event *ret_event);
void sink_taken(struct sink *sink); /* an append is in the log */
void sink_fail(struct sink *sink);  /* the event's batch could not be appended, for good */

bool sink_has_output(const struct sink *sink);
/* Adds to the packet what is to be said. Errors: MESH_ENOMEM. */
int sink_output(struct sink *sink, struct buffer *packet);

/* Asks again what was refused. sink->deadline_ms: when that is wanted; UINT64_MAX: it is not. */
void sink_tick(struct sink *sink);

/* For the follower's side of a replica. */
void sink_moved(struct sink_slot *slot);    /* the replica's positions have */
void sink_fell(struct sink_slot *slot);  /* they have fallen: it attaches again */
void sink_gives_up(struct sink_slot *slot); /* its log is to be cut */
void sink_cut_done(struct sink_slot *slot);
void sink_leave(struct sink_slot *slot);    /* frees it */

/* For sink*.c. */
void sink_slot_attach(struct sink_slot *slot);  /* as soon as it can */
void sink_slot_detach(struct sink_slot *slot, enum stream_reason reason, enum sink_slot_state state);
void sink_slot_refused(struct sink_slot *slot);

#endif
