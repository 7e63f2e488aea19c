#include "replication/spread/message.h"

#include "base/assert.h"

#define MESSAGE_VERSION 1

/* The first byte of a row: its kind in the lowest two bits, and what follows. */
enum row_flag {
    ROW_KIND = 3,
    ROW_GROUP = 4,     /* another group than the row before has */
    ROW_TOPIC = 8,     /* another topic */
    ROW_EPOCH = 16,    /* another epoch */
    ROW_METADATA = 32,
    ROW_FLAGS = 63,
};

static void put_bytes(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

/* ---- rows ---- */

struct spread_rows_writer spread_rows_write(struct buffer *to)
{
    return (struct spread_rows_writer){.writer = {to, 0}};
}

static bool has_cell(enum spread_row_kind kind)
{
    return kind == SPREAD_CELL || kind == SPREAD_CELL_GONE;
}

static void put_group(struct spread_rows_writer *writer, struct slice group)
{
    codec_put_varint(&writer->writer, group.size);
    writer->group_at = writer->writer.to->size;
    writer->group_size = group.size;
    codec_put_raw(&writer->writer, group.data, group.size);
}

static uint8_t flags_of(const struct spread_rows_writer *writer, const struct spread_row *row)
{
    struct slice before = {NULL, 0};
    unsigned flags = row->kind;

    if (writer->group_size != 0) before = slice_of(writer->writer.to->data + writer->group_at, writer->group_size);
    if (!slice_equal(before, row->group)) flags |= ROW_GROUP;
    if (has_cell(row->kind) && (!writer->has_topic || !uuid_equal(&writer->topic, &row->topic))) flags |= ROW_TOPIC;
    if (writer->version.epoch != row->version.epoch) flags |= ROW_EPOCH;
    if (row->kind == SPREAD_CELL && row->metadata.size != 0) flags |= ROW_METADATA;
    return (uint8_t)flags;
}

void spread_rows_put(struct spread_rows_writer *writer, const struct spread_row *row)
{
    struct codec_writer *to = &writer->writer;
    uint8_t flags;

    if (to->error != 0) return;
    flags = flags_of(writer, row);
    codec_put_raw(to, &flags, 1);
    if (flags & ROW_GROUP) put_group(writer, row->group);
    if (flags & ROW_EPOCH) codec_put_varint(to, row->version.epoch);
    /* Differences wrap around: places use all 64 bits. */
    codec_put_zigzag(to, (int64_t)(row->version.lsn - writer->version.lsn));
    codec_put_zigzag(to, (int64_t)row->time_s - (int64_t)writer->time_s);
    if (flags & ROW_TOPIC) codec_put_uuid(to, &row->topic);
    if (has_cell(row->kind)) {
        writer->topic = row->topic;
        writer->has_topic = true;
        codec_put_varint(to, row->partition);
    }
    if (row->kind == SPREAD_CELL) {
        codec_put_varint(to, row->offset);
        codec_put_zigzag(to, row->record_epoch);
        if (flags & ROW_METADATA) put_bytes(to, row->metadata);
    } else if (row->kind == SPREAD_GROUP) {
        codec_put_varint(to, row->protocol);
        codec_put_varint(to, row->generation);
        codec_put_varint(to, row->reset_epoch);
        codec_put_varint(to, row->member_count);
        codec_put_varint(to, row->empty_since_ms);
    }
    writer->version = row->version;
    writer->time_s = row->time_s;
}

struct spread_rows_reader spread_rows_read(struct slice rows)
{
    return (struct spread_rows_reader){.reader = codec_reader_of(rows)};
}

static void get_group(struct spread_rows_reader *from)
{
    from->group = codec_get_raw(&from->reader, (size_t)codec_get_bounded(&from->reader, GROUP_NAME_SIZE_MAX));
    if (!from->reader.is_bad && group_name_check(from->group) != 0) from->reader.is_bad = true;
}

static void get_rest(struct spread_rows_reader *from, unsigned flags, struct spread_row *row)
{
    struct codec_reader *reader = &from->reader;

    if (has_cell(row->kind)) {
        if (!from->has_topic) reader->is_bad = true;
        row->topic = from->topic;
        row->partition = (uint32_t)codec_get_bounded(reader, GROUP_ITEMS_MAX - 1);
    }
    if (row->kind == SPREAD_CELL) {
        row->offset = codec_get_bounded(reader, GROUP_OFFSET_MAX);
        row->record_epoch = codec_get_int32(reader);
        if (flags & ROW_METADATA) row->metadata = codec_get_raw(reader, (size_t)codec_get_bounded(reader, GROUP_METADATA_SIZE_MAX));
        if (row->record_epoch < -1) reader->is_bad = true;
    } else if (row->kind == SPREAD_GROUP) {
        row->protocol = (enum group_protocol)codec_get_bounded(reader, GROUP_PROTOCOLS - 1);
        row->generation = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
        row->reset_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
        row->member_count = (uint32_t)codec_get_bounded(reader, GROUP_MEMBERS_MAX);
        row->empty_since_ms = codec_get_varint(reader);
    }
}

bool spread_rows_next(struct spread_rows_reader *from, struct spread_row *ret_row)
{
    struct codec_reader *reader = &from->reader;
    struct spread_row row;
    struct slice first;
    unsigned flags;
    int64_t time_s;

    if (reader->is_bad || reader->at == reader->end) return false;
    first = codec_get_raw(reader, 1);
    flags = first.data[0];
    memset(&row, 0, sizeof(row));
    row.kind = (enum spread_row_kind)(flags & ROW_KIND);
    if (flags & ~(unsigned)ROW_FLAGS || (flags & ROW_METADATA && row.kind != SPREAD_CELL) || (flags & ROW_TOPIC && !has_cell(row.kind)))
        reader->is_bad = true;
    if (flags & ROW_GROUP) get_group(from);
    if (flags & ROW_EPOCH) from->version.epoch = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    from->version.lsn += (uint64_t)codec_get_zigzag(reader);
    time_s = (int64_t)((uint64_t)from->time_s + (uint64_t)codec_get_zigzag(reader));
    if (time_s < 0 || time_s > UINT32_MAX || from->group.size == 0) reader->is_bad = true;
    from->time_s = (uint32_t)time_s;
    if (flags & ROW_TOPIC) {
        from->topic = codec_get_uuid(reader);
        from->has_topic = true;
    }
    row.group = from->group;
    row.version = from->version;
    row.time_s = from->time_s;
    get_rest(from, flags, &row);
    if (reader->is_bad) return false;
    *ret_row = row;
    return true;
}

/* ---- ends ---- */

struct spread_ends_writer spread_ends_write(struct buffer *to)
{
    return (struct spread_ends_writer){.writer = {to, 0}};
}

/* A topic is named by a 0 and its uuid before the first of its ends; the others begin with 1 + the partition. */
void spread_ends_put(struct spread_ends_writer *writer, const struct spread_end *end)
{
    if (!writer->has_topic || !uuid_equal(&writer->topic, &end->topic)) {
        codec_put_varint(&writer->writer, 0);
        codec_put_uuid(&writer->writer, &end->topic);
        writer->topic = end->topic;
        writer->has_topic = true;
    }
    codec_put_varint(&writer->writer, (uint64_t)end->partition + 1);
    codec_put_varint(&writer->writer, end->leader_epoch);
    codec_put_varint(&writer->writer, end->high_watermark);
    codec_put_varint(&writer->writer, end->high_watermark - end->log_start);
}

struct spread_ends_reader spread_ends_read(struct slice ends)
{
    return (struct spread_ends_reader){.reader = codec_reader_of(ends)};
}

bool spread_ends_next(struct spread_ends_reader *from, struct spread_end *ret_end)
{
    struct codec_reader *reader = &from->reader;
    struct spread_end end;
    uint64_t first;

    if (reader->is_bad || reader->at == reader->end) return false;
    first = codec_get_bounded(reader, GROUP_ITEMS_MAX);
    if (first == 0) {
        from->topic = codec_get_uuid(reader);
        from->has_topic = true;
        first = codec_get_bounded(reader, GROUP_ITEMS_MAX);
    }
    if (first == 0 || !from->has_topic) reader->is_bad = true;
    end.topic = from->topic;
    end.partition = (uint32_t)first - 1;
    end.leader_epoch = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    end.high_watermark = codec_get_bounded(reader, GROUP_OFFSET_MAX);
    end.log_start = end.high_watermark - codec_get_bounded(reader, end.high_watermark);
    if (reader->is_bad) return false;
    *ret_end = end;
    return true;
}

/* ---- messages ---- */

int spread_message_encode(const struct spread_message *message, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    size_t size = to->size;

    codec_put_varint(&writer, MESSAGE_VERSION);
    codec_put_varint(&writer, message->kind);
    if (message->kind != SPREAD_ENDS) {
        codec_put_varint(&writer, message->partition);
        codec_put_varint(&writer, message->epoch);
    }
    if (message->kind == SPREAD_SUBSCRIBE) {
        codec_put_varint(&writer, message->has_position);
        codec_put_varint(&writer, message->to);
    } else if (message->kind == SPREAD_ROUND) {
        codec_put_varint(&writer, message->from);
        codec_put_varint(&writer, message->to - message->from);
        codec_put_varint(&writer, message->piece);
    } else if (message->kind == SPREAD_PIECE || message->kind == SPREAD_RECOVERED) {
        codec_put_varint(&writer, message->piece);
        codec_put_varint(&writer, message->is_last);
        codec_put_varint(&writer, message->kind == SPREAD_PIECE ? message->to : message->age_ms);
    }
    codec_put_raw(&writer, message->rows.data, message->rows.size);
    if (writer.error == 0 && to->size - size > SPREAD_MESSAGE_MAX) writer.error = MESH_ETOOLARGE;
    if (writer.error != 0) to->size = size;
    return writer.error;
}

static void get_fields(struct codec_reader *reader, struct spread_message *message)
{
    if (message->kind != SPREAD_ENDS) {
        message->partition = (uint32_t)codec_get_bounded(reader, GROUP_PARTITIONS - 1);
        message->epoch = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    }
    if (message->kind == SPREAD_SUBSCRIBE) {
        message->has_position = codec_get_bounded(reader, 1) != 0;
        message->to = codec_get_varint(reader);
    } else if (message->kind == SPREAD_ROUND) {
        message->from = codec_get_varint(reader);
        message->to = message->from + codec_get_bounded(reader, UINT64_MAX - message->from);
        message->piece = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    } else if (message->kind == SPREAD_PIECE || message->kind == SPREAD_RECOVERED) {
        message->piece = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
        message->is_last = codec_get_bounded(reader, 1) != 0;
        if (message->kind == SPREAD_PIECE) message->to = codec_get_varint(reader);
        else message->age_ms = codec_get_varint(reader);
    }
}

/* Reads the rows, or ends, to their end. */
static bool is_good(const struct spread_message *message)
{
    struct spread_rows_reader rows = spread_rows_read(message->rows);
    struct spread_ends_reader ends = spread_ends_read(message->rows);
    struct spread_row row;
    struct spread_end end;

    switch (message->kind) {
    case SPREAD_ROUND:
    case SPREAD_PIECE:
    case SPREAD_RECOVERED:
        while (spread_rows_next(&rows, &row)) {
        }
        return codec_reader_is_done(&rows.reader);
    case SPREAD_ENDS:
        while (spread_ends_next(&ends, &end)) {
        }
        return codec_reader_is_done(&ends.reader);
    default:
        return message->rows.size == 0;
    }
}

int spread_message_decode(struct slice from, struct spread_message *ret_message)
{
    struct codec_reader reader = codec_reader_of(from);
    struct spread_message message;
    uint64_t version, kind;

    if (from.size > SPREAD_MESSAGE_MAX) return MESH_EPROTO;
    memset(&message, 0, sizeof(message));
    version = codec_get_varint(&reader);
    kind = codec_get_varint(&reader);
    if (reader.is_bad || version == 0 || kind == 0) return MESH_EPROTO;
    if (version > MESSAGE_VERSION || kind >= SPREAD_MESSAGE_KINDS) return MESH_EVERSION;
    message.kind = (enum spread_message_kind)kind;
    get_fields(&reader, &message);
    if (reader.is_bad) return MESH_EPROTO;
    message.rows = slice_of(reader.at, (size_t)(reader.end - reader.at));
    if (!is_good(&message)) return MESH_EPROTO;
    *ret_message = message;
    return 0;
}
