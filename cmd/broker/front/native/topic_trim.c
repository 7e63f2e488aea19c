/* broker/front/native/topic_trim.c - TOPIC_TRIM: records of a topic's partitions are deleted (ops/delete_records.h). */
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/ops/delete_records.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

struct trim_call {
    struct connection *connection;
    uint32_t correlation_id;
    size_t count;
    struct topic_trim_entry entries[];
};

static void on_done(void *owner, const struct delete_records_result *results, const char *message)
{
    struct trim_call *call = owner;
    struct connection *connection = call->connection;
    struct buffer *scratch = &connection->shard->scratch;
    struct topic_trim_result *told = calloc(call->count + 1, sizeof(*told));
    struct message_topic_trim_response body = {.results = told, .result_count = call->count, .message = (char *)(uintptr_t)message};

    for (size_t i = 0; told != NULL && i < call->count; i++)
        told[i] = (struct topic_trim_result){.partition = call->entries[i].partition, .error = results[i].error, .first_offset = results[i].first_offset};
    if (connection->state == CONNECTION_OPEN) {
        buffer_clear(scratch);
        if (told != NULL && message_encode_topic_trim_response(scratch, &body) == 0)
            native_respond(connection, FRAME_OP_TOPIC_TRIM, call->correlation_id, buffer_slice(scratch));
        else
            connection_close(connection);
    }
    free(told);
    connection_end(connection, connection_weight(call->count));
    free(call);
}

static int start(const struct native_request *request, const struct message_topic_trim *asked)
{
    struct connection *connection = request->connection;
    const struct image_topic *topic = image_find_topic_by_name(connection->shard->image, asked->topic);
    struct delete_records_entry *entries = calloc(asked->entry_count + 1, sizeof(*entries));
    struct trim_call *call = calloc(1, sizeof(*call) + asked->entry_count * sizeof(call->entries[0]));
    int err = topic == NULL ? MESH_EUNKNOWN_TOPIC : entries == NULL || call == NULL ? MESH_ENOMEM : 0;

    if (err == 0) {
        *call = (struct trim_call){.connection = connection, .correlation_id = request->header.correlation_id, .count = asked->entry_count};
        for (size_t i = 0; i < asked->entry_count; i++) {
            call->entries[i] = asked->entries[i];
            entries[i] = (struct delete_records_entry){.topic_id = topic->topic_id, .partition = asked->entries[i].partition, .offset = asked->entries[i].offset};
        }
        connection_begin(connection, connection_weight(call->count));
        err = delete_records_submit(connection->shard, entries, asked->entry_count, asked->timeout_ms, on_done, call);
        if (err != 0) connection_end(connection, connection_weight(asked->entry_count));
    }
    if (err != 0) free(call);
    free(entries);
    return err;
}

enum serve native_topic_trim(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct message_topic_trim asked;
    int err = message_decode_topic_trim(request->message, &asked);

    if (err == 0) {
        err = start(request, &asked);
        message_deinit_topic_trim(&asked);
    }
    if (err != 0)
        native_respond_error(connection, FRAME_OP_TOPIC_TRIM, request->header.correlation_id, err,
                             err == MESH_EUNKNOWN_TOPIC ? "the mesh has no topic of this name" : "the request to delete records cannot be served");
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}
