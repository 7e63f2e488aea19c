#include "base/log_render.h"

#include "base/slice.h"

#include <stdbool.h>
#include <string.h>

struct field {
    struct slice key, value;
};

struct fields {
    struct field at[LOG_RENDER_FIELDS_MAX];
    size_t count, message_size; /* the text in front of the fields */
};

/* ---- what the text says ---- */

static bool is_key_char(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (!is_first && ((c >= '0' && c <= '9') || c == '_'));
}

/* A value in quotes ends with a quote that a blank or the end follows: texts from elsewhere may hold quotes. */
static size_t quoted_size(const char *text, size_t size)
{
    for (size_t i = 1; i < size; i++)
        if (text[i] == '"' && (i + 1 == size || text[i + 1] == ' ')) return i + 1;
    return 0;
}

static size_t word_size(const char *text, size_t size)
{
    const char *blank = memchr(text, ' ', size);

    return blank != NULL ? (size_t)(blank - text) : size;
}

/* The field that stands at the beginning of the text: its size, or 0 when there is none. */
static size_t take_field(const char *text, size_t size, struct field *field)
{
    size_t key = 0, value;

    while (key < size && is_key_char(text[key], key == 0))
        key++;
    if (key == 0 || key == size || text[key] != '=') return 0;
    field->key = slice_of(text, key++);
    value = key < size && text[key] == '"' ? quoted_size(text + key, size - key) : 0;
    if (value != 0) {
        field->value = slice_of(text + key + 1, value - 2);
    } else {
        value = word_size(text + key, size - key);
        field->value = slice_of(text + key, value);
    }
    return key + value;
}

static bool is_free(const struct fields *fields, struct slice key)
{
    static const char *const taken[] = {"time", "level", "msg"};

    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (slice_equal(key, slice_of_string(taken[i]))) return false;
    for (size_t i = 0; i < fields->count; i++)
        if (slice_equal(key, fields->at[i].key)) return false;
    return fields->count < LOG_RENDER_FIELDS_MAX;
}

static void split(const char *text, size_t size, struct fields *fields)
{
    fields->count = 0;
    fields->message_size = size;
    for (size_t at = 0; at < size;) {
        struct field field;
        size_t taken = take_field(text + at, size - at, &field);
        bool is_field = taken != 0 && is_free(fields, field.key);

        if (is_field && fields->count == 0) fields->message_size = at > 0 ? at - 1 : 0;
        if (is_field) fields->at[fields->count++] = field;
        else fields->count = 0;
        at += taken != 0 ? taken : word_size(text + at, size - at);
        at++; /* the blank */
    }
    if (fields->count == 0) fields->message_size = size;
}

/* ---- the line ---- */

/* How many bytes the character at the beginning has; 0: that is no UTF-8. */
static size_t utf8_size(const unsigned char *text, size_t size)
{
    static const unsigned char least_second[] = {0x80, 0xa0, 0x90};
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : text[0] >= 0xe0 && text[0] < 0xf0 ? 3 : text[0] >= 0xf0 && text[0] < 0xf5 ? 4 : 0;

    if (length == 0 || length > size) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((text[0] == 0xe0 && text[1] < least_second[1]) || (text[0] == 0xf0 && text[1] < least_second[2])) return 0; /* longer than need be */
    if ((text[0] == 0xed && text[1] >= 0xa0) || (text[0] == 0xf4 && text[1] >= 0x90)) return 0;                     /* surrogates; beyond the last */
    return length;
}

static char *put(char *to, const char *text)
{
    size_t size = strlen(text);

    memcpy(to, text, size);
    return to + size;
}

/* Between quotes: JSON and logfmt escape alike, as there are no control characters. At most two bytes for each, and the quotes. */
static char *put_quoted(char *to, struct slice text)
{
    *to++ = '"';
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(text.data + i, text.size - i);

        if (text.data[i] == '"' || text.data[i] == '\\') *to++ = '\\';
        if (size == 0) *to++ = '?';
        else memcpy(to, text.data + i, size);
        to += size;
        i += size != 0 ? size : 1;
    }
    *to++ = '"';
    return to;
}

static bool is_plain(struct slice value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f || value.data[i] == '"' || value.data[i] == '\\' || value.data[i] == '=') return false;
    return value.size > 0;
}

static char *put_plain(char *to, struct slice value)
{
    if (!is_plain(value)) return put_quoted(to, value);
    memcpy(to, value.data, value.size);
    return to + value.size;
}

static char *put_key(char *to, enum log_format format, struct slice key)
{
    if (format == LOG_FORMAT_JSON) *to++ = ',';
    else *to++ = ' ';
    if (format == LOG_FORMAT_JSON) {
        to = put_quoted(to, key);
        *to++ = ':';
    } else {
        memcpy(to, key.data, key.size);
        to += key.size;
        *to++ = '=';
    }
    return to;
}

size_t log_render(enum log_format format, const char *time, const char *level, const char *text, size_t size, char *line)
{
    bool is_json = format == LOG_FORMAT_JSON;
    struct fields fields;
    char *to = line;

    split(text, size, &fields);
    to = put(to, is_json ? "{\"time\":\"" : "time=");
    to = put(to, time);
    to = put(to, is_json ? "\",\"level\":\"" : " level=");
    to = put(to, level);
    to = put(to, is_json ? "\",\"msg\":" : " msg=");
    to = put_quoted(to, slice_of(text, fields.message_size));
    for (size_t i = 0; i < fields.count; i++) {
        to = put_key(to, format, fields.at[i].key);
        to = is_json ? put_quoted(to, fields.at[i].value) : put_plain(to, fields.at[i].value);
    }
    to = put(to, is_json ? "}\n" : "\n");
    return (size_t)(to - line);
}
