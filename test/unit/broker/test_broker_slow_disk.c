/* A disk that hangs: who waits is answered in time, a stop ends, and once the disk goes on nothing is missing. */
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "raw_client.h"
#include "support/fs_gate.h"
#include "support/run_suite.h"

#include <check.h>

#define PARTITIONS 8

static struct broker_fixture fixture;
static struct raw_client client; /* on shard 0 */
static struct uuid topic;

static void on_opened(struct broker_fixture *self)
{
    for (uint32_t i = 0; i < self->broker->shard_count; i++)
        fs_gate_install(self->broker->store_disks[i], "sync-");
    broker_fixture_use_lanes(self);
}

static void on_served(struct broker_fixture *self)
{
    (void)self;
    fs_gate_open(); /* or its threads would never end */
}

static void setup(void)
{
    broker_fixture_init(&fixture);
    fixture.opened = on_opened;
    fixture.served = on_served;
    broker_fixture_set(&fixture, "store.memory.bytes.max", "16m");
    broker_fixture_set(&fixture, "stop.ms.max", "30000"); /* the disk goes on before: however busy the machine is, it stops cleanly */
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
    topic = raw_topic_create(&client, "slow", PARTITIONS, NULL, NULL);
}

static void teardown(void)
{
    fs_gate_open();
    raw_close(&client);
    broker_fixture_deinit(&fixture);
}

/* Options are taken over by a start. */
static void start_again(const char *stop_ms_max)
{
    raw_close(&client);
    broker_fixture_set(&fixture, "stop.ms.max", stop_ms_max);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
}

/* The first partition on that shard. */
static uint32_t partition_on(uint32_t shard)
{
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (raw_shard_of(&topic, i) == shard) return i;
    ck_abort_msg("no partition on shard %u", shard);
    return 0;
}

/* Run for a partition of the connection's shard, and for one of the other. */
START_TEST(a_batch_that_is_not_durable_in_time_has_an_unknown_fate)
{
    uint32_t partition = partition_on((uint32_t)_i), id;
    struct buffer batch = raw_batch(3, 100, raw_init_producer(&client).producer_id, 0, raw_now_ms());
    struct produce_result result;

    fs_gate_shut();
    client.produce_timeout_ms = 50;
    id = raw_produce_send(&client, &topic, partition, &batch, -1);
    fs_gate_wait();
    result = raw_produce_result(&client, id);
    ck_assert_int_eq(result.error, MESH_ETIMEDOUT);
    client.produce_timeout_ms = 0; /* as long as it takes */
    id = raw_produce_send(&client, &topic, partition, &batch, -1);
    raw_ping(&client);
    fs_gate_open();
    result = raw_produce_result(&client, id);
    ck_assert_int_eq(result.error, 0);
    ck_assert(result.is_duplicate);
    ck_assert_uint_eq(result.base_offset, 0);
    ck_assert_uint_eq(result.replicas_synced, 1);
    ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -1).offset, 3);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(only_those_whose_time_is_up_are_answered)
{
    uint32_t partition = partition_on(0), ids[6];
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());

    fs_gate_shut();
    for (uint32_t i = 0; i < 6; i++) {
        client.produce_timeout_ms = i % 2 == 0 ? 60000 : 50;
        ids[i] = raw_produce_send(&client, &topic, partition, &batch, -1);
    }
    for (uint32_t i = 1; i < 6; i += 2)
        ck_assert_int_eq(raw_produce_result(&client, ids[i]).error, MESH_ETIMEDOUT);
    fs_gate_open();
    for (uint32_t i = 0; i < 6; i += 2) {
        struct produce_result result = raw_produce_result(&client, ids[i]);
        ck_assert_int_eq(result.error, 0);
        ck_assert_uint_eq(result.base_offset, i);
    }
    buffer_deinit(&batch);
}
END_TEST

#define FLOOD 20 /* batches of 900 KB: more than a shard's store may hold */

START_TEST(a_batch_that_finds_no_memory_in_time_is_refused)
{
    uint32_t partition = partition_on((uint32_t)_i), ids[FLOOD], refused = 0, kept = 0;
    struct buffer batch = raw_batch(900, 1000, -1, -1, raw_now_ms()), small = raw_batch(1, 10, -1, -1, raw_now_ms());

    fs_gate_shut();
    client.produce_timeout_ms = 50;
    for (uint32_t i = 0; i < FLOOD; i++)
        ids[i] = raw_produce_send(&client, &topic, partition, &batch, -1);
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct produce_result result;
        struct raw_frame frame;
        struct produce_response_reader reader;

        ck_assert(raw_receive(&client, &frame)); /* refusals overtake those that time out */
        ck_assert_int_eq(frame.error, 0);
        ck_assert_uint_ge(frame.header.correlation_id, ids[0]);
        ck_assert_uint_le(frame.header.correlation_id, ids[FLOOD - 1]);
        ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
        ck_assert(produce_response_reader_next(&reader, &result));
        ck_assert(result.error == MESH_ETIMEDOUT || result.error == MESH_EBUSY);
        if (result.error == MESH_EBUSY) refused++;
        raw_frame_deinit(&frame);
    }
    ck_assert_uint_gt(refused, 0);
    kept = FLOOD - refused;
    fs_gate_open();
    client.produce_timeout_ms = 30000;
    ck_assert_uint_eq(raw_produce(&client, &topic, partition, &small).base_offset, kept * 900); /* refused: not stored */
    buffer_deinit(&batch);
    buffer_deinit(&small);
}
END_TEST

START_TEST(a_stop_gives_up_on_a_disk_that_hangs)
{
    uint32_t partition = partition_on((uint32_t)_i);
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());

    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    start_again("300");
    ck_assert_int_eq(raw_produce(&client, &topic, partition, &batch).error, 0);
    fs_gate_shut();
    client.produce_timeout_ms = 0;
    raw_produce_send(&client, &topic, partition, &batch, -1);
    fs_gate_wait();
    ck_assert_int_eq(broker_fixture_stop(&fixture), MESH_ETIMEDOUT);
    start_again("30000");
    ck_assert_int_ge(raw_list_offsets(&client, &topic, partition, -1).offset, 1);
    buffer_deinit(&batch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker slow disk");
    TCase *tcase = tcase_create("slow disk");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_batch_that_is_not_durable_in_time_has_an_unknown_fate, 0, 2);
    tcase_add_test(tcase, only_those_whose_time_is_up_are_answered);
    tcase_add_loop_test(tcase, a_batch_that_finds_no_memory_in_time_is_refused, 0, 2);
    tcase_add_loop_test(tcase, a_stop_gives_up_on_a_disk_that_hangs, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
