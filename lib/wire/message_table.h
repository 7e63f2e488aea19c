/* wire/message_table.h - messages by tables of their fields: one walker for many shapes, to structs of ours whose strings borrow. Internal to lib/wire.
 *
 * A table lists the fields in the order of their numbers, which run from 1 without a gap. A message inside another that is no list holds no lists. What is
 * at stake for speed are packed lists of numbers, and those are loops without a table. */
#ifndef WIRE_MESSAGE_TABLE_H
#define WIRE_MESSAGE_TABLE_H

#include "base/buffer.h"

#include <stdbool.h>

enum table_kind {
    TABLE_BOOL,
    TABLE_UINT32,
    TABLE_UINT64,
    TABLE_ERROR,       /* int: 0 or below; sint32 */
    TABLE_MINUS_ONE32, /* int32_t from -1 on; the number plus one */
    TABLE_MINUS_ONE64, /* int64_t likewise */
    TABLE_BYTES,       /* struct slice */
    TABLE_UUID,        /* struct uuid; zeros: left out */
    TABLE_MESSAGE,
};

#define TABLE_NO_LIST UINT16_MAX

struct table_field {
    uint8_t kind;
    uint16_t at;       /* the member's place; of a list: of the pointer */
    uint16_t count_at; /* of a list: of its size_t, else TABLE_NO_LIST */
    const struct table *table; /* TABLE_MESSAGE */
};

#define TABLE_FIELDS_MAX 20

struct table {
    const struct table_field *fields; /* fields[n] has number n + 1 */
    uint8_t field_count;
    uint16_t size; /* of the struct */
    bool (*is_sound)(const void *message); /* may be NULL: what must hold between its fields */
};

/* As message_encode_X() and message_decode_X(). lists_bytes_max: memory of all lists of a decoded message; no encoder makes what would need more. */
int message_table_encode(const struct table *table, const void *message, size_t lists_bytes_max, struct buffer *to);
/* On failure nothing of *message has to be released. */
int message_table_decode(const struct table *table, struct slice from, size_t lists_bytes_max, void *message);
void message_table_deinit(const struct table *table, void *message); /* leaves zeros */

#endif
