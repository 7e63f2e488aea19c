/* kafka/produce.c - see produce.h. Which version has what: schema/produce. */
#include "kafka/produce.h"

#define PRODUCE_FLEXIBLE 9
#define PRODUCE_TOPIC_ID 13

/* Bytes that a topic and a partition take at least. */
static size_t topic_wire_min(const struct kafka_produce_reader *reader)
{
    if (reader->version >= PRODUCE_TOPIC_ID) return UUID_SIZE + 1 + 1;
    return reader->bytes.is_flexible ? 1 + 1 + 1 : 2 + 4;
}

static size_t partition_wire_min(const struct kafka_produce_reader *reader)
{
    return reader->bytes.is_flexible ? 4 + 1 + 1 : 4 + 4;
}

static int read_topic(struct kafka_produce_reader *reader)
{
    struct kafka_produce_entry *entry = &reader->entry;
    int err = 0;

    if (reader->version >= PRODUCE_TOPIC_ID) {
        const uint8_t *bytes = kafka_take(&reader->bytes, UUID_SIZE);

        if (bytes == NULL) return MESH_EPROTO;
        memcpy(entry->topic_id.bytes, bytes, UUID_SIZE);
    } else {
        err = kafka_read_slice(&reader->bytes, true, false, &entry->topic);
    }
    if (err == 0) err = kafka_read_count(&reader->bytes, partition_wire_min(reader), false, &entry->partition_count);
    reader->partitions_left = entry->partition_count;
    return err;
}

static int read_partition(struct kafka_produce_reader *reader)
{
    const uint8_t *index = kafka_take(&reader->bytes, 4);
    int err;

    if (index == NULL) return MESH_EPROTO;
    reader->entry.partition = (int32_t)be_load32(index);
    err = kafka_read_slice(&reader->bytes, false, true, &reader->entry.records);
    return err != 0 ? err : kafka_skip_tags(&reader->bytes);
}

/* To the next entry. 1: there is one; 0: the request has ended; or an error. */
static int step(struct kafka_produce_reader *reader)
{
    int err;

    reader->entry.is_first = false;
    while (reader->partitions_left == 0) {
        if (reader->topics_left == 0) return 0;
        reader->topics_left--;
        err = read_topic(reader);
        if (err == 0 && reader->partitions_left == 0) err = kafka_skip_tags(&reader->bytes); /* a topic without partitions */
        if (err != 0) return err;
        reader->entry.is_first = true;
    }
    reader->partitions_left--;
    err = read_partition(reader);
    if (err == 0 && reader->partitions_left == 0) err = kafka_skip_tags(&reader->bytes);
    return err != 0 ? err : 1;
}

static int read_start(struct kafka_produce_reader *reader)
{
    struct slice transactional_id = {NULL, 0};
    const uint8_t *fixed;
    int err = 0;

    if (reader->version >= 3) err = kafka_read_slice(&reader->bytes, true, true, &transactional_id);
    fixed = kafka_take(&reader->bytes, 2 + 4);
    if (err != 0 || fixed == NULL) return err != 0 ? err : MESH_EPROTO;
    reader->is_transactional = transactional_id.data != NULL;
    reader->acks = (int16_t)be_load16(fixed);
    reader->timeout_ms = (int32_t)be_load32(fixed + 2);
    err = kafka_read_count(&reader->bytes, topic_wire_min(reader), false, &reader->topic_count);
    reader->topics_left = reader->topic_count;
    return err;
}

int kafka_produce_reader_init(struct kafka_produce_reader *reader, int version, struct slice message)
{
    struct kafka_produce_reader first;
    uint32_t entry_count = 0;
    int32_t filled_count = 0;
    int err;

    *reader = (struct kafka_produce_reader){.bytes = kafka_reader_of(message, version >= PRODUCE_FLEXIBLE), .version = (int8_t)version};
    err = read_start(reader);
    if (err != 0) return err;
    first = *reader;
    while ((err = step(reader)) == 1) {
        entry_count++;
        filled_count += reader->entry.is_first;
    }
    if (err == 0) err = kafka_skip_tags(&reader->bytes);
    *reader = first;
    reader->entry_count = entry_count;
    reader->filled_count = filled_count;
    return err;
}

bool kafka_produce_reader_next(struct kafka_produce_reader *reader, struct kafka_produce_entry *ret_entry)
{
    if (step(reader) != 1) return false;
    *ret_entry = reader->entry;
    return true;
}

/* ---- the response ---- */

/* Null and empty differ: null is 0, empty is 1 where lengths are compact. */
static int put_length(struct buffer *to, int version, size_t size_bytes, uint32_t length)
{
    uint8_t bytes[VARINT_SIZE_MAX];

    if (version >= PRODUCE_FLEXIBLE) return buffer_append(to, bytes, (size_t)(varint_encode(bytes, (uint64_t)length + 1) - bytes));
    if (size_bytes == 2)
        be_store16(bytes, (uint16_t)length);
    else
        be_store32(bytes, length);
    return buffer_append(to, bytes, size_bytes);
}

static int put_no_tags(struct buffer *to, int version)
{
    return version >= PRODUCE_FLEXIBLE ? buffer_append(to, "", 1) : 0;
}

int kafka_produce_response_start(struct buffer *to, int version, int32_t topic_count)
{
    return put_length(to, version, 4, (uint32_t)topic_count);
}

int kafka_produce_response_topic(struct buffer *to, int version, const struct kafka_produce_entry *first, bool is_first_topic)
{
    int err = is_first_topic ? 0 : put_no_tags(to, version); /* the end of the topic before */

    if (err != 0) return err;
    if (version >= PRODUCE_TOPIC_ID) {
        err = buffer_append(to, first->topic_id.bytes, UUID_SIZE);
    } else {
        err = put_length(to, version, 2, (uint32_t)first->topic.size);
        if (err == 0) err = buffer_append(to, first->topic.data, first->topic.size);
    }
    return err != 0 ? err : put_length(to, version, 4, (uint32_t)first->partition_count);
}

/* Bytes of a result, from error_code to log_start_offset. */
static size_t outcome_size(int version)
{
    return 2u + 8u + (version >= 2 ? 8u : 0u) + (version >= 5 ? 8u : 0u);
}

int kafka_produce_response_partition(struct buffer *to, int version, int32_t partition, size_t *ret_at)
{
    uint8_t bytes[4 + 2 + 8 + 8 + 8 + 4 + 2] = {0};
    size_t size = 4 + outcome_size(version);
    int err;

    be_store32(bytes, (uint32_t)partition);
    if (version >= 8) { /* no record errors, and no message */
        if (version >= PRODUCE_FLEXIBLE) {
            bytes[size] = 1;
            size += 2;
        } else {
            be_store16(bytes + size + 4, 0xffff);
            size += 4 + 2;
        }
    }
    *ret_at = to->size + 4;
    err = buffer_append(to, bytes, size);
    return err != 0 ? err : put_no_tags(to, version);
}

int kafka_produce_response_end(struct buffer *to, int version, int32_t topic_count)
{
    static const uint8_t throttle_time_ms[4];
    int err = topic_count > 0 ? put_no_tags(to, version) : 0; /* of the last topic */

    if (err == 0 && version >= 1) err = buffer_append(to, throttle_time_ms, sizeof(throttle_time_ms));
    return err != 0 ? err : put_no_tags(to, version);
}

void kafka_produce_response_set(uint8_t *at, int version, const struct kafka_produce_outcome *outcome)
{
    be_store16(at, (uint16_t)outcome->error_code);
    be_store64(at + 2, (uint64_t)outcome->base_offset);
    if (version >= 2) be_store64(at + 10, (uint64_t)outcome->log_append_time_ms);
    if (version >= 5) be_store64(at + 18, (uint64_t)outcome->log_start_offset);
}
