#include "segment/segment_file.h"

#include "base/assert.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPEN_TRIES 9 /* with pauses of 1, 2, 4... ms: half a second in total */
#define MAKE_TRIES 4

int segment_file_new(uint64_t base_offset, struct segment_file **ret_segment)
{
    struct segment_file *segment = calloc(1, sizeof(*segment));

    if (segment == NULL) return MESH_ENOMEM;
    segment->base_offset = segment->next_offset = base_offset;
    segment->written_offset = segment->synced_offset = base_offset;
    segment->first_timestamp_ms = INT64_MAX;
    segment->max_timestamp_ms = INT64_MIN;
    *ret_segment = segment;
    return 0;
}

void segment_file_set_written(struct segment_file *segment, uint32_t position, uint64_t offset)
{
    segment->written = segment->placed = position;
    segment->written_offset = offset;
}

void segment_file_raise_synced(struct segment_file *segment, uint32_t position, uint64_t offset)
{
    if (position <= segment->synced) return;
    MESH_ASSERT(position <= segment->written && offset > segment->synced_offset);
    segment->synced = position;
    segment->synced_offset = offset;
}

void segment_file_cut(struct segment_file *segment, uint32_t position, uint64_t offset)
{
    segment_file_forget_walked(segment);
    if (segment->written > position) segment_file_set_written(segment, position, offset);
    if (segment->placed > position) segment->placed = position;
    if (segment->synced <= position) return;
    segment->synced = position;
    segment->synced_offset = offset;
}

void segment_file_drop_index(struct segment_file *segment)
{
    if (segment->index == NULL) return;
    offset_index_deinit(segment->index);
    free(segment->index);
    segment->index = NULL;
}

void segment_file_free(struct segment_file *segment)
{
    if (segment == NULL) return;
    MESH_ASSERT(segment->opened == NULL);
    segment_file_drop_index(segment);
    free(segment);
}

void segment_topic_path(const struct uuid *topic_id, char to[FS_PATH_MAX])
{
    char text[UUID_STRING_SIZE];

    snprintf(to, FS_PATH_MAX, "topics/%s", uuid_format(topic_id, text));
}

void segment_directory_path(const struct plog_id *id, char to[FS_PATH_MAX])
{
    char text[UUID_STRING_SIZE];

    snprintf(to, FS_PATH_MAX, "topics/%s/%" PRIu32, uuid_format(&id->topic_id, text), id->partition);
}

void segment_path(const struct plog_id *id, uint64_t base_offset, enum segment_path_kind kind,
                  char to[FS_PATH_MAX])
{
    char text[UUID_STRING_SIZE];

    snprintf(to, FS_PATH_MAX, "topics/%s/%" PRIu32 "/%020" PRIu64 "%s", uuid_format(&id->topic_id, text),
             id->partition, base_offset, kind == SEGMENT_PATH_LOG ? ".log" : ".index");
}

bool segment_parse_name(const char *name, uint64_t *ret_base_offset)
{
    uint64_t offset = 0;

    if (strlen(name) != 24 || strcmp(name + 20, ".log") != 0) return false;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || offset > (uint64_t)INT64_MAX / 10) return false;
        offset = offset * 10 + (uint64_t)(name[i] - '0');
    }
    if (offset > INT64_MAX) return false;
    *ret_base_offset = offset;
    return true;
}

static int make_directory(struct fs *fs, const char *path)
{
    int err = fs->ops->mkdir(fs, path);

    return err == MESH_EEXISTS ? 0 : err;
}

static int make_directories(struct fs *fs, const struct plog_id *id)
{
    char path[FS_PATH_MAX];
    int err = make_directory(fs, "topics");

    if (err != 0) return err;
    segment_topic_path(&id->topic_id, path);
    err = make_directory(fs, path);
    if (err != 0) return err;
    segment_directory_path(id, path);
    return make_directory(fs, path);
}

bool segment_tries_again(int error, unsigned *io_tries)
{
    if (error != MESH_ENOMEM || *io_tries >= OPEN_TRIES) return false;
    nanosleep(&(struct timespec){.tv_nsec = (1L << (*io_tries)++) * 1000000}, NULL);
    return true;
}

int segment_open(struct fs *fs, const struct plog_id *id, uint64_t base_offset, unsigned flags, bool create,
                 struct fs_file **io_file)
{
    char path[FS_PATH_MAX];
    int err;

    if (*io_file != NULL) return 0;
    segment_path(id, base_offset, SEGMENT_PATH_LOG, path);
    err = fs_open(fs, path, flags | (create ? FS_CREATE : 0u), io_file);
    /* The topic's directory may go between two steps, with a partition that another shard removes: then once more. */
    for (unsigned tries = 0; create && err == MESH_ENOTFOUND && tries < MAKE_TRIES; tries++) {
        err = make_directories(fs, id);
        if (err == 0) err = fs_open(fs, path, flags | FS_CREATE, io_file);
    }
    return err;
}

int segment_sync_names(struct fs *fs, const struct plog_id *id, bool with_parents)
{
    char path[FS_PATH_MAX];
    int err;

    segment_directory_path(id, path);
    err = fs->ops->sync_dir(fs, path);
    if (err != 0 || !with_parents) return err;
    segment_topic_path(&id->topic_id, path);
    err = fs->ops->sync_dir(fs, path);
    if (err == 0) err = fs->ops->sync_dir(fs, "topics");
    return err != 0 ? err : fs->ops->sync_dir(fs, ".");
}

int segment_remove(struct fs *fs, const struct plog_id *id, uint64_t base_offset)
{
    char path[FS_PATH_MAX];
    int err, index_err;

    segment_path(id, base_offset, SEGMENT_PATH_INDEX, path);
    index_err = fs->ops->unlink(fs, path);
    segment_path(id, base_offset, SEGMENT_PATH_LOG, path);
    err = fs->ops->unlink(fs, path);
    if (err == MESH_ENOTFOUND) err = 0;
    return err == 0 && index_err != MESH_ENOTFOUND ? index_err : err;
}

int segment_save_index(struct fs *fs, const struct plog_id *id, uint64_t base_offset, struct slice bytes)
{
    struct iovec iov = {(void *)(uintptr_t)bytes.data, bytes.size};
    struct fs_file *file = NULL;
    char path[FS_PATH_MAX];
    int err;

    segment_path(id, base_offset, SEGMENT_PATH_INDEX, path);
    err = fs_open(fs, path, FS_WRITE | FS_CREATE, &file);
    if (err != 0) return err;
    err = fs->ops->write(file, &iov, 1, 0);
    if (err == 0) err = fs->ops->truncate(file, bytes.size);
    fs_unref(file);
    return err;
}
