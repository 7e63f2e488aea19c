/* replication/partition/partition.c - the rules of one replica. */
#include "replication/partition/partition.h"

#include "base/assert.h"
#include "base/error.h"

void partition_set_start(struct partition *partition, const struct partition_positions *positions)
{
    MESH_ASSERT(positions->start <= positions->end && positions->deleted <= positions->end);
    partition->log_start = positions->start;
    partition->first = positions->deleted > positions->start ? positions->deleted : positions->start;
}

void partition_init(struct partition *partition, int32_t self, const struct partition_assignment *assignment,
                    const struct partition_config *config, const struct partition_positions *positions)
{
    *partition = (struct partition){
        .self = self,
        .leader = assignment->leader,
        .leader_epoch = assignment->leader_epoch,
        .isr_count = assignment->isr_count,
        .config = *config,
        .log_end = positions->end,
        .high_watermark = positions->end,
    };
    partition_set_start(partition, positions);
}

void partition_assign(struct partition *partition, const struct partition_assignment *assignment)
{
    if (assignment->leader_epoch < partition->leader_epoch) return;
    partition->leader = assignment->leader;
    partition->leader_epoch = assignment->leader_epoch;
    partition->isr_count = assignment->isr_count;
}

void partition_set_config(struct partition *partition, const struct partition_config *config)
{
    partition->config = *config;
}

int partition_check_leader(const struct partition *partition, int32_t request_epoch)
{
    if (partition->leader != partition->self || partition->is_starting) return MESH_ENOT_LEADER;
    if (request_epoch == PARTITION_EPOCH_ANY) return 0;
    if (request_epoch < partition->leader_epoch) return MESH_ESTALE_EPOCH;
    if (request_epoch > partition->leader_epoch) return MESH_EUNKNOWN_EPOCH;
    return 0;
}

/* -1 stands for "no timestamp"; anything below is nonsense. */
static int timestamps_check(const struct record_batch_header *header, int64_t now_wall_ms)
{
    if (header->base_timestamp_ms < -1 || header->max_timestamp_ms < -1) return MESH_EINVALID_TIMESTAMP;
    if (header->max_timestamp_ms > now_wall_ms + PARTITION_TIMESTAMP_AHEAD_MAX_MS) return MESH_EINVALID_TIMESTAMP;
    return 0;
}

int partition_leader_prepare(const struct partition *partition, uint8_t *batch, size_t size, int32_t request_epoch,
                             int32_t acks, int64_t now_wall_ms, struct record_batch_header *ret_header,
                             int64_t *ret_append_time_ms)
{
    struct record_batch_header header;
    int err = partition_check_leader(partition, request_epoch);

    if (err != 0) return err;
    if (acks == -1 && partition->config.mode == PARTITION_MODE_ISR && partition->isr_count < partition->config.min_insync)
        return MESH_ENOT_ENOUGH_REPLICAS;
    err = record_batch_verify_produced(slice_of(batch, size), partition->config.batch_bytes_max, &header);
    if (err != 0) return err;
    *ret_append_time_ms = -1;
    if (partition->config.is_append_time) {
        record_batch_set_append_time(batch, now_wall_ms);
        header.attributes |= RECORD_ATTRIBUTE_LOG_APPEND_TIME;
        header.max_timestamp_ms = now_wall_ms;
        *ret_append_time_ms = now_wall_ms;
    } else {
        err = timestamps_check(&header, now_wall_ms);
        if (err != 0) return err;
    }
    header.base_offset = (int64_t)partition->log_end;
    header.leader_epoch = partition->leader_epoch;
    record_batch_set_base_offset(batch, header.base_offset);
    record_batch_set_leader_epoch(batch, header.leader_epoch);
    *ret_header = header;
    return 0;
}

void partition_leader_unprepare(uint8_t *batch)
{
    record_batch_set_base_offset(batch, 0); /* as a producer sends it; the epoch is not judged */
}

void partition_leader_appended(struct partition *partition, const struct record_batch_header *header)
{
    MESH_ASSERT((uint64_t)header->base_offset == partition->log_end);
    MESH_ASSERT(header->leader_epoch == partition->leader_epoch);
    partition->log_end = (uint64_t)record_batch_last_offset(header) + 1;
}

bool partition_advance(struct partition *partition, const struct partition_positions *positions)
{
    uint64_t held = partition->config.is_async ? positions->written : positions->durable;

    MESH_ASSERT(held <= positions->end);
    partition_set_start(partition, positions);
    partition->log_end = positions->end;
    if (partition->high_watermark < partition->first) partition->high_watermark = partition->first;
    /* With more replicas in the ISR this is the smallest of their positions; alone, it is our own. */
    if (held <= partition->high_watermark) return false;
    partition->high_watermark = held;
    return true;
}

int partition_check_fetch_offset(const struct partition *partition, uint64_t offset)
{
    if (offset < partition->first || offset > partition->high_watermark) return MESH_EOFFSET_OUT_OF_RANGE;
    return 0;
}
