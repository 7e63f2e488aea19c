/* groups/groups_internal.h - what the driver's files share. */
#ifndef BROKER_GROUPS_GROUPS_INTERNAL_H
#define BROKER_GROUPS_GROUPS_INTERNAL_H

#include "cmd/broker/groups/groups.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/runtime/shard.h"

#define GROUPS_READ_BYTES      (256 * 1024) /* of a log in one piece */
#define GROUPS_READ_TURN_BYTES (1024 * 1024) /* of a replica in one turn */
#define GROUPS_RETRY_MS        1000

static inline struct group_replica *replica_of_part(struct group_part *part)
{
    return container_of(part, struct group_replica, part);
}

/* ---- driver.c ---- */

void groups_facts(struct shard *shard, const struct group_replica *replica, struct group_facts *ret_facts);
void groups_due(struct shard *shard, struct group_replica *replica);
void groups_look_at(struct shard *shard, struct group_replica *replica, uint64_t at_ms); /* no later than then */

/* ---- tail.c ---- */

/* Reads and applies what the log has new. */
void groups_tail(struct shard *shard, struct group_replica *replica, struct group_facts *facts);

/* ---- catalog.c ---- */

void groups_catalog_init(struct shard_groups *groups, struct group_catalog *ret_catalog);
void groups_catalog_deinit(struct shard_groups *groups);
uint64_t groups_catalog_hash(const struct image *image);

/* ---- events.c ---- */

void groups_tell(void *user, struct group_part *part, const struct group_event *event);
void groups_tell_stopped(struct shard *shard, struct group_replica *replica);

#endif
