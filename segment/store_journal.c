/* Jobs that open and fill journal files, and the marker that says "not stopped cleanly". */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "segment/manifest.h"
#include "segment/segment_file.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define GROW_RETRY_MS 1000

struct prepare_job {
    struct store_job job;
    struct journal_file *journal_file;
    struct journal_preparation preparation;
    int error;
};

_Static_assert(JOURNAL_FILL_MAX <= SEGMENT_STAGING_SIZE, "a step fits into what the lane has");

int store_write_marker(struct fs *fs, uint32_t store_index, uint64_t generation, uint64_t nonce)
{
    struct manifest_marker marker = {generation, nonce};
    uint8_t bytes[MANIFEST_MARKER_SIZE];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    unsigned tries = 0;
    int err = fs->ops->mkdir(fs, "manifest");

    if (err != 0 && err != MESH_EEXISTS) return err;
    err = fs->ops->sync_dir(fs, "."); /* who made it may have been killed, or refused, before it was durable */
    manifest_encode_marker(&marker, bytes);
    manifest_path(store_index, MANIFEST_PATH_MARKER, path);
    if (err == 0) {
        do
            err = fs_open(fs, path, FS_WRITE | FS_CREATE, &file);
        while (segment_tries_again(err, &tries));
    }
    if (err == 0) err = fs->ops->write_sync(file, &iov, 1, 0);
    fs_unref(file);
    return err != 0 ? err : fs->ops->sync_dir(fs, "manifest");
}

int store_mark_unclean(struct store *store)
{
    int err;

    if (store->is_marked) return 0;
    err = store_write_marker(store->fs, store->options.index, store->writer.generation, store->writer.nonce);
    if (err == 0) store->is_marked = true;
    return err;
}

static void prepare_job_run(struct store_job *base)
{
    struct prepare_job *job = container_of(base, struct prepare_job, job);
    bool is_new = job->preparation.file == NULL;

    job->error = journal_file_prepare(base->fs, &job->preparation);
    if (!is_new) return; /* its blocks were taken before */
    if (base->fs->ops->free_bytes(base->fs, &base->free_bytes) != 0) base->free_bytes = UINT64_MAX;
}

/* There is no space for one more file. Files that are in use can be emptied instead; when there is none, what gathered waits until there is
 * space, and who stops does not wait. */
static void grow_later(struct store *store, int error)
{
    store->grow_retry_ms = store->now_ms + GROW_RETRY_MS;
    store->space_left = 0;
    if (!list_is_empty(&store->journal.used_files))
        store->is_checkpoint_due = true;
    else if (store->is_draining)
        store_fail_journal(store, error);
}

static void prepare_job_complete(struct store *store, struct store_job *base)
{
    struct prepare_job *job = container_of(base, struct prepare_job, job);

    store->is_lane_busy[base->lane] = false;
    if (job->journal_file->file == NULL) {
        job->journal_file->file = job->preparation.file;
        job->preparation.file = NULL;
    }
    journal_files_prepared(&store->journal, job->journal_file, job->error, job->preparation.fill_bytes);
    fs_unref(job->preparation.file);
    if (store_may_write_again(job->error))
        grow_later(store, job->error);
    else if (job->error != 0)
        store_fail_journal(store, MESH_ESTORAGE);
    free(job);
}

struct store_job *store_journal_prepare_job(struct store *store, enum store_lane lane)
{
    struct prepare_job *job;
    struct journal_file *file;
    uint32_t fill_bytes;
    uint8_t *staging = NULL;

    if (store->error != 0 || store->now_ms < store->grow_retry_ms) return NULL;
    /* A journal at its limit is freed by a checkpoint, not by growing. */
    file = journal_files_to_prepare(&store->journal, lane == STORE_LANE_SYNC, &fill_bytes);
    if (file == NULL) {
        if (lane == STORE_LANE_SYNC) store->is_checkpoint_due = true;
        if (lane == STORE_LANE_SYNC && store->is_journal_pinned &&
            journal_files_is_exhausted(&store->journal))
            store_fail_journal(store,
                               MESH_ESTORAGE); /* nothing more can be made durable before recovery has run */
        return NULL;
    }
    if (fill_bytes > 0) staging = store_staging(store, lane);
    job = calloc(1, sizeof(*job));
    if (job == NULL || (fill_bytes > 0 && staging == NULL)) {
        free(job);
        file->is_busy = false;
        return NULL;
    }
    job->journal_file = file;
    job->preparation = (struct journal_preparation){.store_index = store->options.index,
                                                    .number = file->number,
                                                    .file_bytes = store->options.journal_file_bytes,
                                                    .fill_from = file->filled,
                                                    .fill_bytes = fill_bytes,
                                                    .staging = staging,
                                                    .file = file->file != NULL ? fs_ref(file->file) : NULL};
    job->job = (struct store_job){
        .lane = lane, .fs = store->fs, .run = prepare_job_run, .complete = prepare_job_complete};
    store->is_lane_busy[lane] = true;
    return &job->job;
}
