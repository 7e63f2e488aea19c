/* coordinator/decide_internal.h - for decide*.c only: how a decision is written down. */
#ifndef COORDINATOR_DECIDE_INTERNAL_H
#define COORDINATOR_DECIDE_INTERNAL_H

#include "replication/coordinator/decide.h"
#include "replication/coordinator/record_body.h"

/* Says why, for people, and returns err. */
int decision_refuse(struct decision *decision, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The empty buffer that the next change's body is written to. */
struct buffer *decision_body(struct decision *decision);
/* Adds the change whose body was written there. Errors: MESH_ETOOLARGE, MESH_ENOMEM. */
int decision_add(struct decision *decision, enum metadata_kind kind, struct slice key);
int decision_add_uuid(struct decision *decision, enum metadata_kind kind, const struct uuid *key);

/* The order of the partitions of a request: -1, 0 or 1. */
int decide_compare_places(const struct uuid *topic_a, uint32_t partition_a, const struct uuid *topic_b, uint32_t partition_b);

/* Changes of partitions while they are collected: those of one topic in a row are one change of the command. */
struct changes {
    struct decision *decision;
    struct buffer *body; /* NULL: no change is open */
    struct uuid topic_id;
    uint64_t count;
};
/* The partition's next state; raises its partition epoch in place. `topic` is as it stands in the image: replicas that stay are not written. */
int changes_put(struct changes *changes, const struct image_topic *topic, struct body_partition *next);
int changes_end(struct changes *changes); /* after the last one, also when there was none */

#endif
