/* What a client asks and gets: hello, topics, produce, fetch, offsets; on its own shard and across shards. */
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/runtime/shard.h"
#include "raw_client.h"
#include "support/run_suite.h"
#include "wire/record_batch.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static struct broker_fixture fixture;
static struct raw_client client;

static void setup(void)
{
    broker_fixture_init(&fixture);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
}

static void teardown(void)
{
    raw_close(&client);
    broker_fixture_deinit(&fixture);
}

/* ---- hello ---- */

START_TEST(a_connection_moves_to_the_shard_it_asks_for)
{
    for (int32_t shard = 0; shard < 2; shard++) {
        for (int i = 0; i < 4; i++) { /* whichever shard accepted it */
            struct raw_client other;
            ck_assert_uint_eq(raw_hello(&other, fixture.port, shard), (uint32_t)shard);
            raw_ping(&other);
            raw_close(&other);
        }
    }
}
END_TEST

START_TEST(a_shard_that_is_not_there_is_no_error)
{
    struct raw_client other;

    ck_assert_uint_lt(raw_hello(&other, fixture.port, 77), 2);
    raw_ping(&other);
    raw_close(&other);
}
END_TEST

START_TEST(requests_behind_the_hello_travel_with_the_connection)
{
    for (int32_t shard = 0; shard < 2; shard++) {
        struct message_hello_request request = {.version_min = 1, .version_max = 1, .shard = shard};
        struct frame_header header = {.op = FRAME_OP_HELLO, .correlation_id = 1};
        struct buffer message = BUFFER_INIT, bytes = BUFFER_INIT;
        uint8_t head[FRAME_HEADER_SIZE];
        struct raw_client other;
        struct raw_frame frame;

        ck_assert_int_eq(message_encode_hello_request(&message, &request), 0);
        header.message_size = (uint32_t)message.size;
        frame_write_header(head, &header, message.data);
        buffer_append(&bytes, head, sizeof(head));
        buffer_append(&bytes, message.data, message.size);
        header = (struct frame_header){.op = FRAME_OP_PING, .correlation_id = 2};
        frame_write_header(head, &header, NULL);
        buffer_append(&bytes, head, sizeof(head));
        buffer_append(&bytes, head, 7); /* and the beginning of another */
        raw_connect(&other, fixture.port);
        raw_send_bytes(&other, bytes.data, bytes.size);
        raw_expect(&other, 1, &frame);
        raw_frame_deinit(&frame);
        raw_expect(&other, 2, &frame);
        raw_frame_deinit(&frame);
        raw_send_bytes(&other, head + 7, sizeof(head) - 7);
        raw_expect(&other, 2, &frame);
        raw_frame_deinit(&frame);
        raw_close(&other);
        buffer_deinit(&message);
        buffer_deinit(&bytes);
    }
}
END_TEST

/* ---- produce and fetch ---- */

static const struct raw_fetch at_once = {.max_wait_ms = 0, .bytes_min = 1, .bytes_max = 1 << 20};

/* Fetches from offset and checks that the answer holds batches that go on from there; returns the next offset. */
static uint64_t fetch_and_check(struct raw_client *from, const struct uuid *topic_id, uint32_t partition,
                                uint64_t offset)
{
    struct fetch_entry entry = {*topic_id, partition, -1, offset, 1 << 20, false, false};
    struct buffer records = BUFFER_INIT;
    struct fetch_result result;
    size_t at = 0;

    ck_assert_uint_eq(raw_fetch_results(from, raw_fetch_send(from, &at_once, &entry, 1), &result, 1, &records), 1);
    ck_assert_int_eq(result.error, 0);
    while (at < records.size) {
        struct record_batch_header header;
        ck_assert_int_eq(record_batch_parse_header(slice_of(records.data + at, records.size - at), &header), 0);
        ck_assert_int_eq(record_batch_verify(slice_of(records.data + at, header.size), &header), 0);
        ck_assert_uint_le((uint64_t)header.base_offset, offset);
        offset = (uint64_t)record_batch_last_offset(&header) + 1;
        at += header.size;
    }
    ck_assert_uint_eq(result.next_offset, offset);
    buffer_deinit(&records);
    return offset;
}

static const struct {
    const char *key, *value;
    uint32_t want_synced;
} flush_cases[] = {{NULL, NULL, 1}, {"flush", "group", 1}, {"flush", "async", 0}};
START_TEST(the_receipt_says_what_the_acknowledgement_promises)
{
    struct uuid topic = raw_topic_create(&client, "receipts", 1, flush_cases[_i].key, flush_cases[_i].value);
    struct buffer batch = raw_batch(3, 100, -1, -1, raw_now_ms());
    struct produce_result first = raw_produce(&client, &topic, 0, &batch);
    struct produce_result second = raw_produce(&client, &topic, 0, &batch);

    ck_assert_int_eq(first.error, 0);
    ck_assert_uint_eq(first.base_offset, 0);
    ck_assert_uint_eq(second.base_offset, 3);
    ck_assert_uint_eq(first.replicas_holding, 1);
    ck_assert_uint_eq(first.replicas_synced, flush_cases[_i].want_synced);
    ck_assert_int_eq(first.append_time_ms, -1);
    ck_assert_int_ge(first.leader_epoch, 0);
    ck_assert(!first.is_duplicate);
    ck_assert_uint_eq(fetch_and_check(&client, &topic, 0, 0), 6);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(any_shard_serves_any_partition)
{
    struct uuid topic = raw_topic_create(&client, "spread", 8, NULL, NULL);
    struct buffer batch = raw_batch(2, 50, -1, -1, raw_now_ms());
    bool seen[2] = {false, false};

    for (uint32_t partition = 0; partition < 8; partition++) {
        seen[raw_shard_of(&topic, partition)] = true;
        ck_assert_int_eq(raw_produce(&client, &topic, partition, &batch).error, 0);
        ck_assert_uint_eq(fetch_and_check(&client, &topic, partition, 0), 2);
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -1).offset, 2);
    }
    ck_assert(seen[0] && seen[1]);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(results_of_one_request_keep_the_order_of_its_batches)
{
    struct uuid topic = raw_topic_create(&client, "many", 6, NULL, NULL);
    struct buffer batch = raw_batch(2, 50, -1, -1, raw_now_ms()), message = BUFFER_INIT, all = BUFFER_INIT;
    struct uuid nowhere = {{1}};
    struct produce_response_reader reader;
    struct raw_frame frame;

    ck_assert_int_eq(raw_produce(&client, &topic, 3, &batch).error, 0);
    produce_request_start(&message, -1, 1000);
    for (uint32_t i = 0; i < 8; i++) { /* the seventh has no topic, the eighth no partition */
        struct produce_entry entry = {i == 6 ? nowhere : topic, i == 7 ? 99 : i, -1, (uint32_t)batch.size};
        produce_request_add(&message, &entry);
        buffer_append(&all, batch.data, batch.size);
    }
    raw_expect(&client, raw_send(&client, FRAME_OP_PRODUCE, buffer_slice(&message), buffer_slice(&all)), &frame);
    ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
    ck_assert_uint_eq(reader.result_count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct produce_result result;
        ck_assert(produce_response_reader_next(&reader, &result));
        ck_assert_int_eq(result.error, i < 6 ? 0 : MESH_EUNKNOWN_TOPIC);
        if (i < 6) ck_assert_uint_eq(result.base_offset, i == 3 ? 2 : 0);
    }
    raw_frame_deinit(&frame);
    buffer_deinit(&batch);
    buffer_deinit(&message);
    buffer_deinit(&all);
}
END_TEST

START_TEST(acks_zero_is_not_answered_but_kept)
{
    struct uuid topic = raw_topic_create(&client, "quiet", 4, NULL, NULL);
    struct buffer batch = raw_batch(1, 50, -1, -1, raw_now_ms());

    for (uint32_t partition = 0; partition < 4; partition++)
        raw_produce_send(&client, &topic, partition, &batch, 0);
    raw_ping(&client); /* the next frame is its answer */
    for (uint32_t partition = 0; partition < 4; partition++) {
        ck_assert_uint_eq(raw_produce(&client, &topic, partition, &batch).base_offset, 1);
        ck_assert_uint_eq(fetch_and_check(&client, &topic, partition, 0), 2);
    }
    buffer_deinit(&batch);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order_of_their_offsets)
{
    struct uuid topic = raw_topic_create(&client, "pipeline", 1, NULL, NULL);
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms());
    uint32_t first = 0;

    for (int i = 0; i < 2000; i++) {
        uint32_t id = raw_produce_send(&client, &topic, 0, &batch, -1);
        if (i == 0) first = id;
    }
    for (uint32_t i = 0; i < 2000; i++)
        ck_assert_uint_eq(raw_produce_result(&client, first + i).base_offset, i);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(large_batches_pass_through)
{
    struct uuid topic = raw_topic_create(&client, "large", 2, NULL, NULL);
    struct buffer batch = raw_batch(900, 1000, -1, -1, raw_now_ms());

    for (uint32_t i = 0; i < 16; i++)
        ck_assert_uint_eq(raw_produce(&client, &topic, i % 2, &batch).base_offset, 900 * (i / 2));
    for (uint32_t partition = 0; partition < 2; partition++) {
        uint64_t offset = 0;
        while (offset < 7200)
            offset = fetch_and_check(&client, &topic, partition, offset);
    }
    buffer_deinit(&batch);
}
END_TEST

/* ---- refusals ---- */

START_TEST(epochs_that_are_not_ours_are_told_apart)
{
    struct uuid topic = raw_topic_create(&client, "epochs", 1, NULL, NULL);
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    int32_t epoch = raw_produce(&client, &topic, 0, &batch).leader_epoch;
    int32_t asked[] = {epoch, epoch + 1, epoch - 1};
    int want[] = {0, MESH_EUNKNOWN_EPOCH, epoch > 0 ? MESH_ESTALE_EPOCH : 0};

    for (int i = 0; i < 3; i++) {
        struct produce_entry produce = {topic, 0, asked[i], (uint32_t)batch.size};
        struct fetch_entry fetch = {topic, 0, asked[i], 0, 1 << 20, false, false};
        struct buffer message = BUFFER_INIT;
        struct fetch_result result;

        produce_request_start(&message, -1, 1000);
        produce_request_add(&message, &produce);
        ck_assert_int_eq(raw_produce_result(&client, raw_send(&client, FRAME_OP_PRODUCE, buffer_slice(&message),
                                                              buffer_slice(&batch)))
                             .error,
                         want[i]);
        ck_assert_uint_eq(
            raw_fetch_results(&client, raw_fetch_send(&client, &at_once, &fetch, 1), &result, 1, NULL), 1);
        ck_assert_int_eq(result.error, want[i]);
        buffer_deinit(&message);
    }
    buffer_deinit(&batch);
}
END_TEST

START_TEST(a_broken_batch_is_refused_and_the_connection_lives_on)
{
    struct uuid topic = raw_topic_create(&client, "broken", 1, "max.batch.bytes", "2000");
    struct buffer batch = raw_batch(1, 100, -1, -1, raw_now_ms()), large = raw_batch(30, 100, -1, -1, raw_now_ms());

    ck_assert_int_eq(raw_produce(&client, &topic, 0, &large).error, MESH_ETOOLARGE);
    batch.data[batch.size - 1] ^= 1;
    ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, MESH_ECORRUPT);
    batch.data[batch.size - 1] ^= 1;
    ck_assert_uint_eq(raw_produce(&client, &topic, 0, &batch).base_offset, 0);
    buffer_deinit(&batch);
    buffer_deinit(&large);
}
END_TEST

START_TEST(offsets_out_of_range_are_refused)
{
    struct uuid topic = raw_topic_create(&client, "range", 1, NULL, NULL);
    struct fetch_entry entry = {topic, 0, -1, 5, 1 << 20, false, false};
    struct fetch_result result;

    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &at_once, &entry, 1), &result, 1, NULL), 1);
    ck_assert_int_eq(result.error, MESH_EOFFSET_OUT_OF_RANGE);
    entry.partition = 3;
    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &at_once, &entry, 1), &result, 1, NULL), 1);
    ck_assert_int_eq(result.error, MESH_EUNKNOWN_TOPIC);
}
END_TEST

/* ---- doubts ---- */

static uint64_t doubts_heard, doubts_followed;

static void count_doubts(struct broker_fixture *of)
{
    for (uint32_t i = 0; i < of->broker->shard_count; i++) {
        doubts_heard += of->broker->shards[i]->metrics.fetch_doubts;
        doubts_followed += of->broker->shards[i]->metrics.fetch_doubts_followed;
    }
}

/* However often readers say that records came damaged, the disk is looked at once in ten seconds. */
START_TEST(doubts_are_all_heard_and_followed_now_and_then)
{
    struct uuid topic = raw_topic_create(&client, "doubts", 1, NULL, NULL);
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    struct fetch_entry entry = {topic, 0, -1, 0, 1 << 20, true, false};
    int64_t began_ms = raw_now_ms();
    struct fetch_result result;
    struct raw_client other;

    doubts_heard = doubts_followed = 0;
    fixture.served = count_doubts;
    ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
    raw_hello(&other, fixture.port, 1);
    for (int i = 0; i < 12; i++) {
        struct raw_client *reader = i % 3 == 0 ? &other : &client;
        ck_assert_uint_eq(raw_fetch_results(reader, raw_fetch_send(reader, &at_once, &entry, 1), &result, 1, NULL), 1);
        ck_assert_int_eq(result.error, 0);
    }
    raw_close(&other);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    ck_assert_uint_eq(doubts_heard, 12);
    ck_assert_uint_ge(doubts_followed, 1);
    ck_assert_uint_le(doubts_followed, 1 + (uint64_t)(raw_now_ms() - began_ms) / DOUBTS_PAUSE_MS);
    buffer_deinit(&batch);
}
END_TEST

/* ---- idempotence ---- */

START_TEST(a_batch_sent_twice_is_stored_once)
{
    struct uuid topic = raw_topic_create(&client, "twice", 4, NULL, NULL);
    int64_t producer_id = raw_init_producer(&client).producer_id;

    for (uint32_t partition = 0; partition < 4; partition++) {
        struct buffer batch = raw_batch(2, 50, producer_id, 0, raw_now_ms()), next = raw_batch(1, 50, producer_id, 2, raw_now_ms());
        struct buffer gap = raw_batch(1, 50, producer_id, 9, raw_now_ms());
        struct produce_result result;

        ck_assert_int_eq(raw_produce(&client, &topic, partition, &batch).error, 0);
        ck_assert_uint_eq(raw_produce(&client, &topic, partition, &next).base_offset, 2);
        result = raw_produce(&client, &topic, partition, &batch);
        ck_assert_int_eq(result.error, 0);
        ck_assert(result.is_duplicate);
        ck_assert_uint_eq(result.base_offset, 0);
        ck_assert_int_eq(raw_produce(&client, &topic, partition, &gap).error, MESH_EOUT_OF_ORDER_SEQUENCE);
        ck_assert_uint_eq(fetch_and_check(&client, &topic, partition, 0), 3);
        buffer_deinit(&batch);
        buffer_deinit(&next);
        buffer_deinit(&gap);
    }
}
END_TEST

START_TEST(producer_ids_never_repeat)
{
    int64_t last = -1;

    for (int i = 0; i < 2500; i++) { /* several blocks */
        struct message_init_producer_response response = raw_init_producer(&client);
        ck_assert_int_gt(response.producer_id, last);
        ck_assert_int_eq(response.producer_epoch, 0);
        last = response.producer_id;
    }
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    ck_assert_int_gt(raw_init_producer(&client).producer_id, last);
}
END_TEST

/* ---- long polls ---- */

static const struct raw_fetch patient = {.max_wait_ms = 20000, .bytes_min = 1, .bytes_max = 1 << 20};

START_TEST(a_fetch_waits_for_records)
{
    struct uuid topic = raw_topic_create(&client, "poll", 4, NULL, NULL);
    struct buffer batch = raw_batch(1, 50, -1, -1, raw_now_ms());
    struct fetch_entry entries[4];
    struct raw_client producer;

    raw_hello(&producer, fixture.port, 1);
    for (uint32_t i = 0; i < 4; i++)
        entries[i] = (struct fetch_entry){topic, i, -1, 0, 1 << 20, false, false};
    for (uint32_t partition = 0; partition < 4; partition++) { /* local and remote parts are woken */
        uint32_t id = raw_fetch_send(&client, &patient, entries, 4);
        struct fetch_result results[4];
        uint32_t count, sizes = 0;

        raw_ping(&client); /* it does not hold others up */
        ck_assert_int_eq(raw_produce(&producer, &topic, partition, &batch).error, 0);
        count = raw_fetch_results(&client, id, results, 4, NULL);
        for (uint32_t i = 0; i < count; i++) {
            ck_assert_int_eq(results[i].error, 0);
            sizes += results[i].records_size;
            if (results[i].records_size > 0) ck_assert_uint_eq(results[i].entry, partition);
        }
        ck_assert_uint_eq(sizes, batch.size);
        entries[partition].offset = 1;
    }
    raw_close(&producer);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(a_fetch_waits_for_as_many_bytes_as_it_asks_for)
{
    struct uuid topic = raw_topic_create(&client, "bytes", 1, NULL, NULL);
    struct buffer batch = raw_batch(1, 1000, -1, -1, raw_now_ms());
    struct raw_fetch options = {.max_wait_ms = 20000, .bytes_min = 2500, .bytes_max = 1 << 20};
    struct fetch_entry entry = {topic, 0, -1, 0, 1 << 20, false, false};
    struct raw_client producer;
    struct fetch_result result;
    uint32_t id = raw_fetch_send(&client, &options, &entry, 1);

    raw_hello(&producer, fixture.port, (int32_t)raw_shard_of(&topic, 0));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(raw_produce(&producer, &topic, 0, &batch).error, 0);
    ck_assert_uint_eq(raw_fetch_results(&client, id, &result, 1, NULL), 1);
    ck_assert_uint_eq(result.next_offset, 3);
    raw_close(&producer);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(a_fetch_that_waited_in_vain_says_where_the_log_stands)
{
    struct uuid topic = raw_topic_create(&client, "vain", 2, NULL, NULL);
    struct raw_fetch options = {.max_wait_ms = 30, .bytes_min = 1, .bytes_max = 1 << 20};
    struct fetch_entry entries[2] = {{topic, 0, -1, 0, 1000, false, false}, {topic, 1, -1, 0, 1000, false, false}};
    struct fetch_result results[2];

    ck_assert_uint_eq(raw_fetch_results(&client, raw_fetch_send(&client, &options, entries, 2), results, 2, NULL), 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(results[i].error, 0);
        ck_assert_uint_eq(results[i].next_offset, 0);
        ck_assert_uint_eq(results[i].high_watermark, 0);
    }
}
END_TEST

START_TEST(a_client_that_leaves_while_it_waits_harms_nobody)
{
    struct uuid topic = raw_topic_create(&client, "leaving", 4, NULL, NULL);
    struct buffer batch = raw_batch(1, 50, -1, -1, raw_now_ms());

    for (int round = 0; round < 20; round++) {
        struct fetch_entry entries[4];
        struct raw_client waiter;

        raw_hello(&waiter, fixture.port, round % 2);
        for (uint32_t i = 0; i < 4; i++)
            entries[i] = (struct fetch_entry){topic, i, -1, (uint64_t)round, 1 << 20, false, false};
        raw_fetch_send(&waiter, &patient, entries, 4);
        if (round % 4 < 2) raw_ping(&waiter); /* or leaves at once */
        raw_close(&waiter);
        for (uint32_t i = 0; i < 4; i++)
            ck_assert_int_eq(raw_produce(&client, &topic, i, &batch).error, 0);
    }
    buffer_deinit(&batch);
}
END_TEST

START_TEST(deleting_a_topic_answers_who_waits_there)
{
    struct uuid topic = raw_topic_create(&client, "doomed", 2, NULL, NULL);
    struct fetch_entry entries[2] = {{topic, 0, -1, 0, 1000, false, false}, {topic, 1, -1, 0, 1000, false, false}};
    struct buffer batch = raw_batch(1, 50, -1, -1, raw_now_ms());
    struct fetch_result results[2];
    struct raw_client other;
    uint32_t id = raw_fetch_send(&client, &patient, entries, 2), count;

    raw_ping(&client);
    raw_hello(&other, fixture.port, -1);
    raw_topic_delete(&other, "doomed");
    count = raw_fetch_results(&client, id, results, 2, NULL);
    ck_assert_uint_ge(count, 1);
    ck_assert_int_eq(results[0].error, MESH_EUNKNOWN_TOPIC);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(raw_produce(&client, &topic, i, &batch).error, MESH_EUNKNOWN_TOPIC);
    raw_close(&other);
    buffer_deinit(&batch);
}
END_TEST

/* ---- offsets ---- */

START_TEST(offsets_are_found_by_end_and_by_time)
{
    struct uuid topic = raw_topic_create(&client, "times", 4, NULL, NULL);
    int64_t start_ms = raw_now_ms() - 10000;

    for (uint32_t partition = 0; partition < 4; partition++) {
        struct list_offsets_result result;

        for (int i = 0; i < 5; i++) {
            struct buffer batch = raw_batch(2, 50, -1, -1, start_ms + 1000 * (i + 1));
            ck_assert_int_eq(raw_produce(&client, &topic, partition, &batch).error, 0);
            buffer_deinit(&batch);
        }
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -1).offset, 10);
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -2).offset, 0);
        result = raw_list_offsets(&client, &topic, partition, start_ms + 2500);
        ck_assert_int_eq(result.error, 0);
        ck_assert_int_eq(result.offset, 4);
        ck_assert_int_eq(result.timestamp_ms, start_ms + 3000);
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, start_ms + 5001).offset, -1);
        ck_assert_int_eq(raw_list_offsets(&client, &topic, partition, -7).error, MESH_EINVAL);
    }
    ck_assert_int_eq(raw_list_offsets(&client, &topic, 9, -1).error, MESH_EUNKNOWN_TOPIC);
}
END_TEST

/* The first copy asks for no answer, so nothing stands before the duplicate in the queue; both come in one turn. */
START_TEST(a_duplicate_of_a_batch_without_acknowledgement_waits_for_it)
{
    struct uuid topic = raw_topic_create(&client, "quiet", 2, NULL, NULL);
    int64_t producer_id = raw_init_producer(&client).producer_id;
    uint32_t partition = 0;
    struct raw_client local;

    while (raw_shard_of(&topic, partition) != 0)
        partition++;
    raw_hello(&local, fixture.port, 0);
    for (int i = 0; i < 50; i++) {
        struct buffer batch = raw_batch(1, 50, producer_id, i, raw_now_ms());
        int corked = 1, released = 0;
        struct produce_result result;
        uint32_t id;

        setsockopt(local.fd, IPPROTO_TCP, TCP_CORK, &corked, sizeof(corked));
        (void)raw_produce_send(&local, &topic, partition, &batch, 0);
        id = raw_produce_send(&local, &topic, partition, &batch, -1);
        setsockopt(local.fd, IPPROTO_TCP, TCP_CORK, &released, sizeof(released));
        result = raw_produce_result(&local, id);
        ck_assert_int_eq(result.error, 0);
        ck_assert_uint_eq(result.base_offset, (uint64_t)i);
        ck_assert(result.is_duplicate);
        buffer_deinit(&batch);
    }
    raw_close(&local);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker requests");
    TCase *tcase = tcase_create("requests");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_connection_moves_to_the_shard_it_asks_for);
    tcase_add_test(tcase, a_shard_that_is_not_there_is_no_error);
    tcase_add_test(tcase, requests_behind_the_hello_travel_with_the_connection);
    tcase_add_loop_test(tcase, the_receipt_says_what_the_acknowledgement_promises, 0,
                        sizeof(flush_cases) / sizeof(flush_cases[0]));
    tcase_add_test(tcase, any_shard_serves_any_partition);
    tcase_add_test(tcase, results_of_one_request_keep_the_order_of_its_batches);
    tcase_add_test(tcase, acks_zero_is_not_answered_but_kept);
    tcase_add_test(tcase, pipelined_requests_are_answered_in_order_of_their_offsets);
    tcase_add_test(tcase, large_batches_pass_through);
    tcase_add_test(tcase, epochs_that_are_not_ours_are_told_apart);
    tcase_add_test(tcase, a_broken_batch_is_refused_and_the_connection_lives_on);
    tcase_add_test(tcase, offsets_out_of_range_are_refused);
    tcase_add_test(tcase, doubts_are_all_heard_and_followed_now_and_then);
    tcase_add_test(tcase, a_batch_sent_twice_is_stored_once);
    tcase_add_test(tcase, producer_ids_never_repeat);
    tcase_add_test(tcase, a_fetch_waits_for_records);
    tcase_add_test(tcase, a_fetch_waits_for_as_many_bytes_as_it_asks_for);
    tcase_add_test(tcase, a_fetch_that_waited_in_vain_says_where_the_log_stands);
    tcase_add_test(tcase, a_client_that_leaves_while_it_waits_harms_nobody);
    tcase_add_test(tcase, deleting_a_topic_answers_who_waits_there);
    tcase_add_test(tcase, offsets_are_found_by_end_and_by_time);
    tcase_add_test(tcase, a_duplicate_of_a_batch_without_acknowledgement_waits_for_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
