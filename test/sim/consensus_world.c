#include "sim/consensus_world.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

/* After healing: a link that is half open is found out in a second, and made anew in another (consensus_link.c); then the core
 * has its three election timeouts (PROTOCOLS 5.2, L2). */
#define LINKS_US       (2 * SIM_SECOND)
#define ELECTIONS      3
#define PUSHES         8               /* proposals after healing, */
#define PUSH_EVERY_US  (SIM_SECOND / 5)
#define AGREE_US       (20 * SIM_SECOND) /* within which all members hold the same */
#define IDLE_US        (8 * SIM_SECOND)
#define VALUE_PADDING  300

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    struct consensus_mesh mesh;
    bool has_mesh;
    struct consensus_faults faults;
    uint64_t work_mean_us;
    uint32_t change_ppm, read_ppm, transfer_ppm, snapshot_ppm;
    uint64_t open_read; /* to be asked again */
    /* After healing. */
    bool is_live; /* a majority that can go on was healed */
    uint64_t end_us, proposed_before, acknowledged_before, sent_before, term_before;
    uint32_t pushed;
};

static struct consensus_load stated_load;
static uint64_t core_defects;
static unsigned driver_defects;
static uint32_t only_kinds;

void consensus_world_set_faults(uint32_t kinds)
{
    only_kinds = kinds;
}

void consensus_world_set_load(const struct consensus_load *load)
{
    stated_load = load != NULL ? *load : (struct consensus_load){0};
}

void consensus_world_set_defects(uint64_t core, unsigned driver)
{
    core_defects = core;
    driver_defects = driver;
}

static void *make(void)
{
    struct world *world = calloc(1, sizeof(*world));

    MESH_ASSERT(world != NULL);
    return world;
}

static void free_world(void *user)
{
    struct world *world = user;

    if (world->has_mesh) consensus_mesh_deinit(&world->mesh);
    free(world);
}

/* ---- workload ---- */

static uint32_t draw_below(struct world *world, uint32_t limit)
{
    return (uint32_t)random_below(sim_random(world->sim, SIM_RANDOM_WORKLOAD), limit);
}

/* Somebody who leads, or believes so; now and then anybody. */
static uint32_t draw_speaker(struct world *world)
{
    uint32_t count = sim_host_count(world->sim), first = draw_below(world, count);
    bool takes_any = draw_below(world, 16) == 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t host = (first + i) % count;
        if (!sim_host_is_awake(sim_host_at(world->sim, host))) continue;
        if (takes_any || raft_get_brief(consensus_mesh_raft(&world->mesh, host)).role == RAFT_LEADER) return host;
    }
    return CONSENSUS_NOBODY;
}

static void add(struct raft_server *servers, uint8_t *count, const struct raft_server *server)
{
    if (*count < RAFT_SERVERS_MAX) servers[(*count)++] = *server;
}

static struct raft_server take(struct raft_server *servers, uint8_t *count, unsigned which)
{
    struct raft_server server = servers[which];

    servers[which] = servers[--*count];
    return server;
}

static bool is_in(const struct raft_server *servers, unsigned count, const struct raft_server *server)
{
    for (unsigned i = 0; i < count; i++) {
        if (raft_server_equal(&servers[i], server)) return true;
    }
    return false;
}

/* A host that is no member, on its present disk. */
static bool find_stranger(struct world *world, const struct raft_config *config, struct raft_server *ret_server)
{
    uint32_t count = sim_host_count(world->sim), first = draw_below(world, count);

    for (uint32_t i = 0; i < count; i++) {
        struct raft_server server = consensus_mesh_server(&world->mesh, (first + i) % count);
        if (is_in(config->voters, config->voter_count, &server) || is_in(config->learners, config->learner_count, &server)) continue;
        *ret_server = server;
        return true;
    }
    return false;
}

/* Members on disks that are lost go first. */
static unsigned draw_member(struct world *world, const struct raft_server *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (consensus_generation_of(&servers[i].dir) != world->mesh.config.generations[consensus_host_of(&servers[i].broker)])
            return i;
    }
    return draw_below(world, count);
}

/* One small step from the configuration that there is. False: it cannot be done. */
static bool step_config(struct world *world, struct raft_config *config)
{
    struct raft_server server;

    switch (draw_below(world, 6)) {
    case 0:
    case 1:
        if (!find_stranger(world, config, &server)) return false;
        add(config->learners, &config->learner_count, &server);
        return true;
    case 2:
    case 3:
        if (config->learner_count == 0) return false;
        server = take(config->learners, &config->learner_count, draw_below(world, config->learner_count));
        add(config->voters, &config->voter_count, &server);
        return true;
    case 4:
        if (config->voter_count < 2) return false;
        server = take(config->voters, &config->voter_count, draw_member(world, config->voters, config->voter_count));
        if (draw_below(world, 2) == 0) add(config->learners, &config->learner_count, &server);
        return true;
    default:
        if (config->learner_count == 0) return false;
        take(config->learners, &config->learner_count, draw_member(world, config->learners, config->learner_count));
        return true;
    }
}

static void change(struct world *world, uint32_t host)
{
    struct raft *raft = consensus_mesh_raft(&world->mesh, host);
    struct raft_config config = *raft_get_config(raft);
    unsigned steps = draw_below(world, 4) == 0 ? 2 + draw_below(world, 3) : 1;
    uint64_t index;
    int err;

    if (config.old_voter_count > 0) return;
    while (steps-- > 0) {
        if (!step_config(world, &config)) return;
    }
    if (!consensus_faults_survive(&world->faults, &config, CONSENSUS_NOBODY)) return;
    index = consensus_mesh_status(&world->mesh, host).last.index;
    /* Noted before it is tried: the process may die of it, with the change on its disk. */
    consensus_faults_note_change(&world->faults, &config, index + 1);
    err = consensus_mesh_change(&world->mesh, host, &config);
    SIM_SOMETIMES_IF(err == 0, "the configuration was changed");
    SIM_SOMETIMES_IF(err == MESH_EBUSY, "a change had to wait for another");
    SIM_SOMETIMES_IF(err == MESH_EAGAIN, "a learner was not ready to vote");
}

static void transfer(struct world *world, uint32_t host)
{
    struct consensus_process *process = consensus_mesh_process(&world->mesh, host);
    const struct raft_config *config = raft_get_config(consensus_process_raft(process));
    struct raft_server to = {.broker = {{0}}};

    if (config->voter_count > 0 && draw_below(world, 3) > 0) to = config->voters[draw_below(world, config->voter_count)];
    if (raft_transfer(consensus_process_raft(process), sim_host_now_us(consensus_process_host(process)), &to) == 0)
        SIM_SOMETIMES("leadership was to be handed over");
    consensus_process_drain(process);
}

static void read_something(struct world *world, struct consensus_process *process)
{
    uint64_t again = 0;

    if (consensus_clients_may_ask_again(&world->mesh.clients, world->open_read) && draw_below(world, 2) == 0) again = world->open_read;
    world->open_read = consensus_clients_read(&world->mesh.clients, process, again);
}

static void act(struct world *world, uint32_t host)
{
    struct consensus_process *process = consensus_mesh_process(&world->mesh, host);
    uint32_t draw = draw_below(world, 1000000);

    if (draw < world->change_ppm)
        change(world, host);
    else if ((draw -= world->change_ppm) < world->read_ppm)
        read_something(world, process);
    else if ((draw -= world->read_ppm) < world->transfer_ppm)
        transfer(world, host);
    else if ((draw -= world->transfer_ppm) < world->snapshot_ppm)
        consensus_process_snapshot(process), consensus_process_drain(process);
    else
        consensus_clients_propose(&world->mesh.clients, process, draw_below(world, VALUE_PADDING));
}

static void work(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t host;
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORKLOAD);

    (void)argument;
    if (sim_now_us(world->sim) >= world->plan->heal_us) return;
    host = draw_speaker(world);
    if (host != CONSENSUS_NOBODY) act(world, host);
    sim_at(world->sim, sim_now_us(world->sim) + sim_random_exponential(random, world->work_mean_us), work, world, 0);
}

/* Many at once. */
static void burst(void *user, uint64_t argument)
{
    struct world *world = user;
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORKLOAD);
    uint32_t host;

    (void)argument;
    if (sim_now_us(world->sim) >= world->plan->heal_us) return;
    host = draw_speaker(world);
    if (host != CONSENSUS_NOBODY)
        consensus_clients_propose_many(&world->mesh.clients, consensus_mesh_process(&world->mesh, host), stated_load.burst, VALUE_PADDING, random);
    sim_at(world->sim, sim_now_us(world->sim) + sim_random_exponential(random, stated_load.burst_every_us), burst, world, 0);
}

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;

    consensus_faults_apply(&world->faults, fault, is_begin);
}

/* ---- what must come to hold ---- */

/* It runs, in the core, on the disk that is meant, and may vote. */
static bool is_able(struct world *world, const struct raft_server *server)
{
    uint32_t host = consensus_host_of(&server->broker);
    struct consensus_process *process = consensus_mesh_process(&world->mesh, host);

    if (process == NULL || !sim_plan_is_core(world->plan, host) || !raft_server_equal(consensus_process_self(process), server))
        return false;
    return consensus_mesh_status(&world->mesh, host).damaged_until == 0;
}

static bool has_able_majority(struct world *world, const struct raft_server *voters, unsigned count)
{
    unsigned able = 0;

    for (unsigned i = 0; i < count; i++)
        able += is_able(world, &voters[i]);
    return count == 0 || able * 2 > count;
}

static bool can_go_on(void *user, const struct raft_config *config)
{
    struct world *world = user;

    return has_able_majority(world, config->voters, config->voter_count) &&
           has_able_majority(world, config->old_voters, config->old_voter_count);
}

static uint64_t core_sent(struct world *world)
{
    uint64_t sent = 0;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        if (consensus_mesh_process(&world->mesh, i) != NULL && sim_plan_is_core(world->plan, i))
            sent += consensus_process_sent(consensus_mesh_process(&world->mesh, i));
    }
    return sent;
}

static void check_leader(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    if (consensus_mesh_leader(&world->mesh) == CONSENSUS_NOBODY)
        consensus_watch_fail(world->mesh.watch, "L2 there is a leader", "nobody leads, %u election timeouts after healing", ELECTIONS);
}

/* Proposals, and a new learner if there is one to be had, now that all is well. */
static void push(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t leader = consensus_mesh_leader(&world->mesh);
    struct raft_config config;
    struct raft_server server;

    if (leader != CONSENSUS_NOBODY && argument == 1) {
        config = *raft_get_config(consensus_mesh_raft(&world->mesh, leader));
        if (config.old_voter_count == 0 && find_stranger(world, &config, &server) && is_able(world, &server)) {
            add(config.learners, &config.learner_count, &server);
            if (consensus_mesh_change(&world->mesh, leader, &config) == 0) SIM_SOMETIMES("a learner was added after healing");
        }
    }
    leader = consensus_mesh_leader(&world->mesh);
    if (leader != CONSENSUS_NOBODY &&
        consensus_clients_propose(&world->mesh.clients, consensus_mesh_process(&world->mesh, leader), 20) == 0)
        world->pushed++;
    if (argument < PUSHES) sim_at(world->sim, sim_now_us(world->sim) + PUSH_EVERY_US, push, world, argument + 1);
}

static void check_agreement(void *user, uint64_t argument)
{
    struct world *world = user;
    const char *why = consensus_mesh_disagreement(&world->mesh);

    (void)argument;
    if (world->mesh.clients.acknowledged - world->acknowledged_before < world->pushed || world->pushed == 0)
        consensus_watch_fail(world->mesh.watch, "L2 what is proposed commits", "%llu of %u proposals after healing",
                             (unsigned long long)(world->mesh.clients.acknowledged - world->acknowledged_before), world->pushed);
    if (why != NULL) consensus_watch_fail(world->mesh.watch, "L4 all members agree", "%s", why);
    world->sent_before = core_sent(world);
    world->term_before = consensus_watch_term(world->mesh.watch);
}

/* Nothing happens any more: heartbeats, their answers, and who hears whom; and nobody disturbs the leader. */
static void check_idle(void *user, uint64_t argument)
{
    struct world *world = user;
    uint64_t sent = core_sent(world) - world->sent_before, count = sim_host_count(world->sim);
    uint64_t most = 3 * count * count * (IDLE_US / world->mesh.config.options.heartbeat_us);

    check_agreement(user, argument);
    if (sent > most)
        consensus_watch_fail(world->mesh.watch, "L8 idle time is quiet", "%llu messages where %llu are plenty",
                             (unsigned long long)sent, (unsigned long long)most);
}

static void check_end(void *user, uint64_t argument)
{
    struct world *world = user;
    uint64_t term = world->term_before;

    check_idle(user, argument);
    if (consensus_watch_term(world->mesh.watch) != term)
        consensus_watch_fail(world->mesh.watch, "a removed server never disrupts", "term %llu, then %llu, while nothing happened",
                             (unsigned long long)term, (unsigned long long)consensus_watch_term(world->mesh.watch));
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    const struct raft_options *options = &world->mesh.config.options;
    uint64_t now_us = sim_now_us(world->sim), at_us = now_us + LINKS_US + ELECTIONS * (uint64_t)options->election_max_us;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        world->mesh.is_cut_off[i] = !sim_plan_is_core(world->plan, i);
        if (sim_plan_is_core(world->plan, i)) consensus_faults_heal(&world->faults, i);
    }
    world->is_live = consensus_faults_each_config(&world->faults, can_go_on, world);
    world->mesh.config.mail = (struct consensus_mail_faults){0};
    if (!world->is_live) {
        SIM_SOMETIMES("no majority was left, or healed");
        return now_us + AGREE_US;
    }
    world->pushed = 0;
    world->acknowledged_before = world->mesh.clients.acknowledged;
    sim_at(world->sim, at_us, check_leader, world, 0);
    sim_at(world->sim, at_us, push, world, 0);
    sim_at(world->sim, at_us + AGREE_US, check_agreement, world, 0);
    sim_at(world->sim, at_us + AGREE_US + IDLE_US, check_end, world, 0);
    return at_us + AGREE_US + IDLE_US;
}

/* ---- the run ---- */

/* Small limits, so that what is rare elsewhere is common here. */
static void draw_options(struct world *world, struct random *random)
{
    struct consensus_config *config = &world->mesh.config;
    struct raft_options *options = &config->options;

    if (random_below(random, 3) == 0) {
        options->heartbeat_us = 20000;
        options->election_min_us = 100000;
        options->election_max_us = 200000;
    }
    options->inflight_max = 1 + (uint32_t)random_below(random, 4);
    options->append_bytes_max = (uint32_t)sim_random_between(random, 300, 2000);
    options->snapshot_chunk_bytes = 64 + (uint32_t)random_below(random, 200);
    options->retained_bytes_max = random_below(random, 3) == 0 ? 0 : random_below(random, 4000);
    config->snapshot_every = random_below(random, 4) == 0 ? 0 : 2 + (uint32_t)random_below(random, 40);
    config->snapshot_padding = (uint32_t)random_below(random, 500);
    config->disk_min_us = random_below(random, 1000);
    config->disk_mean_us = random_below(random, options->heartbeat_us / 4);
    if (random_below(random, 3) == 0) config->mail.drop_ppm = (uint32_t)random_below(random, 100000);
    if (random_below(random, 3) == 0) config->mail.double_ppm = (uint32_t)random_below(random, 200000);
    if (random_below(random, 3) == 0) config->mail.late_ppm = (uint32_t)random_below(random, 200000);
    config->core_defects = core_defects;
    config->driver_defects = driver_defects;
}

static void draw_workload(struct world *world, struct random *random)
{
    world->work_mean_us = UINT64_C(10000) << random_below(random, 6);
    world->change_ppm = random_below(random, 3) == 0 ? 0 : (uint32_t)random_below(random, 200000);
    world->read_ppm = (uint32_t)random_below(random, 200000);
    world->transfer_ppm = random_below(random, 2) == 0 ? 0 : (uint32_t)random_below(random, 50000);
    world->mesh.clients.loses_answers = random_below(random, 2) == 0;
    world->snapshot_ppm = random_below(random, 2) == 0 ? 0 : (uint32_t)random_below(random, 100000);
    if (stated_load.mean_us != 0) world->work_mean_us = stated_load.mean_us;
}

static uint32_t draw_disk_faults(struct random *random)
{
    uint32_t kinds = (uint32_t)random_next(random) & (uint32_t)random_next(random) & ((1u << CONSENSUS_FAULT_RESTORE) - 1);

    if (random_below(random, 8) == 0) kinds |= 1u << CONSENSUS_FAULT_RESTORE;
    if (random_below(random, 8) == 0) kinds |= 1u << CONSENSUS_FAULT_COPY;
    return only_kinds != 0 ? only_kinds : kinds;
}

static void begin(void *user, struct sim *sim, const struct sim_plan *plan)
{
    struct world *world = user;
    struct random random;
    uint32_t count = sim_host_count(sim), voters;

    random_init(&random, random_next(sim_random(sim, SIM_RANDOM_WORLD)));
    if (!world->has_mesh) consensus_mesh_init(&world->mesh, sim);
    world->has_mesh = true;
    world->sim = sim;
    world->plan = plan;
    world->open_read = 0;
    voters = random_below(&random, 2) == 0 ? count : 1 + (uint32_t)random_below(&random, count);
    consensus_mesh_reset(&world->mesh, voters, true);
    draw_options(world, &random);
    draw_workload(world, &random);
    consensus_faults_reset(&world->faults, &world->mesh, draw_disk_faults(&random));
    for (uint32_t i = 0; i < count; i++) {
        int64_t wall_offset_us = (int64_t)random_below(&random, SIM_SECOND);

        sim_host_set_clock(sim_host_at(sim, i), random_below(&random, 1000000) * SIM_SECOND, wall_offset_us);
    }
    consensus_mesh_start_all(&world->mesh);
    sim_at(sim, SIM_SECOND, work, world, 0);
    if (stated_load.burst != 0) sim_at(sim, SIM_SECOND, burst, world, 0);
}

static void end(void *user)
{
    const struct world *world = user;

    SIM_SOMETIMES_IF(consensus_watch_excused(world->mesh.watch) != NULL, "a run was excused");
    SIM_SOMETIMES_IF(consensus_watch_leaders(world->mesh.watch) > 10, "more than ten terms had a leader");
    SIM_SOMETIMES_IF(consensus_watch_committed(world->mesh.watch) > 1000, "more than a thousand entries were committed");
}

static const char *const files[] = {"consensus_", NULL};

/* There are no datagrams here; disks are the world's own. */
#define KINDS                                                                                                       \
    (((UINT64_C(1) << SIM_FAULT_SLEEP) - 1) &                                                                       \
     ~(UINT64_C(1) << SIM_FAULT_DUPLICATE | UINT64_C(1) << SIM_FAULT_REPLAY | UINT64_C(1) << SIM_FAULT_UDP_CUT |    \
       UINT64_C(1) << SIM_FAULT_MTU | UINT64_C(1) << SIM_FAULT_BACKUP | UINT64_C(1) << SIM_FAULT_WALL))

const struct sim_world consensus_world = {.name = "consensus",
                                          .about = "a replicated log: leaders, commits, changes of voters, snapshots, bad disks",
                                          .files = files,
                                          .limits = {1, 7, 20 * SIM_SECOND, 60 * SIM_SECOND, KINDS, false, true},
                                          .make = make,
                                          .free = free_world,
                                          .begin = begin,
                                          .fault = apply_fault,
                                          .healed = healed,
                                          .end = end};
