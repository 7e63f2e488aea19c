/* kafka/codec.h - Kafka's messages: one interpreter over the tables that generate.py makes from schema/.
 *
 * A message is a generated struct (kafka/messages.h), the union of its versions. Decoding fills it: strings, bytes and records are slices of
 * the received bytes, arrays come from the caller's arena. What a version does not have reads as its default, and is left out when written.
 *
 * Null: a slice without data; an array with count -1. Where the version has no null both are written as empty, so a struct of
 * zeros from kafka_init() is a valid message of every version.
 *
 * Pure functions; any thread. */
#ifndef KAFKA_CODEC_H
#define KAFKA_CODEC_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kafka_type {
    KAFKA_BOOL,
    KAFKA_INT8,
    KAFKA_INT16,
    KAFKA_INT32,
    KAFKA_INT64,
    KAFKA_UUID,
    KAFKA_STRING,  /* struct slice; at most KAFKA_STRING_MAX bytes */
    KAFKA_BYTES,   /* struct slice */
    KAFKA_RECORDS, /* struct slice */
    KAFKA_STRUCT,
    KAFKA_ARRAY, /* struct kafka_array's layout */
};

#define KAFKA_STRING_MAX       32767   /* bytes: what an int16 can say, in flexible versions too */
#define KAFKA_ARRAY_COUNT_MAX  1000000 /* as Kafka's own limit */
#define KAFKA_TAG_COUNT_MAX    10000   /* of one struct; likewise */
#define KAFKA_VERSION_NEVER    127     /* flexible_min of what never is */

struct kafka_struct;

struct kafka_field {
    const char *name;
    const struct kafka_struct *of; /* of a struct, or of an array of structs */
    int64_t default_value;         /* of numbers and bool; everything else: null or empty */
    uint16_t offset;               /* in the C struct */
    uint8_t type;                  /* enum kafka_type */
    uint8_t element;               /* of an array; else as type */
    int8_t version_min, version_max;
    int8_t null_min, null_max; /* versions in which null can be said; 1, 0: none */
    int16_t tag;               /* -1: always there. Tagged fields come last, by tag */
};

struct kafka_struct {
    const char *name; /* the C struct's */
    const struct kafka_field *fields;
    uint16_t field_count;
    uint16_t size; /* of the C struct */
};

struct kafka_api {
    int16_t key;
    const char *name;
    int8_t version_min, version_max;
    int8_t flexible_min;
    const struct kafka_struct *request, *response;
};

extern const struct kafka_api kafka_apis[]; /* by key */
extern const size_t kafka_api_count;

/* NULL: not in the schema. */
const struct kafka_api *kafka_api_find(int16_t key);

static inline bool kafka_api_has(const struct kafka_api *api, int version)
{
    return version >= api->version_min && version <= api->version_max;
}

/* What all generated arrays look like. */
struct kafka_array {
    void *items;
    int32_t count; /* -1: null */
};

/* A struct in one version. */
struct kafka_form {
    const struct kafka_struct *of;
    int8_t version;
    bool is_flexible; /* compact lengths and tagged fields */
};

/* version is one that the api has. */
struct kafka_form kafka_request_form(const struct kafka_api *api, int version);
struct kafka_form kafka_response_form(const struct kafka_api *api, int version);

/* Sets the defaults of a struct and of those inside it. */
void kafka_init(const struct kafka_struct *of, void *ret_message);

/* Zeroed memory for `count` structs, each with its defaults; NULL: no memory. count is not negative. */
void *kafka_new_items(const struct kafka_struct *of, int32_t count, struct arena *arena);

/* Reads a whole message. What it points at lives as long as bytes and arena. Arrays cost at most memory_max bytes, each judged against the
 * bytes that are left before it is allocated. On failure the arena holds leftovers. What stands behind the message's end is not looked at, as with Kafka: librdkafka
 * (2.x, Metadata from version 9) has three bytes there when it asks for all topics.
 * Errors: MESH_EPROTO (not such a message: truncated, a length below -1 or beyond the end, null where there is
 * none, tags that do not ascend, a varint over 5 bytes), MESH_ETOOLARGE (a limit above, or memory_max), MESH_ENOMEM. */
int kafka_decode(struct kafka_form form, struct slice bytes, struct arena *arena, size_t memory_max, void *ret_message);

/* Bytes that kafka_encode() would append. Errors: MESH_ETOOLARGE (a string over KAFKA_STRING_MAX, anything over INT32_MAX). */
int kafka_size(struct kafka_form form, const void *message, size_t *ret_size);

/* Appends the message. Errors: as kafka_size(), MESH_ENOMEM; the buffer is unchanged then. */
int kafka_encode(struct kafka_form form, const void *message, struct buffer *buffer);

/* Appends text for people and tests: {name: value, ...}, only of what the version has. Errors: MESH_ENOMEM (a part may be appended). */
int kafka_print(struct kafka_form form, const void *message, struct buffer *buffer);

/* Whether both say the same in this version: what is encoded is equal. */
bool kafka_equal(struct kafka_form form, const void *a, const void *b);

#endif
