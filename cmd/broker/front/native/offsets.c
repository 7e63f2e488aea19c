/* broker/front/native/offsets.c - LIST_OFFSETS: one operation per entry, one answer when all are back. */
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

struct offsets_call {
    struct connection *connection;
    uint32_t correlation_id;
    size_t result_count, remaining;
    struct list_offsets_result results[];
};

static void call_finish(struct offsets_call *call)
{
    struct connection *connection = call->connection;
    struct message_list_offsets_response body = {.results = call->results, .result_count = call->result_count};
    struct buffer *scratch = &connection->shard->scratch;

    if (connection->state == CONNECTION_OPEN) {
        buffer_clear(scratch);
        if (message_encode_list_offsets_response(scratch, &body) == 0)
            native_respond(connection, FRAME_OP_LIST_OFFSETS, call->correlation_id, buffer_slice(scratch));
        else
            connection_close(connection);
    }
    connection_end(connection, connection_weight(call->result_count));
    free(call);
}

static void on_entry_done(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct offsets_call *call = owner;

    call->results[tag] = *result;
    if (--call->remaining == 0) call_finish(call);
}

static int call_start(const struct native_request *request, const struct message_list_offsets_request *body)
{
    struct connection *connection = request->connection;
    struct offsets_call *call = calloc(1, sizeof(*call) + body->entry_count * sizeof(call->results[0]));

    if (call == NULL) return MESH_ENOMEM;
    call->connection = connection;
    call->correlation_id = request->header.correlation_id;
    call->result_count = body->entry_count;
    call->remaining = body->entry_count + 1; /* one for this function, so that it does not end under it */
    connection_begin(connection, connection_weight(body->entry_count));
    for (size_t i = 0; i < body->entry_count; i++) {
        int err = list_offsets_submit(connection->shard, &body->entries[i], body->forwards, on_entry_done, call, i);

        if (err == 0) continue;
        on_entry_done(call, i,
                      &(struct list_offsets_result){
                          .error = err, .offset = -1, .timestamp_ms = -1, .leader_epoch = -1});
    }
    if (--call->remaining == 0) call_finish(call);
    return 0;
}

enum serve native_list_offsets(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct message_list_offsets_request body;
    int err = message_decode_list_offsets_request(request->message, &body);

    if (err == 0) {
        err = call_start(request, &body);
        message_deinit_list_offsets_request(&body);
    }
    if (err != 0)
        native_respond_error(connection, FRAME_OP_LIST_OFFSETS, request->header.correlation_id, err,
                             "the request for offsets cannot be served");
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}
