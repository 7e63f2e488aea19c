/* One run: faults, then healing, then the checks of what must come to hold. */
#include "sim/sim_world.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

struct sim_runner {
    const struct sim_world *world;
    void *state;
    struct sim *sim;
    struct sim_faults *faults;
    const struct sim_plan *plan;
    uint64_t end_us;
};

struct sim_runner *sim_runner_new(const struct sim_world *world)
{
    struct sim_runner *runner = calloc(1, sizeof(*runner));

    MESH_ASSERT(runner != NULL);
    runner->world = world;
    runner->state = world->make();
    runner->sim = sim_new();
    runner->faults = sim_faults_new();
    return runner;
}

void sim_runner_free(struct sim_runner *runner)
{
    if (runner == NULL) return;
    sim_free(runner->sim);
    runner->world->free(runner->state);
    sim_faults_free(runner->faults);
    free(runner);
}

struct sim *sim_runner_sim(struct sim_runner *runner)
{
    return runner->sim;
}

static void cut_off(struct sim *sim, uint32_t host)
{
    for (uint32_t other = 0; other < sim_host_count(sim); other++) {
        if (other == host) continue;
        sim_net_cut(sim, host, other, SIM_NET_ALL);
        sim_net_cut(sim, other, host, SIM_NET_ALL);
    }
}

static void heal(void *user, uint64_t argument)
{
    struct sim_runner *runner = user;
    const struct sim_plan *plan = runner->plan;

    (void)argument;
    sim_trace(runner->sim, NULL, "healing");
    for (uint32_t i = 0; i < plan->host_count; i++) {
        struct sim_host *host = sim_host_at(runner->sim, i);
        if (sim_plan_is_core(plan, i))
            sim_host_start(host);
        else if (plan->is_rest_dead)
            sim_host_kill(host, SIM_STOP_POWER);
        else
            cut_off(runner->sim, i);
    }
    runner->end_us = runner->world->healed(runner->state);
}

void sim_runner_run(struct sim_runner *runner, const struct sim_plan *plan, struct sim_result *ret_result)
{
    struct sim *sim = runner->sim;
    const struct sim_world *world = runner->world;

    runner->plan = plan;
    runner->end_us = 0;
    sim_reset(sim, plan->seed, plan->host_count);
    world->begin(runner->state, sim, plan);
    sim_faults_schedule(runner->faults, sim, plan->faults, plan->keep, plan->fault_count, world->fault, runner->state);
    sim_at(sim, plan->heal_us, heal, runner, 0);
    if (sim_run_until(sim, plan->heal_us)) sim_run_until(sim, runner->end_us);
    world->end(runner->state);
    *ret_result = (struct sim_result){.failure = sim_failure(sim),
                                      .hash = sim_event_hash(sim),
                                      .simulated_us = sim_now_us(sim),
                                      .stats = *sim_get_stats(sim)};
    if (ret_result->failure != NULL) memcpy(ret_result->text, sim_failure_text(sim), sizeof(ret_result->text));
}

/* ---- shrinking ----
 *
 * After Zeller's ddmin: try without each run of `size` faults, halving the size; at size 1, again until nothing more
 * can go. A run that fails ends there, so most attempts are short. */

static bool fails_alike(struct sim_runner *runner, const struct sim_plan *plan, const char *failure)
{
    struct sim_result result;

    sim_runner_run(runner, plan, &result);
    return result.failure != NULL && strcmp(result.failure, failure) == 0;
}

/* The kept faults from the nth on, `size` of them, are taken out or put back. */
static void set_kept(struct sim_plan *plan, const size_t *kept, size_t from, size_t to, bool keep)
{
    for (size_t i = from; i < to; i++)
        plan->keep[kept[i]] = keep;
}

unsigned sim_shrink(struct sim_runner *runner, struct sim_plan *plan, const char *failure, unsigned runs_max)
{
    unsigned runs = 0;
    size_t size = sim_plan_kept(plan) / 2;
    bool is_smaller;

    if (size == 0) size = 1;
    do {
        size_t kept[SIM_PLAN_FAULTS_MAX], count = 0;
        is_smaller = false;
        for (size_t i = 0; i < plan->fault_count; i++) {
            if (plan->keep[i]) kept[count++] = i;
        }
        for (size_t from = 0; from < count && runs < runs_max; from += size) {
            size_t to = from + size < count ? from + size : count;
            set_kept(plan, kept, from, to, false);
            runs++;
            if (fails_alike(runner, plan, failure))
                is_smaller = true;
            else
                set_kept(plan, kept, from, to, true);
        }
        if (!is_smaller || size > 1) {
            if (size == 1) break;
            size = (size + 1) / 2;
        }
    } while (runs < runs_max);
    return runs;
}
