#include "cmd/cli/record_writer.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "cmd/cli/json_writer.h"

#define LENGTH_SIZE 4
#define LENGTH_NULL 0xffffffffu

/* What stands for the value: its bytes, or the marker for a null one. */
static struct slice value_bytes(const struct record_writer_options *options,
                                const struct mesh_consumed *record)
{
    if (record->value != NULL) return slice_of(record->value, record->value_size);
    if (options->null_marker != NULL) return slice_of_string(options->null_marker);
    return slice_of(NULL, 0);
}

static uint8_t *put(uint8_t *to, const void *data, size_t size)
{
    if (size > 0) memcpy(to, data, size);
    return to + size;
}

/* Bytes of key, delimiter and value together. */
static size_t plain_size(const struct record_writer_options *options, const struct mesh_consumed *record,
                         struct slice value)
{
    bool has_key = options->with_keys && record->key != NULL;

    return value.size + (has_key ? record->key_size + options->key_delimiter_size : 0);
}

/* Writes them at the end of the buffer, which has room. */
static void put_plain(const struct record_writer_options *options, const struct mesh_consumed *record,
                      struct slice value, struct buffer *to)
{
    uint8_t *at = to->data + to->size;

    if (options->with_keys && record->key != NULL) {
        at = put(at, record->key, record->key_size);
        at = put(at, options->key_delimiter, options->key_delimiter_size);
    }
    at = put(at, value.data, value.size);
    to->size = (size_t)(at - to->data);
}

int record_writer_append_plain(const struct record_writer_options *options,
                               const struct mesh_consumed *record, struct buffer *to)
{
    struct slice value = value_bytes(options, record);

    if (buffer_reserve(to, plain_size(options, record, value) + 1) != 0) return MESH_ENOMEM;
    put_plain(options, record, value, to);
    return 0;
}

static int append_line(const struct record_writer_options *options, const struct mesh_consumed *record,
                       struct buffer *to)
{
    int err = record_writer_append_plain(options, record, to);

    if (err != 0) return err;
    to->data[to->size++] = '\n'; /* the byte that append_plain reserves beyond its own */
    return 0;
}

static int append_prefixed(const struct record_writer_options *options, const struct mesh_consumed *record,
                           struct buffer *to)
{
    struct slice value = value_bytes(options, record);
    size_t size = plain_size(options, record, value);
    bool is_null = record->value == NULL && options->null_marker == NULL && size == 0;

    if (size >= LENGTH_NULL) return MESH_ETOOLARGE;
    if (buffer_reserve(to, LENGTH_SIZE + size) != 0) return MESH_ENOMEM;
    be_store32(to->data + to->size, is_null ? LENGTH_NULL : (uint32_t)size);
    to->size += LENGTH_SIZE;
    put_plain(options, record, value, to);
    return 0;
}

static void write_headers(struct json_writer *json, const struct mesh_consumed *record)
{
    json_writer_key(json, "headers");
    json_writer_begin_array(json);
    for (size_t i = 0; i < record->header_count; i++) {
        const void *value;
        const char *key;
        size_t key_size, value_size;
        if (mesh_consumed_header(record, i, &key, &key_size, &value, &value_size) != 0) break;
        json_writer_begin_object(json);
        json_writer_key(json, "key");
        json_writer_text_of(json, key, key_size);
        json_writer_member_bytes(json, "value", value, value_size);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}

static int append_json(const struct mesh_consumed *record, struct buffer *to)
{
    struct json_writer json;

    json_writer_init(&json, to);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, record->topic);
    json_writer_key(&json, "partition");
    json_writer_integer(&json, record->partition);
    json_writer_key(&json, "offset");
    json_writer_integer(&json, record->offset);
    json_writer_key(&json, "timestamp");
    json_writer_integer(&json, record->timestamp_ms);
    json_writer_member_bytes(&json, "key", record->key, record->key_size);
    json_writer_member_bytes(&json, "value", record->value, record->value_size);
    write_headers(&json, record);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? json_writer_error(&json) : buffer_append(to, "\n", 1);
}

int record_writer_append(const struct record_writer_options *options, const struct mesh_consumed *record,
                         struct buffer *to)
{
    switch (options->format) {
    case OUTPUT_LINES: return append_line(options, record, to);
    case OUTPUT_RAW: return record_writer_append_plain(options, record, to);
    case OUTPUT_LENGTH_PREFIXED: return append_prefixed(options, record, to);
    case OUTPUT_JSON: return append_json(record, to);
    case OUTPUT_FILES: break;
    }
    MESH_ASSERT(!"a format that has no stream");
    return MESH_EINVAL;
}
