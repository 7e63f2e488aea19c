/* What a newer version brought is not written before every registered broker reads it (metadata/levels.c). */
#include "levels_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"

#include <string.h>

static void set_levels(uint32_t first, uint32_t others)
{
    for (size_t i = 0; i < LEVELS_HOSTS_MAX; i++)
        levels_of_hosts[i] = i == 0 ? first : others;
}

static const struct node_answer *delete_at(size_t host)
{
    return story_await(node_mesh_delete(mesh, host, "t"));
}

static void expect_refusal(const struct node_answer *answer, const char *why)
{
    ck_assert_int_eq(answer->error, MESH_EUNSUPPORTED);
    ck_assert_msg(strstr(answer->text, why) != NULL, "%s", answer->text);
}

START_TEST(a_command_needs_the_level_of_its_newest_change)
{
    static const uint8_t key[UUID_SIZE] = {1};
    struct metadata_change changes[] = {{METADATA_TOPIC_CREATED, slice_of(key, sizeof(key)), slice_of("\1", 1)}, {METADATA_TOPIC_DELETED, slice_of(key, sizeof(key)), slice_of("\1", 1)}};
    struct buffer command = BUFFER_INIT;

    ck_assert_int_eq(metadata_command_start(&command), 0);
    ck_assert_int_eq(metadata_command_add(&command, &changes[0]), 0);
    ck_assert_uint_eq(metadata_command_level(buffer_slice(&command), levels_pretended), 1);
    ck_assert_int_eq(metadata_command_add(&command, &changes[1]), 0);
    ck_assert_uint_eq(metadata_command_level(buffer_slice(&command), metadata_kind_level), 1);
    ck_assert_uint_eq(metadata_command_level(buffer_slice(&command), levels_pretended), 2);
    changes[0].body = slice_of("\3", 1); /* something new in a body that there was */
    ck_assert_int_eq(metadata_command_add(&command, &changes[0]), 0);
    ck_assert_uint_eq(metadata_command_level(buffer_slice(&command), levels_pretended), 3);
    changes[0].kind = METADATA_RECORDS_DELETED + 1;
    changes[0].body = slice_of("\1", 1);
    buffer_clear(&command);
    ck_assert_int_eq(metadata_command_start(&command), 0);
    ck_assert_int_eq(metadata_command_add(&command, &changes[0]), 0);
    ck_assert_uint_gt(metadata_command_level(buffer_slice(&command), metadata_kind_level), METADATA_LEVEL);
    buffer_deinit(&command);
}
END_TEST

START_TEST(an_older_broker_holds_up_what_it_could_not_read)
{
    set_levels(2, 2);
    levels_of_hosts[3] = 1;
    levels_begin(4, 0, NULL);
    for (size_t host = 0; host < 4; host++) {
        expect_refusal(delete_at(host), "reads level 1: upgrade it first");
        ck_assert_ptr_nonnull(story_topic(host, "t"));
    }
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 3, "more", 1))->error, 0); /* all the rest goes on */
    levels_upgrade(3);
    story_await_all(20 * SECOND);
    node_mesh_run(mesh, 2 * SECOND);
    ck_assert_int_eq(delete_at(3)->error, 0);
    ck_assert_ptr_null(story_topic(3, "t"));
    story_end();
}
END_TEST

static bool has_coordinator(struct node_mesh *of, void *user)
{
    (void)user;
    return node_mesh_coordinator(of) >= 0;
}

/* Each coordinator finds out by itself. Who is down, and was never heard by this one, may be of any version. */
START_TEST(who_is_not_heard_holds_it_up_until_it_is_removed)
{
    struct buffer body = BUFFER_INIT;
    struct uuid gone;
    size_t asked;

    set_levels(2, 2);
    levels_begin(5, 0, NULL);
    node_mesh_run(mesh, 15 * SECOND); /* five voters */
    gone = node_mesh_server(mesh, 4).broker;
    node_mesh_kill(mesh, 4);
    node_mesh_run(mesh, 5 * SECOND);
    node_mesh_kill(mesh, (size_t)node_mesh_coordinator(mesh));
    ck_assert(node_mesh_run_until(mesh, has_coordinator, NULL, 30 * SECOND));
    for (size_t i = 0; i < 4; i++) {
        if (node_mesh_node(mesh, i) == NULL) node_mesh_start(mesh, i);
    }
    story_await_all(20 * SECOND);
    node_mesh_run(mesh, 5 * SECOND);
    asked = (size_t)node_mesh_coordinator(mesh);
    expect_refusal(delete_at(asked), "has not said since the coordinator began");
    ck_assert_int_eq(node_encode_retire(&body, &gone, true, false), 0);
    ck_assert_int_eq(story_await(node_mesh_request(mesh, asked, NODE_OP_BROKER_RETIRE, buffer_slice(&body), 10 * SECOND))->error, 0);
    ck_assert_int_eq(delete_at(asked)->error, 0);
    buffer_deinit(&body);
    story_end();
}
END_TEST

/* Brokers are killed, started and upgraded at random while a deletion is asked for again and again: it is done when all read it, and not before. */
START_TEST(nothing_is_written_too_early)
{
    struct random random;
    size_t old = 4;

    random_init(&random, (uint64_t)_i);
    set_levels(2, 1);
    levels_begin(5, 1000 + (uint64_t)_i, NULL);
    for (size_t step = 0; step < 40 && story_topic(0, "t") != NULL; step++) {
        size_t host = 1 + (size_t)random_below(&random, 4); /* the first one is looked at */

        if (random_below(&random, 4) == 0 && levels_of_hosts[host] == 1) {
            levels_upgrade(host);
            old--;
        } else {
            node_mesh_kill(mesh, host);
            node_mesh_run(mesh, random_below(&random, 4 * SECOND));
            node_mesh_start(mesh, host);
        }
        ck_assert_int_ge(node_mesh_delete(mesh, 0, "t"), 0);
        node_mesh_run(mesh, random_below(&random, 3 * SECOND));
        ck_assert_msg(story_topic(0, "t") != NULL || old == 0, "%zu brokers of the older version were left", old);
    }
    for (size_t host = 1; host < 5; host++) {
        if (levels_of_hosts[host] == 1) levels_upgrade(host);
    }
    story_await_all(60 * SECOND);
    node_mesh_run(mesh, 5 * SECOND);
    if (story_topic(0, "t") != NULL) ck_assert_int_eq(delete_at(0)->error, 0);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_levels");
    TCase *tcase = tcase_create("node_levels");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_command_needs_the_level_of_its_newest_change);
    tcase_add_test(tcase, an_older_broker_holds_up_what_it_could_not_read);
    tcase_add_test(tcase, who_is_not_heard_holds_it_up_until_it_is_removed);
    tcase_add_loop_test(tcase, nothing_is_written_too_early, 0, 20);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
