/* What others do without a word: lost voters come back with a majority of the old configuration, and survivors go along with them. It is noticed. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/error.h"
#include "replication/metadata/switches.h"

static void listen_to_the_lost(struct node *node)
{
    node_bring_back(node, NODE_DEFECT_LOST_ARE_HEARD);
}

static bool is_reported(struct node_mesh *of, void *user)
{
    return node_mesh_report(of, *(int *)user)->is_there;
}

/* Five voters, three of them are declared lost. The survivors recover; one of the two is cut off from the other, and the lost come back. Returns
 * how many survivors then follow a coordinator of the history that is over. */
static size_t play(bool with_defect)
{
    struct node_mesh_options options;
    size_t chosen, astray = 0;
    int number;

    node_mesh_options_init(&options, 5);
    options.node.recover_resume_us = 2 * SECOND;
    if (with_defect) options.began = listen_to_the_lost;
    story_begin_with(&options);
    node_mesh_count_splits(mesh);
    story_found(5);
    for (size_t i = 2; i < 5; i++)
        node_mesh_kill(mesh, i);
    for (size_t i = 2; i < 5; i++)
        node_mesh_write_off(mesh, i);
    node_mesh_run(mesh, 6 * SECOND);
    number = node_mesh_recover(mesh, 0, 0x1c, false, 10 * SECOND);
    ck_assert(node_mesh_run_until(mesh, is_reported, &number, 20 * SECOND));
    ck_assert_int_eq(node_mesh_report(mesh, number)->error, 0);
    chosen = node_mesh_report(mesh, number)->chosen;
    node_mesh_cut(mesh, 0, 1, true);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, chosen, "after", 1))->error, 0);
    node_mesh_run(mesh, SECOND);
    for (size_t i = 2; i < 5; i++)
        node_mesh_start(mesh, i);
    node_mesh_run(mesh, 20 * SECOND);
    for (size_t i = 0; i < 2; i++)
        astray += story_status(i).history == 0 && story_status(i).has_session;
    story_end();
    return astray;
}

START_TEST(survivors_that_listen_to_the_lost_have_two_histories)
{
    ck_assert_uint_eq(play(false), 0);
    ck_assert_uint_gt(play(true), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_recover_switches");
    TCase *tcase = tcase_create("node_recover_switches");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, survivors_that_listen_to_the_lost_have_two_histories);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
