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
};

/* One partition as the image knows it; returned by value, the arrays live as long as the image. */
struct image_partition {
    int32_t leader; /* node id, or IMAGE_NO_LEADER */
    int32_t leader_epoch;
    uint32_t partition_epoch; /* raised by every change of leader, replicas or ISR */
    uint32_t replica_count;   /* 1..IMAGE_REPLICAS_MAX */
    const int32_t *replicas;  /* node ids, the preferred leader first */
    uint32_t isr;             /* bit i is set: replicas[i] is in sync */
};

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
uint64_t image_replica_count(const struct image *image,
                             int32_t node_id); /* partitions it hosts; O(partitions) */

/* Every topic, in no order; stops when each() returns non-zero and returns that. */
typedef int image_topic_fn(void *user, const struct image_topic *topic);
int image_each_topic(const struct image *image, image_topic_fn *each, void *user);

/* All topics ordered by name, in an array that the caller frees with free() (NULL when there are none).
 * Errors: MESH_ENOMEM. */
int image_topics_by_name(const struct image *image, const struct image_topic ***ret_topics,
                         size_t *ret_count);

/* True when a topic with this uuid existed and was deleted: its files may go. */
bool image_topic_was_deleted(const struct image *image, const struct uuid *topic_id);

/* Keeps a topic (and what it points to) beyond the image that it came from. Any thread. */
const struct image_topic *image_topic_ref(const struct image_topic *topic);
void image_topic_unref(const struct image_topic *topic); /* accepts NULL */

/* false: there is no such partition. */
bool image_topic_partition(const struct image_topic *topic, uint32_t partition,
                           struct image_partition *ret_partition);

/* The effective value: the override, else the default. */
int64_t image_topic_config(const struct image_topic *topic, enum topic_config_id id);

/* Where a partition lives in a broker: the same everywhere, so that any broker can name the leader's shard.
 */
uint32_t image_shard_of(const struct uuid *topic_id, uint32_t partition, uint32_t shard_count);

/* ---- snapshots ---- */

/* Appends the whole image, as bytes that image_decode() reads (layout: FORMAT.md). Errors: MESH_ENOMEM. */
struct buffer;
int image_encode(const struct image *image, struct buffer *to);
/* Errors: MESH_ECORRUPT, MESH_EVERSION, MESH_ENOMEM. The same image encodes to the same bytes. */
int image_decode(struct slice from, struct image **ret_image);

#endif
