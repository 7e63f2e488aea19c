/* How long a first boot takes, and whether there is ever more than one mesh.
 *
 * usage: bench_founding [BOOTS]     first boots of each row; 3,334 without (10,000 for each way of starting) */
#include "sim/founding_watch.h"
#include "sim/sim_net.h"

#include "base/assert.h"

#include <stdlib.h>

#define BOOT_MAX_US (900 * SIM_SECOND)
#define STEP_US     10000

enum way { TOGETHER, OVER_MINUTES, ONE_MISSING, ROUGH, WAYS };
static const char *const way_names[WAYS] = {"together", "over three minutes", "one does not come", "over a minute, dying early and often"};

static struct sim *sim;
static struct founding_watch watch;
static struct founding_config configs[FOUNDING_HOSTS_MAX];
static unsigned restarts[FOUNDING_HOSTS_MAX];
static uint64_t last_start_us;

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

static void start(void *user, uint64_t argument)
{
    struct random *random = sim_random(sim, SIM_RANDOM_WORLD);
    struct sim_host *host = sim_host_at(sim, (uint32_t)argument);
    uint64_t nth = 1 + random_below(random, 120);
    enum sim_stop how = random_below(random, 2) == 0 ? SIM_STOP_KILL : SIM_STOP_POWER;

    if (!sim_host_is_running(host)) last_start_us = sim_now_us(sim);
    sim_host_kill_at_output(host, 0, SIM_STOP_KILL);
    sim_host_start(host);
    if (user == NULL || restarts[argument]++ == 5) return;
    sim_host_kill_at_output(host, nth, how);
    sim_at(sim, sim_now_us(sim) + sim_random_between(random, SIM_SECOND, 20 * SIM_SECOND), start, user, argument);
}

static void begin(uint64_t seed, uint32_t size, enum way way)
{
    static const uint64_t spread_us[WAYS] = {SIM_SECOND, 180 * SIM_SECOND, SIM_SECOND, 60 * SIM_SECOND};
    static char rough;
    struct random *random;

    sim_reset(sim, seed, size);
    random = sim_random(sim, SIM_RANDOM_WORLD);
    founding_watch_reset(&watch, sim);
    sim_set_observer(sim, founding_watch_event, &watch);
    watch.expect = size;
    last_start_us = 0;
    if (way == ROUGH) sim_net_faults(sim)->loss_ppm = 50000;
    for (uint32_t i = 0; i < size; i++) {
        configs[i] = (struct founding_config){.disk_us = 20000, .started = founding_watch_started, .output = founding_watch_output, .user = &watch};
        founding_options_init(&configs[i].options);
        configs[i].options.expect = size;
        watch.takes_part[i] = true;
        restarts[i] = 0;
        for (uint32_t j = 0; j < size; j++) /* one name, all addresses */
            configs[i].seeds[configs[i].seed_count++] = sim_address(j, sim_host_address(sim_host_at(sim, j)).port);
        sim_host_set_program(sim_host_at(sim, i), &founding_program, &configs[i]);
        sim_host_set_clock(sim_host_at(sim, i), random_below(random, 1000000) * SIM_SECOND, 0);
        if (way == ONE_MISSING && i + 1 == size) continue;
        sim_at(sim, random_below(random, spread_us[way]), start, way == ROUGH ? &rough : NULL, i);
    }
}

static bool are_all_members(uint32_t size, enum way way)
{
    for (uint32_t i = 0; i < size - (way == ONE_MISSING); i++)
        if (!watch.seen[i].is_done || !sim_host_is_running(sim_host_at(sim, i))) return false;
    return true;
}

/* One row: seconds from the last start until the first knows the mesh and until all do. */
static bool measure(uint32_t size, enum way way, size_t boots)
{
    double *first = calloc(boots, sizeof(*first)), *all = calloc(boots, sizeof(*all));
    size_t broken = 0, unfinished = 0;

    MESH_ASSERT(first != NULL && all != NULL);
    for (size_t boot = 0; boot < boots; boot++) {
        begin(boot * WAYS + (uint64_t)way + 1, size, way);
        while (sim_now_us(sim) < BOOT_MAX_US && !are_all_members(size, way) && sim_run_until(sim, sim_now_us(sim) + STEP_US))
            continue;
        if (sim_failure(sim) != NULL && broken++ == 0)
            printf("boot %zu of %u: %s: %s\n", boot, size, sim_failure(sim), sim_failure_text(sim));
        unfinished += sim_failure(sim) == NULL && !are_all_members(size, way);
        first[boot] = watch.founded_us > last_start_us ? (double)(watch.founded_us - last_start_us) / 1e6 : 0;
        all[boot] = (double)(sim_now_us(sim) - last_start_us) / 1e6;
    }
    printf("%-38s %u %6zu %6zu %6zu   %6.2f %6.2f %6.2f   %6.2f %6.2f %6.2f\n", way_names[way], size, boots, broken, unfinished,
           quantile(first, boots, 0.5), quantile(first, boots, 0.99), quantile(first, boots, 1), quantile(all, boots, 0.5),
           quantile(all, boots, 0.99), quantile(all, boots, 1));
    fflush(stdout);
    free(first);
    free(all);
    return broken == 0 && unfinished == 0;
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {3, 5, 7};
    unsigned long boots = argc > 1 ? strtoul(argv[1], NULL, 10) : 3334;
    bool is_good = true;

    if (boots == 0) {
        fputs("usage: bench_founding [BOOTS]\n", stderr);
        return 2;
    }
    sim = sim_new();
    printf("seconds after the last start             first member           all members\n"
           "started                                N  boots  two    none       p50    p99    max      p50    p99    max\n");
    for (int way = 0; way < WAYS; way++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            is_good &= measure(sizes[i], (enum way)way, boots);
    sim_free(sim);
    return is_good ? 0 : 1;
}
