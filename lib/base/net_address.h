/* base/net_address.h - where a broker can be reached: an IP address and a port, for UDP and TCP alike.
 *
 * IPv4 addresses are kept in their IPv6-mapped form (RFC 4291, section 2.5.5.2), so that one comparison does. */
#ifndef BASE_NET_ADDRESS_H
#define BASE_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define NET_ADDRESS_STRING_SIZE 56 /* "[IPv6%scope]:65535" and its NUL */

struct net_address {
    uint8_t ip[16]; /* network order; all zero with port 0: none */
    uint16_t port;  /* host order */
};

static inline bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static inline bool net_address_is_none(const struct net_address *address)
{
    static const struct net_address none;

    return net_address_equal(address, &none);
}

/* True for 0.0.0.0 and ::, which name every address of a machine and none that a peer could dial. */
bool net_address_is_wildcard(const struct net_address *address);
bool net_address_is_loopback(const struct net_address *address);

/* From and to the system's form. Errors: MESH_EINVAL for a family that is neither IPv4 nor IPv6. IPv4-mapped
 * addresses become sockaddr_in. */
int net_address_from_sockaddr(const struct sockaddr *from, struct net_address *ret_address);
void net_address_to_sockaddr(const struct net_address *address, struct sockaddr_storage *to, socklen_t *ret_size);

/* "10.0.0.1:9092", "[2001:db8::1]:9092"; returns `to`. */
char *net_address_format(const struct net_address *address, char to[NET_ADDRESS_STRING_SIZE]);

/* Numeric addresses only; no resolver is asked. Errors: MESH_EINVAL; *ret_address is then untouched. */
int net_address_parse(const char *text, struct net_address *ret_address);

#endif
