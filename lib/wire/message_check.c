#include "wire/message_check.h"

#include "base/error.h"
#include "native.pb-c.h"
#include "wire/message.h"
#include "wire/proto.h"

#define DEPTH_MAX 8 /* levels of submessages: native.proto has three */

struct check {
    uint32_t elements_max, element_count;
};

static bool check_fields(struct check *check, const ProtobufCMessageDescriptor *descriptor, const uint8_t *at,
                         const uint8_t *end, unsigned depth);

static bool count_element(struct check *check)
{
    return ++check->element_count <= check->elements_max;
}

static bool is_varint_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL: return true;
    default: return false;
    }
}

static bool check_packed(const uint8_t *at, const uint8_t *end)
{
    uint64_t ignored;

    while (at != NULL && at < end)
        at = proto_read_varint(at, end, &ignored);
    return at != NULL;
}

/* They are uuids, but for salts and keys of users. */
static bool check_bytes(const ProtobufCMessageDescriptor *of, size_t size)
{
    return size == 0 || size == UUID_SIZE || (of == &mesh__wire__verifier__descriptor && size <= MESSAGE_VERIFIER_SIZE_MAX);
}

/* The content of a length-delimited field of such a message. */
static bool check_content(struct check *check, const ProtobufCMessageDescriptor *of, const ProtobufCFieldDescriptor *field, const uint8_t *at,
                          const uint8_t *end, unsigned depth)
{
    size_t size = (size_t)(end - at);

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: return memchr(at, 0, size) == NULL;
    case PROTOBUF_C_TYPE_BYTES: return check_bytes(of, size);
    case PROTOBUF_C_TYPE_MESSAGE:
        return depth < DEPTH_MAX && check_fields(check, field->descriptor, at, end, depth + 1);
    default:
        return field->label == PROTOBUF_C_LABEL_REPEATED && is_varint_type(field->type) &&
               check_packed(at, end);
    }
}

/* The value of one field whose tag was read; returns the byte after it, or NULL. */
static const uint8_t *check_value(struct check *check, const ProtobufCMessageDescriptor *of, uint32_t tag,
                                  const uint8_t *at, const uint8_t *end, unsigned depth)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(of, tag >> 3);
    bool is_repeated = field != NULL && field->label == PROTOBUF_C_LABEL_REPEATED;
    bool is_packed = is_repeated && is_varint_type(field->type) && (tag & 7) == PROTO_BYTES;
    const uint8_t *content_end = NULL;
    uint64_t ignored;

    if ((field == NULL || is_repeated) && !is_packed && !count_element(check)) return NULL;
    if (field == NULL) return proto_skip(at, end, tag, 0);
    if ((tag & 7) == PROTO_VARINT && is_varint_type(field->type)) return proto_read_varint(at, end, &ignored);
    if ((tag & 7) != PROTO_BYTES) return NULL;
    at = proto_read_length(at, end, &content_end);
    if (at == NULL || !check_content(check, of, field, at, content_end, depth)) return NULL;
    return content_end;
}

static bool check_fields(struct check *check, const ProtobufCMessageDescriptor *descriptor, const uint8_t *at,
                         const uint8_t *end, unsigned depth)
{
    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        at = check_value(check, descriptor, tag, at, end, depth);
        if (at == NULL) return false;
    }
    return true;
}

int message_check(const ProtobufCMessageDescriptor *descriptor, struct slice message, uint32_t elements_max,
                  uint32_t *ret_element_count)
{
    struct check check = {.elements_max = elements_max};

    if (!check_fields(&check, descriptor, message.data, proto_end(message), 0)) return MESH_EPROTO;
    *ret_element_count = check.element_count;
    return 0;
}
