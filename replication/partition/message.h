/* partition/message.h - what a replication stream carries, as bytes and back. Bytes and order of events: PROTOCOL.md.
 *
 * A packet is the payload of one frame of a secure channel: a version, then messages to its end. What a decoder returns points into the
 * packet, and nothing is allocated for it. Pure functions; any thread. */
#ifndef PARTITION_MESSAGE_H
#define PARTITION_MESSAGE_H

#include "base/buffer.h"
#include "base/codec.h"
#include "base/uuid.h"

#define STREAM_PACKET_VERSION 2
#define STREAM_PACKET_MAX     (16u << 20) /* bytes, with its version: what a frame of the channel can carry */
#define STREAM_DATA_MAX       (65u << 20) /* bytes of batches behind one DATA: one batch may be as long as a topic allows, 64 MiB */
#define STREAM_HEAD_MAX       96u         /* bytes that any message takes without its batches, at most */
#define STREAM_OFFSET_MAX     ((uint64_t)INT64_MAX)

/* Numbers are on the wire: never renumber, never reuse. */
enum stream_message_type {
    /* from the follower */
    STREAM_ATTACH = 1, /* where it stands, and that it wants what follows */
    STREAM_ACK = 2,    /* what it holds by now */
    STREAM_CREDIT = 3, /* bytes more that may be sent */
    STREAM_DETACH = 4, /* no more of this partition */
    /* from the leader */
    STREAM_DATA = 16,     /* batches, in order, from the follower's end on */
    STREAM_MARK = 17,     /* high watermark and log start, without data; answers an ATTACH that has nothing to catch up with */
    STREAM_DIVERGED = 18, /* the follower's log leaves the leader's: cut, and attach again */
    STREAM_RESET = 19,    /* nothing of the follower's log is wanted, or can be compared: empty it, begin at log_start, behind a record of start_epoch, attach again */
    STREAM_REJECT = 20,   /* the ATTACH cannot be served, or no longer */
    STREAM_MORE = 21,     /* the next bytes of a batch that did not fit into its DATA's packet */
};

/* Why a partition leaves the stream. Numbers are on the wire. */
#define STREAM_REASON_MAP(X)                                                                                          \
    X(STALE_EPOCH, 1, "the follower's leader epoch is older than the leader's")                                       \
    X(UNKNOWN_EPOCH, 2, "the follower's leader epoch is newer than what the leader knows")                            \
    X(NOT_LEADER, 3, "this broker does not lead the partition")                                                       \
    X(UNKNOWN_PARTITION, 4, "the partition is not known here")                                                        \
    X(NOT_REPLICA, 5, "the follower is no replica of the partition")                                                  \
    X(STALE_REPLICA, 6, "the follower's broker or replica has begun another life since")                              \
    X(UNKNOWN_REPLICA, 7, "the follower's broker or replica has begun a life that the leader has not heard of yet")   \
    X(STARTING, 8, "the leader's epoch has not begun in its log yet")                                                 \
    X(STORAGE, 9, "the log cannot be read or written")                                                                \
    X(LEFT, 10, "the replica follows this leader no longer")                                                          \
    X(DAMAGED, 11, "what came is damaged")                                                                            \
    X(LOST, 12, "the follower has lost what it acknowledged")

enum stream_reason {
    STREAM_REASON_NONE = 0,
#define STREAM_REASON_ENUM(name, number, text) STREAM_REASON_##name = (number),
    STREAM_REASON_MAP(STREAM_REASON_ENUM)
#undef STREAM_REASON_ENUM
    STREAM_REASON_COUNT = 13,
};
const char *stream_reason_text(enum stream_reason reason); /* never NULL */

struct stream_message {
    enum stream_message_type type;
    uint32_t slot;        /* all but CREDIT: the partition's number in this stream; chosen by the follower, dense from 0 */
    uint32_t session;     /* all but CREDIT: the ATTACH that it belongs to, counted by the follower over the stream from 1 */
    int32_t leader_epoch; /* all but CREDIT, MORE: the sender's */
    struct uuid topic_id; /* ATTACH */
    uint32_t partition;   /* ATTACH */
    uint64_t broker_epoch, generation; /* ATTACH: the lives of the follower's broker and of its replica */
    uint64_t log_start;                /* ATTACH: the follower's; DATA, MARK, DIVERGED, RESET: the leader's */
    uint64_t log_end;                  /* ATTACH */
    uint64_t written, durable;         /* ATTACH, ACK: durable <= written <= the end */
    int32_t last_epoch;                /* ATTACH: of its last batch, -1: it has none. DIVERGED: >= 0, see end_offset */
    int32_t start_epoch;               /* DIVERGED, RESET: of the record before log_start, which is not there any more; -1: none, or not known */
    uint64_t high_watermark;           /* DATA, MARK, DIVERGED, RESET: the leader's */
    uint64_t end_offset;               /* DIVERGED: where last_epoch, the largest <= the follower's, ends in the leader's log */
    uint64_t credit;                   /* CREDIT: bytes, > 0 */
    enum stream_reason reason;         /* DETACH, REJECT */
    uint32_t size;                     /* DATA: of its batches, also of what did not fit into the packet */
    struct slice bytes;                /* DATA, MORE: what is in this packet */
};

/* Begins a packet in an empty buffer, and adds to it. The bytes of a DATA or MORE (for which bytes.size says how many come) are the
 * caller's to add behind it. Errors: MESH_ENOMEM; what the buffer held before is then unchanged. */
int stream_packet_begin(struct buffer *to);
int stream_message_encode(const struct stream_message *message, struct buffer *to);

/* Begins to read one. Errors: MESH_EPROTO (empty), MESH_EVERSION, MESH_ETOOLARGE. */
int stream_packet_open(struct slice packet, struct codec_reader *ret_reader);

/* 1: the next message; 0: there are no more; MESH_EPROTO. Judges form and bounds, and that the numbers of one message fit each
 * other; not whether they are true. */
int stream_message_next(struct codec_reader *reader, struct stream_message *ret_message);

#endif
