/* coordinator/decide.h - the coordinator's decisions: image x request -> a command to commit, or an error with
 * its reason.
 *
 * Pure functions: no clock, no random source (new uuids are handed in), no log. The caller commits the
 * command through the consensus log and applies the entry that comes back. A decision is valid only for the
 * image it was made from, so the caller makes the next one after the last is applied. */
#ifndef COORDINATOR_DECIDE_H
#define COORDINATOR_DECIDE_H

#include "base/buffer.h"
#include "replication/coordinator/image.h"

#define DECISION_MESSAGE_SIZE 384

struct decision {
    struct buffer command; /* the body of the entry to propose: decision_command() */
    size_t change_count;   /* in it; 0: nothing needs to change */
    struct buffer scratch; /* the body of the change that is being written */
    char message[DECISION_MESSAGE_SIZE]; /* on an error: a sentence for the requester */
};

void decision_init(struct decision *decision);
void decision_deinit(struct decision *decision);

/* The body of the COMMAND entry that makes the decision true; lives as long as the decision. Only when change_count is not 0. */
struct slice decision_command(const struct decision *decision);

struct decide_config {
    const char *key, *value; /* as the user wrote them */
};

struct decide_topic_create {
    const char *name;
    int32_t partition_count; /* 0 or -1: partition_count_default */
    int32_t
        replication_factor; /* 0 or -1: replication_factor_default, but never more than there are brokers */
    const struct decide_config *configs;
    size_t config_count;
    struct uuid topic_id; /* fresh and random */
    int32_t partition_count_default, replication_factor_default;
    const struct decide_config *config_defaults; /* of the broker; recorded unless `configs` says otherwise */
    size_t config_default_count;
    bool is_internal; /* the mesh itself asks: "__mesh" names are allowed */
};

struct decide_topic_alter {
    const char *name;
    int32_t partition_count; /* 0: unchanged; otherwise more than now */
    const struct decide_config *configs;
    size_t config_count;
    const char *const *removed_keys; /* back to the default */
    size_t removed_key_count;
};

struct decide_broker_register {
    struct uuid broker_id, dir_id;
    uint64_t boot;
    const char *name, *host, *zone;
    uint16_t port;
    uint32_t shard_count;
};

/* All: on success `decision` (initialised by the caller) holds the changes; on an error its message says why.
 * Errors besides MESH_ENOMEM are named at each. */

/* MESH_EEXISTS (already founded). */
int decide_cluster_create(const struct image *image, const struct uuid *cluster_id,
                          struct decision *decision);

/* Gives a new broker its node id, updates a known one. MESH_EINVAL (texts too long, no port), MESH_EFULL. */
int decide_broker_register(const struct image *image, const struct decide_broker_register *request,
                           struct decision *decision);

/* MESH_EINVALID_TOPIC, MESH_ETOPIC_EXISTS (also for a case twin, which the message names),
 * MESH_EINVALID_PARTITIONS, MESH_EINVALID_REPLICATION, MESH_EINVALID_CONFIG, MESH_EFULL (too many topics). */
int decide_topic_create(const struct image *image, const struct decide_topic_create *request,
                        struct decision *decision);

/* MESH_EUNKNOWN_TOPIC, MESH_EINVALID_PARTITIONS (fewer or too many), MESH_EINVALID_CONFIG. */
int decide_topic_alter(const struct image *image, const struct decide_topic_alter *request,
                       struct decision *decision);

/* MESH_EUNKNOWN_TOPIC, MESH_EINVALID_TOPIC (an internal one). */
int decide_topic_delete(const struct image *image, const char *name, struct decision *decision);

/* A block of `count` (1..1,000,000) producer ids for a broker; the first is image_next_producer_id().
 * MESH_EINVAL. */
int decide_producer_ids(const struct image *image, int32_t node_id, uint32_t count,
                        struct decision *decision);

#endif
