/* broker/front/kafka/metadata.c - METADATA: brokers, topics, and who leads what, out of the image; and topics that are made because somebody asked. */
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/job.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define METADATA_CREATED_MAX 100 /* topics that one request may make by naming them */

struct metadata_state {
    struct kafka_metadata_request asked; /* its arrays and names are the arena's */
    struct kafka_topic_job job;
    char cluster_id[UUID_STRING_SIZE];
};

/* ---- brokers ---- */

static int tell_brokers(struct kafka_call *call, struct kafka_metadata_response *response)
{
    size_t count = kafka_node_count(call->connection);
    struct kafka_node node;

    response->brokers.items = kafka_new_items(&kafka_metadata_response_broker_form, (int32_t)count, &call->arena);
    if (response->brokers.items == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct kafka_metadata_response_broker *to = &response->brokers.items[response->brokers.count];

        if (!kafka_node_at(call->connection, i, false, &node)) continue;
        to->node_id = node.node_id;
        to->host = node.host;
        to->port = node.port;
        to->rack = node.rack;
        response->brokers.count++;
    }
    return 0;
}

/* ---- topics ---- */

static bool is_here(const struct image *image, int32_t node_id)
{
    const struct image_broker *broker = image_find_broker(image, node_id);

    return broker != NULL && kafka_broker_is_listed(broker);
}

/* By the gateway: a partition of one replica, in sync, while somebody leads it. */
static int tell_partition_of_one(struct kafka_call *call, struct kafka_metadata_response_partition *to)
{
    int32_t *node = arena_alloc(&call->arena, 1, sizeof(*node));

    if (node == NULL) return MESH_ENOMEM;
    *node = GATEWAY_NODE_ID;
    if (to->leader_id >= 0) to->leader_id = GATEWAY_NODE_ID;
    to->replica_nodes.items = to->isr_nodes.items = to->offline_replicas.items = node;
    to->replica_nodes.count = 1;
    to->isr_nodes.count = to->leader_id >= 0;
    to->offline_replicas.count = to->leader_id < 0;
    return 0;
}

static int tell_partition(struct kafka_call *call, const struct image *image, const struct image_partition *from,
                          struct kafka_metadata_response_partition *to)
{
    int32_t *nodes;

    to->leader_id = from->leader == IMAGE_NO_LEADER || !is_here(image, from->leader) ? -1 : from->leader;
    to->leader_epoch = from->leader_epoch;
    to->error_code = to->leader_id < 0 ? KAFKA_CODE_LEADER_NOT_AVAILABLE : KAFKA_CODE_NONE;
    if (kafka_sees_one_node(call->connection)) return tell_partition_of_one(call, to);
    nodes = arena_alloc(&call->arena, (size_t)from->replica_count * 3, sizeof(*nodes));
    if (nodes == NULL) return MESH_ENOMEM;
    to->replica_nodes.items = nodes;
    to->isr_nodes.items = nodes + from->replica_count;
    to->offline_replicas.items = nodes + 2 * from->replica_count;
    for (uint32_t i = 0; i < from->replica_count; i++) {
        to->replica_nodes.items[to->replica_nodes.count++] = from->replicas[i];
        if ((from->isr >> i & 1) != 0) to->isr_nodes.items[to->isr_nodes.count++] = from->replicas[i];
        if (!is_here(image, from->replicas[i])) to->offline_replicas.items[to->offline_replicas.count++] = from->replicas[i];
    }
    return 0;
}

static int tell_topic(struct kafka_call *call, const struct image *image, const struct image_topic *from, struct kafka_metadata_response_topic *to)
{
    struct image_partition partition;
    int err = 0;

    to->name = slice_of_string(from->name);
    to->topic_id = from->topic_id;
    to->partitions.items = kafka_new_items(&kafka_metadata_response_partition_form, (int32_t)from->partition_count, &call->arena);
    if (to->partitions.items == NULL) return MESH_ENOMEM;
    to->partitions.count = (int32_t)from->partition_count;
    for (uint32_t i = 0; i < from->partition_count && err == 0; i++) {
        to->partitions.items[i].partition_index = (int32_t)i;
        if (!image_topic_partition(from, i, &partition)) return MESH_ENOTFOUND;
        err = tell_partition(call, image, &partition, &to->partitions.items[i]);
    }
    return err;
}

static int tell_all_topics(struct kafka_call *call, const struct image *image, struct kafka_metadata_response *response)
{
    const struct image_topic **topics;
    size_t count;
    int err = image_topics_by_name(image, &topics, &count);

    if (err != 0) return err;
    response->topics.items = kafka_new_items(&kafka_metadata_response_topic_form, (int32_t)count, &call->arena);
    if (response->topics.items == NULL) err = MESH_ENOMEM;
    for (size_t i = 0; i < count && err == 0; i++)
        if (!topic_name_is_internal(topics[i]->name))
            err = tell_topic(call, image, topics[i], &response->topics.items[response->topics.count++]);
    free(topics);
    return err;
}

/* Why a topic that was named is not there: what making it came to, if that was tried. */
static int16_t why_missing(const struct metadata_state *state, struct slice name)
{
    char text[TOPIC_NAME_SIZE_MAX + 1], message[160];

    for (uint32_t i = 0; i < state->job.steps.count; i++)
        if (slice_equal(slice_of_string(state->job.orders[i].name), name) && state->job.orders[i].error != 0 &&
            state->job.orders[i].error != MESH_ETOPIC_EXISTS) {
            int16_t code = kafka_code_of(state->job.orders[i].error);

            return code == KAFKA_CODE_NOT_CONTROLLER || code == KAFKA_CODE_NOT_LEADER ? KAFKA_CODE_LEADER_NOT_AVAILABLE : code;
        }
    if (name.size > TOPIC_NAME_SIZE_MAX || memchr(name.data, '\0', name.size) != NULL) return KAFKA_CODE_INVALID_TOPIC;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    return topic_name_check(text, message, sizeof(message)) != 0 ? KAFKA_CODE_INVALID_TOPIC : KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
}

static int tell_named_topics(struct kafka_call *call, const struct image *image, struct kafka_metadata_response *response)
{
    const struct metadata_state *state = call->state;
    uint64_t partitions_left = image_partition_count(image); /* whoever names a topic over and over is not told of it as often */
    int err = 0;

    response->topics.count = state->asked.topics.count;
    response->topics.items = kafka_new_items(&kafka_metadata_response_topic_form, response->topics.count, &call->arena);
    if (response->topics.items == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; i < response->topics.count && err == 0; i++) {
        const struct kafka_metadata_request_topic *asked = &state->asked.topics.items[i];
        struct kafka_metadata_response_topic *to = &response->topics.items[i];
        bool is_by_id = asked->name.data == NULL;
        const struct image_topic *topic = is_by_id ? kafka_topic_by_id(image, &asked->topic_id) : kafka_topic_by_name(image, asked->name);

        if (topic != NULL && topic->partition_count > partitions_left) return MESH_ETOOLARGE;
        if (topic != NULL) {
            partitions_left -= topic->partition_count;
            err = tell_topic(call, image, topic, to);
            continue;
        }
        to->name = asked->name;
        to->topic_id = asked->topic_id;
        to->error_code = is_by_id ? KAFKA_CODE_UNKNOWN_TOPIC_ID : why_missing(state, asked->name);
    }
    return err;
}

/* No list is all topics; in version 0, which cannot say null, an empty one is. */
static bool wants_all(const struct kafka_call *call)
{
    const struct metadata_state *state = call->state;

    return state->asked.topics.count < 0 || (call->version == 0 && state->asked.topics.count == 0);
}

static void answer(struct kafka_call *call)
{
    const struct shard *shard = call->connection->shard;
    struct metadata_state *state = call->state;
    struct kafka_metadata_response response;
    int err;

    kafka_init(&kafka_metadata_response_form, &response);
    response.cluster_id = slice_of_string(uuid_format(&shard->broker->cluster_id, state->cluster_id));
    response.controller_id = kafka_controller(call->connection);
    err = tell_brokers(call, &response);
    if (err == 0) err = wants_all(call) ? tell_all_topics(call, shard->image, &response) : tell_named_topics(call, shard->image, &response);
    if (err != 0)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

/* ---- topics that are made by naming them ---- */

static bool may_create(const struct kafka_call *call)
{
    const struct metadata_state *state = call->state;

    if (call->connection->shard->broker->settings.kafka_create_topics == 0 || wants_all(call)) return false;
    return call->version < 4 || state->asked.allow_auto_topic_creation;
}

/* Orders for the named topics that are not there. */
static int order_missing(struct kafka_call *call)
{
    const struct image *image = call->connection->shard->image;
    struct metadata_state *state = call->state;
    struct kafka_topic_job *job = &state->job;

    for (int32_t i = 0; i < state->asked.topics.count && job->steps.count < METADATA_CREATED_MAX; i++) {
        struct slice name = state->asked.topics.items[i].name;

        if (name.data == NULL || kafka_topic_by_name(image, name) != NULL || why_missing(state, name) == KAFKA_CODE_INVALID_TOPIC) continue;
        if (job->orders == NULL) job->orders = arena_alloc(&call->arena, METADATA_CREATED_MAX, sizeof(*job->orders));
        if (job->orders == NULL) return MESH_ENOMEM;
        job->orders[job->steps.count].name = (char *)(uintptr_t)name.data; /* copied with a NUL behind it */
        job->steps.count++;
    }
    return 0;
}

/* The request's own bytes go when the handler returns. */
static int keep_names(struct kafka_call *call)
{
    struct metadata_state *state = call->state;

    for (int32_t i = 0; i < state->asked.topics.count; i++) {
        struct slice *name = &state->asked.topics.items[i].name;
        uint8_t *copy = arena_alloc(&call->arena, name->size + 1, 1);

        if (copy == NULL) return MESH_ENOMEM;
        if (name->data == NULL) continue;
        memcpy(copy, name->data, name->size);
        name->data = copy;
    }
    return 0;
}

enum serve kafka_serve_metadata(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct arena arena = ARENA_INIT;
    struct metadata_state *state = arena_alloc(&arena, 1, sizeof(*state));
    struct kafka_call *call;
    int err;

    if (state == NULL || kafka_request_decode(request, &arena, &state->asked) != 0) {
        arena_deinit(&arena);
        return kafka_refuse(request, "a request for metadata cannot be read");
    }
    call = kafka_call_new(request, 1, true, answer);
    if (call == NULL) {
        arena_deinit(&arena);
        return SERVE_GONE;
    }
    call->arena = arena;
    call->state = state;
    err = keep_names(call);
    if (err == 0 && may_create(call)) err = order_missing(call);
    if (err != 0) {
        call->finish = kafka_call_fail;
    } else if (state->job.steps.count > 0) {
        state->job.steps.job.home = answer;
        kafka_topic_job_start(&state->job, call);
    }
    kafka_call_leave(call);
    return kafka_served(connection);
}
