/* Sessions of metadata nodes: who is silent is fenced, who is back is unfenced, nobody is fenced by a sleep of the coordinator's own. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <stdio.h>

static const struct image_broker *broker_at(size_t host, size_t broker)
{
    struct raft_server server = node_mesh_server(mesh, broker);

    return image_find_broker_by_uuid(node_image(node_mesh_node(mesh, host)), &server.broker);
}

static size_t not_the_coordinator(size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (node_mesh_coordinator(mesh) != (int)i) return i;
    return count;
}

struct fence_wish {
    size_t host, broker;
    bool is_fenced;
};

static bool is_so(struct node_mesh *of, void *user)
{
    const struct fence_wish *wish = user;

    (void)of;
    return broker_at(wish->host, wish->broker)->is_fenced == wish->is_fenced;
}

START_TEST(who_dies_is_fenced_after_its_session_and_comes_back)
{
    struct fence_wish wish;
    uint64_t died;
    size_t coordinator;

    story_begin(4);
    story_found(3);
    coordinator = (size_t)node_mesh_coordinator(mesh);
    wish = (struct fence_wish){coordinator, 3, true};
    died = node_mesh_now(mesh);
    node_mesh_kill(mesh, 3);
    ck_assert(node_mesh_run_until(mesh, is_so, &wish, 4 * SECOND));
    ck_assert_uint_ge(node_mesh_now(mesh) - died, 2500000); /* its last heartbeat may be half a second old */
    ck_assert_uint_le(node_mesh_now(mesh) - died, 3100000);
    node_mesh_start(mesh, 3);
    wish.is_fenced = false;
    ck_assert(node_mesh_run_until(mesh, is_so, &wish, 2 * SECOND));
    story_await_all(SECOND);
    story_end();
}
END_TEST

static bool is_draining(struct node_mesh *of, void *user)
{
    const struct fence_wish *wish = user;

    (void)of;
    return broker_at(wish->host, wish->broker)->is_draining == wish->is_fenced;
}

START_TEST(whose_disk_fails_leads_nothing_until_it_is_started_again)
{
    size_t coordinator;

    story_begin(4);
    story_found(3);
    coordinator = (size_t)node_mesh_coordinator(mesh);
    for (size_t broker = 0; broker < 4; broker++) {
        struct fence_wish wish = {coordinator, broker, true};

        if (broker == coordinator && broker != 3) continue;
        node_set_disk_failed(node_mesh_node(mesh, broker), node_mesh_now(mesh));
        ck_assert(node_mesh_run_until(mesh, is_draining, &wish, SECOND));
        node_mesh_run(mesh, 5 * SECOND);
        ck_assert(broker_at(coordinator, broker)->is_draining); /* its heartbeats do not bring it back */
        ck_assert(broker_at(coordinator, broker)->has_bad_disk);
        node_mesh_kill(mesh, broker);
        node_mesh_run(mesh, 4 * SECOND);
        node_mesh_start(mesh, broker);
        wish.is_fenced = false;
        ck_assert(node_mesh_run_until(mesh, is_draining, &wish, 2 * SECOND));
        ck_assert(node_mesh_run_until(mesh, is_so, &wish, 2 * SECOND));
        ck_assert(!broker_at(coordinator, broker)->has_bad_disk);
    }
    node_set_disk_failed(node_mesh_node(mesh, coordinator), node_mesh_now(mesh));
    ck_assert(node_mesh_run_until(mesh, is_draining, &(struct fence_wish){coordinator, coordinator, true}, SECOND));
    story_end();
}
END_TEST

START_TEST(who_has_nobody_beside_it_goes_on_with_a_failed_disk)
{
    story_begin(1);
    story_found(1);
    node_set_disk_failed(node_mesh_node(mesh, 0), node_mesh_now(mesh));
    node_mesh_run(mesh, 5 * SECOND);
    ck_assert(!broker_at(0, 0)->is_draining);
    story_end();
}
END_TEST

/* Also the coordinator itself, and under a coordinator that comes later; undone, it serves again, and so it does when it starts anew. */
START_TEST(who_is_drained_leads_nothing_until_somebody_undoes_it)
{
    size_t coordinator;

    story_begin(4);
    story_found(3);
    coordinator = (size_t)node_mesh_coordinator(mesh);
    for (size_t broker = 0; broker < 4; broker++) {
        struct fence_wish wish = {coordinator, broker, true};

        node_set_drain(node_mesh_node(mesh, broker), node_mesh_now(mesh), true);
        ck_assert(node_mesh_run_until(mesh, is_draining, &wish, SECOND));
        node_mesh_run(mesh, 5 * SECOND);
        ck_assert(broker_at(coordinator, broker)->is_draining && !broker_at(coordinator, broker)->has_bad_disk);
        node_set_drain(node_mesh_node(mesh, broker), node_mesh_now(mesh), false);
        wish.is_fenced = false;
        ck_assert(node_mesh_run_until(mesh, is_draining, &wish, SECOND));
        ck_assert(node_mesh_run_until(mesh, is_so, &wish, 2 * SECOND));
    }
    story_end();
}
END_TEST

START_TEST(who_was_drained_starts_anew_as_if_it_had_not_been)
{
    size_t coordinator, broker;
    struct fence_wish wish;

    story_begin(4);
    story_found(3);
    coordinator = (size_t)node_mesh_coordinator(mesh);
    broker = (coordinator + 1) % 3;
    wish = (struct fence_wish){coordinator, broker, true};
    node_set_drain(node_mesh_node(mesh, broker), node_mesh_now(mesh), true);
    ck_assert(node_mesh_run_until(mesh, is_draining, &wish, SECOND));
    node_mesh_kill(mesh, broker);
    node_mesh_start(mesh, broker);
    wish.is_fenced = false;
    ck_assert(node_mesh_run_until(mesh, is_draining, &wish, 5 * SECOND));
    ck_assert(node_mesh_run_until(mesh, is_so, &wish, 2 * SECOND));
    story_end();
}
END_TEST

START_TEST(who_is_alone_is_not_drained)
{
    story_begin(1);
    story_found(1);
    node_set_drain(node_mesh_node(mesh, 0), node_mesh_now(mesh), true);
    node_mesh_run(mesh, 5 * SECOND);
    ck_assert(!broker_at(0, 0)->is_draining);
    story_end();
}
END_TEST

START_TEST(who_is_cut_off_knows_that_it_has_no_session)
{
    struct fence_wish back;
    size_t cut;

    story_begin(4);
    story_found(3);
    cut = not_the_coordinator(3);
    node_mesh_isolate(mesh, cut, true);
    node_mesh_run(mesh, 4 * SECOND);
    ck_assert(!story_status(cut).has_session);
    ck_assert(broker_at((size_t)node_mesh_coordinator(mesh), cut)->is_fenced);
    node_mesh_isolate(mesh, cut, false);
    back = (struct fence_wish){(size_t)node_mesh_coordinator(mesh), cut, false};
    ck_assert(node_mesh_run_until(mesh, is_so, &back, 3 * SECOND));
    story_await_all(SECOND);
    story_end();
}
END_TEST

START_TEST(a_new_coordinator_gives_everybody_a_full_session)
{
    size_t old;

    story_begin(5);
    story_found(3);
    old = (size_t)node_mesh_coordinator(mesh);
    node_mesh_kill(mesh, old);
    node_mesh_run(mesh, 10 * SECOND);
    for (size_t i = 0; i < 5; i++)
        if (i != old) ck_assert(!broker_at((size_t)node_mesh_coordinator(mesh), i)->is_fenced);
    ck_assert(broker_at((size_t)node_mesh_coordinator(mesh), old)->is_fenced);
    story_end();
}
END_TEST

START_TEST(whose_end_was_seen_is_fenced_at_once)
{
    struct fence_wish wish;

    story_begin(4);
    story_found(3);
    wish = (struct fence_wish){(size_t)node_mesh_coordinator(mesh), 3, true};
    node_mesh_kill(mesh, 3);
    node_mesh_see_end(mesh, 3);
    ck_assert(node_mesh_run_until(mesh, is_so, &wish, SECOND / 10));
    node_mesh_start(mesh, 3);
    wish.is_fenced = false;
    ck_assert(node_mesh_run_until(mesh, is_so, &wish, 2 * SECOND));
    story_await_all(SECOND);
    story_end();
}
END_TEST

static bool is_fenced_by_another(struct node_mesh *of, void *user)
{
    int coordinator = node_mesh_coordinator(of);
    size_t old = *(size_t *)user;

    return coordinator >= 0 && (size_t)coordinator != old && broker_at((size_t)coordinator, old)->is_fenced;
}

START_TEST(a_coordinator_whose_end_was_seen_is_replaced_and_fenced_at_once)
{
    size_t old;

    story_begin(5);
    story_found(3);
    old = (size_t)node_mesh_coordinator(mesh);
    node_mesh_kill(mesh, old);
    node_mesh_see_end(mesh, old);
    ck_assert(node_mesh_run_until(mesh, is_fenced_by_another, &old, SECOND / 2));
    node_mesh_start(mesh, old);
    node_mesh_run(mesh, 2 * SECOND);
    for (size_t i = 0; i < 5; i++)
        ck_assert(!broker_at((size_t)node_mesh_coordinator(mesh), i)->is_fenced);
    story_await_all(SECOND);
    story_end();
}
END_TEST

struct fence_watch {
    size_t old, broker;
};

static bool is_fenced_by_the_next(struct node_mesh *of, void *user)
{
    const struct fence_watch *watch = user;
    int coordinator = node_mesh_coordinator(of);

    return coordinator >= 0 && (size_t)coordinator != watch->old && broker_at((size_t)coordinator, watch->broker)->is_fenced;
}

/* The next coordinator saw the end of a process; that its broker has started again it knows from gossip only. */
START_TEST(who_has_started_again_is_not_fenced_for_the_end_of_its_process)
{
    struct fence_watch watch = {.broker = 4};
    struct raft_server server;

    story_begin(5);
    story_found(3);
    watch.old = (size_t)node_mesh_coordinator(mesh);
    server = node_mesh_server(mesh, watch.broker);
    for (size_t i = 0; i < 3; i++) {
        if (i == watch.old) continue;
        node_mesh_cut(mesh, i, watch.broker, true);
        node_mesh_run(mesh, SECOND / 10);
        node_peer_gone(node_mesh_node(mesh, i), node_mesh_now(mesh), &server.broker);
        ck_assert(!node_hears(node_mesh_node(mesh, i), &server.broker));
        node_member(node_mesh_node(mesh, i), node_mesh_now(mesh), &server.broker, NODE_MEMBER_ALIVE);
        ck_assert(node_hears(node_mesh_node(mesh, i), &server.broker));
    }
    node_mesh_kill(mesh, watch.old);
    node_mesh_see_end(mesh, watch.old);
    ck_assert(!node_mesh_run_until(mesh, is_fenced_by_the_next, &watch, 2 * SECOND));
    ck_assert_int_ge(node_mesh_coordinator(mesh), 0);
    story_end();
}
END_TEST

/* Its voters have missed it since it fell silent, not only since one of them was elected. */
START_TEST(a_coordinator_that_falls_silent_has_one_session_and_no_more)
{
    uint64_t died;
    size_t old;

    story_begin(5);
    story_found(3);
    old = (size_t)node_mesh_coordinator(mesh);
    node_mesh_kill(mesh, old);
    died = node_mesh_now(mesh);
    ck_assert(node_mesh_run_until(mesh, is_fenced_by_another, &old, 4 * SECOND));
    ck_assert_uint_ge(node_mesh_now(mesh) - died, 2500000);
    ck_assert_uint_le(node_mesh_now(mesh) - died, 3200000);
    story_end();
}
END_TEST

START_TEST(a_coordinator_of_one_that_slept_fences_nobody)
{
    story_begin(3);
    story_found(1); /* it does not lose its office while it sleeps */
    node_mesh_pause(mesh, 0, 20 * SECOND);
    node_mesh_run(mesh, 30 * SECOND);
    ck_assert_int_eq(node_mesh_coordinator(mesh), 0);
    {
        struct node_stats stats;

        node_get_stats(node_mesh_node(mesh, 0), &stats);
        ck_assert_uint_eq(stats.fenced, 0);
    }
    story_await_all(SECOND);
    story_end();
}
END_TEST

START_TEST(a_broken_disk_silences_one_broker_only)
{
    size_t broken;

    story_begin(3);
    story_found(3);
    broken = (size_t)node_mesh_coordinator(mesh);
    node_mesh_break_disk(mesh, broken);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, (broken + 1) % 3, "orders", 1))->error, 0);
    ck_assert(story_status(broken).has_failed);
    ck_assert(!story_status(broken).is_serving);
    ck_assert_ptr_nonnull(strstr(story_status(broken).failure, "Repair the disk"));
    ck_assert_ptr_nonnull(story_topic((broken + 1) % 3, "orders"));
    story_end();
}
END_TEST

START_TEST(a_changed_description_is_registered)
{
    struct node_self self = {"other-name", "elsewhere.example", "zone-b", 9999, 8};
    const struct image_broker *broker;

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(node_set_self(node_mesh_node(mesh, 2), node_mesh_now(mesh), &self), 0);
    node_mesh_run(mesh, 2 * SECOND);
    broker = broker_at(0, 2);
    ck_assert_str_eq(broker->name, "other-name");
    ck_assert_str_eq(broker->host, "elsewhere.example");
    ck_assert_str_eq(broker->zone, "zone-b");
    ck_assert_uint_eq(broker->port, 9999);
    ck_assert(!broker->is_fenced);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_sessions");
    TCase *tcase = tcase_create("node_sessions");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, whose_disk_fails_leads_nothing_until_it_is_started_again);
    tcase_add_test(tcase, who_has_nobody_beside_it_goes_on_with_a_failed_disk);
    tcase_add_test(tcase, who_is_drained_leads_nothing_until_somebody_undoes_it);
    tcase_add_test(tcase, who_was_drained_starts_anew_as_if_it_had_not_been);
    tcase_add_test(tcase, who_is_alone_is_not_drained);
    tcase_add_test(tcase, who_dies_is_fenced_after_its_session_and_comes_back);
    tcase_add_test(tcase, who_is_cut_off_knows_that_it_has_no_session);
    tcase_add_test(tcase, a_new_coordinator_gives_everybody_a_full_session);
    tcase_add_test(tcase, whose_end_was_seen_is_fenced_at_once);
    tcase_add_test(tcase, a_coordinator_whose_end_was_seen_is_replaced_and_fenced_at_once);
    tcase_add_test(tcase, who_has_started_again_is_not_fenced_for_the_end_of_its_process);
    tcase_add_test(tcase, a_coordinator_that_falls_silent_has_one_session_and_no_more);
    tcase_add_test(tcase, a_coordinator_of_one_that_slept_fences_nobody);
    tcase_add_test(tcase, a_broken_disk_silences_one_broker_only);
    tcase_add_test(tcase, a_changed_description_is_registered);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
