/* broker/front/kafka/join_group.c - JOIN_GROUP and SYNC_GROUP: answered once everybody has come. */
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_members.h"

#include "base/error.h"
#include "base/random.h"
#include "base/uuid.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/groups/groups.h"

#include <stdio.h>

#define SESSION_AS_LIMIT_VERSION 0 /* of JOIN_GROUP: it has no limit for rebalances of its own */
#define ID_FIRST_VERSION         4 /* from here on members are told their id before they join (KIP-394) */
#define NULL_VERSION             7 /* from here on there may be no protocol */
#define SKIPS_VERSION            9 /* from here on a leader may be told that it has nothing to assign (KIP-814) */
#define CLIENT_SIZE_MAX          (GROUP_NAME_SIZE_MAX - UUID_STRING_SIZE)
#define ID_SIZE                  (CLIENT_SIZE_MAX + UUID_STRING_SIZE)

struct join_state {
    struct kafka_group_question question; /* first: group_members.c */
    struct kafka_join_group_response response;
    char id[ID_SIZE];
    char host[CONNECTION_PEER_SIZE];
};

/* ---- join: the answer ---- */

static bool keep_members(struct kafka_call *call, const struct message_group_classic_response *from, struct kafka_join_group_response *to)
{
    bool is_kept = true;

    to->members.items = kafka_new_items(&kafka_join_group_response_member_form, (int32_t)from->member_count, &call->arena);
    if (to->members.items == NULL) return false;
    for (size_t i = 0; i < from->member_count && is_kept; i++) {
        struct kafka_join_group_response_member *member = &to->members.items[to->members.count++];

        is_kept = kafka_group_keep(call, from->members[i].id, &member->member_id) && kafka_group_keep(call, from->members[i].metadata, &member->metadata);
        if (is_kept && from->members[i].instance.size > 0) is_kept = kafka_group_keep(call, from->members[i].instance, &member->group_instance_id);
    }
    return is_kept;
}

static bool keep_joined(struct kafka_call *call, const struct message_group_classic_response *from, struct kafka_join_group_response *to)
{
    to->generation_id = (int32_t)from->generation;
    to->skip_assignment = from->skips;
    if (!kafka_group_keep(call, from->protocol, &to->protocol_name) || !kafka_group_keep(call, from->protocol_type, &to->protocol_type)) return false;
    /* A client that does not know of skipping must not think that it has to assign. */
    if (from->skips && call->version < SKIPS_VERSION) return true;
    return kafka_group_keep(call, from->leader, &to->leader) && keep_members(call, from, to);
}

static void complain(const struct kafka_call *call, const struct message_group_classic *request, int error)
{
    char line[512];

    if (error != MESH_EGROUP_NOT_EMPTY) return;
    snprintf(line, sizeof(line), "a Kafka client may not join a group while it has members of Mesh's own clients group=\"%.*s\"", (int)request->head.group.size,
             (const char *)request->head.group.data);
    connection_complain(call->connection, line);
}

static int16_t join_code_of(int error)
{
    if (error == MESH_EGROUP_NOT_EMPTY) return KAFKA_CODE_INCONSISTENT_GROUP_PROTOCOL;
    if (error == MESH_ETOOLARGE) return KAFKA_CODE_UNKNOWN; /* errors.c, of members */
    return error == MESH_EFULL ? KAFKA_CODE_GROUP_MAX_SIZE_REACHED : kafka_group_code_of(error);
}

static void on_joined(struct kafka_call *call, const struct message_group_classic_response *answer)
{
    struct join_state *state = call->state;
    struct kafka_join_group_response *response = &state->response;
    bool is_kept = true;

    complain(call, &state->question.request, answer->error);
    response->error_code = join_code_of(answer->error);
    response->member_id = state->question.request.head.member;
    if (answer->error == 0) is_kept = kafka_group_keep(call, answer->member, &response->member_id);
    if (answer->is_id_required) response->error_code = KAFKA_CODE_MEMBER_ID_REQUIRED;
    else if (answer->error == 0 && is_kept) is_kept = keep_joined(call, answer, response);
    if (!is_kept) call->finish = kafka_call_fail;
}

static void answer_join(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct join_state *)call->state)->response);
}

/* ---- join: the question ---- */

/* An id that nobody else has, by which people recognise the client. */
static struct slice make_id(struct slice client, char to[ID_SIZE])
{
    uint8_t bytes[UUID_SIZE];
    char text[UUID_STRING_SIZE];
    struct uuid uuid;

    random_system_bytes(bytes, sizeof(bytes));
    uuid = uuid_from_random(bytes);
    snprintf(to, ID_SIZE, "%.*s-%s", (int)(client.size < CLIENT_SIZE_MAX - 1 ? client.size : CLIENT_SIZE_MAX - 1), client.size == 0 ? "" : (const char *)client.data,
             uuid_format(&uuid, text));
    return slice_of_string(to);
}

/* What people are shown of it: as much as fits, up to a NUL. */
static struct slice shown(struct slice text)
{
    const uint8_t *end = text.size == 0 ? NULL : memchr(text.data, 0, text.size);
    size_t size = end == NULL ? text.size : (size_t)(end - text.data);

    return slice_of(text.data, size < GROUP_NAME_SIZE_MAX ? size : GROUP_NAME_SIZE_MAX);
}

static int list_protocols(struct kafka_call *call, const struct kafka_join_group_request *asked, struct message_group_classic *request)
{
    size_t count = (size_t)asked->protocols.count;

    request->names = arena_alloc(&call->arena, count, sizeof(*request->names));
    request->payloads = arena_alloc(&call->arena, count, sizeof(*request->payloads));
    if (request->names == NULL || request->payloads == NULL) return MESH_ENOMEM;
    request->name_count = request->payload_count = count;
    for (size_t i = 0; i < count; i++) {
        request->names[i] = asked->protocols.items[i].name;
        request->payloads[i] = asked->protocols.items[i].metadata;
    }
    return 0;
}

static uint32_t milliseconds(int32_t number)
{
    return number < 0 ? 0 : (uint32_t)number;
}

static int prepare_join(const struct kafka_request *request, struct kafka_call *call, const struct kafka_join_group_request *asked)
{
    struct join_state *state = call->state;
    struct slice client = shown(request->header.client_id);
    uint32_t limit_ms = milliseconds(call->version <= SESSION_AS_LIMIT_VERSION ? asked->session_timeout_ms : asked->rebalance_timeout_ms);

    kafka_init(&kafka_join_group_response_form, &state->response);
    if (call->version < NULL_VERSION) state->response.protocol_name = slice_of("", 0);
    state->question.answered = on_joined;
    state->question.request = (struct message_group_classic){
        .head = {.group = asked->group_id, .member = asked->member_id, .instance = asked->group_instance_id},
        .kind = MESSAGE_GROUP_CLASSIC_JOIN,
        .generation = -1,
        .takes_id = call->version >= ID_FIRST_VERSION,
        .new_id = make_id(client, state->id),
        .host = slice_of_string(connection_peer(call->connection, state->host)),
        .protocol_type = asked->protocol_type,
        .session_timeout_ms = milliseconds(asked->session_timeout_ms),
        .rebalance_timeout_ms = limit_ms,
    };
    if (!kafka_group_keep(call, client, &state->question.request.client)) return MESH_ENOMEM;
    return list_protocols(call, asked, &state->question.request);
}

enum serve kafka_serve_join_group(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_join_group_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct join_state), answer_join, &result);

    if (call == NULL) return result;
    if (prepare_join(request, call, &asked) == 0) kafka_group_question_ask(&((struct join_state *)call->state)->question, call);
    else call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}

/* ---- sync ---- */

struct sync_state {
    struct kafka_group_question question; /* first: group_members.c */
    struct kafka_sync_group_response response;
};

static void on_synced(struct kafka_call *call, const struct message_group_classic_response *answer)
{
    struct sync_state *state = call->state;
    struct kafka_sync_group_response *response = &state->response;

    response->error_code = kafka_member_code_of(answer->error);
    if (answer->error != 0) return;
    if (!kafka_group_keep(call, answer->assignment, &response->assignment) || !kafka_group_keep(call, answer->protocol, &response->protocol_name) ||
        !kafka_group_keep(call, answer->protocol_type, &response->protocol_type))
        call->finish = kafka_call_fail;
}

static void answer_sync(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct sync_state *)call->state)->response);
}

static int prepare_sync(struct kafka_call *call, const struct kafka_sync_group_request *asked)
{
    struct sync_state *state = call->state;
    struct message_group_classic *request = &state->question.request;
    size_t count = (size_t)asked->assignments.count;

    kafka_init(&kafka_sync_group_response_form, &state->response);
    state->question.answered = on_synced;
    *request = (struct message_group_classic){
        .head = {.group = asked->group_id, .member = asked->member_id, .instance = asked->group_instance_id},
        .kind = MESSAGE_GROUP_CLASSIC_SYNC,
        .generation = asked->generation_id < 0 ? -1 : asked->generation_id,
        .protocol_type = asked->protocol_type,
        .protocol = asked->protocol_name,
        .names = arena_alloc(&call->arena, count, sizeof(*request->names)),
        .payloads = arena_alloc(&call->arena, count, sizeof(*request->payloads)),
    };
    if (request->names == NULL || request->payloads == NULL) return MESH_ENOMEM;
    request->name_count = request->payload_count = count;
    for (size_t i = 0; i < count; i++) {
        request->names[i] = asked->assignments.items[i].member_id;
        request->payloads[i] = asked->assignments.items[i].assignment;
    }
    return 0;
}

enum serve kafka_serve_sync_group(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_sync_group_request asked;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(struct sync_state), answer_sync, &result);

    if (call == NULL) return result;
    if (prepare_sync(call, &asked) == 0) kafka_group_question_ask(&((struct sync_state *)call->state)->question, call);
    else call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}
