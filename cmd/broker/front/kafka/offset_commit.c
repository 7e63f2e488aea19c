/* broker/front/kafka/offset_commit.c - OFFSET_COMMIT: partitions by name or id become those of a group's request; what the leader refuses is
 * told partition by partition. Offsets may lie behind their log's end, as with Kafka: tools that copy offsets from another cluster run ahead of the records. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "wire/frame.h"

#define BY_ID_VERSION 10

/* A partition that the leader was asked about, and where its answer goes. */
struct asked_cell {
    struct uuid topic_id;
    uint32_t partition;
    int16_t *code;
};

struct cells_state {
    struct kafka_offset_commit_response response;
    struct message_group_partitions *topics; /* of the request to the leader */
    size_t topic_count;
    struct asked_cell *cells;
    size_t cell_count;
};

/* ---- what becomes of it ---- */

static void tell_cells(const struct cells_state *state, const struct message_group_response *response)
{
    struct kafka_group_walk walk = {.response = response};
    const struct message_group_partitions *list;
    size_t place;

    for (size_t i = 0; i < state->cell_count; i++) {
        const struct asked_cell *cell = &state->cells[i];

        *cell->code = kafka_group_code_of(response->error);
        if (response->error != 0 || !kafka_group_walk_is(&walk, &cell->topic_id, cell->partition, &list, &place)) continue;
        if (place < list->error_count) *cell->code = kafka_group_code_of(list->errors[place]);
    }
}

static void on_committed(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_call *call = owner;
    struct message_group_response response;

    (void)tag;
    kafka_group_answer(answer, &response);
    tell_cells(call->state, &response);
    message_deinit_group_response(&response);
    kafka_call_leave(call);
}

/* ---- commit ---- */

static void answer_commit(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct cells_state *)call->state)->response);
}

/* Room for a topic's partitions in the request to the leader, and for where their answers go. */
static int begin_topic(struct kafka_call *call, const struct uuid *topic_id, size_t count, struct message_group_partitions **ret_list)
{
    struct cells_state *state = call->state;
    struct message_group_partitions *list = &state->topics[state->topic_count++];

    list->topic_id = *topic_id;
    list->partitions = arena_alloc(&call->arena, count, sizeof(*list->partitions));
    list->offsets = arena_alloc(&call->arena, count, sizeof(*list->offsets));
    list->record_epochs = arena_alloc(&call->arena, count, sizeof(*list->record_epochs));
    list->metadata = arena_alloc(&call->arena, count, sizeof(*list->metadata));
    list->metadata_places = arena_alloc(&call->arena, count, sizeof(*list->metadata_places));
    *ret_list = list;
    return list->partitions == NULL || list->offsets == NULL || list->record_epochs == NULL || list->metadata == NULL || list->metadata_places == NULL
               ? MESH_ENOMEM
               : 0;
}

static void add_cell(struct cells_state *state, struct message_group_partitions *list, int32_t partition, int16_t *code)
{
    state->cells[state->cell_count++] = (struct asked_cell){list->topic_id, (uint32_t)partition, code};
    list->partitions[list->partition_count++] = (uint32_t)partition;
}

static void add_commit(struct cells_state *state, struct message_group_partitions *list, const struct kafka_offset_commit_request_partition *from, int16_t *code)
{
    size_t at = list->partition_count;

    if (from->partition_index < 0 || from->committed_offset < 0) {
        *code = from->partition_index < 0 ? KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION : kafka_group_code_of(MESH_EOFFSET_OUT_OF_RANGE);
        return;
    }
    add_cell(state, list, from->partition_index, code);
    list->offsets[at] = from->committed_offset;
    list->record_epochs[at] = from->committed_leader_epoch < 0 ? -1 : from->committed_leader_epoch;
    list->offset_count = list->record_epoch_count = at + 1;
    if (from->committed_metadata.size == 0) return;
    list->metadata_places[list->metadata_place_count++] = (uint32_t)at;
    list->metadata[list->metadata_count++] = from->committed_metadata;
}

static int prepare_topic(struct kafka_call *call, const struct kafka_offset_commit_request_topic *from, struct kafka_offset_commit_response_topic *to)
{
    struct message_group_partitions *list = NULL;
    struct uuid topic_id;
    int16_t code = kafka_topic_resolve(call->connection->shard->image, call->version >= BY_ID_VERSION, from->name, &from->topic_id, &topic_id);
    int err = code == KAFKA_CODE_NONE ? begin_topic(call, &topic_id, (size_t)from->partitions.count, &list) : 0;

    to->name = from->name;
    to->topic_id = from->topic_id;
    to->partitions.items = kafka_new_items(&kafka_offset_commit_response_partition_form, from->partitions.count, &call->arena);
    if (err != 0 || to->partitions.items == NULL) return MESH_ENOMEM;
    to->partitions.count = from->partitions.count;
    for (int32_t i = 0; i < from->partitions.count; i++) {
        to->partitions.items[i].partition_index = from->partitions.items[i].partition_index;
        to->partitions.items[i].error_code = code;
        if (code == KAFKA_CODE_NONE) add_commit(call->state, list, &from->partitions.items[i], &to->partitions.items[i].error_code);
    }
    return 0;
}

static int prepare_rooms(struct kafka_call *call, size_t topic_count, size_t cell_count)
{
    struct cells_state *state = call->state;

    state->topics = arena_alloc(&call->arena, topic_count, sizeof(*state->topics));
    state->cells = arena_alloc(&call->arena, cell_count, sizeof(*state->cells));
    return state->topics == NULL || state->cells == NULL ? MESH_ENOMEM : 0;
}

static int prepare_commit(struct kafka_call *call, const struct kafka_offset_commit_request *asked)
{
    struct cells_state *state = call->state;
    struct kafka_offset_commit_response *response = &state->response;
    size_t count = 0;
    int err;

    kafka_init(&kafka_offset_commit_response_form, response);
    for (int32_t t = 0; t < asked->topics.count; t++)
        count += (size_t)asked->topics.items[t].partitions.count;
    if (count > MESSAGE_GROUP_PARTITIONS_MAX) return MESH_ETOOLARGE;
    err = prepare_rooms(call, (size_t)asked->topics.count, count);
    response->topics.items = kafka_new_items(&kafka_offset_commit_response_topic_form, asked->topics.count, &call->arena);
    if (err != 0 || response->topics.items == NULL) return MESH_ENOMEM;
    response->topics.count = asked->topics.count;
    for (int32_t t = 0; t < asked->topics.count && err == 0; t++)
        err = prepare_topic(call, &asked->topics.items[t], &response->topics.items[t]);
    return err;
}

static int send_commit(struct kafka_call *call, const struct kafka_offset_commit_request *asked)
{
    const struct cells_state *state = call->state;
    const struct message_group_commit commit = {
        .head = {.group = asked->group_id, .forwards = true, .member = asked->member_id, .instance = asked->group_instance_id, .epoch = -1},
        .generation = asked->generation_id_or_member_epoch < 0 ? -1 : asked->generation_id_or_member_epoch,
        .reset_epoch = -1,
        .topics = state->topics,
        .topic_count = state->topic_count,
        .may_pass_ends = true,
    };
    struct buffer message = BUFFER_INIT;
    int err = message_encode_group_commit(&message, &commit);

    if (err == 0) kafka_group_ask(call, FRAME_OP_GROUP_COMMIT, &message, on_committed, call, 0);
    buffer_deinit(&message);
    return err;
}

enum serve kafka_serve_offset_commit(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_offset_commit_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct cells_state), answer_commit, &result);
    int err;

    if (call == NULL) return result;
    err = prepare_commit(call, &asked);
    if (err == 0 && ((struct cells_state *)call->state)->cell_count > 0) err = send_commit(call, &asked);
    if (err != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}
