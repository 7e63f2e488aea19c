/* Scenarios of PROTOCOLS 4.2 that concern replication, by number, in whole brokers: the world passes with the code as it is, and some seed notices
 * when a defect is brought back. A test that cannot fail proves nothing. (Rule by rule: test_replica_switches.) */
#include "replication/coordinator/switches.h"
#include "replication/partition/switches.h"
#include "sim/replication_program.h"
#include "sim/replication_world.h"
#include "sim/sim_world.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICA(which)     (UINT32_C(1) << REPLICA_DEFECT_##which)
#define COORDINATOR(which) (UINT32_C(1) << COORDINATOR_DEFECT_##which)
#define DRIVER(which)      (UINT32_C(1) << REPLICATION_DRIVER_##which)

/* Defects that some seed of the world notices: the one named here, or another one of 1..SEEDS. */
static const struct {
    const char *name;
    uint32_t replica, coordinator; /* 1 << each of partition/switches.h, of coordinator/switches.h */
    const char *invariant;         /* how its name begins */
    uint64_t seed;
    uint32_t driver; /* 1 << each of enum replication_driver_defect */
    bool has_rot;    /* a seed of the world "replication-rot" */
} noticed[] = {
    {"4.2-1 2 cut to the high watermark", REPLICA(CUT_TO_HIGH_WATERMARK), 0, "S", 10, 0, false},
    {"4.2-3 one round", REPLICA(ONE_ROUND), 0, "", 15, 0, false},
    {"4.2-6 proposed not counted", REPLICA(PROPOSED_NOT_COUNTED), 0, "S", 11, 0, false},
    {"4.2-9 no ELR", 0, COORDINATOR(NO_ELR), "", 7, 0, false},
    {"4.2-11 adopts before it cuts", REPLICA(ADOPTS_BEFORE_CUT), 0, "S", 2, 0, false},
    {"4.2-15 shrinks alone", REPLICA(SHRINKS_ALONE), 0, "S", 3, 0, false},
    {"4.2-19 idle is not repaired", REPLICA(IDLE_NOT_REPAIRED), 0, "L", 2, 0, false},
    {"4.2-21 damage changes nothing", 0, COORDINATOR(LOSS_IGNORED), "L", 2, 0, true},
    {"4.2-32 damage stays", 0, 0, "L", 2, DRIVER(NEVER_MENDS), true},
    {"4.2-32 damage is given up late", 0, 0, "L8", 140, DRIVER(GIVES_UP_LATE), true},
    {"4.2-9 every stop is trusted", 0, 0, "S1", 10, DRIVER(STOP_TRUSTED), false},
    {"4.2-9 the coordinator trusts every stop", 0, COORDINATOR(UNCLEAN_STOP_TRUSTED), "S1", 128, 0, false},
    {"4.2-9 an unclean stop is told once", 0, 0, "S1", 284, DRIVER(TELLS_ONCE), false},
    {"4.2-24 producers are forgotten with their leader", 0, 0, "S9", 11, DRIVER(FORGETS_PRODUCERS), false},
    {"4.2-26 heals by copying", REPLICA(HEALS_BY_COPYING), 0, "S", 15, 0, false},
    {"deleted records are served by a new leader", 0, 0, "deleted", 180, DRIVER(DELETES_LATE), false},
    {"what a follower has is taken for what was deleted", 0, 0, "S", 4, DRIVER(DELETES_HASTILY), false},
    {"what comes of what was deleted is kept", 0, 0, "L3", 96, DRIVER(DELETES_ONCE), false},
    {"R19 marks early", 0, 0, "R19", 1, DRIVER(MARKS_EARLY), false},
    {"4.2-25 min.insync ignored", REPLICA(MIN_INSYNC_IGNORED), 0, "S", 3, 0, false},
    {"4.2-25 anybody leads", 0, COORDINATOR(ANYBODY_LEADS), "S", 9, 0, false},
};
#define SEEDS   100
#define NOTICED (sizeof(noticed) / sizeof(noticed[0]))

static const struct sim_world *world_of(size_t which)
{
    return noticed[which].has_rot ? &replication_rot_world : &replication_world;
}

static bool notices(struct sim_runner *runner, struct sim_plan *plan, uint64_t seed, size_t which, struct sim_result *ret_result)
{
    const char *invariant = noticed[which].invariant;

    sim_plan_draw(plan, seed, &world_of(which)->limits);
    sim_runner_run(runner, plan, ret_result);
    return ret_result->failure != NULL && strncmp(ret_result->failure, invariant, strlen(invariant)) == 0;
}

/* The seed that notices; 0: none. */
static uint64_t find_seed(size_t which, struct sim_result *ret_result)
{
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    uint64_t seed = noticed[which].seed, most = getenv("SEEDS") != NULL ? strtoull(getenv("SEEDS"), NULL, 10) : SEEDS;
    struct sim_runner *runner;
    bool is_noticed;

    ck_assert_ptr_nonnull(plan);
    replication_world_set_defects(noticed[which].replica);
    replication_world_set_driver_defects(noticed[which].driver);
    coordinator_defects = noticed[which].coordinator;
    runner = sim_runner_new(world_of(which));
    is_noticed = seed != 0 && notices(runner, plan, seed, which, ret_result);
    for (uint64_t other = 1; !is_noticed && other <= most; other++) {
        is_noticed = notices(runner, plan, other, which, ret_result);
        seed = other;
    }
    replication_world_set_defects(0);
    replication_world_set_driver_defects(0);
    coordinator_defects = 0;
    sim_runner_free(runner);
    free(plan);
    return is_noticed ? seed : 0;
}

START_TEST(seeds_notice_the_defect)
{
    const char *only = getenv("ONLY"); /* for people: the row of that name */
    struct sim_result result;
    uint64_t seed;

    if (only != NULL && strstr(noticed[_i].name, only) == NULL) return;
    seed = find_seed((size_t)_i, &result);

    ck_assert_msg(seed != 0, "%s: no seed of 1..%u notices it", noticed[_i].name, SEEDS);
    if (getenv("SHOW") != NULL) printf("%s: seed %llu, %s: %s\n", noticed[_i].name, (unsigned long long)seed, result.failure, result.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_replication");
    TCase *seeds = tcase_create("seeds");

    tcase_set_timeout(seeds, 600);
    tcase_add_loop_test(seeds, seeds_notice_the_defect, 0, NOTICED);
    suite_add_tcase(suite, seeds);
    return run_suite(suite);
}
