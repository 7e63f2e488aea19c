/* groups/serve_classic.c - Kafka's classic protocol: what the Kafka door of some broker asks for its client (replication/groups/classic.h). */
#include "base/error.h"
#include "cmd/broker/groups/serve_internal.h"
#include "replication/groups/classic.h"

#include <stdlib.h>

static struct group_classic_caller caller_of(const struct message_group_classic *request)
{
    return (struct group_classic_caller){request->head.group, request->head.member, request->head.instance, request->generation};
}

/* ---- each kind ---- */

static int judge_join(const struct message_group_classic *request, struct group_judging *judging, struct group_classic_reply *reply)
{
    struct group_classic_protocol *protocols = calloc(request->name_count + 1, sizeof(*protocols));
    struct group_classic_join join = {.group = request->head.group,
                                      .member = request->head.member,
                                      .instance = request->head.instance,
                                      .new_id = request->new_id,
                                      .client = request->client,
                                      .host = request->host,
                                      .protocol_type = request->protocol_type,
                                      .protocols = protocols,
                                      .protocol_count = request->name_count,
                                      .session_timeout_ms = request->session_timeout_ms,
                                      .rebalance_timeout_ms = request->rebalance_timeout_ms,
                                      .takes_id = request->takes_id,
                                      .is_again = request->is_again};
    int err = protocols == NULL ? MESH_ENOMEM : 0;

    for (size_t i = 0; err == 0 && i < request->name_count; i++)
        protocols[i] = (struct group_classic_protocol){request->names[i], request->payloads[i]};
    if (err == 0) err = group_lead_classic_join(judging->lead, judging->now_ms, judging->wall_ms, &join, reply);
    free(protocols);
    return err;
}

static int judge_sync(const struct message_group_classic *request, struct group_judging *judging, struct group_classic_reply *reply)
{
    struct group_classic_assignment *assignments = calloc(request->name_count + 1, sizeof(*assignments));
    struct group_classic_caller caller = caller_of(request);
    int err = assignments == NULL ? MESH_ENOMEM : 0;

    for (size_t i = 0; err == 0 && i < request->name_count; i++)
        assignments[i] = (struct group_classic_assignment){request->names[i], request->payloads[i]};
    if (err == 0)
        err = group_lead_classic_sync(judging->lead, judging->now_ms, judging->wall_ms, &caller, request->protocol_type, request->protocol, assignments,
                                      request->name_count, reply);
    free(assignments);
    return err;
}

static int judge_leave(const struct message_group_classic *request, struct group_judging *judging, struct group_classic_reply *reply)
{
    struct group_classic_caller caller = caller_of(request);

    *reply = (struct group_classic_reply){.generation = 0};
    return group_lead_classic_leave(judging->lead, judging->now_ms, judging->wall_ms, &caller);
}

static int judge_heartbeat(const struct message_group_classic *request, struct group_judging *judging, struct group_classic_reply *reply)
{
    struct group_classic_caller caller = caller_of(request);

    return group_lead_classic_heartbeat(judging->lead, judging->now_ms, &caller, reply);
}

/* ---- answers ---- */

/* Every member, as those are to know that assign. *ret_members is malloc'ed. Errors: MESH_ENOMEM. */
static int list_members(const struct group_lead *lead, struct slice group, struct message_group_classic_response *response)
{
    struct group_classic_member_view view;
    struct group_classic_view whole;
    size_t cursor = 0;

    if (!group_lead_classic_find(lead, group, &whole)) return 0;
    response->members = calloc(whole.member_count + 1, sizeof(*response->members));
    if (response->members == NULL) return MESH_ENOMEM;
    while (response->member_count < whole.member_count && group_lead_classic_next_member(lead, group, &cursor, &view))
        response->members[response->member_count++] =
            (struct message_group_classic_member){view.id, view.instance, view.client, view.host, view.metadata, view.assignment};
    return 0;
}

static int answer(struct groups_serve *serve, const struct message_group_classic *request, struct group_judging *judging, const struct group_classic_reply *reply)
{
    struct message_group_classic_response response = {.route = {.leader = -1, .epoch = -1},
                                                      .generation = reply->generation,
                                                      .is_waiting = reply->is_waiting,
                                                      .is_id_required = reply->is_id_required,
                                                      .is_leader = reply->is_leader,
                                                      .skips = reply->skips,
                                                      .member = reply->member,
                                                      .leader = reply->leader,
                                                      .protocol_type = reply->protocol_type,
                                                      .protocol = reply->protocol,
                                                      .assignment = reply->assignment};
    int err = 0;

    if (request->kind == MESSAGE_GROUP_CLASSIC_JOIN && reply->is_leader && !reply->is_waiting)
        err = list_members(judging->lead, request->head.group, &response);
    if (err == 0) err = message_encode_group_classic_response(&serve->answer, &response);
    free(response.members);
    return err;
}

/* ---- the two operations ---- */

int groups_judge_classic(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_classic request;
    struct group_classic_reply reply;
    int err = message_decode_group_classic(serve->message, &request);

    if (err != 0) return err;
    switch (request.kind) {
    case MESSAGE_GROUP_CLASSIC_JOIN: err = judge_join(&request, judging, &reply); break;
    case MESSAGE_GROUP_CLASSIC_SYNC: err = judge_sync(&request, judging, &reply); break;
    case MESSAGE_GROUP_CLASSIC_LEAVE: err = judge_leave(&request, judging, &reply); break;
    default: err = MESH_EPROTO; break;
    }
    if (err == 0) err = answer(serve, &request, judging, &reply);
    judging->barrier = group_lead_barrier(judging->lead); /* what was decided just now, too */
    message_deinit_group_classic(&request);
    return err;
}

/* A group that has no members of this protocol: nobody's, or of ours, who assign nothing that a client of Kafka could read. */
static int list_ours(const struct group *group, struct message_group_classic_response *response)
{
    uint32_t count = group_view_of(group).member_count;

    response->generation = group_view_of(group).generation;
    response->state = GROUP_CLASSIC_EMPTY;
    if (group_next_member(group, NULL) == NULL) return 0;
    response->state = GROUP_CLASSIC_STABLE;
    response->protocol_type = slice_of_string("consumer");
    response->members = calloc(count, sizeof(*response->members));
    if (response->members == NULL) return MESH_ENOMEM;
    for (const struct group_member *member = group_next_member(group, NULL); member != NULL && response->member_count < count;
         member = group_next_member(group, member)) {
        struct group_member_view view = group_member_view_of(member);

        response->members[response->member_count++] =
            (struct message_group_classic_member){.id = view.info.id, .instance = view.info.instance, .client = view.info.client, .host = view.info.host};
    }
    return 0;
}

static int describe(struct groups_serve *serve, const struct message_group_classic *request, struct group_judging *judging)
{
    struct message_group_classic_response response = {.route = {.leader = -1, .epoch = -1}};
    const struct group *group = groups_find(judging->state, request->head.group);
    struct group_classic_view view;
    int err;

    if (group_lead_classic_find(judging->lead, request->head.group, &view)) {
        response.state = view.state;
        response.generation = view.generation;
        response.protocol_type = view.protocol_type;
        response.protocol = view.protocol;
        response.leader = view.leader;
        err = list_members(judging->lead, request->head.group, &response);
    } else {
        err = group == NULL ? MESH_ENOTFOUND : list_ours(group, &response);
    }
    if (err == 0) err = message_encode_group_classic_response(&serve->answer, &response);
    free(response.members);
    return err;
}

/* What changes nothing, and so is answered also where nothing could be committed. */
int groups_judge_classic_look(struct groups_serve *serve, struct group_judging *judging)
{
    struct message_group_classic request;
    struct group_classic_reply reply = {.barrier = judging->barrier};
    int err = message_decode_group_classic(serve->message, &request);

    if (err != 0) return err;
    if (request.kind == MESSAGE_GROUP_CLASSIC_DESCRIBE) {
        err = describe(serve, &request, judging);
    } else if (request.kind == MESSAGE_GROUP_CLASSIC_HEARTBEAT || (request.kind == MESSAGE_GROUP_CLASSIC_JOIN && request.is_again)) {
        err = request.kind == MESSAGE_GROUP_CLASSIC_HEARTBEAT ? judge_heartbeat(&request, judging, &reply) : judge_join(&request, judging, &reply);
        judging->barrier = reply.barrier;
        if (err == 0) judging->session_ms = reply.session_ms; /* who is told that it is a member has a proof that nobody else leads */
        if (err == 0) err = answer(serve, &request, judging, &reply);
    } else {
        err = MESH_EPROTO;
    }
    message_deinit_group_classic(&request);
    return err;
}
