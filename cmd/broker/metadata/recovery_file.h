/* metadata/recovery_file.h - DIR/recovery: what this disk has promised and accepted in recoveries of the mesh, and whether the mesh has removed it
 * (replication/recover). Bytes: FORMAT.md. */
#ifndef METADATA_RECOVERY_FILE_H
#define METADATA_RECOVERY_FILE_H

#include "base/buffer.h"
#include "base/fs.h"
#include "replication/consensus/entry.h"

/* Appends the state's bytes; nothing when there is no file. Errors (with a sentence in message): MESH_ECORRUPT, MESH_EVERSION, MESH_EIO, MESH_ENOMEM. */
int recovery_file_load(struct fs *fs, const struct raft_server *self, struct buffer *to, char *message, size_t message_size);

/* Replaces it, durably. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int recovery_file_store(struct fs *fs, const struct raft_server *self, struct slice state);

#endif
