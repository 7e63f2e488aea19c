/* groups/catalog.c - the topics of a metadata image, as the lead asks for them. */
#include "cmd/broker/groups/groups_internal.h"

#include "cmd/broker/groups/ends.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

/* ---- zones ---- */

/* From 1 on, in the order of the brokers that are the first in each; 0: none. */
static uint16_t number_of_zone(const struct image *image, const char *zone)
{
    uint16_t number = 0;

    if (zone[0] == '\0') return 0;
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        size_t before = 0;

        while (before < i && strcmp(image_broker_at(image, before)->zone, broker->zone) != 0)
            before++;
        if (before < i || broker->zone[0] == '\0') continue;
        number++;
        if (strcmp(broker->zone, zone) == 0) return number;
    }
    return 0;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    const struct shard_groups *groups = arg;
    char name[IMAGE_BROKER_STRING_SIZE_MAX + 1];

    if (zone.size > IMAGE_BROKER_STRING_SIZE_MAX) return 0;
    memcpy(name, zone.data, zone.size);
    name[zone.size] = '\0';
    return number_of_zone(groups->shard->image, name);
}

/* NULL where no broker is in a zone, or without memory: then nobody is near anything. */
static const uint16_t *zones_of(struct shard_groups *groups, const struct image_topic *topic)
{
    const struct image *image = groups->shard->image;
    struct image_partition facts;
    uint16_t *zones;

    if (topic->partition_count > groups->zone_room) {
        zones = reallocarray(groups->zones, topic->partition_count, sizeof(*zones));
        if (zones == NULL) return NULL;
        groups->zones = zones;
        groups->zone_room = topic->partition_count;
    }
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct image_broker *leader = image_topic_partition(topic, i, &facts) ? image_find_broker(image, facts.leader) : NULL;

        groups->zones[i] = leader == NULL ? 0 : number_of_zone(image, leader->zone);
    }
    return groups->zones;
}

static bool has_zones(const struct image *image)
{
    for (size_t i = 0; i < image_broker_count(image); i++)
        if (image_broker_at(image, i)->zone[0] != '\0') return true;
    return false;
}

/* ---- topics ---- */

static bool tell(struct shard_groups *groups, const struct image_topic *topic, bool with_zones, struct group_topic *ret_topic)
{
    if (topic == NULL || topic_name_is_internal(topic->name)) return false;
    *ret_topic = (struct group_topic){
        .id = topic->topic_id,
        .name = slice_of_string(topic->name),
        .partition_count = topic->partition_count,
        .zones = with_zones && has_zones(groups->shard->image) ? zones_of(groups, topic) : NULL,
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
