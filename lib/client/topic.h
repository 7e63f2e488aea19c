/* client/topic.h - the routing cache: which broker and shard leads each partition of a topic.
 *
 * Filled by TOPIC_DESCRIBE at first use, again whenever a broker says that a route is wrong, and at a gentle
 * pace while in use. Whoever routes by a topic compares `generation` and takes its routes anew when it has
 * moved. */
#ifndef CLIENT_TOPIC_H
#define CLIENT_TOPIC_H

#include "base/uuid.h"
#include "client/client.h"
#include "client/connection.h"

#define TOPIC_NAME_MAX         249
#define TOPIC_UNKNOWN_GRACE_MS 1000   /* a new topic may not have reached every broker yet */
#define TOPIC_HASTE_MS         3000   /* answers so close to each other were asked for because of errors */
#define TOPIC_LOOK_MS          5000   /* between looks for the address of a broker that is not reached */
#define TOPIC_AGE_MAX_MS       300000 /* routes older than this are asked for again */

struct topic_partition {
    int32_t leader, leader_epoch; /* leader: node id, -1: none */
    uint32_t shard;
};

struct topic {
    struct list_node node;
    struct mesh_client *client;
    char name[TOPIC_NAME_MAX + 1];
    uint32_t reference_count;

    bool is_known;
    struct uuid id;
    struct topic_partition *partitions; /* owned */
    uint32_t partition_count;
    size_t batch_bytes_max; /* max.batch.bytes: what brokers take at once; SIZE_MAX: they did not say */
    uint64_t generation; /* raised by each answer */
    uint32_t unchanged;  /* answers in a row that brought nothing new */

    int error;                 /* the last answer: 0, MESH_EUNKNOWN_TOPIC, ... */
    uint64_t unknown_since_ms; /* the first of the answers in a row that did not know it, once all given addresses were tried; 0: known */
    struct call *refresh;      /* under way, or NULL */
    uint64_t refreshed_ms, retry_ms;
    uint32_t failures;
    struct timer timer; /* refresh again */
};

/* The client's entry for this name, referenced. Asks nobody yet. Errors: MESH_EINVALID_TOPIC (empty, too
 * long), MESH_ENOMEM. */
int topic_ref(struct mesh_client *client, const char *name, struct topic **ret_topic);
void topic_unref(struct topic *topic); /* accepts NULL */
void topic_free(struct topic *topic);  /* by the client's end only */

/* Asks for the routes again, unless that is under way; soon, with a backoff when it keeps failing. */
void topic_refresh(struct topic *topic);

/* Asks when the routes are missing or old. Call it where they are used. */
void topic_keep_fresh(struct topic *topic);

/* True when brokers have kept answering that there is no such topic. */
bool topic_is_missing(const struct topic *topic);

/* Asks who the brokers are when that is not known, or old: so that there is somewhere to go when every given address is gone. */
void topic_keep_brokers_fresh(struct mesh_client *client);

/* A broker cannot be reached: asks whether it is somewhere else by now, unless that was asked a moment ago. */
void topic_look_for_brokers(struct mesh_client *client);

/* Waits until the routes are known. Errors: MESH_EUNKNOWN_TOPIC, MESH_EUNREACHABLE, MESH_ETIMEDOUT, ... */
int topic_wait_known(struct topic *topic, uint64_t deadline_ms);

/* The connection to the leader of a partition, made if absent; or, while the leader is not reached, one to another broker that is to forward
 * (connection_is_relay()). NULL while there is none to be had: then routes or brokers are being asked for. It may be another one when the
 * topic's generation or the client's reach_generation has risen. */
struct connection *topic_route(struct topic *topic, uint32_t partition, enum connection_lane lane);

#endif
