/* broker/front/native/hello.c - the first request: versions, and the move to the shard that the client asks for. */
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/runtime/status.h"

#include <stdio.h>
#include <stdlib.h>

struct move {
    struct mail mail;
    struct connection *connection;
    struct shard *shard;
    uint32_t correlation_id;
    size_t size;
    uint8_t received[]; /* what came after the hello */
};

static void hello_respond(struct connection *connection, uint32_t correlation_id)
{
    const struct shard *shard = connection->shard;
    const struct broker *broker = shard->broker;
    struct message_hello_response body = {
        .cluster_id = broker->cluster_id,
        .broker_id = broker->broker_id,
        .node_id = broker->node_id,
        .shard_count = broker->shard_count,
        .shard = shard->index,
        .frame_bytes_max = (uint32_t)broker->settings.request_bytes_max,
        .version = FRAME_VERSION,
        .broker_version = (char *)(uintptr_t)BROKER_VERSION,
    };
    struct buffer *scratch = &connection->shard->scratch;

    connection->state = CONNECTION_OPEN;
    buffer_clear(scratch);
    if (message_encode_hello_response(scratch, &body) != 0) {
        connection_close(connection);
        return;
    }
    native_respond(connection, FRAME_OP_HELLO, correlation_id, buffer_slice(scratch));
}

static void move_arrives(struct mail *mail)
{
    struct move *move = container_of(mail, struct move, mail);
    struct connection *connection = move->connection;

    if (connection_attach(connection, move->shard, slice_of(move->received, move->size)) == 0) {
        hello_respond(connection, move->correlation_id);
        if (connection->state != CONNECTION_CLOSED) connection_serve(connection);
    }
    free(move);
}

static enum serve hello_move(const struct native_request *request, struct shard *shard)
{
    struct connection *connection = request->connection;
    struct move *move = malloc(sizeof(*move) + request->rest.size);

    if (move == NULL) {
        connection_close(connection);
        return SERVE_GONE;
    }
    move->mail.deliver = move_arrives;
    move->connection = connection;
    move->shard = shard;
    move->correlation_id = request->header.correlation_id;
    move->size = request->rest.size;
    if (request->rest.size > 0) memcpy(move->received, request->rest.data, request->rest.size);
    connection_detach(connection);
    shard_post(shard, &move->mail);
    return SERVE_GONE;
}

enum serve native_hello(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;
    struct message_hello_request hello;
    uint32_t correlation_id = request->header.correlation_id;
    int32_t wanted;
    int err = message_decode_hello_request(request->message, &hello);

    if (err != 0) {
        native_respond_error(connection, FRAME_OP_HELLO, correlation_id, err, "the hello cannot be read");
        if (connection->state != CONNECTION_CLOSED) connection_finish(connection);
        return SERVE_GONE;
    }
    if (shard->broker->settings.auth_required != 0 && !connection_is_local(connection)) {
        message_deinit_hello_request(&hello);
        native_respond_error(connection, FRAME_OP_HELLO, correlation_id, MESH_EUNAUTHORIZED,
                             "this broker wants clients to log in (auth.required=1), which the native protocol cannot yet: it serves them on its own machine alone");
        if (connection->state != CONNECTION_CLOSED) connection_finish(connection);
        return SERVE_GONE;
    }
    wanted = hello.shard;
    if (hello.version_min > FRAME_VERSION || hello.version_max < FRAME_VERSION) {
        char text[128];

        snprintf(text, sizeof(text), "this broker speaks version %d of the native protocol, the client %u to %u",
                 FRAME_VERSION, hello.version_min, hello.version_max);
        message_deinit_hello_request(&hello);
        native_respond_error(connection, FRAME_OP_HELLO, correlation_id, MESH_EVERSION, text);
        if (connection->state != CONNECTION_CLOSED) connection_finish(connection);
        return SERVE_GONE;
    }
    message_deinit_hello_request(&hello);
    /* A hint from before a restart may name a shard that is gone: any shard serves any partition, so it stays here. */
    if (wanted >= 0 && (uint32_t)wanted < shard->broker->shard_count && (uint32_t)wanted != shard->index)
        return hello_move(request, shard->broker->shards[wanted]);
    hello_respond(connection, correlation_id);
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}
