#include "support/replica_log.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

void replica_log_init(struct replica_log *log)
{
    memset(log, 0, sizeof(*log));
}

void replica_log_deinit(struct replica_log *log)
{
    free(log->at);
    free(log->stale);
    memset(log, 0, sizeof(*log));
}

void replica_log_empty(struct replica_log *log, uint64_t start, int32_t floor_epoch)
{
    log->first = log->count = log->stale_count = 0;
    log->start = log->end = log->written = log->durable = start;
    log->high_watermark = start;
    log->floor_epoch = floor_epoch;
}

void replica_log_append(struct replica_log *log, const struct record_batch_header *header, const uint8_t *bytes)
{
    struct replica_log_batch *batch;

    MESH_ASSERT((uint64_t)header->base_offset == log->end && header->size <= REPLICA_LOG_BATCH_MAX);
    MESH_ASSERT(header->leader_epoch >= replica_log_last_epoch(log));
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 256 : log->capacity * 2;
        log->at = realloc(log->at, log->capacity * sizeof(*log->at));
        MESH_ASSERT(log->at != NULL);
    }
    batch = &log->at[log->count++];
    batch->base = log->end;
    batch->count = (uint32_t)header->last_offset_delta + 1;
    batch->size = header->size;
    batch->crc = header->crc;
    batch->epoch = header->leader_epoch;
    memcpy(batch->bytes, bytes, header->size);
    log->end += batch->count;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void replica_log_cut(struct replica_log *log, uint64_t offset)
{
    while (log->count > log->first && log->at[log->count - 1].base + log->at[log->count - 1].count > offset) {
        log->count--;
        log->end = log->at[log->count].base;
    }
    log->written = smaller(log->written, log->end);
    log->durable = smaller(log->durable, log->end);
    log->high_watermark = smaller(log->high_watermark, log->end);
}

void replica_log_trim(struct replica_log *log, uint64_t start)
{
    while (log->first < log->count && log->at[log->first].base + log->at[log->first].count <= start)
        log->floor_epoch = log->at[log->first++].epoch;
    if (log->first < log->count && log->at[log->first].base < start) start = log->at[log->first].base;
    start = smaller(start, log->end);
    if (start <= log->start) return;
    log->start = start;
    if (log->written < start) log->written = start;
    if (log->durable < start) log->durable = start;
    if (log->high_watermark < start) log->high_watermark = start;
}

void replica_log_keep_stale(struct replica_log *log, uint64_t offset)
{
    uint32_t from = log->count;

    while (from > log->first && log->at[from - 1].base >= offset && log->at[from - 1].base < log->durable)
        from--;
    free(log->stale);
    log->stale_count = log->count - from;
    log->stale = malloc((log->stale_count + 1) * sizeof(*log->stale));
    MESH_ASSERT(log->stale != NULL);
    memcpy(log->stale, log->at + from, log->stale_count * sizeof(*log->stale));
}

void replica_log_crash(struct replica_log *log, bool is_power, uint64_t kept)
{
    uint64_t end = is_power ? log->durable + kept : log->written;

    replica_log_cut(log, end < log->durable ? log->durable : end);
    for (uint32_t i = 0; i < log->stale_count; i++) { /* whatever was written there since */
        if (log->stale[i].base != log->end || log->count == log->capacity) continue;
        log->at[log->count++] = log->stale[i];
        log->end += log->stale[i].count;
    }
    log->stale_count = 0;
    log->written = log->durable = log->end;
}

int32_t replica_log_last_epoch(const struct replica_log *log)
{
    return log->count == log->first ? log->floor_epoch : log->at[log->count - 1].epoch;
}

uint64_t replica_log_epoch_end(const struct replica_log *log, int32_t epoch, int32_t *ret_epoch)
{
    uint64_t end = log->end;

    for (uint32_t i = log->count; i > log->first; i--) {
        if (log->at[i - 1].epoch <= epoch) {
            *ret_epoch = log->at[i - 1].epoch;
            return end;
        }
        end = log->at[i - 1].base;
    }
    /* The record before the start, which is not here any more, had floor_epoch. */
    *ret_epoch = log->floor_epoch <= epoch ? log->floor_epoch : -1;
    return log->floor_epoch <= epoch ? end : log->start; /* as plog_epoch_end_offset(): nothing ends before the start */
}

const struct replica_log_batch *replica_log_find(const struct replica_log *log, uint64_t offset)
{
    uint32_t low = log->first, high = log->count;

    if (offset < log->start || offset >= log->end) return NULL;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (log->at[middle].base <= offset)
            low = middle;
        else
            high = middle;
    }
    return low < log->count ? &log->at[low] : NULL;
}

void replica_log_positions(const struct replica_log *log, struct partition_positions *ret_positions)
{
    *ret_positions = (struct partition_positions){log->start, log->end, log->written, log->durable, 0};
}
