/* replicas/heal.h - damaged replicas of a shard: what the others are told, and how the records come back.
 *
 *   damage (segment/healing.h) -> told to the coordinator (lost.c) -> what is sound after all is taken back -> pieces are fetched from
 *   other replicas, the leader first -> mended
 *
 * Belongs to the shard's thread. Costs nothing while nothing is damaged. */
#ifndef BROKER_REPLICAS_HEAL_H
#define BROKER_REPLICAS_HEAL_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct lost_request;
struct shard;
struct shard_partition;

struct healing {
    struct list_node all; /* damaged.node */
    struct lost_request *request; /* under way */
    uint32_t busy;        /* repairs under way */
};

void heal_init(struct shard *shard);
void heal_deinit(struct shard *shard);

/* The partition's log has news, or its role changed: damage may have been found. */
void heal_look(struct shard *shard, struct shard_partition *partition);
void heal_forget(struct shard *shard, struct shard_partition *partition); /* it is about to go */
void heal_run(struct shard *shard); /* once per turn */

/* Whether a cut at `offset` falls into damage that the coordinator does not know of yet. The log would end where the damage begins, before the cut, and nothing would be
 * left that tells of it: who counts on this replica has to hear of its loss first. */
bool heal_forbids_cut(const struct shard_partition *partition, uint64_t offset);

#endif
