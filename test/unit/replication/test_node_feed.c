/* The sideways feed of metadata nodes: joining by entries and by a snapshot, upstreams that die or are full, three hundred brokers, and two
 * histories. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <stdio.h>

static void create(size_t host, const char *prefix, size_t count, int partitions)
{
    for (size_t i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s-%zu", prefix, i);
        ck_assert_int_eq(story_await(node_mesh_create(mesh, host, name, partitions))->error, 0);
    }
}

static bool is_even(struct node_mesh *of, void *user)
{
    uint64_t applied = 0;

    (void)user;
    for (size_t i = 0; i < node_mesh_count(of); i++) {
        struct node_status status;

        if (node_mesh_node(of, i) == NULL) continue;
        node_get_status(node_mesh_node(of, i), &status);
        if (applied != 0 && status.applied != applied) return false;
        applied = status.applied;
    }
    return true;
}

static struct node_stats stats_of(size_t host)
{
    struct node_stats stats;

    node_get_stats(node_mesh_node(mesh, host), &stats);
    return stats;
}

START_TEST(a_blank_broker_is_fed_the_whole_log)
{
    story_begin(4);
    node_mesh_kill(mesh, 3);
    story_found(3);
    create(0, "topic", 50, 1);
    node_mesh_wipe(mesh, 3);
    node_mesh_start(mesh, 3);
    story_await_all(2 * SECOND);
    ck_assert_ptr_nonnull(story_topic(3, "topic-49"));
    ck_assert_uint_ge(stats_of(3).entries_pulled, 50);
    ck_assert_uint_eq(stats_of(3).snapshots_pulled, 0);
    story_end();
}
END_TEST

static void begin_with_small_logs(size_t count)
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, count);
    options.node.snapshot_log_bytes = 4000;
    options.node.retained_bytes_max = 1000;
    options.node.feed_bytes = 2000;
    story_begin_with(&options);
}

START_TEST(who_is_too_far_behind_gets_a_snapshot)
{
    begin_with_small_logs(4);
    story_found(3);
    node_mesh_kill(mesh, 3);
    create(0, "topic", 200, 3);
    node_mesh_start(mesh, 3);
    story_await_all(5 * SECOND);
    ck_assert_ptr_nonnull(story_topic(3, "topic-199"));
    ck_assert_uint_ge(stats_of(3).snapshots_pulled, 1);
    /* and it can come back from it */
    node_mesh_kill(mesh, 3);
    node_mesh_start(mesh, 3);
    story_await_all(5 * SECOND);
    ck_assert_ptr_nonnull(story_topic(3, "topic-199"));
    story_end();
}
END_TEST

START_TEST(a_damaged_snapshot_is_fetched_again)
{
    begin_with_small_logs(4);
    story_found(3);
    node_mesh_kill(mesh, 3);
    create(0, "topic", 200, 3);
    node_mesh_damage_chunk(mesh, 3);
    node_mesh_start(mesh, 3);
    story_await_all(10 * SECOND);
    ck_assert_ptr_nonnull(story_topic(3, "topic-199"));
    story_end();
}
END_TEST

START_TEST(snapshots_follow_each_other_and_restarts_find_them)
{
    begin_with_small_logs(3);
    story_found(3);
    for (size_t round = 0; round < 5; round++) {
        char prefix[16];

        snprintf(prefix, sizeof(prefix), "round%zu", round);
        create(round % 3, prefix, 40, 2);
        node_mesh_kill(mesh, round % 3);
        node_mesh_start(mesh, round % 3);
        story_await_all(10 * SECOND);
    }
    for (size_t host = 0; host < 3; host++)
        ck_assert_uint_eq(image_topic_count(node_image(node_mesh_node(mesh, host))), 200);
    story_end();
}
END_TEST

START_TEST(another_upstream_takes_over_at_once)
{
    struct node_mesh_options options;
    int answer;

    node_mesh_options_init(&options, 10);
    options.node.pullers_max = 2;
    story_begin_with(&options);
    story_found(3);
    create(0, "before", 5, 1);
    for (size_t i = 0; i < 3; i++) /* one that does not coordinate */
        if (node_mesh_coordinator(mesh) != (int)i) {
            node_mesh_kill(mesh, i);
            break;
        }
    node_mesh_run(mesh, 5000);
    answer = node_mesh_create(mesh, (size_t)node_mesh_coordinator(mesh), "after", 1);
    ck_assert_int_eq(story_await(answer)->error, 0);
    ck_assert(node_mesh_run_until(mesh, is_even, NULL, 100000)); /* no stall was waited for */
    story_end();
}
END_TEST

START_TEST(a_hundred_thousand_partitions_are_caught_up_in_no_time)
{
    uint64_t began;

    story_begin(4);
    story_found(3);
    node_mesh_kill(mesh, 3);
    create(0, "big", 100, 1000);
    node_mesh_wipe(mesh, 3);
    began = node_mesh_now(mesh);
    node_mesh_start(mesh, 3);
    story_await_all(2 * SECOND);
    ck_assert_uint_lt(node_mesh_now(mesh) - began, 2 * SECOND);
    ck_assert_uint_eq(image_partition_count(node_image(node_mesh_node(mesh, 3))), 100000);
    story_end();
}
END_TEST

/* Another mesh's broker cannot get in: the link would not come up. But a disk that was set back, and went on alone from there, can. */
START_TEST(who_has_another_history_stops_and_the_others_go_on)
{
    struct node_frontier frontier;
    struct uuid coordinator;
    struct node_status status;

    story_begin(4);
    story_found(3);
    create(0, "topic", 5, 1);
    node_mesh_run(mesh, SECOND);
    status = story_status(3);
    coordinator = status.coordinator;
    frontier = (struct node_frontier){1, status.applied, 12345};
    /* an observer says so: the voter alarms and goes on */
    node_heard_frontier(node_mesh_node(mesh, 0), node_mesh_now(mesh), &(struct uuid){{0}}, &frontier);
    {
        struct raft_server other = node_mesh_server(mesh, 3);

        node_heard_frontier(node_mesh_node(mesh, 0), node_mesh_now(mesh), &other.broker, &frontier);
    }
    node_mesh_run(mesh, SECOND);
    ck_assert(!story_status(0).has_failed);
    ck_assert_ptr_nonnull(strstr(node_mesh_last_event(mesh, 0), "another metadata log"));
    /* the coordinator says so: the observer stops */
    node_heard_frontier(node_mesh_node(mesh, 3), node_mesh_now(mesh), &coordinator, &frontier);
    node_mesh_run(mesh, SECOND);
    ck_assert(story_status(3).has_failed);
    ck_assert(!story_status(3).is_serving);
    ck_assert_int_eq(story_status(3).failure_error, MESH_ECORRUPT);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 1, "after", 1))->error, 0);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_feed");
    TCase *tcase = tcase_create("node_feed");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_blank_broker_is_fed_the_whole_log);
    tcase_add_test(tcase, who_is_too_far_behind_gets_a_snapshot);
    tcase_add_test(tcase, a_damaged_snapshot_is_fetched_again);
    tcase_add_test(tcase, snapshots_follow_each_other_and_restarts_find_them);
    tcase_add_test(tcase, another_upstream_takes_over_at_once);
    tcase_add_test(tcase, a_hundred_thousand_partitions_are_caught_up_in_no_time);
    tcase_add_test(tcase, who_has_another_history_stops_and_the_others_go_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
