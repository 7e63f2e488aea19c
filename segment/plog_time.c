/* Finding the first record at or after a time: the segment by its largest timestamp, a place in it from the
 * index, then batches, read by a job of the read lane; what is only in memory is searched on the loop. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define BLOCK_BYTES            (256u << 10)
#define DECOMPRESSED_BYTES_MAX (128u << 20)

struct time_job {
    struct store_job job;
    struct plog *plog; /* held */
    uint64_t segment_base;
    struct fs_file *file; /* referenced */
    struct plog_id id;
    bool is_unaimed; /* the index is in its file only: the job looks there for a place to start from */
    uint32_t position, end;
    int64_t timestamp_ms;
    uint64_t first_offset, limit_offset;
    plog_time_fn *done;
    void *user;
    int error; /* MESH_ENOTFOUND: not in this segment's file */
    int64_t found_offset, found_timestamp_ms;
};

/* Decides about one batch: 1 found, 0 not in it, or an error. */
static int search_batch(struct time_job *job, struct slice batch)
{
    struct buffer scratch = BUFFER_INIT;
    int err = record_batch_find_timestamp(batch, job->timestamp_ms, (int64_t)job->first_offset, &scratch, DECOMPRESSED_BYTES_MAX,
                                          &job->found_offset, &job->found_timestamp_ms);

    buffer_deinit(&scratch);
    if (err == MESH_ENOTFOUND) return 0;
    if (err != 0) return err;
    return (uint64_t)job->found_offset < job->limit_offset ? 1 : MESH_ENOTFOUND;
}

/* Whether the answer may be in a batch: one whose records are all deleted is not even read. */
static bool may_hold(const struct time_job *job, const struct record_batch_header *header)
{
    return header->max_timestamp_ms >= job->timestamp_ms && (uint64_t)record_batch_last_offset(header) >= job->first_offset;
}

/* ---- run: any thread ---- */

static int read_at_least(struct time_job *job, struct buffer *block, size_t size)
{
    size_t wanted = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    int err;

    if (wanted > job->end - job->position) wanted = job->end - job->position;
    if (wanted < size) return MESH_ECORRUPT;
    buffer_clear(block);
    err = buffer_reserve(block, wanted);
    return err != 0 ? err
                    : job->file->fs->ops->read(job->file, block->data, wanted, job->position, &block->size);
}

/* Walks the file's batches. */
static int search_file(struct time_job *job, struct buffer *block)
{
    uint32_t block_start = job->position;

    while (job->position < job->end) {
        struct record_batch_header header;
        struct slice at;
        int err = 0;
        if (job->position - block_start + RECORD_BATCH_HEADER_SIZE > block->size) {
            err = read_at_least(job, block, RECORD_BATCH_HEADER_SIZE);
            block_start = job->position;
        }
        if (err != 0) return err;
        at = slice_of(block->data + (job->position - block_start),
                      block->size - (job->position - block_start));
        if (record_batch_parse_header(at, &header) != 0) return MESH_ECORRUPT;
        if ((uint64_t)header.base_offset >= job->limit_offset) return MESH_ENOTFOUND;
        if (may_hold(job, &header)) {
            if (at.size < header.size) {
                err = read_at_least(job, block, header.size);
                if (err != 0) return err;
                block_start = job->position;
                at = slice_of(block->data, block->size);
            }
            err = search_batch(job, slice_of(at.data, header.size));
            if (err != 0) return err == 1 ? 0 : err;
        }
        job->position += header.size;
    }
    return MESH_ENOTFOUND;
}

/* Without an index, or with one that does not fit what the segment has now, the search begins at the front. */
static uint32_t place_from_file(const struct time_job *job)
{
    struct offset_index_entry entry = {.position = 0};
    struct offset_index_range range;
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    int err;

    segment_path(&job->id, job->segment_base, SEGMENT_PATH_INDEX, path);
    err = fs_open(job->file->fs, path, FS_READ, &file);
    if (err == 0) err = offset_index_file_range(file, job->segment_base, &range);
    if (err == 0 && range.end_position > job->end) err = MESH_ECORRUPT;
    if (err == 0)
        err = offset_index_file_find(file, job->segment_base, OFFSET_INDEX_BY_TIMESTAMP, (uint64_t)job->timestamp_ms,
                                     NULL, &entry);
    fs_unref(file);
    return err == 0 ? entry.position : 0;
}

static void time_job_run(struct store_job *base)
{
    struct time_job *job = container_of(base, struct time_job, job);
    struct buffer block = BUFFER_INIT;

    if (job->is_unaimed) job->position = place_from_file(job);
    job->error = search_file(job, &block);
    buffer_deinit(&block);
}

/* ---- the loop ---- */

static void finish(struct time_job *job, int error)
{
    plog_time_fn *done = job->done;
    void *user = job->user;
    int64_t offset = error == 0 ? job->found_offset : -1;
    int64_t timestamp_ms = error == 0 ? job->found_timestamp_ms : -1;

    fs_unref(job->file);
    plog_job_unref(job->plog);
    free(job);
    done(user, error, offset, timestamp_ms);
}

/* 1 found, 0 not there, or an error. */
static int search_runs(struct time_job *job, const struct segment_file *segment)
{
    const struct plog *plog = job->plog;

    for (uint32_t i = plog_runs(plog)->written_count; i < plog_runs(plog)->count; i++) {
        const struct run *run = run_queue_at(plog_runs(plog), i);
        const uint8_t *memory = run->chunk->memory + run->chunk_position;
        if (run->segment != segment) continue;
        for (uint32_t used = 0; used < run->size;) {
            struct record_batch_header header;
            int err = record_batch_parse_header(slice_of(memory + used, run->size - used), &header);
            MESH_ASSERT(err == 0);
            if ((uint64_t)header.base_offset >= job->limit_offset) return MESH_ENOTFOUND;
            if (may_hold(job, &header)) {
                err = search_batch(job, slice_of(memory + used, header.size));
                if (err != 0) return err;
            }
            used += header.size;
        }
    }
    return 0;
}

/* Sets the job up for the file part of a segment. */
static int aim(struct time_job *job, struct segment_file *segment)
{
    struct plog *plog = job->plog;
    struct offset_index_entry entry = {.position = 0};
    int err = plog_open_segment(plog, segment);

    if (err != 0) return err;
    if (segment->index != NULL)
        (void)offset_index_find(segment->index, OFFSET_INDEX_BY_TIMESTAMP, (uint64_t)job->timestamp_ms, &entry);
    fs_unref(job->file);
    job->file = fs_ref(segment->opened->file);
    job->id = plog->id;
    job->is_unaimed = segment->index == NULL;
    job->segment_base = segment->base_offset;
    job->position = entry.position;
    job->end = segment->written;
    return 0;
}

/* Goes on with the segments from `from` on; finishes the job when memory or nothing has the answer.
 * in_file_done: the file part of the first one has been searched. */
static void search_on(struct time_job *job, uint64_t from, bool in_file_done)
{
    struct plog *plog = job->plog;
    struct store *store = plog->store;
    int err = 0;

    for (uint32_t i = 0; i < plog->segment_count && err == 0 && !plog->is_deleted; i++) {
        struct segment_file *segment = plog->segments[i];
        if (segment->base_offset < from || segment->max_timestamp_ms < job->timestamp_ms || segment->next_offset <= job->first_offset) continue;
        if (segment->base_offset >= job->limit_offset) break;
        if (segment->written > 0 && !(in_file_done && segment->base_offset == from)) {
            err = aim(job, segment);
            if (err != 0) break;
            list_push_back(&store->read_queue, &job->job.link);
            return;
        }
        err = search_runs(job, segment);
    }
    finish(job, err == 1 ? 0 : err == 0 ? MESH_ENOTFOUND : err);
}

static void time_job_complete(struct store *store, struct store_job *base)
{
    struct time_job *job = container_of(base, struct time_job, job);

    (void)store;
    list_init(&job->job.link);
    /* Damage in one place does not hide what comes after it. */
    if (job->error == MESH_ENOTFOUND || job->error == MESH_ECORRUPT)
        search_on(job, job->segment_base, true);
    else
        finish(job, job->error);
}

int plog_find_time(struct plog *plog, int64_t timestamp_ms, uint64_t limit_offset, plog_time_fn *done,
                   void *user)
{
    struct time_job *job = calloc(1, sizeof(*job));

    if (job == NULL) return MESH_ENOMEM;
    *job = (struct time_job){
        .plog = plog, .timestamp_ms = timestamp_ms, .first_offset = plog_first_offset(plog), .limit_offset = limit_offset, .done = done, .user = user};
    job->job = (struct store_job){
        .lane = STORE_LANE_READ, .fs = plog->store->fs, .run = time_job_run, .complete = time_job_complete};
    list_init(&job->job.link);
    plog->job_references++;
    search_on(job, 0, false);
    return 0;
}
