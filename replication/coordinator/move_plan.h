/* coordinator/move_plan.h - what the brokers hold and copy, while moves are planned (move_plan.c, move_spread.c). For those two only. */
#ifndef COORDINATOR_MOVE_PLAN_H
#define COORDINATOR_MOVE_PLAN_H

#include "replication/coordinator/decide_internal.h"
#include "replication/coordinator/elector.h"

struct mover {
    int32_t node_id;
    uint32_t zone;   /* a number for its zone; 0: it has none */
    bool is_usable;  /* it can get replicas, and be freed of some */
    bool is_gone;    /* its replicas become others': it went for good, or is about to */
    uint64_t hosted; /* replicas when all moves have ended */
    uint64_t copies; /* under way, to it or from it as their leader */
    uint64_t preferred; /* partitions that it is the first replica of, when all moves have ended */
};

struct move_plan {
    const struct image *image;
    struct elector elector;
    struct changes changes;
    struct mover *movers; /* owned, by node id */
    size_t count;
    uint64_t copies_max;  /* per broker */
    uint64_t budget;      /* partitions that may change still, in this decision */
    bool is_pending;      /* something moves, or waits for its turn */
    bool is_spreading;
    bool is_troubled;     /* a replica that may come back is missing: its broker, or its leader, needs its strength for that */
};

int move_plan_init(struct move_plan *plan, const struct image *image, const struct decide_facts *facts, struct decision *decision);
void move_plan_deinit(struct move_plan *plan);
void move_plan_count(struct move_plan *plan, const struct image_topic *topic); /* this topic's replicas and copies, too */

struct mover *move_plan_find(const struct move_plan *plan, int32_t node_id); /* NULL: not registered */

/* The best broker to get a replica that stands beside `list`; NULL: none has room. In other zones first, then the one with least. */
struct mover *move_plan_pick(const struct move_plan *plan, const int32_t *list, uint32_t count);
uint32_t move_plan_zone_mates(const struct move_plan *plan, const struct mover *mover, const int32_t *list, uint32_t count, uint32_t except);

/* The move to this list begins, now or queued; counts it. False: it cannot (nothing changed). */
bool move_plan_begin(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, const int32_t *list,
                     uint32_t count, bool is_queued);

/* One replica to the emptiest broker, if that makes the brokers more even, as their preferred leader if that does, too; else another replica as the
 * preferred leader. */
bool move_plan_spread_one(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, bool is_queued);
/* A partition of the mesh's own whose replicas were on brokers that were all removed from the mesh, with unclean=balanced: nobody will ever have its records
 * again, and what it is for can begin anew without them (replication/spread knows what was in it). It gets new, empty replicas, a leader, and the loss on
 * record. False: that is not so, or no broker has room. Topics of users wait for their operator: their records are not to be had elsewhere. */
bool move_plan_refound(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state);
/* Most and least of the usable brokers; false: there are fewer than two. */
bool move_plan_extremes(const struct move_plan *plan, uint64_t *ret_most, uint64_t *ret_least, uint64_t *ret_average);

#endif
