#include "sim/groups_world.h"

#include "base/assert.h"
#include "sim/groups_clients.h"
#include "sim/replication_operator.h"
#include "sim/sim_sometimes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_US    (METADATA_LINK_SILENT_US + 2 * SIM_SECOND)
#define ELECTIONS   3
#define REST_US     (60 * SIM_SECOND) /* within which all that was produced is handled and committed */
#define LOOK_US     (SIM_SECOND / 2)
#define PATIENCE_US (20 * SIM_SECOND) /* of a producer */
#define TOPICS_US   (SIM_SECOND / 2)
#define BEGIN_US    (4 * SIM_SECOND) /* producers and members */
#define PARTITIONS  4                /* of the topic in which groups live */
#define PRODUCERS   3
#define EXTRAS      0x6761 /* of draw_more() */

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    struct replication_mesh mesh;
    struct groups_watch *watch;
    struct groups_clients *clients;
    struct groups_config config;
    char names[1 + GROUPS_TOPICS_MAX][GROUPS_NAME_SIZE];
    bool has_mesh;
    uint32_t disk_faults;
    uint64_t quiet; /* 1 << place: partitions to which little is produced */
    uint64_t produce_mean_us, trouble_mean_us; /* trouble: of members */
    uint64_t move_mean_us, reset_mean_us, delete_mean_us; /* the operator's; 0: never */
    uint64_t lone_mean_us; /* of consumers outside of groups; 0: there are none */
    uint64_t pushed[REPLICATION_PARTITIONS_MAX]; /* acknowledged before healing */
};

static uint32_t core_defects, part_defects;

void groups_world_set_defects(uint32_t core, uint32_t part)
{
    core_defects = core;
    part_defects = part;
}

static void *make(void)
{
    struct world *world = calloc(1, sizeof(*world));

    MESH_ASSERT(world != NULL);
    world->watch = calloc(1, sizeof(*world->watch));
    world->clients = calloc(1, sizeof(*world->clients));
    MESH_ASSERT(world->watch != NULL && world->clients != NULL);
    groups_clients_init(world->clients);
    return world;
}

static void free_world(void *user)
{
    struct world *world = user;

    groups_clients_deinit(world->clients);
    if (world->has_mesh) replication_mesh_deinit(&world->mesh);
    free(world->clients);
    free(world->watch);
    free(world);
}

/* ---- hooks ---- */

static void began(void *user, struct groups_partition *partition)
{
    groups_watch_began(((struct world *)user)->watch, partition);
}

static void applied(void *user, struct groups_partition *partition, uint32_t epoch, uint64_t lsn)
{
    groups_watch_applied(((struct world *)user)->watch, partition, epoch, lsn);
}

static void judged(void *user, struct groups_partition *partition, const struct groups_answer *answer)
{
    struct world *world = user;

    groups_watch_judged(world->watch, partition, answer);
    groups_clients_judged(world->clients, answer);
}

static void answered(void *user, struct replication_process *process, const struct groups_answer *answer)
{
    groups_clients_answered(((struct world *)user)->clients, process, answer);
}

static void told(void *user, struct groups_partition *partition, const struct group_event *event)
{
    struct world *world = user;

    groups_watch_told(world->watch, partition, event);
    groups_clients_told(world->clients, event);
}

static void broke(void *user, struct groups_partition *partition, int error)
{
    groups_watch_broke(((struct world *)user)->watch, partition, error);
}

/* ---- workload ---- */

static struct random *workload(struct world *world)
{
    return sim_random(world->sim, SIM_RANDOM_WORKLOAD);
}

static void again(struct world *world, uint64_t mean_us, sim_control_fn *control, uint64_t argument)
{
    sim_at(world->sim, sim_now_us(world->sim) + 1 + sim_random_exponential(workload(world), mean_us), control, world, argument);
}

static bool is_healed(const struct world *world)
{
    return sim_now_us(world->sim) >= world->plan->heal_us;
}

static void produce(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = world->mesh.watch->partition_count, place;

    if (is_healed(world)) return;
    place = count == 0 ? 0 : (uint32_t)random_below(workload(world), count);
    if (count > 0 && groups_clients_consume(world->clients, place) && ((world->quiet >> place % 64 & 1) == 0 || random_below(workload(world), 100) == 0))
        replication_clients_produce(&world->mesh.clients, (uint32_t)argument, place, PATIENCE_US);
    again(world, world->produce_mean_us, produce, argument);
}

static void make_topics(void *user, uint64_t argument)
{
    struct world *world = user;

    if (!replication_mesh_make_topics(&world->mesh)) groups_watch_topics_changed(world->watch);
    else if (world->delete_mean_us == 0) return;
    sim_at(world->sim, sim_now_us(world->sim) + TOPICS_US, make_topics, world, argument);
}

static void come(void *user, uint64_t argument)
{
    groups_clients_start(((struct world *)user)->clients, (uint32_t)argument);
}

/* Whatever befalls an application. */
static void trouble(void *user, uint64_t argument)
{
    struct world *world = user;
    struct groups_clients *clients = world->clients;
    uint32_t member = (uint32_t)random_below(workload(world), clients->member_count), what = (uint32_t)random_below(workload(world), 10);

    if (is_healed(world)) return;
    if (what < 3) groups_clients_kill(clients, member);
    else if (what < 5) groups_clients_leave(clients, member);
    else if (what < 8) groups_clients_stall(clients, member, sim_random_exponential(workload(world), (uint64_t)clients->session_ms * 800));
    else clients->members[member].is_hog = !clients->members[member].is_hog;
    if (what < 5) again(world, 2 * SIM_SECOND, come, member);
    again(world, world->trouble_mean_us, trouble, argument);
}

static void move(void *user, uint64_t argument)
{
    struct world *world = user;

    if (is_healed(world)) return;
    replication_operator_move(&world->mesh, workload(world));
    again(world, world->move_mean_us, move, argument);
}

static void set_offset(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = world->mesh.watch->partition_count, place = count == 0 ? 0 : (uint32_t)random_below(workload(world), count);
    uint32_t group = (uint32_t)random_below(workload(world), world->clients->group_count);

    if (is_healed(world)) return;
    if (world->lone_mean_us > 0 && random_below(workload(world), 3) == 0) group = GROUPS_MAX + (uint32_t)random_below(workload(world), GROUPS_LONE);
    if (count > 0 && groups_clients_consume(world->clients, place)) {
        uint64_t end = world->mesh.watch->partitions[place].truth.end;

        groups_clients_set_offset(world->clients, group, place, random_below(workload(world), end + 1));
    }
    again(world, world->reset_mean_us, set_offset, argument);
}

static void delete_topic(void *user, uint64_t argument)
{
    struct world *world = user;

    if (is_healed(world)) return;
    replication_operator_delete(&world->mesh, workload(world), 1); /* but for that in which the groups live */
    again(world, world->delete_mean_us, delete_topic, argument);
}

/* A consumer outside of groups. */
static void commit_alone(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = world->mesh.watch->partition_count, place = count == 0 ? 0 : (uint32_t)random_below(workload(world), count);

    if (is_healed(world)) return;
    if (count > 0 && groups_clients_consume(world->clients, place))
        groups_clients_commit_alone(world->clients, GROUPS_MAX + (uint32_t)argument, place, random_below(workload(world), world->mesh.watch->partitions[place].truth.end + 1));
    again(world, world->lone_mean_us, commit_alone, argument);
}

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;

    replication_mesh_fault(&world->mesh, world->disk_faults, fault, is_begin);
}

/* ---- what must come to hold ---- */

/* Now that all is well, a batch for each partition that is consumed. */
static void push(void *user, uint64_t argument)
{
    struct world *world = user;
    struct replication_clients *producers = &world->mesh.clients;
    bool is_done = true;

    for (uint32_t place = 0; place < world->mesh.watch->partition_count; place++) {
        if (!groups_clients_consume(world->clients, place) || producers->acknowledged_of[place] > world->pushed[place]) continue;
        is_done = false;
        replication_clients_produce(producers, place % producers->producer_count, place, PATIENCE_US);
    }
    if (!is_done) sim_at(world->sim, sim_now_us(world->sim) + SIM_SECOND / 10, push, world, argument);
}

static const char *unrest(struct world *world)
{
    const char *why = metadata_mesh_unrest(&world->mesh.metadata, NULL, NULL);

    if (why == NULL && !replication_mesh_has_topics(&world->mesh)) why = "a topic is not made";
    if (why == NULL) why = replication_mesh_unrest(&world->mesh);
    if (why == NULL && replication_clients_busy(&world->mesh.clients) > 0) why = "a producer waits";
    for (uint32_t place = 0; place < world->mesh.watch->partition_count && why == NULL; place++)
        if (groups_clients_consume(world->clients, place) && world->mesh.clients.acknowledged_of[place] == world->pushed[place]) why = "what was produced after healing is not acknowledged";
    return why == NULL ? groups_clients_unrest(world->clients) : why;
}

/* Argument: until when they have time. */
static void check_rest(void *user, uint64_t argument)
{
    struct world *world = user;
    const char *why = unrest(world);

    if (why == NULL) {
        SIM_SOMETIMES("all groups came to rest");
    } else if (sim_now_us(world->sim) >= argument) {
        metadata_mesh_trace(&world->mesh.metadata);
        sim_fail(world->sim, "L9 where there is lag and a member there is progress", "%s", why);
    } else {
        sim_at(world->sim, sim_now_us(world->sim) + LOOK_US, check_rest, world, argument);
    }
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    uint64_t now_us = sim_now_us(world->sim), at_us = now_us + LINKS_US + ELECTIONS * (uint64_t)world->mesh.metadata.config.node.election_max_us;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++)
        replication_mesh_heal(&world->mesh, i);
    world->mesh.clients.lost_ppm = world->clients->lost_ppm = world->clients->seek_ppm = 0;
    world->mesh.is_healed = true;
    memcpy(world->pushed, world->mesh.clients.acknowledged_of, sizeof(world->pushed));
    for (uint32_t i = 0; i < world->clients->member_count; i++) {
        world->clients->members[i].is_hog = false;
        if (groups_clients_alive(world->clients, world->clients->members[i].group) == 0) groups_clients_start(world->clients, i);
    }
    make_topics(world, 0);
    sim_at(world->sim, at_us, push, world, 0);
    sim_at(world->sim, at_us + 2 * SIM_SECOND, check_rest, world, at_us + REST_US);
    return at_us + REST_US + LOOK_US;
}

/* ---- the run ---- */

static void draw_topics(struct world *world, struct random *random)
{
    struct replication_mesh *mesh = &world->mesh;
    uint32_t hosts = sim_host_count(world->sim);

    mesh->has_losses = (world->disk_faults & (1u << METADATA_FAULT_WIPE | 1u << METADATA_FAULT_FLIP)) != 0;
    for (uint32_t i = 0; i <= GROUPS_TOPICS_MAX; i++) {
        struct replication_topic *topic = &mesh->topics[mesh->topic_count++];

        *topic = (struct replication_topic){.name = metadata_clients_new_name(&mesh->metadata.clients),
                                            .replicas = i == 0 || hosts < 3 || random_below(random, 2) == 0 ? 3 : 2,
                                            .partitions = i == 0 ? PARTITIONS : 2 + (uint32_t)random_below(random, GROUPS_PLACES_MAX / GROUPS_TOPICS_MAX - 2),
                                            .min_insync = i == 0 ? "2" : NULL};
        snprintf(world->names[i], sizeof(world->names[i]), "topic-%u", topic->name);
    }
}

static const struct groups_hooks hooks = {began, applied, judged, answered, told, broke};

static void draw_groups(struct world *world, struct random *random)
{
    struct groups_clients *clients = world->clients;
    uint32_t groups = 1 + (uint32_t)random_below(random, GROUPS_MAX), members = groups + (uint32_t)random_below(random, GROUPS_MEMBERS_MAX - groups);

    world->config = (struct groups_config){.topic = world->names[0],
                                           .topics = {world->names[1], world->names[2]},
                                           .part_defects = part_defects,
                                           .core_defects = core_defects,
                                           .hooks = &hooks,
                                           .user = world};
    group_limits_init(&world->config.limits);
    world->config.limits.session_timeout_min_ms = 1000;
    world->config.limits.checkpoint_bytes_min = 1000 + random_below(random, 8000);
    world->config.limits.checkpoint_piece_bytes = 100 + (uint32_t)random_below(random, 2000);
    world->config.session_ms = (uint32_t)(2000 + random_below(random, 6000));
    groups_watch_reset(world->watch, world->sim, world->mesh.watch);
    world->watch->compares_states = core_defects != 1u << GROUP_DEFECT_OFFSETS_BY_CHECKPOINT; /* which is to be noticed by what it does */
    groups_clients_reset(clients, world->sim, world->watch, &world->config, groups, members);
    clients->session_ms = world->config.session_ms;
    clients->processing_ms = (uint32_t)(1000 + random_below(random, 4000));
    clients->lost_ppm = random_below(random, 2) == 0 ? 0 : (uint32_t)random_below(random, 50000);
    clients->copied_ppm = random_below(random, 3) == 0 ? 0 : (uint32_t)random_below(random, 100000);
    clients->seek_ppm = random_below(random, 2) == 0 ? 0 : 30000;
    clients->route_ppm = random_below(random, 2) == 0 ? 800000 : 1000000;
    clients->handler_mean_us = UINT64_C(2000) << random_below(random, 7);
    clients->has_patterns = random_below(random, 2) == 0;
    clients->has_instances = random_below(random, 2) == 0;
    world->quiet = random_below(random, 3) == 0 ? UINT64_MAX : random_next(random) & random_next(random);
    world->trouble_mean_us = SIM_SECOND << random_below(random, 4);
    world->move_mean_us = random_below(random, 2) == 0 ? 0 : SIM_SECOND << random_below(random, 4);
    world->reset_mean_us = random_below(random, 2) == 0 ? 0 : SIM_SECOND << random_below(random, 4);
    world->produce_mean_us = UINT64_C(50000) << random_below(random, 4);
}

/* By a generator of its own: what is added here shifts no seed that does not draw it. */
static void draw_more(struct world *world, const struct sim_plan *plan)
{
    struct random random;

    random_init(&random, sim_random_seed(plan->seed, EXTRAS));
    world->delete_mean_us = random_below(&random, 4) > 0 ? 0 : (4 * SIM_SECOND) << random_below(&random, 3);
    world->lone_mean_us = random_below(&random, 2) == 0 ? 0 : UINT64_C(100000) << random_below(&random, 4);
    world->watch->compares_shares = world->delete_mean_us == 0;
}

/* Small limits, so that what is rare elsewhere is common here. */
static void draw_options(struct world *world, struct random *random)
{
    struct replication_mesh *mesh = &world->mesh;
    struct metadata_config *config = &mesh->metadata.config;
    struct node_options *node = &config->node;

    node->voter_stable_us = 2 * SIM_SECOND;
    node->voter_gone_us = 6 * SIM_SECOND;
    config->disk_min_us = random_below(random, 1000);
    config->disk_mean_us = random_below(random, node->raft_heartbeat_us / 4);
    mesh->config.store.disk_min_us = random_below(random, 300);
    mesh->config.store.disk_mean_us = random_below(random, UINT64_C(200) << random_below(random, 8));
    mesh->config.lag_max_ms = (uint32_t)(500u << random_below(random, 5));
    if (random_below(random, 2) == 0) {
        mesh->config.segment_bytes = (uint32_t)(1000 + random_below(random, 4000));
        mesh->config.retention_bytes = -1;
    }
    mesh->clients.lost_ppm = random_below(random, 2) == 0 ? 0 : (uint32_t)random_below(random, 50000);
    world->disk_faults = (uint32_t)random_next(random) & (uint32_t)random_next(random) & ((1u << METADATA_FAULT_KINDS) - 1);
    mesh->config.guest = &groups_guest;
    mesh->config.guest_context = &world->config;
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
    uint32_t count = sim_host_count(sim);

    random_init(&random, random_next(sim_random(sim, SIM_RANDOM_WORLD)));
    if (!world->has_mesh) replication_mesh_init(&world->mesh, sim);
    world->has_mesh = true;
    world->sim = sim;
    world->plan = plan;
    replication_mesh_reset(&world->mesh, count, PRODUCERS);
    draw_options(world, &random);
    draw_topics(world, &random);
    draw_groups(world, &random);
    draw_more(world, plan);
    for (uint32_t i = 0; i < count; i++) {
        int64_t wall_offset_us = (int64_t)random_below(&random, SIM_SECOND);

        sim_host_set_clock(sim_host_at(sim, i), random_below(&random, 1000000) * SIM_SECOND, wall_offset_us);
        sim_at(sim, 0, start_host, world, i);
    }
    sim_at(sim, 2 * SIM_SECOND, make_topics, world, 0);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        sim_at(sim, BEGIN_US, produce, world, i);
    for (uint32_t i = 0; i < world->clients->member_count; i++)
        again(world, BEGIN_US, come, i);
    again(world, BEGIN_US + world->trouble_mean_us, trouble, 0);
    if (world->move_mean_us > 0) again(world, BEGIN_US + world->move_mean_us, move, 0);
    if (world->reset_mean_us > 0) again(world, BEGIN_US + world->reset_mean_us, set_offset, 0);
    if (world->delete_mean_us > 0) again(world, BEGIN_US + world->delete_mean_us, delete_topic, 0);
    for (uint32_t i = 0; i < GROUPS_LONE && world->lone_mean_us > 0; i++)
        again(world, BEGIN_US, commit_alone, i);
}

static void end(void *user)
{
    const struct world *world = user;

    SIM_SOMETIMES_IF(world->watch->commits > 200, "more than two hundred commits were acknowledged");
    SIM_SOMETIMES_IF(world->watch->failovers > 20, "group partitions changed their leaders more than twenty times");
    SIM_SOMETIMES_IF(world->watch->expired > 0, "a member's session ended");
    SIM_SOMETIMES_IF(world->watch->resets > 0, "an operator set an offset");
    SIM_SOMETIMES_IF(world->watch->lone_commits > 0, "a consumer outside of groups committed");
    SIM_SOMETIMES_IF(world->clients->again > 0, "records were handled again");
    for (uint64_t i = 0; i < world->watch->failovers; i++)
        SIM_SOMETIMES("a broker began to lead a partition of groups");
    for (uint64_t i = 0; i < world->watch->proved_failovers; i++)
        SIM_SOMETIMES("a new leader had all offsets that were acknowledged before");
}

static const char *const files[] = {"groups_", NULL};

/* Disks are the world's own; frontiers are smaller than any MTU. */
#define KINDS (((UINT64_C(1) << SIM_FAULT_KINDS) - 1) & ~(UINT64_C(1) << SIM_FAULT_MTU | UINT64_C(1) << SIM_FAULT_BACKUP | UINT64_C(1) << SIM_FAULT_WALL))

const struct sim_world groups_world = {.name = "groups",
                                       .about = "consumer groups in whole brokers: members that stall, die and come back, failovers, moves, resets",
                                       .files = files,
                                       .limits = {3, 5, 20 * SIM_SECOND, 60 * SIM_SECOND, KINDS, true, true},
                                       .make = make,
                                       .free = free_world,
                                       .begin = begin,
                                       .fault = apply_fault,
                                       .healed = healed,
                                       .end = end};
