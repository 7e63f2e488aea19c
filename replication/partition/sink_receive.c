/* partition/sink_receive.c - what a leader says to a follower: checked whole, then handed out batch by batch. */
#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/replica_peers.h"
#include "replication/partition/sink.h"

static int lie(struct sink *sink, enum stream_lie which)
{
    sink->lie = which;
    return MESH_EPROTO;
}

static void raise_event(struct sink *sink, enum sink_event_type type, struct replica *replica, enum stream_reason reason)
{
    sink->event = (struct sink_event){.type = type, .replica = replica, .reason = reason};
    sink->has_event = true;
}

/* The slot whose present session this is; NULL: the message is late. Errors: MESH_EPROTO. */
static int find_slot(struct sink *sink, const struct stream_message *message, struct sink_slot **ret_slot)
{
    struct sink_slot *slot;

    *ret_slot = NULL;
    if (message->slot >= sink->slot_count) return lie(sink, STREAM_LIE_SLOT);
    if (message->session > sink->last_session) return lie(sink, STREAM_LIE_SESSION);
    slot = sink->slots[message->slot];
    if (slot == NULL || slot->session != message->session) return 0;
    if (message->type != STREAM_REJECT && message->leader_epoch != slot->replica->partition.leader_epoch &&
        !REPLICA_DEFECT(slot->replica, EPOCHS_NOT_COMPARED))
        return lie(sink, STREAM_LIE_EPOCH);
    *ret_slot = slot;
    return 0;
}

static void is_following(struct sink_slot *slot)
{
    slot->state = SINK_SLOT_FOLLOWING;
    slot->backoff_ms = 0;
    sink_moved(slot);
}

/* ---- batches ---- */

enum verdict { SOUND, DAMAGED, LIED };

/* All of them, before the first is handed out: so that nothing is appended of what is wrong somewhere. */
static enum verdict check_batches(struct sink *sink, const struct replica *replica, const struct stream_message *data)
{
    uint64_t next_offset = replica->partition.log_end;
    int32_t epoch = sink->ops->last_epoch(sink->user, replica);
    struct slice rest = data->bytes;
    struct record_batch_header header;

    while (rest.size != 0) {
        if (record_batch_parse_header(rest, &header) != 0 || header.size > rest.size) return DAMAGED;
        if (record_batch_verify(slice_of(rest.data, header.size), &header) != 0) return DAMAGED;
        if ((uint64_t)header.base_offset != next_offset || record_batch_last_offset(&header) == INT64_MAX) {
            lie(sink, STREAM_LIE_ORDER);
            return LIED;
        }
        if (header.leader_epoch < epoch || header.leader_epoch > data->leader_epoch) {
            lie(sink, STREAM_LIE_BATCH_EPOCH);
            return LIED;
        }
        next_offset = (uint64_t)record_batch_last_offset(&header) + 1;
        epoch = header.leader_epoch;
        rest = slice_of(rest.data + header.size, rest.size - header.size);
    }
    return SOUND;
}

/* The bytes of a DATA are done with, whatever became of them. */
static void end_data(struct sink *sink)
{
    sink->has_data = sink->is_in_pieces = false;
    sink->owed += sink->data.size;
    if (sink->pieces.capacity > STREAM_PIECE * 2)
        buffer_deinit(&sink->pieces);
    else
        buffer_clear(&sink->pieces);
}

/* All bytes of sink->data are there. */
static int begin_batches(struct sink *sink)
{
    struct sink_slot *slot;
    int err = find_slot(sink, &sink->data, &slot);

    if (err != 0) return err;
    sink->has_data = true;
    if (slot == NULL) {
        end_data(sink);
        return 0;
    }
    if (slot->state != SINK_SLOT_ATTACHING && slot->state != SINK_SLOT_FOLLOWING) return lie(sink, STREAM_LIE_UNASKED);
    switch (check_batches(sink, slot->replica, &sink->data)) {
    case SOUND: is_following(slot); break;
    case LIED: return MESH_EPROTO;
    case DAMAGED:
        sink_slot_detach(slot, STREAM_REASON_DAMAGED, SINK_SLOT_REFUSED);
        sink_slot_refused(slot);
        raise_event(sink, SINK_DAMAGED, slot->replica, STREAM_REASON_DAMAGED);
        end_data(sink);
        break;
    }
    return 0;
}

static int take_data(struct sink *sink, const struct stream_message *message)
{
    struct sink_slot *slot;
    int err = find_slot(sink, message, &slot);

    if (err != 0) return err;
    if (sink->balance <= 0) return lie(sink, STREAM_LIE_CREDIT);
    sink->balance -= message->size;
    sink->data = *message;
    if (message->bytes.size == message->size) return begin_batches(sink);
    buffer_clear(&sink->pieces);
    sink->is_in_pieces = true;
    return buffer_append(&sink->pieces, message->bytes.data, message->bytes.size);
}

static int take_more(struct sink *sink, const struct stream_message *message)
{
    int err;

    if (message->slot != sink->data.slot || message->session != sink->data.session ||
        message->bytes.size > sink->data.size - sink->pieces.size)
        return lie(sink, STREAM_LIE_PIECES);
    err = buffer_append(&sink->pieces, message->bytes.data, message->bytes.size);
    if (err != 0 || sink->pieces.size < sink->data.size) return err;
    sink->is_in_pieces = false;
    sink->data.bytes = buffer_slice(&sink->pieces);
    return begin_batches(sink);
}

/* ---- answers ---- */

static int take_mark(struct sink *sink, const struct stream_message *message)
{
    struct sink_slot *slot;
    int err = find_slot(sink, message, &slot);

    if (err != 0 || slot == NULL) return err;
    if (slot->state != SINK_SLOT_ATTACHING && slot->state != SINK_SLOT_FOLLOWING) return lie(sink, STREAM_LIE_UNASKED);
    is_following(slot);
    replica_adopt(slot->replica, message->high_watermark, message->log_start);
    return 0;
}

static int begin_cut(struct sink *sink, struct sink_slot *slot, enum replica_cut_verdict verdict)
{
    list_remove(&slot->link);
    slot->session = 0;
    slot->state = SINK_SLOT_CUTTING;
    if (verdict == REPLICA_CUT_NOTHING) return lie(sink, STREAM_LIE_NO_CUT);
    /* Before the cut is durable nothing is said: what would be acknowledged on top of it could come back differently (R14). */
    if (verdict == REPLICA_CUT_AGAIN) sink_slot_attach(slot);
    return 0;
}

static struct replica_log_start start_of(const struct stream_message *message)
{
    return (struct replica_log_start){message->log_start, message->start_epoch};
}

static int take_diverged(struct sink *sink, const struct stream_message *message)
{
    const struct replica_epoch_end theirs = {message->last_epoch, message->end_offset};
    struct replica_epoch_end ours;
    struct sink_slot *slot;
    int err = find_slot(sink, message, &slot);

    if (err != 0 || slot == NULL) return err;
    if (slot->state != SINK_SLOT_ATTACHING) return lie(sink, STREAM_LIE_UNASKED);
    if (REPLICA_DEFECT(slot->replica, ADOPTS_BEFORE_CUT)) replica_adopt(slot->replica, message->high_watermark, message->log_start);
#ifdef MESH_TEST_SWITCHES
    slot->has_claim = REPLICA_DEFECT(slot->replica, ONE_ROUND);
    slot->claimed_epoch = message->last_epoch;
#endif
    ours.offset = sink->ops->epoch_end(sink->user, slot->replica, theirs.epoch, &ours.epoch);
    return begin_cut(sink, slot,
                     replica_diverged(slot->replica, theirs, ours, sink->ops->last_epoch(sink->user, slot->replica), start_of(message)));
}

static int take_reset(struct sink *sink, const struct stream_message *message)
{
    struct sink_slot *slot;
    int err = find_slot(sink, message, &slot);

    if (err != 0 || slot == NULL) return err;
    if (slot->state != SINK_SLOT_ATTACHING && slot->state != SINK_SLOT_FOLLOWING) return lie(sink, STREAM_LIE_UNASKED);
    return begin_cut(sink, slot, replica_must_reset(slot->replica, sink->ops->last_epoch(sink->user, slot->replica), start_of(message)));
}

static int take_reject(struct sink *sink, const struct stream_message *message)
{
    struct sink_slot *slot;
    int err = find_slot(sink, message, &slot);

    if (err != 0 || slot == NULL) return err;
    sink_slot_refused(slot);
    raise_event(sink, SINK_REJECTED, slot->replica, message->reason);
    return 0;
}

static int take_message(struct sink *sink, const struct stream_message *message)
{
    if (sink->is_in_pieces != (message->type == STREAM_MORE)) return lie(sink, STREAM_LIE_PIECES);
    switch (message->type) {
    case STREAM_DATA: return take_data(sink, message);
    case STREAM_MORE: return take_more(sink, message);
    case STREAM_MARK: return take_mark(sink, message);
    case STREAM_DIVERGED: return take_diverged(sink, message);
    case STREAM_RESET: return take_reset(sink, message);
    case STREAM_REJECT: return take_reject(sink, message);
    case STREAM_ATTACH:
    case STREAM_ACK:
    case STREAM_CREDIT:
    case STREAM_DETACH: break;
    }
    return lie(sink, STREAM_LIE_DIRECTION);
}

/* ---- events ---- */

int sink_receive(struct sink *sink, struct slice packet)
{
    int err = stream_packet_open(packet, &sink->reader);

    MESH_ASSERT(sink->is_connected && !sink->has_packet);
    if (err == MESH_EVERSION) return lie(sink, STREAM_LIE_VERSION);
    if (err != 0) return lie(sink, STREAM_LIE_MALFORMED);
    sink->has_packet = true;
    return 0;
}

/* The next batch of sink->data, if its session is still the one that it came in. */
static int next_batch(struct sink *sink)
{
    struct sink_slot *slot;
    int err = find_slot(sink, &sink->data, &slot);

    if (err != 0) return err;
    if (slot == NULL || slot->state != SINK_SLOT_FOLLOWING) {
        end_data(sink);
        return 0;
    }
    if (sink->data.bytes.size == 0) {
        end_data(sink);
        replica_adopt(slot->replica, sink->data.high_watermark, sink->data.log_start);
        return 0;
    }
    raise_event(sink, SINK_APPEND, slot->replica, STREAM_REASON_NONE);
    err = record_batch_parse_header(sink->data.bytes, &sink->event.header);
    MESH_ASSERT(err == 0); /* it was checked */
    sink->event.batch = slice_of(sink->data.bytes.data, sink->event.header.size);
    return 0;
}

/* What has happened to the replica since the event was raised may have made it void. */
static bool event_is_void(const struct sink *sink)
{
    const struct sink_slot *slot;

    if (sink->event.type != SINK_APPEND) return false;
    slot = sink->slots[sink->data.slot];
    return slot == NULL || slot->session != sink->data.session || slot->state != SINK_SLOT_FOLLOWING;
}

int sink_next(struct sink *sink, struct sink_event *ret_event)
{
    struct stream_message message;
    int err;

    if (sink->has_event && event_is_void(sink)) sink->has_event = false;
    while (!sink->has_event) {
        if (!sink->has_packet) return 0;
        if (sink->has_data) {
            err = next_batch(sink);
        } else {
            err = stream_message_next(&sink->reader, &message);
            if (err == 0) {
                sink->has_packet = false;
                return 0;
            }
            err = err == 1 ? take_message(sink, &message) : lie(sink, STREAM_LIE_MALFORMED);
        }
        if (err == 0) err = sink->error;
        if (err != 0) return err;
    }
    *ret_event = sink->event;
    return 1;
}

void sink_taken(struct sink *sink)
{
    const struct sink_event *event = &sink->event;

    MESH_ASSERT(sink->has_event);
    sink->has_event = false;
    if (event->type != SINK_APPEND) return;
    replica_follower_appended(event->replica, &event->header);
    sink->data.bytes = slice_of(sink->data.bytes.data + event->header.size, sink->data.bytes.size - event->header.size);
}

void sink_fail(struct sink *sink)
{
    MESH_ASSERT(sink->has_event && sink->event.type == SINK_APPEND);
    sink->has_event = false;
    sink_slot_detach(sink->event.replica->slot, STREAM_REASON_STORAGE, SINK_SLOT_BROKEN);
    end_data(sink);
}
