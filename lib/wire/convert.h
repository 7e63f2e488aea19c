/* wire/convert.h - what the conversions between protobuf-c's structs and ours share. Internal to lib/wire.
 *
 * A conversion is written straight down: its helpers note the first error in struct conversion and hand out
 * harmless values (NULL, 0) after it; the generated public function looks at the error once, at the end, and
 * frees what was half built. Counts are set only when the array behind them is there, so that every deinit
 * may run at any point. */
#ifndef WIRE_CONVERT_H
#define WIRE_CONVERT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/uuid.h"
#include "native.pb-c.h"
#include "wire/message.h"

#include <stdlib.h>

struct convert_block; /* memory for the time of one encoding */

struct conversion {
    int err; /* the first one */
    struct convert_block *blocks;
};

void convert_fail(struct conversion *conversion, int err);

/* ---- from protobuf-c's structs to ours: what is returned belongs to our struct, freed with free() ---- */

/* A zeroed array, NULL when count is 0 or on failure; *ret_count is the count, or 0 on failure. */
void *convert_array(struct conversion *conversion, size_t count, size_t element_size, size_t *ret_count);
char *convert_string(struct conversion *conversion, const char *from);
struct uuid convert_uuid(ProtobufCBinaryData from);                         /* absent: zero */
int convert_error(struct conversion *conversion, int32_t error);            /* not above 0 */
int32_t convert_minus_one(struct conversion *conversion, int64_t plus_one); /* 0 stands for -1 */

void convert_strings_free(char **strings, size_t count);

/* ---- from ours to protobuf-c's: strings and uuids are borrowed, arrays live until the encoding ends ---- */

/* An array of `count` pointers to as many elements of element_size bytes, not initialised; NULL on failure
 * and for no elements. *ret_count is 0 on failure. */
void *convert_pointers(struct conversion *conversion, size_t count, size_t element_size, size_t *ret_count);
ProtobufCBinaryData convert_borrow_uuid(const struct uuid *from);       /* zero: absent */
int32_t convert_plus_one(struct conversion *conversion, int32_t value); /* -1 stands as 0; MESH_EINVAL */

/* ---- the ends ---- */

/* Checks and unpacks a message, spending memory in proportion to it. The caller ends *ret_message with
 * protobuf_c_message_free_unpacked(, NULL). Errors: MESH_EPROTO, MESH_ENOMEM. */
int convert_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice from, uint32_t elements_max,
                   ProtobufCMessage **ret_message);

/* Appends the encoded message, unless the conversion has failed, and frees the conversion's blocks.
 * Errors: the conversion's, MESH_ENOMEM, MESH_ETOOLARGE (over FRAME_MESSAGE_BYTES_MAX or elements_max: no
 * decoder would take it). */
int convert_pack(struct conversion *conversion, const ProtobufCMessage *message, uint32_t elements_max,
                 struct buffer *to);

/* Defines the public functions of one message of MESSAGE_MAP from three static ones:
 *   suffix_from_wire(conversion, const wire *, our struct *), suffix_to_wire(conversion, const our struct *,
 * wire *), and message_deinit_suffix(), which is public already. */
#define CONVERT_DEFINE(suffix, type, wire_type, wire_prefix, wire_init, elements_max)                        \
    int message_encode_##suffix(struct buffer *to, const struct type *message)                               \
    {                                                                                                        \
        struct conversion conversion = {0, NULL};                                                            \
        wire_type wire = wire_init;                                                                          \
        suffix##_to_wire(&conversion, message, &wire);                                                       \
        return convert_pack(&conversion, &wire.base, elements_max, to);                                      \
    }                                                                                                        \
    int message_decode_##suffix(struct slice from, struct type *ret_message)                                 \
    {                                                                                                        \
        struct conversion conversion = {0, NULL};                                                            \
        struct type message;                                                                                 \
        ProtobufCMessage *wire = NULL;                                                                       \
        int err = convert_unpack(&wire_prefix##__descriptor, from, elements_max, &wire);                     \
        if (err != 0) return err;                                                                            \
        memset(&message, 0, sizeof(message));                                                                \
        suffix##_from_wire(&conversion, (const wire_type *)wire, &message);                                  \
        protobuf_c_message_free_unpacked(wire, NULL);                                                        \
        if (conversion.err == 0)                                                                             \
            *ret_message = message;                                                                          \
        else                                                                                                 \
            message_deinit_##suffix(&message);                                                               \
        return conversion.err;                                                                               \
    }

#endif
