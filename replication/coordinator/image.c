/* coordinator/image.c - the image's life and the look-ups of image.h. */
#include "replication/coordinator/image_internal.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>
#include <strings.h>

static struct topic_object *object_of(const struct image_topic *topic)
{
    return container_of((struct image_topic *)(uintptr_t)topic, struct topic_object, topic);
}

static void topic_ref(const void *topic)
{
    atomic_fetch_add_explicit(&object_of(topic)->references, 1, memory_order_relaxed);
}

static void topic_unref(const void *topic)
{
    struct topic_object *object = object_of(topic);

    if (atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1) return;
    image_pages_unref(object->topic.pages);
    free(object);
}

static void tombstone_ref(const void *tombstone)
{
    atomic_fetch_add_explicit(&((struct tombstone *)(uintptr_t)tombstone)->references, 1,
                              memory_order_relaxed);
}

static void tombstone_unref(const void *tombstone)
{
    struct tombstone *same = (struct tombstone *)(uintptr_t)tombstone;

    if (atomic_fetch_sub_explicit(&same->references, 1, memory_order_acq_rel) == 1) free(same);
}

static void broker_unref(struct broker_object *object)
{
    if (atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) == 1) free(object);
}

int image_new_empty(struct image **ret_image)
{
    struct image *image = calloc(1, sizeof(*image));

    if (image == NULL) return MESH_ENOMEM;
    atomic_init(&image->references, 1);
    image->next_node_id = 1;
    image->next_producer_id = 1;
    image_index_init(&image->by_uuid, topic_ref, topic_unref);
    image_index_init(&image->by_name, topic_ref, topic_unref);
    image_index_init(&image->tombstones, tombstone_ref, tombstone_unref);
    *ret_image = image;
    return 0;
}

int image_clone(const struct image *base, struct image **ret_image)
{
    struct image *image = malloc(sizeof(*image));
    struct broker_slot *brokers = NULL;

    if (base->broker_count != 0) brokers = malloc(base->broker_count * sizeof(brokers[0]));
    if (image == NULL || (brokers == NULL && base->broker_count != 0)) {
        free(image);
        free(brokers);
        return MESH_ENOMEM;
    }
    memcpy(image, base, sizeof(*image));
    atomic_init(&image->references, 1);
    image->brokers = brokers;
    for (uint32_t i = 0; i < base->broker_count; i++) {
        brokers[i] = base->brokers[i];
        atomic_fetch_add_explicit(&brokers[i].object->references, 1, memory_order_relaxed);
    }
    image_index_copy(&image->by_uuid, &base->by_uuid);
    image_index_copy(&image->by_name, &base->by_name);
    image_index_copy(&image->tombstones, &base->tombstones);
    *ret_image = image;
    return 0;
}

struct image *image_ref(const struct image *image)
{
    struct image *same = (struct image *)(uintptr_t)image; /* the count is no part of the value */

    atomic_fetch_add_explicit(&same->references, 1, memory_order_relaxed);
    return same;
}

void image_unref(const struct image *image)
{
    struct image *same = (struct image *)(uintptr_t)image;

    if (same == NULL || atomic_fetch_sub_explicit(&same->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < same->broker_count; i++)
        broker_unref(same->brokers[i].object);
    free(same->brokers);
    image_index_deinit(&same->by_uuid);
    image_index_deinit(&same->by_name);
    image_index_deinit(&same->tombstones);
    free(same);
}

uint64_t image_applied_index(const struct image *image)
{
    return image->index;
}

uint64_t image_applied_term(const struct image *image)
{
    return image->term;
}

const uint8_t *image_chain(const struct image *image)
{
    return image->chain;
}

const struct raft_config *image_raft_config(const struct image *image)
{
    return &image->raft_config;
}

/* ---- brokers ---- */

const struct uuid *image_cluster_id(const struct image *image)
{
    return &image->cluster_id;
}

size_t image_broker_count(const struct image *image)
{
    return image->broker_count;
}

const struct image_broker *image_broker_at(const struct image *image, size_t i)
{
    return &image->brokers[i].object->broker;
}

struct broker_slot *image_broker_slot(struct image *image, int32_t node_id)
{
    uint32_t low = 0, high = image->broker_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (image->brokers[middle].object->broker.node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == image->broker_count || image->brokers[low].object->broker.node_id != node_id) return NULL;
    return &image->brokers[low];
}

const struct image_broker *image_find_broker(const struct image *image, int32_t node_id)
{
    const struct broker_slot *slot = image_broker_slot((struct image *)(uintptr_t)image, node_id);

    return slot == NULL ? NULL : &slot->object->broker;
}

const struct image_broker *image_find_broker_by_uuid(const struct image *image, const struct uuid *broker_id)
{
    for (uint32_t i = 0; i < image->broker_count; i++) {
        if (uuid_equal(&image->brokers[i].object->broker.broker_id, broker_id))
            return image_broker_at(image, i);
    }
    return NULL;
}

int32_t image_next_node_id(const struct image *image)
{
    return image->next_node_id;
}

int64_t image_next_producer_id(const struct image *image)
{
    return image->next_producer_id;
}

uint64_t image_replica_count(const struct image *image, int32_t node_id)
{
    const struct broker_slot *slot = image_broker_slot((struct image *)(uintptr_t)image, node_id);

    return slot == NULL ? 0 : slot->replica_count;
}

/* ---- topics ---- */

uint64_t image_hash_uuid(const struct uuid *uuid)
{
    uint64_t low = le_load64(uuid->bytes), high = le_load64(uuid->bytes + 8);

    /* Uuids are random already; this only folds the fixed bits of version and variant away. It also decides
     * on which shard a partition lives, so it may not change. */
    low = (low ^ high >> 32 ^ high << 32) * 0x9e3779b97f4a7c15u;
    return low ^ low >> 29;
}

uint64_t image_hash_name(const char *name)
{
    char folded[TOPIC_NAME_SIZE_MAX];
    size_t size = 0;

    for (; name[size] != '\0' && size < sizeof(folded); size++)
        folded[size] = name[size] >= 'A' && name[size] <= 'Z' ? (char)(name[size] - 'A' + 'a') : name[size];
    return map_hash_bytes(folded, size);
}

const struct image_topic *image_find_topic(const struct image *image, const struct uuid *topic_id)
{
    uint64_t hash = image_hash_uuid(topic_id);
    const struct image_topic *topic;

    for (size_t i = 0; (topic = image_index_find(&image->by_uuid, hash, i)) != NULL; i++) {
        if (uuid_equal(&topic->topic_id, topic_id)) return topic;
    }
    return NULL;
}

const struct image_topic *image_find_topic_by_folded_name(const struct image *image, const char *name)
{
    uint64_t hash = image_hash_name(name);
    const struct image_topic *topic;

    for (size_t i = 0; (topic = image_index_find(&image->by_name, hash, i)) != NULL; i++) {
        if (strcasecmp(topic->name, name) == 0) return topic;
    }
    return NULL;
}

const struct image_topic *image_find_topic_by_name(const struct image *image, const char *name)
{
    const struct image_topic *topic = image_find_topic_by_folded_name(image, name);

    return topic != NULL && strcmp(topic->name, name) == 0 ? topic : NULL;
}

size_t image_topic_count(const struct image *image)
{
    return image->by_uuid.count;
}

uint64_t image_partition_count(const struct image *image)
{
    return image->partition_count;
}

struct each_topic {
    image_topic_fn *each;
    void *user;
};

static int each_topic_object(void *user, const void *topic)
{
    struct each_topic *each = user;
    return each->each(each->user, topic);
}

int image_each_topic(const struct image *image, image_topic_fn *each, void *user)
{
    struct each_topic wrapped = {each, user};
    return image_index_each(&image->by_uuid, each_topic_object, &wrapped);
}

struct topic_list {
    const struct image_topic **topics;
    size_t count;
};

static int list_topic(void *user, const void *topic)
{
    struct topic_list *list = user;

    list->topics[list->count++] = topic;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct image_topic *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

int image_topics_by_name(const struct image *image, const struct image_topic ***ret_topics, size_t *ret_count)
{
    struct topic_list list = {NULL, 0};

    if (image->by_uuid.count != 0) {
        list.topics = malloc(image->by_uuid.count * sizeof(list.topics[0]));
        if (list.topics == NULL) return MESH_ENOMEM;
        image_index_each(&image->by_uuid, list_topic, &list);
        qsort(list.topics, list.count, sizeof(list.topics[0]), compare_names);
    }
    *ret_topics = list.topics;
    *ret_count = list.count;
    return 0;
}

bool image_topic_was_deleted(const struct image *image, const struct uuid *topic_id)
{
    uint64_t hash = image_hash_uuid(topic_id);
    const struct tombstone *tombstone;

    for (size_t i = 0; (tombstone = image_index_find(&image->tombstones, hash, i)) != NULL; i++) {
        if (uuid_equal(&tombstone->topic_id, topic_id)) return true;
    }
    return false;
}

const struct image_topic *image_topic_ref(const struct image_topic *topic)
{
    topic_ref(topic);
    return topic;
}

void image_topic_unref(const struct image_topic *topic)
{
    if (topic != NULL) topic_unref(topic);
}

bool image_topic_partition(const struct image_topic *topic, uint32_t partition,
                           struct image_partition *ret_partition)
{
    if (partition >= topic->partition_count) return false;
    image_pages_get(topic->pages, partition, ret_partition);
    return true;
}

int64_t image_topic_config(const struct image_topic *topic, enum topic_config_id id)
{
    for (uint32_t i = 0; i < topic->config_count; i++) {
        if (topic->configs[i].id == id) return topic->configs[i].value;
    }
    return topic_config_info(id)->fallback;
}

uint32_t image_shard_of(const struct uuid *topic_id, uint32_t partition, uint32_t shard_count)
{
    /* The topic chooses the first shard, its partitions go round from there: evenly, whatever their number.
     */
    return shard_count < 2 ? 0 : (uint32_t)((image_hash_uuid(topic_id) + partition) % shard_count);
}
