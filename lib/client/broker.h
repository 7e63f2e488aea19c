/* client/broker.h - the brokers that the client knows: by address (seeds) and by node id (learned).
 *
 * The address at which a broker answered is preferred to the one it advertises: it is known to work from
 * here. */
#ifndef CLIENT_BROKER_H
#define CLIENT_BROKER_H

#include "client/connection.h"

struct broker {
    struct list_node node;
    struct mesh_client *client;
    bool is_seed;
    int32_t node_id; /* -1: not known yet */
    struct address address;
    struct list_node connections;
};

/* Errors: MESH_ENOMEM. The client owns it. */
int broker_new(struct mesh_client *client, const struct address *address, bool is_seed,
               struct broker **ret_broker);
void broker_free(struct broker *broker);

/* The broker with this node id, or NULL. */
struct broker *broker_find(struct mesh_client *client, int32_t node_id);

/* Its connection to this shard, made if absent. A requests connection to shard -1 is any that exists. Errors:
 * MESH_ENOMEM. */
int broker_connection(struct broker *broker, int32_t shard, enum connection_lane lane,
                      struct connection **ret_connection);

/* A ready connection for commands to any broker, or NULL; then attempts are under way: one broker after the
 * other, and the next one too when the first keeps silent. */
struct connection *broker_any_ready(struct mesh_client *client);

/* Whether commands could be sent to some broker now. */
bool broker_is_any_ready(struct mesh_client *client);

/* Whether every broker's last attempt was refused for good: nobody listens there, or there is no such host.
 */
bool broker_is_all_refused(struct mesh_client *client);

/* "host:port: why it cannot be reached; ..." of every broker, cut to size. */
void broker_describe_problems(struct mesh_client *client, char *to, size_t size);

#endif
