/* coordinator/leader_walk.h - what happens to every partition when a broker goes, comes or begins anew: rule R9, for all partitions in
 * one decision. For decide_*.c only. */
#ifndef COORDINATOR_LEADER_WALK_H
#define COORDINATOR_LEADER_WALK_H

#include "replication/coordinator/decide_internal.h"
#include "replication/coordinator/elector.h"

enum leader_walk_kind {
    LEADER_WALK_GONE,     /* out of ISR and leadership; it may become eligible */
    LEADER_WALK_DRAIN,    /* the same, where another in-sync replica can take over */
    LEADER_WALK_RETIRE,   /* out of everything but the list of replicas */
    LEADER_WALK_NEW_LIFE, /* as GONE, and less trusted: was_unclean, was_set_back, has_lost_data */
    LEADER_WALK_RETURN,   /* becomes leader where there is none and it may */
};

struct leader_walk {
    enum leader_walk_kind kind;
    int32_t node_id;
    enum image_election_reason reason;
    bool was_unclean, was_set_back, has_lost_data; /* NEW_LIFE */
    struct elector *elector; /* knows the broker's state after the decision */
    struct decision *decision;
    uint64_t changed_count;  /* partitions changed */
    uint64_t lost_count;     /* RETIRE: partitions without any complete copy afterwards */
    char lost_name[300];     /* the first of them, "topic/3" */
};

/* Adds the changes of all partitions to walk->decision. Errors: as decision_add(). */
int leader_walk(const struct image *image, struct leader_walk *walk);

#endif
