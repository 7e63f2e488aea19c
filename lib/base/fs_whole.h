/* base/fs_whole.h - small whole files: read at once, replaced atomically. Blocks on the disk. */
#ifndef BASE_FS_WHOLE_H
#define BASE_FS_WHOLE_H

#include "base/buffer.h"
#include "base/fs.h"

/* Reads all of `path` into `to` (emptied first). Errors: MESH_ENOTFOUND, MESH_ETOOLARGE (more than size_max
 * bytes), MESH_EIO, MESH_ENOMEM. */
int fs_read_whole(struct fs *fs, const char *path, size_t size_max, struct buffer *to);

/* Makes `path` hold exactly these bytes: written beside it as `temporary_path`, synced, renamed, and the
 * directory synced. A crash leaves the old file or the new one. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM;
 * the old file is then untouched. */
int fs_replace(struct fs *fs, const char *directory, const char *path, const char *temporary_path,
                 struct slice bytes);

#endif
