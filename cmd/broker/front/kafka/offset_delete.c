/* broker/front/kafka/offset_delete.c - OFFSET_DELETE: offsets of a group that nobody consumes any more. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "wire/frame.h"

struct delete_state {
    struct kafka_offset_delete_response response;
    struct message_group_partitions *topics; /* of the request to the leader; as many as the response has, empty where a topic is unknown */
};

/* What was not there is gone as well. */
static int16_t code_of(int error)
{
    return error == MESH_ENOTFOUND ? KAFKA_CODE_NONE : error == MESH_EGROUP_NOT_EMPTY ? KAFKA_CODE_GROUP_SUBSCRIBED_TO_TOPIC : kafka_group_code_of(error);
}

static void on_deleted(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_call *call = owner;
    struct delete_state *state = call->state;
    struct message_group_response response;
    struct kafka_group_walk walk = {.response = &response};
    const struct message_group_partitions *list;
    size_t place;

    (void)tag;
    kafka_group_answer(answer, &response);
    state->response.error_code = kafka_group_code_of(response.error);
    for (int32_t t = 0; t < state->response.topics.count && response.error == 0; t++)
        for (size_t p = 0; p < state->topics[t].partition_count; p++)
            if (kafka_group_walk_is(&walk, &state->topics[t].topic_id, state->topics[t].partitions[p], &list, &place) && place < list->error_count)
                state->response.topics.items[t].partitions.items[p].error_code = code_of(list->errors[place]);
    if (response.error != 0) state->response.topics.count = 0;
    message_deinit_group_response(&response);
    kafka_call_leave(call);
}

static int prepare_topic(struct kafka_call *call, const struct kafka_offset_delete_request_topic *from, struct kafka_offset_delete_response_topic *to,
                         struct message_group_partitions *list)
{
    int16_t code = kafka_topic_resolve(call->connection->shard->image, false, from->name, NULL, &list->topic_id);

    to->name = from->name;
    to->partitions.items = kafka_new_items(&kafka_offset_delete_response_partition_form, from->partitions.count, &call->arena);
    list->partitions = arena_alloc(&call->arena, (size_t)from->partitions.count, sizeof(*list->partitions));
    if (to->partitions.items == NULL || list->partitions == NULL) return MESH_ENOMEM;
    to->partitions.count = from->partitions.count;
    for (int32_t i = 0; i < from->partitions.count; i++) {
        to->partitions.items[i].partition_index = from->partitions.items[i].partition_index;
        to->partitions.items[i].error_code = code;
        /* One below zero is none that there could be: as what was never committed, it is gone. */
        if (code == KAFKA_CODE_NONE) list->partitions[list->partition_count++] = (uint32_t)from->partitions.items[i].partition_index;
    }
    return 0;
}

static int prepare(struct kafka_call *call, const struct kafka_offset_delete_request *asked)
{
    struct delete_state *state = call->state;
    struct kafka_offset_delete_response *response = &state->response;
    int err = 0;

    kafka_init(&kafka_offset_delete_response_form, response);
    state->topics = arena_alloc(&call->arena, (size_t)asked->topics.count, sizeof(*state->topics));
    response->topics.items = kafka_new_items(&kafka_offset_delete_response_topic_form, asked->topics.count, &call->arena);
    if (state->topics == NULL || response->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; t < asked->topics.count && err == 0; t++)
        err = prepare_topic(call, &asked->topics.items[t], &response->topics.items[response->topics.count++], &state->topics[t]);
    return err;
}

/* A request without partitions would be one to delete the group. */
static int ask(struct kafka_call *call, struct slice group)
{
    const struct delete_state *state = call->state;
    struct message_group_change request = {.head = {.group = group, .forwards = true, .epoch = -1}};
    struct buffer message = BUFFER_INIT;
    int err;

    request.topics = arena_alloc(&call->arena, (size_t)state->response.topics.count, sizeof(*request.topics));
    if (request.topics == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; t < state->response.topics.count; t++)
        if (state->topics[t].partition_count > 0) request.topics[request.topic_count++] = state->topics[t];
    if (request.topic_count == 0) return 0;
    err = message_encode_group_change(&message, &request);
    if (err == 0) kafka_group_ask(call, FRAME_OP_GROUP_DELETE, &message, on_deleted, call, 0);
    buffer_deinit(&message);
    return err;
}

static void answer(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct delete_state *)call->state)->response);
}

enum serve kafka_serve_offset_delete(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_offset_delete_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct delete_state), answer, &result);
    int err;

    if (call == NULL) return result;
    err = prepare(call, &asked);
    if (err == 0) err = ask(call, asked.group_id);
    if (err != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}
