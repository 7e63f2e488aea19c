#include "wire/proto.h"

#include "base/assert.h"

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
