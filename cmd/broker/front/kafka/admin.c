/* broker/front/kafka/admin.c - CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS: orders for the control loop, and what became of them. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/image.h"

#define PLACES_MAX 20000 /* replicas of one topic whose places are given */

static struct slice text_of(const char *text)
{
    return text == NULL ? slice_of(NULL, 0) : slice_of_string(text);
}

char *kafka_admin_text(struct kafka_call *call, struct slice text)
{
    char *copy = arena_alloc(&call->arena, text.size + 1, 1);

    if (copy != NULL && text.size > 0) memcpy(copy, text.data, text.size);
    return copy;
}

bool kafka_has_nul(struct slice text)
{
    return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

int kafka_admin_orders(struct kafka_call *call, size_t count)
{
    struct kafka_admin *state = arena_alloc(&call->arena, 1, sizeof(*state));

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    state->job.orders = arena_alloc(&call->arena, count, sizeof(*state->job.orders));
    return state->job.orders == NULL ? MESH_ENOMEM : 0;
}

enum serve kafka_admin_refuse(const struct kafka_request *request, struct arena *arena)
{
    arena_deinit(arena);
    return kafka_refuse(request, "a request about topics cannot be read, or names too many");
}

struct kafka_call *kafka_admin_call(const struct kafka_request *request, struct arena *arena)
{
    struct kafka_call *call = kafka_call_new(request, 1, true, NULL);

    if (call == NULL)
        arena_deinit(arena);
    else
        call->arena = *arena;
    return call;
}

enum serve kafka_admin_respond(const struct kafka_request *request, struct arena *arena, int err, const void *response)
{
    enum serve serve = SERVE_GONE;

    if (err == 0)
        serve = kafka_respond(request, response);
    else
        connection_close(request->connection);
    arena_deinit(arena);
    return serve;
}

enum serve kafka_admin_end(struct kafka_call *call, int err)
{
    struct connection *connection = call->connection;

    if (err != 0) call->finish = kafka_call_fail;
    kafka_call_leave(call);
    return kafka_served(connection);
}

enum serve kafka_admin_start(struct kafka_call *call, int err, kafka_finish_fn *home)
{
    struct kafka_admin *state = call->state;

    if (err == 0) {
        state->job.steps.job.home = home;
        kafka_topic_job_start(&state->job, call);
    }
    return kafka_admin_end(call, err);
}

void kafka_admin_reject(struct kafka_call *call, struct kafka_topic_order *order, int error, const char *message)
{
    order->error = error;
    order->message = arena_strdup(&call->arena, message);
}

struct slice kafka_admin_message(const struct kafka_topic_order *order)
{
    return text_of(order->error != 0 ? order->message : NULL);
}

/* ---- create ---- */

static int16_t create_code_of(const struct kafka_topic_order *order)
{
    return order->has_places && order->error == MESH_EINVALID_REPLICATION ? KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT : kafka_code_of(order->error);
}

static void answer_create(struct kafka_call *call)
{
    const struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;
    struct kafka_create_topics_response response;

    kafka_init(&kafka_create_topics_response_form, &response);
    response.topics.count = (int32_t)job->steps.count;
    response.topics.items = kafka_new_items(&kafka_create_topics_response_topic_form, (int32_t)job->steps.count, &call->arena);
    for (uint32_t i = 0; i < job->steps.count && response.topics.items != NULL; i++) {
        const struct kafka_topic_order *order = &job->orders[i];
        struct kafka_create_topics_response_topic *to = &response.topics.items[i];

        to->name = slice_of_string(order->name);
        to->error_code = create_code_of(order);
        to->error_message = text_of(order->error != 0 ? order->message : NULL);
        /* configs stay empty, not null: a Java client takes null for a broken answer. */
        if (order->error != 0 || order->validate_only) continue;
        to->topic_id = order->topic_id;
        to->num_partitions = order->partitions_made;
        to->replication_factor = (int16_t)order->replicas_made;
    }
    if (response.topics.items == NULL)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

/* The places of a topic, partition by partition; what is wrong with them, or NULL. */
static const char *take_places(struct kafka_call *call, const struct kafka_create_topics_request_topic *topic, struct kafka_topic_order *order)
{
    int32_t count = topic->assignments.count, factor = topic->assignments.items[0].broker_ids.count;

    if (kafka_sees_one_node(call->connection)) return "by the gateway the mesh is one broker: ask one of the brokers themselves";
    if (topic->num_partitions != -1 || topic->replication_factor != -1) return "places say how many partitions and replicas there are: both numbers are -1 then";
    if (factor < 1 || factor > IMAGE_REPLICAS_MAX || count > PLACES_MAX / factor) return "a partition has at least one replica, and not as many";
    order->replicas = arena_alloc(&call->arena, (size_t)count * (size_t)factor, sizeof(*order->replicas));
    if (order->replicas == NULL) return "there is no memory";
    memset(order->replicas, -1, (size_t)count * (size_t)factor * sizeof(*order->replicas));
    for (int32_t i = 0; i < count; i++) {
        int32_t index = topic->assignments.items[i].partition_index;

        if (topic->assignments.items[i].broker_ids.count != factor) return "all partitions of a topic have as many replicas";
        if (index < 0 || index >= count || order->replicas[(size_t)index * (size_t)factor] != -1) return "partitions are numbered from 0, each once";
        for (int32_t j = 0; j < factor; j++)
            if (topic->assignments.items[i].broker_ids.items[j] < 0) return "the mesh has no broker of this number";
        memcpy(&order->replicas[(size_t)index * (size_t)factor], topic->assignments.items[i].broker_ids.items, (size_t)factor * sizeof(*order->replicas));
    }
    order->partition_count = count;
    order->replication_factor = factor;
    return NULL;
}

/* What the metadata could not judge as it was asked for. */
static void judge_create(struct kafka_call *call, const struct kafka_create_topics_request_topic *topic, struct kafka_topic_order *order)
{
    const char *message = NULL;

    for (int32_t i = 0; i < topic->configs.count; i++)
        if (kafka_has_nul(topic->configs.items[i].name) || kafka_has_nul(topic->configs.items[i].value)) {
            order->error = MESH_EINVALID_CONFIG;
            message = "a setting of a topic has no NUL in it";
        }
    if (kafka_has_nul(topic->name)) {
        order->error = MESH_EINVALID_TOPIC;
        message = "the name of a topic has no NUL in it";
    } else if (topic->assignments.count > 0) {
        message = take_places(call, topic, order);
        if (message != NULL) order->error = MESH_EINVALID_REPLICATION;
        order->has_places = true;
    } else if (topic->num_partitions == 0 || topic->num_partitions < -1) {
        order->error = MESH_EINVALID_PARTITIONS;
        message = "a topic has at least one partition";
    } else if (topic->replication_factor == 0 || topic->replication_factor < -1) {
        order->error = MESH_EINVALID_REPLICATION;
        message = "a partition has at least one replica";
    }
    if (message != NULL) order->message = arena_strdup(&call->arena, message);
}

static int order_create(struct kafka_call *call, const struct kafka_create_topics_request *asked, const struct kafka_create_topics_request_topic *topic,
                        struct kafka_topic_order *order)
{
    order->name = kafka_admin_text(call, topic->name);
    order->validate_only = asked->validate_only;
    order->partition_count = topic->num_partitions == -1 ? 0 : topic->num_partitions;
    order->replication_factor = topic->replication_factor == -1 ? 0 : topic->replication_factor;
    order->config_count = (size_t)topic->configs.count;
    order->configs = arena_alloc(&call->arena, order->config_count, sizeof(*order->configs));
    if (order->name == NULL || order->configs == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < order->config_count; i++) {
        order->configs[i].key = kafka_admin_text(call, topic->configs.items[i].name);
        order->configs[i].value = kafka_admin_text(call, topic->configs.items[i].value);
        if (order->configs[i].key == NULL || order->configs[i].value == NULL) return MESH_ENOMEM;
    }
    judge_create(call, topic, order);
    return 0;
}

enum serve kafka_serve_create_topics(const struct kafka_request *request)
{
    struct kafka_create_topics_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.topics.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = kafka_admin_orders(call, (size_t)asked.topics.count);
    for (int32_t i = 0; err == 0 && i < asked.topics.count; i++) {
        struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;

        err = order_create(call, &asked, &asked.topics.items[i], &job->orders[job->steps.count++]);
    }
    return kafka_admin_start(call, err, answer_create);
}

/* ---- delete ---- */

static void answer_delete(struct kafka_call *call)
{
    const struct kafka_admin *state = call->state;
    struct kafka_delete_topics_response response;

    kafka_init(&kafka_delete_topics_response_form, &response);
    response.responses.count = (int32_t)state->job.steps.count;
    response.responses.items = kafka_new_items(&kafka_delete_topics_response_topic_form, response.responses.count, &call->arena);
    for (uint32_t i = 0; i < state->job.steps.count && response.responses.items != NULL; i++) {
        const struct kafka_topic_order *order = &state->job.orders[i];
        struct kafka_delete_topics_response_topic *to = &response.responses.items[i];

        to->name = text_of(order->name != NULL ? order->name : order->name_told);
        to->topic_id = order->topic_id;
        to->error_code = order->name == NULL && order->error == MESH_EUNKNOWN_TOPIC ? KAFKA_CODE_UNKNOWN_TOPIC_ID : kafka_code_of(order->error);
        to->error_message = text_of(order->error != 0 ? order->message : NULL);
    }
    if (response.responses.items == NULL)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

static int order_delete(struct kafka_call *call, struct slice name, const struct uuid *topic_id)
{
    struct kafka_admin *state = call->state;
    struct kafka_topic_order *order = &state->job.orders[state->job.steps.count];

    order->is_delete = true;
    order->topic_id = *topic_id;
    state->job.steps.count++;
    if (name.data == NULL) {
        const struct image_topic *topic = kafka_topic_by_id(call->connection->shard->image, topic_id);

        if (topic == NULL) order->error = MESH_EUNKNOWN_TOPIC;
        else order->name_told = arena_strdup(&call->arena, topic->name); /* NULL without memory: the answer says the id alone */
        return 0;
    }
    order->name = kafka_admin_text(call, name);
    if (order->name != NULL && kafka_has_nul(name)) order->error = MESH_EUNKNOWN_TOPIC;
    return order->name == NULL ? MESH_ENOMEM : 0;
}

enum serve kafka_serve_delete_topics(const struct kafka_request *request)
{
    static const struct uuid none;
    struct kafka_delete_topics_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && (int64_t)asked.topics.count + asked.topic_names.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = kafka_admin_orders(call, (size_t)(asked.topics.count + asked.topic_names.count));
    for (int32_t i = 0; err == 0 && i < asked.topics.count; i++)
        err = order_delete(call, asked.topics.items[i].name, &asked.topics.items[i].topic_id);
    for (int32_t i = 0; err == 0 && i < asked.topic_names.count; i++)
        err = order_delete(call, asked.topic_names.items[i], &none);
    return kafka_admin_start(call, err, answer_delete);
}

/* ---- more partitions ---- */

static void answer_partitions(struct kafka_call *call)
{
    const struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;
    struct kafka_create_partitions_response response;

    kafka_init(&kafka_create_partitions_response_form, &response);
    response.results.count = (int32_t)job->steps.count;
    response.results.items = kafka_new_items(&kafka_create_partitions_response_result_form, (int32_t)job->steps.count, &call->arena);
    for (uint32_t i = 0; i < job->steps.count && response.results.items != NULL; i++) {
        struct kafka_create_partitions_response_result *to = &response.results.items[i];

        to->name = slice_of(job->orders[i].name, job->orders[i].name_size);
        to->error_code = kafka_code_of(job->orders[i].error);
        to->error_message = kafka_admin_message(&job->orders[i]);
    }
    if (response.results.items == NULL)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

/* What validate_only leaves nobody else to judge; and what the metadata take for no change. */
static int order_partitions(struct kafka_call *call, const struct kafka_create_partitions_request *asked, const struct kafka_create_partitions_request_topic *topic,
                            struct kafka_topic_order *order)
{
    const struct image_topic *found = kafka_topic_by_name(call->connection->shard->image, topic->name);

    order->is_alter = true;
    order->name = kafka_admin_text(call, topic->name);
    order->name_size = topic->name.size;
    order->validate_only = asked->validate_only;
    order->partition_count = topic->count;
    if (order->name == NULL) return MESH_ENOMEM;
    if (found == NULL)
        kafka_admin_reject(call, order, MESH_EUNKNOWN_TOPIC, "there is no such topic");
    else if (topic->assignments.count > 0)
        kafka_admin_reject(call, order, MESH_EINVALID_REPLICATION, "places are chosen by the mesh: ask for a number of partitions, and move them afterwards where that matters");
    else if (topic->count < 1 || (uint32_t)topic->count <= found->partition_count)
        kafka_admin_reject(call, order, MESH_EINVALID_PARTITIONS, "the topic has as many partitions already: their number can only grow");
    else if (topic->count > IMAGE_TOPIC_PARTITIONS_MAX)
        kafka_admin_reject(call, order, MESH_EINVALID_PARTITIONS, "a topic cannot have as many partitions");
    return 0;
}

enum serve kafka_serve_create_partitions(const struct kafka_request *request)
{
    struct kafka_create_partitions_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.topics.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = kafka_admin_orders(call, (size_t)asked.topics.count);
    for (int32_t i = 0; err == 0 && i < asked.topics.count; i++) {
        struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;

        err = order_partitions(call, &asked, &asked.topics.items[i], &job->orders[job->steps.count++]);
    }
    return kafka_admin_start(call, err, answer_partitions);
}
