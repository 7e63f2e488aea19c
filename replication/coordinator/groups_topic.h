/* coordinator/groups_topic.h - the topic in whose partitions consumer groups live (replication/groups), made by the mesh itself at the first use.
 *
 * Three replicas are wished for, however many brokers there are, and the minimum in sync is not pinned: a mesh of one commits at once, and as brokers come
 * the topic grows to three replicas of which two have to hold a commit. Segments are small because checkpoints let the log start anew again and
 * again, and whole segments go. */
#ifndef COORDINATOR_GROUPS_TOPIC_H
#define COORDINATOR_GROUPS_TOPIC_H

#include "replication/coordinator/decide.h"

#define GROUPS_TOPIC_NAME       "__mesh_groups"
#define GROUPS_TOPIC_PARTITIONS 64
#define GROUPS_TOPIC_REPLICAS   3

/* Makes it with `topic_id`, or finds it there already, which is as good (no changes then): *ret_id is its id. partition_count: GROUPS_TOPIC_PARTITIONS,
 * but in simulations. Errors: MESH_EINVALID_REPLICATION (no broker is up), MESH_EFULL, MESH_ENOMEM. */
int decide_groups_topic(const struct image *image, const struct uuid *topic_id, int32_t partition_count, const struct decide_facts *facts,
                        struct decision *decision, struct uuid *ret_id);

/* How many topics users have: all but this one; and how many partitions. */
size_t groups_topic_others(const struct image *image);
uint64_t groups_topic_other_partitions(const struct image *image);

#endif
