/* broker/front/kafka/configs.c - ALTER_CONFIGS, INCREMENTAL_ALTER_CONFIGS: settings of topics, under the names that Kafka gives them where it has one.
 * Settings of brokers are given at their start: they are told (describe_configs.c), and not changed here. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_config.h"

#include <stdio.h>

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

#define MESSAGE_SIZE 256

/* False: there is no such setting. */
static bool find_setting(struct slice key, enum topic_config_id *ret_id, char message[MESSAGE_SIZE])
{
    char name[128];

    snprintf(message, MESSAGE_SIZE, "there is no such setting of a topic");
    if (key.size == 0 || key.size >= sizeof(name) || kafka_has_nul(key)) return false;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    return topic_config_find(name, ret_id, message, MESSAGE_SIZE) == 0;
}

/* ---- alter ---- */

/* One change of a setting, as both requests say it. */
struct change {
    struct slice name, value; /* value null: back to the default */
    bool is_removal;
};

/* Room for `count` changes more than the topic has settings that may have to go. */
static int begin_order(struct kafka_call *call, struct slice name, size_t count, struct kafka_topic_order *order)
{
    order->is_alter = true;
    order->name = kafka_admin_text(call, name);
    order->configs = arena_alloc(&call->arena, count + 1, sizeof(*order->configs));
    order->removed_keys = arena_alloc(&call->arena, count + TOPIC_CONFIG_COUNT, sizeof(*order->removed_keys));
    return order->name == NULL || order->configs == NULL || order->removed_keys == NULL ? MESH_ENOMEM : 0;
}

static bool is_mentioned(const struct kafka_topic_order *order, enum topic_config_id id)
{
    const char *name = topic_config_info(id)->name;

    for (size_t i = 0; i < order->config_count; i++)
        if (order->configs[i].key == name) return true;
    for (size_t i = 0; i < order->removed_key_count; i++)
        if (order->removed_keys[i] == name) return true;
    return false;
}

/* A change that cannot be read rejects its order, and so does a second one of the same setting; what else is wrong the metadata find. For
 * validate_only, nobody else looks. */
static int add_change(struct kafka_call *call, struct kafka_topic_order *order, const struct change *change)
{
    char message[MESSAGE_SIZE];
    enum topic_config_id id;
    char *value;
    int64_t number;

    if (order->error != 0) return 0;
    if (!find_setting(change->name, &id, message)) {
        kafka_admin_reject(call, order, MESH_EINVALID_CONFIG, message);
        return 0;
    }
    if (is_mentioned(order, id)) {
        kafka_admin_reject(call, order, MESH_EINVAL, "a setting is named twice");
        return 0;
    }
    if (change->is_removal || change->value.data == NULL) {
        order->removed_keys[order->removed_key_count++] = (char *)(uintptr_t)topic_config_info(id)->name;
        return 0;
    }
    value = kafka_admin_text(call, change->value);
    if (value == NULL) return MESH_ENOMEM;
    if (kafka_has_nul(change->value))
        kafka_admin_reject(call, order, MESH_EINVALID_CONFIG, "a setting of a topic has no NUL in it");
    else if (topic_config_parse(id, value, &number, message, sizeof(message)) != 0)
        kafka_admin_reject(call, order, MESH_EINVALID_CONFIG, message);
    order->configs[order->config_count++] = (struct message_config){.key = (char *)(uintptr_t)topic_config_info(id)->name, .value = value};
    return 0;
}

static void judge_resource(struct kafka_call *call, int8_t type, struct slice name, struct kafka_topic_order *order)
{
    if (type == RESOURCE_BROKER)
        kafka_admin_reject(call, order, MESH_EINVAL, "settings of a broker are given at its start ('mesh help settings')");
    else if (type != RESOURCE_TOPIC)
        kafka_admin_reject(call, order, MESH_EINVAL, "only topics have settings that can be changed");
    else if (kafka_topic_by_name(call->connection->shard->image, name) == NULL)
        kafka_admin_reject(call, order, MESH_EUNKNOWN_TOPIC, "there is no such topic");
}

/* Settings that Kafka has not: a client that lists all it wants cannot mean that these go. */
static bool is_ours_alone(enum topic_config_id id)
{
    return id == TOPIC_CONFIG_FLUSH || id == TOPIC_CONFIG_FLUSH_INTERVAL_MS || id == TOPIC_CONFIG_FLUSH_BYTES || id == TOPIC_CONFIG_MODE ||
           id == TOPIC_CONFIG_UNCLEAN || id == TOPIC_CONFIG_REPLICAS;
}

/* ALTER_CONFIGS says all that is to be set: the rest goes back to its default. */
static void remove_others(struct kafka_call *call, struct slice name, struct kafka_topic_order *order)
{
    const struct image_topic *topic = kafka_topic_by_name(call->connection->shard->image, name);

    for (uint32_t i = 0; order->error == 0 && i < topic->config_count; i++) {
        enum topic_config_id id = (enum topic_config_id)topic->configs[i].id;

        if (!is_ours_alone(id) && !is_mentioned(order, id)) order->removed_keys[order->removed_key_count++] = (char *)(uintptr_t)topic_config_info(id)->name;
    }
}

static void answer_alter(struct kafka_call *call)
{
    const struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;
    struct kafka_alter_configs_response response;

    kafka_init(&kafka_alter_configs_response_form, &response);
    response.responses.count = (int32_t)job->steps.count;
    response.responses.items = kafka_new_items(&kafka_alter_configs_response_resource_form, (int32_t)job->steps.count, &call->arena);
    for (uint32_t i = 0; i < job->steps.count && response.responses.items != NULL; i++) {
        struct kafka_alter_configs_response_resource *to = &response.responses.items[i];

        to->error_code = kafka_code_of(job->orders[i].error);
        to->error_message = kafka_admin_message(&job->orders[i]);
        to->resource_type = job->orders[i].resource_type;
        to->resource_name = slice_of(job->orders[i].name, job->orders[i].name_size);
    }
    if (response.responses.items == NULL)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

static void answer_incremental(struct kafka_call *call)
{
    const struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;
    struct kafka_incremental_alter_configs_response response;

    kafka_init(&kafka_incremental_alter_configs_response_form, &response);
    response.responses.count = (int32_t)job->steps.count;
    response.responses.items = kafka_new_items(&kafka_incremental_alter_configs_response_resource_form, (int32_t)job->steps.count, &call->arena);
    for (uint32_t i = 0; i < job->steps.count && response.responses.items != NULL; i++) {
        struct kafka_incremental_alter_configs_response_resource *to = &response.responses.items[i];

        to->error_code = kafka_code_of(job->orders[i].error);
        to->error_message = kafka_admin_message(&job->orders[i]);
        to->resource_type = job->orders[i].resource_type;
        to->resource_name = slice_of(job->orders[i].name, job->orders[i].name_size);
    }
    if (response.responses.items == NULL)
        kafka_call_fail(call);
    else
        kafka_call_answer(call, &response);
}

static int order_alter(struct kafka_call *call, const struct kafka_alter_configs_request_resource *asked, bool validate_only, struct kafka_topic_order *order)
{
    int err = begin_order(call, asked->resource_name, (size_t)asked->configs.count, order);

    if (err != 0) return err;
    order->resource_type = asked->resource_type;
    order->name_size = asked->resource_name.size;
    order->validate_only = validate_only;
    judge_resource(call, asked->resource_type, asked->resource_name, order);
    for (int32_t i = 0; err == 0 && i < asked->configs.count; i++)
        err = add_change(call, order, &(struct change){.name = asked->configs.items[i].name, .value = asked->configs.items[i].value});
    if (err == 0) remove_others(call, asked->resource_name, order);
    return err;
}

enum serve kafka_serve_alter_configs(const struct kafka_request *request)
{
    struct kafka_alter_configs_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.resources.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = kafka_admin_orders(call, (size_t)asked.resources.count);
    for (int32_t i = 0; err == 0 && i < asked.resources.count; i++) {
        struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;

        err = order_alter(call, &asked.resources.items[i], asked.validate_only, &job->orders[job->steps.count++]);
    }
    return kafka_admin_start(call, err, answer_alter);
}

/* ---- incremental ---- */

enum { OPERATION_SET, OPERATION_DELETE, OPERATION_APPEND, OPERATION_SUBTRACT };

static int order_incremental(struct kafka_call *call, const struct kafka_incremental_alter_configs_request_resource *asked, bool validate_only,
                             struct kafka_topic_order *order)
{
    int err = begin_order(call, asked->resource_name, (size_t)asked->configs.count, order);

    if (err != 0) return err;
    order->resource_type = asked->resource_type;
    order->name_size = asked->resource_name.size;
    order->validate_only = validate_only;
    judge_resource(call, asked->resource_type, asked->resource_name, order);
    for (int32_t i = 0; err == 0 && i < asked->configs.count; i++) {
        const struct kafka_incremental_alter_configs_request_config *config = &asked->configs.items[i];

        if (order->error == 0 && config->config_operation == OPERATION_SET && config->value.data == NULL)
            kafka_admin_reject(call, order, MESH_EINVAL, "a setting is set to nothing: to go back to its default is another operation");
        if (order->error == 0 && config->config_operation != OPERATION_SET && config->config_operation != OPERATION_DELETE)
            kafka_admin_reject(call, order, MESH_EINVALID_CONFIG, "no setting of a topic is a list: it can be set, or go back to its default");
        err = add_change(call, order,
                         &(struct change){.name = config->name, .value = config->value, .is_removal = config->config_operation == OPERATION_DELETE});
    }
    return err;
}

enum serve kafka_serve_incremental_alter_configs(const struct kafka_request *request)
{
    struct kafka_incremental_alter_configs_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.resources.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = kafka_admin_orders(call, (size_t)asked.resources.count);
    for (int32_t i = 0; err == 0 && i < asked.resources.count; i++) {
        struct kafka_topic_job *job = &((struct kafka_admin *)call->state)->job;

        err = order_incremental(call, &asked.resources.items[i], asked.validate_only, &job->orders[job->steps.count++]);
    }
    return kafka_admin_start(call, err, answer_incremental);
}
