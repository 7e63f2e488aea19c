/* partition/source.c - serves the partitions that one follower's shard follows from here. */
#include "replication/partition/source.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/replica_peers.h"

#include <stdlib.h>

#define CREDIT_MAX (1ll << 40)

const char *stream_lie_text(enum stream_lie lie)
{
    static const char *const texts[] = {
#define STREAM_LIE_TEXT(name, text) text,
        STREAM_LIE_MAP(STREAM_LIE_TEXT)
#undef STREAM_LIE_TEXT
    };
    return lie < STREAM_LIE_COUNT ? texts[lie] : "the peer lied";
}

void source_init(struct source *source, int32_t node_id, const struct source_ops *ops, void *user)
{
    *source = (struct source){.ops = ops, .user = user, .node_id = node_id, .late_bytes = INT64_MAX, .control = BUFFER_INIT};
    list_init(&source->data);
    list_init(&source->late);
    list_init(&source->marks);
}

static void forget_peer(struct source *source, struct replica_peer *peer)
{
    MESH_ASSERT(source->slots[peer->slot] == peer);
    source->slots[peer->slot] = NULL;
    list_remove(&peer->link);
    peer->source = NULL;
    peer->is_queued = peer->is_waiting = peer->is_mark_due = false;
}

void source_deinit(struct source *source)
{
    for (uint32_t i = 0; i < source->slot_count; i++)
        if (source->slots[i] != NULL) forget_peer(source, source->slots[i]);
    free(source->slots);
    buffer_deinit(&source->control);
    source->slots = NULL;
    source->slot_count = source->slot_capacity = 0;
}

static int lie(struct source *source, enum stream_lie which)
{
    source->lie = which;
    return MESH_EPROTO;
}

/* Messages that are sent before everything else. A stream that could not say something is of no use any more. */
static void say(struct source *source, const struct stream_message *message)
{
    int err = stream_message_encode(message, &source->control);

    if (err != 0) source->error = err;
}

static struct stream_message message_to(const struct replica *replica, enum stream_message_type type, uint32_t slot,
                                        uint32_t session)
{
    return (struct stream_message){
        .type = type,
        .slot = slot,
        .session = session,
        .leader_epoch = replica->partition.leader_epoch < 0 ? 0 : replica->partition.leader_epoch,
        .high_watermark = replica->partition.high_watermark,
        .log_start = replica->partition.log_start,
    };
}

/* ---- the leader's side of a replica ---- */

static struct list_node *queue_of(const struct replica_peer *peer)
{
    return peer->is_late ? &peer->source->late : &peer->source->data;
}

void source_wake(struct replica_peer *peer)
{
    bool has_data = peer->sent < replica_of_peer(peer)->partition.log_end && !peer->is_waiting;

    if (peer->source == NULL || peer->is_queued) return;
    if (has_data) {
        list_remove(&peer->link);
        peer->is_late = !replica_peer_is_counted(replica_of_peer(peer), peer);
        list_push_back(queue_of(peer), &peer->link);
        peer->is_queued = true;
    } else if (peer->is_mark_due && list_is_empty(&peer->link)) {
        list_push_back(&peer->source->marks, &peer->link);
    }
}

void source_sort(struct replica_peer *peer)
{
    bool is_late = !replica_peer_is_counted(replica_of_peer(peer), peer);

    if (peer->source == NULL || !peer->is_queued || peer->is_late == is_late) return;
    peer->is_late = is_late;
    list_remove(&peer->link);
    list_push_back(queue_of(peer), &peer->link);
}

void source_leave(struct replica_peer *peer, enum stream_reason reason)
{
    struct source *source = peer->source;
    struct stream_message message;

    if (source == NULL) return;
    message = message_to(replica_of_peer(peer), STREAM_REJECT, peer->slot, peer->session);
    message.reason = reason;
    forget_peer(source, peer);
    say(source, &message);
}

void source_move(struct replica_peer *from, struct replica_peer *to)
{
    uint8_t place = to->place, index = to->index;

    *to = *from;
    to->place = place;
    to->index = index;
    list_init(&to->link);
    if (!list_is_empty(&from->link)) list_insert_before(&from->link, &to->link);
    list_remove(&from->link);
    if (from->source != NULL) from->source->slots[from->slot] = to;
    from->source = NULL;
}

/* ---- what the follower says ---- */

/* Slots are dense, so that a number cannot make the table larger than what is in it. Errors: MESH_ENOMEM, MESH_EPROTO. */
static int open_slot(struct source *source, uint32_t slot)
{
    struct replica_peer **slots;
    uint32_t capacity;

    if (slot < source->slot_count) return 0;
    if (slot > source->slot_count || slot >= STREAM_SLOTS_MAX) return lie(source, STREAM_LIE_SLOT);
    if (slot == source->slot_capacity) {
        capacity = source->slot_capacity == 0 ? 16 : source->slot_capacity * 2;
        slots = realloc(source->slots, capacity * sizeof(*slots));
        if (slots == NULL) return MESH_ENOMEM;
        source->slots = slots;
        source->slot_capacity = capacity;
    }
    source->slots[source->slot_count++] = NULL;
    return 0;
}

/* Another stream of the same follower had it: that one is older, or half dead, and its follower, if there is still one, asks again. */
static void bind_peer(struct source *source, struct replica_peer *peer, const struct stream_message *attach)
{
    source_leave(peer, STREAM_REASON_LEFT);
    peer->source = source;
    peer->slot = attach->slot;
    peer->session = attach->session;
    peer->sent = attach->log_end;
    peer->is_mark_due = true;
    source->slots[attach->slot] = peer;
}

static void answer_attach(struct source *source, struct replica *replica, const struct stream_message *attach)
{
    struct replica_epoch_end end;
    struct replica_judgement judgement;
    struct stream_message message = message_to(replica, STREAM_REJECT, attach->slot, attach->session);

    end.offset = source->ops->epoch_end(source->user, replica, attach->last_epoch, &end.epoch);
    message.start_epoch = source->ops->start_epoch(source->user, replica);
    replica_judge_attach(replica, source->node_id, attach, end, message.start_epoch, &judgement);
    switch (judgement.answer) {
    case REPLICA_ACCEPTED:
        bind_peer(source, judgement.peer, attach);
        replica_peer_acked(replica, judgement.peer, attach->written, attach->durable);
        source_wake(judgement.peer);
        return;
    case REPLICA_DIVERGED:
        message.type = STREAM_DIVERGED;
        message.last_epoch = end.epoch;
        message.end_offset = end.offset;
        break;
    case REPLICA_RESET: message.type = STREAM_RESET; break;
    case REPLICA_REJECTED: message.reason = judgement.reason; break;
    }
    if (REPLICA_DEFECT(replica, IDLE_NOT_REPAIRED) && judgement.answer != REPLICA_REJECTED) return;
    say(source, &message);
}

static int take_attach(struct source *source, const struct stream_message *attach)
{
    struct replica *replica;
    int err;

    if (attach->session <= source->last_session) return lie(source, STREAM_LIE_SESSION);
    err = open_slot(source, attach->slot);
    if (err != 0) return err;
    source->last_session = attach->session;
    if (source->slots[attach->slot] != NULL) forget_peer(source, source->slots[attach->slot]);
    replica = source->ops->find(source->user, &attach->topic_id, attach->partition);
    if (replica != NULL)
        answer_attach(source, replica, attach);
    else
        say(source, &(struct stream_message){.type = STREAM_REJECT,
                                             .slot = attach->slot,
                                             .session = attach->session,
                                             .leader_epoch = attach->leader_epoch,
                                             .reason = STREAM_REASON_UNKNOWN_PARTITION});
    return 0;
}

/* The peer that a message is about; NULL: it is late. Errors: MESH_EPROTO. */
static int find_attached(struct source *source, const struct stream_message *message, struct replica_peer **ret_peer)
{
    struct replica_peer *peer;

    *ret_peer = NULL;
    if (message->slot >= source->slot_count) return lie(source, STREAM_LIE_SLOT);
    if (message->session > source->last_session) return lie(source, STREAM_LIE_SESSION);
    peer = source->slots[message->slot];
    if (peer == NULL || message->session != peer->session) return 0;
    if (message->leader_epoch != replica_of_peer(peer)->partition.leader_epoch &&
        !REPLICA_DEFECT(replica_of_peer(peer), EPOCHS_NOT_COMPARED))
        return lie(source, STREAM_LIE_EPOCH);
    *ret_peer = peer;
    return 0;
}

static int take_ack(struct source *source, const struct stream_message *ack)
{
    struct replica_peer *peer;
    int err = find_attached(source, ack, &peer);

    if (err != 0 || peer == NULL) return err;
    if (!REPLICA_DEFECT(replica_of_peer(peer), ACKS_UNCHECKED)) { /* R16 */
        if (ack->written > peer->sent) return lie(source, STREAM_LIE_ACK_AHEAD);
        if (ack->written < peer->written || ack->durable < peer->durable) return lie(source, STREAM_LIE_ACK_FALLS);
    }
    replica_peer_acked(replica_of_peer(peer), peer, ack->written, ack->durable);
    return 0;
}

static int take_detach(struct source *source, const struct stream_message *detach)
{
    struct replica_peer *peer;
    int err = find_attached(source, detach, &peer);

    if (err != 0 || peer == NULL) return err;
    forget_peer(source, peer);
    if (detach->reason == STREAM_REASON_STORAGE) replica_peer_doubted(replica_of_peer(peer), peer);
    if (source->ops->complained != NULL && detach->reason != STREAM_REASON_LEFT)
        source->ops->complained(source->user, replica_of_peer(peer), source->node_id, detach->reason);
    return 0;
}

static int take_message(struct source *source, const struct stream_message *message)
{
    switch (message->type) {
    case STREAM_ATTACH: return take_attach(source, message);
    case STREAM_ACK: return take_ack(source, message);
    case STREAM_DETACH: return take_detach(source, message);
    case STREAM_CREDIT:
        if (message->credit > CREDIT_MAX || source->credit + (int64_t)message->credit > CREDIT_MAX)
            return lie(source, STREAM_LIE_CREDIT);
        source->credit += (int64_t)message->credit;
        return 0;
    case STREAM_DATA:
    case STREAM_MARK:
    case STREAM_DIVERGED:
    case STREAM_RESET:
    case STREAM_REJECT:
    case STREAM_MORE: break;
    }
    return lie(source, STREAM_LIE_DIRECTION);
}

int source_receive(struct source *source, struct slice packet)
{
    struct stream_message message;
    struct codec_reader reader;
    int err = stream_packet_open(packet, &reader);

    if (err == MESH_EVERSION) return lie(source, STREAM_LIE_VERSION);
    if (err != 0) return lie(source, STREAM_LIE_MALFORMED);
    while ((err = stream_message_next(&reader, &message)) == 1) {
        err = take_message(source, &message);
        if (err == 0) err = source->error;
        if (err != 0) return err;
    }
    return err == 0 ? 0 : lie(source, STREAM_LIE_MALFORMED);
}

bool source_is_full(const struct source *source)
{
    return source->control.size > STREAM_CONTROL_MAX;
}

/* ---- what the follower is sent ---- */

static bool wants_late(const struct source *source)
{
    int64_t reserve = source->late_bytes == INT64_MAX ? 0 : STREAM_LATE_CREDIT;

    return !list_is_empty(&source->late) && source->credit > reserve;
}

bool source_has_output(const struct source *source)
{
    return source->control.size != 0 || !list_is_empty(&source->marks) || (!list_is_empty(&source->data) && source->credit > 0) ||
           (wants_late(source) && source->late_bytes > 0);
}

bool source_is_held_back(const struct source *source)
{
    return wants_late(source) && source->late_bytes <= 0;
}

/* It never got what is gone by now. */
static void send_reset(struct source *source, struct replica_peer *peer)
{
    struct stream_message message = message_to(replica_of_peer(peer), STREAM_RESET, peer->slot, peer->session);

    message.start_epoch = source->ops->start_epoch(source->user, replica_of_peer(peer));
    forget_peer(source, peer);
    say(source, &message);
}

static int put_control(struct source *source, struct buffer *packet)
{
    int err;

    if (source->error != 0) return source->error;
    if (source->control.size == 0 || packet->size + source->control.size > STREAM_PACKET_MAX) return 0;
    err = buffer_append(packet, source->control.data, source->control.size);
    if (err != 0) return err;
    if (source->control.capacity > STREAM_CONTROL_MAX)
        buffer_deinit(&source->control);
    else
        buffer_clear(&source->control);
    return 0;
}

static int put_marks(struct source *source, struct buffer *packet)
{
    while (packet->size < STREAM_PACKET_AIM && !list_is_empty(&source->marks)) {
        struct replica_peer *peer = container_of(source->marks.next, struct replica_peer, link);
        struct stream_message message = message_to(replica_of_peer(peer), STREAM_MARK, peer->slot, peer->session);
        int err = stream_message_encode(&message, packet);

        if (err != 0) return err;
        list_remove(&peer->link);
        peer->is_mark_due = false;
    }
    return 0;
}

/* Where those in sync leave no credits beyond the reserve, turns are counted in bytes: many small pieces must not make room for large
 * ones that use the reserve up. */
static bool is_late_turn(const struct source *source)
{
    if (list_is_empty(&source->late) || source->late_bytes <= 0) return false;
    if (list_is_empty(&source->data)) return wants_late(source);
    if (wants_late(source)) return source->turn % STREAM_LATE_TURN == STREAM_LATE_TURN - 1;
    return source->in_sync_bytes >= (STREAM_LATE_TURN - 1) * STREAM_PIECE;
}

/* Whose turn it is; NULL: nobody's now. Whoever is in sync goes first, but those that are not get on all the same. */
static struct replica_peer *next_peer(struct source *source, bool *ret_is_late)
{
    struct list_node *queue = &source->data;

    if (source->credit <= 0) return NULL;
    *ret_is_late = is_late_turn(source);
    if (*ret_is_late) queue = &source->late;
    if (list_is_empty(queue)) return NULL;
    source->turn++;
    return container_of(queue->next, struct replica_peer, link);
}

int source_next(struct source *source, struct buffer *packet, struct source_read *ret_read)
{
    struct replica_peer *peer;
    bool is_late;
    int err = put_control(source, packet);

    while (err == 0 && packet->size < STREAM_PACKET_AIM && (peer = next_peer(source, &is_late)) != NULL) {
        struct partition *partition = &replica_of_peer(peer)->partition;

        list_remove(&peer->link);
        peer->is_queued = false;
        if (peer->sent < partition->log_start) {
            send_reset(source, peer);
            err = put_control(source, packet);
            continue;
        }
        *ret_read = (struct source_read){
            .replica = replica_of_peer(peer),
            .peer = peer,
            .offset = peer->sent,
            .limit = partition->log_end,
            .bytes_max = source->credit < STREAM_PIECE ? (uint32_t)source->credit : STREAM_PIECE,
            .is_late = is_late,
        };
        return 1;
    }
    return err != 0 ? err : put_marks(source, packet);
}

int source_send(struct source *source, const struct source_read *read, uint32_t size, uint64_t next_offset, struct buffer *packet)
{
    struct replica_peer *peer = read->peer;
    struct stream_message message = message_to(read->replica, STREAM_DATA, peer->slot, peer->session);
    int err;

    MESH_ASSERT(size > 0 && size <= STREAM_DATA_MAX);
    MESH_ASSERT(next_offset > read->offset && next_offset <= read->replica->partition.log_end);
    message.size = size;
    err = stream_message_encode(&message, packet);
    if (err != 0) {
        source->error = err;
        return err;
    }
    peer->sent = next_offset;
    peer->is_mark_due = false;
    source->credit -= size;
    source->in_sync_bytes = read->is_late ? 0 : source->in_sync_bytes + size;
    if (read->is_late && source->late_bytes != INT64_MAX) source->late_bytes -= size;
    source_wake(peer);
    return 0;
}

int source_more(const struct source_read *read, uint32_t size, struct buffer *packet)
{
    const struct stream_message message = {
        .type = STREAM_MORE, .slot = read->peer->slot, .session = read->peer->session, .bytes = {NULL, size}};

    return stream_message_encode(&message, packet);
}

void source_skip(struct source *source, const struct source_read *read, int error)
{
    struct replica_peer *peer = read->peer;

    if (error == MESH_EAGAIN) {
        peer->is_waiting = true;
        source_wake(peer); /* a mark may be due all the same */
    } else if (error == MESH_EOFFSET_OUT_OF_RANGE && peer->sent < read->replica->partition.log_start) {
        send_reset(source, peer);
    } else {
        source_leave(peer, STREAM_REASON_STORAGE);
    }
}
