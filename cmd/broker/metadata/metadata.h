/* metadata/metadata.h - the control loop's metadata: the committed image, the log behind it, and what can be
 * asked.
 *
 * Belongs to the control loop. A change is decided (coordinator/decide.h) from the newest image, committed to
 * the log (durable), applied, published, and only then answered; so answers come through callbacks, which run
 * on the control loop and may run before the call returns. Published images go to the shards by mailbox. */
#ifndef METADATA_METADATA_H
#define METADATA_METADATA_H

#include "cmd/broker/metadata/identity.h"
#include "replication/coordinator/decide.h"
#include "replication/coordinator/image.h"
#include "base/fs.h"
#include "wire/message.h"

struct metadata;

#define METADATA_MESSAGE_SIZE 512

/* Called with every new image, the first one (at open) excepted. `image` is borrowed: image_ref() what is
 * kept. */
typedef void metadata_publish_fn(void *user, const struct image *image);

struct metadata_options {
    struct fs *fs;                      /* borrowed; the data directory, locked by the caller */
    int32_t partition_count_default;    /* for topics created without a number; 1 */
    int32_t replication_factor_default; /* 3: bounded by the number of brokers */
    const struct decide_config
        *config_defaults; /* for topics created without these keys; copied. Recorded with the topic */
    size_t config_default_count;
    const struct identity *identity; /* as identity_open() gave it; copied. NULL: opened here */
    struct uuid found_cluster_id;    /* of the mesh that a new directory belongs to; zero: founds one of its own */
    metadata_publish_fn *publish; /* may be NULL */
    void *publish_user;
};

void metadata_options_init(struct metadata_options *options, struct fs *fs);

/* identity_open() with fresh randomness for a directory that has none yet: for who must know itself before the metadata are
 * opened. Wipe the key with identity_key_wipe(). */
int metadata_open_identity(struct fs *fs, struct identity *ret_identity, char message[METADATA_MESSAGE_SIZE]);

/* Reads identity and log; founds a mesh of one when the directory is new. Blocks on the disk. On failure
 * `message` says what is wrong, where, and what to do. Errors: MESH_ECORRUPT (damage: refuse to start),
 * MESH_EVERSION, MESH_EINVALID_CONFIG (a default), MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int metadata_open(const struct metadata_options *options, struct metadata **ret_metadata,
                  char message[METADATA_MESSAGE_SIZE]);
void metadata_close(struct metadata *metadata); /* accepts NULL */

struct metadata_self {
    const char *name, *host, *zone; /* zone "" when none */
    uint16_t port;
    uint32_t shard_count;
};

/* Registers this broker (name, address, shards) under its node id: one record, which also raises the leader
 * epoch of every partition that it leads. Once per start, when the port is bound and before requests are
 * served. */
int metadata_register_self(struct metadata *metadata, const struct metadata_self *self,
                           char message[METADATA_MESSAGE_SIZE]);

const struct identity *metadata_identity(const struct metadata *metadata);
int32_t metadata_node_id(const struct metadata *metadata); /* valid after metadata_register_self() */
const struct image *
metadata_image(const struct metadata *metadata); /* the newest; borrowed until the next change */

/* 0, or why no change is accepted any more (the log's disk failed: MESH_EIO). Reading goes on. */
int metadata_error(const struct metadata *metadata);

/* ---- changes ---- */

/* error 0: `topic` is the topic as committed, borrowed (deleted topics: as it was); else NULL and `message`
 * says why. */
typedef void metadata_topic_fn(void *user, int error, const char *message, const struct image_topic *topic);

/* Errors: as decide_topic_create() etc.; MESH_EIO and MESH_EFULL from the log (then nothing happened or the
 * log accepts no more: metadata_error()). validate_only is honoured: then topic is NULL with error 0. */
void metadata_topic_create(struct metadata *metadata, const struct message_topic_create *request,
                           metadata_topic_fn *done, void *user);
void metadata_topic_alter(struct metadata *metadata, const struct message_topic_alter *request,
                          metadata_topic_fn *done, void *user);
void metadata_topic_delete(struct metadata *metadata, const struct message_topic_delete *request,
                           metadata_topic_fn *done, void *user);

/* A block of producer ids [first, first + count), durable before done() runs; never handed out again. */
typedef void metadata_producer_ids_fn(void *user, int error, int64_t first, uint32_t count);
#define METADATA_PRODUCER_BLOCK 1000
void metadata_allocate_producer_ids(struct metadata *metadata, uint32_t count, metadata_producer_ids_fn *done,
                                    void *user);

#endif
