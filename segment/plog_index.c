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

    if (segment->file != NULL) {
        file_cache_touch(&store->files, segment, store->now_ms);
        return 0;
    }
    err = segment_open(store->fs, &plog->id, segment->base_offset, FS_WRITE, false, &file);
    if (err == 0) file_cache_install(&store->files, segment, file, NULL, store->now_ms);
    return err;
}

static int read_index_file(struct plog *plog, struct segment_file *segment, struct offset_index *index)
{
    struct store *store = plog->store;
    struct buffer bytes = BUFFER_INIT;
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    uint64_t size = 0;
    size_t got = 0;
    int err;

    segment_path(&plog->id, segment->base_offset, SEGMENT_PATH_INDEX, path);
    err = fs_open(store->fs, path, FS_READ, &file);
    if (err == 0) err = store->fs->ops->size(file, &size);
    if (err == 0 && size > SEGMENT_BYTES_MAX / 16) err = MESH_ECORRUPT;
    if (err == 0) err = buffer_reserve(&bytes, (size_t)size);
    if (err == 0) err = store->fs->ops->read(file, bytes.data, (size_t)size, 0, &got);
    if (err == 0) err = offset_index_decode(slice_of(bytes.data, got), index);
    if (err == 0 &&
        (index->range.base_offset != segment->base_offset || index->range.end_position > segment->written ||
         index->range.end_offset > segment->next_offset)) {
        offset_index_deinit(index);
        err = MESH_ECORRUPT;
    }
    fs_unref(file);
    buffer_deinit(&bytes);
    return err;
}

/* Notes the batches of the file from where the index ends to where the file does. Damage ends a stretch of
 * them; the log's holes say where the next one begins. */
static int scan_file(struct plog *plog, struct segment_file *segment, struct offset_index *index)
{
    struct store *store = plog->store;
    int err = buffer_reserve(&store->scratch, SCAN_BYTES);

    while (err == 0 && index->range.end_position < segment->written) {
        const struct plog_hole *hole = plog_hole_at(plog, index->range.end_offset);
        size_t size = segment->written - index->range.end_position, used = 0;
        if (hole != NULL) {
            if (hole->resume_position <= index->range.end_position) break;
            index->range.end_position = hole->resume_position;
            index->range.end_offset = hole->to;
            continue;
        }
        err = store->fs->ops->read(segment->file, store->scratch.data, size < SCAN_BYTES ? size : SCAN_BYTES,
                                   index->range.end_position, &size);
        while (err == 0 && used < size && plog_hole_at(plog, index->range.end_offset) == NULL) {
            struct record_batch_header header;
            if (record_batch_parse_header(slice_of(store->scratch.data + used, size - used), &header) != 0)
                break;
            if ((uint64_t)header.base_offset != index->range.end_offset ||
                header.size > segment->written - index->range.end_position)
                return MESH_ECORRUPT;
            offset_index_append(index, &header, plog->config.index_interval_bytes);
            used += header.size;
        }
        if (err == 0 && used == 0) err = MESH_ECORRUPT;
    }
    return err;
}

/* What is not in the file yet is still in memory, as runs. */
static void scan_runs(struct plog *plog, struct segment_file *segment, struct offset_index *index)
{
    for (uint32_t i = plog->runs.written_count; i < plog->runs.count; i++) {
        const struct run *run = run_queue_at(&plog->runs, i);
        const uint8_t *at = run->chunk->memory + run->chunk_position;
        if (run->segment != segment) continue;
        for (uint32_t used = 0; used < run->size;) {
            struct record_batch_header header;
            int err = record_batch_parse_header(slice_of(at + used, run->size - used), &header);
            MESH_ASSERT(err == 0);
            if ((uint64_t)header.base_offset >= index->range.end_offset)
                offset_index_append(index, &header, plog->config.index_interval_bytes);
            used += header.size;
        }
    }
}

int plog_load_index(struct plog *plog, struct segment_file *segment)
{
    struct offset_index *index;
    int err = 0;

    if (segment->index != NULL) return 0;
    index = malloc(sizeof(*index));
    if (index == NULL) return MESH_ENOMEM;
    offset_index_init(index, segment->base_offset);
    if (segment->written > 0) {
        err = plog_open_segment(plog, segment);
        if (err == 0 && read_index_file(plog, segment, index) == 0)
            segment->indexed = (uint32_t)index->range.end_position;
        if (err == 0) err = scan_file(plog, segment, index);
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
    scan_runs(plog, segment, index);
    segment->index = index;
    return 0;
}

static int find_in_file(struct plog *plog, struct segment_file *segment, enum offset_index_key by,
                        uint64_t key, struct offset_index_entry *ret_entry)
{
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    int err;

    segment_path(&plog->id, segment->base_offset, SEGMENT_PATH_INDEX, path);
    err = fs_open(plog->store->fs, path, FS_READ, &file);
    if (err == 0) err = offset_index_file_find(file, segment->base_offset, by, key, ret_entry);
    fs_unref(file);
    return err;
}

int plog_find_index(struct plog *plog, struct segment_file *segment, enum offset_index_key by, uint64_t key,
                    struct offset_index_entry *ret_entry)
{
    int err = MESH_ECORRUPT;

    if (segment->index == NULL && segment != plog_active_segment(plog))
        err = find_in_file(plog, segment, by, key, ret_entry);
    if (segment->index == NULL && err != 0 && err != MESH_ENOTFOUND) {
        err = plog_load_index(plog, segment);
        if (err != 0) return err;
        /* A sync job saves it, and it leaves memory again. */
        segment->indexed = 0;
        if (list_is_empty(&plog->unsynced_link))
            list_push_back(&plog->store->unsynced_logs, &plog->unsynced_link);
        plog->store->is_manifest_stale = true;
    }
    if (segment->index != NULL) err = offset_index_find(segment->index, by, key, ret_entry);
    if (err != MESH_ENOTFOUND) return err;
    *ret_entry = (struct offset_index_entry){0, 0, INT64_MIN};
    return 0;
}
