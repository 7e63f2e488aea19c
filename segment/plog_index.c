/* The index of a segment, brought into memory when somebody needs it: from its file if there is one, and from
 * the batch headers behind what that covers. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define SCAN_BYTES (64u << 10)

int plog_open_segment(struct plog *plog, struct segment_file *segment)
{
    struct store *store = plog->store;
    struct fs_file *file = NULL;
    int err;

    if (segment_file_opened(segment) != NULL) {
        file_cache_touch(&store->files, segment, store->now_ms);
        return 0;
    }
    err = segment_open(store->fs, &plog->id, segment->base_offset, FS_WRITE, false, &file);
    if (err == MESH_ENOTFOUND && segment->written > 0) return plog_lost_file(plog, segment);
    if (err == 0) file_cache_install(&store->files, segment, file, NULL, store->now_ms);
    return err == 0 && segment_file_opened(segment) == NULL ? MESH_ENOMEM : err;
}

static int read_index_file(const struct index_source *source, struct offset_index *index)
{
    struct buffer bytes = BUFFER_INIT;
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    uint64_t size = 0;
    size_t got = 0;
    int err;

    segment_path(&source->id, source->base_offset, SEGMENT_PATH_INDEX, path);
    err = fs_open(source->fs, path, FS_READ, &file);
    if (err == 0) err = source->fs->ops->size(file, &size);
    if (err == 0 && size > SEGMENT_BYTES_MAX / 16) err = MESH_ECORRUPT;
    if (err == 0) err = buffer_reserve(&bytes, (size_t)size);
    if (err == 0) err = source->fs->ops->read(file, bytes.data, (size_t)size, 0, &got);
    if (err == 0) err = offset_index_decode(slice_of(bytes.data, got), index);
    if (err == 0 && (index->range.base_offset != source->base_offset || index->range.end_position > source->written ||
                     index->range.end_offset > source->next_offset)) {
        offset_index_deinit(index);
        err = MESH_ECORRUPT;
    }
    fs_unref(file);
    buffer_deinit(&bytes);
    return err;
}

static const struct plog_hole *source_hole_at(const struct index_source *source, uint64_t offset)
{
    for (uint32_t i = 0; i < source->hole_count; i++)
        if (source->holes[i].from <= offset && offset < source->holes[i].to) return &source->holes[i];
    return NULL;
}

/* Notes the batches whose headers lie in `block`, which begins where the index ends. Returns the bytes they take, which may
 * be more than the block has, or MESH_ECORRUPT. */
static int64_t scan_block(const struct index_source *source, struct slice block, struct offset_index *index)
{
    size_t used = 0;

    while (used < block.size && source_hole_at(source, index->range.end_offset) == NULL) {
        struct record_batch_header header;
        if (record_batch_parse_header(slice_of(block.data + used, block.size - used), &header) != 0) break;
        if ((uint64_t)header.base_offset != index->range.end_offset ||
            header.size > source->written - index->range.end_position)
            return MESH_ECORRUPT;
        offset_index_append(index, &header, source->interval_bytes);
        used += header.size;
    }
    return (int64_t)used;
}

/* Notes the batches of the file from where the index ends to where the file does. Damage ends a stretch of
 * them; the log's holes say where the next one begins. */
static int scan_file(const struct index_source *source, struct offset_index *index)
{
    struct buffer block = BUFFER_INIT;
    int err = index->range.end_position < source->written ? buffer_reserve(&block, SCAN_BYTES) : 0;

    while (err == 0 && index->range.end_position < source->written) {
        const struct plog_hole *hole = source_hole_at(source, index->range.end_offset);
        size_t size = source->written - index->range.end_position;
        int64_t used;
        if (hole != NULL) {
            if (hole->resume_position <= index->range.end_position) break;
            index->range.end_position = hole->resume_position;
            index->range.end_offset = hole->to;
            continue;
        }
        err = source->fs->ops->read(source->file, block.data, size < SCAN_BYTES ? size : SCAN_BYTES,
                                    index->range.end_position, &size);
        if (err != 0) break;
        used = scan_block(source, slice_of(block.data, size), index);
        if (used <= 0) err = MESH_ECORRUPT;
    }
    buffer_deinit(&block);
    return err;
}

int index_read(const struct index_source *source, struct offset_index *ret_index, uint32_t *ret_indexed)
{
    int err;

    *ret_indexed = 0;
    offset_index_init(ret_index, source->base_offset);
    if (source->written == 0) return 0;
    if (read_index_file(source, ret_index) == 0) *ret_indexed = (uint32_t)ret_index->range.end_position;
    err = scan_file(source, ret_index);
    if (err != 0 && err != MESH_ECORRUPT) offset_index_deinit(ret_index);
    return err;
}

/* What is not in the file yet is still in memory, as runs. */
static void scan_runs(struct plog *plog, struct segment_file *segment, struct offset_index *index)
{
    for (uint32_t i = plog_runs(plog)->written_count; i < plog_runs(plog)->count; i++) {
        const struct run *run = run_queue_at(plog_runs(plog), i);
        const uint8_t *at = run->chunk->memory + run->chunk_position;
        if (run->segment != segment) continue;
        for (uint32_t used = 0; used < run->size;) {
            struct record_batch_header header;
            int err = record_batch_parse_header(slice_of(at + used, run->size - used), &header);
            MESH_ASSERT(err == 0);
            if ((uint64_t)header.base_offset >= index->range.end_offset)
                offset_index_append(index, &header, plog->config->index_interval_bytes);
            used += header.size;
        }
    }
}

void plog_describe_index(struct plog *plog, const struct segment_file *segment, struct index_source *ret_source)
{
    *ret_source = (struct index_source){
        .fs = plog->store->fs,
        .id = plog->id,
        .file = segment_file_opened(segment),
        .holes = plog->holes,
        .hole_count = plog->hole_count,
        .base_offset = segment->base_offset,
        .next_offset = segment->next_offset,
        .written = segment->written,
        .interval_bytes = plog->config->index_interval_bytes,
    };
}

int plog_take_index(struct plog *plog, struct segment_file *segment, struct offset_index *index, uint32_t indexed)
{
    struct index_source source;
    int err = 0;

    MESH_ASSERT(segment->index == NULL);
    if (segment->written > 0) {
        err = plog_open_segment(plog, segment); /* what has been written since is still in the page cache */
        plog_describe_index(plog, segment, &source);
        if (err == 0) err = scan_file(&source, index);
        if (err == MESH_ECORRUPT) plog->store->stats.corrupt_batches++;
        if (err == MESH_ECORRUPT) err = 0;
        /* Up to damage the index is right; whatever comes after what the file has goes on from there. */
        index->range.end_position = segment->written;
        index->range.end_offset =
            segment->written == segment->size ? segment->next_offset : plog->filed_offset;
    }
    if (err != 0) {
        offset_index_deinit(index);
        free(index);
        return err;
    }
    segment->indexed = indexed;
    scan_runs(plog, segment, index);
    segment->index = index;
    return 0;
}

int plog_load_index(struct plog *plog, struct segment_file *segment)
{
    struct offset_index *index;
    struct index_source source;
    uint32_t indexed = 0;
    int err = 0;

    if (segment->index != NULL) return 0;
    if (segment->written > 0) err = plog_open_segment(plog, segment);
    if (err != 0) return err;
    index = malloc(sizeof(*index));
    if (index == NULL) return MESH_ENOMEM;
    plog_describe_index(plog, segment, &source);
    err = index_read(&source, index, &indexed);
    if (err != 0 && err != MESH_ECORRUPT) {
        free(index);
        return err;
    }
    return plog_take_index(plog, segment, index, indexed); /* meets the damage again, and counts it */
}

static int find_in_file(struct plog *plog, struct segment_file *segment, enum offset_index_key by,
                        uint64_t key, struct plog_look *look, struct offset_index_entry *ret_entry)
{
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    int err;

    segment_path(&plog->id, segment->base_offset, SEGMENT_PATH_INDEX, path);
    err = fs_open(plog->store->fs, path, FS_READ, &file);
    if (err == MESH_ENOTFOUND) err = MESH_ECORRUPT; /* no file: to be made again; below, no such entry */
    if (err == 0)
        err = offset_index_file_find(file, segment->base_offset, by, key, look != NULL ? &look->file : NULL, ret_entry);
    fs_unref(file);
    return err;
}

int plog_find_index(struct plog *plog, struct segment_file *segment, enum offset_index_key by, uint64_t key,
                    struct plog_look *look, struct offset_index_entry *ret_entry)
{
    int err = MESH_ECORRUPT;

    if (segment->index == NULL && segment != plog_active_segment(plog))
        err = find_in_file(plog, segment, by, key, look, ret_entry);
    if (segment->index == NULL && err != 0 && err != MESH_ENOTFOUND) {
        if (err == MESH_EAGAIN) return err;
        if (look != NULL && segment->written >= INDEX_JOB_BYTES_MIN) {
            look->index_wanted = segment;
            return MESH_EAGAIN;
        }
        err = plog_load_index(plog, segment);
        if (err != 0) return err;
        plog_index_was_made(plog, segment);
    }
    if (segment->index != NULL) err = offset_index_find(segment->index, by, key, ret_entry);
    if (err != MESH_ENOTFOUND) return err;
    *ret_entry = (struct offset_index_entry){0, 0, INT64_MIN};
    return 0;
}

void plog_index_was_made(struct plog *plog, struct segment_file *segment)
{
    segment->indexed = 0;
    if (plog_begin_work(plog) != 0) return; /* it stays in memory, and is saved by the last checkpoint */
    plog_join_unsynced(plog);
    plog->store->is_manifest_stale = true;
}
