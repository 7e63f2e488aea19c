/* Streams between simulated brokers: sinks at leaders that are followed, sources of those who follow, as cmd/broker/replicas/follow.c and lead.c
 * have them. A simulated broker has one shard. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "replication/partition/sink.h"
#include "replication/partition/source.h"
#include "segment/healing.h"
#include "sim/replication_internal.h"
#include "sim/sim_frame.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define DIAL_TIMEOUT_US   SIM_SECOND
#define DIAL_RETRY_MIN_MS 50
#define DIAL_RETRY_MAX_MS 2000
#define KEEPALIVE_MS      10000 /* as cmd/broker/peers/link.c: an end that is gone is noticed though nothing is said */
#define FRAME_MAX         (4u << 20)
#define OUT_BUSY          (64u << 10) /* more waits: nothing is added */
#define HELLO_SIZE        (3 * UUID_SIZE) /* the speaker's broker and disk, the listener's broker */

enum { FRAME_HELLO = 1, FRAME_PACKET = 2, FRAME_ALIVE = 3 };

/* One connection. */
struct pipe {
    uint64_t stream; /* 0: none */
    bool is_open;
    struct buffer in, out;
};

/* One leader. */
struct follow {
    struct list_node node; /* in process->follows */
    struct replication_process *process;
    struct sink sink;
    struct uuid peer;
    int32_t node_id;
    struct pipe pipe;
    uint64_t dial_ms, alive_ms; /* to be dialled, to be spoken to, at the latest */
    uint32_t backoff_ms;
    bool has_packet; /* one is not done with */
    struct buffer packet;
};

/* One follower. */
struct lead {
    struct list_node node; /* in process->leads */
    struct replication_process *process;
    struct source source;
    struct uuid peer;
    struct pipe pipe;
    bool is_greeted; /* the source is in use */
};

/* ---- pipes ---- */

static void pipe_flush(struct replication_process *process, struct pipe *pipe)
{
    if (!pipe->is_open || pipe->out.size == 0) return;
    buffer_consume(&pipe->out, sim_stream_write(process->host, pipe->stream, buffer_slice(&pipe->out)));
}

static void pipe_drop(struct pipe *pipe)
{
    buffer_deinit(&pipe->in);
    buffer_deinit(&pipe->out);
    *pipe = (struct pipe){.in = BUFFER_INIT, .out = BUFFER_INIT};
}

static bool pipe_is_busy(const struct pipe *pipe)
{
    return !pipe->is_open || pipe->out.size > OUT_BUSY;
}

/* ---- followers' side: taking what came ---- */

static void follow_ended(struct follow *follow, bool is_hung_up)
{
    if (is_hung_up) sim_stream_abort(follow->process->host, follow->pipe.stream);
    pipe_drop(&follow->pipe);
    follow->has_packet = false;
    sink_disconnected(&follow->sink);
    follow->backoff_ms = follow->backoff_ms == 0 ? DIAL_RETRY_MIN_MS : follow->backoff_ms * 2;
    if (follow->backoff_ms > DIAL_RETRY_MAX_MS) follow->backoff_ms = DIAL_RETRY_MAX_MS;
    follow->dial_ms = follow->process->now_ms + follow->backoff_ms;
}

/* MESH_EAGAIN: later. */
static int append(struct follow *follow, const struct sink_event *event)
{
    struct replication_process *process = follow->process;
    struct replication_replica *replica = replication_of(event->replica);
    uint64_t ticket;
    int err = replication_log_append(replica, &event->header, event->batch.data, &ticket);

    if (err == MESH_EAGAIN) return err;
    if (err != 0) {
        SIM_SOMETIMES("a follower's log took nothing");
        REPLICATION_HOOK(process, refused, process, err);
        sink_fail(&follow->sink);
        replication_redo(replica, REPLICA_TODO_FOLLOW, REPLICATION_DISK_WAIT_MS);
        return 0;
    }
    process->has_appended = true;
    REPLICATION_HOOK(process, appended, replica, &event->header);
    sink_taken(&follow->sink);
    REPLICATION_GUEST(process, stirred, replica);
    return 0;
}

static void lied(struct follow *follow)
{
    REPLICATION_HOOK(follow->process, lied, follow->process, follow->node_id, stream_lie_text(follow->sink.lie));
}

/* Hands out what is left of the packet. */
static void take(struct follow *follow)
{
    struct sink_event event;
    int err;

    while ((err = sink_next(&follow->sink, &event)) == 1) {
        if (event.type == SINK_APPEND) {
            if (append(follow, &event) == 0) continue;
            SIM_SOMETIMES("a follower's store was full for a moment");
            return;
        }
        if (event.type == SINK_DAMAGED) REPLICATION_HOOK(follow->process, lied, follow->process, follow->node_id, "damaged records");
        sink_taken(&follow->sink);
    }
    follow->has_packet = false;
    if (err == MESH_EPROTO) lied(follow);
    if (err != 0) follow_ended(follow, true);
}

static void follow_receive(struct follow *follow, uint32_t type, struct slice payload)
{
    if (type != FRAME_PACKET) return;
    buffer_clear(&follow->packet);
    MESH_ASSERT(buffer_append(&follow->packet, payload.data, payload.size) == 0);
    if (sink_receive(&follow->sink, buffer_slice(&follow->packet)) != 0) {
        lied(follow);
        follow_ended(follow, true);
        return;
    }
    follow->has_packet = true;
    follow->backoff_ms = 0;
    take(follow);
}

/* One frame after another, while the one before is done with. */
static void follow_read(struct follow *follow)
{
    struct slice payload;
    uint32_t type;
    size_t at = 0;
    int got;

    while (follow->pipe.stream != 0 && !follow->has_packet) {
        at = 0;
        got = sim_frame_take(buffer_slice(&follow->pipe.in), FRAME_MAX, &at, &type, &payload);
        if (got == 0) return;
        if (got < 0) {
            SIM_SOMETIMES("a replication stream broke over bytes that were damaged");
            follow_ended(follow, true);
            return;
        }
        follow_receive(follow, type, payload);
        if (follow->pipe.stream != 0) buffer_consume(&follow->pipe.in, at);
    }
}

static void follow_opened(struct follow *follow)
{
    struct replication_process *process = follow->process;
    const struct raft_server *self = metadata_process_self(process->metadata);
    uint8_t magic[4], hello[HELLO_SIZE];

    follow->pipe.is_open = true;
    follow->alive_ms = process->now_ms + KEEPALIVE_MS;
    le_store32(magic, METADATA_LINK_FOREIGN);
    memcpy(hello, self->broker.bytes, UUID_SIZE);
    memcpy(hello + UUID_SIZE, self->dir.bytes, UUID_SIZE);
    memcpy(hello + 2 * UUID_SIZE, follow->peer.bytes, UUID_SIZE);
    MESH_ASSERT(buffer_append(&follow->pipe.out, magic, sizeof(magic)) == 0);
    sim_frame_put(&follow->pipe.out, FRAME_HELLO, slice_of(hello, sizeof(hello)));
    sink_connected(&follow->sink);
    pipe_flush(process, &follow->pipe);
}

/* ---- who is followed ---- */

static const struct sink_ops sink_ops = {replication_identify, replication_last_epoch, replication_epoch_end};

static struct follow *follow_get(struct replication_process *process, const struct image_broker *leader)
{
    struct follow *follow;

    list_for_each(node, &process->follows)
    {
        follow = container_of(node, struct follow, node);
        if (follow->node_id == leader->node_id) return follow;
    }
    follow = calloc(1, sizeof(*follow));
    MESH_ASSERT(follow != NULL);
    follow->process = process;
    follow->peer = leader->broker_id;
    follow->node_id = leader->node_id;
    sink_init(&follow->sink, &process->board, &sink_ops, process);
    list_push_back(&process->follows, &follow->node);
    return follow;
}

bool replication_follow(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    const struct image_broker *leader = image_find_broker(process->image, replica->replica.partition.leader);

    return leader != NULL && sink_add(&follow_get(process, leader)->sink, &replica->replica) == 0;
}

static void dial(struct follow *follow)
{
    struct sim *sim = sim_host_sim(follow->process->host);
    struct net_address address = sim_host_address(sim_host_at(sim, consensus_host_of(&follow->peer)));

    follow->pipe.stream = sim_connect(follow->process->host, &address, DIAL_TIMEOUT_US, NULL);
    if (follow->pipe.stream == 0) follow->dial_ms = follow->process->now_ms + DIAL_RETRY_MIN_MS; /* this process has just died */
}

static void follow_free(struct follow *follow)
{
    list_remove(&follow->node);
    sink_deinit(&follow->sink);
    pipe_drop(&follow->pipe);
    buffer_deinit(&follow->packet);
    free(follow);
}

void replication_streams_run(struct replication_process *process)
{
    list_for_each_safe(node, &process->follows)
    {
        struct follow *follow = container_of(node, struct follow, node);
        bool is_wanted = !list_is_empty(&follow->sink.all);

        if (follow->has_packet) take(follow);
        follow_read(follow);
        sink_tick(&follow->sink);
        if (!is_wanted) {
            if (follow->pipe.stream != 0) sim_stream_close(process->host, follow->pipe.stream);
            follow_free(follow);
            continue;
        }
        if (follow->pipe.stream == 0 && process->now_ms >= follow->dial_ms) dial(follow);
    }
}

/* ---- leaders' side ---- */

static void lead_free(struct lead *lead)
{
    list_remove(&lead->node);
    if (lead->is_greeted) source_deinit(&lead->source);
    pipe_drop(&lead->pipe);
    free(lead);
}

static void lead_end(struct lead *lead)
{
    sim_stream_abort(lead->process->host, lead->pipe.stream);
    lead_free(lead);
}

static struct replica *find(void *user, const struct uuid *topic_id, uint32_t partition)
{
    struct replication_replica *replica = replication_process_find(user, topic_id, partition);

    return replica == NULL ? NULL : &replica->replica;
}

static void complained(void *user, struct replica *replica, int32_t node_id, enum stream_reason reason)
{
    struct replication_process *process = user;

    if (reason == STREAM_REASON_DAMAGED) plog_suspect(replication_of(replica)->plog, replica_position_of(replica, node_id));
    sim_trace(sim_host_sim(process->host), process->host, "broker %d gave a partition up: %s", node_id, stream_reason_text(reason));
}

static const struct source_ops source_ops = {find, replication_epoch_end, replication_start_epoch, complained};

static void serve(struct lead *lead, const struct source_read *read, struct buffer *packet)
{
    struct replication_process *process = lead->process;
    struct replication_replica *replica = replication_of(read->replica);
    uint64_t next_offset = read->offset;
    int err;

    buffer_clear(&process->bytes);
    err = replication_read_log(replica, read->offset, read->limit, read->bytes_max, &process->bytes);
    if (err == 0 && process->bytes.size == 0) err = MESH_EAGAIN;
    if (err == 0) err = plog_check_headers(replica->plog, buffer_slice(&process->bytes), &next_offset);
    if (err != 0) {
        source_skip(&lead->source, read, err);
        return;
    }
    MESH_ASSERT(source_send(&lead->source, read, (uint32_t)process->bytes.size, next_offset, packet) == 0);
    MESH_ASSERT(buffer_append(packet, process->bytes.data, process->bytes.size) == 0);
}

static void lead_speak(struct lead *lead)
{
    struct buffer *packet = &lead->process->packet;
    struct source_read read;
    bool has_said = true;

    while (has_said && !pipe_is_busy(&lead->pipe) && source_has_output(&lead->source)) {
        size_t empty;

        buffer_clear(packet);
        MESH_ASSERT(stream_packet_begin(packet) == 0);
        empty = packet->size;
        while (packet->size < STREAM_PACKET_AIM && source_next(&lead->source, packet, &read) == 1)
            serve(lead, &read, packet);
        has_said = packet->size > empty;
        if (has_said) sim_frame_put(&lead->pipe.out, FRAME_PACKET, buffer_slice(packet));
    }
    pipe_flush(lead->process, &lead->pipe);
}

/* One stream for each follower: of two the newer one counts. */
static void end_older(struct lead *lead)
{
    list_for_each_safe(node, &lead->process->leads)
    {
        struct lead *other = container_of(node, struct lead, node);

        if (other == lead || !other->is_greeted || !uuid_equal(&other->peer, &lead->peer)) continue;
        SIM_SOMETIMES("a newer replication stream took the place of one that nobody had missed");
        lead_end(other);
    }
}

static bool take_hello(struct lead *lead, struct slice hello)
{
    struct replication_process *process = lead->process;
    const struct image_broker *peer;
    struct uuid dir;

    if (hello.size != HELLO_SIZE || process->image == NULL) return false;
    if (memcmp(hello.data + 2 * UUID_SIZE, metadata_process_self(process->metadata)->broker.bytes, UUID_SIZE) != 0) return false;
    memcpy(lead->peer.bytes, hello.data, UUID_SIZE);
    memcpy(dir.bytes, hello.data + UUID_SIZE, UUID_SIZE);
    peer = image_find_broker_by_uuid(process->image, &lead->peer);
    if (peer == NULL || !uuid_equal(&peer->dir_id, &dir)) {
        SIM_SOMETIMES("a follower was not known, or spoke for another disk");
        return false;
    }
    source_init(&lead->source, peer->node_id, &source_ops, process);
    lead->is_greeted = true;
    end_older(lead);
    return true;
}

static bool lead_receive(struct lead *lead, uint32_t type, struct slice payload)
{
    int err;

    if (type == REPLICATION_FRAME_HEAL && !lead->is_greeted) {
        replication_heal_serve(lead->process, payload, &lead->pipe.out);
        pipe_flush(lead->process, &lead->pipe);
        return true;
    }
    if (!lead->is_greeted) return type == FRAME_HELLO && take_hello(lead, payload);
    if (type != FRAME_PACKET) return type == FRAME_ALIVE;
    err = source_receive(&lead->source, payload);
    if (err == MESH_EPROTO) REPLICATION_HOOK(lead->process, lied, lead->process, lead->source.node_id, stream_lie_text(lead->source.lie));
    return err == 0;
}

static void lead_read(struct lead *lead)
{
    struct slice payload;
    uint32_t type;
    size_t at = 0;
    int got;

    while ((!lead->is_greeted || !source_is_full(&lead->source)) &&
           (got = sim_frame_take(buffer_slice(&lead->pipe.in), FRAME_MAX, &at, &type, &payload)) != 0) {
        if (got > 0 && lead_receive(lead, type, payload)) continue;
        lead_end(lead);
        return;
    }
    buffer_consume(&lead->pipe.in, at);
}

/* ---- turns ---- */

void replication_streams_send(struct replication_process *process)
{
    list_for_each(node, &process->follows)
    {
        struct follow *follow = container_of(node, struct follow, node);

        while (!pipe_is_busy(&follow->pipe) && sink_has_output(&follow->sink)) {
            buffer_clear(&process->packet);
            MESH_ASSERT(stream_packet_begin(&process->packet) == 0);
            MESH_ASSERT(sink_output(&follow->sink, &process->packet) == 0);
            sim_frame_put(&follow->pipe.out, FRAME_PACKET, buffer_slice(&process->packet));
            follow->alive_ms = process->now_ms + KEEPALIVE_MS;
        }
        if (follow->pipe.is_open && process->now_ms >= follow->alive_ms) {
            sim_frame_put(&follow->pipe.out, FRAME_ALIVE, slice_of(NULL, 0));
            follow->alive_ms = process->now_ms + KEEPALIVE_MS;
        }
        pipe_flush(process, &follow->pipe);
    }
    list_for_each_safe(node, &process->leads)
    {
        struct lead *lead = container_of(node, struct lead, node);

        if (lead->is_greeted) lead_speak(lead);
        if (lead->pipe.in.size > 0) lead_read(lead);
    }
}

uint64_t replication_streams_due_ms(struct replication_process *process)
{
    uint64_t due_ms = UINT64_MAX;

    list_for_each(node, &process->follows)
    {
        const struct follow *follow = container_of(node, struct follow, node);

        if (follow->sink.deadline_ms < due_ms) due_ms = follow->sink.deadline_ms;
        if (follow->has_packet && process->now_ms + REPLICATION_RETRY_MS < due_ms) due_ms = process->now_ms + REPLICATION_RETRY_MS;
        if (follow->pipe.stream == 0 && follow->dial_ms < due_ms) due_ms = follow->dial_ms;
        if (follow->pipe.is_open && follow->alive_ms < due_ms) due_ms = follow->alive_ms;
    }
    return due_ms;
}

/* ---- what the network says ---- */

static struct follow *follow_of(struct replication_process *process, uint64_t stream)
{
    list_for_each(node, &process->follows)
    {
        struct follow *follow = container_of(node, struct follow, node);
        if (follow->pipe.stream == stream) return follow;
    }
    return NULL;
}

static struct lead *lead_of(struct replication_process *process, uint64_t stream)
{
    list_for_each(node, &process->leads)
    {
        struct lead *lead = container_of(node, struct lead, node);
        if (lead->pipe.stream == stream) return lead;
    }
    return NULL;
}

bool replication_streams_owns(void *tenant, uint64_t stream)
{
    return follow_of(tenant, stream) != NULL || lead_of(tenant, stream) != NULL || replication_heal_owns(tenant, stream);
}

void replication_streams_arrived(void *tenant, uint64_t stream, struct slice first)
{
    struct replication_process *process = tenant;
    struct lead *lead = calloc(1, sizeof(*lead));

    MESH_ASSERT(lead != NULL);
    lead->process = process;
    lead->pipe.stream = stream;
    lead->pipe.is_open = true;
    list_push_back(&process->leads, &lead->node);
    MESH_ASSERT(buffer_append(&lead->pipe.in, first.data + 4, first.size - 4) == 0);
    lead_read(lead);
}

void replication_streams_opened(void *tenant, uint64_t stream)
{
    struct follow *follow = follow_of(tenant, stream);

    if (follow != NULL) follow_opened(follow);
    else if (replication_heal_owns(tenant, stream)) replication_heal_opened(tenant);
}

void replication_streams_bytes(void *tenant, uint64_t stream, struct slice bytes)
{
    struct follow *follow = follow_of(tenant, stream);
    struct lead *lead = lead_of(tenant, stream);

    if (follow != NULL) {
        MESH_ASSERT(buffer_append(&follow->pipe.in, bytes.data, bytes.size) == 0);
        follow_read(follow);
    } else if (lead != NULL) {
        MESH_ASSERT(buffer_append(&lead->pipe.in, bytes.data, bytes.size) == 0);
        lead_read(lead);
    } else if (replication_heal_owns(tenant, stream)) {
        replication_heal_bytes(tenant, bytes);
    }
}

void replication_streams_writable(void *tenant, uint64_t stream)
{
    struct follow *follow = follow_of(tenant, stream);
    struct lead *lead = lead_of(tenant, stream);

    if (follow != NULL) pipe_flush(tenant, &follow->pipe);
    if (lead != NULL) pipe_flush(tenant, &lead->pipe);
    if (replication_heal_owns(tenant, stream)) replication_heal_writable(tenant);
}

void replication_streams_closed(void *tenant, uint64_t stream)
{
    struct follow *follow = follow_of(tenant, stream);
    struct lead *lead = lead_of(tenant, stream);

    if (follow != NULL) follow_ended(follow, false);
    if (lead != NULL) lead_free(lead);
    if (replication_heal_owns(tenant, stream)) replication_heal_closed(tenant);
}

void replication_streams_init(struct replication_process *process)
{
    list_init(&process->follows);
    list_init(&process->leads);
}

void replication_streams_stop(struct replication_process *process)
{
    list_for_each_safe(node, &process->follows)
    {
        struct follow *follow = container_of(node, struct follow, node);

        if (follow->pipe.stream != 0) sim_stream_abort(process->host, follow->pipe.stream);
        follow_free(follow);
    }
    list_for_each_safe(node, &process->leads)
        lead_end(container_of(node, struct lead, node));
}

void replication_streams_free(struct replication_process *process)
{
    list_for_each_safe(node, &process->follows)
        follow_free(container_of(node, struct follow, node));
    list_for_each_safe(node, &process->leads)
        lead_free(container_of(node, struct lead, node));
}
