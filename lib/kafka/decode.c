/* kafka/decode.c - bytes to structs. A reader never passes its end, and nothing is allocated for a count that the bytes left cannot hold. */
#include "kafka/layout.h"

#include "base/bytes.h"
#include "base/error.h"

#define UVARINT_SIZE_MAX 5 /* bytes; what says a length is an int32 */

struct reader {
    const uint8_t *at, *end;
    struct arena *arena;
    size_t memory_left;
    int8_t version;
    bool is_flexible;
};

static int read_struct(struct reader *reader, const struct kafka_struct *of, void *message);

static size_t bytes_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static int read_uvarint(struct reader *reader, uint32_t *ret_value)
{
    const uint8_t *end = bytes_left(reader) > UVARINT_SIZE_MAX ? reader->at + UVARINT_SIZE_MAX : reader->end;
    uint64_t value;
    const uint8_t *after = varint_decode(reader->at, end, &value);

    if (after == NULL || value > UINT32_MAX) return MESH_EPROTO;
    reader->at = after;
    *ret_value = (uint32_t)value;
    return 0;
}

/* -1 is null. int16: of `size_bytes` 2, else 4. */
static int read_length(struct reader *reader, unsigned size_bytes, int64_t *ret_length)
{
    uint32_t compact;

    if (reader->is_flexible) {
        int err = read_uvarint(reader, &compact);

        if (err != 0) return err;
        *ret_length = (int64_t)compact - 1;
        return *ret_length > INT32_MAX ? MESH_EPROTO : 0;
    }
    if (bytes_left(reader) < size_bytes) return MESH_EPROTO;
    *ret_length = size_bytes == 2 ? (int16_t)be_load16(reader->at) : (int32_t)be_load32(reader->at);
    reader->at += size_bytes;
    return *ret_length < -1 ? MESH_EPROTO : 0;
}

static int read_slice(struct reader *reader, const struct kafka_field *field, struct slice *ret_slice)
{
    bool is_string = field->type == KAFKA_STRING || field->element == KAFKA_STRING;
    int64_t length;
    int err = read_length(reader, is_string ? 2 : 4, &length);

    if (err != 0) return err;
    if (length < 0) {
        /* Of an array's elements none can be null. */
        if (field->type == KAFKA_ARRAY || !field_may_be_null(field, reader->version)) return MESH_EPROTO;
        *ret_slice = slice_of(NULL, 0);
        return 0;
    }
    if (is_string && length > KAFKA_STRING_MAX) return MESH_ETOOLARGE;
    if ((uint64_t)length > bytes_left(reader)) return MESH_EPROTO;
    *ret_slice = slice_of(reader->at, (size_t)length);
    reader->at += length;
    return 0;
}

static int read_number(struct reader *reader, enum kafka_type type, void *place)
{
    size_t size = layout_wire_min(type, NULL, 0, false);

    if (bytes_left(reader) < size) return MESH_EPROTO;
    switch (size) {
    case 1: layout_store_number(type, place, (int8_t)*reader->at); break;
    case 2: layout_store_number(type, place, (int16_t)be_load16(reader->at)); break;
    case 4: layout_store_number(type, place, (int32_t)be_load32(reader->at)); break;
    default: layout_store_number(type, place, (int64_t)be_load64(reader->at)); break;
    }
    reader->at += size;
    return 0;
}

/* One value that is no array: a field's, or an element of its array. */
static int read_value(struct reader *reader, const struct kafka_field *field, enum kafka_type type, void *place)
{
    switch (type) {
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS: return read_slice(reader, field, place);
    case KAFKA_STRUCT: return read_struct(reader, field->of, place);
    case KAFKA_UUID:
        if (bytes_left(reader) < UUID_SIZE) return MESH_EPROTO;
        memcpy(place, reader->at, UUID_SIZE);
        reader->at += UUID_SIZE;
        return 0;
    default: return read_number(reader, type, place);
    }
}

/* Takes room for the elements out of the caller's bound, then from the arena. */
static int new_items(struct reader *reader, const struct kafka_field *field, int32_t count, void **ret_items)
{
    enum kafka_type element = (enum kafka_type)field->element;
    size_t wire_min = layout_wire_min(element, field->of, reader->version, reader->is_flexible);
    size_t size = layout_element_size(field);

    if (wire_min == 0) wire_min = 1;
    if (count > KAFKA_ARRAY_COUNT_MAX) return MESH_ETOOLARGE;
    if ((size_t)count > bytes_left(reader) / wire_min) return MESH_EPROTO;
    if ((size_t)count > reader->memory_left / size) return MESH_ETOOLARGE;
    reader->memory_left -= (size_t)count * size;
    *ret_items = element == KAFKA_STRUCT ? kafka_new_items(field->of, count, reader->arena)
                                         : arena_alloc(reader->arena, (size_t)count, size);
    return *ret_items == NULL ? MESH_ENOMEM : 0;
}

static int read_array(struct reader *reader, const struct kafka_field *field, void *place)
{
    struct kafka_array array = {NULL, 0};
    size_t size = layout_element_size(field);
    int64_t count;
    int err = read_length(reader, 4, &count);

    if (err != 0) return err;
    if (count < 0 && !field_may_be_null(field, reader->version)) return MESH_EPROTO;
    array.count = (int32_t)count;
    if (count > 0) {
        err = new_items(reader, field, (int32_t)count, &array.items);
        if (err != 0) return err;
    }
    for (int32_t i = 0; i < array.count; i++) {
        err = read_value(reader, field, (enum kafka_type)field->element, (char *)array.items + (size_t)i * size);
        if (err != 0) return err;
    }
    array_store(place, array);
    return 0;
}

static int read_field(struct reader *reader, const struct kafka_field *field, void *message)
{
    void *place = field_place(field, message);

    if (field->type == KAFKA_ARRAY) return read_array(reader, field, place);
    return read_value(reader, field, (enum kafka_type)field->type, place);
}

/* The field of a tag, if this version knows it. */
static const struct kafka_field *find_tag(const struct kafka_struct *of, uint32_t tag, int version)
{
    for (uint16_t i = of->field_count; i > 0 && of->fields[i - 1].tag >= 0; i--)
        if ((uint32_t)of->fields[i - 1].tag == tag && field_is_in(&of->fields[i - 1], version)) return &of->fields[i - 1];
    return NULL;
}

/* A tagged field must fill exactly the bytes that it claims. */
static int read_tagged(struct reader *reader, const struct kafka_field *field, uint32_t size, void *message)
{
    const uint8_t *end = reader->end;
    int err;

    reader->end = reader->at + size;
    err = read_field(reader, field, message);
    if (err == 0 && reader->at != reader->end) err = MESH_EPROTO;
    reader->end = end;
    return err;
}

static int read_tags(struct reader *reader, const struct kafka_struct *of, void *message)
{
    int64_t last_tag = -1;
    uint32_t count;
    int err = read_uvarint(reader, &count);

    if (err != 0) return err;
    if (count > KAFKA_TAG_COUNT_MAX) return MESH_ETOOLARGE;
    while (count-- > 0) {
        const struct kafka_field *field;
        uint32_t tag, size;

        err = read_uvarint(reader, &tag);
        if (err == 0) err = read_uvarint(reader, &size);
        if (err != 0) return err;
        if ((int64_t)tag <= last_tag || size > bytes_left(reader)) return MESH_EPROTO;
        last_tag = tag;
        field = find_tag(of, tag, reader->version);
        if (field == NULL)
            reader->at += size;
        else
            err = read_tagged(reader, field, size, message);
        if (err != 0) return err;
    }
    return 0;
}

static int read_struct(struct reader *reader, const struct kafka_struct *of, void *message)
{
    for (uint16_t i = 0; i < of->field_count; i++) {
        const struct kafka_field *field = &of->fields[i];
        int err;

        if (field->tag >= 0 || !field_is_in(field, reader->version)) continue;
        err = read_field(reader, field, message);
        if (err != 0) return err;
    }
    return reader->is_flexible ? read_tags(reader, of, message) : 0;
}

int kafka_decode(struct kafka_form form, struct slice bytes, struct arena *arena, size_t memory_max, void *ret_message)
{
    static const uint8_t nothing[1]; /* some versions have messages of no bytes; pointers stay such that may be compared and subtracted */
    const uint8_t *data = bytes.size > 0 ? bytes.data : nothing;
    struct reader reader = {data, data + bytes.size, arena, memory_max, form.version, form.is_flexible};
    int err;

    kafka_init(form.of, ret_message);
    err = read_struct(&reader, form.of, ret_message);
    if (err == 0 && reader.at != reader.end) err = MESH_EPROTO;
    return err;
}
