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
    _Atomic uint64_t used_ms; /* by a call; any thread */
    _Atomic uint64_t session; /* raised when a link comes, and when it goes: odd while there is one. Any thread reads it. Answers belong to the link that the
                                 request came by, streams to the one beside which they were opened */
    size_t queued_bytes;   /* of calls and answers, in the link's queue */
    struct list_node waiting, sent; /* calls */
    struct list_node answers;       /* of serves, that found the link's queue full */
};

/* What all threads count. */
struct forward_counts {
    _Atomic uint64_t calls, call_bytes, streamed, answers, answer_bytes, refused, unknown, served, served_bytes, serves_refused;
    _Atomic uint64_t calls_now, serves_now, streams_now;
    _Atomic uint64_t serve_bytes; /* held by what is served: a bound, which each shard may pass by the request that it is just taking */
};

struct forward {
    struct control *control;
    struct mailbox mailbox; /* of its own: at the end it is drained when the loop's is not any more */
    ev_io mailbox_io;
    struct peers *peers; /* NULL before forward_attach() and after forward_detach() */
    struct map by_broker, by_id;
    _Atomic uint32_t next_id; /* any thread */
    ev_timer sweep, pump;
    bool is_stopping;
    struct forward_counts counts;
    struct request_log request_log; /* of what others asked for */
};

uint64_t forward_now_ms(void);

static inline void forward_count(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static inline void forward_uncount(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_sub_explicit(counter, count, memory_order_relaxed);
}

static inline uint64_t forward_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline uint64_t forward_session(const struct forward_peer *peer)
{
    return atomic_load_explicit(&peer->session, memory_order_acquire);
}

/* Any thread: the id of a call. No two lives of a broker begin with the same ones; a call that takes 2^32 others to be answered keeps its own. */
uint32_t forward_new_id(struct forward *forward, const struct map *by_id);

/* The frame's header before it is sent. Errors: MESH_ETOOLARGE. */
int forward_seal_head(struct forward_call *call, uint32_t id);

/* A whole frame, checked. Errors: those of frame_parse_header(), MESH_EPROTO (more or less than it says), MESH_ECORRUPT. */
int forward_parse(struct slice frame, struct frame_header *ret_header);

/* Of an answer's frame: the error that it carries (MESH_ETIMEDOUT where it is none that can be understood: something was done), or 0: its bytes are to be kept. */
int forward_answer_error(const struct forward_call *call, const struct frame_header *header, struct slice frame);
/* `bytes` are those of the frame, and the call's from now on; NULL: there was no memory. */
void forward_keep_answer(struct forward_call *call, const struct frame_header *header, uint8_t *bytes);

/* The way by the link, whatever else there may be. */
void forward_submit_to_link(struct forward_call *call);

/* A request of a peer. Takes nothing: what it keeps it takes from peers. */
void forward_serve(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame);

/* Sends the answers that wait, as far as there is room. */
void forward_serve_pump(struct forward_peer *peer);

/* The link is gone: nobody wants the answers that wait. */
void forward_serve_drop(struct forward_peer *peer);

/* Something left the link's queue: whoever waits is looked at soon. */
void forward_left(struct forward_peer *peer, size_t bytes);

#endif
