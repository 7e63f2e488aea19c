#include "segment/plog.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/plog_producers.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENTS_MIN 4 /* room for so many, once one is not enough */

void plog_config_init(struct plog_config *config)
{
    *config = (struct plog_config){
        .flush = PLOG_FLUSH_GROUP,
        .flush_interval_ms = 1000,
        .flush_bytes = 16u << 20,
        .segment_bytes = 1u << 30,
        .segment_ms = 7ull * 24 * 3600 * 1000,
        .retention_ms = 7ll * 24 * 3600 * 1000,
        .retention_bytes = -1,
        .index_interval_bytes = 16u << 10,
        .producer_expiry_ms = 24ll * 3600 * 1000,
    };
}

struct segment_file *plog_active_segment(const struct plog *plog)
{
    return plog->segment_count > 0 ? plog->segments[plog->segment_count - 1] : NULL;
}

/* Most logs have one segment, and no memory for a list of them. */
static bool make_room(struct plog *plog)
{
    bool is_list = plog->segment_capacity > 1;
    uint32_t capacity = is_list ? plog->segment_capacity * 2 : SEGMENTS_MIN;
    struct segment_file **segments;

    if (plog->segment_capacity == 0) {
        plog->segments = &plog->only_segment;
        plog->segment_capacity = 1;
        return true;
    }
    segments = realloc(is_list ? plog->segments : NULL, capacity * sizeof(struct segment_file *));
    if (segments == NULL) return false;
    if (!is_list) segments[0] = plog->only_segment;
    plog->segments = segments;
    plog->segment_capacity = capacity;
    return true;
}

int plog_add_segment(struct plog *plog, uint64_t base_offset, struct segment_file **ret_segment)
{
    if (plog->segment_count == plog->segment_capacity && !make_room(plog)) return MESH_ENOMEM;
    if (segment_file_new(base_offset, &plog->segments[plog->segment_count]) != 0) return MESH_ENOMEM;
    *ret_segment = plog->segments[plog->segment_count++];
    plog->store->stats.segment_count++;
    return 0;
}

uint32_t plog_find_segment(const struct plog *plog, uint64_t offset)
{
    uint32_t low = 0, high = plog->segment_count;

    MESH_ASSERT(plog->segment_count > 0);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (plog->segments[middle]->base_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool plog_raise_synced(struct plog *plog)
{
    uint64_t before = plog->synced_offset;
    uint32_t i = plog->segment_count > 0 ? plog_find_segment(plog, before) : 0;

    for (; i < plog->segment_count; i++) {
        const struct segment_file *segment = plog->segments[i];
        if (segment->synced_offset > plog->synced_offset) plog->synced_offset = segment->synced_offset;
        if (segment->synced < segment->size) break;
    }
    MESH_ASSERT(plog->synced_offset <= plog->filed_offset);
    if (plog->synced_offset == plog->filed_offset)
        plog_leave_unsynced(plog);
    else
        plog_join_unsynced(plog);
    return plog->synced_offset > before;
}

void plog_forget_marks(struct plog *plog)
{
    free(plog->read_marks);
    plog->read_marks = NULL;
}

void plog_notify(struct plog *plog)
{
    if (plog->is_deleted || !list_is_empty(&plog->notify_link)) return;
    list_push_back(&plog->store->notify_list, &plog->notify_link);
}

void plog_run_written(struct plog *plog, struct run *run)
{
    struct store *store = plog->store;
    struct chunk *chunk = run->chunk;

    MESH_ASSERT(!run->is_written && run_queue_at(plog_runs(plog), plog_runs(plog)->written_count) == run);
    run->is_written = true;
    plog_runs(plog)->written_count++;
    store->pending_bytes -= run->size;
    if (--chunk->dirty_run_count == 0) store_chunk_cleaned(store, chunk);
}

void plog_drop_first_run(struct plog *plog)
{
    struct run *run = run_queue_pop_front(plog_runs(plog));

    MESH_ASSERT(run != NULL && run->is_written);
    list_remove(&run->chunk_link);
    run_pool_put(&plog->store->runs, run);
    if (plog_runs(plog)->count == 0) run_queue_deinit(plog_runs(plog));
}

void plog_drop_last_run(struct plog *plog)
{
    struct run *run = run_queue_last(plog_runs(plog));
    struct store *store = plog->store;

    MESH_ASSERT(run != NULL);
    if (store->writer.open_run == run) store->writer.open_run = NULL;
    if (run->is_written) {
        run_queue_pop_back(plog_runs(plog));
        list_remove(&run->chunk_link);
    } else {
        struct chunk *chunk = run->chunk;
        run_queue_pop_back(plog_runs(plog));
        list_remove(&run->chunk_link);
        store->pending_bytes -= run->size;
        if (--chunk->dirty_run_count == 0) store_chunk_cleaned(store, chunk);
    }
    run_pool_put(&store->runs, run);
}

void plog_poison(struct plog *plog, int error)
{
    if (plog->error != 0) return;
    plog->error = error;
    plog->store->stats.failed_logs++;
    plog->store->is_manifest_stale = true;
    if (plog->durable_offset > plog->synced_offset) plog->store->is_journal_pinned = true;
    /* Its records stay readable in memory for a while, but they will never reach the files. */
    while (plog_runs(plog)->written_count < plog_runs(plog)->count)
        plog_run_written(plog, run_queue_at(plog_runs(plog), plog_runs(plog)->written_count));
    if (plog->work->direct_run_count > 0) plog->work->direct_run_count = 0;
    plog_notify(plog);
}

void plog_free(struct plog *plog)
{
    struct store *store = plog->store;

    MESH_ASSERT(plog->job_references == 0);
    store_scrub_forget(store, plog);
    if (plog->work->direct_chunk != NULL) {
        store_close_chunk(store, plog->work->direct_chunk);
        store->direct_log_count--;
    }
    while (plog_runs(plog)->count > 0)
        plog_drop_last_run(plog);
    for (uint32_t i = 0; i < plog->segment_count; i++) {
        file_cache_close(&store->files, plog->segments[i]);
        segment_file_free(plog->segments[i]);
    }
    store->stats.segment_count -= plog->segment_count;
    if (plog->error != 0) store->stats.failed_logs--;
    if (plog->segment_capacity > 1) free(plog->segments);
    store->stats.holes -= plog->hole_count;
    free(plog->holes);
    plog_forget_marks(plog);
    epoch_cache_deinit(&plog->epochs);
    producer_table_deinit(&plog->producers);
    plog_truncation_free(plog->truncation);
    due_heap_set(&store->due, plog, UINT64_MAX);
    list_remove(&plog->log_link);
    list_remove(&plog->notify_link);
    plog_end_work(plog);
    config_pool_put(&store->configs, plog->config);
    store->stats.log_count--;
    if (plog->is_deleted) store->dying_count--;
    free(plog);
}

/* ---- what others may ask ---- */

int plog_set_config(struct plog *plog, const struct plog_config *config)
{
    struct plog_config wanted = *config;
    const struct plog_config *before = plog->config;

    if (wanted.segment_bytes > SEGMENT_BYTES_MAX) wanted.segment_bytes = SEGMENT_BYTES_MAX;
    if (wanted.index_interval_bytes == 0) wanted.index_interval_bytes = 1;
    if (config_pool_get(&plog->store->configs, &wanted, &plog->config) != 0) return MESH_ENOMEM;
    config_pool_put(&plog->store->configs, before);
    store_due_changed(plog);
    return 0;
}

const struct plog_id *plog_id(const struct plog *plog)
{
    return &plog->id;
}

void plog_set_user(struct plog *plog, void *user)
{
    plog->user = user;
}

void *plog_user(const struct plog *plog)
{
    return plog->user;
}

void plog_set_high_watermark(struct plog *plog, uint64_t offset)
{
    bool lets_go = plog->segment_count > 0 && plog->high_watermark < plog->segments[0]->next_offset &&
                   offset >= plog->segments[0]->next_offset;

    if (plog->keeps_uncommitted && offset == plog->high_watermark) return;
    plog->high_watermark = offset;
    plog->keeps_uncommitted = true;
    if (lets_go) store_due_changed(plog);
}

uint64_t plog_high_watermark(const struct plog *plog)
{
    return plog->high_watermark > plog->start_offset ? plog->high_watermark : plog->start_offset;
}

uint64_t plog_start_offset(const struct plog *plog)
{
    return plog->start_offset;
}

uint64_t plog_end_offset(const struct plog *plog)
{
    return plog->end_offset;
}

uint64_t plog_written_offset(const struct plog *plog)
{
    return plog->filed_offset > plog->durable_offset ? plog->filed_offset : plog->durable_offset;
}

uint64_t plog_durable_offset(const struct plog *plog)
{
    return plog->durable_offset;
}

uint64_t plog_size_bytes(const struct plog *plog)
{
    return plog->size_bytes;
}

uint64_t plog_bytes_from(const struct plog *plog, uint64_t offset)
{
    uint64_t before = 0, size, base, end;
    uint32_t at;

    if (offset >= plog->end_offset) return 0;
    if (offset <= plog->start_offset || plog->segment_count == 0) {
        base = plog->start_offset; /* all is in memory yet */
        return offset <= base ? plog->size_bytes : plog->size_bytes / (plog->end_offset - base) * (plog->end_offset - offset);
    }
    at = plog_find_segment(plog, offset);
    for (uint32_t i = 0; i < at; i++)
        before += plog->segments[i]->size;
    base = plog->segments[at]->base_offset;
    end = at + 1 < plog->segment_count ? plog->segments[at + 1]->base_offset : plog->end_offset;
    size = at + 1 < plog->segment_count ? plog->segments[at]->size : plog->size_bytes > before ? plog->size_bytes - before : 0;
    if (offset > base && end > base) before += (uint64_t)((double)size * (double)(offset - base) / (double)(end - base));
    return before < plog->size_bytes ? plog->size_bytes - before : 0;
}

uint32_t plog_segment_count(const struct plog *plog)
{
    return plog->segment_count;
}

int plog_error(const struct plog *plog)
{
    if (plog->error != 0) return MESH_ESTORAGE;
    return plog->store->error;
}

int32_t plog_last_epoch(const struct plog *plog)
{
    return epoch_cache_last_epoch(&plog->epochs);
}

int32_t plog_epoch_at(const struct plog *plog, uint64_t offset)
{
    return epoch_cache_epoch_at(&plog->epochs, offset);
}

uint64_t plog_epoch_end_offset(const struct plog *plog, int32_t epoch, int32_t *ret_epoch)
{
    uint64_t end_offset = epoch_cache_end_offset(&plog->epochs, epoch, plog->end_offset, ret_epoch);

    return end_offset < plog->start_offset ? plog->start_offset : end_offset; /* only what is not known ends before the log's start */
}

size_t plog_producer_count(const struct plog *plog)
{
    return producer_table_count(&plog->producers);
}

void plog_each_producer(const struct plog *plog, producer_each_fn *each, void *user)
{
    producer_table_each(&plog->producers, each, user);
}

int plog_check_producer(struct plog *plog, const struct record_batch_header *header,
                        uint64_t *ret_base_offset)
{
    return producer_table_check(&plog->producers, header, ret_base_offset);
}

bool plog_has_unsynced_older_segment(const struct plog *plog)
{
    for (uint32_t i = plog->segment_count; i > 1; i--) {
        const struct segment_file *segment = plog->segments[i - 2];
        if (segment->written > segment->synced || !segment->is_name_durable) return true;
        if (segment->written > 0) return false; /* older ones were synced before */
    }
    return false;
}
