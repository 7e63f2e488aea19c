#include "sim/founding_world.h"

#include "base/assert.h"
#include "sim/founding_adversary.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define AGREE_US   (100 * SIM_SECOND) /* after healing: silent ones are out of sight, some rounds of proposals, names are resolved again */
#define RESOLVE_US (15 * SIM_SECOND)

enum flavour { PLAIN, EXTRA, MARKER };

struct world {
    struct sim *sim;
    const struct sim_plan *plan;
    enum flavour flavour;
    uint64_t defects;
    struct founding_watch watch;
    struct founding_adversary adversary;
    struct founding_config configs[FOUNDING_HOSTS_MAX];
    uint32_t odd;     /* expects another number; UINT32_MAX: nobody does */
    uint32_t surplus; /* one too many; UINT32_MAX: nobody is */
    bool is_rough;    /* processes die early and often */
};

static uint64_t defects_of_worlds;

void founding_world_set_defects(uint64_t defects)
{
    defects_of_worlds = defects;
}

static void *make(enum flavour flavour)
{
    struct world *world = calloc(1, sizeof(*world));

    MESH_ASSERT(world != NULL);
    world->flavour = flavour;
    world->defects = defects_of_worlds;
    return world;
}

static void *make_plain(void)
{
    return make(PLAIN);
}

static void *make_extra(void)
{
    return make(EXTRA);
}

static void *make_marker(void)
{
    return make(MARKER);
}

/* ---- names ---- */

/* The names that a host was given lead to these addresses now: another one of the core, and some more. With one broker too many, to all:
 * those that nobody leads to each other cannot tell. */
static void resolve(struct world *world, uint32_t host)
{
    struct founding_config *config = &world->configs[host];
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORKLOAD);
    uint32_t count = sim_host_count(world->sim), core = (uint32_t)(world->plan->core_salt % count), step = 1;

    /* All others lead to that one; it, to the next of the core. */
    while (core == host && step < count && !sim_plan_is_core(world->plan, (host + step) % count))
        step++;
    if (core == host) core = (host + step) % count;
    config->seed_count = 0;
    config->seeds[config->seed_count++] = sim_host_address(sim_host_at(world->sim, core));
    for (uint32_t i = 0; i < count && config->seed_count < FOUNDING_SEEDS_OF_HOST; i++) {
        if (i != core && (world->flavour == EXTRA || random_below(random, 3) == 0)) config->seeds[config->seed_count++] = sim_host_address(sim_host_at(world->sim, i));
    }
}

static void resolve_again(void *user, uint64_t argument)
{
    struct world *world = user;

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct sim_host *host = sim_host_at(world->sim, i);
        struct founding_process *process = sim_host_process(host);
        resolve(world, i);
        if (process == NULL || world->configs[i].options.mode == FOUNDING_SERVE) continue;
        founding_set_seeds(founding_process_core(process), sim_host_now_us(host), world->configs[i].seeds, world->configs[i].seed_count);
        founding_process_drain(process);
    }
    sim_at(world->sim, sim_now_us(world->sim) + RESOLVE_US, resolve_again, world, argument);
}

/* ---- faults ---- */

static void apply_fault(void *user, const struct sim_fault *fault, bool is_begin)
{
    struct world *world = user;
    struct sim_host *host = sim_host_at(world->sim, fault->a);

    if (!is_begin) {
        sim_host_start(host);
        return;
    }
    if (!founding_watch_wipe(&world->watch, fault->a, &world->configs[fault->a].marker)) return;
    sim_trace(world->sim, host, "loses its disk");
    sim_host_kill(host, SIM_STOP_POWER);
    sim_host_wipe_disk(host);
}

/* ---- what must come to hold ---- */

struct core {
    unsigned size, members, ready, needed; /* of those that run in the core */
    bool is_barred, is_running;
};

static struct core look_at_core(struct world *world)
{
    struct core core = {.is_running = true};

    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        struct sim_host *host = sim_host_at(world->sim, i);
        struct founding_process *process = sim_host_process(host);
        struct founding_status status;
        if (!sim_plan_is_core(world->plan, i) || i == world->surplus || i == world->adversary.buried) continue;
        if (process == NULL) {
            core.is_running = false;
            continue;
        }
        founding_get_status(founding_process_core(process), sim_host_now_us(host), &status);
        core.size++;
        core.members += founding_get_state(founding_process_core(process))->phase == FOUNDING_MEMBER;
        core.ready += world->watch.takes_part[i] && !status.is_set_back;
        core.is_barred |= !uuid_is_zero(&world->configs[i].marker);
        if (status.needed > core.needed) core.needed = status.needed;
    }
    return core;
}

/* L5: who reaches a mesh is in it; and there is one where enough founders reach each other. */
static void check_founded(void *user, uint64_t argument)
{
    struct world *world = user;
    struct core core = look_at_core(world);

    (void)argument;
    if (!core.is_running) sim_fail(world->sim, "L5 one founding ends", "somebody does not run");
    if (core.members == core.size) {
        SIM_SOMETIMES("the healed are in one mesh");
        return;
    }
    if (core.members > 0) {
        /* Only "serve" has no seeds: it does not look for the mesh whose founder it was. */
        if (world->watch.expect == 1 && world->flavour == MARKER) return;
        sim_fail(world->sim, "L5 who reaches a mesh joins it", "%u of %u are members", core.members, core.size);
    }
    if (core.is_barred) return; /* markers alone remember the mesh */
    if (core.ready >= core.needed && core.needed > 0)
        sim_fail(world->sim, "L5 one founding ends", "nobody is a member, of %u founders, where %u are enough", core.ready, core.needed);
    SIM_SOMETIMES("too few founders are healed: they wait");
}

/* Somebody sees to what the founders refuse: the number is put right, the surplus broker is stopped. */
static void mend(struct world *world)
{
    founding_adversary_end(&world->adversary);
    for (uint32_t i = 0; i < sim_host_count(world->sim); i++) {
        sim_host_kill_at_output(sim_host_at(world->sim, i), 0, SIM_STOP_KILL); /* none is to come any more */
        if (sim_plan_is_core(world->plan, i) && i != world->adversary.buried) sim_host_start(sim_host_at(world->sim, i));
    }
    if (world->odd != UINT32_MAX) {
        struct sim_host *host = sim_host_at(world->sim, world->odd);
        world->configs[world->odd].options.expect = world->watch.expect;
        if (sim_host_is_running(host)) {
            sim_host_kill(host, SIM_STOP_KILL);
            sim_host_start(host);
        }
    }
    if (world->surplus != UINT32_MAX) sim_host_kill(sim_host_at(world->sim, world->surplus), SIM_STOP_POWER);
}

static uint64_t healed(void *user)
{
    struct world *world = user;
    uint64_t end_us = sim_now_us(world->sim) + AGREE_US;

    mend(world);
    sim_at(world->sim, end_us, check_founded, world, 0);
    return end_us + 1;
}

/* ---- the run ---- */

static uint32_t draw_expect(struct world *world, struct random *random, uint32_t host_count)
{
    static const uint32_t usual[] = {3, 5, 7, 3, 5, 7, 1, 2, 4, 6};
    uint32_t room = world->flavour == EXTRA ? host_count - 1 : host_count;

    for (;;) {
        uint32_t expect = usual[random_below(random, sizeof(usual) / sizeof(usual[0]))];
        if (expect <= room && (world->flavour != EXTRA || expect > 1)) return expect;
    }
}

static void configure(struct world *world, uint32_t host, bool takes_part)
{
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORLD);
    struct founding_config *config = &world->configs[host];

    *config = (struct founding_config){.defects = world->defects,
                                       .started = founding_watch_started,
                                       .output = founding_watch_output,
                                       .user = &world->watch};
    founding_options_init(&config->options);
    config->options.keeps_marker = world->flavour == MARKER;
    config->disk_us = random_below(random, 3) == 0 ? SIM_SECOND : 10000;
    if (takes_part && world->watch.expect == 1 && random_below(random, 2) == 0)
        config->options.mode = FOUNDING_SERVE;
    else
        config->options.expect = takes_part ? world->watch.expect : 0;
    world->watch.takes_part[host] = takes_part;
}

/* A host starts; sometimes its process dies right before one of its first outputs, and is started again soon. */
static void start_host(void *user, uint64_t argument)
{
    struct world *world = user;
    struct random *random = sim_random(world->sim, SIM_RANDOM_WORLD);
    struct sim_host *host = sim_host_at(world->sim, (uint32_t)argument);
    uint64_t again_us = sim_now_us(world->sim) + sim_random_between(random, SIM_SECOND, 10 * SIM_SECOND);
    uint64_t nth = 1 + random_below(random, 150);
    enum sim_stop how = random_below(random, 2) == 0 ? SIM_STOP_KILL : SIM_STOP_POWER;

    sim_host_start(host);
    if (!world->is_rough || again_us >= world->plan->heal_us || random_below(random, 2) == 0) return;
    sim_host_kill_at_output(host, nth, how);
    sim_at(world->sim, again_us, start_host, world, argument);
}

/* Sometimes one founder was told another number; alone with it, it can found nothing. */
static void draw_odd(struct world *world, struct random *random, uint32_t first)
{
    uint32_t count = sim_host_count(world->sim);

    world->odd = UINT32_MAX;
    if (world->flavour == EXTRA || world->watch.expect < 3 || random_below(random, 8) != 0) return;
    world->odd = (first + (uint32_t)random_below(random, world->watch.expect)) % count;
    do {
        world->configs[world->odd].options.expect = (uint32_t)sim_random_between(random, 2, 9);
    } while (world->configs[world->odd].options.expect == world->watch.expect);
    SIM_SOMETIMES("somebody expects another number");
}

static void observe(void *user, struct sim_host *host)
{
    struct world *world = user;

    founding_watch_event(&world->watch, host);
    founding_adversary_event(&world->adversary, host);
}

static void draw_adversary(struct world *world, struct random *random)
{
    static const enum founding_adversary_kind kinds[] = {FOUNDING_ADVERSARY_FORGETS, FOUNDING_ADVERSARY_BURIES, FOUNDING_ADVERSARY_RESTORES};
    const struct sim_plan *plan = world->plan;
    enum founding_adversary_kind kind = FOUNDING_ADVERSARY_NONE;

    if (world->flavour == EXTRA)
        kind = random_below(random, 2) == 0 ? FOUNDING_ADVERSARY_PARTS : FOUNDING_ADVERSARY_NONE;
    else if (random_below(random, 3) == 0)
        kind = kinds[random_below(random, sizeof(kinds) / sizeof(kinds[0]))];
    world->adversary = (struct founding_adversary){.sim = world->sim,
                                                   .watch = &world->watch,
                                                   .configs = world->configs,
                                                   .kind = kind,
                                                   .last_us = plan->heal_us - plan->heal_us / 8,
                                                   .spared = (uint32_t)(plan->core_salt % plan->host_count)};
    founding_adversary_begin(&world->adversary);
}

static void begin(void *user, struct sim *sim, const struct sim_plan *plan)
{
    struct world *world = user;
    struct random *random = sim_random(sim, SIM_RANDOM_WORLD);
    uint32_t count = sim_host_count(sim), first = (uint32_t)random_below(random, count), founders;
    bool is_slow = random_below(random, 3) == 0; /* they start over all of the time, or at about the same */

    MESH_ASSERT(count <= FOUNDING_HOSTS_MAX);
    world->sim = sim;
    world->plan = plan;
    founding_watch_reset(&world->watch, sim);
    world->watch.expect = draw_expect(world, random, count);
    world->watch.keeps_markers = world->flavour == MARKER;
    for (size_t i = 0; i < plan->fault_count; i++)
        world->watch.are_moving |= plan->faults[i].kind == SIM_FAULT_READDRESS || plan->faults[i].kind == SIM_FAULT_SWAP;
    world->is_rough = world->flavour != EXTRA && random_below(random, 2) == 0;
    founders = world->watch.expect + (world->flavour == EXTRA);
    world->surplus = world->flavour == EXTRA ? (first + world->watch.expect) % count : UINT32_MAX;
    sim_set_observer(sim, observe, world);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_host *host = sim_host_at(sim, i);
        configure(world, i, (i + count - first) % count < founders);
        sim_host_set_program(host, &founding_program, &world->configs[i]);
        sim_host_set_clock(host, random_below(random, 1000000) * SIM_SECOND, 0);
        sim_at(sim, random_below(random, is_slow ? plan->heal_us : 3 * SIM_SECOND), start_host, world, i);
    }
    draw_odd(world, random, first);
    draw_adversary(world, random);
    for (uint32_t i = 0; i < count; i++)
        resolve(world, i);
    sim_at(sim, RESOLVE_US, resolve_again, world, 0);
}

static void end(void *user)
{
    (void)user;
}

#define KIND(name)     (UINT64_C(1) << SIM_FAULT_##name)
#define ALL_KINDS      ((UINT64_C(1) << SIM_FAULT_SLEEP) - 1)
/* Messages go by links in the product, whatever their size. A disk is set back to an older copy by the adversary, when somebody can know: when nobody
 * can, promises are broken unseen (README). */
#define PLAIN_KINDS    (ALL_KINDS & ~(KIND(MTU) | KIND(BACKUP)))
/* With one founder too many, two halves that never hear of each other cannot tell. */
#define EXTRA_KINDS    (KIND(DUPLICATE) | KIND(REPLAY) | KIND(REORDER) | KIND(DELAY) | KIND(DRIFT) | KIND(SLACK) | KIND(WALL))

static const char *const files[] = {"founding_", NULL};
static const char *const no_files[] = {NULL};

const struct sim_world founding_world = {.name = "founding",
                                         .about = "first boots: one mesh, whatever happens, and one if enough stay up",
                                         .files = files,
                                         .limits = {1, 9, 10 * SIM_SECOND, 120 * SIM_SECOND, PLAIN_KINDS, false, true},
                                         .make = make_plain,
                                         .free = free,
                                         .begin = begin,
                                         .fault = apply_fault,
                                         .healed = healed,
                                         .end = end};

const struct sim_world founding_extra_world = {.name = "founding-extra",
                                               .about = "first boots with one broker more than expected",
                                               .files = no_files,
                                               .limits = {3, 9, 20 * SIM_SECOND, 60 * SIM_SECOND, EXTRA_KINDS, true, true},
                                               .make = make_extra,
                                               .free = free,
                                               .begin = begin,
                                               .healed = healed,
                                               .end = end};

const struct sim_world founding_marker_world = {.name = "founding-marker",
                                                .about = "first boots with markers, and all disks may go afterwards",
                                                .files = no_files,
                                                .limits = {1, 9, 40 * SIM_SECOND, 180 * SIM_SECOND, PLAIN_KINDS, false, true},
                                                .make = make_marker,
                                                .free = free,
                                                .begin = begin,
                                                .fault = apply_fault,
                                                .healed = healed,
                                                .end = end};
