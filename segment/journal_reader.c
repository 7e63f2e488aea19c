#include "segment/journal_reader.h"

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "segment/journal_files.h"
#include "wire/record_batch.h"

#include <stdlib.h>

#define SCAN_BYTES (1u << 20)

struct found_frame {
    struct journal_frame_header header;
    uint32_t file;
    uint32_t position;
};

struct journal_reader {
    struct fs *fs;
    uint32_t store_index;
    uint64_t generation, nonce, live_frame;
    struct fs_file **files; /* owned */
    uint32_t file_count;
    struct found_frame *frames; /* owned; by sequence */
    uint32_t frame_count, frame_capacity;
    uint64_t durable; /* the newest frame that any header calls durable */
};

/* ---- finding frames ---- */

static int add_frame(struct journal_reader *reader, const struct journal_frame_header *header, uint32_t file,
                     uint32_t position)
{
    if (reader->frame_count == reader->frame_capacity) {
        uint32_t capacity = reader->frame_capacity > 0 ? reader->frame_capacity * 2 : 256;
        struct found_frame *frames = realloc(reader->frames, capacity * sizeof(*frames));
        if (frames == NULL) return MESH_ENOMEM;
        reader->frames = frames;
        reader->frame_capacity = capacity;
    }
    reader->frames[reader->frame_count++] = (struct found_frame){*header, file, position};
    if (header->durable > reader->durable) reader->durable = header->durable;
    if (header->live > reader->live_frame) reader->live_frame = header->live;
    return 0;
}

/* Looks at every block: after a bad frame the next good one may begin anywhere. */
static int scan_file(struct journal_reader *reader, uint32_t index)
{
    struct fs_file *file = reader->files[index];
    struct buffer block = BUFFER_INIT;
    uint64_t size, position = 0, block_start = 0;
    int err = reader->fs->ops->size(file, &size);

    if (err == 0) err = buffer_reserve(&block, SCAN_BYTES);
    while (err == 0 && position + FS_BLOCK_SIZE <= size) {
        struct journal_frame_header header;
        if (block.size == 0 || position < block_start ||
            position + FS_BLOCK_SIZE > block_start + block.size) {
            block_start = position;
            err = reader->fs->ops->read(file, block.data, SCAN_BYTES, position, &block.size);
            if (err != 0 || block.size < FS_BLOCK_SIZE) break;
        }
        err = journal_frame_decode(slice_of(block.data + (position - block_start), FS_BLOCK_SIZE), &header);
        if (err == 0 && header.generation == reader->generation && header.nonce == reader->nonce &&
            header.length <= size - position) {
            err = add_frame(reader, &header, index, (uint32_t)position);
            position += header.length;
        } else {
            if (err == MESH_ECORRUPT) err = 0;
            position += FS_BLOCK_SIZE;
        }
    }
    buffer_deinit(&block);
    return err;
}

static int by_sequence(const void *a, const void *b)
{
    uint64_t left = ((const struct found_frame *)a)->header.sequence;
    uint64_t right = ((const struct found_frame *)b)->header.sequence;

    return left < right ? -1 : left > right;
}

static int open_one(void *user, const char *name, bool is_dir)
{
    struct journal_reader *reader = user;
    struct fs_file **files;
    char path[FS_PATH_MAX];
    uint32_t number;
    int err;

    if (is_dir || !journal_parse_name(name, &number)) return 0;
    files = realloc(reader->files, (reader->file_count + 1) * sizeof(struct fs_file *));
    if (files == NULL) return MESH_ENOMEM;
    reader->files = files;
    journal_file_path(reader->store_index, number, path);
    err = fs_open(reader->fs, path, FS_READ, &files[reader->file_count]);
    if (err == 0) reader->file_count++;
    return err;
}

int journal_reader_open(struct fs *fs, uint32_t store_index, uint64_t generation, uint64_t nonce,
                        uint64_t live_frame, struct journal_reader **ret_reader)
{
    struct journal_reader *reader = calloc(1, sizeof(*reader));
    char path[FS_PATH_MAX];
    int err;

    if (reader == NULL) return MESH_ENOMEM;
    reader->fs = fs;
    reader->store_index = store_index;
    reader->generation = generation;
    reader->nonce = nonce;
    reader->live_frame = live_frame;
    journal_directory_path(store_index, path);
    err = fs->ops->list(fs, path, open_one, reader);
    if (err == MESH_ENOTFOUND) err = 0;
    for (uint32_t i = 0; i < reader->file_count && err == 0; i++)
        err = scan_file(reader, i);
    if (err != 0) {
        journal_reader_close(reader);
        return err;
    }
    if (reader->frame_count > 0)
        qsort(reader->frames, reader->frame_count, sizeof(*reader->frames), by_sequence);
    *ret_reader = reader;
    return 0;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (reader == NULL) return;
    for (uint32_t i = 0; i < reader->file_count; i++)
        fs_unref(reader->files[i]);
    free(reader->files);
    free(reader->frames);
    free(reader);
}

/* ---- checking them ---- */

/* Shortens the entry to its intact batches. True when it was whole. */
static bool check_batches(struct journal_entry_header *header, const uint8_t *bytes)
{
    uint32_t used = 0, prefix_crc = 0;
    uint64_t next_offset = header->base_offset;
    bool is_whole = true;

    while (used < header->size && is_whole) {
        struct slice at = slice_of(bytes + used, header->size - used);
        struct record_batch_header batch;
        is_whole = record_batch_parse_header(at, &batch) == 0 && batch.size <= at.size &&
                   (uint64_t)batch.base_offset == next_offset &&
                   record_batch_verify(slice_of(at.data, batch.size), &batch) == 0;
        if (!is_whole) break;
        prefix_crc = crc32c_extend(prefix_crc, at.data, RECORD_BATCH_CRC_START);
        used += batch.size;
        next_offset = (uint64_t)record_batch_last_offset(&batch) + 1;
    }
    /* The prefix of one batch is bad, and nobody knows which: offsets follow each other, so epochs may be
     * wrong. */
    if (is_whole && (prefix_crc != header->prefix_crc || next_offset != header->next_offset)) used = 0;
    is_whole = is_whole && used == header->size;
    header->size = used;
    header->next_offset = used > 0 ? next_offset : header->base_offset;
    return is_whole;
}

struct entry_walk {
    int (*each)(void *user, const struct journal_entry *entry);
    void *user;
    bool is_whole;
};

/* `check_only` finds out whether the frame is whole before anything of it is used. */
static int walk_frame(const struct found_frame *frame, struct slice bytes, bool check_only,
                      struct entry_walk *walk)
{
    uint32_t seed = journal_entry_seed(frame->header.nonce, frame->header.sequence);
    uint32_t at = JOURNAL_FRAME_HEADER_SIZE, end = JOURNAL_FRAME_HEADER_SIZE + frame->header.entry_bytes;

    walk->is_whole = bytes.size >= end;
    for (uint32_t i = 0; i < frame->header.entry_count && walk->is_whole; i++) {
        struct journal_entry entry = {.sequence = frame->header.sequence, .file = frame->file};
        uint32_t size;
        int err = journal_entry_decode(slice_of(bytes.data + at, end - at), seed, &entry.header);
        if (err != 0 || entry.header.size > end - at - JOURNAL_ENTRY_HEADER_SIZE) {
            walk->is_whole = false; /* and where the next entry begins is not known */
            return 0;
        }
        size = entry.header.size;
        entry.position = frame->position + at + JOURNAL_ENTRY_HEADER_SIZE;
        if (entry.header.type == JOURNAL_ENTRY_DATA && size > 0 &&
            !check_batches(&entry.header, bytes.data + at + JOURNAL_ENTRY_HEADER_SIZE)) {
            if (check_only) walk->is_whole = false;
        }
        err = check_only || (entry.header.type == JOURNAL_ENTRY_DATA && entry.header.size == 0)
                  ? 0
                  : walk->each(walk->user, &entry);
        if (err != 0) return err;
        at += JOURNAL_ENTRY_HEADER_SIZE + size;
    }
    return 0;
}

static int read_frame(struct journal_reader *reader, const struct found_frame *frame, struct buffer *bytes)
{
    struct fs_file *file = reader->files[frame->file];
    int err;

    buffer_clear(bytes);
    err = buffer_reserve(bytes, frame->header.length);
    return err != 0 ? err
                    : reader->fs->ops->read(file, bytes->data, frame->header.length, frame->position,
                                            &bytes->size);
}

int journal_reader_each(struct journal_reader *reader,
                        int (*each)(void *user, const struct journal_entry *entry), void *user,
                        struct journal_findings *ret_findings)
{
    struct entry_walk walk = {each, user, true};
    struct buffer bytes = BUFFER_INIT;
    uint64_t expected = reader->live_frame > 0 ? reader->live_frame : 1;
    int err = 0;

    *ret_findings = (struct journal_findings){0};
    for (uint32_t i = 0; i < reader->frame_count && err == 0; i++) {
        const struct found_frame *frame = &reader->frames[i];
        uint64_t sequence = frame->header.sequence;
        if (sequence < expected) continue;
        if (sequence > expected && expected > reader->durable) {
            ret_findings->torn_frames += reader->frame_count - i;
            break;
        }
        if (sequence > expected) ret_findings->damaged_frames += sequence - expected;
        err = read_frame(reader, frame, &bytes);
        if (err == 0) err = walk_frame(frame, buffer_slice(&bytes), true, &walk);
        if (err == 0 && !walk.is_whole && sequence > reader->durable) {
            ret_findings->torn_frames += reader->frame_count - i;
            break;
        }
        if (err == 0 && !walk.is_whole) ret_findings->damaged_frames++;
        if (err == 0) err = walk_frame(frame, buffer_slice(&bytes), false, &walk);
        ret_findings->frames++;
        ret_findings->bytes += frame->header.length;
        expected = sequence + 1;
    }
    /* Frames known to have been durable that are not there at all. */
    if (err == 0 && expected <= reader->durable)
        ret_findings->damaged_frames += reader->durable + 1 - expected;
    buffer_deinit(&bytes);
    return err;
}

int journal_reader_read(struct journal_reader *reader, const struct journal_entry *entry, void *to)
{
    size_t size;
    int err =
        reader->fs->ops->read(reader->files[entry->file], to, entry->header.size, entry->position, &size);

    return err != 0 ? err : size == entry->header.size ? 0 : MESH_EIO;
}
