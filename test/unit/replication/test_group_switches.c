/* Each defect of groups/switches.h is brought back, and noticed by the observer of test_group_model within a bounded number of seeds. */
#include "group_model.h"

#include "support/run_suite.h"

#include <stdio.h>

#define SEEDS_MAX 300

static const char *const names[GROUP_DEFECT_COUNT] = {
    [GROUP_DEFECT_OFFSETS_BY_CHECKPOINT] = "RocketMQ: offsets reach followers now and then",
    [GROUP_DEFECT_CLAIMS_OUTLIVE_MEMBERS] = "NATS: the claims of the dead stay",
    [GROUP_DEFECT_TIMERS_FORGOTTEN] = "NATS: a new leader does not watch",
    [GROUP_DEFECT_RELEASE_NOT_AWAITED] = "claimed before it is released",
    [GROUP_DEFECT_RELEASE_NOT_ENFORCED] = "never released, never taken back",
    [GROUP_DEFECT_ZOMBIES_COMMIT] = "zombies commit",
    [GROUP_DEFECT_LARGEST_OFFSET_WINS] = "the largest offset wins",
    [GROUP_DEFECT_FAILOVER_REBALANCES] = "a failover rebalances",
    [GROUP_DEFECT_LATE_COPIES_COUNT] = "late copies count",
    [GROUP_DEFECT_RESET_FREES] = "what is set back is free at once",
};

START_TEST(the_defect_is_noticed)
{
    struct group_model_result result = {.violation = ""};
    uint64_t seed = 0;

    if (_i == GROUP_DEFECT_RESET_UNHEARD) return; /* nobody is outside of groups here: test_group_lead, test_sim_groups */

    while (result.violation[0] == '\0' && seed < SEEDS_MAX)
        group_model_run(++seed, 1500, (enum group_defect)_i, &result);
    printf("%s: seed %llu: %s\n", names[_i], (unsigned long long)seed, result.violation);
    ck_assert_msg(result.violation[0] != '\0', "%s: not noticed in %d runs", names[_i], SEEDS_MAX);
}
END_TEST

START_TEST(without_a_defect_there_is_nothing_to_notice)
{
    struct group_model_result result;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        group_model_run(seed, 1500, GROUP_DEFECT_NONE, &result);
        ck_assert_str_eq(result.violation, "");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_switches");
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_defect_is_noticed, 1, GROUP_DEFECT_COUNT);
    tcase_add_test(tcase, without_a_defect_there_is_nothing_to_notice);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
