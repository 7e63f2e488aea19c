/* Checkpoints: write behind all that the oldest journal files hold, sync the segments, write the manifest,
 * and only then use those files again. In order, because each step vouches for the one before it. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/manifest.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define UNMANIFESTED_BYTES_MAX (256u << 20) /* what recovery may have to read, per store */

struct manifest_job {
    struct store_job job;
    struct buffer bytes;
    uint32_t store_index;
    bool is_clean, is_final;
    bool is_whole; /* all that was acknowledged is in files */
    bool remove_marker;
    bool mark, is_marked;
    bool has_erasures; /* it says of records that they are deleted, as none before did */
    uint64_t generation, nonce; /* of the marker */
    uint64_t bound;
    uint64_t sequence;
    int error;
};

static void manifest_job_run(struct store_job *base)
{
    struct manifest_job *job = container_of(base, struct manifest_job, job);
    char path[FS_PATH_MAX];

    /* What this run has appended and not written yet is in the logs' books: without a marker the next start would believe it. */
    job->error = job->mark ? store_write_marker(base->fs, job->store_index, job->generation, job->nonce) : 0;
    job->is_marked = job->mark && job->error == 0;
    if (job->error == 0) job->error = manifest_write(base->fs, job->store_index, buffer_slice(&job->bytes));
    if (job->error == 0 && job->is_clean && job->remove_marker) {
        manifest_path(job->store_index, MANIFEST_PATH_MARKER, path);
        job->error = base->fs->ops->unlink(base->fs, path);
        if (job->error == MESH_ENOTFOUND) job->error = 0;
        if (job->error == 0) job->error = base->fs->ops->sync_dir(base->fs, "manifest");
    }
}

void store_finish_drain(struct store *store, int error)
{
    store->is_drained = true;
    store->drain_error = error;
}

/* Whoever wanted it does not ask again: a deletion waits for it, and a log of its name for the deletion. */
static void retry_later(struct store *store)
{
    store->is_checkpoint_due = true;
    store->write_retry_ms = store->now_ms + WRITE_RETRY_MS;
}

static void manifest_job_complete(struct store *store, struct store_job *base)
{
    struct manifest_job *job = container_of(base, struct manifest_job, job);

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    store->checkpoint.phase = CHECKPOINT_NONE;
    if (job->is_marked) store->is_marked = true;
    if (job->error == 0) {
        store->durable_manifest_sequence = job->sequence;
        if (job->has_erasures) store_erasures_durable(store);
        if (job->bound >= store->live_sequence) store->live_sequence = job->bound + 1;
        journal_files_recycle(&store->journal, job->bound);
        if (job->is_clean) store->is_marked = false;
    } else {
        /* The old manifest is still there, and the journal files stay as they are: nothing is lost, try
         * again. */
        store->is_manifest_stale = true;
        store->is_erasure_due = store->is_erasure_due || job->has_erasures;
        retry_later(store);
    }
    if (job->is_final || (store->is_draining && job->error != 0))
        store_finish_drain(store, job->error != 0 || job->is_whole ? job->error : MESH_ESTORAGE);
    buffer_deinit(&job->bytes);
    free(job);
}

static struct store_job *start_manifest(struct store *store)
{
    struct manifest_job *job = calloc(1, sizeof(*job));
    bool is_whole = store->error == 0 && !store->is_journal_pinned && store->stats.failed_logs == 0; /* an async log fails with what only memory has */
    /* Files that could not be removed are in no manifest: after a clean stop nobody would know of them. */
    bool is_clean = store->checkpoint.is_final && is_whole && list_is_empty(&store->failed_deletions);

    /* What a failed log had acknowledged is in the journal: nothing is voided any more, and the next start
     * recovers. */
    if (store->is_journal_pinned) store->checkpoint.bound = store->live_sequence - 1;
    if (job != NULL && store_encode_manifest(store, &job->bytes) != 0) {
        buffer_deinit(&job->bytes);
        free(job);
        job = NULL;
    }
    if (job == NULL) {
        store->checkpoint.phase = CHECKPOINT_NONE;
        retry_later(store);
        if (store->checkpoint.is_final) store_finish_drain(store, MESH_ENOMEM);
        return NULL;
    }
    job->store_index = store->options.index;
    job->bound = store->checkpoint.bound;
    job->sequence = store->manifest_sequence;
    job->is_whole = is_whole;
    job->is_clean = is_clean;
    job->is_final = store->checkpoint.is_final;
    job->remove_marker = store->is_marked;
    job->mark = !is_clean && !store->is_marked;
    job->generation = store->writer.generation;
    job->nonce = store->writer.nonce;
    job->has_erasures = store->is_erasure_due;
    if (job->has_erasures) store_erasures_stated(store);
    job->job = (struct store_job){.lane = STORE_LANE_BACKGROUND,
                                  .fs = store->fs,
                                  .run = manifest_job_run,
                                  .complete = manifest_job_complete};
    store->is_manifest_stale = false;
    store->unmanifested_bytes = 0;
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return &job->job;
}

static bool nothing_gathers(const struct store *store)
{
    return store->forming == NULL && list_is_empty(&store->queued_batches) &&
           !store->is_lane_busy[STORE_LANE_SYNC] && store->parked_sync == NULL && list_is_empty(&store->truncations) &&
           ((list_is_empty(&store->async_logs) && list_is_empty(&store->deletions)) || store->error != 0);
}

/* A journal that is half full is the time to begin: the other half is written while this one is emptied. */
static uint64_t journal_bound(const struct store *store)
{
    const struct journal_files *files = &store->journal;
    uint32_t used = 0;

    if (store->is_journal_pinned) return 0;
    list_for_each(node, &files->used_files) used++;
    if (used <= 1 || used < files->count_max / 2) return 0;
    return journal_files_full_bound(files);
}

/* Nothing can be written behind, and what is to be removed or said waits for a manifest: one that voids nothing of the journal will do. */
bool store_must_make_room(const struct store *store)
{
    return store->is_full_found && !store->is_draining && (store->is_erasure_due || store_has_waiting_deletion(store));
}

static bool begin(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint64_t bound = store->durable_sequence;
    bool is_brief = false;
    bool is_idle = store->is_manifest_stale && nothing_gathers(store) &&
                   store->now_ms - store->last_append_ms >= IDLE_CHECKPOINT_MS;

    /* Deletions wait for a manifest, and the final one for them. */
    bool is_first_of_two = store->is_draining && store->error == 0 && store_has_waiting_deletion(store);

    if (is_first_of_two) {
        if (store->is_drained || store_is_truncating_files(store)) return false;
    } else if (store->is_draining) {
        if (store->is_drained || !nothing_gathers(store)) return false;
        if (store->error != 0 || (!store->is_marked && !store->is_manifest_stale)) {
            store_finish_drain(store, store->error);
            return false;
        }
    } else if (store_is_truncating_files(store) && !store_must_make_room(store)) {
        return false; /* a cut that has begun must not be forgotten by the journal; it may be what waits for room */
    } else if (!store->is_checkpoint_due && !is_idle && !store_must_make_room(store) && store->unmanifested_bytes < UNMANIFESTED_BYTES_MAX) {
        bound = journal_bound(store);
        if (bound == 0 && !store->is_erasure_due) return false;
        is_brief = bound == 0;
    }
    checkpoint->phase = CHECKPOINT_WRITE;
    checkpoint->bound = bound;
    checkpoint->is_final = store->is_draining && !is_first_of_two;
    checkpoint->is_idle = is_idle;
    checkpoint->is_brief = is_brief;
    store->is_checkpoint_due = false;
    return true;
}

static struct store_job *sync_step(struct store *store)
{
    int error;
    struct store_job *job = store_segment_sync_job(store, store->checkpoint.is_final, &error);

    if (job == NULL && error == 0) store->checkpoint.phase = CHECKPOINT_MANIFEST;
    if (job != NULL) store->checkpoint.phase = CHECKPOINT_MANIFEST;
    return job;
}

bool store_checkpoint_needs_writing(const struct store *store)
{
    return store->checkpoint.phase == CHECKPOINT_WRITE && store_has_unwritten(store, store->checkpoint.bound);
}

bool store_checkpoint_is_closing(const struct store *store)
{
    return store->checkpoint.is_final &&
           (store->checkpoint.phase == CHECKPOINT_SYNC || store->checkpoint.phase == CHECKPOINT_MANIFEST);
}

void store_checkpoint_step(struct store *store)
{
    if (store->checkpoint.phase == CHECKPOINT_WRITE && !store_has_unwritten(store, store->checkpoint.bound))
        store->checkpoint.phase = CHECKPOINT_SYNC;
}

/* Nothing is voided that is not void already, so nothing has to be written before: not what lies behind the last checkpoint in a chunk that began
 * before it, either, and that has no room to go to. */
static void skip_writing(struct store *store)
{
    store->checkpoint.bound = store->live_sequence - 1;
    if (store->checkpoint.phase == CHECKPOINT_WRITE) store->checkpoint.phase = CHECKPOINT_SYNC;
}

struct store_job *store_checkpoint_job(struct store *store)
{
    struct store_job *job = NULL;
    bool makes_room;

    if (store->now_ms < store->write_retry_ms) return NULL;
    if (store->checkpoint.phase == CHECKPOINT_NONE && !begin(store)) return NULL;
    makes_room = (store->checkpoint.is_brief || store_must_make_room(store)) && !store->checkpoint.is_final;
    /* While a job of write-behind is out its end is what is waited for. */
    if (makes_room) skip_writing(store);
    else if (!store->is_lane_busy[STORE_LANE_BEHIND]) store_checkpoint_step(store);
    if (store->checkpoint.phase == CHECKPOINT_WRITE) return NULL;
    if (store->checkpoint.phase == CHECKPOINT_SYNC) job = sync_step(store);
    if (job != NULL || store->checkpoint.phase != CHECKPOINT_MANIFEST) return job;
    /* A failed log in between only makes the manifest say so. */
    return start_manifest(store);
}
