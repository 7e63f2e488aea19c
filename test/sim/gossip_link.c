#include "sim/gossip_link.h"

#include "base/assert.h"
#include "sim/gossip_wire.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define DIAL_TIMEOUT_US     SIM_SECOND
#define GREETING_TIMEOUT_US (3 * SIM_SECOND)
#define FRESH_US            (3 * SIM_SECOND) /* two links as young as this crossed each other */

struct link {
    struct list_node node;
    uint64_t stream;
    bool is_inbound, is_open, is_proven, is_up; /* up: the core was told, it is the one that counts */
    struct net_address address;
    struct uuid expected, peer;
    uint32_t boot;
    uint64_t begun_us;
    struct gossip_wire wire;
    struct buffer in, out;
};

void gossip_links_init(struct gossip_links *links, struct sim_host *host, const struct gossip_identity *identity,
                       struct gossip_keys *keys)
{
    *links = (struct gossip_links){.host = host, .identity = identity, .keys = keys};
    list_init(&links->all);
}

static void free_link(struct gossip_links *links, struct link *link)
{
    if (!link->is_proven) links->unproven--;
    list_remove(&link->node);
    gossip_wire_deinit(&link->wire);
    buffer_deinit(&link->in);
    buffer_deinit(&link->out);
    free(link);
}

void gossip_links_deinit(struct gossip_links *links)
{
    list_for_each_safe(node, &links->all)
        free_link(links, container_of(node, struct link, node));
}

static struct link *new_link(struct gossip_links *links, bool is_inbound, const struct net_address *address)
{
    struct link *link = calloc(1, sizeof(*link));

    MESH_ASSERT(link != NULL);
    link->is_inbound = is_inbound;
    link->address = *address;
    link->begun_us = sim_host_now_us(links->host);
    list_push_back(&links->all, &link->node);
    links->unproven++;
    return link;
}

static struct link *find_up(struct gossip_links *links, const struct uuid *peer)
{
    list_for_each(node, &links->all) {
        struct link *link = container_of(node, struct link, node);
        if (link->is_up && uuid_equal(&link->peer, peer)) return link;
    }
    return NULL;
}

/* ---- sending ---- */

static void flush(struct gossip_links *links, struct link *link)
{
    size_t taken = sim_stream_write(links->host, link->stream, buffer_slice(&link->out));

    buffer_consume(&link->out, taken);
}

/* The goodbye is the last that is said, if there is room for it: a stream that is full ends without. */
static void close_politely(struct gossip_links *links, struct link *link)
{
    if (link->is_open) {
        gossip_wire_put_goodbye(&link->wire, &link->out);
        flush(links, link);
    }
    sim_stream_set_user(links->host, link->stream, NULL);
    sim_stream_close(links->host, link->stream);
    free_link(links, link);
}

/* ---- the core's wishes ---- */

void gossip_links_dial(struct gossip_links *links, const struct net_address *address, const struct uuid *peer)
{
    struct link *link = new_link(links, false, address);

    links->dials++;
    link->expected = *peer;
    link->stream = sim_connect(links->host, address, DIAL_TIMEOUT_US, link);
    if (link->stream == 0) free_link(links, link); /* this process has just died */
}

void gossip_links_send(struct gossip_links *links, const struct uuid *peer, struct slice message)
{
    struct link *link = find_up(links, peer);

    if (link == NULL) return;
    gossip_wire_put(&link->wire, message, &link->out);
    flush(links, link);
}

void gossip_links_hang_up(struct gossip_links *links, const struct uuid *peer)
{
    struct link *link = find_up(links, peer);

    if (link == NULL) return;
    close_politely(links, link);
    links->hung_up++;
}

/* ---- a link comes to be ---- */

void gossip_links_opened(struct gossip_links *links, uint64_t stream, bool is_inbound, const struct net_address *peer)
{
    struct link *link;

    if (is_inbound) {
        link = new_link(links, true, peer);
        link->stream = stream;
        sim_stream_set_user(links->host, stream, link);
    } else {
        link = sim_stream_user(links->host, stream);
    }
    link->is_open = true;
    gossip_wire_begin(&link->wire, links->host, links->identity, links->keys, links->ring, !is_inbound, &link->expected,
                      &link->out);
    if (link->out.size > 0) flush(links, link);
}

/* Both ends choose the same one: of two that crossed each other, the one dialled by the smaller id; else the newer. */
static bool wins(const struct gossip_links *links, const struct link *link, const struct link *other)
{
    uint64_t now_us = sim_host_now_us(links->host);
    bool we_are_smaller = memcmp(links->identity->id.bytes, link->peer.bytes, UUID_SIZE) < 0;

    if (link->boot != other->boot || link->is_inbound == other->is_inbound) return true;
    if (now_us - other->begun_us > FRESH_US) return true;
    SIM_SOMETIMES("two brokers dialled each other at once");
    return link->is_inbound != we_are_smaller;
}

static void dial_failed(struct gossip_links *links, struct link *link, enum gossip_dial_failure how)
{
    struct net_address address = link->address;
    struct uuid expected = link->expected;
    bool is_ours = !link->is_inbound;

    free_link(links, link);
    if (!is_ours) return;
    gossip_dial_failed(links->gossip, sim_host_now_us(links->host), &address, &expected, how);
    links->drain(links->drain_user);
}

/* The peer has said who it is. False: the link is gone. */
static bool take_proof(struct gossip_links *links, struct link *link, const struct uuid *peer, uint32_t boot)
{
    struct link *other;
    uint64_t now_us = sim_host_now_us(links->host), stream = link->stream;

    if (uuid_equal(peer, &links->identity->id) || (!uuid_is_zero(&link->expected) && !uuid_equal(&link->expected, peer))) {
        SIM_SOMETIMES("somebody else answered at an address");
        sim_stream_abort(links->host, link->stream);
        dial_failed(links, link, GOSSIP_DIAL_REJECTED);
        return false;
    }
    link->peer = *peer;
    link->boot = boot;
    link->is_proven = true;
    links->unproven--;
    other = find_up(links, &link->peer);
    if (other != NULL && !wins(links, link, other)) {
        close_politely(links, link);
        return false;
    }
    if (other != NULL) {
        close_politely(links, other);
        gossip_link_down(links->gossip, now_us, &link->peer, GOSSIP_LINK_CLOSED);
        links->drain(links->drain_user);
        if (sim_stream_user(links->host, stream) != link) return false;
    }
    link->is_up = true;
    gossip_link_up(links->gossip, now_us, &link->peer, link->boot, &link->address);
    links->drain(links->drain_user);
    return sim_stream_user(links->host, stream) == link; /* not hung up over it */
}

/* ---- and ends ---- */

static void link_ends(struct gossip_links *links, struct link *link, enum gossip_link_end how)
{
    struct uuid peer = link->peer;
    bool was_up = link->is_up;

    free_link(links, link);
    if (!was_up) return;
    gossip_link_down(links->gossip, sim_host_now_us(links->host), &peer, how);
    links->drain(links->drain_user);
}

void gossip_links_closed(struct gossip_links *links, uint64_t stream, enum sim_stream_end how)
{
    struct link *link = sim_stream_user(links->host, stream);

    if (!link->is_proven)
        dial_failed(links, link, how == SIM_STREAM_REFUSED ? GOSSIP_DIAL_REFUSED : GOSSIP_DIAL_UNREACHABLE);
    else
        /* An end without a goodbye is forced. */
        link_ends(links, link, how == SIM_STREAM_TIMEOUT ? GOSSIP_LINK_TIMEOUT : GOSSIP_LINK_RESET);
}

void gossip_links_expire(struct gossip_links *links)
{
    uint64_t now_us = sim_host_now_us(links->host);

    list_for_each_safe(node, &links->all) {
        struct link *link = container_of(node, struct link, node);
        if (link->is_proven || !link->is_open || now_us < link->begun_us + GREETING_TIMEOUT_US) continue;
        sim_stream_abort(links->host, link->stream);
        dial_failed(links, link, GOSSIP_DIAL_UNREACHABLE);
    }
}

/* ---- receiving ---- */

static void take_goodbye(struct gossip_links *links, struct link *link)
{
    sim_stream_set_user(links->host, link->stream, NULL);
    sim_stream_close(links->host, link->stream);
    if (link->is_proven)
        link_ends(links, link, GOSSIP_LINK_CLOSED);
    else
        dial_failed(links, link, GOSSIP_DIAL_UNREACHABLE);
}

static void take_rubbish(struct gossip_links *links, struct link *link)
{
    if (link->is_proven) {
        sim_stream_abort(links->host, link->stream);
        link_ends(links, link, GOSSIP_LINK_RESET);
        return;
    }
    /* What is left to be said tells the peer why. */
    if (links->keys != NULL)
        sim_stream_close(links->host, link->stream);
    else
        sim_stream_abort(links->host, link->stream);
    dial_failed(links, link, GOSSIP_DIAL_REJECTED);
}

/* Takes what is at the front of the link's buffer; false: nothing whole is, or the link is gone. */
static bool take_next(struct gossip_links *links, struct link *link)
{
    struct gossip_wire_event event;
    size_t waiting = link->out.size;
    enum gossip_wire_result result = gossip_wire_take(&link->wire, &link->in, &link->out, &event);
    uint64_t stream = link->stream;
    struct uuid peer = link->peer;

    if (link->out.size > waiting) flush(links, link);
    switch (result) {
    case GOSSIP_WIRE_MORE: return false;
    case GOSSIP_WIRE_GOODBYE: take_goodbye(links, link); return false;
    case GOSSIP_WIRE_BROKEN: take_rubbish(links, link); return false;
    case GOSSIP_WIRE_PROVEN:
        if (!take_proof(links, link, &event.peer, event.boot)) return false;
        break;
    case GOSSIP_WIRE_MESSAGE:
        links->heard(links->drain_user, &peer, event.message);
        gossip_receive_message(links->gossip, sim_host_now_us(links->host), &peer, event.message);
        links->drain(links->drain_user);
        if (sim_stream_user(links->host, stream) != link) return false; /* hung up over it */
        break;
    }
    buffer_consume(&link->in, event.used);
    return true;
}

void gossip_links_bytes(struct gossip_links *links, uint64_t stream, struct slice bytes)
{
    struct link *link = sim_stream_user(links->host, stream);

    MESH_ASSERT(buffer_append(&link->in, bytes.data, bytes.size) == 0);
    while (take_next(links, link))
        ;
}

void gossip_links_writable(struct gossip_links *links, uint64_t stream)
{
    flush(links, sim_stream_user(links->host, stream));
}

static struct link *find_outdated(struct gossip_links *links)
{
    list_for_each(node, &links->all) {
        struct link *link = container_of(node, struct link, node);
        uint32_t key_id = gossip_wire_key_id(&link->wire);
        if (key_id != 0 && keyring_find(links->ring, key_id) == NULL) return link;
    }
    return NULL;
}

void gossip_links_renew(struct gossip_links *links)
{
    for (struct link *link = find_outdated(links); link != NULL; link = find_outdated(links)) {
        struct uuid peer = link->peer;
        bool was_up = link->is_up;
        SIM_SOMETIMES("a link was made again because its key was removed");
        close_politely(links, link);
        if (!was_up) continue;
        gossip_link_down(links->gossip, sim_host_now_us(links->host), &peer, GOSSIP_LINK_CLOSED);
        links->drain(links->drain_user);
    }
}
