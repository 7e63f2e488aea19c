/* sim/sim_world.h - a world: which programs run on the hosts of a run, what is done with them, and what must hold. */
#ifndef SIM_SIM_WORLD_H
#define SIM_SIM_WORLD_H

#include "sim/sim_net.h"
#include "sim/sim_plan.h"

struct sim_world {
    const char *name, *about;
    const char *const *files; /* the "sometimes" states in these files are to be reached (sim_sometimes_print) */
    struct sim_plan_limits limits;
    void *(*make)(void); /* one for each thread; kept from run to run, so that a run need not allocate */
    void (*free)(void *world);
    /* The sim is reset: set programs, clocks, the observer and the network's options, start hosts, order the workload.
     * Faults are scheduled when it returns. */
    void (*begin)(void *world, struct sim *sim, const struct sim_plan *plan);
    sim_fault_world_fn *fault; /* may be NULL */
    /* Every fault has ended, the core runs and its members reach each other; the others are dead or cut off. Returns
     * the true time at which the run ends; by then what must come to hold was checked (sim_at). */
    uint64_t (*healed)(void *world);
    void (*end)(void *world); /* processes are still there */
};

struct sim_result {
    const char *failure; /* the invariant; NULL: none */
    char text[512];
    uint64_t hash, simulated_us;
    struct sim_stats stats;
};

struct sim_runner;
struct sim_runner *sim_runner_new(const struct sim_world *world);
void sim_runner_free(struct sim_runner *runner); /* accepts NULL */
struct sim *sim_runner_sim(struct sim_runner *runner);

/* One run from a plan; the same plan gives the same result, hash included. */
void sim_runner_run(struct sim_runner *runner, const struct sim_plan *plan, struct sim_result *ret_result);

/* Takes faults out of a plan that fails for as long as it fails the same way; at most `runs_max` runs. Returns how many
 * it took. */
unsigned sim_shrink(struct sim_runner *runner, struct sim_plan *plan, const char *failure, unsigned runs_max);

/* The program: "sim --help". */
int sim_main(int argc, char **argv, const struct sim_world *const *worlds, size_t count);

#endif
