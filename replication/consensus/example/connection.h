/* example/connection.h - a TCP connection on the loopback interface that never blocks: bytes in, bytes out. One thread. */
#ifndef CONSENSUS_EXAMPLE_CONNECTION_H
#define CONSENSUS_EXAMPLE_CONNECTION_H

#include "base/buffer.h"

#include <stdbool.h>

#define CONNECTION_BYTES_MAX (4u << 20) /* waiting to be sent: more is dropped, as a network would */

struct connection {
    int fd; /* -1: closed */
    struct buffer in, out;
};

#define CONNECTION_INIT {-1, BUFFER_INIT, BUFFER_INIT}

/* A socket that listens on 127.0.0.1, on a port that the system chooses. Errors: MESH_EIO. */
int connection_listen(int *ret_fd, uint16_t *ret_port);

/* Takes one that waits. False: nobody does. */
bool connection_accept(int listener, struct connection *connection);

/* Begins to connect. False: it was refused at once. */
bool connection_dial(struct connection *connection, uint16_t port);

/* Reads what is there; writes what can be. False: it is over, and closed. */
bool connection_read(struct connection *connection);
bool connection_flush(struct connection *connection);
void connection_close(struct connection *connection);

/* Adds to what is to be sent. False: too much waits, or no memory; nothing was added. */
bool connection_send(struct connection *connection, struct slice head, struct slice body);

#endif
