/* Each way in which others ended up with two meshes (PROTOCOLS 3.3), brought back and noticed: the worlds pass without, and one of so many
 * seeds fails with it. A world that cannot fail proves nothing. */
#include "replication/founding/switches.h"
#include "sim/founding_world.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define BASE_SEEDS 40 /* that pass without */

static const struct {
    const char *name;
    const struct sim_world *world;
    uint64_t defects;
    unsigned seeds; /* at most so many until one is noticed */
    const char *failure;
} cases[] = {
#define DEFECT(NAME) (UINT64_C(1) << FOUNDING_DEFECT_##NAME)
    {"promises that are not durable", &founding_world, DEFECT(NOT_DURABLE), 50, "S13"},
    {"two promises", &founding_world, DEFECT(TWO_PROMISES), 500, "S13"},
    {"a minority founds", &founding_world, DEFECT(MINORITY), 200, "S13"},
    {"a time-out founds", &founding_world, DEFECT(TIMEOUT_FOUNDS), 200, "S13"},
    {"a wiped founder founds anew", &founding_world, DEFECT(WIPED_VOTES), 500, "S13"},
    {"the first answer decides", &founding_world, DEFECT(FIRST_ANSWER), 500, "S13"},
    {"the answer of a member is ignored", &founding_world, DEFECT(MEMBER_IGNORED), 50, "L5"},
    {"the marker is ignored", &founding_marker_world, DEFECT(MARKER_IGNORED), 100, "S13"},
    {"more than expected found too", &founding_extra_world, DEFECT(MORE_ARE_WELCOME) | DEFECT(WIPED_VOTES), 50, "S13"},
    {"a disk that was set back votes", &founding_world, DEFECT(SET_BACK_VOTES), 1000, "S13"},
    {"a dead proposer blocks", &founding_world, DEFECT(LEADER_ONLY), 1000, "L5"},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* The first seed of `seeds` that fails; 0: none. */
static uint64_t first_failure(const struct sim_world *world, uint64_t defects, uint64_t seeds, struct sim_result *ret_result)
{
    struct sim_plan *plan = calloc(1, sizeof(*plan));
    struct sim_runner *runner;
    uint64_t seed = 1;

    ck_assert_ptr_nonnull(plan);
    founding_world_set_defects(defects);
    runner = sim_runner_new(world);
    for (; seed <= seeds; seed++) {
        sim_plan_draw(plan, seed, &world->limits);
        sim_runner_run(runner, plan, ret_result);
        if (ret_result->failure != NULL) break;
    }
    sim_runner_free(runner);
    free(plan);
    return seed <= seeds ? seed : 0;
}

START_TEST(world_passes)
{
    struct sim_result result;
    uint64_t seed = first_failure(cases[_i].world, 0, BASE_SEEDS, &result);

    ck_assert_msg(seed == 0, "seed %llu: %s: %s", (unsigned long long)seed, result.failure, result.text);
}
END_TEST

START_TEST(defect_is_noticed)
{
    struct sim_result result;
    uint64_t seed = first_failure(cases[_i].world, cases[_i].defects, cases[_i].seeds, &result);

    ck_assert_msg(seed != 0, "%s: %u seeds pass", cases[_i].name, cases[_i].seeds);
    printf("%s: seed %llu of %s: %s: %s\n", cases[_i].name, (unsigned long long)seed, cases[_i].world->name, result.failure, result.text);
    ck_assert_msg(strncmp(result.failure, cases[_i].failure, strlen(cases[_i].failure)) == 0, "%s: seed %llu fails otherwise: %s: %s", cases[_i].name,
                  (unsigned long long)seed, result.failure, result.text);
}
END_TEST

/* Rule 5 of replication/founding/README.md by itself: nobody refuses because there is one too many, and still there is one mesh. */
START_TEST(larger_quorum_is_enough)
{
    struct sim_result result;
    uint64_t seed = first_failure(&founding_extra_world, DEFECT(MORE_ARE_WELCOME), 200, &result);

    ck_assert_msg(seed == 0, "seed %llu: %s: %s", (unsigned long long)seed, result.failure, result.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_founding");
    TCase *tcase = tcase_create("defects");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, world_passes, 0, CASES);
    tcase_add_loop_test(tcase, defect_is_noticed, 0, CASES);
    tcase_add_test(tcase, larger_quorum_is_enough);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
