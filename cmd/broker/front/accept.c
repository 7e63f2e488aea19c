/* broker/front/accept.c - bind, listen, accept. */
#include "cmd/broker/front/accept.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_BACKLOG    4096
#define ACCEPTS_PER_TURN  64
#define RETRY_SECONDS     0.2 /* out of descriptors */
#define KEEPALIVE_SECONDS 60

/* ---- binding ---- */

static int listen_split(const char *listen_on, char **ret_host, char **ret_port)
{
    const char *colon = strrchr(listen_on, ':');
    size_t size = colon == NULL ? 0 : (size_t)(colon - listen_on);
    bool has_brackets = size >= 2 && listen_on[0] == '[' && listen_on[size - 1] == ']';
    char *host;

    if (colon == NULL || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || strtoul(colon + 1, NULL, 10) > UINT16_MAX)
        return MESH_EINVAL;
    if (!has_brackets && memchr(listen_on, ':', size) != NULL) return MESH_EINVAL;
    host = has_brackets ? strndup(listen_on + 1, size - 2) : strndup(listen_on, size);
    *ret_port = strdup(colon + 1);
    if (host == NULL || *ret_port == NULL) {
        free(host);
        free(*ret_port);
        return MESH_ENOMEM;
    }
    *ret_host = host;
    return 0;
}

static int bind_one(const struct addrinfo *address, const struct sockaddr *name, bool is_shared)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1, saved;

    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (is_shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, name, address->ai_addrlen) == 0) return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Another broker of the same user could share the port with us unnoticed, as it uses SO_REUSEPORT too. A first socket
 * without that option is refused when anybody listens there; it also finds the free port. */
static int bind_probe(const struct addrinfo *address, struct sockaddr_storage *ret_name)
{
    socklen_t size = sizeof(*ret_name);
    int fd = bind_one(address, address->ai_addr, false);
    bool is_bound;

    if (fd < 0) return -1;
    is_bound = getsockname(fd, (struct sockaddr *)ret_name, &size) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_bound ? 0 : -1;
}

static int bind_all(const struct addrinfo *address, uint32_t count, int *ret_fds, uint16_t *ret_port)
{
    struct sockaddr_storage name;

    if (bind_probe(address, &name) != 0) return -1;
    for (uint32_t i = 0; i < count; i++) {
        ret_fds[i] = bind_one(address, (struct sockaddr *)&name, true);
        if (ret_fds[i] >= 0) continue;
        while (i > 0)
            close(ret_fds[--i]);
        return -1;
    }
    *ret_port = ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                                 : ((struct sockaddr_in *)&name)->sin_port);
    return 0;
}

static const char *bind_cure(int error)
{
    switch (error) {
    case EADDRINUSE: return "stop what uses it, or choose another one with --listen HOST:PORT (port 0 takes a free one)";
    case EADDRNOTAVAIL: return "this machine has no such address: --listen wants one of its own, or 0.0.0.0 for all of them";
    case EACCES:
    case EPERM: return "ports below 1024 want the capability CAP_NET_BIND_SERVICE: give it to the broker, or choose a higher port with --listen";
    default: return "choose another address with --listen HOST:PORT";
    }
}

int accept_bind(const char *listen_on, uint32_t count, int *ret_fds, char **ret_host, uint16_t *ret_port,
                char message[ACCEPT_MESSAGE_SIZE])
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses;
    char *host, *port;
    int err = listen_split(listen_on, &host, &port);

    if (err != 0) {
        snprintf(message, ACCEPT_MESSAGE_SIZE, "cannot listen on \"%.100s\": write HOST:PORT or [IPV6]:PORT, with a port up to 65535", listen_on);
        return err;
    }
    err = getaddrinfo(*host == '\0' ? NULL : host, port, &hints, &addresses);
    if (err != 0) {
        snprintf(message, ACCEPT_MESSAGE_SIZE, "cannot listen on \"%.100s\": %s: write an address of this machine, or a name that leads to one", host, gai_strerror(err));
        free(host);
        free(port);
        return MESH_ERESOLVE;
    }
    err = bind_all(addresses, count, ret_fds, ret_port);
    if (err != 0) {
        int error = errno;

        err = error == EADDRINUSE ? MESH_EBUSY : error_from_errno(error);
        snprintf(message, ACCEPT_MESSAGE_SIZE, "cannot listen on %.100s port %s: %s: %s", host, port, strerror(error), bind_cure(error));
        free(host);
    } else {
        *ret_host = host;
    }
    freeaddrinfo(addresses);
    free(port);
    return err;
}

struct bound_to {
    uint16_t port;
    struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d */
    bool is_wildcard;
};

static bool find_bound(int fd, struct bound_to *ret_bound)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } name;
    socklen_t size = sizeof(name);

    if (getsockname(fd, &name.any, &size) != 0) return false;
    *ret_bound = (struct bound_to){.port = name.v6.sin6_port, .address = name.v6.sin6_addr};
    if (name.any.sa_family == AF_INET6) {
        ret_bound->is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&name.v6.sin6_addr);
        return true;
    }
    ret_bound->port = name.v4.sin_port;
    ret_bound->is_wildcard = name.v4.sin_addr.s_addr == htonl(INADDR_ANY);
    ret_bound->address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&ret_bound->address.s6_addr[12], &name.v4.sin_addr, sizeof(name.v4.sin_addr));
    return true;
}

bool accept_is_same_port(int fd, int other)
{
    struct bound_to a, b;

    if (!find_bound(fd, &a) || !find_bound(other, &b) || a.port != b.port) return false;
    return a.is_wildcard || b.is_wildcard || memcmp(&a.address, &b.address, sizeof(a.address)) == 0;
}

/* ---- accepting ---- */

bool accept_is_loopback(const struct sockaddr *peer)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;

    if (peer->sa_family == AF_INET) return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) return v6->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Pacing algorithms cost a factor of 2 to 4 where there is no network. Once one has been in force on a socket the kernel
 * goes on pacing it, whatever is set later: a timer for every 64 KiB. So sockets inherit the plain one from the one that
 * listens, and those with a network before them get back what the system wanted for them. */
static void set_listen_congestion(struct connections *connections, const struct listener *listener)
{
    static const char reno[] = "reno";
    socklen_t size = sizeof(connections->congestion) - 1;

    if (listener->fd < 0) return;
    memset(connections->congestion, 0, sizeof(connections->congestion));
    if (getsockopt(listener->fd, IPPROTO_TCP, TCP_CONGESTION, connections->congestion, &size) != 0) return;
    setsockopt(listener->fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
}

static void socket_tune(const struct connections *connections, int fd, const struct sockaddr_storage *peer)
{
    const char *congestion = connections->congestion;
    int one = 1, idle = KEEPALIVE_SECONDS;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (accept_is_loopback((const struct sockaddr *)peer)) return;
    if (congestion[0] != '\0')
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
}

void accept_forget(struct broker *broker)
{
    atomic_fetch_sub_explicit(&broker->connection_count, 1, memory_order_relaxed);
}

static void accepted(const struct listener *listener, int fd, const struct sockaddr_storage *peer, socklen_t peer_size)
{
    struct shard *shard = listener->io.data;
    struct broker *broker = shard->broker;
    uint64_t count = atomic_fetch_add_explicit(&broker->connection_count, 1, memory_order_relaxed);

    if (count >= broker->settings.connections_max) {
        accept_forget(broker);
        close(fd);
        if (shard->metrics.connections_refused++ % 1000 == 0)
            log_warn("closed a new connection: connections.max is reached limit=%llu",
                     (unsigned long long)broker->settings.connections_max);
        return;
    }
    shard->metrics.connections_accepted++;
    socket_tune(&shard->connections, fd, peer);
    (void)connection_new(shard, fd, (const struct sockaddr *)peer, peer_size, listener->is_gateway);
}

static void accept_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listener *listener = container_of(timer, struct listener, timer);

    (void)events;
    if (listener->fd >= 0) ev_io_start(loop, &listener->io);
}

static void accept_pause(struct listener *listener)
{
    struct shard *shard = listener->io.data;

    log_error("cannot accept connections for now error=\"%s\" shard=%u", strerror(errno), shard->index);
    ev_io_stop(shard->loop, &listener->io);
    ev_timer_set(&listener->timer, RETRY_SECONDS, 0.);
    ev_timer_start(shard->loop, &listener->timer);
}

static void accept_on_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct listener *listener = container_of(io, struct listener, io);

    (void)loop;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t peer_size = sizeof(peer);
        int fd = accept4(io->fd, (struct sockaddr *)&peer, &peer_size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accepted(listener, fd, &peer, peer_size);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) accept_pause(listener);
        if (errno != EINTR && errno != ECONNABORTED) return;
    }
}

int accept_listen(struct shard *shard)
{
    struct connections *connections = &shard->connections;

    for (int i = 0; i < LISTENER_COUNT; i++) {
        const struct listener *listener = &connections->listeners[i];

        set_listen_congestion(connections, listener);
        if (listener->fd < 0 || listen(listener->fd, LISTEN_BACKLOG) == 0) continue;
        log_error("cannot listen error=\"%s\" shard=%u", strerror(errno), shard->index);
        return MESH_EIO;
    }
    return 0;
}

void accept_start(struct shard *shard)
{
    for (int i = 0; i < LISTENER_COUNT; i++) {
        struct listener *listener = &shard->connections.listeners[i];

        if (listener->fd < 0) continue;
        ev_io_init(&listener->io, accept_on_ready, listener->fd, EV_READ);
        listener->io.data = shard;
        ev_timer_init(&listener->timer, accept_on_timer, RETRY_SECONDS, 0.);
        ev_io_start(shard->loop, &listener->io);
    }
}

void accept_stop(struct shard *shard)
{
    for (int i = 0; i < LISTENER_COUNT; i++) {
        struct listener *listener = &shard->connections.listeners[i];

        if (listener->fd < 0) continue;
        ev_io_stop(shard->loop, &listener->io);
        ev_timer_stop(shard->loop, &listener->timer);
        close(listener->fd);
        listener->fd = -1;
    }
}
