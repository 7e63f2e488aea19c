/* metadata/log.c - appending to the metadata log, and changing to a new file after a snapshot. */
#include "cmd/broker/metadata/log_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void metadata_log_close(struct metadata_log *log)
{
    if (log == NULL) return;
    if (log->durable != NULL) log->fs->ops->sync(log->durable); /* only a help: nothing to do when it fails */
    fs_unref(log->durable);
    fs_unref(log->file);
    buffer_deinit(&log->frame);
    free(log);
}

int metadata_log_error(const struct metadata_log *log)
{
    return log->error;
}

static int frame_build(struct metadata_log *log, const struct raft_entry *entries, size_t count)
{
    int err = log_frame_start(&log->frame);

    for (size_t i = 0; i < count && err == 0; i++) {
        MESH_ASSERT(entries[i].index == log->index + i + 1);
        err = log_entry_encode(&log->frame, &entries[i]);
    }
    return err != 0 ? err : log_frame_finish(&log->frame);
}

/* A write that found no space may have left part of a frame: cut it off, so that the next frame follows the
 * last good one. Where that fails too, the file cannot be trusted any more. */
static int undo_partial_write(struct metadata_log *log)
{
    int err = log->fs->ops->truncate(log->file, log->size);

    if (err == 0) err = log->fs->ops->sync(log->file);
    if (err == 0) return MESH_EFULL;
    log->error = MESH_EIO;
    return MESH_EIO;
}

int metadata_log_append(struct metadata_log *log, const struct raft_entry *entries, size_t count)
{
    struct iovec iov;
    int err;

    if (log->error != 0) return log->error;
    err = frame_build(log, entries, count);
    if (err != 0) return err;
    if (log->size + log->frame.size > LOG_BYTES_MAX)
        return MESH_EFULL; /* snapshots keep failing: no space for them */
    iov = (struct iovec){log->frame.data, log->frame.size};
    err = log->fs->ops->write_sync(log->file, &iov, 1, log->size);
    if (err == MESH_EFULL) return undo_partial_write(log);
    if (err != 0) {
        log->error = MESH_EIO; /* poisoned: what was written may or may not be there after a restart */
        return MESH_EIO;
    }
    log->size += log->frame.size;
    log->index += count;
    log->record_count += count;
    if (log->frame.capacity > (1u << 16)) buffer_deinit(&log->frame); /* large commits are rare */
    log_durable_write(log, log->index);
    return 0;
}

bool metadata_log_wants_snapshot(const struct metadata_log *log)
{
    if (log->error != 0 || log->record_count == 0) return false;
    if (log->wants_snapshot || log->record_count >= LOG_SNAPSHOT_RECORDS) return true;
    return log->size >= LOG_SNAPSHOT_BYTES && log->size >= 2 * log->snapshot_bytes;
}

/* A new log file that could not be made must not lie there either: recovery would begin with it and miss what
 * is appended to the old one. */
static int take_back_file(struct metadata_log *log, uint64_t base, int cause)
{
    char path[FS_PATH_MAX];
    int err = log->fs->ops->unlink(log->fs, log_path(path, LOG_FILE_LOG, base));

    if (err == MESH_ENOTFOUND) return cause;
    if (err == 0) err = log->fs->ops->sync_dir(log->fs, LOG_DIR);
    if (err != 0) log->error = MESH_EIO;
    return cause;
}

int metadata_log_snapshot(struct metadata_log *log, const struct image *image)
{
    char path[FS_PATH_MAX];
    struct fs_file *file;
    int err;

    MESH_ASSERT(image_applied_index(image) == log->index);
    if (log->error != 0) return log->error;
    err = log_snapshot_write(log->fs, image, &log->snapshot_bytes);
    if (err != 0) return err;
    if (log->base == log->index) return 0; /* nothing in the file: it follows this snapshot as it is */
    err = log_file_create(log->fs, log->index);
    if (err == 0) err = fs_open(log->fs, log_path(path, LOG_FILE_LOG, log->index), FS_WRITE, &file);
    if (err != 0) return take_back_file(log, log->index, err);
    fs_unref(log->file);
    log->file = file;
    log->base = log->index;
    log->size = LOG_HEADER_SIZE;
    log->record_count = 0;
    log->wants_snapshot = false;
    log_delete_old(log->fs);
    return 0;
}
