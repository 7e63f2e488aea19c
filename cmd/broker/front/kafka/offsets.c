/* broker/front/kafka/offsets.c - LIST_OFFSETS: one operation per partition, one answer when all are back. epoch_ends.c is its like. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/ops/list_offsets.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

/* Timestamps that mean something else. */
#define TIMESTAMP_MAX            (-3) /* the record with the largest timestamp */
#define TIMESTAMP_EARLIEST_LOCAL (-4) /* everything is local here */
#define TIMESTAMP_LATEST_TIERED  (-5) /* nothing is tiered */

#define LIST_OFFSETS_OLD_READER_MAX 1 /* as FETCH_OLD_READER_MAX (fetch.c) */

struct offsets_state {
    struct kafka_list_offsets_response response;
    struct kafka_list_offsets_response_partition **places; /* of the entries, in their order */
};

static void on_done(void *owner, uint64_t tag, const struct list_offsets_result *result)
{
    struct kafka_call *call = owner;
    struct kafka_list_offsets_response_partition *place = ((struct offsets_state *)call->state)->places[tag];

    place->error_code = kafka_code_of(result->error);
    if (result->error == 0) {
        place->offset = result->offset;
        place->timestamp = result->timestamp_ms;
        place->leader_epoch = result->offset < 0 ? -1 : result->leader_epoch;
    }
    kafka_call_leave(call);
}

static void finish(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct offsets_state *)call->state)->response);
}

/* What is answered without asking anybody: true. */
static bool answer_at_once(const struct kafka_list_offsets_request_partition *asked, struct kafka_list_offsets_response_partition *place)
{
    if (asked->timestamp == TIMESTAMP_MAX || asked->timestamp < TIMESTAMP_LATEST_TIERED)
        place->error_code = KAFKA_CODE_UNSUPPORTED_VERSION;
    else if (asked->partition_index < 0)
        place->error_code = KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
    else if (asked->timestamp != TIMESTAMP_LATEST_TIERED)
        return false;
    return true;
}

static void submit(struct kafka_call *call, const struct uuid *topic_id, const struct kafka_list_offsets_request_partition *asked, uint32_t index)
{
    struct list_offsets_entry entry = {
        .topic_id = *topic_id,
        .partition = (uint32_t)asked->partition_index,
        .timestamp_ms = asked->timestamp == TIMESTAMP_EARLIEST_LOCAL ? LIST_OFFSETS_EARLIEST : asked->timestamp,
        .skips_control = call->version <= LIST_OFFSETS_OLD_READER_MAX,
    };

    call->out++;
    if (list_offsets_submit(call->connection->shard, &entry, true, on_done, call, index) != 0)
        on_done(call, index, &(struct list_offsets_result){.error = MESH_ENOMEM});
}

/* Topics as they were asked for, each partition without an answer. Names are copied. */
static int prepare(struct kafka_call *call, const struct kafka_list_offsets_request *asked, uint32_t count)
{
    struct offsets_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    struct kafka_list_offsets_response *response;
    uint32_t place = 0;

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    response = &state->response;
    kafka_init(&kafka_list_offsets_response_form, response);
    state->places = arena_alloc(&call->arena, count, sizeof(*state->places));
    response->topics.count = asked->topics.count;
    response->topics.items = kafka_new_items(&kafka_list_offsets_response_topic_form, asked->topics.count, &call->arena);
    if (state->places == NULL || response->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; t < asked->topics.count; t++) {
        const struct kafka_list_offsets_request_topic *from = &asked->topics.items[t];
        struct kafka_list_offsets_response_topic *to = &response->topics.items[t];
        uint8_t *name = arena_alloc(&call->arena, from->name.size, 1);

        to->partitions.items = kafka_new_items(&kafka_list_offsets_response_partition_form, from->partitions.count, &call->arena);
        if (name == NULL || to->partitions.items == NULL) return MESH_ENOMEM;
        if (from->name.size > 0) memcpy(name, from->name.data, from->name.size);
        to->name = slice_of(name, from->name.size);
        to->partitions.count = from->partitions.count;
        for (int32_t p = 0; p < from->partitions.count; p++) {
            to->partitions.items[p].partition_index = from->partitions.items[p].partition_index;
            state->places[place++] = &to->partitions.items[p];
        }
    }
    return 0;
}

static void submit_all(struct kafka_call *call, const struct kafka_list_offsets_request *asked)
{
    struct offsets_state *state = call->state;
    uint32_t index = 0;

    for (int32_t t = 0; t < asked->topics.count; t++) {
        const struct kafka_list_offsets_request_topic *topic = &asked->topics.items[t];
        struct uuid topic_id;
        int16_t code = kafka_topic_resolve(call->connection->shard->image, false, topic->name, NULL, &topic_id);

        for (int32_t p = 0; p < topic->partitions.count; p++, index++) {
            if (code != KAFKA_CODE_NONE)
                state->places[index]->error_code = code;
            else if (!answer_at_once(&topic->partitions.items[p], state->places[index]))
                submit(call, &topic_id, &topic->partitions.items[p], index);
        }
    }
}

static uint32_t count_partitions(const struct kafka_list_offsets_request *asked)
{
    uint32_t count = 0;

    for (int32_t t = 0; t < asked->topics.count; t++)
        count += (uint32_t)asked->topics.items[t].partitions.count;
    return count;
}

static enum serve serve(const struct kafka_request *request, const struct kafka_list_offsets_request *asked)
{
    struct connection *connection = request->connection;
    uint32_t count = count_partitions(asked);
    struct kafka_call *call;

    call = kafka_call_new(request, connection_weight(count), true, finish);
    if (call == NULL) return SERVE_GONE;
    if (prepare(call, asked, count) == 0)
        submit_all(call, asked);
    else
        call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}

enum serve kafka_serve_list_offsets(const struct kafka_request *request)
{
    struct arena arena = ARENA_INIT;
    struct kafka_list_offsets_request asked;
    enum serve result;

    if (kafka_request_decode(request, &arena, &asked) == 0 && count_partitions(&asked) <= MESSAGE_ENTRIES_MAX)
        result = serve(request, &asked);
    else
        result = kafka_refuse(request, "a request for offsets cannot be read, or asks for too many partitions");
    arena_deinit(&arena);
    return result;
}
