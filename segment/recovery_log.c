#include "segment/recovery_log.h"

#include "base/assert.h"
#include "base/error.h"
#include "segment/producer_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_BYTES (1u << 20)

/* The work on one log. The last of state->segments is the one that is scanned or written; what is known ends
 * at its `size`, and log->end_offset says which offset that is. */
struct work {
    const struct recovery_log *in;
    struct fs *fs;
    struct manifest_log *log;
    uint64_t *on_disk; /* base offsets of the segment files, sorted */
    uint32_t on_disk_count, on_disk_capacity;
    struct fs_file *file; /* of the last segment */
    uint64_t file_base;
    struct buffer buffer;
    uint32_t first_entry;    /* the last reset, or 0 */
    uint64_t durable_offset; /* everything below was durable in the files */
    uint64_t void_from;      /* a truncation that was under way cuts there; UINT64_MAX: none */
    bool has_reset;
    bool was_empty; /* the manifest named no segment */
    bool is_cut; /* by a truncation: what lies behind the end is no torn tail */
};

static void say(const struct work *work, bool is_damage, const char *what, uint64_t offset, uint64_t detail)
{
    char id[UUID_STRING_SIZE], text[256];

    if (work->in->event == NULL) return;
    snprintf(text, sizeof(text), "%s topic=%s partition=%" PRIu32 " offset=%" PRIu64 " %s=%" PRIu64, what,
             uuid_format(&work->log->id.topic_id, id), work->log->id.partition, offset,
             is_damage ? "next_offset" : "bytes", detail);
    work->in->event(work->in->event_user, is_damage, text);
}

static int add_hole(struct work *work, const struct plog_hole *hole)
{
    struct manifest_log *log = work->log;
    struct plog_hole *holes;
    uint32_t at;

    work->in->report->holes++;
    say(work, true, "hole", hole->from, hole->to);
    if (log->hole_count >= PLOG_HOLES_MAX) return 0;
    holes = realloc(log->holes, (log->hole_count + 1) * sizeof(*holes));
    if (holes == NULL) return MESH_ENOMEM;
    log->holes = holes;
    for (at = log->hole_count++; at > 0 && holes[at - 1].from > hole->from; at--)
        holes[at] = holes[at - 1];
    holes[at] = *hole;
    return 0;
}

/* What is known of the last segment ends, and the log goes on behind a gap. */
static int add_gap(struct work *work, uint64_t to)
{
    const struct manifest_log *log = work->log;

    return add_hole(work, &(struct plog_hole){.from = log->end_offset,
                                              .to = to,
                                              .position = log->segment_count > 0 ? manifest_segment_at(log, log->segment_count - 1)->size : 0});
}

static struct manifest_segment *segments_of(struct manifest_log *log)
{
    return log->segments != NULL ? log->segments : &log->only_segment;
}

static struct manifest_segment *last_segment(const struct work *work)
{
    return work->log->segment_count > 0 ? &segments_of(work->log)[work->log->segment_count - 1] : NULL;
}

/* Room for one more. */
static int grow_segments(struct manifest_log *log)
{
    struct manifest_segment *segments;

    if (log->segments == NULL && log->segment_count == 0) return 0;
    segments = realloc(log->segments, (log->segment_count + 1) * sizeof(*segments));
    if (segments == NULL) return MESH_ENOMEM;
    if (log->segments == NULL) segments[0] = log->only_segment;
    log->segments = segments;
    return 0;
}

static int add_segment(struct work *work, uint64_t base_offset)
{
    struct manifest_log *log = work->log;

    if (grow_segments(log) != 0) return MESH_ENOMEM;
    segments_of(log)[log->segment_count++] = (struct manifest_segment){.base_offset = base_offset,
                                                                       .next_offset = base_offset,
                                                                       .first_timestamp_ms = INT64_MAX,
                                                                       .max_timestamp_ms = INT64_MIN};
    return 0;
}

/* ---- what is on disk ---- */

static int list_one(void *user, const char *name, bool is_dir)
{
    struct work *work = user;
    uint64_t base_offset;

    if (is_dir || !segment_parse_name(name, &base_offset)) return 0;
    if (work->on_disk_count == work->on_disk_capacity) {
        uint32_t capacity = work->on_disk_capacity > 0 ? work->on_disk_capacity * 2 : 8;
        uint64_t *grown = realloc(work->on_disk, capacity * sizeof(*grown));
        if (grown == NULL) return MESH_ENOMEM;
        work->on_disk = grown;
        work->on_disk_capacity = capacity;
    }
    work->on_disk[work->on_disk_count++] = base_offset;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static int list_files(struct work *work)
{
    char path[FS_PATH_MAX];
    int err;

    segment_directory_path(&work->log->id, path);
    err = work->fs->ops->list(work->fs, path, list_one, work);
    if (work->on_disk_count > 0) qsort(work->on_disk, work->on_disk_count, sizeof(*work->on_disk), by_offset);
    return err;
}

static bool is_on_disk(const struct work *work, uint64_t base_offset)
{
    return work->on_disk_count > 0 && bsearch(&base_offset, work->on_disk, work->on_disk_count,
                                              sizeof(*work->on_disk), by_offset) != NULL;
}

static int open_last(struct work *work, bool create)
{
    const struct manifest_segment *segment = last_segment(work);

    if (work->file != NULL && work->file_base == segment->base_offset) return 0;
    fs_unref(work->file);
    work->file = NULL;
    work->file_base = segment->base_offset;
    return segment_open(work->fs, &work->log->id, segment->base_offset, FS_WRITE, create, &work->file);
}

/* ---- the log's books ---- */

static int note_batch(struct work *work, const struct record_batch_header *header)
{
    struct manifest_segment *segment = last_segment(work);
    struct manifest_log *log = work->log;
    int err = 0;

    segment->size += header->size;
    segment->next_offset = (uint64_t)record_batch_last_offset(header) + 1;
    if (segment->first_timestamp_ms == INT64_MAX) segment->first_timestamp_ms = header->base_timestamp_ms;
    if (header->max_timestamp_ms > segment->max_timestamp_ms)
        segment->max_timestamp_ms = header->max_timestamp_ms;
    if (header->leader_epoch >= 0 && header->leader_epoch >= epoch_cache_last_epoch(&log->epochs))
        err = epoch_cache_assign(&log->epochs, header->leader_epoch, log->end_offset);
    if (err == 0) err = producer_table_record(&log->producers, header, header->max_timestamp_ms);
    log->end_offset = segment->next_offset;
    return err;
}

/* Everything from offset on is forgotten; `position` is where that is in the last segment that stays. */
static void forget_from(struct work *work, uint64_t offset)
{
    struct manifest_log *log = work->log;

    while (log->segment_count > 0 && last_segment(work)->base_offset > offset)
        log->segment_count--;
    while (log->segment_count > 1 && last_segment(work)->base_offset == offset)
        log->segment_count--;
    while (log->hole_count > 0 && log->holes[log->hole_count - 1].to > offset)
        log->hole_count--;
    if (log->end_offset > offset) log->end_offset = offset;
    epoch_cache_truncate_end(&log->epochs, offset);
    producer_table_truncate(&log->producers, offset);
}

static void lower(uint64_t *value, uint64_t limit)
{
    if (*value > limit) *value = limit;
}

/* The files were cut there, durably, before the reset was written: what they hold behind it is newer. */
static void cut_to_reset(struct work *work, const struct journal_entry_header *reset)
{
    struct manifest_segment *segment;

    lower(&work->log->high_watermark, reset->base_offset);
    lower(&work->log->deleted_offset, reset->base_offset);
    if (work->log->end_offset <= reset->base_offset) return;
    forget_from(work, reset->base_offset);
    segment = last_segment(work);
    if (segment == NULL || segment->base_offset != reset->segment_base_offset) return;
    segment->size = reset->segment_position;
    segment->next_offset = reset->base_offset;
}

/* The log was emptied, durably, before the record was written: what the files hold is newer. */
static void begin_anew(struct work *work, const struct journal_entry_header *restart)
{
    struct manifest_log *log = work->log;
    uint64_t offset = restart->base_offset;

    log->segment_count = log->hole_count = 0;
    log->start_offset = log->end_offset = log->acked_offset = log->high_watermark = offset;
    log->deleted_offset = 0;
    epoch_cache_restart(&log->epochs, offset, journal_restart_epoch(restart));
    producer_table_deinit(&log->producers);
}

/* What a later truncation record voids must not be looked at: the files may have been cut already, and then
 * it would lie behind their end like a hole. Returns the offset from which on everything was voided. */
static uint64_t drop_voided(struct work *work)
{
    uint64_t void_from = UINT64_MAX;

    for (uint32_t i = work->in->entry_count; i > work->first_entry; i--) {
        struct journal_entry_header *header = &work->in->entries[i - 1].entry.header;
        if (header->type == JOURNAL_ENTRY_TRUNCATE && header->base_offset < void_from)
            void_from = header->base_offset;
        else if (header->type == JOURNAL_ENTRY_DATA && header->base_offset >= void_from)
            header->size = 0;
    }
    return void_from;
}

static bool is_mark(const struct journal_entry_header *header)
{
    return header->type == JOURNAL_ENTRY_MARK || header->type == JOURNAL_ENTRY_RESET;
}

static bool is_reset(const struct journal_entry_header *header)
{
    return header->type == JOURNAL_ENTRY_RESET || header->type == JOURNAL_ENTRY_RESTART;
}

/* The last entry that is a restart (or, unless only_restarts, a reset), as its number + 1; 0: none. */
static uint32_t find_reset(const struct work *work, bool only_restarts)
{
    uint32_t i = work->in->entry_count;

    while (i > 0 && !(is_reset(&work->in->entries[i - 1].entry.header) &&
                      (!only_restarts || work->in->entries[i - 1].entry.header.type == JOURNAL_ENTRY_RESTART)))
        i--;
    return i;
}

/* A manifest that is newer than an entry knows of it, and of what was appended since. */
static bool is_news(const struct recovery_entry *entry)
{
    return entry->entry.sequence > entry->manifest_frame;
}

/* The last reset or restart voids what the journal says before it; but a reset says nothing of where the log begins, so a restart before
 * it still counts. */
static void apply_resets(struct work *work)
{
    uint32_t last = find_reset(work, false), restart = find_reset(work, true);
    const struct recovery_entry *entries = work->in->entries;

    if (last == 0) return;
    work->first_entry = last - 1;
    work->has_reset = true;
    if (restart > 0 && is_news(&entries[restart - 1])) begin_anew(work, &entries[restart - 1].entry.header);
    /* Each of them: the last one may lie where the manifest ends, or behind it, after another one that went further back. */
    for (uint32_t i = restart; i < last; i++)
        if (is_reset(&entries[i].entry.header) && is_news(&entries[i])) cut_to_reset(work, &entries[i].entry.header);
}

/* Resets, and the newest mark. A reset is a mark as well: what lies below it was durable in the files, which need not mean that a
 * manifest knows of it. */
static void apply_records(struct work *work)
{
    apply_resets(work);
    work->durable_offset = work->log->end_offset;
    for (uint32_t i = work->first_entry; i < work->in->entry_count; i++) {
        const struct journal_entry_header *header = &work->in->entries[i].entry.header;
        if (is_mark(header) && header->base_offset > work->durable_offset)
            work->durable_offset = header->base_offset;
    }
    work->void_from = drop_voided(work);
    if (work->durable_offset > work->void_from) work->durable_offset = work->void_from;
}

static bool is_in_hole(const struct manifest_log *log, uint64_t offset)
{
    for (uint32_t i = 0; i < log->hole_count; i++)
        if (log->holes[i].from <= offset && offset < log->holes[i].to) return true;
    return false;
}

/* Compares the manifest's segments with the files. Files are removed only after a manifest stopped naming
 * them, or by a truncation (or a recovery that repeated one) whose record is in the journal: what else is
 * missing is lost. Such a segment stays in the books, as a hole: that is the place for what comes from elsewhere. */
static int check_segments(struct work *work)
{
    struct manifest_log *log = work->log;
    struct manifest_segment *segments = segments_of(log);
    uint32_t kept = 0;
    int err = 0;

    for (uint32_t i = 0; i < log->segment_count && err == 0; i++) {
        struct manifest_segment segment = segments[i];
        if (segment.size == 0 || is_on_disk(work, segment.base_offset)) {
            segments[kept++] = segment;
        } else if (segment.base_offset >= work->void_from) {
            if (log->end_offset > segment.base_offset) log->end_offset = segment.base_offset;
            break;
        } else {
            segments[kept++] = segment;
            if (is_in_hole(log, segment.base_offset)) continue; /* since an earlier start */
            err = add_hole(work, &(struct plog_hole){
                                     .from = segment.base_offset, .to = segment.next_offset, .resume_position = segment.size});
        }
    }
    log->segment_count = kept;
    return err;
}

/* ---- scanning ---- */

static int read_at(struct work *work, uint64_t position, size_t size)
{
    int err;

    buffer_clear(&work->buffer);
    err = buffer_reserve(&work->buffer, size);
    return err != 0 ? err
                    : work->fs->ops->read(work->file, work->buffer.data, size, position, &work->buffer.size);
}

/* No CRC covers a leader epoch: one below that of the batch before shows that one of the two is damaged. */
static bool follows(const struct manifest_log *log, const struct record_batch_header *header)
{
    if ((uint64_t)header->base_offset != log->end_offset) return false;
    return header->leader_epoch < 0 || header->leader_epoch >= epoch_cache_last_epoch(&log->epochs);
}

/* Takes the batches that lie at the end of what is known of the last segment, as far as they are good. */
static int scan_segment(struct work *work)
{
    struct manifest_segment *segment = last_segment(work);
    size_t used = 0, wanted = SCAN_BYTES;
    int err = open_last(work, false);

    if (err == MESH_ENOTFOUND) return 0;
    if (err != 0) return err;
    buffer_clear(&work->buffer);
    err = buffer_reserve(&work->buffer, SCAN_BYTES);
    if (err != 0) return err;
    for (;;) {
        struct record_batch_header header;
        struct slice at = slice_of(work->buffer.data + used, work->buffer.size - used);
        err = record_batch_parse_header(at, &header);
        if (err == MESH_EAGAIN || (err == 0 && header.size > at.size)) {
            if (err == 0 && header.size > SEGMENT_BYTES_MAX / 4) return 0;
            if (err == 0 && header.size > wanted) wanted = header.size;
            if (used == 0 && work->buffer.size > 0 && work->buffer.size >= wanted) return 0;
            err = read_at(work, segment->size, wanted);
            if (err != 0) return err;
            used = 0;
            at = buffer_slice(&work->buffer);
            if (record_batch_parse_header(at, &header) != 0 || header.size > at.size) {
                if (record_batch_parse_header(at, &header) == 0 && header.size > wanted &&
                    header.size <= SEGMENT_BYTES_MAX / 4)
                    continue;
                return 0; /* the end of the file, or not a batch */
            }
        } else if (err != 0) {
            return 0;
        }
        at = slice_of(work->buffer.data + used, header.size);
        if (!follows(work->log, &header) || record_batch_verify(at, &header) != 0) return 0;
        err = note_batch(work, &header);
        if (err != 0) return err;
        used += header.size;
        work->in->report->checked_bytes += header.size;
    }
}

/* Bad bytes below a durable mark are damage: the log goes on at the nearest mark behind them. */
static int jump_to_mark(struct work *work, bool *ret_jumped)
{
    const struct journal_entry_header *nearest = NULL;
    struct manifest_segment *segment;
    uint64_t from = work->log->end_offset;
    int err = 0;

    *ret_jumped = false;
    for (uint32_t i = work->first_entry; i < work->in->entry_count; i++) {
        const struct journal_entry_header *header = &work->in->entries[i].entry.header;
        if (!is_mark(header) || header->base_offset <= from) continue;
        if (nearest == NULL || header->base_offset < nearest->base_offset) nearest = header;
    }
    if (nearest == NULL) return 0;
    segment = last_segment(work);
    if (segment == NULL || segment->base_offset != nearest->segment_base_offset) {
        err = nearest->segment_base_offset > from ? add_gap(work, nearest->segment_base_offset) : 0;
        if (err == 0) err = add_segment(work, nearest->segment_base_offset);
        segment = last_segment(work);
        if (nearest->segment_base_offset > from) from = nearest->segment_base_offset;
    }
    if (err == 0 && nearest->base_offset > from)
        err = add_hole(work, &(struct plog_hole){.from = from, .to = nearest->base_offset, .position = segment->size, .resume_position = nearest->segment_position});
    if (err != 0) return err;
    segment->size = nearest->segment_position;
    segment->next_offset = nearest->base_offset;
    work->log->end_offset = nearest->base_offset;
    *ret_jumped = true;
    return 0;
}

/* Scans on through the files that follow each other. */
static int scan(struct work *work)
{
    int err = 0;

    if (work->log->segment_count == 0) {
        if (work->on_disk_count == 0) return 0;
        /* Retention writes a manifest first: a log that none knows begins at 0, and without its first file
         * all of it is unsynced remains. Unless the manifest is what was lost. */
        if (work->in->is_manifest_lost && work->in->recovered->generation == 0 && work->log->end_offset == 0)
            work->log->end_offset = work->log->start_offset = work->on_disk[0];
        if (!is_on_disk(work, work->log->end_offset)) return 0;
        err = add_segment(work, work->log->end_offset);
        if (err != 0) return err;
    }
    for (;;) {
        bool has_jumped;
        err = scan_segment(work);
        if (err != 0) return err;
        if (last_segment(work)->size > 0 && is_on_disk(work, work->log->end_offset) &&
            last_segment(work)->base_offset != work->log->end_offset) {
            err = add_segment(work, work->log->end_offset);
            if (err != 0) return err;
            continue;
        }
        if (work->log->end_offset >= work->durable_offset) return 0;
        err = jump_to_mark(work, &has_jumped);
        if (err != 0 || !has_jumped) return err;
    }
}

/* ---- the journal ---- */

static int write_batches(struct work *work, const uint8_t *bytes, uint32_t size, uint32_t position)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    int err = open_last(work, true);

    return err != 0 ? err : work->fs->ops->write(work->file, &iov, 1, position);
}

/* A new segment where the entry says that one began, and behind a hole. */
static int segment_for(struct work *work, const struct journal_entry_header *entry, uint64_t base_offset)
{
    const struct manifest_segment *segment = last_segment(work);
    bool is_rolled = entry->segment_base_offset == base_offset && entry->segment_position == 0;
    int err;

    if (base_offset > work->log->end_offset) {
        err = add_gap(work, base_offset);
        if (err != 0) return err;
        work->log->end_offset = base_offset;
        return add_segment(work, base_offset);
    }
    if (segment == NULL || (is_rolled && segment->base_offset != base_offset) ||
        segment->next_offset != work->log->end_offset)
        return add_segment(work, base_offset);
    return 0;
}

/* The journal's CRC covers epochs: where it contradicts the files' last ones, those were rotten. */
static void correct_epochs(struct epoch_cache *epochs, int32_t epoch)
{
    while (epoch >= 0 && epoch_cache_last_epoch(epochs) > epoch)
        epoch_cache_truncate_end(epochs, epoch_cache_entries(epochs)[epochs->count - 1].start_offset);
}

static int apply_data(struct work *work, const struct recovery_entry *entry)
{
    const struct journal_entry_header *header = &entry->entry.header;
    uint32_t used = 0, start, position;
    int err;

    if (header->size == 0 || header->next_offset <= work->log->end_offset) return 0;
    buffer_clear(&work->buffer);
    err = buffer_reserve(&work->buffer, header->size);
    if (err == 0) err = journal_reader_read(entry->reader, &entry->entry, work->buffer.data);
    while (err == 0 && used < header->size) { /* skip what the files have already */
        struct record_batch_header batch;
        err = record_batch_parse_header(slice_of(work->buffer.data + used, header->size - used), &batch);
        if (err != 0 || (uint64_t)batch.base_offset >= work->log->end_offset) {
            if (err == 0) err = segment_for(work, header, (uint64_t)batch.base_offset);
            break;
        }
        used += batch.size;
    }
    if (err != 0 || used == header->size) return err;
    start = used;
    position = last_segment(work)->size;
    while (err == 0 && used < header->size) {
        struct record_batch_header batch;
        err = record_batch_parse_header(slice_of(work->buffer.data + used, header->size - used), &batch);
        if (err == 0) correct_epochs(&work->log->epochs, batch.leader_epoch);
        if (err == 0) err = note_batch(work, &batch);
        if (err == 0) used += batch.size;
        work->in->report->replayed_batches++;
    }
    work->in->report->replayed_bytes += used - start;
    return err != 0 ? err : write_batches(work, work->buffer.data + start, used - start, position);
}

/* The cut had been decided, and nothing was appended after it; where it is, the batches themselves say. */
static int apply_truncate(struct work *work, uint64_t offset)
{
    struct manifest_log *log = work->log;
    struct manifest_segment *segment;
    struct manifest_segment before;
    int err;

    /* Below the log's start: a restart was under way. Where the log has no segment, the manifest is of a moment after its cut. */
    if (offset < log->start_offset && work->was_empty && log->segment_count == 0) return 0;
    lower(&log->start_offset, offset);
    lower(&log->acked_offset, offset);
    lower(&log->high_watermark, offset);
    lower(&log->deleted_offset, offset);
    if (offset >= log->end_offset) return 0;
    work->is_cut = true;
    forget_from(work, offset);
    segment = last_segment(work);
    if (segment == NULL || segment->base_offset >= offset) {
        if (segment != NULL) segment->size = 0;
        if (segment != NULL) segment->next_offset = segment->base_offset;
        return 0;
    }
    before = *segment;
    err = open_last(work, false);
    segment->size = 0;
    segment->next_offset = log->end_offset = segment->base_offset;
    while (err == 0 && log->end_offset < offset) {
        struct record_batch_header header;
        err = read_at(work, segment->size, RECORD_BATCH_HEADER_SIZE);
        if (err == 0) err = record_batch_parse_header(buffer_slice(&work->buffer), &header);
        if (err != 0 || (uint64_t)record_batch_last_offset(&header) >= offset) break;
        segment->size += header.size;
        segment->next_offset = log->end_offset = (uint64_t)record_batch_last_offset(&header) + 1;
    }
    segment->first_timestamp_ms = before.first_timestamp_ms;
    segment->max_timestamp_ms = before.max_timestamp_ms;
    if (err == MESH_ECORRUPT || err == MESH_EAGAIN || err == MESH_ENOTFOUND) err = 0;
    return err;
}

static int replay(struct work *work)
{
    int err = 0;

    for (uint32_t i = work->first_entry; i < work->in->entry_count && err == 0; i++) {
        const struct recovery_entry *entry = &work->in->entries[i];
        if (entry->entry.header.type == JOURNAL_ENTRY_DATA)
            err = apply_data(work, entry);
        else if (entry->entry.header.type == JOURNAL_ENTRY_TRUNCATE)
            err = apply_truncate(work, entry->entry.header.base_offset);
    }
    return err;
}

/* ---- the end ---- */

static int remove_index(struct work *work)
{
    char path[FS_PATH_MAX];
    int err;

    if (last_segment(work) == NULL) return 0;
    segment_path(&work->log->id, last_segment(work)->base_offset, SEGMENT_PATH_INDEX, path);
    err = work->fs->ops->unlink(work->fs, path);
    return err == MESH_ENOTFOUND ? 0 : err;
}

/* Cuts the torn bytes behind the end, and removes files that hold nothing but such bytes or that retention
 * had given up. Stale indexes go too: they are made again. */
static int tidy_files(struct work *work)
{
    struct manifest_log *log = work->log;
    const struct manifest_segment *segment = last_segment(work);
    int err;

    /* Listed anew: replaying may have made files that a truncation record then emptied of meaning. Left where
     * they are, the next recovery would take them for the log's continuation. */
    work->on_disk_count = 0;
    err = list_files(work);
    if (err == MESH_ENOTFOUND) return 0;
    for (uint32_t i = 0; i < work->on_disk_count && err == 0; i++) {
        uint64_t base_offset = work->on_disk[i];
        bool is_known = false;
        for (uint32_t s = 0; s < log->segment_count; s++)
            is_known = is_known || manifest_segment_at(log, s)->base_offset == base_offset;
        if (!is_known) err = segment_remove(work->fs, &log->id, base_offset);
    }
    if (err == 0 && segment != NULL) {
        uint64_t size = 0;
        err = open_last(work, false);
        if (err == MESH_ENOTFOUND) return 0;
        if (err == 0) err = work->fs->ops->size(work->file, &size);
        if (err == 0 && size > segment->size) {
            if (!work->is_cut) {
                work->in->report->torn_tails++;
                work->in->report->torn_bytes += size - segment->size;
                say(work, false, "torn tail cut", log->end_offset, size - segment->size);
            }
            err = work->fs->ops->truncate(work->file, segment->size);
            if (err == 0) err = remove_index(work);
        }
    }
    return err;
}

/* A manifest was written when the journal held records of this log already, and does not name it (older ones may): it was deleted.
 * Unless it began anew after that manifest: a restart voids what came before. */
static bool was_deleted(const struct work *work)
{
    const struct recovery_log *in = work->in;
    uint32_t restart = find_reset(work, true);
    const struct recovery_entry *first;

    if (in->entry_count == 0) return false;
    first = &in->entries[restart > 0 ? restart - 1 : 0];
    return in->recovered->generation < first->generation && !is_news(first);
}

/* What its deletion had not come to: under the same name a log may begin at 0 again. */
static int remove_files(struct work *work)
{
    int err = 0;

    for (uint32_t i = 0; i < work->on_disk_count && err == 0; i++)
        err = segment_remove(work->fs, &work->log->id, work->on_disk[i]);
    return err;
}

/* A snapshot knows batches that were not durable yet; where they are lost, older ones belong into the windows
 * again. */
static int mend_producers(struct work *work)
{
    struct manifest_log *log = work->log;
    struct producer_table scanned = PRODUCER_TABLE_INIT;
    struct producer_scan_segment *segments;
    int err;

    if (producer_table_truncate(&log->producers, log->end_offset)) return 0;
    segments = malloc((log->segment_count + 1) * sizeof(*segments));
    if (segments == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < log->segment_count; i++)
        segments[i] = (struct producer_scan_segment){manifest_segment_at(log, i)->base_offset, manifest_segment_at(log, i)->size};
    err = producer_scan(work->fs, &log->id, segments, log->segment_count, &scanned);
    free(segments);
    if (err == 0) producer_table_mend(&log->producers, &scanned);
    producer_table_deinit(&scanned);
    /* Behind damage the windows stay short: their newest batches are right, a late retry of an older one is
     * refused. */
    return err == MESH_ECORRUPT ? 0 : err;
}

static int recover(struct work *work)
{
    struct manifest_log *log = work->log;
    int err = list_files(work);
    bool is_absent = err == MESH_ENOTFOUND && log->segment_count > 0 && work->in->entry_count == 0;

    if (was_deleted(work) || (is_absent && work->in->is_superseded)) {
        work->in->recovered->is_gone = true;
        return remove_files(work);
    }
    if (err == MESH_ENOTFOUND) err = 0;
    work->was_empty = log->segment_count == 0;
    epoch_cache_truncate_end(&log->epochs, log->end_offset);
    producer_table_truncate(&log->producers, log->end_offset);
    if (err == 0) apply_records(work);
    if (err == 0) err = check_segments(work);
    if (err == 0) err = scan(work);
    if (err == 0) err = replay(work);
    /* A log that had failed: its journal records may be gone, but they had been acknowledged. */
    if (err == 0 && log->acked_offset > log->end_offset && !work->has_reset) {
        err = add_gap(work, log->acked_offset);
        log->end_offset = log->acked_offset;
    }
    if (err != 0) return err;
    log->acked_offset = log->end_offset;
    lower(&log->deleted_offset, log->end_offset); /* an async log may have lost more than was deleted: what comes in its place is not */
    epoch_cache_truncate_end(&log->epochs, log->end_offset);
    err = mend_producers(work);
    return err != 0 ? err : tidy_files(work);
}

int recovery_log_run(struct recovery_log *in)
{
    struct work work = {.in = in, .fs = in->fs, .log = &in->recovered->log};
    int err = recover(&work);

    fs_unref(work.file);
    free(work.on_disk);
    buffer_deinit(&work.buffer);
    return err;
}
