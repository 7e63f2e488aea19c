#include "cmd/broker/groups/serve.h"

#include "base/error.h"
#include "cmd/broker/groups/ends.h"
#include "cmd/broker/groups/serve_internal.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"
#include "wire/frame.h"
#include "wire/proto.h"

static const struct {
    groups_judge_fn *judge;
    bool is_change;
} ops[] = {
    [FRAME_OP_GROUP_JOIN] = {groups_judge_join, true},         [FRAME_OP_GROUP_HEARTBEAT] = {groups_judge_heartbeat, false},
    [FRAME_OP_GROUP_CLAIM] = {groups_judge_claim, true},       [FRAME_OP_GROUP_RELEASE] = {groups_judge_release, true},
    [FRAME_OP_GROUP_COMMIT] = {groups_judge_commit, true},     [FRAME_OP_GROUP_OFFSETS] = {groups_judge_offsets, false},
    [FRAME_OP_GROUP_LEAVE] = {groups_judge_leave, true},       [FRAME_OP_GROUP_RESET] = {groups_judge_reset, true},
    [FRAME_OP_GROUP_DELETE] = {groups_judge_delete, true},     [FRAME_OP_GROUP_DESCRIBE] = {groups_judge_describe, false},
    [FRAME_OP_GROUP_CLASSIC] = {groups_judge_classic, true},   [FRAME_OP_GROUP_CLASSIC_LOOK] = {groups_judge_classic_look, false},
};

bool groups_serve_knows(uint16_t op)
{
    return op < sizeof(ops) / sizeof(ops[0]) && ops[op].judge != NULL;
}

/* ---- routes ---- */

static struct message_group_route route_of(const struct image *image, uint32_t number)
{
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);
    struct message_group_route route = {.leader = -1, .epoch = -1};
    const struct image_broker *leader;
    struct image_partition facts;

    if (topic == NULL || !image_topic_partition(topic, number, &facts) || facts.leader == IMAGE_NO_LEADER) return route;
    route.leader = facts.leader;
    route.epoch = facts.leader_epoch;
    leader = image_find_broker(image, facts.leader);
    if (leader != NULL && leader->shard_count > 0) route.shard = image_shard_of(&topic->topic_id, number, leader->shard_count);
    return route;
}

void groups_answer_error(const struct image *image, uint32_t number, int error, const char *text, struct buffer *to)
{
    struct message_group_response response = {.error = error, .message = slice_of_string(text), .route = route_of(image, number)};

    buffer_clear(to);
    if (message_encode_group_response(to, &response) != 0) buffer_clear(to);
}

int groups_answer_peek(struct slice answer)
{
    const uint8_t *end = proto_end(answer);
    int32_t error = 0;

    if (answer.size == 0 || answer.data[0] != PROTO_TAG(1, PROTO_VARINT)) return 0;
    return proto_read_sint32(answer.data + 1, end, &error) != NULL && error < 0 ? error : MESH_EPROTO;
}

/* ---- one request ---- */

/* A refusal is an answer, too: it leaves when what it rests on is committed. But where memory was short something may have been done, for all that: what
 * is to be told then the driver knows. */
static int judge(struct group_request *request, struct group_judging *judging)
{
    struct groups_serve *serve = container_of(request, struct groups_serve, request);
    int err = ops[serve->op].judge(serve, judging);
    struct message_group_response refusal = {.error = err, .message = slice_of_string(mesh_strerror(err)), .route = {.leader = -1, .epoch = -1}};

    if (err == 0 || err == MESH_ENOMEM || err == GROUPS_JUDGE_AGAIN) return err;
    judging->session_ms = 0; /* it prolongs no lease, so it waits for no proof of one: there may never be one, where there is no member */
    return message_encode_group_response(&serve->answer, &refusal);
}

/* The answer stands there but for the route, which is put behind it: parts of one message are merged. */
static int add_route(struct groups_serve *serve)
{
    const struct shard *shard = serve->request.shard;
    struct message_group_response part = {.route = {.leader = shard->broker->node_id,
                                                    .epoch = groups_epoch(&serve->request),
                                                    .shard = shard->index,
                                                    .heard_us = serve->request.waiter.heard,
                                                    .proof_behind_us = groups_proof_behind(&serve->request)}};

    return message_encode_group_response(&serve->answer, &part);
}

static void on_done(struct group_request *request, int error)
{
    struct groups_serve *serve = container_of(request, struct groups_serve, request);
    struct shard *shard = request->shard;

    if (error == 0) error = add_route(serve);
    if (error == 0 && serve->answer.size > FRAME_MESSAGE_BYTES_MAX) error = MESH_ETOOLARGE; /* the encoder bounds what it was given, the route came behind it */
    if (error != 0) groups_answer_error(shard->image, request->number, error, mesh_strerror(error), &serve->answer);
    serve->done(serve);
}

void groups_serve_start(struct shard *shard, struct groups_serve *serve, uint32_t number, uint32_t timeout_ms)
{
    struct group_request *request = &serve->request;
    struct message_group_head head = {.group = {NULL, 0}};

    if (ops[serve->op].is_change) (void)message_group_peek(serve->message, &head); /* what cannot be read is refused when it is judged */
    if (timeout_ms == 0) timeout_ms = GROUPS_TIMEOUT_MS;
    *request = (struct group_request){
        .judge = judge,
        .done = on_done,
        .group = head.group,
        .number = number,
        .timeout_ms = timeout_ms < GROUPS_TIMEOUT_MS_MAX ? timeout_ms : GROUPS_TIMEOUT_MS_MAX,
        .is_change = ops[serve->op].is_change,
    };
    buffer_clear(&serve->answer);
    groups_request(shard, request);
}

/* ---- out of a replica ---- */

static const struct groups *committed_state(struct shard *shard, uint32_t number, bool may_be_ahead, const struct group_lead **ret_lead)
{
    const struct groups *state = groups_state_of(shard, number, ret_lead);
    const struct shard_partition *partition;
    struct uuid topic_id;

    if (state == NULL || !groups_find_topic(shard->image, &topic_id)) return NULL;
    partition = shard_partition_find(shard, &topic_id, number);
    return may_be_ahead || partition->replica.partition.high_watermark >= groups_next_lsn(state) ? state : NULL;
}

bool groups_serve_local(struct shard *shard, struct groups_serve *serve, uint32_t number, bool may_be_ahead)
{
    const struct group_lead *lead = NULL;
    const struct groups *state = committed_state(shard, number, may_be_ahead, &lead);
    struct message_group_response part = {.route = route_of(shard->image, number)};
    int err;

    if (state == NULL) return false;
    serve->request = (struct group_request){.shard = shard, .number = number};
    buffer_clear(&serve->answer);
    if (serve->op == FRAME_OP_GROUP_DESCRIBE)
        err = groups_answer_describe(serve, state, lead);
    else
        err = groups_answer_offsets(serve, state);
    if (err == 0) err = message_encode_group_response(&serve->answer, &part);
    if (err != 0) groups_answer_error(shard->image, number, err, mesh_strerror(err), &serve->answer);
    serve->done(serve);
    return true;
}

/* ---- what the judges share ---- */

struct group_caller groups_caller(const struct message_group_head *head)
{
    return (struct group_caller){.group = head->group,
                                 .member = head->member,
                                 .instance = head->instance,
                                 .epoch_plus_one = (uint32_t)(head->epoch + 1),
                                 .sequence = head->sequence};
}

void groups_take_reply(struct group_judging *judging, const struct message_group_head *head, const struct group_reply *reply,
                       struct message_group_response *response)
{
    const struct group *group = groups_find(judging->state, head->group);
    const struct group_member *member = group == NULL || head->member.size == 0 ? NULL : group_find_member(judging->state, group, head->member);

    judging->barrier = reply->barrier;
    if (member != NULL) judging->session_ms = group_member_view_of(member).info.session_timeout_ms;
    response->generation = reply->generation;
    response->has_work = reply->has_work;
    if (group != NULL) response->reset_epoch = group_view_of(group).reset_epoch;
}
