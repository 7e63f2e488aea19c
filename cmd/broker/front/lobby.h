/* broker/front/lobby.h - where connections wait until it is known which loop will serve them.
 *
 * libev takes a descriptor out of its epoll set only when an event shows that nobody wants it any more; a connection that has
 * moved to another thread would be reported, and taken out, behind that thread's back. So before its hello a connection
 * is watched by an epoll set of our own, out of which it is taken before it moves. The loop watches that set.
 *
 * Whoever waits for memory is watched here too, only for its peer's end: what it has still to say must not wake the loop. */
#ifndef BROKER_FRONT_LOBBY_H
#define BROKER_FRONT_LOBBY_H

#include <ev.h>

struct connection;
struct shard;

struct lobby {
    int epoll_fd;
    ev_io io;
};

#define LOBBY_INIT {.epoll_fd = -1}

/* Errors: MESH_EIO, MESH_ENOMEM. */
int lobby_open(struct shard *shard);
void lobby_close(struct shard *shard); /* harmless when it was not opened */

/* What is awaited in here; entering again changes that. LOBBY_END is told at most once. Errors: MESH_EIO, MESH_ENOMEM. */
enum lobby_watch { LOBBY_NOTHING, LOBBY_INPUT, LOBBY_END };
int lobby_enter(struct connection *connection, enum lobby_watch watch);
void lobby_leave(struct connection *connection); /* harmless when it is not in */

#endif
