/* kafka/decode.c - bytes to structs. A reader never passes its end, and nothing is allocated for a count that the bytes left cannot hold. */
#include "kafka/layout.h"
#include "kafka/reader.h"

struct reader {
    struct kafka_reader bytes;
    struct arena *arena;
    size_t memory_left;
    int8_t version;
};

static int read_struct(struct reader *reader, const struct kafka_struct *of, void *message);

static int read_slice(struct reader *reader, const struct kafka_field *field, struct slice *ret_slice)
{
    bool is_string = field->type == KAFKA_STRING || field->element == KAFKA_STRING;

    /* Of an array's elements none can be null. */
    return kafka_read_slice(&reader->bytes, is_string, field->type != KAFKA_ARRAY && field_may_be_null(field, reader->version), ret_slice);
}

static int read_number(struct reader *reader, enum kafka_type type, void *place)
{
    size_t size = layout_wire_min(type, NULL, 0, false);
    const uint8_t *bytes = kafka_take(&reader->bytes, size);

    if (bytes == NULL) return MESH_EPROTO;
    switch (size) {
    case 1: layout_store_number(type, place, (int8_t)*bytes); break;
    case 2: layout_store_number(type, place, (int16_t)be_load16(bytes)); break;
    case 4: layout_store_number(type, place, (int32_t)be_load32(bytes)); break;
    default: layout_store_number(type, place, (int64_t)be_load64(bytes)); break;
    }
    return 0;
}

static int read_uuid(struct reader *reader, struct uuid *ret_uuid)
{
    const uint8_t *bytes = kafka_take(&reader->bytes, UUID_SIZE);

    if (bytes == NULL) return MESH_EPROTO;
    memcpy(ret_uuid->bytes, bytes, UUID_SIZE);
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
    case KAFKA_UUID: return read_uuid(reader, place);
    default: return read_number(reader, type, place);
    }
}

/* Takes room for the elements out of the caller's bound, then from the arena. */
static int new_items(struct reader *reader, const struct kafka_field *field, int32_t count, void **ret_items)
{
    size_t size = layout_element_size(field);

    if ((size_t)count > reader->memory_left / size) return MESH_ETOOLARGE;
    reader->memory_left -= (size_t)count * size;
    *ret_items = field->element == KAFKA_STRUCT ? kafka_new_items(field->of, count, reader->arena)
                                                : arena_alloc(reader->arena, (size_t)count, size);
    return *ret_items == NULL ? MESH_ENOMEM : 0;
}

static int read_array(struct reader *reader, const struct kafka_field *field, void *place)
{
    enum kafka_type element = (enum kafka_type)field->element;
    size_t wire_min = layout_wire_min(element, field->of, reader->version, reader->bytes.is_flexible);
    size_t size = layout_element_size(field);
    struct kafka_array array = {NULL, 0};
    int err = kafka_read_count(&reader->bytes, wire_min > 0 ? wire_min : 1, field_may_be_null(field, reader->version), &array.count);

    if (err == 0 && array.count > 0) err = new_items(reader, field, array.count, &array.items);
    if (err != 0) return err;
    for (int32_t i = 0; i < array.count; i++) {
        err = read_value(reader, field, element, (char *)array.items + (size_t)i * size);
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
static const struct kafka_field *find_tag(const struct kafka_struct *of, int64_t tag, int version)
{
    for (uint16_t i = of->field_count; i > 0 && of->fields[i - 1].tag >= 0; i--)
        if (of->fields[i - 1].tag == tag && field_is_in(&of->fields[i - 1], version)) return &of->fields[i - 1];
    return NULL;
}

/* A tagged field must fill exactly the bytes that it claims. */
static int read_tagged(struct reader *reader, const struct kafka_field *field, uint32_t size, void *message)
{
    const uint8_t *end = reader->bytes.end;
    int err;

    reader->bytes.end = reader->bytes.at + size;
    err = read_field(reader, field, message);
    if (err == 0 && reader->bytes.at != reader->bytes.end) err = MESH_EPROTO;
    reader->bytes.end = end;
    return err;
}

static int read_tags(struct reader *reader, const struct kafka_struct *of, void *message)
{
    int64_t tag = -1;
    uint32_t count, size;
    int err = kafka_read_tag_count(&reader->bytes, &count);

    while (err == 0 && count-- > 0) {
        const struct kafka_field *field;

        err = kafka_read_tag(&reader->bytes, &tag, &size);
        if (err != 0) return err;
        field = find_tag(of, tag, reader->version);
        if (field == NULL)
            reader->bytes.at += size;
        else
            err = read_tagged(reader, field, size, message);
    }
    return err;
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
    return reader->bytes.is_flexible ? read_tags(reader, of, message) : 0;
}

int kafka_decode(struct kafka_form form, struct slice bytes, struct arena *arena, size_t memory_max, void *ret_message)
{
    struct reader reader = {kafka_reader_of(bytes, form.is_flexible), arena, memory_max, form.version};

    kafka_init(form.of, ret_message);
    return read_struct(&reader, form.of, ret_message);
}
