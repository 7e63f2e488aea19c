/* groups/assign.h - who shall consume which partition: pure functions over numbers.
 *
 * Members stand in the order of their ids, topics in that of their names; equal questions have equal answers. Sources: range is the seed
 * articles' (and Kafka's), sticky asks for what KIP-54 and KIP-429 ask: balance first, then as few moves as balance allows. */
#ifndef GROUPS_ASSIGN_H
#define GROUPS_ASSIGN_H

#include "replication/groups/record.h"

struct assign_topic {
    uint32_t partition_count;
    const uint16_t *zones; /* of each partition's leader, 0: unknown; NULL: all unknown */
    uint32_t *owners;      /* partition_count; 1 + member, 0: nobody. In: as it is. Out: as it shall be */
};

struct assign_member {
    const uint32_t *topics; /* numbers of the topics that it subscribes to, rising */
    uint32_t topic_count;
    uint16_t zone; /* 0: unknown */
};

/* Every partition of a topic that somebody subscribes to gets an owner among those; others get none.
 * Errors: MESH_ENOMEM (owners are undefined). */
int assign_partitions(enum group_strategy strategy, const struct assign_member *members, uint32_t member_count, const struct assign_topic *topics,
                      uint32_t topic_count);

#endif
