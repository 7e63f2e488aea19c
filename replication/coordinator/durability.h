/* coordinator/durability.h - what a topic promises: its mode, replication factor, min.insync and flush have to make sense together.
 * For decide_topic.c. Pure. */
#ifndef COORDINATOR_DURABILITY_H
#define COORDINATOR_DURABILITY_H

#include "replication/coordinator/decide_internal.h"

/* The effective value of a topic with the configs of `body`. */
int64_t durability_config(const struct body_topic *body, enum topic_config_id id);
/* Sets or replaces one of the body's configs. */
void durability_set(struct body_topic *body, enum topic_config_id id, int64_t value);

/* Whether these configs go together with `factor` wanted replicas. MESH_EINVALID_CONFIG or MESH_EINVALID_REPLICATION with a sentence. */
int durability_check(const struct body_topic *body, int32_t factor, struct decision *decision);

/* Settings that are allowed and probably not meant, and wishes that cannot be met now (placed < factor), become the decision's message. */
void durability_warn(const struct body_topic *body, int32_t factor, int32_t placed, struct decision *decision);

/* A mode that cannot be entered or left. MESH_EINVALID_CONFIG. */
int durability_check_change(const struct image_topic *topic, const struct body_topic *body, struct decision *decision);

/* When min.insync falls, ISRs that were too small may be large enough: who was eligible because they were not is forgotten in the same entry,
 * for the leader commits without them from then on. When it rises, the partitions' epochs do: no ALTER of a leader that does not know it is taken. Adds
 * those changes, if there are any. */
int durability_settle(const struct image_topic *topic, const struct body_topic *body, struct decision *decision);

#endif
