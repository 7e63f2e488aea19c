/* Bringing into memory what the loop wanted to look at: a range of a file, or the index of a segment that has none. The job
 * reads; then the log is notified, and whoever asked asks again and finds it there. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

/* Enough for the levels of an index file and the blocks behind an entry of it. When memory is so short that what was
 * brought is gone before it is used, waiting on the loop is what is left. */
#define COLD_STREAK_MAX 32

struct warm_job {
    struct store_job job;
    struct plog *plog;    /* held */
    struct fs_file *file; /* referenced */
    uint64_t position;    /* of a range to read */
    size_t size;
    struct offset_index *index; /* to be made; owned; NULL: a range is read */
    struct index_source source;
    struct plog_hole *holes; /* owned copy, for the source */
    uint32_t indexed;
    uint32_t cut_count; /* of the log at the start */
    int error;
    uint8_t *memory; /* owned; for the range, where the file system cannot do without */
};

static void job_free(struct warm_job *job)
{
    if (job == NULL) return;
    if (job->index != NULL) offset_index_deinit(job->index);
    free(job->index);
    free(job->holes);
    free(job->memory);
    fs_unref(job->file);
    free(job);
}

/* ---- run: any thread ---- */

static void warm_run(struct store_job *base)
{
    struct warm_job *job = container_of(base, struct warm_job, job);
    const struct fs_ops *ops = job->file->fs->ops;
    size_t got;

    if (job->index != NULL)
        job->error = index_read(&job->source, job->index, &job->indexed);
    else if (job->memory == NULL)
        ops->load(job->file, job->position, job->size);
    else /* an error is the next reader's to meet */
        (void)ops->read(job->file, job->memory, job->size, job->position, &got);
}

/* ---- the loop ---- */

/* Gives the index to its segment, if that is still what it was. */
static void deliver_index(struct warm_job *job)
{
    struct plog *plog = job->plog;

    if (job->error != 0 && job->error != MESH_ECORRUPT) {
        offset_index_init(job->index, job->source.base_offset); /* holds nothing */
        return;
    }
    if (plog->cut_count != job->cut_count) return;
    for (uint32_t i = 0; i < plog->segment_count; i++) {
        struct segment_file *segment = plog->segments[i];
        if (segment->base_offset != job->source.base_offset || segment->index != NULL || segment->is_condemned)
            continue;
        if (plog_take_index(plog, segment, job->index, job->indexed) == 0 && segment != plog_active_segment(plog))
            plog_index_was_made(plog, segment);
        job->index = NULL; /* taken, also on failure */
        return;
    }
}

static void warm_complete(struct store *store, struct store_job *base)
{
    struct warm_job *job = container_of(base, struct warm_job, job);
    struct plog *plog = job->plog;

    (void)store;
    plog->is_warming = false;
    if (!plog->is_deleted && job->index != NULL) deliver_index(job);
    plog_notify(plog);
    job_free(job);
    plog_job_unref(plog);
}

static int aim_at_range(struct warm_job *job, struct fs_look *look)
{
    job->file = fs_ref(look->missing);
    job->position = look->position;
    job->size = look->size;
    if (job->file->fs->ops->load != NULL) return 0;
    job->memory = malloc(look->size);
    return job->memory != NULL ? 0 : MESH_ENOMEM;
}

static int aim_at_index(struct warm_job *job, struct segment_file *segment)
{
    struct plog *plog = job->plog;
    int err = plog_open_segment(plog, segment);

    if (err != 0) return err;
    job->file = fs_ref(segment->opened->file);
    plog_describe_index(plog, segment, &job->source);
    if (plog->hole_count > 0) {
        job->holes = malloc(plog->hole_count * sizeof(*job->holes));
        if (job->holes == NULL) return MESH_ENOMEM;
        memcpy(job->holes, plog->holes, plog->hole_count * sizeof(*job->holes));
    }
    job->source.holes = job->holes;
    job->index = calloc(1, sizeof(*job->index));
    return job->index != NULL ? 0 : MESH_ENOMEM;
}

static int start(struct plog *plog, struct plog_look *look)
{
    struct store *store = plog->store;
    struct warm_job *job = calloc(1, sizeof(*job));
    int err = MESH_ENOMEM;

    if (job == NULL) return err;
    job->plog = plog;
    job->cut_count = plog->cut_count;
    job->error = MESH_ECANCELED; /* until it has run */
    err = look->index_wanted != NULL ? aim_at_index(job, look->index_wanted) : aim_at_range(job, &look->file);
    if (err != 0) {
        job_free(job);
        return err;
    }
    job->job = (struct store_job){
        .lane = STORE_LANE_READ, .fs = store->fs, .run = warm_run, .complete = warm_complete};
    list_init(&job->job.link);
    list_push_back(&store->read_queue, &job->job.link);
    plog->job_references++;
    plog->is_warming = true;
    plog->cold_streak++;
    return MESH_EAGAIN;
}

bool plog_may_look(const struct plog *plog)
{
    /* A truncation waits until no job is out: readers must not keep it waiting with one after the other. */
    return plog->cold_streak < COLD_STREAK_MAX && plog->truncation == NULL;
}

void store_drop_warm_jobs(struct store *store)
{
    list_for_each_safe(node, &store->read_queue)
    {
        struct store_job *job = container_of(node, struct store_job, link);
        if (job->run != warm_run) continue;
        list_remove(node);
        job->complete(store, job);
    }
}

int plog_warm(struct plog *plog, struct plog_look *look)
{
    int err = MESH_EAGAIN;

    MESH_ASSERT(look->index_wanted != NULL || look->file.missing != NULL);
    if (!plog->is_warming) err = start(plog, look);
    fs_unref(look->file.missing);
    look->file.missing = NULL;
    return err;
}
