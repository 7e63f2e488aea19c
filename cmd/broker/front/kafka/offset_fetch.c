/* broker/front/kafka/offset_fetch.c - OFFSET_FETCH: of one group, or of several at once; each is asked of its own leader. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "wire/frame.h"

#define SEVERAL_VERSION     8 /* from here on several groups */
#define BY_ID_VERSION       10
#define GROUP_ERROR_VERSION 2  /* before, only partitions have errors */
#define GROUPS_MAX          1000 /* of one request */

struct fetch_state {
    const struct kafka_offset_fetch_request_group *asked; /* as of version 8; group_count of each */
    struct kafka_offset_fetch_response_group *told;
    int32_t group_count;
    bool has_failed;
};

static bool is_by_id(const struct kafka_call *call)
{
    return call->version >= BY_ID_VERSION;
}

/* ---- answers ---- */

static int keep_offset(struct kafka_call *call, const struct message_group_partitions *list, size_t place,
                       struct kafka_offset_fetch_response_group_partition *to)
{
    if (place >= list->offset_count || list->offsets[place] < 0) return 0;
    to->committed_offset = list->offsets[place];
    if (place < list->record_epoch_count) to->committed_leader_epoch = list->record_epochs[place];
    return kafka_group_keep(call, kafka_group_metadata(list, place), &to->metadata) ? 0 : MESH_ENOMEM;
}

/* Every partition that was asked for, in its place. By the ids that the leader was asked with: by now a name may mean another topic, and the answer's lists are in the
 * order of the question. */
static int tell_asked(struct kafka_call *call, struct kafka_offset_fetch_response_group *told, const struct message_group_response *response)
{
    struct kafka_group_walk walk = {.response = response};
    const struct message_group_partitions *list;
    size_t place;
    int err = 0;

    for (int32_t t = 0; t < told->topics.count && err == 0; t++) {
        struct kafka_offset_fetch_response_group_topic *topic = &told->topics.items[t];

        for (int32_t p = 0; p < topic->partitions.count && err == 0; p++)
            if (kafka_group_walk_is(&walk, &topic->topic_id, (uint32_t)topic->partitions.items[p].partition_index, &list, &place))
                err = keep_offset(call, list, place, &topic->partitions.items[p]);
    }
    return err;
}

static int tell_list(struct kafka_call *call, const struct message_group_partitions *list, const struct image_topic *topic,
                     struct kafka_offset_fetch_response_group_topic *to)
{
    int err = kafka_group_keep(call, slice_of_string(topic->name), &to->name) ? 0 : MESH_ENOMEM;

    to->topic_id = list->topic_id;
    to->partitions.items = kafka_new_items(&kafka_offset_fetch_response_group_partition_form, (int32_t)list->partition_count, &call->arena);
    if (to->partitions.items == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < list->partition_count && err == 0; i++) {
        struct kafka_offset_fetch_response_group_partition *partition = &to->partitions.items[to->partitions.count++];

        partition->partition_index = (int32_t)list->partitions[i];
        err = keep_offset(call, list, i, partition);
    }
    return err;
}

/* All that the group has committed, of topics that there are. */
static int tell_all(struct kafka_call *call, struct kafka_offset_fetch_response_group *told, const struct message_group_response *response)
{
    int err = 0;

    told->topics.items = kafka_new_items(&kafka_offset_fetch_response_group_topic_form, (int32_t)response->topic_count, &call->arena);
    if (told->topics.items == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < response->topic_count && err == 0; i++) {
        const struct image_topic *topic = kafka_topic_by_id(call->connection->shard->image, &response->topics[i].topic_id);

        if (topic != NULL) err = tell_list(call, &response->topics[i], topic, &told->topics.items[told->topics.count++]);
    }
    return err;
}

static void on_offsets(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_call *call = owner;
    struct fetch_state *state = call->state;
    struct kafka_offset_fetch_response_group *told = &state->told[tag];
    struct message_group_response response;
    int err = 0;

    kafka_group_answer(answer, &response);
    if (response.error == 0 && response.has_more) response.error = MESH_ETOOLARGE; /* half of it would look like all of it */
    if (response.error != 0 && response.error != MESH_ENOTFOUND) /* a group that there is not has committed nothing */
        told->error_code = kafka_group_code_of(response.error);
    else
        err = state->asked[tag].topics.count < 0 ? tell_all(call, told, &response) : tell_asked(call, told, &response);
    if (err != 0) state->has_failed = true;
    message_deinit_group_response(&response);
    kafka_call_leave(call);
}

/* ---- the oldest layouts, of one group ---- */

static int tell_one(struct kafka_call *call, const struct kafka_offset_fetch_response_group *told, struct kafka_offset_fetch_response *response)
{
    response->error_code = told->error_code;
    response->topics.items = kafka_new_items(&kafka_offset_fetch_response_topic_form, told->topics.count, &call->arena);
    if (response->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; t < told->topics.count; t++) {
        const struct kafka_offset_fetch_response_group_topic *from = &told->topics.items[t];
        struct kafka_offset_fetch_response_topic *to = &response->topics.items[response->topics.count++];

        to->name = from->name;
        to->partitions.items = kafka_new_items(&kafka_offset_fetch_response_partition_form, from->partitions.count, &call->arena);
        if (to->partitions.items == NULL) return MESH_ENOMEM;
        for (int32_t p = 0; p < from->partitions.count; p++) {
            struct kafka_offset_fetch_response_partition *partition = &to->partitions.items[to->partitions.count++];

            partition->partition_index = from->partitions.items[p].partition_index;
            partition->committed_offset = from->partitions.items[p].committed_offset;
            partition->committed_leader_epoch = from->partitions.items[p].committed_leader_epoch;
            partition->metadata = from->partitions.items[p].metadata;
            partition->error_code = from->partitions.items[p].error_code;
            if (call->version < GROUP_ERROR_VERSION && told->error_code != 0) partition->error_code = told->error_code;
        }
    }
    return 0;
}

static void answer(struct kafka_call *call)
{
    const struct fetch_state *state = call->state;
    struct kafka_offset_fetch_response response;
    int err = state->has_failed ? MESH_ENOMEM : 0;

    kafka_init(&kafka_offset_fetch_response_form, &response);
    response.groups.items = state->told;
    response.groups.count = state->group_count;
    if (err == 0 && call->version < SEVERAL_VERSION) err = tell_one(call, &state->told[0], &response);
    if (err != 0) kafka_call_fail(call);
    else kafka_call_answer(call, &response);
}

/* ---- questions ---- */

/* Topics as they were asked for, each partition without an offset; those that are known go into the request to the leader. */
static int prepare_topic(struct kafka_call *call, const struct kafka_offset_fetch_request_group_topic *from,
                         struct kafka_offset_fetch_response_group_topic *to, struct message_group_offsets *offsets)
{
    struct message_group_partitions *list = &offsets->topics[offsets->topic_count];
    int16_t code = kafka_topic_resolve(call->connection->shard->image, is_by_id(call), from->name, &from->topic_id, &list->topic_id);
    int32_t count = from->partition_indexes.count;

    to->name = from->name;
    to->topic_id = code == KAFKA_CODE_NONE ? list->topic_id : from->topic_id; /* of a name, for tell_asked(); not told to who asks by name */
    to->partitions.items = kafka_new_items(&kafka_offset_fetch_response_group_partition_form, count, &call->arena);
    list->partitions = arena_alloc(&call->arena, (size_t)count, sizeof(*list->partitions));
    if (to->partitions.items == NULL || list->partitions == NULL) return MESH_ENOMEM;
    to->partitions.count = count;
    for (int32_t i = 0; i < count; i++) {
        struct kafka_offset_fetch_response_group_partition *partition = &to->partitions.items[i];

        partition->partition_index = from->partition_indexes.items[i];
        partition->committed_offset = -1;
        partition->metadata = slice_of("", 0);
        if (is_by_id(call)) partition->error_code = code; /* a name may well have offsets and no topic: that is no error in Kafka's eyes */
        if (code == KAFKA_CODE_NONE && partition->partition_index >= 0) list->partitions[list->partition_count++] = (uint32_t)partition->partition_index;
    }
    if (list->partition_count > 0) offsets->topic_count++;
    return 0;
}

static int ask_group(struct kafka_call *call, int32_t index)
{
    const struct fetch_state *state = call->state;
    const struct kafka_offset_fetch_request_group *asked = &state->asked[index];
    struct kafka_offset_fetch_response_group *told = &state->told[index];
    struct message_group_offsets offsets = {.head = {.group = asked->group_id, .forwards = true, .epoch = -1}};
    struct buffer message = BUFFER_INIT;
    int32_t count = asked->topics.count < 0 ? 0 : asked->topics.count;
    int err = 0;

    told->group_id = asked->group_id;
    offsets.topics = arena_alloc(&call->arena, (size_t)count, sizeof(*offsets.topics));
    told->topics.items = kafka_new_items(&kafka_offset_fetch_response_group_topic_form, count, &call->arena);
    if (offsets.topics == NULL || told->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t t = 0; t < count && err == 0; t++)
        err = prepare_topic(call, &asked->topics.items[t], &told->topics.items[told->topics.count++], &offsets);
    if (err != 0 || (asked->topics.count >= 0 && offsets.topic_count == 0)) return err; /* nothing is to be asked; no topics at all would mean every one */
    err = message_encode_group_offsets(&message, &offsets);
    if (err == 0) kafka_group_ask(call, FRAME_OP_GROUP_OFFSETS, &message, on_offsets, call, (uint64_t)index);
    buffer_deinit(&message);
    return err;
}

/* The only group of an old request, as a new one would have it. */
static struct kafka_offset_fetch_request_group *group_of_old(struct kafka_call *call, const struct kafka_offset_fetch_request *asked)
{
    struct kafka_offset_fetch_request_group *group = kafka_new_items(&kafka_offset_fetch_request_group_form, 1, &call->arena);
    int32_t count = asked->topics.count < 0 ? 0 : asked->topics.count;

    if (group == NULL) return NULL;
    group->group_id = asked->group_id;
    group->topics.count = asked->topics.count;
    group->topics.items = kafka_new_items(&kafka_offset_fetch_request_group_topic_form, count, &call->arena);
    for (int32_t t = 0; t < count && group->topics.items != NULL; t++) {
        group->topics.items[t].name = asked->topics.items[t].name;
        group->topics.items[t].partition_indexes.items = asked->topics.items[t].partition_indexes.items;
        group->topics.items[t].partition_indexes.count = asked->topics.items[t].partition_indexes.count;
    }
    return group->topics.items == NULL ? NULL : group;
}

static int start(struct kafka_call *call, const struct kafka_offset_fetch_request *asked)
{
    struct fetch_state *state = call->state;
    int err = 0;

    state->group_count = call->version < SEVERAL_VERSION ? 1 : asked->groups.count;
    state->asked = call->version < SEVERAL_VERSION ? group_of_old(call, asked) : asked->groups.items;
    if (state->group_count > GROUPS_MAX) return MESH_ETOOLARGE;
    state->told = kafka_new_items(&kafka_offset_fetch_response_group_form, state->group_count, &call->arena);
    if (state->told == NULL || (state->asked == NULL && state->group_count > 0)) return MESH_ENOMEM;
    for (int32_t i = 0; i < state->group_count && err == 0; i++)
        err = ask_group(call, i);
    return err;
}

enum serve kafka_serve_offset_fetch(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_offset_fetch_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct fetch_state), answer, &result);

    if (call == NULL) return result;
    if (start(call, &asked) != 0) ((struct fetch_state *)call->state)->has_failed = true;
    kafka_call_leave(call);
    return kafka_served(connection);
}
