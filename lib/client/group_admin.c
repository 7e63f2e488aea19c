/* Groups seen from outside: the blocking calls. Lists and descriptions are what one broker knows, whoever it is, and come page by page. */
#include "base/arena.h"
#include "client/call.h"
#include "client/topic.h"
#include "wire/message.h"
#include "wire/message_group.h"

#include <mesh/group.h>

#include <stdlib.h>

static int fail(struct mesh_client *client, int err, const char *group)
{
    return client_fail(client, err, "group \"%s\": %s", group, mesh_strerror(err));
}

/* Sends what was encoded (err: how that went) and waits. Takes the call. */
static int ask(struct call *call, int err, bool is_change, struct buffer *ret_answer)
{
    if (err != 0) {
        client_fail(call->client, err, "%s", mesh_strerror(err));
        call_free(call);
        return err;
    }
    call->is_repeatable = !is_change;
    buffer_clear(ret_answer);
    return call_wait(call, ret_answer);
}

static int begin(struct mesh_client *client, enum frame_op op, struct call **ret_call)
{
    int err = call_new(client, op, NULL, NULL, ret_call);

    return err == 0 ? 0 : client_fail(client, err, "%s", mesh_strerror(err));
}

/* A copy in the arena, NULL: no memory. Bytes after a NUL are left out: no name has one. */
static const char *keep(struct arena *arena, struct slice text)
{
    char *copy = arena_alloc(arena, text.size + 1, 1);

    if (copy != NULL && text.size > 0) memcpy(copy, text.data, text.size);
    return copy;
}

/* Room for `count` more behind `used`, copying what is there: rare, and doubling. */
static void *grow(void *items, size_t *room, size_t used, size_t count, size_t size)
{
    size_t wanted = *room == 0 ? 64 : *room;
    void *grown;

    if (items != NULL && used + count <= *room) return items;
    while (wanted < used + count)
        wanted *= 2;
    grown = reallocarray(items, wanted, size);
    if (grown != NULL) *room = wanted;
    return grown;
}

static struct message_group_head head_of(const char *group)
{
    return (struct message_group_head){.group = slice_of_string(group), .forwards = true, .epoch = -1};
}

/* ---- the list ---- */

struct mesh_groups {
    struct arena arena;
    struct mesh_group_info *infos; /* owned */
    size_t count, room;
};

static int take_row(struct arena *arena, const struct message_group_row *row, struct mesh_group_info *to)
{
    static const char *const states[] = {"empty", "stable", "rebalancing"};
    static const char *const protocols[] = {"mesh", "classic"};

    *to = (struct mesh_group_info){.group = keep(arena, row->name),
                                   .state = row->state < 3 ? states[row->state] : "unknown",
                                   .protocol = row->protocol < 2 ? protocols[row->protocol] : "unknown",
                                   .generation = row->generation,
                                   .members = row->member_count,
                                   .topics = row->topic_count,
                                   .offsets = row->cell_count,
                                   .age_ms = (int64_t)row->age_ms};
    return to->group == NULL ? MESH_ENOMEM : 0;
}

static int take_rows(struct mesh_groups *groups, const struct message_group_list_response *response)
{
    struct mesh_group_info *infos;

    if (response->row_count == 0) return 0;
    infos = grow(groups->infos, &groups->room, groups->count, response->row_count, sizeof(*infos));
    if (infos == NULL) return MESH_ENOMEM;
    groups->infos = infos;
    for (size_t i = 0; i < response->row_count; i++) {
        int err = take_row(&groups->arena, &response->rows[i], &groups->infos[groups->count]);
        if (err != 0) return err;
        groups->count++;
    }
    return 0;
}

/* One page, behind the last group that is known. */
static int list_page(struct mesh_client *client, struct mesh_groups *groups, bool *ret_has_more)
{
    const char *after = groups->count == 0 ? "" : groups->infos[groups->count - 1].group;
    const struct message_group_list list = {.after = slice_of_string(after), .is_local = true, .partition = -1};
    struct message_group_list_response response = {0};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    size_t before = groups->count;
    int err = begin(client, FRAME_OP_GROUP_LIST, &call);

    if (err != 0) return err;
    err = ask(call, message_encode_group_list(&call->message, &list), false, &answer);
    if (err != 0) {
        buffer_deinit(&answer);
        return err;
    }
    err = message_decode_group_list_response(buffer_slice(&answer), &response);
    if (err == 0) err = response.error;
    if (err == 0) err = take_rows(groups, &response);
    *ret_has_more = response.has_more && groups->count > before;
    message_deinit_group_list_response(&response);
    buffer_deinit(&answer);
    return err == 0 ? 0 : client_fail(client, err, "the list of groups: %s", mesh_strerror(err));
}

int mesh_group_list(struct mesh_client *client, struct mesh_groups **ret_groups)
{
    struct mesh_groups *groups = calloc(1, sizeof(*groups));
    bool has_more = true;
    int err = 0;

    if (groups == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    while (err == 0 && has_more)
        err = list_page(client, groups, &has_more);
    if (err != 0) {
        mesh_groups_free(groups);
        return err;
    }
    *ret_groups = groups;
    return 0;
}

size_t mesh_groups_count(const struct mesh_groups *groups)
{
    return groups->count;
}

const struct mesh_group_info *mesh_groups_get(const struct mesh_groups *groups, size_t index)
{
    return index < groups->count ? &groups->infos[index] : NULL;
}

void mesh_groups_free(struct mesh_groups *groups)
{
    if (groups == NULL) return;
    arena_deinit(&groups->arena);
    free(groups->infos);
    free(groups);
}

/* ---- one group ---- */

struct mesh_group_details {
    struct arena arena;
    struct mesh_group_description description;
    struct mesh_group_member_info *members;       /* owned */
    struct mesh_group_partition_info *partitions; /* owned */
    size_t partition_room;
    struct uuid last_topic; /* where the next page begins */
    int64_t last_partition;
};

static int take_members(struct mesh_group_details *details, const struct message_group_describe_response *response)
{
    details->description.has_members = response->has_members;
    details->members = calloc(response->member_count + 1, sizeof(*details->members));
    if (details->members == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < response->member_count; i++) {
        const struct message_group_member *from = &response->members[i];
        struct mesh_group_member_info *to = &details->members[i];

        *to = (struct mesh_group_member_info){.id = keep(&details->arena, from->id),
                                              .instance = keep(&details->arena, from->instance),
                                              .client = keep(&details->arena, from->client),
                                              .host = keep(&details->arena, from->host),
                                              .zone = keep(&details->arena, from->zone),
                                              .session_ms = from->session_timeout_ms,
                                              .partitions = from->claims,
                                              .joined_in = from->joined_in};
        if (to->id == NULL || to->instance == NULL || to->client == NULL || to->host == NULL || to->zone == NULL) return MESH_ENOMEM;
    }
    details->description.member_count = response->member_count;
    return 0;
}

static const char *member_at(const struct mesh_group_details *details, const int32_t *places, size_t count, size_t index)
{
    int32_t place = count > index ? places[index] : -1;

    return place >= 0 && (size_t)place < details->description.member_count ? details->members[place].id : "";
}

static void take_partition(const struct mesh_group_details *details, const struct message_group_partitions *topic, const char *name, size_t i,
                           struct mesh_group_partition_info *to)
{
    bool has_end = topic->high_watermark_count > i && topic->high_watermarks[i] >= 0;

    *to = (struct mesh_group_partition_info){.topic = name,
                                             .partition = (int32_t)topic->partitions[i],
                                             .committed = topic->offset_count > i ? topic->offsets[i] : -1,
                                             .high_watermark = has_end ? topic->high_watermarks[i] : -1,
                                             .lag = -1,
                                             .owner = member_at(details, topic->owners, topic->owner_count, i),
                                             .target = member_at(details, topic->targets, topic->target_count, i),
                                             .committed_ms = topic->committed_count > i ? (int64_t)topic->committed_s[i] * 1000 : 0,
                                             .high_watermark_age_ms = has_end && topic->ends_age_count > i ? (int64_t)topic->ends_age_ms[i] : -1};
    uuid_format(&topic->topic_id, to->topic_id);
    if (!has_end) return;
    to->lag = to->high_watermark - (to->committed >= 0 ? to->committed : topic->log_start_count > i ? (int64_t)topic->log_starts[i] : 0);
    if (to->lag < 0) to->lag = 0; /* the end may be older than the commit */
}

static int take_topics(struct mesh_group_details *details, const struct message_group_describe_response *response)
{
    for (size_t t = 0; t < response->topic_count; t++) {
        const struct message_group_partitions *topic = &response->topics[t];
        const char *name = keep(&details->arena, topic->topic_name);
        struct mesh_group_partition_info *grown =
            grow(details->partitions, &details->partition_room, details->description.partition_count, topic->partition_count, sizeof(*grown));

        if (grown == NULL || name == NULL) return MESH_ENOMEM;
        details->partitions = grown;
        for (size_t i = 0; i < topic->partition_count; i++)
            take_partition(details, topic, name, i, &details->partitions[details->description.partition_count++]);
        if (topic->partition_count == 0) continue;
        details->last_topic = topic->topic_id;
        details->last_partition = topic->partitions[topic->partition_count - 1];
    }
    return 0;
}

static int describe_page(struct mesh_client *client, const char *group, bool is_first, struct mesh_group_details *details, bool *ret_has_more)
{
    const struct message_group_describe describe = {
        .head = head_of(group), .is_local = true, .with_lag = true, .after_topic = details->last_topic, .after_partition = details->last_partition};
    struct message_group_describe_response response = {0};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    size_t before = details->description.partition_count;
    int err = begin(client, FRAME_OP_GROUP_DESCRIBE, &call);

    if (err != 0) return err;
    err = ask(call, message_encode_group_describe(&call->message, &describe), false, &answer);
    if (err != 0) {
        buffer_deinit(&answer);
        return err;
    }
    err = message_decode_group_describe_response(buffer_slice(&answer), &response);
    if (err == 0) err = response.error;
    if (err == 0 && is_first) {
        details->description.coordinator = response.route.leader;
        err = take_row(&details->arena, &response.row, &details->description.info);
        details->description.info.age_ms = (int64_t)response.age_ms;
        if (err == 0) err = take_members(details, &response);
    }
    if (err == 0) err = take_topics(details, &response);
    *ret_has_more = response.has_more && details->description.partition_count > before;
    message_deinit_group_describe_response(&response);
    buffer_deinit(&answer);
    return err == 0 ? 0 : fail(client, err, group);
}

int mesh_group_describe(struct mesh_client *client, const char *group, struct mesh_group_details **ret_details)
{
    struct mesh_group_details *details = calloc(1, sizeof(*details));
    bool has_more = true;
    int err = 0;

    if (details == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    details->last_partition = -1;
    for (bool is_first = true; err == 0 && has_more; is_first = false)
        err = describe_page(client, group, is_first, details, &has_more);
    if (err != 0) {
        mesh_group_details_free(details);
        return err;
    }
    details->description.members = details->members;
    details->description.partitions = details->partitions;
    *ret_details = details;
    return 0;
}

const struct mesh_group_description *mesh_group_description(const struct mesh_group_details *details)
{
    return &details->description;
}

void mesh_group_details_free(struct mesh_group_details *details)
{
    if (details == NULL) return;
    arena_deinit(&details->arena);
    free(details->members);
    free(details->partitions);
    free(details);
}

/* ---- changes ---- */

static int find_topic(struct mesh_client *client, const char *name, struct topic **ret_topic)
{
    struct topic *topic;
    int err = topic_ref(client, name, &topic);

    if (err != 0) return err;
    err = topic_wait_known(topic, client_deadline(client, client->timeout_ms));
    if (err == 0)
        *ret_topic = topic;
    else
        topic_unref(topic);
    return err;
}

/* The lists of a reset: one partition each, so that places are the caller's. */
struct reset_lists {
    struct message_group_partitions *topics;
    uint32_t *partitions;
    int64_t *offsets;
};

static void free_reset_lists(struct reset_lists *lists)
{
    free(lists->topics);
    free(lists->partitions);
    free(lists->offsets);
}

static int make_reset_lists(struct mesh_client *client, const struct mesh_group_offset *offsets, size_t count, struct reset_lists *to)
{
    struct topic *topic = NULL;
    int err = 0;

    *to = (struct reset_lists){calloc(count + 1, sizeof(*to->topics)), calloc(count + 1, sizeof(*to->partitions)), calloc(count + 1, sizeof(*to->offsets))};
    if (to->topics == NULL || to->partitions == NULL || to->offsets == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    for (size_t i = 0; i < count && err == 0; i++) {
        if (offsets[i].partition < 0 || offsets[i].offset < 0) err = client_fail(client, MESH_EINVAL, "partitions and offsets are not negative");
        if (err == 0 && (topic == NULL || strcmp(topic->name, offsets[i].topic) != 0)) {
            topic_unref(topic);
            topic = NULL;
            err = find_topic(client, offsets[i].topic, &topic);
        }
        if (err != 0) break;
        to->partitions[i] = (uint32_t)offsets[i].partition;
        to->offsets[i] = offsets[i].offset;
        to->topics[i] = (struct message_group_partitions){
            .topic_id = topic->id, .partitions = &to->partitions[i], .partition_count = 1, .offsets = &to->offsets[i], .offset_count = 1};
    }
    topic_unref(topic);
    return err;
}

/* Errors and offsets before stand in the answer by topic and partition. */
static void take_reset(const struct reset_lists *lists, const struct message_group_response *response, struct mesh_group_offset *offsets, size_t count)
{
    for (size_t t = 0; t < response->topic_count; t++) {
        const struct message_group_partitions *topic = &response->topics[t];

        for (size_t i = 0; i < topic->partition_count; i++)
            for (size_t j = 0; j < count; j++) {
                if (lists->partitions[j] != topic->partitions[i] || !uuid_equal(&lists->topics[j].topic_id, &topic->topic_id)) continue;
                if (topic->offset_before_count > i) offsets[j].before = topic->offsets_before[i];
                if (topic->error_count > i) offsets[j].error = topic->errors[i];
            }
    }
}

/* One request. *reset_epoch: in, what it is meant for (-1: whatever it is); out, what it is by now. */
static int reset_once(struct mesh_client *client, const char *group, const struct reset_lists *lists, struct mesh_group_offset *offsets, size_t count,
                      bool is_forced, bool is_dry, int64_t *reset_epoch)
{
    const struct message_group_reset reset = {.head = head_of(group),
                                              .who = slice_of_string(client->name),
                                              .is_forced = is_forced,
                                              .is_dry = is_dry,
                                              .reset_epoch = *reset_epoch,
                                              .topics = lists->topics,
                                              .topic_count = count};
    struct message_group_response response = {0};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = begin(client, FRAME_OP_GROUP_RESET, &call);

    if (err == 0) err = ask(call, message_encode_group_reset(&call->message, &reset), !is_dry, &answer);
    if (err == 0) {
        err = message_decode_group_response(buffer_slice(&answer), &response);
        if (err == 0) err = response.error;
        take_reset(lists, &response, offsets, count);
        *reset_epoch = response.reset_epoch;
        message_deinit_group_response(&response);
        if (err != 0) fail(client, err, group);
    }
    buffer_deinit(&answer);
    return err;
}

/* A change is preceded by a dry run, whose reset epoch it names: a copy that comes late then sets nothing. */
int mesh_group_reset(struct mesh_client *client, const char *group, struct mesh_group_offset *offsets, size_t offset_count, int is_forced, int is_dry)
{
    struct reset_lists lists;
    int64_t reset_epoch = -1;
    int err = make_reset_lists(client, offsets, offset_count, &lists);

    for (size_t i = 0; i < offset_count; i++) {
        offsets[i].before = -1;
        offsets[i].error = 0;
    }
    if (err == 0) err = reset_once(client, group, &lists, offsets, offset_count, is_forced != 0, true, &reset_epoch);
    if (err == 0 && !is_dry) err = reset_once(client, group, &lists, offsets, offset_count, is_forced != 0, false, &reset_epoch);
    free_reset_lists(&lists);
    return err;
}

/* Every partition of a topic; those of which nothing was committed are passed over. */
static int list_partitions(struct mesh_client *client, const char *name, struct message_group_partitions *to)
{
    struct topic *topic = NULL;
    int err = find_topic(client, name, &topic);

    if (err != 0) return err;
    *to = (struct message_group_partitions){.topic_id = topic->id, .partitions = calloc(topic->partition_count + 1, sizeof(uint32_t))};
    for (uint32_t i = 0; to->partitions != NULL && i < topic->partition_count; i++)
        to->partitions[to->partition_count++] = i;
    topic_unref(topic);
    return to->partitions != NULL ? 0 : client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
}

/* A partition of which nothing was committed is no obstacle, unless that is so of all. */
static int judge_delete(const struct message_group_response *response, size_t asked)
{
    size_t missing = 0;

    for (size_t t = 0; t < response->topic_count; t++)
        for (size_t i = 0; i < response->topics[t].error_count; i++) {
            if (response->topics[t].errors[i] == MESH_ENOTFOUND) missing++;
            if (response->topics[t].errors[i] != 0 && response->topics[t].errors[i] != MESH_ENOTFOUND) return response->topics[t].errors[i];
        }
    return missing == asked ? MESH_ENOTFOUND : 0;
}

int mesh_group_delete(struct mesh_client *client, const char *group, const char *topic)
{
    struct message_group_partitions partitions = {0};
    struct message_group_change change = {.head = head_of(group), .topics = &partitions, .topic_count = topic != NULL};
    struct message_group_response response = {0};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = topic == NULL ? 0 : list_partitions(client, topic, &partitions);

    if (err == 0) err = begin(client, FRAME_OP_GROUP_DELETE, &call);
    if (err == 0) err = ask(call, message_encode_group_change(&call->message, &change), true, &answer);
    if (err == 0) {
        err = message_decode_group_response(buffer_slice(&answer), &response);
        if (err == 0) err = response.error;
        if (err == 0 && topic != NULL) err = judge_delete(&response, partitions.partition_count);
        message_deinit_group_response(&response);
        if (err != 0) fail(client, err, group);
    }
    free(partitions.partitions);
    buffer_deinit(&answer);
    return err;
}
