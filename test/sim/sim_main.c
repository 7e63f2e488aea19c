/* The program `sim`: many seeds on every core, or one with a trace. */
#include "sim/sim_sometimes.h"
#include "sim/sim_world.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX    256
#define SHRINK_RUNS 400
#define LONG_RUN    1000 /* seeds; from here on every sometimes-state must be reached */

struct options {
    const struct sim_world *world;
    uint64_t first, last;
    unsigned jobs, hosts;
    uint64_t twice_every; /* of so many seeds one is run twice and must give the same hash. 0: none */
    bool is_traced, is_shrunk, has_table, is_verbose;
    const char *keep;
};

struct totals {
    const struct options *options;
    pthread_mutex_t lock; /* guards what follows and the output */
    uint64_t next, done, failed, events, simulated_us;
};

static void usage(FILE *to)
{
    fputs("usage: sim [WORLD] --seeds A..B [--jobs N] [--twice-every K] [--no-shrink] [--table]\n"
          "       sim [WORLD] --seed N [--trace] [--keep I,J,...]\n"
          "Runs simulations of the world, one for each seed; a seed decides everything that happens in it.\n"
          "Without --seed or --seeds: 1..1000, or 1..$SEEDS.\n"
          "  --keep I,J    only these of the seed's faults take part (the list that a failure prints)\n"
          "  --hosts N     this many hosts, instead of as many as the seed draws\n"
          "  --table       how often each \"sometimes\" state was reached; from 1,000 seeds on one that was not is an error\n",
          to);
}

static void draw(const struct options *options, uint64_t seed, struct sim_plan *plan)
{
    struct sim_plan_limits limits = options->world->limits;

    if (options->hosts > 0) limits.hosts_min = limits.hosts_max = options->hosts;
    sim_plan_draw(plan, seed, &limits);
}

static void print_commit(FILE *to)
{
    char line[128] = "";
    FILE *git = popen("git describe --always --dirty --abbrev=12 2>/dev/null", "r");

    if (git != NULL) {
        if (fgets(line, sizeof(line), git) == NULL) line[0] = '\0';
        pclose(git);
    }
    line[strcspn(line, "\n")] = '\0';
    fprintf(to, "commit %s", line[0] != '\0' ? line : "unknown");
}

/* The seed, what broke, the shortest list of faults that breaks it, and the command that shows it. */
static void report(const struct options *options, struct sim_runner *runner, struct sim_plan *plan,
                   const struct sim_result *result)
{
    size_t drawn = sim_plan_kept(plan);

    printf("FAILED seed %llu, ", (unsigned long long)plan->seed);
    print_commit(stdout);
    printf("\n  %s: %s\n", result->failure, result->text);
    if (options->is_shrunk && drawn > 0) {
        struct sim_result last;
        unsigned runs = sim_shrink(runner, plan, result->failure, SHRINK_RUNS);
        sim_runner_run(runner, plan, &last);
        printf("  %zu of %zu faults are enough (%u runs); then: %s\n", sim_plan_kept(plan), drawn, runs, last.text);
    }
    sim_plan_print(plan, stdout);
    printf("  replay: sim %s --seed %llu --trace", options->world->name, (unsigned long long)plan->seed);
    if (options->hosts > 0) printf(" --hosts %u", options->hosts);
    if (sim_plan_kept(plan) < plan->fault_count) {
        const char *separator = " --keep ";
        for (size_t i = 0; i < plan->fault_count; i++) {
            if (!plan->keep[i]) continue;
            printf("%s%zu", separator, i);
            separator = ",";
        }
        if (sim_plan_kept(plan) == 0) printf(" --keep \"\"");
    }
    printf("\n");
    fflush(stdout);
}

/* One seed; false when it fails. */
static bool run_seed(struct totals *totals, struct sim_runner *runner, struct sim_plan *plan, uint64_t seed)
{
    const struct options *options = totals->options;
    struct sim_result result, again;

    bool is_twice = options->twice_every > 0 && seed % options->twice_every == 0;

    draw(options, seed, plan);
    sim_set_hashing_bytes(sim_runner_sim(runner), is_twice || options->is_verbose);
    if (options->keep != NULL && !sim_plan_keep(plan, options->keep)) {
        fputs("sim: --keep: no such list of faults\n", stderr);
        return false;
    }
    sim_runner_run(runner, plan, &result);
    if (result.failure == NULL && is_twice) {
        sim_runner_run(runner, plan, &again);
        if (again.hash != result.hash) {
            result.failure = "S19 determinism";
            snprintf(result.text, sizeof(result.text), "two runs of one seed differ: %016llx, %016llx",
                     (unsigned long long)result.hash, (unsigned long long)again.hash);
        }
    }
    pthread_mutex_lock(&totals->lock);
    totals->done++;
    totals->events += result.stats.events;
    totals->simulated_us += result.simulated_us;
    if (options->is_verbose)
        printf("seed %llu: %s, hash %016llx, %.1f s, %llu events\n", (unsigned long long)seed,
               result.failure == NULL ? "passed" : result.failure, (unsigned long long)result.hash,
               (double)result.simulated_us / 1e6, (unsigned long long)result.stats.events);
    if (result.failure != NULL && ++totals->failed <= 5) report(options, runner, plan, &result);
    pthread_mutex_unlock(&totals->lock);
    return result.failure == NULL;
}

static void *run_seeds(void *argument)
{
    struct totals *totals = argument;
    const struct options *options = totals->options;
    struct sim_runner *runner = sim_runner_new(options->world);
    struct sim_plan *plan = calloc(1, sizeof(*plan));

    MESH_ASSERT(plan != NULL);
    if (options->is_traced) sim_set_trace(sim_runner_sim(runner), stdout);
    for (;;) {
        uint64_t seed = __atomic_fetch_add(&totals->next, 1, __ATOMIC_RELAXED);
        if (seed > options->last) break;
        run_seed(totals, runner, plan, seed);
    }
    free(plan);
    sim_runner_free(runner);
    return NULL;
}

static int run_all(const struct options *options)
{
    struct totals totals = {.options = options, .next = options->first};
    uint64_t begin_ns = clock_monotonic_ns();
    clock_t begin_clock = clock();
    pthread_t threads[JOBS_MAX];
    double seconds, core_seconds;
    unsigned missed = 0;

    pthread_mutex_init(&totals.lock, NULL);
    for (unsigned i = 1; i < options->jobs; i++)
        MESH_ASSERT(pthread_create(&threads[i], NULL, run_seeds, &totals) == 0);
    run_seeds(&totals);
    for (unsigned i = 1; i < options->jobs; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&totals.lock);
    seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
    if (seconds < 1e-6) seconds = 1e-6;
    core_seconds = (double)(clock() - begin_clock) / CLOCKS_PER_SEC; /* of all jobs */
    if (core_seconds < 1e-6) core_seconds = 1e-6;
    if (options->has_table) missed = sim_sometimes_print(stdout, options->world->files);
    printf("%llu seeds, %llu failed; %.1f s simulated in %.2f s: %.0f times real time (%.0f by the time of one core), %.2f million events/s\n",
           (unsigned long long)totals.done, (unsigned long long)totals.failed, (double)totals.simulated_us / 1e6, seconds,
           (double)totals.simulated_us / 1e6 / seconds, (double)totals.simulated_us / 1e6 / core_seconds, (double)totals.events / 1e6 / seconds);
    if (missed > 0 && totals.done >= LONG_RUN) {
        printf("%u states were never reached\n", missed);
        return 1;
    }
    return totals.failed > 0 ? 1 : 0;
}

/* ---- options ---- */

static bool parse_number(const char *text, uint64_t *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_range(const char *text, struct options *options)
{
    char *end;

    options->first = strtoull(text, &end, 0);
    if (end == text || strncmp(end, "..", 2) != 0) return false;
    return parse_number(end + 2, &options->last) && options->first <= options->last;
}

/* An option with a value; false: there is none of this name or the value is bad. */
static bool parse_option(struct options *options, const char *name, const char *value)
{
    uint64_t number = 0;
    bool is_number = value != NULL && parse_number(value, &number);

    if (value == NULL) return false;
    if (strcmp(name, "--seeds") == 0) return parse_range(value, options);
    if (strcmp(name, "--keep") == 0) {
        options->keep = value;
        return true;
    }
    if (!is_number) return false;
    if (strcmp(name, "--seed") == 0) {
        options->first = options->last = number;
        options->is_verbose = true;
    } else if (strcmp(name, "--jobs") == 0) {
        options->jobs = number < 1 ? 1 : number > JOBS_MAX ? JOBS_MAX : (unsigned)number;
    } else if (strcmp(name, "--hosts") == 0) {
        if (number == 0 || number > SIM_HOSTS_MAX) return false;
        options->hosts = (unsigned)number;
    } else if (strcmp(name, "--twice-every") == 0) {
        options->twice_every = number;
    } else {
        return false;
    }
    return true;
}

int sim_main(int argc, char **argv, const struct sim_world *const *worlds, size_t count)
{
    struct options options = {.world = worlds[0], .first = 1, .last = 1000, .jobs = 1, .twice_every = 10, .is_shrunk = true};
    const char *seeds = getenv("SEEDS");

    if (seeds != NULL && !parse_number(seeds, &options.last)) options.last = 1000;
    for (int i = 1; i < argc; i++) {
        bool is_world = false;
        for (size_t w = 0; w < count; w++) {
            if (strcmp(argv[i], worlds[w]->name) != 0) continue;
            options.world = worlds[w];
            is_world = true;
        }
        if (is_world) continue;
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            for (size_t w = 0; w < count; w++)
                printf("world %s: %s\n", worlds[w]->name, worlds[w]->about);
            return 0;
        }
        if (strcmp(argv[i], "--trace") == 0)
            options.is_traced = true;
        else if (strcmp(argv[i], "--no-shrink") == 0)
            options.is_shrunk = false;
        else if (strcmp(argv[i], "--table") == 0)
            options.has_table = true;
        else if (!parse_option(&options, argv[i], argv[i + 1])) {
            fprintf(stderr, "sim: what is \"%s\"?\n", argv[i]);
            usage(stderr);
            return 2;
        } else {
            i++;
        }
    }
    if (options.is_traced) {
        options.jobs = 1;
        options.twice_every = 0;
        options.is_shrunk = false;
    }
    return run_all(&options);
}
