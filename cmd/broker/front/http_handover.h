/* broker/front/http_handover.h - sends a connection that speaks HTTP to the control loop, where its door is. */
#ifndef BROKER_FRONT_HTTP_HANDOVER_H
#define BROKER_FRONT_HTTP_HANDOVER_H

#include "base/slice.h"

struct connection;

/* The connection is closed for the shard; its descriptor and `received` travel. */
void http_handover(struct connection *connection, struct slice received);

#endif
