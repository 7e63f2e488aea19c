/* Three hundred metadata nodes, most of them outside of consensus. */
#include "node_story.h"
#include "support/run_suite.h"

#include <stdio.h>

static bool is_even(struct node_mesh *of, void *user)
{
    uint64_t applied = 0;

    (void)user;
    for (size_t i = 0; i < node_mesh_count(of); i++) {
        struct node_status status;

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

START_TEST(three_hundred_brokers_hang_in_a_shallow_tree)
{
    struct node_mesh_options options;
    uint64_t asked, last = 0;
    const struct node_answer *answer;
    uint32_t pullers = 0;

    node_mesh_options_init(&options, 300);
    options.is_sparse = true;
    options.disk_us = 200;
    mesh = node_mesh_new(&options);
    for (size_t i = 0; i < 300; i++)
        node_mesh_start(mesh, i);
    node_mesh_found(mesh, 5);
    story_await_all(30 * SECOND);
    node_mesh_run(mesh, 3 * SECOND);
    for (size_t round = 0; round < 5; round++) {
        char name[16];

        snprintf(name, sizeof(name), "topic-%zu", round);
        asked = node_mesh_now(mesh);
        answer = story_await(node_mesh_create(mesh, 299 - round, name, 1));
        ck_assert_int_eq(answer->error, 0);
        ck_assert(node_mesh_run_until(mesh, is_even, NULL, 200000));
        if (node_mesh_now(mesh) - asked > last) last = node_mesh_now(mesh) - asked;
    }
    for (size_t i = 0; i < 300; i++) {
        struct node_stats stats = stats_of(i);

        ck_assert_uint_le(stats.pullers, 16);
        pullers += stats.pullers;
    }
    ck_assert_uint_ge(pullers, 285);
    ck_assert_uint_lt(last, 20000);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_many");
    TCase *tcase = tcase_create("node_many");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, three_hundred_brokers_hang_in_a_shallow_tree);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
