/* Write-behind: what is durable in the journal goes to the segment files, oldest chunk first, and with each
 * log in it everything of that log that is durable by then: few, large writes, of whole blocks while more is to come (what a log has
 * beyond the last one waits for that). In a lane of its own: a checkpoint's sync
 * beside it covers what was written before that began, and says so by position and offset. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define JOB_BYTES_MAX  (32u << 20)
#define CALM_JOB_BYTES (2u << 20) /* where nobody waits for it: the journal's syncs wait for what the disk was given before them */
#define CALM_PAUSE_MS  50         /* between two such jobs */
#define JOB_WRITES_MAX 2048

struct behind_write {
    struct segment_write write;
    struct plog *plog;
    struct segment_file *segment;
    uint32_t first_iov;
    uint32_t run_count;
    uint32_t written; /* of the segment, afterwards; the write may go on from there to the end of a block */
    uint64_t end_offset;
    int error;
};

struct write_behind_job {
    struct store_job job;
    struct behind_write *writes;
    uint32_t write_count, write_capacity;
    struct iovec *iovs;
    uint32_t iov_count, iov_capacity;
    struct chunk **chunks; /* referenced; of the buffers, one for those that follow each other */
    uint32_t chunk_count, chunk_capacity;
    uint32_t sync_all_failures; /* of the store, when the job began */
    uint64_t bytes, bytes_max;
    uint8_t *staging;
};

static void write_behind_run(struct store_job *base)
{
    struct write_behind_job *job = container_of(base, struct write_behind_job, job);

    for (uint32_t i = 0; i < job->write_count; i++) {
        struct behind_write *behind = &job->writes[i];
        if (i > 0 && behind[-1].plog == behind->plog && behind[-1].error != 0)
            behind->error = behind[-1].error;
        else
            behind->error = segment_write_run(base->fs, &behind->write, job->staging);
    }
    if (base->fs->ops->free_bytes(base->fs, &base->free_bytes) != 0) base->free_bytes = UINT64_MAX;
}

static void complete_write(struct store *store, struct behind_write *behind)
{
    struct plog *plog = behind->plog;
    struct segment_file *segment = behind->segment;

    file_cache_install(&store->files, segment, behind->write.file, behind->write.direct, store->now_ms);
    behind->write.file = behind->write.direct = NULL;
    if (plog->error != 0) return;
    if (store_may_write_again(behind->error)) {
        store->write_retry_ms = store_write_refused(store, behind->error); /* the journal has it; the same write is tried again */
        if (store->is_draining)
            store_finish_drain(store, behind->error); /* by the recovery of the next start */
        return;
    }
    if (behind->error != 0) {
        plog_poison(plog, behind->error);
        return;
    }
    store_write_done(store);
    segment->is_created = true;
    segment_file_set_written(segment, behind->written, behind->end_offset);
    segment->placed = behind->write.end;
    for (uint32_t i = 0; i < behind->run_count; i++)
        plog_run_written(plog, run_queue_at(plog_runs(plog), plog_runs(plog)->written_count));
    plog->filed_offset = behind->end_offset;
    store->stats.segment_written_bytes += behind->write.end - behind->write.position;
    store->unmanifested_bytes += behind->write.end - behind->write.position;
    plog_join_unsynced(plog);
}

static void write_behind_free(struct write_behind_job *job)
{
    for (uint32_t i = 0; i < job->write_count; i++)
        segment_write_deinit(&job->writes[i].write);
    for (uint32_t i = 0; i < job->chunk_count; i++)
        chunk_unref(job->chunks[i]);
    free(job->chunks);
    free(job->writes);
    free(job->iovs);
    free(job);
}

static void release_logs(struct write_behind_job *job)
{
    for (uint32_t i = 0; i < job->write_count; i++) {
        struct plog *plog = job->writes[i].plog;
        if (i > 0 && job->writes[i - 1].plog == plog) continue;
        plog->is_writing = false;
    }
}

static void write_behind_complete(struct store *store, struct store_job *base)
{
    struct write_behind_job *job = container_of(base, struct write_behind_job, job);
    struct plog *previous = NULL;
    bool is_lost = job->sync_all_failures != store->sync_all_failures;

    store->is_lane_busy[STORE_LANE_BEHIND] = false;
    for (uint32_t i = 0; i < job->write_count; i++) {
        /* What failed to reach the disk then may have been of these, and no later sync tells of it again. */
        if (is_lost && job->writes[i].error == 0) job->writes[i].error = MESH_EIO;
        complete_write(store, &job->writes[i]);
    }
    release_logs(job);
    for (uint32_t i = 0; i < job->write_count; i++) {
        struct plog *plog = job->writes[i].plog;
        if (plog != previous) plog_job_unref(plog);
        previous = plog;
    }
    store->is_manifest_stale = true;
    write_behind_free(job);
    store_checkpoint_step(store);
    store_truncations_step(store);
}

static int reserve(void **array, uint32_t count, uint32_t *capacity, size_t item_size)
{
    uint32_t wanted = *capacity > 0 ? *capacity * 2 : 64;
    void *grown;

    if (count < *capacity) return 0;
    grown = realloc(*array, wanted * item_size);
    if (grown == NULL) return MESH_ENOMEM;
    *array = grown;
    *capacity = wanted;
    return 0;
}

/* A log that fails while its bytes are written (a sync beside it did) gives their memory up at once. */
static int hold_chunk(struct write_behind_job *job, struct chunk *chunk)
{
    if (job->chunk_count > 0 && job->chunks[job->chunk_count - 1] == chunk) return 0;
    if (reserve((void **)&job->chunks, job->chunk_count, &job->chunk_capacity, sizeof(struct chunk *)) != 0)
        return MESH_ENOMEM;
    job->chunks[job->chunk_count++] = chunk_ref(chunk);
    return 0;
}

static int add_run(struct write_behind_job *job, struct run *run)
{
    struct plog *plog = run->plog;
    struct segment_file *segment = run->segment;
    struct behind_write *behind = job->write_count > 0 ? &job->writes[job->write_count - 1] : NULL;

    if (reserve((void **)&job->iovs, job->iov_count, &job->iov_capacity, sizeof(*job->iovs)) != 0)
        return MESH_ENOMEM;
    if (hold_chunk(job, run->chunk) != 0) return MESH_ENOMEM;
    if (behind == NULL || behind->plog != plog || behind->segment != segment) {
        if (reserve((void **)&job->writes, job->write_count, &job->write_capacity, sizeof(*job->writes)) != 0)
            return MESH_ENOMEM;
        behind = &job->writes[job->write_count++];
        *behind = (struct behind_write){.plog = plog, .segment = segment, .first_iov = job->iov_count};
        behind->write = (struct segment_write){
            .id = &plog->id,
            .base_offset = segment->base_offset,
            .file = segment_file_opened_ref(segment),
            .direct = segment_file_opened_direct_ref(segment),
            .position = segment->placed,
            .end = run->segment_position,
            .skip = segment->placed - run->segment_position,
            .create = !segment->is_created,
            .past_cache_min = plog->store->options.past_cache_bytes_min,
        };
    }
    job->iovs[job->iov_count++] = (struct iovec){run->chunk->memory + run->chunk_position, run->size};
    behind->write.end += run->size;
    behind->write.iov_count++;
    behind->run_count++;
    behind->written = behind->write.end;
    behind->end_offset = run->next_offset;
    job->bytes += run->size;
    return 0;
}

/* Nobody waits for the rest of a log that still grows. */
static bool may_hold_back(const struct plog *plog)
{
    const struct store *store = plog->store;

    return !store->is_draining && plog->truncation == NULL && store->now_ms - store->last_append_ms < IDLE_CHECKPOINT_MS;
}

/* The last piece of a log, which ends with the run at `last`, is shortened to whole blocks: written past the page cache each is written
 * once, and leaves the file system nothing to do when it is synced. `wanted`, for which the log was looked at, goes as a whole, so that
 * whoever waits for it (memory, a checkpoint) gets on. */
static void hold_back_end(struct write_behind_job *job, struct plog *plog, uint32_t last, const struct run *wanted)
{
    struct behind_write *behind = &job->writes[job->write_count - 1];
    struct segment_write *write = &behind->write;
    uint32_t end = write->end & ~(uint32_t)(FS_BLOCK_SIZE - 1), run_count = behind->run_count;
    const struct run *run = run_queue_at(plog_runs(plog), last);

    if (end == write->end || behind->segment != plog_active_segment(plog) || !segment_write_is_past_cache(write, end)) return;
    if (wanted->segment == behind->segment && end < wanted->segment_position + wanted->size) return;
    for (; run_count > 0 && run->segment_position + run->size > end; run = run_queue_at(plog_runs(plog), --last))
        run_count--;
    if (run_count == 0) return;
    job->bytes -= write->end - end;
    job->iov_count -= behind->run_count - run_count;
    write->end = end;
    write->iov_count = (int)run_count;
    behind->run_count = run_count;
    behind->written = run->segment_position + run->size;
    behind->end_offset = run->next_offset;
    if (behind->written == end) return;
    job->iovs[job->iov_count++].iov_len = end - behind->written; /* a part of the next one */
    write->iov_count++;
}

/* What is durable and unwritten of one log. Errors: MESH_ENOMEM: what was added so far is in order. */
static int add_log(struct write_behind_job *job, struct plog *plog, const struct run *wanted)
{
    uint32_t before = job->iov_count, last = 0;
    int err = 0;

    if (plog->is_writing || plog->error != 0 || plog->flush != PLOG_FLUSH_GROUP) return 0;
    /* A sync job that is out may hold the runs of a direct log. One that waits for journal space must not be
     * waited for: what the journal holds of such a log is written here, what is direct stays for it. */
    if (plog->work->direct_run_count > 0 && (plog->store->is_lane_busy[STORE_LANE_SYNC] || plog->store->parked_sync != NULL)) return 0;
    for (uint32_t i = plog_runs(plog)->written_count; i < plog_runs(plog)->count && err == 0; i++) {
        struct run *run = run_queue_at(plog_runs(plog), i);
        if (run->is_direct || run->next_offset > plog->durable_offset || job->bytes >= 2 * job->bytes_max)
            break;
        err = add_run(job, run);
        if (err == 0) last = i;
    }
    if (job->iov_count > before) {
        if (may_hold_back(plog)) hold_back_end(job, plog, last, wanted);
        plog->is_writing = true;
        plog->job_references++;
    }
    return err;
}

static int add_chunk(struct write_behind_job *job, struct chunk *chunk)
{
    list_for_each(node, &chunk->runs)
    {
        struct run *run = container_of(node, struct run, chunk_link);
        int err;
        if (run->is_written || run->plog->is_writing) continue;
        if (job->bytes >= job->bytes_max || job->write_count >= JOB_WRITES_MAX) return 0;
        err = add_log(job, run->plog, run);
        if (err != 0) return err;
    }
    return 0;
}

/* Frames up to a durable one hold durable runs only: what is not durable yet, in the same chunk, lies in
 * later ones, and may be waiting for the very journal space that this is asked for. */
static bool has_durable_unwritten(const struct chunk *chunk)
{
    list_for_each(node, &chunk->runs)
    {
        const struct run *run = container_of(node, struct run, chunk_link);
        if (!run->is_written && run->plog->error == 0 && run->next_offset <= run->plog->durable_offset)
            return true;
    }
    return false;
}

bool store_has_unwritten(const struct store *store, uint64_t bound)
{
    list_for_each(node, &store->dirty_chunks)
    {
        const struct chunk *chunk = container_of(node, struct chunk, link);
        if (chunk->dirty_run_count == 0 || chunk->first_frame == 0) continue;
        if (chunk->first_frame > bound) return false;
        if (has_durable_unwritten(chunk)) return true;
    }
    return false;
}

/* The oldest has waited long enough. */
static bool is_old(const struct store *store)
{
    if (store->now_ms - store->last_behind_ms < CALM_PAUSE_MS) return false;
    list_for_each(node, &store->dirty_chunks)
    {
        const struct chunk *chunk = container_of(node, struct chunk, link);
        if (chunk->dirty_run_count > 0) return store->now_ms - chunk->opened_ms >= WRITE_BEHIND_AGE_MS;
    }
    return false;
}

/* Somebody waits for it, or will soon. */
static bool is_urgent(const struct store *store)
{
    if (store->pending_bytes > 0 && (store->is_full_found || store->is_memory_wanted)) return true;
    if (store->pending_bytes > store->options.memory_bytes_max / 2) return true;
    return store->is_draining || store_checkpoint_needs_writing(store) || store_truncation_needs_writing(store);
}

struct store_job *store_write_behind_job(struct store *store)
{
    struct write_behind_job *job;
    bool is_calm;

    if (store->is_lane_busy[STORE_LANE_BEHIND] || store_checkpoint_is_closing(store)) return NULL;
    if (store_must_make_room(store)) return NULL; /* what is tried in vain would put the manifest off each time */
    if (store->now_ms < store->write_retry_ms) return NULL;
    is_calm = !is_urgent(store);
    if (is_calm && !is_old(store)) return NULL;
    job = calloc(1, sizeof(*job));
    if (job == NULL) return NULL;
    job->bytes_max = is_calm ? CALM_JOB_BYTES : JOB_BYTES_MAX;
    job->staging = store_staging(store, STORE_LANE_BEHIND);
    if (job->staging == NULL) {
        write_behind_free(job);
        return NULL;
    }
    list_for_each(node, &store->dirty_chunks)
    {
        if (job->bytes >= job->bytes_max || job->write_count >= JOB_WRITES_MAX) break;
        if (add_chunk(job, container_of(node, struct chunk, link)) != 0) break;
    }
    if (job->write_count == 0) {
        write_behind_free(job);
        return NULL;
    }
    for (uint32_t i = 0; i < job->write_count; i++)
        job->writes[i].write.iov = job->iovs + job->writes[i].first_iov;
    job->sync_all_failures = store->sync_all_failures;
    job->job = (struct store_job){.lane = STORE_LANE_BEHIND,
                                  .fs = store->fs,
                                  .run = write_behind_run,
                                  .complete = write_behind_complete};
    store->is_lane_busy[STORE_LANE_BEHIND] = true;
    store->last_behind_ms = store->now_ms;
    return &job->job;
}
