/* broker/front/native/native.h - the native door: one request at a time from a frame to an operation, and answers back.
 *
 * Handlers look at a verified frame that lies in the receive buffer; they return SERVE_MORE when they are done with the
 * bytes (the answer may come later), SERVE_WAIT to see the same frame again when memory is free, SERVE_GONE when the
 * connection is not theirs any more. */
#ifndef BROKER_FRONT_NATIVE_NATIVE_H
#define BROKER_FRONT_NATIVE_NATIVE_H

#include "cmd/broker/front/connection.h"
#include "wire/frame.h"
#include "wire/message.h"

struct native_request {
    struct connection *connection;
    struct frame_header header;
    struct slice message;
    uint8_t *attachment; /* header.attachment_size bytes, writable */
    struct slice rest;   /* received after this frame */
};

enum serve native_hello(const struct native_request *request);
enum serve native_produce(const struct native_request *request);
enum serve native_fetch(const struct native_request *request);
enum serve native_list_offsets(const struct native_request *request);
enum serve native_topic_trim(const struct native_request *request);
enum serve native_groups(const struct native_request *request);
enum serve native_operate(const struct native_request *request); /* of one broker, which may be another */
enum serve native_admin(const struct native_request *request); /* whatever the control loop answers */

/* Queue an answer. When memory runs out the connection is closed: an answer may not be lost silently. */
void native_respond(struct connection *connection, uint16_t op, uint32_t correlation_id, struct slice message);
void native_respond_error(struct connection *connection, uint16_t op, uint32_t correlation_id, int error,
                          const char *text);
/* The same, of a message that begins as an error's does. */
void native_respond_refusal(struct connection *connection, uint16_t op, uint32_t correlation_id, struct slice message);

/* Forgets a produce request that waits in the middle; for connections that close. */
struct produce_call;
void native_produce_abandon(struct produce_call *call);

#endif
