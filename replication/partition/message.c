/* partition/message.c - the messages of a replication stream as bytes. */
#include "replication/partition/message.h"

#include "base/assert.h"
#include "base/error.h"

const char *stream_reason_text(enum stream_reason reason)
{
    switch (reason) {
    case STREAM_REASON_NONE: return "no reason";
#define STREAM_REASON_TEXT(name, number, text)                                                                        \
    case STREAM_REASON_##name: return text;
        STREAM_REASON_MAP(STREAM_REASON_TEXT)
#undef STREAM_REASON_TEXT
    case STREAM_REASON_COUNT: break;
    }
    return "a reason of a newer version";
}

/* ---- writing ---- */

int stream_packet_begin(struct buffer *to)
{
    uint8_t version = STREAM_PACKET_VERSION;

    MESH_ASSERT(to->size == 0);
    return buffer_append(to, &version, 1);
}

static void put_attach(struct codec_writer *writer, const struct stream_message *message)
{
    codec_put_uuid(writer, &message->topic_id);
    codec_put_varint(writer, message->partition);
    codec_put_varint(writer, message->broker_epoch);
    codec_put_varint(writer, message->generation);
    codec_put_varint(writer, message->log_start);
    codec_put_varint(writer, message->log_end);
    codec_put_varint(writer, message->written);
    codec_put_varint(writer, message->durable);
    codec_put_zigzag(writer, message->last_epoch);
}

static void put_leader_state(struct codec_writer *writer, const struct stream_message *message)
{
    codec_put_varint(writer, message->high_watermark);
    codec_put_varint(writer, message->log_start);
}

/* To whom may have to begin anew there. */
static void put_leader_start(struct codec_writer *writer, const struct stream_message *message)
{
    put_leader_state(writer, message);
    codec_put_zigzag(writer, message->start_epoch);
}

static void put_body(struct codec_writer *writer, const struct stream_message *message)
{
    switch (message->type) {
    case STREAM_ATTACH: put_attach(writer, message); break;
    case STREAM_ACK:
        codec_put_varint(writer, message->written);
        codec_put_varint(writer, message->durable);
        break;
    case STREAM_CREDIT: codec_put_varint(writer, message->credit); break;
    case STREAM_DETACH:
    case STREAM_REJECT: codec_put_varint(writer, message->reason); break;
    case STREAM_DATA:
        put_leader_state(writer, message);
        codec_put_varint(writer, message->size);
        break;
    case STREAM_MARK: put_leader_state(writer, message); break;
    case STREAM_RESET: put_leader_start(writer, message); break;
    case STREAM_DIVERGED:
        put_leader_start(writer, message);
        codec_put_zigzag(writer, message->last_epoch);
        codec_put_varint(writer, message->end_offset);
        break;
    case STREAM_MORE: codec_put_varint(writer, message->bytes.size); break;
    }
}

int stream_message_encode(const struct stream_message *message, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    uint8_t type = (uint8_t)message->type;

    if (buffer_reserve(to, STREAM_HEAD_MAX) != 0) return MESH_ENOMEM; /* so that nothing below can fail half way */
    codec_put_raw(&writer, &type, 1);
    if (message->type != STREAM_CREDIT) {
        codec_put_varint(&writer, message->slot);
        codec_put_varint(&writer, message->session);
        if (message->type != STREAM_MORE) codec_put_varint(&writer, (uint32_t)message->leader_epoch);
    }
    put_body(&writer, message);
    return writer.error;
}

/* ---- reading ---- */

int stream_packet_open(struct slice packet, struct codec_reader *ret_reader)
{
    if (packet.size == 0) return MESH_EPROTO;
    if (packet.size > STREAM_PACKET_MAX) return MESH_ETOOLARGE;
    if (packet.data[0] != STREAM_PACKET_VERSION) return MESH_EVERSION;
    *ret_reader = codec_reader_of(slice_of(packet.data + 1, packet.size - 1));
    return 0;
}

static uint64_t get_offset(struct codec_reader *reader)
{
    return codec_get_bounded(reader, STREAM_OFFSET_MAX);
}

static int32_t get_epoch_or_none(struct codec_reader *reader)
{
    int32_t epoch = codec_get_int32(reader);

    if (epoch < -1) reader->is_bad = true;
    return epoch;
}

static void get_attach(struct codec_reader *reader, struct stream_message *message)
{
    message->topic_id = codec_get_uuid(reader);
    message->partition = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    message->broker_epoch = codec_get_varint(reader);
    message->generation = codec_get_varint(reader);
    message->log_start = get_offset(reader);
    message->log_end = get_offset(reader);
    message->written = get_offset(reader);
    message->durable = get_offset(reader);
    message->last_epoch = get_epoch_or_none(reader);
    if (message->log_start > message->log_end || message->written > message->log_end || message->durable > message->written)
        reader->is_bad = true;
    if (message->last_epoch > message->leader_epoch) reader->is_bad = true;
}

/* A log never begins above its high watermark. */
static void get_leader_state(struct codec_reader *reader, struct stream_message *message)
{
    message->high_watermark = get_offset(reader);
    message->log_start = get_offset(reader);
    if (message->log_start > message->high_watermark) reader->is_bad = true;
}

static void get_leader_start(struct codec_reader *reader, struct stream_message *message)
{
    get_leader_state(reader, message);
    message->start_epoch = get_epoch_or_none(reader);
    if (message->start_epoch > message->leader_epoch) reader->is_bad = true;
    if (message->log_start == 0 && message->start_epoch != -1) reader->is_bad = true; /* nothing is before the first record */
}

/* The rest of the batches is in packets to come: then this packet ends with what there is of them. */
static void get_batches(struct codec_reader *reader, struct stream_message *message)
{
    size_t there;

    message->size = (uint32_t)codec_get_bounded(reader, STREAM_DATA_MAX);
    if (message->size == 0) reader->is_bad = true;
    if (reader->is_bad) return;
    there = (size_t)(reader->end - reader->at);
    message->bytes = codec_get_raw(reader, there < message->size ? there : message->size);
}

static enum stream_reason get_reason(struct codec_reader *reader)
{
    uint64_t reason = codec_get_bounded(reader, STREAM_REASON_COUNT - 1);

    if (reason == 0) reader->is_bad = true;
    return (enum stream_reason)reason;
}

static void get_body(struct codec_reader *reader, struct stream_message *message)
{
    switch (message->type) {
    case STREAM_ATTACH: get_attach(reader, message); break;
    case STREAM_ACK:
        message->written = get_offset(reader);
        message->durable = get_offset(reader);
        if (message->durable > message->written) reader->is_bad = true;
        break;
    case STREAM_CREDIT:
        message->credit = codec_get_bounded(reader, STREAM_OFFSET_MAX);
        if (message->credit == 0) reader->is_bad = true;
        break;
    case STREAM_DETACH:
    case STREAM_REJECT: message->reason = get_reason(reader); break;
    case STREAM_DATA:
        get_leader_state(reader, message);
        get_batches(reader, message);
        break;
    case STREAM_MARK: get_leader_state(reader, message); break;
    case STREAM_RESET: get_leader_start(reader, message); break;
    case STREAM_DIVERGED:
        get_leader_start(reader, message);
        message->last_epoch = get_epoch_or_none(reader);
        message->end_offset = get_offset(reader);
        if (message->last_epoch < 0 || message->last_epoch > message->leader_epoch) reader->is_bad = true;
        break;
    case STREAM_MORE:
        message->bytes = codec_get_raw(reader, (size_t)codec_get_bounded(reader, STREAM_PACKET_MAX));
        if (message->bytes.size == 0) reader->is_bad = true;
        break;
    default: reader->is_bad = true;
    }
}

int stream_message_next(struct codec_reader *reader, struct stream_message *ret_message)
{
    struct slice type;

    if (codec_reader_is_done(reader)) return 0;
    memset(ret_message, 0, sizeof(*ret_message));
    type = codec_get_raw(reader, 1);
    if (type.size == 1) ret_message->type = (enum stream_message_type)type.data[0];
    if (ret_message->type != STREAM_CREDIT) {
        ret_message->slot = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
        ret_message->session = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
        if (ret_message->session == 0) reader->is_bad = true;
        if (ret_message->type != STREAM_MORE) ret_message->leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
    }
    get_body(reader, ret_message);
    return reader->is_bad ? MESH_EPROTO : 1;
}
