/* Soft state over a mesh in memory: one writer each, every broker reads. */
#include "support/run_suite.h"
#include "unit/gossip/lockstep.h"

#include <check.h>
#include <stdio.h>

#define SECOND 1000000ull

static struct lockstep net;

static void set(size_t who, const char *key, const char *value)
{
    ck_assert_int_eq(
        gossip_soft_set(net.brokers[who].gossip, net.now_us, slice_of_string(key), slice_of_string(value)), 0);
    lockstep_drain(&net, who);
}

static bool sees(size_t who, size_t of, const char *key, const char *value)
{
    struct uuid id = lockstep_id(of);
    struct slice got;

    if (!gossip_soft_get(net.brokers[who].gossip, &id, slice_of_string(key), &got)) return value == NULL;
    return value != NULL && slice_equal(got, slice_of_string(value));
}

static bool all_equal(struct lockstep *mesh, void *unused)
{
    (void)unused;
    for (size_t i = 1; i < mesh->count; i++)
        if (mesh->brokers[i].gossip != NULL &&
            gossip_soft_hash(mesh->brokers[i].gossip) != gossip_soft_hash(mesh->brokers[0].gossip))
            return false;
    return true;
}

static void settle(size_t count, uint64_t seed)
{
    lockstep_init(&net, seed, count);
    lockstep_start_all(&net);
    ck_assert(lockstep_until(&net, 20 * SECOND, lockstep_all_agree, NULL));
    lockstep_run(&net, 2 * SECOND);
}

static const size_t sizes[] = {2, 5, 40};

START_TEST(a_value_reaches_everybody)
{
    settle(sizes[_i], 3);
    set(1, "load", "0.7");
    lockstep_run(&net, 2 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert(sees(i, 1, "load", "0.7"));
    set(1, "load", "");
    lockstep_run(&net, 2 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert(sees(i, 1, "load", "")); /* empty is a value */
    gossip_soft_delete(net.brokers[1].gossip, net.now_us, slice_of_string("load"));
    lockstep_drain(&net, 1);
    lockstep_run(&net, 2 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert(sees(i, 1, "load", NULL));
    ck_assert(all_equal(&net, NULL));
    lockstep_free(&net);
}
END_TEST

/* More than a packet holds, changed again and again, under loss. */
START_TEST(all_that_is_said_arrives_under_loss)
{
    char key[32], value[300];

    settle(sizes[_i], 5);
    net.loss = 0.2;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 200; i++) {
            snprintf(key, sizeof(key), "key-%d", i);
            snprintf(value, sizeof(value), "%0200d", i * 10 + round);
            set((size_t)i % net.count, key, value);
        }
        lockstep_run(&net, SECOND / 2);
    }
    ck_assert(lockstep_until(&net, 60 * SECOND, all_equal, NULL));
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        snprintf(value, sizeof(value), "%0200d", i * 10 + 4);
        for (size_t who = 0; who < net.count; who++)
            ck_assert(sees(who, (size_t)i % net.count, key, value));
    }
    lockstep_free(&net);
}
END_TEST

START_TEST(who_missed_collected_tombstones_begins_anew)
{
    struct gossip_stats stats;
    char key[32];

    settle(5, 7);
    set(1, "kept", "yes");
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        set(1, key, "x");
    }
    lockstep_run(&net, 5 * SECOND);
    ck_assert(sees(3, 1, "key-7", "x"));
    net.brokers[3].is_cut = true;
    lockstep_run(&net, SECOND);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        gossip_soft_delete(net.brokers[1].gossip, net.now_us, slice_of_string(key));
        lockstep_drain(&net, 1);
    }
    lockstep_run(&net, 30 * SECOND);
    net.brokers[3].is_cut = false;
    lockstep_run(&net, 60 * SECOND);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        ck_assert(sees(3, 1, key, NULL));
    }
    ck_assert(sees(3, 1, "kept", "yes"));
    ck_assert(all_equal(&net, NULL));
    stats.soft_resets = 0;
    for (size_t i = 0; i < net.count; i++) {
        struct gossip_stats each;
        gossip_get_stats(net.brokers[i].gossip, &each);
        stats.soft_resets += each.soft_resets;
    }
    ck_assert_uint_ge(stats.soft_resets, 1);
    lockstep_free(&net);
}
END_TEST

START_TEST(a_new_boot_begins_with_nothing)
{
    settle(5, 9);
    set(1, "load", "0.7");
    lockstep_run(&net, 2 * SECOND);
    lockstep_kill(&net, 1);
    lockstep_run(&net, 5 * SECOND);
    lockstep_start(&net, 1, 0);
    ck_assert(lockstep_until(&net, 10 * SECOND, lockstep_all_agree, NULL));
    lockstep_run(&net, 6 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert(sees(i, 1, "load", NULL));
    set(1, "load", "0.1");
    lockstep_run(&net, 2 * SECOND);
    for (size_t i = 0; i < net.count; i++)
        ck_assert(sees(i, 1, "load", "0.1"));
    lockstep_free(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip soft state");
    TCase *tcase = tcase_create("soft state");
    int count = (int)(sizeof(sizes) / sizeof(sizes[0]));

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_value_reaches_everybody, 0, count);
    tcase_add_loop_test(tcase, all_that_is_said_arrives_under_loss, 0, count);
    tcase_add_test(tcase, who_missed_collected_tombstones_begins_anew);
    tcase_add_test(tcase, a_new_boot_begins_with_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
