/* broker/ops/produce_local.h - the partition's side of produce, on its own shard; internal to produce and the shard. */
#ifndef BROKER_OPS_PRODUCE_LOCAL_H
#define BROKER_OPS_PRODUCE_LOCAL_H

#include "cmd/broker/ops/produce.h"

#define PRODUCE_EXPIRE_MS 500 /* between two calls of produce_expire() */

struct shard;
struct shard_partition;

/* As produce_submit(), for a partition of this shard. */
int produce_local(struct shard *shard, struct shard_partition *partition, const struct produce_entry *entry,
                  uint8_t *batch, const struct produce_terms *terms, struct produce_done done);

/* Tells an error, if anybody wants to know. */
void produce_refuse(struct shard *shard, int error, struct produce_done done);

/* End of the turn, after store_end_turn(): answers what is written (async) or durable. Returns whether it did any. */
bool produce_acknowledge(struct shard *shard);

/* Whether anything waits that may run out of time. */
bool produce_has_waiting(const struct shard *shard);

/* Every half second while something waits: answers whose time is up. */
void produce_expire(struct shard *shard);

/* As produce_expire(), for the batches of other shards that wait for memory. */
void produce_expire_remote(struct shard *shard);

/* Nothing will be synced any more: tells all who wait. */
void produce_abandon(struct shard *shard);
void produce_abandon_remote(struct shard *shard); /* those of other shards that wait for memory */

/* Memory came free: tries the batches of other shards that had found it full. */
void produce_retry_remote(struct shard *shard);

#endif
