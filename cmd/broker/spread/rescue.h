/* spread/rescue.h - every complete replica of a group partition was lost: before whoever leads it now judges any request, it asks every live broker what it had
 * heard, and puts what is newer than its own state into it, as the first records of its epoch.
 *
 * That is the last resort (PROTOCOLS 2.5.5): what was heard is older than what was committed by the last round, and the log says so. */
#ifndef BROKER_SPREAD_RESCUE_H
#define BROKER_SPREAD_RESCUE_H

#include "cmd/broker/groups/groups.h"
#include "replication/spread/cells.h"

#define RESCUE_WAIT_MS 2000 /* for answers; who has not said all by then is not waited for */

/* ---- shard ---- */

/* This broker leads after an election that accepted a loss, its own or one whose leader did not get so far. True: what others had heard is here, or nobody answered in time. False: they are being asked,
 * and the replica is looked at again when they have answered. */
bool rescue_is_ready(struct shard *shard, struct shard_partition *partition, uint32_t epoch);

/* The high watermark rose: once what was put in is committed, what was heard is let go. Until then a lead of this epoch that has to begin anew finds it. */
void rescue_committed(struct shard *shard, struct group_replica *replica);

/* The lead has begun, and has judged nobody yet: what was heard goes into it. Errors: MESH_ENOMEM (half of it may be in the state: the lead is to begin
 * anew from its log, then all of it goes in). */
int rescue_apply(struct shard *shard, struct group_replica *replica);

/* Puts into a lead what is in `heard` and is newer than what its state has. Groups that have members get it as a reset that ends claims, the others as commits by
 * nobody; what others heard to be gone later than that goes. The numbers of groups and offsets that were put in. Errors: MESH_ENOMEM (the lead is of no more use). */
int rescue_put(struct group_lead *lead, const struct groups *state, const struct spread_cells *heard, uint64_t now_ms, uint64_t wall_ms, uint32_t *ret_groups,
               uint32_t *ret_cells);

#endif
