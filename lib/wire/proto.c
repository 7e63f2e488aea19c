#include "wire/proto.h"

#include "base/assert.h"

static struct proto_varint read_near_end(const uint8_t *at, const uint8_t *end)
{
    struct proto_varint varint = {NULL, 0};

    varint.at = varint_decode(at, end, &varint.value);
    return varint;
}

struct proto_varint proto_read_long_varint(const uint8_t *at, const uint8_t *end)
{
    const uint64_t continuation = 0x8080808080808080;
    uint64_t word, stop;

    if (end - at < 8) return read_near_end(at, end);
    word = le_load64(at);
    stop = ~word & continuation;
    if (stop == 0) return read_near_end(at, end); /* 9 or 10 bytes */
    word &= stop ^ (stop - 1);                    /* up to the last byte's top bit, which is 0 */
    word &= ~continuation;
    /* Close the gaps: pairs of 7 bits, then of 14, then of 28. */
    word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
    word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
    word = (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
    return (struct proto_varint){at + (__builtin_ctzll(stop) >> 3) + 1, word};
}

static const uint8_t *skip_bytes(const uint8_t *at, const uint8_t *end, size_t size)
{
    return size > (size_t)(end - at) ? NULL : at + size;
}

const uint8_t *proto_skip(const uint8_t *at, const uint8_t *end, uint32_t tag, uint32_t known_max)
{
    const uint8_t *value_end = NULL;
    uint64_t ignored;

    if (tag >> 3 <= known_max) return NULL;
    switch (tag & 7) {
    case PROTO_VARINT: return proto_read_varint(at, end, &ignored);
    case PROTO_FIXED64: return skip_bytes(at, end, 8);
    case PROTO_BYTES: return proto_read_length(at, end, &value_end) == NULL ? NULL : value_end;
    case PROTO_FIXED32: return skip_bytes(at, end, 4);
    default: return NULL;
    }
}

const uint8_t *proto_next_submessage(const uint8_t **at, const uint8_t *end, uint32_t tag_wanted,
                                     const uint8_t **ret_end)
{
    const uint8_t *position = *at;

    while (position < end) {
        uint32_t tag = 0;
        position = proto_read_tag(position, end, &tag);
        MESH_ASSERT(position != NULL);
        if (tag == tag_wanted) {
            position = proto_read_length(position, end, ret_end);
            MESH_ASSERT(position != NULL);
            *at = *ret_end;
            return position;
        }
        position = proto_skip(position, end, tag, 0);
        MESH_ASSERT(position != NULL);
    }
    *at = end;
    return NULL;
}
