/* broker/front/kafka/group_admin.c - DESCRIBE_GROUPS, DELETE_GROUPS: each group is asked of its own leader. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "wire/frame.h"

#define GROUPS_MAX        1000 /* of one request */
#define NOT_FOUND_VERSION 6    /* of DESCRIBE_GROUPS: from here on an unknown group is an error, and not a dead one */

/* ---- describe ---- */

struct describe_state {
    struct kafka_describe_groups_response response;
    bool has_failed;
};

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "Unknown";
}

static bool keep_member(struct kafka_call *call, const struct message_group_classic_member *from, struct kafka_describe_groups_response_member *to)
{
    return kafka_group_keep(call, from->id, &to->member_id) && kafka_group_keep(call, from->client, &to->client_id) &&
           kafka_group_keep(call, from->host, &to->client_host) && kafka_group_keep(call, from->metadata, &to->member_metadata) &&
           kafka_group_keep(call, from->assignment, &to->member_assignment) &&
           (from->instance.size == 0 || kafka_group_keep(call, from->instance, &to->group_instance_id));
}

static bool keep_group(struct kafka_call *call, const struct message_group_classic_response *from, struct kafka_describe_groups_response_group *to)
{
    bool is_kept = kafka_group_keep(call, from->protocol_type, &to->protocol_type) && kafka_group_keep(call, from->protocol, &to->protocol_data);

    to->group_state = slice_of_string(state_name(from->state));
    to->members.items = kafka_new_items(&kafka_describe_groups_response_member_form, (int32_t)from->member_count, &call->arena);
    if (to->members.items == NULL) return false;
    for (size_t i = 0; i < from->member_count && is_kept; i++)
        is_kept = keep_member(call, &from->members[i], &to->members.items[to->members.count++]);
    return is_kept;
}

static void tell_error(const struct kafka_call *call, int error, struct kafka_describe_groups_response_group *to)
{
    bool is_unknown = error == MESH_ENOTFOUND || error == MESH_EUNKNOWN_MEMBER;

    if (is_unknown) to->group_state = slice_of_string("Dead");
    if (is_unknown && call->version < NOT_FOUND_VERSION) return;
    to->error_code = kafka_group_code_of(is_unknown ? MESH_ENOTFOUND : error);
    to->error_message = slice_of_string(mesh_strerror(error));
}

static void on_described(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_call *call = owner;
    struct describe_state *state = call->state;
    struct kafka_describe_groups_response_group *group = &state->response.groups.items[tag];
    struct message_group_classic_response response;
    int err = answer.size == 0 ? MESH_EBUSY : message_decode_group_classic_response(answer, &response);

    if (err != 0) response = (struct message_group_classic_response){.error = err};
    if (response.error != 0) tell_error(call, response.error, group);
    else if (!keep_group(call, &response, group)) state->has_failed = true;
    message_deinit_group_classic_response(&response);
    kafka_call_leave(call);
}

static int ask_described(struct kafka_call *call, struct slice group, uint64_t index)
{
    const struct message_group_classic request = {
        .head = {.group = group, .forwards = true, .epoch = -1}, .kind = MESSAGE_GROUP_CLASSIC_DESCRIBE, .generation = -1};
    struct buffer message = BUFFER_INIT;
    int err = message_encode_group_classic(&message, &request);

    if (err == 0) kafka_group_ask(call, FRAME_OP_GROUP_CLASSIC_LOOK, &message, on_described, call, index);
    buffer_deinit(&message);
    return err;
}

static void answer_describe(struct kafka_call *call)
{
    const struct describe_state *state = call->state;

    if (state->has_failed) kafka_call_fail(call);
    else kafka_call_answer(call, &state->response);
}

enum serve kafka_serve_describe_groups(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_describe_groups_request asked;
    struct describe_state *state;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(*state), answer_describe, &result);

    if (call == NULL) return result;
    state = call->state;
    kafka_init(&kafka_describe_groups_response_form, &state->response);
    if (asked.groups.count <= GROUPS_MAX)
        state->response.groups.items = kafka_new_items(&kafka_describe_groups_response_group_form, asked.groups.count, &call->arena);
    state->has_failed = state->response.groups.items == NULL;
    state->response.groups.count = state->has_failed ? 0 : asked.groups.count;
    for (int32_t i = 0; i < state->response.groups.count; i++)
        state->response.groups.items[i].group_id = asked.groups.items[i];
    for (int32_t i = 0; i < state->response.groups.count && !state->has_failed; i++)
        if (ask_described(call, asked.groups.items[i], (uint64_t)i) != 0) state->has_failed = true;
    kafka_call_leave(call);
    return kafka_served(connection);
}

/* ---- delete ---- */

struct delete_state {
    struct kafka_delete_groups_response response;
    bool has_failed;
};

static void on_deleted(void *owner, uint64_t tag, struct slice answer)
{
    struct kafka_call *call = owner;
    struct kafka_delete_groups_response_result *result = &((struct delete_state *)call->state)->response.results.items[tag];
    struct message_group_response response;

    kafka_group_answer(answer, &response);
    result->error_code = kafka_group_code_of(response.error);
    if (response.error != 0) result->error_message = slice_of_string(mesh_strerror(response.error));
    message_deinit_group_response(&response);
    kafka_call_leave(call);
}

static int ask_deleted(struct kafka_call *call, struct slice group, uint64_t index)
{
    const struct message_group_change request = {.head = {.group = group, .forwards = true, .epoch = -1}};
    struct buffer message = BUFFER_INIT;
    int err = message_encode_group_change(&message, &request);

    if (err == 0) kafka_group_ask(call, FRAME_OP_GROUP_DELETE, &message, on_deleted, call, index);
    buffer_deinit(&message);
    return err;
}

static void answer_delete(struct kafka_call *call)
{
    const struct delete_state *state = call->state;

    if (state->has_failed) kafka_call_fail(call);
    else kafka_call_answer(call, &state->response);
}

enum serve kafka_serve_delete_groups(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_delete_groups_request asked;
    struct delete_state *state;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(*state), answer_delete, &result);

    if (call == NULL) return result;
    state = call->state;
    kafka_init(&kafka_delete_groups_response_form, &state->response);
    if (asked.groups_names.count <= GROUPS_MAX)
        state->response.results.items = kafka_new_items(&kafka_delete_groups_response_result_form, asked.groups_names.count, &call->arena);
    state->has_failed = state->response.results.items == NULL;
    state->response.results.count = state->has_failed ? 0 : asked.groups_names.count;
    for (int32_t i = 0; i < state->response.results.count; i++)
        state->response.results.items[i].group_id = asked.groups_names.items[i];
    for (int32_t i = 0; i < state->response.results.count && !state->has_failed; i++)
        if (ask_deleted(call, asked.groups_names.items[i], (uint64_t)i) != 0) state->has_failed = true;
    kafka_call_leave(call);
    return kafka_served(connection);
}
