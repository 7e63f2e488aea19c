/* base/address.h - "host:port" lists as users write them, and the socket addresses behind a name.
 *
 * Parsing is pure. Resolving asks the system's resolver and blocks the calling thread while it does; numeric
 * addresses are told apart first and never block. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_HOST_SIZE    256 /* bytes, NUL included; the longest DNS name fits */
#define ADDRESS_TEXT_SIZE    (ADDRESS_HOST_SIZE + 8)
#define ADDRESS_PORT_DEFAULT 9092
#define ADDRESS_LIST_MAX     64 /* addresses in one list */
#define ADDRESS_SOCKETS_MAX  16 /* of one name that are tried */

struct address {
    char host[ADDRESS_HOST_SIZE]; /* name, IPv4 or (without brackets) IPv6 */
    uint16_t port;
};

/* Parses "host", "host:port", "[v6]" or "[v6]:port", or a comma-separated list of them, into
 * to[0..*ret_count). Blanks around entries are ignored. Errors: MESH_EINVAL (malformed, empty, more than
 * `max`). */
int address_parse(struct slice text, struct address *ret_address);
int address_parse_list(const char *text, struct address *to, size_t max, size_t *ret_count);

/* "host:port" or "[v6]:port"; returns `to`. */
char *address_format(const struct address *address, char to[ADDRESS_TEXT_SIZE]);

struct address_sockets {
    struct sockaddr_storage sockets[ADDRESS_SOCKETS_MAX];
    socklen_t sizes[ADDRESS_SOCKETS_MAX];
    size_t count;
};

/* Resolves; in the resolver's order of preference. Errors: MESH_ERESOLVE (there is no such host), MESH_EAGAIN
 * (the resolver cannot say now), MESH_ENOMEM. *ret_reason (static storage) says why. */
int address_resolve(const struct address *address, struct address_sockets *ret_sockets,
                    const char **ret_reason);

/* Whether it is written in figures: then it is resolved without asking anybody. */
bool address_is_numeric(const struct address *address, struct address_sockets *ret_sockets);

/* 1 when the socket address is this machine's loopback. */
int address_is_loopback(const struct sockaddr *socket_address);

#endif
