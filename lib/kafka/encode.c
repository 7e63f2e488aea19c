/* kafka/encode.c - structs to bytes, in two passes of one walk: the first counts, the second writes into room that is then known to suffice. */
#include "kafka/layout.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

struct writer {
    uint8_t *at; /* NULL: only count */
    size_t size; /* counted or written */
    int8_t version;
    bool is_flexible;
};

static int write_struct(struct writer *writer, const struct kafka_struct *of, const void *message);

static void put(struct writer *writer, const void *bytes, size_t size)
{
    writer->size += size;
    if (writer->at == NULL || size == 0) return;
    memcpy(writer->at, bytes, size);
    writer->at += size;
}

static void put_uvarint(struct writer *writer, uint64_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];

    put(writer, bytes, (size_t)(varint_encode(bytes, value) - bytes));
}

static void put_number(struct writer *writer, size_t size_bytes, int64_t value)
{
    uint8_t bytes[8];

    switch (size_bytes) {
    case 1: bytes[0] = (uint8_t)value; break;
    case 2: be_store16(bytes, (uint16_t)value); break;
    case 4: be_store32(bytes, (uint32_t)value); break;
    default: be_store64(bytes, (uint64_t)value); break;
    }
    put(writer, bytes, size_bytes);
}

/* -1 is null. */
static void put_length(struct writer *writer, size_t size_bytes, int64_t length)
{
    if (writer->is_flexible)
        put_uvarint(writer, (uint64_t)(length + 1));
    else
        put_number(writer, size_bytes, length);
}

static int write_slice(struct writer *writer, const struct kafka_field *field, const struct slice *slice)
{
    bool is_string = field->type == KAFKA_STRING || field->element == KAFKA_STRING;
    bool is_null = slice->data == NULL && field->type != KAFKA_ARRAY && field_may_be_null(field, writer->version);

    if (slice->size > (size_t)(is_string ? KAFKA_STRING_MAX : INT32_MAX)) return MESH_ETOOLARGE;
    put_length(writer, is_string ? 2 : 4, is_null ? -1 : (int64_t)slice->size);
    put(writer, slice->data, slice->size);
    return 0;
}

static int write_value(struct writer *writer, const struct kafka_field *field, enum kafka_type type, const void *place)
{
    switch (type) {
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS: return write_slice(writer, field, place);
    case KAFKA_STRUCT: return write_struct(writer, field->of, place);
    case KAFKA_UUID: put(writer, place, UUID_SIZE); return 0;
    default: put_number(writer, layout_wire_min(type, NULL, 0, false), layout_load_number(type, place)); return 0;
    }
}

static int write_array(struct writer *writer, const struct kafka_field *field, const void *place)
{
    struct kafka_array array = array_load(place);
    size_t size = layout_element_size(field);
    bool is_null = array.count < 0 && field_may_be_null(field, writer->version);

    put_length(writer, 4, is_null ? -1 : array.count < 0 ? 0 : array.count);
    for (int32_t i = 0; i < array.count; i++) {
        int err = write_value(writer, field, (enum kafka_type)field->element, (const char *)array.items + (size_t)i * size);

        if (err != 0) return err;
    }
    return writer->size > INT32_MAX ? MESH_ETOOLARGE : 0;
}

static int write_field(struct writer *writer, const struct kafka_field *field, const void *message)
{
    const void *place = field_of(field, message);

    if (field->type == KAFKA_ARRAY) return write_array(writer, field, place);
    return write_value(writer, field, (enum kafka_type)field->type, place);
}

/* The size goes in front: what is tagged is walked once more to know it. Tags inside of tags are not there, so that is twice, not more. */
static int write_tagged(struct writer *writer, const struct kafka_field *field, const void *message)
{
    struct writer counting = {.version = writer->version, .is_flexible = writer->is_flexible};
    int err = write_field(&counting, field, message);

    if (err != 0) return err;
    put_uvarint(writer, (uint64_t)field->tag);
    put_uvarint(writer, counting.size);
    return write_field(writer, field, message);
}

static bool is_tag_sent(const struct kafka_field *field, const void *message, int version)
{
    return field->tag >= 0 && field_is_in(field, version) && !layout_is_default(field, field_of(field, message), version);
}

static int write_tags(struct writer *writer, const struct kafka_struct *of, const void *message)
{
    uint32_t count = 0;
    uint16_t first = of->field_count;

    while (first > 0 && of->fields[first - 1].tag >= 0)
        count += is_tag_sent(&of->fields[--first], message, writer->version);
    put_uvarint(writer, count);
    for (uint16_t i = first; i < of->field_count; i++) {
        int err = is_tag_sent(&of->fields[i], message, writer->version) ? write_tagged(writer, &of->fields[i], message) : 0;

        if (err != 0) return err;
    }
    return 0;
}

static int write_struct(struct writer *writer, const struct kafka_struct *of, const void *message)
{
    for (uint16_t i = 0; i < of->field_count; i++) {
        const struct kafka_field *field = &of->fields[i];
        int err;

        if (field->tag >= 0 || !field_is_in(field, writer->version)) continue;
        err = write_field(writer, field, message);
        if (err != 0) return err;
    }
    return writer->is_flexible ? write_tags(writer, of, message) : 0;
}

int kafka_size(struct kafka_form form, const void *message, size_t *ret_size)
{
    struct writer counting = {.version = form.version, .is_flexible = form.is_flexible};
    int err = write_struct(&counting, form.of, message);

    if (err == 0 && counting.size > INT32_MAX) err = MESH_ETOOLARGE;
    if (err == 0) *ret_size = counting.size;
    return err;
}

int kafka_encode(struct kafka_form form, const void *message, struct buffer *buffer)
{
    struct writer writer = {.version = form.version, .is_flexible = form.is_flexible};
    size_t size;
    int err = kafka_size(form, message, &size);

    if (err == 0) err = buffer_reserve(buffer, size);
    if (err != 0 || size == 0) return err;
    writer.at = buffer->data + buffer->size;
    err = write_struct(&writer, form.of, message);
    MESH_ASSERT(err == 0 && writer.size == size);
    buffer->size += size;
    return 0;
}
