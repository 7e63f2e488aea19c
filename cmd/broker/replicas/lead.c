/* replicas/lead.c - the shards of other brokers that follow partitions led here: a stream from each, and what is read for it. */
#include "cmd/broker/replicas/replicas_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/cold.h"
#include "replication/partition/source.h"
#include "segment/healing.h"

#include <stdlib.h>
#include <unistd.h>

#define WARM_STEP (256u << 10) /* bytes per read of the READ thread */

/* One follower's shard. */
struct lead {
    struct list_node node; /* in replicas->leads */
    struct shard *shard;
    struct source source;
    struct uuid peer;
    uint32_t boot;
    uint16_t peer_shard;
    struct stream_socket *socket;
    bool is_greeted; /* source is in use */
    bool holds_frame;
};

/* ---- reading from files ---- */

/* Brings a range into memory for a source that waits for it. */
struct warm_job {
    struct mail mail;
    struct shard *shard;
    struct shard_partition *partition; /* its pending count holds it */
    struct fs_file *file;              /* referenced */
    uint64_t position;
    size_t size;
};

static void warm_home(struct mail *mail)
{
    struct warm_job *job = container_of(mail, struct warm_job, mail);
    struct shard_partition *partition = job->partition;
    struct partition_positions positions;

    partition->is_warming = false;
    if (partition->plog != NULL) {
        shard_partition_positions(partition, &positions);
        replica_set_positions(&partition->replica, &positions); /* wakes sources */
    }
    fs_unref(job->file);
    shard_partition_release(partition);
    free(job);
}

/* On the READ thread. Whatever goes wrong here, the read itself will meet it too. */
static void warm_run(struct mail *mail)
{
    struct warm_job *job = container_of(mail, struct warm_job, mail);
    void *scratch = malloc(WARM_STEP);

    for (uint64_t at = job->position, end = at + job->size; scratch != NULL && at < end;) {
        ssize_t size = pread(job->file->fd, scratch, end - at < WARM_STEP ? end - at : WARM_STEP, (off_t)at);

        if (size <= 0) break;
        at += (uint64_t)size;
    }
    free(scratch);
    job->mail.deliver = warm_home;
    shard_post(job->shard, &job->mail);
}

static int warm(struct shard *shard, struct shard_partition *partition, const struct plog_extent *extent)
{
    struct warm_job *job;

    if (partition->is_warming) return 0; /* its end wakes all who wait */
    job = malloc(sizeof(*job));
    if (job == NULL) return MESH_ENOMEM;
    partition->is_warming = true;
    *job = (struct warm_job){.mail.deliver = warm_run,
                             .shard = shard,
                             .partition = partition,
                             .file = fs_ref(extent->file),
                             .position = extent->position,
                             .size = extent->size};
    partition->pending++;
    lane_post(&shard->broker->read_lane, &job->mail);
    return 0;
}

/* ---- sending ---- */

/* Seals what the packet has so far. */
static int send_packet(struct lead *lead, struct packet *packet)
{
    struct slice pieces[PACKET_PARTS_MAX];
    size_t count = packet_pieces(packet, pieces);

    return stream_socket_send_pieces(lead->socket, STREAM_FRAME_PACKET, pieces, count);
}

/* What does not fit into the packet goes into further ones, which must follow at once. */
static int put_batches(struct lead *lead, const struct source_read *read, struct packet_batches *batches, struct packet *packet)
{
    int err = packet_put(packet, batches, STREAM_PACKET_MAX - packet_size(packet));

    while (err == 0 && batches->size > 0) {
        size_t more = STREAM_PACKET_MAX - STREAM_HEAD_MAX;

        if (batches->size < more) more = batches->size;
        err = send_packet(lead, packet);
        if (err == 0) err = packet_continue(packet);
        if (err == 0) err = source_more(read, (uint32_t)more, &packet->heads);
        if (err == 0) err = packet_put(packet, batches, more);
    }
    return err;
}

static void read_failed(struct lead *lead, const struct source_read *read, int error)
{
    const struct shard_partition *partition = partition_of(read->replica);

    source_skip(&lead->source, read, error);
    if (error == MESH_EAGAIN || error == MESH_EOFFSET_OUT_OF_RANGE) return;
    if (!replicas_may_log(lead->shard)) return;
    log_error("a log cannot be read for a follower topic=%s partition=%u offset=%lu error=\"%s\"", partition->topic->topic->name,
              partition->number, read->offset, mesh_strerror(error));
}

/* What a follower would take for a lie, and end the stream of all partitions for, is not sent: a flipped bit that no CRC covers. */
static int check_batches(struct plog *plog, const struct source_read *read, const struct packet_batches *batches)
{
    uint64_t offset = read->offset;
    int err = 0;

    for (uint32_t i = 0; err == 0 && i < batches->part_count; i++) {
        const struct packet_part *part = &batches->parts[i];

        err = plog_check_headers(plog, slice_of(part->memory != NULL ? part->memory : part->buffer->data + part->at, part->size), &offset);
    }
    return err == MESH_EAGAIN ? 0 : err; /* a batch that lies in two parts: the follower looks at it */
}

/* Errors: MESH_EAGAIN (some are on their way into memory), MESH_ECORRUPT (and the scrubber is told), those of reading. */
static int find_batches(struct shard *shard, struct shard_partition *partition, const struct source_read *read, struct packet *packet,
                        struct packet_batches *ret_batches)
{
    struct plog_view view;
    struct plog_extent missing;
    int err = plog_read(partition->plog, read->offset, read->limit, read->bytes_max, &view), warm_err;

    if (err == MESH_EAGAIN) shard->has_more = true; /* the store's job starts at once, and the log is notified */
    if (err != 0) return err;
    if (view.size == 0) {
        plog_view_release(&view);
        return MESH_EAGAIN;
    }
    err = packet_gather(packet, &view, cold_is_resident, ret_batches, &missing);
    if (err == 0) err = check_batches(partition->plog, read, ret_batches);
    if (err != MESH_EAGAIN) return err;
    warm_err = warm(shard, partition, &missing);
    fs_unref(missing.file);
    return warm_err != 0 ? warm_err : MESH_EAGAIN;
}

static int serve(struct lead *lead, const struct source_read *read, struct packet *packet)
{
    struct shard *shard = lead->shard;
    struct packet_batches batches;
    int err = find_batches(shard, partition_of(read->replica), read, packet, &batches);

    if (err != 0) {
        read_failed(lead, read, err);
        return 0;
    }
    err = source_send(&lead->source, read, (uint32_t)batches.size, batches.next_offset, &packet->heads);
    shard->replicas.counts.sent_bytes += batches.size;
    if (read->is_late) shard->replicas.counts.sent_late_bytes += batches.size;
    if (err == 0) err = put_batches(lead, read, &batches, packet);
    return err;
}

static int fill_packet(struct lead *lead, struct packet *packet, bool *ret_has_said)
{
    struct source_read read;
    int err = packet_begin(packet);
    size_t empty = packet_size(packet);

    while (err == 0 && packet_has_room(packet)) {
        err = source_next(&lead->source, &packet->heads, &read);
        if (err <= 0) break;
        err = serve(lead, &read, packet);
    }
    *ret_has_said = packet_size(packet) > empty;
    if (err == 0 && *ret_has_said) err = send_packet(lead, packet);
    packet_clear(packet);
    return err;
}

static void speak(struct lead *lead)
{
    struct packet *packet = &lead->shard->replicas.outgoing;
    int err = 0;

    for (bool has_said = true; err == 0 && has_said && !stream_socket_is_busy(lead->socket) && source_has_output(&lead->source);)
        err = fill_packet(lead, packet, &has_said);
    if (err != 0 && err != MESH_ECLOSED) stream_socket_end(lead->socket, mesh_strerror(err));
    stream_socket_flush(lead->socket);
    if (!lead->holds_frame || source_is_full(&lead->source)) return;
    lead->holds_frame = false;
    stream_socket_done(lead->socket);
}

/* What everybody but those who catch up has moved through this shard. */
static uint64_t others_moved(const struct shard *shard)
{
    const struct metrics_replicas *counts = &shard->replicas.counts;

    return shard->metrics.produced_bytes + shard->metrics.fetched_bytes + counts->received_bytes + counts->sent_bytes - counts->sent_late_bytes;
}

/* The shards' turns meet in one number, which nobody waits for. */
static void tell_moved(struct shard *shard)
{
    uint64_t moved = others_moved(shard), news = moved - shard->replicas.moved_told;

    if (news == 0) return;
    shard->replicas.moved_told = moved;
    atomic_fetch_add_explicit(&shard->broker->moved_bytes, news, memory_order_relaxed);
}

static void speak_paced(struct lead *lead)
{
    struct shard *shard = lead->shard;
    struct replicas *replicas = &shard->replicas;
    uint64_t late_before = replicas->counts.sent_late_bytes;

    lead->source.late_bytes =
        pace_allowance(&replicas->pace, shard->now_ms, others_moved(shard), atomic_load_explicit(&shard->broker->moved_bytes, memory_order_relaxed));
    speak(lead);
    pace_spend(&replicas->pace, replicas->counts.sent_late_bytes - late_before);
    if (source_is_held_back(&lead->source)) replicas_wake_at(replicas, pace_next_ms(&replicas->pace));
}

void leads_send(struct shard *shard)
{
    tell_moved(shard);
    list_for_each(node, &shard->replicas.leads)
    {
        struct lead *lead = container_of(node, struct lead, node);

        if (lead->socket != NULL && lead->is_greeted) speak_paced(lead);
        if (lead->socket != NULL && stream_socket_has_room(lead->socket)) replicas_trim_later(&shard->replicas);
    }
    packet_trim(&shard->replicas.outgoing);
}

/* ---- receiving ---- */

static struct replica *find(void *user, const struct uuid *topic_id, uint32_t number)
{
    struct shard_partition *partition = shard_partition_find(user, topic_id, number);

    return partition == NULL ? NULL : &partition->replica;
}

static void complained(void *user, struct replica *replica, int32_t node_id, enum stream_reason reason)
{
    const struct shard_partition *partition = partition_of(replica);

    if (reason == STREAM_REASON_DAMAGED) plog_suspect(partition->plog, replica_position_of(replica, node_id));
    if (!replicas_may_log(user)) return;
    log_warn("a follower gave up: %s topic=%s partition=%u follower=%d", stream_reason_text(reason), partition->topic->topic->name,
             partition->number, node_id);
}

static const struct source_ops ops = {find, replicas_epoch_end, replicas_start_epoch, complained};

/* One stream per follower's shard: of two the newer one counts. */
static void end_older(struct lead *lead)
{
    list_for_each(node, &lead->shard->replicas.leads)
    {
        struct lead *other = container_of(node, struct lead, node);

        if (other == lead || !other->is_greeted || !uuid_equal(&other->peer, &lead->peer) || other->peer_shard != lead->peer_shard) continue;
        if (other->socket != NULL) stream_socket_end(other->socket, "a newer stream has taken its place");
    }
}

/* Who dialled repeats inside the channel what the preamble said in the clear, and on which disk it is. */
static const char *take_hello(struct lead *lead, struct slice hello)
{
    const struct image_broker *peer = image_find_broker_by_uuid(lead->shard->image, &lead->peer);
    struct uuid dir_id;

    if (hello.size < STREAM_HELLO_SIZE) return "its first word was too short";
    memcpy(dir_id.bytes, hello.data, UUID_SIZE);
    lead->peer_shard = (uint16_t)(hello.data[UUID_SIZE] | hello.data[UUID_SIZE + 1] << 8);
    if ((uint32_t)(hello.data[UUID_SIZE + 2] | hello.data[UUID_SIZE + 3] << 8) != lead->shard->index) return "it meant another shard";
    if (peer == NULL) return "this broker's metadata do not know it yet";
    if (!uuid_equal(&peer->dir_id, &dir_id)) return "it speaks for another disk than the one that is registered";
    source_init(&lead->source, peer->node_id, &ops, lead->shard);
    lead->is_greeted = true;
    end_older(lead);
    return NULL;
}

static void take_packet(struct lead *lead, struct slice packet)
{
    int err = source_receive(&lead->source, packet);

    if (err == 0) {
        lead->holds_frame = source_is_full(&lead->source);
        if (!lead->holds_frame) stream_socket_done(lead->socket);
        return;
    }
    if (err == MESH_EPROTO) {
        lead->shard->replicas.counts.lies++;
        log_error("a replication stream was ended: %s follower=%d", stream_lie_text(lead->source.lie), lead->source.node_id);
    }
    stream_socket_end(lead->socket, err == MESH_EPROTO ? stream_lie_text(lead->source.lie) : mesh_strerror(err));
    stream_socket_done(lead->socket);
}

static void on_received(void *user, uint8_t type, struct slice payload)
{
    struct lead *lead = user;
    const char *wrong = NULL;

    if (type == STREAM_FRAME_PACKET && lead->is_greeted) {
        take_packet(lead, payload);
        return;
    }
    if (!lead->is_greeted) wrong = type == STREAM_FRAME_HELLO ? take_hello(lead, payload) : "it did not say who it was";
    if (wrong != NULL) stream_socket_end(lead->socket, wrong);
    stream_socket_done(lead->socket);
}

static void on_drained(void *user)
{
    (void)user; /* the turn that this began sends more */
}

static void lead_free(struct lead *lead)
{
    list_remove(&lead->node);
    if (lead->is_greeted) source_deinit(&lead->source);
    stream_socket_free(lead->socket);
    free(lead);
}

static void on_ended(void *user, const char *reason)
{
    struct lead *lead = user;

    log_debug("a stream from a follower ended reason=\"%s\"", reason);
    lead->socket = NULL;
    lead_free(lead);
}

static const struct stream_socket_hooks hooks = {on_received, on_drained, on_ended};

void replicas_stream_arrived(struct shard *shard, struct peer_stream *stream)
{
    struct lead *lead = shard->replicas.is_stopping ? NULL : calloc(1, sizeof(*lead));

    if (lead == NULL) {
        link_remains_free(&stream->remains);
        return;
    }
    lead->shard = shard;
    lead->peer = stream->peer;
    lead->boot = stream->boot;
    list_push_back(&shard->replicas.leads, &lead->node);
    if (stream_socket_new(shard->loop, &stream->remains, &hooks, lead, &lead->socket) != 0) {
        lead->socket = NULL;
        lead_free(lead);
    }
}

bool leads_trim(struct shard *shard)
{
    bool has_room = false;

    list_for_each(node, &shard->replicas.leads)
    {
        struct lead *lead = container_of(node, struct lead, node);

        if (lead->socket != NULL && stream_socket_trim(lead->socket)) has_room = true;
    }
    return has_room;
}

void leads_free(struct shard *shard)
{
    list_for_each_safe(node, &shard->replicas.leads)
        lead_free(container_of(node, struct lead, node));
}

size_t leads_count(const struct shard *shard)
{
    size_t count = 0;

    list_for_each(node, &shard->replicas.leads)
        count += container_of(node, struct lead, node)->is_greeted;
    return count;
}
