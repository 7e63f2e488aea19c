/* broker/ops/produce_local.h - the partition's side of produce, on its own shard; internal to produce and the shard. */
#ifndef BROKER_OPS_PRODUCE_LOCAL_H
#define BROKER_OPS_PRODUCE_LOCAL_H

#include "cmd/broker/ops/produce.h"

struct shard;
struct shard_partition;

/* As produce_submit(), for a partition of this shard. */
int produce_local(struct shard *shard, struct shard_partition *partition, const struct produce_entry *entry,
                  uint8_t *batch, int32_t acks, struct produce_done done);

/* Tells an error, if anybody wants to know. */
void produce_refuse(struct shard *shard, int error, struct produce_done done);

/* End of the turn, after store_end_turn(): answers what is written (async) or durable. Returns whether it did any. */
bool produce_acknowledge(struct shard *shard);

/* Memory came free: tries the batches of other shards that had found it full. */
void produce_retry_remote(struct shard *shard);

#endif
