/* Defects of consumer groups, others' and such as a driver could have, in whole brokers: the world passes with the code as it is, and some seed notices when one is
 * brought back. (Rule by rule: test_group_switches, test_group_turn.
 * test_group_turn_switches alone notices that a log is trimmed before its checkpoint is committed, where a replica has to read its log anew just then, and that
 * a deposed leader keeps members alive, by its own clock or by none: two of 350 and one of 1,200 seeds notice it (LEASE_BY_CLOCK: 1227), others after each change.) */
#include "sim/groups_program.h"
#include "sim/groups_world.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORE(which) (UINT32_C(1) << GROUP_DEFECT_##which)
#define PART(which) (UINT32_C(1) << GROUP_PART_DEFECT_##which)

/* Defects that some seed of the world notices: the one named here, or another one of 1..SEEDS. */
static const struct {
    const char *name;
    uint32_t core, part;   /* 1 << each of groups/switches.h, of cmd/broker/groups/group_turn.h */
    const char *invariant; /* how its name begins */
    uint64_t seed;
} noticed[] = {
    {"RocketMQ: offsets go back when a broker takes over", CORE(OFFSETS_BY_CHECKPOINT), 0, "S10", 5},
    {"NATS: who is gone keeps what it claimed", CORE(CLAIMS_OUTLIVE_MEMBERS), 0, "L9", 1},
    {"NATS: a new leader watches only members that it has heard", CORE(TIMERS_FORGOTTEN), 0, "L9", 5},
    {"a partition is claimed while another member has it", CORE(RELEASE_NOT_AWAITED), 0, "S", 1},
    {"zombies commit", CORE(ZOMBIES_COMMIT), 0, "S10", 13},
    {"the largest offset wins", CORE(LARGEST_OFFSET_WINS), 0, "", 2},
    {"a failover rebalances", CORE(FAILOVER_REBALANCES), 0, "G4", 1},
    {"what an operator sets back is free at once", CORE(RESET_FREES), 0, "S20", 23},
    {"a consumer outside of groups undoes a reset", CORE(RESET_UNHEARD), 0, "G3", 1},
    {"late copies count", CORE(LATE_COPIES_COUNT), 0, "S", 2},
    {"answers leave before the high watermark is there", 0, PART(ANSWERS_EARLY), "S", 1},
    {"the state keeps what was cut away", 0, PART(CUT_KEEPS_STATE), "G1", 1},
};
#define SEEDS   100
#define NOTICED (sizeof(noticed) / sizeof(noticed[0]))

static bool notices(struct sim_runner *runner, struct sim_plan *plan, size_t which, uint64_t seed, struct sim_result *ret_result)
{
    const char *invariant = noticed[which].invariant;

    sim_plan_draw(plan, seed, &groups_world.limits);
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
    groups_world_set_defects(noticed[which].core, noticed[which].part);
    runner = sim_runner_new(&groups_world);
    is_noticed = notices(runner, plan, which, seed, ret_result);
    for (uint64_t other = 1; !is_noticed && other <= most; other++) {
        is_noticed = notices(runner, plan, which, other, ret_result);
        seed = other;
    }
    groups_world_set_defects(0, 0);
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

/* The same seeds find nothing in the code as it is. */
START_TEST(the_same_seed_is_clean_without_it)
{
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_runner *runner = sim_runner_new(&groups_world);
    struct sim_result result;

    ck_assert_ptr_nonnull(plan);
    sim_plan_draw(plan, noticed[_i].seed, &groups_world.limits);
    sim_runner_run(runner, plan, &result);
    ck_assert_msg(result.failure == NULL, "seed %llu: %s: %s", (unsigned long long)noticed[_i].seed, result.failure, result.text);
    sim_runner_free(runner);
    free(plan);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_groups");
    TCase *seeds = tcase_create("seeds"), *clean = tcase_create("clean");

    tcase_set_timeout(seeds, 600);
    tcase_set_timeout(clean, 600);
    tcase_add_loop_test(seeds, seeds_notice_the_defect, 0, NOTICED);
    tcase_add_loop_test(clean, the_same_seed_is_clean_without_it, 0, NOTICED);
    suite_add_tcase(suite, seeds);
    suite_add_tcase(suite, clean);
    return run_suite(suite);
}
