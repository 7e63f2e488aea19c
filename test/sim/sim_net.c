#include "sim/sim_internal.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define PACKET_OVERHEAD 52 /* of a stream's packet: IPv4 and TCP with timestamps */
#define PACKET_BYTES    1500

/* ---- addresses ---- */

struct net_address sim_address(uint32_t number, uint16_t port)
{
    struct net_address address = {.ip = {[10] = 0xff, 0xff, 10, 0, (uint8_t)(number >> 8), (uint8_t)number}, .port = port};

    MESH_ASSERT(number < SIM_ADDRESSES_MAX);
    return address;
}

uint32_t net_owner(const struct sim *sim, const struct net_address *address)
{
    static const uint8_t prefix[14] = {[10] = 0xff, 0xff, 10, 0};
    uint32_t number = (uint32_t)address->ip[14] << 8 | address->ip[15];

    if (number >= SIM_ADDRESSES_MAX || memcmp(address->ip, prefix, sizeof(prefix)) != 0) return NO_HOST;
    return sim->net.owners[number];
}

/* ---- life ---- */

void net_reset(struct sim *sim)
{
    struct net *net = &sim->net;
    size_t count = (size_t)sim->host_count * sim->host_count;

    if (count > net->paths_capacity) {
        free(net->paths);
        net->paths = malloc(count * sizeof(net->paths[0]));
        MESH_ASSERT(net->paths != NULL);
        net->paths_capacity = count;
    }
    if (count > 0) memset(net->paths, 0, count * sizeof(net->paths[0]));
    memset(net->owners, 0xff, sizeof(net->owners));
    net->faults = (struct sim_net_faults){0};
    net->options = (struct sim_net_options){.delay_min_us = 100,
                                            .delay_mean_us = 400,
                                            .reorder_us = 20000,
                                            .replay_us = 60 * SIM_SECOND,
                                            .stream_timeout_us = 10 * SIM_SECOND,
                                            .receive_buffer_bytes = 208 << 10};
}

void net_deinit(struct sim *sim)
{
    free(sim->net.paths);
}

struct sim_net_options *sim_net_options(struct sim *sim)
{
    return &sim->net.options;
}

struct sim_net_faults *sim_net_faults(struct sim *sim)
{
    return &sim->net.faults;
}

/* ---- paths ---- */

static struct path *path_of(struct sim *sim, uint32_t from, uint32_t to)
{
    MESH_ASSERT(from < sim->host_count && to < sim->host_count);
    return &sim->net.paths[(size_t)from * sim->host_count + to];
}

void sim_net_cut(struct sim *sim, uint32_t from, uint32_t to, enum sim_net_traffic traffic)
{
    struct path *path = path_of(sim, from, to);

    if (traffic & SIM_NET_UDP) path->udp_cuts++;
    if (traffic & SIM_NET_TCP) path->tcp_cuts++;
}

void sim_net_join(struct sim *sim, uint32_t from, uint32_t to, enum sim_net_traffic traffic)
{
    struct path *path = path_of(sim, from, to);

    MESH_ASSERT(!(traffic & SIM_NET_UDP) || path->udp_cuts > 0);
    MESH_ASSERT(!(traffic & SIM_NET_TCP) || path->tcp_cuts > 0);
    if (traffic & SIM_NET_UDP) path->udp_cuts--;
    if (traffic & SIM_NET_TCP) path->tcp_cuts--;
}

void sim_net_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t until_us)
{
    struct path *path = path_of(sim, from, to);

    if (path->clogged_until_us < until_us) path->clogged_until_us = until_us;
}

void sim_net_set_mtu(struct sim *sim, uint32_t from, uint32_t to, uint16_t mtu)
{
    path_of(sim, from, to)->mtu = mtu;
}

/* ---- packets ---- */

static uint64_t draw_arrival(struct sim *sim, const struct path *path, uint64_t extra_us)
{
    const struct net *net = &sim->net;
    uint64_t delay_us = net->options.delay_min_us +
                        sim_random_exponential(&sim->randoms[SIM_RANDOM_DELAY], net->options.delay_mean_us);
    uint64_t from_us = sim->now_us > path->clogged_until_us ? sim->now_us : path->clogged_until_us;

    if (net->faults.delay_us > 0)
        delay_us += sim_random_exponential(&sim->randoms[SIM_RANDOM_DELAY], net->faults.delay_us);
    return from_us + delay_us + extra_us;
}

void net_flip_bit(struct sim *sim, uint8_t *bytes, size_t size, uint32_t ppm)
{
    struct random *random = &sim->randoms[SIM_RANDOM_FLIP];
    uint64_t bit;

    if (size == 0 || !sim_random_chance(random, ppm)) return;
    bit = random_below(random, size * 8);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    sim->stats.flipped++;
    SIM_SOMETIMES("a bit was flipped on its way");
}

static void schedule_packet(struct sim *sim, struct sim_host *from, const struct net_address *to, struct slice bytes,
                            uint64_t arrival_us)
{
    uint32_t number = sim_pool_take(&sim->pool, SIM_EVENT_DATAGRAM);
    struct sim_event *event = event_at(sim, number);

    sim_pool_set_bytes(&sim->pool, event, bytes);
    event->host = from->index;
    event->datagram.from = sim_host_address(from);
    event->datagram.to = *to;
    net_flip_bit(sim, event->bytes, event->size, sim->net.faults.flip_ppm);
    sim_schedule(sim, arrival_us, number);
}

static bool is_dropped(struct sim *sim, const struct path *path, size_t size)
{
    struct sim_stats *stats = &sim->stats;

    if (path->udp_cuts > 0) {
        stats->cut++;
        return true;
    }
    if (path->mtu != 0 && size + 28 > path->mtu) {
        stats->too_large++;
        SIM_SOMETIMES("a datagram was larger than the path let through");
        return true;
    }
    if (!sim_random_chance(&sim->randoms[SIM_RANDOM_LOSS], sim->net.faults.loss_ppm)) return false;
    stats->lost++;
    return true;
}

void net_send(struct sim *sim, struct sim_host *from, const struct net_address *to, struct slice bytes)
{
    const struct sim_net_faults *faults = &sim->net.faults;
    uint32_t owner = net_owner(sim, to);
    const struct path *path;
    uint64_t extra_us = 0;

    MESH_ASSERT(bytes.size <= SIM_DATAGRAM_MAX);
    sim->stats.datagrams_sent++;
    sim->stats.datagram_bytes += bytes.size;
    if (owner == NO_HOST || from->suspends > 0) return;
    path = path_of(sim, from->index, owner);
    if (is_dropped(sim, path, bytes.size)) return;
    if (sim_random_chance(&sim->randoms[SIM_RANDOM_REORDER], faults->reorder_ppm)) {
        extra_us = random_below(&sim->randoms[SIM_RANDOM_REORDER], sim->net.options.reorder_us);
        sim->stats.reordered++;
    }
    schedule_packet(sim, from, to, bytes, draw_arrival(sim, path, extra_us));
    if (sim_random_chance(&sim->randoms[SIM_RANDOM_DUPLICATE], faults->duplicate_ppm)) {
        sim->stats.duplicated++;
        schedule_packet(sim, from, to, bytes, draw_arrival(sim, path, 0));
    }
    if (sim_random_chance(&sim->randoms[SIM_RANDOM_REPLAY], faults->replay_ppm)) {
        sim->stats.replayed++;
        SIM_SOMETIMES("a datagram was replayed long after it was sent");
        schedule_packet(sim, from, to, bytes,
                        draw_arrival(sim, path, random_below(&sim->randoms[SIM_RANDOM_REPLAY], sim->net.options.replay_us)));
    }
}

/* ---- streams ---- */

bool net_segment_delay(struct sim *sim, uint32_t from, uint32_t to, size_t size, uint64_t *ret_delay_us)
{
    const struct path *path;
    size_t packet = size + PACKET_OVERHEAD < PACKET_BYTES ? size + PACKET_OVERHEAD : PACKET_BYTES;

    if (to == NO_HOST || !sim->hosts[to].is_powered || sim->hosts[to].suspends > 0) return false;
    if (!sim->hosts[from].is_powered || sim->hosts[from].suspends > 0) return false;
    path = path_of(sim, from, to);
    if (path->tcp_cuts > 0 || (path->mtu != 0 && packet > path->mtu)) return false;
    if (sim_random_chance(&sim->randoms[SIM_RANDOM_STREAM], sim->net.faults.loss_ppm)) return false;
    *ret_delay_us = draw_arrival(sim, path, 0) - sim->now_us;
    return true;
}
