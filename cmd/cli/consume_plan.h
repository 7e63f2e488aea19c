/* cli/consume_plan.h - which partitions `mesh consume` reads, from where to where.
 *
 * Made once from the topic's description. With until_end each partition ends at the high watermark of that
 * moment, so that the command stops although others go on producing. */
#ifndef CLI_CONSUME_PLAN_H
#define CLI_CONSUME_PLAN_H

#include "cmd/cli/start_offset.h"

#include <mesh/mesh.h>

#include <stdbool.h>

struct consume_plan_partition {
    int64_t start; /* an offset, MESH_OFFSET_BEGINNING or MESH_OFFSET_END; with START_TIME: unused */
    int64_t end;   /* exclusive; INT64_MAX: goes on for ever */
    bool is_read;  /* chosen, and not at its end yet */
};

struct consume_plan {
    struct consume_plan_partition *partitions; /* owned; index: partition */
    size_t partition_count;
    size_t open_count;     /* partitions with is_read */
    uint64_t record_total; /* how many records until the end; 0: not known */
};

/* Plans for one partition, or all when partition is -1. Errors: MESH_EUNKNOWN_TOPIC (no such partition),
 * MESH_ENOMEM, or the error of a partition that cannot be served: how far it goes is not known then, so that it is
 * never taken for an empty one. What needs no offsets is planned all the same where the error may pass. */
int consume_plan_init(struct consume_plan *plan, const struct mesh_topic_info *topic, int32_t partition,
                      struct start_offset start, bool until_end);
void consume_plan_deinit(struct consume_plan *plan);

/* The partition whose error consume_plan_init() returns, or NULL. */
const struct mesh_partition_info *consume_plan_obstacle(const struct mesh_topic_info *topic, int32_t partition,
                                                        struct start_offset start, bool until_end);

/* Tells that the next offset to be read is now `position`. Returns true when this partition has just come to
 * its end. */
bool consume_plan_advance(struct consume_plan *plan, int32_t partition, int64_t position);

#endif
