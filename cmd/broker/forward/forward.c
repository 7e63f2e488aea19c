/* forward/forward.c - calls out, answers back. */
#include "cmd/broker/forward/forward_internal.h"

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
        forward->stats.calls_now--;
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
        forward->stats.refused++;
        finish(forward, call, err);
        return true;
    }
    call->is_queued = true;
    call->state = FORWARD_SENT;
    peer->queued_bytes += call_bytes(call);
    forward->stats.calls++;
    forward->stats.call_bytes += call_bytes(call);
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
    peer->used_ms = forward_now_ms();
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

static uint32_t new_id(struct forward *forward)
{
    for (;;) {
        struct map_node *node;

        if (++forward->next_id == 0) continue;
        node = map_find(&forward->by_id, forward->next_id);
        if (node == NULL) return forward->next_id; /* a call that takes 2^32 others to be answered keeps its id */
    }
}

/* Errors: as the call's. */
static int begin(struct forward *forward, struct forward_call *call)
{
    struct frame_header header = {.op = call->op, .message_size = (uint32_t)call->message_size, .attachment_size = (uint32_t)call->body.size};
    struct forward_peer *peer;

    call->begun_ms = forward_now_ms();
    if (forward->peers == NULL) return MESH_EUNREACHABLE;
    if (forward->is_stopping && call->op == FRAME_OP_FETCH) return MESH_ECANCELED;
    if (FRAME_HEADER_SIZE + call->message_size + call->body.size > LINK_MESSAGE_MAX) return MESH_ETOOLARGE;
    if (forward->stats.calls_now >= FORWARD_CALLS_MAX) return MESH_EBUSY;
    peer = get_peer(forward, &call->broker);
    if (peer == NULL) return MESH_ENOMEM;
    call->peer = peer;
    call->id = header.correlation_id = new_id(forward);
    frame_write_header(call->head, &header, call->head + FRAME_HEADER_SIZE);
    call->out = (struct link_message){.type = LINK_TYPE_FORWARD,
                                      .head = slice_of(call->head, FRAME_HEADER_SIZE + call->message_size),
                                      .body = call->body,
                                      .done = call_left};
    if (map_insert(&forward->by_id, &call->by_id, call->id) != 0) return MESH_ENOMEM;
    call->deadline_ms = call->begun_ms + call->timeout_ms;
    call->wait_deadline_ms = call->begun_ms + (call->timeout_ms < FORWARD_LINK_WAIT_MS ? call->timeout_ms : FORWARD_LINK_WAIT_MS);
    call->state = FORWARD_WAITING;
    list_push_back(&peer->waiting, &call->node);
    forward->stats.calls_now++;
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
    forward->stats.refused++;
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

void forward_submit(struct shard *shard, struct forward_call *call)
{
    call->id = 0;
    call->home = shard;
    call->state = FORWARD_NEW;
    call->is_queued = false;
    call->error = 0;
    call->answer = NULL;
    list_init(&call->node);
    call->mail.deliver = call_arrives;
    mailbox_post(&shard->broker->control.forward->mailbox, &call->mail);
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

/* Takes the frame, or the error that it carries. Of an answer that is there and cannot be taken nobody learns what it said. */
static int take_answer(struct forward *forward, struct forward_call *call, const struct frame_header *header, struct slice frame)
{
    struct message_error error;
    int err;

    if (header->op != call->op) return MESH_ETIMEDOUT;
    if ((header->flags & FRAME_FLAG_ERROR) != 0) {
        err = message_decode_error(slice_of(frame.data + FRAME_HEADER_SIZE, header->message_size), &error);
        if (err != 0) return MESH_ETIMEDOUT;
        err = error.error < 0 ? error.error : MESH_EUNKNOWN;
        message_deinit_error(&error);
        return err;
    }
    call->answer = peers_take_message(forward->peers, frame);
    if (call->answer == NULL) return MESH_ETIMEDOUT;
    call->header = *header;
    call->message = slice_of(call->answer + FRAME_HEADER_SIZE, header->message_size);
    call->attachment = slice_of(call->answer + FRAME_HEADER_SIZE + header->message_size, header->attachment_size);
    return 0;
}

static void on_receive(void *user, const struct uuid *from, const struct uuid *dir_id, struct slice frame)
{
    struct forward *forward = user;
    struct forward_peer *peer = get_peer(forward, from);
    struct frame_header header;
    struct forward_call *call;

    (void)dir_id;
    if (peer == NULL || frame_parse_header(frame, LINK_MESSAGE_MAX, &header) != 0 ||
        frame.size != FRAME_HEADER_SIZE + (size_t)header.message_size + header.attachment_size ||
        frame_verify(frame.data, &header) != 0)
        return; /* nothing that this version says; the sender's time runs out */
    if ((header.flags & FRAME_FLAG_RESPONSE) == 0) {
        forward_serve(forward, peer, &header, frame);
        return;
    }
    call = find_call(forward, peer, header.correlation_id);
    if (call == NULL || call->state != FORWARD_SENT) return; /* its time was up */
    forward->stats.answers++;
    forward->stats.answer_bytes += frame.size;
    finish(forward, call, take_answer(forward, call, &header, frame));
}

/* ---- links ---- */

static void on_up(void *user, const struct uuid *id, const struct uuid *dir_id)
{
    struct forward_peer *peer = get_peer(user, id);

    (void)dir_id;
    if (peer == NULL) return;
    peer->is_up = true;
    peer->session++;
    pump_peer(peer);
}

/* What was sent may have been done, or not, or is being done. */
static void lose_sent(struct forward_peer *peer)
{
    while (!list_is_empty(&peer->sent)) {
        peer->forward->stats.unknown++;
        finish(peer->forward, container_of(peer->sent.next, struct forward_call, node), MESH_ETIMEDOUT);
    }
}

static void on_down(void *user, const struct uuid *id)
{
    struct forward_peer *peer = find_peer(user, id);

    if (peer == NULL) return;
    peer->is_up = false;
    peer->session++;
    lose_sent(peer);
    forward_serve_drop(peer);
}

static const struct peer_user_hooks hooks = {on_up, on_down, on_receive};

/* ---- time ---- */

static void sweep_peer(struct forward_peer *peer, uint64_t now_ms)
{
    struct forward *forward = peer->forward;

    /* Behind much that is on its way a call waits as long as it may: refused, its batch would be sent again behind those that followed it. */
    list_for_each_safe(node, &peer->waiting)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms < (peer->is_up ? call->deadline_ms : call->wait_deadline_ms)) continue;
        forward->stats.refused++;
        finish(forward, call, peer->is_up ? MESH_EBUSY : MESH_EUNREACHABLE);
    }
    list_for_each_safe(node, &peer->sent)
    {
        struct forward_call *call = container_of(node, struct forward_call, node);

        if (now_ms < call->deadline_ms) continue;
        if (call->is_queued && peers_link_take_back(forward->peers, &peer->id, &call->out)) {
            call->is_queued = false;
            peer->queued_bytes -= call_bytes(call);
            forward->stats.refused++;
            finish(forward, call, MESH_EBUSY);
            continue;
        }
        forward->stats.unknown++;
        finish(forward, call, MESH_ETIMEDOUT);
    }
    if (peer->is_wanted && list_is_empty(&peer->waiting) && list_is_empty(&peer->sent) && now_ms - peer->used_ms >= FORWARD_IDLE_MS) {
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
    if (forward->stats.calls_now > 0)
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

    if (err != 0) {
        free(forward);
        return err;
    }
    forward->control = control;
    random_system_bytes(&forward->next_id, sizeof(forward->next_id)); /* no two lives give the same ids */
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
    *ret_stats = (struct forward_stats){0};
    if (forward == NULL) return;
    *ret_stats = forward->stats;
    ret_stats->records_bytes = atomic_load_explicit(&forward->control->forwarded_bytes, memory_order_relaxed);
}
