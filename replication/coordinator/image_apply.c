/* coordinator/image_apply.c - entries become the next image.
 *
 * An entry that cannot follow the image it meets means that histories have parted or bytes have rotted:
 * MESH_ECORRUPT, and the caller stops; nothing is ever skipped. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"
#include "base/list.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

static struct topic_object *find_object(const struct image *image, const struct uuid *topic_id)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);

    return topic == NULL ? NULL
                         : container_of((struct image_topic *)(uintptr_t)topic, struct topic_object, topic);
}

/* The key of most records: a uuid that is not zero. */
static int key_uuid(const struct image_change *change, struct uuid *ret_uuid)
{
    if (change->key.size != UUID_SIZE) return MESH_ECORRUPT;
    memcpy(ret_uuid->bytes, change->key.data, UUID_SIZE);
    return uuid_is_zero(ret_uuid) ? MESH_ECORRUPT : 0;
}

static int apply_cluster_created(struct image *image, const struct image_change *change)
{
    struct uuid cluster_id;
    int err = body_decode_empty(change->body);

    if (err == 0) err = key_uuid(change, &cluster_id);
    if (err != 0) return err;
    if (!uuid_is_zero(&image->cluster_id)) return MESH_ECORRUPT; /* a mesh is founded once */
    image->cluster_id = cluster_id;
    return 0;
}

/* ---- brokers ---- */

static int collect_topic(void *user, const struct image_topic *topic)
{
    const struct image_topic ***next = user;

    *(*next)++ = topic;
    return 0;
}

static bool leads_any(const struct image_topic *topic, int32_t node_id)
{
    struct image_partition partition;

    for (uint32_t i = 0; i < topic->partition_count; i++) {
        image_pages_get(topic->pages, i, &partition);
        if (partition.leader == node_id) return true;
    }
    return false;
}

/* Puts a topic in the place of one that differs in pages (taken), counts or configs. */
static int replace_topic(struct image *image, const struct topic_object *old, uint64_t index,
                         struct image_pages *pages, uint32_t partition_count,
                         const struct image_config *configs, uint32_t config_count)
{
    struct topic_parts parts = {
        .topic_id = old->topic.topic_id,
        .name = slice_of_string(old->topic.name),
        .created_index = old->topic.created_index,
        .changed_index = index,
        .configs = configs,
        .config_count = config_count,
        .partition_count = partition_count,
        .pages = pages,
    };
    struct topic_object *object;
    int err = topic_object_new(&parts, &object);

    if (err != 0) return err;
    err = image_put_topic(image, old, object);
    image_topic_unref(&object->topic); /* the image has its own references */
    return err;
}

static int raise_topic_epochs(struct image *image, const struct topic_object *old, int32_t node_id,
                              uint64_t index)
{
    const struct image_topic *topic = &old->topic;
    struct body_partition state;
    struct image_pages *pages;
    int err = image_pages_extend(topic->pages, topic->partition_count, topic->partition_count, &pages);

    for (uint32_t i = 0; i < topic->partition_count && err == 0; i++) {
        image_pages_load(topic->pages, i, &state);
        if (state.leader != node_id || state.leader_epoch == INT32_MAX) continue;
        state.leader_epoch++;
        state.partition_epoch++;
        err = image_pages_set(pages, &state);
        if (err != 0) image_pages_unref(pages);
    }
    if (err != 0) return err;
    return replace_topic(image, old, index, pages, topic->partition_count, topic->configs,
                         topic->config_count);
}

/* A broker that has started again leads under new epochs: what its former life still has in flight is fenced.
 * One record does it for all its partitions. */
static int raise_epochs(struct image *image, int32_t node_id, uint64_t index)
{
    const struct image_topic **topics, **next;
    size_t count = image_topic_count(image);
    int err = 0;

    if (count == 0) return 0;
    topics = next = malloc(count * sizeof(topics[0]));
    if (topics == NULL) return MESH_ENOMEM;
    image_each_topic(image, collect_topic, &next);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (!leads_any(topics[i], node_id)) continue;
        err = raise_topic_epochs(
            image, container_of((struct image_topic *)(uintptr_t)topics[i], struct topic_object, topic),
            node_id, index);
    }
    free(topics);
    return err;
}

static int apply_broker_registered(struct image *image, const struct image_change *change)
{
    struct uuid broker_id;
    struct body_broker broker;
    const struct image_broker *known;
    uint64_t boot_before;
    int err = body_decode_broker(change->body, &broker);

    if (err == 0) err = key_uuid(change, &broker_id);
    if (err != 0) return err;
    known = image_find_broker_by_uuid(image, &broker_id);
    if (known == NULL) {
        if (broker.node_id != image->next_node_id || image->broker_count >= IMAGE_BROKERS_MAX)
            return MESH_ECORRUPT;
        image->next_node_id++;
        return image_put_broker(image, &broker, &broker_id);
    }
    if (broker.node_id != known->node_id || broker.boot < known->boot) return MESH_ECORRUPT;
    boot_before = known->boot;
    err = image_put_broker(image, &broker, &broker_id); /* `known` is gone now */
    if (err == 0 && broker.boot > boot_before) err = raise_epochs(image, broker.node_id, change->index);
    return err;
}

/* ---- topics ---- */

/* Adds the placements' partitions from number `first` on. */
static int add_partitions(struct image *image, struct body_topic *body, uint32_t first,
                          struct image_pages *pages)
{
    struct body_placement placement;
    struct body_partition state = {.partition = first};

    while (body_placement_next(body, &placement)) {
        state.leader = placement.replicas[0];
        state.replica_count = placement.replica_count;
        state.isr = (1u << placement.replica_count) - 1;
        memcpy(state.replicas, placement.replicas, sizeof(state.replicas));
        for (uint32_t i = 0; i < placement.count; i++) {
            int err = image_count_replicas(image, state.replicas, state.replica_count, 1);
            if (err == 0) err = image_pages_set(pages, &state);
            if (err != 0) return err;
            state.partition++;
        }
    }
    image->partition_count += body->partition_count;
    return 0;
}

static int check_new_topic(const struct image *image, const struct uuid *topic_id,
                           const struct body_topic *body)
{
    char name[256], unused[1];

    memcpy(name, body->name.data, body->name.size);
    name[body->name.size] = '\0';
    if (topic_name_check(name, unused, sizeof(unused)) != 0 || body->partition_count == 0)
        return MESH_ECORRUPT;
    if (image_find_topic(image, topic_id) != NULL || image_topic_was_deleted(image, topic_id))
        return MESH_ECORRUPT;
    if (image_find_topic_by_folded_name(image, name) != NULL) return MESH_ECORRUPT;
    return image_topic_count(image) >= IMAGE_TOPICS_MAX ? MESH_ECORRUPT : 0;
}

static int apply_topic_created(struct image *image, const struct image_change *change)
{
    struct topic_parts parts = {.created_index = change->index, .changed_index = change->index};
    struct topic_object *object;
    struct body_topic body;
    int err = body_decode_topic(change->body, &body);

    if (err == 0) err = key_uuid(change, &parts.topic_id);
    if (err == 0) err = body.name.size == 0 ? MESH_ECORRUPT : check_new_topic(image, &parts.topic_id, &body);
    if (err == 0) err = image_pages_extend(NULL, 0, body.partition_count, &parts.pages);
    if (err != 0) return err;
    err = add_partitions(image, &body, 0, parts.pages);
    if (err != 0) {
        image_pages_unref(parts.pages);
        return err;
    }
    parts.name = body.name;
    parts.configs = body.configs;
    parts.config_count = body.config_count;
    parts.partition_count = body.partition_count;
    err = topic_object_new(&parts, &object);
    if (err != 0) return err;
    err = image_put_topic(image, NULL, object);
    image_topic_unref(&object->topic);
    return err;
}

static int apply_topic_altered(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct body_topic body;
    struct topic_object *old = NULL;
    struct image_pages *pages;
    uint32_t count;
    int err = body_decode_topic(change->body, &body);

    if (err == 0) err = key_uuid(change, &topic_id);
    if (err == 0) old = find_object(image, &topic_id);
    if (err != 0) return err;
    if (old == NULL || body.name.size != 0) return MESH_ECORRUPT;
    count = old->topic.partition_count + body.partition_count;
    if (count > IMAGE_TOPIC_PARTITIONS_MAX) return MESH_ECORRUPT;
    err = image_pages_extend(old->topic.pages, old->topic.partition_count, count, &pages);
    if (err != 0) return err;
    err = add_partitions(image, &body, old->topic.partition_count, pages);
    if (err != 0) {
        image_pages_unref(pages);
        return err;
    }
    return replace_topic(image, old, change->index, pages, count, body.configs, body.config_count);
}

static int apply_topic_deleted(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct image_partition partition;
    struct topic_object *object;
    int err = body_decode_empty(change->body);

    if (err == 0) err = key_uuid(change, &topic_id);
    if (err != 0) return err;
    object = find_object(image, &topic_id);
    if (object == NULL) return MESH_ECORRUPT;
    for (uint32_t i = 0; i < object->topic.partition_count; i++) {
        image_pages_get(object->topic.pages, i, &partition);
        err = image_count_replicas(image, partition.replicas, partition.replica_count, -1);
        if (err != 0) return err;
    }
    image->partition_count -= object->topic.partition_count;
    return image_remove_topic(image, object, change->index);
}

/* ---- partitions ---- */

/* Epochs only rise, and every change is made from the state just before it. */
static bool may_follow(const struct body_partition *now, const struct body_partition *next)
{
    if (next->partition_epoch != now->partition_epoch + 1 || next->leader_epoch < now->leader_epoch)
        return false;
    return next->leader == now->leader || next->leader_epoch > now->leader_epoch;
}

static int change_partition(struct image *image, const struct image_topic *topic, struct codec_reader *reader,
                            struct image_pages *pages)
{
    struct body_partition now, next;
    int err = body_partition_next(reader, &next);

    if (err != 0) return err;
    if (next.partition >= topic->partition_count) return MESH_ECORRUPT;
    image_pages_load(pages, next.partition, &now);
    if (!may_follow(&now, &next)) return MESH_ECORRUPT;
    err = image_count_replicas(image, now.replicas, now.replica_count, -1);
    if (err == 0) err = image_count_replicas(image, next.replicas, next.replica_count, 1);
    return err != 0 ? err : image_pages_set(pages, &next);
}

static int apply_partitions_changed(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct codec_reader reader;
    struct topic_object *old;
    struct image_pages *pages;
    uint32_t count;
    int err = body_decode_partitions(change->body, &reader, &count);

    if (err == 0) err = key_uuid(change, &topic_id);
    if (err != 0) return err;
    old = find_object(image, &topic_id);
    if (old == NULL) return MESH_ECORRUPT;
    err =
        image_pages_extend(old->topic.pages, old->topic.partition_count, old->topic.partition_count, &pages);
    if (err != 0) return err;
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = change_partition(image, &old->topic, &reader, pages);
    if (err != 0) {
        image_pages_unref(pages);
        return err;
    }
    return replace_topic(image, old, change->index, pages, old->topic.partition_count, old->topic.configs,
                         old->topic.config_count);
}

static int apply_producer_ids(struct image *image, const struct image_change *change)
{
    struct body_producer_ids ids;
    int err = body_decode_producer_ids(change->body, &ids);

    if (err != 0) return err;
    if (change->key.size != 0 || ids.first != image->next_producer_id) return MESH_ECORRUPT;
    image->next_producer_id = ids.first + ids.count;
    return 0;
}

/* ---- the log's order ---- */

static int apply_body(struct image *image, const struct image_change *change)
{
    if (uuid_is_zero(&image->cluster_id) && change->kind != METADATA_CLUSTER_CREATED) return MESH_ECORRUPT;
    switch (change->kind) {
    case METADATA_CLUSTER_CREATED: return apply_cluster_created(image, change);
    case METADATA_BROKER_REGISTERED: return apply_broker_registered(image, change);
    case METADATA_TOPIC_CREATED: return apply_topic_created(image, change);
    case METADATA_TOPIC_ALTERED: return apply_topic_altered(image, change);
    case METADATA_TOPIC_DELETED: return apply_topic_deleted(image, change);
    case METADATA_PARTITIONS_CHANGED: return apply_partitions_changed(image, change);
    case METADATA_PRODUCER_IDS_ALLOCATED: return apply_producer_ids(image, change);
    default: return MESH_EVERSION;
    }
}

static int apply_command(struct image *image, const struct raft_entry *entry)
{
    struct codec_reader reader;
    struct image_change change = {.index = entry->index};
    struct metadata_change next;
    int err = metadata_command_open(entry->body, &reader);

    while (err == 0 && metadata_command_next(&reader, &next)) {
        change.kind = next.kind;
        change.key = next.key;
        change.body = next.body;
        err = apply_body(image, &change);
    }
    return err;
}

int image_advance(struct image *image, const struct raft_entry *entry)
{
    uint8_t chain[RAFT_CHAIN_SIZE];
    int err;

    if (entry->index != image->index + 1 || entry->term < image->term) return MESH_ECORRUPT;
    metadata_chain(image->chain, entry, chain);
    if (memcmp(chain, entry->chain, RAFT_CHAIN_SIZE) != 0) return MESH_ECORRUPT;
    switch (entry->type) {
    case RAFT_ENTRY_NOOP: err = entry->body.size == 0 ? 0 : MESH_ECORRUPT; break;
    case RAFT_ENTRY_CONFIG: err = raft_config_decode(entry->body, &image->raft_config); break;
    case RAFT_ENTRY_COMMAND: err = apply_command(image, entry); break;
    default: err = MESH_EVERSION; break;
    }
    if (err != 0) return err;
    image->index = entry->index;
    image->term = entry->term;
    memcpy(image->chain, chain, RAFT_CHAIN_SIZE);
    return 0;
}

int image_apply(const struct image *base, const struct raft_entry *entries, size_t count, struct image **ret_image)
{
    struct image *image;
    int err = image_clone(base, &image);

    if (err != 0) return err;
    for (size_t i = 0; i < count; i++) {
        err = image_advance(image, &entries[i]);
        if (err != 0) {
            image_unref(image);
            return err;
        }
    }
    *ret_image = image;
    return 0;
}
