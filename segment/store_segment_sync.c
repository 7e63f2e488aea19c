/* The job that makes what segment files hold durable, names included: a few files one by one, many at once.
 * It also saves the indexes of segments that will not grow any more, or that have grown a lot. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define SYNC_ALL_MIN_DEFAULT 64           /* files: from here on one syncfs costs less than syncing each */
#define INDEX_SAVE_BYTES     (64u << 20)  /* of growth, while a segment is being written */
#define INDEX_SAVE_BYTES_MIN (256u << 10) /* smaller segments are scanned faster than an index is kept */

struct segment_sync {
    struct plog *plog;
    struct segment_file *segment;
    struct fs_file *file; /* referenced; opened by the job when NULL */
    uint32_t written; /* of the segment, when the job began */
    uint64_t written_offset;
    uint64_t unsynced_bytes; /* of the log; more may have been written meanwhile, and wait for their own time */
    bool sync_names, sync_parents;
    struct buffer index; /* to be saved; empty: not */
    uint32_t indexed;
    int error;
};

struct segment_sync_job {
    struct store_job job;
    struct segment_sync *syncs;
    uint32_t count, capacity;
    bool is_of_all; /* one sync of the whole file system */
    int error;      /* of that */
};

static int sync_one(struct fs *fs, struct segment_sync *sync)
{
    unsigned tries = 0;
    int err;

    do
        err = segment_open(fs, &sync->plog->id, sync->segment->base_offset, FS_WRITE, false, &sync->file);
    while (segment_tries_again(err, &tries));
    if (err == 0) err = fs->ops->sync(sync->file);
    if (err == 0 && sync->sync_names) err = segment_sync_names(fs, &sync->plog->id, sync->sync_parents);
    return err;
}

static void segment_sync_run(struct store_job *base)
{
    struct segment_sync_job *job = container_of(base, struct segment_sync_job, job);
    struct fs *fs = base->fs;

    job->error = job->is_of_all ? fs->ops->sync_all(fs) : 0;
    for (uint32_t i = 0; i < job->count; i++) {
        struct segment_sync *sync = &job->syncs[i];
        if (job->is_of_all)
            sync->error = job->error;
        else if (sync->written > 0)
            sync->error = sync_one(fs, sync);
        if (sync->error == 0 && sync->index.size > 0 &&
            segment_save_index(fs, &sync->plog->id, sync->segment->base_offset, buffer_slice(&sync->index)) !=
                0)
            sync->indexed = 0; /* a hint less */
    }
    if (fs->ops->free_bytes(fs, &base->free_bytes) != 0) base->free_bytes = UINT64_MAX;
}

static void raise_log(struct plog *plog, uint64_t bytes)
{
    if (plog->error != 0 || !plog_raise_synced(plog)) return;
    if (plog->flush == PLOG_FLUSH_ASYNC && plog->synced_offset > plog->durable_offset) {
        plog->durable_offset = plog->synced_offset;
        plog_notify(plog);
    }
    plog->work->unsynced_bytes -= bytes < plog->work->unsynced_bytes ? bytes : plog->work->unsynced_bytes;
    plog->work->last_sync_ms = plog->store->now_ms;
    store_due_changed(plog);
}

static void complete_one(struct store *store, struct segment_sync *sync)
{
    struct plog *plog = sync->plog;
    struct segment_file *segment = sync->segment;

    file_cache_install(&store->files, segment, sync->file, NULL, store->now_ms);
    sync->file = NULL;
    if (plog->error != 0) return;
    segment_file_raise_synced(segment, sync->written, sync->written_offset);
    if (sync->sync_names) segment->is_name_durable = true;
    if (sync->sync_parents) plog->is_parents_durable = true;
    if (sync->index.size > 0 && sync->indexed > 0) segment->indexed = sync->indexed;
    if (segment != plog_active_segment(plog) && segment->indexed == segment->size)
        segment_file_drop_index(segment);
    store->stats.segment_sync_count++;
}

/* Of the logs behind the first `count` entries nothing is synced after all. */
static void give_up_from(struct segment_sync_job *job, uint32_t count)
{
    while (job->count > count) {
        struct segment_sync *sync = &job->syncs[--job->count];
        fs_unref(sync->file);
        buffer_deinit(&sync->index);
        sync->plog->job_references--;
    }
}

static void segment_sync_free(struct segment_sync_job *job)
{
    for (uint32_t i = 0; i < job->count; i++) {
        fs_unref(job->syncs[i].file);
        buffer_deinit(&job->syncs[i].index);
    }
    free(job->syncs);
    free(job);
}

/* The system tells once that bytes were lost, and not of which file: they may have been written while the sync ran. */
static void condemn_unsynced(struct store *store, int error)
{
    store->sync_all_failures++;
    list_for_each_safe(node, &store->unsynced_logs)
    {
        struct plog *plog = container_of(node, struct plog_work, unsynced_link)->plog;
        if (plog->filed_offset > plog->synced_offset) plog_poison(plog, error);
    }
}

static void segment_sync_complete(struct store *store, struct store_job *base)
{
    struct segment_sync_job *job = container_of(base, struct segment_sync_job, job);

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    if (job->error != 0) condemn_unsynced(store, job->error);
    for (uint32_t i = 0; i < job->count; i++)
        if (job->syncs[i].error != 0) plog_poison(job->syncs[i].plog, job->syncs[i].error);
    /* Only now is it known that none of a log's segments failed. */
    for (uint32_t i = 0; i < job->count; i++)
        complete_one(store, &job->syncs[i]);
    for (uint32_t i = 0; i < job->count; i++) {
        raise_log(job->syncs[i].plog, job->syncs[i].unsynced_bytes);
        plog_job_unref(job->syncs[i].plog);
    }
    store->is_manifest_stale = true;
    segment_sync_free(job);
    store_truncations_step(store);
}

static bool is_index_wanted(const struct plog *plog, const struct segment_file *segment, bool is_final)
{
    uint32_t grown = segment->written - segment->indexed;

    if (segment->index == NULL || segment->written < segment->size || segment->indexed == segment->size)
        return false;
    if (segment != plog_active_segment(plog)) return true;
    return is_final ? segment->size >= INDEX_SAVE_BYTES_MIN : grown >= INDEX_SAVE_BYTES;
}

static int add_segment(struct segment_sync_job *job, struct plog *plog, struct segment_file *segment,
                       bool save_index)
{
    struct segment_sync *sync;

    if (job->count == job->capacity) {
        uint32_t capacity = job->capacity > 0 ? job->capacity * 2 : 16;
        struct segment_sync *syncs = realloc(job->syncs, capacity * sizeof(*syncs));
        if (syncs == NULL) return MESH_ENOMEM;
        job->syncs = syncs;
        job->capacity = capacity;
    }
    sync = &job->syncs[job->count++];
    *sync = (struct segment_sync){.plog = plog, .segment = segment, .written = segment->written};
    sync->written_offset = segment->written_offset;
    sync->unsynced_bytes = plog->work->unsynced_bytes;
    sync->file = segment_file_opened_ref(segment);
    sync->sync_names = !segment->is_name_durable;
    sync->sync_parents = !plog->is_parents_durable;
    if (save_index && offset_index_encode(segment->index, &sync->index) == 0) sync->indexed = segment->size;
    plog->job_references++;
    return 0;
}

static int add_log(struct segment_sync_job *job, struct plog *plog, bool is_final)
{
    int err = 0;

    if (plog->error != 0) {
        plog_leave_unsynced(plog);
        return 0;
    }
    for (uint32_t i = plog->segment_count; i > 0 && err == 0; i--) {
        struct segment_file *segment = plog->segments[i - 1];
        bool save_index = is_index_wanted(plog, segment, is_final);
        if (segment->written > segment->synced || save_index)
            err = add_segment(job, plog, segment, save_index);
        else if (segment->written > 0)
            break; /* older ones were synced before */
    }
    return err;
}

static struct store_job *start(struct store *store, struct segment_sync_job *job)
{
    uint32_t files_min = store->options.sync_all_files_min > 0 ? store->options.sync_all_files_min : SYNC_ALL_MIN_DEFAULT;

    if (job->count == 0) {
        segment_sync_free(job);
        return NULL;
    }
    job->job = (struct store_job){.lane = STORE_LANE_BACKGROUND,
                                  .fs = store->fs,
                                  .run = segment_sync_run,
                                  .complete = segment_sync_complete};
    job->is_of_all = job->count >= files_min;
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return &job->job;
}

/* Of a final checkpoint: also logs that are synced, but whose index is only in memory. */
static int add_final(struct store *store, struct segment_sync_job *job)
{
    int err = 0;

    for (struct list_node *node = store->logs.next; node != &store->logs && err == 0; node = node->next) {
        struct plog *plog = container_of(node, struct plog, log_link);
        if (list_is_empty(&plog->work->unsynced_link)) err = add_log(job, plog, true);
    }
    return err;
}

struct store_job *store_segment_sync_job(struct store *store, bool is_final, int *ret_error)
{
    struct segment_sync_job *job = calloc(1, sizeof(*job));
    int err = job != NULL ? 0 : MESH_ENOMEM;

    *ret_error = 0;
    if (job != NULL) {
        list_for_each_safe(node, &store->unsynced_logs)
        {
            if (err == 0)
                err = add_log(job, container_of(node, struct plog_work, unsynced_link)->plog,
                              is_final || store->checkpoint.is_idle);
        }
        if (err == 0 && is_final) err = add_final(store, job);
    }
    if (err == 0) return start(store, job);
    *ret_error = err;
    if (job == NULL) return NULL;
    give_up_from(job, 0);
    segment_sync_free(job);
    return NULL;
}

struct store_job *store_flush_job(struct store *store)
{
    struct segment_sync_job *job;
    struct list_node *node;

    if (list_is_empty(&store->flush_logs)) return NULL;
    job = calloc(1, sizeof(*job));
    if (job == NULL) return NULL;
    while ((node = list_pop_front(&store->flush_logs)) != NULL) {
        uint32_t before = job->count;
        if (add_log(job, container_of(node, struct plog_work, flush_link)->plog, false) == 0) continue;
        /* All of a log's segments or none: its end counts as durable when what is in the job has been synced. */
        give_up_from(job, before);
        list_push_back(&store->flush_logs, node);
        break;
    }
    return start(store, job);
}
