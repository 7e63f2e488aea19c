/* wire/proto.h - protobuf's wire format, as far as the hand-written walkers need it. Internal to lib/wire.
 *
 * Readers take [at, end) and return the byte after what they read, or NULL when it is truncated or malformed;
 * outputs are written only on success. A tag's and most values' varint is one byte: that path is inline and
 * without a loop. Source: the Protocol Buffers encoding specification, proto3. Groups (wire types 3 and 4)
 * are refused. */
#ifndef WIRE_PROTO_H
#define WIRE_PROTO_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/uuid.h"

#define PROTO_VARINT  0
#define PROTO_FIXED64 1
#define PROTO_BYTES   2
#define PROTO_FIXED32 5

#define PROTO_TAG(number, wire_type) ((uint32_t)(number) << 3 | (wire_type))

#define PROTO_SHORT_SIZE_MAX  5
#define PROTO_SCALAR_SIZE_MAX (1 + VARINT_SIZE_MAX) /* a field with a one-byte tag and a varint */
#define PROTO_UUID_SIZE       (1 + 1 + UUID_SIZE)   /* a field with a one-byte tag and a uuid */

/* A message as [at, end); a message of no bytes may have no address, to which nothing may be added. */
static inline const uint8_t *proto_end(struct slice message)
{
    return message.size == 0 ? message.data : message.data + message.size;
}

/* A varint of three bytes or more, as varint_decode() reads it, but without a loop while 8 bytes may be read.
 * Both results come back in registers. */
struct proto_varint {
    const uint8_t *at; /* NULL: malformed */
    uint64_t value;
};
struct proto_varint proto_read_long_varint(const uint8_t *at, const uint8_t *end);

static inline const uint8_t *proto_read_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    struct proto_varint varint;

    if (__builtin_expect(at < end && *at < 0x80, 1)) {
        *ret_value = *at;
        return at + 1;
    }
    if (end - at >= 2 && at[1] < 0x80) {
        *ret_value = (at[0] & 0x7fu) | (uint64_t)at[1] << 7;
        return at + 2;
    }
    varint = proto_read_long_varint(at, end);
    if (varint.at != NULL) *ret_value = varint.value;
    return varint.at;
}

/* A tag or a length: at most 5 bytes and 32 bits. */
static inline const uint8_t *proto_read_short(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    struct proto_varint varint;

    if (__builtin_expect(at < end && *at < 0x80, 1)) {
        *ret_value = *at;
        return at + 1;
    }
    varint = proto_read_long_varint(at, end);
    if (varint.at == NULL || varint.at - at > PROTO_SHORT_SIZE_MAX || varint.value > UINT32_MAX) return NULL;
    *ret_value = (uint32_t)varint.value;
    return varint.at;
}

/* The field number of a tag is not 0. */
static inline const uint8_t *proto_read_tag(const uint8_t *at, const uint8_t *end, uint32_t *ret_tag)
{
    uint32_t tag = 0;

    at = proto_read_short(at, end, &tag);
    if (at == NULL || tag < PROTO_TAG(1, 0)) return NULL;
    *ret_tag = tag;
    return at;
}

/* 32-bit fields take the low half of a longer varint, as every protobuf decoder does. */
static inline const uint8_t *proto_read_uint32(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    uint64_t value = 0;

    at = proto_read_varint(at, end, &value);
    if (at != NULL) *ret_value = (uint32_t)value;
    return at;
}

static inline const uint8_t *proto_read_sint32(const uint8_t *at, const uint8_t *end, int32_t *ret_value)
{
    uint32_t value = 0;

    at = proto_read_uint32(at, end, &value);
    if (at != NULL) *ret_value = (int32_t)zigzag_decode(value);
    return at;
}

/* Reads the length of a string, bytes or submessage field that lies wholly before end; *ret_end is its end.
 */
static inline const uint8_t *proto_read_length(const uint8_t *at, const uint8_t *end, const uint8_t **ret_end)
{
    uint32_t size = 0;

    at = proto_read_short(at, end, &size);
    if (at == NULL || size > (size_t)(end - at)) return NULL;
    *ret_end = at + size;
    return at;
}

/* *ret_uuid points at the 16 bytes; any other length is malformed. */
static inline const uint8_t *proto_read_uuid(const uint8_t *at, const uint8_t *end, const uint8_t **ret_uuid)
{
    if (end - at < 1 + UUID_SIZE || *at != UUID_SIZE) {
        const uint8_t *uuid_end = NULL;
        at = proto_read_length(at, end, &uuid_end); /* perhaps a longer varint that says 16 */
        if (at == NULL || uuid_end - at != UUID_SIZE) return NULL;
        *ret_uuid = at;
        return uuid_end;
    }
    *ret_uuid = at + 1;
    return at + 1 + UUID_SIZE;
}

/* Takers read a field if it is the next one, and do nothing otherwise. Encoders write fields in the order of
 * their numbers, so a row of takers reads a whole message without a loop; what they leave is read field by
 * field. False: malformed. */
#define PROTO_DEFINE_TAKE(name, type)                                                                        \
    static inline bool proto_take_##name(const uint8_t **at, const uint8_t *end, uint32_t tag, type *ret)    \
    {                                                                                                        \
        if (*at >= end || **at != tag) return true;                                                          \
        *at = proto_read_##name(*at + 1, end, ret);                                                          \
        return *at != NULL;                                                                                  \
    }
PROTO_DEFINE_TAKE(varint, uint64_t)
PROTO_DEFINE_TAKE(uint32, uint32_t)
PROTO_DEFINE_TAKE(sint32, int32_t)
PROTO_DEFINE_TAKE(uuid, const uint8_t *)
#undef PROTO_DEFINE_TAKE

/* Skips the value of a field whose tag was read. Fields numbered up to known_max belong to the message: they
 * come here only with a wire type that they cannot have, and are refused. */
const uint8_t *proto_skip(const uint8_t *at, const uint8_t *end, uint32_t tag, uint32_t known_max);

/* Finds the next occurrence of a submessage field in a message that was checked as a whole. NULL: no more;
 * otherwise its first byte, and *ret_end. *at moves behind it, or to end. */
const uint8_t *proto_next_submessage(const uint8_t **at, const uint8_t *end, uint32_t tag_wanted,
                                     const uint8_t **ret_end);

/* Where the next `size_max` bytes may be written, or NULL when memory is short. The writer adds what it used
 * to to->size itself. */
static inline uint8_t *proto_room(struct buffer *to, size_t size_max)
{
    if (to->capacity - to->size < size_max && buffer_reserve(to, size_max) != 0) return NULL;
    return to->data + to->size;
}

/* Writers: a field of its default value is left out, as proto3 encoders do. tag is a one-byte tag. */
static inline uint8_t *proto_write_varint(uint8_t *to, uint32_t tag, uint64_t value)
{
    if (value == 0) return to;
    *to++ = (uint8_t)tag;
    return varint_encode(to, value);
}

static inline uint8_t *proto_write_int32(uint8_t *to, uint32_t tag, int32_t value)
{
    return proto_write_varint(to, tag, (uint64_t)(int64_t)value); /* sign-extended: ten bytes when negative */
}

static inline uint8_t *proto_write_sint32(uint8_t *to, uint32_t tag, int32_t value)
{
    return proto_write_varint(to, tag, (uint32_t)zigzag_encode(value));
}

static inline uint8_t *proto_write_uuid(uint8_t *to, uint32_t tag, const struct uuid *uuid)
{
    to[0] = (uint8_t)tag;
    to[1] = UUID_SIZE;
    memcpy(to + 2, uuid->bytes, UUID_SIZE);
    return to + PROTO_UUID_SIZE;
}

#endif
