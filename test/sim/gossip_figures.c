/* What membership does in time: detection, dissemination, false alarms, idle cost, the speed of the simulator itself.
 *
 * usage: bench_gossip [CASE...]   cases: detect kill leave loss slow idle speed kernel; TRIALS: percent of the usual runs;
 * BROKERS: meshes of this size only (detect kill leave loss); SEED: of loss, for another piece of a long run */
#include "sim/gossip_mesh.h"
#include "sim/gossip_world.h"

#include "base/assert.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t sizes[] = {3, 5, 10, 30, 100, 300};
#define TRIALS_MAX 10000
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static unsigned trials_of(unsigned usual)
{
    const char *text = getenv("TRIALS");
    unsigned long percent = text == NULL ? 100 : strtoul(text, NULL, 10);

    return usual * percent / 100 < 1 ? 1 : (unsigned)(usual * percent / 100);
}

static bool is_wanted(uint32_t size)
{
    const char *text = getenv("BROKERS");

    return text == NULL || strtoul(text, NULL, 10) == size;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double quantile(double *values, size_t count, double q)
{
    if (count == 0) return 0;
    qsort(values, count, sizeof(values[0]), compare);
    return values[(size_t)(q * (double)(count - 1) + 0.5)];
}

/* Where the true quantile is with 95 %, whatever the distribution: so many of the values are below it, give or take the
 * binomial's two deviations. */
static void interval(double *values, size_t count, double q, double *ret_low, double *ret_high)
{
    double middle = q * (double)count, by = 1.96 * sqrt((double)count * q * (1 - q));
    size_t low = middle - by < 1 ? 0 : (size_t)(middle - by) - 1, high = (size_t)ceil(middle + by);

    qsort(values, count, sizeof(values[0]), compare);
    *ret_low = values[low];
    *ret_high = high >= count ? 1e9 : values[high]; /* too few to say */
}

/* ---- one crash ---- */

/* How one broker goes: who first holds it gone, and when all do. */
static void measure_end(struct gossip_mesh *mesh, void (*go)(struct gossip_mesh *mesh), double *ret_first, double *ret_all)
{
    struct uuid id = gossip_mesh_id(mesh, 1);
    uint64_t begin_us, step_us = mesh->size <= 30 ? 1000 : 4000;

    gossip_mesh_run(mesh, 2 * SIM_SECOND + random_below(sim_random(mesh->sim, SIM_RANDOM_WORLD), 5 * SIM_SECOND));
    begin_us = sim_now_us(mesh->sim);
    *ret_first = *ret_all = -1;
    go(mesh);
    while (sim_now_us(mesh->sim) - begin_us < 120 * SIM_SECOND) {
        uint32_t gone, others = mesh->size - 1;
        gossip_mesh_run(mesh, step_us);
        gone = gossip_mesh_gone_count(mesh, &id) - (gossip_mesh_core(mesh, 1) != NULL && gossip_mesh_state(mesh, 1, &id) >= GOSSIP_DEAD);
        if (gone > 0 && *ret_first < 0) *ret_first = (double)(sim_now_us(mesh->sim) - begin_us) / 1e6;
        if (gone < others) continue;
        *ret_all = (double)(sim_now_us(mesh->sim) - begin_us) / 1e6;
        return;
    }
    *ret_first = *ret_all = 120;
}

static void lose_power(struct gossip_mesh *mesh)
{
    sim_host_kill(gossip_mesh_host(mesh, 1), SIM_STOP_POWER);
}

static void kill_process(struct gossip_mesh *mesh)
{
    sim_host_kill(gossip_mesh_host(mesh, 1), SIM_STOP_KILL);
}

static void leave(struct gossip_mesh *mesh)
{
    gossip_leave(gossip_mesh_core(mesh, 1), sim_host_now_us(gossip_mesh_host(mesh, 1)));
    gossip_process_drain(sim_host_process(gossip_mesh_host(mesh, 1)));
}

static void measure_ends(uint32_t size, unsigned trials, void (*go)(struct gossip_mesh *mesh), double *first, double *all)
{
    struct gossip_mesh mesh;

    gossip_mesh_init(&mesh);
    mesh.is_quick = true;
    for (unsigned i = 0; i < trials; i++) {
        gossip_mesh_reset(&mesh, 1000 + i, size);
        if (!gossip_mesh_join(&mesh)) fprintf(stderr, "no agreement: %u brokers, trial %u\n", size, i);
        measure_end(&mesh, go, &first[i], &all[i]);
    }
    gossip_mesh_deinit(&mesh);
}

static unsigned crash_trials(uint32_t size)
{
    return trials_of(size <= 10 ? 400 : size <= 30 ? 200 : size <= 100 ? 60 : 20);
}

static void show_detect(void)
{
    /* The 500 ms column of PROTOCOLS 1.4. */
    static const double model[SIZES][3] = {{2.8, 3.7, 3.7}, {2.8, 3.9, 4.0}, {2.8, 4.4, 4.6},
                                           {3.8, 5.5, 5.6}, {4.8, 6.6, 6.8}, {5.9, 7.4, 7.7}};
    static double first[TRIALS_MAX], all[TRIALS_MAX];

    printf("a host dies (no reset): seconds until the first holds it dead, p50 and p99, and until all do, p99\n"
           "    N  trials   first p50   first p99     all p99   (95 %%)          model p50/p99, p99   worst ratio\n");
    for (size_t i = 0; i < SIZES; i++) {
        unsigned trials = crash_trials(sizes[i]);
        double p50, p99, all_p99, worst, low, high;
        char range[32];
        if (!is_wanted(sizes[i])) continue;
        if (trials > TRIALS_MAX) trials = TRIALS_MAX;
        measure_ends(sizes[i], trials, lose_power, first, all);
        p50 = quantile(first, trials, 0.5);
        p99 = quantile(first, trials, 0.99);
        all_p99 = quantile(all, trials, 0.99);
        worst = p50 / model[i][0];
        if (p99 / model[i][1] > worst) worst = p99 / model[i][1];
        if (all_p99 / model[i][2] > worst) worst = all_p99 / model[i][2];
        interval(all, trials, 0.99, &low, &high);
        if (high < 1e9)
            snprintf(range, sizeof(range), "(%.2f-%.2f)", low, high);
        else
            snprintf(range, sizeof(range), "(from %.2f)", low);
        printf("%5u  %6u  %10.2f  %10.2f  %10.2f   %-15s %.1f/%.1f, %.1f          %.2f%s\n", sizes[i], trials, p50, p99, all_p99, range,
               model[i][0], model[i][1], model[i][2], worst, worst > 1.1 ? "  > 1.10" : "");
        fflush(stdout);
    }
}

static void show_end(const char *what, void (*go)(struct gossip_mesh *mesh), double bound)
{
    static double first[TRIALS_MAX], all[TRIALS_MAX];

    printf("%s: milliseconds until all know (bound %.0f)\n    N  trials         p50         p99         max\n", what, bound);
    for (size_t i = 0; i < SIZES; i++) {
        unsigned trials = crash_trials(sizes[i]);
        if (!is_wanted(sizes[i])) continue;
        if (trials > TRIALS_MAX) trials = TRIALS_MAX;
        measure_ends(sizes[i], trials, go, first, all);
        printf("%5u  %6u  %10.0f  %10.0f  %10.0f%s\n", sizes[i], trials, quantile(all, trials, 0.5) * 1e3,
               quantile(all, trials, 0.99) * 1e3, quantile(all, trials, 1) * 1e3,
               quantile(all, trials, 1) * 1e3 > bound ? "  > bound" : "");
        fflush(stdout);
    }
}

static void show_kill(void)
{
    show_end("a process is killed (its host resets and refuses)", kill_process, 300);
}

static void show_leave(void)
{
    show_end("a broker leaves", leave, 500);
}

/* ---- false alarms ---- */

/* Long runs are made in pieces, each with a seed of its own (SEED), and added up. */
static void show_loss(void)
{
    const char *seed_text = getenv("SEED");
    uint64_t seed = seed_text == NULL ? 77 : strtoull(seed_text, NULL, 10);
    static const struct {
        uint32_t size;
        uint32_t hours;
    } cases[] = {{5, 400}, {10, 200}, {30, 20}};
    struct gossip_mesh mesh;

    printf("false deaths at 10 %% loss of datagrams and of segments\n    N  broker-hours  suspicions  refutations  false deaths\n");
    gossip_mesh_init(&mesh);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t suspicions, refutations = 0;
        unsigned hours = trials_of(cases[i].hours);
        if (!is_wanted(cases[i].size)) continue;
        gossip_mesh_reset(&mesh, seed + i, cases[i].size);
        MESH_ASSERT(gossip_mesh_join(&mesh));
        sim_net_faults(mesh.sim)->loss_ppm = 100000;
        gossip_mesh_run(&mesh, hours * 3600 * SIM_SECOND);
        suspicions = gossip_mesh_suspicions(&mesh);
        for (uint32_t h = 0; h < mesh.size; h++) {
            struct gossip_stats stats;
            gossip_get_stats(gossip_mesh_core(&mesh, h), &stats);
            refutations += stats.refutations;
        }
        printf("%5u  %12u  %10llu  %11llu  %12llu\n", cases[i].size, cases[i].size * hours, (unsigned long long)suspicions,
               (unsigned long long)refutations, (unsigned long long)gossip_watch_false_deaths(mesh.watch));
        if (sim_failure(mesh.sim) != NULL) printf("FAILED %s: %s\n", sim_failure(mesh.sim), sim_failure_text(mesh.sim));
        fflush(stdout);
    }
    gossip_mesh_deinit(&mesh);
}

/* The Lifeguard paper's interval experiment (section V): of 100 members some are slow: for a while they neither send nor
 * receive, then work for a moment, and again, for two minutes. A false positive: somebody holds a member dead that lives.
 * Those about healthy members are counted apart. */
#define SLOW_SIZE 100

struct slow {
    struct gossip_mesh *mesh;
    uint32_t count;
    uint64_t blocked_us, working_us, end_us;
};

static void slow_step(void *user, uint64_t argument)
{
    struct slow *slow = user;
    uint32_t index = (uint32_t)(argument >> 1);
    bool is_begin = !(argument & 1);
    struct sim_host *host = gossip_mesh_host(slow->mesh, 1 + index);
    uint64_t now_us = sim_now_us(slow->mesh->sim);

    if (!is_begin) {
        sim_host_unblock_io(host);
        if (now_us < slow->end_us) sim_at(slow->mesh->sim, now_us + slow->working_us, slow_step, slow, argument & ~UINT64_C(1));
        return;
    }
    sim_host_block_io(host);
    sim_at(slow->mesh->sim, now_us + slow->blocked_us, slow_step, slow, argument | 1);
}

static void measure_slow(struct slow *slow, uint64_t defects, uint64_t *ret_all, uint64_t *ret_healthy)
{
    struct gossip_mesh *mesh = slow->mesh;

    gossip_mesh_reset(mesh, 500 + slow->count, SLOW_SIZE);
    mesh->config.defects = defects;
    MESH_ASSERT(gossip_mesh_join(mesh));
    gossip_mesh_run(mesh, 10 * SIM_SECOND);
    slow->end_us = sim_now_us(mesh->sim) + 120 * SIM_SECOND;
    for (uint32_t i = 0; i < slow->count; i++)
        sim_at(mesh->sim, sim_now_us(mesh->sim) + random_below(sim_random(mesh->sim, SIM_RANDOM_WORLD), slow->blocked_us), slow_step,
               slow, (uint64_t)i << 1);
    gossip_mesh_run(mesh, 180 * SIM_SECOND);
    *ret_all = gossip_watch_false_deaths(mesh->watch);
    *ret_healthy = 0;
    for (uint32_t i = 0; i < SLOW_SIZE; i++)
        *ret_healthy += gossip_watch_false_deaths_about(mesh->watch, i) * (i == 0 || i > slow->count);
}

static void show_slow(void)
{
    static const uint32_t counts[] = {1, 4, 8, 16, 32};
    static const uint64_t blocked_ms[] = {1024, 4096, 16384};
    struct gossip_mesh mesh;
    uint64_t sums[2] = {0, 0};

    printf("slow members among %u (blocked, then 100 ms of work, for 120 s): false deaths, all and about healthy members\n"
           " slow  blocked   with Lifeguard   without\n", SLOW_SIZE);
    gossip_mesh_init(&mesh);
    for (size_t b = 0; b < sizeof(blocked_ms) / sizeof(blocked_ms[0]); b++) {
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            struct slow slow = {.mesh = &mesh, .count = counts[c], .blocked_us = blocked_ms[b] * 1000, .working_us = 100000};
            uint64_t all[2], healthy[2];
            measure_slow(&slow, 0, &all[0], &healthy[0]);
            measure_slow(&slow, 1u << GOSSIP_DEFECT_NO_LIFEGUARD | 1u << GOSSIP_DEFECT_DEAD_BELIEVED, &all[1], &healthy[1]);
            printf("%5u %5llu ms   %7llu %6llu   %7llu %6llu\n", counts[c], (unsigned long long)blocked_ms[b],
                   (unsigned long long)all[0], (unsigned long long)healthy[0], (unsigned long long)all[1],
                   (unsigned long long)healthy[1]);
            fflush(stdout);
            sums[0] += healthy[0];
            sums[1] += healthy[1];
        }
    }
    printf("about healthy members: %llu with, %llu without: %.0f times fewer\n", (unsigned long long)sums[0],
           (unsigned long long)sums[1], (double)sums[1] / (double)(sums[0] > 0 ? sums[0] : 1));
    gossip_mesh_deinit(&mesh);
}

/* ---- cost ---- */

static void show_idle(void)
{
    struct gossip_mesh mesh;

    printf("idle for ten minutes: of one broker, each way\n    N   packets/s   bytes/s of UDP with headers   bytes/s of links\n");
    gossip_mesh_init(&mesh);
    mesh.is_quick = true;
    for (size_t i = 0; i < SIZES; i++) {
        struct sim_stats before, after;
        double seconds = 600 * (double)sizes[i], packets;
        gossip_mesh_reset(&mesh, 5, sizes[i]);
        MESH_ASSERT(gossip_mesh_join(&mesh));
        gossip_mesh_run(&mesh, 60 * SIM_SECOND);
        before = *sim_get_stats(mesh.sim);
        gossip_mesh_run(&mesh, 600 * SIM_SECOND);
        after = *sim_get_stats(mesh.sim);
        packets = (double)(after.datagrams_sent - before.datagrams_sent);
        /* IPv4 and UDP: 28; the product's seal is larger than the simulated one. */
        printf("%5u  %10.1f  %28.0f  %16.0f\n", sizes[i], packets / seconds,
               ((double)(after.datagram_bytes - before.datagram_bytes) + packets * (28 + 56 - 36)) / seconds,
               (double)(after.stream_bytes - before.stream_bytes) / seconds);
        fflush(stdout);
    }
    gossip_mesh_deinit(&mesh);
}

static void show_speed(void)
{
    struct sim_runner *runner = sim_runner_new(&gossip_world);
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_plan_limits limits = gossip_world.limits;
    struct sim_result result;
    uint64_t simulated_us = 0, events = 0, begin_ns = clock_monotonic_ns();
    unsigned seeds = trials_of(300);
    double seconds;

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
    printf("simulator, 5 brokers under faults, one core: %.0f times real time, %.2f million events/s, %.0f seeds/s\n",
           (double)simulated_us / 1e6 / seconds, (double)events / 1e6 / seconds, seeds / seconds);
    free(plan);
    sim_runner_free(runner);
}

/* The kernel alone: what one event costs with programs that pass packets on in a ring. */
struct relay {
    struct sim_host *host;
    struct net_address next;
};

static void *relay_start(void *context, struct sim_host *host)
{
    struct relay *relay = (struct relay *)context + sim_host_index(host);

    relay->host = host;
    relay->next = sim_host_address(host);
    relay->next.ip[15] = (uint8_t)((sim_host_index(host) + 1) % sim_host_count(sim_host_sim(host)));
    sim_set_timer(host, sim_host_now_us(host) + 1000);
    return relay;
}

static void relay_datagram(void *process, const struct net_address *from, struct slice bytes)
{
    struct relay *relay = process;

    (void)from;
    sim_send(relay->host, &relay->next, bytes);
    sim_set_timer(relay->host, sim_host_now_us(relay->host) + 1000);
}

static void relay_timer(void *process)
{
    struct relay *relay = process;
    uint8_t bytes[64] = {0};

    if (sim_now_us(sim_host_sim(relay->host)) < SIM_SECOND / 10) sim_send(relay->host, &relay->next, slice_of(bytes, sizeof(bytes)));
    sim_set_timer(relay->host, sim_host_now_us(relay->host) + 1000);
}

static void relay_stop(void *process, enum sim_stop how)
{
    (void)process, (void)how;
}

static void show_kernel(void)
{
    static const struct sim_program program = {
        .name = "relay", .start = relay_start, .datagram = relay_datagram, .timer = relay_timer, .stop = relay_stop};
    struct relay relays[5];
    struct sim *sim = sim_new();
    uint64_t begin_ns;
    double ns;

    sim_reset(sim, 1, 5);
    for (uint32_t i = 0; i < 5; i++) {
        sim_host_set_program(sim_host_at(sim, i), &program, relays);
        sim_host_start(sim_host_at(sim, i));
    }
    begin_ns = clock_monotonic_ns();
    sim_run_until(sim, 10 * SIM_SECOND);
    ns = (double)(clock_monotonic_ns() - begin_ns);
    printf("kernel, packets passed on by programs that do nothing else: %.0f ns for an event, %.1f million events/s\n",
           ns / (double)sim_get_stats(sim)->events, (double)sim_get_stats(sim)->events / ns * 1e3);
    sim_free(sim);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*show)(void);
    } cases[] = {{"detect", show_detect}, {"kill", show_kill}, {"leave", show_leave}, {"loss", show_loss},
                 {"slow", show_slow},     {"idle", show_idle}, {"speed", show_speed},
                 {"kernel", show_kernel}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            is_wanted = is_wanted || strcmp(argv[j], cases[i].name) == 0;
        if (is_wanted) cases[i].show();
    }
    return 0;
}
