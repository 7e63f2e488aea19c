#include "fake_log.h"

#include "base/assert.h"

struct slice fake_log_find(const struct fake_partition *partition, uint64_t offset, size_t bytes_max,
                                 uint64_t *ret_next)
{
    size_t at = 0, start = SIZE_MAX, end = 0;
    struct record_batch_header header;

    *ret_next = offset;
    while (at < partition->log.size) {
        MESH_ASSERT(record_batch_parse_header(slice_of(partition->log.data + at, partition->log.size - at),
                                              &header) == 0);
        if ((uint64_t)record_batch_last_offset(&header) >= offset) {
            if (start == SIZE_MAX) start = at;
            if (end > start && at + header.size - start > bytes_max) break;
            end = at + header.size;
            *ret_next = (uint64_t)record_batch_last_offset(&header) + 1;
        }
        at += header.size;
    }
    return start == SIZE_MAX ? slice_of(NULL, 0) : slice_of(partition->log.data + start, end - start);
}

void fake_log_epoch_end(const struct fake_partition *partition, int32_t epoch, struct list_offsets_result *result)
{
    struct record_batch_header header;

    result->offset = result->leader_epoch = -1;
    for (size_t at = 0; at < partition->log.size; at += header.size) {
        MESH_ASSERT(record_batch_parse_header(slice_of(partition->log.data + at, partition->log.size - at), &header) == 0);
        if (header.leader_epoch > epoch) return;
        result->offset = record_batch_last_offset(&header) + 1;
        result->leader_epoch = header.leader_epoch;
    }
}

void fake_log_cut(struct fake_partition *partition, uint64_t offset)
{
    struct record_batch_header header;
    size_t at = 0;

    for (; at < partition->log.size; at += header.size) {
        MESH_ASSERT(record_batch_parse_header(slice_of(partition->log.data + at, partition->log.size - at), &header) == 0);
        if ((uint64_t)record_batch_last_offset(&header) >= offset) break;
    }
    partition->log.size = at;
    partition->next_offset = offset;
}
