#include "cmd/broker/groups/describe.h"

#include "base/error.h"
#include "cmd/broker/groups/serve_internal.h"
#include "replication/groups/classic.h"

#include <stdlib.h>

#define TYPE_SHOWN_MAX 64 /* bytes of a protocol type */

static bool is_rebalancing(const struct groups *state, const struct group *group)
{
    struct group_cursor cursor = {0};
    uint32_t partition;
    struct uuid topic;

    while (group_next_partition(state, group, &cursor, &topic, &partition)) {
        struct group_claim_view claim = group_claim_of(state, group, &topic, partition);

        if (claim.target != claim.owner) return true;
    }
    return false;
}

/* Records tell of whole generations alone: who is joining only the leader knows. */
static void by_leader(const struct group_lead *lead, struct message_group_row *row)
{
    struct group_classic_view view;

    if (lead == NULL || !group_lead_classic_find(lead, row->name, &view)) return;
    row->member_count = view.member_count;
    row->protocol_type = view.member_count > 0 ? view.protocol_type : slice_of(NULL, 0);
    if (view.member_count == 0) row->state = MESSAGE_GROUP_EMPTY;
    else row->state = view.state == GROUP_CLASSIC_STABLE ? MESSAGE_GROUP_STABLE : MESSAGE_GROUP_REBALANCING;
}

/* Ten thousand rows have to fit into a message. */
static struct slice shown(struct slice type)
{
    return slice_of(type.data, type.size < TYPE_SHOWN_MAX ? type.size : TYPE_SHOWN_MAX);
}

struct message_group_row groups_row_of(const struct groups *state, const struct group_lead *lead, const struct group *group, uint32_t number)
{
    struct group_view view = group_view_of(group);
    struct message_group_row row = {
        .name = view.name,
        .state = view.member_count == 0 ? MESSAGE_GROUP_EMPTY : is_rebalancing(state, group) ? MESSAGE_GROUP_REBALANCING : MESSAGE_GROUP_STABLE,
        .protocol = view.protocol,
        .strategy = view.strategy,
        .generation = view.generation,
        .reset_epoch = view.reset_epoch,
        .member_count = view.member_count,
        .topic_count = view.topic_count,
        .cell_count = view.cell_count,
        .partition = number,
        .empty_since_ms = view.empty_since_ms,
        .protocol_type = group_classic_type(group),
    };

    by_leader(lead, &row);
    row.protocol_type = shown(row.protocol_type);
    return row;
}

static int describe_members(const struct group *group, struct message_group_describe_response *response)
{
    const struct group_member *member = NULL;
    size_t count = group_view_of(group).member_count;

    response->has_members = true;
    if (count == 0) return 0;
    response->members = calloc(count, sizeof(response->members[0]));
    if (response->members == NULL) return MESH_ENOMEM;
    while ((member = group_next_member(group, member)) != NULL && response->member_count < count) {
        struct group_member_view view = group_member_view_of(member);

        response->members[response->member_count++] = (struct message_group_member){
            .id = view.info.id,
            .instance = view.info.instance,
            .client = view.info.client,
            .host = view.info.host,
            .zone = view.info.zone,
            .pattern = view.info.pattern,
            .strategy = view.info.strategy,
            .session_timeout_ms = view.info.session_timeout_ms,
            .processing_limit_ms = view.info.processing_limit_ms,
            .joined_in = view.joined_in,
            .claims = view.claims,
            .targets = view.target_count,
        };
    }
    return 0;
}

/* Its place among the members, which stay in their order while nothing is applied. */
static int32_t place_of(const struct group *group, const struct group_member *wanted)
{
    const struct group_member *member = NULL;
    int32_t place = 0;

    if (wanted == NULL) return -1;
    for (member = group_next_member(group, NULL); member != NULL && member != wanted; member = group_next_member(group, member))
        place++;
    return member == NULL ? -1 : place;
}

static bool is_after(const struct message_group_describe *request, const struct uuid *topic, uint32_t partition, bool *is_behind)
{
    if (*is_behind || uuid_is_zero(&request->after_topic)) return true;
    *is_behind = uuid_equal(topic, &request->after_topic) && (int64_t)partition == request->after_partition;
    return false;
}

static int describe_partitions(const struct groups *state, const struct group *group, const struct message_group_describe *request,
                               struct message_group_describe_response *response)
{
    uint32_t limit = request->limit == 0 || request->limit > GROUPS_DESCRIBE_LIMIT ? GROUPS_DESCRIBE_LIMIT : request->limit, partition;
    struct groups_lists lists = {.topics = NULL};
    struct group_cursor cursor = {0};
    bool is_behind = false;
    struct uuid topic;

    while (!response->has_more && group_next_partition(state, group, &cursor, &topic, &partition)) {
        struct group_claim_view claim = group_claim_of(state, group, &topic, partition);
        struct group_offset offset = {.offset = GROUP_OFFSET_NONE};

        if (!is_after(request, &topic, partition, &is_behind)) continue;
        if (lists.partition_count == limit) {
            response->has_more = true;
            continue;
        }
        (void)group_committed(state, group, &topic, partition, &offset);
        groups_list_add_described(&lists, &topic, partition, &offset, place_of(group, claim.owner), place_of(group, claim.target));
    }
    response->topics = lists.topics;
    response->topic_count = lists.count;
    return lists.has_failed ? MESH_ENOMEM : 0;
}

int groups_describe(const struct groups *state, const struct group_lead *lead, uint32_t number, const struct message_group_describe *request,
                    struct message_group_describe_response *ret_response)
{
    struct message_group_describe_response response = {.route = {.leader = -1, .epoch = -1}};
    const struct group *group = groups_find(state, request->head.group);
    int err;

    if (group == NULL) return MESH_ENOTFOUND;
    response.row = groups_row_of(state, lead, group, number);
    err = describe_members(group, &response);
    if (err == 0) err = describe_partitions(state, group, request, &response);
    if (err == 0)
        *ret_response = response;
    else
        message_deinit_group_describe_response(&response);
    return err;
}

int groups_answer_describe(struct groups_serve *serve, const struct groups *state, const struct group_lead *lead)
{
    struct message_group_describe_response response;
    struct message_group_describe request;
    int err = message_decode_group_describe(serve->message, &request);

    if (err != 0) return err;
    err = groups_describe(state, lead, serve->request.number, &request, &response);
    if (err == 0) {
        response.source = lead != NULL ? MESSAGE_GROUP_FROM_LEADER : MESSAGE_GROUP_FROM_REPLICA;
        err = message_encode_group_describe_response(&serve->answer, &response);
        message_deinit_group_describe_response(&response);
    }
    message_deinit_group_describe(&request);
    return err;
}

int groups_judge_describe(struct groups_serve *serve, struct group_judging *judging)
{
    return groups_answer_describe(serve, judging->state, judging->lead);
}
