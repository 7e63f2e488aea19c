/* coordinator/partition_rules.h - what happens to one partition's ISR, eligible replicas and moves (PROTOCOLS 4.1, R8-R11, R18): rules that
 * several decisions share. They change a state in place and never touch its partition epoch. For decide_*.c and their like only.
 *
 * Mode quorum (image.h) commits by the majority of all replicas that are not being added. There the ISR only says who keeps up, and ISR and
 * ELR together are those that still hold what they acknowledged: they may speak when a leader is sought. Whoever lost data is in neither
 * until a leader has seen it catch up. So leaving the ISR always leads to the ELR, and the ELR is never forgotten. */
#ifndef COORDINATOR_PARTITION_RULES_H
#define COORDINATOR_PARTITION_RULES_H

#include "replication/coordinator/elector.h"

/* The broker's bit among the replicas; 0: it is none of them. */
uint32_t rules_bit(const struct body_partition *state, int32_t node_id);
uint32_t rules_min_insync(const struct image_topic *topic, const struct body_partition *state);
uint32_t rules_majority(const struct body_partition *state); /* of those that are not being added */

/* Rule R9: they leave the ISR, and become eligible when it is below the minimum without them. */
void rules_leave_isr(const struct image_topic *topic, struct body_partition *state, uint32_t mask);
/* Who is eligible is forgotten once the ISR is large enough by itself: after every change of it. */
void rules_settle(const struct image_topic *topic, struct body_partition *state);

/* Seeks a leader anew: the best of the eligible, or in mode quorum a seal. Afterwards rules_settle(). */
void rules_elect(struct elector *elector, const struct image_topic *topic, struct body_partition *state, enum image_election_reason reason);

/* Where nobody leads and somebody may (not in mode quorum): after changes of who may. */
void rules_elect_if_one_can(struct elector *elector, const struct image_topic *topic, struct body_partition *state,
                            enum image_election_reason reason);

/* The move under way ends if it can: all that are added are in sync, and as many as min.insync of those that stay are. Mode quorum takes two
 * steps, since its leader has to know the larger set before the smaller one holds: first the added count, then, when the leader confirms
 * that (is_confirmed: it asks from the present partition epoch), the removed go. True: the state changed, maybe its replicas. */
bool rules_finish_move(struct elector *elector, const struct image_topic *topic, struct body_partition *state, bool is_confirmed);

/* All that are added are in sync, and those that are to go cannot: too few of the others are. */
bool rules_move_is_stuck(const struct elector *elector, const struct image_topic *topic, const struct body_partition *state);

/* Back to the replicas before the move; in sync or not, those that were added go. False, and nothing changes: the leader is one of them, the ISR
 * would fall below min.insync, or no complete replica would be left; or mode quorum has grown already. */
bool rules_cancel_move(const struct image_topic *topic, struct body_partition *state);

/* A move from the present replicas (none may be under way) to these, different node ids: first they, in their order, then those that are to go. False:
 * more than IMAGE_REPLICAS_MAX in all; nothing changed. Queued when something is added. */
bool rules_begin_move(struct body_partition *state, const int32_t *replicas, uint32_t count);

/* Takes replicas out of the list, and their bits with them. */
void rules_drop_replicas(struct body_partition *state, uint32_t mask);

#endif
