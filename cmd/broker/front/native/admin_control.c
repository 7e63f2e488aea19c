/* broker/front/native/admin_control.c - the control loop's side: decode, ask the metadata, describe, answer.
 *
 * A change of topics is answered after every shard has seen the image that holds it: the mails that gather offsets travel
 * behind the image, so a client that has its answer may produce through any shard. Other brokers are not waited for: that answer
 * has the offsets of partitions that are led here. */
#include "base/error.h"
#include "cmd/broker/front/native/admin.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/operate.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/runtime/producer_ids.h"
#include "cmd/broker/runtime/status.h"
#include "cmd/broker/topic_defaults.h"
#include "wire/frame.h"

#include <stdio.h>

static void answer_topics(struct admin_call *call)
{
    int err;

    call->description.topics.remark = call->text; /* of the change that this answers; of others there is none */
    err = message_encode_topic_response(&call->response, &call->description.topics);
    description_deinit(&call->description);
    admin_answer(call, err, NULL);
}

static void on_offsets(void *user)
{
    answer_topics(user);
}

static void fail(struct admin_call *call, int error)
{
    description_deinit(&call->description);
    admin_answer(call, error, NULL);
}

/* ---- create, alter, delete ---- */

static void on_topic_changed(void *user, int error, const char *message, const struct image_topic *topic)
{
    struct admin_call *call = user;
    int err;

    if (error != 0) {
        admin_answer(call, error, message);
        return;
    }
    snprintf(call->text, sizeof(call->text), "%s", message);
    description_init(&call->description);
    err = topic == NULL ? 0 : describe_topic(&call->description, metadata_image(call->control->metadata), topic);
    if (err == 0) err = control_describe_local(call->control, &call->description.topics, on_offsets, call);
    if (err != 0) fail(call, err);
}

static void serve_create(struct admin_call *call)
{
    struct message_topic_create request, filled;
    struct message_config configs[SETTINGS_TOPIC_DEFAULTS_MAX + TOPIC_CONFIG_COUNT];
    int err = message_decode_topic_create(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    filled = request;
    filled.configs = configs;
    if (!topic_defaults_fill(call->control->settings, &request, configs, &filled.config_count)) filled = request;
    metadata_topic_create(call->control->metadata, &filled, on_topic_changed, call);
    message_deinit_topic_create(&request);
}

static void serve_alter(struct admin_call *call)
{
    struct message_topic_alter request;
    int err = message_decode_topic_alter(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_topic_alter(call->control->metadata, &request, on_topic_changed, call);
    message_deinit_topic_alter(&request);
}

static void serve_delete(struct admin_call *call)
{
    struct message_topic_delete request;
    int err = message_decode_topic_delete(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_topic_delete(call->control->metadata, &request, on_topic_changed, call);
    message_deinit_topic_delete(&request);
}

/* ---- describe ---- */

static void serve_describe(struct admin_call *call)
{
    struct message_topic_describe request;
    bool with_offsets = false;
    int err = message_decode_topic_describe(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    description_init(&call->description);
    with_offsets = request.with_offsets;
    err = describe_topics(&call->description, metadata_image(call->control->metadata), &request);
    message_deinit_topic_describe(&request);
    if (err != 0) {
        fail(call, err);
        return;
    }
    if (!with_offsets) {
        answer_topics(call);
        return;
    }
    err = control_describe_offsets(call->control, &call->description.topics, on_offsets, call);
    if (err != 0) fail(call, err);
}

static void serve_cluster(struct admin_call *call)
{
    struct message_cluster_response cluster;
    struct arena arena;
    int err;

    arena = (struct arena)ARENA_INIT;
    err = describe_cluster(&arena, metadata_image(call->control->metadata), status_coordinator(call->control), &cluster);
    if (err == 0) err = message_encode_cluster_response(&call->response, &cluster);
    arena_deinit(&arena);
    admin_answer(call, err, NULL);
}

static void on_status(void *user, int error, const struct message_status_response *status)
{
    struct admin_call *call = user;

    if (error == 0) error = message_encode_status_response(&call->response, status);
    admin_answer(call, error, NULL);
}

static void serve_why(struct admin_call *call)
{
    struct message_why_request request;
    struct message_why_response why;
    struct arena arena = ARENA_INIT;
    int err = message_decode_why_request(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    err = describe_why(&arena, metadata_image(call->control->metadata), &request, &why);
    if (err == 0) err = message_encode_why_response(&call->response, &why);
    admin_answer(call, err, err == MESH_EUNKNOWN_TOPIC ? "there is no such partition" : NULL);
    arena_deinit(&arena);
    message_deinit_why_request(&request);
}

/* ---- brokers that are gone for good ---- */

static void on_removed(void *user, int error, const char *message, const struct message_remove_response *response)
{
    struct admin_call *call = user;

    if (error == 0) error = message_encode_remove_response(&call->response, response);
    admin_answer(call, error, message);
}

static void serve_remove(struct admin_call *call)
{
    struct message_remove_request request;
    int err = message_decode_remove_request(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_remove(call->control->metadata, &request, on_removed, call);
    message_deinit_remove_request(&request);
}

static void on_recovered(void *user, int error, const char *message, const struct message_recover_response *response)
{
    struct admin_call *call = user;

    if (error == 0) error = message_encode_recover_response(&call->response, response);
    admin_answer(call, error, message);
}

static void serve_recover(struct admin_call *call)
{
    struct message_recover_request request;
    int err = message_decode_recover_request(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_recover(call->control->metadata, &request, on_recovered, call);
    message_deinit_recover_request(&request);
}

/* ---- replicas that move ---- */

static void on_moves(void *user, int error, const char *message, const struct message_moves_response *response)
{
    struct admin_call *call = user;

    if (error == 0) error = message_encode_moves_response(&call->response, response);
    admin_answer(call, error, message);
}

static void serve_move(struct admin_call *call)
{
    struct message_topic_move request;
    int err = message_decode_topic_move(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_move(call->control->metadata, &request, on_moves, call);
    message_deinit_topic_move(&request);
}

static void serve_balance(struct admin_call *call)
{
    struct message_topic_balance request;
    int err = message_decode_topic_balance(buffer_slice(&call->request), &request);

    if (err != 0) {
        admin_answer(call, err, "the request cannot be read");
        return;
    }
    metadata_balance(call->control->metadata, &request, on_moves, call);
    message_deinit_topic_balance(&request);
}

/* ---- producer ids ---- */

static void on_producer_id(void *user, int error, int64_t producer_id)
{
    struct admin_call *call = user;
    struct message_init_producer_response body = {.producer_id = producer_id, .producer_epoch = 0};

    if (error == 0) error = message_encode_init_producer_response(&call->response, &body);
    admin_answer(call, error, NULL);
}

/* ---- members and keys ---- */

static void serve_members(struct admin_call *call)
{
    struct message_members_response members = {.cluster_id = call->control->cluster_id};
    struct arena arena = ARENA_INIT;
    int err = call->control->peers == NULL ? 0 : peers_describe(call->control->peers, &arena, &members);

    if (err == 0) err = message_encode_members_response(&call->response, &members);
    arena_deinit(&arena);
    admin_answer(call, err, NULL);
}

/* The answer leaves while the stop waits for connections to be served; the broker ends after it. */
static void on_left(void *user)
{
    struct admin_call *call = user;
    struct control *control = call->control;

    admin_answer(call, 0, NULL);
    control->stop(control);
}

/* What it leads and coordinates is in other hands; now everybody is told. */
static void on_handed_over(void *user)
{
    struct admin_call *call = user;
    int err = call->control->peers == NULL ? MESH_EBUSY : peers_leave(call->control->peers, on_left, call);

    if (err != 0) admin_answer(call, err, "the broker stops, or leaves already");
}

static void serve_leave(struct admin_call *call)
{
    if (call->control->peers == NULL || peers_is_leaving(call->control->peers) || metadata_is_leaving(call->control->metadata))
        admin_answer(call, MESH_EBUSY, "the broker is starting, or leaves already");
    else
        metadata_leave(call->control->metadata, on_handed_over, call);
}

static void serve_keys(struct admin_call *call)
{
    struct peers *peers = call->control->peers;
    struct message_keys_request request;
    struct message_keys_response keys;
    struct arena arena = ARENA_INIT;
    int err = message_decode_keys_request(buffer_slice(&call->request), &request);

    if (err != 0 || peers == NULL) {
        admin_answer(call, err != 0 ? err : MESH_EBUSY, err != 0 ? "the request cannot be read" : "the broker is starting");
        return;
    }
    if (request.action == MESSAGE_KEYS_ROTATE)
        err = peers_rotate_key(peers);
    else if (request.action != MESSAGE_KEYS_LIST)
        err = MESH_EUNSUPPORTED;
    if (err == 0) err = peers_describe_keys(peers, &arena, &keys);
    if (err == 0) err = message_encode_keys_response(&call->response, &keys);
    arena_deinit(&arena);
    admin_answer(call, err,
                 err == MESH_EBUSY  ? "a rotation is under way"
                 : err == MESH_EIO ? peers_rotation_problem(peers)
                                   : NULL);
}

/* ---- groups ---- */

static void on_groups(void *user, int err, struct slice answer)
{
    struct admin_call *call = user;

    if (err == 0) err = buffer_append(&call->response, answer.data, answer.size);
    admin_answer(call, err, NULL);
}

static void serve_group_list(struct admin_call *call)
{
    struct message_group_list request;
    int err = message_decode_group_list(buffer_slice(&call->request), &request);

    if (err == 0) {
        err = groups_query_list(call->control, &request, on_groups, call);
        message_deinit_group_list(&request);
    }
    if (err != 0) admin_answer(call, err, NULL);
}

static void serve_group_describe(struct admin_call *call)
{
    struct message_group_describe request;
    int err = message_decode_group_describe(buffer_slice(&call->request), &request);

    if (err == 0) {
        err = groups_query_describe(call->control, &request, on_groups, call);
        message_deinit_group_describe(&request);
    }
    if (err != 0) admin_answer(call, err, NULL);
}

/* ---- this very broker ---- */

static void serve_operate(struct admin_call *call)
{
    char text[OPERATE_TEXT_SIZE];
    int err = operate_answer(call->control, call->op, buffer_slice(&call->request), &call->response, text);

    admin_answer(call, err, text);
}

/* Before the coordinator knows of this broker it could be given no partition: who came before the ready line asks again. */
static bool is_too_early(const struct admin_call *call)
{
    bool is_change = call->op == FRAME_OP_TOPIC_CREATE || call->op == FRAME_OP_TOPIC_ALTER || call->op == FRAME_OP_TOPIC_DELETE ||
                     call->op == FRAME_OP_INIT_PRODUCER || call->op == FRAME_OP_TOPIC_MOVE || call->op == FRAME_OP_TOPIC_BALANCE;

    return is_change && !call->control->is_ready;
}

void admin_serve(struct admin_call *call)
{
    if (is_too_early(call)) {
        admin_answer(call, MESH_EBUSY, "the broker is starting");
        return;
    }
    switch (call->op) {
    case FRAME_OP_TOPIC_CREATE: serve_create(call); break;
    case FRAME_OP_TOPIC_ALTER: serve_alter(call); break;
    case FRAME_OP_TOPIC_DELETE: serve_delete(call); break;
    case FRAME_OP_TOPIC_DESCRIBE: serve_describe(call); break;
    case FRAME_OP_CLUSTER: serve_cluster(call); break;
    case FRAME_OP_STATUS: status_collect(call->control, on_status, call); break;
    case FRAME_OP_MEMBERS: serve_members(call); break;
    case FRAME_OP_LEAVE: serve_leave(call); break;
    case FRAME_OP_KEYS: serve_keys(call); break;
    case FRAME_OP_WHY: serve_why(call); break;
    case FRAME_OP_REMOVE: serve_remove(call); break;
    case FRAME_OP_RECOVER: serve_recover(call); break;
    case FRAME_OP_TOPIC_MOVE: serve_move(call); break;
    case FRAME_OP_TOPIC_BALANCE: serve_balance(call); break;
    case FRAME_OP_GROUP_LIST: serve_group_list(call); break;
    case FRAME_OP_GROUP_DESCRIBE: serve_group_describe(call); break;
    case FRAME_OP_EVENTS:
    case FRAME_OP_DRAIN:
    case FRAME_OP_CONFIG: serve_operate(call); break;
    case FRAME_OP_USERS: admin_serve_users(call); break;
    case FRAME_OP_INIT_PRODUCER: producer_ids_next(call->control, on_producer_id, call); break;
    default: admin_answer(call, MESH_EUNSUPPORTED, NULL); break;
    }
}
