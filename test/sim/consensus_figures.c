/* What consensus does in time: how long nobody leads after a leader's death, and how fast the simulator runs it.
 *
 * usage: bench_consensus [CASE...]   cases: failover speed quiet; TRIALS: percent of the usual runs */
#include "sim/consensus_world.h"
#include "sim/gossip_world.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_US (SIM_SECOND / 500)

static unsigned trials_of(unsigned usual)
{
    const char *text = getenv("TRIALS");
    unsigned long percent = text == NULL ? 100 : strtoul(text, NULL, 10);

    return usual * percent / 100 < 1 ? 1 : (unsigned)(usual * percent / 100);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* ---- a leader dies ---- */

/* Seconds from the death of the leader until another one has committed in its term. */
static double measure_failover(struct consensus_mesh *mesh, struct sim *sim, uint64_t seed, uint32_t servers)
{
    uint64_t begin_us, end_us;
    uint32_t leader;

    sim_reset(sim, seed, servers);
    consensus_mesh_reset(mesh, servers, false);
    consensus_mesh_start_all(mesh);
    leader = consensus_mesh_await_leader(mesh, 60 * SIM_SECOND);
    if (leader == CONSENSUS_NOBODY) return 60;
    for (uint64_t i = 0, writes = random_below(sim_random(sim, SIM_RANDOM_WORLD), 50); i < writes; i++) {
        consensus_clients_propose(&mesh->clients, consensus_mesh_process(mesh, leader), 100);
        consensus_mesh_run(mesh, random_below(sim_random(sim, SIM_RANDOM_WORLD), SIM_SECOND / 10));
    }
    if (consensus_mesh_leader(mesh) != leader) return 60;
    sim_host_kill(sim_host_at(sim, leader), SIM_STOP_POWER);
    begin_us = sim_now_us(sim);
    end_us = begin_us + 60 * SIM_SECOND;
    while (consensus_mesh_leader(mesh) == CONSENSUS_NOBODY && sim_now_us(sim) < end_us)
        consensus_mesh_run(mesh, STEP_US);
    return (double)(sim_now_us(sim) - begin_us) / 1e6;
}

static unsigned count_within(const double *values, unsigned count, double limit)
{
    unsigned within = 0;

    while (within < count && values[within] <= limit)
        within++;
    return within;
}

static void show_failover(void)
{
    static const uint32_t sizes[] = {3, 5};
    struct sim *sim = sim_new();
    struct consensus_mesh mesh;
    unsigned trials = trials_of(5000);
    double *values = calloc(trials, sizeof(values[0]));

    MESH_ASSERT(values != NULL);
    consensus_mesh_init(&mesh, sim);
    printf("the leader's host loses power: seconds until another leader has committed (election timeouts are drawn from 1 to 2 s)\n"
           "servers  trials     p50     p90     p99   p99.9     max   within 3 x 1 s   within 3 x 2 s\n");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (unsigned i = 0; i < trials; i++)
            values[i] = measure_failover(&mesh, sim, 5000 + i, sizes[s]);
        qsort(values, trials, sizeof(values[0]), compare);
        printf("%7u  %6u  %6.2f  %6.2f  %6.2f  %6.2f  %6.2f  %14.2f%%  %14.2f%%\n", sizes[s], trials, values[trials / 2],
               values[trials * 9 / 10], values[trials * 99 / 100], values[(uint64_t)trials * 999 / 1000], values[trials - 1],
               100.0 * count_within(values, trials, 3) / trials, 100.0 * count_within(values, trials, 6) / trials);
        fflush(stdout);
    }
    consensus_mesh_deinit(&mesh);
    sim_free(sim);
    free(values);
}

/* ---- the simulator's speed ---- */

/* Seconds of simulated time in one second of a core, five hosts under faults; and of real time, which is the same where nothing else runs. */
static double measure_speed(const struct sim_world *world, const char *load, unsigned seeds)
{
    struct sim_runner *runner = sim_runner_new(world);
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_plan_limits limits = world->limits;
    struct sim_result result;
    uint64_t simulated_us = 0, events = 0, begin_ns = clock_monotonic_ns();
    double seconds, core_seconds;
    clock_t begin = clock();

    MESH_ASSERT(plan != NULL);
    limits.hosts_min = limits.hosts_max = 5;
    sim_set_hashing_bytes(sim_runner_sim(runner), false); /* as for seeds that are run once */
    for (unsigned seed = 1; seed <= seeds; seed++) {
        sim_plan_draw(plan, seed, &limits);
        sim_runner_run(runner, plan, &result);
        simulated_us += result.simulated_us;
        events += result.stats.events;
    }
    seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
    core_seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    printf("%-10s 5 servers under all faults, %s: %.0f times real time on one core (%.0f as it ran here), %.2f million events/s, %.0f events per simulated second\n",
           world->name, load, (double)simulated_us / 1e6 / core_seconds, (double)simulated_us / 1e6 / seconds, (double)events / 1e6 / core_seconds,
           (double)events * 1e6 / (double)simulated_us);
    fflush(stdout);
    free(plan);
    sim_runner_free(runner);
    return (double)simulated_us / 1e6 / core_seconds;
}

/* The first load is what seeds draw: 3 to 100 requests a second, on average 33, so that much happens in little time. The second one is that of
 * a mesh's metadata: creations, sessions, changes of ISRs; and now and then somebody creates a hundred topics. */
static void show_speed(void)
{
    static const struct consensus_load metadata = {SIM_SECOND / 2, 20 * SIM_SECOND, 100};
    double consensus = measure_speed(&consensus_world, "3 to 100 requests/s", trials_of(300)), usual,
           gossip = measure_speed(&gossip_world, "membership", trials_of(200));

    consensus_world_set_load(&metadata);
    usual = measure_speed(&consensus_world, "2 requests/s and 100 at once every 20 s", trials_of(300));
    consensus_world_set_load(NULL);
    printf("consensus and membership, one after the other: %.0f times real time; with the load of metadata: %.0f\n",
           1 / (1 / consensus + 1 / gossip), 1 / (1 / usual + 1 / gossip));
}

/* Five servers with nothing wrong and ten writes a second. */
static void show_quiet(void)
{
    struct sim *sim = sim_new();
    struct consensus_mesh mesh;
    uint64_t begin_ns, begin_us;
    uint32_t leader;
    double seconds, simulated;

    consensus_mesh_init(&mesh, sim);
    for (int is_watched = 0; is_watched < 2; is_watched++) {
        sim_reset(sim, 1, 5);
        consensus_mesh_reset(&mesh, 5, is_watched == 1);
        mesh.config.snapshot_every = 100;
        consensus_mesh_start_all(&mesh);
        leader = consensus_mesh_await_leader(&mesh, 60 * SIM_SECOND);
        MESH_ASSERT(leader != CONSENSUS_NOBODY);
        begin_ns = clock_monotonic_ns();
        begin_us = sim_now_us(sim);
        for (unsigned i = 0, count = trials_of(20000); i < count && consensus_mesh_process(&mesh, leader) != NULL; i++) {
            consensus_clients_propose(&mesh.clients, consensus_mesh_process(&mesh, leader), 100);
            consensus_mesh_run(&mesh, SIM_SECOND / 10);
        }
        seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
        simulated = (double)(sim_now_us(sim) - begin_us) / 1e6;
        printf("5 servers, nothing wrong, 10 writes/s, %s: %.0f times real time, %.0f events per simulated second\n",
               is_watched ? "watched" : "not watched", simulated / seconds, (double)sim_get_stats(sim)->events / simulated);
    }
    consensus_mesh_deinit(&mesh);
    sim_free(sim);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*show)(void);
    } cases[] = {{"failover", show_failover}, {"speed", show_speed}, {"quiet", show_quiet}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            is_wanted = is_wanted || strcmp(argv[j], cases[i].name) == 0;
        if (is_wanted) cases[i].show();
    }
    return 0;
}
