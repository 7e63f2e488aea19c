/* broker/ops/list_offsets.h - earliest, latest, by time, or the end of a leader epoch; of one partition anywhere in this broker, or in any. */
#ifndef BROKER_OPS_LIST_OFFSETS_H
#define BROKER_OPS_LIST_OFFSETS_H

#include "wire/message.h"

struct shard;

#define LIST_OFFSETS_LATEST   (-1)
#define LIST_OFFSETS_EARLIEST (-2)
#define LIST_OFFSETS_EPOCH_END (-6) /* beyond what Kafka gives a meaning to */

/* On the submitting shard, exactly once, maybe inside the call; errors of the partition are in result->error. */
typedef void list_offsets_done_fn(void *owner, uint64_t tag, const struct list_offsets_result *result);

/* forwards: if another broker leads the partition, it is asked. Errors: MESH_ENOMEM (done will not run). */
int list_offsets_submit(struct shard *shard, const struct list_offsets_entry *entry, bool forwards, list_offsets_done_fn *done,
                        void *owner, uint64_t tag);

#endif
