/* coordinator/placement.h - which brokers get the replicas of new partitions.
 *
 * Leaders go round the brokers that lead least of this topic, further replicas to other zones first, then to
 * brokers that host least; ties go to the lower node id. Deterministic; no input/output. */
#ifndef COORDINATOR_PLACEMENT_H
#define COORDINATOR_PLACEMENT_H

#include "replication/coordinator/record_body.h"

struct placement_plan {
    struct body_placement *runs; /* owned; consecutive partitions with equal replicas share one */
    uint32_t run_count;
    uint32_t run_capacity;
};

/* Places `partition_count` new partitions of `topic` (NULL: a new topic), replication_factor of 1..broker
 * count each. The plan starts zeroed. Errors: MESH_EFULL (brokers would host more than IMAGE_PARTITIONS_MAX),
 * MESH_ENOMEM. */
int placement_choose(const struct image *image, const struct image_topic *topic, uint32_t partition_count,
                     uint32_t replication_factor, struct placement_plan *plan);
void placement_plan_deinit(struct placement_plan *plan);

#endif
