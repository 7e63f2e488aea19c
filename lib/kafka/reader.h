/* kafka/reader.h - the smallest pieces of a message, read without ever passing its end; internal to this folder.
 *
 * After an error the reader stands anywhere between where it was and its end. */
#ifndef KAFKA_READER_H
#define KAFKA_READER_H

#include "base/bytes.h"
#include "base/error.h"
#include "kafka/codec.h"

#define KAFKA_UVARINT_SIZE_MAX 5 /* bytes; what says a length is an int32 */

struct kafka_reader {
    const uint8_t *at, *end;
    bool is_flexible;
};

/* Some versions have messages of no bytes: pointers stay such that they may be compared and subtracted. */
static inline struct kafka_reader kafka_reader_of(struct slice bytes, bool is_flexible)
{
    static const uint8_t nothing[1];
    const uint8_t *data = bytes.size > 0 ? bytes.data : nothing;

    return (struct kafka_reader){data, data + bytes.size, is_flexible};
}

static inline size_t kafka_bytes_left(const struct kafka_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* `size` bytes, or NULL when there are not so many. */
static inline const uint8_t *kafka_take(struct kafka_reader *reader, size_t size)
{
    const uint8_t *bytes = reader->at;

    if (kafka_bytes_left(reader) < size) return NULL;
    reader->at += size;
    return bytes;
}

static inline int kafka_read_uvarint(struct kafka_reader *reader, uint32_t *ret_value)
{
    const uint8_t *end = kafka_bytes_left(reader) > KAFKA_UVARINT_SIZE_MAX ? reader->at + KAFKA_UVARINT_SIZE_MAX : reader->end;
    uint64_t value;
    const uint8_t *after = varint_decode(reader->at, end, &value);

    if (after == NULL || value > UINT32_MAX) return MESH_EPROTO;
    reader->at = after;
    *ret_value = (uint32_t)value;
    return 0;
}

/* -1 is null. size_bytes: 2 or 4, where lengths are not compact. */
static inline int kafka_read_length(struct kafka_reader *reader, size_t size_bytes, int64_t *ret_length)
{
    const uint8_t *bytes;
    uint32_t compact;

    if (reader->is_flexible) {
        int err = kafka_read_uvarint(reader, &compact);

        if (err != 0) return err;
        *ret_length = (int64_t)compact - 1;
        return *ret_length > INT32_MAX ? MESH_EPROTO : 0;
    }
    bytes = kafka_take(reader, size_bytes);
    if (bytes == NULL) return MESH_EPROTO;
    *ret_length = size_bytes == 2 ? (int16_t)be_load16(bytes) : (int32_t)be_load32(bytes);
    return *ret_length < -1 ? MESH_EPROTO : 0;
}

/* A string, bytes or records; null is a slice without data. */
static inline int kafka_read_slice(struct kafka_reader *reader, bool is_string, bool may_be_null, struct slice *ret_slice)
{
    const uint8_t *bytes;
    int64_t length;
    int err = kafka_read_length(reader, is_string ? 2 : 4, &length);

    if (err != 0) return err;
    if (length < 0) {
        *ret_slice = slice_of(NULL, 0);
        return may_be_null ? 0 : MESH_EPROTO;
    }
    if (is_string && length > KAFKA_STRING_MAX) return MESH_ETOOLARGE;
    bytes = kafka_take(reader, (size_t)length);
    if (bytes == NULL) return MESH_EPROTO;
    *ret_slice = slice_of(bytes, (size_t)length);
    return 0;
}

/* How many there are of what takes at least wire_min bytes each (1 or more); -1: null. */
static inline int kafka_read_count(struct kafka_reader *reader, size_t wire_min, bool may_be_null, int32_t *ret_count)
{
    int64_t count;
    int err = kafka_read_length(reader, 4, &count);

    if (err != 0) return err;
    if (count < 0 && !may_be_null) return MESH_EPROTO;
    if (count > KAFKA_ARRAY_COUNT_MAX) return MESH_ETOOLARGE;
    if (count > 0 && (size_t)count > kafka_bytes_left(reader) / wire_min) return MESH_EPROTO;
    *ret_count = (int32_t)count;
    return 0;
}

/* One tagged field's number and size, which lies whole before the end. *last_tag is -1 before the first: tags ascend. */
static inline int kafka_read_tag(struct kafka_reader *reader, int64_t *last_tag, uint32_t *ret_size)
{
    uint32_t tag;
    int err = kafka_read_uvarint(reader, &tag);

    if (err == 0) err = kafka_read_uvarint(reader, ret_size);
    if (err != 0) return err;
    if ((int64_t)tag <= *last_tag || *ret_size > kafka_bytes_left(reader)) return MESH_EPROTO;
    *last_tag = tag;
    return 0;
}

static inline int kafka_read_tag_count(struct kafka_reader *reader, uint32_t *ret_count)
{
    int err = kafka_read_uvarint(reader, ret_count);

    return err == 0 && *ret_count > KAFKA_TAG_COUNT_MAX ? MESH_ETOOLARGE : err;
}

/* Tagged fields of which none is known; nothing where the version is not flexible. */
static inline int kafka_skip_tags(struct kafka_reader *reader)
{
    int64_t last_tag = -1;
    uint32_t count = 0, size;
    int err = reader->is_flexible ? kafka_read_tag_count(reader, &count) : 0;

    while (err == 0 && count-- > 0) {
        err = kafka_read_tag(reader, &last_tag, &size);
        if (err == 0) reader->at += size;
    }
    return err;
}

#endif
