/* broker/runtime/metrics_gather.h - how the control loop gets a copy of what every shard counts. */
#ifndef BROKER_RUNTIME_METRICS_GATHER_H
#define BROKER_RUNTIME_METRICS_GATHER_H

#include "cmd/broker/runtime/metrics.h"

struct control;

/* `set` is borrowed for the call; NULL when memory ran out. */
typedef void metrics_done_fn(void *user, const struct metrics_set *set);

/* Asks every shard; done runs on the control loop, exactly once, maybe at once. Control loop only. */
void metrics_collect(struct control *control, metrics_done_fn *done, void *user);

#endif
