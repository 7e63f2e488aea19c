/* broker/front/kafka/delete_records.c - DELETE_RECORDS: one operation for all partitions, which any broker does (ops/delete_records.h). */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/ops/delete_records.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

struct delete_state {
    struct kafka_delete_records_response response;
    struct delete_records_entry *entries;
    struct kafka_delete_records_response_partition **places; /* of the entries, in their order */
    size_t count;
};

/* A leader that changed meanwhile is looked for anew, as with any other request to a leader. */
static int16_t code_of(int error)
{
    return error == MESH_ESTALE_EPOCH || error == MESH_EUNKNOWN_EPOCH ? kafka_code_of(MESH_ENOT_LEADER) : kafka_code_of(error);
}

static void on_done(void *owner, const struct delete_records_result *results, const char *message)
{
    struct kafka_call *call = owner;
    struct delete_state *state = call->state;

    (void)message; /* the protocol has no place for it */
    for (size_t i = 0; i < state->count; i++) {
        state->places[i]->error_code = code_of(results[i].error);
        if (results[i].error == 0) state->places[i]->low_watermark = (int64_t)results[i].first_offset;
    }
    kafka_call_leave(call);
}

static void finish(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct delete_state *)call->state)->response);
}

static void put_partition(struct delete_state *state, const struct uuid *topic_id, int16_t code, const struct kafka_delete_records_request_partition *asked,
                          struct kafka_delete_records_response_partition *place)
{
    *place = (struct kafka_delete_records_response_partition){.partition_index = asked->partition_index, .low_watermark = -1, .error_code = code};
    if (code != KAFKA_CODE_NONE) return;
    if (asked->partition_index < 0) {
        place->error_code = KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    state->places[state->count] = place;
    state->entries[state->count++] =
        (struct delete_records_entry){.topic_id = *topic_id, .partition = (uint32_t)asked->partition_index, .offset = asked->offset};
}

/* Topics as they were asked for. Names are copied. */
static int prepare_topic(struct kafka_call *call, const struct kafka_delete_records_request_topic *from, struct kafka_delete_records_response_topic *to)
{
    uint8_t *name = arena_alloc(&call->arena, from->name.size, 1);
    struct uuid topic_id;
    int16_t code = kafka_topic_resolve(call->connection->shard->image, false, from->name, NULL, &topic_id);

    to->partitions.items = kafka_new_items(&kafka_delete_records_response_partition_form, from->partitions.count, &call->arena);
    if (name == NULL || to->partitions.items == NULL) return MESH_ENOMEM;
    if (from->name.size > 0) memcpy(name, from->name.data, from->name.size);
    to->name = slice_of(name, from->name.size);
    to->partitions.count = from->partitions.count;
    for (int32_t p = 0; p < from->partitions.count; p++)
        put_partition(call->state, &topic_id, code, &from->partitions.items[p], &to->partitions.items[p]);
    return 0;
}

static int prepare(struct kafka_call *call, const struct kafka_delete_records_request *asked, uint32_t count)
{
    struct delete_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    int err = 0;

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    kafka_init(&kafka_delete_records_response_form, &state->response);
    state->entries = arena_alloc(&call->arena, count, sizeof(*state->entries));
    state->places = arena_alloc(&call->arena, count, sizeof(*state->places));
    state->count = 0;
    state->response.topics.count = asked->topics.count;
    state->response.topics.items = kafka_new_items(&kafka_delete_records_response_topic_form, asked->topics.count, &call->arena);
    if (state->entries == NULL || state->places == NULL || state->response.topics.items == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; err == 0 && t < asked->topics.count; t++)
        err = prepare_topic(call, &asked->topics.items[t], &state->response.topics.items[t]);
    return err;
}

static uint32_t count_partitions(const struct kafka_delete_records_request *asked)
{
    uint32_t count = 0;

    for (int32_t t = 0; t < asked->topics.count; t++)
        count += (uint32_t)asked->topics.items[t].partitions.count;
    return count;
}

static enum serve serve(const struct kafka_request *request, const struct kafka_delete_records_request *asked)
{
    struct connection *connection = request->connection;
    uint32_t count = count_partitions(asked), timeout_ms = asked->timeout_ms > 0 ? (uint32_t)asked->timeout_ms : 0;
    struct kafka_call *call = kafka_call_new(request, connection_weight(count), true, finish);
    struct delete_state *state;
    int err;

    if (call == NULL) return SERVE_GONE;
    err = prepare(call, asked, count);
    state = call->state;
    if (err == 0 && state->count > 0) {
        call->out++;
        err = delete_records_submit(connection->shard, state->entries, state->count, timeout_ms, on_done, call);
        if (err != 0) call->out--;
    }
    if (err != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}

enum serve kafka_serve_delete_records(const struct kafka_request *request)
{
    struct kafka_delete_records_request asked;
    struct arena arena = ARENA_INIT;
    enum serve result;

    if (kafka_request_decode(request, &arena, &asked) == 0 && count_partitions(&asked) <= DELETE_RECORDS_MAX)
        result = serve(request, &asked);
    else
        result = kafka_refuse(request, "a request for deletions of records cannot be read, or is about too many partitions");
    arena_deinit(&arena);
    return result;
}
