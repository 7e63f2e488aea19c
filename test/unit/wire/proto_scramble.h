/* Other encodings of the same protobuf message, for tests of decoders.
 *
 * protobuf lets an encoder say the same thing in many ways: fields in any order, a scalar several times (the
 * last counts), defaults written out, numbers in longer varints than they need, packed numbers one by one,
 * fields that the reader does not know. A decoder must understand all of them alike. */
#ifndef TEST_WIRE_PROTO_SCRAMBLE_H
#define TEST_WIRE_PROTO_SCRAMBLE_H

#include "base/buffer.h"
#include "base/random.h"

#include <protobuf-c/protobuf-c.h>

/* Appends another encoding of `message`, which holds no unknown fields. Fails the test when it is malformed.
 */
void proto_scramble(const ProtobufCMessageDescriptor *descriptor, struct slice message, struct random *random,
                    struct buffer *to);

#endif
