/* What a store puts into its manifest: for each log, what is in synced segments by now. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/manifest.h"
#include "segment/store_core.h"

#include <stdlib.h>

static uint32_t collect_segments(const struct plog *plog, struct manifest_segment *to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < plog->segment_count; i++) {
        const struct segment_file *segment = plog->segments[i];
        if (segment->synced == 0 || segment->base_offset >= plog->synced_offset) break;
        /* Recovery looks for the batch at the log's end where the last segment's durable bytes end. */
        MESH_ASSERT(segment->synced_offset <= plog->synced_offset);
        to[count++] = (struct manifest_segment){
            .base_offset = segment->base_offset,
            .next_offset = segment->synced_offset,
            .first_timestamp_ms = segment->first_timestamp_ms,
            .max_timestamp_ms = segment->max_timestamp_ms,
            .size = segment->synced,
        };
    }
    return count;
}

static int encode_log(const struct plog *plog, struct buffer *to)
{
    struct manifest_log log = {
        .id = plog->id,
        .start_offset = plog->start_offset,
        .end_offset = plog->synced_offset,
        .acked_offset = plog->error != 0 ? plog->durable_offset : plog->synced_offset,
        .high_watermark = plog->high_watermark,
        .deleted_offset = plog_statable_deleted_offset(plog),
        .holes = plog->holes,
        .hole_count = plog->hole_count,
        .epochs = plog->epochs,       /* borrowed; entries beyond end_offset are dropped on recovery */
        .producers = plog->producers, /* likewise */
    };
    int err;

    if (plog->segment_count > 1) {
        log.segments = malloc(plog->segment_count * sizeof(*log.segments));
        if (log.segments == NULL) return MESH_ENOMEM;
    }
    log.segment_count = collect_segments(plog, log.segments != NULL ? log.segments : &log.only_segment);
    err = manifest_encode_log(&log, to);
    free(log.segments);
    return err;
}

static bool has_state(const struct plog *plog)
{
    return !plog->is_deleted && (plog->end_offset > 0 || plog->segment_count > 0 || plog->was_restarted);
}

int store_encode_manifest(struct store *store, struct buffer *to)
{
    struct manifest_header header = {
        .generation = store->options.manifest_generation,
        .sequence = ++store->manifest_sequence,
        .live_frame = store->checkpoint.bound + 1 > store->live_sequence ? store->checkpoint.bound + 1
                                                                         : store->live_sequence,
        .last_frame = store->writer.next_sequence - 1,
    };
    int err;

    list_for_each(node, &store->logs) header.log_count +=
        has_state(container_of(node, struct plog, log_link));
    err = manifest_encode_header(&header, to);
    for (struct list_node *node = store->logs.next; node != &store->logs && err == 0; node = node->next) {
        const struct plog *plog = container_of(node, struct plog, log_link);
        if (has_state(plog)) err = encode_log(plog, to);
    }
    return err != 0 ? err : manifest_encode_end(to);
}
