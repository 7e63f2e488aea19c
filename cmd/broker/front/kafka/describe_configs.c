/* broker/front/kafka/describe_configs.c - DESCRIBE_CONFIGS: settings of topics, under the names that Kafka gives them where it has one, and of the broker that
 * is asked, under its own. What another broker was started with that one alone knows: clients ask each. */
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_config.h"

#include <stdio.h>
#include <stdlib.h>

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

/* Where a value comes from, and what it is, in Kafka's numbers. */
#define SOURCE_TOPIC   1
#define SOURCE_BROKER  4 /* given at the start */
#define SOURCE_DEFAULT 5
#define TYPE_STRING    2
#define TYPE_LONG      5

typedef struct kafka_describe_configs_request_resource asked_resource;
typedef struct kafka_describe_configs_response_config told_config;

/* A name that a setting has not is "". Keys are compared, and never guessed at: a request may hold very many, and a shard waits for this. */
static bool is_wanted(const asked_resource *asked, const char *name)
{
    size_t size = strlen(name);

    if (asked->configuration_keys.count < 0) return true; /* null: all */
    for (int32_t i = 0; i < asked->configuration_keys.count; i++) {
        struct slice key = asked->configuration_keys.items[i];

        if (size > 0 && key.size == size && memcmp(key.data, name, size) == 0) return true;
    }
    return false;
}

/* ---- topics ---- */

static bool is_set(const struct image_topic *topic, enum topic_config_id id)
{
    for (uint32_t i = 0; i < topic->config_count; i++)
        if (topic->configs[i].id == id) return true;
    return false;
}

static int describe_topic(const struct image_topic *topic, const asked_resource *asked, bool with_text, struct arena *arena,
                          struct kafka_describe_configs_response_result *result)
{
    result->configs.items = kafka_new_items(&kafka_describe_configs_response_config_form, TOPIC_CONFIG_COUNT, arena);
    if (result->configs.items == NULL) return MESH_ENOMEM;
    for (unsigned i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        enum topic_config_id id = (enum topic_config_id)i;
        const struct topic_config_info *info = topic_config_info(id);
        told_config *to = &result->configs.items[result->configs.count];
        char text[TOPIC_CONFIG_TEXT_SIZE];
        char *value;

        if (!is_wanted(asked, info->name) && !is_wanted(asked, info->kafka_name)) continue;
        value = arena_strdup(arena, topic_config_format(id, image_topic_config(topic, id), text));
        if (value == NULL) return MESH_ENOMEM;
        to->name = slice_of_string(info->kafka_name[0] != '\0' ? info->kafka_name : info->name);
        to->value = slice_of_string(value);
        to->config_source = is_set(topic, id) ? SOURCE_TOPIC : SOURCE_DEFAULT;
        to->config_type = info->type == TOPIC_CONFIG_TYPE_WORD ? TYPE_STRING : TYPE_LONG;
        if (with_text) to->documentation = slice_of_string(info->text);
        result->configs.count++;
    }
    return 0;
}

/* ---- brokers ---- */

static int describe_setting(const struct settings *settings, size_t index, bool with_text, struct arena *arena, told_config *to)
{
    const struct setting_info *info = settings_info(index);
    char text[SETTINGS_PATH_MAX];
    char *value = arena_strdup(arena, settings_format(settings, index, text));

    if (value == NULL) return MESH_ENOMEM;
    to->name = slice_of_string(info->key);
    to->value = slice_of_string(value);
    to->read_only = true;
    to->config_source = settings_is_default(settings, index) ? SOURCE_DEFAULT : SOURCE_BROKER;
    to->config_type = strcmp(info->unit, "file") == 0 ? TYPE_STRING : TYPE_LONG;
    if (with_text) to->documentation = slice_of_string(info->help);
    return 0;
}

/* What it gives new topics: only what was said at the start. */
static int describe_topic_defaults(const struct settings *settings, const asked_resource *asked, bool with_text, struct arena *arena,
                                   struct kafka_describe_configs_response_result *result)
{
    for (size_t i = 0; i < settings->topic_default_count; i++) {
        told_config *to = &result->configs.items[result->configs.count];
        char *name = arena_printf(arena, "topic.%s", settings->topic_defaults[i].key);

        if (name == NULL) return MESH_ENOMEM;
        if (!is_wanted(asked, name)) continue;
        to->name = slice_of_string(name);
        to->value = slice_of_string(settings->topic_defaults[i].value);
        to->read_only = true;
        to->config_source = SOURCE_BROKER;
        to->config_type = TYPE_STRING;
        if (with_text) to->documentation = slice_of_string("What a new topic is given when it is made without this setting.");
        result->configs.count++;
    }
    return 0;
}

static int describe_this_broker(const struct settings *settings, const asked_resource *asked, bool with_text, struct arena *arena,
                                struct kafka_describe_configs_response_result *result)
{
    size_t count = 0;
    int err = 0;

    while (settings_info(count) != NULL)
        count++;
    result->configs.items = kafka_new_items(&kafka_describe_configs_response_config_form, (int32_t)(count + settings->topic_default_count), arena);
    if (result->configs.items == NULL) return MESH_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++)
        if (is_wanted(asked, settings_info(i)->key)) err = describe_setting(settings, i, with_text, arena, &result->configs.items[result->configs.count++]);
    return err != 0 ? err : describe_topic_defaults(settings, asked, with_text, arena, result);
}

/* Kafka's name for what holds for every broker at once is "": of that there is nothing, as each has its own. */
static int describe_broker(const struct kafka_request *request, const asked_resource *asked, bool with_text, struct arena *arena,
                           struct kafka_describe_configs_response_result *result)
{
    const struct connection *connection = request->connection;
    const struct shard *shard = connection->shard;
    char self[16];

    if (asked->resource_name.size == 0) return 0;
    snprintf(self, sizeof(self), "%d", kafka_sees_one_node(connection) ? GATEWAY_NODE_ID : (int)atomic_load(&shard->broker->node_id));
    if (slice_equal(asked->resource_name, slice_of_string(self))) return describe_this_broker(&shard->broker->settings, asked, with_text, arena, result);
    result->error_code = KAFKA_CODE_INVALID_REQUEST;
    result->error_message = slice_of_string("a broker tells its own settings alone: ask that one");
    return 0;
}

/* ---- the request ---- */

static int describe(const struct kafka_request *request, const asked_resource *asked, bool with_text, struct arena *arena,
                    struct kafka_describe_configs_response_result *result)
{
    const struct image_topic *topic = NULL;

    if (asked->resource_type == RESOURCE_BROKER) return describe_broker(request, asked, with_text, arena, result);
    if (asked->resource_type == RESOURCE_TOPIC) topic = kafka_topic_by_name(request->connection->shard->image, asked->resource_name);
    if (topic != NULL) return describe_topic(topic, asked, with_text, arena, result);
    if (asked->resource_type == RESOURCE_TOPIC) {
        result->error_code = KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
    } else {
        result->error_code = KAFKA_CODE_INVALID_REQUEST;
        result->error_message = slice_of_string("only topics and brokers have settings");
    }
    return 0;
}

static int compare_names(const asked_resource *a, const asked_resource *b)
{
    if (a->resource_type != b->resource_type) return a->resource_type < b->resource_type ? -1 : 1;
    if (a->resource_name.size != b->resource_name.size) return a->resource_name.size < b->resource_name.size ? -1 : 1;
    return a->resource_name.size == 0 ? 0 : memcmp(a->resource_name.data, b->resource_name.data, a->resource_name.size);
}

/* Of equal ones the first in the request comes first. */
static int compare_asked(const void *left, const void *right)
{
    const asked_resource *a = *(const asked_resource *const *)left, *b = *(const asked_resource *const *)right;
    int order = compare_names(a, b);

    return order != 0 ? order : (a > b) - (a < b);
}

/* What is named again is refused: ten bytes of a request would fetch thousands, so that only what there is may bound an answer. NULL: no memory. */
static bool *find_repeated(const struct kafka_describe_configs_request *asked, struct arena *arena)
{
    size_t count = (size_t)asked->resources.count;
    const asked_resource **sorted = arena_alloc(arena, count + 1, sizeof(*sorted));
    bool *is_repeated = arena_alloc(arena, count + 1, sizeof(*is_repeated));

    if (sorted == NULL || is_repeated == NULL) return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &asked->resources.items[i];
    qsort(sorted, count, sizeof(*sorted), compare_asked);
    for (size_t i = 1; i < count; i++)
        if (compare_names(sorted[i - 1], sorted[i]) == 0) is_repeated[sorted[i] - asked->resources.items] = true;
    return is_repeated;
}

static int describe_all(const struct kafka_request *request, const struct kafka_describe_configs_request *asked, struct arena *arena,
                        struct kafka_describe_configs_response *response)
{
    bool *is_repeated = find_repeated(asked, arena);
    int err = 0;

    response->results.count = asked->resources.count;
    response->results.items = kafka_new_items(&kafka_describe_configs_response_result_form, asked->resources.count, arena);
    if (is_repeated == NULL || response->results.items == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; err == 0 && i < asked->resources.count; i++) {
        const asked_resource *resource = &asked->resources.items[i];
        struct kafka_describe_configs_response_result *result = &response->results.items[i];

        result->resource_type = resource->resource_type;
        result->resource_name = resource->resource_name;
        if (is_repeated[i]) {
            result->error_code = KAFKA_CODE_INVALID_REQUEST;
            result->error_message = slice_of_string("it is named twice");
        } else {
            err = describe(request, resource, asked->include_documentation, arena, result);
        }
    }
    return err;
}

enum serve kafka_serve_describe_configs(const struct kafka_request *request)
{
    struct kafka_describe_configs_response response;
    struct kafka_describe_configs_request asked;
    struct arena arena = ARENA_INIT;
    enum serve serve = SERVE_GONE;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.resources.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    kafka_init(&kafka_describe_configs_response_form, &response);
    if (describe_all(request, &asked, &arena, &response) == 0)
        serve = kafka_respond(request, &response);
    else
        connection_close(request->connection);
    arena_deinit(&arena);
    return serve;
}
