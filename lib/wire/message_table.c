#include "wire/message_table.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/frame.h"
#include "wire/proto.h"

#include <stdlib.h>

static bool is_list(const struct table_field *field)
{
    return field->count_at != TABLE_NO_LIST;
}

static bool is_number(const struct table_field *field)
{
    return field->kind < TABLE_BYTES;
}

static size_t stride_of(const struct table_field *field)
{
    switch ((enum table_kind)field->kind) {
    case TABLE_BOOL: return sizeof(bool);
    case TABLE_UINT32:
    case TABLE_ERROR:
    case TABLE_MINUS_ONE32: return sizeof(uint32_t);
    case TABLE_UINT64:
    case TABLE_MINUS_ONE64: return sizeof(uint64_t);
    case TABLE_BYTES: return sizeof(struct slice);
    case TABLE_UUID: return sizeof(struct uuid);
    case TABLE_MESSAGE: return field->table->size;
    }
    return 0;
}

static size_t *count_of(const struct table_field *field, const void *message)
{
    return (size_t *)((uintptr_t)message + field->count_at);
}

/* First element of a list, or the one value. */
static void *values_of(const struct table_field *field, const void *message)
{
    void *member = (void *)((uintptr_t)message + field->at), *list;

    if (!is_list(field)) return member;
    memcpy(&list, member, sizeof(list));
    return list;
}

/* ---- encoding ---- */

struct encoding {
    int err;
    size_t lists_bytes;
    uint8_t *at; /* of the second pass */
};

static uint64_t number_of(struct encoding *encoding, const struct table_field *field, const void *value)
{
    int64_t signed_value;

    switch ((enum table_kind)field->kind) {
    case TABLE_BOOL: return *(const bool *)value;
    case TABLE_UINT32: return *(const uint32_t *)value;
    case TABLE_UINT64: return *(const uint64_t *)value;
    case TABLE_ERROR:
        MESH_ASSERT(*(const int *)value <= 0);
        return (uint32_t)zigzag_encode(*(const int *)value);
    case TABLE_MINUS_ONE32: signed_value = *(const int32_t *)value; break;
    default: signed_value = *(const int64_t *)value; break;
    }
    if (signed_value < -1 || (field->kind == TABLE_MINUS_ONE32 && signed_value == INT32_MAX)) encoding->err = MESH_EINVAL;
    return (uint64_t)signed_value + 1;
}

static size_t size_of_message(struct encoding *encoding, const struct table *table, const void *message);

/* What stands behind tag and length. */
static size_t size_of_content(struct encoding *encoding, const struct table_field *field, const void *value)
{
    if (field->kind == TABLE_MESSAGE) return size_of_message(encoding, field->table, value);
    return field->kind == TABLE_UUID ? UUID_SIZE : ((const struct slice *)value)->size;
}

static size_t size_of_numbers(struct encoding *encoding, const struct table_field *field, const void *message)
{
    const uint8_t *value = values_of(field, message);
    size_t size = 0, stride = stride_of(field);

    for (size_t count = *count_of(field, message); count > 0; count--, value += stride)
        size += varint_size(number_of(encoding, field, value));
    return size;
}

static bool is_left_out(const struct table_field *field, const void *value, size_t content_size)
{
    return field->kind == TABLE_UUID ? uuid_is_zero(value) : content_size == 0;
}

static size_t size_of_field(struct encoding *encoding, const struct table_field *field, unsigned number, const void *message)
{
    size_t tag_size = varint_size(number << 3), size = 0, content, stride = stride_of(field);
    const uint8_t *value = values_of(field, message);

    if (is_list(field)) encoding->lists_bytes += *count_of(field, message) * stride;
    if (is_number(field) && is_list(field)) {
        content = size_of_numbers(encoding, field, message);
        return content == 0 ? 0 : tag_size + varint_size(content) + content;
    }
    if (is_number(field)) {
        uint64_t value_number = number_of(encoding, field, value);
        return value_number == 0 ? 0 : tag_size + varint_size(value_number);
    }
    for (size_t count = is_list(field) ? *count_of(field, message) : 1; count > 0; count--, value += stride) {
        content = size_of_content(encoding, field, value);
        if (!is_list(field) && is_left_out(field, value, content)) continue;
        size += tag_size + varint_size(content) + content;
    }
    return size;
}

static size_t size_of_message(struct encoding *encoding, const struct table *table, const void *message)
{
    size_t size = 0;

    if (table->is_sound != NULL && !table->is_sound(message)) encoding->err = MESH_EINVAL;
    if (encoding->err != 0) return 0;
    for (unsigned i = 0; i < table->field_count; i++)
        size += size_of_field(encoding, &table->fields[i], i + 1, message);
    return size;
}

static void write_message(struct encoding *encoding, const struct table *table, const void *message);

static void write_field(struct encoding *encoding, const struct table_field *field, unsigned number, const void *message)
{
    const uint8_t *value = values_of(field, message);
    size_t stride = stride_of(field), count = is_list(field) ? *count_of(field, message) : 1, content;

    if (is_number(field) && !is_list(field)) {
        uint64_t value_number = number_of(encoding, field, value);

        if (value_number == 0) return;
        encoding->at = varint_encode(encoding->at, number << 3 | PROTO_VARINT);
        encoding->at = varint_encode(encoding->at, value_number);
        return;
    }
    if (is_number(field)) {
        if (count == 0) return;
        encoding->at = varint_encode(encoding->at, number << 3 | PROTO_BYTES);
        encoding->at = varint_encode(encoding->at, size_of_numbers(encoding, field, message));
        for (; count > 0; count--, value += stride)
            encoding->at = varint_encode(encoding->at, number_of(encoding, field, value));
        return;
    }
    for (; count > 0; count--, value += stride) {
        content = size_of_content(encoding, field, value);
        if (!is_list(field) && is_left_out(field, value, content)) continue;
        encoding->at = varint_encode(encoding->at, number << 3 | PROTO_BYTES);
        encoding->at = varint_encode(encoding->at, content);
        if (field->kind == TABLE_MESSAGE) {
            write_message(encoding, field->table, value);
            continue;
        }
        if (content > 0) memcpy(encoding->at, field->kind == TABLE_UUID ? value : ((const struct slice *)(const void *)value)->data, content);
        encoding->at += content;
    }
}

static void write_message(struct encoding *encoding, const struct table *table, const void *message)
{
    for (unsigned i = 0; i < table->field_count; i++)
        write_field(encoding, &table->fields[i], i + 1, message);
}

int message_table_encode(const struct table *table, const void *message, size_t lists_bytes_max, struct buffer *to)
{
    struct encoding encoding = {0};
    size_t size = size_of_message(&encoding, table, message);

    if (encoding.err != 0) return encoding.err;
    if (size > FRAME_MESSAGE_BYTES_MAX || encoding.lists_bytes > lists_bytes_max) return MESH_ETOOLARGE;
    if (buffer_reserve(to, size + VARINT_SIZE_MAX) != 0) return MESH_ENOMEM;
    encoding.at = to->data + to->size;
    write_message(&encoding, table, message);
    MESH_ASSERT(encoding.at == to->data + to->size + size);
    to->size += size;
    return 0;
}

/* ---- decoding ---- */

struct decoding {
    size_t lists_bytes_left;
};

/* Elements of each list so far; by field. */
struct places {
    size_t counts[TABLE_FIELDS_MAX];
};

static size_t varints_in(const uint8_t *at, const uint8_t *end)
{
    size_t count = 0;

    for (; at < end; at++)
        count += *at < 0x80;
    return count;
}

/* The value behind a tag that was read; NULL: malformed. What is no number: content from *ret_content to what it returns. */
static const uint8_t *find_value(const struct table *table, uint32_t tag, const uint8_t *at, const uint8_t *end, const struct table_field **ret_field,
                                 const uint8_t **ret_content)
{
    const struct table_field *field = tag >> 3 <= table->field_count ? &table->fields[(tag >> 3) - 1] : NULL;
    const uint8_t *content_end = NULL;
    uint64_t ignored;

    *ret_field = field;
    *ret_content = at;
    if (field == NULL) return proto_skip(at, end, tag, table->field_count);
    if ((tag & 7) == PROTO_VARINT) return is_number(field) ? proto_read_varint(at, end, &ignored) : NULL;
    if ((tag & 7) != PROTO_BYTES || (is_number(field) && !is_list(field))) return NULL;
    at = proto_read_length(at, end, &content_end);
    *ret_content = at;
    return at == NULL ? NULL : content_end;
}

static bool is_packed(const struct table_field *field, uint32_t tag)
{
    return is_number(field) && (tag & 7) == PROTO_BYTES;
}

static int count_lists(const struct table *table, const uint8_t *at, const uint8_t *end, struct places *places)
{
    while (at < end) {
        const struct table_field *field = NULL;
        const uint8_t *content = NULL;
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at != NULL) at = find_value(table, tag, at, end, &field, &content);
        if (at == NULL) return MESH_EPROTO;
        if (field == NULL || !is_list(field)) continue;
        places->counts[(tag >> 3) - 1] += is_packed(field, tag) ? varints_in(content, at) : 1;
    }
    return 0;
}

/* Makes the lists, of zeros. */
static int make_lists(struct decoding *decoding, const struct table *table, const struct places *places, void *message)
{
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct table_field *field = &table->fields[i];
        size_t stride = stride_of(field);
        void *list;

        if (places->counts[i] == 0) continue;
        if (places->counts[i] > decoding->lists_bytes_left / stride) return MESH_EPROTO;
        decoding->lists_bytes_left -= places->counts[i] * stride;
        list = calloc(places->counts[i], stride);
        if (list == NULL) return MESH_ENOMEM;
        memcpy((uint8_t *)message + field->at, &list, sizeof(list));
        *count_of(field, message) = places->counts[i];
    }
    return 0;
}

#define UNSOUND (-2)

/* False: no such value can be. It is remembered all the same: a later occurrence may overrule it. */
static bool put_number(const struct table_field *field, uint64_t number, void *value)
{
    int64_t error;

    switch ((enum table_kind)field->kind) {
    case TABLE_BOOL: *(bool *)value = number != 0; return true;
    case TABLE_UINT32: *(uint32_t *)value = (uint32_t)number; return true;
    case TABLE_UINT64: *(uint64_t *)value = number; return true;
    case TABLE_ERROR:
        error = zigzag_decode((uint32_t)number);
        *(int *)value = (int)error;
        return error <= 0;
    case TABLE_MINUS_ONE32:
        number = (uint32_t)number;
        *(int32_t *)value = number <= INT32_MAX ? (int32_t)number - 1 : UNSOUND;
        return number <= INT32_MAX;
    default:
        *(int64_t *)value = number <= (uint64_t)INT64_MAX + 1 ? (int64_t)(number - 1) : UNSOUND;
        return number <= (uint64_t)INT64_MAX + 1;
    }
}

/* A packed list, or a part of one. */
static int put_numbers(const struct table_field *field, const uint8_t *at, const uint8_t *end, uint8_t *value, size_t *count)
{
    size_t stride = stride_of(field);

    if (at == end) return 0;              /* an empty part: there may be no list */
    if (value == NULL) return MESH_EPROTO; /* none of the list's numbers is whole */
    value += *count * stride;
    while (at < end) {
        uint64_t number = 0;

        at = proto_read_varint(at, end, &number);
        if (at == NULL || !put_number(field, number, value)) return MESH_EPROTO;
        value += stride;
        (*count)++;
    }
    return 0;
}

static int decode_message(struct decoding *decoding, const struct table *table, const uint8_t *at, const uint8_t *end, void *message);

static int put_content(struct decoding *decoding, const struct table_field *field, const uint8_t *at, const uint8_t *end, void *value)
{
    size_t size = (size_t)(end - at);

    if (field->kind == TABLE_MESSAGE) return decode_message(decoding, field->table, at, end, value);
    if (field->kind == TABLE_BYTES) {
        *(struct slice *)value = slice_of(at, size);
        return 0;
    }
    if (size != 0 && size != UUID_SIZE) return MESH_EPROTO;
    memset(value, 0, UUID_SIZE);
    memcpy(value, at, size);
    return 0;
}

static void begin_message(const struct table *table, void *message)
{
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct table_field *field = &table->fields[i];

        if (is_list(field)) continue;
        if (field->kind == TABLE_MESSAGE) begin_message(field->table, values_of(field, message));
        if (field->kind == TABLE_MINUS_ONE32) *(int32_t *)values_of(field, message) = -1;
        if (field->kind == TABLE_MINUS_ONE64) *(int64_t *)values_of(field, message) = -1;
    }
}

static int put_values(struct decoding *decoding, const struct table *table, const uint8_t *at, const uint8_t *end, void *message)
{
    struct places places = {{0}};

    while (at < end) {
        const struct table_field *field = NULL;
        const uint8_t *content = NULL;
        size_t *count;
        uint8_t *value;
        uint32_t tag = 0;
        int err = 0;

        at = proto_read_tag(at, end, &tag);
        at = find_value(table, tag, at, end, &field, &content);
        if (field == NULL) continue;
        count = &places.counts[(tag >> 3) - 1];
        value = values_of(field, message);
        if (is_number(field) && is_list(field)) {
            err = put_numbers(field, content, at, value, count);
        } else if (is_number(field)) {
            uint64_t number = 0;
            proto_read_varint(content, at, &number);
            put_number(field, number, value);
        } else {
            if (is_list(field)) value += (*count)++ * stride_of(field);
            if (is_list(field) && field->kind == TABLE_MESSAGE) begin_message(field->table, value);
            err = put_content(decoding, field, content, at, value);
        }
        if (err != 0) return err;
    }
    return 0;
}

/* Of the last occurrence of each. */
static bool numbers_are_sound(const struct table *table, const void *message)
{
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct table_field *field = &table->fields[i];
        const void *value = values_of(field, message);

        if (is_list(field)) continue;
        if (field->kind == TABLE_ERROR && *(const int *)value > 0) return false;
        if (field->kind == TABLE_MINUS_ONE32 && *(const int32_t *)value == UNSOUND) return false;
        if (field->kind == TABLE_MINUS_ONE64 && *(const int64_t *)value == UNSOUND) return false;
    }
    return true;
}

/* *message holds defaults, or what an earlier part of the message has said. */
static int decode_message(struct decoding *decoding, const struct table *table, const uint8_t *at, const uint8_t *end, void *message)
{
    struct places places = {{0}};
    int err = count_lists(table, at, end, &places);

    if (err == 0) err = make_lists(decoding, table, &places, message);
    if (err == 0) err = put_values(decoding, table, at, end, message);
    if (err == 0 && (!numbers_are_sound(table, message) || (table->is_sound != NULL && !table->is_sound(message)))) err = MESH_EPROTO;
    return err;
}

int message_table_decode(const struct table *table, struct slice from, size_t lists_bytes_max, void *message)
{
    struct decoding decoding = {lists_bytes_max};
    int err;

    if (from.size > FRAME_MESSAGE_BYTES_MAX) return MESH_EPROTO;
    memset(message, 0, table->size);
    begin_message(table, message);
    err = decode_message(&decoding, table, from.data, proto_end(from), message);
    if (err != 0) message_table_deinit(table, message);
    return err;
}

void message_table_deinit(const struct table *table, void *message)
{
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct table_field *field = &table->fields[i];
        uint8_t *list;

        if (!is_list(field)) continue;
        list = values_of(field, message);
        if (field->kind == TABLE_MESSAGE)
            for (size_t j = 0; j < *count_of(field, message); j++)
                message_table_deinit(field->table, list + j * field->table->size);
        free(list);
    }
    memset(message, 0, table->size);
}
