/* forward/inlet.c - see inlet.h. Batches and fetches alone come this way; the rest goes by the link (serve_link.c).
 *
 * Who does not read answers is not listened to: while the network has not taken them, the newest request is kept where it was received, and nothing more
 * is received. So neither answers nor refusals pile up. */
#include "cmd/broker/forward/inlet.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/serve_internal.h"
#include "cmd/broker/streams/stream_socket.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

struct forward_inlet {
    struct forward_way way;
    struct list_node node; /* in ways->inlets */
    struct shard *shard;
    struct uuid from;
    struct list_node answers; /* serves that found the stream busy */
    uint32_t serves;          /* under way, those with an answer that waits included */
    bool is_held;             /* a request waits for answers to leave, with all behind it */
    uint8_t held_type;
    struct slice held;        /* the socket's */
};

static struct forward *forward_of(const struct forward_inlet *inlet)
{
    return inlet->shard->broker->control.forward;
}

/* It goes when its stream is gone and nobody comes home to it any more. */
static void settle(struct forward_inlet *inlet)
{
    if (inlet->way.socket != NULL || inlet->serves > 0) return;
    list_remove(&inlet->way.unsent);
    list_remove(&inlet->node);
    inlet->shard->forward_ways.inlet_count--;
    free(inlet);
}

static void end(struct forward_inlet *inlet, struct forward_serve *serve)
{
    inlet->serves--;
    forward_serve_end(serve);
}

/* ---- answers ---- */

static int send_pieces(struct forward_inlet *inlet, struct slice head, struct slice body)
{
    const struct slice pieces[] = {head, body};
    int err = stream_socket_send_pieces(inlet->way.socket, STREAM_FRAME_CALL, pieces, 2);

    if (err == 0) forward_ways_unsent(&inlet->shard->forward_ways, &inlet->way);
    else stream_socket_end(inlet->way.socket, mesh_strerror(err)); /* the other end finds its answers missing */
    return err;
}

static void pump(struct forward_inlet *inlet)
{
    while (!list_is_empty(&inlet->answers) && !stream_socket_is_busy(inlet->way.socket)) {
        struct forward_serve *serve = container_of(list_pop_front(&inlet->answers), struct forward_serve, node);

        if (send_pieces(inlet, buffer_slice(&serve->head), slice_of(serve->body, serve->body_size)) == 0) forward_serve_note_answer(serve);
        end(inlet, serve);
    }
}

static void drop_answers(struct forward_inlet *inlet)
{
    struct list_node *node;

    while ((node = list_pop_front(&inlet->answers)) != NULL)
        end(inlet, container_of(node, struct forward_serve, node));
}

static void answer(struct forward_serve *serve)
{
    struct forward_inlet *inlet = serve->inlet;

    if (!forward_serve_settle(serve, &inlet->shard->request_log) || inlet->way.socket == NULL) {
        end(inlet, serve);
        settle(inlet);
        return;
    }
    list_push_back(&inlet->answers, &serve->node);
    pump(inlet);
}

static void serve_home(struct mail *mail)
{
    answer(container_of(mail, struct forward_serve, mail));
}

static void go_home(struct forward_serve *serve)
{
    if (!serve->is_away) {
        answer(serve);
        return;
    }
    serve->mail.deliver = serve_home;
    shard_post(serve->inlet->shard, &serve->mail);
}

/* ---- requests ---- */

/* On another shard of this broker: the partition is there since this one counts its shards anew. */
static void serve_arrives(struct mail *mail)
{
    forward_serve_run(container_of(mail, struct forward_serve, mail));
}

static int begin(struct forward_inlet *inlet, const struct frame_header *header, struct slice frame, struct forward_serve **ret_serve)
{
    struct forward *forward = forward_of(inlet);
    struct shard *shard = NULL;
    struct forward_serve *serve;
    uint8_t *bytes;
    int err = MESH_EPROTO;

    if (header->op == FRAME_OP_PRODUCE || header->op == FRAME_OP_FETCH)
        err = forward_find_shard(forward, header, slice_of(frame.data + FRAME_HEADER_SIZE, header->message_size), &shard);
    if (err == 0 && !forward_serve_has_room(forward, frame.size)) err = MESH_EBUSY;
    if (err != 0) return err;
    serve = forward_serve_new(forward, &inlet->from, header, frame.size);
    bytes = serve != NULL ? long_memory_take(frame.size) : NULL;
    if (bytes == NULL) {
        if (serve != NULL) forward_serve_free(serve);
        return MESH_ENOMEM;
    }
    memcpy(bytes, frame.data, frame.size);
    forward_serve_begin(serve, bytes, header);
    serve->inlet = inlet;
    serve->home = go_home;
    serve->shard = shard;
    inlet->serves++;
    *ret_serve = serve;
    return 0;
}

static void refuse(struct forward_inlet *inlet, const struct frame_header *request, int error)
{
    struct buffer frame = BUFFER_INIT;

    forward_note_refused(forward_of(inlet), &inlet->from, &inlet->shard->request_log, request, error);
    if (forward_encode_error(&frame, request->op, request->correlation_id, error) == 0)
        (void)send_pieces(inlet, buffer_slice(&frame), slice_of(NULL, 0));
    buffer_deinit(&frame);
}

static void end_liar(struct forward_inlet *inlet)
{
    char name[UUID_STRING_SIZE];

    if (request_log_may(&inlet->shard->request_log, inlet->shard->now_ms))
        log_warn("a stream for forwarded requests was ended: what came over it is no request from=%s", uuid_format(&inlet->from, name));
    stream_socket_end(inlet->way.socket, "what the peer says is no request");
}

static void take(struct forward_inlet *inlet, uint8_t type, struct slice payload)
{
    struct stream_socket *socket = inlet->way.socket;
    struct forward_serve *serve = NULL;
    struct frame_header header;
    int err;

    if (type != STREAM_FRAME_CALL || forward_parse(payload, &header) != 0 || (header.flags & FRAME_FLAG_RESPONSE) != 0) {
        end_liar(inlet);
        stream_socket_done(socket);
        return;
    }
    err = begin(inlet, &header, payload, &serve);
    stream_socket_done(socket);
    if (err != 0) {
        refuse(inlet, &header, err);
    } else if (serve->shard == inlet->shard) {
        forward_serve_run(serve);
    } else {
        serve->is_away = true;
        serve->mail.deliver = serve_arrives;
        shard_post(serve->shard, &serve->mail);
    }
}

static bool is_behind(const struct forward_inlet *inlet)
{
    return !list_is_empty(&inlet->answers) || stream_socket_is_busy(inlet->way.socket);
}

static void on_received(void *user, uint8_t type, struct slice payload)
{
    struct forward_inlet *inlet = user;

    if (!is_behind(inlet)) {
        take(inlet, type, payload);
        return;
    }
    inlet->is_held = true;
    inlet->held_type = type;
    inlet->held = payload;
}

static void go_on(struct forward_inlet *inlet)
{
    pump(inlet);
    if (!inlet->is_held || is_behind(inlet)) return;
    inlet->is_held = false;
    take(inlet, inlet->held_type, inlet->held);
}

static void on_drained(void *user)
{
    go_on(user);
}

static void pump_way(struct forward_way *way)
{
    go_on(container_of(way, struct forward_inlet, way));
}

static void closed(struct forward_inlet *inlet)
{
    inlet->way.socket = NULL;
    inlet->is_held = false;
    forward_uncount(&forward_of(inlet)->counts.streams_now, 1);
    drop_answers(inlet);
    settle(inlet);
}

static void on_ended(void *user, const char *reason)
{
    log_debug("a stream of forwarded requests ended reason=\"%s\"", reason);
    closed(user);
}

static const struct stream_socket_hooks hooks = {on_received, on_drained, on_ended};

/* ---- life ---- */

void forward_stream_arrived(struct shard *shard, struct peer_stream *stream)
{
    struct forward_ways *ways = &shard->forward_ways;
    bool is_taken = !ways->is_closed && !shard->is_stopping && ways->inlet_count < FORWARD_INLETS_MAX;
    struct forward_inlet *inlet = is_taken ? calloc(1, sizeof(*inlet)) : NULL;

    if (inlet == NULL) {
        link_remains_free(&stream->remains);
        return;
    }
    inlet->shard = shard;
    inlet->from = stream->peer;
    list_init(&inlet->way.unsent);
    inlet->way.pump = pump_way;
    list_init(&inlet->answers);
    if (stream_socket_new(shard->loop, &stream->remains, &hooks, inlet, &inlet->way.socket) != 0) {
        free(inlet);
        return;
    }
    list_push_back(&ways->inlets, &inlet->node);
    ways->inlet_count++;
    forward_count(&forward_of(inlet)->counts.streams_now, 1);
    forward_ways_wake(ways, false);
}

void forward_inlets_sweep(struct forward_ways *ways)
{
    list_for_each(node, &ways->inlets)
    {
        struct forward_inlet *inlet = container_of(node, struct forward_inlet, node);

        if (inlet->way.socket != NULL) (void)stream_socket_trim(inlet->way.socket);
    }
}

bool forward_inlets_are_flushed(const struct forward_ways *ways)
{
    list_for_each(node, &ways->inlets)
    {
        const struct forward_inlet *inlet = container_of(node, struct forward_inlet, node);

        if (inlet->way.socket != NULL && (!list_is_empty(&inlet->answers) || stream_socket_has_unsent(inlet->way.socket))) return false;
    }
    return true;
}

void forward_inlets_close(struct forward_ways *ways)
{
    list_for_each_safe(node, &ways->inlets)
    {
        struct forward_inlet *inlet = container_of(node, struct forward_inlet, node);
        struct stream_socket *socket = inlet->way.socket;

        if (socket == NULL) continue;
        stream_socket_end(socket, "this broker stops");
        closed(inlet);
        stream_socket_free(socket);
    }
}

void forward_inlets_free(struct forward_ways *ways)
{
    list_for_each_safe(node, &ways->inlets)
        free(container_of(node, struct forward_inlet, node)); /* nothing comes home any more */
    list_init(&ways->inlets);
}
