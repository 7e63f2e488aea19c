#include "sim/replication_world.h"

#include "base/assert.h"
#include "sim/replication_operator.h"
#include "sim/replication_rot.h"
#include "sim/sim_sometimes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS   30
#define LINKS_US     (METADATA_LINK_SILENT_US + 2 * SIM_SECOND)
#define ELECTIONS    3
#define REST_US      (60 * SIM_SECOND) /* within which all are in sync, and have the same */
#define PASS_US      (60 * SIM_SECOND) /* of the scrubber over hundreds of small segments, the last of which may be damaged right behind its back */
#define LOOK_US      (SIM_SECOND / 2)
#define PATIENCE_US  (20 * SIM_SECOND) /* of a producer */
#define AWAY_MEAN_US (3 * SIM_SECOND)  /* from a stop to the next start */
#define CARE_DOMAIN  (UINT64_C(8) * SIM_HOSTS_MAX) /* of sim_random_seed(): beyond those of hosts and faults */
#define TRIM_DOMAIN  (CARE_DOMAIN + 1)             /* likewise */
#define ROT_TRIM_DOMAIN (CARE_DOMAIN + 6) /* the first one by which no seed that is kept deletes anything: they were found without that */
#define TOPICS_US    (SIM_SECOND / 2)  /* between two looks at whether all topics are there */

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    struct replication_mesh mesh;
    bool has_mesh;
    uint32_t disk_faults;
    uint64_t produce_mean_us, consume_mean_us;
    uint64_t move_mean_us, delete_mean_us, recover_mean_us; /* the operator's; 0: never */
    bool is_rash;
    struct random care; /* of who stops brokers: a stream of its own, so that seeds without that are what they were */
    uint64_t stop_mean_us, strike_mean_us, change_mean_us; /* 0: never */
    struct random trims; /* of who deletes records: likewise */
    uint64_t trim_mean_us; /* 0: never */
    uint64_t stopped_boots[CONSENSUS_HOSTS_MAX];        /* whose life is to be over when its broker is started again */
    bool is_rotting;      /* the world "replication-rot" */
    uint64_t rot_mean_us;
    uint64_t acknowledged_before[REPLICATION_PARTITIONS_MAX]; /* healing */
};

static uint32_t replica_defects, driver_defects;

void replication_world_set_defects(uint32_t replica)
{
    replica_defects = replica;
}

void replication_world_set_driver_defects(uint32_t driver)
{
    driver_defects = driver;
}

static void *make(void)
{
    struct world *world = calloc(1, sizeof(*world));

    MESH_ASSERT(world != NULL);
    return world;
}

static void *make_rotting(void)
{
    struct world *world = make();

    world->is_rotting = true;
    return world;
}

static void free_world(void *user)
{
    struct world *world = user;

    if (world->has_mesh) replication_mesh_deinit(&world->mesh);
    free(world);
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

static void produce(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = world->mesh.watch->partition_count, place;

    if (sim_now_us(world->sim) >= world->plan->heal_us) return;
    place = count == 0 ? 0 : (uint32_t)random_below(workload(world), count);
    if (count > 0 && !world->mesh.watch->partitions[place].is_gone)
        replication_clients_produce(&world->mesh.clients, (uint32_t)argument, place, PATIENCE_US);
    again(world, world->produce_mean_us, produce, argument);
}

static void consume(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t count = world->mesh.watch->partition_count;

    if (count > 0) replication_clients_consume(&world->mesh.clients, (uint32_t)random_below(workload(world), count));
    again(world, world->consume_mean_us, consume, argument);
}

static void make_topics(void *user, uint64_t argument)
{
    struct world *world = user;

    if (!replication_mesh_make_topics(&world->mesh) || world->delete_mean_us > 0) sim_at(world->sim, sim_now_us(world->sim) + TOPICS_US, make_topics, world, argument);
}

/* ---- the operator ---- */

static bool is_healed(const struct world *world)
{
    return sim_now_us(world->sim) >= world->plan->heal_us;
}

static void move(void *user, uint64_t argument)
{
    struct world *world = user;

    if (is_healed(world)) return;
    replication_operator_move(&world->mesh, workload(world));
    again(world, world->move_mean_us, move, argument);
}

static void delete_topic(void *user, uint64_t argument)
{
    struct world *world = user;

    if (is_healed(world)) return;
    replication_operator_delete(&world->mesh, workload(world), 0);
    again(world, world->delete_mean_us, delete_topic, argument);
}

/* Also after healing: what an operator has to do is not done by itself. */
static void recover(void *user, uint64_t argument)
{
    struct world *world = user;

    replication_operator_recover(&world->mesh, workload(world), world->is_rash && !is_healed(world));
    again(world, is_healed(world) ? SIM_SECOND : world->recover_mean_us, recover, argument);
}

static void rot(void *user, uint64_t argument)
{
    struct world *world = user;

    if (is_healed(world)) return;
    replication_rot_strike(&world->mesh, workload(world));
    again(world, world->rot_mean_us, rot, argument);
}

/* Argument: the host. */
static void start_again(void *user, uint64_t argument)
{
    struct world *world = user;

    replication_operator_start(&world->mesh, (uint32_t)argument, world->stopped_boots[argument]);
}

/* All run again before everybody is healed. */
static void start_later(struct world *world, uint32_t host, uint64_t boot)
{
    uint64_t at_us = sim_now_us(world->sim) + SIM_SECOND / 10 + sim_random_exponential(&world->care, AWAY_MEAN_US);

    if (host == METADATA_NOBODY) return;
    world->stopped_boots[host] = boot;
    sim_at(world->sim, at_us < world->plan->heal_us ? at_us : world->plan->heal_us - 1, start_again, world, host);
}

static void care_again(struct world *world, uint64_t mean_us, sim_control_fn *control)
{
    sim_at(world->sim, sim_now_us(world->sim) + 1 + sim_random_exponential(&world->care, mean_us), control, world, 0);
}

static void stop_broker(void *user, uint64_t argument)
{
    struct world *world = user;
    uint32_t host;

    (void)argument;
    if (is_healed(world)) return;
    host = replication_operator_stop(&world->mesh, &world->care);
    start_later(world, host, host == METADATA_NOBODY ? 0 : replication_operator_boot(&world->mesh, host));
    care_again(world, world->stop_mean_us, stop_broker);
}

/* A life that did not end by itself goes on: it had nothing more to say. */
static void strike(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    if (is_healed(world)) return;
    start_later(world, replication_operator_strike(&world->mesh, &world->care), 0);
    care_again(world, world->strike_mean_us, strike);
}

static void change_topic(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    if (is_healed(world)) return;
    replication_operator_change(&world->mesh, &world->care);
    care_again(world, world->change_mean_us, change_topic);
}

/* A third of the runs has the first, a third the second, and a third of those that lose no disks and move nothing the last. Not where files rot: seeds of that world are kept by number. */
static void start_care(struct world *world)
{
    random_init(&world->care, sim_random_seed(world->plan->seed, CARE_DOMAIN));
    world->stop_mean_us = random_below(&world->care, 3) > 0 ? 0 : (2 * SIM_SECOND) << random_below(&world->care, 4);
    world->strike_mean_us = random_below(&world->care, 3) > 0 ? 0 : (2 * SIM_SECOND) << random_below(&world->care, 4);
    world->change_mean_us = random_below(&world->care, 3) > 0 ? 0 : SIM_SECOND << random_below(&world->care, 4);
    if (world->is_rotting) return;
    if (world->change_mean_us > 0 && !world->mesh.has_losses && world->move_mean_us == 0) care_again(world, 3 * SIM_SECOND + world->change_mean_us, change_topic);
    if (world->stop_mean_us > 0) care_again(world, 3 * SIM_SECOND + world->stop_mean_us, stop_broker);
    if (world->strike_mean_us > 0) care_again(world, 3 * SIM_SECOND + world->strike_mean_us, strike);
}

static void trim(void *user, uint64_t argument)
{
    struct world *world = user;

    (void)argument;
    if (is_healed(world)) return;
    replication_operator_trim(&world->mesh, &world->trims);
    sim_at(world->sim, sim_now_us(world->sim) + 1 + sim_random_exponential(&world->trims, world->trim_mean_us), trim, world, 0);
}

/* Two runs of five have it. */
static void start_trims(struct world *world)
{
    random_init(&world->trims, sim_random_seed(world->plan->seed, world->is_rotting ? ROT_TRIM_DOMAIN : TRIM_DOMAIN));
    world->trim_mean_us = random_below(&world->trims, 5) > 1 ? 0 : (SIM_SECOND / 4) << random_below(&world->trims, 5);
    if (world->trim_mean_us > 0) sim_at(world->sim, 4 * SIM_SECOND, trim, world, 0);
}

static void start_operator(struct world *world)
{
    if (world->is_rotting) again(world, 3 * SIM_SECOND + world->rot_mean_us, rot, 0);
    if (world->move_mean_us > 0) again(world, 3 * SIM_SECOND + world->move_mean_us, move, 0);
    if (world->delete_mean_us > 0) again(world, 3 * SIM_SECOND + world->delete_mean_us, delete_topic, 0);
    if (world->recover_mean_us > 0) again(world, 3 * SIM_SECOND + world->recover_mean_us, recover, 0);
}

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;

    replication_mesh_fault(&world->mesh, world->disk_faults, fault, is_begin);
}

/* ---- what must come to hold ---- */

static bool is_done(const struct world *world, uint32_t place)
{
    const struct replication_mesh *mesh = &world->mesh;

    return mesh->watch->partitions[place].is_gone || mesh->clients.acknowledged_of[place] > world->acknowledged_before[place];
}

/* Now that all is well: a batch for each partition is acknowledged. (A producer may find out that it has to begin anew.) */
static void push(void *user, uint64_t argument)
{
    struct world *world = user;
    struct replication_clients *clients = &world->mesh.clients;
    uint32_t place = 0;

    clients->acks_ppm[0] = clients->acks_ppm[1] = 0;
    for (uint32_t i = 0; i < clients->producer_count; i++) {
        if (clients->producers[i].is_busy) continue;
        while (place < world->mesh.watch->partition_count && is_done(world, place))
            place++;
        if (place == world->mesh.watch->partition_count) break; /* what is under way may come to nothing: look again */
        replication_clients_produce(clients, i, place++, PATIENCE_US);
    }
    sim_at(world->sim, sim_now_us(world->sim) + SIM_SECOND / 10, push, world, argument);
}

static const char *unrest(struct world *world)
{
    static _Thread_local char text[80];
    const char *why = metadata_mesh_unrest(&world->mesh.metadata, NULL, NULL);

    if (why == NULL && !replication_mesh_has_topics(&world->mesh)) why = "a topic is not made";
    if (why == NULL) why = replication_mesh_unrest(&world->mesh);
    if (why == NULL && replication_clients_busy(&world->mesh.clients) > 0) why = "a producer waits";
    for (uint32_t p = 0; p < world->mesh.watch->partition_count && why == NULL; p++) {
        if (is_done(world, p)) continue;
        snprintf(text, sizeof(text), "what was produced to p%u after healing is not acknowledged", p);
        return text;
    }
    return why;
}

/* What an async topic's only replica lost with its power nobody gives: the observer hears of that with the next record there, of which there may be none. */
static uint64_t readable_end(struct world *world, const struct watch_partition *partition)
{
    uint32_t leader = replication_mesh_leader(&world->mesh, partition);
    uint64_t end = partition->truth.end;

    if (!partition->is_excused || leader == METADATA_NOBODY || partition->logs[leader].end >= end) return end;
    return partition->logs[leader].end;
}

static void check_readers(struct world *world)
{
    struct replication_mesh *mesh = &world->mesh;

    for (uint32_t p = 0; p < mesh->watch->partition_count; p++) {
        uint64_t end = readable_end(world, &mesh->watch->partitions[p]);

        for (int i = 0; i < 1000 && mesh->clients.offsets[p] < end; i++)
            replication_clients_consume(&mesh->clients, p);
        if (mesh->clients.offsets[p] < end && !mesh->watch->partitions[p].is_gone)
            sim_fail(world->sim, "L3 readers get to the end", "p%u: a reader stands at %llu of %llu", p, (unsigned long long)mesh->clients.offsets[p],
                     (unsigned long long)end);
    }
}

/* Argument: until when they have time. */
static void check_rest(void *user, uint64_t argument)
{
    struct world *world = user;
    const char *why = unrest(world);

    if (why == NULL) {
        SIM_SOMETIMES("all partitions came to rest");
        check_readers(world);
    } else if (sim_now_us(world->sim) >= argument) {
        metadata_mesh_trace(&world->mesh.metadata);
        sim_fail(world->sim, "L3 L4 partitions are led, in sync and equal", "%s", why);
    } else {
        sim_at(world->sim, sim_now_us(world->sim) + LOOK_US, check_rest, world, argument);
    }
}

static uint64_t rest_us(const struct world *world)
{
    return REST_US + (world->is_rotting && world->mesh.config.segment_bytes != 0 ? PASS_US : 0);
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    uint64_t now_us = sim_now_us(world->sim), at_us = now_us + LINKS_US + ELECTIONS * (uint64_t)world->mesh.metadata.config.node.election_max_us;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++)
        replication_mesh_heal(&world->mesh, i);
    world->mesh.clients.lost_ppm = 0;
    world->mesh.is_healed = true;
    if (world->recover_mean_us == 0) recover(world, 0);
    memcpy(world->acknowledged_before, world->mesh.clients.acknowledged_of, sizeof(world->acknowledged_before));
    make_topics(world, 0);
    sim_at(world->sim, at_us, push, world, 0);
    sim_at(world->sim, at_us + 2 * SIM_SECOND, check_rest, world, at_us + rest_us(world));
    return at_us + rest_us(world) + LOOK_US;
}

/* ---- the run ---- */

/* What goes together (coordinator/durability.h). May disks be lost, then every topic is to survive that of one. */
static void draw_topic(struct random *random, uint32_t hosts, bool has_modes, bool has_losses, struct replication_topic *topic)
{
    static const char *const unclean[] = {NULL, NULL, "balanced", "proactive"};
    static const char *const min_insync[] = {NULL, "1", "2", "3"};
    enum topic_mode mode = has_modes ? (enum topic_mode)random_below(random, 4) : TOPIC_MODE_ISR;

    topic->replicas = 1 + (int32_t)random_below(random, hosts < 4 ? hosts : 4);
    if (random_below(random, 3) > 0) topic->replicas = hosts < 3 ? (int32_t)hosts : 3;
    if (has_losses && topic->replicas == 1) topic->replicas = 2;
    if (has_losses && mode == TOPIC_MODE_ASYNC) mode = TOPIC_MODE_ISR;
    switch (mode) {
    case TOPIC_MODE_ISR:
        topic->min_insync = min_insync[has_losses ? random_below(random, 2) * 2 : random_below(random, 4)];
        if (topic->min_insync != NULL && topic->min_insync[0] - '0' > topic->replicas) topic->min_insync = NULL;
        if (has_modes && !has_losses && random_below(random, 3) == 0) {
            topic->flush = "async";
            topic->unclean = unclean[random_below(random, 4)];
        }
        break;
    case TOPIC_MODE_ASYNC:
        topic->mode = "async";
        topic->unclean = unclean[random_below(random, 4)];
        break;
    case TOPIC_MODE_SYNC_DOUBLE_WRITE:
        topic->mode = "sync-double-write";
        topic->replicas = 2;
        break;
    case TOPIC_MODE_QUORUM:
        topic->mode = "quorum";
        if (has_losses && topic->replicas == 2) topic->replicas = 3; /* a majority of two is both */
        break;
    }
}

static void draw_topics(struct world *world, struct random *random)
{
    struct replication_mesh *mesh = &world->mesh;
    uint32_t hosts = sim_host_count(world->sim), left = PARTITIONS;
    bool has_modes = random_below(random, 2) != 0 && !world->is_rotting;

    mesh->has_losses = (world->disk_faults & (1u << METADATA_FAULT_WIPE | 1u << METADATA_FAULT_FLIP)) != 0;
    while (left > 0 && mesh->topic_count < REPLICATION_TOPICS_MAX) {
        struct replication_topic *topic = &mesh->topics[mesh->topic_count++];
        uint32_t some = 1 + (uint32_t)random_below(random, 8);

        *topic = (struct replication_topic){.name = metadata_clients_new_name(&mesh->metadata.clients)};
        draw_topic(random, hosts, has_modes, mesh->has_losses, topic);
        topic->partitions = some < left && mesh->topic_count < REPLICATION_TOPICS_MAX ? some : left;
        left -= topic->partitions;
    }
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
        mesh->config.retention_bytes = random_below(random, 2) == 0 ? -1 : (int64_t)mesh->config.segment_bytes * (int64_t)(1 + random_below(random, 3));
    }
    mesh->config.replica_defects = replica_defects;
    mesh->config.driver_defects = driver_defects;
    mesh->clients.lost_ppm = random_below(random, 2) == 0 ? 0 : (uint32_t)random_below(random, 50000);
    mesh->clients.acks_ppm[0] = random_below(random, 3) == 0 ? 100000 : 0;
    mesh->clients.acks_ppm[1] = random_below(random, 2) == 0 ? 200000 : 0;
    world->produce_mean_us = UINT64_C(100000) << random_below(random, 5);
    world->consume_mean_us = UINT64_C(50000) << random_below(random, 4);
    world->disk_faults = (uint32_t)random_next(random) & (uint32_t)random_next(random) & ((1u << METADATA_FAULT_KINDS) - 1);
}

/* What people do; some of it in some worlds. */
static void draw_operator(struct world *world, struct random *random)
{
    world->move_mean_us = random_below(random, 2) == 0 ? 0 : SIM_SECOND << random_below(random, 4);
    world->delete_mean_us = random_below(random, 3) > 0 ? 0 : (4 * SIM_SECOND) << random_below(random, 3);
    world->recover_mean_us = random_below(random, 2) == 0 ? 0 : (2 * SIM_SECOND) << random_below(random, 3);
    world->is_rash = random_below(random, 4) == 0;
}

/* Damage that is not found yet is as good as a lost disk: one thing at a time. Who moves replicas away may move the last good copy, who accepts
 * losses gets them; modes that lose or that choose by majority have rules of their own for what may be damaged. */
static void draw_rot(struct world *world, struct random *random)
{
    world->rot_mean_us = (SIM_SECOND / 8) << random_below(random, 5);
    world->move_mean_us = 0;
    world->is_rash = false;
    world->mesh.has_rot = true;
    world->mesh.config.store.scrub_first_ms = 500 + random_below(random, 4000);
    world->mesh.config.store.scrub_rest_ms = 500 + random_below(random, 4000);
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
    uint32_t count = sim_host_count(sim), producers;

    random_init(&random, random_next(sim_random(sim, SIM_RANDOM_WORLD)));
    if (!world->has_mesh) replication_mesh_init(&world->mesh, sim);
    world->has_mesh = true;
    world->sim = sim;
    world->plan = plan;
    producers = 2 + (uint32_t)random_below(&random, REPLICATION_PRODUCERS_MAX - 1);
    replication_mesh_reset(&world->mesh, count, producers);
    draw_options(world, &random);
    if (world->is_rotting) world->disk_faults &= ~(1u << METADATA_FAULT_WIPE | 1u << METADATA_FAULT_FLIP);
    draw_topics(world, &random);
    draw_operator(world, &random);
    if (world->is_rotting) draw_rot(world, &random);
    for (uint32_t i = 0; i < count; i++) {
        int64_t wall_offset_us = (int64_t)random_below(&random, SIM_SECOND);

        sim_host_set_clock(sim_host_at(sim, i), random_below(&random, 1000000) * SIM_SECOND, wall_offset_us);
        sim_at(sim, 0, start_host, world, i);
    }
    sim_at(sim, 2 * SIM_SECOND, make_topics, world, 0);
    for (uint32_t i = 0; i < producers; i++)
        sim_at(sim, 3 * SIM_SECOND, produce, world, i);
    sim_at(sim, 3 * SIM_SECOND, consume, world, 0);
    start_operator(world);
    start_care(world);
    start_trims(world);
}

static void end(void *user)
{
    const struct world *world = user;

    SIM_SOMETIMES_IF(world->mesh.clients.acknowledged > 1000, "more than a thousand batches were acknowledged");
    SIM_SOMETIMES_IF(world->mesh.watch->elections > 100, "there were more than a hundred elections");
}

/* States of damage and healing are of the world that has them. */
static const char *const files[] = {"replication_a",  "replication_c", "replication_mesh", "replication_o", "replication_p", "replication_reports",
                                    "replication_roles", "replication_s", "replication_w",    NULL};
static const char *const rot_files[] = {"replication_heal", "replication_rot", NULL};

/* Disks are the world's own; frontiers are smaller than any MTU. */
#define KINDS (((UINT64_C(1) << SIM_FAULT_SLEEP) - 1) & ~(UINT64_C(1) << SIM_FAULT_MTU | UINT64_C(1) << SIM_FAULT_BACKUP | UINT64_C(1) << SIM_FAULT_WALL))

const struct sim_world replication_world = {.name = "replication",
                                            .about = "whole brokers: partitions replicated over bad disks and networks, producers, consumers",
                                            .files = files,
                                            .limits = {3, 6, 20 * SIM_SECOND, 60 * SIM_SECOND, KINDS, true, true},
                                            .make = make,
                                            .free = free_world,
                                            .begin = begin,
                                            .fault = apply_fault,
                                            .healed = healed,
                                            .end = end};

const struct sim_world replication_rot_world = {.name = "replication-rot",
                                                .about = "the same, and bits of segment files flip at rest: found, refused, and mended from others",
                                                .files = rot_files,
                                                .limits = {3, 6, 20 * SIM_SECOND, 60 * SIM_SECOND, KINDS, true, true},
                                                .make = make_rotting,
                                                .free = free_world,
                                                .begin = begin,
                                                .fault = apply_fault,
                                                .healed = healed,
                                                .end = end};
