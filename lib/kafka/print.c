/* kafka/print.c - messages as text, and whether two say the same. */
#include "kafka/layout.h"

#include <inttypes.h>

#define PRINTED_BYTES_MAX 32 /* of bytes and records; the rest is counted */

static int print_struct(struct kafka_form form, const void *message, struct buffer *buffer);

static int print_string(struct slice string, struct buffer *buffer)
{
    int err = buffer_append(buffer, "\"", 1);

    for (size_t i = 0; i < string.size && err == 0; i++) {
        uint8_t c = string.data[i];

        err = c < 0x20 || c >= 0x7f || c == '"' || c == '\\' ? buffer_printf(buffer, "\\x%02x", c) : buffer_append(buffer, &c, 1);
    }
    return err != 0 ? err : buffer_append(buffer, "\"", 1);
}

static int print_bytes(struct slice bytes, struct buffer *buffer)
{
    int err = buffer_printf(buffer, "%zu:", bytes.size);

    for (size_t i = 0; i < bytes.size && i < PRINTED_BYTES_MAX && err == 0; i++)
        err = buffer_printf(buffer, "%02x", bytes.data[i]);
    return err == 0 && bytes.size > PRINTED_BYTES_MAX ? buffer_append_string(buffer, "...") : err;
}

static int print_value(struct kafka_form form, const struct kafka_field *field, enum kafka_type type, const void *place,
                       struct buffer *buffer)
{
    const struct slice *slice = place;
    char text[UUID_STRING_SIZE];

    switch (type) {
    case KAFKA_BOOL: return buffer_append_string(buffer, *(const bool *)place ? "true" : "false");
    case KAFKA_UUID: return buffer_append_string(buffer, uuid_format(place, text));
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS:
        if (slice->data == NULL && field->type != KAFKA_ARRAY && field_may_be_null(field, form.version))
            return buffer_append_string(buffer, "null");
        return type == KAFKA_STRING ? print_string(*slice, buffer) : print_bytes(*slice, buffer);
    case KAFKA_STRUCT: return print_struct((struct kafka_form){field->of, form.version, form.is_flexible}, place, buffer);
    default: return buffer_printf(buffer, "%" PRId64, layout_load_number(type, place));
    }
}

static int print_array(struct kafka_form form, const struct kafka_field *field, const void *place, struct buffer *buffer)
{
    struct kafka_array array = array_load(place);
    size_t size = layout_element_size(field);
    int err;

    if (array.count < 0 && field_may_be_null(field, form.version)) return buffer_append_string(buffer, "null");
    err = buffer_append(buffer, "[", 1);
    for (int32_t i = 0; i < array.count && err == 0; i++) {
        if (i > 0) err = buffer_append(buffer, ", ", 2);
        if (err == 0)
            err = print_value(form, field, (enum kafka_type)field->element, (const char *)array.items + (size_t)i * size, buffer);
    }
    return err != 0 ? err : buffer_append(buffer, "]", 1);
}

static int print_struct(struct kafka_form form, const void *message, struct buffer *buffer)
{
    const char *separator = "";
    int err = buffer_append(buffer, "{", 1);

    for (uint16_t i = 0; i < form.of->field_count && err == 0; i++) {
        const struct kafka_field *field = &form.of->fields[i];
        const void *place = field_of(field, message);

        if (!field_is_in(field, form.version)) continue;
        if (field->tag >= 0 && layout_is_default(field, place, form.version)) continue;
        err = buffer_printf(buffer, "%s%s: ", separator, field->name);
        separator = ", ";
        if (err != 0) return err;
        err = field->type == KAFKA_ARRAY ? print_array(form, field, place, buffer)
                                         : print_value(form, field, (enum kafka_type)field->type, place, buffer);
    }
    return err != 0 ? err : buffer_append(buffer, "}", 1);
}

int kafka_print(struct kafka_form form, const void *message, struct buffer *buffer)
{
    return print_struct(form, message, buffer);
}

/* ---- the same? ---- */

static bool same_value(struct kafka_form form, const struct kafka_field *field, enum kafka_type type, const void *a, const void *b)
{
    const struct slice *left = a, *right = b;

    switch (type) {
    case KAFKA_UUID: return uuid_equal(a, b);
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS:
        if (field->type != KAFKA_ARRAY && field_may_be_null(field, form.version) && (left->data == NULL) != (right->data == NULL))
            return false;
        return slice_equal(*left, *right);
    case KAFKA_STRUCT: return kafka_equal((struct kafka_form){field->of, form.version, form.is_flexible}, a, b);
    default: return layout_load_number(type, a) == layout_load_number(type, b);
    }
}

static bool same_array(struct kafka_form form, const struct kafka_field *field, const void *a, const void *b)
{
    struct kafka_array left = array_load(a), right = array_load(b);
    size_t size = layout_element_size(field);

    if (!field_may_be_null(field, form.version)) {
        if (left.count < 0) left.count = 0;
        if (right.count < 0) right.count = 0;
    }
    if (left.count != right.count) return false;
    for (int32_t i = 0; i < left.count; i++)
        if (!same_value(form, field, (enum kafka_type)field->element, (const char *)left.items + (size_t)i * size,
                        (const char *)right.items + (size_t)i * size))
            return false;
    return true;
}

bool kafka_equal(struct kafka_form form, const void *a, const void *b)
{
    for (uint16_t i = 0; i < form.of->field_count; i++) {
        const struct kafka_field *field = &form.of->fields[i];
        const void *left = field_of(field, a), *right = field_of(field, b);

        if (!field_is_in(field, form.version)) continue;
        if (field->type == KAFKA_ARRAY ? !same_array(form, field, left, right)
                                       : !same_value(form, field, (enum kafka_type)field->type, left, right))
            return false;
    }
    return true;
}
