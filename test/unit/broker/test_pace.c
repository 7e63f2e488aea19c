/* How much goes to followers that are far behind, beside other work. */
#include "cmd/broker/replicas/pace.h"
#include "support/run_suite.h"

#include <check.h>

#define MIB (1ll << 20)

/* What the others moved in one window, and what may be sent in the next. */
static const struct {
    uint64_t moved, elapsed_ms;
    int64_t want;
} window_cases[] = {
    {0, 50, INT64_MAX},                 /* nobody is in the way */
    {4096, 50, INT64_MAX},              /* nor by a few heartbeats */
    {40000, 500, INT64_MAX},            /* however long it took */
    {5000, 50, PACE_FLOOR},             /* a little work: it goes on at a good rate all the same */
    {10 * MIB, 50, 15 * MIB},         /* half as much again: it gets ahead of appends */
    {100 * MIB, 500, 15 * MIB},       /* the rate counts, not how late this is looked at */
};

START_TEST(the_share_follows_the_load)
{
    struct pace pace = {0};
    int64_t got;

    ck_assert_int_eq(pace_allowance(&pace, 1000, 5 * MIB, 5 * MIB), INT64_MAX);
    got = pace_allowance(&pace, 1000 + window_cases[_i].elapsed_ms, 5 * MIB + window_cases[_i].moved, 5 * MIB + window_cases[_i].moved);
    if (window_cases[_i].want == INT64_MAX || window_cases[_i].want == PACE_FLOOR) ck_assert_int_eq(got, window_cases[_i].want);
    ck_assert_int_ge(got, window_cases[_i].want - 150); /* whole bytes per millisecond */
    if (window_cases[_i].want != INT64_MAX) ck_assert_int_le(got, window_cases[_i].want + 150);
}
END_TEST

START_TEST(what_is_spent_is_gone_until_the_next_window)
{
    struct pace pace = {0};

    pace_spend(&pace, 10);
    (void)pace_allowance(&pace, 1000, 0, 0);
    pace_spend(&pace, 100 * MIB); /* no limit: nothing is counted */
    ck_assert_int_eq(pace_allowance(&pace, 1049, MIB, MIB), INT64_MAX);
    ck_assert_int_eq(pace_allowance(&pace, 1050, MIB, MIB), PACE_FLOOR);
    pace_spend(&pace, PACE_FLOOR - 1);
    ck_assert_int_eq(pace_allowance(&pace, 1060, 2 * MIB, 2 * MIB), 1);
    pace_spend(&pace, 70000); /* one piece more than was left */
    ck_assert_int_eq(pace_allowance(&pace, 1099, 2 * MIB, 2 * MIB), 0);
    ck_assert_uint_eq(pace_next_ms(&pace), 1100);
    ck_assert_int_gt(pace_allowance(&pace, 1100, 2 * MIB, 2 * MIB), 0);
}
END_TEST

START_TEST(work_on_another_shard_is_work)
{
    struct pace pace = {0};

    (void)pace_allowance(&pace, 1000, 0, 0);
    ck_assert_int_eq(pace_allowance(&pace, 1050, 0, 100 * MIB), PACE_FLOOR);
    ck_assert_int_eq(pace_allowance(&pace, 1100, 0, 100 * MIB), INT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tcase = tcase_create("pace");

    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, the_share_follows_the_load, 0, sizeof(window_cases) / sizeof(window_cases[0]));
    tcase_add_test(tcase, work_on_another_shard_is_work);
    tcase_add_test(tcase, what_is_spent_is_gone_until_the_next_window);
    return run_suite(suite);
}
