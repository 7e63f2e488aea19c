/* peers/peer_links.c - which links there are, and which of two to one peer is the one that counts.
 *
 * Two brokers may dial each other at the same moment. Both ends then keep the link that the smaller id has dialled, so
 * they agree without a word; a link of a newer boot always wins, because the older one's process is gone. */
#include "cmd/broker/peers/peers_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/peers/explain.h"
#include "crypto/crypto.h"

#include <stdlib.h>
#include <unistd.h>

#define STRANGERS_MAX 256 /* links that came in and are in their handshake; beyond, the one that has taken longest gives way */
#define LINKS_MAX (GOSSIP_MEMBERS_MAX + STRANGERS_MAX)

struct peer_link *peers_find_link(const struct peers *peers, const struct uuid *id)
{
    struct map_node *node = map_find(&peers->chosen, map_hash_bytes(id->bytes, UUID_SIZE));

    for (; node != NULL; node = map_find_next(node)) {
        struct peer_link *link = container_of(node, struct peer_link, chosen);

        if (uuid_equal(&link->id, id)) return link;
    }
    return NULL;
}

static int choose(struct peers *peers, struct peer_link *link)
{
    int err = map_insert(&peers->chosen, &link->chosen, map_hash_bytes(link->id.bytes, UUID_SIZE));

    link->is_chosen = err == 0;
    return err;
}

static void unchoose(struct peers *peers, struct peer_link *link)
{
    if (!link->is_chosen) return;
    link->is_chosen = false;
    map_remove(&peers->chosen, &link->chosen);
    peer_users_withdraw(peers, link);
}

void peers_send(struct peers *peers, const struct uuid *id, enum link_type type, struct slice payload)
{
    struct peer_link *link = peers_find_link(peers, id);

    if (link != NULL) (void)link_send(link->link, (uint8_t)type, payload); /* what is lost is told again by gossip's digests */
}

void peers_hang_up(struct peers *peers, const struct uuid *id)
{
    struct peer_link *link = peers_find_link(peers, id);

    if (link != NULL) link_close(link->link);
}

/* ---- up ---- */

static bool is_smaller(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, UUID_SIZE) < 0;
}

/* Both links lead to the same peer. */
static bool replaces(const struct peers *peers, const struct peer_link *new_link, const struct peer_link *old_link)
{
    const struct uuid *self = &peers->options.identity->id;
    bool is_wanted_direction = link_is_dialled(new_link->link) == is_smaller(self, &new_link->id);

    if (!link_is_up(old_link->link)) return true; /* it is saying goodbye */
    if (link_peer(new_link->link)->boot != link_peer(old_link->link)->boot)
        return link_peer(new_link->link)->boot > link_peer(old_link->link)->boot;
    if (link_is_dialled(new_link->link) == link_is_dialled(old_link->link)) return true; /* the older one is stale */
    return is_wanted_direction;
}

static void supersede(struct peers *peers, struct peer_link *link)
{
    link->is_superseded = true;
    link_close(link->link);
    unchoose(peers, link);
}

static int introduce(struct peers *peers, struct link *link, uint32_t your_boot)
{
    const struct link_self self = {.dir_id = peers->options.dir_id, .your_boot = your_boot};
    uint8_t bytes[LINK_SELF_SIZE];

    link_self_encode(&self, bytes);
    return link_send(link, LINK_TYPE_SELF, slice_of(bytes, sizeof(bytes)));
}

static void check_clock(struct peers *peers, const struct link *link)
{
    int64_t difference_ms = (int64_t)(link_peer(link)->wall_ms - (uint64_t)clock_wall_ms());
    struct explain_context context = {link_address(link), &peers->options.cluster_id, link_peer(link), NULL, NULL};
    struct explanation explanation;

    if (llabs(difference_ms) <= CLOCK_WARN_MS || !log_limiter_allows(&peers->link_lines, link_address(link), peers_now_us() / 1000))
        return;
    explain_clock(&context, difference_ms, &explanation);
    log_warn("%s: %s", explanation.what, explanation.cure);
}

/* Anybody can open connections; only who has the cluster key ends to be one. */
static bool is_stranger(const struct peer_link *peer_link)
{
    return uuid_is_zero(&peer_link->id) && !link_is_dialled(peer_link->link);
}

static void on_up(void *user, struct link *link)
{
    struct peers *peers = user;
    struct peer_link *peer_link = link_mark(link), *other;
    const struct channel_peer *peer = link_peer(link);

    if (is_stranger(peer_link)) peers->stranger_count--;
    peer_link->id = peer->id;
    check_clock(peers, link);
    if (uuid_is_zero(&peer->cluster_id)) return; /* it only wants to know which mesh this is, and will say goodbye */
    other = peers_find_link(peers, &peer->id);
    if (other != NULL && !replaces(peers, peer_link, other)) {
        /* A process cannot link after its successor: a copy of its directory was started while it runs. */
        if (peer->boot < link_peer(other->link)->boot) {
            peers_tell_twin(peers, &peer->id, link_address(link));
            (void)introduce(peers, link, link_peer(other->link)->boot);
        }
        supersede(peers, peer_link);
        return;
    }
    if (other != NULL) {
        supersede(peers, other);
        gossip_link_down(peers->gossip, peers_now_us(), &peer->id, GOSSIP_LINK_CLOSED);
        peers_drive(peers);
    }
    if (introduce(peers, link, 0) != 0 || choose(peers, peer_link) != 0) {
        link_close(link);
        return;
    }
    gossip_link_up(peers->gossip, peers_now_us(), &peer->id, peer->boot, link_address(link));
    peers_drive(peers);
}

/* ---- frames ---- */

static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    struct peers *peers = user;
    struct peer_link *peer_link = link_mark(link);
    const struct channel_peer *peer = link_peer(link);

    if (!peer_link->is_chosen && !peer_link->is_superseded) return; /* a stranger to the mesh has nothing to say */
    switch (type) {
    case LINK_TYPE_GOSSIP:
        gossip_receive_message(peers->gossip, peers_now_us(), &peer->id, payload);
        peers_drive(peers);
        return;
    case LINK_TYPE_PACKET:
        gossip_receive_packet(peers->gossip, peers_now_us(), &peer->id, peer->boot, link_address(link), payload);
        peers_drive(peers);
        return;
    case LINK_TYPE_KEYS: key_rotation_receive(peers, &peer->id, payload); return;
    case LINK_TYPE_SELF:
        peer_link->is_introduced = peer_link->is_introduced || link_self_decode(payload, &peer_link->self) == 0;
        if (peer_link->is_introduced && peer_link->self.your_boot > peers->options.boot) peers_tell_shut_out(peers, link, peer_link->self.your_boot);
        peer_users_announce(peers, peer_link);
        return;
    case LINK_TYPE_CONSENSUS:
    case LINK_TYPE_METADATA:
    case LINK_TYPE_FORWARD:
    case LINK_TYPE_SPREAD: peer_users_receive(peers, peer_link, type, payload); return;
    default: return; /* of a newer mesh */
    }
}

/* ---- down ---- */

static void tell_failure(struct peers *peers, const struct link *link, enum link_end end, const char *reason)
{
    const struct channel_failure_detail *failure = link_failure(link);
    struct explain_context context = {link_address(link), &peers->options.cluster_id, link_peer(link),
                                      peers->options.key_path, &peers->options.listen};
    struct explanation explanation;

    peers->stats.links_rejected += end == LINK_END_REJECTED;
    /* A dead peer is dialled again and again, and a seed may well be this broker: both are no news. */
    if (end != LINK_END_REJECTED || failure->failure == CHANNEL_FAILURE_SELF) return;
    if (!log_limiter_allows(&peers->link_lines, link_address(link), peers_now_us() / 1000)) return;
    explain_link_end(&context, end, reason, failure, &explanation);
    log_warn("%s link failed: %s: %s", link_is_dialled(link) ? "a dialled" : "an incoming", explanation.what, explanation.cure);
}

/* Who hangs up before a word is no stranger, but perhaps a process on its way out. */
static enum gossip_dial_failure dial_failure_of(enum link_end end, enum channel_failure failure)
{
    switch (end) {
    case LINK_END_REFUSED: return GOSSIP_DIAL_REFUSED;
    case LINK_END_REJECTED:
        return failure == CHANNEL_FAILURE_SILENT || failure == CHANNEL_FAILURE_TRUNCATED ? GOSSIP_DIAL_UNREACHABLE
                                                                                         : GOSSIP_DIAL_REJECTED;
    default: return GOSSIP_DIAL_UNREACHABLE;
    }
}

static enum gossip_link_end link_end_of(enum link_end end)
{
    switch (end) {
    case LINK_END_CLOSED: return GOSSIP_LINK_CLOSED;
    case LINK_END_SILENT: return GOSSIP_LINK_TIMEOUT;
    default: return GOSSIP_LINK_RESET;
    }
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct peers *peers = user;
    struct peer_link *peer_link = link_mark(link);
    struct net_address address = *link_address(link);
    struct uuid expected = *link_expected(link), id = peer_link->id;
    enum channel_failure failure = link_failure(link)->failure;
    bool was_chosen = peer_link->is_chosen, was_up = !uuid_is_zero(&id), is_dialled = link_is_dialled(link);

    peers->stats.link_received_bytes += link_stats(link)->received_bytes;
    peers->stats.link_sent_bytes += link_stats(link)->sent_bytes;
    if (!was_up) tell_failure(peers, link, end, reason);
    if (is_stranger(peer_link)) peers->stranger_count--;
    list_remove(&peer_link->node);
    peers->link_count--;
    unchoose(peers, peer_link);
    free(peer_link);
    if (was_chosen)
        gossip_link_down(peers->gossip, peers_now_us(), &id, link_end_of(end));
    else if (!was_up && is_dialled)
        gossip_dial_failed(peers->gossip, peers_now_us(), &address, &expected, dial_failure_of(end, failure));
    else
        return;
    peers_drive(peers);
}

/* ---- making them ---- */

static const struct link_hooks hooks = {on_up, on_frame, on_down};

void peers_fill_link_options(struct peers *peers, const struct link_hooks *link_hooks, struct link_options *ret_options)
{
    const struct peers_options *options = &peers->options;

    *ret_options = (struct link_options){
        .loop = peers->loop,
        .hooks = link_hooks,
        .user = peers,
        .source = options->listen,
        .channel = {.ciphers = channel_ciphers_here(),
                    .keyring = options->keyring,
                    .identity = options->identity,
                    .cluster_id = options->cluster_id,
                    .boot = options->boot,
                    .wall_ms = (uint64_t)clock_wall_ms()},
    };
}

static void keep(struct peers *peers, struct peer_link *peer_link)
{
    peer_link->peers = peers;
    link_set_mark(peer_link->link, peer_link);
    list_push_back(&peers->links, &peer_link->node);
    peers->link_count++;
}

static void dial_failed(struct peers *peers, const struct net_address *address, const struct uuid *expected)
{
    struct failed_dial *to = &peers->failed_dials[peers->failed_dial_count];

    if (peers->failed_dial_count == sizeof(peers->failed_dials) / sizeof(peers->failed_dials[0])) return;
    *to = (struct failed_dial){*address, *expected};
    peers->failed_dial_count++;
}

void peers_dial(struct peers *peers, const struct net_address *address, const struct uuid *expected)
{
    struct peer_link *peer_link = peers->link_count < LINKS_MAX ? calloc(1, sizeof(*peer_link)) : NULL;
    struct link_options options;

    peers_fill_link_options(peers, &hooks, &options);
    if (peer_link == NULL || link_dial(&options, address, expected, &peer_link->link) != 0) {
        free(peer_link);
        dial_failed(peers, address, expected);
        return;
    }
    keep(peers, peer_link);
}

static void adopt(struct peers *peers, int fd, struct slice received)
{
    struct peer_link *peer_link = peers->link_count < LINKS_MAX ? calloc(1, sizeof(*peer_link)) : NULL;
    struct link_options options;

    if (peer_link == NULL) {
        close(fd);
        return;
    }
    peers_fill_link_options(peers, &hooks, &options);
    if (link_adopt(&options, fd, received, &peer_link->link) != 0) {
        free(peer_link);
        return;
    }
    keep(peers, peer_link);
    peers->stranger_count++;
}

/* A peer's handshake takes a round trip or two: who holds a place for long is slow at best. So a crowd of silent strangers
 * cannot keep peers out, as long as these are quicker than the crowd is renewed. */
static void drop_oldest_stranger(struct peers *peers)
{
    list_for_each_safe(node, &peers->links)
    {
        struct peer_link *peer_link = container_of(node, struct peer_link, node);

        if (!is_stranger(peer_link)) continue;
        list_remove(node);
        peers->link_count--;
        peers->stranger_count--;
        peers->stats.links_rejected++;
        link_abandon(peer_link->link);
        free(peer_link);
        return;
    }
}

void peers_adopt(struct peers *peers, int fd, struct slice received)
{
    if (peers->stranger_count >= STRANGERS_MAX) drop_oldest_stranger(peers);
    adopt(peers, fd, received);
}

void peers_abandon_links(struct peers *peers)
{
    list_for_each_safe(node, &peers->links)
    {
        struct peer_link *peer_link = container_of(node, struct peer_link, node);

        list_remove(node);
        if (peer_link->is_chosen) map_remove(&peers->chosen, &peer_link->chosen);
        link_abandon(peer_link->link);
        free(peer_link);
    }
}
