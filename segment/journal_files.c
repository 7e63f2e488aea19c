#include "segment/journal_files.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL_MIN  (64u << 10) /* a step that holds a sync up by a fraction of its own time */
#define FILL_LEAD (1u << 20)  /* how far a file is filled as soon as the one before it is in use */

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
    list_for_each(node, &files->free_files)
    {
        container_of(node, struct journal_file, link)->filled = files->file_bytes;
    }
    return err;
}

static bool is_filled(const struct journal_files *files, const struct journal_file *file)
{
    return file->filled == files->file_bytes;
}

static struct journal_file *take_prepared(struct journal_files *files)
{
    struct journal_file *any = NULL;

    list_for_each(node, &files->free_files)
    {
        struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->is_busy || file->file == NULL) continue;
        if (is_filled(files, file)) return file;
        if (any == NULL) any = file;
    }
    return any;
}

struct journal_file *journal_files_reserve(struct journal_files *files, uint32_t length,
                                           uint32_t *ret_position)
{
    struct journal_file *file = files->current;

    if (length > files->file_bytes) return NULL;
    if (file == NULL || files->file_bytes - file->used < length || !is_filled(files, file)) {
        struct journal_file *next = take_prepared(files);
        bool must_change = file == NULL || files->file_bytes - file->used < length;
        if (next == NULL && must_change) return NULL;
        if (next != NULL && (must_change || is_filled(files, next))) {
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

uint64_t journal_files_full_bound(const struct journal_files *files)
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
        if (file->file != NULL || file->filled > 0) return true;
    }
    return !list_is_empty(&files->used_files);
}

bool journal_files_is_exhausted(const struct journal_files *files)
{
    return list_is_empty(&files->free_files) && files->count >= files->count_max;
}

/* The next step for a file that is to be ready when the current one is half full. While the current one itself was not
 * filled each sync pays for that: then without a pause, but in steps that syncs get past. */
static uint32_t fill_step(const struct journal_files *files, const struct journal_file *file)
{
    const struct journal_file *current = files->current;
    uint64_t wanted = current != NULL ? (uint64_t)current->used * 2 + FILL_LEAD : 0;
    uint32_t left = files->file_bytes - file->filled, step = FILL_MIN;

    if (current == NULL) return 0;
    if (wanted <= file->filled) {
        if (is_filled(files, current)) return 0;
    } else if (wanted - file->filled > step) {
        step = wanted - file->filled < JOURNAL_FILL_MAX ? (uint32_t)(wanted - file->filled) : JOURNAL_FILL_MAX;
    }
    step &= ~(uint32_t)(FS_BLOCK_SIZE - 1);
    return step < left ? step : left;
}

struct journal_file *journal_files_to_prepare(struct journal_files *files, bool is_urgent, uint32_t *ret_fill_bytes)
{
    uint32_t ready = 0, fill_bytes = 0;
    struct journal_file *found = NULL;

    list_for_each(node, &files->free_files)
    {
        struct journal_file *file = container_of(node, struct journal_file, link);
        if (file->is_busy) return NULL;
        if (file->file != NULL && (is_filled(files, file) || is_urgent))
            ready++;
        else if (found == NULL)
            found = file;
    }
    /* One spare file is enough: the journal grows by what is in use, not ahead of it. */
    if (ready > 0) return NULL;
    if (found == NULL && files->count < files->count_max) found = add_file(files, files->next_number);
    if (found == NULL) return NULL;
    if (!is_urgent && !is_filled(files, found)) {
        fill_bytes = fill_step(files, found);
        if (fill_bytes == 0) return NULL;
    }
    found->is_busy = true;
    *ret_fill_bytes = fill_bytes;
    return found;
}

static int make_directories(struct fs *fs, uint32_t store_index)
{
    char path[FS_PATH_MAX];
    int err = fs->ops->mkdir(fs, "journal");

    if (err != 0 && err != MESH_EEXISTS) return err;
    journal_directory_path(store_index, path);
    err = fs->ops->mkdir(fs, path);
    return err == MESH_EEXISTS ? 0 : err;
}

/* That a directory is there does not say that it is durable: who made it may have been killed, or refused, before. */
static int sync_directories(struct fs *fs, uint32_t store_index)
{
    char path[FS_PATH_MAX];
    int err;

    journal_directory_path(store_index, path);
    err = fs->ops->sync_dir(fs, path);
    if (err == 0) err = fs->ops->sync_dir(fs, "journal");
    return err != 0 ? err : fs->ops->sync_dir(fs, ".");
}

static int fill_file(const struct journal_preparation *preparation)
{
    const struct fs_ops *ops = preparation->file->fs->ops;
    struct iovec iov = {preparation->staging, preparation->fill_bytes};
    int err;

    MESH_ASSERT(preparation->fill_bytes <= JOURNAL_FILL_MAX);
    memset(preparation->staging, 0, preparation->fill_bytes);
    err = ops->write(preparation->file, &iov, 1, preparation->fill_from);
    if (err != 0 || preparation->fill_from + preparation->fill_bytes < preparation->file_bytes) return err;
    return ops->sync(preparation->file);
}

static int open_file(struct fs *fs, struct journal_preparation *preparation)
{
    uint32_t file_bytes = preparation->file_bytes;
    char path[FS_PATH_MAX];
    uint64_t size = 0;
    int err;

    journal_file_path(preparation->store_index, preparation->number, path);
    err = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_DIRECT, &preparation->file);
    if (err == MESH_ENOTFOUND) {
        err = make_directories(fs, preparation->store_index);
        if (err == 0) err = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_DIRECT, &preparation->file);
    }
    if (err == 0) err = fs->ops->size(preparation->file, &size);
    if (err == 0 && size < file_bytes) err = fs->ops->allocate(preparation->file, 0, file_bytes);
    if (err == 0 && size < file_bytes) err = fs->ops->sync(preparation->file);
    return err == 0 ? sync_directories(fs, preparation->store_index) : err;
}

/* A file that could not be completed holds nothing: it would only take space that is already short. */
static void remove_file(struct fs *fs, uint32_t store_index, uint32_t number)
{
    char path[FS_PATH_MAX];

    journal_file_path(store_index, number, path);
    fs->ops->unlink(fs, path);
}

int journal_file_prepare(struct fs *fs, struct journal_preparation *preparation)
{
    bool is_new = preparation->file == NULL;
    int err = is_new ? open_file(fs, preparation) : 0;

    if (err == 0 && preparation->fill_bytes > 0) err = fill_file(preparation);
    if (err != 0 && is_new) remove_file(fs, preparation->store_index, preparation->number);
    return err;
}

void journal_files_prepared(struct journal_files *files, struct journal_file *file, int error, uint32_t fill_bytes)
{
    MESH_ASSERT(file->is_busy);
    MESH_ASSERT(fill_bytes <= files->file_bytes - file->filled);
    file->is_busy = false;
    if (error == 0) {
        file->filled += fill_bytes;
        return;
    }
    fs_unref(file->file);
    file->file = NULL;
    list_remove(&file->link);
    files->count--;
    free(file);
}
