/* coordinator/image_edit.c - changes of an image in the making (image_internal.h). */
#include "replication/coordinator/image_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

static char *copy_string(char **at, struct slice string)
{
    char *copy = *at;

    if (string.size != 0) memcpy(copy, string.data, string.size);
    copy[string.size] = '\0';
    *at += string.size + 1;
    return copy;
}

static int broker_object_new(const struct body_broker *broker, const struct uuid *broker_id, uint64_t epoch,
                             struct broker_object **ret_object)
{
    size_t strings = broker->name.size + broker->host.size + broker->zone.size + 3;
    struct broker_object *object = malloc(sizeof(*object) + strings);
    char *at;

    if (object == NULL) return MESH_ENOMEM;
    atomic_init(&object->references, 1);
    at = object->strings;
    object->broker = (struct image_broker){
        .node_id = broker->node_id,
        .broker_id = *broker_id,
        .dir_id = broker->dir_id,
        .boot = broker->boot,
        .port = broker->port,
        .shard_count = broker->shard_count,
        .epoch = epoch,
        .is_fenced = (broker->flags & BODY_BROKER_FENCED) != 0,
        .is_draining = (broker->flags & BODY_BROKER_DRAINING) != 0,
        .has_bad_disk = (broker->flags & BODY_BROKER_BAD_DISK) != 0,
        .is_witness = (broker->flags & BODY_BROKER_WITNESS) != 0,
    };
    object->broker.name = copy_string(&at, broker->name);
    object->broker.host = copy_string(&at, broker->host);
    object->broker.zone = copy_string(&at, broker->zone);
    *ret_object = object;
    return 0;
}

/* Adds a slot behind the others; takes object, also on failure. */
static int slots_add(struct broker_slot **slots, uint32_t *count, struct broker_slot slot)
{
    struct broker_slot *grown = realloc(*slots, (*count + 1) * sizeof(grown[0]));

    if (grown == NULL) {
        image_broker_unref(slot.object);
        return MESH_ENOMEM;
    }
    grown[(*count)++] = slot;
    *slots = grown;
    return 0;
}

static void slots_remove(struct broker_slot *slots, uint32_t *count, uint32_t at)
{
    memmove(&slots[at], &slots[at + 1], (*count - at - 1) * sizeof(slots[0]));
    (*count)--;
}

int image_put_broker(struct image *image, const struct body_broker *broker, const struct uuid *broker_id, uint64_t epoch)
{
    struct broker_slot *slot = image_broker_slot(image, broker->node_id);
    struct broker_object *object;
    int err = broker_object_new(broker, broker_id, epoch, &object);

    if (err != 0) return err;
    if (slot != NULL) {
        image_broker_unref(slot->object);
        slot->object = object;
        return 0;
    }
    /* Node ids only rise, so a new broker stands last. */
    MESH_ASSERT(image->broker_count == 0 ||
                image->brokers[image->broker_count - 1].object->broker.node_id < broker->node_id);
    return slots_add(&image->brokers, &image->broker_count, (struct broker_slot){object, 0, 0});
}

int image_put_retired(struct image *image, const struct body_broker *broker, const struct uuid *broker_id, uint64_t epoch)
{
    struct broker_object *object;
    int err = broker_object_new(broker, broker_id, epoch, &object);

    return err != 0 ? err : slots_add(&image->retired, &image->retired_count, (struct broker_slot){object, 0, 0});
}

int image_retire_broker(struct image *image, int32_t node_id)
{
    struct broker_slot *slot = image_broker_slot(image, node_id), moved = *slot;
    uint32_t oldest = 0;

    if (image->retired_count >= IMAGE_RETIRED_MAX) {
        while (oldest < image->retired_count && image->retired[oldest].replica_count != 0)
            oldest++;
        if (oldest == image->retired_count) return MESH_ECORRUPT; /* decisions do not go so far */
        image_broker_unref(image->retired[oldest].object);
        slots_remove(image->retired, &image->retired_count, oldest);
    }
    slots_remove(image->brokers, &image->broker_count, (uint32_t)(slot - image->brokers));
    return slots_add(&image->retired, &image->retired_count, moved);
}

int topic_object_new(const struct topic_parts *parts, struct topic_object **ret_object)
{
    size_t configs_size = parts->config_count * sizeof(struct image_config);
    struct topic_object *object = malloc(sizeof(*object) + configs_size + parts->name.size + 1);
    char *name;

    if (object == NULL) {
        image_pages_unref(parts->pages);
        return MESH_ENOMEM;
    }
    atomic_init(&object->references, 1);
    name = (char *)object->configs + configs_size;
    if (configs_size != 0) memcpy(object->configs, parts->configs, configs_size);
    object->topic = (struct image_topic){
        .topic_id = parts->topic_id,
        .name = name,
        .created_index = parts->created_index,
        .changed_index = parts->changed_index,
        .partition_count = parts->partition_count,
        .config_count = parts->config_count,
        .configs = object->configs,
        .pages = parts->pages,
    };
    copy_string(&name, parts->name);
    *ret_object = object;
    return 0;
}

int image_put_topic(struct image *image, const struct topic_object *old, const struct topic_object *object)
{
    uint64_t uuid_hash = image_hash_uuid(&object->topic.topic_id),
             name_hash = image_hash_name(object->topic.name);
    int err;

    if (old == NULL) {
        err = image_index_insert(&image->by_uuid, uuid_hash, &object->topic);
        return err != 0 ? err : image_index_insert(&image->by_name, name_hash, &object->topic);
    }
    err = image_index_replace(&image->by_uuid, uuid_hash, &old->topic, &object->topic);
    return err != 0 ? err : image_index_replace(&image->by_name, name_hash, &old->topic, &object->topic);
}

struct tombstone_sweep {
    struct image_index *kept;
    uint64_t keep_above; /* index */
};

static int keep_newer(void *user, const void *object)
{
    struct tombstone_sweep *sweep = user;
    const struct tombstone *tombstone = object;

    if (tombstone->index <= sweep->keep_above) return 0;
    return image_index_insert(sweep->kept, image_hash_uuid(&tombstone->topic_id), tombstone);
}

int image_drop_tombstones(struct image *image, uint64_t index)
{
    struct image_index kept;
    struct tombstone_sweep sweep = {&kept, index};
    int err;

    image_index_init(&kept, image->tombstones.object_ref, image->tombstones.object_unref);
    err = image_index_each(&image->tombstones, keep_newer, &sweep);
    if (err != 0) {
        image_index_deinit(&kept);
        return err;
    }
    image_index_deinit(&image->tombstones);
    image->tombstones = kept;
    return 0;
}

static int bury_older(void *user, const void *object)
{
    struct tombstone_sweep *sweep = user;
    const struct tombstone *tombstone = object;

    if (tombstone->index > sweep->keep_above) return 0;
    return image_index_insert(sweep->kept, image_hash_uuid(&tombstone->topic_id), tombstone);
}

int image_bury_tombstones(struct image *image, uint64_t index)
{
    struct tombstone_sweep sweep = {&image->buried, index};
    struct image_index empty;
    int err;

    if (image->buried.count >= IMAGE_TOMBSTONES_MAX) {
        image_index_init(&empty, image->buried.object_ref, image->buried.object_unref);
        image_index_deinit(&image->buried);
        image->buried = empty;
    }
    err = image_index_each(&image->tombstones, bury_older, &sweep);
    return err != 0 ? err : image_drop_tombstones(image, index);
}

struct index_list {
    uint64_t *indexes;
    size_t count;
};

static int list_index(void *user, const void *object)
{
    struct index_list *list = user;

    list->indexes[list->count++] = ((const struct tombstone *)object)->index;
    return 0;
}

static int compare_indexes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Forgets the older half. What it depends on is in the image, so every broker forgets the same. */
static int forget_old_tombstones(struct image *image)
{
    struct index_list list = {malloc(image->tombstones.count * sizeof(uint64_t)), 0};
    uint64_t middle;

    if (list.indexes == NULL) return MESH_ENOMEM;
    image_index_each(&image->tombstones, list_index, &list);
    qsort(list.indexes, list.count, sizeof(list.indexes[0]), compare_indexes);
    middle = list.indexes[list.count / 2 - 1];
    free(list.indexes);
    return image_drop_tombstones(image, middle);
}

int image_add_tombstone(struct image *image, const struct uuid *topic_id, uint64_t index)
{
    struct tombstone *tombstone;
    int err = image->tombstones.count >= IMAGE_TOMBSTONES_MAX ? forget_old_tombstones(image) : 0;

    if (err != 0) return err;
    tombstone = malloc(sizeof(*tombstone));
    if (tombstone == NULL) return MESH_ENOMEM;
    atomic_init(&tombstone->object.references, 1);
    tombstone->topic_id = *topic_id;
    tombstone->index = index;
    err = image_index_insert(&image->tombstones, image_hash_uuid(topic_id), tombstone);
    image->tombstones.object_unref(tombstone); /* the index has its own reference */
    return err;
}

int image_remove_topic(struct image *image, const struct topic_object *object, uint64_t index)
{
    const struct image_topic *topic = &object->topic;
    int err = image_add_tombstone(image, &topic->topic_id, index);

    if (err == 0) err = image_forget_elections(image, topic);
    if (err == 0) err = image_forget_deletions(image, topic);
    if (err == 0) err = image_index_remove(&image->by_name, image_hash_name(topic->name), topic);
    if (err == 0) err = image_index_remove(&image->by_uuid, image_hash_uuid(&topic->topic_id), topic);
    return err;
}

int image_count_partition(struct image *image, const struct body_partition *state, int sign)
{
    for (uint32_t i = 0; i < state->replica_count; i++) {
        struct broker_slot *slot = image_any_slot(image, state->replicas[i]);
        if (slot == NULL || (sign > 0 && slot->replica_count >= IMAGE_PARTITIONS_MAX)) return MESH_ECORRUPT;
        slot->replica_count += (uint64_t)(int64_t)sign;
        if (state->replicas[i] == state->leader) slot->leader_count += (uint64_t)(int64_t)sign;
    }
    return 0;
}
