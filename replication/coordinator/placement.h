/* coordinator/placement.h - which brokers get the replicas of new partitions.
 *
 * Only on usable brokers: registered, not fenced, not draining, no witnesses. Leaders go round those that lead least of this topic,
 * further replicas to other zones first; then those with the least load: their shares of all replicas, of all leaders (for a leader), and of
 * the stored bytes and the traffic that the caller knows of, all of the same weight. Ties go to the lower node id. Deterministic; pure. */
#ifndef COORDINATOR_PLACEMENT_H
#define COORDINATOR_PLACEMENT_H

#include "replication/coordinator/decide.h"
#include "replication/coordinator/record_body.h"

struct placement_plan {
    struct body_placement *runs; /* owned; consecutive partitions with equal replicas share one */
    uint32_t run_count;
    uint32_t run_capacity;
};

size_t placement_usable_count(const struct image *image); /* brokers that can be given replicas */
size_t placement_keeping_count(const struct image *image); /* brokers of the mesh that keep records, those that are down too */

/* Places `partition_count` new partitions of `topic` (NULL: a new topic), replication_factor of 1..placement_usable_count() each; facts may
 * be NULL. The plan starts zeroed. Errors: MESH_EFULL (brokers would host more than IMAGE_PARTITIONS_MAX),
 * MESH_ENOMEM. */
int placement_choose(const struct image *image, const struct image_topic *topic, uint32_t partition_count,
                     uint32_t replication_factor, const struct decide_facts *facts, struct placement_plan *plan);
/* The same with replicas that are given, node ids, replication_factor of them for each partition. Errors: MESH_EINVAL (one is not usable, or named twice for
 * a partition), MESH_EFULL, MESH_ENOMEM. */
int placement_take(const struct image *image, const int32_t *replicas, uint32_t partition_count, uint32_t replication_factor, struct placement_plan *plan);
void placement_plan_deinit(struct placement_plan *plan);

#endif
