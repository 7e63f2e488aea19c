#include "base/net_address.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const struct net_address *address)
{
    return memcmp(address->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void set_ipv4(struct net_address *address, const void *ip)
{
    memcpy(address->ip, mapped_prefix, sizeof(mapped_prefix));
    memcpy(address->ip + sizeof(mapped_prefix), ip, 4);
}

bool net_address_is_wildcard(const struct net_address *address)
{
    static const uint8_t zeros[16];

    if (is_mapped(address)) return memcmp(address->ip + 12, zeros, 4) == 0;
    return memcmp(address->ip, zeros, 16) == 0;
}

bool net_address_is_loopback(const struct net_address *address)
{
    static const uint8_t loopback[16] = {[15] = 1};

    if (is_mapped(address)) return address->ip[12] == 127;
    return memcmp(address->ip, loopback, 16) == 0;
}

int net_address_from_sockaddr(const struct sockaddr *from, struct net_address *ret_address)
{
    struct net_address address;

    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        set_ipv4(&address, &in.sin_addr);
        address.port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof(in6));
        memcpy(address.ip, &in6.sin6_addr, sizeof(address.ip));
        address.port = ntohs(in6.sin6_port);
    } else {
        return MESH_EINVAL;
    }
    *ret_address = address;
    return 0;
}

void net_address_to_sockaddr(const struct net_address *address, struct sockaddr_storage *to, socklen_t *ret_size)
{
    memset(to, 0, sizeof(*to));
    if (is_mapped(address)) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&in.sin_addr, address->ip + sizeof(mapped_prefix), 4);
        memcpy(to, &in, sizeof(in));
        *ret_size = sizeof(in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
        memcpy(&in6.sin6_addr, address->ip, sizeof(address->ip));
        memcpy(to, &in6, sizeof(in6));
        *ret_size = sizeof(in6);
    }
}

char *net_address_format(const struct net_address *address, char to[NET_ADDRESS_STRING_SIZE])
{
    char ip[INET6_ADDRSTRLEN];

    if (is_mapped(address)) {
        inet_ntop(AF_INET, address->ip + sizeof(mapped_prefix), ip, sizeof(ip));
        snprintf(to, NET_ADDRESS_STRING_SIZE, "%s:%u", ip, address->port);
    } else {
        inet_ntop(AF_INET6, address->ip, ip, sizeof(ip));
        snprintf(to, NET_ADDRESS_STRING_SIZE, "[%s]:%u", ip, address->port);
    }
    return to;
}

/* Digits and nothing else, 0..65535. */
static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned long port = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 5 || text[digits] != '\0') return MESH_EINVAL;
    port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX) return MESH_EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

int net_address_parse(const char *text, struct net_address *ret_address)
{
    bool is_bracketed = text[0] == '[';
    const char *colon = strrchr(text, ':'), *ip_end = colon;
    struct net_address address;
    char ip[INET6_ADDRSTRLEN];
    uint8_t ipv4[4];

    if (is_bracketed) {
        text++;
        if (colon == NULL || colon[-1] != ']') return MESH_EINVAL;
        ip_end = colon - 1;
    }
    if (colon == NULL || ip_end < text || (size_t)(ip_end - text) >= sizeof(ip)) return MESH_EINVAL;
    memcpy(ip, text, (size_t)(ip_end - text));
    ip[ip_end - text] = '\0';
    if (parse_port(colon + 1, &address.port) != 0) return MESH_EINVAL;
    if (is_bracketed) {
        if (inet_pton(AF_INET6, ip, address.ip) != 1) return MESH_EINVAL;
    } else {
        if (inet_pton(AF_INET, ip, ipv4) != 1) return MESH_EINVAL;
        set_ipv4(&address, ipv4);
    }
    *ret_address = address;
    return 0;
}
