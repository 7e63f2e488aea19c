/* broker/front/native/produce.c - PRODUCE: batches lie in the attachment, in the order of the entries.
 *
 * A request with one batch, the usual one, needs no memory of its own: its acknowledgement carries the connection and the
 * correlation id, and is encoded straight into the output. With several batches a call gathers their results. */
#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

struct produce_call {
    struct connection *connection;
    uint32_t correlation_id;
    uint32_t result_count;
    uint32_t submitted, finished;
    bool is_abandoned;              /* the connection went away while entries were still to be submitted */
    struct produce_result results[];
};

static void respond_results(struct connection *connection, uint32_t correlation_id,
                            const struct produce_result *results, uint32_t count)
{
    struct buffer *scratch = &connection->shard->scratch;
    int err = 0;

    buffer_clear(scratch);
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = produce_response_add(scratch, &results[i]);
    if (err != 0) {
        connection_close(connection);
        return;
    }
    native_respond(connection, FRAME_OP_PRODUCE, correlation_id, buffer_slice(scratch));
}

/* Tries to submit; what has waited for memory as long as its producer would is refused, if anybody wants to know. MESH_EAGAIN:
 * it waits. */
static int submit(const struct native_request *request, const struct produce_entry *entry, uint8_t *batch,
                  const struct produce_request_reader *reader, struct produce_done done)
{
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;
    const struct produce_terms terms = {reader->acks, reader->timeout_ms, reader->forwards, &connection->peer.v6, request->header.correlation_id};
    int err = produce_submit(shard, entry, batch, &terms, done);

    if (err == 0 || done.call == NULL || terms.timeout_ms == 0 || connection->wait_since_ms == 0) return err;
    if (shard->now_ms < connection->wait_since_ms + terms.timeout_ms) return err;
    produce_refuse(shard, MESH_EBUSY, done);
    return 0;
}

/* ---- one batch ---- */

static void on_one_done(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct connection *connection = owner;

    if (connection->state == CONNECTION_OPEN) respond_results(connection, (uint32_t)tag, result, 1);
    connection_end(connection, 0);
}

static enum serve produce_one(const struct native_request *request, struct produce_request_reader *reader)
{
    struct connection *connection = request->connection;
    struct produce_done done = {NULL, NULL, 0};
    struct produce_entry entry;
    bool has_entry = produce_request_reader_next(reader, &entry);

    MESH_ASSERT(has_entry);
    if (reader->acks != 0) {
        done = (struct produce_done){on_one_done, connection, request->header.correlation_id};
        connection_begin(connection, 0);
    }
    if (submit(request, &entry, request->attachment, reader, done) == MESH_EAGAIN) {
        if (reader->acks != 0) connection_end(connection, 0);
        return SERVE_WAIT;
    }
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}

/* ---- several batches ---- */

/* Of few entries it weighs nothing: produce requests are many. */
static uint32_t call_weight(uint32_t entry_count)
{
    return connection_weight(entry_count) - 1;
}

static void call_finish(struct produce_call *call)
{
    struct connection *connection = call->connection;

    if (!call->is_abandoned && connection->state == CONNECTION_OPEN)
        respond_results(connection, call->correlation_id, call->results, call->result_count);
    connection_end(connection, call_weight(call->result_count));
    free(call);
}

static void on_entry_done(void *owner, uint64_t tag, const struct produce_result *result)
{
    struct produce_call *call = owner;

    call->results[tag] = *result;
    call->finished++;
    if (call->finished == call->submitted && (call->submitted == call->result_count || call->is_abandoned))
        call_finish(call);
}

void native_produce_abandon(struct produce_call *call)
{
    if (call == NULL) return;
    call->is_abandoned = true;
    if (call->finished == call->submitted) call_finish(call);
}

static struct produce_call *call_new(const struct native_request *request, uint32_t count)
{
    struct produce_call *call = calloc(1, sizeof(*call) + count * sizeof(call->results[0]));

    if (call == NULL) return NULL;
    call->connection = request->connection;
    call->correlation_id = request->header.correlation_id;
    call->result_count = count;
    connection_begin(request->connection, call_weight(count));
    return call;
}

/* Submits the entries that are left. Without call (acks 0) the count of those done before is in the connection. */
static enum serve submit_entries(const struct native_request *request, struct produce_request_reader *reader,
                                 struct produce_call *call)
{
    struct connection *connection = request->connection;
    uint8_t *batch = request->attachment;
    struct produce_entry entry;

    for (uint32_t i = 0; produce_request_reader_next(reader, &entry); batch += entry.batch_size, i++) {
        struct produce_done done = {call == NULL ? NULL : on_entry_done, call, i};

        if (i < connection->produced_entries) continue;
        if (call != NULL) call->submitted++;
        if (submit(request, &entry, batch, reader, done) == MESH_EAGAIN) {
            if (call != NULL) call->submitted--;
            connection->produce_call = call;
            return SERVE_WAIT;
        }
        connection->produced_entries++;
    }
    connection->produced_entries = 0;
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}

static enum serve produce_many(const struct native_request *request, struct produce_request_reader *reader)
{
    struct connection *connection = request->connection;
    struct produce_call *call = connection->produce_call;

    connection->produce_call = NULL; /* the call ends by itself, unless it comes to wait once more */
    if (call == NULL && reader->acks != 0) {
        call = call_new(request, reader->entry_count);
        if (call == NULL) return SERVE_WAIT;
    }
    return submit_entries(request, reader, call);
}

enum serve native_produce(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct produce_request_reader reader;
    int err = produce_request_reader_init(&reader, request->message, request->header.attachment_size);

    if (err != 0) {
        native_respond_error(connection, FRAME_OP_PRODUCE, request->header.correlation_id, err,
                             "the produce request cannot be read");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
    if (reader.entry_count == 1) return produce_one(request, &reader);
    if (reader.entry_count > 1) return produce_many(request, &reader);
    if (reader.acks != 0)
        native_respond(connection, FRAME_OP_PRODUCE, request->header.correlation_id, slice_of(NULL, 0));
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}
