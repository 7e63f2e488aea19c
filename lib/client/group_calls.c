/* Requests of a member as messages, and their answers. */
#include "client/group.h"

#include "wire/message.h"
#include "wire/message_group.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- heads and routes ---- */

static struct message_group_head head_of(const struct mesh_group_options *options, struct slice member, uint32_t timeout_ms)
{
    return (struct message_group_head){
        .group = slice_of_string(options->group), .forwards = true, .member = member, .instance = slice_of_string(options->instance), .epoch = -1, .timeout_ms = timeout_ms};
}

/* The member counts epochs from 1 on: 0 is what it does not know. */
static void take_route(const struct message_group_response *response, struct consumer_member_answer *to, int32_t *ret_leader)
{
    to->epoch = response->route.epoch < 0 ? 0 : (uint32_t)response->route.epoch + 1;
    to->heard_us = response->route.heard_us;
    to->proof_behind_us = response->route.proof_behind_us;
    to->generation = response->generation;
    to->has_work = response->has_work;
    to->heartbeat_ms = response->heartbeat_ms;
    *ret_leader = response->route.leader;
}

/* A refusal may say who leads by now, too. */
static void take_refusal(struct slice message, struct consumer_member_answer *to, int32_t *ret_leader)
{
    struct message_group_response response = {0};

    *ret_leader = -1;
    if (message.size == 0 || message_decode_group_response(message, &response) != 0) return;
    take_route(&response, to, ret_leader);
    message_deinit_group_response(&response);
}

int group_encode_heartbeat(const struct mesh_group_options *options, struct slice member, uint32_t generation, uint32_t timeout_ms, bool wants_work,
                           struct buffer *to)
{
    const struct message_group_heartbeat heartbeat = {
        .head = head_of(options, member, timeout_ms), .generation = generation, .wants_work = wants_work};

    return message_encode_group_heartbeat(to, &heartbeat);
}

void group_decode_heartbeat(int err, struct slice message, struct consumer_member_answer *ret_answer, int32_t *ret_leader)
{
    struct message_group_response response = {0};

    *ret_answer = (struct consumer_member_answer){.error = err};
    *ret_leader = -1;
    if (err == 0) err = message_decode_group_response(message, &response);
    if (err != 0) {
        ret_answer->error = err;
        take_refusal(message, ret_answer, ret_leader);
        return;
    }
    take_route(&response, ret_answer, ret_leader);
    ret_answer->error = response.error;
    message_deinit_group_response(&response);
}

/* ---- the cells of a request ---- */

static int compare(const struct consumer_member_cell *a, const struct uuid *topic, uint32_t partition)
{
    int order = memcmp(a->topic.bytes, topic->bytes, UUID_SIZE);

    return order != 0 ? order : a->partition < partition ? -1 : a->partition > partition;
}

static int compare_places(const void *a, const void *b, void *cells)
{
    const struct consumer_member_cell *right = (const struct consumer_member_cell *)cells + *(const size_t *)b;

    return compare((const struct consumer_member_cell *)cells + *(const size_t *)a, &right->topic, right->partition);
}

/* In the order of topics and partitions; `places` remembers where each was. */
static int sort_cells(struct consumer_group *group, const struct consumer_member_request *request)
{
    if (request->cell_count > group->cell_room) {
        struct consumer_member_cell *cells = realloc(group->cells, request->cell_count * sizeof(*cells));
        size_t *places;

        if (cells == NULL) return MESH_ENOMEM;
        group->cells = cells;
        places = realloc(group->places, request->cell_count * sizeof(*places));
        if (places == NULL) return MESH_ENOMEM;
        group->places = places;
        group->cell_room = request->cell_count;
    }
    group->cell_count = request->cell_count;
    for (size_t i = 0; i < request->cell_count; i++)
        group->places[i] = i;
    if (request->cell_count > 0)
        qsort_r(group->places, request->cell_count, sizeof(group->places[0]), compare_places, (void *)(uintptr_t)request->cells);
    for (size_t i = 0; i < request->cell_count; i++)
        group->cells[i] = request->cells[group->places[i]];
    return 0;
}

/* The place in the request, or SIZE_MAX: it was not asked for. */
static size_t find_cell(const struct consumer_group *group, const struct uuid *topic, uint32_t partition)
{
    size_t low = 0, high = group->cell_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(&group->cells[middle], topic, partition);

        if (order == 0) return group->places[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

/* Lists beside each other, as the message has them, over all cells; topics are runs in them. */
struct lists {
    struct message_group_partitions *topics;
    uint32_t *partitions, *metadata_places;
    int64_t *offsets;
    int32_t *epochs;
    struct slice *metadata;
    size_t topic_count;
};

static void free_lists(struct lists *lists)
{
    free(lists->topics);
    free(lists->partitions);
    free(lists->metadata_places);
    free(lists->offsets);
    free(lists->epochs);
    free(lists->metadata);
}

static int make_lists(const struct consumer_group *group, bool has_offsets, struct lists *to)
{
    size_t count = group->cell_count, texts = 0;

    *to = (struct lists){.topics = calloc(count + 1, sizeof(*to->topics)),
                         .partitions = calloc(count + 1, sizeof(*to->partitions)),
                         .metadata_places = calloc(count + 1, sizeof(*to->metadata_places)),
                         .offsets = calloc(count + 1, sizeof(*to->offsets)),
                         .epochs = calloc(count + 1, sizeof(*to->epochs)),
                         .metadata = calloc(count + 1, sizeof(*to->metadata))};
    if (to->topics == NULL || to->partitions == NULL || to->metadata_places == NULL || to->offsets == NULL || to->epochs == NULL || to->metadata == NULL)
        return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct consumer_member_cell *cell = &group->cells[i];
        struct message_group_partitions *topic = to->topic_count == 0 ? NULL : &to->topics[to->topic_count - 1];

        if (topic == NULL || !uuid_equal(&topic->topic_id, &cell->topic)) {
            topic = &to->topics[to->topic_count++];
            topic->topic_id = cell->topic;
            topic->partitions = to->partitions + i;
            topic->offsets = to->offsets + i;
            topic->record_epochs = to->epochs + i;
            topic->metadata = to->metadata + texts;
            topic->metadata_places = to->metadata_places + texts;
        }
        topic->partitions[topic->partition_count++] = cell->partition;
        if (!has_offsets) continue;
        topic->offsets[topic->offset_count++] = (int64_t)cell->offset;
        topic->record_epochs[topic->record_epoch_count++] = cell->record_epoch;
        if (cell->metadata.size == 0) continue;
        topic->metadata_places[topic->metadata_place_count++] = (uint32_t)topic->partition_count - 1;
        topic->metadata[topic->metadata_count++] = cell->metadata;
        texts++;
    }
    return 0;
}

/* ---- requests ---- */

static int encode_join(const struct consumer_group *group, const struct message_group_head *head, struct buffer *to)
{
    const struct mesh_group_options *options = &group->options;
    char host[GROUP_NAME_ROOM] = "";
    struct message_group_join join = {.head = *head,
                                      .client = slice_of_string(group->consumer->client->name),
                                      .zone = slice_of_string(options->zone),
                                      .strategy = options->strategy,
                                      .name_count = group->name_count,
                                      .pattern = slice_of_string(group->pattern != NULL ? group->pattern : ""),
                                      .session_timeout_ms = options->session_ms,
                                      .processing_limit_ms = options->processing_ms};
    int err;

    if (gethostname(host, sizeof(host) - 1) == 0) join.host = slice_of_string(host); /* for people */
    join.names = calloc(group->name_count + 1, sizeof(*join.names));
    if (join.names == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < group->name_count; i++)
        join.names[i] = slice_of_string(group->names[i]);
    err = message_encode_group_join(to, &join);
    free(join.names);
    return err;
}

static int encode_cells(const struct consumer_group *group, const struct consumer_member_request *request, const struct message_group_head *head,
                        struct buffer *to)
{
    struct lists lists;
    int err = make_lists(group, request->kind == CONSUMER_MEMBER_COMMIT, &lists);

    if (err == 0 && request->kind == CONSUMER_MEMBER_COMMIT) {
        const struct message_group_commit commit = {
            .head = *head, .generation = request->generation, .reset_epoch = -1, .topics = lists.topics, .topic_count = lists.topic_count};
        err = message_encode_group_commit(to, &commit);
    } else if (err == 0) {
        const struct message_group_change change = {
            .head = *head, .generation = request->generation, .topics = lists.topics, .topic_count = lists.topic_count};
        err = message_encode_group_change(to, &change);
    }
    free_lists(&lists);
    return err;
}

static int encode(const struct consumer_group *group, const struct consumer_member_request *request, struct buffer *to)
{
    struct message_group_head head = head_of(&group->options, request->member, request->timeout_ms);

    head.epoch = request->epoch == 0 ? -1 : (int32_t)request->epoch - 1;
    head.sequence = request->sequence;
    if (request->kind == CONSUMER_MEMBER_JOIN) return encode_join(group, &head, to);
    if (request->kind == CONSUMER_MEMBER_WORK)
        return group_encode_heartbeat(&group->options, request->member, request->generation, request->timeout_ms, true, to);
    return encode_cells(group, request, &head, to);
}

/* ---- answers ---- */

static int take_work(const struct message_group_response *response, struct consumer_member_work **ret_work, size_t *ret_count)
{
    struct consumer_member_work *work;
    size_t count = 0;

    for (size_t t = 0; t < response->topic_count; t++)
        count += response->topics[t].partition_count;
    work = calloc(count + 1, sizeof(*work));
    if (work == NULL) return MESH_ENOMEM;
    *ret_work = work;
    *ret_count = count;
    for (size_t t = 0; t < response->topic_count; t++) {
        const struct message_group_partitions *topic = &response->topics[t];

        if (topic->kind > CONSUMER_MEMBER_WAIT) return MESH_EPROTO;
        for (size_t i = 0; i < topic->partition_count; i++)
            *work++ = (struct consumer_member_work){(enum consumer_member_work_kind)topic->kind, topic->topic_id, topic->partitions[i]};
    }
    return 0;
}

/* What a claim's answer does not mention was not claimed; other answers name what was refused. */
static int take_items(const struct consumer_group *group, const struct message_group_response *response, struct consumer_member_item **ret_items)
{
    bool is_claim = group->call_kind == CONSUMER_MEMBER_CLAIM;
    struct consumer_member_item *items = calloc(group->cell_count + 1, sizeof(*items));

    if (items == NULL) return MESH_ENOMEM;
    *ret_items = items;
    for (size_t i = 0; i < group->cell_count; i++)
        items[i] = (struct consumer_member_item){is_claim ? MESH_ENOT_OWNER : 0, CONSUMER_MEMBER_OFFSET_NONE, -1};
    for (size_t t = 0; t < response->topic_count; t++) {
        const struct message_group_partitions *topic = &response->topics[t];

        for (size_t i = 0; i < topic->partition_count; i++) {
            size_t place = find_cell(group, &topic->topic_id, topic->partitions[i]);

            if (place == SIZE_MAX) continue;
            items[place].error = topic->error_count > 0 ? topic->errors[i] : 0;
            if (topic->offset_count > 0 && topic->offsets[i] >= 0) items[place].offset = (uint64_t)topic->offsets[i];
            if (topic->record_epoch_count > 0) items[place].record_epoch = topic->record_epochs[i];
        }
    }
    return 0;
}

/* Where it did not get through to the leader it goes to anybody, who then sends it on. */
static void note_leader(struct consumer_group *group, int err, int32_t leader)
{
    if (leader >= 0)
        group->leader = leader;
    else if (err == MESH_EUNREACHABLE || err == MESH_ECLOSED || err == MESH_ETIMEDOUT || err == MESH_ENOT_LEADER)
        group->leader = -1;
}

static void answered(struct call *call, int err, struct slice message)
{
    struct consumer_group *group = call->user;
    struct mesh_client *client = call->client;
    struct consumer_member_answer answer = {0};
    struct message_group_response response = {0};
    struct consumer_member_work *work = NULL;
    struct consumer_member_item *items = NULL;
    int32_t leader = -1;

    if (err == 0) {
        err = message_decode_group_response(message, &response);
        if (err == 0) take_route(&response, &answer, &leader);
        if (err == 0) err = response.error;
        if (err == 0 && group->call_kind == CONSUMER_MEMBER_WORK) err = take_work(&response, &work, &answer.work_count);
        if (err == 0 && group->cell_count > 0) err = take_items(group, &response, &items);
    } else {
        take_refusal(message, &answer, &leader);
    }
    note_leader(group, err, leader);
    if (err == 0) topic_keep_brokers_fresh(client); /* who waits for partitions has no topics, whose routes would bring that */
    answer.error = err;
    answer.work = work;
    answer.items = items;
    group->call = NULL;
    consumer_member_answered(group->member, client->now_ms, group->call_sequence, &answer);
    free(work);
    free(items);
    message_deinit_group_response(&response);
    call_free(call);
    client_mark(client, &group->pump);
}

static enum frame_op op_of(enum consumer_member_request_kind kind)
{
    static const enum frame_op ops[] = {FRAME_OP_GROUP_JOIN,    FRAME_OP_GROUP_HEARTBEAT, FRAME_OP_GROUP_CLAIM,
                                        FRAME_OP_GROUP_RELEASE, FRAME_OP_GROUP_COMMIT,    FRAME_OP_GROUP_LEAVE};

    return ops[kind];
}

void group_send(struct consumer_group *group)
{
    struct mesh_client *client = group->consumer->client;
    struct consumer_member_request request;
    struct call *call = NULL;
    int err;

    if (group->call != NULL || !consumer_member_next_request(group->member, client->now_ms, &request)) return;
    group->call_kind = request.kind;
    group->call_sequence = request.sequence;
    err = call_new(client, op_of(request.kind), answered, group, &call);
    if (err == 0) err = sort_cells(group, &request);
    if (err == 0) err = encode(group, &request, &call->message);
    if (err != 0) {
        const struct consumer_member_answer none = {.error = err};

        call_free(call);
        consumer_member_answered(group->member, client->now_ms, request.sequence, &none);
        return;
    }
    call->is_repeatable = false;
    call->is_single = true;
    call->node_id = group->leader;
    group->call = call;
    call_start(call, client->now_ms + request.timeout_ms);
}

/* ---- heartbeats of a member without a thread ---- */

static void beaten(struct call *call, int err, struct slice message)
{
    struct consumer_group *group = call->user;
    struct mesh_client *client = call->client;
    struct consumer_member_answer answer;
    int32_t leader;

    group_decode_heartbeat(err, message, &answer, &leader);
    note_leader(group, answer.error, leader);
    group->beat = NULL;
    consumer_member_heard(group->member, client->now_ms, group->pulse.sent_ms, slice_of_string(group->beat_id), &answer);
    consumer_pulse_answered(&group->pulse, client->now_ms, answer.error);
    call_free(call);
    client_mark(client, &group->pump);
}

void group_beat(struct consumer_group *group)
{
    struct mesh_client *client = group->consumer->client;
    struct consumer_member_view view = consumer_member_view(group->member);
    struct call *call = NULL;
    uint32_t timeout_ms;
    int err;

    consumer_pulse_follow(&group->pulse, client->now_ms, &view);
    if (group->beat != NULL || !consumer_pulse_next(&group->pulse, client->now_ms, &timeout_ms)) return;
    memcpy(group->beat_id, group->pulse.id, group->pulse.id_size);
    group->beat_id[group->pulse.id_size] = '\0';
    err = call_new(client, FRAME_OP_GROUP_HEARTBEAT, beaten, group, &call);
    if (err == 0) err = group_encode_heartbeat(&group->options, slice_of_string(group->beat_id), view.generation, timeout_ms, false, &call->message);
    if (err != 0) {
        call_free(call);
        consumer_pulse_answered(&group->pulse, client->now_ms, err);
        return;
    }
    call->is_repeatable = false;
    call->is_single = true;
    call->node_id = group->leader;
    group->beat = call;
    call_start(call, client->now_ms + timeout_ms);
}

void group_forget_calls(struct consumer_group *group)
{
    call_free(group->call);
    call_free(group->beat);
    call_free(group->describe);
    group->call = group->beat = group->describe = NULL;
}
