/* forward/forward_internal.h - what the control loop's files share. */
#ifndef BROKER_FORWARD_FORWARD_INTERNAL_H
#define BROKER_FORWARD_FORWARD_INTERNAL_H

#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/operate/request_log.h"
#include "cmd/broker/peers/peer_users.h"

#include <ev.h>

struct forward_peer {
    struct map_node node;
    struct forward *forward;
    struct uuid id;
    bool is_up;
    bool is_wanted;        /* a link was asked for */
    uint64_t used_ms;      /* by a call */
    uint64_t session;      /* raised with each link: answers belong to the one that the request came by */
    size_t queued_bytes;   /* of calls and answers, in the link's queue */
    struct list_node waiting, sent; /* calls */
    struct list_node answers;       /* of serves, that found the link's queue full */
};

struct forward {
    struct control *control;
    struct mailbox mailbox; /* of its own: at the end it is drained when the loop's is not any more */
    ev_io mailbox_io;
    struct peers *peers; /* NULL before forward_attach() and after forward_detach() */
    struct map by_broker, by_id;
    uint32_t next_id;
    ev_timer sweep, pump;
    bool is_stopping;
    size_t serve_bytes;
    struct forward_stats stats;
    struct request_log request_log; /* of what others asked for */
};

uint64_t forward_now_ms(void);

/* A request of a peer. Takes nothing: what it keeps it takes from peers. */
void forward_serve(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame);

/* Sends the answers that wait, as far as there is room. */
void forward_serve_pump(struct forward_peer *peer);

/* The link is gone: nobody wants the answers that wait. */
void forward_serve_drop(struct forward_peer *peer);

/* Something left the link's queue: whoever waits is looked at soon. */
void forward_left(struct forward_peer *peer, size_t bytes);

#endif
