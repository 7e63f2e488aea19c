/* Metadata nodes in memory: a mesh of one, of three, of ten; what is asked, forwarded, retried, and seen by everybody. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- one ---- */

START_TEST(a_mesh_of_one_founds_registers_and_decides)
{
    struct node_status status;
    const struct node_answer *answer;

    story_begin(1);
    story_found(1);
    node_get_status(node_mesh_node(mesh, 0), &status);
    ck_assert_int_eq(status.role, NODE_COORDINATOR);
    ck_assert_int_eq(status.node_id, 1);
    answer = story_await(node_mesh_create(mesh, 0, "orders", 3));
    ck_assert_int_eq(answer->error, 0);
    ck_assert_ptr_nonnull(story_topic(0, "orders"));
    ck_assert(uuid_equal(&story_topic(0, "orders")->topic_id, &answer->topic_id));
    answer = story_await(node_mesh_create(mesh, 0, "orders", 3));
    ck_assert_int_eq(answer->error, MESH_ETOPIC_EXISTS);
    ck_assert_str_ne(answer->text, "");
    answer = story_await(node_mesh_delete(mesh, 0, "orders"));
    ck_assert_int_eq(answer->error, 0);
    ck_assert_ptr_null(story_topic(0, "orders"));
    answer = story_await(node_mesh_delete(mesh, 0, "orders"));
    ck_assert_int_eq(answer->error, MESH_EUNKNOWN_TOPIC);
    story_end();
}
END_TEST

START_TEST(a_mesh_of_one_remembers_over_a_restart)
{
    int32_t epoch;
    struct image_partition partition;

    story_begin(1);
    story_found(1);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 0, "orders", 1))->error, 0);
    ck_assert(image_topic_partition(story_topic(0, "orders"), 0, &partition));
    epoch = partition.leader_epoch;
    node_mesh_kill(mesh, 0);
    node_mesh_start(mesh, 0);
    story_await_all(10 * SECOND);
    ck_assert(image_topic_partition(story_topic(0, "orders"), 0, &partition));
    ck_assert_int_gt(partition.leader_epoch, epoch);
    story_end();
}
END_TEST

START_TEST(blocks_of_producer_ids_never_overlap)
{
    struct buffer body = BUFFER_INIT;
    int64_t next = -1;

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(node_encode_producer_ids(&body, 1000), 0);
    for (size_t i = 0; i < 9; i++) {
        const struct node_answer *answer = story_await(node_mesh_request(mesh, i % 3, NODE_OP_PRODUCER_IDS, buffer_slice(&body), SECOND));

        ck_assert_int_eq(answer->error, 0);
        ck_assert_uint_eq(answer->id_count, 1000);
        ck_assert_int_ge(answer->first_id, next);
        next = answer->first_id + 1000;
    }
    buffer_deinit(&body);
    story_end();
}
END_TEST

START_TEST(nonsense_is_answered_as_such)
{
    story_begin(1);
    story_found(1);
    ck_assert_int_eq(story_await(node_mesh_request(mesh, 0, NODE_OP_TOPIC_DELETE, slice_of_string("\xff\xff"), SECOND))->error, MESH_EPROTO);
    ck_assert_int_eq(story_await(node_mesh_request(mesh, 0, (enum node_op)999, slice_of_string("x"), SECOND))->error, MESH_EUNSUPPORTED);
    story_end();
}
END_TEST

/* ---- three ---- */

START_TEST(any_broker_is_the_entry)
{
    static const char *const names[] = {"one", "two", "three"};
    int requests[3];

    story_begin(3);
    story_found(3);
    for (size_t i = 0; i < 3; i++)
        requests[i] = node_mesh_create(mesh, i, names[i], 2);
    for (size_t i = 0; i < 3; i++) {
        const struct node_answer *answer = story_await(requests[i]);

        ck_assert_int_eq(answer->error, 0);
        ck_assert_uint_le(answer->index, image_applied_index(node_image(node_mesh_node(mesh, i)))); /* visible where it was asked */
    }
    node_mesh_run(mesh, SECOND);
    for (size_t i = 0; i < 9; i++)
        ck_assert_ptr_nonnull(story_topic(i / 3, names[i % 3]));
    story_end();
}
END_TEST

START_TEST(a_new_coordinator_takes_over_and_open_requests_end_once)
{
    int old, requests[20];
    char name[32];

    story_begin(5);
    story_found(5);
    old = node_mesh_coordinator(mesh);
    for (size_t i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "topic-%zu", i);
        requests[i] = node_mesh_create(mesh, ((size_t)old + 1 + i % 4) % 5, name, 1);
        node_mesh_run(mesh, 150);
    }
    node_mesh_kill(mesh, (size_t)old);
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(story_await(requests[i])->error, 0);
    ck_assert_int_ne(node_mesh_coordinator(mesh), old);
    for (size_t i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "topic-%zu", i);
        ck_assert_ptr_nonnull(story_topic(((size_t)old + 1 + i % 4) % 5, name));
    }
    story_end();
}
END_TEST

START_TEST(without_a_coordinator_reading_works_and_changes_say_why_not)
{
    const struct node_answer *answer;
    int coordinator;

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 0, "before", 1))->error, 0);
    node_mesh_run(mesh, SECOND);
    coordinator = node_mesh_coordinator(mesh);
    node_mesh_kill(mesh, (size_t)coordinator);
    node_mesh_kill(mesh, ((size_t)coordinator + 1) % 3);
    node_mesh_run(mesh, 5 * SECOND);
    answer = story_await(node_mesh_create(mesh, ((size_t)coordinator + 2) % 3, "after", 1));
    ck_assert_int_eq(answer->error, MESH_ENO_COORDINATOR);
    ck_assert(mesh_error_is_retriable(answer->error));
    ck_assert_ptr_nonnull(strstr(answer->text, "coordinator"));
    ck_assert_ptr_nonnull(story_topic(((size_t)coordinator + 2) % 3, "before"));
    story_end();
}
END_TEST

/* ---- ten, three of which vote ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(a_change_is_seen_by_ten_brokers_within_milliseconds)
{
    uint64_t took[100];

    story_begin(10);
    story_found(3);
    for (size_t i = 0; i < 100; i++) {
        char name[32];
        uint64_t asked = node_mesh_now(mesh);
        const struct node_answer *answer;

        snprintf(name, sizeof(name), "topic-%zu", i);
        answer = story_await(node_mesh_create(mesh, i % 10, name, 1));
        ck_assert_int_eq(answer->error, 0);
        node_mesh_run(mesh, 50000);
        took[i] = 0;
        for (size_t host = 0; host < 10; host++) {
            uint64_t seen = node_mesh_seen_us(mesh, host, answer->index);

            ck_assert_uint_ne(seen, 0);
            if (seen - asked > took[i]) took[i] = seen - asked;
        }
    }
    qsort(took, 100, sizeof(took[0]), compare);
    ck_assert_uint_lt(took[98], 5000); /* a few round trips of 0.3 ms and two syncs of 0.5 ms */
    story_end();
}
END_TEST

static bool has_left(struct node_mesh *of, void *user)
{
    return node_mesh_has_left(of, *(size_t *)user);
}

START_TEST(who_leaves_hands_over_first)
{
    size_t old;

    story_begin(3);
    story_found(3);
    old = (size_t)node_mesh_coordinator(mesh);
    node_mesh_leave(mesh, old);
    ck_assert(node_mesh_run_until(mesh, has_left, &old, 2 * SECOND));
    ck_assert_int_ne(node_mesh_coordinator(mesh), (int)old);
    node_mesh_kill(mesh, old);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, (old + 1) % 3, "after", 1))->error, 0);
    story_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node");
    TCase *tcase = tcase_create("node");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_mesh_of_one_founds_registers_and_decides);
    tcase_add_test(tcase, a_mesh_of_one_remembers_over_a_restart);
    tcase_add_test(tcase, blocks_of_producer_ids_never_overlap);
    tcase_add_test(tcase, nonsense_is_answered_as_such);
    tcase_add_test(tcase, any_broker_is_the_entry);
    tcase_add_test(tcase, a_new_coordinator_takes_over_and_open_requests_end_once);
    tcase_add_test(tcase, without_a_coordinator_reading_works_and_changes_say_why_not);
    tcase_add_test(tcase, a_change_is_seen_by_ten_brokers_within_milliseconds);
    tcase_add_test(tcase, who_leaves_hands_over_first);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
