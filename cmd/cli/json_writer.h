/* cli/json_writer.h - writes JSON into a buffer as it is called; no tree, no allocation but the buffer's.
 *
 * `mesh consume` writes an object per record, so that this has to cost little more than a copy. Commas and
 * nesting are kept here; keys out of place are bugs. An error sticks: ask json_writer_error() once at the
 * end. */
#ifndef CLI_JSON_WRITER_H
#define CLI_JSON_WRITER_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct json_writer {
    struct buffer *to; /* borrowed */
    bool needs_comma;
    int error;
};

void json_writer_init(struct json_writer *json, struct buffer *to);
int json_writer_error(const struct json_writer *json); /* 0 or MESH_ENOMEM */

void json_writer_begin_object(struct json_writer *json);
void json_writer_end_object(struct json_writer *json);
void json_writer_begin_array(struct json_writer *json);
void json_writer_end_array(struct json_writer *json);
void json_writer_key(struct json_writer *json, const char *key); /* key: plain ASCII of ours */

/* Text; what is not UTF-8 in it becomes U+FFFD. */
void json_writer_text(struct json_writer *json, const char *text);
void json_writer_text_of(struct json_writer *json, const void *text, size_t size);
void json_writer_integer(struct json_writer *json, int64_t integer);
void json_writer_unsigned(struct json_writer *json, uint64_t integer);
void json_writer_real(struct json_writer *json, double real, int decimals); /* not a number, infinite: null */
void json_writer_boolean(struct json_writer *json, bool boolean);
void json_writer_null(struct json_writer *json);

/* A member whose value is `data`: KEY as text when it is valid UTF-8, else KEY_base64; null when data is
 * NULL. */
void json_writer_member_bytes(struct json_writer *json, const char *key, const void *data, size_t size);

/* How many bytes at the front of data[0..size) are valid UTF-8 (Unicode 15, table 3-7: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
size_t json_writer_utf8_prefix(const void *data, size_t size);

#endif
