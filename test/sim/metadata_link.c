#include "sim/metadata_link.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/sim_frame.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define TICK_US         250000u
#define PING_US         500000u
#define DIAL_TIMEOUT_US SIM_SECOND
#define RETRY_US        20000u
#define OUT_BYTES_MAX   (8u << 20) /* that wait for a stream; more, and the link is given up */
#define GREETING_SIZE   (3 * UUID_SIZE) /* the speaker's broker and disk, the listener's broker */

enum { FRAME_PING = 2, FRAME_GREETING = 3 }; /* besides enum node_link */

struct metadata_link {
    struct list_node node;
    uint64_t stream;
    bool is_dialled, is_open, is_proven, is_broken;
    uint32_t number; /* of the other host; dialled or proven */
    struct raft_server peer;
    uint64_t heard_us, said_us;
    struct buffer in, out;
};

void metadata_links_init(struct metadata_links *links, struct sim_host *host, const struct raft_server *self)
{
    *links = (struct metadata_links){.host = host, .self = *self, .due_us = sim_host_now_us(host)};
    list_init(&links->all);
}

static void link_free(struct metadata_links *links, struct metadata_link *link)
{
    if (link->is_dialled && links->dialled[link->number] == link) {
        links->dialled[link->number] = NULL;
        links->retry_us[link->number] = sim_host_now_us(links->host) + RETRY_US + random_below(sim_host_random(links->host), RETRY_US);
    }
    list_remove(&link->node);
    buffer_deinit(&link->in);
    buffer_deinit(&link->out);
    free(link);
}

void metadata_links_deinit(struct metadata_links *links)
{
    list_for_each_safe(node, &links->all)
        link_free(links, container_of(node, struct metadata_link, node));
}

static struct metadata_link *link_new(struct metadata_links *links, uint64_t stream)
{
    struct metadata_link *link = calloc(1, sizeof(*link));

    MESH_ASSERT(link != NULL);
    link->stream = stream;
    link->heard_us = sim_host_now_us(links->host);
    list_push_back(&links->all, &link->node);
    return link;
}

/* ---- speaking ---- */

static void flush(struct metadata_links *links, struct metadata_link *link)
{
    if (!link->is_open || link->out.size == 0) return;
    buffer_consume(&link->out, sim_stream_write(links->host, link->stream, buffer_slice(&link->out)));
}

static void say(struct metadata_links *links, struct metadata_link *link, uint32_t type, struct slice payload)
{
    if (link->out.size > OUT_BYTES_MAX) link->is_broken = true;
    if (link->is_broken) return;
    sim_frame_put(&link->out, type, payload);
    link->said_us = sim_host_now_us(links->host);
    flush(links, link);
}

static void greet(struct metadata_links *links, struct metadata_link *link, const struct uuid *listener)
{
    uint8_t greeting[GREETING_SIZE];

    memcpy(greeting, links->self.broker.bytes, UUID_SIZE);
    memcpy(greeting + UUID_SIZE, links->self.dir.bytes, UUID_SIZE);
    memcpy(greeting + 2 * UUID_SIZE, listener->bytes, UUID_SIZE);
    say(links, link, FRAME_GREETING, slice_of(greeting, sizeof(greeting)));
}

void metadata_links_send(struct metadata_links *links, const struct uuid *to, enum node_link link, struct slice message)
{
    uint32_t number = consensus_host_of(to);

    MESH_ASSERT(number < sim_host_count(sim_host_sim(links->host)) && message.size <= NODE_MESSAGE_MAX);
    links->sent++;
    if (links->current[number] != NULL) say(links, links->current[number], (uint32_t)link, message);
}

void metadata_links_writable(struct metadata_links *links, uint64_t stream)
{
    struct metadata_link *link = sim_stream_user(links->host, stream);

    if (link != NULL) flush(links, link);
}

/* ---- comings and goings ---- */

static void link_ends(struct metadata_links *links, struct metadata_link *link)
{
    struct raft_server peer = link->peer;
    bool was_current = link->is_proven && links->current[link->number] == link;

    if (was_current) links->current[link->number] = NULL;
    link_free(links, link);
    if (was_current) links->down(links->user, &peer);
}

static void hang_up(struct metadata_links *links, struct metadata_link *link)
{
    sim_stream_abort(links->host, link->stream);
    link_ends(links, link);
}

static void dial(struct metadata_links *links, uint32_t number)
{
    struct net_address address = sim_host_address(sim_host_at(sim_host_sim(links->host), number));
    struct metadata_link *link = link_new(links, 0);

    link->stream = sim_connect(links->host, &address, DIAL_TIMEOUT_US, link);
    link->is_dialled = true;
    link->number = number;
    if (link->stream == 0) { /* this process has just died */
        link_free(links, link);
        return;
    }
    links->dialled[number] = link;
}

void metadata_links_tick(struct metadata_links *links)
{
    uint64_t now_us = sim_host_now_us(links->host);

    links->due_us = now_us + TICK_US;
    list_for_each_safe(node, &links->all)
    {
        struct metadata_link *link = container_of(node, struct metadata_link, node);

        if (link->is_broken || now_us - link->heard_us >= METADATA_LINK_SILENT_US) {
            SIM_SOMETIMES("a link to a silent broker was given up");
            hang_up(links, link);
        } else if (link->is_proven && now_us - link->said_us >= PING_US) {
            say(links, link, FRAME_PING, slice_of(NULL, 0));
        }
    }
    for (uint32_t i = sim_host_index(links->host) + 1; i < sim_host_count(sim_host_sim(links->host)); i++) {
        if (links->dialled[i] == NULL && now_us >= links->retry_us[i]) dial(links, i);
    }
}

void metadata_links_opened(struct metadata_links *links, uint64_t stream, bool is_inbound)
{
    struct metadata_link *link;
    struct raft_server wanted = {.broker = {{0}}};

    if (is_inbound) {
        link = link_new(links, stream);
        sim_stream_set_user(links->host, stream, link);
        link->is_open = true;
        return;
    }
    link = sim_stream_user(links->host, stream);
    link->is_open = true;
    le_store32(wanted.broker.bytes, link->number);
    greet(links, link, &wanted.broker);
}

void metadata_links_closed(struct metadata_links *links, uint64_t stream)
{
    struct metadata_link *link = sim_stream_user(links->host, stream);

    if (link != NULL) link_ends(links, link);
}

/* ---- listening ---- */

/* False: this is not for us, or from nobody whom we dialled. */
static bool take_greeting(struct metadata_links *links, struct metadata_link *link, struct slice greeting)
{
    struct metadata_link *before;
    uint32_t number;

    if (greeting.size != GREETING_SIZE || le_load32(greeting.data + 2 * UUID_SIZE) != sim_host_index(links->host)) {
        SIM_SOMETIMES("another broker was dialled at an address");
        return false;
    }
    memcpy(link->peer.broker.bytes, greeting.data, UUID_SIZE);
    memcpy(link->peer.dir.bytes, greeting.data + UUID_SIZE, UUID_SIZE);
    number = consensus_host_of(&link->peer.broker);
    if (number >= sim_host_count(sim_host_sim(links->host)) || (link->is_dialled && number != link->number)) return false;
    link->number = number;
    link->is_proven = true;
    if (!link->is_dialled) greet(links, link, &link->peer.broker);
    before = links->current[number];
    links->current[number] = link;
    SIM_SOMETIMES_IF(before != NULL, "a new link took the place of one that nobody had missed");
    if (before != NULL) hang_up(links, before);
    links->up(links->user, &link->peer);
    return true;
}

static bool take_frame(struct metadata_links *links, struct metadata_link *link, uint32_t type, struct slice payload)
{
    if (!link->is_proven) return type == FRAME_GREETING && take_greeting(links, link, payload);
    if (type == NODE_LINK_CONSENSUS || type == NODE_LINK_METADATA) links->receive(links->user, &link->peer, (enum node_link)type, payload);
    return true;
}

/* What does not begin as a link is somebody else's. */
static bool is_foreign(const struct metadata_links *links, const struct metadata_link *link)
{
    return links->adopt != NULL && !link->is_dialled && !link->is_proven && link->in.size >= 4 && le_load32(link->in.data) == METADATA_LINK_FOREIGN;
}

static void give_away(struct metadata_links *links, struct metadata_link *link)
{
    uint64_t stream = link->stream;
    struct buffer bytes = link->in;

    link->in = (struct buffer)BUFFER_INIT;
    link_free(links, link);
    sim_stream_set_user(links->host, stream, NULL);
    links->adopt(links->user, stream, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

void metadata_links_bytes(struct metadata_links *links, uint64_t stream, struct slice bytes)
{
    struct metadata_link *link = sim_stream_user(links->host, stream);
    size_t at = 0;
    struct slice payload;
    uint32_t type;
    int got;

    if (link == NULL) return;
    link->heard_us = sim_host_now_us(links->host);
    MESH_ASSERT(buffer_append(&link->in, bytes.data, bytes.size) == 0);
    if (is_foreign(links, link)) {
        give_away(links, link);
        return;
    }
    while ((got = sim_frame_take(buffer_slice(&link->in), NODE_MESSAGE_MAX, &at, &type, &payload)) != 0) {
        SIM_SOMETIMES_IF(got < 0, "a link broke over bytes that were damaged");
        if (got > 0 && take_frame(links, link, type, payload)) continue;
        hang_up(links, link);
        return;
    }
    buffer_consume(&link->in, at);
}
