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

void object_ref(const void *object)
{
    struct object *same = (struct object *)(uintptr_t)object; /* the count is no part of the value */

    atomic_fetch_add_explicit(&same->references, 1, memory_order_relaxed);
}

void object_unref(const void *object)
{
    struct object *same = (struct object *)(uintptr_t)object;

    if (same != NULL && atomic_fetch_sub_explicit(&same->references, 1, memory_order_acq_rel) == 1) free(same);
}

void image_broker_unref(struct broker_object *object)
{
    if (atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) == 1) free(object);
}

/* All but the first two hold plain objects. */
static struct image_index *image_indexes(struct image *image, size_t i)
{
    struct image_index *indexes[] = {&image->by_uuid, &image->by_name, &image->tombstones, &image->buried,
                                     &image->users,   &image->acls,    &image->requests,   &image->elections,
                                     &image->deletions};

    return i < sizeof(indexes) / sizeof(indexes[0]) ? indexes[i] : NULL;
}

int image_new_empty(struct image **ret_image)
{
    struct image *image = calloc(1, sizeof(*image));

    if (image == NULL) return MESH_ENOMEM;
    atomic_init(&image->references, 1);
    image->next_node_id = 1;
    image->next_producer_id = 1;
    for (size_t i = 0; image_indexes(image, i) != NULL; i++)
        image_index_init(image_indexes(image, i), i < 2 ? topic_ref : object_ref, i < 2 ? topic_unref : object_unref);
    *ret_image = image;
    return 0;
}

/* A copy of the slots with references of its own. NULL with *ret_error set: no memory. */
static struct broker_slot *copy_slots(const struct broker_slot *slots, uint32_t count, int *ret_error)
{
    struct broker_slot *copy = count == 0 ? NULL : malloc(count * sizeof(copy[0]));

    if (copy == NULL) {
        *ret_error = count == 0 ? *ret_error : MESH_ENOMEM;
        return NULL;
    }
    memcpy(copy, slots, count * sizeof(copy[0]));
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&copy[i].object->references, 1, memory_order_relaxed);
    return copy;
}

static void free_slots(struct broker_slot *slots, uint32_t count)
{
    for (uint32_t i = 0; slots != NULL && i < count; i++)
        image_broker_unref(slots[i].object);
    free(slots);
}

int image_clone(const struct image *base, struct image **ret_image)
{
    struct image *image = malloc(sizeof(*image));
    int err = image == NULL ? MESH_ENOMEM : 0;

    if (err != 0) return err;
    atomic_init(&image->references, 1); /* base's own is left alone: other threads count on it meanwhile */
    memcpy((char *)image + sizeof(image->references), (const char *)base + sizeof(base->references), sizeof(*image) - sizeof(image->references));
    image->brokers = copy_slots(base->brokers, base->broker_count, &err);
    image->retired = copy_slots(base->retired, base->retired_count, &err);
    if (err != 0) {
        free_slots(image->brokers, image->broker_count);
        free_slots(image->retired, image->retired_count);
        free(image);
        return err;
    }
    for (size_t i = 0; image_indexes(image, i) != NULL; i++)
        image_index_copy(image_indexes(image, i), image_indexes((struct image *)(uintptr_t)base, i));
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
    free_slots(same->brokers, same->broker_count);
    free_slots(same->retired, same->retired_count);
    for (size_t i = 0; image_indexes(same, i) != NULL; i++)
        image_index_deinit(image_indexes(same, i));
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

struct broker_slot *image_any_slot(struct image *image, int32_t node_id)
{
    struct broker_slot *slot = image_broker_slot(image, node_id);

    for (uint32_t i = 0; slot == NULL && i < image->retired_count; i++) {
        if (image->retired[i].object->broker.node_id == node_id) slot = &image->retired[i];
    }
    return slot;
}

const struct image_broker *image_find_retired(const struct image *image, const struct uuid *broker_id)
{
    for (uint32_t i = 0; i < image->retired_count; i++) {
        if (uuid_equal(&image->retired[i].object->broker.broker_id, broker_id)) return &image->retired[i].object->broker;
    }
    return NULL;
}

bool image_can_retire(const struct image *image)
{
    for (uint32_t i = 0; i < image->retired_count; i++) {
        if (image->retired[i].replica_count == 0) return true;
    }
    return image->retired_count < IMAGE_RETIRED_MAX;
}

uint64_t image_leader_count(const struct image *image, int32_t node_id)
{
    const struct broker_slot *slot = image_broker_slot((struct image *)(uintptr_t)image, node_id);

    return slot == NULL ? 0 : slot->leader_count;
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

static bool is_among(const struct image_index *tombstones, const struct uuid *topic_id)
{
    uint64_t hash = image_hash_uuid(topic_id);
    const struct tombstone *tombstone;

    for (size_t i = 0; (tombstone = image_index_find(tombstones, hash, i)) != NULL; i++) {
        if (uuid_equal(&tombstone->topic_id, topic_id)) return true;
    }
    return false;
}

bool image_has_tombstone(const struct image *image, const struct uuid *topic_id)
{
    return is_among(&image->tombstones, topic_id);
}

bool image_topic_was_deleted(const struct image *image, const struct uuid *topic_id)
{
    return image_has_tombstone(image, topic_id) || is_among(&image->buried, topic_id);
}

static int find_oldest_tombstone(void *user, const void *object)
{
    uint64_t *oldest = user, index = ((const struct tombstone *)object)->index;

    if (*oldest == 0 || index < *oldest) *oldest = index;
    return 0;
}

uint64_t image_oldest_tombstone(const struct image *image)
{
    uint64_t oldest = 0;

    image_index_each(&image->tombstones, find_oldest_tombstone, &oldest);
    return oldest;
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
    return topic_config_fallback(id, id == TOPIC_CONFIG_MODE ? TOPIC_MODE_ISR : image_topic_mode(topic));
}

enum topic_mode image_topic_mode(const struct image_topic *topic)
{
    return (enum topic_mode)image_topic_config(topic, TOPIC_CONFIG_MODE);
}

uint32_t image_min_insync(const struct image_topic *topic, uint32_t factor)
{
    int64_t min = image_topic_config(topic, TOPIC_CONFIG_MIN_INSYNC);

    if (min != 0 && image_topic_mode(topic) != TOPIC_MODE_QUORUM) return (uint32_t)min;
    return factor / 2 + 1;
}

uint32_t image_shard_of(const struct uuid *topic_id, uint32_t partition, uint32_t shard_count)
{
    /* The topic chooses the first shard, its partitions go round from there: evenly, whatever their number.
     */
    return shard_count < 2 ? 0 : (uint32_t)((image_hash_uuid(topic_id) + partition) % shard_count);
}
