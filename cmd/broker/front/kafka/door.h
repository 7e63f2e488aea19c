/* broker/front/kafka/door.h - what connections know of the Kafka door. */
#ifndef BROKER_FRONT_KAFKA_DOOR_H
#define BROKER_FRONT_KAFKA_DOOR_H

#include "cmd/broker/front/connection.h"

/* A connection turned out to speak Kafka: it is open from here on. Errors: MESH_ENOMEM. */
int kafka_open(struct connection *connection);

/* As connection_serve_native(), for a connection with a session. */
enum serve connection_serve_kafka(struct connection *connection, uint8_t *bytes, size_t size, size_t *ret_used, size_t *ret_need);

/* The connection ends: its fetches are canceled, answers that wait are dropped. Harmless without a session. */
void kafka_close(struct connection *connection);

/* Whether nothing may be served yet: something is under way behind which everything waits, or what waits holds too much memory. */
bool kafka_is_busy(const struct connection *connection);

/* Whether the client has yet to say who it is, before anything else is served; false for one that does not speak Kafka's protocol. */
bool kafka_is_stranger(const struct connection *connection);

#endif
