/* broker/ops/partition_facts.h - what a shard knows of one partition, for descriptions; asked by the control loop. */
#ifndef BROKER_OPS_PARTITION_FACTS_H
#define BROKER_OPS_PARTITION_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct partition_facts {
    uint64_t high_watermark, log_start, log_end, size_bytes; /* log_start: as clients see it, where records were deleted as well */
    int error; /* 0, or why it accepts no appends */
    bool is_end_unknown; /* the high watermark may be an older one: replica_end_is_known() */
};

struct shard;
struct uuid;
/* On the partition's shard. A partition without records is all zeros and not opened for this. */
void partition_facts_get(struct shard *shard, const struct uuid *topic_id, uint32_t partition,
                         struct partition_facts *ret_facts);

/* What each of the replicas on `nodes` misses, as the leader knows it: ret_records_plus_one[i] is 0 for one that was not heard in this epoch;
 * ret_bytes[i] is about what that takes. False, and nothing is written: nobody misses anything, or this shard does not lead it. */
bool partition_facts_missing(struct shard *shard, const struct uuid *topic_id, uint32_t partition, const int32_t *nodes, size_t count,
                             uint64_t *ret_records_plus_one, uint64_t *ret_bytes);

#endif
