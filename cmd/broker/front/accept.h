/* broker/front/accept.h - listening sockets and new connections.
 *
 * Every shard listens on the same port (SO_REUSEPORT); the kernel spreads connections over them. */
#ifndef BROKER_FRONT_ACCEPT_H
#define BROKER_FRONT_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct shard;
struct sockaddr;

/* Resolves "HOST:PORT" ("[v6]:PORT") and binds `count` sockets to it, with one free port when PORT is 0; none listens
 * yet. On success the caller owns ret_fds[0..count) and *ret_host (malloc'ed, without brackets). Errors, with a sentence
 * in `message`: MESH_EINVAL (malformed), MESH_ERESOLVE, MESH_EBUSY (the port is taken), MESH_EIO, MESH_ENOMEM. */
#define ACCEPT_MESSAGE_SIZE 400
int accept_bind(const char *listen_on, uint32_t count, int *ret_fds, char **ret_host, uint16_t *ret_port,
                char message[ACCEPT_MESSAGE_SIZE]);

/* Whether connections to the one bound socket's address could come to the other: SO_REUSEPORT and SO_REUSEADDR let both be bound while neither
 * listens, and the kernel would then spread connections over them. */
bool accept_is_same_port(int fd, int other);

/* From here on clients can connect; the shard's thread accepts them. Before that thread starts. Errors: MESH_EIO. */
int accept_listen(struct shard *shard);

/* Starts and stops accepting on a shard's socket; on its thread. */
void accept_start(struct shard *shard);
void accept_stop(struct shard *shard);

/* Whether this is an address of the machine itself: 127.0.0.0/8, ::1, or the former written as IPv6. Pure. */
bool accept_is_loopback(const struct sockaddr *peer);

/* A connection has ended: it does not count against connections.max any more. Any thread. */
void accept_forget(struct broker *broker);

#endif
