/* The messages that go through protobuf-c, as a table to loop over, with a generator of random contents. */
#ifndef TEST_WIRE_MESSAGE_KINDS_H
#define TEST_WIRE_MESSAGE_KINDS_H

#include "base/buffer.h"
#include "base/random.h"

#include <protobuf-c/protobuf-c.h>

struct fill {
    struct random random;
    bool everything; /* every field has another value than its default, every list two elements */
};

struct message_kind {
    const char *name;
    const ProtobufCMessageDescriptor *descriptor;
    size_t size; /* of the struct */
    int (*encode)(struct buffer *to, const void *message);
    int (*decode)(struct slice from, void *ret_message);
    void (*deinit)(void *message);
    void (*fill)(struct fill *fill, void *message); /* to be ended with deinit */
};

#define MESSAGE_KIND_SIZE_MAX 256 /* bytes of the largest struct */

extern const struct message_kind message_kinds[];
extern const int message_kind_count;

/* The kind of this name; fails the test when there is none. */
const struct message_kind *message_kind_named(const char *name);

#endif
