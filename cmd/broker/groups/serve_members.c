/* groups/serve_members.c - members come, are there, get their work, claim and release partitions, and leave. */
#include "base/error.h"
#include "cmd/broker/groups/serve_internal.h"

#include <stdlib.h>

#define SESSION_MS_DEFAULT    30000
#define PROCESSING_MS_DEFAULT 300000

/* ---- joining ---- */

static int read_info(const struct message_group_join *join, struct buffer *names, struct group_member_info *ret_info)
{
    int err = 0;

    if (join->name_count > GROUP_NAMES_MAX || join->strategy >= GROUP_STRATEGIES) return MESH_EINVAL;
    for (size_t i = 0; i < join->name_count && err == 0; i++)
        err = group_names_put(names, join->names[i]);
    *ret_info = (struct group_member_info){
        .id = join->head.member,
        .instance = join->head.instance,
        .client = join->client,
        .host = join->host,
        .zone = join->zone,
        .pattern = join->pattern,
        .names = buffer_slice(names),
        .name_count = (uint32_t)join->name_count,
        .session_timeout_ms = join->session_timeout_ms == 0 ? SESSION_MS_DEFAULT : join->session_timeout_ms,
        .processing_limit_ms = join->processing_limit_ms == 0 ? PROCESSING_MS_DEFAULT : join->processing_limit_ms,
        .strategy = (enum group_strategy)join->strategy,
    };
    return err;
}

int groups_judge_join(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct message_group_join join;
    struct group_member_info info;
    struct group_caller caller;
    struct group_reply reply;
    struct buffer names = BUFFER_INIT;
    int err = message_decode_group_join(serve->message, &join);

    if (err != 0) return err;
    caller = groups_caller(&join.head);
    err = read_info(&join, &names, &info);
    if (err == 0) err = group_lead_join(judging->lead, judging->now_ms, judging->wall_ms, &caller, &info, &reply);
    if (err == 0) {
        groups_take_reply(judging, &join.head, &reply, &response);
        response.heartbeat_ms = info.session_timeout_ms / GROUPS_HEARTBEATS;
        err = message_encode_group_response(&serve->answer, &response);
    }
    buffer_deinit(&names);
    message_deinit_group_join(&join);
    return err;
}

int groups_judge_leave(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct message_group_change leave;
    struct group_caller caller;
    struct group_reply reply;
    int err = message_decode_group_change(serve->message, &leave);

    if (err != 0) return err;
    caller = groups_caller(&leave.head);
    err = leave.topic_count > 0 ? MESH_EINVAL : group_lead_leave(judging->lead, judging->wall_ms, &caller, &reply);
    if (err == 0) {
        groups_take_reply(judging, &leave.head, &reply, &response);
        judging->session_ms = 0; /* nobody goes on by this answer */
        err = message_encode_group_response(&serve->answer, &response);
    }
    message_deinit_group_change(&leave);
    return err;
}

/* ---- being there ---- */

_Static_assert((int)MESSAGE_GROUP_HOLD == (int)GROUP_WORK_HOLD && (int)MESSAGE_GROUP_RELEASE == (int)GROUP_WORK_RELEASE &&
                   (int)MESSAGE_GROUP_CLAIM == (int)GROUP_WORK_CLAIM && (int)MESSAGE_GROUP_WAIT == (int)GROUP_WORK_WAIT,
               "kinds of work go over the wire as they are");

/* All that concerns the member. What is more than one message takes is told once there is less. */
static int list_work(struct group_judging *judging, const struct message_group_head *head, struct groups_lists *lists)
{
    struct group_cursor cursor = {0};
    struct group_work work;

    while (group_lead_work(judging->lead, head->group, head->member, &cursor, &work)) {
        if (lists->partition_count == MESSAGE_GROUP_PARTITIONS_MAX) return MESH_ETOOLARGE;
        groups_list_add(lists, &work.topic, work.kind, work.partition);
    }
    return lists->has_failed ? MESH_ENOMEM : 0;
}

int groups_judge_heartbeat(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct message_group_heartbeat heartbeat;
    struct groups_lists lists = {.topics = NULL};
    struct group_caller caller;
    struct group_reply reply;
    int err = message_decode_group_heartbeat(serve->message, &heartbeat);

    if (err != 0) return err;
    caller = groups_caller(&heartbeat.head);
    err = group_lead_heartbeat(judging->lead, judging->now_ms, &caller, &reply);
    if (err == 0) groups_take_reply(judging, &heartbeat.head, &reply, &response);
    if (err == 0 && heartbeat.wants_work) err = list_work(judging, &heartbeat.head, &lists);
    if (err == 0) {
        response.topics = lists.topics;
        response.topic_count = lists.count;
        err = message_encode_group_response(&serve->answer, &response);
    }
    groups_lists_deinit(&lists);
    message_deinit_group_heartbeat(&heartbeat);
    return err;
}

/* ---- claims ---- */

static size_t partitions_of(const struct message_group_partitions *topics, size_t topic_count)
{
    size_t count = 0;

    for (size_t i = 0; i < topic_count; i++)
        count += topics[i].partition_count;
    return count;
}

/* The request's partitions, one after the other. *ret_count may be 0; NULL: no memory. */
struct group_claim *groups_claims_of(const struct message_group_change *change, size_t *ret_count)
{
    size_t count = partitions_of(change->topics, change->topic_count), at = 0;
    struct group_claim *claims = calloc(count > 0 ? count : 1, sizeof(*claims));

    if (claims == NULL) return NULL;
    for (size_t i = 0; i < change->topic_count; i++)
        for (size_t j = 0; j < change->topics[i].partition_count; j++)
            claims[at++] = (struct group_claim){.topic = change->topics[i].topic_id, .partition = change->topics[i].partitions[j]};
    *ret_count = count;
    return claims;
}

/* Those that were refused. */
void groups_list_refused_claims(struct groups_lists *lists, const struct group_claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (claims[i].error != 0) groups_list_add_error(lists, &claims[i].topic, claims[i].partition, claims[i].error);
}

/* A claim's answer tells of each partition what became of it, and where to begin. */
static void list_claims(struct groups_lists *lists, const struct group_claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t offset = claims[i].error != 0 || claims[i].offset == GROUP_OFFSET_NONE ? -1 : (int64_t)claims[i].offset;

        groups_list_add_claim(lists, &claims[i].topic, claims[i].partition, claims[i].error, offset, offset < 0 ? -1 : claims[i].record_epoch);
    }
}

static int judge_claims(struct groups_serve *serve, struct group_judging *judging, bool is_release)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    struct message_group_change change;
    struct group_claim *claims = NULL;
    struct group_caller caller;
    struct group_reply reply;
    size_t count = 0;
    int err = message_decode_group_change(serve->message, &change);

    if (err != 0) return err;
    caller = groups_caller(&change.head);
    claims = groups_claims_of(&change, &count);
    if (claims == NULL)
        err = MESH_ENOMEM;
    else if (is_release)
        err = group_lead_release(judging->lead, judging->now_ms, &caller, claims, count, &reply);
    else
        err = group_lead_claim(judging->lead, judging->now_ms, &caller, change.generation, claims, count, &reply);
    if (err == 0) {
        groups_take_reply(judging, &change.head, &reply, &response);
        if (is_release)
            groups_list_refused_claims(&lists, claims, count);
        else
            list_claims(&lists, claims, count);
        response.topics = lists.topics;
        response.topic_count = lists.count;
        err = lists.has_failed ? MESH_ENOMEM : message_encode_group_response(&serve->answer, &response);
    }
    groups_lists_deinit(&lists);
    free(claims);
    message_deinit_group_change(&change);
    return err;
}

int groups_judge_claim(struct groups_serve *serve, struct group_judging *judging)
{
    return judge_claims(serve, judging, false);
}

int groups_judge_release(struct groups_serve *serve, struct group_judging *judging)
{
    return judge_claims(serve, judging, true);
}
