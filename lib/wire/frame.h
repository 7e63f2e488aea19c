/* wire/frame.h - the frame of the native protocol: fixed header, protobuf message, raw record batches.
 *
 *   off size field (little endian)
 *     0    4 magic: the bytes "MESH"
 *     4    1 version = 1
 *     5    1 flags: 1 response, 2 error (the message is an ErrorResponse)
 *     6    2 operation, enum frame_op
 *     8    4 correlation id: chosen by the requester, repeated in the response
 *    12    4 message length, bytes
 *    16    4 attachment length, bytes
 *    20    4 CRC-32C of bytes 0..19 and of the message; the attachment's batches carry their own
 *    24    . message, then attachment
 *
 * Responses may come in any order; requests on one connection that concern one partition are served in order. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/slice.h"

#define FRAME_HEADER_SIZE       24
#define FRAME_VERSION           1
#define FRAME_FLAG_RESPONSE     1
#define FRAME_FLAG_ERROR        2
#define FRAME_MESSAGE_BYTES_MAX (4u << 20) /* a message longer than this is refused before allocation */

enum frame_op {
    FRAME_OP_HELLO = 1,
    FRAME_OP_CLUSTER = 2,
    FRAME_OP_TOPIC_CREATE = 3,
    FRAME_OP_TOPIC_DELETE = 4,
    FRAME_OP_TOPIC_ALTER = 5,
    FRAME_OP_TOPIC_DESCRIBE = 6,
    FRAME_OP_PRODUCE = 7,
    FRAME_OP_FETCH = 8,
    FRAME_OP_LIST_OFFSETS = 9,
    FRAME_OP_INIT_PRODUCER = 10,
    FRAME_OP_STATUS = 11,
    FRAME_OP_PING = 12,
    FRAME_OP_MEMBERS = 13,
    FRAME_OP_LEAVE = 14,
    FRAME_OP_KEYS = 15,
    FRAME_OP_WHY = 16,
    FRAME_OP_REMOVE = 17,
    FRAME_OP_RECOVER = 18,
    FRAME_OP_TOPIC_MOVE = 19,
    FRAME_OP_TOPIC_BALANCE = 20,
    FRAME_OP_GROUP_JOIN = 21, /* consumer groups: message_group.h */
    FRAME_OP_GROUP_HEARTBEAT = 22,
    FRAME_OP_GROUP_CLAIM = 23,
    FRAME_OP_GROUP_RELEASE = 24,
    FRAME_OP_GROUP_COMMIT = 25,
    FRAME_OP_GROUP_OFFSETS = 26,
    FRAME_OP_GROUP_LEAVE = 27,
    FRAME_OP_GROUP_RESET = 28,
    FRAME_OP_GROUP_DELETE = 29,
    FRAME_OP_GROUP_LIST = 30,
    FRAME_OP_GROUP_DESCRIBE = 31,
    FRAME_OP_USERS = 33,
    FRAME_OP_GROUP_CLASSIC = 33, /* between brokers only: what Kafka's clients ask of a group's leader */
    FRAME_OP_GROUP_CLASSIC_LOOK = 34, /* likewise, what changes nothing */
    FRAME_OP_EVENTS = 35, /* of one broker: message_operate.h */
    FRAME_OP_DRAIN = 36,  /* likewise */
    FRAME_OP_CONFIG = 37, /* likewise */
    FRAME_OP_TOPIC_TRIM = 38,
    FRAME_OP_HEAL = 32, /* between brokers only: cmd/broker/replicas/heal_message.h */
};

struct frame_header {
    uint8_t flags;
    uint16_t op;
    uint32_t correlation_id;
    uint32_t message_size;
    uint32_t attachment_size;
};

/* Decodes the header; the CRC is not checked. Errors: MESH_EAGAIN (fewer than 24 bytes), MESH_EPROTO (magic; flags
 * that version 1 does not have, or an error that is no response), MESH_EVERSION, MESH_ETOOLARGE (message over
 * FRAME_MESSAGE_BYTES_MAX, or message + attachment over frame_bytes_max). */
int frame_parse_header(struct slice bytes, uint32_t frame_bytes_max, struct frame_header *ret_header);

/* Checks the CRC once header and message are there: frame points at the header. Errors: MESH_ECORRUPT. */
int frame_verify(const uint8_t *frame, const struct frame_header *header);

/* Writes the 24 bytes at `to`, including the CRC over `message` (header->message_size bytes, which need not follow). */
void frame_write_header(uint8_t to[FRAME_HEADER_SIZE], const struct frame_header *header, const uint8_t *message);

#endif
