/* broker/front/native/native.c - frames in, dispatch, answers out. */
#include "cmd/broker/front/native/native.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"

#include <stdio.h>

static enum serve native_ping(const struct native_request *request)
{
    native_respond(request->connection, FRAME_OP_PING, request->header.correlation_id, request->message);
    return request->connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}

/* Queues header and message behind it in one piece when they are short, as nearly all are. */
static int respond(struct connection *connection, const struct frame_header *header, struct slice message)
{
    uint8_t bytes[FRAME_HEADER_SIZE], *to;
    int err;

    if (message.size <= OUTPUT_RESERVE_MAX - FRAME_HEADER_SIZE) {
        to = output_reserve(connection, FRAME_HEADER_SIZE + message.size);
        if (to == NULL) return MESH_ENOMEM;
        frame_write_header(to, header, message.data);
        if (message.size > 0) memcpy(to + FRAME_HEADER_SIZE, message.data, message.size);
        output_commit(connection, FRAME_HEADER_SIZE + message.size);
        return 0;
    }
    frame_write_header(bytes, header, message.data);
    err = output_append(connection, slice_of(bytes, sizeof(bytes)));
    return err != 0 ? err : output_append(connection, message);
}

void native_respond(struct connection *connection, uint16_t op, uint32_t correlation_id, struct slice message)
{
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE,
                                  .op = op,
                                  .correlation_id = correlation_id,
                                  .message_size = (uint32_t)message.size};

    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_CLOSING) return;
    if (message.size > FRAME_MESSAGE_BYTES_MAX) {
        native_respond_error(connection, op, correlation_id, MESH_ETOOLARGE, "the answer is too large: ask for less");
        return;
    }
    if (respond(connection, &header, message) != 0) connection_close(connection);
}

void native_respond_error(struct connection *connection, uint16_t op, uint32_t correlation_id, int error,
                          const char *text)
{
    struct message_error body = {error, (char *)(uintptr_t)text};
    struct frame_header header = {
        .flags = FRAME_FLAG_RESPONSE | FRAME_FLAG_ERROR, .op = op, .correlation_id = correlation_id};
    struct buffer *scratch = &connection->shard->scratch;

    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_CLOSING) return;
    connection->shard->metrics.request_errors[op < METRICS_OP_COUNT ? op : 0]++;
    buffer_clear(scratch);
    if (message_encode_error(scratch, &body) != 0) {
        connection_close(connection);
        return;
    }
    header.message_size = (uint32_t)scratch->size;
    if (respond(connection, &header, buffer_slice(scratch)) != 0) connection_close(connection);
}

void native_respond_refusal(struct connection *connection, uint16_t op, uint32_t correlation_id, struct slice message)
{
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE | FRAME_FLAG_ERROR,
                                  .op = op,
                                  .correlation_id = correlation_id,
                                  .message_size = (uint32_t)message.size};

    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_CLOSING) return;
    connection->shard->metrics.request_errors[op < METRICS_OP_COUNT ? op : 0]++;
    if (respond(connection, &header, message) != 0) connection_close(connection);
}

/* A frame that cannot be believed: nothing after it can be either. */
static enum serve native_refuse_frame(struct connection *connection, const struct frame_header *header, int error,
                                      const char *text)
{
    char line[160];

    connection->shard->metrics.protocol_errors++;
    snprintf(line, sizeof(line), "closed a connection after a bad frame reason=\"%s\"", text);
    connection_complain(connection, line);
    native_respond_error(connection, header->op, header->correlation_id, error, text);
    if (connection->state != CONNECTION_CLOSED) connection_finish(connection);
    return SERVE_GONE;
}

static const char *frame_error_text(int error)
{
    switch (error) {
    case MESH_EVERSION: return "unsupported version of the frame";
    case MESH_ETOOLARGE: return "the frame is larger than request.bytes.max";
    default: return "not a frame of the native protocol";
    }
}

static enum serve native_dispatch(const struct native_request *request)
{
    const struct frame_header *header = &request->header;
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;

    shard->metrics.requests[header->op < METRICS_OP_COUNT ? header->op : 0]++;
    if (header->flags != 0) return native_refuse_frame(connection, header, MESH_EPROTO, "a response was sent as a request");
    if (shard->is_stopping && connection->produce_call == NULL) { /* a request that has begun is finished */
        native_respond_error(connection, header->op, header->correlation_id, MESH_ESHUTDOWN, "the broker is stopping");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
    if (connection->state == CONNECTION_HELLO && header->op != FRAME_OP_HELLO)
        return native_refuse_frame(connection, header, MESH_EPROTO, "the first request must be a hello");
    switch (header->op) {
    case FRAME_OP_PRODUCE: return native_produce(request);
    case FRAME_OP_FETCH: return native_fetch(request);
    case FRAME_OP_HELLO:
        if (connection->state == CONNECTION_HELLO) return native_hello(request);
        return native_refuse_frame(connection, header, MESH_EPROTO, "a second hello");
    case FRAME_OP_LIST_OFFSETS: return native_list_offsets(request);
    case FRAME_OP_TOPIC_TRIM: return native_topic_trim(request);
    case FRAME_OP_PING: return native_ping(request);
    case FRAME_OP_GROUP_JOIN:
    case FRAME_OP_GROUP_HEARTBEAT:
    case FRAME_OP_GROUP_CLAIM:
    case FRAME_OP_GROUP_RELEASE:
    case FRAME_OP_GROUP_COMMIT:
    case FRAME_OP_GROUP_OFFSETS:
    case FRAME_OP_GROUP_LEAVE:
    case FRAME_OP_GROUP_RESET:
    case FRAME_OP_GROUP_DELETE:
    case FRAME_OP_GROUP_LIST:
    case FRAME_OP_GROUP_DESCRIBE: return native_groups(request);
    case FRAME_OP_EVENTS:
    case FRAME_OP_DRAIN:
    case FRAME_OP_CONFIG: return native_operate(request);
    case FRAME_OP_CLUSTER:
    case FRAME_OP_TOPIC_CREATE:
    case FRAME_OP_TOPIC_DELETE:
    case FRAME_OP_TOPIC_ALTER:
    case FRAME_OP_TOPIC_DESCRIBE:
    case FRAME_OP_INIT_PRODUCER:
    case FRAME_OP_STATUS:
    case FRAME_OP_MEMBERS:
    case FRAME_OP_LEAVE:
    case FRAME_OP_KEYS:
    case FRAME_OP_REMOVE:
    case FRAME_OP_RECOVER:
    case FRAME_OP_TOPIC_MOVE:
    case FRAME_OP_TOPIC_BALANCE:
    case FRAME_OP_USERS:
    case FRAME_OP_WHY: return native_admin(request);
    default:
        native_respond_error(connection, header->op, header->correlation_id, MESH_EUNSUPPORTED,
                             "this broker does not know the operation");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
}

enum serve connection_serve_native(struct connection *connection, uint8_t *bytes, size_t size, size_t *ret_used,
                                   size_t *ret_need)
{
    uint32_t frame_bytes_max = (uint32_t)connection->shard->broker->settings.request_bytes_max;
    size_t at = 0;

    for (;;) {
        struct native_request request = {.connection = connection};
        struct frame_header *header = &request.header;
        enum serve serve = SERVE_WAIT;
        size_t frame_size;
        int err;

        *ret_used = at;
        *ret_need = 0;
        err = frame_parse_header(slice_of(bytes + at, size - at), frame_bytes_max, header);
        if (err == MESH_EAGAIN) return SERVE_MORE;
        if (err != 0) return native_refuse_frame(connection, header, err, frame_error_text(err));
        frame_size = FRAME_HEADER_SIZE + (size_t)header->message_size + header->attachment_size;
        if (size - at < frame_size) {
            *ret_need = frame_size;
            return SERVE_MORE;
        }
        if (connection_is_over_limit(connection)) {
            connection->is_over_limit = true;
            return SERVE_WAIT;
        }
        if (frame_verify(bytes + at, header) != 0)
            return native_refuse_frame(connection, header, MESH_ECORRUPT, "the checksum of the frame is wrong");
        request.message = slice_of(bytes + at + FRAME_HEADER_SIZE, header->message_size);
        request.attachment = bytes + at + FRAME_HEADER_SIZE + header->message_size;
        request.rest = slice_of(bytes + at + frame_size, size - at - frame_size);
        serve = native_dispatch(&request);
        if (serve == SERVE_GONE) return SERVE_GONE;
        if (serve == SERVE_WAIT) {
            *ret_need = frame_size;
            return SERVE_WAIT;
        }
        at += frame_size;
    }
}
