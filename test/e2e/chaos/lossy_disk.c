/* lossy_disk.c - a file system that forgets what was not synced, when it is told that the power is cut.
 *
 *     lossy_disk ROOT STASH MOUNTPOINT
 *
 * Shows the directory ROOT at MOUNTPOINT. Data stay in memory until their file is synced (unsynced.h), names can be taken back until their
 * directory is (unsynced_names.h). STASH is an empty directory of ROOT's file system. Orders on standard input, one a line, each answered by a
 * line:
 *
 *     cut         the power is cut: nothing unsynced is left
 *     cut SEED    the same, but some of it has reached the disk, sector by sector
 *     slow MS     every sync takes so long; 0 ends that
 *     fail N      the next N syncs of files fail with EIO, and what they were to write is gone
 *
 * Whoever has files open is expected to be dead at a cut. Ends when it is unmounted, or with its standard input. Prints "ready" when it is
 * mounted. What is open may have lost its name: operations on handles then come without a path (NULL), and use none. */
#define FUSE_USE_VERSION 31

#include "unsynced.h"
#include "unsynced_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DIRTY_BYTES_MAX ((uint64_t)256 << 20) /* more is written back early, as kernels do */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int root_fd;
static struct fuse *disk;
static unsigned slow_ms, failing_syncs;
static uint64_t randomness;

static const char *below(const char *path) /* relative to the root */
{
    return path[1] == '\0' ? "." : path + 1;
}

static struct unsynced *file_of(const struct fuse_file_info *info)
{
    return (struct unsynced *)(uintptr_t)info->fh;
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    int err = 0;

    pthread_mutex_lock(&lock);
    if (info != NULL)
        err = unsynced_fstat(file_of(info), st);
    else if (fstatat(root_fd, below(path), st, AT_SYMLINK_NOFOLLOW) != 0)
        err = -errno;
    else
        unsynced_stat(st);
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                        struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    int fd = path != NULL ? openat(root_fd, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    (void)offset, (void)info, (void)flags;
    if (directory == NULL) {
        int err = path != NULL ? -errno : 0; /* a directory that was removed has nothing in it */

        if (fd >= 0) close(fd);
        return err;
    }
    while ((entry = readdir(directory)) != NULL)
        fill(buffer, entry->d_name, NULL, 0, 0);
    closedir(directory);
    return 0;
}

/* Files are opened for reading and writing here whatever is asked for: syncs of others' pages go through any
 * opening. */
static int open_file(const char *path, int flags, mode_t mode, struct fuse_file_info *info)
{
    int err = 0, fd;
    struct stat st;
    bool is_new;

    pthread_mutex_lock(&lock);
    is_new = (flags & O_CREAT) != 0 && fstatat(root_fd, below(path), &st, AT_SYMLINK_NOFOLLOW) != 0;
    fd = openat(root_fd, below(path), O_RDWR | O_CLOEXEC | (flags & (O_CREAT | O_EXCL)), mode);
    if (fd < 0) err = -errno;
    if (err == 0 && is_new) err = names_created(below(path));
    if (err == 0) {
        info->fh = (uint64_t)(uintptr_t)unsynced_open(fd);
        if (info->fh == 0) err = -ENOMEM;
    }
    if (err == 0 && (flags & O_TRUNC) != 0) err = unsynced_truncate(file_of(info), 0);
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_open(const char *path, struct fuse_file_info *info)
{
    return open_file(path, info->flags & O_TRUNC, 0, info);
}

static int disk_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    return open_file(path, (info->flags & (O_TRUNC | O_EXCL)) | O_CREAT, mode, info);
}

static int disk_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    pthread_mutex_lock(&lock);
    unsynced_close(file_of(info));
    pthread_mutex_unlock(&lock);
    return 0;
}

static int disk_read(const char *path, char *bytes, size_t size, off_t at, struct fuse_file_info *info)
{
    int64_t result;

    (void)path;
    pthread_mutex_lock(&lock);
    result = unsynced_read(file_of(info), bytes, size, (uint64_t)at);
    pthread_mutex_unlock(&lock);
    return (int)result;
}

static int disk_write(const char *path, const char *bytes, size_t size, off_t at, struct fuse_file_info *info)
{
    int64_t result;

    (void)path;
    pthread_mutex_lock(&lock);
    result = unsynced_write(file_of(info), bytes, size, (uint64_t)at);
    if (result >= 0 && (unsynced_bytes() > DIRTY_BYTES_MAX || (info->flags & (O_SYNC | O_DSYNC)) != 0)) {
        int err = unsynced_sync(file_of(info));

        if (err != 0) result = err;
    }
    pthread_mutex_unlock(&lock);
    return (int)result;
}

static int disk_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    struct unsynced *file = info != NULL ? file_of(info) : NULL;
    int err = 0, fd = -1;

    pthread_mutex_lock(&lock);
    if (file == NULL) {
        fd = openat(root_fd, below(path), O_RDWR | O_CLOEXEC);
        file = fd >= 0 ? unsynced_open(fd) : NULL;
        if (file == NULL) err = fd >= 0 ? -ENOMEM : -errno;
    }
    if (file != NULL) err = unsynced_truncate(file, (uint64_t)size);
    if (file != NULL && fd >= 0) unsynced_close(file);
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_fallocate(const char *path, int mode, off_t at, off_t size, struct fuse_file_info *info)
{
    int err;

    (void)path;
    if (mode != 0) return -EOPNOTSUPP;
    pthread_mutex_lock(&lock);
    err = unsynced_allocate(file_of(info), (uint64_t)at, (uint64_t)size);
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    unsigned ms;
    int err = 0;

    (void)path, (void)data_only;
    pthread_mutex_lock(&lock);
    ms = slow_ms;
    pthread_mutex_unlock(&lock);
    if (ms > 0) poll(NULL, 0, (int)ms);
    pthread_mutex_lock(&lock);
    if (failing_syncs > 0) {
        failing_syncs--;
        unsynced_lose(file_of(info));
        err = -EIO;
    } else {
        err = unsynced_sync(file_of(info));
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_fsyncdir(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)data_only, (void)info;
    if (path == NULL) return 0; /* it was removed: it has no names left to keep */
    pthread_mutex_lock(&lock);
    names_sync(path + 1);
    unsynced_sweep();
    pthread_mutex_unlock(&lock);
    return 0;
}

static int disk_unlink(const char *path)
{
    int err;

    pthread_mutex_lock(&lock);
    err = names_remove(below(path));
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_mkdir(const char *path, mode_t mode)
{
    int err;

    pthread_mutex_lock(&lock);
    err = mkdirat(root_fd, below(path), mode) == 0 ? names_created(below(path)) : -errno;
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_rmdir(const char *path)
{
    int err;

    pthread_mutex_lock(&lock);
    /* Only whether it is empty is asked by this: it is made again, and goes to the stash. */
    err = unlinkat(root_fd, below(path), AT_REMOVEDIR) == 0 ? 0 : -errno;
    if (err == 0) err = mkdirat(root_fd, below(path), 0700) == 0 ? names_remove(below(path)) : -errno;
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_rename(const char *from, const char *to, unsigned flags)
{
    int err;

    if (flags != 0) return -EINVAL;
    pthread_mutex_lock(&lock);
    err = names_rename(below(from), below(to));
    pthread_mutex_unlock(&lock);
    return err;
}

static int disk_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    (void)info; /* never with a handle: the kernel names the file by its path */
    return fchmodat(root_fd, below(path), mode, 0) == 0 ? 0 : -errno;
}

static int disk_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    (void)info; /* never with a handle: the kernel names the file by its path */
    return utimensat(root_fd, below(path), times, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int disk_statfs(const char *path, struct statvfs *st)
{
    (void)path;
    return fstatvfs(root_fd, st) == 0 ? 0 : -errno;
}

static void *disk_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->attr_timeout = config->entry_timeout = config->negative_timeout =
        0; /* what a cut takes back must not be remembered */
    config->hard_remove = 1;
    config->use_ino = 1;
    puts("ready");
    fflush(stdout);
    return NULL;
}

static const struct fuse_operations operations = {
    .init = disk_init,
    .getattr = disk_getattr,
    .readdir = disk_readdir,
    .open = disk_open,
    .create = disk_create,
    .release = disk_release,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .fallocate = disk_fallocate,
    .fsync = disk_fsync,
    .fsyncdir = disk_fsyncdir,
    .unlink = disk_unlink,
    .mkdir = disk_mkdir,
    .rmdir = disk_rmdir,
    .rename = disk_rename,
    .chmod = disk_chmod,
    .utimens = disk_utimens,
    .statfs = disk_statfs,
};

/* ---- orders ---- */

static bool survives(void) /* splitmix64 */
{
    uint64_t z = (randomness += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((z ^ (z >> 31)) & 1) != 0;
}

static void obey(char *line)
{
    char *rest = NULL, *word = strtok_r(line, " \n", &rest), *number = strtok_r(NULL, " \n", &rest);
    unsigned long value = number != NULL ? strtoul(number, NULL, 10) : 0;

    pthread_mutex_lock(&lock);
    if (word != NULL && strcmp(word, "cut") == 0) {
        uint64_t bytes;
        size_t names;

        randomness = value;
        bytes = unsynced_cut(number != NULL ? survives : NULL);
        names = names_cut(number != NULL ? survives : NULL);
        failing_syncs = 0;
        printf("ok %llu bytes and %zu names were not synced\n", (unsigned long long)bytes, names);
    } else if (word != NULL && strcmp(word, "slow") == 0) {
        slow_ms = (unsigned)value;
        puts("ok");
    } else if (word != NULL && strcmp(word, "fail") == 0) {
        failing_syncs = (unsigned)value;
        puts("ok");
    } else {
        puts("? this order is not understood");
    }
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static void *obey_orders(void *unused)
{
    char line[256];

    while (fgets(line, sizeof(line), stdin) != NULL)
        obey(line);
    fuse_exit(disk);
    fuse_unmount(disk); /* wakes the loop */
    return unused;
}

int main(int argc, char **argv)
{
    char *words[] = {argv[0], (char *)(uintptr_t) "-odefault_permissions,fsname=lossy_disk", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(2, words);
    int stash_fd;
    pthread_t thread;

    if (argc != 4) {
        fprintf(stderr, "usage: lossy_disk ROOT STASH MOUNTPOINT\n");
        return 2;
    }
    root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stash_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || stash_fd < 0) {
        fprintf(stderr, "lossy_disk: %s or %s: %s\n", argv[1], argv[2], strerror(errno));
        return 1;
    }
    names_init(root_fd, stash_fd);
    disk = fuse_new(&arguments, &operations, sizeof(operations), NULL);
    if (disk == NULL || fuse_mount(disk, argv[3]) != 0 ||
        pthread_create(&thread, NULL, obey_orders, NULL) != 0) {
        fprintf(stderr, "lossy_disk: cannot mount at %s\n", argv[3]);
        return 1;
    }
    fuse_loop_mt(disk, 0);
    return 0;
}
