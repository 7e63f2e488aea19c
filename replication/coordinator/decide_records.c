/* coordinator/decide_records.c - decisions about records that clients want deleted. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/topic_name.h"

/* The high watermark that allowed it was the asked leader's: another one may have other records, or fewer. */
static int check(const struct image *image, const struct image_deletion *wish, struct decide_result *result)
{
    const struct image_topic *topic = image_find_topic(image, &wish->topic_id);
    struct image_partition now;

    *result = (struct decide_result){.error = MESH_EUNKNOWN_TOPIC};
    if (topic == NULL || !image_topic_partition(topic, wish->partition, &now)) return result->error;
    *result = (struct decide_result){.partition_epoch = now.partition_epoch};
    if (topic_name_is_internal(topic->name)) result->error = MESH_EINVALID_TOPIC;
    else if (wish->offset == 0) result->error = MESH_EINVAL;
    else if (wish->leader_epoch < now.leader_epoch) result->error = MESH_ESTALE_EPOCH;
    else if (wish->leader_epoch > now.leader_epoch) result->error = MESH_EUNKNOWN_EPOCH;
    else if (now.leader == IMAGE_NO_LEADER) result->error = MESH_ENOT_LEADER;
    return result->error;
}

int decide_delete_records(const struct image *image, const struct image_deletion *wishes, size_t count, struct decision *decision,
                          struct decide_result *ret_results)
{
    int err = 0;

    if (count > DECIDE_PARTITIONS_MAX)
        return decision_refuse(decision, MESH_EINVAL, "one request is about at most %d partitions", DECIDE_PARTITIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && decide_compare_places(&wishes[i - 1].topic_id, wishes[i - 1].partition, &wishes[i].topic_id, wishes[i].partition) >= 0)
            return decision_refuse(decision, MESH_EINVAL, "the partitions of a request rise by topic and number, each one once");
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        const struct image_deletion *now = image_deletion(image, &wishes[i].topic_id, wishes[i].partition);

        if (check(image, &wishes[i], &ret_results[i]) != 0) continue;
        if (now != NULL && !image_deletion_may_follow(now, &wishes[i])) continue; /* so many are deleted already */
        err = body_encode_deletion(decision_body(decision), &wishes[i]);
        if (err == 0) err = decision_add_uuid(decision, METADATA_RECORDS_DELETED, &wishes[i].topic_id);
    }
    return err;
}
