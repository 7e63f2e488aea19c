/* kafka/fetch.c - see fetch.h. Which version has what: schema/fetch. Sessions are not kept: their id is 0. */
#include "kafka/fetch.h"

#include "base/bytes.h"

#define FETCH_FLEXIBLE 12
#define FETCH_TOPIC_ID 13

static int put16(struct buffer *to, int16_t value)
{
    uint8_t bytes[2];

    be_store16(bytes, (uint16_t)value);
    return buffer_append(to, bytes, sizeof(bytes));
}

static int put32(struct buffer *to, int32_t value)
{
    uint8_t bytes[4];

    be_store32(bytes, (uint32_t)value);
    return buffer_append(to, bytes, sizeof(bytes));
}

/* Of an array, or of what has no limit. */
static int put_length(struct buffer *to, int version, uint32_t length)
{
    uint8_t bytes[VARINT_SIZE_MAX];

    if (version < FETCH_FLEXIBLE) return put32(to, (int32_t)length);
    return buffer_append(to, bytes, (size_t)(varint_encode(bytes, (uint64_t)length + 1) - bytes));
}

static int put_no_tags(struct buffer *to, int version)
{
    return version >= FETCH_FLEXIBLE ? buffer_append(to, "", 1) : 0;
}

int kafka_fetch_response_start(struct buffer *to, int version, int16_t error_code, int32_t topic_count)
{
    int err = put32(to, 0); /* throttle_time_ms */

    if (err == 0 && version >= 7) {
        err = put16(to, error_code);
        if (err == 0) err = put32(to, 0); /* session_id */
    }
    return err != 0 ? err : put_length(to, version, (uint32_t)topic_count);
}

int kafka_fetch_response_topic(struct buffer *to, int version, struct slice name, const struct uuid *topic_id, int32_t partition_count)
{
    int err;

    if (version >= FETCH_TOPIC_ID) {
        err = buffer_append(to, topic_id->bytes, UUID_SIZE);
    } else {
        err = version >= FETCH_FLEXIBLE ? put_length(to, version, (uint32_t)name.size) : put16(to, (int16_t)name.size);
        if (err == 0) err = buffer_append(to, name.data, name.size);
    }
    return err != 0 ? err : put_length(to, version, (uint32_t)partition_count);
}

int kafka_fetch_response_partition(struct buffer *to, int version, const struct kafka_fetch_outcome *outcome)
{
    uint8_t bytes[4 + 2 + 8 + 8 + 8 + 4 + 4], *at = bytes;
    int err;

    be_store32(at, (uint32_t)outcome->partition);
    be_store16(at + 4, (uint16_t)outcome->error_code);
    be_store64(at + 6, (uint64_t)outcome->high_watermark);
    be_store64(at + 14, (uint64_t)outcome->high_watermark); /* last_stable_offset: no transaction is open */
    at += 22;
    if (version >= 5) {
        be_store64(at, (uint64_t)outcome->log_start_offset);
        at += 8;
    }
    if (version >= FETCH_FLEXIBLE) {
        *at++ = 0; /* aborted_transactions: null */
    } else {
        be_store32(at, 0xffffffff);
        at += 4;
    }
    if (version >= 11) {
        be_store32(at, 0xffffffff); /* preferred_read_replica: none */
        at += 4;
    }
    err = buffer_append(to, bytes, (size_t)(at - bytes));
    return err != 0 ? err : put_length(to, version, outcome->records_size);
}

int kafka_fetch_response_partition_end(struct buffer *to, int version)
{
    return put_no_tags(to, version);
}

int kafka_fetch_response_topic_end(struct buffer *to, int version)
{
    return put_no_tags(to, version);
}

int kafka_fetch_response_end(struct buffer *to, int version)
{
    return put_no_tags(to, version);
}
