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

/* What remains of a deleted topic. */
struct tombstone {
    atomic_uint references;
    struct uuid topic_id;
    uint64_t index; /* of the entry that deleted it */
};

struct broker_slot {
    struct broker_object *object; /* a reference */
    uint64_t replica_count;       /* partitions that it hosts */
};

/* A change that is being applied. */
struct image_change {
    uint64_t index; /* of its entry */
    uint16_t kind;
    struct slice key, body;
};

struct image {
    atomic_uint references;
    uint64_t index, term;
    uint8_t chain[RAFT_CHAIN_SIZE];
    struct raft_config raft_config; /* the newest that was committed */
    struct uuid cluster_id;
    int32_t next_node_id;
    int64_t next_producer_id;
    uint64_t partition_count;
    uint32_t broker_count;
    struct broker_slot *brokers; /* owned, ordered by node id */
    struct image_index by_uuid;  /* topics */
    struct image_index by_name;  /* topics, under the hash of the lower-case name */
    struct image_index tombstones;
};

uint64_t image_hash_uuid(const struct uuid *uuid);
uint64_t image_hash_name(const char *name); /* case ignored */

/* A new image that shares everything with base. Errors: MESH_ENOMEM. */
int image_clone(const struct image *base, struct image **ret_image);

/* The rest changes an image that nobody else has seen yet. Errors: MESH_ENOMEM; the image may then only be
 * dropped. */

/* Adds the broker or replaces the one with its node id; strings are copied. */
int image_put_broker(struct image *image, const struct body_broker *broker, const struct uuid *broker_id);
struct broker_slot *image_broker_slot(struct image *image, int32_t node_id); /* NULL: unknown */

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

/* Counts a partition's replicas to (+1) or from (-1) their brokers. MESH_ECORRUPT: one of them
 * is unknown or hosts too many. */
int image_count_replicas(struct image *image, const int32_t *replicas, uint32_t count, int sign);

#endif
