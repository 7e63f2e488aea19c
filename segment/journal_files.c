#include "segment/journal_files.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL_STEP (1u << 20) /* bytes of zeros per write */

void journal_directory_path(uint32_t store_index, char to[FS_PATH_MAX])
{
    snprintf(to, FS_PATH_MAX, "journal/%u", store_index);
}

void journal_file_path(uint32_t store_index, uint32_t number, char to[FS_PATH_MAX])
{
    snprintf(to, FS_PATH_MAX, "journal/%u/%08u.journal", store_index, number);
}

bool journal_parse_name(const char *name, uint32_t *ret_number)
{
    uint32_t number = 0;

    if (strlen(name) != 16 || strcmp(name + 8, ".journal") != 0) return false;
    for (int i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9') return false;
        number = number * 10 + (uint32_t)(name[i] - '0');
    }
    *ret_number = number;
    return true;
}

void journal_files_init(struct journal_files *files, uint32_t store_index, uint32_t file_bytes,
                        uint64_t bytes_max)
{
    uint64_t count_max = bytes_max / file_bytes;

    *files = (struct journal_files){.store_index = store_index, .file_bytes = file_bytes, .next_number = 1};
    files->count_max = count_max < 2 ? 2 : count_max > 4096 ? 4096 : (uint32_t)count_max;
    list_init(&files->free_files);
    list_init(&files->used_files);
}

static void free_list(struct list_node *list)
{
    struct list_node *node;

    while ((node = list_pop_front(list)) != NULL) {
        struct journal_file *file = container_of(node, struct journal_file, link);
        fs_unref(file->file);
        free(file);
    }
}

void journal_files_deinit(struct journal_files *files)
{
    free_list(&files->free_files);
    free_list(&files->used_files);
    files->current = NULL;
}

static struct journal_file *add_file(struct journal_files *files, uint32_t number)
{
    struct journal_file *file = calloc(1, sizeof(*file));

    if (file == NULL) return NULL;
    file->number = number;
    files->count++;
    if (number >= files->next_number) files->next_number = number + 1;
    list_push_back(&files->free_files, &file->link);
    return file;
}

static int load_one(void *user, const char *name, bool is_dir)
{
    struct journal_files *files = user;
    uint32_t number;

    if (is_dir || !journal_parse_name(name, &number) || files->count >= files->count_max) return 0;
    return add_file(files, number) != NULL ? 0 : MESH_ENOMEM;
}

int journal_files_load(struct journal_files *files, struct fs *fs)
{
    char path[FS_PATH_MAX];
    int err;

    journal_directory_path(files->store_index, path);
    err = fs->ops->list(fs, path, load_one, files);
    if (err == MESH_ENOTFOUND) return 0;
    /* What is there was filled, or nearly: at worst its first pass is a little slower. */
    list_for_each(node, &files->free_files) container_of(node, struct journal_file, link)->is_filled = true;
    return err;
}

static struct journal_file *take_prepared(struct journal_files *files)
{
    struct journal_file *any = NULL;

    list_for_each(node, &files->free_files)
    {
        struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->is_busy || file->file == NULL) continue;
        if (file->is_filled) return file;
        if (any == NULL) any = file;
    }
    return any;
}

struct journal_file *journal_files_reserve(struct journal_files *files, uint32_t length,
                                           uint32_t *ret_position)
{
    struct journal_file *file = files->current;

    if (length > files->file_bytes) return NULL;
    if (file == NULL || files->file_bytes - file->used < length || !file->is_filled) {
        struct journal_file *next = take_prepared(files);
        bool must_change = file == NULL || files->file_bytes - file->used < length;
        if (next == NULL && must_change) return NULL;
        if (next != NULL && (must_change || next->is_filled)) {
            list_remove(&next->link);
            list_push_back(&files->used_files, &next->link);
            next->used = 0;
            files->current = file = next;
        }
    }
    *ret_position = file->used;
    file->used += length;
    files->live_bytes += length;
    return file;
}

static void release(struct journal_files *files, struct journal_file *file)
{
    list_remove(&file->link);
    list_push_back(&files->free_files, &file->link);
    files->live_bytes -= file->used;
    file->used = 0;
    if (files->current == file) files->current = NULL;
}

void journal_files_recycle(struct journal_files *files, uint64_t sequence)
{
    list_for_each_safe(node, &files->used_files)
    {
        struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->last_sequence > sequence) return;
        release(files, file);
    }
}

uint64_t journal_files_oldest_bound(const struct journal_files *files)
{
    uint64_t bound = 0;

    list_for_each(node, &files->used_files)
    {
        const struct journal_file *file = container_of(node, struct journal_file, link);
        if (file != files->current) bound = file->last_sequence;
    }
    return bound;
}

bool journal_files_has_any(const struct journal_files *files)
{
    list_for_each(node, &files->free_files)
    {
        const struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->file != NULL || file->is_filled) return true;
    }
    return !list_is_empty(&files->used_files);
}

bool journal_files_is_exhausted(const struct journal_files *files)
{
    return list_is_empty(&files->free_files) && files->count >= files->count_max;
}

struct journal_file *journal_files_to_prepare(struct journal_files *files, bool is_urgent)
{
    uint32_t ready = 0;
    struct journal_file *found = NULL;

    list_for_each(node, &files->free_files)
    {
        struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->is_busy) return NULL;
        if (file->file != NULL && (file->is_filled || is_urgent))
            ready++;
        else if (found == NULL)
            found = file;
    }
    /* One spare file is enough: the journal grows by what is in use, not ahead of it. */
    if (ready > 0) return NULL;
    if (found == NULL && files->count < files->count_max) found = add_file(files, files->next_number);
    if (found != NULL) found->is_busy = true;
    return found;
}

static int make_directories(struct fs *fs, uint32_t store_index)
{
    char path[FS_PATH_MAX];
    int err = fs->ops->mkdir(fs, "journal");

    if (err != 0 && err != MESH_EEXISTS) return err;
    journal_directory_path(store_index, path);
    err = fs->ops->mkdir(fs, path);
    if (err != 0 && err != MESH_EEXISTS) return err;
    err = fs->ops->sync_dir(fs, "journal");
    return err != 0 ? err : fs->ops->sync_dir(fs, ".");
}

static int fill_file(struct fs_file *file, uint32_t file_bytes)
{
    void *zeros = aligned_alloc(FS_BLOCK_SIZE, FILL_STEP);
    int err = 0;

    if (zeros == NULL) return MESH_ENOMEM;
    memset(zeros, 0, FILL_STEP);
    for (uint32_t at = 0; at < file_bytes && err == 0; at += FILL_STEP) {
        struct iovec iov = {zeros, file_bytes - at < FILL_STEP ? file_bytes - at : FILL_STEP};
        err = file->fs->ops->write(file, &iov, 1, at);
    }
    free(zeros);
    return err != 0 ? err : file->fs->ops->sync(file);
}

/* A file that could not be completed holds nothing: it would only take space that is already short. */
static void remove_file(struct fs *fs, uint32_t store_index, uint32_t number)
{
    char path[FS_PATH_MAX];

    journal_file_path(store_index, number, path);
    fs->ops->unlink(fs, path);
}

int journal_file_prepare(struct fs *fs, uint32_t store_index, uint32_t number, uint32_t file_bytes, bool fill,
                         struct fs_file **io_file)
{
    char path[FS_PATH_MAX];
    uint64_t size = 0;
    bool is_new = *io_file == NULL;
    int err = 0;

    journal_file_path(store_index, number, path);
    if (*io_file == NULL) {
        err = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_DIRECT, io_file);
        if (err == MESH_ENOTFOUND) {
            err = make_directories(fs, store_index);
            if (err == 0) err = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_DIRECT, io_file);
        }
        if (err == 0) err = fs->ops->size(*io_file, &size);
        if (err == 0 && size < file_bytes) err = fs->ops->allocate(*io_file, 0, file_bytes);
        if (err == 0 && size < file_bytes) err = fs->ops->sync(*io_file);
        journal_directory_path(store_index, path);
        if (err == 0) err = fs->ops->sync_dir(fs, path);
    }
    if (err == 0 && fill) err = fill_file(*io_file, file_bytes);
    if (err != 0 && is_new) remove_file(fs, store_index, number);
    return err;
}

void journal_files_prepared(struct journal_files *files, struct journal_file *file, int error, bool is_filled)
{
    MESH_ASSERT(file->is_busy);
    file->is_busy = false;
    if (error == 0 && is_filled) file->is_filled = true;
    if (error == 0) return;
    fs_unref(file->file);
    file->file = NULL;
    list_remove(&file->link);
    files->count--;
    free(file);
}
