/* metadata/identity.h - who this broker is: DIR/identity, written and synced before anything is said to
 * anyone.
 *
 * Holds the broker's uuid, the uuid of its disk, the mesh it belongs to (zero until it founds or joins one),
 * and a counter of boots that is raised durably at each start (PROTOCOLS 1.1). Replaced atomically; layout:
 * FORMAT.md. */
#ifndef METADATA_IDENTITY_H
#define METADATA_IDENTITY_H

#include "base/uuid.h"
#include "segment/fs.h"

#include <stddef.h>

struct identity {
    struct uuid broker_id;
    struct uuid dir_id;
    struct uuid cluster_id;
    uint64_t boot; /* of this start: 1 for the first */
};

/* Reads the identity, or makes one from `fresh_broker_id` and `fresh_dir_id` when the directory has none;
 * raises the boot counter; returns when that is durable. A directory that has metadata but no identity is
 * refused. Errors (with a sentence in `message`): MESH_ECORRUPT, MESH_EVERSION, MESH_EIO, MESH_EFULL,
 * MESH_ENOMEM. */
int identity_open(struct fs *fs, const struct uuid *fresh_broker_id, const struct uuid *fresh_dir_id,
                  struct identity *ret_identity, char *message, size_t message_size);

/* Records durably which mesh the broker belongs to. */
int identity_set_cluster(struct fs *fs, struct identity *identity, const struct uuid *cluster_id);

#endif
