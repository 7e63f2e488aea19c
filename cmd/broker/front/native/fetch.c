/* broker/front/native/fetch.c - FETCH: the answer is a message that says what the attached batches are, then the batches. */
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/shard.h"

static uint32_t smaller(uint32_t value, uint64_t limit)
{
    return value < limit ? value : (uint32_t)limit;
}

static int encode_results(struct buffer *to, const struct fetch_answer *answers, uint32_t count,
                          uint32_t *ret_records_size)
{
    *ret_records_size = 0;
    buffer_clear(to);
    for (uint32_t i = 0; i < count; i++) {
        int err;

        if (!answers[i].is_answered) continue;
        err = fetch_response_add(to, &answers[i].result);
        if (err != 0) return err;
        *ret_records_size += answers[i].result.records_size;
    }
    return 0;
}

static int queue_answer(struct connection *connection, uint32_t correlation_id, struct fetch_answer *answers,
                        uint32_t count)
{
    struct buffer *scratch = &connection->shard->scratch;
    struct frame_header header = {
        .flags = FRAME_FLAG_RESPONSE, .op = FRAME_OP_FETCH, .correlation_id = correlation_id};
    uint8_t bytes[FRAME_HEADER_SIZE];
    int err = encode_results(scratch, answers, count, &header.attachment_size);

    if (err != 0) return err;
    header.message_size = (uint32_t)scratch->size;
    frame_write_header(bytes, &header, scratch->data);
    err = output_append(connection, slice_of(bytes, sizeof(bytes)));
    if (err == 0) err = output_append(connection, buffer_slice(scratch));
    for (uint32_t i = 0; i < count && err == 0; i++) {
        struct fetch_records *records = answers[i].records;

        answers[i].records = NULL;
        if (records != NULL) err = output_records(connection, records);
    }
    return err;
}

static void on_done(void *owner, uint64_t tag, struct fetch_answer *answers, uint32_t count)
{
    struct connection *connection = owner;

    if (connection->state == CONNECTION_OPEN && queue_answer(connection, (uint32_t)tag, answers, count) != 0)
        connection_close(connection);
    connection_end(connection, connection_weight(count));
}

enum serve native_fetch(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;
    const struct settings *settings = &shard->broker->settings;
    struct fetch_request_reader reader;
    struct fetch_options options;
    int err = fetch_request_reader_init(&reader, request->message);

    if (err == 0 && request->header.attachment_size > 0) err = MESH_EPROTO;
    if (err != 0) {
        native_respond_error(connection, FRAME_OP_FETCH, request->header.correlation_id, err,
                             "the fetch request cannot be read");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
    options = (struct fetch_options){
        .max_wait_ms = smaller(reader.max_wait_ms, settings->fetch_wait_ms_max),
        .bytes_min = smaller(reader.bytes_min, settings->fetch_bytes_max),
        .bytes_max = smaller(reader.bytes_max, settings->fetch_bytes_max),
        .source = {connection_source(connection), (uintptr_t)connection},
        .forwards = reader.forwards,
        .from = &connection->peer.v6,
        .correlation_id = request->header.correlation_id,
        .done = on_done,
        .owner = connection,
        .tag = request->header.correlation_id,
        .fetches = &connection->fetches,
    };
    connection_begin(connection, connection_weight(reader.entry_count));
    if (fetch_submit(shard, &options, &reader) != 0) {
        connection_end(connection, connection_weight(reader.entry_count));
        native_respond_error(connection, FRAME_OP_FETCH, request->header.correlation_id, MESH_ENOMEM,
                             "out of memory");
    }
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}
