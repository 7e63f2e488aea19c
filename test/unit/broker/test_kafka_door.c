/* The Kafka door's memory: answers that wait for one before them are charged, bounded, and given back. */
#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/front/connections.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/header.h"
#include "kafka/messages.h"
#include "raw_client.h"
#include "support/fs_gate.h"
#include "support/run_suite.h"

#include "base/bytes.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define VERSION     7
#define NAME_SIZE   30000
#define FLOOD_BYTES (48u << 20) /* far beyond what sockets hold */
#define STALL_MS    500

static struct broker_fixture fixture;
static struct raw_client kafka;
static struct buffer batch;
static char name[NAME_SIZE]; /* of a topic that is not there: its answer is as large as the request, and known at once */
static size_t charged;       /* when the broker had ended */

static void on_opened(struct broker_fixture *self)
{
    for (uint32_t i = 0; i < self->broker->shard_count; i++)
        fs_gate_install(self->broker->store_disks[i], "sync-");
    broker_fixture_use_lanes(self);
}

static void on_served(struct broker_fixture *self)
{
    fs_gate_open();
    charged = 0;
    for (uint32_t i = 0; i < self->broker->shard_count; i++) {
        connections_close_all(self->broker->shards[i]);
        charged += self->broker->shards[i]->pool.used_bytes;
    }
}

static void setup(void)
{
    struct raw_client client;

    memset(name, 'n', sizeof(name));
    broker_fixture_init(&fixture);
    fixture.opened = on_opened;
    fixture.served = on_served;
    broker_fixture_set(&fixture, "connection.memory.bytes.max", "64k");
    broker_fixture_set(&fixture, "stop.ms.max", "30000");
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
    raw_topic_create(&client, "slow", 1, NULL, NULL);
    raw_close(&client);
    batch = raw_batch(1, 100, -1, -1, raw_now_ms());
    raw_connect(&kafka, fixture.port);
}

static void teardown(void)
{
    fs_gate_open();
    raw_close(&kafka);
    buffer_deinit(&batch);
    broker_fixture_stop(&fixture);
    ck_assert_uint_eq(charged, 0);
    broker_fixture_deinit(&fixture);
}

/* A produce request of one batch that asks for every acknowledgement. */
static struct buffer produce_request(int32_t correlation_id, struct slice topic_name)
{
    struct kafka_produce_request_partition partition = {.index = 0, .records = buffer_slice(&batch)};
    struct kafka_produce_request_topic topic = {.name = topic_name, .partitions = {&partition, 1}};
    struct kafka_produce_request request = {.acks = -1, .timeout_ms = 0, .topics = {&topic, 1}};
    struct buffer frame = BUFFER_INIT;

    ck_assert_int_eq(kafka_request_encode(kafka_api_find(KAFKA_PRODUCE), VERSION, correlation_id, slice_of_string("test"), &request, &frame), 0);
    return frame;
}

static void send_slow(int32_t correlation_id)
{
    struct buffer frame = produce_request(correlation_id, slice_of_string("slow"));

    raw_send_bytes(&kafka, frame.data, frame.size);
    buffer_deinit(&frame);
}

/* false: the broker takes no more. */
static bool send_some(const uint8_t *at, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(kafka.fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd ready = {.fd = kafka.fd, .events = POLLOUT};

        if (sent < 0 && errno == EAGAIN && poll(&ready, 1, STALL_MS) == 0) return false;
        ck_assert(sent >= 0 || errno == EAGAIN);
        if (sent < 0) continue;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* How many requests whose answers wait behind that of correlation id 0 the broker takes. */
static int32_t flood(void)
{
    size_t total = 0;

    for (int32_t count = 1;; count++) {
        struct buffer frame = produce_request(count, slice_of(name, sizeof(name)));
        bool is_sent = send_some(frame.data, frame.size);

        total += frame.size;
        buffer_deinit(&frame);
        if (!is_sent) return count - 1;
        ck_assert_msg(total < FLOOD_BYTES, "the broker keeps whatever it is sent");
    }
}

static void expect_answer(int32_t correlation_id)
{
    static uint8_t answer[2 * NAME_SIZE];
    uint32_t size;

    ck_assert_int_eq(recv(kafka.fd, answer, 4, MSG_WAITALL), 4);
    size = be_load32(answer);
    ck_assert_uint_le(size, sizeof(answer));
    ck_assert_int_eq(recv(kafka.fd, answer, size, MSG_WAITALL), (ssize_t)size);
    ck_assert_int_eq((int32_t)be_load32(answer), correlation_id);
}

START_TEST(answers_that_wait_for_one_before_them_are_bounded)
{
    int32_t count;

    fs_gate_shut();
    send_slow(0);
    fs_gate_wait();
    count = flood();
    ck_assert_int_gt(count, 1);
    fs_gate_open();
    for (int32_t i = 0; i <= count; i++)
        expect_answer(i);
}
END_TEST

START_TEST(answers_that_nobody_waits_for_any_more_are_given_back)
{
    fs_gate_shut();
    send_slow(0);
    fs_gate_wait();
    ck_assert_int_gt(flood(), 1);
    raw_close(&kafka);
    fs_gate_open();
    raw_connect(&kafka, fixture.port);
    send_slow(7);
    expect_answer(7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka door");
    TCase *tcase = tcase_create("memory");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, answers_that_wait_for_one_before_them_are_bounded);
    tcase_add_test(tcase, answers_that_nobody_waits_for_any_more_are_given_back);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
