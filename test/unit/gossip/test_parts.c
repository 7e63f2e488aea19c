/* The small parts of the gossip core: formulas and timers. */
#include "base/random.h"
#include "gossip/health.h"
#include "gossip/rtt.h"
#include "gossip/spread.h"
#include "gossip/suspicion.h"
#include "gossip/timers.h"
#include "support/run_suite.h"

#include <check.h>

static const struct {
    size_t members;
    unsigned mult;
    uint64_t want_ms;
} min_cases[] = {
    {1, 4, 2000}, {3, 4, 2000}, {10, 4, 2000}, {30, 4, 2954}, {100, 4, 4000}, {300, 4, 4954}, {1000, 5, 7500},
};

START_TEST(the_shortest_suspicion_grows_with_the_mesh)
{
    ck_assert_uint_eq(suspicion_min_us(min_cases[_i].members, min_cases[_i].mult, 500000) / 1000, min_cases[_i].want_ms);
}
END_TEST

static const struct {
    unsigned confirmations, expected;
    uint64_t want_ms;
} length_cases[] = {
    {0, 2, 12000}, /* alone: the longest */
    {1, 2, 5691},  /* 12 - 10 ln 2 / ln 3 */
    {2, 2, 2000},  /* all agree: the shortest */
    {3, 2, 2000},  /* more change nothing */
    {0, 0, 2000},  /* nobody could agree */
};

START_TEST(a_suspicion_shrinks_as_others_confirm)
{
    uint64_t length_us =
        suspicion_length_us(length_cases[_i].confirmations, length_cases[_i].expected, 2000000, 12000000);

    ck_assert_uint_eq((length_us + 500) / 1000, length_cases[_i].want_ms);
}
END_TEST

START_TEST(an_accuser_counts_once)
{
    struct suspicion_terms terms = {10, 4, 6, 500000};
    struct uuid a = {{1}}, b = {{2}}, c = {{3}}, d = {{4}};
    struct suspicion suspicion;

    suspicion_start(&suspicion, &terms, 1000);
    ck_assert(suspicion_confirm(&suspicion, &a));
    ck_assert(!suspicion_confirm(&suspicion, &a));
    ck_assert_uint_eq(suspicion_end_us(&suspicion), 1000 + 12000000);
    ck_assert(suspicion_confirm(&suspicion, &b));
    ck_assert(suspicion_confirm(&suspicion, &c));
    ck_assert_uint_eq(suspicion_end_us(&suspicion), 1000 + 2000000);
    ck_assert(!suspicion_confirm(&suspicion, &d)); /* as short as it gets */
}
END_TEST

START_TEST(three_members_expect_no_confirmation)
{
    struct suspicion_terms terms = {3, 4, 6, 500000};
    struct suspicion suspicion;

    suspicion_start(&suspicion, &terms, 0);
    ck_assert_uint_eq(suspicion_end_us(&suspicion), 2000000);
    terms.members = 4;
    suspicion_start(&suspicion, &terms, 0);
    ck_assert_uint_eq(suspicion_end_us(&suspicion), 12000000);
}
END_TEST

static const struct {
    size_t members;
    unsigned want;
} limit_cases[] = {{1, 4}, {9, 4}, {10, 8}, {99, 8}, {100, 12}, {4096, 16}};

START_TEST(rumours_are_sent_more_often_in_larger_meshes)
{
    ck_assert_uint_eq(spread_limit(limit_cases[_i].members, 4), limit_cases[_i].want);
}
END_TEST

START_TEST(health_stays_within_its_scale)
{
    struct health health = {0, 8};

    health_change(&health, -1);
    ck_assert_uint_eq(health.score, 0);
    health_change(&health, 100);
    ck_assert_uint_eq(health.score, 7);
    ck_assert_uint_eq(health_scale(&health, 500), 4000);
}
END_TEST

START_TEST(the_percentile_settles_where_one_in_a_hundred_is_above)
{
    struct random random;
    uint32_t p99_us = 0;

    random_init(&random, 1);
    for (int i = 0; i < 20000; i++)
        p99_us = rtt_percentile(p99_us, (uint32_t)random_below(&random, 10000));
    ck_assert_uint_ge(p99_us, 8500);
    ck_assert_uint_le(p99_us, 11500);
    ck_assert_uint_eq(rtt_timeout_us(1000, 100000, 250000), 100000);
    ck_assert_uint_eq(rtt_timeout_us(50000, 100000, 250000), 150000);
    ck_assert_uint_eq(rtt_timeout_us(500000, 100000, 250000), 250000);
}
END_TEST

START_TEST(timers_come_in_order_whatever_is_moved_or_cancelled)
{
    struct timer timers[200] = {{0, 0}};
    struct timers heap = {NULL, 0, 0};
    struct random random;
    uint64_t last_us = 0, armed = 0;

    random_init(&random, 2);
    ck_assert_int_eq(timers_reserve(&heap, 200), 0);
    for (int i = 0; i < 5000; i++) {
        struct timer *timer = &timers[random_below(&random, 200)];
        if (random_below(&random, 4) == 0) timers_cancel(&heap, timer);
        else timers_arm(&heap, timer, random_below(&random, 1000));
    }
    for (int i = 0; i < 200; i++)
        armed += timer_is_armed(&timers[i]);
    ck_assert_uint_eq(armed, heap.count);
    while (heap.count > 0) {
        ck_assert_uint_ge(timers_due_us(&heap), last_us);
        last_us = timers_due_us(&heap);
        ck_assert_ptr_null(timers_pop(&heap, last_us - 1));
        ck_assert_ptr_nonnull(timers_pop(&heap, last_us));
        armed--;
    }
    ck_assert_uint_eq(armed, 0);
    timers_deinit(&heap);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip parts");
    TCase *tcase = tcase_create("parts");

    tcase_add_loop_test(tcase, the_shortest_suspicion_grows_with_the_mesh, 0, sizeof(min_cases) / sizeof(min_cases[0]));
    tcase_add_loop_test(tcase, a_suspicion_shrinks_as_others_confirm, 0, sizeof(length_cases) / sizeof(length_cases[0]));
    tcase_add_test(tcase, an_accuser_counts_once);
    tcase_add_test(tcase, three_members_expect_no_confirmation);
    tcase_add_loop_test(tcase, rumours_are_sent_more_often_in_larger_meshes, 0, sizeof(limit_cases) / sizeof(limit_cases[0]));
    tcase_add_test(tcase, health_stays_within_its_scale);
    tcase_add_test(tcase, the_percentile_settles_where_one_in_a_hundred_is_above);
    tcase_add_test(tcase, timers_come_in_order_whatever_is_moved_or_cancelled);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
