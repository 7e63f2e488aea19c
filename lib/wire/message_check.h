/* wire/message_check.h - judges a message's bytes by its descriptor before protobuf-c may allocate for them.
 *
 * protobuf-c copies first and tells little afterwards: a NUL inside a string is lost, and two bytes of input
 * can cost 200 of memory. So the bytes are walked once without allocating, and only what passes is unpacked.
 * Internal to lib/wire. */
#ifndef WIRE_MESSAGE_CHECK_H
#define WIRE_MESSAGE_CHECK_H

#include "base/slice.h"

#include <protobuf-c/protobuf-c.h>

/* Walks the message and the messages in it. Refused: truncation, groups, a known field with another wire
 * type, a NUL in a string, a bytes field of neither 0 nor 16 bytes (they are uuids; of a verifier: of more than 64), more than
 * elements_max elements in all. An element is what protobuf-c allocates for: an occurrence of a repeated
 * field (packed numbers apart) or of an unknown one. Errors: MESH_EPROTO; *ret_element_count is written on
 * success. */
int message_check(const ProtobufCMessageDescriptor *descriptor, struct slice message, uint32_t elements_max,
                  uint32_t *ret_element_count);

#endif
