/* broker/front/kafka/brokers.h - which brokers a client is told of: those of the image, or, by the gateway (front/gateway.h), one for all.
 * On the connection's shard. */
#ifndef BROKER_FRONT_KAFKA_BROKERS_H
#define BROKER_FRONT_KAFKA_BROKERS_H

#include "base/slice.h"
#include "replication/coordinator/image.h"

struct connection;

/* Those that keep records and have a session. Node ids come from the committed image: the same from every broker, and for ever. A witness is an
 * entry like any other, but no client needs to know of it. */
bool kafka_broker_is_listed(const struct image_broker *broker);

/* Where a client finds a broker. Texts are the image's, or the gateway's. */
struct kafka_node {
    int32_t node_id;
    struct slice host;
    int32_t port;
    struct slice rack; /* NULL: none */
    bool is_fenced;
};

/* The places of the list, and what stands at one of them; false: nobody that the client should know of. */
size_t kafka_node_count(const struct connection *connection);
bool kafka_node_at(const struct connection *connection, size_t place, bool with_fenced, struct kafka_node *ret_node);

/* One broker as the client is told of it, if it is listed. */
bool kafka_node_find(const struct connection *connection, int32_t node_id, struct kafka_node *ret_node);

/* Whether it came by the gateway, so that there is one node for it, GATEWAY_NODE_ID. */
bool kafka_sees_one_node(const struct connection *connection);

/* Where administrative requests should go: any broker takes them on, so the one that answers, which is certainly there; the first one listed
 * if it is not itself listed; -1: none is. */
int32_t kafka_controller(const struct connection *connection);

#endif
