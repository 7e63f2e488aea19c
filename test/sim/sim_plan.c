#include "sim/sim_plan.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000)

/* How each kind is drawn: how often and for how long one strikes, and the range of its value. */
static const struct kind {
    uint64_t every_us;         /* mean time between two of them; 0: one, for all the time that faults go on */
    uint64_t for_min_us, for_max_us;
    uint64_t value_min, value_max;
} kinds[SIM_FAULT_KINDS] = {
    [SIM_FAULT_LOSS] = {0, 0, 0, 1000, 300000},
    [SIM_FAULT_DUPLICATE] = {0, 0, 0, 1000, 500000},
    [SIM_FAULT_REPLAY] = {0, 0, 0, 1000, 100000},
    [SIM_FAULT_REORDER] = {0, 0, 0, 1000, 300000},
    [SIM_FAULT_FLIP] = {0, 0, 0, 100, 20000},
    [SIM_FAULT_DELAY] = {0, 0, 0, 100, 100000},
    [SIM_FAULT_CLOG] = {10 * SIM_SECOND, 10 * MS, 5 * SIM_SECOND, 0, 0},
    [SIM_FAULT_UDP_CUT] = {30 * SIM_SECOND, SIM_SECOND, 30 * SIM_SECOND, 0, 0},
    [SIM_FAULT_TCP_CUT] = {30 * SIM_SECOND, SIM_SECOND, 30 * SIM_SECOND, 0, 0},
    [SIM_FAULT_PARTITION] = {25 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, UINT64_MAX - 1},
    [SIM_FAULT_ONE_WAY] = {25 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, UINT64_MAX - 1},
    [SIM_FAULT_LINK] = {15 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, 0},
    [SIM_FAULT_ISOLATE] = {20 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, 0},
    [SIM_FAULT_CHAIN] = {40 * SIM_SECOND, SIM_SECOND, 20 * SIM_SECOND, 0, 0},
    [SIM_FAULT_MTU] = {20 * SIM_SECOND, SIM_SECOND, 20 * SIM_SECOND, 200, 1300},
    [SIM_FAULT_STREAM_RESET] = {8 * SIM_SECOND, 0, 0, 0, 0},
    [SIM_FAULT_KILL] = {10 * SIM_SECOND, 10 * MS, 20 * SIM_SECOND, 0, 40},
    [SIM_FAULT_POWER] = {15 * SIM_SECOND, 10 * MS, 20 * SIM_SECOND, 0, 40},
    [SIM_FAULT_BACKUP] = {20 * SIM_SECOND, 0, 0, 0, 0},
    [SIM_FAULT_PAUSE] = {10 * SIM_SECOND, 10 * MS, 10 * SIM_SECOND, 0, 0},
    [SIM_FAULT_SUSPEND] = {30 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, 0},
    [SIM_FAULT_BLOCK] = {15 * SIM_SECOND, 10 * MS, 10 * SIM_SECOND, 0, 0},
    [SIM_FAULT_DRIFT] = {20 * SIM_SECOND, SIM_SECOND, 60 * SIM_SECOND, 0, 1000},
    [SIM_FAULT_SLACK] = {20 * SIM_SECOND, SIM_SECOND, 30 * SIM_SECOND, 100, 100000},
    [SIM_FAULT_WALL] = {20 * SIM_SECOND, 0, 0, 0, 200000},
    [SIM_FAULT_READDRESS] = {40 * SIM_SECOND, 10 * MS, 10 * SIM_SECOND, 0, 0},
    [SIM_FAULT_SWAP] = {60 * SIM_SECOND, 10 * MS, 10 * SIM_SECOND, 0, 0},
    [SIM_FAULT_WORLD] = {10 * SIM_SECOND, 0, 10 * SIM_SECOND, 0, UINT64_MAX - 1},
    [SIM_FAULT_SLEEP] = {30 * SIM_SECOND, 100 * MS, 20 * SIM_SECOND, 0, 0},
};

/* Small values as often as large ones: the logarithm is uniform. */
static uint64_t draw_value(struct random *random, uint64_t low, uint64_t high)
{
    unsigned bits = high > low ? 64 - (unsigned)__builtin_clzll(high - low) : 0;
    uint64_t limit;

    if (bits == 0) return low;
    limit = bits < 4 ? high - low : (high - low) >> random_below(random, bits < 16 ? bits / 2 : 8);
    return sim_random_between(random, low, low + limit);
}

static void draw_fault(struct sim_plan *plan, struct random *random, enum sim_fault_kind kind, uint64_t at_us,
                       uint64_t end_us)
{
    const struct kind *how = &kinds[kind];
    struct sim_fault fault = {.at_us = at_us, .kind = kind};
    bool is_forever = how->every_us == 0;

    fault.for_us = is_forever ? end_us - at_us : draw_value(random, how->for_min_us, how->for_max_us);
    if (fault.at_us + fault.for_us > end_us) fault.for_us = end_us - fault.at_us;
    fault.a = (uint32_t)random_below(random, plan->host_count);
    fault.b = (uint32_t)random_below(random, plan->host_count);
    if (fault.b == fault.a) fault.b = (fault.a + 1) % plan->host_count;
    fault.value = draw_value(random, how->value_min, how->value_max);
    if (kind == SIM_FAULT_PARTITION || kind == SIM_FAULT_ONE_WAY || kind == SIM_FAULT_WORLD)
        fault.value = random_next(random);
    if (kind == SIM_FAULT_KILL || kind == SIM_FAULT_POWER) {
        if (random_below(random, 2) == 0) fault.value = 0; /* at once */
        fault.b = random_below(random, 4) == 0 ? (uint32_t)random_below(random, 3) : SIM_FAULT_DISK_OLD;
        if (plan->keeps_disks) fault.b = SIM_FAULT_DISK_OLD;
    }
    if (plan->fault_count < SIM_PLAN_FAULTS_MAX) plan->faults[plan->fault_count++] = fault;
}

static void draw_kind(struct sim_plan *plan, enum sim_fault_kind kind)
{
    struct random random; /* of its own: another kind more shifts nothing */
    uint64_t mean_us = kinds[kind].every_us;

    random_init(&random, sim_random_seed(plan->seed, (uint64_t)SIM_HOSTS_MAX * 4 + kind));
    if (random_below(&random, 5) >= 2) return; /* not in this swarm */
    if (mean_us == 0) {
        uint64_t from_us = random_below(&random, 2) == 0 ? 0 : random_below(&random, plan->heal_us / 2);
        draw_fault(plan, &random, kind, from_us, plan->heal_us);
        return;
    }
    mean_us = mean_us << random_below(&random, 4) >> 2; /* half of them often, half seldom */
    for (uint64_t at_us = sim_random_exponential(&random, mean_us); at_us < plan->heal_us;
         at_us += 1 + sim_random_exponential(&random, mean_us))
        draw_fault(plan, &random, kind, at_us, plan->heal_us);
}

static int compare_faults(const void *a, const void *b)
{
    const struct sim_fault *x = a, *y = b;

    if (x->at_us != y->at_us) return x->at_us < y->at_us ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

void sim_plan_draw(struct sim_plan *plan, uint64_t seed, const struct sim_plan_limits *limits)
{
    struct random random;
    uint64_t mask = limits->kinds != 0 ? limits->kinds : (UINT64_C(1) << SIM_FAULT_WORLD) - 1;

    random_init(&random, sim_random_seed(seed, SIM_RANDOM_SWARM));
    plan->seed = seed;
    plan->fault_count = 0;
    plan->host_count = (uint32_t)sim_random_between(&random, limits->hosts_min, limits->hosts_max);
    plan->heal_us = sim_random_between(&random, limits->hurt_min_us, limits->hurt_max_us);
    plan->core_salt = random_next(&random);
    plan->is_rest_dead = random_below(&random, 2) == 0;
    plan->keeps_disks = limits->keeps_disks;
    plan->is_healed_whole = limits->is_healed_whole || random_below(&random, 2) == 0;
    for (int kind = 0; kind < SIM_FAULT_KINDS; kind++) {
        if (mask >> kind & 1) draw_kind(plan, (enum sim_fault_kind)kind);
    }
    qsort(plan->faults, plan->fault_count, sizeof(plan->faults[0]), compare_faults);
    for (size_t i = 0; i < plan->fault_count; i++)
        plan->keep[i] = true;
}

bool sim_plan_is_core(const struct sim_plan *plan, uint32_t host)
{
    if (plan->is_healed_whole || host == plan->core_salt % plan->host_count) return true;
    return (sim_mix(sim_mix(plan->core_salt, host), 3) >> 32 & 3) != 0;
}

size_t sim_plan_kept(const struct sim_plan *plan)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->fault_count; i++)
        count += plan->keep[i];
    return count;
}

bool sim_plan_keep(struct sim_plan *plan, const char *text)
{
    memset(plan->keep, 0, sizeof(plan->keep));
    while (*text != '\0') {
        char *end;
        unsigned long number = strtoul(text, &end, 10);
        if (end == text || number >= plan->fault_count || (*end != ',' && *end != '\0')) return false;
        plan->keep[number] = true;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

void sim_plan_print(const struct sim_plan *plan, FILE *to)
{
    fprintf(to, "  %u hosts, healed at %.3f s, the rest is %s\n", plan->host_count, (double)plan->heal_us / 1e6,
            plan->is_healed_whole ? "nobody"
            : plan->is_rest_dead  ? "dead"
                                  : "cut off");
    for (size_t i = 0; i < plan->fault_count; i++) {
        char text[160];
        if (!plan->keep[i]) continue;
        sim_fault_format(&plan->faults[i], text, sizeof(text));
        fprintf(to, "  %3zu %s\n", i, text);
    }
}
