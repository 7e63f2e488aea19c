/* broker/front/kafka/group_call.c - see group_call.h. */
#include "cmd/broker/front/kafka/group_call.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"

static int keep(struct arena *arena, struct slice from, struct slice *ret_copy)
{
    uint8_t *copy = arena_alloc(arena, from.size + 1, 1);

    if (copy == NULL) return MESH_ENOMEM;
    if (from.size > 0) memcpy(copy, from.data, from.size);
    *ret_copy = slice_of(copy, from.size);
    return 0;
}

bool kafka_group_keep(struct kafka_call *call, struct slice from, struct slice *ret_copy)
{
    return keep(&call->arena, from, ret_copy) == 0;
}

struct kafka_call *kafka_group_call(const struct kafka_request *request, void *ret_message, size_t state_size, kafka_finish_fn *finish, enum serve *ret_result)
{
    const struct kafka_request_header *header = &request->header;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call = NULL;
    struct slice bytes;
    void *state;
    int err = keep(&arena, header->message, &bytes);

    if (err == 0) err = kafka_decode(kafka_request_form(header->api, header->version), bytes, &arena, KAFKA_REQUEST_MEMORY_MAX, ret_message);
    state = err == 0 ? arena_alloc(&arena, 1, state_size) : NULL;
    if (err == 0 && state == NULL) err = MESH_ENOMEM;
    if (err == 0) call = kafka_call_new(request, 1, true, finish);
    if (call == NULL) {
        *ret_result = SERVE_GONE; /* kafka_call_new() has closed the connection */
        if (err == MESH_ENOMEM) connection_close(request->connection);
        else if (err != 0) *ret_result = kafka_refuse(request, "a request about groups cannot be read, or is too large");
        arena_deinit(&arena);
        return NULL;
    }
    call->arena = arena;
    call->state = state;
    return call;
}

void kafka_group_ask(struct kafka_call *call, uint16_t op, const struct buffer *message, groups_done_fn *done, void *owner, uint64_t tag)
{
    call->out++;
    if (groups_submit(call->connection->shard, op, buffer_slice(message), done, owner, tag) != 0) done(owner, tag, slice_of(NULL, 0));
}

void kafka_group_answer(struct slice answer, struct message_group_response *ret_response)
{
    int err = answer.size == 0 ? MESH_EBUSY : message_decode_group_response(answer, ret_response);

    if (err != 0) *ret_response = (struct message_group_response){.error = err, .route = {.leader = -1, .epoch = -1}};
}

bool kafka_group_walk_is(struct kafka_group_walk *walk, const struct uuid *topic, uint32_t partition, const struct message_group_partitions **ret_list,
                         size_t *ret_place)
{
    const struct message_group_partitions *list;

    while (walk->topic < walk->response->topic_count && walk->partition >= walk->response->topics[walk->topic].partition_count) {
        walk->topic++;
        walk->partition = 0;
    }
    if (walk->topic == walk->response->topic_count) return false;
    list = &walk->response->topics[walk->topic];
    if (!uuid_equal(&list->topic_id, topic) || list->partitions[walk->partition] != partition) return false;
    *ret_list = list;
    *ret_place = walk->partition++;
    return true;
}

struct slice kafka_group_metadata(const struct message_group_partitions *list, size_t place)
{
    size_t low = 0, high = list->metadata_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->metadata_places[middle] < place) low = middle + 1;
        else high = middle;
    }
    return low < list->metadata_count && list->metadata_places[low] == place ? list->metadata[low] : slice_of(NULL, 0);
}
