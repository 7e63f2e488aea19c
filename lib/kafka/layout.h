/* kafka/layout.h - how the interpreter reaches into generated structs; internal to this folder. */
#ifndef KAFKA_LAYOUT_H
#define KAFKA_LAYOUT_H

#include "kafka/codec.h"

#include <string.h>

static inline bool field_is_in(const struct kafka_field *field, int version)
{
    return version >= field->version_min && version <= field->version_max;
}

static inline bool field_may_be_null(const struct kafka_field *field, int version)
{
    return version >= field->null_min && version <= field->null_max;
}

static inline const void *field_of(const struct kafka_field *field, const void *message)
{
    return (const char *)message + field->offset;
}

static inline void *field_place(const struct kafka_field *field, void *message)
{
    return (char *)message + field->offset;
}

/* Generated arrays are of many types: their common layout is read byte by byte, as C's aliasing rules want it. */
static inline struct kafka_array array_load(const void *place)
{
    struct kafka_array array;

    memcpy(&array.items, place, sizeof(array.items));
    memcpy(&array.count, (const char *)place + offsetof(struct kafka_array, count), sizeof(array.count));
    return array;
}

static inline void array_store(void *place, struct kafka_array array)
{
    memcpy(place, &array.items, sizeof(array.items));
    memcpy((char *)place + offsetof(struct kafka_array, count), &array.count, sizeof(array.count));
}

/* Bytes of one C value. */
size_t layout_size_of(enum kafka_type type, const struct kafka_struct *of);

static inline size_t layout_element_size(const struct kafka_field *field)
{
    return layout_size_of((enum kafka_type)field->element, field->of);
}

/* Bytes that a value takes at least on the wire; 0 only for a struct that has nothing in this version. */
size_t layout_wire_min(enum kafka_type type, const struct kafka_struct *of, int version, bool is_flexible);

/* A number or bool as a number. */
int64_t layout_load_number(enum kafka_type type, const void *place);
void layout_store_number(enum kafka_type type, void *place, int64_t value);

/* Whether a field is as kafka_init() made it, so that a tagged one need not be sent. */
bool layout_is_default(const struct kafka_field *field, const void *place, int version);

#endif
