/* Bad bytes, too many, too large, too slow: each costs its sender, and everybody else is served. */
#include "base/bytes.h"
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/runtime/shard.h"
#include "raw_client.h"
#include "support/run_suite.h"
#include "wire/message_operate.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct broker_fixture fixture;
static struct raw_client witness; /* must be served whatever the others do */

static void setup(void)
{
    broker_fixture_init(&fixture);
    broker_fixture_set(&fixture, "request.bytes.max", "1m");
    broker_fixture_set(&fixture, "connection.stall.ms", "200");
    broker_fixture_set(&fixture, "connections.max", "300");
    broker_fixture_set(&fixture, "connection.memory.bytes.max", "256k");
    broker_fixture_start(&fixture);
    raw_hello(&witness, fixture.port, 0);
}

static void teardown(void)
{
    raw_ping(&witness);
    raw_close(&witness);
    broker_fixture_deinit(&fixture);
}

static void expect_closed(struct raw_client *client)
{
    uint8_t byte;
    ssize_t size = recv(client->fd, &byte, 1, 0);

    ck_assert_msg(size == 0 || (size < 0 && errno == ECONNRESET), "the connection is still open");
    raw_close(client);
}

/* ---- malformed frames ---- */

static const struct {
    const char *name;
    size_t position; /* of the byte to spoil in the header of a ping */
    uint8_t value;
    int want;
} frame_cases[] = {
    {"magic", 0, 'X', MESH_EPROTO},
    {"version", 4, 9, MESH_EVERSION},
    {"unknown flag", 5, 0x80, MESH_EPROTO},
    {"response flag", 5, FRAME_FLAG_RESPONSE, MESH_EPROTO},
    {"message length over its limit", 15, 0x7f, MESH_ETOOLARGE},
    {"attachment length over the request's limit", 19, 0x7f, MESH_ETOOLARGE},
    {"checksum", 20, 0xaa, MESH_ECORRUPT},
};
START_TEST(a_malformed_frame_is_told_and_closed)
{
    struct frame_header header = {.op = FRAME_OP_PING, .correlation_id = 7};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct raw_client client;

    raw_hello(&client, fixture.port, _i % 2);
    if (frame_cases[_i].value == FRAME_FLAG_RESPONSE) header.flags = FRAME_FLAG_RESPONSE; /* a valid checksum */
    frame_write_header(bytes, &header, NULL);
    bytes[frame_cases[_i].position] = frame_cases[_i].value;
    raw_send_bytes(&client, bytes, sizeof(bytes));
    ck_assert_int_eq(raw_expect_error(&client), frame_cases[_i].want);
    shutdown(client.fd, SHUT_WR);
    expect_closed(&client);
}
END_TEST

START_TEST(the_first_request_must_be_a_hello)
{
    struct raw_client client;

    raw_connect(&client, fixture.port);
    raw_send(&client, FRAME_OP_PING, slice_of(NULL, 0), slice_of(NULL, 0));
    ck_assert_int_eq(raw_expect_error(&client), MESH_EPROTO);
    shutdown(client.fd, SHUT_WR);
    expect_closed(&client);
}
END_TEST

START_TEST(an_unknown_operation_is_refused_and_the_connection_lives_on)
{
    raw_send(&witness, 999, slice_of(NULL, 0), slice_of(NULL, 0));
    ck_assert_int_eq(raw_expect_error(&witness), MESH_EUNSUPPORTED);
}
END_TEST

static const uint16_t message_ops[] = {FRAME_OP_TOPIC_CREATE, FRAME_OP_TOPIC_DELETE,   FRAME_OP_TOPIC_ALTER,
                                       FRAME_OP_PRODUCE,      FRAME_OP_TOPIC_DESCRIBE, FRAME_OP_FETCH,
                                       FRAME_OP_LIST_OFFSETS};
START_TEST(a_malformed_message_is_refused_and_the_connection_lives_on)
{
    static const uint8_t lies[] = {0x0a, 0x7f, 'x'}; /* field 1, 127 bytes long, of which one is there */

    raw_send(&witness, message_ops[_i], slice_of(lies, sizeof(lies)), slice_of(NULL, 0));
    ck_assert_int_eq(raw_expect_error(&witness), MESH_EPROTO);
}
END_TEST

START_TEST(batch_sizes_must_add_up)
{
    struct uuid topic = raw_topic_create(&witness, "sums", 1, NULL, NULL);
    struct produce_entry entry = {topic, 0, -1, 500};
    struct buffer message = BUFFER_INIT;

    produce_request_start(&message, -1, 30000);
    produce_request_add(&message, &entry);
    raw_send(&witness, FRAME_OP_PRODUCE, buffer_slice(&message), slice_of("short", 5));
    ck_assert_int_eq(raw_expect_error(&witness), MESH_EPROTO);
    buffer_deinit(&message);
}
END_TEST

START_TEST(random_bytes_harm_nobody)
{
    for (int round = 0; round < 50; round++) {
        struct raw_client client;
        uint8_t bytes[512];

        srand((unsigned)round);
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)rand();
        if (round % 2 == 0) memcpy(bytes, "MESH\1", 5);
        raw_connect(&client, fixture.port);
        raw_send_bytes(&client, bytes, sizeof(bytes));
        raw_close(&client);
    }
}
END_TEST

/* ---- doors ---- */

static const struct {
    const char *bytes;
    size_t size;
} door_cases[] = {
    {"\x16\x03\x01\x02\x00", 5},                         /* TLS */
    {"\x00\x00\x00\x0a\x00\x63\x00\x00\x00\x00\x00\x01\xff\xff", 14}, /* Kafka's protocol, a request that nobody knows */
    {"\x00\x00\x00\x07\x00\x12\x00\x00\x00\x00\x00", 11}, /* a request smaller than its header */
    {"SSH-2.0-OpenSSH", 15},
};
START_TEST(doors_that_are_not_there_close)
{
    struct raw_client client;

    raw_connect(&client, fixture.port);
    raw_send_bytes(&client, door_cases[_i].bytes, door_cases[_i].size);
    expect_closed(&client);
}
END_TEST

START_TEST(http_is_served_on_the_same_port)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n";
    char response[512] = "";
    size_t size = 0;
    ssize_t got;
    struct raw_client client;

    raw_connect(&client, fixture.port);
    raw_send_bytes(&client, request, 2); /* the verb in pieces */
    raw_send_bytes(&client, request + 2, sizeof(request) - 3);
    while (size < sizeof(response) - 1 && (got = recv(client.fd, response + size, sizeof(response) - 1 - size, 0)) > 0)
        size += (size_t)got;
    ck_assert_msg(strncmp(response, "HTTP/1.1 200", 12) == 0, "%s", response);
    raw_close(&client);
}
END_TEST

/* ---- silence ---- */

START_TEST(connections_that_never_speak_are_closed_in_time)
{
    struct raw_client silent[100];

    for (int i = 0; i < 100; i++)
        raw_connect(&silent[i], fixture.port);
    raw_ping(&witness);
    for (int i = 0; i < 100; i++)
        expect_closed(&silent[i]);
}
END_TEST

START_TEST(a_request_that_stops_in_the_middle_is_closed_in_time)
{
    struct frame_header header = {.op = FRAME_OP_PRODUCE, .correlation_id = 1, .attachment_size = 500000};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct raw_client client;

    raw_hello(&client, fixture.port, 1);
    frame_write_header(bytes, &header, NULL);
    raw_send_bytes(&client, bytes, sizeof(bytes));
    raw_send_bytes(&client, "a little", 8);
    expect_closed(&client);
}
END_TEST

START_TEST(an_idle_connection_after_its_hello_stays)
{
    struct raw_client silent;

    raw_connect(&silent, fixture.port); /* its end says that the time is up */
    expect_closed(&silent);
    raw_ping(&witness);
}
END_TEST

START_TEST(connections_over_the_limit_are_closed_at_once)
{
    struct raw_client clients[320];
    int served = 0;

    for (int i = 0; i < 320; i++)
        raw_connect(&clients[i], fixture.port);
    for (int i = 0; i < 320; i++) {
        uint8_t byte;
        if (recv(clients[i].fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) served++;
        raw_close(&clients[i]);
    }
    ck_assert_int_le(served, 320); /* which ones is a matter of time; that the witness lives on is checked behind */
}
END_TEST

/* ---- slow readers ---- */

static void produce_some(const struct uuid *topic, int count)
{
    struct buffer batch = raw_batch(100, 1000, -1, -1, raw_now_ms());

    for (int i = 0; i < count; i++)
        ck_assert_int_eq(raw_produce(&witness, topic, 0, &batch).error, 0);
    buffer_deinit(&batch);
}

START_TEST(a_client_that_does_not_read_is_closed_and_holds_up_nobody)
{
    struct uuid topic = raw_topic_create(&witness, "slow", 1, NULL, NULL);
    struct raw_fetch options = {0, 1, 1 << 20};
    struct fetch_entry entry = {topic, 0, -1, 0, 1 << 20, false, false};
    struct raw_client slow;
    int small = 4096;
    uint8_t byte;

    produce_some(&topic, 10);
    raw_hello(&slow, fixture.port, (int32_t)raw_shard_of(&topic, 0));
    setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 100; i++) /* 100 MB of answers */
        raw_fetch_send(&slow, &options, &entry, 1);
    produce_some(&topic, 10);
    do { /* reads nothing but whether it is over */
        struct timeval tiny = {.tv_usec = 20000};
        setsockopt(slow.fd, SOL_SOCKET, SO_RCVTIMEO, &tiny, sizeof(tiny));
        raw_ping(&witness);
    } while (send(slow.fd, "M", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN);
    while (recv(slow.fd, &byte, 1, 0) > 0 && byte == 0)
        ;
    raw_close(&slow);
}
END_TEST

START_TEST(a_client_that_reads_late_gets_every_answer)
{
    struct uuid topic = raw_topic_create(&witness, "late", 2, NULL, NULL);
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());
    struct raw_client client;
    uint32_t first = 0;

    raw_hello(&client, fixture.port, 0);
    for (int i = 0; i < 20000; i++) { /* answers pile up behind the limits while nothing is read */
        uint32_t id = raw_produce_send(&client, &topic, 0, &batch, -1);
        if (i == 0) first = id;
        if (i % 2000 == 1999)
            for (uint32_t j = 0; j < 2000; j++)
                ck_assert_int_eq(raw_produce_result(&client, first++).error, 0);
    }
    raw_close(&client);
    buffer_deinit(&batch);
}
END_TEST

/* The records that the slow client is to get lie in the store's memory, far less than what is produced meanwhile. */
START_TEST(a_client_that_does_not_read_does_not_fill_the_stores_memory)
{
    struct fetch_entry entry = {.leader_epoch = -1, .bytes_max = 1 << 20};
    struct raw_fetch options = {0, 1, 1 << 20};
    struct raw_client slow[20];

    raw_close(&witness);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_set(&fixture, "connection.stall.ms", "60000");
    broker_fixture_set(&fixture, "store.memory.bytes.max", "16m");
    broker_fixture_start(&fixture);
    raw_hello(&witness, fixture.port, 0);
    entry.topic_id = raw_topic_create(&witness, "pinned", 1, NULL, NULL);
    for (int i = 0; i < 20; i++) {
        int small = 4096;
        raw_hello(&slow[i], fixture.port, (int32_t)raw_shard_of(&entry.topic_id, 0));
        setsockopt(slow[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        produce_some(&entry.topic_id, 8);
        for (int j = 0; j < 8; j++) /* the newest 800 KB, again and again: more than the sockets hold */
            raw_fetch_send(&slow[i], &options, &entry, 1);
        raw_ping(&witness);
        entry.offset += 800;
    }
    produce_some(&entry.topic_id, 300);
    for (int i = 0; i < 20; i++)
        raw_close(&slow[i]);
}
END_TEST

#define BATCHES_PER_REQUEST 8

/* Far more than the store's memory is sent before the first answer is read, to partitions of both shards. */
START_TEST(requests_with_many_batches_wait_for_memory_in_the_middle)
{
    struct buffer batch = raw_batch(100, 1000, -1, -1, raw_now_ms()), message = BUFFER_INIT, all = BUFFER_INIT;
    struct uuid topic;
    uint32_t first = 0;

    raw_close(&witness);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_set(&fixture, "store.memory.bytes.max", "16m");
    broker_fixture_set(&fixture, "memory.bytes.max", "8m");
    broker_fixture_start(&fixture);
    raw_hello(&witness, fixture.port, 0);
    topic = raw_topic_create(&witness, "crowd", BATCHES_PER_REQUEST, NULL, NULL);
    produce_request_start(&message, -1, 1000);
    for (uint32_t i = 0; i < BATCHES_PER_REQUEST; i++) {
        struct produce_entry entry = {topic, i, -1, (uint32_t)batch.size};
        produce_request_add(&message, &entry);
        buffer_append(&all, batch.data, batch.size);
    }
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t id = raw_send(&witness, FRAME_OP_PRODUCE, buffer_slice(&message), buffer_slice(&all));
        if (i == 0) first = id;
    }
    for (uint32_t i = 0; i < 100; i++) {
        struct produce_response_reader reader;
        struct produce_result result;
        struct raw_frame frame;

        raw_expect(&witness, first + i, &frame);
        ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
        ck_assert_uint_eq(reader.result_count, BATCHES_PER_REQUEST);
        while (produce_response_reader_next(&reader, &result)) {
            ck_assert_int_eq(result.error, 0);
            ck_assert_uint_eq(result.base_offset, i * 100);
        }
        raw_frame_deinit(&frame);
    }
    buffer_deinit(&batch);
    buffer_deinit(&message);
    buffer_deinit(&all);
}
END_TEST

/* ---- limits that change ---- */

static size_t pool_bytes_max;

/* The threads have ended. */
static void read_pools(struct broker_fixture *self)
{
    struct shard **shards = self->broker->shards;

    pool_bytes_max = shards[0]->pool.bytes_max;
    ck_assert_uint_eq(shards[1]->pool.bytes_max, pool_bytes_max);
}

static void change_setting(const char *key, const char *value)
{
    struct message_config_change change = {slice_of_string(key), slice_of_string(value)};
    const struct message_config_request request = {.action = MESSAGE_CONFIG_SET, .changes = &change, .change_count = 1};
    struct buffer message = BUFFER_INIT;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_config_request(&message, &request), 0);
    raw_expect(&witness, raw_send(&witness, FRAME_OP_CONFIG, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
}

/* Every shard has the new limit, and a start after it, too. */
START_TEST(a_limit_that_changes_while_it_runs_reaches_the_shards)
{
    for (int i = 0; i < 2; i++) {
        struct raw_client other;

        fixture.served = read_pools;
        if (i == 0) change_setting("memory.bytes.max", "512MiB");
        raw_hello(&other, fixture.port, 1);
        raw_ping(&other);
        raw_ping(&witness);
        raw_close(&other);
        raw_close(&witness);
        ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
        ck_assert_uint_eq(pool_bytes_max, 256u << 20); /* of two */
        pool_bytes_max = 0;
        broker_fixture_start(&fixture);
        raw_hello(&witness, fixture.port, 0);
    }
}
END_TEST

/* ---- a pool that is full of those who wait ---- */

#define WAITERS 80

static void restart_with_small_pool(const char *stall_ms)
{
    raw_close(&witness);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_set(&fixture, "connection.stall.ms", stall_ms);
    broker_fixture_set(&fixture, "memory.bytes.max", "4m"); /* per shard: room for 64 requests that have just begun */
    broker_fixture_start(&fixture);
    raw_hello(&witness, fixture.port, 0);
}

/* More clients than the pool has buffers begin a large request, each with more bytes than a small buffer holds. */
static void begin_large_requests(struct raw_client *clients, size_t size)
{
    struct frame_header header = {.op = FRAME_OP_PRODUCE, .correlation_id = 9, .message_size = 100,
                                  .attachment_size = 900000};
    static uint8_t junk[200000];
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_write_header(bytes, &header, junk);
    for (int i = 0; i < WAITERS; i++)
        raw_hello(&clients[i], fixture.port, 0);
    for (int i = 0; i < WAITERS; i++) {
        raw_send_bytes(&clients[i], bytes, sizeof(bytes));
        raw_send_bytes(&clients[i], junk, 5000);
    }
    for (int i = 0; i < WAITERS; i++)
        raw_send_bytes(&clients[i], junk, size);
}

START_TEST(clients_that_leave_while_they_wait_for_memory_free_theirs)
{
    struct raw_client clients[WAITERS];

    restart_with_small_pool("20000"); /* far longer than the witness is patient */
    begin_large_requests(clients, 15000);
    for (int i = 0; i < WAITERS; i++)
        raw_close(&clients[i]);
    raw_ping(&witness);
}
END_TEST

START_TEST(clients_that_stop_while_they_wait_for_memory_are_closed_in_time)
{
    struct raw_client clients[WAITERS];

    restart_with_small_pool("200");
    begin_large_requests(clients, 15000);
    raw_ping(&witness);
    for (int i = 0; i < WAITERS; i++)
        raw_close(&clients[i]);
}
END_TEST

struct sender {
    pthread_t thread;
    struct raw_client client;
    const struct uuid *topic;
    const struct buffer *batch;
    uint32_t partition;
    int error;
};

static void *send_batches(void *user)
{
    struct sender *sender = user;

    for (int i = 0; i < 3 && sender->error == 0; i++)
        sender->error = raw_produce(&sender->client, sender->topic, sender->partition, sender->batch).error;
    return NULL;
}

/* All of the pool holds halves of requests, or whole ones whose copy for the other shard finds no room. */
START_TEST(large_requests_of_many_clients_all_get_through)
{
    struct sender senders[40];
    struct buffer batch = raw_batch(1, 600000, -1, -1, raw_now_ms());
    struct uuid topic;
    uint32_t partition = 0;

    restart_with_small_pool("20000");
    topic = raw_topic_create(&witness, "large", 8, NULL, NULL);
    while (raw_shard_of(&topic, partition) != (uint32_t)_i)
        partition++;
    for (int i = 0; i < 40; i++) {
        senders[i] = (struct sender){.topic = &topic, .batch = &batch, .partition = partition};
        raw_hello(&senders[i].client, fixture.port, 0);
    }
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_batches, &senders[i]), 0);
    for (int i = 0; i < 40; i++) {
        pthread_join(senders[i].thread, NULL);
        ck_assert_int_eq(senders[i].error, 0);
        raw_close(&senders[i].client);
    }
    buffer_deinit(&batch);
}
END_TEST

/* ---- requests of very many entries ---- */

#define CROWD_ENTRIES 5000

static void fill_crowd(struct fetch_entry *entries, const struct uuid *topic)
{
    for (int i = 0; i < CROWD_ENTRIES; i++)
        entries[i] = (struct fetch_entry){.topic_id = *topic, .leader_epoch = -1, .bytes_max = 1};
}

/* Each entry that has records holds memory of its own, however few they are. */
START_TEST(a_fetch_answers_as_many_entries_with_records_as_memory_allows)
{
    static struct fetch_entry entries[CROWD_ENTRIES];
    static struct fetch_result results[CROWD_ENTRIES];
    struct uuid topic = raw_topic_create(&witness, "crumbs", 1, NULL, NULL);
    struct raw_fetch options = {0, 1, 1 << 30};
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    uint32_t count;

    ck_assert_int_eq(raw_produce(&witness, &topic, 0, &batch).error, 0);
    fill_crowd(entries, &topic);
    count = raw_fetch_results(&witness, raw_fetch_send(&witness, &options, entries, CROWD_ENTRIES), results,
                              CROWD_ENTRIES, NULL);
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_le(count, 600);
    buffer_deinit(&batch);
}
END_TEST

/* While one of them waits, the connection is not read from, so nothing overtakes it. */
START_TEST(fetches_of_many_entries_wait_one_at_a_time)
{
    static struct fetch_entry entries[CROWD_ENTRIES];
    struct uuid topic = raw_topic_create(&witness, "empty", 1, NULL, NULL);
    struct raw_fetch options = {300, 1, 1 << 20};
    uint32_t first;

    fill_crowd(entries, &topic);
    first = raw_fetch_send(&witness, &options, entries, CROWD_ENTRIES);
    (void)raw_fetch_send(&witness, &options, entries, CROWD_ENTRIES);
    (void)raw_send(&witness, FRAME_OP_PING, slice_of(NULL, 0), slice_of(NULL, 0));
    for (uint32_t i = 0; i < 3; i++) {
        struct raw_frame frame;
        raw_expect(&witness, first + i, &frame);
        raw_frame_deinit(&frame);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker limits");
    TCase *tcase = tcase_create("limits");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_malformed_frame_is_told_and_closed, 0, sizeof(frame_cases) / sizeof(frame_cases[0]));
    tcase_add_test(tcase, the_first_request_must_be_a_hello);
    tcase_add_test(tcase, an_unknown_operation_is_refused_and_the_connection_lives_on);
    tcase_add_loop_test(tcase, a_malformed_message_is_refused_and_the_connection_lives_on, 0,
                        sizeof(message_ops) / sizeof(message_ops[0]));
    tcase_add_test(tcase, batch_sizes_must_add_up);
    tcase_add_test(tcase, random_bytes_harm_nobody);
    tcase_add_loop_test(tcase, doors_that_are_not_there_close, 0, sizeof(door_cases) / sizeof(door_cases[0]));
    tcase_add_test(tcase, http_is_served_on_the_same_port);
    tcase_add_test(tcase, connections_that_never_speak_are_closed_in_time);
    tcase_add_test(tcase, a_request_that_stops_in_the_middle_is_closed_in_time);
    tcase_add_test(tcase, an_idle_connection_after_its_hello_stays);
    tcase_add_test(tcase, connections_over_the_limit_are_closed_at_once);
    tcase_add_test(tcase, a_client_that_does_not_read_is_closed_and_holds_up_nobody);
    tcase_add_test(tcase, a_client_that_reads_late_gets_every_answer);
    tcase_add_test(tcase, requests_with_many_batches_wait_for_memory_in_the_middle);
    tcase_add_test(tcase, a_client_that_does_not_read_does_not_fill_the_stores_memory);
    tcase_add_test(tcase, a_limit_that_changes_while_it_runs_reaches_the_shards);
    tcase_add_test(tcase, clients_that_leave_while_they_wait_for_memory_free_theirs);
    tcase_add_test(tcase, clients_that_stop_while_they_wait_for_memory_are_closed_in_time);
    tcase_add_loop_test(tcase, large_requests_of_many_clients_all_get_through, 0, 2);
    tcase_add_test(tcase, a_fetch_answers_as_many_entries_with_records_as_memory_allows);
    tcase_add_test(tcase, fetches_of_many_entries_wait_one_at_a_time);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
