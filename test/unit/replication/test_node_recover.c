/* A mesh whose majority of voters is gone for good: the survivors become a mesh again, once, whoever asks, however often, and whoever dies
 * meanwhile. NODE_RECOVER_SEED replays one seed, NODE_RECOVER_SEEDS says how many. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

#define PATIENCE (40 * SECOND)
#define SEEDS    30

static void begin_with_seed(size_t count, size_t founders, uint64_t seed)
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, count);
    options.seed = seed;
    options.node.voter_stable_us = 2 * SECOND;
    options.node.recover_resume_us = 2 * SECOND;
    story_begin_with(&options);
    story_found(founders);
}

static void begin(size_t count, size_t founders)
{
    begin_with_seed(count, founders, 7);
}

/* One bit each. */
static uint64_t bits(size_t from, size_t until)
{
    uint64_t set = 0;

    for (size_t i = from; i <= until; i++)
        set |= UINT64_C(1) << i;
    return set;
}

static void lose(uint64_t lost)
{
    for (size_t i = 0; i < node_mesh_count(mesh); i++)
        if (lost >> i & 1) node_mesh_kill(mesh, i);
    for (size_t i = 0; i < node_mesh_count(mesh); i++)
        if (lost >> i & 1) node_mesh_write_off(mesh, i);
}

static bool is_reported(struct node_mesh *of, void *user)
{
    return node_mesh_report(of, *(int *)user)->is_there;
}

static const struct node_recovery_report *await(int number)
{
    ck_assert_int_ge(number, 0);
    ck_assert(node_mesh_run_until(mesh, is_reported, &number, PATIENCE));
    return node_mesh_report(mesh, number);
}

static const struct node_recovery_report *recover(size_t host, uint64_t lost)
{
    return await(node_mesh_recover(mesh, host, lost, false, 10 * SECOND));
}

static void refused(size_t host, uint64_t lost, const char *why)
{
    const struct node_recovery_report *report = recover(host, lost);

    ck_assert_int_eq(report->error, MESH_EBUSY);
    ck_assert_msg(strstr(report->objection, why) != NULL, "%s", report->objection);
}

static bool history_is(struct node_mesh *of, void *user)
{
    for (size_t i = 0; i < node_mesh_count(of); i++) {
        struct node_status status;

        if (node_mesh_node(of, i) == NULL) continue;
        node_get_status(node_mesh_node(of, i), &status);
        if (status.history != *(uint64_t *)user || !status.is_serving || !status.has_session || status.is_recovering) return false;
    }
    return true;
}

/* Everybody who is up is in this history and serves; one more change goes through. */
static void await_history(uint64_t history, size_t asked, const char *topic)
{
    if (!node_mesh_run_until(mesh, history_is, &history, PATIENCE)) story_await_all(1);
    ck_assert(history_is(mesh, &history));
    ck_assert_int_eq(story_await(node_mesh_create(mesh, asked, topic, 3))->error, 0);
}

static bool has_ended(struct node_mesh *of, void *user)
{
    struct node_status status;

    node_get_status(node_mesh_node(of, *(size_t *)user), &status);
    return status.has_failed && status.is_removed && status.failure_error == MESH_EUNAUTHORIZED;
}

/* It comes back, is told, and ends; at its next start it knows that by itself. */
static void comes_back_and_is_refused(size_t host)
{
    node_mesh_start(mesh, host);
    ck_assert(node_mesh_run_until(mesh, has_ended, &host, 10 * SECOND));
    ck_assert(strstr(node_mesh_last_event(mesh, host), "recovered without this broker") != NULL);
    node_mesh_run(mesh, 100000);
    node_mesh_kill(mesh, host);
    node_mesh_start(mesh, host);
    ck_assert(has_ended(mesh, &host));
    node_mesh_kill(mesh, host);
}

START_TEST(one_of_three_voters_goes_on_alone_and_the_lost_are_refused)
{
    const struct node_recovery_report *report;

    begin(3, 3);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 0, "before", 1))->error, 0);
    lose(bits(1, 2));
    node_mesh_run(mesh, 6 * SECOND);
    report = recover(0, bits(1, 2));
    ck_assert_int_eq(report->error, 0);
    ck_assert_uint_eq(report->chosen, 0);
    ck_assert_uint_eq(report->history, 1);
    await_history(1, 0, "after");
    ck_assert_ptr_nonnull(story_topic(0, "before"));
    ck_assert_uint_eq(story_status(0).term >> 32, 1);
    ck_assert_uint_eq(image_broker_count(node_image(node_mesh_node(mesh, 0))), 1);
    comes_back_and_is_refused(1);
    comes_back_and_is_refused(2);
    story_end();
}
END_TEST

START_TEST(a_mesh_of_two_goes_on_with_the_one_that_did_not_vote)
{
    const struct node_recovery_report *report;

    begin(2, 1);
    lose(bits(0, 0));
    node_mesh_run(mesh, 6 * SECOND);
    report = recover(1, bits(0, 0));
    ck_assert_int_eq(report->error, 0);
    ck_assert_uint_eq(report->chosen, 1);
    await_history(1, 1, "after");
    comes_back_and_is_refused(0);
    story_end();
}
END_TEST

static bool has_three_voters(struct node_mesh *of, void *user)
{
    int coordinator = node_mesh_coordinator(of);

    (void)user;
    return coordinator >= 0 && node_config(node_mesh_node(of, (size_t)coordinator))->voter_count == 3;
}

START_TEST(survivors_become_voters_again_and_the_next_disaster_begins_the_next_history)
{
    const struct node_recovery_report *report;
    size_t chosen;

    begin(7, 5);
    lose(bits(0, 2));
    node_mesh_run(mesh, 6 * SECOND);
    report = recover(6, bits(0, 2)); /* asked of one that never voted */
    ck_assert_int_eq(report->error, 0);
    await_history(1, 5, "after");
    ck_assert(node_mesh_run_until(mesh, has_three_voters, NULL, PATIENCE));
    chosen = report->chosen;
    for (size_t i = 3; i < 7; i++)
        if (i != chosen) lose(bits(i, i));
    node_mesh_run(mesh, 6 * SECOND);
    report = recover(chosen, bits(0, 6) & ~bits(chosen, chosen));
    ck_assert_int_eq(report->error, 0);
    ck_assert_uint_eq(report->history, 2);
    await_history(2, chosen, "again");
    comes_back_and_is_refused(0);
    comes_back_and_is_refused(chosen == 6 ? 5 : 6);
    story_end();
}
END_TEST

START_TEST(what_need_not_be_recovered_is_refused)
{
    begin(4, 3);
    refused(0, bits(1, 2), "is alive");
    node_mesh_kill(mesh, 2);
    node_mesh_run(mesh, 6 * SECOND);
    refused(0, bits(2, 2), "no recovery is needed"); /* a majority is there */
    node_mesh_kill(mesh, 1);
    node_mesh_run(mesh, 6 * SECOND);
    refused(0, bits(2, 2), "more than half"); /* the other one might be started */
    ck_assert_int_eq(recover(0, bits(1, 1) | bits(2, 2) | bits(3, 3))->error, MESH_EBUSY); /* the one that does not vote is alive */
    node_mesh_isolate(mesh, 3, true);
    ck_assert_int_eq(recover(0, bits(1, 2))->error, MESH_ETIMEDOUT); /* it neither answers nor is named */
    ck_assert_int_lt(node_mesh_recover(mesh, 0, bits(0, 0), false, SECOND), 0);
    ck_assert_int_eq(await(node_mesh_recover(mesh, 3, bits(1, 2), true, SECOND))->error, MESH_ETIMEDOUT);
    node_mesh_isolate(mesh, 3, false);
    ck_assert_int_eq(await(node_mesh_recover(mesh, 3, bits(1, 2), true, 5 * SECOND))->error, 0);
    ck_assert_uint_eq(story_status(0).history, 0); /* a dry one changes nothing */
    ck_assert(!story_status(0).is_recovering);
    node_mesh_start(mesh, 1);
    story_await_all(PATIENCE); /* nothing that was refused binds anybody */
    story_end();
}
END_TEST

START_TEST(two_who_ask_at_once_get_one_result)
{
    int one, other;

    begin(5, 5);
    lose(bits(2, 4));
    node_mesh_run(mesh, 6 * SECOND);
    one = node_mesh_recover(mesh, 0, bits(2, 4), false, 10 * SECOND);
    other = node_mesh_recover(mesh, 1, bits(2, 4), false, 10 * SECOND);
    await(one);
    await(other);
    ck_assert(node_mesh_report(mesh, one)->error == 0 || node_mesh_report(mesh, other)->error == 0);
    await_history(1, 0, "after");
    if (node_mesh_report(mesh, one)->error == 0 && node_mesh_report(mesh, other)->error == 0)
        ck_assert_uint_eq(node_mesh_report(mesh, one)->chosen, node_mesh_report(mesh, other)->chosen);
    story_end();
}
END_TEST

/* The coordinator had changes that it had not told everybody: the survivor that knows most goes on. */
START_TEST(the_most_complete_log_goes_on)
{
    begin(5, 5);
    node_mesh_isolate(mesh, 4, true); /* it misses this */
    ck_assert_int_eq(story_await(node_mesh_create(mesh, node_mesh_coordinator(mesh) == 4 ? 0 : (size_t)node_mesh_coordinator(mesh), "late", 1))->error, 0);
    node_mesh_run(mesh, SECOND);
    lose(bits(0, 2));
    node_mesh_isolate(mesh, 4, false);
    node_mesh_run(mesh, 4 * SECOND);
    ck_assert_int_eq(recover(4, bits(0, 2))->error, 0);
    await_history(1, 4, "after");
    ck_assert_ptr_nonnull(story_topic(4, "late"));
    story_end();
}
END_TEST

/* ---- whoever dies ---- */

/* Hosts 0 to first - 1 are lost, the others are the survivors. */
static size_t first;

static size_t any_survivor(struct random *dice)
{
    return first + random_below(dice, node_mesh_count(mesh) - first);
}

static void hurt(struct random *dice)
{
    size_t host = any_survivor(dice), other = any_survivor(dice);
    bool is_up = node_mesh_node(mesh, host) != NULL;

    switch (random_below(dice, 8)) {
    case 0:
    case 1: node_mesh_kill(mesh, host); return;
    case 2:
    case 3:
    case 4:
        if (!is_up) node_mesh_start(mesh, host);
        return;
    case 5:
        if (host != other) node_mesh_cut(mesh, host, other, random_below(dice, 2) == 0);
        return;
    case 6:
        if (is_up) node_mesh_pause(mesh, host, random_below(dice, 3 * SECOND));
        return;
    default:
        if (is_up) (void)node_mesh_recover(mesh, host, bits(0, first - 1), false, 5 * SECOND);
        return;
    }
}

static void heal(void)
{
    for (size_t i = first; i < node_mesh_count(mesh); i++) {
        for (size_t k = first; k < i; k++)
            node_mesh_cut(mesh, i, k, false);
        if (node_mesh_node(mesh, i) == NULL) node_mesh_start(mesh, i);
    }
}

static void ask_until_recovered(struct random *dice)
{
    node_mesh_run(mesh, 15 * SECOND);
    for (int i = 0; i < 20 && story_status(first).history == 0; i++) {
        int number = node_mesh_recover(mesh, any_survivor(dice), bits(0, first - 1), false, 10 * SECOND);

        if (number >= 0) await(number);
        node_mesh_run(mesh, 5 * SECOND);
    }
}

/* People ask again and again, on whichever survivor, while survivors die, come back and lose sight of each other: in the end there is one
 * history. Then the lost come back, all at once, a majority of what was. */
START_TEST(trouble_during_a_recovery_ends_in_one_history)
{
    const char *replay = getenv("NODE_RECOVER_SEED");
    uint64_t seed = replay != NULL ? strtoull(replay, NULL, 10) : (uint64_t)_i + 1;
    struct random dice;
    size_t founders;

    random_init(&dice, seed);
    founders = random_below(&dice, 2) == 0 ? 3 : 5;
    first = founders - founders / 2;
    begin_with_seed(founders + random_below(&dice, 2), founders, seed); /* maybe one that never voted */
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 0, "before", 1))->error, 0);
    node_mesh_run(mesh, SECOND);
    lose(bits(0, first - 1));
    node_mesh_run(mesh, random_below(&dice, 8 * SECOND));
    for (int i = 0; i < 60; i++) {
        hurt(&dice);
        node_mesh_run(mesh, random_below(&dice, 2 * SECOND));
    }
    heal();
    ask_until_recovered(&dice);
    await_history(1, first, "after");
    for (size_t i = first; i < node_mesh_count(mesh); i++)
        ck_assert_ptr_nonnull(story_topic(i, "before"));
    for (size_t i = 0; i < first; i++)
        node_mesh_start(mesh, i);
    node_mesh_run(mesh, 10 * SECOND);
    for (size_t i = 0; i < first; i++)
        ck_assert_msg(has_ended(mesh, &i), "seed %llu: host %zu goes on", (unsigned long long)seed, i);
    story_end();
}
END_TEST

/* Those that were given up come back before all survivors have agreed: what was begun is taken back, and the old mesh goes on. */
START_TEST(lost_ones_that_come_back_in_the_midst_of_it_are_the_mesh_again)
{
    begin(5, 5);
    for (size_t i = 2; i < 5; i++)
        node_mesh_kill(mesh, i);
    node_mesh_run(mesh, 6 * SECOND);
    node_mesh_cut(mesh, 0, 1, true);
    ck_assert_int_eq(recover(0, bits(2, 4))->error, MESH_ETIMEDOUT);
    for (size_t i = 2; i < 5; i++)
        node_mesh_start(mesh, i);
    node_mesh_cut(mesh, 0, 1, false);
    story_await_all(PATIENCE);
    ck_assert_uint_eq(story_status(0).history, 0);
    story_end();
}
END_TEST

static int seeds(void)
{
    const char *count = getenv("NODE_RECOVER_SEEDS");

    if (getenv("NODE_RECOVER_SEED") != NULL) return 1;
    return count != NULL ? (int)strtol(count, NULL, 10) : SEEDS;
}

int main(void)
{
    Suite *suite = suite_create("node_recover");
    TCase *tcase = tcase_create("node_recover");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, one_of_three_voters_goes_on_alone_and_the_lost_are_refused);
    tcase_add_test(tcase, a_mesh_of_two_goes_on_with_the_one_that_did_not_vote);
    tcase_add_test(tcase, survivors_become_voters_again_and_the_next_disaster_begins_the_next_history);
    tcase_add_test(tcase, what_need_not_be_recovered_is_refused);
    tcase_add_test(tcase, two_who_ask_at_once_get_one_result);
    tcase_add_test(tcase, the_most_complete_log_goes_on);
    tcase_add_test(tcase, lost_ones_that_come_back_in_the_midst_of_it_are_the_mesh_again);
    tcase_add_loop_test(tcase, trouble_during_a_recovery_ends_in_one_history, 0, seeds());
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
