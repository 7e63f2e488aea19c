#include "base/address.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct slice trim(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static int parse_port(struct slice text, uint16_t *ret_port)
{
    uint32_t port = 0;

    if (text.size == 0 || text.size > 5) return MESH_EINVAL;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return MESH_EINVAL;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) return MESH_EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

/* Splits off the host; *ret_rest is what follows it: empty, or ":port". */
static int split_host(struct slice text, struct slice *ret_host, struct slice *ret_rest)
{
    const uint8_t *end = text.data + text.size, *stop;

    if (text.size == 0) return MESH_EINVAL;
    if (text.data[0] == '[') {
        stop = memchr(text.data, ']', text.size);
        if (stop == NULL) return MESH_EINVAL;
        *ret_host = slice_of(text.data + 1, (size_t)(stop - text.data) - 1);
        *ret_rest = slice_of(stop + 1, (size_t)(end - stop) - 1);
        return 0;
    }
    stop = memchr(text.data, ':', text.size);
    if (stop == NULL) stop = end;
    *ret_host = slice_of(text.data, (size_t)(stop - text.data));
    *ret_rest = slice_of(stop, (size_t)(end - stop));
    return 0;
}

int address_parse(struct slice text, struct address *ret_address)
{
    struct address address = {.port = ADDRESS_PORT_DEFAULT};
    struct slice host = {NULL, 0}, rest = {NULL, 0};

    if (split_host(trim(text), &host, &rest) != 0) return MESH_EINVAL;
    if (host.size == 0 || host.size >= ADDRESS_HOST_SIZE) return MESH_EINVAL;
    for (size_t i = 0; i < host.size; i++)
        if (host.data[i] <= ' ' || host.data[i] >= 0x7f || strchr("/,[]", host.data[i]) != NULL)
            return MESH_EINVAL;
    if (rest.size > 0) {
        if (rest.data[0] != ':') return MESH_EINVAL;
        if (parse_port(slice_of(rest.data + 1, rest.size - 1), &address.port) != 0) return MESH_EINVAL;
    }
    memcpy(address.host, host.data, host.size);
    *ret_address = address;
    return 0;
}

int address_parse_list(const char *text, struct address *to, size_t max, size_t *ret_count)
{
    size_t count = 0;

    for (;;) {
        size_t size = strcspn(text, ",");
        if (count == max) return MESH_EINVAL;
        if (address_parse(slice_of(text, size), &to[count]) != 0) return MESH_EINVAL;
        count++;
        if (text[size] == '\0') break;
        text += size + 1;
    }
    *ret_count = count;
    return 0;
}

char *address_format(const struct address *address, char to[ADDRESS_TEXT_SIZE])
{
    if (strchr(address->host, ':') != NULL)
        snprintf(to, ADDRESS_TEXT_SIZE, "[%s]:%u", address->host, address->port);
    else
        snprintf(to, ADDRESS_TEXT_SIZE, "%s:%u", address->host, address->port);
    return to;
}

static int lookup(const struct address *address, int flags, struct addrinfo **ret_found)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char port[8];

    snprintf(port, sizeof(port), "%u", address->port);
    hints.ai_flags |= AI_NUMERICSERV;
    return getaddrinfo(address->host, port, &hints, ret_found);
}

static void take_found(struct addrinfo *found, struct address_sockets *ret_sockets)
{
    ret_sockets->count = 0;
    for (struct addrinfo *at = found; at != NULL && ret_sockets->count < ADDRESS_SOCKETS_MAX;
         at = at->ai_next) {
        if (at->ai_addrlen > sizeof(ret_sockets->sockets[0])) continue;
        memcpy(&ret_sockets->sockets[ret_sockets->count], at->ai_addr, at->ai_addrlen);
        ret_sockets->sizes[ret_sockets->count++] = at->ai_addrlen;
    }
    freeaddrinfo(found);
}

int address_resolve(const struct address *address, struct address_sockets *ret_sockets,
                    const char **ret_reason)
{
    struct addrinfo *found = NULL;
    int err = lookup(address, AI_NUMERICHOST, &found);

    if (err == EAI_NONAME) err = lookup(address, 0, &found);
    if (err != 0) {
        *ret_reason = gai_strerror(err);
        if (err == EAI_MEMORY) return MESH_ENOMEM;
        return err == EAI_AGAIN ? MESH_EAGAIN : MESH_ERESOLVE;
    }
    take_found(found, ret_sockets);
    return 0;
}

bool address_is_numeric(const struct address *address, struct address_sockets *ret_sockets)
{
    struct addrinfo *found = NULL;

    if (lookup(address, AI_NUMERICHOST, &found) != 0) return false;
    take_found(found, ret_sockets);
    return true;
}

int address_is_loopback(const struct sockaddr *socket_address)
{
    if (socket_address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)socket_address;
        return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    if (socket_address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)socket_address;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    return 0;
}
