/* coordinator/record.h - what an entry of the consensus log says about the metadata: a command is a list of changes.
 *
 * One entry is one commit: all its changes become true together, or none does (image.h). The hash that chains entries is
 * metadata_chain(). What the changes' bodies say: record_body.h; bytes: FORMAT.md. Pure functions; any thread. */
#ifndef COORDINATOR_RECORD_H
#define COORDINATOR_RECORD_H

#include "base/codec.h"
#include "replication/consensus/entry.h"

#define METADATA_COMMAND_VERSION 1
#define METADATA_KEY_SIZE_MAX    255        /* bytes */
#define METADATA_BODY_SIZE_MAX   (8u << 20) /* bytes of one change; 100,000 partitions of 16 replicas fit */

/* Numbers are on disk and on the wire: never renumber, never reuse. */
enum metadata_kind {
    METADATA_CLUSTER_CREATED = 1,    /* key: cluster uuid */
    METADATA_BROKER_REGISTERED = 2,  /* key: broker uuid; at each start, raises the epochs of what it leads */
    METADATA_TOPIC_CREATED = 3,      /* key: topic uuid */
    METADATA_TOPIC_ALTERED = 4,      /* key: topic uuid */
    METADATA_TOPIC_DELETED = 5,      /* key: topic uuid */
    METADATA_PARTITIONS_CHANGED = 6, /* key: topic uuid */
    METADATA_PRODUCER_IDS_ALLOCATED = 7, /* key: empty */
    METADATA_BROKER_STATE = 8,           /* key: broker uuid; fenced, draining */
    METADATA_BROKER_RETIRED = 9,         /* key: broker uuid; never comes back by itself */
    METADATA_TOMBSTONES_DROPPED = 10,    /* key: empty */
    METADATA_USER_SET = 11,              /* key: user name */
    METADATA_USER_DELETED = 12,          /* key: user name */
    METADATA_ACL_ADDED = 13,             /* key: empty */
    METADATA_ACL_REMOVED = 14,           /* key: empty */
    METADATA_REQUEST_DONE = 15,          /* key: uuid of the broker that was asked */
    METADATA_RECORDS_DELETED = 16,       /* key: topic uuid */
};

struct metadata_change {
    uint16_t kind; /* enum metadata_kind, or one of a newer mesh */
    struct slice key, body;
};

/* What a version of mesh can read of all this, as one number: who meets more has to stop (MESH_EVERSION), so nothing of a level is written before
 * everybody in the mesh speaks it (metadata/levels.c). A version that adds a kind, or writes anything new into a body, is the next level: the kind
 * goes into metadata_kind_level(), and a body with something new begins with that level as its version. */
#define METADATA_LEVEL     2
#define METADATA_LEVEL_MAX 255
typedef uint32_t metadata_level_fn(uint16_t kind);
uint32_t metadata_kind_level(uint16_t kind); /* that brought it; beyond METADATA_LEVEL for kinds that this version does not know */

/* A raft_chain_fn: BLAKE2b-256 over the chain before, index, term, type, size of the body, body. */
void metadata_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry,
                    uint8_t ret_chain[RAFT_CHAIN_SIZE]);

/* A command is written by one start and one add for each change. Errors: MESH_ENOMEM, MESH_ETOOLARGE (a key or body beyond its
 * limit, or a command beyond RAFT_BODY_SIZE_MAX); then the command is as before. */
int metadata_command_start(struct buffer *to);
int metadata_command_add(struct buffer *to, const struct metadata_change *change);

/* Checks a command's structure (not what its changes say) and makes ready to read it. At least one change, at most 2^20.
 * Errors: MESH_ECORRUPT, MESH_EVERSION. */
int metadata_command_open(struct slice command, struct codec_reader *ret_reader);
/* The next change, which points into the command; false: that was the last. After an open that succeeded. */
bool metadata_command_next(struct codec_reader *reader, struct metadata_change *ret_change);

/* The level that one needs to read all changes of a command, which is sound. `level_of`: metadata_kind_level(), but in tests of versions to come. */
uint32_t metadata_command_level(struct slice command, metadata_level_fn *level_of);

#endif
