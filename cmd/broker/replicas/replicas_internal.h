/* replicas/replicas_internal.h - what the driver's files share. */
#ifndef BROKER_REPLICAS_REPLICAS_INTERNAL_H
#define BROKER_REPLICAS_REPLICAS_INTERNAL_H

#include "cmd/broker/replicas/replicas.h"
#include "cmd/broker/streams/stream_socket.h"
#include "cmd/broker/streams/streams.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/runtime/shard.h"

#define REPLICAS_RETRY_MS     100  /* after what found no memory */
#define REPLICAS_DISK_WAIT_MS 2000 /* before a log that took nothing is tried again */

/* The first frame of whoever dialled: which shards speak, and on which disk. */
#define STREAM_HELLO_SIZE (UUID_SIZE + 4)

static inline struct shard_partition *partition_of(const struct replica *replica)
{
    return container_of(replica, struct shard_partition, replica);
}

/* Does it later: todo bits of replica.h. */
void replicas_redo(struct shard *shard, struct shard_partition *partition, uint32_t todo, uint64_t after_ms);

bool replicas_may_log(struct shard *shard); /* a line about a log that fails */
void replicas_wake_at(struct replicas *replicas, uint64_t at_ms); /* a timer is wanted by then */
void replicas_trim_later(struct replicas *replicas); /* a stream has buffers, which it may not need for long */

/* Counts what has become of the ISR of a leader since it was so. */
void replicas_note_isr(struct shard *shard, const struct shard_partition *partition, int32_t epoch_before, uint32_t isr_before);

/* ---- follow.c ---- */

/* False: its leader is not known yet. */
bool follow_add(struct shard *shard, struct shard_partition *partition);
void follows_run(struct shard *shard);  /* what waits for memory or time */
void follows_send(struct shard *shard);
bool follows_trim(struct shard *shard); /* stream_socket_trim() */
void follows_free(struct shard *shard);
size_t follows_count(const struct shard *shard); /* that are connected */

/* ---- lead.c ---- */

void leads_send(struct shard *shard);
bool leads_trim(struct shard *shard); /* likewise */
void leads_free(struct shard *shard);
size_t leads_count(const struct shard *shard); /* that have said who they are */

/* ---- alters.c ---- */

void alters_add(struct shard *shard, struct shard_partition *partition);
void alters_send(struct shard *shard);
void alters_free(struct shard *shard);

/* ---- reports.c ---- */

void replica_reports_init(struct replica_reports *reports);
/* Nobody leads it. is_late: that has been so for a while. */
void replica_reports_consider(struct shard *shard, struct shard_partition *partition, bool is_late);
void replica_reports_hear_of_coordinator(struct shard *shard, uint64_t term);
void replica_reports_send(struct shard *shard);
void replica_reports_free(struct shard *shard);

/* The histories of logs, for sinks and sources; user is the shard. */
uint64_t replicas_epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch);
int32_t replicas_last_epoch(void *user, const struct replica *replica);
int32_t replicas_start_epoch(void *user, const struct replica *replica);
void replicas_identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition);

#endif
