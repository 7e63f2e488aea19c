/* broker/front/kafka/leave_group.c - HEARTBEAT and LEAVE_GROUP: a member is there, and goes; or an administrator lets several go. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_members.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/groups/groups.h"

#define SEVERAL_VERSION 3 /* of LEAVE_GROUP: from here on several members go at once */

/* ---- heartbeat ---- */

struct heartbeat_state {
    struct kafka_group_question question;
    struct kafka_heartbeat_response response;
};

static void on_heard(struct kafka_call *call, const struct message_group_classic_response *answer)
{
    ((struct heartbeat_state *)call->state)->response.error_code = kafka_member_code_of(answer->error);
}

static void answer_heartbeat(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct heartbeat_state *)call->state)->response);
}

enum serve kafka_serve_heartbeat(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_heartbeat_request asked;
    struct heartbeat_state *state;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(*state), answer_heartbeat, &result);

    if (call == NULL) return result;
    state = call->state;
    kafka_init(&kafka_heartbeat_response_form, &state->response);
    state->question.answered = on_heard;
    state->question.request = (struct message_group_classic){
        .head = {.group = asked.group_id, .member = asked.member_id, .instance = asked.group_instance_id},
        .kind = MESSAGE_GROUP_CLASSIC_HEARTBEAT,
        .generation = asked.generation_id < 0 ? -1 : asked.generation_id,
    };
    kafka_group_question_ask(&state->question, call);
    kafka_call_leave(call);
    return kafka_served(connection);
}

/* ---- leave ---- */

/* Members go one after the other: each question is the call's only one. */
struct leave_state {
    struct kafka_group_question question;
    struct slice group;
    struct kafka_leave_group_response response;
    int32_t next; /* of response.members */
    bool is_asking; /* answers that come at once make no stack of questions */
};

static void answer_leave(struct kafka_call *call)
{
    struct kafka_leave_group_response *response = &((struct leave_state *)call->state)->response;

    if (call->version < SEVERAL_VERSION) response->error_code = response->members.items[0].error_code;
    kafka_call_answer(call, response);
}

static void ask_rest(struct kafka_call *call);

/* What no member is the cause of concerns all of them. */
static void on_left(struct kafka_call *call, const struct message_group_classic_response *answer)
{
    struct leave_state *state = call->state;
    int error = answer->error;

    state->response.members.items[state->next++].error_code = kafka_member_code_of(error);
    if (error != 0 && error != MESH_EUNKNOWN_MEMBER && error != MESH_EFENCED_INSTANCE) {
        state->response.error_code = kafka_member_code_of(error);
        state->next = state->response.members.count;
    }
    if (!state->is_asking) ask_rest(call);
}

static void ask_next(struct kafka_call *call)
{
    struct leave_state *state = call->state;
    const struct kafka_leave_group_response_member *member = &state->response.members.items[state->next];

    state->question = (struct kafka_group_question){.answered = on_left};
    state->question.request = (struct message_group_classic){
        .head = {.group = state->group, .member = member->member_id, .instance = member->group_instance_id},
        .kind = MESSAGE_GROUP_CLASSIC_LEAVE,
        .generation = -1,
    };
    kafka_group_question_ask(&state->question, call);
}

static void ask_rest(struct kafka_call *call)
{
    struct leave_state *state = call->state;
    int32_t before = -1;

    state->is_asking = true;
    while (state->next < state->response.members.count && state->next != before) {
        before = state->next;
        ask_next(call);
    }
    state->is_asking = false;
}

static int prepare_leave(struct kafka_call *call, const struct kafka_leave_group_request *asked)
{
    struct leave_state *state = call->state;
    struct kafka_leave_group_response *response = &state->response;
    int32_t count = call->version < SEVERAL_VERSION ? 1 : asked->members.count;

    kafka_init(&kafka_leave_group_response_form, response);
    state->group = asked->group_id;
    if (count > GROUP_MEMBERS_MAX) return MESH_ETOOLARGE;
    response->members.items = kafka_new_items(&kafka_leave_group_response_member_form, count, &call->arena);
    if (response->members.items == NULL) return MESH_ENOMEM;
    response->members.count = count;
    for (int32_t i = 0; i < count; i++) {
        response->members.items[i].member_id = call->version < SEVERAL_VERSION ? asked->member_id : asked->members.items[i].member_id;
        if (call->version >= SEVERAL_VERSION) response->members.items[i].group_instance_id = asked->members.items[i].group_instance_id;
    }
    return 0;
}

enum serve kafka_serve_leave_group(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_leave_group_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct leave_state), answer_leave, &result);

    if (call == NULL) return result;
    if (prepare_leave(call, &asked) == 0) ask_rest(call);
    else call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}
