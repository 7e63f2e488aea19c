/* broker/front/native/operate.c - what people ask of one broker: to this one's control loop, or over a link to the one that the request names.
 *
 * The answer of another broker goes through as it is. One that tells an error is marked as one on its way out. */
#include "wire/message_operate.h"

#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/operate/operate.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

struct operate_relay {
    struct forward_call forward;
    struct connection *connection;
    uint32_t correlation_id;
    uint16_t op;
    uint8_t bytes[]; /* room for a frame's header, and the message */
};

static int error_of(struct slice answer)
{
    struct message_error body;
    int error = message_decode_error(answer, &body);

    if (error != 0) return error;
    error = body.error;
    message_deinit_error(&body);
    return error;
}

static void on_answered(struct forward_call *forward)
{
    struct operate_relay *relay = container_of(forward, struct operate_relay, forward);
    struct connection *connection = relay->connection;

    forward_note(forward, 0);
    if (forward->error == MESH_EUNREACHABLE)
        native_respond_error(connection, relay->op, relay->correlation_id, MESH_ENOTFOUND, "the broker that was named has no link to the one that was asked: it is down, or cut off from it");
    else if (forward->error == MESH_EPROTO && relay->op == FRAME_OP_CONFIG)
        native_respond_error(connection, relay->op, relay->correlation_id, MESH_EUNSUPPORTED, "the broker that was named is of an earlier version, which does not know this request");
    else if (forward->error != 0)
        native_respond_error(connection, relay->op, relay->correlation_id, forward->error, mesh_strerror(forward->error));
    else if (error_of(forward->message) != 0)
        native_respond_refusal(connection, relay->op, relay->correlation_id, forward->message);
    else
        native_respond(connection, relay->op, relay->correlation_id, forward->message);
    long_memory_give(forward->answer);
    free(relay);
    connection_end(connection, 1);
}

static enum serve send_on(const struct native_request *request, const struct uuid *broker)
{
    struct connection *connection = request->connection;
    struct operate_relay *relay = calloc(1, sizeof(*relay) + FRAME_HEADER_SIZE + request->message.size);

    if (relay == NULL) {
        native_respond_error(connection, request->header.op, request->header.correlation_id, MESH_ENOMEM, "out of memory");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
    relay->connection = connection;
    relay->op = request->header.op;
    relay->correlation_id = request->header.correlation_id;
    if (request->message.size > 0) memcpy(relay->bytes + FRAME_HEADER_SIZE, request->message.data, request->message.size);
    relay->forward = (struct forward_call){.broker = *broker,
                                           .op = request->header.op,
                                           .expects_answer = true,
                                           .timeout_ms = OPERATE_RELAY_MS,
                                           .head = relay->bytes,
                                           .message_size = request->message.size,
                                           .from = request->connection->peer.v6,
                                           .from_id = request->header.correlation_id,
                                           .done = on_answered};
    connection_begin(connection, 1);
    forward_submit(connection->shard, &relay->forward);
    return SERVE_MORE;
}

enum serve native_operate(const struct native_request *request)
{
    struct uuid broker;

    if (message_operate_peek(request->message, &broker) != 0 || uuid_is_zero(&broker) || uuid_equal(&broker, &request->connection->shard->broker->broker_id))
        return native_admin(request);
    return send_on(request, &broker);
}
