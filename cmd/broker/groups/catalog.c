/* groups/catalog.c - the topics of a metadata image, as the lead asks for them. */
#include "cmd/broker/groups/groups_internal.h"

#include "cmd/broker/groups/ends.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

/* ---- zones ---- */

/* From 1 on, in the order of the brokers that are the first in each; 0: none. Once for each image: a topic then costs a look-up for each partition. */
static int number_zones(struct shard_groups *groups)
{
    const struct image *image = groups->shard->image;
    size_t count = image_broker_count(image);
    uint16_t *zones;
    uint16_t number = 0;

    if (groups->zones_image == image) return 0;
    zones = reallocarray(groups->broker_zones, count > 0 ? count : 1, sizeof(*zones));
    if (zones == NULL) return MESH_ENOMEM;
    groups->broker_zones = zones;
    for (size_t i = 0; i < count; i++) {
        const char *zone = image_broker_at(image, i)->zone;
        size_t before = 0;

        while (before < i && strcmp(image_broker_at(image, before)->zone, zone) != 0)
            before++;
        zones[i] = zone[0] == '\0' ? 0 : before < i ? zones[before] : ++number;
    }
    groups->has_zones = number > 0;
    image_unref(groups->zones_image);
    groups->zones_image = image_ref(image);
    return 0;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    struct shard_groups *groups = arg;

    if (zone.size == 0 || number_zones(groups) != 0) return 0;
    for (size_t i = 0; i < image_broker_count(groups->zones_image); i++)
        if (slice_equal(slice_of_string(image_broker_at(groups->zones_image, i)->zone), zone)) return groups->broker_zones[i];
    return 0;
}

/* Of a leader; 0 for nobody. */
static uint16_t zone_of(const struct shard_groups *groups, int32_t node_id)
{
    const struct image *image = groups->zones_image;
    size_t low = 0, high = image_broker_count(image);

    while (low < high) { /* they are ordered by their numbers */
        size_t middle = low + (high - low) / 2;
        int32_t there = image_broker_at(image, middle)->node_id;

        if (there == node_id) return groups->broker_zones[middle];
        if (there < node_id) low = middle + 1;
        else high = middle;
    }
    return 0;
}

/* NULL where no broker is in a zone, or without memory: then nobody is near anything. */
static const uint16_t *zones_of(struct shard_groups *groups, const struct image_topic *topic)
{
    struct image_partition facts;
    uint16_t *zones;

    if (number_zones(groups) != 0 || !groups->has_zones) return NULL;
    if (topic->partition_count > groups->zone_room) {
        zones = reallocarray(groups->zones, topic->partition_count, sizeof(*zones));
        if (zones == NULL) return NULL;
        groups->zones = zones;
        groups->zone_room = topic->partition_count;
    }
    for (uint32_t i = 0; i < topic->partition_count; i++)
        groups->zones[i] = image_topic_partition(topic, i, &facts) ? zone_of(groups, facts.leader) : 0;
    return groups->zones;
}

/* ---- topics ---- */

static bool tell(struct shard_groups *groups, const struct image_topic *topic, bool with_zones, struct group_topic *ret_topic)
{
    if (topic == NULL || topic_name_is_internal(topic->name)) return false;
    *ret_topic = (struct group_topic){
        .id = topic->topic_id,
        .name = slice_of_string(topic->name),
        .partition_count = topic->partition_count,
        .zones = with_zones ? zones_of(groups, topic) : NULL,
    };
    return true;
}

/* For every topic of a commit: without zones, for which nobody asks then. */
static bool find(void *arg, const struct uuid *topic, struct group_topic *ret_topic)
{
    struct shard_groups *groups = arg;

    return tell(groups, image_find_topic(groups->shard->image, topic), false, ret_topic);
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    struct shard_groups *groups = arg;
    char text[TOPIC_NAME_SIZE_MAX + 1];

    if (name.size > TOPIC_NAME_SIZE_MAX) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    return tell(groups, image_find_topic_by_name(groups->shard->image, text), true, ret_topic);
}

static void forget_list(struct shard_groups *groups)
{
    free(groups->catalog_topics);
    groups->catalog_topics = NULL;
    groups->catalog_count = 0;
    image_unref(groups->catalog_image);
    groups->catalog_image = NULL;
}

/* One list of names for all groups with patterns that one image concerns. */
static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    struct shard_groups *groups = arg;

    if (groups->catalog_image != groups->shard->image) {
        forget_list(groups);
        if (image_topics_by_name(groups->shard->image, &groups->catalog_topics, &groups->catalog_count) != 0) return false;
        groups->catalog_image = image_ref(groups->shard->image);
    }
    while (*cursor < groups->catalog_count)
        if (tell(groups, groups->catalog_topics[(*cursor)++], true, ret_topic)) return true;
    return false;
}

/* ---- ends ---- */

/* Known for sure where this very shard leads the partition, and where the request that is judged has asked for it. */
static uint64_t log_end(void *arg, const struct uuid *topic, uint32_t partition)
{
    struct shard_groups *groups = arg;
    const struct shard_partition *found = groups->takes_any_end ? NULL : shard_partition_find(groups->shard, topic, partition);

    if (found != NULL && replica_leads(&found->replica) && replica_end_is_known(&found->replica)) return found->replica.partition.high_watermark;
    return groups->judged == NULL ? GROUP_LOG_END_UNKNOWN : groups_ends_answered(groups->judged, topic, partition);
}

/* ---- life ---- */

void groups_catalog_init(struct shard_groups *groups, struct group_catalog *ret_catalog)
{
    *ret_catalog = (struct group_catalog){find, find_by_name, next, zone_number, log_end, groups};
}

void groups_catalog_deinit(struct shard_groups *groups)
{
    forget_list(groups);
    image_unref(groups->zones_image);
    groups->zones_image = NULL;
    free(groups->broker_zones);
    groups->broker_zones = NULL;
    free(groups->zones);
    groups->zones = NULL;
    groups->zone_room = 0;
}

static int add_hash(void *user, const struct image_topic *topic)
{
    uint64_t part;

    if (topic_name_is_internal(topic->name)) return 0;
    memcpy(&part, topic->topic_id.bytes, sizeof(part));
    *(uint64_t *)user += (part ^ topic->partition_count) * 0x9e3779b97f4a7c15ull; /* in no order */
    return 0;
}

uint64_t groups_catalog_hash(const struct image *image)
{
    uint64_t hash = 1;

    (void)image_each_topic(image, add_hash, &hash);
    return hash;
}

bool groups_find_topic(const struct image *image, struct uuid *ret_topic_id)
{
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);

    if (topic == NULL) return false;
    *ret_topic_id = topic->topic_id;
    return true;
}
