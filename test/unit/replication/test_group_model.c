/* Random histories of a group (group_model.h): no two claimants, no acknowledged commit older on return, equal shares, no stuck partition.
 *
 * test_group_model SEED shows one; test_group_model SEED RUNS looks at many. */
#include "group_model.h"

#include "support/run_suite.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS  60
#define STEPS 1500

static struct group_model_result total;

static bool run(uint64_t seed)
{
    struct group_model_result result;
    const uint32_t *from = &result.failovers;
    uint32_t *to = &total.failovers;

    group_model_run(seed, STEPS, GROUP_DEFECT_NONE, &result);
    for (size_t i = 0; i < sizeof(result) / sizeof(uint32_t) - offsetof(struct group_model_result, failovers) / sizeof(uint32_t); i++)
        to[i] += from[i];
    if (result.violation[0] != '\0') printf("seed %llu: %s\n", (unsigned long long)seed, result.violation);
    return result.violation[0] == '\0';
}

START_TEST(groups_keep_their_promises)
{
    uint32_t bad = 0;

    for (uint64_t seed = 1; seed <= RUNS; seed++)
        bad += !run(seed);
    ck_assert_uint_eq(bad, 0);
    /* What never happened was not tested. */
    ck_assert_uint_gt(total.failovers, 0);
    ck_assert_uint_gt(total.calm_failovers, 0);
    ck_assert_uint_gt(total.restarts, 0);
    ck_assert_uint_gt(total.trims, 0);
    ck_assert_uint_gt(total.claims, 0);
    ck_assert_uint_gt(total.commits, 0);
    ck_assert_uint_gt(total.zombie_commits_refused, 0);
    ck_assert_uint_gt(total.slow, 0);
    ck_assert_uint_gt(total.expired, 0);
    ck_assert_uint_gt(total.resets, 0);
    ck_assert_uint_gt(total.generations, 0);
    ck_assert_uint_gt(total.late_refused, 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tcase;

    if (argc > 1) {
        uint64_t first = strtoull(argv[1], NULL, 10), runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, bad = 0;

        for (uint64_t seed = first; seed < first + runs; seed++)
            bad += !run(seed);
        printf("%llu runs, %llu bad: %u failovers (%u calm), %u restarts, %u trims, %u claims, %u commits, %u refused, %u slow, %u expired, %u resets, %u generations, %u late copies refused\n",
               (unsigned long long)runs, (unsigned long long)bad, total.failovers, total.calm_failovers, total.restarts, total.trims, total.claims, total.commits,
               total.zombie_commits_refused, total.slow, total.expired, total.resets, total.generations,
               total.late_refused);
        return bad != 0;
    }
    suite = suite_create("group_model");
    tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, groups_keep_their_promises);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
