/* base/uuid.h - 128-bit identifiers: brokers, disks, meshes, topics. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define UUID_SIZE        16 /* bytes */
#define UUID_STRING_SIZE 37 /* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and its NUL */

struct uuid {
    uint8_t bytes[UUID_SIZE]; /* all zero: none */
};

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, UUID_SIZE) == 0;
}

static inline bool uuid_is_zero(const struct uuid *uuid)
{
    static const struct uuid zero;
    return uuid_equal(uuid, &zero);
}

/* A random (version 4) uuid made of 16 random bytes that the caller supplies. */
struct uuid uuid_from_random(const uint8_t random_bytes[UUID_SIZE]);

/* Writes the canonical lower-case text with its NUL and returns `to`. */
char *uuid_format(const struct uuid *uuid, char to[UUID_STRING_SIZE]);

/* Parses the canonical text. Errors: MESH_EINVAL; *ret_uuid is then untouched. */
int uuid_parse(const char *text, struct uuid *ret_uuid);

#endif
