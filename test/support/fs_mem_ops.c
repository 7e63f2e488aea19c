/* The operations of struct fs on an in-memory disk. Each is described by a struct op first, so that the same
 * description can be performed, performed in part, or told to an observer. */
#include "support/fs_mem_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

static struct fs_mem *mem_of(struct fs *fs)
{
    return (struct fs_mem *)fs;
}

static struct handle *handle_of(struct fs_file *file)
{
    return (struct handle *)file;
}

/* ---- performing ---- */

static size_t iov_size(const struct op *op)
{
    size_t size = 0;

    for (int i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

static uint64_t blocks_left(const struct fs_mem *mem)
{
    return mem->capacity_blocks > mem->used_blocks ? mem->capacity_blocks - mem->used_blocks : 0;
}

static int write_file(struct fs_mem *mem, const struct op *op, uint64_t position, size_t limit)
{
    struct inode_view view = inode_view(mem, op->handle->inode);
    uint64_t left = blocks_left(mem), before = view.inode->block_count;
    bool is_done;

    inode_list(mem, op->handle->inode);
    if (op->type == FS_MEM_OP_ALLOCATE)
        is_done = inode_allocate(&view, position, op->size, &left);
    else
        is_done = inode_write(&view, op->iov, op->iov_count, position, limit, &left);
    mem->used_blocks += view.inode->block_count - before;
    return is_done ? 0 : MESH_EFULL;
}

/* The device writes elsewhere, or not at all, and says that it is done. */
static int write_astray(struct fs_mem *mem, const struct op *op)
{
    struct op growth = {.type = FS_MEM_OP_ALLOCATE, .handle = op->handle, .position = op->position};
    uint64_t blocks = mem->inodes[op->handle->inode].live_size / PAGE_SIZE_BYTES + 2, to;
    int err;

    growth.size = iov_size(op);
    err = write_file(mem, &growth, op->position, 0);
    if (err != 0 || mem->astray.how == FS_MEM_ASTRAY_LOST) return err;
    to = random_below(&mem->random, blocks) * PAGE_SIZE_BYTES;
    if (to == op->position) to += PAGE_SIZE_BYTES;
    err = write_file(mem, op, to, growth.size);
    if (err == 0 && op->type == FS_MEM_OP_WRITE_SYNC) {
        struct inode_view view = inode_view(mem, op->handle->inode);
        inode_sync_range(&view, to, growth.size);
    }
    return err;
}

static bool goes_astray(struct fs_mem *mem, const struct op *op)
{
    if (mem->astray.countdown == 0 || strstr(op->path, mem->astray.in_path) == NULL) return false;
    return --mem->astray.countdown == 0;
}

static int perform_write(struct fs_mem *mem, const struct op *op)
{
    struct inode_view view = inode_view(mem, op->handle->inode);
    size_t size = iov_size(op);
    int err = goes_astray(mem, op) ? write_astray(mem, op) : write_file(mem, op, op->position, size);

    if (err != 0) return err;
    if (op->type == FS_MEM_OP_WRITE_SYNC && size > 0 && !(mem->lies & 1u << op->type))
        inode_sync_range(&view, op->position, size);
    if (random_below(&mem->random, 1000) < mem->writeback_permille) inode_write_back_some(&view);
    return 0;
}

static int perform_truncate(struct fs_mem *mem, const struct op *op)
{
    struct inode_view view = inode_view(mem, op->handle->inode);
    uint32_t before = view.inode->block_count;

    inode_list(mem, op->handle->inode);
    inode_truncate(&view, op->size);
    mem->used_blocks -= before - view.inode->block_count;
    return 0;
}

static int perform_create(struct fs_mem *mem, const struct op *op)
{
    uint32_t name = names_get(mem, op->path);

    if (name == NONE) return MESH_ENOTFOUND;
    if (mem->names[name].live != NONE) return MESH_EEXISTS;
    names_change(mem, name, inode_new(mem, op->type == FS_MEM_OP_MKDIR), NONE);
    return 0;
}

static int perform_remove(struct fs_mem *mem, const struct op *op)
{
    uint32_t inode = names_find(mem, op->path);

    if (inode == NONE) return MESH_ENOTFOUND;
    if (mem->inodes[inode].is_dir != (op->type == FS_MEM_OP_RMDIR)) return MESH_EINVAL;
    if (op->type == FS_MEM_OP_RMDIR && !names_dir_is_empty(mem, inode)) return MESH_EEXISTS;
    names_change(mem, names_get(mem, op->path), NONE, NONE);
    return 0;
}

static int perform_rename(struct fs_mem *mem, const struct op *op)
{
    uint32_t inode = names_find(mem, op->path), old, to;

    if (inode == NONE) return MESH_ENOTFOUND;
    to = names_get(mem, op->to);
    if (to == NONE) return MESH_ENOTFOUND;
    old = mem->names[to].live;
    if (old == inode) return 0;
    if (old != NONE && (mem->inodes[old].is_dir || mem->inodes[inode].is_dir)) return MESH_EEXISTS;
    names_change(mem, to, inode, names_get(mem, op->path));
    return 0;
}

static int perform_sync_dir(struct fs_mem *mem, const struct op *op)
{
    uint32_t inode = names_find(mem, op->path);

    if (inode == NONE || !mem->inodes[inode].is_dir) return MESH_ENOTFOUND;
    names_commit_dir(mem, inode);
    return 0;
}

static void each_listed(struct fs_mem *mem, void (*each)(const struct inode_view *view))
{
    for (uint32_t i = 0; i < mem->listed_count; i++) {
        struct inode_view view;
        if (!mem->inodes[mem->listed[i]].is_used) continue;
        view = inode_view(mem, mem->listed[i]);
        each(&view);
    }
}

static int perform(struct fs_mem *mem, const struct op *op)
{
    struct inode_view view;

    if (mem->lies & 1u << op->type && op->type != FS_MEM_OP_WRITE_SYNC) return 0;
    switch (op->type) {
    case FS_MEM_OP_WRITE:
    case FS_MEM_OP_WRITE_SYNC: return perform_write(mem, op);
    case FS_MEM_OP_ALLOCATE: return write_file(mem, op, op->position, 0);
    case FS_MEM_OP_TRUNCATE: return perform_truncate(mem, op);
    case FS_MEM_OP_CREATE:
    case FS_MEM_OP_MKDIR: return perform_create(mem, op);
    case FS_MEM_OP_UNLINK:
    case FS_MEM_OP_RMDIR: return perform_remove(mem, op);
    case FS_MEM_OP_RENAME: return perform_rename(mem, op);
    case FS_MEM_OP_SYNC_DIR: return perform_sync_dir(mem, op);
    case FS_MEM_OP_SYNC:
        view = inode_view(mem, op->handle->inode);
        inode_sync(&view);
        return 0;
    case FS_MEM_OP_SYNC_ALL:
        each_listed(mem, inode_sync);
        names_commit_dir(mem, NONE);
        return 0;
    case FS_MEM_OP_READ:
    case FS_MEM_OP_TYPES: break;
    }
    return 0;
}

/* A prefix of the bytes; a direct write is cut between sectors only. */
static size_t partial_size(struct fs_mem *mem, const struct op *op)
{
    size_t size = iov_size(op), part = (size_t)random_below(&mem->random, size + 1);

    switch (random_below(&mem->random, 4)) {
    case 0: return 0;
    case 1: return size;
    default: return op->handle->file.is_direct ? part - part % FS_MEM_SECTOR_SIZE : part;
    }
}

void op_perform_partly(struct fs_mem *mem, const struct op *op)
{
    struct inode_view view;

    switch (op->type) {
    case FS_MEM_OP_WRITE:
    case FS_MEM_OP_WRITE_SYNC: write_file(mem, op, op->position, partial_size(mem, op)); break;
    case FS_MEM_OP_SYNC:
        view = inode_view(mem, op->handle->inode);
        inode_write_back_some(&view);
        break;
    case FS_MEM_OP_SYNC_ALL: each_listed(mem, inode_write_back_some); break;
    case FS_MEM_OP_SYNC_DIR:
    case FS_MEM_OP_READ:
    case FS_MEM_OP_TYPES: break;
    case FS_MEM_OP_CREATE:
    case FS_MEM_OP_TRUNCATE:
    case FS_MEM_OP_ALLOCATE:
    case FS_MEM_OP_RENAME:
    case FS_MEM_OP_UNLINK:
    case FS_MEM_OP_MKDIR:
    case FS_MEM_OP_RMDIR:
        if (random_below(&mem->random, 2) == 0) perform(mem, op);
        break;
    }
}

/* ---- failing ---- */

static int fail_with(int err)
{
    errno = err == MESH_EFULL ? ENOSPC : err == MESH_ENOMEM ? ENOMEM : err == MESH_ENOTFOUND ? ENOENT : EIO;
    return err;
}

static void perform_failing(struct fs_mem *mem, const struct op *op)
{
    struct inode_view view;

    if (mem->fault.err == MESH_EIO || op->type == FS_MEM_OP_WRITE || op->type == FS_MEM_OP_WRITE_SYNC)
        op_perform_partly(mem, op);
    if (op->type == FS_MEM_OP_SYNC || op->type == FS_MEM_OP_WRITE_SYNC) {
        view = inode_view(mem, op->handle->inode);
        inode_sync_fails(&view);
    } else if (op->type == FS_MEM_OP_SYNC_ALL) {
        each_listed(mem, inode_sync_fails);
    }
}

static bool is_due(uint64_t *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

/* Says how an operation that is about to happen ends: 0 when it may. */
static int meet_fate(struct fs_mem *mem, const struct op *op)
{
    struct fault *fault = &mem->fault;

    if (mem->is_crashed || (op->handle != NULL && op->handle->generation != mem->generation)) return MESH_EIO;
    if (op->type != FS_MEM_OP_READ) mem->op++;
    if (mem->observe != NULL) {
        mem->in_flight = op;
        mem->observe(mem->observe_user, op->type, op->path, op->position,
                     op->iov != NULL ? iov_size(op) : op->size);
        mem->in_flight = NULL;
    }
    if (op->type != FS_MEM_OP_READ && is_due(&mem->crash_countdown)) {
        op_perform_partly(mem, op);
        mem->is_crashed = true;
        return MESH_EIO;
    }
    if (!(fault->type_mask & 1u << op->type) || !is_due(&fault->countdown)) return 0;
    if (fault->is_lasting) fault->countdown = 1;
    perform_failing(mem, op);
    return fault->err;
}

static int run(struct fs_mem *mem, const struct op *op)
{
    int err;

    pthread_mutex_lock(&mem->pool->lock);
    err = meet_fate(mem, op);
    if (err == 0) err = perform(mem, op);
    pthread_mutex_unlock(&mem->pool->lock);
    return err == 0 ? 0 : fail_with(err);
}

/* ---- struct fs_ops: files ---- */

static void check_path(const char *path)
{
    MESH_ASSERT(path[0] != '\0' && path[0] != '/' && strlen(path) < FS_PATH_MAX);
    MESH_ASSERT(strstr(path, "..") == NULL && strstr(path, "//") == NULL);
}

static struct handle *new_handle(struct fs_mem *mem, uint32_t inode, const char *path, unsigned flags)
{
    struct handle *handle;

    if (mem->free_handle_count > 0) {
        handle = &mem->handles[mem->free_handles[--mem->free_handle_count]];
    } else {
        MESH_ASSERT(mem->handle_top < FS_MEM_HANDLES_MAX);
        handle = &mem->handles[mem->handle_top++];
    }
    handle->file =
        (struct fs_file){.fs = &mem->fs, .fd = -1, .is_direct = flags & FS_DIRECT, .references = 1};
    handle->inode = inode;
    handle->generation = mem->generation;
    handle->is_used = true;
    handle->damage_count = mem->damage_count;
    memcpy(handle->path, path, strlen(path) + 1);
    inode_ref(mem, inode, true);
    return handle;
}

static int mem_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **ret_file)
{
    struct op op = {.type = FS_MEM_OP_CREATE, .path = path};
    struct fs_mem *mem = mem_of(fs);
    uint32_t inode;
    int err = 0;

    check_path(path);
    pthread_mutex_lock(&mem->pool->lock);
    inode = names_find(mem, path);
    if (mem->is_crashed)
        err = MESH_EIO;
    else if (inode == NONE && !(flags & FS_CREATE))
        err = MESH_ENOTFOUND;
    else if (inode == NONE)
        err = run(mem, &op);
    else if (flags & FS_EXCLUSIVE && flags & FS_CREATE)
        err = MESH_EEXISTS;
    else if (mem->inodes[inode].is_dir)
        err = MESH_EIO;
    if (err == 0) *ret_file = &new_handle(mem, names_find(mem, path), path, flags)->file;
    pthread_mutex_unlock(&mem->pool->lock);
    return err == 0 ? 0 : fail_with(err);
}

static void mem_close(struct fs_file *file)
{
    struct handle *handle = handle_of(file);
    struct fs_mem *mem = mem_of(file->fs);

    pthread_mutex_lock(&mem->pool->lock);
    MESH_ASSERT(handle->is_used);
    handle->is_used = false;
    if (handle->generation == mem->generation) inode_unref(mem, handle->inode, true);
    mem->free_handles[mem->free_handle_count++] = (uint32_t)(handle - mem->handles);
    pthread_mutex_unlock(&mem->pool->lock);
}

static bool is_warm(const struct fs_mem *mem, const struct op *op)
{
    for (int i = 0; i < FS_MEM_WARM_RANGES; i++) {
        const struct warm_range *range = &mem->warm[i];
        if (range->inode == op->handle->inode && range->from <= op->position && op->position + op->size <= range->to)
            return true;
    }
    return !mem->is_cold;
}

static int read_op(struct fs_file *file, void *to, size_t size, uint64_t position, bool may_wait, size_t *ret_size)
{
    struct op op = {.type = FS_MEM_OP_READ,
                    .handle = handle_of(file),
                    .path = handle_of(file)->path,
                    .position = position,
                    .size = size};
    struct fs_mem *mem = mem_of(file->fs);
    int err;

    if (file->is_direct) MESH_ASSERT(((uintptr_t)to | size | position) % FS_BLOCK_SIZE == 0);
    pthread_mutex_lock(&mem->pool->lock);
    if (!is_warm(mem, &op)) {
        if (!may_wait) {
            pthread_mutex_unlock(&mem->pool->lock);
            return MESH_EAGAIN;
        }
        mem->warm[mem->wait_count++ % FS_MEM_WARM_RANGES] =
            (struct warm_range){op.handle->inode, position, position + size};
    }
    err = meet_fate(mem, &op);
    if (err == 0) {
        struct inode_view view = inode_view(mem, op.handle->inode);
        *ret_size = inode_read(&view, to, size, position);
    }
    pthread_mutex_unlock(&mem->pool->lock);
    return err == 0 ? 0 : fail_with(err);
}

static int mem_read(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    return read_op(file, to, size, position, true, ret_size);
}

static int mem_read_now(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    return read_op(file, to, size, position, false, ret_size);
}

/* What was damaged at rest is met by whoever reads the disk again: once after each damage nothing is in memory. */
static bool mem_is_cached(struct fs_file *file, uint64_t position, size_t size)
{
    struct handle *handle = handle_of(file);
    struct op op = {.handle = handle, .position = position, .size = size};
    struct fs_mem *mem = mem_of(file->fs);
    bool is_cached;

    pthread_mutex_lock(&mem->pool->lock);
    is_cached = is_warm(mem, &op) && handle->damage_count == mem->damage_count;
    handle->damage_count = mem->damage_count;
    pthread_mutex_unlock(&mem->pool->lock);
    return is_cached;
}

void fs_mem_set_cold(struct fs_mem *mem, bool is_cold)
{
    pthread_mutex_lock(&mem->pool->lock);
    mem->is_cold = is_cold;
    memset(mem->warm, 0, sizeof(mem->warm));
    pthread_mutex_unlock(&mem->pool->lock);
}

uint64_t fs_mem_wait_count(const struct fs_mem *mem)
{
    return mem->wait_count;
}

static int write_op(struct fs_file *file, enum fs_mem_op_type type, const struct iovec *iov, int iov_count,
                    uint64_t position)
{
    struct op op = {.type = type,
                    .handle = handle_of(file),
                    .path = handle_of(file)->path,
                    .iov = iov,
                    .iov_count = iov_count,
                    .position = position};

    MESH_ASSERT(iov_count > 0);
    for (int i = 0; i < iov_count && file->is_direct; i++)
        MESH_ASSERT(((uintptr_t)iov[i].iov_base | iov[i].iov_len | position) % FS_BLOCK_SIZE == 0);
    return run(mem_of(file->fs), &op);
}

static int mem_write(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position)
{
    return write_op(file, FS_MEM_OP_WRITE, iov, iov_count, position);
}

static int mem_write_sync(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position)
{
    return write_op(file, FS_MEM_OP_WRITE_SYNC, iov, iov_count, position);
}

static int file_op(struct fs_file *file, enum fs_mem_op_type type, uint64_t position, uint64_t size)
{
    struct op op = {.type = type,
                    .handle = handle_of(file),
                    .path = handle_of(file)->path,
                    .position = position,
                    .size = size};

    return run(mem_of(file->fs), &op);
}

static int mem_sync(struct fs_file *file)
{
    return file_op(file, FS_MEM_OP_SYNC, 0, 0);
}

static int mem_truncate(struct fs_file *file, uint64_t size)
{
    return file_op(file, FS_MEM_OP_TRUNCATE, 0, size);
}

static int mem_allocate(struct fs_file *file, uint64_t position, uint64_t size)
{
    return file_op(file, FS_MEM_OP_ALLOCATE, position, size);
}

static int mem_size(struct fs_file *file, uint64_t *ret_size)
{
    struct fs_mem *mem = mem_of(file->fs);
    struct handle *handle = handle_of(file);
    bool is_alive;

    pthread_mutex_lock(&mem->pool->lock);
    is_alive = !mem->is_crashed && handle->generation == mem->generation;
    if (is_alive) *ret_size = mem->inodes[handle->inode].live_size;
    pthread_mutex_unlock(&mem->pool->lock);
    return is_alive ? 0 : fail_with(MESH_EIO);
}

/* ---- struct fs_ops: names ---- */

static int name_op(struct fs *fs, enum fs_mem_op_type type, const char *path, const char *to)
{
    struct op op = {.type = type, .path = path, .to = to};

    check_path(path);
    if (to != NULL) check_path(to);
    return run(mem_of(fs), &op);
}

static int mem_rename(struct fs *fs, const char *from, const char *to)
{
    return name_op(fs, FS_MEM_OP_RENAME, from, to);
}

static int mem_unlink(struct fs *fs, const char *path)
{
    return name_op(fs, FS_MEM_OP_UNLINK, path, NULL);
}

static int mem_mkdir(struct fs *fs, const char *path)
{
    return name_op(fs, FS_MEM_OP_MKDIR, path, NULL);
}

static int mem_rmdir(struct fs *fs, const char *path)
{
    return name_op(fs, FS_MEM_OP_RMDIR, path, NULL);
}

static int mem_sync_dir(struct fs *fs, const char *path)
{
    return name_op(fs, FS_MEM_OP_SYNC_DIR, path, NULL);
}

/* Finds the first name at or behind *at in the directory, copies it, and sets *at behind it. */
static bool next_name(struct fs_mem *mem, uint32_t dir, uint32_t *at, char *to, bool *ret_is_dir)
{
    bool is_found = false;

    pthread_mutex_lock(&mem->pool->lock);
    for (; *at < mem->name_top && !is_found; ++*at) {
        const struct name *name = &mem->names[*at];
        if (!name->is_used || name->parent != dir || name->live == NONE) continue;
        memcpy(to, name->text, sizeof(name->text));
        *ret_is_dir = mem->inodes[name->live].is_dir;
        is_found = true;
    }
    pthread_mutex_unlock(&mem->pool->lock);
    return is_found;
}

static int mem_list(struct fs *fs, const char *path, int (*each)(void *user, const char *name, bool is_dir),
                    void *user)
{
    struct fs_mem *mem = mem_of(fs);
    char text[FS_MEM_NAME_MAX + 1];
    uint32_t dir, at = 1;
    bool is_dir;
    int result = 0;

    check_path(path);
    pthread_mutex_lock(&mem->pool->lock);
    dir = names_find(mem, path);
    if (mem->is_crashed)
        result = MESH_EIO;
    else if (dir == NONE || !mem->inodes[dir].is_dir)
        result = MESH_ENOTFOUND;
    pthread_mutex_unlock(&mem->pool->lock);
    if (result != 0) return fail_with(result);
    while (result == 0 && next_name(mem, dir, &at, text, &is_dir))
        result = each(user, text, is_dir);
    return result;
}

/* ---- struct fs_ops: the whole ---- */

static int mem_sync_all(struct fs *fs)
{
    struct op op = {.type = FS_MEM_OP_SYNC_ALL, .path = "."};

    return run(mem_of(fs), &op);
}

static int mem_free_bytes(struct fs *fs, uint64_t *ret_free_bytes)
{
    struct fs_mem *mem = mem_of(fs);
    bool is_crashed;

    pthread_mutex_lock(&mem->pool->lock);
    is_crashed = mem->is_crashed;
    *ret_free_bytes =
        mem->capacity_blocks == UINT64_MAX ? UINT64_C(1) << 40 : blocks_left(mem) * PAGE_SIZE_BYTES;
    pthread_mutex_unlock(&mem->pool->lock);
    return is_crashed ? fail_with(MESH_EIO) : 0;
}

static int mem_lock(struct fs *fs, const char *path)
{
    struct fs_mem *mem = mem_of(fs);
    struct fs_file *file;
    int err = mem_open(fs, path, FS_WRITE | FS_CREATE, &file);

    if (err != 0) return err;
    mem_close(file);
    if (mem->is_locked) return MESH_ELOCKED;
    mem->is_locked = true;
    return 0;
}

static void mem_free(struct fs *fs)
{
    mem_of(fs)->is_locked = false;
}

const struct fs_ops fs_mem_ops = {
    .open = mem_open,
    .close = mem_close,
    .read = mem_read,
    .read_now = mem_read_now,
    .is_cached = mem_is_cached,
    .write = mem_write,
    .write_sync = mem_write_sync,
    .sync = mem_sync,
    .truncate = mem_truncate,
    .allocate = mem_allocate,
    .size = mem_size,
    .rename = mem_rename,
    .unlink = mem_unlink,
    .mkdir = mem_mkdir,
    .rmdir = mem_rmdir,
    .sync_dir = mem_sync_dir,
    .list = mem_list,
    .sync_all = mem_sync_all,
    .free_bytes = mem_free_bytes,
    .lock = mem_lock,
    .free = mem_free,
};
