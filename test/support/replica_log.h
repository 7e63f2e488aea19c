/* support/replica_log.h - the log of one replica in memory: what is appended, what the kernel has, what is durable; crashes and cuts.
 *
 * Batches are real ones, small. Nothing is allocated while a schedule runs but when a log grows. */
#ifndef SUPPORT_REPLICA_LOG_H
#define SUPPORT_REPLICA_LOG_H

#include "replication/partition/partition.h"

#define REPLICA_LOG_BATCH_MAX 112 /* bytes */

struct replica_log_batch {
    uint64_t base;
    uint32_t count, size, crc;
    int32_t epoch;
    uint8_t bytes[REPLICA_LOG_BATCH_MAX];
};

struct replica_log {
    struct replica_log_batch *at; /* owned; the kept ones are first..count */
    uint32_t first, count, capacity;
    uint64_t start, end, written, durable;
    uint64_t high_watermark; /* as it was noted last */
    int32_t floor_epoch;     /* of the record before `start`, -1: not known */
    /* What a cut that is not durable yet has left behind, for REPLICA_DEFECT_CUT_NOT_AWAITED. */
    struct replica_log_batch *stale;
    uint32_t stale_count;
};

void replica_log_init(struct replica_log *log);
void replica_log_deinit(struct replica_log *log);
void replica_log_empty(struct replica_log *log, uint64_t start, int32_t floor_epoch); /* keeps the memory */

void replica_log_append(struct replica_log *log, const struct record_batch_header *header, const uint8_t *bytes);
void replica_log_cut(struct replica_log *log, uint64_t offset); /* everything that is left is durable if it was */
void replica_log_trim(struct replica_log *log, uint64_t start); /* drops batches that end at or before */
void replica_log_keep_stale(struct replica_log *log, uint64_t offset); /* of what a cut at `offset` is about to drop */
/* The process dies: what the kernel has survives; or the machine does: `kept` of what is not durable survives. */
void replica_log_crash(struct replica_log *log, bool is_power, uint64_t kept);

int32_t replica_log_last_epoch(const struct replica_log *log);
uint64_t replica_log_epoch_end(const struct replica_log *log, int32_t epoch, int32_t *ret_epoch);
const struct replica_log_batch *replica_log_find(const struct replica_log *log, uint64_t offset); /* NULL: not there */
void replica_log_positions(const struct replica_log *log, struct partition_positions *ret_positions);

#endif
