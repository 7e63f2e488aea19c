/* The machine's files below one root directory. Everything is opened relative to the root's descriptor, so
 * that a renamed or bind-mounted data directory stays the same one. errno is left as the failing system call
 * set it. */
#include "base/fs.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/page_cache.h"
#include "base/tree_sync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCKS_MAX      4  /* locks held by one fs */
#define IOV_WINDOW     64 /* buffers of one call after a short write */
#define FILE_MODE      0600
#define DIRECTORY_MODE 0700

struct fs_real {
    struct fs fs;
    int root_fd;
    int lock_fds[LOCKS_MAX];
    unsigned lock_count;
};

static struct fs_real *real_of(struct fs *fs)
{
    return (struct fs_real *)fs;
}

/* Our code for errno. What an operator has to mend (permissions, a read-only mount) is MESH_EIO here. */
static int error_now(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR: return MESH_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY: return MESH_EEXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return MESH_EFULL;
    case EMFILE: /* passes as memory does: nothing is wrong with the file */
    case ENFILE:
    case ENOMEM: return MESH_ENOMEM;
    case EINVAL:
    case ENAMETOOLONG: return MESH_EINVAL;
    case EOPNOTSUPP: return MESH_EUNSUPPORTED;
    default: return MESH_EIO;
    }
}

static void close_keeping_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

static bool path_is_sane(const char *path)
{
    return path[0] != '\0' && path[0] != '/' && strlen(path) < FS_PATH_MAX;
}

/* ---- files ---- */

static int open_retrying(int root_fd, const char *path, int how)
{
    int fd;

    do {
        fd = openat(root_fd, path, how, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int real_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **ret_file)
{
    int how = O_CLOEXEC | (flags & FS_WRITE ? O_RDWR : O_RDONLY);
    struct fs_file *file;
    int fd = -1;

    MESH_ASSERT(path_is_sane(path));
    if (flags & FS_CREATE) how |= O_CREAT;
    if (flags & FS_EXCLUSIVE) how |= O_EXCL;
    file = malloc(sizeof(*file));
    if (file == NULL) return MESH_ENOMEM;
    if (flags & FS_DIRECT) fd = open_retrying(real_of(fs)->root_fd, path, how | O_DIRECT);
    file->is_direct = fd >= 0;
    /* A file system without O_DIRECT refuses with EINVAL, after creating the name on some kernels: so not
     * O_EXCL. */
    if (fd < 0 && flags & FS_DIRECT && errno == EINVAL)
        fd = open_retrying(real_of(fs)->root_fd, path, how & ~O_EXCL);
    else if (fd < 0 && !(flags & FS_DIRECT))
        fd = open_retrying(real_of(fs)->root_fd, path, how);
    if (fd < 0) {
        int err = error_now();
        free(file);
        return err;
    }
    file->fs = fs;
    file->fd = fd;
    file->references = 1;
    *ret_file = file;
    return 0;
}

static void real_close(struct fs_file *file)
{
    close(file->fd);
    free(file);
}

static int real_read(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = pread(file->fd, (uint8_t *)to + done, size - done, (off_t)(position + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_now();
        if (got == 0) break;
        done += (size_t)got;
        /* A direct read that ends off a block boundary has met the end of the file. */
        if (file->is_direct && done % FS_BLOCK_SIZE != 0) break;
    }
    *ret_size = done;
    return 0;
}

static bool iov_is_aligned(const struct iovec *iov, int iov_count, uint64_t position)
{
    uint64_t all = position;

    for (int i = 0; i < iov_count; i++)
        all |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return all % FS_BLOCK_SIZE == 0;
}

static int real_read_now(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    size_t done = 0;

    if (file->is_direct) return real_read(file, to, size, position, ret_size);
    while (done < size) {
        struct iovec iov = {(uint8_t *)to + done, size - done};
        ssize_t got = preadv2(file->fd, &iov, 1, (off_t)(position + done), RWF_NOWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return MESH_EAGAIN;
        if (got < 0 && errno == EOPNOTSUPP) return real_read(file, to, size, position, ret_size);
        if (got < 0) return error_now();
        if (got == 0) break;
        done += (size_t)got;
    }
    *ret_size = done;
    return 0;
}

static bool real_is_cached(struct fs_file *file, uint64_t position, size_t size)
{
    return !file->is_direct && page_cache_has(file->fd, position, size);
}

static void real_load(struct fs_file *file, uint64_t position, size_t size)
{
    if (!file->is_direct) page_cache_load(file->fd, position, size);
}

/* Some file systems take O_DIRECT when opening and refuse it when writing. True when the file is now
 * buffered. */
static bool fall_back_to_buffered(struct fs_file *file, const struct iovec *iov, int iov_count,
                                  uint64_t position)
{
    int how;

    if (errno != EINVAL || !file->is_direct || !iov_is_aligned(iov, iov_count, position)) return false;
    how = fcntl(file->fd, F_GETFL);
    if (how < 0 || fcntl(file->fd, F_SETFL, how & ~O_DIRECT) != 0) return false;
    file->is_direct = false;
    return true;
}

/* One system call: writes what it can from the buffers behind the first `skip` bytes. */
static ssize_t write_some(int fd, const struct iovec *iov, int iov_count, size_t skip, uint64_t position,
                          int how)
{
    struct iovec window[IOV_WINDOW];
    int count = 0;

    if (skip == 0) return pwritev2(fd, iov, iov_count < IOV_MAX ? iov_count : IOV_MAX, (off_t)position, how);
    for (int i = 0; i < iov_count && count < IOV_WINDOW; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        window[count].iov_base = (uint8_t *)iov[i].iov_base + skip;
        window[count++].iov_len = iov[i].iov_len - skip;
        skip = 0;
    }
    return pwritev2(fd, window, count, (off_t)position, how);
}

static int write_all(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position, int how)
{
    size_t size = 0, done = 0;

    for (int i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    while (done < size) {
        ssize_t put = write_some(file->fd, iov, iov_count, done, position + done, how);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && fall_back_to_buffered(file, iov, iov_count, position)) continue;
        if (put < 0) return error_now();
        if (put == 0) {
            errno = EIO; /* the kernel promises not to; a loop here would never end */
            return MESH_EIO;
        }
        done += (size_t)put;
    }
    return 0;
}

static int real_write(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position)
{
    return write_all(file, iov, iov_count, position, 0);
}

static int real_sync(struct fs_file *file)
{
    /* EINTR is not documented for fdatasync; were it to come, nothing would be known of the pages: a failure.
     */
    return fdatasync(file->fd) == 0 ? 0 : error_now();
}

static int real_write_sync(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position)
{
    int err;

    if (iov_count <= IOV_MAX) {
        err = write_all(file, iov, iov_count, position, RWF_DSYNC);
        if (err != MESH_EUNSUPPORTED) return err;
    }
    err = write_all(file, iov, iov_count, position, 0);
    return err != 0 ? err : real_sync(file);
}

static int real_truncate(struct fs_file *file, uint64_t size)
{
    int result;

    do {
        result = ftruncate(file->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : error_now();
}

static int real_allocate(struct fs_file *file, uint64_t position, uint64_t size)
{
    int result;

    do {
        result = fallocate(file->fd, 0, (off_t)position, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : error_now();
}

static int real_size(struct fs_file *file, uint64_t *ret_size)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0) return error_now();
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

/* ---- names ---- */

static int real_rename(struct fs *fs, const char *from, const char *to)
{
    int root_fd = real_of(fs)->root_fd;

    MESH_ASSERT(path_is_sane(from) && path_is_sane(to));
    return renameat(root_fd, from, root_fd, to) == 0 ? 0 : error_now();
}

static int real_unlink(struct fs *fs, const char *path)
{
    MESH_ASSERT(path_is_sane(path));
    return unlinkat(real_of(fs)->root_fd, path, 0) == 0 ? 0 : error_now();
}

static int real_mkdir(struct fs *fs, const char *path)
{
    MESH_ASSERT(path_is_sane(path));
    return mkdirat(real_of(fs)->root_fd, path, DIRECTORY_MODE) == 0 ? 0 : error_now();
}

static int real_rmdir(struct fs *fs, const char *path)
{
    MESH_ASSERT(path_is_sane(path));
    return unlinkat(real_of(fs)->root_fd, path, AT_REMOVEDIR) == 0 ? 0 : error_now();
}

static int real_sync_dir(struct fs *fs, const char *path)
{
    int fd, err;

    MESH_ASSERT(path_is_sane(path));
    fd = open_retrying(real_of(fs)->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_now();
    err = fsync(fd) == 0 ? 0 : error_now();
    close_keeping_errno(fd);
    return err;
}

static bool entry_is_dir(int dir_fd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
    return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int list_names(DIR *dir, int (*each)(void *user, const char *name, bool is_dir), void *user)
{
    for (;;) {
        struct dirent *entry;
        int result;
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) return errno == 0 ? 0 : error_now();
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = each(user, entry->d_name, entry_is_dir(dirfd(dir), entry));
        if (result != 0) return result;
    }
}

static int real_list(struct fs *fs, const char *path, int (*each)(void *user, const char *name, bool is_dir),
                     void *user)
{
    int fd, err;
    DIR *dir;

    MESH_ASSERT(path_is_sane(path));
    fd = open_retrying(real_of(fs)->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_now();
    dir = fdopendir(fd);
    if (dir == NULL) {
        err = error_now();
        close_keeping_errno(fd);
        return err;
    }
    err = list_names(dir, each, user);
    closedir(dir);
    return err;
}

/* ---- the whole file system ---- */

static int real_sync_all(struct fs *fs)
{
    int root_fd = real_of(fs)->root_fd;

    if (!tree_is_synced_by_syncfs(root_fd)) return tree_sync(root_fd, NULL) == 0 ? 0 : error_now();
    return syncfs(root_fd) == 0 ? 0 : error_now();
}

static int real_free_bytes(struct fs *fs, uint64_t *ret_free_bytes)
{
    struct statvfs st;

    if (fstatvfs(real_of(fs)->root_fd, &st) != 0) return error_now();
    *ret_free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int real_lock(struct fs *fs, const char *path)
{
    struct fs_real *real = real_of(fs);
    int fd;

    MESH_ASSERT(path_is_sane(path));
    MESH_ASSERT(real->lock_count < LOCKS_MAX);
    fd = open_retrying(real->root_fd, path, O_RDWR | O_CREAT | O_CLOEXEC);
    if (fd < 0) return error_now();
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno == EWOULDBLOCK ? MESH_ELOCKED : error_now();
        close_keeping_errno(fd);
        return err;
    }
    real->lock_fds[real->lock_count++] = fd;
    return 0;
}

static void real_free(struct fs *fs)
{
    struct fs_real *real = real_of(fs);

    while (real->lock_count > 0)
        close(real->lock_fds[--real->lock_count]);
    close(real->root_fd);
    free(real);
}

static const struct fs_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .read = real_read,
    .read_now = real_read_now,
    .is_cached = real_is_cached,
    .load = real_load,
    .write = real_write,
    .write_sync = real_write_sync,
    .sync = real_sync,
    .truncate = real_truncate,
    .allocate = real_allocate,
    .size = real_size,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .rmdir = real_rmdir,
    .sync_dir = real_sync_dir,
    .list = real_list,
    .sync_all = real_sync_all,
    .free_bytes = real_free_bytes,
    .lock = real_lock,
    .free = real_free,
};

/* ---- the root ---- */

/* Makes one directory; a new one is synced into its parent, whose path is `path` up to parent_size. */
static int make_directory(char *path, size_t parent_size)
{
    char saved = path[parent_size];
    int fd;

    if (mkdir(path, DIRECTORY_MODE) != 0) return errno == EEXIST ? 0 : -1;
    path[parent_size] = '\0';
    fd = open(parent_size > 0 ? path : (saved == '/' ? "/" : "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    path[parent_size] = saved;
    if (fd < 0)
        return errno == EACCES ? 0 : -1; /* a parent that we may use but not read syncs when it likes */
    if (fsync(fd) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    close(fd);
    return 0;
}

static int make_directories(char *path)
{
    size_t size = strlen(path), parent_size = 0;

    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        if (path[i - 1] != '/') {
            char saved = path[i];
            int result;
            path[i] = '\0';
            result = make_directory(path, parent_size);
            path[i] = saved;
            if (result != 0) return -1;
        }
        parent_size = i;
    }
    return 0;
}

static int open_root(const char *root)
{
    char path[PATH_MAX];
    int fd;

    if (root[0] == '\0' || strlen(root) >= sizeof(path)) {
        errno = root[0] == '\0' ? ENOENT : ENAMETOOLONG;
        return -1;
    }
    fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        snprintf(path, sizeof(path), "%s", root);
        if (make_directories(path) != 0) return -1;
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

int fs_real_new(const char *root, struct fs **ret_fs)
{
    struct fs_real *real = calloc(1, sizeof(*real));

    if (real == NULL) return MESH_ENOMEM;
    real->fs.ops = &real_ops;
    real->root_fd = open_root(root);
    if (real->root_fd < 0) {
        int saved = errno;
        free(real);
        errno = saved;
        return saved == ENOMEM ? MESH_ENOMEM : MESH_EIO;
    }
    *ret_fs = &real->fs;
    return 0;
}
