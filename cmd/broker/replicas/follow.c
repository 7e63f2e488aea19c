/* replicas/follow.c - the shards of other brokers that replicas here follow: a stream to each, and what comes of it. */
#include "cmd/broker/replicas/replicas_internal.h"

#include "cmd/broker/groups/groups.h"
#include "cmd/broker/operate/events.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "replication/partition/sink.h"

#include <inttypes.h>
#include <stdlib.h>

#define DIAL_RETRY_MIN_MS 50
#define DIAL_RETRY_MAX_MS 2000

/* One leader's shard. */
struct follow {
    struct list_node node; /* in replicas->follows */
    struct shard *shard;
    struct sink sink;
    struct uuid peer;
    int32_t node_id;
    uint16_t peer_shard;
    struct stream_socket *socket; /* NULL: not connected */
    struct stream_order *order;   /* NULL: none under way */
    uint64_t dial_ms;             /* not to be dialled before */
    uint32_t backoff_ms;
    bool has_packet; /* one was received and is not done with: memory was short */
};

/* ---- taking what came ---- */

static void append(struct follow *follow, const struct sink_event *event, int *ret_error)
{
    struct shard *shard = follow->shard;
    struct shard_partition *partition = partition_of(event->replica);
    uint64_t ticket;
    int err = plog_append(partition->plog, &event->header, event->batch.data, shard->now_wall_ms, &ticket);

    *ret_error = 0;
    if (err == MESH_EAGAIN) {
        *ret_error = err;
        return;
    }
    if (err != 0) {
        if (replicas_may_log(shard)) log_warn("a follower's log takes nothing topic=%s partition=%u error=\"%s\"", partition->topic->topic->name, partition->number,
                 mesh_strerror(err));
        sink_fail(&follow->sink);
        replicas_redo(shard, partition, REPLICA_TODO_FOLLOW, REPLICAS_DISK_WAIT_MS);
        return;
    }
    shard->appended++;
    shard->replicas.counts.received_bytes += event->batch.size;
    sink_taken(&follow->sink);
    groups_stirred(shard, partition);
}

static void tell_damage(struct follow *follow, const struct sink_event *event)
{
    const struct shard_partition *partition = partition_of(event->replica);

    follow->shard->replicas.counts.damaged_batches++;
    event_note(&follow->shard->broker->control.events, EVENT_DAMAGE, LOG_LEVEL_ERROR, "the leader sent damaged records, which were not taken topic=%s partition=%u leader=%d offset=%" PRIu64,
              partition->topic->topic->name, partition->number, follow->node_id, partition->replica.partition.log_end);
}

/* Hands out what is left of the packet. False: memory is short, once more later. */
static bool take(struct follow *follow)
{
    struct sink_event event;
    int err;

    while ((err = sink_next(&follow->sink, &event)) == 1) {
        if (event.type == SINK_APPEND) {
            append(follow, &event, &err);
            if (err == 0) continue;
            follow->shard->is_store_full = true;
            return false;
        }
        if (event.type == SINK_DAMAGED) tell_damage(follow, &event);
        sink_taken(&follow->sink);
    }
    follow->has_packet = false;
    if (err == MESH_EPROTO) {
        follow->shard->replicas.counts.lies++;
        log_error("a replication stream was ended: %s leader=%d", stream_lie_text(follow->sink.lie), follow->node_id);
    }
    if (err != 0) stream_socket_end(follow->socket, err == MESH_EPROTO ? stream_lie_text(follow->sink.lie) : mesh_strerror(err));
    stream_socket_done(follow->socket);
    return true;
}

static void on_received(void *user, uint8_t type, struct slice payload)
{
    struct follow *follow = user;
    int err = 0;

    if (type == STREAM_FRAME_PACKET) {
        err = sink_receive(&follow->sink, payload);
        follow->has_packet = true;
        if (err == 0) {
            follow->backoff_ms = 0; /* the leader speaks with us */
            (void)take(follow);
            return;
        }
        follow->has_packet = false;
        follow->shard->replicas.counts.lies++;
        log_error("a replication stream was ended: %s leader=%d", stream_lie_text(follow->sink.lie), follow->node_id);
        stream_socket_end(follow->socket, "the peer sent what cannot be read");
    }
    stream_socket_done(follow->socket); /* other types are of a newer mesh */
}

static void on_drained(void *user)
{
    (void)user; /* the turn that this began sends more */
}

/* ---- connections ---- */

static void dial_later(struct follow *follow)
{
    follow->backoff_ms = follow->backoff_ms == 0 ? DIAL_RETRY_MIN_MS : follow->backoff_ms * 2;
    if (follow->backoff_ms > DIAL_RETRY_MAX_MS) follow->backoff_ms = DIAL_RETRY_MAX_MS;
    follow->dial_ms = follow->shard->now_ms + follow->backoff_ms;
    replicas_wake_at(&follow->shard->replicas, follow->dial_ms);
}

static void on_ended(void *user, const char *reason)
{
    struct follow *follow = user;

    log_debug("a stream to a leader ended leader=%d reason=\"%s\"", follow->node_id, reason);
    follow->socket = NULL;
    follow->has_packet = false;
    sink_disconnected(&follow->sink);
    dial_later(follow);
}

static const struct stream_socket_hooks hooks = {on_received, on_drained, on_ended};

static int greet(struct follow *follow)
{
    uint8_t hello[STREAM_HELLO_SIZE];

    memcpy(hello, follow->shard->broker->dir_id.bytes, UUID_SIZE);
    hello[UUID_SIZE] = (uint8_t)follow->shard->index;
    hello[UUID_SIZE + 1] = (uint8_t)(follow->shard->index >> 8);
    hello[UUID_SIZE + 2] = (uint8_t)follow->peer_shard;
    hello[UUID_SIZE + 3] = (uint8_t)(follow->peer_shard >> 8);
    return stream_socket_send(follow->socket, STREAM_FRAME_HELLO, slice_of(hello, sizeof(hello)));
}

static void take_stream(struct follow *follow, struct peer_stream *stream)
{
    struct shard *shard = follow->shard;

    if (stream_socket_new(shard->loop, &stream->remains, &hooks, follow, &follow->socket) != 0) {
        follow->socket = NULL;
        dial_later(follow);
        return;
    }
    sink_connected(&follow->sink);
    if (greet(follow) != 0) stream_socket_end(follow->socket, "out of memory");
}

static void order_done(struct stream_order *order)
{
    struct follow *follow = order->owner;

    list_remove(&order->node);
    if (follow != NULL) {
        follow->order = NULL;
        if (order->is_open) take_stream(follow, &order->stream);
        else dial_later(follow);
    }
    if (order->is_open) link_remains_free(&order->stream.remains); /* nothing is left when it was taken */
    free(order);
}

static void dial(struct follow *follow)
{
    struct shard *shard = follow->shard;
    struct stream_order *order = calloc(1, sizeof(*order));

    if (order == NULL) {
        dial_later(follow);
        return;
    }
    order->shard = shard;
    order->peer = follow->peer;
    order->purpose = STREAM_REPLICATION;
    order->peer_shard = follow->peer_shard;
    order->done = order_done;
    order->owner = follow;
    list_push_back(&shard->replicas.orders, &order->node);
    follow->order = order;
    stream_order_send(order);
}

/* ---- who is followed ---- */

static const struct sink_ops ops = {replicas_identify, replicas_last_epoch, replicas_epoch_end};

static struct follow *follow_get(struct shard *shard, const struct image_broker *leader, uint16_t peer_shard)
{
    struct follow *follow;

    list_for_each(node, &shard->replicas.follows)
    {
        follow = container_of(node, struct follow, node);
        if (follow->node_id == leader->node_id && follow->peer_shard == peer_shard) return follow;
    }
    follow = calloc(1, sizeof(*follow));
    if (follow == NULL) return NULL;
    follow->shard = shard;
    follow->peer = leader->broker_id;
    follow->node_id = leader->node_id;
    follow->peer_shard = peer_shard;
    sink_init(&follow->sink, &shard->replicas.board, &ops, shard);
    list_push_back(&shard->replicas.follows, &follow->node);
    return follow;
}

bool follow_add(struct shard *shard, struct shard_partition *partition)
{
    const struct image_broker *leader = image_find_broker(shard->image, partition->replica.partition.leader);
    struct follow *follow;
    uint32_t peer_shard;

    if (leader == NULL || leader->shard_count == 0) return false;
    peer_shard = image_shard_of(&partition->topic->metrics.topic_id, partition->number, leader->shard_count);
    follow = follow_get(shard, leader, (uint16_t)peer_shard);
    return follow != NULL && sink_add(&follow->sink, &partition->replica) == 0;
}

/* ---- turns ---- */

static void follow_free(struct follow *follow)
{
    list_remove(&follow->node);
    if (follow->order != NULL) follow->order->owner = NULL;
    sink_deinit(&follow->sink);
    stream_socket_free(follow->socket);
    free(follow);
}

void follows_run(struct shard *shard)
{
    list_for_each_safe(node, &shard->replicas.follows)
    {
        struct follow *follow = container_of(node, struct follow, node);
        bool is_wanted = !list_is_empty(&follow->sink.all);

        if (follow->has_packet && follow->socket != NULL) (void)take(follow);
        sink_tick(&follow->sink);
        if (!is_wanted && follow->order == NULL) {
            follow_free(follow); /* with its connection: there is nothing to be said over it */
            continue;
        }
        if (is_wanted && follow->socket == NULL && follow->order == NULL && shard->now_ms >= follow->dial_ms) dial(follow);
    }
}

static void speak(struct follow *follow)
{
    struct buffer *packet = &follow->shard->replicas.packet;
    int err = 0;

    while (err == 0 && !stream_socket_is_busy(follow->socket) && sink_has_output(&follow->sink)) {
        buffer_clear(packet);
        err = stream_packet_begin(packet);
        if (err == 0) err = sink_output(&follow->sink, packet);
        if (err == 0) err = stream_socket_send(follow->socket, STREAM_FRAME_PACKET, buffer_slice(packet));
    }
    buffer_clear(packet);
    if (err != 0 && err != MESH_ECLOSED) stream_socket_end(follow->socket, mesh_strerror(err));
    stream_socket_flush(follow->socket);
}

void follows_send(struct shard *shard)
{
    list_for_each(node, &shard->replicas.follows)
    {
        struct follow *follow = container_of(node, struct follow, node);

        if (follow->socket != NULL) speak(follow);
        if (follow->socket != NULL && stream_socket_has_room(follow->socket)) replicas_trim_later(&shard->replicas);
        if (follow->has_packet) replicas_wake_at(&shard->replicas, shard->now_ms + REPLICAS_RETRY_MS); /* or when a job ends */
        replicas_wake_at(&shard->replicas, follow->sink.deadline_ms);
        if (follow->socket == NULL && follow->order == NULL) replicas_wake_at(&shard->replicas, follow->dial_ms);
    }
}

bool follows_trim(struct shard *shard)
{
    bool has_room = false;

    list_for_each(node, &shard->replicas.follows)
    {
        struct follow *follow = container_of(node, struct follow, node);

        if (follow->socket != NULL && stream_socket_trim(follow->socket)) has_room = true;
    }
    return has_room;
}

void follows_free(struct shard *shard)
{
    list_for_each_safe(node, &shard->replicas.follows)
        follow_free(container_of(node, struct follow, node));
}

size_t follows_count(const struct shard *shard)
{
    size_t count = 0;

    list_for_each(node, &shard->replicas.follows)
        count += container_of(node, struct follow, node)->socket != NULL;
    return count;
}
