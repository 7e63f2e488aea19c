/* Removing files: whole logs (plog_delete) and old segments (retention). Jobs, because unlinking large files
 * blocks.
 *
 * A file is removed only after a manifest that does not name it any more is durable: after a crash, a file
 * that the manifest names and that is not there is damage, never a removal that was under way.
 *
 * In steps with pauses: where the file system tells the disk of freed blocks at once (discard), gigabytes that go together
 * make every sync wait for seconds. A step is a file at least; it is not cut shorter, a view may be reading it still. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/plog_delete.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

#define STEP_BYTES_DEFAULT (64u << 20)
#define STEP_PAUSE_MS      250

struct removal {
    uint64_t base_offset;
    uint32_t size;
};

struct delete_job {
    struct store_job job;
    struct plog_id id;
    bool is_whole;            /* at last the log's directory goes, with whatever is in it */
    struct removal *removals; /* owned; oldest first */
    uint32_t count, next;
    uint64_t step_bytes;    /* UINT64_MAX: no steps */
    uint64_t removed_bytes; /* by this step */
    bool is_done;
    int error; /* something of it may be there yet */
    uint64_t manifest_sequence; /* the first manifest that knows of the removal */
};

static int collect_name(void *user, const char *name, bool is_dir)
{
    (void)is_dir;
    return buffer_append(user, name, strlen(name) + 1);
}

/* Errors: what is in it may be there yet, or come back with a power cut. is_again: the directory may be gone already, but not durably. */
static int remove_directory(struct fs *fs, const struct plog_id *id, bool is_again)
{
    struct buffer names = BUFFER_INIT;
    char directory[FS_PATH_MAX], path[FS_PATH_MAX];
    int err, unlink_err = 0;

    segment_directory_path(id, directory);
    err = fs->ops->list(fs, directory, collect_name, &names);
    for (size_t at = 0; err == 0 && at < names.size; at += strlen((char *)names.data + at) + 1) {
        const char *name = (char *)names.data + at;
        if (strlen(directory) + strlen(name) + 2 > sizeof(path)) continue;
        memcpy(path, directory, strlen(directory));
        path[strlen(directory)] = '/';
        memcpy(path + strlen(directory) + 1, name, strlen(name) + 1);
        if (unlink_err == 0) unlink_err = fs->ops->unlink(fs, path);
        else fs->ops->unlink(fs, path);
    }
    buffer_deinit(&names);
    if (err == MESH_ENOTFOUND && !is_again) return 0; /* most often: it never had a directory */
    if (err != 0 && err != MESH_ENOTFOUND) return err;
    if (err == 0 && fs->ops->rmdir(fs, directory) != 0) {
        err = fs->ops->sync_dir(fs, directory);
        return unlink_err != 0 ? unlink_err : err;
    }
    segment_topic_path(&id->topic_id, path);
    /* The last partition takes the topic's directory along; for the others this fails, as it should. Another shard's may have taken it just now. */
    err = fs->ops->rmdir(fs, path) == 0 ? MESH_ENOTFOUND : fs->ops->sync_dir(fs, path);
    return err == MESH_ENOTFOUND ? fs->ops->sync_dir(fs, "topics") : err;
}

static void delete_job_run(struct store_job *base)
{
    struct delete_job *job = container_of(base, struct delete_job, job);

    job->removed_bytes = 0;
    /* Oldest first, so that a crash in between leaves no gap. What fails stays, and is found by recovery. */
    while (job->next < job->count && job->removed_bytes < job->step_bytes) {
        const struct removal *removal = &job->removals[job->next++];
        if (segment_remove(base->fs, &job->id, removal->base_offset) != 0) job->next = job->count;
        job->removed_bytes += removal->size;
    }
    job->is_done = job->next == job->count;
    if (job->is_done && job->is_whole)
        job->error = remove_directory(base->fs, &job->id, job->error != 0);
    else
        segment_sync_names(base->fs, &job->id, false);
    if (base->fs->ops->free_bytes(base->fs, &base->free_bytes) != 0) base->free_bytes = UINT64_MAX;
}

static void delete_job_free(struct delete_job *job)
{
    free(job->removals);
    free(job);
}

static uint64_t step_bytes_of(const struct store *store)
{
    return store->options.delete_step_bytes > 0 ? store->options.delete_step_bytes : STEP_BYTES_DEFAULT;
}

/* It keeps the log's name. What failed for want of descriptors, memory or space is done again, behind the others; a stop does not wait for it. */
static void put_back(struct store *store, struct delete_job *job)
{
    bool is_retried = store_may_write_again(job->error) && !store->is_draining;

    list_push_back(is_retried ? &store->deletions : &store->failed_deletions, &job->job.link);
    if (is_retried) store->delete_due_ms = store->now_ms + WRITE_RETRY_MS;
}

static void delete_job_complete(struct store *store, struct store_job *base)
{
    struct delete_job *job = container_of(base, struct delete_job, job);
    uint64_t step_bytes = step_bytes_of(store);

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    store->deleting = NULL;
    store->deleted_bytes += job->removed_bytes;
    if (store->deleted_bytes >= step_bytes) {
        store->delete_due_ms = store->now_ms + store->deleted_bytes / step_bytes * STEP_PAUSE_MS;
        store->deleted_bytes = 0;
    }
    if (job->is_done && job->error != 0)
        put_back(store, job);
    else if (job->is_done)
        delete_job_free(job);
    else
        list_push_front(&store->deletions, &job->job.link);
}

/* The first `count` segments of the log; is_whole: then its directory. */
static struct delete_job *delete_job_new(struct plog *plog, uint32_t count, bool is_whole)
{
    struct delete_job *job = calloc(1, sizeof(*job));

    if (job == NULL) return NULL;
    job->id = plog->id;
    job->job = (struct store_job){.lane = STORE_LANE_BACKGROUND,
                                  .fs = plog->store->fs,
                                  .run = delete_job_run,
                                  .complete = delete_job_complete};
    job->is_whole = is_whole;
    job->count = count;
    job->manifest_sequence = plog->store->manifest_sequence + 1;
    if (count > 0) job->removals = malloc(count * sizeof(*job->removals));
    if (count > 0 && job->removals == NULL) {
        free(job);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        job->removals[i] = (struct removal){plog->segments[i]->base_offset, plog->segments[i]->size};
    return job;
}

static struct delete_job *delete_job_of(struct list_node *link)
{
    return container_of(container_of(link, struct store_job, link), struct delete_job, job);
}

/* They are queued in the order of the manifests that they wait for. */
bool store_has_waiting_deletion(const struct store *store)
{
    return !list_is_empty(&store->deletions) &&
           delete_job_of(store->deletions.next)->manifest_sequence > store->durable_manifest_sequence;
}

struct store_job *store_delete_job(struct store *store)
{
    struct delete_job *job;

    if (store_deletion_due(store) > store->now_ms) return NULL;
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    job = delete_job_of(list_pop_front(&store->deletions));
    store->deleting = &job->id;
    job->step_bytes = store->is_draining ? UINT64_MAX : step_bytes_of(store) - store->deleted_bytes;
    return &job->job;
}

uint64_t store_deletion_due(const struct store *store)
{
    if (list_is_empty(&store->deletions) || store_has_waiting_deletion(store)) return UINT64_MAX;
    return store->is_draining ? 0 : store->delete_due_ms; /* who stops does not wait */
}

static void queue(struct store *store, struct delete_job *job)
{
    list_push_back(&store->deletions, &job->job.link);
    store->is_manifest_stale = true;
    store->is_checkpoint_due = true;
}

void store_deletions_deinit(struct store *store)
{
    struct list_node *node;

    while ((node = list_pop_front(&store->deletions)) != NULL)
        delete_job_free(delete_job_of(node));
    while ((node = list_pop_front(&store->failed_deletions)) != NULL)
        delete_job_free(delete_job_of(node));
}

static bool is_same(const struct plog_id *a, const struct plog_id *b)
{
    return a->partition == b->partition && uuid_equal(&a->topic_id, &b->topic_id);
}

bool store_is_name_taken(const struct store *store, const struct plog_id *id)
{
    if (store->deleting != NULL && is_same(store->deleting, id)) return true;
    list_for_each(node, &store->deletions) if (is_same(&delete_job_of(node)->id, id)) return true;
    list_for_each(node, &store->failed_deletions) if (is_same(&delete_job_of(node)->id, id)) return true;
    if (store->dying_count == 0) return false;
    list_for_each(node, &store->logs)
    {
        const struct plog *plog = container_of(node, struct plog, log_link);
        if (plog->is_deleted && is_same(&plog->id, id)) return true;
    }
    return false;
}

void plog_job_unref(struct plog *plog)
{
    struct store *store = plog->store;
    struct delete_job *job;

    MESH_ASSERT(plog->job_references > 0);
    if (--plog->job_references > 0 || !plog->is_deleted) return;
    if (plog->end_offset > 0 || plog->segment_count > 0 || plog->error != 0) { /* a restart that failed left files */
        job = delete_job_new(plog, plog->segment_count, true);
        /* Without memory for the job the files stay, and the log with them, which keeps its name from being used; recovery finds them, and
         * the metadata does not know them. */
        if (job == NULL) return;
        queue(store, job);
    }
    plog_free(plog);
}

void plog_delete(struct plog *plog)
{
    plog->is_deleted = true;
    plog->store->dying_count++;
    plog->user = NULL;
    plog_truncation_cancel(plog);
    list_remove(&plog->notify_link);
    plog_leave_work_lists(plog);
    due_heap_set(&plog->store->due, plog, UINT64_MAX);
    plog->job_references++;
    plog_job_unref(plog);
}

int plog_remove_segments(struct plog *plog, uint32_t count)
{
    struct store *store = plog->store;
    struct delete_job *job;

    MESH_ASSERT(count < plog->segment_count && plog->job_references == plog->touch_references);
    job = delete_job_new(plog, count, false);
    if (job == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct segment_file *segment = plog->segments[i];
        plog->size_bytes -= segment->size;
        file_cache_close(&store->files, segment);
        segment_file_free(segment);
    }
    plog->segment_count -= count;
    store->stats.segment_count -= count;
    memmove(plog->segments, plog->segments + count, plog->segment_count * sizeof(struct segment_file *));
    queue(store, job);
    return 0;
}
