/* forward/outlet.c - see outlet.h. */
#include "cmd/broker/forward/outlet.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/forward_internal.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/streams/stream_socket.h"
#include "cmd/broker/streams/streams.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

#define IDLE_MS       30000 /* without a call; half of FORWARD_IDLE_MS, so that the link is still wanted whenever a stream is used */
#define SWITCH_MS_MAX 1000  /* that calls are held for the look-up; then they go by the link after all */
#define RETRY_MIN_MS  1000
#define RETRY_MAX_MS  60000

enum outlet_state {
    OUTLET_CLOSED,    /* calls go by the link */
    OUTLET_DIALLING,  /* likewise */
    OUTLET_SWITCHING, /* calls are held: the look-up is under way */
    OUTLET_OPEN,
};

struct forward_outlet {
    struct forward_way way;
    struct map_node node; /* in ways->outlets */
    struct shard *shard;
    struct uuid broker;
    uint16_t peer_shard;
    enum outlet_state state;
    struct forward_peer *peer; /* the control loop's, which keeps it until the end */
    uint64_t session;          /* of its link, when the stream was ordered */
    struct stream_order *order;
    bool is_looking_up;        /* the answer refers to this outlet */
    struct uuid topic_id;      /* of a partition over there, for the look-up */
    uint32_t partition;
    struct list_node waiting, sent;
    struct map by_id;
    uint64_t used_ms, told_ms; /* by a call; when the peer was told so */
    uint64_t switch_ms;        /* when calls began to be held */
    uint64_t retry_ms;         /* no stream is ordered before */
    uint32_t backoff_ms;
};

static struct forward *forward_of(const struct forward_outlet *outlet)
{
    return outlet->shard->broker->control.forward;
}

static uint64_t hash_of(const struct uuid *broker, uint16_t peer_shard)
{
    return map_hash_bytes(broker->bytes, UUID_SIZE) ^ peer_shard;
}

static struct forward_outlet *find(const struct forward_ways *ways, const struct uuid *broker, uint16_t peer_shard)
{
    struct map_node *node = map_find(&ways->outlets, hash_of(broker, peer_shard));

    for (; node != NULL; node = map_find_next(node)) {
        struct forward_outlet *outlet = container_of(node, struct forward_outlet, node);

        if (outlet->peer_shard == peer_shard && uuid_equal(&outlet->broker, broker)) return outlet;
    }
    return NULL;
}

/* ---- calls ---- */

static void call_home(struct mail *mail)
{
    struct forward_call *call = container_of(mail, struct forward_call, mail);

    call->done(call);
}

static void take_out(struct forward_outlet *outlet, struct forward_call *call)
{
    list_remove(&call->node);
    map_remove(&outlet->by_id, &call->by_id);
    forward_uncount(&forward_of(outlet)->counts.calls_now, 1);
    call->state = FORWARD_OVER;
}

/* Its outcome is known; done() runs from the mailbox, as callers of ours may be in the middle of something. */
static void go_home(struct forward_call *call, int error)
{
    call->error = error;
    call->mail.deliver = call_home;
    shard_post(call->home, &call->mail);
}

static void finish(struct forward_outlet *outlet, struct forward_call *call, int error)
{
    take_out(outlet, call);
    go_home(call, error);
}

static void refuse(struct forward_outlet *outlet, struct forward_call *call, int error)
{
    forward_count(&forward_of(outlet)->counts.refused, 1);
    finish(outlet, call, error);
}

/* False: the stream is of no use any more. */
static bool send_one(struct forward_outlet *outlet, struct forward_call *call)
{
    const struct slice pieces[] = {slice_of(call->head, FRAME_HEADER_SIZE + call->message_size), call->body};
    struct forward_counts *counts = &forward_of(outlet)->counts;

    if (stream_socket_send_pieces(outlet->way.socket, STREAM_FRAME_CALL, pieces, 2) != 0) return false;
    forward_ways_unsent(&outlet->shard->forward_ways, &outlet->way);
    call->state = FORWARD_SENT;
    list_remove(&call->node);
    list_push_back(&outlet->sent, &call->node);
    forward_count(&counts->calls, 1);
    forward_count(&counts->streamed, 1);
    forward_count(&counts->call_bytes, pieces[0].size + pieces[1].size);
    if (!call->expects_answer) finish(outlet, call, 0);
    return true;
}

static void pump(struct forward_outlet *outlet)
{
    while (outlet->state == OUTLET_OPEN && !list_is_empty(&outlet->waiting) && !stream_socket_is_busy(outlet->way.socket)) {
        if (send_one(outlet, container_of(outlet->waiting.next, struct forward_call, node))) continue;
        stream_socket_end(outlet->way.socket, "out of memory"); /* on_ended() sees to the rest */
        return;
    }
}

static void pump_way(struct forward_way *way)
{
    pump(container_of(way, struct forward_outlet, way));
}

/* Errors: as the call's. */
static int begin(struct forward_outlet *outlet, struct forward_call *call)
{
    struct forward *forward = forward_of(outlet);
    int err;

    if (forward_get(&forward->counts.calls_now) >= FORWARD_CALLS_MAX) return MESH_EBUSY;
    err = forward_seal_head(call, forward_new_id(forward, &outlet->by_id));
    if (err == 0) err = map_insert(&outlet->by_id, &call->by_id, call->id);
    if (err != 0) return err;
    call->begun_ms = forward_now_ms();
    call->deadline_ms = call->begun_ms + call->timeout_ms;
    call->state = FORWARD_WAITING;
    call->outlet = outlet;
    forward_count(&forward->counts.calls_now, 1);
    list_push_back(&outlet->waiting, &call->node);
    return 0;
}

/* The link is wanted for as long as there are calls, by whichever way. */
static void note_use(struct forward_outlet *outlet, uint64_t now_ms)
{
    outlet->used_ms = now_ms;
    if (now_ms - outlet->told_ms < 1000) return;
    outlet->told_ms = now_ms;
    atomic_store_explicit(&outlet->peer->used_ms, forward_now_ms(), memory_order_relaxed);
}

/* Its link may be about to go, or has gone. */
static bool is_stale(const struct forward_outlet *outlet, uint64_t now_ms)
{
    return now_ms - outlet->used_ms >= IDLE_MS || forward_session(outlet->peer) != outlet->session;
}

bool forward_outlet_submit(struct forward_call *call)
{
    struct forward_ways *ways = &call->home->forward_ways;
    struct forward_outlet *outlet = call->may_stream && !ways->is_closed ? find(ways, &call->broker, call->peer_shard) : NULL;
    uint64_t now_ms = call->home->now_ms;
    int err;

    if (outlet == NULL || outlet->state < OUTLET_SWITCHING) return false;
    if (call->home->is_stopping && call->op == FRAME_OP_FETCH) return false; /* nobody waits any more: the control loop says so */
    if (outlet->state == OUTLET_OPEN && outlet->by_id.count == 0 && is_stale(outlet, now_ms)) {
        forward_ways_wake(ways, true); /* the sweep ends it; until then nothing goes by it */
        return false;
    }
    note_use(outlet, now_ms);
    err = begin(outlet, call);
    if (err != 0) {
        forward_count(&forward_of(outlet)->counts.refused, 1);
        call->state = FORWARD_OVER;
        go_home(call, err);
        return true;
    }
    forward_ways_wake(ways, true);
    pump(outlet);
    return true;
}

/* ---- the end of a stream ---- */

/* Nobody knows what became of what was sent; what was not goes by the link, in its order. */
static void give_back(struct forward_outlet *outlet)
{
    while (!list_is_empty(&outlet->sent)) {
        forward_count(&forward_of(outlet)->counts.unknown, 1);
        finish(outlet, container_of(outlet->sent.next, struct forward_call, node), MESH_ETIMEDOUT);
    }
    while (!list_is_empty(&outlet->waiting)) {
        struct forward_call *call = container_of(outlet->waiting.next, struct forward_call, node);

        take_out(outlet, call);
        forward_submit_to_link(call);
    }
}

/* The socket is gone, or there never was one. */
static void closed(struct forward_outlet *outlet)
{
    if (outlet->way.socket != NULL) forward_uncount(&forward_of(outlet)->counts.streams_now, 1);
    outlet->way.socket = NULL;
    list_remove(&outlet->way.unsent);
    outlet->state = OUTLET_CLOSED;
    outlet->backoff_ms = outlet->backoff_ms == 0 ? RETRY_MIN_MS : outlet->backoff_ms * 2;
    if (outlet->backoff_ms > RETRY_MAX_MS) outlet->backoff_ms = RETRY_MAX_MS;
    outlet->retry_ms = outlet->shard->now_ms + outlet->backoff_ms;
    give_back(outlet);
}

/* Not inside a hook of its socket. */
static void hang_up(struct forward_outlet *outlet, const char *reason)
{
    struct stream_socket *socket = outlet->way.socket;

    if (socket != NULL) stream_socket_end(socket, reason);
    closed(outlet);
    stream_socket_free(socket);
}

/* ---- answers ---- */

static struct forward_call *find_call(const struct forward_outlet *outlet, uint32_t id)
{
    struct map_node *node = map_find(&outlet->by_id, id);
    struct forward_call *call = node == NULL ? NULL : container_of(node, struct forward_call, by_id);

    return call != NULL && call->state == FORWARD_SENT ? call : NULL;
}

static uint8_t *copy(struct slice frame)
{
    uint8_t *bytes = long_memory_take(frame.size);

    if (bytes != NULL) memcpy(bytes, frame.data, frame.size);
    return bytes;
}

/* The call that is over by this frame, or NULL: its time was up. Errors: MESH_EPROTO. */
static int take_answer(struct forward_outlet *outlet, uint8_t type, struct slice frame, struct forward_call **ret_call)
{
    struct frame_header header;
    struct forward_call *call;
    int err;

    *ret_call = NULL;
    if (type != STREAM_FRAME_CALL || forward_parse(frame, &header) != 0 || (header.flags & FRAME_FLAG_RESPONSE) == 0) return MESH_EPROTO;
    call = find_call(outlet, header.correlation_id);
    if (call == NULL) return 0;
    forward_count(&forward_of(outlet)->counts.answers, 1);
    forward_count(&forward_of(outlet)->counts.answer_bytes, frame.size);
    err = forward_answer_error(call, &header, frame);
    take_out(outlet, call);
    call->error = err;
    if (err == 0) forward_keep_answer(call, &header, copy(frame));
    *ret_call = call;
    return 0;
}

static void on_received(void *user, uint8_t type, struct slice payload)
{
    struct forward_outlet *outlet = user;
    struct stream_socket *socket = outlet->way.socket;
    struct forward_call *call;
    int err = take_answer(outlet, type, payload, &call);

    outlet->backoff_ms = 0;
    stream_socket_done(socket);
    if (err != 0) stream_socket_end(socket, "what the peer says is no answer");
    if (call != NULL) call->done(call);
}

static void on_drained(void *user)
{
    pump(user);
}

static void on_ended(void *user, const char *reason)
{
    struct forward_outlet *outlet = user;

    log_debug("a stream for forwarded requests ended reason=\"%s\"", reason);
    closed(outlet); /* the socket frees itself */
}

static const struct stream_socket_hooks hooks = {on_received, on_drained, on_ended};

/* ---- the beginning of a stream ---- */

/* Everything that went by the link before was begun over there. Or it is not known: then all goes on by the link. */
static void on_looked_up(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct forward_outlet *outlet = owner;

    (void)tag;
    outlet->is_looking_up = false;
    if (outlet->state != OUTLET_SWITCHING) return;
    if (result->error != 0) {
        hang_up(outlet, "the way to the leader's shard could not be changed");
        return;
    }
    outlet->state = OUTLET_OPEN;
    pump(outlet);
}

static void look_up(struct forward_outlet *outlet)
{
    struct list_offsets_entry entry = {.topic_id = outlet->topic_id, .partition = outlet->partition};

    entry.timestamp_ms = -1;
    outlet->is_looking_up = true;
    if (forward_list_offsets(outlet->shard, &outlet->broker, &entry, 1, SWITCH_MS_MAX, on_looked_up, outlet, 0) == 0) return;
    outlet->is_looking_up = false;
    hang_up(outlet, "out of memory");
}

static void take_stream(struct forward_outlet *outlet, struct peer_stream *stream)
{
    struct shard *shard = outlet->shard;

    if (forward_session(outlet->peer) != outlet->session || stream_socket_new(shard->loop, &stream->remains, &hooks, outlet, &outlet->way.socket) != 0) {
        outlet->way.socket = NULL;
        closed(outlet);
        return;
    }
    forward_count(&forward_of(outlet)->counts.streams_now, 1);
    outlet->state = OUTLET_SWITCHING;
    outlet->switch_ms = outlet->used_ms = shard->now_ms;
    forward_ways_wake(&shard->forward_ways, true);
    look_up(outlet);
}

static void order_done(struct stream_order *order)
{
    struct forward_outlet *outlet = order->owner;

    list_remove(&order->node);
    outlet->order = NULL;
    if (order->is_open && !outlet->shard->forward_ways.is_closed) take_stream(outlet, &order->stream);
    else closed(outlet);
    if (order->is_open) link_remains_free(&order->stream.remains); /* nothing is left when it was taken */
    free(order);
}

static void dial(struct forward_outlet *outlet)
{
    struct stream_order *order = calloc(1, sizeof(*order));

    if (order == NULL) {
        closed(outlet);
        return;
    }
    order->shard = outlet->shard;
    order->peer = outlet->broker;
    order->purpose = STREAM_FORWARDING;
    order->peer_shard = outlet->peer_shard;
    order->done = order_done;
    order->owner = outlet;
    outlet->order = order;
    outlet->state = OUTLET_DIALLING;
    list_push_back(&outlet->shard->forward_ways.orders, &order->node);
    stream_order_send(order);
}

static struct forward_outlet *outlet_new(struct shard *shard, const struct uuid *broker, uint16_t peer_shard)
{
    struct forward_outlet *outlet = shard->forward_ways.outlets.count < FORWARD_OUTLETS_MAX ? calloc(1, sizeof(*outlet)) : NULL;

    if (outlet == NULL) return NULL;
    outlet->shard = shard;
    outlet->broker = *broker;
    outlet->peer_shard = peer_shard;
    list_init(&outlet->way.unsent);
    outlet->way.pump = pump_way;
    list_init(&outlet->waiting);
    list_init(&outlet->sent);
    if (map_insert(&shard->forward_ways.outlets, &outlet->node, hash_of(broker, peer_shard)) == 0) return outlet;
    free(outlet);
    return NULL;
}

void forward_outlet_learn(const struct forward_call *call, const struct uuid *topic_id, uint32_t partition)
{
    struct shard *shard = call->home;
    struct forward_ways *ways = &shard->forward_ways;
    struct forward_outlet *outlet;
    uint64_t session;

    if (call->outlet != NULL || call->error != 0 || !call->may_stream || call->peer == NULL || ways->is_closed || shard->is_stopping) return;
    outlet = find(ways, &call->broker, call->peer_shard);
    if (outlet == NULL) outlet = outlet_new(shard, &call->broker, call->peer_shard);
    if (outlet == NULL) return;
    if (outlet->state != OUTLET_CLOSED || outlet->is_looking_up || shard->now_ms < outlet->retry_ms) return;
    session = forward_session(call->peer);
    if (session % 2 == 0) return;
    outlet->used_ms = shard->now_ms;
    outlet->peer = call->peer;
    outlet->session = session;
    outlet->topic_id = *topic_id;
    outlet->partition = partition;
    forward_ways_wake(ways, false);
    dial(outlet);
}

/* ---- time ---- */

static void expire(struct forward_outlet *outlet, uint64_t now_ms)
{
    list_for_each_safe(node, &outlet->waiting)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms >= call->deadline_ms) refuse(outlet, call, MESH_EBUSY);
    }
    list_for_each_safe(node, &outlet->sent)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms < call->deadline_ms) continue;
        forward_count(&forward_of(outlet)->counts.unknown, 1);
        finish(outlet, call, MESH_ETIMEDOUT);
    }
}

static void outlet_free(struct forward_outlet *outlet)
{
    map_remove(&outlet->shard->forward_ways.outlets, &outlet->node);
    map_deinit(&outlet->by_id);
    free(outlet);
}

static bool is_idle(const struct forward_outlet *outlet, uint64_t now_ms)
{
    return outlet->by_id.count == 0 && outlet->order == NULL && !outlet->is_looking_up && now_ms - outlet->used_ms >= IDLE_MS && now_ms >= outlet->retry_ms;
}

static bool sweep(struct forward_outlet *outlet, uint64_t now_ms)
{
    if (outlet->state >= OUTLET_SWITCHING && forward_session(outlet->peer) != outlet->session) hang_up(outlet, "the link to the broker is gone");
    if (outlet->state == OUTLET_SWITCHING && now_ms - outlet->switch_ms >= SWITCH_MS_MAX) hang_up(outlet, "the way to the leader's shard could not be changed in time");
    expire(outlet, now_ms);
    if (is_idle(outlet, now_ms)) {
        if (outlet->way.socket != NULL) hang_up(outlet, "it was idle");
        outlet_free(outlet);
        return false;
    }
    if (outlet->by_id.count > 0) note_use(outlet, now_ms);
    else if (outlet->way.socket != NULL) (void)stream_socket_trim(outlet->way.socket);
    return outlet->by_id.count > 0 || outlet->state == OUTLET_SWITCHING;
}

bool forward_outlets_sweep(struct forward_ways *ways, uint64_t now_ms)
{
    struct map_node *next;
    bool is_busy = false;

    for (struct map_node *node = map_iterate(&ways->outlets, NULL); node != NULL; node = next) {
        next = map_iterate(&ways->outlets, node);
        is_busy = sweep(container_of(node, struct forward_outlet, node), now_ms) || is_busy;
    }
    return is_busy;
}

/* ---- the shard's end ---- */

void forward_outlets_stop_waiting(struct forward_ways *ways)
{
    for (struct map_node *node = map_iterate(&ways->outlets, NULL); node != NULL; node = map_iterate(&ways->outlets, node)) {
        struct forward_outlet *outlet = container_of(node, struct forward_outlet, node);
        struct list_node *const lists[] = {&outlet->waiting, &outlet->sent};

        for (int i = 0; i < 2; i++) {
            list_for_each_safe(link, lists[i])
            {
                struct forward_call *call = container_of(link, struct forward_call, node);

                if (call->op == FRAME_OP_FETCH) finish(outlet, call, MESH_ECANCELED);
            }
        }
    }
}

void forward_outlets_close(struct forward_ways *ways)
{
    for (struct map_node *node = map_iterate(&ways->outlets, NULL); node != NULL; node = map_iterate(&ways->outlets, node)) {
        struct forward_outlet *outlet = container_of(node, struct forward_outlet, node);

        if (outlet->way.socket != NULL) hang_up(outlet, "this broker stops");
    }
}

void forward_outlets_free(struct forward_ways *ways)
{
    struct map_node *next;

    for (struct map_node *node = map_iterate(&ways->outlets, NULL); node != NULL; node = next) {
        next = map_iterate(&ways->outlets, node);
        outlet_free(container_of(node, struct forward_outlet, node));
    }
    map_deinit(&ways->outlets);
}
