/* Truncation, durable at every step (R14): a TRUNCATE record in the journal, then the files, then a RESET
 * record that voids what the journal said of the log before. A crash in between repeats the cut; a stale tail
 * never comes back.
 *
 * A restart is a truncation to 0, wherever the log begins, whose last record is a RESTART: a crash before it leaves the old log or one that
 * is empty (at 0, or where it began), a crash after it one that is empty at its new place. */
#include "segment/plog_truncate.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/producer_scan.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

struct truncate_job {
    struct store_job job;
    struct plog *plog;
    struct plog_id id;
    uint64_t base_offset; /* of the segment that is cut */
    uint32_t position;
    uint64_t *removed; /* base offsets of the segments behind it */
    uint32_t removed_count;
    bool is_restart; /* no segment stays */
    bool sync_parents;
    struct producer_scan_segment *kept; /* owned; NULL: the producers need no mending */
    uint32_t kept_count;
    struct producer_table scanned;
    int error;
};

void plog_truncation_free(struct plog_truncation *truncation)
{
    if (truncation == NULL) return;
    list_remove(&truncation->link);
    free(truncation);
}

static void finish(struct plog_truncation *truncation, int error)
{
    struct plog *plog = truncation->plog;
    plog_done_fn *done = truncation->done;
    void *user = truncation->user;

    plog->truncation = NULL;
    plog_truncation_free(truncation);
    if (done != NULL) done(user, error);
}

/* Whoever waits for it is told. */
void plog_truncation_cancel(struct plog *plog)
{
    if (plog->truncation != NULL) finish(plog->truncation, MESH_ECANCELED);
}

/* ---- records ---- */

static uint32_t position_of(const struct plog_truncation *truncation, enum journal_entry_type type)
{
    const struct segment_file *segment = plog_active_segment(truncation->plog);

    if (type == JOURNAL_ENTRY_RESTART) return journal_restart_position(truncation->restart_epoch);
    return segment != NULL && type == JOURNAL_ENTRY_RESET ? segment->size : 0;
}

/* Puts a record for this step into the forming batch. When there is no memory for it now, the next step tries
 * again. */
static void add_record(struct plog_truncation *truncation, enum journal_entry_type type)
{
    struct plog *plog = truncation->plog;
    struct store *store = plog->store;
    const struct segment_file *segment = plog_active_segment(plog);
    uint64_t offset = type == JOURNAL_ENTRY_RESTART ? truncation->restart_offset : truncation->offset;
    struct journal_entry_header entry = {
        .type = type,
        .topic_id = plog->id.topic_id,
        .partition = plog->id.partition,
        .base_offset = offset,
        .next_offset = offset,
        .segment_base_offset = segment != NULL ? segment->base_offset : offset,
        .segment_position = position_of(truncation, type),
    };
    uint32_t position;

    if (store_begin_append(store, 0) != 0 || store_begin_entry(store, &entry, 0, NULL, &position) != 0)
        return;
    store->forming->has_records = true;
    truncation->ticket = store->forming->ticket;
}

/* ---- the cut in memory ---- */

static void shorten_last_run(struct plog *plog, uint64_t offset)
{
    struct run *run = run_queue_last(plog_runs(plog));
    const uint8_t *memory;
    uint32_t size = 0;

    if (run == NULL || run->next_offset <= offset) return;
    memory = run->chunk->memory + run->chunk_position;
    for (;;) {
        struct record_batch_header header;
        int err = record_batch_parse_header(slice_of(memory + size, run->size - size), &header);
        MESH_ASSERT(err == 0);
        if ((uint64_t)header.base_offset >= offset) break;
        size += header.size;
    }
    if (!run->is_written) plog->store->pending_bytes -= run->size - size;
    run->size = size;
    run->next_offset = offset;
}

static void cut_runs(struct plog *plog, uint64_t offset)
{
    while (plog_runs(plog)->count > 0 && run_queue_last(plog_runs(plog))->base_offset >= offset)
        plog_drop_last_run(plog);
    shorten_last_run(plog, offset);
}

static void lower(uint64_t *value, uint64_t limit)
{
    if (*value > limit) *value = limit;
}

static void cut_segment(struct plog *plog, struct segment_file *segment, struct plog_place cut)
{
    plog->cut_count++;
    plog->size_bytes -= segment->size - cut.position;
    segment->size = cut.position;
    segment->next_offset = cut.offset;
    segment_file_cut(segment, cut.position, cut.offset);
    segment->indexed = 0;
    if (segment->index != NULL) offset_index_truncate(segment->index, cut.offset, cut.position);
    if (cut.position == 0) {
        segment->first_timestamp_ms = INT64_MAX;
        segment->max_timestamp_ms = INT64_MIN;
    }
}

static void cut_books(struct plog *plog, uint64_t offset)
{
    plog->end_offset = offset;
    lower(&plog->filed_offset, offset);
    lower(&plog->synced_offset, offset);
    lower(&plog->durable_offset, offset);
    lower(&plog->high_watermark, offset);
    plog_lower_deleted(plog, offset);
    if (plog->trim_offset > offset) plog->trim_offset = 0; /* it spoke of records that were never these */
    epoch_cache_truncate_end(&plog->epochs, offset);
    while (plog->hole_count > 0 && plog->holes[plog->hole_count - 1].from >= offset)
        plog_drop_hole(plog, plog->hole_count - 1);
    if (plog->hole_count > 0) lower(&plog->holes[plog->hole_count - 1].to, offset);
    plog_forget_marks(plog);
    plog->store->is_manifest_stale = true;
    plog_notify(plog);
}

/* The log holds nothing any more and goes on elsewhere. */
static void restart_books(struct plog *plog, uint64_t offset, int32_t epoch)
{
    plog->cut_count++;
    plog->start_offset = plog->end_offset = offset;
    plog->filed_offset = plog->synced_offset = plog->durable_offset = offset;
    plog->high_watermark = offset;
    plog->trim_offset = 0;
    plog_lower_deleted(plog, 0);
    while (plog->hole_count > 0)
        plog_drop_hole(plog, plog->hole_count - 1);
    plog->was_restarted = true;
    plog->is_fresh = false;
    epoch_cache_restart(&plog->epochs, offset, epoch);
    producer_table_deinit(&plog->producers);
    plog->store->is_manifest_stale = true;
    plog_notify(plog);
}

static enum journal_entry_type last_record(const struct plog_truncation *truncation)
{
    return truncation->is_restart ? JOURNAL_ENTRY_RESTART : JOURNAL_ENTRY_RESET;
}

/* Windows of producers are now shorter than the log could make them: the job reads it again. Without memory
 * for that they stay so, and a late retry is refused instead of being recognized. */
static void list_kept_segments(const struct plog *plog, struct truncate_job *job)
{
    job->kept = malloc(plog->segment_count * sizeof(*job->kept));
    if (job->kept == NULL) return;
    for (uint32_t i = 0; i < plog->segment_count; i++)
        job->kept[job->kept_count++] =
            (struct producer_scan_segment){plog->segments[i]->base_offset, plog->segments[i]->size};
}

/* The segments behind the cut leave the log; their names stay in `truncation` for the file job. */
static int cut_memory(struct plog_truncation *truncation, struct truncate_job *job)
{
    struct plog *plog = truncation->plog;
    struct store *store = plog->store;
    uint32_t keep = truncation->is_restart ? 0 : plog_find_segment(plog, truncation->cut.offset) + 1;

    /* The cut may fall on a segment's first byte and an empty one before it: keep the one that begins there.
     */
    job->removed = calloc(plog->segment_count - keep + 1, sizeof(*job->removed));
    if (job->removed == NULL) return MESH_ENOMEM;
    cut_runs(plog, truncation->cut.offset);
    while (plog->segment_count > keep) {
        struct segment_file *segment = plog->segments[--plog->segment_count];
        job->removed[job->removed_count++] = segment->base_offset;
        plog->size_bytes -= segment->size;
        store->stats.segment_count--;
        file_cache_close(&store->files, segment);
        segment_file_free(segment);
    }
    if (truncation->is_restart) {
        cut_books(plog, plog->start_offset);
        restart_books(plog, truncation->restart_offset, truncation->restart_epoch);
        return 0;
    }
    cut_segment(plog, plog_active_segment(plog), truncation->cut);
    cut_books(plog, truncation->cut.offset);
    if (!producer_table_truncate(&plog->producers, truncation->cut.offset)) list_kept_segments(plog, job);
    return 0;
}

/* ---- the files ---- */

static int cut_file(struct fs *fs, struct truncate_job *job)
{
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    int err = segment_open(fs, &job->id, job->base_offset, FS_WRITE, false, &file);

    if (err == MESH_ENOTFOUND) return 0; /* nothing of it was ever written */
    if (err == 0) err = fs->ops->truncate(file, job->position);
    if (err == 0) err = fs->ops->sync(file);
    fs_unref(file);
    segment_path(&job->id, job->base_offset, SEGMENT_PATH_INDEX, path);
    if (err == 0) err = fs->ops->unlink(fs, path);
    return err == MESH_ENOTFOUND ? 0 : err;
}

static void truncate_job_run(struct store_job *base)
{
    struct truncate_job *job = container_of(base, struct truncate_job, job);
    struct fs *fs = base->fs;

    /* Newest first: a crash in between leaves a log that only ends too late, never one with a gap. */
    for (uint32_t i = 0; i < job->removed_count && job->error == 0; i++)
        job->error = segment_remove(fs, &job->id, job->removed[i]);
    if (job->error == 0 && !job->is_restart) job->error = cut_file(fs, job);
    if (job->error == 0) job->error = segment_sync_names(fs, &job->id, job->sync_parents);
    if (job->error == MESH_ENOTFOUND) job->error = 0; /* no directory: the log has no file */
    if (job->error == 0 && job->kept != NULL &&
        producer_scan(fs, &job->id, job->kept, job->kept_count, &job->scanned) != 0) {
        free(job->kept);
        job->kept = NULL;
    }
}

static void truncate_job_free(struct truncate_job *job)
{
    producer_table_deinit(&job->scanned);
    free(job->kept);
    free(job->removed);
    free(job);
}

static void truncate_job_complete(struct store *store, struct store_job *base)
{
    struct truncate_job *job = container_of(base, struct truncate_job, job);
    struct plog *plog = job->plog;
    struct plog_truncation *truncation = plog->truncation;

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    if (truncation != NULL) { /* else the log was deleted meanwhile */
        truncation->is_running = false;
        if (job->error != 0) {
            plog_poison(plog, job->error);
            finish(truncation, job->error);
        } else {
            if (job->kept != NULL) producer_table_mend(&plog->producers, &job->scanned);
            truncation->step = TRUNCATION_RESET;
            truncation->ticket = 0;
            add_record(truncation, last_record(truncation));
        }
    }
    plog_job_unref(plog);
    truncate_job_free(job);
}

static struct store_job *start_file_job(struct plog_truncation *truncation)
{
    struct plog *plog = truncation->plog;
    struct store *store = plog->store;
    struct truncate_job *job = calloc(1, sizeof(*job));

    if (job == NULL || cut_memory(truncation, job) != 0) {
        free(job);
        return NULL; /* tried again with the next look for work */
    }
    job->plog = plog;
    job->id = plog->id;
    job->is_restart = truncation->is_restart;
    if (!job->is_restart) job->base_offset = plog_active_segment(plog)->base_offset;
    job->position = truncation->cut.position;
    job->sync_parents = !plog->is_parents_durable;
    job->job = (struct store_job){.lane = STORE_LANE_BACKGROUND,
                                  .fs = store->fs,
                                  .run = truncate_job_run,
                                  .complete = truncate_job_complete};
    plog->job_references++;
    truncation->step = TRUNCATION_FILES;
    truncation->is_running = true;
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return &job->job;
}

/* ---- steps ---- */

/* An index that waits to be saved keeps a log among the unsynced ones as well; that is nothing to wait for. */
static bool is_durable_in_files(const struct plog *plog)
{
    if (list_is_empty(&plog->work->unsynced_link)) return true;
    for (uint32_t i = 0; i < plog->segment_count; i++) {
        const struct segment_file *segment = plog->segments[i];
        if (segment->synced < segment->size || (segment->size > 0 && !segment->is_name_durable)) return false;
    }
    return true;
}

struct store_job *store_truncate_job(struct store *store)
{
    list_for_each(node, &store->truncations)
    {
        struct plog_truncation *truncation = container_of(node, struct plog_truncation, link);
        struct plog *plog = truncation->plog;
        if (truncation->step != TRUNCATION_WRITE || plog->job_references > 0) continue;
        if (plog_runs(plog)->written_count < plog_runs(plog)->count) continue; /* the other lane's work */
        /* The reset will void the journal's records of this log: by then all that stays must be durable in
         * files. */
        if (!is_durable_in_files(plog)) {
            struct store_job *job;
            if (list_is_empty(&plog->work->flush_link)) list_push_back(&store->flush_logs, &plog->work->flush_link);
            job = store_flush_job(store);
            if (job != NULL) return job;
            continue;
        }
        return start_file_job(truncation);
    }
    return NULL;
}

bool store_is_truncating_files(const struct store *store)
{
    list_for_each(node, &store->truncations)
    {
        const struct plog_truncation *truncation = container_of(node, struct plog_truncation, link);
        if (truncation->step == TRUNCATION_WRITE || truncation->step == TRUNCATION_FILES) return true;
    }
    return false;
}

bool store_truncation_needs_writing(const struct store *store)
{
    list_for_each(node, &store->truncations)
    {
        const struct plog_truncation *truncation = container_of(node, struct plog_truncation, link);
        const struct plog *plog = truncation->plog;
        if (truncation->step == TRUNCATION_WRITE && plog_runs(plog)->written_count < plog_runs(plog)->count) return true;
    }
    return false;
}

static void step(struct plog_truncation *truncation)
{
    struct plog *plog = truncation->plog;
    struct store *store = plog->store;
    bool is_recorded = truncation->ticket != 0 && store->durable_ticket >= truncation->ticket;

    if (truncation->is_running) return;
    if (plog_error(plog) != 0) {
        finish(truncation, MESH_ESTORAGE);
        return;
    }
    if (truncation->step == TRUNCATION_INTENT) {
        if (truncation->ticket == 0) add_record(truncation, JOURNAL_ENTRY_TRUNCATE);
        if (is_recorded) truncation->step = TRUNCATION_WRITE;
    } else if (truncation->step == TRUNCATION_RESET) {
        if (truncation->ticket == 0) add_record(truncation, last_record(truncation));
        if (is_recorded) finish(truncation, 0);
    }
}

void store_truncations_step(struct store *store)
{
    list_for_each_safe(node, &store->truncations) step(container_of(node, struct plog_truncation, link));
}

/* The batch in a run that contains offset. */
static int find_cut_in_run(const struct run *run, uint64_t offset, struct plog_place *ret_cut)
{
    const uint8_t *memory = run->chunk->memory + run->chunk_position;

    for (uint32_t used = 0; used < run->size;) {
        struct record_batch_header header;
        int err = record_batch_parse_header(slice_of(memory + used, run->size - used), &header);
        MESH_ASSERT(err == 0);
        if ((uint64_t)record_batch_last_offset(&header) >= offset) {
            *ret_cut = (struct plog_place){run->segment_position + used, (uint64_t)header.base_offset};
            return 0;
        }
        used += header.size;
    }
    return MESH_ECORRUPT;
}

/* The batch that contains offset, or the hole: it and everything behind it goes. */
static int find_cut(struct plog *plog, uint64_t offset, struct plog_place *ret_cut)
{
    struct segment_file *segment = plog->segments[plog_find_segment(plog, offset)];
    const struct plog_hole *hole = plog_hole_at(plog, offset);

    if (hole != NULL && plog->segments[0]->base_offset <= hole->from) {
        *ret_cut = (struct plog_place){hole->position, hole->from};
        return 0;
    }
    if (segment->base_offset == offset) {
        *ret_cut = (struct plog_place){0, offset};
        return 0;
    }
    if (offset < plog_file_end_offset(plog, segment))
        return plog_locate_offset(plog, segment, offset, NULL, ret_cut);
    return find_cut_in_run(run_queue_at(plog_runs(plog), run_queue_find(plog_runs(plog), offset)), offset, ret_cut);
}

static int truncation_new(struct plog *plog, plog_done_fn *done, void *user, struct plog_truncation **ret_truncation)
{
    struct plog_truncation *truncation = calloc(1, sizeof(*truncation));

    if (truncation == NULL) return MESH_ENOMEM;
    list_init(&truncation->link);
    truncation->plog = plog;
    truncation->done = done;
    truncation->user = user;
    *ret_truncation = truncation;
    return 0;
}

static void start_truncation(struct plog_truncation *truncation)
{
    struct plog *plog = truncation->plog;

    plog->truncation = truncation;
    list_push_back(&plog->store->truncations, &truncation->link);
    add_record(truncation, truncation->step == TRUNCATION_INTENT ? JOURNAL_ENTRY_TRUNCATE : last_record(truncation));
}

int plog_truncate(struct plog *plog, uint64_t offset, plog_done_fn *done, void *user)
{
    struct plog_truncation *truncation;
    int err;

    if (plog_error(plog) != 0) return MESH_ESTORAGE;
    if (plog->truncation != NULL) return MESH_EAGAIN;
    if (offset < plog->start_offset) return MESH_EOFFSET_OUT_OF_RANGE;
    if (offset >= plog->end_offset) {
        epoch_cache_truncate_end(&plog->epochs, offset); /* an epoch without records goes all the same */
        if (done != NULL) done(user, 0);
        return 0;
    }
    store_write_async(plog->store);
    err = truncation_new(plog, done, user, &truncation);
    if (err != 0) return err;
    err = find_cut(plog, offset, &truncation->cut);
    if (err != 0) {
        free(truncation);
        return err;
    }
    truncation->offset = truncation->cut.offset;
    start_truncation(truncation);
    return 0;
}

int plog_restart(struct plog *plog, uint64_t offset, int32_t epoch, plog_done_fn *done, void *user)
{
    struct plog_truncation *truncation;
    int err;

    if (plog_error(plog) != 0) return MESH_ESTORAGE;
    if (plog->truncation != NULL) return MESH_EAGAIN;
    if (plog->is_fresh && store_is_name_taken(plog->store, &plog->id)) return MESH_EBUSY;
    store_write_async(plog->store);
    err = truncation_new(plog, done, user, &truncation);
    if (err != 0) return err;
    truncation->is_restart = true;
    truncation->restart_offset = offset;
    truncation->restart_epoch = offset == 0 ? -1 : epoch;
    if (plog->segment_count == 0) { /* nothing to cut: the log has no file */
        restart_books(plog, offset, truncation->restart_epoch);
        truncation->step = TRUNCATION_RESET;
    }
    start_truncation(truncation);
    return 0;
}
