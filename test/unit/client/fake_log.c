#include "fake_log.h"

#include "base/assert.h"
#include "base/error.h"

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

void fake_log_trim(struct fake_broker *broker, struct slice message, struct buffer *answer)
{
    struct topic_trim_result results[FAKE_PARTITIONS_MAX];
    struct message_topic_trim_response response = {.results = results, .message = (char *)(uintptr_t)"in vain"};
    struct message_topic_trim request;

    MESH_ASSERT(message_decode_topic_trim(message, &request) == 0);
    MESH_ASSERT(request.entry_count <= FAKE_PARTITIONS_MAX);
    for (size_t i = 0; i < request.entry_count; i++)
        results[i] = (struct topic_trim_result){request.entries[i].partition, MESH_ETIMEDOUT, 0};
    response.result_count = request.entry_count;
    atomic_store(&broker->trim_timeout_ms, request.timeout_ms);
    message_deinit_topic_trim(&request);
    MESH_ASSERT(message_encode_topic_trim_response(answer, &response) == 0);
}
