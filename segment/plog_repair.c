/* Mending a hole in place (healing.h): on a job's thread what is sound there after all is found, and pieces from elsewhere are checked,
 * written and synced; on the loop the hole gets shorter.
 *
 * Only bytes of the hole are overwritten, so whatever a crash leaves there is no worse than what was there. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/healing.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_BYTES     (1u << 20)
#define CHECK_BYTES_MAX (32u << 20) /* that one job reads */

struct repair_job {
    struct store_job job;
    struct plog *plog; /* held */
    struct plog_id id;
    plog_done_fn *done;
    void *user;
    uint32_t cut_count; /* of the log when it was asked for */
    uint64_t base_offset; /* of the segment file */
    struct plog_hole hole; /* as it was */
    uint64_t reach; /* as far as one file can be mended: the hole's end, or the next segment's beginning */
    struct epoch_entry *epochs; /* owned copy of the log's books */
    uint32_t epoch_count;
    uint8_t *piece; /* owned */
    size_t piece_size;
    struct fs_file *file; /* owned reference */
    struct buffer block;
    int32_t epoch_max; /* -1: leader epochs are what batches say; else those that cannot be right are put right, up to this one */
    bool has_rewritten;
    /* how far it got */
    uint64_t offset;
    uint32_t position;
    int32_t last_epoch;
    struct epoch_entry *learned; /* owned; what the books did not know */
    uint32_t learned_count;
    int64_t first_timestamp_ms, max_timestamp_ms;
    int error;
    bool is_sync_failed;
};

static void repair_free(struct repair_job *repair)
{
    fs_unref(repair->file);
    buffer_deinit(&repair->block);
    free(repair->piece);
    free(repair->epochs);
    free(repair->learned);
    free(repair);
}

/* ---- run: any thread ---- */

/* A hole that was found in a log whose books are whole: they say which epoch each batch has. One that a crash left may hide the
 * beginning of epochs. */
static bool knows_epochs(const struct repair_job *repair)
{
    return repair->hole.resume_position > 0;
}

static int32_t epoch_at(const struct repair_job *repair, uint64_t offset)
{
    int32_t epoch = -1;

    for (uint32_t i = 0; i < repair->epoch_count && repair->epochs[i].start_offset <= offset; i++)
        epoch = repair->epochs[i].epoch;
    return epoch;
}

static bool fits_epoch(const struct repair_job *repair, const struct record_batch_header *header)
{
    int32_t known = epoch_at(repair, (uint64_t)header->base_offset), next = epoch_at(repair, repair->hole.to);

    if (header->leader_epoch == -1) return true;
    if (repair->hole.is_of_unknown_epochs) return header->leader_epoch >= repair->last_epoch; /* nothing that is sound lies behind it */
    if (knows_epochs(repair)) return known < 0 || header->leader_epoch == known;
    return header->leader_epoch >= repair->last_epoch && (next < 0 || header->leader_epoch <= next);
}

/* The epoch that a batch must have had which claims one that cannot be: what the books say; where they do not, what one flipped bit would have made
 * of it, and else that of the record before. */
static int32_t likely_epoch(const struct repair_job *repair, int32_t claimed)
{
    int32_t known = epoch_at(repair, repair->offset), least = repair->last_epoch > 0 ? repair->last_epoch : 0, found = INT32_MAX;

    if (!repair->hole.is_of_unknown_epochs && knows_epochs(repair) && known >= 0) return known;
    for (unsigned bit = 0; bit < 31; bit++) {
        int32_t epoch = claimed ^ (int32_t)(1u << bit);
        if (epoch >= least && epoch <= repair->epoch_max && epoch < found) found = epoch;
    }
    return found != INT32_MAX ? found : least;
}

/* Puts the leader epoch right, in memory, of a batch that is sound but for that. Returns whether it was wrong. */
static bool put_epoch_right(const struct repair_job *repair, uint8_t *batch, size_t size)
{
    struct record_batch_header header;
    bool is_possible;

    if (record_batch_verify(slice_of(batch, size), &header) != 0 || (uint64_t)header.base_offset != repair->offset) return false;
    is_possible = fits_epoch(repair, &header) && (!repair->hole.is_of_unknown_epochs || header.leader_epoch <= repair->epoch_max);
    if (is_possible) return false;
    record_batch_set_leader_epoch(batch, likely_epoch(repair, header.leader_epoch));
    return true;
}

static int write_header(struct repair_job *repair, uint8_t *batch)
{
    struct iovec iov = {batch, RECORD_BATCH_HEADER_SIZE};

    repair->has_rewritten = true;
    return repair->file->fs->ops->write(repair->file, &iov, 1, repair->position);
}

/* Whether the batch is the one that belongs to `offset`, as far as can be told. */
static bool fits(const struct repair_job *repair, struct slice batch, uint64_t offset, uint32_t position,
                 struct record_batch_header *ret_header)
{
    uint64_t next_offset;

    if (record_batch_verify(batch, ret_header) != 0 || (uint64_t)ret_header->base_offset != offset) return false;
    next_offset = (uint64_t)record_batch_last_offset(ret_header) + 1;
    if (next_offset > repair->reach || !fits_epoch(repair, ret_header)) return false;
    if (position > SEGMENT_BYTES_MAX - batch.size) return false;
    if (repair->hole.resume_position == 0) return true;
    /* What follows the hole is where it is: the last batch must end just there. */
    return next_offset == repair->hole.to ? position + batch.size == repair->hole.resume_position
                                          : position + batch.size < repair->hole.resume_position;
}

static int note(struct repair_job *repair, const struct record_batch_header *header)
{
    if (header->leader_epoch >= 0 && header->leader_epoch != epoch_at(repair, repair->offset) &&
        header->leader_epoch > repair->last_epoch) {
        struct epoch_entry *grown = realloc(repair->learned, (repair->learned_count + 1) * sizeof(*grown));
        if (grown == NULL) return MESH_ENOMEM;
        repair->learned = grown;
        grown[repair->learned_count++] = (struct epoch_entry){repair->offset, header->leader_epoch};
    }
    if (header->leader_epoch > repair->last_epoch) repair->last_epoch = header->leader_epoch;
    if (repair->first_timestamp_ms == INT64_MAX) repair->first_timestamp_ms = header->base_timestamp_ms;
    if (header->max_timestamp_ms > repair->max_timestamp_ms) repair->max_timestamp_ms = header->max_timestamp_ms;
    repair->offset = (uint64_t)record_batch_last_offset(header) + 1;
    repair->position += header->size;
    return 0;
}

static int check_piece(const struct repair_job *repair)
{
    uint64_t offset = repair->offset;
    uint32_t position = repair->position;

    for (size_t used = 0; used < repair->piece_size;) {
        struct slice at = slice_of(repair->piece + used, repair->piece_size - used);
        struct record_batch_header header;
        if (record_batch_parse_header(at, &header) != 0 || header.size > at.size) return MESH_ECORRUPT;
        if (!fits(repair, slice_of(at.data, header.size), offset, position, &header)) return MESH_ECORRUPT;
        offset = (uint64_t)record_batch_last_offset(&header) + 1;
        position += header.size;
        used += header.size;
    }
    return 0;
}

static int note_piece(struct repair_job *repair)
{
    int err = 0;

    for (size_t used = 0; used < repair->piece_size && err == 0;) {
        struct record_batch_header header;
        err = record_batch_parse_header(slice_of(repair->piece + used, repair->piece_size - used), &header);
        MESH_ASSERT(err == 0);
        err = note(repair, &header);
        used += header.size;
    }
    return err;
}

static int sync_file(struct repair_job *repair)
{
    int err = repair->file->fs->ops->sync(repair->file);

    repair->is_sync_failed = err != 0;
    return err;
}

/* The file may be gone: it gets its name back. */
static int write_piece(struct repair_job *repair)
{
    struct iovec iov = {repair->piece, repair->piece_size};
    struct fs *fs = repair->job.fs;
    bool is_new = false;
    int err = segment_open(fs, &repair->id, repair->base_offset, FS_WRITE, false, &repair->file);

    if (err == MESH_ENOTFOUND) {
        is_new = true;
        err = segment_open(fs, &repair->id, repair->base_offset, FS_WRITE, true, &repair->file);
    }
    if (err == 0) err = fs->ops->write(repair->file, &iov, 1, repair->position);
    if (err == 0) err = sync_file(repair);
    if (err == 0 && is_new) err = segment_sync_names(fs, &repair->id, true);
    return err == 0 ? note_piece(repair) : err;
}

static int read_block(struct repair_job *repair, size_t size)
{
    int err;

    buffer_clear(&repair->block);
    err = buffer_reserve(&repair->block, size);
    if (err != 0) return err;
    err = repair->file->fs->ops->read(repair->file, repair->block.data, size, repair->position, &repair->block.size);
    return err;
}

/* Takes back what is sound from here on. What cannot be read is not. */
static int take_sound(struct repair_job *repair)
{
    uint32_t begin = repair->position;
    size_t used = 0, wanted = CHECK_BYTES;

    if (repair->hole.is_condemned || (repair->hole.is_of_unknown_epochs && repair->epoch_max < 0)) return 0;
    repair->block.size = 0;
    while (repair->offset < repair->reach && repair->position - begin < CHECK_BYTES_MAX) {
        struct slice at = used == repair->block.size ? slice_of(NULL, 0) : slice_of(repair->block.data + used, repair->block.size - used);
        struct record_batch_header header;
        bool is_wrong;
        int err = at.size == 0 ? MESH_EAGAIN : record_batch_parse_header(at, &header);
        if (err == MESH_EAGAIN || (err == 0 && header.size > at.size)) {
            if (err == 0 && header.size > SEGMENT_BYTES_MAX / 4) break;
            if (err == 0 && header.size > wanted) wanted = header.size;
            else if (repair->block.size > 0 && used == 0) break; /* there is no more */
            used = 0;
            err = read_block(repair, wanted);
            if (err == MESH_ENOMEM) return err;
            if (err != 0 || repair->block.size == 0) break;
            continue;
        }
        is_wrong = err == 0 && repair->epoch_max >= 0 && put_epoch_right(repair, repair->block.data + used, header.size);
        if (err != 0 || !fits(repair, slice_of(at.data, header.size), repair->offset, repair->position, &header)) break;
        if (is_wrong) err = write_header(repair, repair->block.data + used);
        if (err == 0) err = note(repair, &header);
        if (err != 0) return err;
        used += header.size;
    }
    return 0;
}

/* The index was made without the batches of the hole: it is made anew. */
static int remove_index(const struct repair_job *repair)
{
    char path[FS_PATH_MAX];
    int err;

    segment_path(&repair->id, repair->base_offset, SEGMENT_PATH_INDEX, path);
    err = repair->job.fs->ops->unlink(repair->job.fs, path);
    return err == MESH_ENOTFOUND ? 0 : err;
}

static void repair_run(struct store_job *base)
{
    struct repair_job *repair = container_of(base, struct repair_job, job);
    uint64_t written;

    repair->error = check_piece(repair);
    if (repair->error == 0 && repair->piece_size > 0) repair->error = write_piece(repair);
    if (repair->error == 0)
        repair->error = segment_open(base->fs, &repair->id, repair->base_offset, FS_WRITE, false, &repair->file);
    written = repair->offset;
    if (repair->error == 0) repair->error = take_sound(repair);
    /* Of a tail nobody has said yet that it is durable. */
    if (repair->error == 0 && repair->offset > written && (repair->hole.resume_position == 0 || repair->has_rewritten)) repair->error = sync_file(repair);
    if (repair->error == MESH_ENOTFOUND) repair->error = 0; /* no file yet: nothing of it is sound */
    if (repair->error == 0 && repair->offset >= repair->reach) repair->error = remove_index(repair);
}

/* ---- the loop ---- */

/* The segment that was mended; a hole in whose place no segment was left gets one. */
static struct segment_file *mended_segment(struct plog *plog, const struct repair_job *repair)
{
    struct segment_file *segment;
    uint32_t at = 0;

    while (at < plog->segment_count && plog->segments[at]->base_offset < repair->base_offset)
        at++;
    if (at < plog->segment_count && plog->segments[at]->base_offset == repair->base_offset) return plog->segments[at];
    if (plog_add_segment(plog, repair->base_offset, &segment) != 0) return NULL;
    memmove(plog->segments + at + 1, plog->segments + at, (plog->segment_count - 1 - at) * sizeof(struct segment_file *));
    plog->segments[at] = segment;
    segment->is_created = segment->is_name_durable = true;
    return segment;
}

/* The last segment before a gap has grown. */
static void grow(struct plog *plog, struct segment_file *segment, const struct repair_job *repair)
{
    if (repair->position <= segment->size) return;
    plog->size_bytes += repair->position - segment->size;
    segment->size = repair->position;
    segment->next_offset = repair->offset;
    if (segment->first_timestamp_ms == INT64_MAX) segment->first_timestamp_ms = repair->first_timestamp_ms;
    if (repair->max_timestamp_ms > segment->max_timestamp_ms) segment->max_timestamp_ms = repair->max_timestamp_ms;
    segment_file_set_written(segment, repair->position, repair->offset);
    segment_file_raise_synced(segment, repair->position, repair->offset);
}

/* Meanwhile the range may have been condemned, or damage around it been found: what was believed of it, and where it ends, is not so any more. */
static bool is_as_it_was(const struct plog *plog, const struct plog_hole *before)
{
    const struct plog_hole *hole = plog_hole_at(plog, before->from);

    return hole != NULL && hole->from == before->from && hole->to == before->to && hole->position == before->position &&
           hole->resume_position == before->resume_position && hole->is_condemned == before->is_condemned &&
           hole->is_of_unknown_epochs == before->is_of_unknown_epochs;
}

static void shorten_hole(struct plog *plog, const struct repair_job *repair)
{
    for (uint32_t i = 0; i < plog->hole_count; i++) {
        struct plog_hole *hole = &plog->holes[i];
        if (hole->from != repair->hole.from) continue;
        if (repair->offset >= hole->to) {
            plog_drop_hole(plog, i);
            return;
        }
        hole->from = repair->offset;
        hole->position = repair->offset < repair->reach ? repair->position : 0; /* else it goes on in the next file */
        return;
    }
}

static int apply(struct plog *plog, const struct repair_job *repair)
{
    struct segment_file *segment;

    if (!is_as_it_was(plog, &repair->hole)) return MESH_ECANCELED;
    if (repair->offset == repair->hole.from) return 0;
    segment = mended_segment(plog, repair);
    if (segment == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < repair->learned_count; i++)
        (void)epoch_cache_learn(&plog->epochs, repair->learned[i].epoch, repair->learned[i].start_offset);
    if (repair->hole.resume_position == 0) grow(plog, segment, repair);
    shorten_hole(plog, repair);
    segment_file_forget_walked(segment);
    if (repair->offset >= repair->reach) {
        segment_file_drop_index(segment);
        segment->indexed = 0;
        segment->is_lost = false;
    }
    plog_forget_marks(plog);
    plog->store->stats.repaired_bytes += repair->position - repair->hole.position;
    plog->store->is_manifest_stale = true;
    plog->store->is_checkpoint_due = true;
    plog_notify(plog);
    return 0;
}

static void finish(struct repair_job *repair, int error)
{
    struct plog *plog = repair->plog;
    plog_done_fn *done = repair->done;
    void *user = repair->user;

    plog->is_repairing = false;
    repair_free(repair);
    if (done != NULL) done(user, error);
    plog_job_unref(plog);
}

static void repair_complete(struct store *store, struct store_job *base)
{
    struct repair_job *repair = container_of(base, struct repair_job, job);
    struct plog *plog = repair->plog;
    int err = repair->error;

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    if (plog->is_deleted || plog->cut_count != repair->cut_count) {
        finish(repair, MESH_ECANCELED);
        return;
    }
    /* Pages of others may have been dropped with ours. */
    if (repair->is_sync_failed) plog_poison(plog, err);
    if (err == 0) err = apply(plog, repair);
    finish(repair, err);
}

struct store_job *store_repair_job(struct store *store)
{
    struct list_node *node = list_pop_front(&store->repairs);

    if (node == NULL) return NULL;
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return container_of(node, struct store_job, link);
}

void store_repairs_deinit(struct store *store)
{
    struct list_node *node;

    while ((node = list_pop_front(&store->repairs)) != NULL) {
        struct repair_job *repair = container_of(container_of(node, struct store_job, link), struct repair_job, job);
        repair->done = NULL;
        finish(repair, MESH_ECANCELED);
    }
}

/* Which file it is, and how far that goes. */
static void aim(struct repair_job *repair)
{
    const struct plog *plog = repair->plog;
    uint64_t from = repair->hole.from;
    uint32_t at = plog->segment_count > 0 ? plog_find_segment(plog, from) : 0;
    bool is_there = plog->segment_count > 0 && plog->segments[at]->base_offset <= from;

    /* Between two segments, where a file was lost that nobody knows any more. */
    if (is_there && repair->hole.position == 0) is_there = plog->segments[at]->base_offset == from;
    repair->base_offset = is_there ? plog->segments[at]->base_offset : from;
    repair->reach = repair->hole.to;
    for (uint32_t i = 0; i < plog->segment_count; i++) {
        uint64_t base = plog->segments[i]->base_offset;
        if (base > from && base < repair->reach) repair->reach = base;
    }
}

static int copy_epochs(struct repair_job *repair)
{
    const struct epoch_cache *epochs = &repair->plog->epochs;

    repair->epochs = malloc((epochs->count + 1) * sizeof(*repair->epochs));
    if (repair->epochs == NULL) return MESH_ENOMEM;
    repair->epoch_count = epochs->count;
    if (epochs->count > 0) memcpy(repair->epochs, epoch_cache_entries(epochs), epochs->count * sizeof(*repair->epochs));
    repair->last_epoch = repair->hole.from > 0 ? epoch_at(repair, repair->hole.from - 1) : -1;
    return 0;
}

static int copy_piece(struct repair_job *repair, struct slice batches)
{
    if (batches.size == 0) return 0;
    repair->piece = malloc(batches.size);
    if (repair->piece == NULL) return MESH_ENOMEM;
    memcpy(repair->piece, batches.data, batches.size);
    repair->piece_size = batches.size;
    return 0;
}

static int begin_repair(struct plog *plog, uint64_t offset, struct slice batches, int32_t epoch_max, plog_done_fn *done, void *user)
{
    const struct plog_hole *hole = plog_hole_at(plog, offset);
    struct repair_job *repair;

    if (plog_error(plog) != 0) return MESH_ESTORAGE;
    if (plog->is_repairing || plog->truncation != NULL) return MESH_EAGAIN;
    if (hole == NULL || hole->from != offset) return MESH_ENOTFOUND;
    repair = calloc(1, sizeof(*repair));
    if (repair == NULL) return MESH_ENOMEM;
    repair->plog = plog;
    repair->id = plog->id;
    repair->hole = *hole;
    repair->epoch_max = epoch_max;
    repair->offset = offset;
    repair->position = hole->position;
    repair->cut_count = plog->cut_count;
    repair->first_timestamp_ms = INT64_MAX;
    repair->max_timestamp_ms = INT64_MIN;
    repair->done = done;
    repair->user = user;
    if (copy_piece(repair, batches) != 0 || copy_epochs(repair) != 0) {
        repair_free(repair);
        return MESH_ENOMEM;
    }
    aim(repair);
    repair->job = (struct store_job){
        .lane = STORE_LANE_BACKGROUND, .fs = plog->store->fs, .run = repair_run, .complete = repair_complete};
    list_init(&repair->job.link);
    list_push_back(&plog->store->repairs, &repair->job.link);
    plog->job_references++;
    plog->is_repairing = true;
    return 0;
}

int plog_repair(struct plog *plog, uint64_t offset, struct slice batches, plog_done_fn *done, void *user)
{
    return begin_repair(plog, offset, batches, -1, done, user);
}

int plog_repair_epochs(struct plog *plog, uint64_t offset, int32_t epoch_max, plog_done_fn *done, void *user)
{
    return begin_repair(plog, offset, slice_of(NULL, 0), epoch_max < 0 ? 0 : epoch_max, done, user);
}
