/* broker/front/kafka/describe_configs.c - DESCRIBE_CONFIGS: settings of topics, under the names that Kafka gives them where it has one, and of the broker that
 * is asked, under its own. What another broker was started with that one alone knows: clients ask each. */
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/config_names.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Names of what there is, and what came of comparing them with what is asked for. */
struct catalog {
    struct config_name *names; /* sorted */
    size_t name_count;
    bool *is_wanted; /* by number; of the resource that is being described */
    size_t count;
};

/* What a request is answered with. */
struct describing {
    const struct kafka_request *request;
    struct arena *arena;
    bool with_text;
    struct catalog topic, broker; /* names NULL: not made yet */
};

/* Room for so many settings with two names each. */
static int catalog_init(struct catalog *catalog, size_t count, struct arena *arena)
{
    catalog->count = count;
    catalog->names = arena_alloc(arena, 2 * count, sizeof(*catalog->names));
    catalog->is_wanted = arena_alloc(arena, count, sizeof(*catalog->is_wanted));
    return catalog->names == NULL || catalog->is_wanted == NULL ? MESH_ENOMEM : 0;
}

/* A name that a setting has not is "". */
static void catalog_add(struct catalog *catalog, size_t number, const char *name)
{
    if (name[0] != '\0') catalog->names[catalog->name_count++] = (struct config_name){name, (uint32_t)number};
}

/* Keys are compared, and never guessed at; each is looked up once, however many settings there are. */
static void choose(struct catalog *catalog, const asked_resource *asked)
{
    bool is_all = asked->configuration_keys.count < 0; /* null */

    memset(catalog->is_wanted, is_all, catalog->count);
    if (!is_all) config_names_mark(catalog->names, catalog->name_count, asked->configuration_keys.items, (size_t)asked->configuration_keys.count, catalog->is_wanted);
}

/* ---- topics ---- */

static bool is_set(const struct image_topic *topic, enum topic_config_id id)
{
    for (uint32_t i = 0; i < topic->config_count; i++)
        if (topic->configs[i].id == id) return true;
    return false;
}

static int list_topic_names(struct describing *describing)
{
    struct catalog *catalog = &describing->topic;

    if (catalog->names != NULL) return 0;
    if (catalog_init(catalog, TOPIC_CONFIG_COUNT, describing->arena) != 0) return MESH_ENOMEM;
    for (unsigned i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        const struct topic_config_info *info = topic_config_info((enum topic_config_id)i);

        catalog_add(catalog, i, info->name);
        if (strcmp(info->kafka_name, info->name) != 0) catalog_add(catalog, i, info->kafka_name);
    }
    config_names_sort(catalog->names, catalog->name_count);
    return 0;
}

static int describe_topic(struct describing *describing, const struct image_topic *topic, const asked_resource *asked, struct kafka_describe_configs_response_result *result)
{
    struct arena *arena = describing->arena;

    if (list_topic_names(describing) != 0) return MESH_ENOMEM;
    choose(&describing->topic, asked);
    result->configs.items = kafka_new_items(&kafka_describe_configs_response_config_form, TOPIC_CONFIG_COUNT, arena);
    if (result->configs.items == NULL) return MESH_ENOMEM;
    for (unsigned i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        enum topic_config_id id = (enum topic_config_id)i;
        const struct topic_config_info *info = topic_config_info(id);
        told_config *to = &result->configs.items[result->configs.count];
        char text[TOPIC_CONFIG_TEXT_SIZE];
        char *value;

        if (!describing->topic.is_wanted[i]) continue;
        value = arena_strdup(arena, topic_config_format(id, image_topic_config(topic, id), text));
        if (value == NULL) return MESH_ENOMEM;
        to->name = slice_of_string(info->kafka_name[0] != '\0' ? info->kafka_name : info->name);
        to->value = slice_of_string(value);
        to->config_source = is_set(topic, id) ? SOURCE_TOPIC : SOURCE_DEFAULT;
        to->config_type = info->type == TOPIC_CONFIG_TYPE_WORD ? TYPE_STRING : TYPE_LONG;
        if (describing->with_text) to->documentation = slice_of_string(info->text);
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
    to->config_type = strcmp(info->unit, "file") == 0 || info->words != NULL ? TYPE_STRING : TYPE_LONG;
    if (with_text) to->documentation = slice_of_string(info->help);
    return 0;
}

/* What it gives new topics: only what was said at the start. */
static void describe_topic_default(const struct settings *settings, size_t index, const char *name, bool with_text, told_config *to)
{
    to->name = slice_of_string(name);
    to->value = slice_of_string(settings->topic_defaults[index].value);
    to->read_only = true;
    to->config_source = SOURCE_BROKER;
    to->config_type = TYPE_STRING;
    if (with_text) to->documentation = slice_of_string("What a new topic is given when it is made without this setting.");
}

static size_t count_settings(void)
{
    size_t count = 0;

    while (settings_info(count) != NULL)
        count++;
    return count;
}

/* Numbers: the settings, and behind them the defaults of topics. */
static int list_broker_names(struct describing *describing, const struct settings *settings)
{
    struct catalog *catalog = &describing->broker;
    size_t count = count_settings();

    if (catalog->names != NULL) return 0;
    if (catalog_init(catalog, count + settings->topic_default_count, describing->arena) != 0) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++)
        catalog_add(catalog, i, settings_info(i)->key);
    for (size_t i = 0; i < settings->topic_default_count; i++) {
        const char *name = arena_printf(describing->arena, "topic.%s", settings->topic_defaults[i].key);

        if (name == NULL) return MESH_ENOMEM;
        catalog_add(catalog, count + i, name);
    }
    config_names_sort(catalog->names, catalog->name_count);
    return 0;
}

/* By their names in order. */
static int describe_this_broker(struct describing *describing, const asked_resource *asked, struct kafka_describe_configs_response_result *result)
{
    const struct settings *settings = &describing->request->connection->shard->broker->settings;
    struct catalog *catalog = &describing->broker;
    size_t count = count_settings();
    int err = list_broker_names(describing, settings);

    if (err != 0) return err;
    choose(catalog, asked);
    result->configs.items = kafka_new_items(&kafka_describe_configs_response_config_form, (int32_t)catalog->count, describing->arena);
    if (result->configs.items == NULL) return MESH_ENOMEM;
    for (size_t i = 0; err == 0 && i < catalog->name_count; i++) {
        const struct config_name *name = &catalog->names[i];
        told_config *to = &result->configs.items[result->configs.count];

        if (!catalog->is_wanted[name->number]) continue;
        result->configs.count++;
        if (name->number < count) err = describe_setting(settings, name->number, describing->with_text, describing->arena, to);
        else describe_topic_default(settings, name->number - count, name->text, describing->with_text, to);
    }
    return err;
}

/* Kafka's name for what holds for every broker at once is "": of that there is nothing, as each has its own. */
static int describe_broker(struct describing *describing, const asked_resource *asked, struct kafka_describe_configs_response_result *result)
{
    const struct connection *connection = describing->request->connection;
    char self[16];

    if (asked->resource_name.size == 0) return 0;
    snprintf(self, sizeof(self), "%d", kafka_sees_one_node(connection) ? GATEWAY_NODE_ID : (int)atomic_load(&connection->shard->broker->node_id));
    if (slice_equal(asked->resource_name, slice_of_string(self))) return describe_this_broker(describing, asked, result);
    result->error_code = KAFKA_CODE_INVALID_REQUEST;
    result->error_message = slice_of_string("a broker tells its own settings alone: ask that one");
    return 0;
}

/* ---- the request ---- */

static int describe(struct describing *describing, const asked_resource *asked, struct kafka_describe_configs_response_result *result)
{
    const struct image_topic *topic = NULL;

    if (asked->resource_type == RESOURCE_BROKER) return describe_broker(describing, asked, result);
    if (asked->resource_type == RESOURCE_TOPIC) topic = kafka_topic_by_name(describing->request->connection->shard->image, asked->resource_name);
    if (topic != NULL) return describe_topic(describing, topic, asked, result);
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
    struct describing describing = {.request = request, .arena = arena, .with_text = asked->include_documentation};
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
            err = describe(&describing, resource, result);
        }
    }
    return err;
}

enum serve kafka_serve_describe_configs(const struct kafka_request *request)
{
    struct kafka_describe_configs_response response;
    struct kafka_describe_configs_request asked;
    struct arena arena = ARENA_INIT;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && asked.resources.count > KAFKA_ADMIN_TOPICS_MAX) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    kafka_init(&kafka_describe_configs_response_form, &response);
    err = describe_all(request, &asked, &arena, &response);
    return kafka_admin_respond(request, &arena, err, &response);
}
