/* broker/front/handover.h - sends a connection that speaks HTTP, or that is another broker's, to the control loop, where
 * those doors are. */
#ifndef BROKER_FRONT_HANDOVER_H
#define BROKER_FRONT_HANDOVER_H

#include "base/slice.h"

struct connection;

enum handover_door { HANDOVER_HTTP, HANDOVER_PEER, HANDOVER_STREAM };

/* The connection is closed for the shard; its descriptor and `received` travel. */
void handover(struct connection *connection, enum handover_door door, struct slice received);

#endif
