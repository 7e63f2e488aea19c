/* coordinator/image_internal.h - inside the image: for image*.c only. */
#ifndef COORDINATOR_IMAGE_INTERNAL_H
#define COORDINATOR_IMAGE_INTERNAL_H

#include "replication/coordinator/image.h"
#include "replication/coordinator/image_index.h"
#include "replication/coordinator/image_pages.h"

#include <stdatomic.h>

/* One allocation: the struct, its configs, its name. */
struct topic_object {
    atomic_uint references;
    struct image_topic topic; /* what users see */
    struct image_config configs[];
};

/* One allocation: the struct and its three strings. */
struct broker_object {
    atomic_uint references;
    struct image_broker broker;
    char strings[];
};

/* What the indexes below hold beside topics begins with its count of references. */
struct object {
    atomic_uint references;
};
void object_ref(const void *object);
void object_unref(const void *object); /* frees the last one; accepts NULL */

struct user_object {
    struct object object;
    struct image_user user;
};

struct acl_object {
    struct object object;
    struct image_acl acl;
};

/* The requests of one broker, the oldest first. */
struct request_log {
    struct object object;
    struct uuid origin;
    uint32_t count;
    struct image_request requests[];
};

#define ELECTION_PAGE_PARTITIONS 8

/* The last elections of neighbouring partitions of a topic: one struct image_election after the other. */
struct election_page {
    struct object object;
    uint32_t number; /* partition / ELECTION_PAGE_PARTITIONS */
    struct uuid topic_id;
    uint16_t at[ELECTION_PAGE_PARTITIONS]; /* where that of each begins in `units`, plus one; 0: there was none */
    uint64_t units[];
};
const struct image_election *election_page_at(const struct election_page *page, uint32_t slot); /* NULL: there was none; page may be NULL */

struct deletion_object {
    struct object object;
    struct image_deletion deletion;
};

/* What remains of a deleted topic. */
struct tombstone {
    struct object object;
    struct uuid topic_id;
    uint64_t index; /* of the entry that deleted it */
};

struct broker_slot {
    struct broker_object *object; /* a reference */
    uint64_t replica_count;       /* partitions that it hosts */
    uint64_t leader_count;        /* partitions that it leads */
};

/* A change that is being applied. */
struct image_change {
    uint64_t index;  /* of its entry */
    uint64_t number; /* of all changes ever, this one included: what new replicas get as their generation */
    uint16_t kind;
    struct slice key, body;
};

struct image {
    atomic_uint references; /* first: a clone copies what follows */
    uint64_t index, term;
    uint8_t chain[RAFT_CHAIN_SIZE];
    struct raft_config raft_config; /* the newest that was committed */
    struct uuid cluster_id;
    int32_t next_node_id;
    int64_t next_producer_id;
    uint64_t change_count; /* ever applied */
    uint64_t partition_count;
    uint32_t broker_count;
    uint32_t retired_count;
    struct broker_slot *brokers; /* owned, ordered by node id */
    struct broker_slot *retired; /* owned, in the order of their retirement */
    struct image_index by_uuid;  /* topics */
    struct image_index by_name;  /* topics, under the hash of the lower-case name */
    struct image_index tombstones;
    struct image_index buried; /* tombstones that were dropped since this process read its image: this copy's alone, in no snapshot */
    struct image_index users;     /* by name */
    struct image_index acls;      /* by all they say */
    struct image_index requests;  /* logs, by origin */
    struct image_index elections; /* pages, by topic and number */
    size_t election_count;
    struct image_index deletions; /* by topic and partition */
};

uint64_t image_hash_uuid(const struct uuid *uuid);
uint64_t image_hash_name(const char *name); /* case ignored */
uint64_t image_hash_partition(const struct uuid *topic_id, uint32_t partition);

/* A new image that shares everything with base. Errors: MESH_ENOMEM. */
int image_clone(const struct image *base, struct image **ret_image);

/* The rest changes an image that nobody else has seen yet. Errors: MESH_ENOMEM; the image may then only be
 * dropped. */

/* Adds the broker or replaces the one with its node id; strings are copied. */
int image_put_broker(struct image *image, const struct body_broker *broker, const struct uuid *broker_id, uint64_t epoch);
/* Adds one that is retired already, behind the others (snapshots). */
int image_put_retired(struct image *image, const struct body_broker *broker, const struct uuid *broker_id, uint64_t epoch);
/* Moves a registered broker to the retired; forgets an old one where there are too many. MESH_ECORRUPT: none can be forgotten. */
int image_retire_broker(struct image *image, int32_t node_id);
struct broker_slot *image_broker_slot(struct image *image, int32_t node_id); /* NULL: not registered */
/* Of a registered or a retired one. */
struct broker_slot *image_any_slot(struct image *image, int32_t node_id);
void image_broker_unref(struct broker_object *object);

/* What a topic object is made from; arrays are copied, `pages` is taken (also on failure). */
struct topic_parts {
    struct uuid topic_id;
    struct slice name;
    uint64_t created_index, changed_index;
    const struct image_config *configs;
    uint32_t config_count, partition_count;
    struct image_pages *pages;
};
int topic_object_new(const struct topic_parts *parts, struct topic_object **ret_object);

/* Adds the topic, or puts it in the place of `old`. Takes a reference for itself. Keeps no counts. */
int image_put_topic(struct image *image, const struct topic_object *old, const struct topic_object *object);

/* Takes the topic out and leaves a tombstone of `index`. */
int image_remove_topic(struct image *image, const struct topic_object *object, uint64_t index);
int image_add_tombstone(struct image *image, const struct uuid *topic_id, uint64_t index);
int image_drop_tombstones(struct image *image, uint64_t index); /* those of entries up to and including index */
/* Likewise, and remembers them here: who applies the deletion and this in one go (a start that lost its newest mark of what is committed) has files still. */
int image_bury_tombstones(struct image *image, uint64_t index);
bool image_has_tombstone(const struct image *image, const struct uuid *topic_id); /* the same on all brokers, as image_topic_was_deleted() is not */

/* Counts a partition's replicas and leader to (+1) or from (-1) their brokers. MESH_ECORRUPT: one of them
 * is unknown or hosts too many. */
int image_count_partition(struct image *image, const struct body_partition *state, int sign);

/* What has to hold after an entry, though not between its changes: a broker without a session leads nothing, one that was removed
 * neither, a witness hosts nothing. Errors: MESH_ECORRUPT. */
int image_check_brokers(const struct image *image);

/* ---- users, ACLs, requests, elections (image_access.c, image_requests.c, image_elections.c) ---- */

uint64_t image_hash_acl(const struct image_acl *acl);
int image_put_user(struct image *image, const struct image_user *user); /* adds or replaces */
int image_remove_user(struct image *image, const char *name);           /* MESH_ECORRUPT: there is none */
int image_add_acl(struct image *image, const struct image_acl *acl);    /* MESH_ECORRUPT: it is there already */
int image_remove_acl(struct image *image, const struct image_acl *acl); /* MESH_ECORRUPT: it is not there */
int image_add_request(struct image *image, const struct uuid *origin, const struct image_request *request);
const struct request_log *image_request_log(const struct image *image, const struct uuid *origin);

/* Remembers the election in state->election (reason not NONE) as the partition's last. */
int image_put_election(struct image *image, const struct uuid *topic_id, const struct body_partition *state, uint64_t index);
int image_forget_elections(struct image *image, const struct image_topic *topic);

/* ---- deleted records (image_deletions.c) ---- */

int image_put_deletion(struct image *image, const struct image_deletion *deletion);
int image_forget_deletions(struct image *image, const struct image_topic *topic);

/* The parts of apply (image_apply.c hands the changes out). */
int apply_broker_change(struct image *image, const struct image_change *change);
int apply_topic_change(struct image *image, const struct image_change *change);
int apply_access_change(struct image *image, const struct image_change *change);
int apply_key_uuid(const struct image_change *change, struct uuid *ret_uuid); /* MESH_ECORRUPT: no uuid */
/* The epochs of all that the broker leads rise: one change does it for all its partitions. */
int apply_raise_epochs(struct image *image, int32_t node_id, uint64_t index);

/* The parts of the snapshot's codec. Deletions are its last part, and only where there are any: SNAPSHOT_VERSION_DELETIONS. */
int image_put_access(struct codec_writer *writer, const struct image *image);
int image_get_access(struct codec_reader *reader, struct image *image, bool has_deletions);

#endif
