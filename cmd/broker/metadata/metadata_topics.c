/* metadata/metadata_topics.c - what can be asked to change: topics, and blocks of producer ids. */
#include "cmd/broker/metadata/metadata_internal.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

/* The request's pairs in the decision's form. NULL: none, or (with *ret_error set) no memory. */
static struct decide_config *copy_configs(const struct message_config *configs, size_t count, int *ret_error)
{
    struct decide_config *copies = count == 0 ? NULL : calloc(count, sizeof(copies[0]));

    *ret_error = count != 0 && copies == NULL ? MESH_ENOMEM : 0;
    for (size_t i = 0; copies != NULL && i < count; i++) {
        copies[i].key = configs[i].key;
        copies[i].value = configs[i].value;
    }
    return copies;
}

static void answer_error(const struct decision *decision, int err, metadata_topic_fn *done, void *user)
{
    done(user, err, decision->message[0] != '\0' ? decision->message : mesh_strerror(err), NULL);
}

void metadata_topic_create(struct metadata *metadata, const struct message_topic_create *request,
                           metadata_topic_fn *done, void *user)
{
    struct decide_topic_create wanted = {
        .name = request->name == NULL ? "" : request->name,
        .partition_count = request->partition_count,
        .replication_factor = request->replication_factor,
        .config_count = request->config_count,
        .topic_id = metadata_fresh_uuid(),
        .partition_count_default = metadata->partition_count_default,
        .replication_factor_default = metadata->replication_factor_default,
        .config_defaults = metadata->config_defaults,
        .config_default_count = metadata->config_default_count,
    };
    struct decide_config *configs;
    struct decision decision;
    const struct image_topic *topic;
    int err;

    decision_init(&decision);
    wanted.configs = configs = copy_configs(request->configs, request->config_count, &err);
    if (err == 0) err = decide_topic_create(metadata->image, &wanted, &decision);
    if (err == 0 && !request->validate_only) err = metadata_commit(metadata, &decision);
    free(configs);
    if (err != 0) {
        answer_error(&decision, err, done, user);
    } else if (request->validate_only) {
        done(user, 0, "", NULL);
    } else {
        topic = image_find_topic(metadata->image, &wanted.topic_id);
        log_info("topic created topic=%s partitions=%u", topic->name, topic->partition_count);
        done(user, 0, "", topic);
    }
    decision_deinit(&decision);
}

void metadata_topic_alter(struct metadata *metadata, const struct message_topic_alter *request,
                          metadata_topic_fn *done, void *user)
{
    struct decide_topic_alter wanted = {
        .name = request->name == NULL ? "" : request->name,
        .partition_count = request->partition_count,
        .config_count = request->config_count,
        .removed_keys = (const char *const *)request->removed_keys,
        .removed_key_count = request->removed_key_count,
    };
    struct decide_config *configs;
    struct decision decision;
    const struct image_topic *topic;
    int err;

    decision_init(&decision);
    wanted.configs = configs = copy_configs(request->configs, request->config_count, &err);
    if (err == 0) err = decide_topic_alter(metadata->image, &wanted, &decision);
    if (err == 0) err = metadata_commit(metadata, &decision);
    free(configs);
    if (err != 0) {
        answer_error(&decision, err, done, user);
    } else {
        topic = image_find_topic_by_name(metadata->image, wanted.name);
        log_info("topic altered topic=%s partitions=%u", topic->name, topic->partition_count);
        done(user, 0, "", topic);
    }
    decision_deinit(&decision);
}

void metadata_topic_delete(struct metadata *metadata, const struct message_topic_delete *request,
                           metadata_topic_fn *done, void *user)
{
    const char *name = request->name == NULL ? "" : request->name;
    const struct image_topic *topic = image_find_topic_by_name(metadata->image, name);
    struct decision decision;
    int err;

    decision_init(&decision);
    if (topic != NULL) image_topic_ref(topic); /* to be shown as it was */
    err = decide_topic_delete(metadata->image, name, &decision);
    if (err == 0) err = metadata_commit(metadata, &decision);
    if (err != 0) {
        answer_error(&decision, err, done, user);
    } else {
        log_info("topic deleted topic=%s partitions=%u", topic->name, topic->partition_count);
        done(user, 0, "", topic);
    }
    image_topic_unref(topic);
    decision_deinit(&decision);
}

void metadata_allocate_producer_ids(struct metadata *metadata, uint32_t count, metadata_producer_ids_fn *done,
                                    void *user)
{
    int64_t first = image_next_producer_id(metadata->image);
    struct decision decision;
    int err;

    decision_init(&decision);
    err = decide_producer_ids(metadata->image, metadata->node_id, count, &decision);
    if (err == 0) err = metadata_commit(metadata, &decision);
    decision_deinit(&decision);
    done(user, err, err == 0 ? first : 0, err == 0 ? count : 0);
}
