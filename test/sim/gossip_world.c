#include "sim/gossip_world.h"

#include "base/assert.h"
#include "sim/gossip_faults.h"
#include "sim/gossip_keys.h"
#include "sim/gossip_record.h"
#include "sim/gossip_watch.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

/* After healing: a wait of the reconnect pool, then twice the time that the model needs for a death (PROTOCOLS 1.4 and
 * 5.2 L1), with the health that the faults have ruined. */
#define AGREE_US   (60 * SIM_SECOND)
#define SOFT_US    (75 * SIM_SECOND) /* and some rounds of digests: L6 */
#define IDLE_US    (30 * SIM_SECOND) /* then nothing happens for so long: L8 */
#define IDLE_PACKETS_PER_SECOND 14   /* of one broker: two probes with their answers, of both sides, digests, and some */
#define CHURN_ONE_IN 16 /* changes: many keys at once */
#define RESOLVE_US (15 * SIM_SECOND)
#define RECORD_ONE_IN 4 /* seeds: what one broker hears is told again in other orders */
#define RECORD_ORDERS 2
#define SEALED_ONE_IN 8 /* seeds: lib/crypto below, instead of its stand-in */

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    struct gossip_config config;
    struct gossip_watch *watch;
    struct gossip_keys *keys;
    struct gossip_record *record;
    uint32_t recorded; /* the host; UINT32_MAX: none */
    uint64_t sent_before;
    bool has_short_tombstones, is_sealed_always;
    struct gossip_dns dns;
    struct gossip_faults faults;
};

static void *make(void)
{
    struct world *world = calloc(1, sizeof(*world));

    MESH_ASSERT(world != NULL);
    world->watch = gossip_watch_new();
    world->keys = gossip_keys_new();
    world->record = gossip_record_new();
    return world;
}

static void *make_sealed(void)
{
    struct world *world = make();

    world->is_sealed_always = true;
    return world;
}

static void free_world(void *user)
{
    struct world *world = user;

    gossip_watch_free(world->watch);
    gossip_keys_free(world->keys);
    gossip_record_free(world->record);
    free(world);
}

/* ---- what processes tell ---- */

static void output(void *user, struct sim_host *host, const struct gossip_output *output)
{
    struct world *world = user;

    gossip_watch_output(world->watch, host, output);
}

static void heard(void *user, struct sim_host *host, const struct uuid *from, struct slice bytes)
{
    struct world *world = user;

    if (sim_host_index(host) == world->recorded) gossip_record_add(world->record, from, bytes);
}

static void stopping(void *user, struct sim_host *host, struct gossip_process *process)
{
    struct world *world = user;

    gossip_watch_stopping(world->watch, host, process);
    if (sim_host_index(host) == world->recorded) gossip_record_begin(world->record);
}

/* ---- workload ---- */

static struct sim_host *draw_host(struct world *world)
{
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORKLOAD);

    return sim_host_at(world->sim, (uint32_t)random_below(random, sim_host_count(world->sim)));
}

/* Some broker changes what it says of itself. */
static void work(void *user, uint64_t argument)
{
    struct world *world = user;
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORKLOAD);
    struct sim_host *host = draw_host(world);
    unsigned key = (unsigned)random_below(random, WATCH_KEYS);

    (void)argument;
    if (sim_host_is_awake(host)) {
        if (random_below(random, CHURN_ONE_IN) == 0)
            gossip_watch_churn_soft(world->watch, host);
        else if (random_below(random, 2) == 0)
            gossip_watch_set_soft(world->watch, host, key);
        else if (random_below(random, 2) == 0)
            gossip_watch_delete_soft(world->watch, host, key);
        else
            gossip_watch_set_frontier(world->watch, host);
    }
    if (sim_now_us(world->sim) < world->plan->heal_us)
        sim_at(world->sim, sim_now_us(world->sim) + sim_random_exponential(random, 2 * SIM_SECOND), work, world, 0);
}

static size_t look_up(void *user, struct net_address *to)
{
    struct world *world = user;

    return gossip_dns_look_up(&world->dns, to);
}

static void resolve_again(void *user, uint64_t argument)
{
    struct world *world = user;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct sim_host *host = sim_host_at(world->sim, i);
        if (!sim_host_is_awake(host)) continue;
        gossip_process_look_up(sim_host_process(host));
        gossip_process_drain(sim_host_process(host));
    }
    sim_at(world->sim, sim_now_us(world->sim) + RESOLVE_US, resolve_again, world, argument);
}

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;

    gossip_faults_apply(&world->faults, fault, is_begin);
}

/* ---- what must come to hold ---- */

static struct gossip *core_at(struct world *world, uint32_t index)
{
    struct gossip_process *process = sim_host_process(sim_host_at(world->sim, index));

    return process == NULL || !sim_plan_is_core(world->plan, index) ? NULL : gossip_process_core(process);
}

static uint32_t core_size(const struct world *world)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++)
        size += sim_plan_is_core(world->plan, i);
    return size;
}

static void check_agreement(void *user, uint64_t is_settled)
{
    struct world *world = user;
    uint32_t size = core_size(world), first = UINT32_MAX;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct gossip *gossip = core_at(world, i);
        struct gossip_stats stats;
        if (!sim_plan_is_core(world->plan, i)) continue;
        if (gossip == NULL) {
            sim_fail(world->sim, "L1 the core agrees on who lives", "h%u does not run", i);
            return;
        }
        gossip_get_stats(gossip, &stats);
        if (stats.alive != size || stats.suspect != 0)
            sim_fail(world->sim, "L1 the core agrees on who lives", "h%u holds %u alive and %u suspect, of %u", i, stats.alive,
                     stats.suspect, size);
        if (first == UINT32_MAX)
            first = i;
        else if ((is_settled || !world->has_short_tombstones) && /* those fade within some seconds of each other, and then count no more */
                 gossip_members_hash(gossip) != gossip_members_hash(core_at(world, first)))
            sim_fail(world->sim, "L1 the core agrees on who lives", "h%u and h%u hold different tables", first, i);
    }
}

static void check_soft(void *user, uint64_t argument)
{
    struct world *world = user;
    struct gossip *first = NULL;

    (void)argument;
    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct gossip *gossip = core_at(world, i);
        if (gossip == NULL) continue;
        if (first == NULL) first = gossip;
        if (gossip_soft_hash(gossip) != gossip_soft_hash(first))
            sim_fail(world->sim, "L6 soft state is equal everywhere", "h%u differs", i);
    }
    world->sent_before = sim_get_stats(world->sim)->datagrams_sent;
}

static void check_orders(struct world *world)
{
    struct gossip_process *process =
        world->recorded == UINT32_MAX ? NULL : sim_host_process(sim_host_at(world->sim, world->recorded));
    struct gossip_options options;
    const char *wrong;

    if (process == NULL) return;
    options = gossip_process_options(process);
    wrong = gossip_record_check(world->record, &options, 0, gossip_process_core(process), RECORD_ORDERS, world->plan->seed);
    if (wrong != NULL)
        sim_fail(world->sim, "S14 beliefs do not depend on the order of news", "h%u, %zu pieces: %s", world->recorded,
                 gossip_record_count(world->record), wrong);
}

static void check_idle(void *user, uint64_t argument)
{
    struct world *world = user;
    uint64_t sent = sim_get_stats(world->sim)->datagrams_sent - world->sent_before;
    uint64_t most = (uint64_t)sim_host_count(world->sim) * IDLE_US / SIM_SECOND * IDLE_PACKETS_PER_SECOND;

    (void)argument;
    check_agreement(user, true);
    if (world->config.keys != NULL && world->plan->is_healed_whole && world->keys->phase != GOSSIP_KEYS_REST)
        sim_fail(world->sim, "a rotation ends", "it is still in phase %d", world->keys->phase);
    check_orders(world);
    if (sent > most)
        sim_fail(world->sim, "L8 idle time is quiet", "%llu packets where %llu are plenty", (unsigned long long)sent,
                 (unsigned long long)most);
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    uint64_t now_us = sim_now_us(world->sim);

    sim_at(world->sim, now_us + AGREE_US, check_agreement, world, 0);
    sim_at(world->sim, now_us + SOFT_US, check_soft, world, 0);
    sim_at(world->sim, now_us + SOFT_US + IDLE_US, check_idle, world, 0);
    SIM_SOMETIMES_IF(core_size(world) < sim_host_count(world->sim), "only a part of the mesh was healed");
    return now_us + SOFT_US + IDLE_US;
}

/* ---- the run ---- */

static void begin(void *user, struct sim *sim, const struct sim_plan *plan)
{
    struct world *world = user;
    struct random *random = sim_random(sim, SIM_RANDOM_WORLD);

    world->sim = sim;
    world->plan = plan;
    gossip_options_init(&world->config.options);
    /* Short tombstones: what is collected, and what that may bring back. */
    world->has_short_tombstones = random_below(random, 4) == 0;
    if (world->has_short_tombstones) world->config.options.tombstone_us = sim_random_between(random, 30, 60) * SIM_SECOND;
    gossip_watch_reset(world->watch, sim);
    sim_set_observer(sim, gossip_watch_event, world->watch);
    world->config.output = output;
    world->config.stopping = stopping;
    world->config.heard = heard;
    world->config.user = world;
    world->config.takes_replays = random_below(random, 8) == 0;
    gossip_dns_reset(&world->dns, sim, (uint32_t)(plan->core_salt % sim_host_count(sim)), sim_mix(plan->seed, 53));
    gossip_record_begin(world->record);
    world->recorded = plan->seed % RECORD_ONE_IN == 1 ? (uint32_t)(plan->core_salt % sim_host_count(sim)) : UINT32_MAX;
    world->config.keys = NULL;
    if (world->is_sealed_always || plan->seed % SEALED_ONE_IN == 0) {
        world->config.keys = world->keys;
        gossip_keys_reset(world->keys, sim);
        gossip_keys_rotate(world->keys, plan->heal_us);
    }
    world->config.look_up = look_up;
    /* Two that write one ring, as one broker, are no rotation that anybody could judge. */
    world->faults = (struct gossip_faults){.sim = sim, .watch = world->watch, .dns = &world->dns, .has_twins = world->config.keys == NULL};
    for (uint32_t i = 0; i < sim_host_count(sim); i++) {
        struct sim_host *host = sim_host_at(sim, i);
        int64_t wall_offset_us = (int64_t)random_below(random, SIM_SECOND); /* one draw a statement: arguments are evaluated in any order */

        sim_host_set_program(host, &gossip_program, &world->config);
        sim_host_set_clock(host, random_below(random, 1000000) * SIM_SECOND, wall_offset_us);
        sim_host_start(host);
    }
    sim_at(sim, SIM_SECOND, work, world, 0);
    sim_at(sim, RESOLVE_US, resolve_again, world, 0);
}

static void end(void *user)
{
    (void)user;
}

#define ALL_KINDS ((UINT64_C(1) << SIM_FAULT_SLEEP) - 1)

static const char *const files[] = {"gossip_", "sim_", NULL};

const struct sim_world gossip_world = {.name = "gossip",
                                       .about = "membership: brokers that join, die, leave and come back, and must agree",
                                       .files = files,
                                       .limits = {2, 8, 20 * SIM_SECOND, 120 * SIM_SECOND, ALL_KINDS, false, false},
                                       .make = make,
                                       .free = free_world,
                                       .begin = begin,
                                       .fault = apply_fault,
                                       .healed = healed,
                                       .end = end};

/* The states of everything else are the other world's to reach. */
static const char *const sealed_files[] = {"gossip_keys", NULL};

const struct sim_world gossip_sealed_world = {.name = "sealed",
                                              .about = "membership, with lib/crypto below and its key replaced all the time",
                                              .files = sealed_files,
                                              .limits = {2, 8, 20 * SIM_SECOND, 120 * SIM_SECOND, ALL_KINDS, false, false},
                                              .make = make_sealed,
                                              .free = free_world,
                                              .begin = begin,
                                              .fault = apply_fault,
                                              .healed = healed,
                                              .end = end};
