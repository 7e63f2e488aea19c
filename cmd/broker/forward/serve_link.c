/* forward/serve_link.c - requests of other brokers that come by their link: from the control loop to the partition's shard, and the answer back. */
#include "cmd/broker/forward/serve_internal.h"

#include "base/error.h"
#include "cmd/broker/operate/operate.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "wire/message_operate.h"

/* ---- answers ---- */

static size_t answer_bytes(const struct forward_serve *serve)
{
    return serve->head.size + serve->body_size;
}

/* A request that is not even begun. */
static void refuse(struct forward *forward, const struct forward_peer *peer, const struct frame_header *request, int error)
{
    struct buffer frame = BUFFER_INIT;

    forward_note_refused(forward, &peer->id, &forward->request_log, request, error);
    if (forward_encode_error(&frame, request->op, request->correlation_id, error) == 0)
        (void)peers_link_send(forward->peers, &peer->id, LINK_TYPE_FORWARD, buffer_slice(&frame));
    buffer_deinit(&frame);
}

static void answer_left(struct link_message *out)
{
    struct forward_serve *serve = container_of(out, struct forward_serve, out);

    forward_left(serve->peer, out->head.size + out->body.size);
    forward_serve_end(serve);
}

/* False: the link's queue is full. */
static bool answer_send(struct forward_serve *serve)
{
    struct forward_peer *peer = serve->peer;
    int err;

    if (peer->queued_bytes > 0 && peer->queued_bytes + answer_bytes(serve) > FORWARD_QUEUE_BYTES_MAX) return false;
    err = peers_link_send_message(peer->forward->peers, &peer->id, &serve->out);
    if (err == MESH_EFULL) return false;
    if (err == 0)
        peer->queued_bytes += answer_bytes(serve);
    else
        forward_serve_end(serve);
    return true;
}

void forward_serve_pump(struct forward_peer *peer)
{
    while (!list_is_empty(&peer->answers)) {
        struct forward_serve *serve = container_of(peer->answers.next, struct forward_serve, node);

        list_remove(&serve->node);
        if (answer_send(serve)) continue;
        list_push_front(&peer->answers, &serve->node);
        return;
    }
}

void forward_serve_drop(struct forward_peer *peer)
{
    struct list_node *node;

    while ((node = list_pop_front(&peer->answers)) != NULL)
        forward_serve_end(container_of(node, struct forward_serve, node));
}

/* The shard is done with it. */
static void answer(struct forward_serve *serve)
{
    struct forward_peer *peer = serve->peer;
    struct forward *forward = serve->forward;

    if (!forward_serve_settle(serve, &forward->request_log) || forward->peers == NULL || serve->session != forward_session(peer)) {
        forward_serve_end(serve);
        return;
    }
    forward_serve_note_answer(serve);
    serve->out = (struct link_message){.type = LINK_TYPE_FORWARD,
                                       .head = buffer_slice(&serve->head),
                                       .body = slice_of(serve->body, serve->body_size),
                                       .done = answer_left};
    list_push_back(&peer->answers, &serve->node);
    forward_serve_pump(peer);
}

static void serve_home(struct mail *mail)
{
    answer(container_of(mail, struct forward_serve, mail));
}

static void go_home(struct forward_serve *serve)
{
    serve->mail.deliver = serve_home;
    mailbox_post(&serve->forward->mailbox, &serve->mail);
}

/* ---- the beginning ---- */

static struct forward_serve *serve_new(struct forward_peer *peer, const struct frame_header *header, size_t size)
{
    struct forward_serve *serve = forward_serve_new(peer->forward, &peer->id, header, size);

    if (serve == NULL) return NULL;
    serve->peer = peer;
    serve->session = forward_session(peer);
    serve->home = go_home;
    return serve;
}

/* What is asked of this very broker, and answered at once. The answer waits for its link like any other. */
static void serve_operate(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame, struct slice message)
{
    bool has_room = forward_serve_has_room(forward, frame.size);
    struct forward_serve *serve = has_room ? serve_new(peer, header, frame.size) : NULL;
    int err = serve != NULL ? 0 : has_room ? MESH_ENOMEM : MESH_EBUSY;

    if (err == 0) err = operate_answer_frame(forward->control, header->op, header->correlation_id, message, &serve->head);
    if (err != 0) {
        if (serve != NULL) forward_serve_free(serve);
        refuse(forward, peer, header, err);
        return;
    }
    forward_count(&forward->counts.serves_now, 1);
    serve->counted = serve->head.size;
    forward_count(&forward->counts.serve_bytes, serve->counted);
    answer(serve);
}

/* On the shard. */
static void serve_arrives(struct mail *mail)
{
    forward_serve_run(container_of(mail, struct forward_serve, mail));
}

void forward_serve(struct forward *forward, struct forward_peer *peer, const struct frame_header *header, struct slice frame)
{
    struct slice message = slice_of(frame.data + FRAME_HEADER_SIZE, header->message_size);
    struct forward_serve *serve;
    struct shard *shard = NULL;
    uint8_t *bytes;
    int err;

    if (message_operate_knows(header->op) && header->attachment_size == 0) {
        serve_operate(forward, peer, header, frame, message);
        return;
    }
    err = forward_find_shard(forward, header, message, &shard);
    if (err == 0 && !forward_serve_has_room(forward, frame.size)) err = MESH_EBUSY;
    serve = err == 0 ? serve_new(peer, header, frame.size) : NULL;
    bytes = serve != NULL ? peers_take_message(forward->peers, frame) : NULL;
    if (bytes == NULL) {
        if (serve != NULL) forward_serve_free(serve);
        refuse(forward, peer, header, err != 0 ? err : MESH_ENOMEM);
        return;
    }
    serve->shard = shard;
    forward_serve_begin(serve, bytes, header);
    serve->mail.deliver = serve_arrives;
    shard_post(shard, &serve->mail);
}
