/* partition/sink.c - the places of replicas in a stream, and what a follower says. */
#include "replication/partition/sink.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/replica_peers.h"

#include <stdlib.h>

#define NO_NUMBER STREAM_SLOTS_MAX

void sink_init(struct sink *sink, struct replica_board *board, const struct sink_ops *ops, void *user)
{
    *sink = (struct sink){
        .ops = ops, .user = user, .board = board, .deadline_ms = UINT64_MAX, .control = BUFFER_INIT, .pieces = BUFFER_INIT};
    list_init(&sink->all);
    list_init(&sink->ready);
    list_init(&sink->refused);
}

static void free_slot(struct sink_slot *slot)
{
    struct sink *sink = slot->sink;

    if (slot->number != NO_NUMBER) {
        sink->slots[slot->number] = NULL;
        sink->free_numbers[sink->free_count++] = slot->number;
    }
    if (sink->has_event && sink->event.replica == slot->replica) sink->has_event = false;
    list_remove(&slot->link);
    list_remove(&slot->owned);
    slot->replica->slot = NULL;
    free(slot);
}

void sink_deinit(struct sink *sink)
{
    list_for_each_safe(node, &sink->all)
        free_slot(container_of(node, struct sink_slot, owned));
    free(sink->slots);
    free(sink->free_numbers);
    buffer_deinit(&sink->control);
    buffer_deinit(&sink->pieces);
}

int sink_add(struct sink *sink, struct replica *replica)
{
    struct sink_slot *slot;

    MESH_ASSERT(replica->role == REPLICA_FOLLOWER);
    if (replica->slot != NULL) sink_leave(replica->slot);
    slot = calloc(1, sizeof(*slot));
    if (slot == NULL) return MESH_ENOMEM;
    slot->sink = sink;
    slot->replica = replica;
    slot->number = NO_NUMBER;
    slot->state = replica->is_cutting ? SINK_SLOT_CUTTING : SINK_SLOT_WAITING;
    list_init(&slot->link);
    list_push_back(&sink->all, &slot->owned);
    replica->slot = slot;
    if (slot->state == SINK_SLOT_WAITING) sink_slot_attach(slot);
    return 0;
}

/* ---- states ---- */

static void make_ready(struct sink_slot *slot)
{
    if (!slot->sink->is_connected) return;
    list_remove(&slot->link);
    list_push_back(&slot->sink->ready, &slot->link);
}

void sink_slot_attach(struct sink_slot *slot)
{
    slot->state = SINK_SLOT_WAITING;
    slot->session = 0;
    make_ready(slot);
}

/* What the leader still sends of this session is late from now on. */
void sink_slot_detach(struct sink_slot *slot, enum stream_reason reason, enum sink_slot_state state)
{
    struct sink *sink = slot->sink;
    const struct stream_message message = {.type = STREAM_DETACH,
                                           .slot = slot->number,
                                           .session = slot->session,
                                           .leader_epoch = slot->replica->partition.leader_epoch,
                                           .reason = reason};
    int err = 0;

    list_remove(&slot->link);
    if (slot->session != 0 && (slot->state == SINK_SLOT_ATTACHING || slot->state == SINK_SLOT_FOLLOWING) && sink->is_connected)
        err = stream_message_encode(&message, &sink->control);
    if (err != 0) sink->error = err;
    slot->session = 0;
    slot->state = (uint8_t)state;
}

void sink_slot_refused(struct sink_slot *slot)
{
    struct sink *sink = slot->sink;

    slot->state = SINK_SLOT_REFUSED;
    slot->session = 0;
    slot->backoff_ms = slot->backoff_ms == 0 ? STREAM_RETRY_MIN_MS : slot->backoff_ms * 2;
    if (slot->backoff_ms > STREAM_RETRY_MAX_MS) slot->backoff_ms = STREAM_RETRY_MAX_MS;
    slot->retry_ms = sink->board->now_ms + slot->backoff_ms;
    list_remove(&slot->link);
    list_push_back(&sink->refused, &slot->link);
    if (slot->retry_ms < sink->deadline_ms) sink->deadline_ms = slot->retry_ms;
}

void sink_tick(struct sink *sink)
{
    uint64_t now_ms = sink->board->now_ms;

    if (now_ms < sink->deadline_ms) return;
    sink->deadline_ms = UINT64_MAX;
    list_for_each_safe(node, &sink->refused)
    {
        struct sink_slot *slot = container_of(node, struct sink_slot, link);

        if (slot->retry_ms <= now_ms) {
            list_remove(&slot->link);
            sink_slot_attach(slot);
        } else if (slot->retry_ms < sink->deadline_ms) {
            sink->deadline_ms = slot->retry_ms;
        }
    }
}

void sink_leave(struct sink_slot *slot)
{
    sink_slot_detach(slot, STREAM_REASON_LEFT, SINK_SLOT_WAITING);
    free_slot(slot);
}

void sink_cut_done(struct sink_slot *slot)
{
    if (slot->state == SINK_SLOT_CUTTING) sink_slot_attach(slot);
}

/* What counts for the leader is told; the other position goes along with it. */
static bool has_news(const struct sink_slot *slot)
{
    const struct replica *replica = slot->replica;

    return replica->partition.config.is_async ? replica->written != slot->acked_written : replica->durable != slot->acked_durable;
}

void sink_moved(struct sink_slot *slot)
{
    if (slot->state == SINK_SLOT_FOLLOWING && list_is_empty(&slot->link) && has_news(slot)) make_ready(slot);
}

void sink_fell(struct sink_slot *slot)
{
    if (slot->state != SINK_SLOT_ATTACHING && slot->state != SINK_SLOT_FOLLOWING) return;
    sink_slot_detach(slot, STREAM_REASON_STORAGE, SINK_SLOT_WAITING);
    sink_slot_attach(slot);
}

void sink_gives_up(struct sink_slot *slot)
{
    sink_slot_detach(slot, STREAM_REASON_STORAGE, SINK_SLOT_CUTTING);
}

/* ---- connections ---- */

void sink_connected(struct sink *sink)
{
    MESH_ASSERT(!sink->is_connected);
    sink->is_connected = true;
    sink->balance = 0;
    sink->owed = STREAM_WINDOW;
    list_for_each(node, &sink->all)
    {
        struct sink_slot *slot = container_of(node, struct sink_slot, owned);

        if (slot->state == SINK_SLOT_WAITING || slot->state == SINK_SLOT_REFUSED) sink_slot_attach(slot);
    }
}

void sink_disconnected(struct sink *sink)
{
    sink->is_connected = sink->has_packet = sink->has_event = sink->has_data = sink->is_in_pieces = false;
    sink->last_session = 0;
    sink->slot_count = sink->free_count = 0;
    sink->lie = STREAM_LIE_NONE;
    sink->error = 0;
    buffer_deinit(&sink->control);
    buffer_deinit(&sink->pieces);
    list_for_each(node, &sink->all)
    {
        struct sink_slot *slot = container_of(node, struct sink_slot, owned);

        slot->number = NO_NUMBER;
        slot->session = 0;
        slot->backoff_ms = 0;
        if (slot->state == SINK_SLOT_CUTTING || slot->state == SINK_SLOT_BROKEN) continue;
        slot->state = SINK_SLOT_WAITING;
        list_remove(&slot->link);
    }
}

/* ---- what is said ---- */

/* Credits go back in large pieces; and at once when the leader may be waiting for them. */
static bool credit_is_due(const struct sink *sink)
{
    return sink->owed >= STREAM_WINDOW / 4 || (sink->owed != 0 && sink->balance <= 0);
}

bool sink_has_output(const struct sink *sink)
{
    return sink->is_connected && (credit_is_due(sink) || sink->control.size != 0 || !list_is_empty(&sink->ready));
}

static int give_number(struct sink *sink, struct sink_slot *slot)
{
    uint32_t capacity = sink->slot_capacity == 0 ? 16 : sink->slot_capacity * 2;
    struct sink_slot **slots;
    uint32_t *numbers;

    if (slot->number != NO_NUMBER) return 0;
    if (sink->free_count != 0) {
        slot->number = sink->free_numbers[--sink->free_count];
    } else {
        if (sink->slot_count == STREAM_SLOTS_MAX) return MESH_EFULL;
        if (sink->slot_count == sink->slot_capacity) {
            slots = realloc(sink->slots, capacity * sizeof(*slots));
            if (slots == NULL) return MESH_ENOMEM;
            sink->slots = slots;
            numbers = realloc(sink->free_numbers, capacity * sizeof(*numbers));
            if (numbers == NULL) return MESH_ENOMEM;
            sink->free_numbers = numbers;
            sink->slot_capacity = capacity;
        }
        slot->number = sink->slot_count++;
    }
    sink->slots[slot->number] = slot;
    return 0;
}

/* R1, R2: the follower says where it stands; the epoch of its last batch comes from the log itself (KAFKA-15510). */
static int put_attach(struct sink *sink, struct sink_slot *slot, struct buffer *packet)
{
    const struct replica *replica = slot->replica;
    struct stream_message message = {
        .type = STREAM_ATTACH,
        .session = sink->last_session + 1,
        .leader_epoch = replica->partition.leader_epoch,
        .broker_epoch = sink->board->broker_epoch,
        .generation = replica->generation,
        .log_start = replica->partition.log_start,
        .log_end = replica->partition.log_end,
        .written = replica->written > replica->durable ? replica->written : replica->durable,
        .durable = replica->durable,
        .last_epoch = sink->ops->last_epoch(sink->user, replica),
    };
    int err = give_number(sink, slot);

    if (err != 0) return err;
#ifdef MESH_TEST_SWITCHES
    if (slot->has_claim) message.last_epoch = slot->claimed_epoch;
    slot->has_claim = false;
#endif
    sink->ops->identify(sink->user, replica, &message.topic_id, &message.partition);
    message.slot = slot->number;
    err = stream_message_encode(&message, packet);
    if (err != 0) return err;
    slot->session = ++sink->last_session;
    slot->state = SINK_SLOT_ATTACHING;
    slot->acked_written = message.written;
    slot->acked_durable = message.durable;
    return 0;
}

static int put_ack(struct sink_slot *slot, struct buffer *packet)
{
    const struct replica *replica = slot->replica;
    const struct stream_message message = {
        .type = STREAM_ACK,
        .slot = slot->number,
        .session = slot->session,
        .leader_epoch = replica->partition.leader_epoch,
        .written = replica->written > replica->durable ? replica->written : replica->durable,
        .durable = replica->durable,
    };
    int err = stream_message_encode(&message, packet);

    if (err != 0) return err;
    slot->acked_written = replica->written;
    slot->acked_durable = replica->durable;
    return 0;
}

static int put_credit(struct sink *sink, struct buffer *packet)
{
    const struct stream_message message = {.type = STREAM_CREDIT, .credit = sink->owed};
    int err;

    if (!credit_is_due(sink)) return 0;
    err = stream_message_encode(&message, packet);
    if (err != 0) return err;
    sink->balance += (int64_t)sink->owed;
    sink->owed = 0;
    return 0;
}

static int put_control(struct sink *sink, struct buffer *packet)
{
    int err;

    if (sink->error != 0) return sink->error;
    if (sink->control.size == 0 || packet->size + sink->control.size > STREAM_PACKET_MAX) return 0;
    err = buffer_append(packet, sink->control.data, sink->control.size);
    if (err == 0) buffer_deinit(&sink->control); /* rare, so not kept */
    return err;
}

int sink_output(struct sink *sink, struct buffer *packet)
{
    int err = put_credit(sink, packet);

    MESH_ASSERT(sink->is_connected);
    if (err == 0) err = put_control(sink, packet);
    while (err == 0 && packet->size < STREAM_PACKET_AIM && !list_is_empty(&sink->ready)) {
        struct sink_slot *slot = container_of(sink->ready.next, struct sink_slot, link);

        if (slot->state == SINK_SLOT_WAITING)
            err = put_attach(sink, slot, packet);
        else if (slot->state == SINK_SLOT_FOLLOWING)
            err = put_ack(slot, packet);
        if (err == 0) list_remove(&slot->link);
    }
    if (err != 0) sink->error = err;
    return err;
}
