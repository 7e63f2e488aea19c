/* broker/front/kafka/call.c - a request on its way to its answer, and the order of answers. */
#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/login.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

static void set_charge(struct kafka_call *call, size_t size)
{
    struct pool *pool = &call->connection->shard->pool;

    pool_charge(pool, size);
    pool_uncharge(pool, call->charged_bytes);
    if (call->session != NULL) call->session->charged_bytes += size - call->charged_bytes; /* modulo: the sum is what it is */
    call->charged_bytes = size;
}

void kafka_call_charge(struct kafka_call *call)
{
    set_charge(call, sizeof(*call) + call->bytes.capacity + arena_size(&call->arena));
}

static void call_free(struct kafka_call *call)
{
    set_charge(call, 0); /* before the connection looks whether it may go on */
    for (uint32_t i = 0; i < call->cut_count; i++)
        fetch_records_free(call->cuts[i].records);
    if (call->session != NULL && call->is_exclusive) call->session->exclusive--;
    connection_end(call->connection, call->weight);
    buffer_deinit(&call->bytes);
    arena_deinit(&call->arena);
    free(call);
}

struct kafka_call *kafka_call_new(const struct kafka_request *request, uint32_t weight, bool is_exclusive, kafka_finish_fn *finish)
{
    const struct kafka_request_header *header = &request->header;
    uint8_t bytes[KAFKA_RESPONSE_HEADER_MAX];
    size_t size = kafka_response_header_write(header->api, header->version, header->correlation_id, bytes);
    struct kafka_call *call = calloc(1, sizeof(*call));

    if (call == NULL || buffer_append(&call->bytes, bytes, size) != 0) {
        free(call);
        connection_close(request->connection);
        return NULL;
    }
    call->correlation_id = header->correlation_id;
    call->connection = request->connection;
    call->session = request->session;
    call->api = header->api;
    call->version = (int8_t)header->version;
    call->is_exclusive = is_exclusive;
    call->weight = weight;
    call->out = 1;
    call->finish = finish;
    if (is_exclusive) request->session->exclusive++;
    connection_begin(call->connection, weight);
    list_push_back(&request->session->calls, &call->link);
    return call;
}

void kafka_call_leave(struct kafka_call *call)
{
    MESH_ASSERT(call->out > 0 && !call->is_done);
    if (--call->out > 0) {
        if (call->charged_bytes == 0) kafka_call_charge(call); /* the handler is through; a job has charged its call before it left */
        return;
    }
    if (call->session == NULL)
        call_free(call);
    else
        call->finish(call);
}

/* ---- answers ---- */

/* Puts an answer behind what the connection sends: its size, and its pieces with the records between them. */
static int send_answer(struct connection *connection, struct kafka_call *call)
{
    uint64_t total = call->bytes.size;
    uint8_t size[KAFKA_SIZE_SIZE];
    size_t sent = 0;
    int err;

    for (uint32_t i = 0; i < call->cut_count; i++)
        total += call->cuts[i].records->view.size;
    if (total > INT32_MAX) return MESH_ETOOLARGE;
    be_store32(size, (uint32_t)total);
    err = output_append(connection, slice_of(size, sizeof(size)));
    for (uint32_t i = 0; i < call->cut_count && err == 0; i++) {
        struct kafka_cut *cut = &call->cuts[i];
        struct fetch_records *records = cut->records;

        err = output_append(connection, slice_of(call->bytes.data + sent, cut->at - sent));
        sent = cut->at;
        if (err != 0) break;
        cut->records = NULL;
        err = output_records(connection, records);
    }
    return err != 0 ? err : output_append(connection, slice_of(call->bytes.data + sent, call->bytes.size - sent));
}

/* Lets those leave whose turn it is. */
static void session_flush(struct connection *connection)
{
    while (connection->kafka != NULL && !list_is_empty(&connection->kafka->calls)) {
        struct kafka_call *call = container_of(connection->kafka->calls.next, struct kafka_call, link);
        int err = 0;

        if (!call->is_done) return;
        list_remove(&call->link);
        if (!call->is_silent) err = send_answer(connection, call);
        call_free(call);
        if (err != 0) connection_close(connection);
    }
    if (connection->kafka != NULL && connection->kafka->is_finishing) connection_finish(connection);
}

void kafka_call_done(struct kafka_call *call)
{
    MESH_ASSERT(call->session != NULL && call->out == 0);
    call->is_done = true;
    if (call->cut_count == 0) arena_deinit(&call->arena); /* an answer that waits for its turn is its bytes */
    if (call->session->calls.next != &call->link) kafka_call_charge(call);
    session_flush(call->connection);
}

void kafka_call_fail(struct kafka_call *call)
{
    struct connection *connection = call->connection;

    call->is_done = true; /* so that closing drops it */
    connection_close(connection);
}

void kafka_call_answer(struct kafka_call *call, const void *message)
{
    if (kafka_encode(kafka_response_form(call->api, call->version), message, &call->bytes) != 0)
        kafka_call_fail(call);
    else
        kafka_call_done(call);
}

enum serve kafka_respond(const struct kafka_request *request, const void *message)
{
    struct kafka_call *call = kafka_call_new(request, 0, true, NULL);

    if (call == NULL) return SERVE_GONE;
    call->out = 0;
    kafka_call_answer(call, message);
    return kafka_served(request->connection);
}

int kafka_request_decode(const struct kafka_request *request, struct arena *arena, void *ret_message)
{
    const struct kafka_request_header *header = &request->header;

    return kafka_decode(kafka_request_form(header->api, header->version), header->message, arena, KAFKA_REQUEST_MEMORY_MAX, ret_message);
}

/* ---- sessions ---- */

int kafka_open(struct connection *connection)
{
    struct kafka_session *session = calloc(1, sizeof(*session));

    if (session == NULL) return MESH_ENOMEM;
    list_init(&session->calls);
    list_init(&session->fetches);
    connection->kafka = session;
    connection->state = CONNECTION_OPEN;
    return 0;
}

bool kafka_is_busy(const struct connection *connection)
{
    const struct kafka_session *session = connection->kafka;

    return session != NULL &&
           (session->exclusive > 0 || session->charged_bytes > connection->shard->broker->settings.connection_memory_bytes_max);
}

/* Nobody wants the answer any more. What is under way comes back, and frees the call then. */
static void orphan(struct kafka_call *call, bool is_waiting)
{
    call->session = NULL;
    if (call->is_fetch) call->out--; /* it was canceled: it does not come back */
    if (is_waiting) call->out--;
    if (call->cancel != NULL) {
        call->cancel(call);
        call->out--;
    }
    if (call->is_done || call->out == 0) call_free(call);
}

void kafka_close(struct connection *connection)
{
    struct kafka_session *session = connection->kafka;
    struct list_node *node;
    uint32_t entry_count;

    if (session == NULL) return;
    connection->kafka = NULL;
    while (fetch_cancel(&session->fetches, &entry_count)) {
    }
    while ((node = list_pop_front(&session->calls)) != NULL) {
        struct kafka_call *call = container_of(node, struct kafka_call, link);

        orphan(call, call == session->waiting);
    }
    kafka_login_free(session->login);
    free(session->user);
    free(session);
}
