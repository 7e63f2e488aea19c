/* broker/ops/produce_local.h - the partition's side of produce, on its own shard; internal to produce and the shard. */
#ifndef BROKER_OPS_PRODUCE_LOCAL_H
#define BROKER_OPS_PRODUCE_LOCAL_H

#include "base/list.h"
#include "cmd/broker/ops/produce.h"

#define PRODUCE_EXPIRE_MS 500 /* between two calls of produce_expire() */

struct pool_buffer;
struct shard;
struct shard_partition;

/* As produce_submit(), for a partition of this shard. */
int produce_local(struct shard *shard, struct shard_partition *partition, const struct produce_entry *entry,
                  uint8_t *batch, const struct produce_terms *terms, struct produce_done done);

/* A batch whose bytes somebody else holds until done: another shard, or the broker's loop for another broker. */
struct produce_foreign {
    struct shard *shard; /* that it is for */
    struct produce_entry entry;
    struct produce_terms terms;
    struct produce_done done; /* has a call */
    uint8_t *batch;
    uint64_t received_ms;
    struct list_node link; /* in shard->remote_waiting, while that has no memory for it */
};

/* On its shard: appends it, or lets it wait for memory behind those that came before it. */
void produce_foreign(struct produce_foreign *foreign);

/* Memory for a copy on its way to another shard or broker. One of a shard at a time may pass the limit: see produce.c. */
struct produce_room {
    struct pool_buffer *buffer;
    bool is_urgent;
};
bool produce_room_acquire(struct shard *shard, size_t size, struct produce_room *ret_room);
void produce_room_release(struct shard *shard, const struct produce_room *room);

/* Tells an error, if anybody wants to know. */
void produce_refuse(struct shard *shard, int error, struct produce_done done);

/* End of the turn, after store_end_turn(): answers what is written (async) or durable. Returns whether it did any. */
bool produce_acknowledge(struct shard *shard);

struct ack;
struct ack_queue;

/* Tells one what became of it; error: why it may not be acknowledged, 0 when it may. */
void produce_answer(struct shard *shard, const struct ack *ack, int error, uint64_t now_ns);
void produce_expire_queue(struct shard *shard, struct ack_queue *queue);
void produce_abandon_queue(struct shard *shard, struct ack_queue *queue);

/* ---- produce_committing.c: acknowledgements that wait for the high watermark ---- */

/* Room at the back of the partition's queue; NULL: no memory. */
struct ack *produce_committing_push(struct shard *shard, struct shard_partition *partition);
/* The high watermark may have passed some. */
void produce_acknowledge_committed(struct shard *shard, struct shard_partition *partition);
/* All that wait get this error. They are in the log, and may be committed yet: MESH_EUNCOMMITTED, unless the topic is gone. */
void produce_refuse_waiting(struct shard *shard, struct shard_partition *partition, int error);
void produce_expire_committing(struct shard *shard);
void produce_abandon_committing(struct shard *shard);
void produce_trim_committed(struct shard *shard); /* gives back the room of queues that are empty */
void produce_committing_free(struct shard_partition *partition); /* with what waits, which is not answered */

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
