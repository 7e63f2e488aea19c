/* Who votes, as the coordinator sees to it: a mesh grows from one to many voters, replaces those that are gone for good, and never shrinks. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <stdio.h>

static size_t voters_at(size_t host)
{
    return node_config(node_mesh_node(mesh, host))->voter_count;
}

static bool votes(size_t host)
{
    struct raft_server server = node_mesh_server(mesh, host);
    const struct raft_config *config = node_config(node_mesh_node(mesh, (size_t)node_mesh_coordinator(mesh)));

    for (size_t i = 0; i < config->voter_count; i++)
        if (raft_server_equal(&config->voters[i], &server)) return true;
    return false;
}

static bool has_voters(struct node_mesh *of, void *user)
{
    int coordinator = node_mesh_coordinator(of);

    return coordinator >= 0 && voters_at((size_t)coordinator) == *(size_t *)user &&
           node_config(node_mesh_node(of, (size_t)coordinator))->old_voter_count == 0;
}

static void begin(size_t count, size_t founders)
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, count);
    options.node.voter_stable_us = 2 * SECOND;
    options.node.voter_gone_us = 10 * SECOND;
    story_begin_with(&options);
    story_found(founders);
}

START_TEST(a_mesh_of_one_grows_to_three_voters_and_survives_its_founder)
{
    size_t three = 3;

    begin(4, 1);
    ck_assert(node_mesh_run_until(mesh, has_voters, &three, 30 * SECOND));
    node_mesh_run(mesh, 5 * SECOND);
    ck_assert_uint_eq(voters_at(0), 3);
    node_mesh_kill(mesh, 0);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 1, "orders", 1))->error, 0);
    story_end();
}
END_TEST

START_TEST(seven_brokers_have_five_voters)
{
    size_t five = 5;

    begin(7, 3);
    ck_assert(node_mesh_run_until(mesh, has_voters, &five, 60 * SECOND));
    node_mesh_run(mesh, 20 * SECOND);
    ck_assert(has_voters(mesh, &five));
    story_end();
}
END_TEST

START_TEST(a_voter_that_is_gone_for_good_is_replaced)
{
    size_t gone, three = 3;

    begin(4, 3);
    node_mesh_run(mesh, 5 * SECOND);
    gone = node_mesh_coordinator(mesh) == 0 ? 1 : 0;
    ck_assert(votes(gone));
    ck_assert(!votes(3));
    node_mesh_kill(mesh, gone);
    node_mesh_run(mesh, 5 * SECOND);
    ck_assert(votes(gone)); /* not yet: it may come back */
    node_mesh_run(mesh, 20 * SECOND);
    ck_assert(has_voters(mesh, &three));
    ck_assert(!votes(gone));
    ck_assert(votes(3));
    /* it comes back, and is fed as anybody else */
    node_mesh_start(mesh, gone);
    story_await_all(10 * SECOND);
    story_end();
}
END_TEST

START_TEST(failures_alone_never_shrink_the_voters)
{
    size_t coordinator, three = 3;

    begin(3, 3);
    coordinator = (size_t)node_mesh_coordinator(mesh);
    node_mesh_kill(mesh, (coordinator + 1) % 3);
    node_mesh_run(mesh, 60 * SECOND);
    ck_assert(has_voters(mesh, &three));
    story_end();
}
END_TEST

START_TEST(a_voter_with_another_disk_votes_as_another_server)
{
    size_t wiped, three = 3;

    begin(3, 3);
    node_mesh_run(mesh, 5 * SECOND);
    wiped = node_mesh_coordinator(mesh) == 0 ? 1 : 0;
    node_mesh_kill(mesh, wiped);
    node_mesh_wipe(mesh, wiped);
    node_mesh_start(mesh, wiped);
    story_await_all(10 * SECOND);
    node_mesh_run(mesh, 40 * SECOND);
    ck_assert(has_voters(mesh, &three));
    ck_assert(votes(wiped));
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_voters");
    TCase *tcase = tcase_create("node_voters");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_mesh_of_one_grows_to_three_voters_and_survives_its_founder);
    tcase_add_test(tcase, seven_brokers_have_five_voters);
    tcase_add_test(tcase, a_voter_that_is_gone_for_good_is_replaced);
    tcase_add_test(tcase, failures_alone_never_shrink_the_voters);
    tcase_add_test(tcase, a_voter_with_another_disk_votes_as_another_server);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
