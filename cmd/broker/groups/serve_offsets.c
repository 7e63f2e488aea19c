/* groups/serve_offsets.c - offsets: committed, read, set by operators, forgotten. */
#include "base/error.h"
#include "cmd/broker/groups/ends.h"
#include "cmd/broker/groups/serve_internal.h"

#include <stdlib.h>

/* ---- cells of a request ---- */

/* What no cell can be has an offset that the lead refuses. */
static uint64_t offset_at(const struct message_group_partitions *topic, size_t place)
{
    return topic->offset_count == 0 || topic->offsets[place] < 0 ? UINT64_MAX : (uint64_t)topic->offsets[place];
}

static void read_topic(const struct message_group_partitions *topic, struct group_commit_cell *cells)
{
    for (size_t i = 0; i < topic->partition_count; i++)
        cells[i] = (struct group_commit_cell){
            .topic = topic->topic_id,
            .partition = topic->partitions[i],
            .offset = offset_at(topic, i),
            .record_epoch = topic->record_epoch_count == 0 ? -1 : topic->record_epochs[i],
        };
    for (size_t i = 0; i < topic->metadata_count; i++)
        cells[topic->metadata_places[i]].metadata = topic->metadata[i];
}

/* NULL: no memory. */
static struct group_commit_cell *cells_of(const struct message_group_partitions *topics, size_t topic_count, bool may_pass_ends, size_t *ret_count)
{
    struct group_commit_cell *cells;
    size_t count = 0;

    for (size_t i = 0; i < topic_count; i++)
        count += topics[i].partition_count;
    cells = malloc((count > 0 ? count : 1) * sizeof(*cells));
    if (cells == NULL) return NULL;
    *ret_count = count;
    for (size_t i = 0, at = 0; i < topic_count; at += topics[i].partition_count, i++)
        read_topic(&topics[i], cells + at);
    for (size_t i = 0; i < count; i++)
        cells[i].may_pass_end = may_pass_ends;
    return cells;
}

static void list_refused_cells(struct groups_lists *lists, const struct group_commit_cell *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cells[i].error != 0) groups_list_add_error(lists, &cells[i].topic, cells[i].partition, cells[i].error);
}

/* Ends `lists`. */
static int answer(struct groups_serve *serve, struct message_group_response *response, struct groups_lists *lists)
{
    int err = lists->has_failed ? MESH_ENOMEM : 0;

    response->topics = lists->topics;
    response->topic_count = lists->count;
    if (err == 0) err = message_encode_group_response(&serve->answer, response);
    groups_lists_deinit(lists);
    return err;
}

/* ---- commit ---- */

/* -1 in a message is the lead's own word for none; what does not fit is told from every number there can be. */
static uint32_t number_or(int64_t number, uint32_t none)
{
    return number < 0 || number >= UINT32_MAX ? none : (uint32_t)number;
}

int groups_judge_commit(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    struct message_group_commit request;
    struct group_commit commit;
    struct group_reply reply;
    int err = message_decode_group_commit(serve->message, &request);

    if (err != 0) return err;
    commit = (struct group_commit){.caller = groups_caller(&request.head),
                                   .generation = number_or(request.generation, GROUP_GENERATION_NONE),
                                   .reset_epoch = number_or(request.reset_epoch, GROUP_RESET_EPOCH_ANY)};
    commit.cells = cells_of(request.topics, request.topic_count, request.may_pass_ends, &commit.cell_count);
    err = commit.cells == NULL ? MESH_ENOMEM : groups_ends_ask(&serve->request, commit.cells, commit.cell_count);
    if (err == 0) err = group_lead_commit(judging->lead, judging->now_ms, judging->wall_ms, &commit, &reply);
    if (err == 0) {
        groups_take_reply(judging, &request.head, &reply, &response);
        list_refused_cells(&lists, commit.cells, commit.cell_count);
        err = answer(serve, &response, &lists);
    }
    free(commit.cells);
    message_deinit_group_commit(&request);
    return err;
}

/* ---- reading ---- */

/* Every partition of the group with an offset; false: one message does not take them all. */
static bool list_all(const struct groups *state, const struct group *group, struct groups_lists *lists)
{
    struct group_cursor cursor = {0};
    struct group_offset offset;
    uint32_t partition;
    struct uuid topic;
    size_t metadata_bytes = 0;

    while (group_next_partition(state, group, &cursor, &topic, &partition)) {
        if (!group_committed(state, group, &topic, partition, &offset)) continue;
        metadata_bytes += offset.metadata.size;
        if (lists->partition_count >= GROUPS_OFFSETS_MAX || metadata_bytes > GROUPS_METADATA_BYTES_MAX) return false;
        groups_list_add_offset(lists, &topic, partition, &offset);
    }
    return true;
}

/* False: no message takes what stands beside them. Leaving some out would say that there is none. */
static bool list_asked(const struct groups *state, const struct group *group, const struct message_group_offsets *request, struct groups_lists *lists)
{
    struct group_offset offset;
    size_t metadata_bytes = 0;

    for (size_t i = 0; i < request->topic_count; i++) {
        const struct message_group_partitions *topic = &request->topics[i];

        for (size_t j = 0; j < topic->partition_count; j++) {
            if (!group_committed(state, group, &topic->topic_id, topic->partitions[j], &offset)) continue;
            metadata_bytes += offset.metadata.size;
            if (metadata_bytes > GROUPS_METADATA_BYTES_MAX) return false;
            groups_list_add_offset(lists, &topic->topic_id, topic->partitions[j], &offset);
        }
    }
    return true;
}

static int list_offsets(const struct groups *state, const struct message_group_offsets *request, struct message_group_response *response,
                        struct groups_lists *lists)
{
    const struct group *group = groups_find(state, request->head.group);

    if (group == NULL) return MESH_ENOTFOUND;
    response->generation = group_view_of(group).generation;
    response->reset_epoch = group_view_of(group).reset_epoch;
    if (request->topic_count > 0) return list_asked(state, group, request, lists) ? 0 : MESH_ETOOLARGE;
    response->has_more = !list_all(state, group, lists);
    return 0;
}

int groups_answer_offsets(struct groups_serve *serve, const struct groups *state)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    struct message_group_offsets request;
    int err = message_decode_group_offsets(serve->message, &request);

    if (err != 0) return err;
    err = list_offsets(state, &request, &response, &lists);
    if (err != 0) groups_lists_deinit(&lists);
    else err = answer(serve, &response, &lists);
    message_deinit_group_offsets(&request);
    return err;
}

int groups_judge_offsets(struct groups_serve *serve, struct group_judging *judging)
{
    return groups_answer_offsets(serve, judging->state);
}

/* ---- operators ---- */

/* What every cell was and is to be, or why it cannot be. */
static void list_reset(const struct group_offset *before, const struct group_commit_cell *cells, size_t count, struct groups_lists *lists)
{
    for (size_t i = 0; i < count; i++)
        groups_list_add_reset(lists, &cells[i].topic, cells[i].partition, cells[i].error,
                              before[i].offset == GROUP_OFFSET_NONE ? -1 : (int64_t)before[i].offset,
                              cells[i].offset > GROUP_OFFSET_MAX ? -1 : (int64_t)cells[i].offset);
}

static struct group_offset *offsets_before(const struct groups *state, const struct group_reset *reset)
{
    const struct group *group = groups_find(state, reset->group);
    struct group_offset *before = calloc(reset->cell_count > 0 ? reset->cell_count : 1, sizeof(*before));

    for (size_t i = 0; before != NULL && i < reset->cell_count; i++)
        if (group == NULL || !group_committed(state, group, &reset->cells[i].topic, reset->cells[i].partition, &before[i]))
            before[i].offset = GROUP_OFFSET_NONE;
    return before;
}

int groups_judge_reset(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    struct message_group_reset request;
    struct group_offset *before = NULL;
    struct group_reset reset;
    struct group_reply reply;
    int err = message_decode_group_reset(serve->message, &request);

    if (err != 0) return err;
    reset = (struct group_reset){.group = request.head.group,
                                 .who = request.who,
                                 .reset_epoch = number_or(request.reset_epoch, GROUP_RESET_EPOCH_ANY),
                                 .is_forced = request.is_forced,
                                 .is_dry = request.is_dry};
    reset.cells = cells_of(request.topics, request.topic_count, false, &reset.cell_count);
    err = reset.cells == NULL ? MESH_ENOMEM : groups_ends_ask(&serve->request, reset.cells, reset.cell_count);
    if (err == 0) before = offsets_before(judging->state, &reset);
    if (err == 0) err = before == NULL ? MESH_ENOMEM : group_lead_reset(judging->lead, judging->wall_ms, &reset, &reply);
    if (before != NULL && err != MESH_ENOMEM) {
        response.error = err;
        if (err == 0) groups_take_reply(judging, &request.head, &reply, &response);
        if (err != 0) response.message = slice_of_string(mesh_strerror(err));
        list_reset(before, reset.cells, reset.cell_count, &lists);
        err = answer(serve, &response, &lists);
    }
    free(before);
    free(reset.cells);
    message_deinit_group_reset(&request);
    return err;
}

int groups_judge_delete(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    struct message_group_change request;
    struct group_claim *claims = NULL;
    struct group_reply reply;
    size_t count = 0;
    int err = message_decode_group_change(serve->message, &request);

    if (err != 0) return err;
    claims = groups_claims_of(&request, &count);
    if (claims == NULL)
        err = MESH_ENOMEM;
    else if (request.topic_count == 0)
        err = group_lead_delete(judging->lead, request.head.group, &reply);
    else
        err = group_lead_delete_offsets(judging->lead, request.head.group, claims, count, &reply);
    if (err == 0) {
        groups_take_reply(judging, &request.head, &reply, &response);
        groups_list_refused_claims(&lists, claims, count);
        err = answer(serve, &response, &lists);
    }
    free(claims);
    message_deinit_group_change(&request);
    return err;
}
