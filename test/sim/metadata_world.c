#include "sim/metadata_world.h"

#include "base/assert.h"
#include "sim/consensus_program.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

/* After healing: a link that is half open is found out in two seconds and made anew in another; then the healed have their three election
 * timeouts (PROTOCOLS 5.2, L2). */
#define LINKS_US     (METADATA_LINK_SILENT_US + 2 * SIM_SECOND)
#define ELECTIONS    3
#define REST_US      (25 * SIM_SECOND) /* within which all are registered, unfenced, and have the same */
#define IDLE_US      (8 * SIM_SECOND)
#define LOOK_US      (SIM_SECOND / 4)
#define ALIVE_MAX    24 /* topics; then more are deleted than made */
#define PUSHES       6

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    struct metadata_mesh mesh;
    bool has_mesh;
    uint32_t disk_faults;
    uint64_t work_mean_us, timeout_us;
    uint64_t sent_before, acknowledged_before;
    uint32_t pushed;
};

static uint64_t node_defects;
static unsigned driver_defects, dirs_defects;

void metadata_world_set_defects(uint64_t node, unsigned driver, unsigned dirs)
{
    node_defects = node;
    driver_defects = driver;
    dirs_defects = dirs;
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

    if (world->has_mesh) metadata_mesh_deinit(&world->mesh);
    free(world);
}

/* ---- workload ---- */

static uint32_t draw_below(struct world *world, uint32_t limit)
{
    return (uint32_t)random_below(sim_random(world->sim, SIM_RANDOM_WORKLOAD), limit);
}

static void ask(struct world *world, struct metadata_process *process)
{
    struct metadata_clients *clients = &world->mesh.clients;
    uint32_t draw = draw_below(world, 10), name, partitions;
    bool is_crowded = clients->alive_count > ALIVE_MAX;

    if (draw < 4 && !is_crowded) {
        name = draw_below(world, 4) == 0 && clients->name_count > 0 ? draw_below(world, clients->name_count) : metadata_clients_new_name(clients);
        if (name < METADATA_NAMES_MAX) metadata_clients_ask(clients, process, METADATA_ASK_CREATE, name, 1 + draw_below(world, 3), world->timeout_us);
    } else if (draw < 7 && clients->topic_count > 0) {
        name = clients->topics[draw_below(world, clients->topic_count)].name;
        metadata_clients_ask(clients, process, METADATA_ASK_DELETE, name, 1, world->timeout_us);
    } else if (draw < 8 && clients->name_count > 0) {
        partitions = 2 + draw_below(world, 3);
        metadata_clients_ask(clients, process, METADATA_ASK_ALTER, draw_below(world, clients->name_count), partitions, world->timeout_us);
    } else {
        metadata_clients_ask(clients, process, METADATA_ASK_PRODUCER_IDS, 0, 1 + draw_below(world, 1000), world->timeout_us);
    }
}

static void work(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t host = draw_below(world, sim_host_count(world->sim));

    (void)argument;
    if (sim_now_us(world->sim) >= world->plan->heal_us) return;
    if (sim_host_is_awake(sim_host_at(world->sim, host))) ask(world, metadata_mesh_process(&world->mesh, host));
    sim_at(world->sim, sim_now_us(world->sim) + sim_random_exponential(sim_random(world->sim, SIM_RANDOM_WORKLOAD), world->work_mean_us), work, world, 0);
}

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;

    metadata_mesh_fault(&world->mesh, world->disk_faults, fault, is_begin);
}

/* ---- what must come to hold ---- */

static bool is_core(void *user, uint32_t host)
{
    const struct world *world = user;

    return sim_plan_is_core(world->plan, host);
}

static bool is_able(struct world *world, const struct raft_server *server)
{
    uint32_t host = consensus_host_of(&server->broker);
    struct metadata_process *process = metadata_mesh_process(&world->mesh, host);
    struct raft_status status;

    if (process == NULL || !is_core(world, host) || !raft_server_equal(metadata_process_self(process), server)) return false;
    node_raft_status(metadata_process_node(process), &status);
    return status.damaged_until == 0 && !status.has_failed;
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

    return has_able_majority(world, config->voters, config->voter_count) && has_able_majority(world, config->old_voters, config->old_voter_count);
}

static uint64_t core_sent(struct world *world)
{
    uint64_t sent = 0;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        if (metadata_mesh_process(&world->mesh, i) != NULL && is_core(world, i)) sent += metadata_process_sent(metadata_mesh_process(&world->mesh, i));
    }
    return sent;
}

static uint32_t core_coordinator(struct world *world)
{
    uint32_t coordinator = METADATA_NOBODY;
    uint64_t term = 0;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct node_status status;

        if (!is_core(world, i) || metadata_mesh_process(&world->mesh, i) == NULL) continue;
        status = metadata_mesh_status(&world->mesh, i);
        if (status.role != NODE_COORDINATOR || status.term < term) continue;
        coordinator = i;
        term = status.term;
    }
    return coordinator;
}

static void check_coordinator(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    if (core_coordinator(world) == METADATA_NOBODY)
        sim_fail(world->sim, "L2 there is a coordinator", "nobody coordinates, %u election timeouts after healing", ELECTIONS);
}

/* Topics, now that all is well: each is made. */
static void push(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = sim_host_count(world->sim), host = (uint32_t)(world->plan->core_salt + argument) % count, name;

    while (!is_core(world, host))
        host = (host + 1) % count;
    name = metadata_clients_new_name(&world->mesh.clients);
    if (name < METADATA_NAMES_MAX && metadata_mesh_process(&world->mesh, host) != NULL &&
        metadata_clients_ask(&world->mesh.clients, metadata_mesh_process(&world->mesh, host), METADATA_ASK_CREATE, name, 1, REST_US / 2) >= 0)
        world->pushed++;
    if (argument < PUSHES) sim_at(world->sim, sim_now_us(world->sim) + SIM_SECOND / 5, push, world, argument + 1);
}

/* Nothing happens any more: raft's heartbeats and the sessions'. */
static void check_idle(void *user, uint64_t argument)
{
    struct world *world = user;
    uint64_t sent = core_sent(world) - world->sent_before, count = sim_host_count(world->sim);
    uint64_t most = 4 * count * (IDLE_US / world->mesh.config.node.raft_heartbeat_us) + 8 * count * (IDLE_US / world->mesh.config.node.heartbeat_us) + 400;

    (void)argument;
    if (sent > most)
        sim_fail(world->sim, "L8 idle time is quiet", "%llu messages where %llu are plenty", (unsigned long long)sent, (unsigned long long)most);
}

/* Argument: until when they have time. */
static void check_rest(void *user, uint64_t argument)
{
    struct world *world = user;
    const char *why = metadata_mesh_unrest(&world->mesh, is_core, world);

    if (why == NULL && world->mesh.clients.acknowledged - world->acknowledged_before < world->pushed) why = "what was asked for is not done";
    if (why == NULL) {
        SIM_SOMETIMES("all came to rest");
        return;
    }
    if (sim_now_us(world->sim) >= argument) metadata_mesh_trace(&world->mesh);
    if (sim_now_us(world->sim) >= argument)
        sim_fail(world->sim, "L5 L6 all are registered, unfenced and have the same", "%s", why);
    else
        sim_at(world->sim, sim_now_us(world->sim) + LOOK_US, check_rest, world, argument);
}

static void begin_idle(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    world->sent_before = core_sent(world);
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    uint64_t now_us = sim_now_us(world->sim), at_us = now_us + LINKS_US + ELECTIONS * (uint64_t)world->mesh.config.node.election_max_us;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        if (is_core(world, i)) metadata_mesh_heal(&world->mesh, i);
    }
    if (!metadata_watch_each_config(world->mesh.watch, can_go_on, world)) {
        SIM_SOMETIMES("no majority of voters was left, or healed");
        return now_us + REST_US;
    }
    world->pushed = 0;
    world->acknowledged_before = world->mesh.clients.acknowledged;
    sim_at(world->sim, at_us, check_coordinator, world, 0);
    sim_at(world->sim, at_us + SIM_SECOND, push, world, 0);
    sim_at(world->sim, at_us + 4 * SIM_SECOND, check_rest, world, at_us + REST_US);
    sim_at(world->sim, at_us + REST_US, begin_idle, world, 0);
    sim_at(world->sim, at_us + REST_US + IDLE_US, check_idle, world, 0);
    return at_us + REST_US + IDLE_US;
}

/* ---- the run ---- */

/* Small limits, so that what is rare elsewhere is common here. */
static void draw_options(struct world *world, struct random *random)
{
    struct metadata_config *config = &world->mesh.config;
    struct node_options *node = &config->node;

    if (random_below(random, 3) == 0) {
        node->raft_heartbeat_us = 20000;
        node->election_min_us = 100000;
        node->election_max_us = 200000;
    }
    node->voter_stable_us = 2 * SIM_SECOND;
    node->voter_gone_us = 6 * SIM_SECOND;
    node->pullers_max = 1 + (uint32_t)random_below(random, 4);
    node->feed_bytes = 300 + (uint32_t)random_below(random, 3000);
    if (random_below(random, 4) > 0) node->snapshot_log_bytes = 1000 + random_below(random, 8000);
    node->retained_bytes_max = random_below(random, 3) == 0 ? 0 : random_below(random, 4000);
    node->defaults.partition_count = 1 + (int32_t)random_below(random, 3);
    config->disk_min_us = random_below(random, 1000);
    config->disk_mean_us = random_below(random, node->raft_heartbeat_us / 4);
    config->node_defects = node_defects;
    config->driver_defects = driver_defects;
    config->dirs_defects = dirs_defects;
    world->work_mean_us = UINT64_C(30000) << random_below(random, 5);
    world->timeout_us = UINT64_C(500000) << random_below(random, 5);
    world->disk_faults = (uint32_t)random_next(random) & (uint32_t)random_next(random) & ((1u << METADATA_FAULT_KINDS) - 1);
}

static void start_host(void *user, uint64_t argument)
{
    struct world *world = user;

    sim_host_start(sim_host_at(world->sim, (uint32_t)argument));
}

static void begin(void *user, struct sim *sim, const struct sim_plan *plan)
{
    struct world *world = user;
    struct random random;
    uint32_t count = sim_host_count(sim), founders;

    random_init(&random, random_next(sim_random(sim, SIM_RANDOM_WORLD)));
    if (!world->has_mesh) metadata_mesh_init(&world->mesh, sim);
    world->has_mesh = true;
    world->sim = sim;
    world->plan = plan;
    founders = random_below(&random, 2) == 0 ? (count + 1) / 2 : 1 + (uint32_t)random_below(&random, count);
    metadata_mesh_reset(&world->mesh, founders);
    draw_options(world, &random);
    for (uint32_t i = 0; i < count; i++) {
        int64_t wall_offset_us = (int64_t)random_below(&random, SIM_SECOND);

        sim_host_set_clock(sim_host_at(sim, i), random_below(&random, 1000000) * SIM_SECOND, wall_offset_us);
        /* Founders at once, the others some time later: they join blank. */
        sim_at(sim, i < founders ? 0 : random_below(&random, plan->heal_us), start_host, world, i);
    }
    sim_at(sim, SIM_SECOND, work, world, 0);
}

static void end(void *user)
{
    const struct world *world = user;

    SIM_SOMETIMES_IF(metadata_watch_leaders(world->mesh.watch) > 10, "more than ten terms had a coordinator");
    SIM_SOMETIMES_IF(metadata_watch_committed(world->mesh.watch) > 300, "more than three hundred entries were committed");
}

static const char *const files[] = {"metadata_", NULL};

/* Disks are the world's own; frontiers are smaller than any MTU. */
#define KINDS (((UINT64_C(1) << SIM_FAULT_SLEEP) - 1) & ~(UINT64_C(1) << SIM_FAULT_MTU | UINT64_C(1) << SIM_FAULT_BACKUP | UINT64_C(1) << SIM_FAULT_WALL))

const struct sim_world metadata_world = {.name = "metadata",
                                         .about = "brokers' metadata: coordinators, topics, joining, feeding, sessions, bad disks",
                                         .files = files,
                                         .limits = {1, 7, 20 * SIM_SECOND, 60 * SIM_SECOND, KINDS, false, true},
                                         .make = make,
                                         .free = free_world,
                                         .begin = begin,
                                         .fault = apply_fault,
                                         .healed = healed,
                                         .end = end};
