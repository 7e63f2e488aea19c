/* base/codec.h - how small structures are written (records, snapshots, messages of cores): varints, zigzag varints, and bytes
 * behind their size.
 *
 * The reader never fails in the middle: a bad read yields zeros and marks it, and the caller asks once at the
 * end. After a bad read nothing is left, so that a read asks only for its end. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/uuid.h"

#include <stdbool.h>

struct codec_writer {
    struct buffer *to;
    int error; /* the first failure; later writes do nothing */
};

struct codec_reader {
    const uint8_t *at, *end;
    bool is_bad;
};

static inline void codec_put_raw(struct codec_writer *writer, const void *data, size_t size)
{
    if (writer->error == 0) writer->error = buffer_append(writer->to, data, size);
}

static inline void codec_put_varint(struct codec_writer *writer, uint64_t v)
{
    if (writer->error == 0) writer->error = buffer_reserve(writer->to, VARINT_SIZE_MAX);
    if (writer->error == 0) writer->to->size = (size_t)(varint_encode(writer->to->data + writer->to->size, v) - writer->to->data);
}

static inline void codec_put_zigzag(struct codec_writer *writer, int64_t v)
{
    codec_put_varint(writer, zigzag_encode(v));
}

static inline void codec_put_string(struct codec_writer *writer, const char *string)
{
    size_t size = strlen(string);
    codec_put_varint(writer, size);
    codec_put_raw(writer, string, size);
}

static inline void codec_put_uuid(struct codec_writer *writer, const struct uuid *uuid)
{
    codec_put_raw(writer, uuid->bytes, UUID_SIZE);
}

static inline struct codec_reader codec_reader_of(struct slice from)
{
    return (struct codec_reader){from.data, from.size == 0 ? from.data : from.data + from.size, false};
}

static inline void codec_reader_fail(struct codec_reader *reader)
{
    reader->is_bad = true;
    reader->at = reader->end;
}

/* Varints of several bytes, and bad ones. */
uint64_t codec_get_long_varint(struct codec_reader *reader);

static inline uint64_t codec_get_varint(struct codec_reader *reader)
{
    return reader->at != reader->end && *reader->at < 0x80 ? *reader->at++ : codec_get_long_varint(reader);
}

/* A varint that must be <= max. */
static inline uint64_t codec_get_bounded(struct codec_reader *reader, uint64_t max)
{
    uint64_t v = codec_get_varint(reader);

    if (v <= max) return v;
    codec_reader_fail(reader);
    return 0;
}

static inline int64_t codec_get_zigzag(struct codec_reader *reader)
{
    return zigzag_decode(codec_get_varint(reader));
}

static inline int32_t codec_get_int32(struct codec_reader *reader)
{
    int64_t v = codec_get_zigzag(reader);

    if (v >= INT32_MIN && v <= INT32_MAX) return (int32_t)v;
    codec_reader_fail(reader);
    return 0;
}

static inline struct slice codec_get_raw(struct codec_reader *reader, size_t size)
{
    struct slice bytes = {NULL, 0};

    if ((size_t)(reader->end - reader->at) < size) {
        codec_reader_fail(reader);
        return bytes;
    }
    bytes = slice_of(reader->at, size);
    reader->at += size;
    return bytes;
}

/* Bytes behind their size, which must be <= max and hold no NUL. */
static inline struct slice codec_get_string(struct codec_reader *reader, size_t max)
{
    struct slice bytes = codec_get_raw(reader, (size_t)codec_get_bounded(reader, max));

    if (bytes.size != 0 && memchr(bytes.data, 0, bytes.size) != NULL) codec_reader_fail(reader);
    return bytes;
}

static inline struct uuid codec_get_uuid(struct codec_reader *reader)
{
    struct slice bytes = codec_get_raw(reader, UUID_SIZE);
    struct uuid uuid = {{0}};

    if (bytes.size == UUID_SIZE) memcpy(uuid.bytes, bytes.data, UUID_SIZE);
    return uuid;
}

/* Everything was good and nothing is left. */
static inline bool codec_reader_is_done(const struct codec_reader *reader)
{
    return !reader->is_bad && reader->at == reader->end;
}

#endif
