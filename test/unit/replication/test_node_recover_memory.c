/* A recovery of the mesh without memory, by hand: one broker coordinated, two that never voted are left, and one of them is asked to go on. Each
 * allocation of that fails once. Whatever is lost by it, the question is answered once, the mesh goes on as one history or not at all, and
 * asking again when there is memory makes it go on. */
#include "node_hand.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000000u

static void found(void)
{
    static const struct uuid cluster_id = {{0x42}};

    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(hand_make(i), 0);
    ck_assert_int_eq(node_found(hand.nodes[0].node, hand.now_us, &cluster_id, &hand.nodes[0].server, 1), 0);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = i + 1; j < 3; j++)
            hand_link(i, j);
    for (size_t i = 0; i < 3; i++)
        ck_assert(hand_await_serving(i, 5 * SECOND));
    ck_assert_int_eq(hand_create(1, "before", SECOND, 0), 0);
    hand_run(SECOND);
    ck_assert_int_eq(hand.nodes[1].answers[0].error, 0);
}

static void lose_the_coordinator(void)
{
    node_free(hand.nodes[0].node);
    hand.nodes[0].node = NULL;
    for (size_t i = 1; i < 3; i++)
        node_link_down(hand.nodes[i].node, hand.now_us, &hand.nodes[0].server.broker);
    hand_run(6 * SECOND);
}

/* Returns how often an answer is owed. Nothing is asserted in here: that allocates. */
static unsigned recover(void)
{
    if (node_recover(hand.nodes[1].node, hand.now_us, &hand.nodes[0].server.broker, 1, false, 5 * SECOND, 7) != 0) return 0;
    hand_run(6 * SECOND);
    return 1;
}

static struct node_status status_of(size_t at)
{
    struct node_status status;

    node_get_status(hand.nodes[at].node, &status);
    return status;
}

static bool goes_on(void)
{
    for (size_t i = 1; i < 3; i++) {
        if (!hand_await_serving(i, 10 * SECOND) || status_of(i).history != 1) return false;
        if (image_find_topic_by_name(node_image(hand.nodes[i].node), "before") == NULL || image_broker_count(node_image(hand.nodes[i].node)) != 2) return false;
    }
    return true;
}

START_TEST(each_allocation_of_a_recovery_may_fail)
{
    unsigned walked = 0, failed = 0;

    failing_alloc_each(n)
    {
        bool was_refused, is_stopped;
        unsigned owed;

        hand_begin(3);
        found();
        lose_the_coordinator();
        failing_alloc_arm(n);
        owed = recover();
        was_refused = failing_alloc_disarm();
        is_stopped = status_of(1).has_failed || status_of(2).has_failed;
        failed += is_stopped;
        ck_assert_uint_eq(hand.nodes[1].recovered, owed);
        if (!was_refused) ck_assert(owed == 1 && hand.nodes[1].recover_error == 0);
        for (int times = 0; times < 3 && !is_stopped && status_of(1).history == 0; times++)
            owed += recover(); /* with memory it is done, also what was half done before */
        ck_assert_uint_eq(hand.nodes[1].recovered, owed);
        if (!is_stopped) ck_assert_msg(goes_on(), "allocation %u: it does not go on", n);
        hand_end();
        if (!was_refused) break;
        walked = n;
    }
    if (getenv("SHOW") != NULL) printf("%u allocations; after %u a node stopped\n", walked, failed);
    ck_assert_uint_gt(walked, 20);
    ck_assert_uint_lt(failed, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_recover_memory");
    TCase *tcase = tcase_create("node_recover_memory");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, each_allocation_of_a_recovery_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
