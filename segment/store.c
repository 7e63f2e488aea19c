#include "segment/store.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/random.h"
#include "segment/recovered.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define READ_JOBS_MAX              4
#define CHUNK_BYTES_MIN            (8u << 10)
#define DIRECT_ENTER_BYTES_DEFAULT (256u << 10)
#define MARK_BYTES_DEFAULT         (16u << 20) /* two of the largest sync jobs */
#define JOURNAL_FILE_BYTES_MIN     (64u << 10)
#define PAST_CACHE_BYTES_MIN_DEFAULT (16u << 10)
#define FILES_MIN                  64
#define FILES_MAX                  16384

void store_options_init(struct store_options *options, struct fs *fs, uint32_t index)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t share = memory / 48;

    if (share < (32u << 20)) share = 32u << 20;
    if (share > (512u << 20)) share = 512u << 20;
    *options = (struct store_options){
        .fs = fs,
        .index = index,
        .memory_bytes_max = share,
        .journal_bytes_max = 512u << 20,
        .journal_file_bytes = 64u << 20,
        .free_bytes_min = 64u << 20,
        .manifest_generation = 1,
        .chunk_bytes = CHUNK_BYTES_DEFAULT,
        .direct_enter_bytes = DIRECT_ENTER_BYTES_DEFAULT,
        .mark_bytes = MARK_BYTES_DEFAULT,
    };
}

static uint32_t files_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 4 > FILES_MAX) return FILES_MAX;
    return limit.rlim_cur / 4 < FILES_MIN ? FILES_MIN : (uint32_t)(limit.rlim_cur / 4);
}

static void init_lists(struct store *store)
{
    list_init(&store->logs);
    list_init(&store->notify_list);
    list_init(&store->dirty_chunks);
    list_init(&store->clean_chunks);
    list_init(&store->queued_batches);
    list_init(&store->spare_batches);
    list_init(&store->truncations);
    list_init(&store->deletions);
    list_init(&store->failed_deletions);
    list_init(&store->repairs);
    list_init(&store->flush_logs);
    list_init(&store->unsynced_logs);
    list_init(&store->async_logs);
    list_init(&store->working_logs);
    list_init(&store->read_queue);
}

static void check_options(struct store_options *options)
{
    uint32_t journal_file_max = 1u << 30;

    if (options->journal_file_bytes < JOURNAL_FILE_BYTES_MIN)
        options->journal_file_bytes = JOURNAL_FILE_BYTES_MIN;
    if (options->journal_file_bytes > options->journal_bytes_max / 4) {
        options->journal_file_bytes = (uint32_t)(options->journal_bytes_max / 4);
        if (options->journal_file_bytes < JOURNAL_FILE_BYTES_MIN)
            options->journal_file_bytes = JOURNAL_FILE_BYTES_MIN;
    }
    if (options->journal_file_bytes > journal_file_max) options->journal_file_bytes = journal_file_max;
    if (options->chunk_bytes == 0) options->chunk_bytes = CHUNK_BYTES_DEFAULT;
    if (options->direct_enter_bytes == 0) options->direct_enter_bytes = DIRECT_ENTER_BYTES_DEFAULT;
    if (options->past_cache_bytes_min == 0) options->past_cache_bytes_min = PAST_CACHE_BYTES_MIN_DEFAULT;
    if (options->mark_bytes == 0) options->mark_bytes = MARK_BYTES_DEFAULT;
    if (options->chunk_bytes < CHUNK_BYTES_MIN) options->chunk_bytes = CHUNK_BYTES_MIN;
    options->chunk_bytes = (uint32_t)chunk_round_up(options->chunk_bytes);
    options->journal_file_bytes &= ~(uint32_t)(FS_BLOCK_SIZE - 1);
}

static struct store *store_new(const struct store_options *options)
{
    struct store *store = calloc(1, sizeof(*store));
    uint64_t nonce;

    if (store == NULL) return NULL;
    store->options = *options;
    check_options(&store->options);
    store->fs = options->fs;
    init_lists(store);
    run_pool_init(&store->runs);
    random_system_bytes(&nonce, sizeof(nonce));
    frame_writer_init(&store->writer, options->manifest_generation, nonce);
    store->next_ticket = 1;
    store->live_sequence = 1;
    store->batch_bytes_max = store->options.journal_file_bytes / 4;
    if (store->batch_bytes_max > SYNC_BATCH_BYTES_MAX) store->batch_bytes_max = SYNC_BATCH_BYTES_MAX;
    journal_files_init(&store->journal, options->index, store->options.journal_file_bytes,
                       options->journal_bytes_max);
    file_cache_init(&store->files, files_max());
    return store;
}

int store_open(const struct store_options *options, struct store **ret_store)
{
    struct store *store = store_new(options);
    uint64_t free_bytes;
    int err = MESH_ENOMEM;

    if (store == NULL) return MESH_ENOMEM;
    if (chunk_pool_new(store->options.chunk_bytes, options->memory_bytes_max, &store->pool) != 0) goto fail;
    store->sync_histogram = malloc(sizeof(*store->sync_histogram));
    if (store->sync_histogram == NULL) goto fail;
    histogram_init(store->sync_histogram);
    err = journal_files_load(&store->journal, store->fs);
    if (err != 0) goto fail;
    store->space_left = INT64_MAX / 2;
    if (store->fs->ops->free_bytes(store->fs, &free_bytes) == 0) store_space_probed(store, free_bytes);
    *ret_store = store;
    return 0;
fail:
    store_close(store);
    return err;
}

/* Jobs that are out belong to whoever took them; a store is closed when they have all come back. */
void store_close(struct store *store)
{
    struct list_node *node;

    if (store == NULL) return;
    for (int lane = 0; lane < STORE_LANE_COUNT; lane++)
        MESH_ASSERT(!store->is_lane_busy[lane]);
    store_drop_parked_sync(store);
    store_drop_warm_jobs(store);
    store_queue_forming(store);
    if (store->forming != NULL) list_push_back(&store->queued_batches, &store->forming->link);
    while ((node = list_pop_front(&store->queued_batches)) != NULL) {
        struct sync_batch *batch = container_of(node, struct sync_batch, link);
        for (uint32_t i = 0; i < batch->touch_count; i++)
            plog_touch_unref(batch->touches[i].plog);
        store_batch_free(store, batch);
    }
    store_repairs_deinit(store);
    store_deletions_deinit(store);
    store_scrub_deinit(store);
    while (!list_is_empty(&store->logs))
        plog_free(container_of(store->logs.next, struct plog, log_link));
    if (store->writer.chunk != NULL) store_close_chunk(store, store->writer.chunk);
    if (store->async_chunk != NULL) store_close_chunk(store, store->async_chunk);
    while (store_reclaim_chunk(store)) {
    }
    while ((node = list_pop_front(&store->spare_batches)) != NULL)
        store_batch_drop(container_of(node, struct sync_batch, link));
    for (int lane = 0; lane < STORE_LANE_COUNT; lane++)
        free(store->staging[lane]);
    journal_files_deinit(&store->journal);
    run_pool_deinit(&store->runs);
    due_heap_deinit(&store->due);
    config_pool_deinit(&store->configs);
    buffer_deinit(&store->scratch);
    chunk_pool_close(store->pool);
    free(store->sync_histogram);
    free(store);
}

/* ---- logs ---- */

static int take_segments(struct plog *plog, struct manifest_log *from)
{
    for (uint32_t i = 0; i < from->segment_count; i++) {
        const struct manifest_segment *known = manifest_segment_at(from, i);
        struct segment_file *segment;
        int err = plog_add_segment(plog, known->base_offset, &segment);
        if (err != 0) return err;
        segment->next_offset = known->next_offset;
        segment->first_timestamp_ms = known->first_timestamp_ms;
        segment->max_timestamp_ms = known->max_timestamp_ms;
        segment->size = known->size;
        segment_file_set_written(segment, known->size, known->next_offset);
        segment_file_raise_synced(segment, known->size, known->next_offset);
        segment->is_created = segment->is_name_durable = true;
        plog->size_bytes += known->size;
    }
    plog->is_parents_durable = from->segment_count > 0;
    return 0;
}

static int take_recovered(struct plog *plog, struct manifest_log *from)
{
    int err = take_segments(plog, from);

    plog->start_offset = from->start_offset;
    plog->end_offset = plog->filed_offset = plog->synced_offset = plog->durable_offset = from->end_offset;
    plog->high_watermark = from->high_watermark < from->end_offset ? from->high_watermark : from->end_offset;
    if (plog->high_watermark < from->start_offset) plog->high_watermark = from->start_offset;
    if (plog->high_watermark < from->deleted_offset) plog->high_watermark = from->deleted_offset; /* it was committed */
    plog->deleted_offset = plog->stated_deleted_offset = plog->durable_deleted_offset = from->deleted_offset;
    plog->trim_offset = from->deleted_offset;
    plog->holes = from->holes;
    plog->hole_count = from->hole_count;
    plog->store->stats.holes += from->hole_count;
    plog->epochs = from->epochs;
    plog->producers = from->producers;
    from->holes = NULL;
    from->hole_count = 0;
    from->epochs = (struct epoch_cache)EPOCH_CACHE_INIT;
    from->producers = (struct producer_table)PRODUCER_TABLE_INIT;
    return err;
}

static void init_plog(struct plog *plog)
{
    list_init(&plog->log_link);
    list_init(&plog->notify_link);
    plog->work = PLOG_AT_REST;
    plog->epochs = (struct epoch_cache)EPOCH_CACHE_INIT;
    plog->producers = (struct producer_table)PRODUCER_TABLE_INIT;
}

int store_open_log(struct store *store, const struct plog_id *id, const struct plog_config *config,
                   struct plog_recovered *recovered, struct plog **ret_plog)
{
    struct plog *plog = calloc(1, sizeof(*plog));
    int err = plog != NULL ? 0 : MESH_ENOMEM;

    if (plog != NULL) {
        init_plog(plog);
        plog->store = store;
        plog->id = *id;
        plog->flush = config->flush;
        plog->is_fresh = recovered == NULL;
        plog->was_restarted = recovered != NULL; /* an older manifest may still say more of it */
        store->stats.log_count++;
        list_push_back(&store->logs, &plog->log_link);
        err = due_heap_reserve(&store->due, store->stats.log_count);
        if (err == 0 && recovered != NULL) err = take_recovered(plog, &recovered->log);
        if (err == 0) err = plog_set_config(plog, config);
        if (err != 0) plog_free(plog);
    }
    plog_recovered_free(recovered);
    if (err == 0 && plog->hole_count > 0) plog_notify(plog); /* a log that nothing is appended to has no other news */
    if (err == 0) *ret_plog = plog;
    return err;
}

/* ---- turning the crank ---- */

void store_notify_owner(struct store *store)
{
    struct list_node *node;

    while ((node = list_pop_front(&store->notify_list)) != NULL) {
        struct plog *plog = container_of(node, struct plog, notify_link);
        if (store->notify != NULL) store->notify(store->notify_user, plog);
    }
}

void store_set_notify(struct store *store, store_notify_fn *notify, void *user)
{
    store->notify = notify;
    store->notify_user = user;
}

void store_set_clock(struct store *store, uint64_t now_ms, int64_t now_wall_ms)
{
    store->now_ms = now_ms;
    store->now_wall_ms = now_wall_ms;
}

void store_set_terms(struct store *store, const struct store_terms *terms)
{
    if (terms->free_bytes_min != store->options.free_bytes_min) {
        store->options.free_bytes_min = terms->free_bytes_min;
        store_space_probed(store, store->free_bytes); /* as the disk was when it was last looked at */
    }
    store->options.scrub_rest_ms = terms->scrub_rest_ms;
    store->options.scrub_bytes_per_s = terms->scrub_bytes_per_s;
    store_scrub_terms(store);
}

void store_end_turn(struct store *store, uint64_t now_ms, int64_t now_wall_ms)
{
    store_set_clock(store, now_ms, now_wall_ms);
    store_write_async(store);
    /* When little memory is shared by many logs, all of it may lie in chunks that wait for more of their own
     * log. */
    if (store->is_memory_wanted) store_yield_memory(store);
    store_notify_owner(store);
}

static struct store_job *next_background_job(struct store *store)
{
    struct store_job *job;

    if (store->is_lane_busy[STORE_LANE_BACKGROUND]) return NULL;
    job = store_truncate_job(store);
    if (job == NULL) job = store_delete_job(store);
    if (job == NULL) job = store_flush_job(store);
    if (job == NULL) job = store_checkpoint_job(store);
    if (job == NULL && !store->is_draining) job = store_repair_job(store);
    if (job == NULL && store->journal.current != NULL)
        job = store_journal_prepare_job(store, STORE_LANE_BACKGROUND);
    if (job == NULL) job = store_scrub_job(store);
    return job;
}

struct store_job *store_next_job(struct store *store, enum store_lane lane)
{
    struct list_node *node;

    if (store->is_drained) return NULL;
    if (lane == STORE_LANE_SYNC) return store_next_sync_job(store);
    if (lane == STORE_LANE_BEHIND) return store_write_behind_job(store);
    if (lane == STORE_LANE_BACKGROUND) return next_background_job(store);
    if (store->read_jobs >= READ_JOBS_MAX) return NULL;
    node = list_pop_front(&store->read_queue);
    if (node == NULL) return NULL;
    store->read_jobs++;
    return container_of(node, struct store_job, link);
}

void store_job_run(struct store_job *job)
{
    job->free_bytes = UINT64_MAX;
    job->run(job);
}

bool store_job_begin(struct store_job *job, struct sync_queue *queue)
{
    job->free_bytes = UINT64_MAX;
    return job->begin != NULL && job->begin(job, queue);
}

bool store_job_end(struct store_job *job, int error)
{
    return job->end(job, error);
}

void store_job_complete(struct store *store, struct store_job *job)
{
    uint64_t free_bytes = job->free_bytes;

    if (job->lane == STORE_LANE_READ) store->read_jobs--;
    job->complete(store, job);
    if (free_bytes != UINT64_MAX) store_space_probed(store, free_bytes);
    if (store->is_memory_wanted && store->pending_bytes < store->options.memory_bytes_max / 2)
        store->is_memory_wanted = false;
    store_notify_owner(store);
}

struct list_node *store_job_link(struct store_job *job)
{
    return &job->link;
}

struct store_job *store_job_from_link(struct list_node *link)
{
    return container_of(link, struct store_job, link);
}

uint64_t store_durable_ticket(const struct store *store)
{
    return store->durable_ticket;
}

uint64_t store_forming_ticket(const struct store *store)
{
    return store->next_ticket;
}

void store_drain(struct store *store)
{
    store->is_draining = true;
}

bool store_is_drained(const struct store *store)
{
    return store->is_drained;
}

int store_drain_error(const struct store *store)
{
    return store->drain_error;
}

void store_get_stats(const struct store *store, struct store_stats *ret_stats)
{
    *ret_stats = store->stats;
    ret_stats->memory_bytes = chunk_pool_used_bytes(store->pool);
    ret_stats->memory_bytes_max = store->options.memory_bytes_max;
    ret_stats->journal_live_bytes = store->journal.live_bytes;
    ret_stats->pending_bytes = store->pending_bytes;
    ret_stats->open_file_count = store->files.count;
    ret_stats->is_failed = store->error != 0;
    ret_stats->free_bytes = store->free_bytes;
}

const struct histogram *store_sync_histogram(const struct store *store)
{
    return store->sync_histogram;
}
