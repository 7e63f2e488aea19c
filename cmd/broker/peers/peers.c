/* peers/peers.c - events in, outputs out, and what is asked about members. */
#include "cmd/broker/peers/peers_internal.h"
#include "cmd/broker/operate/events.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAVE_SECONDS  5.0 /* a leave that takes longer is over anyway */
#define SENDERS_MAX    GOSSIP_MEMBERS_MAX
#define TICK_SECONDS_MAX 3600.0
#define TWIN_INTERVAL_US 60000000 /* between two lines about an identity that is used twice */

static const char *const state_names[] = {"alive", "suspect", "dead", "left"};

uint64_t peers_now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

/* ---- outputs ---- */

static void send_packet(struct peers *peers, const struct gossip_output *output)
{
    uint8_t *packet;

    if (peers->udp == NULL) { /* the port was taken: whoever has a link to us gets it there */
        peers_send(peers, &output->peer, LINK_TYPE_PACKET, output->bytes);
        return;
    }
    packet = udp_reserve(peers->udp);
    memcpy(packet + SEALED_PACKET_HEADER_SIZE, output->bytes.data, output->bytes.size);
    if (packet_sealer_seal(peers->sealer, packet, output->bytes.size) == 0)
        udp_commit(peers->udp, &output->address, output->bytes.size + SEALED_PACKET_OVERHEAD);
}

static void tell_member(struct peers *peers, const struct gossip_output *output)
{
    const struct gossip_member *member = output->member;
    char id[UUID_STRING_SIZE], address[NET_ADDRESS_STRING_SIZE];

    if (output->is_new) peer_users_met(peers, &member->self.id);
    if (peers->news != NULL && peers->news->member != NULL)
        peers->news->member(peers->news_user, member, output->was, output->is_new);
    if (member->is_self || (!output->is_new && output->was == member->state)) return;
    event_note(peers->options.events, EVENT_MEMBER, LOG_LEVEL_INFO, "member %s name=%s broker=%s address=%s was=%s", state_names[member->state], member->self.name,
             uuid_format(&member->self.id, id), net_address_format(&member->self.address, address),
             output->is_new ? "unknown" : state_names[output->was]);
}

void peers_tell_twin(struct peers *peers, const struct uuid *twin, const struct net_address *where)
{
    const struct gossip_member *member = gossip_find(peers->gossip, twin);
    char id[UUID_STRING_SIZE], address[NET_ADDRESS_STRING_SIZE], other[NET_ADDRESS_STRING_SIZE];
    uint64_t now_us = peers_now_us();

    if (member == NULL || (peers->twin_told_us != 0 && now_us - peers->twin_told_us < TWIN_INTERVAL_US)) return;
    peers->twin_told_us = now_us;
    event_note(peers->options.events, EVENT_MEMBER, LOG_LEVEL_ERROR, "two processes use the identity of broker=%s%s name=%s, at address=%s and address=%s: its data directory was "
              "copied, or set back to an older state. Stop one of them; a new broker begins with an empty directory",
              uuid_format(twin, id), member->is_self ? " (this one)" : "", member->self.name,
              net_address_format(&member->self.address, address), net_address_format(where, other));
}

void peers_tell_shut_out(struct peers *peers, const struct link *link, uint32_t boot)
{
    char address[NET_ADDRESS_STRING_SIZE];
    uint64_t now_us = peers_now_us();
    bool is_new = peers->shut_out_us == 0 || now_us - peers->shut_out_us >= TWIN_INTERVAL_US;

    peers->shut_out_us = now_us;
    if (!is_new) return;
    event_note(peers->options.events, EVENT_MEMBER, LOG_LEVEL_ERROR, "peer address=%s listens to another process with this broker's identity, of a later start (boot=%u, this is boot=%u): the data "
              "directory is in use twice. Stop one of the two; a new broker begins with an empty directory",
              net_address_format(link_address(link), address), boot, peers->options.boot);
}

bool peers_is_shut_out(const struct peers *peers)
{
    return peers->shut_out_us != 0 && peers_now_us() - peers->shut_out_us < TWIN_INTERVAL_US;
}

static void has_left(struct peers *peers)
{
    peers_left_fn *left = peers->left;

    ev_timer_stop(peers->loop, &peers->leave_timer);
    peers->left = NULL;
    if (left != NULL) left(peers->left_user);
}

static void tell_frontier(struct peers *peers, const struct uuid *peer)
{
    const struct gossip_member *member = gossip_find(peers->gossip, peer);

    if (member != NULL && peers->news != NULL && peers->news->frontier != NULL) peers->news->frontier(peers->news_user, member);
}

static void perform(struct peers *peers, const struct gossip_output *output)
{
    char address[NET_ADDRESS_STRING_SIZE];

    switch (output->type) {
    case GOSSIP_OUTPUT_PACKET: send_packet(peers, output); return;
    case GOSSIP_OUTPUT_MESSAGE: peers_send(peers, &output->peer, LINK_TYPE_GOSSIP, output->bytes); return;
    case GOSSIP_OUTPUT_DIAL: peers_dial(peers, &output->address, &output->peer); return;
    case GOSSIP_OUTPUT_HANG_UP: peers_hang_up(peers, &output->peer); return;
    case GOSSIP_OUTPUT_MEMBER:
        tell_member(peers, output);
        if (!output->member->is_self) peer_memory_changed(peers);
        return;
    case GOSSIP_OUTPUT_FORGOT:
        if (peers->news != NULL && peers->news->forgot != NULL) peers->news->forgot(peers->news_user, &output->peer);
        return;
    case GOSSIP_OUTPUT_SOFT: return; /* read when it is needed */
    case GOSSIP_OUTPUT_ADDRESS:
        log_info("peers see this broker at address=%s", net_address_format(&output->address, address));
        return;
    case GOSSIP_OUTPUT_LEFT: peers->has_left = true; return;
    case GOSSIP_OUTPUT_GONE:
        if (peers->news != NULL && peers->news->gone != NULL) peers->news->gone(peers->news_user, &output->peer);
        return;
    case GOSSIP_OUTPUT_TWIN: peers_tell_twin(peers, &output->peer, &output->address); return;
    case GOSSIP_OUTPUT_BOOT_BEHIND:
        peers->is_behind = true;
        peers->behind_boot = output->boot;
        return;
    case GOSSIP_OUTPUT_FRONTIER: tell_frontier(peers, &output->peer); return;
    }
}

static void rearm(struct peers *peers)
{
    uint64_t due_us = gossip_due_us(peers->gossip), now_us = peers_now_us();
    double seconds = due_us <= now_us ? 0 : (double)(due_us - now_us) / 1e6;

    if (due_us == peers->armed_us && ev_is_active(&peers->tick)) return;
    peers->armed_us = due_us;
    ev_timer_stop(peers->loop, &peers->tick);
    if (due_us == UINT64_MAX) return;
    ev_timer_set(&peers->tick, seconds < TICK_SECONDS_MAX ? seconds : TICK_SECONDS_MAX, 0);
    ev_timer_start(peers->loop, &peers->tick);
}

static void take_outputs(struct peers *peers)
{
    struct gossip_output output;

    MESH_ASSERT(!peers->is_driving);
    peers->is_driving = true;
    while (gossip_next_output(peers->gossip, peers_now_us(), &output))
        perform(peers, &output);
    peers->is_driving = false;
}

static int open_sealer(struct peers *peers)
{
    uint32_t random;
    struct packet_sealer_options options = {
        .keyring = peers->options.keyring,
        .sender = peers->options.identity->id,
        .cluster_id = peers->options.cluster_id,
        .boot = peers->options.boot,
        .senders_max = SENDERS_MAX,
    };

    random_system_bytes(&random, sizeof(random));
    options.first_counter = packet_first_counter((uint64_t)clock_wall_ms(), random);
    return packet_sealer_new(&options, &peers->sealer);
}

/* The disk went back in time: a boot that nobody has heard of, first on the disk, then in packets and on links to come. Those
 * that are up stay: a link belongs to one process. */
static void catch_up(struct peers *peers)
{
    struct packet_sealer *old_sealer = peers->sealer;
    uint32_t old_boot = peers->options.boot;
    int err;

    peers->is_behind = false;
    if (peers->behind_boot == UINT32_MAX || peers->options.set_boot == NULL) return;
    err = peers->options.set_boot(peers->options.user, peers->behind_boot + 1);
    if (err == 0) {
        peers->options.boot = peers->behind_boot + 1;
        err = open_sealer(peers);
    }
    if (err != 0) {
        peers->options.boot = old_boot;
        peers->sealer = old_sealer;
        log_error("cannot take a boot of its own: its packets stay refused error=\"%s\"", mesh_strerror(err));
        return;
    }
    packet_sealer_free(old_sealer);
    log_warn("the mesh knows more of this broker than its disk, which was restored from an older copy or copied to another "
             "machine: going on as boot=%u, it was=%u",
             peers->options.boot, old_boot);
    gossip_set_boot(peers->gossip, peers_now_us(), peers->options.boot);
}

void peers_begin_boot(struct peers *peers)
{
    if (peers->is_behind) return;
    peers->is_behind = true;
    peers->behind_boot = peers->options.boot;
    ev_feed_event(peers->loop, &peers->tick, EV_TIMER);
}

/* What people named, and while this broker is alone, where others were in its last life. */
static void use_seeds(struct peers *peers)
{
    struct net_address addresses[SEEDS_ADDRESSES_MAX];
    size_t count = seeds_addresses(peers->seeds, addresses);

    count = peer_memory_add(peers, addresses, count, SEEDS_ADDRESSES_MAX);
    if (gossip_set_seeds(peers->gossip, peers_now_us(), addresses, count) != 0) log_warn("no memory for the seeds' addresses");
}

/* Links call back from the loop only, so no event comes while outputs are taken. A dial that could not begin is told as an
 * event of its own, afterwards. */
void peers_drive(struct peers *peers)
{
    ev_now_update(peers->loop);
    take_outputs(peers);
    while (peer_users_tell_gossip(peers))
        take_outputs(peers);
    if (peers->is_behind) {
        catch_up(peers);
        take_outputs(peers);
    }
    while (peers->failed_dial_count > 0) {
        struct failed_dial failed = peers->failed_dials[--peers->failed_dial_count];

        gossip_dial_failed(peers->gossip, peers_now_us(), &failed.address, &failed.expected, GOSSIP_DIAL_UNREACHABLE);
        take_outputs(peers);
    }
    if (peer_memory_has_served(peers)) {
        use_seeds(peers);
        take_outputs(peers);
    }
    if (peers->udp != NULL) udp_flush(peers->udp);
    rearm(peers);
    if (!peers->has_left) return;
    peers->has_left = false;
    has_left(peers);
}

/* ---- events ---- */

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct peers *peers = timer->data;

    (void)loop;
    (void)events;
    gossip_tick(peers->gossip, peers_now_us());
    peers_drive(peers);
}

static void on_packet(void *user, const struct net_address *from, uint8_t *packet, size_t size)
{
    struct peers *peers = user;
    struct opened_packet opened;
    enum packet_result result = packet_sealer_open(peers->sealer, packet, size, &opened);
    char address[NET_ADDRESS_STRING_SIZE];

    peers->stats.packets_dropped[result]++;
    if (result == PACKET_OK) {
        gossip_receive_packet(peers->gossip, peers_now_us(), &opened.sender, opened.boot, from, opened.text);
        peers_drive(peers);
    } else if (result != PACKET_REPLAYED && log_limiter_allows(&peers->packet_lines, from, peers_now_us() / 1000)) {
        log_warn("dropped a packet: %s source=%s", packet_result_text(result), net_address_format(from, address));
    }
}

static void on_seeds(void *user)
{
    use_seeds(user);
    peers_drive(user);
}

/* ---- leaving ---- */

static void on_leave_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    has_left(timer->data);
}

int peers_leave(struct peers *peers, peers_left_fn *done, void *user)
{
    if (peers->is_leaving) return MESH_EBUSY;
    peers->left = done;
    peers->left_user = user;
    peers->is_leaving = true;
    ev_timer_set(&peers->leave_timer, LEAVE_SECONDS, 0);
    ev_timer_start(peers->loop, &peers->leave_timer);
    gossip_leave(peers->gossip, peers_now_us());
    peers_drive(peers);
    return 0;
}

bool peers_is_leaving(const struct peers *peers)
{
    return peers->is_leaving;
}

/* ---- open and close ---- */

static int open_gossip(struct peers *peers)
{
    const struct peers_options *options = &peers->options;
    struct gossip_options gossip;
    bool is_specific = !net_address_is_wildcard(&options->listen);

    gossip_options_init(&gossip);
    gossip.self.id = options->identity->id;
    gossip.self.dir_id = options->dir_id;
    gossip.self.incarnation = (uint64_t)options->boot << 32;
    gossip.self.address = net_address_is_none(&options->advertise) ? options->listen : options->advertise;
    gossip.self.client_port = options->client_port;
    snprintf(gossip.self.name, sizeof(gossip.self.name), "%s", options->name);
    snprintf(gossip.self.zone, sizeof(gossip.self.zone), "%s", options->zone);
    snprintf(gossip.self.host, sizeof(gossip.self.host), "%s", options->host);
    memcpy(gossip.self.public_key, options->identity->public_key, sizeof(gossip.self.public_key));
    gossip.signer = (struct gossip_signer){(void *)(uintptr_t)options->identity, identity_gossip_sign, identity_gossip_verify};
    gossip.advertises_observed = net_address_is_none(&options->advertise) && !is_specific;
    random_system_bytes(&gossip.seed, sizeof(gossip.seed));
    return gossip_new(&gossip, peers_now_us(), &peers->gossip);
}

static int open_udp(struct peers *peers)
{
    char address[NET_ADDRESS_STRING_SIZE];
    int err = udp_open(peers->loop, &peers->options.listen, on_packet, peers, &peers->udp);

    if (err == MESH_ENOMEM) return err;
    if (err != 0)
        log_warn("no UDP at address=%s error=\"%s\": gossip takes its links instead, and will be slower",
                 net_address_format(&peers->options.listen, address), strerror(errno));
    return 0;
}

int peers_open(const struct peers_options *options, struct peers **ret_peers)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    int err;

    if (peers == NULL) return MESH_ENOMEM;
    peers->options = *options;
    peers->loop = options->loop;
    list_init(&peers->links);
    peers->chosen = (struct map)MAP_INIT;
    peer_users_open(peers);
    peer_streams_open(peers);
    ev_timer_init(&peers->tick, on_tick, 0, 0);
    ev_timer_init(&peers->leave_timer, on_leave_timer, 0, 0);
    peers->tick.data = peers->leave_timer.data = peers;
    peer_memory_open(peers);
    err = open_gossip(peers);
    if (err == 0) err = open_sealer(peers);
    if (err == 0) err = open_udp(peers);
    if (err == 0) err = key_rotation_open(peers);
    if (err == 0)
        err = seeds_new(peers->loop, options->seeds, options->seed_count, options->name_servers, on_seeds, peers,
                        &peers->seeds);
    if (err != 0) {
        log_error("cannot become a member of the mesh error=\"%s\"", mesh_strerror(err));
        peers_close(peers);
        return err;
    }
    if (peer_memory_is_needed(peers)) use_seeds(peers);
    peers_drive(peers);
    *ret_peers = peers;
    return 0;
}

void peers_close(struct peers *peers)
{
    if (peers == NULL) return;
    has_left(peers); /* whoever waits for the end of a leave is answered: this is it */
    seeds_free(peers->seeds);
    peer_memory_close(peers);
    if (peers->gossip != NULL) key_rotation_close(peers);
    peer_streams_close(peers);
    peers_abandon_links(peers);
    map_deinit(&peers->chosen);
    peer_users_close(peers);
    udp_close(peers->udp);
    ev_timer_stop(peers->loop, &peers->tick);
    ev_timer_stop(peers->loop, &peers->leave_timer);
    packet_sealer_free(peers->sealer);
    gossip_free(peers->gossip);
    free(peers);
}

void peers_get_stats(const struct peers *peers, struct peers_stats *ret_stats)
{
    *ret_stats = peers->stats;
    gossip_get_stats(peers->gossip, &ret_stats->gossip);
    if (peers->udp != NULL) {
        const struct udp_stats *udp = udp_stats(peers->udp);

        ret_stats->udp_received_bytes = udp->received_bytes;
        ret_stats->udp_sent_bytes = udp->sent_bytes;
        ret_stats->udp_unsent = udp->unsent;
        ret_stats->udp_oversized = udp->oversized;
    }
    list_for_each(node, &peers->links)
    {
        const struct peer_link *peer_link = container_of(node, struct peer_link, node);
        const struct link_stats *link = link_stats(peer_link->link);

        ret_stats->link_received_bytes += link->received_bytes;
        ret_stats->link_sent_bytes += link->sent_bytes;
    }
    for (size_t i = 0; i < gossip_member_count(peers->gossip); i++)
        ret_stats->links += gossip_member_at(peers->gossip, i)->is_linked;
}
