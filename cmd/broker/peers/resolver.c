/* peers/resolver.c - one c-ares channel per round, its sockets watched by the loop. */
#include "cmd/broker/peers/resolver.h"

#include "base/error.h"
#include "base/list.h"

#include <ares.h>
#include <ev.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/time.h>

#define QUERY_TIMEOUT_MS 2000 /* per try and server; c-ares doubles it */
#define QUERY_TRIES      2
#define DNS_CLASS_IN     1  /* RFC 1035, 3.2.4 */
#define DNS_TYPE_SRV     33 /* RFC 2782 */

/* One question of the caller: one name, or the names that a service lists. */
struct lookup {
    struct list_node link; /* in resolver.lookups */
    struct resolver *resolver;
    resolver_fn *done;
    void *user;
    uint32_t waiting; /* answers of c-ares still to come */
    int status;       /* of c-ares: the last failure, ARES_SUCCESS: none */
    size_t count;
    struct net_address addresses[RESOLVER_ADDRESSES_MAX];
};

/* A name that is being looked up, with the port that its answers get. */
struct target {
    struct lookup *lookup;
    uint16_t port;
};

struct watcher {
    struct list_node link; /* in resolver.watchers */
    ev_io io;
    struct resolver *resolver;
};

struct resolver {
    struct ev_loop *loop;
    char *servers; /* owned; NULL: the system's */
    ares_channel channel;
    bool has_channel, is_freeing;
    uint32_t depth; /* calls into c-ares under way: the channel must not go then */
    struct list_node lookups, watchers;
    ev_timer timer;
};

/* ---- sockets and time ---- */

static void rearm(struct resolver *resolver)
{
    struct timeval wait;

    ev_timer_stop(resolver->loop, &resolver->timer);
    if (!resolver->has_channel || ares_timeout(resolver->channel, NULL, &wait) == NULL) return;
    ev_timer_set(&resolver->timer, (double)wait.tv_sec + (double)wait.tv_usec / 1e6, 0);
    ev_timer_start(resolver->loop, &resolver->timer);
}

/* The round is over when nobody asks any more; the next one reads the system's configuration again. */
static void settle(struct resolver *resolver)
{
    if (resolver->depth > 0) return;
    if (resolver->has_channel && list_is_empty(&resolver->lookups)) {
        resolver->has_channel = false;
        resolver->depth++;
        ares_destroy(resolver->channel);
        resolver->depth--;
    }
    rearm(resolver);
}

static void process(struct resolver *resolver, ares_socket_t readable, ares_socket_t writable)
{
    resolver->depth++;
    ares_process_fd(resolver->channel, readable, writable);
    resolver->depth--;
    settle(resolver);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    struct watcher *watcher = io->data;

    (void)loop;
    process(watcher->resolver, events & EV_READ ? io->fd : ARES_SOCKET_BAD, events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct resolver *resolver = timer->data;

    (void)loop;
    (void)events;
    process(resolver, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static struct watcher *find_watcher(struct resolver *resolver, ares_socket_t fd)
{
    list_for_each(node, &resolver->watchers)
    {
        struct watcher *watcher = container_of(node, struct watcher, link);

        if (watcher->io.fd == fd) return watcher;
    }
    return NULL;
}

/* c-ares tells what it wants of a socket; neither: it is about to close it. Without memory for a watcher the socket is
 * not watched, and the question ends by its timeout. */
static void on_state(void *user, ares_socket_t fd, int wants_read, int wants_write)
{
    struct resolver *resolver = user;
    struct watcher *watcher = find_watcher(resolver, fd);

    if (watcher != NULL) ev_io_stop(resolver->loop, &watcher->io);
    if (!wants_read && !wants_write) {
        if (watcher != NULL) list_remove(&watcher->link);
        free(watcher);
        return;
    }
    if (watcher == NULL) {
        watcher = calloc(1, sizeof(*watcher));
        if (watcher == NULL) return;
        watcher->resolver = resolver;
        list_push_back(&resolver->watchers, &watcher->link);
    }
    ev_io_init(&watcher->io, on_socket, fd, (wants_read ? EV_READ : 0) | (wants_write ? EV_WRITE : 0));
    watcher->io.data = watcher;
    ev_io_start(resolver->loop, &watcher->io);
}

static int open_channel(struct resolver *resolver)
{
    struct ares_options options = {.timeout = QUERY_TIMEOUT_MS,
                                   .tries = QUERY_TRIES,
                                   .sock_state_cb = on_state,
                                   .sock_state_cb_data = resolver};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

    if (resolver->has_channel) return 0;
    if (ares_init_options(&resolver->channel, &options, mask) != ARES_SUCCESS) return MESH_ENOMEM;
    if (resolver->servers != NULL && ares_set_servers_ports_csv(resolver->channel, resolver->servers) != ARES_SUCCESS) {
        ares_destroy(resolver->channel);
        return MESH_ENOMEM;
    }
    resolver->has_channel = true;
    return 0;
}

/* ---- answers ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND: return "no such name";
    case ARES_ENODATA: return "the name has no address";
    case ARES_ECONNREFUSED: return "the name server refuses to talk";
    case ARES_ETIMEOUT: return "the name server does not answer";
    case ARES_ESERVFAIL: return "the name server failed";
    case ARES_EBADNAME: return "not a name";
    default: return ares_strerror(status);
    }
}

static int error_of(int status)
{
    bool is_final = status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME;

    return is_final ? MESH_ERESOLVE : status == ARES_ENOMEM ? MESH_ENOMEM : MESH_EAGAIN;
}

static void lookup_answered(struct lookup *lookup, int status)
{
    if (status != ARES_SUCCESS) lookup->status = status;
    if (--lookup->waiting > 0) return;
    list_remove(&lookup->link);
    if (!lookup->resolver->is_freeing) {
        if (lookup->count > 0)
            lookup->done(lookup->user, 0, "", lookup->addresses, lookup->count);
        else if (lookup->status != ARES_SUCCESS)
            lookup->done(lookup->user, error_of(lookup->status), reason_of(lookup->status), NULL, 0);
        else
            lookup->done(lookup->user, MESH_ERESOLVE, reason_of(ARES_ENODATA), NULL, 0);
    }
    free(lookup);
}

static void on_addresses(void *user, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct target *target = user;
    struct lookup *lookup = target->lookup;

    (void)timeouts;
    for (struct ares_addrinfo_node *node = answer == NULL ? NULL : answer->nodes; node != NULL; node = node->ai_next) {
        struct net_address *to = &lookup->addresses[lookup->count];

        if (lookup->count == RESOLVER_ADDRESSES_MAX) break;
        if (net_address_from_sockaddr(node->ai_addr, to) != 0) continue;
        to->port = target->port;
        lookup->count++;
    }
    if (answer != NULL) ares_freeaddrinfo(answer);
    free(target);
    lookup_answered(lookup, status);
}

static void ask_addresses(struct lookup *lookup, const char *host, uint16_t port)
{
    static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
    struct target *target = malloc(sizeof(*target));

    lookup->waiting++;
    if (target == NULL) {
        lookup_answered(lookup, ARES_ENOMEM);
        return;
    }
    *target = (struct target){lookup, port};
    ares_getaddrinfo(lookup->resolver->channel, host, NULL, &hints, on_addresses, target);
}

static void on_services(void *user, int status, int timeouts, unsigned char *bytes, int size)
{
    struct lookup *lookup = user;
    struct ares_srv_reply *services = NULL;
    uint32_t count = 0;

    (void)timeouts;
    /* A channel that is being destroyed takes no new questions. */
    if (status == ARES_SUCCESS) status = ares_parse_srv_reply(bytes, size, &services);
    for (struct ares_srv_reply *service = services; service != NULL && count < RESOLVER_TARGETS_MAX; service = service->next) {
        ask_addresses(lookup, service->host, service->port);
        count++;
    }
    if (services != NULL) ares_free_data(services);
    lookup_answered(lookup, status);
}

/* ---- the calls ---- */

int resolver_new(struct ev_loop *loop, const char *servers, struct resolver **ret_resolver)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL) return MESH_ENOMEM;
    resolver->loop = loop;
    list_init(&resolver->lookups);
    list_init(&resolver->watchers);
    ev_timer_init(&resolver->timer, on_timer, 0, 0);
    resolver->timer.data = resolver;
    if (servers != NULL && (resolver->servers = strdup(servers)) == NULL) {
        free(resolver);
        return MESH_ENOMEM;
    }
    *ret_resolver = resolver;
    return 0;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) return;
    resolver->is_freeing = true;
    if (resolver->has_channel) ares_destroy(resolver->channel); /* ends every look-up with ARES_EDESTRUCTION */
    ev_timer_stop(resolver->loop, &resolver->timer);
    free(resolver->servers);
    free(resolver);
}

static void answer_numeric(const struct seed *seed, resolver_fn *done, void *user)
{
    char text[ADDRESS_TEXT_SIZE];
    struct net_address address;

    if (net_address_parse(address_format(&seed->address, text), &address) == 0)
        done(user, 0, "", &address, 1);
    else
        done(user, MESH_ERESOLVE, reason_of(ARES_EBADNAME), NULL, 0);
}

int resolver_look_up(struct resolver *resolver, const struct seed *seed, resolver_fn *done, void *user)
{
    struct lookup *lookup;
    int err;

    if (seed->kind == SEED_ADDRESS) {
        answer_numeric(seed, done, user);
        return 0;
    }
    lookup = calloc(1, sizeof(*lookup));
    err = lookup == NULL ? MESH_ENOMEM : open_channel(resolver);
    if (err != 0) {
        free(lookup);
        return err;
    }
    lookup->resolver = resolver;
    lookup->done = done;
    lookup->user = user;
    list_push_back(&resolver->lookups, &lookup->link);
    resolver->depth++;
    if (seed->kind == SEED_SERVICE) {
        lookup->waiting = 1;
        ares_query(resolver->channel, seed->address.host, DNS_CLASS_IN, DNS_TYPE_SRV, on_services, lookup);
    } else {
        ask_addresses(lookup, seed->address.host, seed->address.port);
    }
    resolver->depth--;
    settle(resolver);
    return 0;
}
