/* forward/call.h - one request on its way from a shard to the broker that leads a partition, and back.
 *
 *   home shard --mail--> control loop --link--> the leader's broker --link--> control loop --mail--> home shard
 *   home shard --stream (outlet.h)--> the leader's shard --stream--> home shard
 *
 * What travels is a frame of the native protocol (wire/frame.h), so there is one set of bytes, one set of decoders. The call is embedded in
 * whatever its maker needs; it belongs to whoever holds it in the line above. It comes home exactly once, after the link has let go of its
 * bytes, and says one of three things: an answer; an error of who did nothing (here: MESH_EUNREACHABLE,
 * MESH_EBUSY, MESH_ECANCELED for long polls when this broker stops); or MESH_ETIMEDOUT, nobody knows.
 *
 * Order: calls of one shard to one shard of another broker arrive there in the order in which they were submitted, as long as link and stream live. */
#ifndef BROKER_FORWARD_CALL_H
#define BROKER_FORWARD_CALL_H

#include "base/map.h"
#include "cmd/broker/peers/link_queue.h"
#include "cmd/broker/runtime/mailbox.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <netinet/in.h>

struct shard;
struct forward_outlet;
struct forward_peer;

enum forward_state { FORWARD_NEW, FORWARD_WAITING, FORWARD_SENT, FORWARD_OVER };

struct forward_call {
    /* the maker's */
    struct uuid broker;        /* the leader's */
    bool may_stream;           /* it may go past the control loop, to the shard `peer_shard` of that broker */
    uint16_t peer_shard;
    uint16_t op;
    bool expects_answer;       /* false: it comes home when it has left */
    uint32_t timeout_ms;       /* for the answer, from the control loop on */
    uint8_t *head;             /* FRAME_HEADER_SIZE bytes of room, then the message */
    struct slice body;         /* the attachment */
    size_t message_size;
    void (*done)(struct forward_call *call); /* on the home shard; the call is its maker's again */
    uint64_t patience_ms;      /* how long it is to wait of its own accord: that is not slow (operate/request_log.h) */
    struct sockaddr_in6 from;  /* or an IPv4 one: the client, for the log; zeros: nobody's */
    uint32_t from_id;          /* the correlation id that the client gave its request, likewise */
    /* the outcome */
    int error;                 /* 0: an answer is there; also when none was expected and it was sent */
    struct frame_header header; /* of the answer, not an error frame */
    struct slice message, attachment; /* of the answer, inside `answer` */
    uint8_t *answer;           /* owned by the call: long_memory_give() it, or take it and set NULL */
    /* on the way */
    struct mail mail;
    struct shard *home;
    struct link_message out;
    struct forward_peer *peer;     /* the control loop's; by the link */
    struct forward_outlet *outlet; /* by a stream, instead */
    struct list_node node;     /* in its peer's or outlet's waiting or sent */
    struct map_node by_id;
    uint32_t id;
    uint64_t begun_ms;         /* when it came to the control loop */
    uint64_t deadline_ms, wait_deadline_ms;
    enum forward_state state;
    bool is_queued; /* a link has its bytes */
};

/* Sends it on its way; done() runs later, never inside. */
void forward_submit(struct shard *shard, struct forward_call *call);

/* For the maker, in done(), of what clients have asked for: a line in the log if it was slow or failed. `told` is an error inside of its answer. */
void forward_note(const struct forward_call *call, int told);

/* Where a partition is led. */
struct forward_leader {
    struct uuid broker;
    bool has_shard; /* it has said how many shards it has, so it is known which one has the partition */
    uint16_t shard;
};

/* Whether another broker leads the partition, by this shard's image: then it is *ret_leader. */
bool forward_is_elsewhere(const struct shard *shard, const struct uuid *topic_id, uint32_t partition, struct forward_leader *ret_leader);

#endif
