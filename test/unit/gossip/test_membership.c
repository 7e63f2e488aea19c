/* What brokers come to know of each other: stories told over a small mesh in memory. */
#include "support/run_suite.h"
#include "unit/gossip/lockstep.h"

#include <check.h>

#define SECOND 1000000ull

static struct lockstep net;

static const size_t sizes[] = {2, 3, 5, 16, 17, 60};

START_TEST(brokers_with_one_seed_find_each_other)
{
    lockstep_init(&net, 1 + (uint64_t)_i, sizes[_i]);
    lockstep_start_all(&net);
    ck_assert(lockstep_until(&net, 10 * SECOND, lockstep_all_agree, NULL));
    lockstep_run(&net, 30 * SECOND);
    ck_assert(lockstep_all_agree(&net, NULL));
    for (size_t i = 0; i < net.count; i++)
        ck_assert_uint_eq(net.brokers[i].deaths_seen, 0);
    lockstep_free(&net);
}
END_TEST

struct fate {
    size_t victim;
    enum gossip_state state;
    bool anyone;
};

static bool is_known(struct lockstep *mesh, void *user)
{
    const struct fate *fate = user;
    size_t count = 0, knowing = 0;

    for (size_t i = 0; i < mesh->count; i++) {
        if (mesh->brokers[i].gossip == NULL || i == fate->victim) continue;
        count++;
        knowing += lockstep_state(mesh, i, fate->victim) == fate->state;
    }
    return fate->anyone ? knowing > 0 : knowing == count;
}

static uint64_t settle(size_t count, uint64_t seed)
{
    lockstep_init(&net, seed, count);
    lockstep_start_all(&net);
    ck_assert(lockstep_until(&net, 20 * SECOND, lockstep_all_agree, NULL));
    lockstep_run(&net, 3 * SECOND + random_below(&net.random, SECOND));
    return net.now_us;
}

START_TEST(a_machine_that_vanishes_is_found_dead_everywhere)
{
    struct fate fate = {1, GOSSIP_DEAD, false};
    uint64_t began_us = settle(sizes[_i], 7);

    lockstep_vanish(&net, 1);
    ck_assert(lockstep_until(&net, 8 * SECOND, is_known, &fate));
    ck_assert_uint_ge(net.now_us - began_us, 2 * SECOND);
    lockstep_free(&net);
}
END_TEST

START_TEST(a_process_that_dies_is_known_dead_within_300_ms)
{
    struct fate fate = {1, GOSSIP_DEAD, false};
    uint64_t began_us;

    if (sizes[_i] < 3) return; /* it takes two witnesses */
    began_us = settle(sizes[_i], 9);
    lockstep_kill(&net, 1);
    ck_assert(lockstep_until(&net, SECOND, is_known, &fate));
    ck_assert_uint_lt(net.now_us - began_us, 300000);
    lockstep_free(&net);
}
END_TEST

START_TEST(a_leave_is_known_within_500_ms)
{
    struct fate fate = {1, GOSSIP_LEFT, false};
    uint64_t began_us = settle(sizes[_i], 11);

    gossip_leave(net.brokers[1].gossip, net.now_us);
    lockstep_drain(&net, 1);
    ck_assert(lockstep_until(&net, SECOND, is_known, &fate));
    ck_assert_uint_lt(net.now_us - began_us, 500000);
    lockstep_run(&net, 6 * SECOND);
    ck_assert(net.brokers[1].has_left);
    ck_assert(is_known(&net, &fate));
    lockstep_free(&net);
}
END_TEST

START_TEST(a_broker_that_returns_in_a_new_boot_is_alive_again)
{
    struct fate fate = {1, GOSSIP_DEAD, false};

    (void)settle(sizes[_i], 13);
    lockstep_vanish(&net, 1);
    ck_assert(lockstep_until(&net, 8 * SECOND, is_known, &fate));
    lockstep_start(&net, 1, 0);
    ck_assert(lockstep_until(&net, 5 * SECOND, lockstep_all_agree, NULL));
    lockstep_free(&net);
}
END_TEST

START_TEST(a_cut_off_broker_comes_back_after_the_cut)
{
    struct fate fate = {1, GOSSIP_DEAD, false};

    (void)settle(sizes[_i], 17);
    net.brokers[1].is_cut = true;
    ck_assert(lockstep_until(&net, 8 * SECOND, is_known, &fate));
    lockstep_run(&net, 300 * SECOND);
    net.brokers[1].is_cut = false;
    ck_assert(lockstep_until(&net, 60 * SECOND, lockstep_all_agree, NULL));
    lockstep_free(&net);
}
END_TEST

START_TEST(a_pause_of_one_broker_makes_it_accuse_nobody)
{
    (void)settle(10, 19);
    net.brokers[1].is_paused = true;
    lockstep_run(&net, 1500000);
    net.brokers[1].is_paused = false;
    lockstep_run(&net, 20 * SECOND);
    ck_assert(lockstep_all_agree(&net, NULL));
    for (size_t i = 0; i < net.count; i++)
        ck_assert_uint_eq(net.brokers[i].deaths_seen, 0);
    lockstep_free(&net);
}
END_TEST

START_TEST(loss_of_ten_percent_kills_nobody)
{
    (void)settle(30, 23);
    net.loss = 0.1;
    lockstep_run(&net, 300 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert_uint_eq(net.brokers[i].deaths_seen, 0);
    lockstep_free(&net);
}
END_TEST

START_TEST(without_packets_the_links_do)
{
    (void)settle(5, 29);
    net.brokers[1].is_udp_cut = true;
    lockstep_run(&net, 60 * SECOND);
    ck_assert(lockstep_all_agree(&net, NULL));
    for (size_t i = 0; i < net.count; i++)
        ck_assert_uint_eq(net.brokers[i].deaths_seen, 0);
    lockstep_free(&net);
}
END_TEST

START_TEST(a_broker_alone_sleeps)
{
    struct gossip *gossip;
    uint64_t end_us;
    unsigned ticks = 0;

    lockstep_init(&net, 1, 1);
    lockstep_start(&net, 0, 0);
    gossip = net.brokers[0].gossip;
    ck_assert_int_eq(gossip_soft_set(gossip, net.now_us, slice_of_string("load"), slice_of_string("1")), 0);
    lockstep_drain(&net, 0);
    lockstep_run(&net, 5000000);
    end_us = net.now_us + 10000000;
    for (uint64_t due_us = gossip_due_us(gossip); due_us < end_us; due_us = gossip_due_us(gossip)) {
        gossip_tick(gossip, due_us);
        lockstep_drain(&net, 0);
        ticks++;
    }
    ck_assert_uint_le(ticks, 25); /* what it has to say waits for somebody to say it to */
    lockstep_free(&net);
}
END_TEST

START_TEST(an_idle_mesh_is_quiet)
{
    uint64_t bytes = 0, seconds = 60;

    (void)settle(100, 31);
    lockstep_run(&net, 40 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        net.brokers[i].bytes_out = net.brokers[i].messages_out = 0;
    lockstep_run(&net, seconds * SECOND);
    for (size_t i = 0; i < net.count; i++) {
        bytes += net.brokers[i].bytes_out;
        ck_assert_uint_eq(net.brokers[i].messages_out, 0);
    }
    ck_assert_uint_lt(bytes / net.count / seconds, 1000);
    lockstep_free(&net);
}
END_TEST

static const struct gossip_member *seen_by_0(size_t of)
{
    struct uuid id = lockstep_id(of);

    return gossip_find(net.brokers[0].gossip, &id);
}

static bool is_linked_to_0(struct lockstep *mesh, void *user)
{
    const size_t *of = user;

    (void)mesh;
    return seen_by_0(*of)->is_linked;
}

/* A member that broker 0 of a large mesh has no link to. */
static size_t find_unlinked(void)
{
    for (size_t i = 1; i < net.count; i++)
        if (!seen_by_0(i)->is_linked) return i;
    ck_abort_msg("everybody is linked to everybody");
    return 0;
}

static void need(size_t of, bool is_needed)
{
    struct uuid id = lockstep_id(of);

    gossip_set_needed(net.brokers[0].gossip, net.now_us, &id, is_needed);
    lockstep_drain(&net, 0);
}

START_TEST(a_link_that_is_needed_is_made_and_made_again)
{
    size_t other;

    (void)settle(60, 37);
    lockstep_run(&net, 120 * SECOND); /* borrowed links have gone */
    other = find_unlinked();
    need(other, true);
    ck_assert(lockstep_until(&net, SECOND / 10, is_linked_to_0, &other));
    lockstep_run(&net, 120 * SECOND);
    ck_assert(seen_by_0(other)->is_linked);
    lockstep_kill(&net, other);
    lockstep_run(&net, 100 * SECOND); /* longer than the recently dead are tried */
    ck_assert_int_eq(seen_by_0(other)->state, GOSSIP_DEAD);
    lockstep_start(&net, other, 1);
    ck_assert(lockstep_until(&net, 2 * SECOND, is_linked_to_0, &other));
    need(other, false);
    lockstep_run(&net, 70 * SECOND);
    ck_assert(!seen_by_0(other)->is_linked);
    lockstep_free(&net);
}
END_TEST

START_TEST(a_link_that_others_use_is_kept)
{
    size_t other;
    struct uuid id;

    (void)settle(60, 41);
    lockstep_run(&net, 120 * SECOND);
    other = find_unlinked();
    id = lockstep_id(other);
    need(other, true);
    ck_assert(lockstep_until(&net, SECOND, is_linked_to_0, &other));
    need(other, false);
    for (int i = 0; i < 200; i++) {
        lockstep_run(&net, SECOND);
        gossip_link_used(net.brokers[0].gossip, &id);
    }
    ck_assert(seen_by_0(other)->is_linked);
    lockstep_run(&net, 70 * SECOND);
    ck_assert(!seen_by_0(other)->is_linked);
    lockstep_free(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip membership");
    TCase *tcase = tcase_create("stories");
    int count = (int)(sizeof(sizes) / sizeof(sizes[0]));

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, brokers_with_one_seed_find_each_other, 0, count);
    tcase_add_loop_test(tcase, a_machine_that_vanishes_is_found_dead_everywhere, 0, count);
    tcase_add_loop_test(tcase, a_process_that_dies_is_known_dead_within_300_ms, 0, count);
    tcase_add_loop_test(tcase, a_leave_is_known_within_500_ms, 0, count);
    tcase_add_loop_test(tcase, a_broker_that_returns_in_a_new_boot_is_alive_again, 0, count);
    tcase_add_loop_test(tcase, a_cut_off_broker_comes_back_after_the_cut, 0, count);
    tcase_add_test(tcase, a_pause_of_one_broker_makes_it_accuse_nobody);
    tcase_add_test(tcase, loss_of_ten_percent_kills_nobody);
    tcase_add_test(tcase, without_packets_the_links_do);
    tcase_add_test(tcase, a_broker_alone_sleeps);
    tcase_add_test(tcase, an_idle_mesh_is_quiet);
    tcase_add_test(tcase, a_link_that_is_needed_is_made_and_made_again);
    tcase_add_test(tcase, a_link_that_others_use_is_kept);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
