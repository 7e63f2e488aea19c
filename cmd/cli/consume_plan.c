#include "cmd/cli/consume_plan.h"

#include "base/assert.h"

#include <stdlib.h>

void consume_plan_deinit(struct consume_plan *plan)
{
    free(plan->partitions);
    *plan = (struct consume_plan){0};
}

/* Where a partition's reading starts, as an offset that the consumer takes. */
static int64_t start_of(const struct mesh_partition_info *info, struct start_offset start)
{
    int64_t offset;

    switch (start.kind) {
    case START_BEGINNING: return MESH_OFFSET_BEGINNING;
    case START_END: return MESH_OFFSET_END;
    case START_BEFORE_END:
        offset = start.value < info->high_watermark ? info->high_watermark - start.value : 0;
        return offset > info->log_start ? offset : info->log_start;
    case START_OFFSET: return start.value;
    case START_TIME: break;
    }
    return MESH_OFFSET_BEGINNING;
}

/* The same as a number, to count what lies between it and the end. */
static int64_t start_number(const struct mesh_partition_info *info, int64_t start)
{
    if (start == MESH_OFFSET_BEGINNING) return info->log_start;
    return start == MESH_OFFSET_END ? info->high_watermark : start;
}

static void plan_partition(struct consume_plan *plan, const struct mesh_partition_info *info,
                           struct start_offset start, bool until_end)
{
    struct consume_plan_partition *planned = &plan->partitions[info->partition];
    int64_t number;

    planned->start = start_of(info, start);
    planned->end = until_end ? info->high_watermark : INT64_MAX;
    number = start_number(info, planned->start);
    planned->is_read = number < planned->end;
    /* An offset beyond the end is a mistake that the broker has to tell, not an empty success. */
    if (start.kind == START_OFFSET && start.value > info->high_watermark) planned->is_read = true;
    if (!planned->is_read) return;
    plan->open_count++;
    if (until_end && start.kind != START_TIME && number < planned->end)
        plan->record_total += (uint64_t)(planned->end - number);
}

const struct mesh_partition_info *consume_plan_obstacle(const struct mesh_topic_info *topic, int32_t partition,
                                                        struct start_offset start, bool until_end)
{
    bool needs_offsets = until_end || start.kind == START_BEFORE_END;

    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *info = &topic->partitions[i];
        if (partition >= 0 && info->partition != partition) continue;
        if (info->error == 0) continue;
        /* An endless reading may begin while a leader is away: the consumer goes there when it is back. */
        if (needs_offsets || !mesh_error_is_retriable(info->error)) return info;
    }
    return NULL;
}

int consume_plan_init(struct consume_plan *plan, const struct mesh_topic_info *topic, int32_t partition,
                      struct start_offset start, bool until_end)
{
    const struct mesh_partition_info *obstacle = consume_plan_obstacle(topic, partition, start, until_end);

    MESH_ASSERT(partition >= -1);
    *plan = (struct consume_plan){.partition_count = topic->partition_count};
    if (partition >= 0 && (size_t)partition >= topic->partition_count) return MESH_EUNKNOWN_TOPIC;
    if (obstacle != NULL) return obstacle->error;
    plan->partitions = calloc(topic->partition_count + 1, sizeof(plan->partitions[0]));
    if (plan->partitions == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct mesh_partition_info *info = &topic->partitions[i];
        if (partition >= 0 && info->partition != partition) continue;
        if (info->partition < 0 || (size_t)info->partition >= plan->partition_count) continue;
        plan_partition(plan, info, start, until_end);
    }
    return 0;
}

bool consume_plan_advance(struct consume_plan *plan, int32_t partition, int64_t position)
{
    struct consume_plan_partition *planned;

    if (partition < 0 || (size_t)partition >= plan->partition_count) return false;
    planned = &plan->partitions[partition];
    if (!planned->is_read || position < planned->end) return false;
    planned->is_read = false;
    MESH_ASSERT(plan->open_count > 0);
    plan->open_count--;
    return true;
}
