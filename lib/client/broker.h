/* client/broker.h - the brokers that the client knows: by address (seeds) and by node id (learned).
 *
 * The address at which a broker answered is preferred to the one it advertises: it is known to work from
 * here. The advertised one is tried in turn with it when it stops working.
 *
 *   UNTRIED --ready--> REACHED <--ready------------.
 *      '---- an attempt fails, or takes long ----> UNREACHED
 *
 * A connection whose broker owes answers and keeps silent is **in doubt** (connection.h): others are asked who leads, and when that is
 * another broker, what is under way there is given up (producer_routes.c, consumer_fetch.c).
 *
 * A leader that is UNREACHED is used through another broker that is REACHED (a **relay**: topic_route()), and tried again in the
 * background every second or two until it is reached. */
#ifndef CLIENT_BROKER_H
#define CLIENT_BROKER_H

#include "client/connection.h"

#define BROKER_RELAY_AFTER_MS 700  /* an attempt that takes so long counts as failed, until it succeeds */
#define BROKER_PROBE_MS       1500 /* one attempt, and one pause, while a relay is used instead */

enum broker_reach { BROKER_UNTRIED, BROKER_REACHED, BROKER_UNREACHED };

struct broker {
    struct list_node node;
    struct mesh_client *client;
    bool is_seed;
    int32_t node_id; /* -1: not known yet */
    struct address address;
    struct address advertised; /* host "": none was heard of, or it is the same */
    enum broker_reach reach;
    uint64_t tried_ms;        /* when broker_any_ready() chose it last; 0: never */
    bool is_relayed;          /* others are used in its place: it is probed */
    struct timer reach_timer; /* an attempt has taken BROKER_RELAY_AFTER_MS */
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

/* A connection of its own for requests that this broker is to send on to the leaders; for any leader. Errors: MESH_ENOMEM. */
int broker_relay_connection(struct broker *broker, enum connection_lane lane, struct connection **ret_connection);

/* A broker that is reached now and could be the relay for `instead`, or NULL; then attempts are under way. */
struct broker *broker_find_relay(struct mesh_client *client, const struct broker *instead);

/* It is used through a relay from now on: it is looked for by short attempts, until one succeeds. */
void broker_probe(struct broker *broker);

/* What its connections tell: one is ready; an attempt begins; one has failed. */
void broker_note_ready(struct broker *broker);
void broker_note_attempt(struct broker *broker);
void broker_note_failure(struct broker *broker);

/* A ready connection for commands to any broker, or NULL; then attempts are under way: one broker after the
 * other, and the next one too when the first keeps silent. A broker with a
 * connection in doubt is taken only when there is no other to be had. */
struct connection *broker_any_ready(struct mesh_client *client);

/* Whoever answered may know of nothing: attempts begin at all given addresses of which it is not known who is there. True: what becomes of
 * one of them was open until now, which it is for BROKER_RELAY_AFTER_MS at most. */
bool broker_try_given(struct mesh_client *client);

/* A name of many brokers was dialled once more and another one answered: while a connection to the first is ready, `broker` stays that one. */
bool broker_is_other(const struct broker *broker, int32_t node_id);

/* Whether it is silent on one of its connections: then it is likely to be on the others. */
bool broker_is_doubted(const struct broker *broker);

/* Whether commands could be sent to some broker now. */
bool broker_is_any_ready(struct mesh_client *client);

/* Whether every broker's last attempt was refused for good: nobody listens there, or there is no such host.
 */
bool broker_is_all_refused(struct mesh_client *client);

/* "host:port: why it cannot be reached; ..." of every broker, cut to size. */
void broker_describe_problems(struct mesh_client *client, char *to, size_t size);

#endif
