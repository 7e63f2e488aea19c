/* peers/probe.c - a stranger with the key: an identity made for the moment, which belongs to no mesh. */
#include "cmd/broker/peers/probe.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "cmd/broker/peers/resolver.h"
#include "crypto/crypto.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dial {
    struct link *link; /* NULL: it has ended */
    struct net_address address;
    uint64_t began_ms;
    bool is_told;
};

struct probe {
    const struct probe_options *options;
    struct ev_loop *loop;
    struct resolver *resolver;
    struct link_options link_options;
    struct identity_key identity;
    struct dial dials[PROBE_ADDRESSES_MAX];
    size_t count, open;
    int error;
};

static void tell(struct probe *probe, struct dial *dial, struct probe_finding *finding)
{
    dial->is_told = true;
    finding->address = &dial->address;
    probe->options->found(probe->options->user, finding);
}

static void on_up(void *user, struct link *link)
{
    struct dial *dial = link_mark(link);
    const struct channel_peer *peer = link_peer(link);
    struct probe_finding finding = {.state = uuid_is_zero(&peer->cluster_id) ? PROBE_WAITING : PROBE_MEMBER,
                                    .cluster_id = peer->cluster_id,
                                    .clock_ms = (int64_t)(peer->wall_ms - (uint64_t)clock_wall_ms()),
                                    .clock_uncertain_ms = (int64_t)(clock_monotonic_ms() - dial->began_ms)};

    tell(user, dial, &finding);
    link_close(link);
}

static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    (void)user, (void)link, (void)type, (void)payload;
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    static const struct uuid none;
    struct probe *probe = user;
    struct dial *dial = link_mark(link);
    struct explain_context context = {&dial->address, &none, link_peer(link), probe->options->key_path, NULL};
    struct probe_finding finding = {.state = end == LINK_END_REFUSED || end == LINK_END_UNREACHABLE || end == LINK_END_SILENT ? PROBE_SILENT : PROBE_REFUSED};

    dial->link = NULL;
    if (!dial->is_told) {
        explain_link_end(&context, end, reason, link_failure(link), &finding.explanation);
        if (end == LINK_END_REJECTED) finding.failure = link_failure(link)->failure;
        tell(probe, dial, &finding);
    }
    if (--probe->open == 0) ev_break(probe->loop, EVBREAK_ALL);
}

static const struct link_hooks hooks = {on_up, on_frame, on_down};

static void dial_address(struct probe *probe, const struct net_address *address)
{
    struct dial *dial = &probe->dials[probe->count];

    *dial = (struct dial){.address = *address, .began_ms = clock_monotonic_ms()};
    probe->link_options.channel.wall_ms = (uint64_t)clock_wall_ms();
    if (link_dial(&probe->link_options, address, NULL, &dial->link) != 0) {
        probe->error = MESH_ENOMEM;
        return;
    }
    link_set_mark(dial->link, dial);
    probe->count++;
    probe->open++;
}

static void on_addresses(void *user, int error, const char *reason, const struct net_address *addresses, size_t count)
{
    struct probe *probe = user;
    char name[ADDRESS_TEXT_SIZE];
    struct probe_finding finding = {.state = PROBE_NO_NAME};

    if (error == 0) {
        for (size_t i = 0; i < count && i < PROBE_ADDRESSES_MAX && probe->error == 0; i++)
            dial_address(probe, &addresses[i]);
    } else if (error == MESH_ENOMEM) {
        probe->error = error;
    } else {
        snprintf(finding.explanation.what, sizeof(finding.explanation.what), "%s: %s", seed_format(probe->options->seed, name), reason);
        snprintf(finding.explanation.cure, sizeof(finding.explanation.cure), "A broker would go on asking: is the name right, and is there a name server?");
        probe->options->found(probe->options->user, &finding);
    }
    if (probe->open == 0) ev_break(probe->loop, EVBREAK_ALL);
}

static void make_identity(struct identity_key *to)
{
    uint8_t seed[IDENTITY_SEED_SIZE];

    random_system_bytes(seed, sizeof(seed));
    identity_key_init(to, seed);
    crypto_wipe(seed, sizeof(seed));
}

static void end_links(struct probe *probe)
{
    for (size_t i = 0; i < probe->count; i++)
        if (probe->dials[i].link != NULL) link_abandon(probe->dials[i].link);
}

static int run(struct probe *probe)
{
    int err = resolver_new(probe->loop, probe->options->name_servers, &probe->resolver);

    if (err != 0) return err;
    make_identity(&probe->identity);
    probe->link_options = (struct link_options){
        .loop = probe->loop,
        .hooks = &hooks,
        .user = probe,
        .channel = {.ciphers = channel_ciphers_here(), .keyring = probe->options->keyring, .identity = &probe->identity, .boot = 1},
    };
    err = resolver_look_up(probe->resolver, probe->options->seed, on_addresses, probe);
    if (err == 0) ev_run(probe->loop, 0); /* returns by itself when nothing is under way, too */
    end_links(probe);
    resolver_free(probe->resolver);
    identity_key_wipe(&probe->identity);
    return err != 0 ? err : probe->error;
}

int probe_run(const struct probe_options *options)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    int err = MESH_ENOMEM;

    if (probe == NULL) return err;
    probe->options = options;
    probe->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (probe->loop != NULL) {
        err = run(probe);
        ev_loop_destroy(probe->loop);
    }
    free(probe);
    return err;
}
