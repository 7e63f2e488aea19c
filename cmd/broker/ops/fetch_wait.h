/* broker/ops/fetch_wait.h - how the shard tells long polls that something happened. */
#ifndef BROKER_OPS_FETCH_WAIT_H
#define BROKER_OPS_FETCH_WAIT_H

#include "base/list.h"

#include <stdint.h>

struct shard;

/* Empties a partition's list of waiters; their fetches are looked at again at the end of the turn. */
void fetch_wake(struct shard *shard, struct list_node *waiters);

/* End of the turn: looks at every fetch that was woken. */
void fetch_run_ready(struct shard *shard);

/* Where readers say that records came damaged the disk is looked at, when it is somebody's turn (doubts.h). Returns when the next
 * turn is; UINT64_MAX: nobody waits for one. */
uint64_t fetch_follow_doubts(struct shard *shard);

/* The broker stops: every waiting fetch on this shard answers with what there is. */
void fetch_stop_waiting(struct shard *shard);

#endif
