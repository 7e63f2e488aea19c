/* streams/streams.c - mails with sockets in them. */
#include "cmd/broker/streams/streams.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/forward/inlet.h"
#include "cmd/broker/replicas/replicas.h"
#include "cmd/broker/runtime/shard.h"

#include <stdio.h>
#include <stdlib.h>

struct streams {
    struct control *control;
    struct list_node arrivals; /* on their way to a shard and back */
};

struct stream_arrival {
    struct mail mail;
    struct list_node node;
    struct streams *streams;
    struct shard *shard;
    struct peer_stream stream;
};

/* ---- orders ---- */

static void order_home(struct mail *mail)
{
    struct stream_order *order = container_of(mail, struct stream_order, mail);

    order->done(order);
}

static void order_answer(struct stream_order *order, const struct peer_stream *stream, const char *reason)
{
    order->is_open = stream != NULL;
    if (stream != NULL) order->stream = *stream;
    snprintf(order->reason, sizeof(order->reason), "%s", reason == NULL ? "" : reason);
    order->mail.deliver = order_home;
    shard_post(order->shard, &order->mail);
}

static void order_arrives(struct mail *mail)
{
    struct stream_order *order = container_of(mail, struct stream_order, mail);
    struct control *control = &order->shard->broker->control;
    int err = control->peers == NULL ? MESH_ESHUTDOWN
                                     : peers_open_stream(control->peers, &order->peer, order->purpose, order->peer_shard, (uint64_t)(uintptr_t)order);

    if (err != 0) order_answer(order, NULL, mesh_strerror(err));
}

void stream_order_send(struct stream_order *order)
{
    order->mail.deliver = order_arrives;
    order->is_open = false;
    mailbox_post(&order->shard->broker->control.mailbox, &order->mail);
}

static void on_opened(void *user, uint64_t tag, const struct peer_stream *stream, const char *reason)
{
    (void)user;
    order_answer((struct stream_order *)(uintptr_t)tag, stream, reason);
}

/* ---- arrivals ---- */

static void arrival_home(struct mail *mail)
{
    struct stream_arrival *arrival = container_of(mail, struct stream_arrival, mail);

    list_remove(&arrival->node);
    free(arrival);
}

/* On the shard. */
static void arrival_arrives(struct mail *mail)
{
    struct stream_arrival *arrival = container_of(mail, struct stream_arrival, mail);

    if (arrival->stream.purpose == STREAM_FORWARDING) forward_stream_arrived(arrival->shard, &arrival->stream);
    else replicas_stream_arrived(arrival->shard, &arrival->stream);
    arrival->mail.deliver = arrival_home;
    mailbox_post(&arrival->streams->control->mailbox, &arrival->mail);
}

static void on_arrived(void *user, const struct peer_stream *stream)
{
    struct streams *streams = user;
    struct control *control = streams->control;
    struct stream_arrival *arrival = stream->shard < control->shard_count ? calloc(1, sizeof(*arrival)) : NULL;

    if (arrival == NULL) {
        struct link_remains remains = stream->remains;

        link_remains_free(&remains);
        return;
    }
    arrival->streams = streams;
    arrival->shard = control->shards[stream->shard];
    arrival->stream = *stream;
    list_push_back(&streams->arrivals, &arrival->node);
    arrival->mail.deliver = arrival_arrives;
    shard_post(arrival->shard, &arrival->mail);
}

/* ---- life ---- */

static const struct peer_stream_hooks hooks = {on_arrived, on_opened};

void streams_connect(struct control *control)
{
    peers_set_streams(control->peers, &hooks, control->streams);
}

int streams_new(struct control *control, struct streams **ret_streams)
{
    struct streams *streams = calloc(1, sizeof(*streams));

    if (streams == NULL) return MESH_ENOMEM;
    streams->control = control;
    list_init(&streams->arrivals);
    *ret_streams = streams;
    return 0;
}

void streams_free(struct streams *streams)
{
    if (streams == NULL) return;
    list_for_each_safe(node, &streams->arrivals)
    {
        struct stream_arrival *arrival = container_of(node, struct stream_arrival, node);

        link_remains_free(&arrival->stream.remains); /* nothing is left of what a shard took */
        free(arrival);
    }
    free(streams);
}
