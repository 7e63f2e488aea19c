/* replication/partition/partition.h - one replica of a partition: who leads, in which epoch, and what is committed.
 *
 * Sans-I/O. The caller owns the log; it asks this core what to do with a batch (prepare), appends it, says so
 * (appended), and reports the positions that the log reaches; out come offsets, patched batches and the high watermark.
 *
 *   prepare -> producer window (the log's) -> append (the log's) -> appended ... positions -> high watermark
 *
 * Offsets: start <= first <= high watermark <= end; records below the high watermark are held by the whole ISR, synced where the
 * topic asks for it. Embedded in the shard's table: small on purpose. */
#ifndef PARTITION_PARTITION_H
#define PARTITION_PARTITION_H

#include "base/slice.h"
#include "wire/record_batch.h"

#include <stdbool.h>
#include <stdint.h>

#define PARTITION_TIMESTAMP_AHEAD_MAX_MS 3600000 /* CreateTime further in the future is refused */
#define PARTITION_EPOCH_ANY              (-1)    /* the requester does not say which epoch it believes in */

enum partition_mode {
    PARTITION_MODE_ISR,    /* committed: held by all of the ISR, which is min.insync replicas at least */
    PARTITION_MODE_ASYNC,  /* the same, whatever the ISR's size; nobody waits for more than the leader */
    PARTITION_MODE_QUORUM, /* committed: held by a majority of the replicas */
};

struct partition_config {
    uint32_t batch_bytes_max;
    uint32_t min_insync;
    enum partition_mode mode;
    bool is_append_time; /* LogAppendTime: the leader's clock replaces the producer's */
    bool is_async;       /* records count as held when written, not only when synced */
};

struct partition {
    int32_t self;   /* node id of this broker */
    int32_t leader; /* node id, -1: none */
    int32_t leader_epoch;
    uint16_t isr_count; /* with the leader */
    bool is_starting; /* leads, but its epoch has not begun in the log yet: nothing is accepted */
    struct partition_config config;
    uint64_t log_start, log_end;
    uint64_t first; /* where readers may begin: behind log_start, which is a batch's, where records were deleted */
    uint64_t high_watermark;
};

/* What the metadata say now. Used at creation and at every change. */
struct partition_assignment {
    int32_t leader;
    int32_t leader_epoch;
    uint16_t isr_count;
};

/* Positions of the local log, from the storage. */
struct partition_positions {
    uint64_t start, end;
    uint64_t written; /* end of what the kernel has */
    uint64_t durable; /* end of what is synced */
    uint64_t deleted; /* records before it are; 0: none */
};

/* Starts from a recovered log, all of which is committed on a single replica. */
void partition_init(struct partition *partition, int32_t self, const struct partition_assignment *assignment,
                    const struct partition_config *config, const struct partition_positions *positions);

/* New facts from the metadata. An assignment with an older epoch than the current one is ignored (it is late). */
void partition_assign(struct partition *partition, const struct partition_assignment *assignment);
void partition_set_config(struct partition *partition, const struct partition_config *config);

/* May a request that believes in `request_epoch` be served here? 0, MESH_ENOT_LEADER (also while its epoch is
 * starting), MESH_ESTALE_EPOCH (the requester is behind), MESH_EUNKNOWN_EPOCH (we are). */
int partition_check_leader(const struct partition *partition, int32_t request_epoch);

/* Judges a produced batch and, when it may be appended, gives it its offsets, epoch and (LogAppendTime) time, in place.
 * *ret_header then describes the patched batch. Nothing is remembered.
 * *ret_append_time_ms is -1 on a CreateTime topic. Errors: those of partition_check_leader() and
 * record_batch_verify_produced(), MESH_EINVALID_TIMESTAMP, MESH_ENOT_ENOUGH_REPLICAS (acks all). */
int partition_leader_prepare(const struct partition *partition, uint8_t *batch, size_t size, int32_t request_epoch,
                             int32_t acks, int64_t now_wall_ms, struct record_batch_header *ret_header,
                             int64_t *ret_append_time_ms);

/* The prepared batch could not be appended now: makes its bytes fit to be prepared again. */
void partition_leader_unprepare(uint8_t *batch);

/* The prepared batch is in the log. */
void partition_leader_appended(struct partition *partition, const struct record_batch_header *header);

/* Where the log begins by now, and its readers. */
void partition_set_start(struct partition *partition, const struct partition_positions *positions);

/* The log has moved. Returns whether the high watermark rose. */
bool partition_advance(struct partition *partition, const struct partition_positions *positions);

/* May a reader stand at this offset? It need not be where a batch begins. 0, or MESH_EOFFSET_OUT_OF_RANGE. The high watermark itself is allowed. */
int partition_check_fetch_offset(const struct partition *partition, uint64_t offset);

#endif
