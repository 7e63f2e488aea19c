/* coordinator/decide_topic.c - decisions about topics: create, alter, delete. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/durability.h"
#include "replication/coordinator/placement.h"
#include "replication/coordinator/topic_name.h"

/* ---- configs ---- */

/* An unordered set of overrides while requests are read into it. */
struct overrides {
    int64_t values[TOPIC_CONFIG_COUNT];
    bool is_set[TOPIC_CONFIG_COUNT];
};

static int overrides_read(struct overrides *overrides, const struct decide_config *configs, size_t count,
                          struct decision *decision)
{
    bool is_given[TOPIC_CONFIG_COUNT] = {false};

    for (size_t i = 0; i < count; i++) {
        enum topic_config_id id;
        int err = topic_config_find(configs[i].key, &id, decision->message, sizeof(decision->message));
        if (err == 0)
            err = topic_config_parse(id, configs[i].value, &overrides->values[id], decision->message,
                                     sizeof(decision->message));
        if (err != 0) return err;
        if (is_given[id])
            return decision_refuse(decision, MESH_EINVALID_CONFIG, "%s is given twice",
                                   topic_config_info(id)->name);
        is_given[id] = overrides->is_set[id] = true;
    }
    return 0;
}

static void overrides_write(const struct overrides *overrides, struct body_topic *body)
{
    body->config_count = 0;
    for (unsigned id = 0; id < TOPIC_CONFIG_COUNT; id++) {
        if (!overrides->is_set[id]) continue;
        body->configs[body->config_count].id = (enum topic_config_id)id;
        body->configs[body->config_count++].value = overrides->values[id];
    }
}

/* ---- partitions ---- */

static int check_partition_count(int32_t count, struct decision *decision)
{
    if (count >= 1 && count <= IMAGE_TOPIC_PARTITIONS_MAX) return 0;
    return decision_refuse(decision, MESH_EINVALID_PARTITIONS, "a topic has 1 to %d partitions, not %d",
                           IMAGE_TOPIC_PARTITIONS_MAX, count);
}

/* More than there are brokers is a wish; but somebody has to begin. */
static int check_replication_factor(const struct image *image, int32_t factor, struct decision *decision)
{
    if (factor < 1)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION,
                               "a replication factor is at least 1, not %d", factor);
    if (factor > IMAGE_REPLICAS_MAX)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION,
                               "a replication factor is at most %d, not %d", IMAGE_REPLICAS_MAX, factor);
    if (placement_usable_count(image) != 0) return 0;
    return decision_refuse(decision, MESH_EINVALID_REPLICATION, "no broker is up that could host partitions");
}

/* Writes the change's body with this plan, which ends here; err: what came of making it. */
static int encode_plan(struct placement_plan *plan, int err, uint32_t partition_count, struct body_topic *body, struct decision *decision)
{
    if (err == MESH_EFULL)
        decision_refuse(decision, err, "%u more partitions would exceed the %d that a broker can host",
                        partition_count, IMAGE_PARTITIONS_MAX);
    if (err == 0) {
        body->placement_count = plan->run_count;
        err = body_encode_topic(decision_body(decision), body, plan->runs);
    }
    placement_plan_deinit(plan);
    return err == MESH_EFULL ? MESH_EINVALID_PARTITIONS : err;
}

/* Places new partitions and writes the change's body. */
static int place_and_encode(const struct image *image, const struct image_topic *topic,
                            uint32_t partition_count, uint32_t replication_factor, const struct decide_facts *facts,
                            struct body_topic *body, struct decision *decision)
{
    struct placement_plan plan = {NULL, 0, 0};
    int err = partition_count == 0 ? 0 : placement_choose(image, topic, partition_count, replication_factor, facts, &plan);

    return encode_plan(&plan, err, partition_count, body, decision);
}

/* The same where whoever asks has chosen the places. */
static int place_as_given(const struct image *image, const struct decide_topic_create *request, uint32_t factor, struct body_topic *body, struct decision *decision)
{
    struct placement_plan plan = {NULL, 0, 0};
    uint32_t partition_count = (uint32_t)request->partition_count;
    int err;

    if (request->partition_count < 1 || request->replication_factor < 1 || request->replica_count != (size_t)partition_count * factor)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "places are given for each replica of each partition, or for none");
    err = placement_take(image, request->replicas, partition_count, factor, &plan);
    if (err == MESH_EINVAL)
        err = decision_refuse(decision, MESH_EINVALID_REPLICATION, "the replicas of a partition are on different brokers, each of which is there and keeps records");
    return encode_plan(&plan, err, partition_count, body, decision);
}

/* ---- create ---- */

static int check_name_is_free(const struct image *image, const char *name, struct decision *decision)
{
    const struct image_topic *twin = image_find_topic_by_folded_name(image, name);

    if (twin == NULL) return 0;
    if (strcmp(twin->name, name) == 0)
        return decision_refuse(decision, MESH_ETOPIC_EXISTS, "topic \"%s\" exists already", name);
    return decision_refuse(
        decision, MESH_ETOPIC_EXISTS,
        "topic \"%.100s\" exists; names that differ only in upper and lower case are not allowed",
        twin->name);
}

static int check_new_name(const struct image *image, const struct decide_topic_create *request,
                          struct decision *decision)
{
    int err = topic_name_check(request->name, decision->message, sizeof(decision->message));

    if (err != 0) return err;
    if (topic_name_is_internal(request->name) && !request->is_internal)
        return decision_refuse(decision, MESH_EINVALID_TOPIC,
                               "names that begin with \"__mesh\" are the mesh's own");
    return check_name_is_free(image, request->name, decision);
}

/* 0 and -1 mean the default. */
static int32_t choose_partition_count(const struct decide_topic_create *request)
{
    bool wants_default = request->partition_count == 0 || request->partition_count == -1;

    return wants_default ? request->partition_count_default : request->partition_count;
}

/* How many replicas are wanted: what is asked for, else what the settings say, else the default, which never asks for more brokers than the mesh
 * has: on a mesh of one a topic has one replica, and nothing is missing. One that is down counts: its place is kept, as a wish. */
static int choose_factor(const struct image *image, const struct decide_topic_create *request, const struct body_topic *body,
                         struct decision *decision, int32_t *ret_factor)
{
    int32_t brokers = (int32_t)placement_keeping_count(image), fallback = request->replication_factor_default;
    int32_t wanted = (int32_t)durability_config(body, TOPIC_CONFIG_REPLICAS);
    bool asks_default = request->replication_factor == 0 || request->replication_factor == -1;

    if (!asks_default && wanted != 0 && wanted != request->replication_factor)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "replicas=%d contradicts the replication factor of %d that is asked for",
                               wanted, request->replication_factor);
    if (!asks_default)
        *ret_factor = request->replication_factor;
    else if (wanted != 0)
        *ret_factor = wanted;
    else if (durability_config(body, TOPIC_CONFIG_MODE) == TOPIC_MODE_SYNC_DOUBLE_WRITE)
        *ret_factor = 2;
    else
        *ret_factor = fallback > brokers && brokers > 0 ? brokers : fallback;
    return 0;
}

/* A wish for more replicas than there are brokers is kept with the topic. What its minimum would be is fixed with it: nobody who asks for three
 * copies shall be told that a record is kept because there is one. But the mesh's own topics have to work on a mesh of one: their minimum grows with their
 * replicas. */
static int keep_wish(struct body_topic *body, int32_t factor, int32_t placed, bool is_internal, struct decision *decision)
{
    if (placed == factor) return 0;
    if (durability_config(body, TOPIC_CONFIG_MODE) == TOPIC_MODE_QUORUM)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION,
                               "mode=quorum needs its %d brokers when the topic is made, and %d %s up", factor, placed,
                               placed == 1 ? "is" : "are");
    durability_set(body, TOPIC_CONFIG_REPLICAS, factor);
    if (!is_internal && durability_config(body, TOPIC_CONFIG_MIN_INSYNC) == 0) durability_set(body, TOPIC_CONFIG_MIN_INSYNC, factor / 2 + 1);
    return 0;
}

/* The new topic's settings. */
static int read_settings(const struct image *image, const struct decide_topic_create *request, struct body_topic *body,
                         struct decision *decision, int32_t *ret_factor)
{
    struct overrides overrides = {.is_set = {false}};
    int err = overrides_read(&overrides, request->config_defaults, request->config_default_count, decision);

    if (err == 0) err = overrides_read(&overrides, request->configs, request->config_count, decision);
    if (err != 0) return err;
    overrides_write(&overrides, body);
    err = choose_factor(image, request, body, decision, ret_factor);
    if (err == 0) err = check_replication_factor(image, *ret_factor, decision);
    return err != 0 ? err : durability_check(body, *ret_factor, decision);
}

int decide_topic_create(const struct image *image, const struct decide_topic_create *request,
                        struct decision *decision)
{
    struct body_topic body = {.name = slice_of_string(request->name)};
    int32_t partition_count = choose_partition_count(request), brokers = (int32_t)placement_usable_count(image), factor = 0, placed;
    int err = check_new_name(image, request, decision);

    if (err == 0) err = check_partition_count(partition_count, decision);
    if (err == 0) err = read_settings(image, request, &body, decision, &factor);
    if (err == 0 && image_topic_count(image) >= IMAGE_TOPICS_MAX)
        err = decision_refuse(decision, MESH_EFULL, "the mesh has %d topics, its limit", IMAGE_TOPICS_MAX);
    if (err != 0) return err;
    placed = factor < brokers || request->replica_count > 0 ? factor : brokers;
    err = keep_wish(&body, factor, placed, request->is_internal, decision);
    if (err == 0 && request->replica_count > 0)
        err = place_as_given(image, request, (uint32_t)factor, &body, decision);
    else if (err == 0)
        err = place_and_encode(image, NULL, (uint32_t)partition_count, (uint32_t)placed, request->facts, &body, decision);
    if (err == 0) err = decision_add_uuid(decision, METADATA_TOPIC_CREATED, &request->topic_id);
    if (err == 0) durability_warn(&body, factor, placed, decision);
    return err;
}

/* ---- alter ---- */

static int find_topic(const struct image *image, const char *name, struct decision *decision,
                      const struct image_topic **ret_topic)
{
    const struct image_topic *topic = image_find_topic_by_name(image, name), *twin;
    char reason[160];

    if (topic != NULL) {
        *ret_topic = topic;
        return 0;
    }
    if (topic_name_check(name, reason, sizeof(reason)) != 0)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such topic: %s", reason);
    twin = image_find_topic_by_folded_name(image, name);
    if (twin != NULL)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC,
                               "there is no topic \"%.100s\"; there is \"%.100s\"", name, twin->name);
    return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no topic \"%s\"", name);
}

static int remove_keys(struct overrides *overrides, const struct decide_topic_alter *request,
                       struct decision *decision)
{
    for (size_t i = 0; i < request->removed_key_count; i++) {
        enum topic_config_id id;
        int err =
            topic_config_find(request->removed_keys[i], &id, decision->message, sizeof(decision->message));
        if (err != 0) return err;
        overrides->is_set[id] = false;
    }
    return 0;
}

static int check_growth(const struct image_topic *topic, int32_t wanted, struct decision *decision)
{
    int err = wanted == 0 ? 0 : check_partition_count(wanted, decision);

    if (err != 0 || wanted == 0 || (uint32_t)wanted >= topic->partition_count) return err;
    return decision_refuse(decision, MESH_EINVALID_PARTITIONS,
                           "topic \"%s\" has %u partitions; their number can only grow", topic->name,
                           topic->partition_count);
}

/* The replication factor that the topic shall have: what its settings say, else what its first partition has or is moving to. */
static uint32_t wanted_factor(const struct image_topic *topic, const struct body_topic *body)
{
    int64_t wanted = durability_config(body, TOPIC_CONFIG_REPLICAS);
    struct image_partition first;

    if (wanted != 0) return (uint32_t)wanted;
    image_topic_partition(topic, 0, &first);
    return first.replica_count - (uint32_t)__builtin_popcount(first.removing);
}

static bool configs_equal(const struct image_topic *topic, const struct body_topic *body)
{
    if (topic->config_count != body->config_count) return false;
    for (uint32_t i = 0; i < body->config_count; i++) {
        if (topic->configs[i].id != body->configs[i].id || topic->configs[i].value != body->configs[i].value)
            return false;
    }
    return true;
}

/* What the overrides become: those of now, less the removed, with the new ones. */
static int alter_configs(const struct image_topic *topic, const struct decide_topic_alter *request,
                         struct body_topic *body, struct decision *decision)
{
    struct overrides overrides = {.is_set = {false}};
    int err;

    for (uint32_t i = 0; i < topic->config_count; i++) {
        overrides.values[topic->configs[i].id] = topic->configs[i].value;
        overrides.is_set[topic->configs[i].id] = true;
    }
    err = remove_keys(&overrides, request, decision);
    if (err == 0) err = overrides_read(&overrides, request->configs, request->config_count, decision);
    if (err != 0) return err;
    overrides_write(&overrides, body);
    err = durability_check_change(topic, body, decision);
    return err != 0 ? err : durability_check(body, (int32_t)wanted_factor(topic, body), decision);
}

/* Writes the change: new settings, new partitions, and what the settings mean for the partitions of now. */
static int alter(const struct image *image, const struct image_topic *topic, const struct decide_topic_alter *request, uint32_t added,
                 struct body_topic *body, struct decision *decision)
{
    uint32_t brokers = (uint32_t)placement_usable_count(image), factor = wanted_factor(topic, body);
    uint32_t placed = factor < brokers ? factor : brokers;
    int err;

    if (added != 0 && placed == 0)
        return decision_refuse(decision, MESH_EINVALID_REPLICATION, "no broker is up that could host more partitions");
    err = added == 0 ? 0 : keep_wish(body, (int32_t)factor, (int32_t)placed, false, decision);
    if (err == 0) err = place_and_encode(image, topic, added, placed, request->facts, body, decision);
    if (err == 0) err = decision_add_uuid(decision, METADATA_TOPIC_ALTERED, &topic->topic_id);
    if (err == 0) err = durability_settle(topic, body, decision);
    if (err == 0) durability_warn(body, (int32_t)factor, (int32_t)placed, decision);
    return err;
}

int decide_topic_alter(const struct image *image, const struct decide_topic_alter *request,
                       struct decision *decision)
{
    const struct image_topic *topic = NULL;
    struct body_topic body = {.partition_count = 0};
    uint32_t added;
    int err = find_topic(image, request->name, decision, &topic);

    if (err == 0 && topic_name_is_internal(request->name))
        err = decision_refuse(decision, MESH_EINVALID_TOPIC, "topic \"%s\" is the mesh's own", request->name);
    if (err == 0) err = check_growth(topic, request->partition_count, decision);
    if (err == 0) err = alter_configs(topic, request, &body, decision);
    if (err != 0) return err;
    added = request->partition_count == 0 ? 0 : (uint32_t)request->partition_count - topic->partition_count;
    if (added == 0 && configs_equal(topic, &body)) return 0; /* it is so already */
    return alter(image, topic, request, added, &body, decision);
}

/* ---- delete ---- */

static int delete(const struct image_topic *topic, struct decision *decision)
{
    int err;

    if (topic_name_is_internal(topic->name))
        return decision_refuse(decision, MESH_EINVALID_TOPIC, "topic \"%s\" is the mesh's own", topic->name);
    err = body_encode_empty(decision_body(decision));
    return err != 0 ? err : decision_add_uuid(decision, METADATA_TOPIC_DELETED, &topic->topic_id);
}

int decide_topic_delete(const struct image *image, const char *name, struct decision *decision)
{
    const struct image_topic *topic = NULL;
    int err = find_topic(image, name, decision, &topic);

    return err != 0 ? err : delete(topic, decision);
}

int decide_topic_delete_id(const struct image *image, const struct uuid *topic_id, struct decision *decision)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);

    if (topic == NULL) return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no topic of this id");
    return delete(topic, decision);
}
