/* peers/waiting_door.h - who knocks while a broker waits for its mesh, or for its metadata, and no shard serves the port yet.
 *
 * Other brokers are let in. Probes hear that the process lives and is not ready, and for what it waits. Whoever wants to be served is sent away at once, so
 * that it tries another broker. On one loop; no thread but that. */
#ifndef PEERS_WAITING_DOOR_H
#define PEERS_WAITING_DOOR_H

#include "base/slice.h"

#include <ev.h>

struct waiting_door;

/* A broker's connection, non-blocking, and what was read of it; the socket is the callee's. NULL: brokers are sent away as well. */
typedef void waiting_door_peer_fn(void *user, int fd, struct slice bytes);

struct waiting_door_options {
    struct ev_loop *loop;
    int listen_fd;      /* bound; left listening */
    const char *reason; /* what /readyz says; a literal */
    waiting_door_peer_fn *peer;
    void *user;
};

/* Errors: MESH_ENOMEM, those of listen(2). */
int waiting_door_open(const struct waiting_door_options *options, struct waiting_door **ret_door);
void waiting_door_close(struct waiting_door *door); /* accepts NULL. Connections that nobody has got yet end */

#endif
