/* Starting, stopping, starting again: what was acknowledged is there, and nobody shares a data directory. */
#include "base/error.h"
#include "base/log.h"
#include "broker_fixture.h"
#include "cmd/broker/membership.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/start.h"
#include "raw_client.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct broker_fixture fixture;

static void setup(void)
{
    broker_fixture_init(&fixture);
    broker_fixture_start(&fixture);
}

static void teardown(void)
{
    broker_fixture_deinit(&fixture);
}

/* A machine whose clock nobody has set yet: told in one line, before anything else. */
START_TEST(a_clock_that_was_never_set_is_refused)
{
    unsigned long lines = log_error_lines();

    ck_assert_int_eq(start_check_clock(0), MESH_EAGAIN);
    ck_assert_uint_eq(log_error_lines(), lines + 1);
    ck_assert_int_eq(start_check_clock(BROKER_CLOCK_LEAST_MS - 1), MESH_EAGAIN);
    ck_assert_int_eq(start_check_clock(BROKER_CLOCK_LEAST_MS), 0);
    ck_assert_uint_eq(log_error_lines(), lines + 2);
}
END_TEST

START_TEST(a_restart_keeps_identity_topics_and_records_and_raises_the_epoch)
{
    struct buffer batch = raw_batch(3, 100, -1, -1, raw_now_ms());
    struct uuid cluster = fixture.cluster_id, broker = fixture.broker_id, topic;
    struct raw_client client;
    int32_t epoch;

    raw_hello(&client, fixture.port, -1);
    topic = raw_topic_create(&client, "kept", 4, NULL, NULL);
    for (uint32_t partition = 0; partition < 3; partition++)
        epoch = raw_produce(&client, &topic, partition, &batch).leader_epoch;
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_start(&fixture);
    ck_assert(uuid_equal(&cluster, &fixture.cluster_id));
    ck_assert(uuid_equal(&broker, &fixture.broker_id));
    raw_hello(&client, fixture.port, -1);
    for (uint32_t partition = 0; partition < 4; partition++) {
        struct produce_result result = raw_produce(&client, &topic, partition, &batch);
        ck_assert_int_eq(result.error, 0);
        ck_assert_uint_eq(result.base_offset, partition < 3 ? 3 : 0);
        ck_assert_int_gt(result.leader_epoch, epoch);
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -2).offset, 0);
    }
    raw_close(&client);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(another_number_of_shards_finds_the_same_records)
{
    struct buffer batch = raw_batch(3, 100, -1, -1, raw_now_ms());
    struct raw_client client;
    struct uuid topic;

    raw_hello(&client, fixture.port, -1);
    topic = raw_topic_create(&client, "moved", 6, NULL, NULL);
    for (uint32_t partition = 0; partition < 6; partition++)
        ck_assert_int_eq(raw_produce(&client, &topic, partition, &batch).error, 0);
    raw_close(&client);
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct raw_client plain;

        ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
        fixture.options.shard_count = shards;
        broker_fixture_start(&fixture);
        raw_connect(&plain, fixture.port);
        raw_close(&plain);
    }
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    fixture.options.shard_count = 2;
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    for (uint32_t partition = 0; partition < 6; partition++)
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -1).offset, 3);
    raw_close(&client);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(what_is_acknowledged_during_a_stop_is_kept)
{
    struct buffer batch = raw_batch(1, 500, -1, -1, raw_now_ms());
    struct raw_client client;
    struct raw_frame frame;
    struct uuid topic;
    int64_t acknowledged = 1; /* one for certain; how many of the others is up to the machine */

    raw_hello(&client, fixture.port, 0);
    topic = raw_topic_create(&client, "late", 2, NULL, NULL);
    ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
    for (int i = 0; i < 3000; i++) { /* both shards, one of them through the mailbox */
        raw_produce_send(&client, &topic, (uint32_t)i % 2, &batch, -1);
        if (i == 1000) broker_fixture_stop_begin(&fixture);
    }
    while (raw_receive(&client, &frame)) {
        if (frame.error == 0) {
            struct produce_response_reader reader;
            struct produce_result result;
            ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
            ck_assert(produce_response_reader_next(&reader, &result));
            ck_assert_int_eq(result.error, 0);
            acknowledged++;
        } else {
            ck_assert_int_eq(frame.error, MESH_ESHUTDOWN);
        }
        raw_frame_deinit(&frame);
    }
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
    ck_assert_int_eq(
        raw_list_offsets(&client, &topic, 0, -1).offset + raw_list_offsets(&client, &topic, 1, -1).offset,
        acknowledged);
    raw_close(&client);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(a_stop_answers_who_waits_for_records)
{
    struct raw_fetch options = {60000, 1, 1 << 20};
    struct fetch_entry entries[4];
    struct fetch_result results[4];
    struct raw_client client;
    struct uuid topic;
    uint32_t id;

    raw_hello(&client, fixture.port, 0);
    topic = raw_topic_create(&client, "waiting", 4, NULL, NULL);
    for (uint32_t i = 0; i < 4; i++)
        entries[i] = (struct fetch_entry){topic, i, -1, 0, 1 << 20, false, false};
    id = raw_fetch_send(&client, &options, entries, 4);
    raw_ping(&client);
    broker_fixture_stop_begin(&fixture);
    ck_assert_uint_eq(raw_fetch_results(&client, id, results, 4, NULL), 4);
    raw_close(&client);
}
END_TEST

START_TEST(a_stop_ends_although_a_client_does_not_read)
{
    struct buffer batch = raw_batch(100, 1000, -1, -1, raw_now_ms());
    struct raw_fetch options = {0, 1, 1 << 20};
    struct fetch_entry entry = {.leader_epoch = -1, .bytes_max = 1 << 20};
    struct raw_client client, slow;

    raw_hello(&client, fixture.port, 0);
    entry.topic_id = raw_topic_create(&client, "unread", 1, NULL, NULL);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(raw_produce(&client, &entry.topic_id, 0, &batch).error, 0);
    raw_hello(&slow, fixture.port, 0);
    for (int i = 0; i < 30; i++)
        raw_fetch_send(&slow, &options, &entry, 1);
    raw_ping(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    raw_close(&slow);
    raw_close(&client);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(a_second_broker_on_the_same_directory_is_refused)
{
    struct broker_options options = fixture.options;
    struct broker *second = NULL;

    log_set_level(LOG_LEVEL_ERROR);
    ck_assert_int_eq(broker_open(&options, &second), MESH_ELOCKED);
    ck_assert_ptr_null(second);
}
END_TEST

START_TEST(a_second_broker_on_the_same_port_is_refused)
{
    struct broker_fixture other;
    struct broker *second = NULL;
    char listen_on[32];

    snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", fixture.port);
    broker_fixture_init(&other);
    other.options.listen = listen_on;
    ck_assert_int_eq(broker_open(&other.options, &second), MESH_EBUSY);
    broker_fixture_deinit(&other);
}
END_TEST

static const char *const listen_cases[] = {"127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:9092", "127.0.0.1:70000"};
START_TEST(a_listen_address_must_have_host_and_port)
{
    struct broker_fixture other;
    struct broker *second = NULL;

    broker_fixture_init(&other);
    other.options.listen = listen_cases[_i];
    ck_assert_int_eq(broker_open(&other.options, &second), MESH_EINVAL);
    broker_fixture_deinit(&other);
}
END_TEST

START_TEST(ready_json_tells_scripts_and_goes_at_the_stop)
{
    char path[128], text[1024] = "", want[64];
    FILE *file;

    snprintf(path, sizeof(path), "%s/ready.json", fixture.data_dir);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, file), 0);
    fclose(file);
    snprintf(want, sizeof(want), "\"address\":\"127.0.0.1:%u\"", fixture.port);
    ck_assert_ptr_nonnull(strstr(text, want));
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"test\""));
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_broker_that_is_opened_and_not_served_leaves_nothing_behind)
{
    struct broker *broker;

    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    ck_assert_int_eq(broker_open(&fixture.options, &broker), 0);
    broker_free(broker);
    broker_fixture_start(&fixture);
}
END_TEST

/* The image with this broker's registration reaches the shards a moment after the control loop has it. */
static void await_leaders(struct raw_client *client, const struct uuid *topic, uint32_t count)
{
    uint32_t tries = 0;

    for (uint32_t i = 0; i < count; i++)
        while (raw_list_offsets(client, topic, i, -1).error != 0)
            ck_assert_uint_lt(tries++, 100000);
}

/* Fetches of connections on either shard wait on both, and batches on their way between them, when the broker ends as after a
 * crash: each must come home to something that is still there. (The sanitizers see more here than the eye.) */
START_TEST(requests_between_shards_end_with_the_broker)
{
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());
    struct raw_fetch options = {60000, 1 << 20, 1 << 20};
    struct fetch_entry entries[8];
    struct raw_client clients[2];
    struct broker *broker;
    struct uuid topic;

    raw_hello(&clients[0], fixture.port, 0);
    topic = raw_topic_create(&clients[0], "between", 8, NULL, NULL);
    raw_close(&clients[0]);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    ck_assert_int_eq(broker_open(&fixture.options, &broker), 0);
    for (uint32_t i = 0; i < 8; i++)
        entries[i] = (struct fetch_entry){topic, i, -1, 0, 1 << 20, false, false};
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(shard_start(broker->shards[i]), 0);
    ck_assert_int_eq(membership_wait(broker), 0); /* its partitions have leaders; nobody runs the control loop from here on */
    for (int32_t i = 0; i < 2; i++) {
        raw_hello(&clients[i], broker->port, i);
        await_leaders(&clients[i], &topic, 8);
        raw_fetch_send(&clients[i], &options, entries, 8);
        raw_ping(&clients[i]);
    }
    for (uint32_t i = 0; i < 200; i++)
        raw_produce_send(&clients[i % 2], &topic, i % 8, &batch, -1);
    broker_free(broker);
    raw_close(&clients[0]);
    raw_close(&clients[1]);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(defaults_for_topics_hold_unless_the_creator_says_otherwise)
{
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());
    struct raw_client client;
    struct uuid relaxed, strict;
    struct broker *unused = NULL;

    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_set(&fixture, "topic.flush", "async");
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    relaxed = raw_topic_create(&client, "relaxed", 1, NULL, NULL);
    strict = raw_topic_create(&client, "strict", 1, "flush", "group");
    ck_assert_uint_eq(raw_produce(&client, &relaxed, 0, &batch).replicas_synced, 0);
    ck_assert_uint_eq(raw_produce(&client, &strict, 0, &batch).replicas_synced, 1);
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_set(&fixture, "topic.flush", "sometimes");
    ck_assert_int_eq(broker_open(&fixture.options, &unused), MESH_EINVAL);
    buffer_deinit(&batch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker life");
    TCase *tcase = tcase_create("life");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_clock_that_was_never_set_is_refused);
    tcase_add_test(tcase, a_restart_keeps_identity_topics_and_records_and_raises_the_epoch);
    tcase_add_test(tcase, another_number_of_shards_finds_the_same_records);
    tcase_add_test(tcase, what_is_acknowledged_during_a_stop_is_kept);
    tcase_add_test(tcase, a_stop_answers_who_waits_for_records);
    tcase_add_test(tcase, a_stop_ends_although_a_client_does_not_read);
    tcase_add_test(tcase, a_second_broker_on_the_same_directory_is_refused);
    tcase_add_test(tcase, a_second_broker_on_the_same_port_is_refused);
    tcase_add_loop_test(tcase, a_listen_address_must_have_host_and_port, 0,
                        sizeof(listen_cases) / sizeof(listen_cases[0]));
    tcase_add_test(tcase, requests_between_shards_end_with_the_broker);
    tcase_add_test(tcase, defaults_for_topics_hold_unless_the_creator_says_otherwise);
    tcase_add_test(tcase, ready_json_tells_scripts_and_goes_at_the_stop);
    tcase_add_test(tcase, a_broker_that_is_opened_and_not_served_leaves_nothing_behind);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
