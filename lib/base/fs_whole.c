/* base/fs_whole.c - see fs_whole.h. */
#include "base/fs_whole.h"

#include "base/error.h"

int fs_read_whole(struct fs *fs, const char *path, size_t size_max, struct buffer *to)
{
    struct fs_file *file;
    uint64_t size;
    size_t read = 0;
    int err = fs_open(fs, path, FS_READ, &file);

    buffer_clear(to);
    if (err != 0) return err;
    err = fs->ops->size(file, &size);
    if (err == 0 && size > size_max) err = MESH_ETOOLARGE;
    if (err == 0) err = buffer_reserve(to, (size_t)size);
    if (err == 0 && size != 0) err = fs->ops->read(file, to->data, (size_t)size, 0, &read);
    if (err == 0) to->size = read;
    fs_unref(file);
    return err;
}

static int write_new(struct fs *fs, const char *path, struct slice bytes)
{
    struct iovec iov = {(void *)(uintptr_t)bytes.data, bytes.size};
    struct fs_file *file;
    int err = fs_open(fs, path, FS_WRITE | FS_CREATE, &file);

    if (err != 0) return err;
    err = fs->ops->truncate(file, 0); /* what an earlier try left behind */
    if (err == 0) err = fs->ops->write(file, &iov, 1, 0);
    if (err == 0) err = fs->ops->sync(file);
    fs_unref(file);
    return err;
}

int fs_replace(struct fs *fs, const char *directory, const char *path, const char *temporary_path,
                 struct slice bytes)
{
    int err = write_new(fs, temporary_path, bytes);

    if (err == 0) err = fs->ops->rename(fs, temporary_path, path);
    if (err == 0) return fs->ops->sync_dir(fs, directory);
    fs->ops->unlink(fs, temporary_path); /* give the space back; what fails here failed before */
    return err;
}
