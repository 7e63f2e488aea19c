/* forward/forward.c - calls out, answers back. */
#include "cmd/broker/forward/forward_internal.h"
#include "cmd/broker/forward/outlet.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"
#include "wire/frame.h"

#include <stdlib.h>

#define SWEEP_SECONDS      0.25 /* while calls are under way */
#define SWEEP_IDLE_SECONDS 10.0 /* while links are kept for more */

uint64_t forward_now_ms(void)
{
    return clock_monotonic_ms();
}

/* ---- peers ---- */

static struct forward_peer *find_peer(const struct forward *forward, const struct uuid *id)
{
    struct map_node *node = map_find(&forward->by_broker, map_hash_bytes(id->bytes, UUID_SIZE));

    for (; node != NULL; node = map_find_next(node)) {
        struct forward_peer *peer = container_of(node, struct forward_peer, node);

        if (uuid_equal(&peer->id, id)) return peer;
    }
    return NULL;
}

/* Kept until the end: there are no more than brokers. NULL: no memory. */
static struct forward_peer *get_peer(struct forward *forward, const struct uuid *id)
{
    struct forward_peer *peer = find_peer(forward, id);

    if (peer != NULL || forward->by_broker.count >= GOSSIP_MEMBERS_MAX) return peer;
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) return NULL;
    peer->forward = forward;
    peer->id = *id;
    list_init(&peer->waiting);
    list_init(&peer->sent);
    list_init(&peer->answers);
    if (map_insert(&forward->by_broker, &peer->node, map_hash_bytes(id->bytes, UUID_SIZE)) == 0) return peer;
    free(peer);
    return NULL;
}

/* ---- the way home ---- */

static void call_home(struct mail *mail)
{
    struct forward_call *call = container_of(mail, struct forward_call, mail);

    call->done(call);
}

static void go_home(struct forward_call *call)
{
    call->mail.deliver = call_home;
    shard_post(call->home, &call->mail);
}

/* The outcome is known. A link that still has the bytes gives them back first. */
static void finish(struct forward *forward, struct forward_call *call, int error)
{
    if (call->state == FORWARD_WAITING || call->state == FORWARD_SENT) {
        list_remove(&call->node);
        map_remove(&forward->by_id, &call->by_id);
        forward_uncount(&forward->counts.calls_now, 1);
    }
    call->state = FORWARD_OVER;
    call->error = error;
    if (!call->is_queued) go_home(call);
}

static size_t call_bytes(const struct forward_call *call)
{
    return call->out.head.size + call->out.body.size;
}

/* Inside a call of the link: nothing may be sent here. */
static void call_left(struct link_message *out)
{
    struct forward_call *call = container_of(out, struct forward_call, out);

    call->is_queued = false;
    forward_left(call->peer, call_bytes(call));
    if (call->state == FORWARD_OVER)
        go_home(call);
    else if (!call->expects_answer)
        finish(call->peer->forward, call, 0);
}

void forward_left(struct forward_peer *peer, size_t bytes)
{
    struct forward *forward = peer->forward;

    MESH_ASSERT(peer->queued_bytes >= bytes);
    peer->queued_bytes -= bytes;
    if (forward->peers == NULL || (list_is_empty(&peer->waiting) && list_is_empty(&peer->answers))) return;
    if (!ev_is_active(&forward->pump)) ev_timer_start(forward->control->loop, &forward->pump);
}

/* ---- sending ---- */

/* Whether it is gone from the waiting. */
static bool send_one(struct forward_peer *peer, struct forward_call *call)
{
    struct forward *forward = peer->forward;
    int err;

    if (peer->queued_bytes > 0 && peer->queued_bytes + call_bytes(call) > FORWARD_QUEUE_BYTES_MAX) return false;
    err = peers_link_send_message(forward->peers, &peer->id, &call->out);
    if (err == MESH_ECLOSED || err == MESH_EFULL || err == MESH_EAGAIN) return false;
    if (err != 0) {
        forward_count(&forward->counts.refused, 1);
        finish(forward, call, err);
        return true;
    }
    call->is_queued = true;
    call->state = FORWARD_SENT;
    peer->queued_bytes += call_bytes(call);
    forward_count(&forward->counts.calls, 1);
    forward_count(&forward->counts.call_bytes, call_bytes(call));
    list_remove(&call->node);
    list_push_back(&peer->sent, &call->node);
    return true;
}

static void pump_peer(struct forward_peer *peer)
{
    if (!peer->is_up) return;
    forward_serve_pump(peer);
    while (!list_is_empty(&peer->waiting) && send_one(peer, container_of(peer->waiting.next, struct forward_call, node)))
        ;
}

static void want_link(struct forward_peer *peer)
{
    atomic_store_explicit(&peer->used_ms, forward_now_ms(), memory_order_relaxed);
    if (!peer->is_wanted) peer->is_wanted = peers_want_link(peer->forward->peers, &peer->id) == 0;
}

static void arm_sweep(struct forward *forward, double seconds)
{
    struct ev_loop *loop = forward->control->loop;

    if (ev_is_active(&forward->sweep) && ev_timer_remaining(loop, &forward->sweep) <= seconds) return;
    ev_timer_stop(loop, &forward->sweep);
    ev_timer_set(&forward->sweep, seconds, 0.);
    ev_timer_start(loop, &forward->sweep);
}

uint32_t forward_new_id(struct forward *forward, const struct map *by_id)
{
    for (;;) {
        uint32_t id = atomic_fetch_add_explicit(&forward->next_id, 1, memory_order_relaxed) + 1;

        if (id != 0 && map_find(by_id, id) == NULL) return id;
    }
}

int forward_seal_head(struct forward_call *call, uint32_t id)
{
    struct frame_header header = {
        .op = call->op, .correlation_id = id, .message_size = (uint32_t)call->message_size, .attachment_size = (uint32_t)call->body.size};

    if (FRAME_HEADER_SIZE + call->message_size + call->body.size > LINK_MESSAGE_MAX) return MESH_ETOOLARGE;
    call->id = id;
    frame_write_header(call->head, &header, call->head + FRAME_HEADER_SIZE);
    return 0;
}

/* Errors: as the call's. */
static int begin(struct forward *forward, struct forward_call *call)
{
    struct forward_peer *peer;
    int err;

    call->begun_ms = forward_now_ms();
    if (forward->peers == NULL) return MESH_EUNREACHABLE;
    if (forward->is_stopping && call->op == FRAME_OP_FETCH) return MESH_ECANCELED;
    if (forward_get(&forward->counts.calls_now) >= FORWARD_CALLS_MAX) return MESH_EBUSY;
    peer = get_peer(forward, &call->broker);
    if (peer == NULL) return MESH_ENOMEM;
    call->peer = peer;
    err = forward_seal_head(call, forward_new_id(forward, &forward->by_id));
    if (err != 0) return err;
    call->out = (struct link_message){.type = LINK_TYPE_FORWARD,
                                      .head = slice_of(call->head, FRAME_HEADER_SIZE + call->message_size),
                                      .body = call->body,
                                      .done = call_left};
    if (map_insert(&forward->by_id, &call->by_id, call->id) != 0) return MESH_ENOMEM;
    call->deadline_ms = call->begun_ms + call->timeout_ms;
    call->wait_deadline_ms = call->begun_ms + (call->timeout_ms < FORWARD_LINK_WAIT_MS ? call->timeout_ms : FORWARD_LINK_WAIT_MS);
    call->state = FORWARD_WAITING;
    list_push_back(&peer->waiting, &call->node);
    forward_count(&forward->counts.calls_now, 1);
    want_link(peer);
    pump_peer(peer);
    arm_sweep(forward, SWEEP_SECONDS);
    return 0;
}

static void call_arrives(struct mail *mail)
{
    struct forward_call *call = container_of(mail, struct forward_call, mail);
    struct forward *forward = call->home->broker->control.forward;
    int err = begin(forward, call);

    if (err == 0) return;
    forward_count(&forward->counts.refused, 1);
    call->state = FORWARD_OVER;
    call->error = err;
    go_home(call);
}

void forward_note(const struct forward_call *call, int told)
{
    struct shard *shard = call->home;
    uint64_t took_ms = shard->now_ms > call->begun_ms ? shard->now_ms - call->begun_ms : 0; /* the turn's time may be from before */
    int error = call->error != 0 ? call->error : told;
    char id[REQUEST_LOG_ID_SIZE], to[UUID_STRING_SIZE], client[CONNECTION_PEER_SIZE];

    if (!request_log_wants(&shard->broker->settings, took_ms, call->patience_ms, error) || !request_log_may(&shard->request_log, shard->now_ms)) return;
    log_warn("a request that was sent on to another broker %s request=%s op=%s to=%s client=%s correlation=%u ms=%llu error=\"%s\"", error != 0 ? "failed" : "was slow",
             request_log_id(&shard->broker->broker_id, call->id, id), request_log_op(call->op), uuid_format(&call->broker, to),
             connection_format_peer((const struct sockaddr *)&call->from, client), call->from_id, (unsigned long long)took_ms, error != 0 ? mesh_strerror(error) : "");
}

void forward_submit_to_link(struct forward_call *call)
{
    call->outlet = NULL;
    call->state = FORWARD_NEW;
    call->mail.deliver = call_arrives;
    mailbox_post(&call->home->broker->control.forward->mailbox, &call->mail);
}

void forward_submit(struct shard *shard, struct forward_call *call)
{
    call->id = 0;
    call->home = shard;
    call->is_queued = false;
    call->error = 0;
    call->answer = NULL;
    call->peer = NULL;
    list_init(&call->node);
    if (!forward_outlet_submit(call)) forward_submit_to_link(call);
}

/* ---- answers ---- */

static struct forward_call *find_call(const struct forward *forward, const struct forward_peer *peer, uint32_t id)
{
    struct map_node *node = map_find(&forward->by_id, id);

    for (; node != NULL; node = map_find_next(node)) {
        struct forward_call *call = container_of(node, struct forward_call, by_id);

        if (call->id == id && call->peer == peer) return call;
    }
    return NULL;
}

int forward_parse(struct slice frame, struct frame_header *ret_header)
{
    int err = frame_parse_header(frame, LINK_MESSAGE_MAX, ret_header);

    if (err == 0 && frame.size != FRAME_HEADER_SIZE + (size_t)ret_header->message_size + ret_header->attachment_size) err = MESH_EPROTO;
    return err != 0 ? err : frame_verify(frame.data, ret_header);
}

int forward_answer_error(const struct forward_call *call, const struct frame_header *header, struct slice frame)
{
    struct message_error error;
    int err;

    if (header->op != call->op) return MESH_ETIMEDOUT;
    if ((header->flags & FRAME_FLAG_ERROR) == 0) return 0;
    err = message_decode_error(slice_of(frame.data + FRAME_HEADER_SIZE, header->message_size), &error);
    if (err != 0) return MESH_ETIMEDOUT;
    err = error.error < 0 ? error.error : MESH_EUNKNOWN;
    message_deinit_error(&error);
    return err;
}

void forward_keep_answer(struct forward_call *call, const struct frame_header *header, uint8_t *bytes)
{
    call->answer = bytes;
    call->error = bytes == NULL ? MESH_ETIMEDOUT : 0; /* nobody learns what it said */
    if (bytes == NULL) return;
    call->header = *header;
    call->message = slice_of(bytes + FRAME_HEADER_SIZE, header->message_size);
    call->attachment = slice_of(bytes + FRAME_HEADER_SIZE + header->message_size, header->attachment_size);
}

static void on_receive(void *user, const struct uuid *from, const struct uuid *dir_id, struct slice frame)
{
    struct forward *forward = user;
    struct forward_peer *peer = get_peer(forward, from);
    struct frame_header header;
    struct forward_call *call;
    int err;

    (void)dir_id;
    if (peer == NULL || forward_parse(frame, &header) != 0) return; /* nothing that this version says; the sender's time runs out */
    if ((header.flags & FRAME_FLAG_RESPONSE) == 0) {
        forward_serve(forward, peer, &header, frame);
        return;
    }
    call = find_call(forward, peer, header.correlation_id);
    if (call == NULL || call->state != FORWARD_SENT) return; /* its time was up */
    forward_count(&forward->counts.answers, 1);
    forward_count(&forward->counts.answer_bytes, frame.size);
    err = forward_answer_error(call, &header, frame);
    if (err == 0) {
        forward_keep_answer(call, &header, peers_take_message(forward->peers, frame));
        err = call->error;
    }
    finish(forward, call, err);
}

/* ---- links ---- */

static void on_up(void *user, const struct uuid *id, const struct uuid *dir_id)
{
    struct forward_peer *peer = get_peer(user, id);

    (void)dir_id;
    if (peer == NULL) return;
    peer->is_up = true;
    atomic_fetch_add_explicit(&peer->session, 1, memory_order_release);
    pump_peer(peer);
}

/* What was sent may have been done, or not, or is being done. */
static void lose_sent(struct forward_peer *peer)
{
    while (!list_is_empty(&peer->sent)) {
        forward_count(&peer->forward->counts.unknown, 1);
        finish(peer->forward, container_of(peer->sent.next, struct forward_call, node), MESH_ETIMEDOUT);
    }
}

static void on_down(void *user, const struct uuid *id)
{
    struct forward_peer *peer = find_peer(user, id);

    if (peer == NULL) return;
    peer->is_up = false;
    atomic_fetch_add_explicit(&peer->session, 1, memory_order_release);
    lose_sent(peer);
    forward_serve_drop(peer);
}

static const struct peer_user_hooks hooks = {on_up, on_down, on_receive};

/* ---- time ---- */

static void sweep_peer(struct forward_peer *peer, uint64_t now_ms)
{
    struct forward *forward = peer->forward;
    uint64_t used_ms = atomic_load_explicit(&peer->used_ms, memory_order_relaxed);

    /* Behind much that is on its way a call waits as long as it may: refused, its batch would be sent again behind those that followed it. */
    list_for_each_safe(node, &peer->waiting)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms < (peer->is_up ? call->deadline_ms : call->wait_deadline_ms)) continue;
        forward_count(&forward->counts.refused, 1);
        finish(forward, call, peer->is_up ? MESH_EBUSY : MESH_EUNREACHABLE);
    }
    list_for_each_safe(node, &peer->sent)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms < call->deadline_ms) continue;
        if (call->is_queued && peers_link_take_back(forward->peers, &peer->id, &call->out)) {
            call->is_queued = false;
            peer->queued_bytes -= call_bytes(call);
            forward_count(&forward->counts.refused, 1);
            finish(forward, call, MESH_EBUSY);
            continue;
        }
        forward_count(&forward->counts.unknown, 1);
        finish(forward, call, MESH_ETIMEDOUT);
    }
    if (peer->is_wanted && list_is_empty(&peer->waiting) && list_is_empty(&peer->sent) && used_ms + FORWARD_IDLE_MS <= now_ms) {
        peer->is_wanted = false;
        peers_unwant_link(forward->peers, &peer->id);
    }
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct forward *forward = timer->data;
    uint64_t now_ms = forward_now_ms();
    bool is_any_wanted = false;

    (void)loop;
    (void)events;
    if (forward->peers == NULL) return;
    for (struct map_node *node = map_iterate(&forward->by_broker, NULL); node != NULL; node = map_iterate(&forward->by_broker, node)) {
        struct forward_peer *peer = container_of(node, struct forward_peer, node);

        sweep_peer(peer, now_ms);
        is_any_wanted = is_any_wanted || peer->is_wanted;
    }
    if (forward->by_id.count > 0)
        arm_sweep(forward, SWEEP_SECONDS);
    else if (is_any_wanted)
        arm_sweep(forward, SWEEP_IDLE_SECONDS);
}

static void on_pump(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct forward *forward = timer->data;

    (void)loop;
    (void)events;
    if (forward->peers == NULL) return;
    for (struct map_node *node = map_iterate(&forward->by_broker, NULL); node != NULL; node = map_iterate(&forward->by_broker, node))
        pump_peer(container_of(node, struct forward_peer, node));
}

/* ---- life ---- */

/* The mailbox is always announced as asleep but while it is emptied, so the loop needs to know nothing of it. */
static void on_mailbox(struct ev_loop *loop, ev_io *io, int events)
{
    struct forward *forward = io->data;

    (void)loop;
    (void)events;
    mailbox_awake(&forward->mailbox);
    do
        (void)mailbox_drain(&forward->mailbox);
    while (!mailbox_prepare_sleep(&forward->mailbox));
}

int forward_open(struct control *control, struct forward **ret_forward)
{
    struct forward *forward = calloc(1, sizeof(*forward));
    int err = forward == NULL ? MESH_ENOMEM : mailbox_init(&forward->mailbox);
    uint32_t first_id;

    if (err != 0) {
        free(forward);
        return err;
    }
    forward->control = control;
    random_system_bytes(&first_id, sizeof(first_id)); /* no two lives give the same ids */
    atomic_init(&forward->next_id, first_id);
    forward->by_broker = forward->by_id = (struct map)MAP_INIT;
    ev_timer_init(&forward->sweep, on_sweep, 0., 0.);
    ev_timer_init(&forward->pump, on_pump, 0., 0.);
    ev_io_init(&forward->mailbox_io, on_mailbox, forward->mailbox.event_fd, EV_READ);
    forward->sweep.data = forward->pump.data = forward->mailbox_io.data = forward;
    ev_io_start(control->loop, &forward->mailbox_io);
    (void)mailbox_prepare_sleep(&forward->mailbox);
    *ret_forward = forward;
    return 0;
}

struct mailbox *forward_mailbox(struct forward *forward)
{
    return &forward->mailbox;
}

void forward_attach(struct forward *forward, struct peers *peers)
{
    forward->peers = peers;
    peers_set_user(peers, LINK_TYPE_FORWARD, &hooks, forward);
}

unsigned forward_drain(struct forward *forward)
{
    return forward == NULL ? 0 : mailbox_drain(&forward->mailbox);
}

static void each_call(struct forward *forward, bool fetches_only, int sent_error, int waiting_error)
{
    for (struct map_node *node = map_iterate(&forward->by_broker, NULL); node != NULL; node = map_iterate(&forward->by_broker, node)) {
        struct forward_peer *peer = container_of(node, struct forward_peer, node);
        struct list_node *const lists[] = {&peer->waiting, &peer->sent};

        for (int i = 0; i < 2; i++) {
            list_for_each_safe(link, lists[i])
            {
                struct forward_call *call = container_of(link, struct forward_call, node);

                if (!fetches_only || call->op == FRAME_OP_FETCH) finish(forward, call, i == 0 ? waiting_error : sent_error);
            }
        }
    }
}

void forward_stop_waiting(struct forward *forward)
{
    if (forward == NULL || forward->peers == NULL) return;
    forward->is_stopping = true;
    each_call(forward, true, MESH_ECANCELED, MESH_ECANCELED);
}

void forward_detach(struct forward *forward)
{
    if (forward == NULL) return;
    ev_timer_stop(forward->control->loop, &forward->sweep);
    ev_timer_stop(forward->control->loop, &forward->pump);
    forward->peers = NULL;
    each_call(forward, false, MESH_ETIMEDOUT, MESH_EUNREACHABLE);
    for (struct map_node *node = map_iterate(&forward->by_broker, NULL); node != NULL; node = map_iterate(&forward->by_broker, node))
        forward_serve_drop(container_of(node, struct forward_peer, node));
}

void forward_free(struct forward *forward)
{
    struct map_node *next;

    if (forward == NULL) return;
    ev_io_stop(forward->control->loop, &forward->mailbox_io);
    mailbox_deinit(&forward->mailbox);
    for (struct map_node *node = map_iterate(&forward->by_broker, NULL); node != NULL; node = next) {
        next = map_iterate(&forward->by_broker, node);
        free(container_of(node, struct forward_peer, node));
    }
    map_deinit(&forward->by_broker);
    map_deinit(&forward->by_id);
    free(forward);
}

void forward_get_stats(const struct forward *forward, struct forward_stats *ret_stats)
{
    const struct forward_counts *counts = forward == NULL ? NULL : &forward->counts;

    *ret_stats = (struct forward_stats){0};
    if (forward == NULL) return;
    *ret_stats = (struct forward_stats){
        .calls = forward_get(&counts->calls),
        .call_bytes = forward_get(&counts->call_bytes),
        .streamed = forward_get(&counts->streamed),
        .answers = forward_get(&counts->answers),
        .answer_bytes = forward_get(&counts->answer_bytes),
        .refused = forward_get(&counts->refused),
        .unknown = forward_get(&counts->unknown),
        .served = forward_get(&counts->served),
        .served_bytes = forward_get(&counts->served_bytes),
        .serves_refused = forward_get(&counts->serves_refused),
        .calls_now = forward_get(&counts->calls_now),
        .serves_now = forward_get(&counts->serves_now),
        .streams_now = forward_get(&counts->streams_now),
        .records_bytes = atomic_load_explicit(&forward->control->forwarded_bytes, memory_order_relaxed),
    };
}
