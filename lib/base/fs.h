/* base/fs.h - the one way to the disk. Two implementations: fs_real.c (the machine) and fs_mem.c (tests: a disk
 * that loses unsynced writes, tears, rots, misdirects, fills up and fails).
 *
 * Paths are relative to the file system's root (the data directory), '/'-separated, without "..". Every call may block
 * and may run on any thread; two calls on one file may run at once. Return 0 or MESH_EIO, MESH_EFULL (no space),
 * MESH_ENOTFOUND, MESH_EEXISTS (also: the directory is not empty), MESH_ENOMEM, MESH_ELOCKED, MESH_EINVAL,
 * MESH_EUNSUPPORTED (allocate only). Short reads and writes are finished inside. On an error errno tells more.
 *
 * What is durable: file bytes after sync(); a created, renamed or removed name after sync_dir() of its directory.
 * A failed sync() means that what was written since the last good one may be lost although it still reads back:
 * the file is poisoned, the caller never retries it. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define FS_READ      0u
#define FS_WRITE     1u /* read and write */
#define FS_CREATE    2u /* create when absent */
#define FS_EXCLUSIVE 4u /* with FS_CREATE: MESH_EEXISTS when present */
#define FS_DIRECT    8u /* hint: bypass the page cache. Then buffers, sizes and positions are multiples of FS_BLOCK_SIZE
                           (asserted by fs_mem); ignored where the file system cannot (see fs_file.is_direct) */

#define FS_BLOCK_SIZE 4096 /* alignment for FS_DIRECT, bytes */
#define FS_PATH_MAX   256

struct fs;

/* One open file; closed by fs_close(). fs_ref/fs_unref count its users (any thread); the last one closes it. */
struct fs_file {
    struct fs *fs;
    int fd; /* the real descriptor for sendfile(2); -1 in memory */
    bool is_direct;
    _Atomic int references;
    _Atomic uint32_t load_count; /* how often somebody found a part of it not in memory: it is another reading of the disk then */
};

struct fs_ops {
    int (*open)(struct fs *fs, const char *path, unsigned flags, struct fs_file **ret_file);
    void (*close)(struct fs_file *file); /* frees it too */
    /* Reads up to size bytes; *ret_size is smaller only at the end of the file. */
    int (*read)(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
    /* The same of what can be had without waiting for the disk: MESH_EAGAIN when a part of it is not in memory. May be
     * NULL, or wait after all, where the file system cannot tell. */
    int (*read_now)(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
    /* Whether all of the range can be had without waiting for the disk. May be NULL. */
    bool (*is_cached)(struct fs_file *file, uint64_t position, size_t size);
    /* Waits until the range can be had by read_now(), and needs no memory for it. May be NULL: read() does it too. */
    void (*load)(struct fs_file *file, uint64_t position, size_t size);
    /* Writes all of it. On an error any part of it may have been written. */
    int (*write)(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position);
    /* As write, and durable on return (RWF_DSYNC): bytes and whatever metadata is needed to read them back. */
    int (*write_sync)(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position);
    int (*sync)(struct fs_file *file);                                       /* fdatasync */
    int (*truncate)(struct fs_file *file, uint64_t size);                    /* not durable until sync() */
    /* Reserves blocks for the range; the file grows to cover it; what was not written reads as zeros. MESH_EUNSUPPORTED
     * where the file system cannot: then writes find out about space themselves, and the caller goes on. */
    int (*allocate)(struct fs_file *file, uint64_t position, uint64_t size);
    int (*size)(struct fs_file *file, uint64_t *ret_size);
    int (*rename)(struct fs *fs, const char *from, const char *to); /* replaces `to` atomically */
    int (*unlink)(struct fs *fs, const char *path);
    int (*mkdir)(struct fs *fs, const char *path); /* MESH_EEXISTS is not an error to most callers */
    int (*rmdir)(struct fs *fs, const char *path);
    int (*sync_dir)(struct fs *fs, const char *path); /* "." is the root */
    /* Calls each() for every name but "." and ".."; stops when it returns non-zero and returns that. */
    int (*list)(struct fs *fs, const char *path, int (*each)(void *user, const char *name, bool is_dir), void *user);
    /* Everything written to this file system so far, names included: syncfs where that does it (tree_sync.h). That bytes were lost, whosever they were, is told
     * once to each struct fs: who relies on it has one of its own. */
    int (*sync_all)(struct fs *fs);
    int (*free_bytes)(struct fs *fs, uint64_t *ret_free_bytes);
    /* Takes an exclusive lock on a file (created if absent), held until the fs is freed. MESH_ELOCKED. */
    int (*lock)(struct fs *fs, const char *path);
    void (*free)(struct fs *fs);
};

struct fs {
    const struct fs_ops *ops;
};

/* The machine's files below root (created with mode 0700 if absent, with parents). MESH_EIO with errno kept when the
 * directory cannot be opened or is read-only. */
int fs_real_new(const char *root, struct fs **ret_fs);

static inline int fs_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **ret_file)
{
    return fs->ops->open(fs, path, flags, ret_file);
}

static inline struct fs_file *fs_ref(struct fs_file *file)
{
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    return file;
}

static inline void fs_unref(struct fs_file *file) /* accepts NULL */
{
    if (file != NULL && atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) == 1)
        file->fs->ops->close(file);
}

static inline void fs_note_load(struct fs_file *file)
{
    atomic_fetch_add_explicit(&file->load_count, 1, memory_order_relaxed);
}

/* How a loop reads: what is not in memory is noted instead of waited for. */
struct fs_look {
    struct fs_file *missing; /* referenced; NULL: nothing was missing */
    uint64_t position;
    size_t size;
};

/* As read, waiting for the disk if look is NULL. Otherwise MESH_EAGAIN stands for what *look then says (the first one). */
static inline int fs_read(struct fs_file *file, void *to, size_t size, uint64_t position, struct fs_look *look,
                          size_t *ret_size)
{
    int err;

    if (look == NULL || file->fs->ops->read_now == NULL)
        return file->fs->ops->read(file, to, size, position, ret_size);
    err = file->fs->ops->read_now(file, to, size, position, ret_size);
    if (err == MESH_EAGAIN) fs_note_load(file);
    if (err == MESH_EAGAIN && look->missing == NULL) *look = (struct fs_look){fs_ref(file), position, size};
    return err;
}

#endif
