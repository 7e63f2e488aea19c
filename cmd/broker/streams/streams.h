/* streams/streams.h - streams on their way between the control loop, which dials and proves them, and the shards, which use them.
 *
 * An order belongs to its shard, an arrival to the control loop; each travels to the other side and back, so that neither is lost when a thread
 * ends in between. */
#ifndef BROKER_STREAMS_STREAMS_H
#define BROKER_STREAMS_STREAMS_H

#include "base/list.h"
#include "cmd/broker/peers/peer_streams.h"
#include "cmd/broker/runtime/mailbox.h"

struct control;
struct shard;

#define STREAM_REASON_SIZE 160

/* A shard wants a stream to a shard of another broker. */
struct stream_order {
    struct mail mail;
    struct list_node node; /* the shard's */
    struct shard *shard;
    struct uuid peer;
    enum stream_purpose purpose;
    uint16_t peer_shard;
    void (*done)(struct stream_order *order); /* on the shard: `stream` if is_open; else `reason` */
    void *owner;                              /* the shard's */
    bool is_open;
    struct peer_stream stream;
    char reason[STREAM_REASON_SIZE];
};

/* On the shard. done() runs there later, unless the broker ends before. */
void stream_order_send(struct stream_order *order);

/* Control loop: once there are peers, and until there are none. */
void streams_connect(struct control *control);

struct streams;
/* Errors: MESH_ENOMEM. */
int streams_new(struct control *control, struct streams **ret_streams);
void streams_free(struct streams *streams); /* accepts NULL; no thread runs any more, and shards are freed */

#endif
