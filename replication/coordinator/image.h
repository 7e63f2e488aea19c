/* coordinator/image.h - the committed metadata of the mesh as one immutable, reference-counted snapshot.
 *
 * An image is what the entries 1..applied index of the consensus log say: the mesh's uuid, its brokers, topics
 * and their partitions, and the next free ids. It never changes; image_apply() makes the next one, which
 * shares everything that the entries did not touch (copy on write down to pages of 64 partitions: a
 * single-replica partition costs 24 bytes). The control loop makes images and sends a reference to every
 * shard; look-ups are plain reads of memory without locks and may run on any thread that holds a reference.
 * What a look-up returns lives as long as the image.
 *
 * Topics are known by uuid; names map to uuids. Two names that differ only in case cannot exist together. The
 * uuid of a deleted topic never returns; it stays behind as a tombstone, so that leftover files can be told
 * from unknown ones. */
#ifndef COORDINATOR_IMAGE_H
#define COORDINATOR_IMAGE_H

#include "base/slice.h"
#include "base/uuid.h"
#include "replication/consensus/entry.h"
#include "replication/coordinator/record.h"
#include "replication/coordinator/topic_config.h"

#include <stdbool.h>

#define IMAGE_REPLICAS_MAX           16     /* replicas of one partition */
#define IMAGE_BROKERS_MAX            1000   /* registered brokers */
#define IMAGE_TOPIC_PARTITIONS_MAX   100000 /* partitions of one topic */
#define IMAGE_PARTITIONS_MAX         200000 /* partitions per broker, so many are hosted by each */
#define IMAGE_TOPICS_MAX             200000
#define IMAGE_TOMBSTONES_MAX         65536 /* beyond it the older half is forgotten */
#define IMAGE_BROKER_STRING_SIZE_MAX 255   /* bytes of a broker's name, host or zone */
#define IMAGE_NO_LEADER              (-1)
#define IMAGE_RETIRED_MAX            1000   /* remembered; beyond it those that no partition names are forgotten, the oldest first */
#define IMAGE_USERS_MAX              10000
#define IMAGE_ACLS_MAX               10000
#define IMAGE_NAME_SIZE_MAX          255 /* bytes of a user's name, of a principal, resource or host in an ACL */
#define IMAGE_SALT_SIZE_MAX          64  /* bytes */
#define IMAGE_SCRAM_KEY_SIZE_MAX     64  /* bytes; SHA-256: 32, SHA-512: 64 */
#define IMAGE_REQUESTS_MAX           128 /* remembered for each broker that was asked; then the oldest goes */
#define IMAGE_REQUEST_ORIGINS_MAX    (IMAGE_BROKERS_MAX + IMAGE_RETIRED_MAX) /* then the one longest unheard goes */
#define IMAGE_REQUEST_RESULT_MAX     32  /* bytes */

struct image;

struct image_broker {
    int32_t node_id; /* given once per broker uuid, from 1 up; Kafka clients need it */
    struct uuid broker_id;
    struct uuid dir_id; /* identity of its disk */
    uint64_t boot;      /* its persisted boot counter when it registered last */
    const char *name;
    const char *host;
    const char *zone; /* "" when it has none */
    uint16_t port;
    uint32_t shard_count;
    uint64_t epoch;   /* index of the entry that registered it last: requests of its former lives are refused by it */
    bool is_fenced;   /* it has no session: leads nothing, is in no ISR, gets nothing */
    bool is_draining; /* it is going in an orderly way: gets nothing, gives up what others can take */
    bool has_bad_disk; /* why it is draining: its disk has failed */
    bool is_witness;  /* votes, hosts nothing */
};

/* One partition as the image knows it; returned by value, the arrays live as long as the image. */
struct image_partition {
    int32_t leader; /* node id, or IMAGE_NO_LEADER */
    int32_t leader_epoch;
    uint32_t partition_epoch; /* raised by every change of leader, replicas or ISR */
    uint32_t replica_count;   /* 1..IMAGE_REPLICAS_MAX */
    const int32_t *replicas;  /* node ids, the preferred leader first */
    uint32_t isr;             /* bit i is set: replicas[i] is in sync; may be 0 when there is no leader */
    uint32_t elr;             /* likewise: was in sync when the ISR fell below min.insync; complete, so it may lead (KIP-966) */
    uint32_t last_known_elr;  /* likewise: would be in elr, had it not stopped uncleanly or lost data */
    uint32_t adding;          /* likewise: a move adds it; it counts for the replication factor once all of them are in sync */
    uint32_t removing;        /* likewise: goes when those that are added are in sync */
    bool is_queued;           /* the move waits for its turn: the adding ones do not follow yet */
    bool is_pinned;           /* a person said where it is: it is not spread elsewhere by itself */
    bool is_sealing;          /* mode quorum: nobody leads; every replica that sees it refuses earlier epochs and reports (decide_recover.c) */
    uint32_t reset_epoch;     /* raised by every election that may have lost acknowledged records; 0: there was none */
    const uint32_t *generation_words; /* image_partition_generation() */
};

/* Replicas that hold, or held, what was acknowledged: all but those that a move adds. The replication factor of now. */
static inline uint32_t image_partition_factor(const struct image_partition *partition)
{
    return partition->replica_count - (uint32_t)__builtin_popcount(partition->adding);
}

/* The number of the change that made replicas[i] a replica, out of a counter of the whole image: a replica that was removed and added
 * again is told from one that stayed, however close together the two came. */
static inline uint64_t image_partition_generation(const struct image_partition *partition, uint32_t i)
{
    return partition->generation_words[2 * i] | (uint64_t)partition->generation_words[2 * i + 1] << 32;
}

struct image_config {
    enum topic_config_id id;
    int64_t value;
};

struct image_pages; /* image_topic.c's */

struct image_topic {
    struct uuid topic_id;
    const char *name;
    uint64_t created_index; /* of the entry that made it */
    uint64_t changed_index; /* of the last entry that touched it: compare to see whether anything is new */
    uint32_t partition_count;
    uint32_t config_count;
    const struct image_config *configs; /* overrides only, ordered by id */
    const struct image_pages *pages;
};

/* ---- life ---- */

/* The image before the first entry. Errors: MESH_ENOMEM. */
int image_new_empty(struct image **ret_image);
struct image *image_ref(const struct image *image); /* any thread */
void image_unref(const struct image *image);        /* any thread; accepts NULL; the last one frees it */

/* Applies `count` entries, in order, to `base` (borrowed, unchanged). All or nothing. Checks each entry's index and chain, and
 * that each of its changes makes sense after what came before. A NOOP only moves the position, a CONFIG besides becomes
 * image_raft_config(), a COMMAND's changes take effect together. Errors: MESH_ECORRUPT (a gap, another chain hash, or an entry that
 * cannot follow this image: stop and alarm, never skip), MESH_EVERSION (kind or field of a newer mesh), MESH_ENOMEM. */
int image_apply(const struct image *base, const struct raft_entry *entries, size_t count,
                struct image **ret_image);

/* The same with one entry on an image that only the caller refers to: for replaying long logs. On an error
 * the image may only be dropped. */
int image_advance(struct image *image, const struct raft_entry *entry);

/* ---- the log position it stands for ---- */

uint64_t image_applied_index(const struct image *image); /* 0: nothing yet */
uint64_t image_applied_term(const struct image *image);
const uint8_t *image_chain(const struct image *image); /* RAFT_CHAIN_SIZE bytes */

/* The configuration of consensus that was committed last; empty before the first. */
const struct raft_config *image_raft_config(const struct image *image);

/* ---- the mesh and its brokers ---- */

const struct uuid *image_cluster_id(const struct image *image); /* zero: not founded */
size_t image_broker_count(const struct image *image);
const struct image_broker *image_broker_at(const struct image *image, size_t i); /* ordered by node id */
const struct image_broker *image_find_broker(const struct image *image, int32_t node_id);
const struct image_broker *image_find_broker_by_uuid(const struct image *image, const struct uuid *broker_id);

/* A broker that was removed from the mesh for good; its uuid is refused. NULL: no such one (or long forgotten). */
const struct image_broker *image_find_retired(const struct image *image, const struct uuid *broker_id);
bool image_can_retire(const struct image *image); /* false: too many were whose partitions still name them */
uint64_t image_leader_count(const struct image *image, int32_t node_id); /* partitions it leads; O(1) but for the look-up */

int32_t image_next_node_id(const struct image *image);
int64_t image_next_producer_id(const struct image *image);

/* ---- topics ---- */

const struct image_topic *image_find_topic(const struct image *image, const struct uuid *topic_id);
const struct image_topic *image_find_topic_by_name(const struct image *image,
                                                   const char *name); /* exact case */
/* The topic whose name equals `name` but for the case of letters (it may be equal altogether). */
const struct image_topic *image_find_topic_by_folded_name(const struct image *image, const char *name);

size_t image_topic_count(const struct image *image);
uint64_t image_partition_count(const struct image *image); /* of all topics */
uint64_t image_replica_count(const struct image *image, int32_t node_id); /* partitions it hosts */

/* Every topic, in no order; stops when each() returns non-zero and returns that. */
typedef int image_topic_fn(void *user, const struct image_topic *topic);
int image_each_topic(const struct image *image, image_topic_fn *each, void *user);

/* All topics ordered by name, in an array that the caller frees with free() (NULL when there are none).
 * Errors: MESH_ENOMEM. */
int image_topics_by_name(const struct image *image, const struct image_topic ***ret_topics,
                         size_t *ret_count);

/* True when a topic with this uuid existed and was deleted: its files may go. False again once every registered broker has applied
 * the deletion and the tombstone was dropped; but in the images that follow from the one that this process began with, only after tens of thousands more:
 * a broker may have applied the deletion, said so and lost power before its files were gone. */
bool image_topic_was_deleted(const struct image *image, const struct uuid *topic_id);
uint64_t image_oldest_tombstone(const struct image *image); /* index of the entry that left it; 0: there is none. O(tombstones) */

/* Keeps a topic (and what it points to) beyond the image that it came from. Any thread. */
const struct image_topic *image_topic_ref(const struct image_topic *topic);
void image_topic_unref(const struct image_topic *topic); /* accepts NULL */

/* false: there is no such partition. */
bool image_topic_partition(const struct image_topic *topic, uint32_t partition,
                           struct image_partition *ret_partition);

/* The effective value: the override, else what the topic's mode stands for, else the default. */
int64_t image_topic_config(const struct image_topic *topic, enum topic_config_id id);
enum topic_mode image_topic_mode(const struct image_topic *topic);

/* min.insync as it holds for a partition with this replication factor (image_partition_factor()): the setting, or ("auto", and always in mode
 * quorum) the majority. Leaders and coordinator must use this one function: whom rule R9 calls eligible rests on when the high watermark
 * stands still. It may be beyond the number of replicas, while a wish for more is not met. */
uint32_t image_min_insync(const struct image_topic *topic, uint32_t factor);

/* Where a partition lives in a broker: the same everywhere, so that any broker can name the leader's shard.
 */
uint32_t image_shard_of(const struct uuid *topic_id, uint32_t partition, uint32_t shard_count);

/* ---- users and what they may do (enforced elsewhere) ---- */

/* Numbers are on disk: never renumber, never reuse. */
enum image_scram { IMAGE_SCRAM_SHA_256 = 1, IMAGE_SCRAM_SHA_512 = 2 };
#define IMAGE_SCRAM_COUNT 2

/* What lets a password be checked without knowing it (RFC 5802). Both keys have the hash's size. */
struct image_verifier {
    enum image_scram mechanism;
    uint32_t iterations;
    uint8_t salt_size;
    uint8_t salt[IMAGE_SALT_SIZE_MAX], stored_key[IMAGE_SCRAM_KEY_SIZE_MAX], server_key[IMAGE_SCRAM_KEY_SIZE_MAX];
};

struct image_user {
    char name[IMAGE_NAME_SIZE_MAX + 1];
    uint32_t verifier_count;                             /* 1..IMAGE_SCRAM_COUNT, rising by mechanism */
    struct image_verifier verifiers[IMAGE_SCRAM_COUNT];
};

size_t image_user_count(const struct image *image);
const struct image_user *image_find_user(const struct image *image, const char *name); /* NULL: none */
typedef int image_user_fn(void *user, const struct image_user *found);
int image_each_user(const struct image *image, image_user_fn *each, void *user); /* in no order; as image_each_topic() */

/* The numbers are those that Kafka's protocol uses, so that its requests need no table. */
enum image_resource { IMAGE_RESOURCE_TOPIC = 2, IMAGE_RESOURCE_GROUP = 3, IMAGE_RESOURCE_CLUSTER = 4, IMAGE_RESOURCE_TRANSACTION = 5 };
enum image_pattern { IMAGE_PATTERN_LITERAL = 3, IMAGE_PATTERN_PREFIXED = 4 };
enum image_operation {
    IMAGE_OPERATION_ALL = 2,
    IMAGE_OPERATION_READ = 3,
    IMAGE_OPERATION_WRITE = 4,
    IMAGE_OPERATION_CREATE = 5,
    IMAGE_OPERATION_DELETE = 6,
    IMAGE_OPERATION_ALTER = 7,
    IMAGE_OPERATION_DESCRIBE = 8,
    IMAGE_OPERATION_CLUSTER_ACTION = 9,
    IMAGE_OPERATION_DESCRIBE_CONFIGS = 10,
    IMAGE_OPERATION_ALTER_CONFIGS = 11,
    IMAGE_OPERATION_IDEMPOTENT_WRITE = 12,
};

struct image_acl {
    char principal[IMAGE_NAME_SIZE_MAX + 1]; /* "User:alice", "User:*" */
    char resource[IMAGE_NAME_SIZE_MAX + 1];  /* a name, a prefix, or "*" */
    char host[IMAGE_NAME_SIZE_MAX + 1];      /* an address, or "*" */
    enum image_resource resource_type;
    enum image_pattern pattern;
    enum image_operation operation;
    bool is_deny;
};

size_t image_acl_count(const struct image *image);
bool image_has_acl(const struct image *image, const struct image_acl *acl); /* exactly this one */
typedef int image_acl_fn(void *user, const struct image_acl *acl);
int image_each_acl(const struct image *image, image_acl_fn *each, void *user);

/* ---- requests that were answered ---- */

/* What became of a request that changed something, so that a retry of it is answered instead of done again. */
struct image_request {
    uint64_t boot, sequence; /* of the broker that was asked */
    uint64_t index;          /* of the entry that did it */
    int error;               /* MESH_E..., mostly 0: what was refused changed nothing, and is remembered elsewhere (metadata/origins.c) */
    uint8_t result_size;
    uint8_t result[IMAGE_REQUEST_RESULT_MAX]; /* the asker's, opaque here */
};
/* NULL: not done, or more than IMAGE_REQUESTS_MAX of that origin's requests ago. */
const struct image_request *image_find_request(const struct image *image, const struct uuid *origin, uint64_t boot, uint64_t sequence);

/* ---- why a broker leads ---- */

/* Numbers are on disk: never renumber, never reuse. */
enum image_election_reason {
    IMAGE_ELECTION_NONE = 0,
    IMAGE_ELECTION_FENCED = 1,     /* the leader lost its session */
    IMAGE_ELECTION_DRAINED = 2,    /* the leader is being stopped */
    IMAGE_ELECTION_RETIRED = 3,    /* the leader was removed from the mesh */
    IMAGE_ELECTION_RETURNED = 4,   /* there was no leader, and a broker that may lead came back */
    IMAGE_ELECTION_BALANCED = 5,   /* leadership goes back to where it was placed */
    IMAGE_ELECTION_ASKED = 6,      /* an operator asked */
    IMAGE_ELECTION_RESTARTED = 7,  /* the leader began a new life */
    IMAGE_ELECTION_UNCLEAN = 8,    /* no complete replica was left: acknowledged records may be lost. Raises the reset epoch */
    IMAGE_ELECTION_MOVED = 9,      /* the leader's replica was moved away */
    IMAGE_ELECTION_DAMAGED = 10,   /* the leader's replica has a hole */
    IMAGE_ELECTION_SEALED = 11,    /* a majority has reported, and this one's log is the longest */
};

#define IMAGE_CANDIDATE_IN_SYNC    1u
#define IMAGE_CANDIDATE_ELIGIBLE   2u  /* in the ELR */
#define IMAGE_CANDIDATE_FENCED     4u
#define IMAGE_CANDIDATE_DRAINING   8u
#define IMAGE_CANDIDATE_RETIRED    16u
#define IMAGE_CANDIDATE_ZONE       32u /* stands in the zone that was preferred, or none was */
#define IMAGE_CANDIDATE_PREFERRED  64u /* the partition's first replica */
#define IMAGE_CANDIDATE_LAST_KNOWN 128u /* the last one known to be complete, and it stopped uncleanly */

struct image_candidate {
    int64_t score; /* 0: could not be elected */
    int32_t node_id;
    uint8_t flags;
    uint8_t log;    /* 0..9: how far its log reaches, as far as it is known */
    uint8_t health; /* 0..10 */
    uint8_t load;   /* 0..100: 100 idle, 50 as loaded as the average */
};

/* The last election of a partition. Partitions that were never elected (the placed leader leads) have none. */
struct image_election {
    uint64_t index; /* of the entry that did it */
    enum image_election_reason reason;
    int32_t leader; /* IMAGE_NO_LEADER: nobody could be elected */
    int32_t leader_epoch;
    uint32_t candidate_count; /* 0: it was too large to be kept with its scores */
    struct image_candidate candidates[]; /* in the replicas' order */
};
const struct image_election *image_election(const struct image *image, const struct uuid *topic_id, uint32_t partition); /* NULL: none */
size_t image_election_count(const struct image *image);

/* ---- deleted records ---- */

/* Records of a partition that clients had deleted: those before `offset`, as far as they are of leader epochs up to leader_epoch. In a log that holds what was
 * committed then, these are the same; where an unclean election has lost some of them, the newer records in their place are not deleted. */
struct image_deletion {
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader_epoch; /* of the leader whose high watermark allowed it */
    uint64_t offset;      /* > 0 */
};
const struct image_deletion *image_deletion(const struct image *image, const struct uuid *topic_id, uint32_t partition); /* NULL: none were */
size_t image_deletion_count(const struct image *image);
/* Whether `next` says more than what is known: of a newer leader epoch, or of more records. */
bool image_deletion_may_follow(const struct image_deletion *now, const struct image_deletion *next);

/* The level (record.h) of the newest thing in it: who reads it, whole or its entries, reads what is of that level. */
uint32_t image_level(const struct image *image);

/* ---- snapshots ---- */

/* Appends the whole image, as bytes that image_decode() reads (layout: FORMAT.md). Errors: MESH_ENOMEM. */
struct buffer;
int image_encode(const struct image *image, struct buffer *to);
/* Errors: MESH_ECORRUPT, MESH_EVERSION, MESH_ENOMEM. The same image encodes to the same bytes. */
int image_decode(struct slice from, struct image **ret_image);

#endif
