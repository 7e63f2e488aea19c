/* metadata/founded_marker.h - --founded-marker PATH: a line of text in a second place, away from the data directory, that says which mesh
 * this broker belongs to. A broker that finds it and has an empty directory founds nothing (replication/founding/README.md).
 *
 *     founded=0b7f3c1e-5d2a-4c11-9a3e-6f0d8b1c2a45
 *
 * Each broker has its own. A missing directory is an error, not a missing marker: the volume may not be mounted. Blocks on the disk. */
#ifndef METADATA_FOUNDED_MARKER_H
#define METADATA_FOUNDED_MARKER_H

#include "base/fs.h"
#include "base/uuid.h"

/* Splits `path` into the directory, opened as a file system that the caller frees, and the file's name in it (points into `path`). Errors, with a
 * sentence in `message`: MESH_EINVAL (no name), MESH_ENOTFOUND (no such directory), MESH_EIO, MESH_ENOMEM. */
int founded_marker_place(const char *path, struct fs **ret_fs, const char **ret_name, char *message, size_t message_size);

/* Zero when there is no marker. Errors, with a sentence: MESH_ECORRUPT (something else stands there), MESH_EIO, MESH_ENOMEM. */
int founded_marker_read(struct fs *fs, const char *name, struct uuid *ret_cluster_id, char *message, size_t message_size);

/* Durable on return; replaced atomically. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int founded_marker_write(struct fs *fs, const char *name, const struct uuid *cluster_id);

#endif
