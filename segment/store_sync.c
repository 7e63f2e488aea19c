/* The sync job: makes one batch of group commit durable. Frames of journaled logs go to the journal in one
 * durable write; bytes of direct logs go to their segments, and one fdatasync each. Only one such job runs at
 * a time. A job that is only a small journal write needs no thread: begin() and end().
 *
 * What finds no space or no memory in a segment file is not given up: the job is parked with just that, keeps the lane, so that later bytes of
 * the log stay behind it, and runs again. Other logs of its batch are done with at once. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "segment/store_core.h"
#include "segment/sync_queue.h"

#include <stdlib.h>

/* Handing over a write costs the loop about 10 us, and more for every page of it. */
#define BEGIN_BYTES_MAX (64u << 10)

/* The direct bytes of one log, or of its part in one segment when it rolled. */
struct direct_write {
    struct segment_write write;
    struct plog *plog;
    struct segment_file *segment;
    uint32_t first_iov;
    uint32_t run_count;
    uint64_t end_offset;
    bool sync_names, sync_parents;
    bool is_refused; /* for want of space or memory, it or one before it of the same log */
    int error;
};

struct sync_job {
    struct store_job job;
    struct sync_batch *batch;
    uint32_t store_index;
    uint64_t generation, nonce;
    bool mark; /* the marker has to be written first */
    struct journal_file *journal_file;
    struct fs_file *file; /* referenced */
    uint32_t journal_position, journal_bytes;
    uint64_t last_sequence;
    struct direct_write *writes;
    uint32_t write_count, write_capacity;
    struct iovec *iovs;
    uint32_t iov_count, iov_capacity;
    uint8_t *staging;
    int mark_error, journal_error;
    bool is_journaled; /* the frames are durable: only the rest is done again */
    uint64_t start_ns, duration_ns;
};

/* ---- run: any thread ---- */

/* The buffers of the frames from *next on, as many as one call takes. */
static int gather_frames(const struct sync_batch *batch, uint32_t *next, struct iovec iov[SEGMENT_WRITE_IOVS_MAX],
                         uint64_t *ret_size)
{
    int count = 0;

    *ret_size = 0;
    while (*next < batch->frame_count && count < SEGMENT_WRITE_IOVS_MAX) {
        const struct journal_frame *frame = &batch->frames[(*next)++];
        uint8_t *memory = frame->chunk->memory + frame->position;
        *ret_size += frame->length;
        /* Frames that follow each other in a chunk are one buffer. */
        if (count > 0 && (uint8_t *)iov[count - 1].iov_base + iov[count - 1].iov_len == memory)
            iov[count - 1].iov_len += frame->length;
        else
            iov[count++] = (struct iovec){memory, frame->length};
    }
    return count;
}

static int write_frames(struct sync_job *job)
{
    struct iovec iov[SEGMENT_WRITE_IOVS_MAX];
    uint64_t position = job->journal_position;
    uint32_t next = 0;

    while (next < job->batch->frame_count) {
        uint64_t size;
        int count = gather_frames(job->batch, &next, iov, &size);
        int err = job->file->fs->ops->write_sync(job->file, iov, count, position);
        if (err != 0) return err;
        position += size;
    }
    return 0;
}

static void run_direct(struct sync_job *job, struct direct_write *direct)
{
    struct fs *fs = job->job.fs;

    direct->error = segment_write_run(fs, &direct->write, job->staging);
    direct->is_refused = store_may_write_again(direct->error); /* of a failed sync nobody knows what it has dropped */
    if (direct->error == 0) direct->error = fs->ops->sync(direct->write.file != NULL ? direct->write.file : direct->write.direct);
    if (direct->error == 0 && direct->sync_names)
        direct->error = segment_sync_names(fs, direct->write.id, direct->sync_parents);
}

static void sync_job_run(struct store_job *base)
{
    struct sync_job *job = container_of(base, struct sync_job, job);
    struct fs *fs = base->fs;

    job->start_ns = clock_monotonic_ns();
    job->mark_error = job->mark ? store_write_marker(fs, job->store_index, job->generation, job->nonce) : 0;
    job->journal_error = job->mark_error;
    if (job->journal_error == 0 && job->batch->frame_count > 0 && !job->is_journaled) job->journal_error = write_frames(job);
    for (uint32_t i = 0; i < job->write_count; i++) {
        struct direct_write *direct = &job->writes[i];
        /* A log that failed in one segment does not go on in the next one. */
        if (i > 0 && job->writes[i - 1].plog == direct->plog && job->writes[i - 1].error != 0) {
            direct->error = job->writes[i - 1].error;
            direct->is_refused = job->writes[i - 1].is_refused;
        } else if (job->journal_error != 0) {
            direct->error = job->journal_error;
            direct->is_refused = false;
        } else
            run_direct(job, direct);
    }
    job->duration_ns = clock_monotonic_ns() - job->start_ns;
    /* The journal's blocks were there before. */
    if (job->write_count > 0 && fs->ops->free_bytes(fs, &base->free_bytes) != 0) base->free_bytes = UINT64_MAX;
}

/* ---- begin and end, in place of run: the loop ---- */

static bool sync_job_begin(struct store_job *base, struct sync_queue *queue)
{
    struct sync_job *job = container_of(base, struct sync_job, job);
    struct iovec iov[SEGMENT_WRITE_IOVS_MAX];
    uint32_t next = 0;
    uint64_t size;
    int count;

    if (job->mark || job->write_count > 0 || job->batch->frame_count == 0 || job->is_journaled) return false;
    if (job->journal_bytes > BEGIN_BYTES_MAX) return false;
    count = gather_frames(job->batch, &next, iov, &size);
    if (next < job->batch->frame_count) return false;
    job->start_ns = clock_monotonic_ns();
    return sync_queue_begin(queue, job->file, iov, count, job->journal_position) == 0;
}

static bool sync_job_end(struct store_job *base, int error)
{
    struct sync_job *job = container_of(base, struct sync_job, job);

    if (error == MESH_EAGAIN) return false;
    job->journal_error = error;
    job->duration_ns = clock_monotonic_ns() - job->start_ns;
    return true;
}

/* ---- complete: the loop ---- */

/* A log that failed or was deleted meanwhile may have given up the memory of what is to be written. */
static bool is_wanted(const struct plog *plog)
{
    return plog->error == 0 && !plog->is_deleted;
}

static void complete_direct(struct store *store, struct direct_write *direct)
{
    struct plog *plog = direct->plog;
    struct segment_file *segment = direct->segment;

    file_cache_install(&store->files, segment, direct->write.file, direct->write.direct, store->now_ms);
    direct->write.file = direct->write.direct = NULL;
    if (!is_wanted(plog)) return;
    if (direct->error != 0) {
        plog_poison(plog, direct->error);
        return;
    }
    store_write_done(store);
    segment->is_created = true;
    if (direct->sync_names) segment->is_name_durable = true;
    if (direct->sync_parents) plog->is_parents_durable = true;
    segment_file_set_written(segment, direct->write.end, direct->end_offset);
    /* The fdatasync covered what was written before, too. */
    segment_file_raise_synced(segment, direct->write.end, direct->end_offset);
    store->stats.segment_written_bytes += direct->write.end - direct->write.position;
    store->stats.segment_sync_count++;
    store->unmanifested_bytes += direct->write.end - direct->write.position;
    for (uint32_t i = 0; i < direct->run_count; i++) {
        struct run *run = run_queue_at(plog_runs(plog), plog_runs(plog)->written_count);
        if (run->is_direct) plog->work->direct_run_count--;
        plog_run_written(plog, run);
    }
    plog->filed_offset = direct->end_offset;
    plog_raise_synced(plog); /* not past an older segment that waits for its sync since write-behind */
    store_due_changed(plog); /* a log that stays direct has no other job after which retention looks at its size */
}

static void complete_touch(const struct batch_touch *touch, int journal_error)
{
    struct plog *plog = touch->plog;

    if (journal_error == 0 && is_wanted(plog) && touch->end_offset > plog->durable_offset) {
        plog->durable_offset = touch->end_offset < plog->end_offset ? touch->end_offset : plog->end_offset;
        plog_notify(plog);
    }
    plog_touch_unref(plog);
}

static void sync_job_free(struct sync_job *job)
{
    for (uint32_t i = 0; i < job->write_count; i++)
        segment_write_deinit(&job->writes[i].write);
    fs_unref(job->file);
    free(job->writes);
    free(job->iovs);
    free(job);
}

/* ---- parking: the loop ---- */

static bool is_refused(const struct sync_job *job, const struct plog *plog)
{
    for (uint32_t i = 0; i < job->write_count; i++)
        if (job->writes[i].plog == plog && job->writes[i].is_refused) return true;
    return false;
}

/* Writes that are done leave the job, and so do the logs that wait for nothing in it. */
static void keep_refused(struct sync_job *job)
{
    struct sync_batch *batch = job->batch;
    uint32_t writes = 0, touches = 0;

    for (uint32_t i = 0; i < batch->touch_count; i++) {
        if (is_refused(job, batch->touches[i].plog))
            batch->touches[touches++] = batch->touches[i];
        else
            complete_touch(&batch->touches[i], 0);
    }
    batch->touch_count = touches;
    for (uint32_t i = 0; i < job->write_count; i++) {
        if (job->writes[i].is_refused)
            job->writes[writes++] = job->writes[i];
        else
            segment_write_deinit(&job->writes[i].write);
    }
    job->write_count = writes;
}

/* False: there is nothing in it that may be done again, or nobody waits for that any more. */
static bool park(struct store *store, struct sync_job *job)
{
    bool is_any = store_may_write_again(job->mark_error);

    for (uint32_t i = 0; i < job->write_count; i++) {
        struct direct_write *direct = &job->writes[i];
        direct->is_refused = direct->is_refused && is_wanted(direct->plog);
        is_any = is_any || direct->is_refused;
    }
    if (!is_any || store->is_draining || (job->journal_error != 0 && job->mark_error == 0)) return false;
    if (job->mark_error != 0) {
        store->parked_until_ms = store_write_refused(store, job->mark_error);
    } else {
        for (uint32_t i = 0; i < job->write_count; i++)
            if (!job->writes[i].is_refused) complete_direct(store, &job->writes[i]);
        keep_refused(job);
        for (uint32_t i = 0; i < job->write_count; i++) {
            store->parked_until_ms = store_write_refused(store, job->writes[i].error);
            store_due_changed(job->writes[i].plog); /* removing may be what makes room */
        }
    }
    store->parked_sync = &job->job;
    return true;
}

/* Its turn again; NULL: not yet. */
static struct store_job *unpark(struct store *store)
{
    struct sync_job *job = container_of(store->parked_sync, struct sync_job, job);

    if (store->now_ms < store->parked_until_ms && !store->is_draining) return NULL;
    /* It is the first job of a run that marks, and a log becomes direct by what a job before took of it. */
    MESH_ASSERT(job->mark_error == 0 || job->write_count == 0);
    if (job->mark_error == 0) {
        for (uint32_t i = 0; i < job->write_count; i++)
            job->writes[i].is_refused = is_wanted(job->writes[i].plog);
        keep_refused(job);
    }
    if (job->write_count > 0) {
        job->staging = store_staging(store, STORE_LANE_SYNC);
        if (job->staging == NULL) return NULL;
    }
    store->parked_sync = NULL;
    store->is_lane_busy[STORE_LANE_SYNC] = true;
    return &job->job;
}

static void note_journaled(struct store *store, struct sync_job *job)
{
    if (job->mark) store->is_marked = true;
    job->mark = false;
    if (job->is_journaled || job->batch->frame_count == 0) return;
    job->is_journaled = true;
    store->durable_sequence = job->last_sequence;
    store->stats.journal_sync_count++;
}

static void sync_job_complete(struct store *store, struct store_job *base)
{
    struct sync_job *job = container_of(base, struct sync_job, job);
    struct sync_batch *batch = job->batch;

    store->is_lane_busy[STORE_LANE_SYNC] = false;
    if (job->journal_error == 0) note_journaled(store, job);
    histogram_record(store->sync_histogram, job->duration_ns);
    if (park(store, job)) return;
    for (uint32_t i = 0; i < job->write_count; i++)
        complete_direct(store, &job->writes[i]);
    store->durable_ticket = batch->ticket;
    store->is_manifest_stale = true;
    for (uint32_t i = 0; i < batch->touch_count; i++)
        complete_touch(&batch->touches[i], job->journal_error);
    store_batch_free(store, batch);
    if (job->journal_error != 0) store_fail_journal(store, MESH_ESTORAGE);
    sync_job_free(job);
    store_truncations_step(store);
}

/* ---- build: the loop ---- */

static int add_iov(struct sync_job *job, struct run *run)
{
    if (job->iov_count == job->iov_capacity) {
        uint32_t capacity = job->iov_capacity > 0 ? job->iov_capacity * 2 : 64;
        struct iovec *iovs = realloc(job->iovs, capacity * sizeof(*iovs));
        if (iovs == NULL) return MESH_ENOMEM;
        job->iovs = iovs;
        job->iov_capacity = capacity;
    }
    job->iovs[job->iov_count++] = (struct iovec){run->chunk->memory + run->chunk_position, run->size};
    return 0;
}

static int add_write(struct sync_job *job, struct plog *plog, struct run *run)
{
    struct segment_file *segment = run->segment;
    struct direct_write *direct;

    if (job->write_count == job->write_capacity) {
        uint32_t capacity = job->write_capacity > 0 ? job->write_capacity * 2 : DIRECT_LOGS_MAX;
        struct direct_write *writes = realloc(job->writes, capacity * sizeof(*writes));
        if (writes == NULL) return MESH_ENOMEM;
        job->writes = writes;
        job->write_capacity = capacity;
    }
    direct = &job->writes[job->write_count++];
    *direct = (struct direct_write){.plog = plog, .segment = segment, .first_iov = job->iov_count};
    direct->write.id = &plog->id;
    direct->write.base_offset = segment->base_offset;
    direct->write.file = segment_file_opened_ref(segment);
    direct->write.direct = segment_file_opened_direct_ref(segment);
    direct->write.position = segment->placed;
    direct->write.skip = segment->placed - run->segment_position;
    direct->write.end = run->segment_position;
    direct->write.create = !segment->is_created;
    direct->write.past_cache_min = plog->store->options.past_cache_bytes_min;
    direct->sync_names = !segment->is_name_durable;
    direct->sync_parents = !plog->is_parents_durable;
    return 0;
}

/* All unwritten runs of a direct log up to this batch: also those that went to the journal before, which have
 * to reach the file first. */
static int gather_direct(struct sync_job *job, struct plog *plog)
{
    uint64_t ticket = job->batch->ticket;
    struct segment_file *segment = NULL;

    if (plog->error != 0) return 0;
    for (uint32_t i = plog_runs(plog)->written_count; i < plog_runs(plog)->count; i++) {
        struct run *run = run_queue_at(plog_runs(plog), i);
        struct direct_write *direct;
        int err = 0;
        if (run->ticket > ticket) break;
        if (run->segment != segment) err = add_write(job, plog, run);
        if (err == 0) err = add_iov(job, run);
        if (err != 0) return err;
        segment = run->segment;
        direct = &job->writes[job->write_count - 1];
        direct->write.end += run->size;
        direct->write.iov_count++;
        direct->run_count++;
        direct->end_offset = run->next_offset;
    }
    return 0;
}

static int gather(struct store *store, struct sync_job *job)
{
    struct sync_batch *batch = job->batch;

    for (uint32_t i = 0; i < batch->touch_count && batch->direct_count > 0; i++) {
        struct plog *plog = batch->touches[i].plog;
        int err = 0;
        if (batch->touches[i].is_direct) err = plog->is_writing ? MESH_EAGAIN : gather_direct(job, plog);
        if (err != 0) return err;
    }
    for (uint32_t i = 0; i < job->write_count; i++)
        job->writes[i].write.iov = job->iovs + job->writes[i].first_iov;
    if (job->write_count == 0) return 0;
    job->staging = store_staging(store, STORE_LANE_SYNC);
    return job->staging != NULL ? 0 : MESH_ENOMEM;
}

static void note_recent(struct sync_batch *batch)
{
    for (uint32_t i = 0; i < batch->touch_count; i++)
        batch->touches[i].plog->work->recent_bytes = batch->touches[i].bytes;
}

/* The next batch whose turn it is, complete; NULL when nothing gathered. */
static struct sync_batch *ready_batch(struct store *store)
{
    if (list_is_empty(&store->queued_batches)) {
        if (store->forming == NULL || store_drop_empty_forming(store)) return NULL;
        if (store_queue_forming(store) != 0) return NULL;
    }
    return container_of(store->queued_batches.next, struct sync_batch, link);
}

static uint32_t frame_bytes(const struct sync_batch *batch)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < batch->frame_count; i++)
        size += batch->frames[i].length;
    return size;
}

/* True when the frames have a place in the journal (or there are none). */
static bool reserve_journal(struct store *store, struct sync_job *job)
{
    uint32_t length = frame_bytes(job->batch);

    if (length == 0) return true;
    job->journal_file = journal_files_reserve(&store->journal, length, &job->journal_position);
    if (job->journal_file == NULL) return false;
    job->journal_bytes = length;
    job->last_sequence = job->batch->frames[job->batch->frame_count - 1].sequence;
    job->journal_file->last_sequence = job->last_sequence;
    job->file = fs_ref(job->journal_file->file);
    store->stats.journal_written_bytes += length;
    return true;
}

struct store_job *store_next_sync_job(struct store *store)
{
    struct sync_batch *batch;
    struct sync_job *job;

    if (store->is_lane_busy[STORE_LANE_SYNC]) return NULL;
    if (store->parked_sync != NULL) return unpark(store);
    if (store->error != 0) return NULL;
    batch = ready_batch(store);
    if (batch == NULL) return NULL;
    job = calloc(1, sizeof(*job));
    if (job == NULL) return NULL;
    job->batch = batch;
    if (gather(store, job) != 0 || !reserve_journal(store, job)) {
        sync_job_free(job);
        return store_journal_prepare_job(store, STORE_LANE_SYNC);
    }
    list_remove(&batch->link);
    note_recent(batch);
    job->store_index = store->options.index;
    job->generation = store->writer.generation;
    job->nonce = store->writer.nonce;
    job->mark = !store->is_marked;
    job->job.lane = STORE_LANE_SYNC;
    job->job.fs = store->fs;
    job->job.run = sync_job_run;
    job->job.complete = sync_job_complete;
    job->job.begin = sync_job_begin;
    job->job.end = sync_job_end;
    store->is_lane_busy[STORE_LANE_SYNC] = true;
    return &job->job;
}

void store_drop_parked_sync(struct store *store)
{
    struct sync_job *job;

    if (store->parked_sync == NULL) return;
    job = container_of(store->parked_sync, struct sync_job, job);
    store->parked_sync = NULL;
    for (uint32_t i = 0; i < job->batch->touch_count; i++)
        plog_touch_unref(job->batch->touches[i].plog);
    store_batch_free(store, job->batch);
    sync_job_free(job);
}

void store_fail_journal(struct store *store, int error)
{
    struct list_node *node;

    if (store->error != 0) return;
    store->error = error;
    store_queue_forming(store);
    while ((node = list_pop_front(&store->queued_batches)) != NULL) {
        struct sync_batch *batch = container_of(node, struct sync_batch, link);
        store->durable_ticket = batch->ticket;
        for (uint32_t i = 0; i < batch->touch_count; i++)
            plog_touch_unref(batch->touches[i].plog);
        store_batch_free(store, batch);
    }
    list_for_each(log, &store->logs) plog_notify(container_of(log, struct plog, log_link));
    store_truncations_step(store);
}
