#include "cmd/cli/json_writer.h"

#include "base/bytes.h"

#include <math.h>

void json_writer_init(struct json_writer *json, struct buffer *to)
{
    *json = (struct json_writer){.to = to};
}

int json_writer_error(const struct json_writer *json)
{
    return json->error;
}

static void put(struct json_writer *json, const void *data, size_t size)
{
    if (json->error == 0) json->error = buffer_append(json->to, data, size);
}

/* What comes before every value: a comma unless it is the first, or stands behind its key. */
static void before_value(struct json_writer *json)
{
    if (json->needs_comma) put(json, ", ", 2);
    json->needs_comma = true;
}

static void open_with(struct json_writer *json, char bracket)
{
    before_value(json);
    put(json, &bracket, 1);
    json->needs_comma = false;
}

static void close_with(struct json_writer *json, char bracket)
{
    put(json, &bracket, 1);
    json->needs_comma = true;
}

void json_writer_begin_object(struct json_writer *json)
{
    open_with(json, '{');
}

void json_writer_end_object(struct json_writer *json)
{
    close_with(json, '}');
}

void json_writer_begin_array(struct json_writer *json)
{
    open_with(json, '[');
}

void json_writer_end_array(struct json_writer *json)
{
    close_with(json, ']');
}

static void put_key(struct json_writer *json, const char *key, const char *suffix)
{
    if (json->needs_comma) put(json, ", ", 2);
    put(json, "\"", 1);
    put(json, key, strlen(key));
    put(json, suffix, strlen(suffix));
    put(json, "\": ", 3);
    json->needs_comma = false;
}

void json_writer_key(struct json_writer *json, const char *key)
{
    put_key(json, key, "");
}

/* The size of the UTF-8 sequence at p (0 < left bytes), or 0 when it is none. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t size;

    if (p[0] < 0x80) return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        size = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        size = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        size = 4;
    else
        return 0;
    if (size > left) return 0;
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return size;
}

size_t json_writer_utf8_prefix(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    size_t at = 0;

    while (at < size) {
        size_t step;
        while (size - at >= 8 && (le_load64(bytes + at) & UINT64_C(0x8080808080808080)) == 0)
            at += 8;
        if (at == size) break;
        step = utf8_sequence(bytes + at, size - at);
        if (step == 0) break;
        at += step;
    }
    return at;
}

static void put_escape(struct json_writer *json, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};

    switch (byte) {
    case '"': put(json, "\\\"", 2); break;
    case '\\': put(json, "\\\\", 2); break;
    case '\n': put(json, "\\n", 2); break;
    case '\r': put(json, "\\r", 2); break;
    case '\t': put(json, "\\t", 2); break;
    default: put(json, escape, 6); break;
    }
}

/* Valid UTF-8, in runs between what must be escaped. */
static void put_escaped(struct json_writer *json, const uint8_t *bytes, size_t size)
{
    size_t run = 0;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\' && bytes[i] != 0x7f) continue;
        put(json, bytes + run, i - run);
        put_escape(json, bytes[i]);
        run = i + 1;
    }
    put(json, bytes + run, size - run);
}

void json_writer_text_of(struct json_writer *json, const void *text, size_t size)
{
    const uint8_t *bytes = text;

    before_value(json);
    put(json, "\"", 1);
    while (size > 0) {
        size_t valid = json_writer_utf8_prefix(bytes, size);
        put_escaped(json, bytes, valid);
        bytes += valid;
        size -= valid;
        if (size > 0) {
            put(json, "\xef\xbf\xbd", 3);
            bytes++;
            size--;
        }
    }
    put(json, "\"", 1);
}

void json_writer_text(struct json_writer *json, const char *text)
{
    json_writer_text_of(json, text, strlen(text));
}

void json_writer_integer(struct json_writer *json, int64_t integer)
{
    if (integer >= 0) {
        json_writer_unsigned(json, (uint64_t)integer);
        return;
    }
    before_value(json);
    if (json->error == 0) json->error = buffer_printf(json->to, "%lld", (long long)integer);
}

void json_writer_unsigned(struct json_writer *json, uint64_t integer)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + integer % 10);
    while ((integer /= 10) != 0);
    before_value(json);
    put(json, digits + at, sizeof(digits) - at);
}

void json_writer_real(struct json_writer *json, double real, int decimals)
{
    if (!isfinite(real)) {
        json_writer_null(json);
        return;
    }
    before_value(json);
    if (json->error == 0) json->error = buffer_printf(json->to, "%.*f", decimals, real);
}

void json_writer_boolean(struct json_writer *json, bool boolean)
{
    before_value(json);
    put(json, boolean ? "true" : "false", boolean ? 4 : 5);
}

void json_writer_null(struct json_writer *json)
{
    before_value(json);
    put(json, "null", 4);
}

static void put_base64(struct json_writer *json, const uint8_t *bytes, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        char quad[4];
        if (left > 1) group |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2) group |= bytes[i + 2];
        quad[0] = letters[group >> 18];
        quad[1] = letters[(group >> 12) & 63];
        quad[2] = left > 1 ? letters[(group >> 6) & 63] : '=';
        quad[3] = left > 2 ? letters[group & 63] : '=';
        put(json, quad, 4);
    }
}

void json_writer_member_bytes(struct json_writer *json, const char *key, const void *data, size_t size)
{
    if (data == NULL) {
        json_writer_key(json, key);
        json_writer_null(json);
    } else if (json_writer_utf8_prefix(data, size) == size) {
        json_writer_key(json, key);
        before_value(json);
        put(json, "\"", 1);
        put_escaped(json, data, size);
        put(json, "\"", 1);
    } else {
        put_key(json, key, "_base64");
        before_value(json);
        put(json, "\"", 1);
        put_base64(json, data, size);
        put(json, "\"", 1);
    }
}
