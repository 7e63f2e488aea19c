/* sim/sim_plan.h - what one seed stands for: how many hosts, which faults when, who is healed in the end.
 *
 * Swarm testing: each seed leaves out some kinds of faults at random and draws rates and sizes for the rest, because
 * a mix of everything hides what a few do together. */
#ifndef SIM_SIM_PLAN_H
#define SIM_SIM_PLAN_H

#include "sim/sim_fault.h"

#define SIM_PLAN_FAULTS_MAX 512

struct sim_plan_limits {
    uint32_t hosts_min, hosts_max;
    uint64_t hurt_min_us, hurt_max_us; /* how long faults go on */
    uint64_t kinds;                    /* 1 << kind of those that may be drawn; 0: all but WORLD */
    bool is_healed_whole;              /* the core is everybody */
    bool keeps_disks;                  /* no kill brings back a wiped or an old disk: the world does that, within its budget */
};

struct sim_plan {
    uint64_t seed;
    uint32_t host_count;
    uint64_t heal_us;   /* by then every fault has ended */
    uint64_t core_salt; /* who is healed */
    bool is_rest_dead;  /* or cut off, and alive */
    bool is_healed_whole, keeps_disks;
    size_t fault_count;
    struct sim_fault faults[SIM_PLAN_FAULTS_MAX]; /* in order of time */
    bool keep[SIM_PLAN_FAULTS_MAX];               /* those that take part */
};

void sim_plan_draw(struct sim_plan *plan, uint64_t seed, const struct sim_plan_limits *limits);
bool sim_plan_is_core(const struct sim_plan *plan, uint32_t host);
size_t sim_plan_kept(const struct sim_plan *plan);

/* "3,7,12": only these faults. False: not such a list. */
bool sim_plan_keep(struct sim_plan *plan, const char *text);
void sim_plan_print(const struct sim_plan *plan, FILE *to); /* the kept faults, numbered */

#endif
