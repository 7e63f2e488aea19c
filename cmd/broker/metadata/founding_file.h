/* metadata/founding_file.h - DIR/founding: what this disk remembers of the founding of its mesh (replication/founding). Replaced
 * atomically; layout: FORMAT.md. Blocks on the disk. */
#ifndef METADATA_FOUNDING_FILE_H
#define METADATA_FOUNDING_FILE_H

#include "base/fs.h"
#include "replication/founding/state.h"

/* Reads what the disk of `self` remembers; nothing: BLANK. `cluster_id` is what DIR/identity says (zero: no mesh): a member whose directory
 * knows no founding (an older mesh made it) is a MEMBER. Errors, with a sentence in `message`: MESH_ECORRUPT (damaged; of another disk; of
 * another mesh than the identity), MESH_EVERSION, MESH_EIO, MESH_ENOMEM. *ret_state is then untouched: the broker must not start, since it may
 * have made a promise that it does not remember. */
int founding_file_load(struct fs *fs, const struct raft_server *self, const struct uuid *cluster_id, struct founding_state *ret_state,
                       char *message, size_t message_size);

/* Durable on return. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int founding_file_store(struct fs *fs, const struct raft_server *self, const struct founding_state *state);

/* Of a member: forgets how its mesh was founded, which binds the disk's uuid. Its identity still names the mesh. Durable on return; no file is
 * no error. Errors: MESH_EIO. */
int founding_file_remove(struct fs *fs);

#endif
