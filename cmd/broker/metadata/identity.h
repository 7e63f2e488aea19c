/* metadata/identity.h - who this broker is: DIR/identity, written and synced before anything is said to
 * anyone.
 *
 * Holds the seed of the broker's key pair, from which its uuid follows, the uuid of its disk, the mesh it
 * belongs to (zero until it founds or joins one), and a counter of boots that is raised durably at each start
 * (PROTOCOLS 1.1). Secret, like all of DIR: mode 0600. Replaced atomically; layout: FORMAT.md. */
#ifndef METADATA_IDENTITY_H
#define METADATA_IDENTITY_H

#include "base/uuid.h"
#include "crypto/identity_key.h"
#include "base/fs.h"

#include <stdbool.h>
#include <stddef.h>

#define IDENTITY_PATH "identity" /* below the data directory: there from the first start on */

/* Whether the disk went back in time, or is a copy, and who knows. On the disk: never renumber. */
enum identity_past {
    IDENTITY_PAST_WHOLE = 0,
    IDENTITY_PAST_SET_BACK = 1, /* found in this life: the mesh is to be told, and the next start takes another dir_id (renewal.c says when not) */
    IDENTITY_PAST_TOLD = 2,     /* the same, and the mesh has been told */
    IDENTITY_PAST_RENEWED = 3,  /* it has another dir_id, and the mesh is to be told */
};

struct identity {
    struct identity_key key; /* the secret; wipe with identity_key_wipe() */
    struct uuid broker_id;   /* key.id */
    struct uuid dir_id;
    struct uuid cluster_id;
    uint64_t boot; /* of this start: 1 for the first */
    enum identity_past past;
};

/* Reads the identity, or makes one from `fresh_seed` (random; the caller wipes it) and `fresh_dir_id` when the directory
 * has none; raises the boot counter; returns when that is durable. A directory that has metadata but no identity is
 * refused. After crypto_init(). Errors (with a sentence in `message`): MESH_ECORRUPT, MESH_EVERSION, MESH_EIO, MESH_EFULL,
 * MESH_ENOMEM. */
int identity_open(struct fs *fs, const uint8_t fresh_seed[IDENTITY_SEED_SIZE], const struct uuid *fresh_dir_id,
                  struct identity *ret_identity, char *message, size_t message_size);

/* Records durably which mesh the broker belongs to. */
int identity_set_cluster(struct fs *fs, struct identity *identity, const struct uuid *cluster_id);

/* Records durably that the disk was set back, and that this process goes on in `boot`: another life of this identity has used those up to it, or
 * has said what this disk forgot. The mesh must not hear of it before. */
int identity_set_back(struct fs *fs, struct identity *identity, uint64_t boot);

/* Records durably that the mesh knows. Nothing to do when the past is whole or told. */
int identity_set_told(struct fs *fs, struct identity *identity);
bool identity_is_to_tell(const struct identity *identity);

/* Records durably that the disk has another uuid from now on, because it was set back. */
int identity_renew(struct fs *fs, struct identity *identity, const struct uuid *dir_id);

#endif
