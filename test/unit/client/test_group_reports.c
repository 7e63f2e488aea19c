/* What a subscribed consumer is told: refused last commits, slow handlers; and broadcast. */
#include "group_app.h"

#include "base/clock.h"
#include "support/run_suite.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what the end does not hide ---- */

START_TEST(a_last_commit_that_is_refused_is_told_by_unsubscribing)
{
    static const char *const settings[] = {"delivery", "manual", "commit.interval.ms", "0", NULL};
    struct app app;

    fake_broker_stop(broker);
    groups.rig.ends = TOTAL;
    fake_broker_start(broker);
    open_app(&app);
    ck_assert_int_eq(subscribe_with(&app, settings, NULL), 0);
    poll_until(&app, PARTITIONS * TOTAL);
    ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 1, TOTAL, NULL), 0);
    if (_i == 0) ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 2, 1000000, NULL), 0); /* beyond the log's end */
    else plan_for(FRAME_OP_GROUP_COMMIT, FAKE_REFUSE, MESH_EUNKNOWN_MEMBER, 1);
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), _i == 0 ? MESH_EOFFSET_OUT_OF_RANGE : MESH_ENOT_OWNER);
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), MESH_EINVAL); /* it has left */
    close_app(&app);
    stop();
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 1), _i == 0 ? TOTAL : -1);
}
END_TEST

/* ---- slow handlers ---- */

struct slow {
    atomic_int told;
    int32_t partition;
    int64_t offset, took_ms, limit_ms;
};

static void on_slow(void *user, const struct mesh_slow_info *info)
{
    struct slow *slow = user;

    ck_assert_str_eq(info->topic, "t");
    if (atomic_load(&slow->told) > 0) { /* the first is judged: on a busy machine the test itself may be slow later */
        atomic_fetch_add(&slow->told, 1);
        return;
    }
    slow->partition = info->partition;
    slow->offset = info->offset;
    slow->took_ms = info->took_ms;
    slow->limit_ms = info->limit_ms;
    atomic_fetch_add(&slow->told, 1);
}

static void pass_ms(uint64_t ms)
{
    uint64_t until_ms = clock_monotonic_ms() + ms;

    while (clock_monotonic_ms() < until_ms)
        continue; /* a handler at work */
}

START_TEST(a_slow_handler_is_told_of_while_it_works)
{
    static const char *const settings[] = {"processing.ms", "2000", "session.ms", "30000", NULL};
    struct app app;
    struct slow slow = {.partition = -1};
    struct mesh_membership_info info;

    liveness = _i == 0 ? "thread" : "poll";
    open_app(&app);
    mesh_consumer_on_slow(app.consumer, on_slow, &slow);
    ck_assert_int_eq(subscribe_with(&app, settings, NULL), 0);
    while (app.total == 0)
        ck_assert_int_eq(poll_once(&app, 10, 100), 0);
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; _i == 0 && atomic_load(&slow.told) == 0 && clock_monotonic_ms() < until_ms;)
        sched_yield(); /* the handler hangs: it will never poll again by itself */
    if (_i == 1) pass_ms(1100);
    if (_i == 0) ck_assert_int_eq(atomic_load(&slow.told), 1);
    ck_assert_int_eq(poll_once(&app, 10, 100), 0);
    if (_i == 1) ck_assert_int_eq(atomic_load(&slow.told), 1);
    ck_assert_int_ge(slow.partition, 0);
    ck_assert_int_eq(slow.offset, 0);
    ck_assert_int_gt(slow.took_ms, 1000);
    ck_assert_int_eq(slow.limit_ms, 2000);
    ck_assert_int_eq(mesh_consumer_membership(app.consumer, &info), 0);
    ck_assert_uint_ge(info.slow, 1);
    ck_assert_int_eq(app.lost, 0); /* told, not expelled */
    close_app(&app);
    stop();
    liveness = "thread";
}
END_TEST

/* ---- everything to everybody ---- */

START_TEST(in_broadcast_each_instance_gets_everything_and_goes_on_where_it_stood)
{
    static const char *const one[] = {"broadcast", "on", "instance", "one", NULL}, *const two[] = {"broadcast", "on", "instance", "two", NULL};
    static const char *const nobody[] = {"broadcast", "on", NULL};
    struct app a, b, again;

    open_app(&a);
    open_app(&b);
    open_app(&again);
    ck_assert_int_eq(subscribe_with(&a, nobody, NULL), MESH_EINVAL);
    ck_assert_int_eq(subscribe_with(&a, one, NULL), 0);
    ck_assert_int_eq(subscribe_with(&b, two, NULL), 0);
    poll_until(&a, PARTITIONS * TOTAL);
    poll_until(&b, 100);
    ck_assert_int_eq(mesh_consumer_commit(b.consumer), 0);
    ck_assert_int_eq(a.revoked + b.revoked, 0);
    close_app(&b);
    ck_assert_int_eq(subscribe_with(&again, two, NULL), 0);
    poll_until(&again, PARTITIONS * TOTAL - b.total);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(again.first[p], b.next[p] < 0 ? 0 : b.next[p] == TOTAL ? -1 : b.next[p]);
    ck_assert_int_eq(mesh_consumer_unsubscribe(a.consumer), 0);
    close_app(&again);
    close_app(&a);
    stop();
    ck_assert_int_eq(fake_groups_committed(&groups, "g/one", 3), TOTAL);
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 3), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group reports");
    TCase *tcase = tcase_create("stories");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_last_commit_that_is_refused_is_told_by_unsubscribing, 0, 2);
    tcase_add_loop_test(tcase, a_slow_handler_is_told_of_while_it_works, 0, 2);
    tcase_add_test(tcase, in_broadcast_each_instance_gets_everything_and_goes_on_where_it_stood);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
