#include "replication/coordinator/groups_topic.h"

static const struct decide_config configs[] = {
    {"replicas", "3"},          {"mode", "isr"},          {"flush", "group"},           {"unclean", "balanced"},
    {"retention.ms", "-1"},     {"retention.bytes", "-1"}, {"segment.bytes", "4194304"}, {"segment.ms", "3600000"},
    {"max.batch.bytes", "1048576"},
};

int decide_groups_topic(const struct image *image, const struct uuid *topic_id, int32_t partition_count, const struct decide_facts *facts,
                        struct decision *decision, struct uuid *ret_id)
{
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);
    struct decide_topic_create wanted = {
        .name = GROUPS_TOPIC_NAME,
        .partition_count = partition_count,
        .configs = configs,
        .config_count = sizeof(configs) / sizeof(configs[0]),
        .topic_id = *topic_id,
        .replication_factor_default = GROUPS_TOPIC_REPLICAS,
        .is_internal = true,
        .facts = facts,
    };
    int err = topic != NULL ? 0 : decide_topic_create(image, &wanted, decision);

    if (err == 0) *ret_id = topic != NULL ? topic->topic_id : *topic_id;
    return err;
}

size_t groups_topic_others(const struct image *image)
{
    return image_topic_count(image) - (image_find_topic_by_name(image, GROUPS_TOPIC_NAME) != NULL);
}

uint64_t groups_topic_other_partitions(const struct image *image)
{
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);

    return image_partition_count(image) - (topic != NULL ? topic->partition_count : 0);
}
