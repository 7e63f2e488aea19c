/* broker/front/connections.h - all connections of one shard: the lists they stand in and the one timer that watches them.
 *
 * Whoever finds the pool full waits in line and keeps what it has of a request. Lest those who wait hold all there is,
 * the first in line may pass the limit: one connection (it has the turn) for the rest of its request, and one batch on its
 * way to another shard (ops/produce.c). The turn lasts as long as a peer may stall, the wait in line four times that. */
#ifndef BROKER_FRONT_CONNECTIONS_H
#define BROKER_FRONT_CONNECTIONS_H

#include "base/list.h"
#include "cmd/broker/front/lobby.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define CONGESTION_NAME_SIZE 17 /* the kernel's 16 and a zero */

/* The one port, and the gateway's where there is one (gateway.h). */
enum listener_kind { LISTENER_PORT, LISTENER_GATEWAY, LISTENER_COUNT };

struct listener {
    int fd; /* -1: none */
    bool is_gateway;
    ev_io io;
    ev_timer timer; /* out of descriptors: try again then */
};

struct connection;
struct shard;

struct connections {
    struct list_node all;
    struct list_node flushing;       /* have something to send at the end of the turn */
    struct list_node resuming;       /* were over a limit of theirs, are not any more */
    struct list_node memory_waiting; /* found memory full, in order */
    struct list_node stalling;       /* owe us something; oldest first */
    struct list_node closed;         /* freed when nothing is under way for them */
    struct connection *turn;         /* may receive beyond the pool's limit until its request is served; or NULL */
    bool is_serving_front;           /* the first of memory_waiting is being served */
    ev_timer stall_timer;
    uint64_t stall_due_ms; /* when it is set for, while it is active */
    struct listener listeners[LISTENER_COUNT];
    struct lobby lobby;
    char congestion[CONGESTION_NAME_SIZE]; /* what the system wants where there is a network; "": unknown */
    uint64_t pending; /* unanswered requests of all connections */
    uint64_t complaint_second;
    uint32_t complaint_count; /* in that second */
    uint64_t complaints_suppressed;
};

/* Takes the descriptors (gateway_fd -1: none). Accepting starts with connections_listen(), when the loop exists. */
void connections_init(struct shard *shard, int listen_fd, int gateway_fd);
void connections_listen(struct shard *shard);
void connections_stop_listening(struct shard *shard);
void connections_close_all(struct shard *shard);
void connections_deinit(struct shard *shard); /* closes everything; whatever was under way must have come back */

/* End of the turn, before the store's: goes on with requests that had to wait. */
void connections_resume(struct shard *shard);
/* Something was added to what the stall timer watches. */
void connections_watch_stall(struct shard *shard);
/* Behind the others, with the time when it began to wait. */
void connections_wait_for_memory(struct connection *connection);
/* Whether it may pass the pool's limit. */
bool connection_has_turn(const struct connection *connection);
/* The connection holds nothing beyond the limit any more: the next one may. Harmless for those that do not have the turn. */
void connections_end_turn(struct connection *connection);
/* The store is full: records that wait in its memory for clients who do not read are copied out of it. */
void connections_relieve(struct shard *shard);
/* End of the turn, last: sends what there is to send and frees what is closed. */
void connections_flush(struct shard *shard);
/* Whether all output has left. */
bool connections_are_flushed(const struct shard *shard);

#endif
