/* What time brings to a log: whole segments that are too old or too many go, old ones are rolled so that they
 * can go, async ones are synced, producers are forgotten. Each log has one due time in the store's heap;
 * nobody scans. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/plog_delete.h"
#include "segment/store_core.h"

#define RETRY_MS     1000 /* when a job holds the log just now */
#define DUE_BURST    256  /* logs per tick */
#define TICK_BUSY_MS 100  /* while something waits for time to pass */

static uint64_t at_wall(const struct store *store, int64_t wall_ms)
{
    if (wall_ms <= store->now_wall_ms) return store->now_ms;
    return store->now_ms + (uint64_t)(wall_ms - store->now_wall_ms);
}

static int64_t add_clamped(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Whether retention may take this segment: what is not committed may still be asked for, or be cut. */
static bool may_go(const struct plog *plog, const struct segment_file *segment)
{
    return !plog->keeps_uncommitted || segment->next_offset <= plog->high_watermark;
}

static bool is_past(const struct plog *plog, const struct segment_file *segment)
{
    int64_t limit = add_clamped(segment->max_timestamp_ms, plog->config->retention_ms);

    return plog->config->retention_ms >= 0 && segment->size > 0 && limit < plog->store->now_wall_ms;
}

static bool is_over(const struct plog *plog, uint64_t bytes_left, const struct segment_file *segment)
{
    return plog->config->retention_bytes >= 0 &&
           bytes_left - segment->size >= (uint64_t)plog->config->retention_bytes;
}

static bool is_trimmed(const struct plog *plog, const struct segment_file *segment)
{
    return segment->size > 0 && segment->next_offset <= plog->trim_offset;
}

static bool is_settled(const struct segment_file *segment)
{
    return segment->synced == segment->size && segment->written == segment->size;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t flush_due(const struct plog *plog)
{
    if (plog->flush != PLOG_FLUSH_ASYNC || plog->work->unsynced_bytes == 0) return UINT64_MAX;
    if (plog->work->unsynced_bytes >= plog->config->flush_bytes) return plog->store->now_ms;
    return plog->work->last_sync_ms + plog->config->flush_interval_ms;
}

static uint64_t next_due(const struct plog *plog)
{
    const struct store *store = plog->store;
    const struct segment_file *active = plog_active_segment(plog);
    uint64_t due = flush_due(plog);
    int64_t oldest_producer = producer_table_oldest_ms(&plog->producers);

    if (active == NULL) return due;
    if (may_go(plog, plog->segments[0]) && plog->config->retention_ms >= 0 && plog->segments[0]->size > 0)
        due = earliest(due, at_wall(store, add_clamped(plog->segments[0]->max_timestamp_ms,
                                                       add_clamped(plog->config->retention_ms, 1))));
    if (may_go(plog, plog->segments[0]) && is_trimmed(plog, plog->segments[0])) due = store->now_ms;
    if (may_go(plog, plog->segments[0]) && plog->segment_count > 1 && is_over(plog, plog->size_bytes, plog->segments[0])) due = store->now_ms;
    if (oldest_producer != INT64_MAX)
        due =
            earliest(due, at_wall(store, add_clamped(oldest_producer, plog->config->producer_expiry_ms)) + 1);
    return due;
}

void store_due_changed(struct plog *plog)
{
    if (!plog->is_deleted) due_heap_set(&plog->store->due, plog, next_due(plog));
}

void plog_trim(struct plog *plog, uint64_t offset)
{
    if (offset <= plog->trim_offset) return;
    plog->trim_offset = offset;
    store_due_changed(plog);
}

static void start_changed(struct plog *plog)
{
    plog->start_offset = plog->segments[0]->base_offset;
    epoch_cache_truncate_start(&plog->epochs, plog->start_offset);
    while (plog->hole_count > 0 && plog->holes[0].to <= plog->start_offset)
        plog_drop_hole(plog, 0);
    plog_notify(plog);
}

static void drop_tail_cache(struct plog *plog, uint64_t below_offset)
{
    while (plog_runs(plog)->count > 0 && run_queue_at(plog_runs(plog), 0)->base_offset < below_offset)
        plog_drop_first_run(plog);
}

/* Returns false when something has to be waited for. */
static bool retain(struct plog *plog)
{
    uint64_t bytes_left = plog->size_bytes;
    struct segment_file *active = plog_active_segment(plog);
    uint32_t count = 0;

    if (active == NULL || plog->error != 0) return true;
    if ((is_past(plog, active) || is_trimmed(plog, active)) && may_go(plog, active)) {
        /* Even the newest record is too old, or given up: an empty segment takes over, so that this one can go. */
        if (!is_settled(active) || plog_add_segment(plog, plog->end_offset, &active) != 0) return false;
    }
    while (count + 1 < plog->segment_count && may_go(plog, plog->segments[count]) &&
           (is_past(plog, plog->segments[count]) || is_trimmed(plog, plog->segments[count]) || is_over(plog, bytes_left, plog->segments[count])))
        bytes_left -= plog->segments[count++]->size;
    if (count == 0) return true;
    /* A batch that waits to be synced, or for space, keeps no segment: what it has to write makes its own one unsettled. It may be waiting
     * for just the space that is freed here. */
    if (plog->job_references > plog->touch_references || plog->truncation != NULL) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!is_settled(plog->segments[i])) return false;
    drop_tail_cache(plog, plog->segments[count]->base_offset);
    if (plog_remove_segments(plog, count) != 0) return false;
    start_changed(plog);
    return true;
}

static void run_due(struct plog *plog)
{
    struct store *store = plog->store;
    uint64_t due;

    if (flush_due(plog) <= store->now_ms && list_is_empty(&plog->work->flush_link)) {
        list_push_back(&store->flush_logs, &plog->work->flush_link);
        plog->work->last_sync_ms = store->now_ms;
    }
    producer_table_expire(&plog->producers, store->now_wall_ms, plog->config->producer_expiry_ms);
    if (!retain(plog)) store->is_manifest_stale = true;
    due = next_due(plog);
    due_heap_set(&store->due, plog, due <= store->now_ms ? store->now_ms + RETRY_MS : due);
}

uint64_t store_run_due(struct store *store)
{
    for (int i = 0; i < DUE_BURST; i++) {
        struct plog *plog = due_heap_first(&store->due);
        if (plog == NULL) return UINT64_MAX;
        if (plog->due_ms > store->now_ms) return plog->due_ms;
        run_due(plog);
    }
    return store->now_ms;
}

/* True when everything that an idle store gives back has been given back. */
static bool is_at_rest(const struct store *store)
{
    return chunk_pool_used_bytes(store->pool) == 0 && store->files.count == 0 && !store->is_manifest_stale && !store->has_erasures_left &&
           list_is_empty(&store->truncations);
}

/* Of the files that are about to be closed for idleness, which the list has at its end: the others are not looked at. */
static void drop_idle_indexes(struct store *store)
{
    for (struct list_node *node = store->files.open.previous; node != &store->files.open; node = node->previous) {
        const struct segment_open *opened = container_of(node, struct segment_open, link);
        struct segment_file *segment = opened->segment;

        if (opened->used_ms + IDLE_RELEASE_MS > store->now_ms) return;
        if (segment->synced == segment->size && (segment->indexed == segment->size || segment->size <= (256u << 10)))
            segment_file_drop_index(segment);
    }
}

uint64_t store_tick(struct store *store, uint64_t now_ms, int64_t now_wall_ms)
{
    uint64_t next, free_bytes;

    store_set_clock(store, now_ms, now_wall_ms);
    next = store_run_due(store);
    store_notify_owner(store); /* before it says anything more of a log that begins later now */
    store_erasures_tick(store);
    store_truncations_step(store); /* what had no memory for its record, and has no job to wait for */
    /* What is due already begins with the next free moment of its lane. */
    if (store_deletion_due(store) > now_ms) next = earliest(next, store_deletion_due(store));
    if (now_ms - store->probed_ms >= FREE_PROBE_MS && store->fs->ops->free_bytes(store->fs, &free_bytes) == 0)
        store_space_probed(store, free_bytes);
    if (now_ms >= IDLE_RELEASE_MS) {
        drop_idle_indexes(store);
        file_cache_close_idle(&store->files, now_ms - IDLE_RELEASE_MS + 1);
    }
    if (now_ms - store->last_append_ms >= IDLE_RELEASE_MS && store->pending_bytes == 0)
        store_release_memory(store);
    if (!is_at_rest(store)) next = earliest(next, now_ms + TICK_BUSY_MS);
    return earliest(next, store_scrub_due(store));
}
