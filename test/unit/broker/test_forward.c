/* A request that reaches the wrong broker. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/operate/operate.h"
#include "forward_pair.h"
#include "support/fs_gate.h"
#include "support/run_suite.h"
#include "wire/message_operate.h"
#include "wire/record_batch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what comes of it ---- */

START_TEST(a_batch_reaches_its_leader_and_the_receipt_comes_back)
{
    struct buffer batch = raw_batch(3, 100, -1, -1, raw_now_ms());
    struct produce_result result;

    wait_for_link();
    result = raw_produce_result(&client, produce_one_send(far, &batch, -1));
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.base_offset, 1);
    ck_assert_uint_eq(result.replicas_synced, 1);
    ck_assert_int_ge(result.leader_epoch, 0);
    ck_assert_int_eq(raw_list_offsets(&direct, &topic_id, far, -1).offset, 4);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(who_does_not_ask_for_it_is_told_to_go_elsewhere)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    const struct raw_fetch options = {0, 1, 1000};
    const struct fetch_entry entry = {topic_id, far, -1, 0, 1000, false, false};
    struct fetch_result result;

    ck_assert_int_eq(raw_produce(&client, &topic_id, far, &batch).error, MESH_ENOT_LEADER);
    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &options, &entry, 1), &result, 1, NULL), 1);
    ck_assert_int_eq(result.error, MESH_ENOT_LEADER);
    ck_assert_int_eq(raw_list_offsets(&client, &topic_id, far, -1).error, MESH_ENOT_LEADER);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(one_request_may_concern_both_brokers)
{
    struct buffer batch = raw_batch(1, 50, -1, -1, raw_now_ms()), batches = BUFFER_INIT;
    const uint32_t size = (uint32_t)batch.size, partitions[] = {far, near, far_other, near};
    struct produce_entry entries[4];
    struct produce_response_reader reader;
    struct produce_result result;
    struct raw_frame frame;

    wait_for_link();
    for (int i = 0; i < 4; i++) {
        entries[i] = (struct produce_entry){topic_id, partitions[i], -1, size};
        buffer_append(&batches, batch.data, batch.size);
    }
    raw_expect(&client, produce_send(entries, 4, buffer_slice(&batches), -1), &frame);
    ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
    ck_assert_uint_eq(reader.result_count, 4);
    for (int i = 0; produce_response_reader_next(&reader, &result); i++) {
        ck_assert_int_eq(result.error, 0);
        if (i == 3) ck_assert_uint_eq(result.base_offset, 1);
    }
    raw_frame_deinit(&frame);
    buffer_deinit(&batch);
    buffer_deinit(&batches);
}
END_TEST

START_TEST(records_come_back_as_they_were_sent)
{
    struct buffer batch = raw_batch(20, 5000, -1, -1, raw_now_ms()), records = BUFFER_INIT;
    struct record_batch_header header;
    struct fetch_result result;

    wait_for_link();
    ck_assert_int_eq(raw_produce_result(&client, produce_one_send(far, &batch, -1)).error, 0);
    result = fetch_result(fetch_send(far, 1, 0, 1 << 20), &records);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.next_offset, 21);
    ck_assert_uint_eq(result.high_watermark, 21);
    ck_assert_uint_eq(records.size, batch.size);
    ck_assert_int_eq(record_batch_parse_header(buffer_slice(&records), &header), 0);
    ck_assert_int_eq(header.base_offset, 1);
    ck_assert_mem_eq(records.data + 61, batch.data + 61, batch.size - 61); /* what lies behind the header */
    buffer_deinit(&batch);
    buffer_deinit(&records);
}
END_TEST

START_TEST(a_long_poll_is_woken_at_the_leader)
{
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms()), records = BUFFER_INIT;
    uint32_t correlation_id;

    wait_for_link();
    correlation_id = fetch_send(far, 1, 60000, 1 << 20);
    raw_ping(&client); /* it waits, and nothing else waits for it */
    ck_assert_int_eq(raw_produce(&direct, &topic_id, far, &batch).error, 0);
    ck_assert_uint_eq(fetch_result(correlation_id, &records).next_offset, 2);
    ck_assert_uint_eq(records.size, batch.size);
    buffer_deinit(&batch);
    buffer_deinit(&records);
}
END_TEST

START_TEST(offsets_are_asked_of_the_leader)
{
    struct list_offsets_entry entries[] = {{topic_id, far, -1, 0, 0, false}, {topic_id, near, -1, 0, 0, false}};
    struct message_list_offsets_request request = {.entries = entries, .entry_count = 2, .forwards = true};
    struct message_list_offsets_response response;
    struct buffer message = BUFFER_INIT;
    struct raw_frame frame;

    wait_for_link();
    ck_assert_int_eq(produce(far, 7, 10).error, 0);
    ck_assert_int_eq(produce(near, 3, 10).error, 0);
    ck_assert_int_eq(message_encode_list_offsets_request(&message, &request), 0);
    raw_expect(&client, raw_send(&client, FRAME_OP_LIST_OFFSETS, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_list_offsets_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.result_count, 2);
    ck_assert_int_eq(response.results[0].offset, 8);
    ck_assert_int_eq(response.results[1].offset, 3);
    message_deinit_list_offsets_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
}
END_TEST

/* Pipelined by one connection, with sequences: a batch out of order would be refused. */
START_TEST(order_holds_on_the_way)
{
    enum { BATCHES = 300, WINDOW = 5 };
    uint32_t correlation_ids[BATCHES];
    const int64_t producer_id = PRODUCER_ID;

    wait_for_link();
    for (int i = 0; i < BATCHES + WINDOW; i++) {
        struct produce_result result;

        if (i >= WINDOW) {
            result = raw_produce_result(&client, correlation_ids[i - WINDOW]);
            ck_assert_int_eq(result.error, 0);
            ck_assert(!result.is_duplicate);
            ck_assert_uint_eq(result.base_offset, (uint64_t)(1 + 2 * (i - WINDOW)));
        }
        if (i < BATCHES) {
            struct buffer batch = raw_batch(2, i % 7 == 0 ? 60000 : 20, producer_id, 2 * i, raw_now_ms());

            correlation_ids[i] = produce_one_send(far, &batch, -1);
            buffer_deinit(&batch);
        }
    }
}
END_TEST

START_TEST(a_batch_sent_twice_is_known_at_the_leader)
{
    struct produce_result first, second;
    struct buffer batch;

    wait_for_link();
    batch = raw_batch(2, 100, PRODUCER_ID, 0, raw_now_ms());
    first = raw_produce_result(&client, produce_one_send(far, &batch, -1));
    second = raw_produce(&direct, &topic_id, far, &batch); /* now that its leader can be reached */
    ck_assert_int_eq(first.error, 0);
    ck_assert_int_eq(second.error, 0);
    ck_assert(second.is_duplicate);
    ck_assert_uint_eq(second.base_offset, first.base_offset);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(without_acknowledgement_it_goes_all_the_same)
{
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());

    wait_for_link();
    for (int i = 0; i < 100; i++)
        (void)produce_one_send(far, &batch, 0);
    ck_assert_uint_eq(produce(far, 1, 10).base_offset, 101); /* behind them all */
    buffer_deinit(&batch);
}
END_TEST

/* Far more than queues hold, there and back: nothing is lost, nothing refused. */
START_TEST(a_flood_is_slowed_down_and_arrives)
{
    enum { BATCHES = 120, WINDOW = 40 };
    struct buffer batch = raw_batch(1, 1000000, -1, -1, raw_now_ms()), records = BUFFER_INIT;
    uint32_t correlation_ids[BATCHES];
    uint64_t offset = 1;

    wait_for_link();
    for (int i = 0; i < BATCHES + WINDOW; i++) {
        if (i >= WINDOW) ck_assert_int_eq(raw_produce_result(&client, correlation_ids[i - WINDOW]).error, 0);
        if (i < BATCHES) correlation_ids[i] = produce_one_send(far, &batch, -1);
    }
    while (offset < BATCHES + 1) {
        struct fetch_result result = fetch_result(fetch_send(far, offset, 1000, 16 << 20), &records);

        ck_assert_int_eq(result.error, 0);
        offset = result.next_offset;
    }
    ck_assert_uint_eq(records.size, BATCHES * batch.size);
    buffer_deinit(&batch);
    buffer_deinit(&records);
}
END_TEST

/* What is asked of a broker by way of another one: answers that the link has no room for wait, as others do. */
START_TEST(every_question_to_a_broker_is_answered)
{
    enum { CLIENTS = 16, QUESTIONS = 20 };
    struct message_events_request request = {.broker = there.broker_id};
    static struct raw_client clients[CLIENTS];
    uint32_t correlation_ids[CLIENTS][QUESTIONS];
    struct buffer message = BUFFER_INIT;
    char text[EVENT_TEXT_SIZE_MAX];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < EVENTS_MAX; i++) /* answers are as long as they can be: more of them than a link keeps */
        event_note(&there.broker->control.events, EVENT_TOPIC, LOG_LEVEL_DEBUG, "%s", text);
    ck_assert_int_eq(message_encode_events_request(&message, &request), 0);
    wait_for_link();
    for (int i = 0; i < CLIENTS; i++)
        raw_hello(&clients[i], here.port, -1);
    for (int i = 0; i < CLIENTS * QUESTIONS; i++)
        correlation_ids[i % CLIENTS][i / CLIENTS] = raw_send(&clients[i % CLIENTS], FRAME_OP_EVENTS, buffer_slice(&message), slice_of(NULL, 0));
    for (int i = 0; i < CLIENTS * QUESTIONS; i++) {
        struct raw_frame frame;

        raw_expect(&clients[i % CLIENTS], correlation_ids[i % CLIENTS][i / CLIENTS], &frame);
        ck_assert_uint_gt(frame.message.size, OPERATE_EVENTS_BYTES_MAX / 2);
        raw_frame_deinit(&frame);
    }
    for (int i = 0; i < CLIENTS; i++)
        raw_close(&clients[i]);
    buffer_deinit(&message);
}
END_TEST

START_TEST(a_leader_that_goes_is_told_and_one_that_returns_is_used)
{
    struct fetch_result result = {0};
    uint32_t waiting;

    wait_for_link();
    waiting = fetch_send(far, 1, 60000, 1000);
    raw_ping(&client);
    raw_close(&direct);
    ck_assert_int_eq(broker_fixture_stop(&there), 0);
    /* An error that may be tried again, or the empty answer of a broker that stops. */
    (void)raw_fetch_results(&client, waiting, &result, 1, NULL);
    ck_assert(result.error == 0 || mesh_error_is_retriable(result.error));
    /* The coordinator sees its process end, and takes the leadership from it: sooner or later than this is asked. */
    result.error = produce(far, 1, 10).error;
    ck_assert(result.error == MESH_EUNREACHABLE || result.error == MESH_ENOT_LEADER);
    start_there();
    wait_for_link();
    ck_assert_int_eq(raw_list_offsets(&direct, &topic_id, far, -1).offset, 2); /* one before, one now */
}
END_TEST

START_TEST(a_stop_waits_for_no_long_poll_elsewhere)
{
    struct fetch_result result;
    uint32_t waiting;

    wait_for_link();
    waiting = fetch_send(far, 1, 60000, 1000);
    raw_ping(&client);
    broker_fixture_stop_begin(&here);
    ck_assert_uint_eq(raw_fetch_results(&client, waiting, &result, 1, NULL), 0); /* nothing to say */
}
END_TEST

START_TEST(a_client_that_leaves_takes_its_requests_along)
{
    struct buffer batch = raw_batch(1, 1000, -1, -1, raw_now_ms());

    wait_for_link();
    for (int i = 0; i < 20; i++) {
        (void)fetch_send(far, 1000000, 60000, 1000); /* an error */
        (void)fetch_send(far, 100, 60000, 1000);
        (void)produce_one_send(far, &batch, -1);
    }
    raw_close(&client);
    raw_hello(&client, here.port, -1);
    ck_assert_int_eq(produce(far, 1, 10).error, 0);
    buffer_deinit(&batch);
}
END_TEST

/* ---- what is logged of it ---- */

static int stderr_before;
static FILE *logged;

static void begin_capture(void)
{
    log_set_level(LOG_LEVEL_WARN);
    stderr_before = dup(STDERR_FILENO);
    logged = tmpfile();
    ck_assert(stderr_before >= 0 && logged != NULL && dup2(fileno(logged), STDERR_FILENO) >= 0);
}

static void end_capture(void)
{
    ck_assert_int_ge(dup2(stderr_before, STDERR_FILENO), 0);
    close(stderr_before);
    log_set_level(LOG_LEVEL_ERROR);
}

/* Copies the request's id out of the first line that says this; false: there is none. */
static bool find_id(const char *says, const char *says_too, char id[32])
{
    char line[1024];

    rewind(logged);
    while (fgets(line, sizeof(line), logged) != NULL) {
        const char *at = strstr(line, says);

        if (at == NULL || strstr(line, "op=produce") == NULL || strstr(line, says_too) == NULL || (at = strstr(line, "request=")) == NULL) continue;
        ck_assert_int_eq(sscanf(at, "request=%31s", id), 1);
        return true;
    }
    return false;
}

/* The leader's line is there when the answer leaves, the entry's when it has come; unless others have used up the lines of that second. */
static bool has_one_id(const char *how, uint32_t correlation_id)
{
    char expected[32], says[80], who[80], entry[32], leader[32];
    bool is_there;

    end_capture();
    snprintf(says, sizeof(says), "a request that was sent on to another broker %s", how);
    snprintf(who, sizeof(who), " correlation=%u ", correlation_id);
    is_there = find_id(says, who, entry);
    snprintf(says, sizeof(says), "a request from another broker %s", how);
    is_there = find_id(says, "", leader) && is_there;
    fclose(logged);
    if (!is_there) return false;
    ck_assert_str_eq(entry, leader);
    snprintf(expected, sizeof(expected), "%02x%02x%02x%02x-", here.broker_id.bytes[0], here.broker_id.bytes[1], here.broker_id.bytes[2], here.broker_id.bytes[3]);
    ck_assert_int_eq(strncmp(entry, expected, strlen(expected)), 0);
    return true;
}

/* Over there the disk hangs for longer than the producer waits. */
START_TEST(one_that_failed_has_the_same_id_on_both_ends)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    uint32_t id;

    wait_for_link();
    client.produce_timeout_ms = 50;
    do {
        begin_capture();
        fs_gate_shut();
        id = produce_one_send(far, &batch, -1);
        fs_gate_wait();
        ck_assert_int_eq(raw_produce_result(&client, id).error, MESH_ETIMEDOUT);
        fs_gate_open();
    } while (!has_one_id("failed", id));
    buffer_deinit(&batch);
}
END_TEST

/* For longer than what is slow. */
START_TEST(one_that_was_slow_has_the_same_id_on_both_ends)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    int64_t until_ms;
    uint32_t id;

    wait_for_link();
    do {
        begin_capture();
        fs_gate_shut();
        id = produce_one_send(far, &batch, -1);
        fs_gate_wait();
        until_ms = raw_now_ms() + 400;
        while (raw_now_ms() < until_ms)
            raw_ping(&direct);
        fs_gate_open();
        ck_assert_int_eq(raw_produce_result(&client, id).error, 0);
    } while (!has_one_id("was slow", id));
    buffer_deinit(&batch);
}
END_TEST

/* ---- how far partitions go ---- */

static void describe(struct raw_client *asked, struct message_topic_response *ret_response)
{
    char *names[] = {(char *)(uintptr_t) "orders"};
    struct message_topic_describe request = {.names = names, .name_count = 1, .with_offsets = true};
    struct buffer message = BUFFER_INIT;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_topic_describe(&message, &request), 0);
    raw_expect(asked, raw_send(asked, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), ret_response), 0);
    ck_assert_uint_eq(ret_response->topic_count, 1);
    ck_assert_uint_eq(ret_response->topics[0].partition_count, PARTITIONS);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
}

/* Partition i gets i + 1 records. */
static void fill_partitions(void)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct buffer batch = raw_batch((int)i + 1, 10, -1, -1, raw_now_ms());

        ck_assert_int_eq(raw_produce(leaders[i] == 1 ? &client : &direct, &topic_id, i, &batch).error, 0);
        buffer_deinit(&batch);
    }
}

START_TEST(every_broker_says_how_far_every_partition_goes)
{
    struct raw_client *const asked[] = {&client, &direct};

    fill_partitions();
    for (int i = 0; i < 2; i++) {
        struct message_topic_response response;

        describe(asked[i], &response);
        for (uint32_t j = 0; j < PARTITIONS; j++) {
            const struct message_partition *partition = &response.topics[0].partitions[j];

            ck_assert_int_eq(partition->error, 0);
            ck_assert_str_eq(partition->problem, "");
            ck_assert_int_eq(partition->leader, leaders[j]);
            ck_assert_uint_eq(partition->high_watermark, j + 1);
            ck_assert_uint_eq(partition->log_start, 0);
            ck_assert_uint_eq(partition->log_end, j + 1);
            ck_assert_uint_gt(partition->size_bytes, 0);
        }
        message_deinit_topic_response(&response);
    }
}
END_TEST

START_TEST(of_a_leader_that_is_gone_nothing_is_known)
{
    struct message_topic_response response;

    fill_partitions();
    raw_close(&direct);
    ck_assert_int_eq(broker_fixture_stop(&there), 0);
    describe(&client, &response);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        const struct message_partition *partition = &response.topics[0].partitions[i];
        bool is_known = leaders[i] == 1;

        ck_assert_int_eq(partition->error, is_known ? 0 : MESH_EUNREACHABLE);
        ck_assert_int_eq(partition->problem[0] == '\0', is_known);
        ck_assert_uint_eq(partition->high_watermark, is_known ? i + 1 : 0);
    }
    message_deinit_topic_response(&response);
    start_there();
}
END_TEST

/* Both brokers stop while they ask and are asked. */
START_TEST(a_stop_while_a_leader_is_asked_is_orderly)
{
    const struct message_topic_describe request = {.all = true, .with_offsets = true};
    struct buffer message = BUFFER_INIT;

    ck_assert_int_eq(message_encode_topic_describe(&message, &request), 0);
    for (int i = 0; i < 50; i++)
        (void)raw_send(&client, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&message), slice_of(NULL, 0));
    broker_fixture_stop_begin(&there);
    ck_assert_int_eq(broker_fixture_stop(&here), 0);
    buffer_deinit(&message);
}
END_TEST

static void add_requests(Suite *suite, const char *name, SFun setup_one)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup_one, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_batch_reaches_its_leader_and_the_receipt_comes_back);
    tcase_add_test(tcase, who_does_not_ask_for_it_is_told_to_go_elsewhere);
    tcase_add_test(tcase, one_request_may_concern_both_brokers);
    tcase_add_test(tcase, records_come_back_as_they_were_sent);
    tcase_add_test(tcase, a_long_poll_is_woken_at_the_leader);
    tcase_add_test(tcase, offsets_are_asked_of_the_leader);
    tcase_add_test(tcase, order_holds_on_the_way);
    tcase_add_test(tcase, a_batch_sent_twice_is_known_at_the_leader);
    tcase_add_test(tcase, without_acknowledgement_it_goes_all_the_same);
    tcase_add_test(tcase, a_flood_is_slowed_down_and_arrives);
    tcase_add_test(tcase, every_question_to_a_broker_is_answered);
    tcase_add_test(tcase, a_leader_that_goes_is_told_and_one_that_returns_is_used);
    tcase_add_test(tcase, a_stop_waits_for_no_long_poll_elsewhere);
    tcase_add_test(tcase, a_client_that_leaves_takes_its_requests_along);
    suite_add_tcase(suite, tcase);
}

static void add_descriptions(Suite *suite)
{
    TCase *tcase = tcase_create("descriptions");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_broker_says_how_far_every_partition_goes);
    tcase_add_test(tcase, of_a_leader_that_is_gone_nothing_is_known);
    tcase_add_test(tcase, a_stop_while_a_leader_is_asked_is_orderly);
    suite_add_tcase(suite, tcase);
}

static void add_log(Suite *suite, const char *name, SFun setup_one)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup_one, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, one_that_failed_has_the_same_id_on_both_ends);
    tcase_add_test(tcase, one_that_was_slow_has_the_same_id_on_both_ends);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("forward");

    add_requests(suite, "from the first request on", setup);
    add_requests(suite, "by a stream", setup_streamed);
    add_descriptions(suite);
    add_log(suite, "log", setup_gated);
    add_log(suite, "log, by a stream", setup_gated_streamed);
    return run_suite(suite);
}
