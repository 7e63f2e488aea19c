/* What is done by hand for PRODUCE and FETCH is what the interpreter does, in every version. */
#include "kafka/fetch.h"
#include "kafka/messages.h"
#include "kafka/produce.h"

#include "base/error.h"
#include "support/run_suite.h"
#include "unit/kafka/filled_message.h"

#include <check.h>

#define MEMORY_MAX (1u << 20)

/* ---- produce requests ---- */

static void same_entries(struct kafka_produce_reader *reader, const struct kafka_produce_request *request, int version)
{
    struct kafka_produce_entry entry;
    int32_t filled_count = 0;

    for (int32_t t = 0; t < request->topics.count; t++)
        filled_count += request->topics.items[t].partitions.count > 0;
    ck_assert_int_eq(reader->filled_count, filled_count);
    ck_assert_int_eq(reader->acks, request->acks);
    ck_assert_int_eq(reader->timeout_ms, request->timeout_ms);
    ck_assert_int_eq(reader->topic_count, request->topics.count);
    ck_assert(reader->is_transactional == (request->transactional_id.data != NULL));
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t p = 0; p < request->topics.items[t].partitions.count; p++) {
            const struct kafka_produce_request_topic *topic = &request->topics.items[t];

            ck_assert(kafka_produce_reader_next(reader, &entry));
            ck_assert(entry.is_first == (p == 0));
            ck_assert_int_eq(entry.partition_count, topic->partitions.count);
            ck_assert_int_eq(entry.partition, topic->partitions.items[p].index);
            ck_assert(entry.records.data == topic->partitions.items[p].records.data);
            ck_assert_uint_eq(entry.records.size, topic->partitions.items[p].records.size);
            if (version >= 13)
                ck_assert(uuid_equal(&entry.topic_id, &topic->topic_id));
            else
                ck_assert(slice_equal(entry.topic, topic->name));
        }
    ck_assert(!kafka_produce_reader_next(reader, &entry));
}

static void judge_request(int version, struct slice bytes)
{
    struct kafka_form form = kafka_request_form(kafka_api_find(KAFKA_PRODUCE), version);
    struct arena arena = ARENA_INIT;
    struct kafka_produce_request request;
    struct kafka_produce_reader reader;
    int slow = kafka_decode(form, bytes, &arena, MEMORY_MAX, &request);
    int fast = kafka_produce_reader_init(&reader, version, bytes);

    ck_assert_int_eq(fast, slow);
    if (fast == 0) same_entries(&reader, &request, version);
    arena_deinit(&arena);
}

START_TEST(both_ways_read_the_same_produce_requests)
{
    int version = _i;
    struct kafka_form form = kafka_request_form(kafka_api_find(KAFKA_PRODUCE), version);
    struct random random;

    random_init(&random, 11);
    for (int round = 0; round < 40; round++) {
        struct arena arena = ARENA_INIT;
        struct buffer bytes = BUFFER_INIT;
        struct kafka_produce_request request;

        random_message(form, &random, &arena, &request);
        ck_assert_int_eq(kafka_encode(form, &request, &bytes), 0);
        judge_request(version, buffer_slice(&bytes));
        for (int i = 0; i < 20; i++) {
            uint8_t *at = &bytes.data[random_below(&random, bytes.size)], old = *at;

            judge_request(version, slice_of(bytes.data, random_below(&random, bytes.size)));
            *at = (uint8_t)random_next(&random);
            judge_request(version, buffer_slice(&bytes));
            *at = old;
        }
        buffer_deinit(&bytes);
        arena_deinit(&arena);
    }
}
END_TEST

/* ---- produce responses ---- */

/* By hand, out of what the response says; results are set last, and backwards. */
static void write_response(const struct kafka_produce_response *response, int version, struct buffer *to)
{
    size_t places[64];
    uint32_t count = 0;

    ck_assert_int_eq(kafka_produce_response_start(to, version, response->topics.count), 0);
    for (int32_t t = 0; t < response->topics.count; t++) {
        const struct kafka_produce_response_topic *topic = &response->topics.items[t];
        struct kafka_produce_entry first = {.topic = topic->name, .topic_id = topic->topic_id, .partition_count = topic->partitions.count};

        ck_assert_int_eq(kafka_produce_response_topic(to, version, &first, t == 0), 0);
        for (int32_t p = 0; p < topic->partitions.count; p++)
            ck_assert_int_eq(kafka_produce_response_partition(to, version, topic->partitions.items[p].index, &places[count++]), 0);
    }
    ck_assert_int_eq(kafka_produce_response_end(to, version, response->topics.count), 0);
    for (int32_t t = response->topics.count - 1; t >= 0; t--)
        for (int32_t p = response->topics.items[t].partitions.count - 1; p >= 0; p--) {
            const struct kafka_produce_response_partition *partition = &response->topics.items[t].partitions.items[p];
            struct kafka_produce_outcome outcome = {partition->error_code, partition->base_offset, partition->log_append_time_ms,
                                                    partition->log_start_offset};

            kafka_produce_response_set(to->data + places[--count], version, &outcome);
        }
}

START_TEST(both_ways_write_the_same_produce_responses)
{
    int version = _i;
    struct kafka_form form = kafka_response_form(kafka_api_find(KAFKA_PRODUCE), version);
    struct random random;

    random_init(&random, 12);
    for (int round = 0; round < 40; round++) {
        struct arena arena = ARENA_INIT;
        struct buffer slow = BUFFER_INIT, fast = BUFFER_INIT;
        struct kafka_produce_response response;

        random_message(form, &random, &arena, &response);
        response.throttle_time_ms = 0;
        response.node_endpoints.count = 0;
        for (int32_t t = 0; t < response.topics.count; t++)
            for (int32_t p = 0; p < response.topics.items[t].partitions.count; p++) {
                struct kafka_produce_response_partition *partition = &response.topics.items[t].partitions.items[p];

                partition->record_errors.count = 0;
                partition->error_message = slice_of(NULL, 0);
                partition->current_leader = (struct kafka_produce_response_current_leader){-1, -1};
            }
        ck_assert_int_eq(kafka_encode(form, &response, &slow), 0);
        write_response(&response, version, &fast);
        ck_assert(slice_equal(buffer_slice(&slow), buffer_slice(&fast)));
        buffer_deinit(&slow);
        buffer_deinit(&fast);
        arena_deinit(&arena);
    }
}
END_TEST

/* ---- fetch responses ---- */

static void write_fetch(const struct kafka_fetch_response *response, int version, struct buffer *to)
{
    ck_assert_int_eq(kafka_fetch_response_start(to, version, response->error_code, response->responses.count), 0);
    for (int32_t t = 0; t < response->responses.count; t++) {
        const struct kafka_fetch_response_topic *topic = &response->responses.items[t];

        ck_assert_int_eq(kafka_fetch_response_topic(to, version, topic->topic, &topic->topic_id, topic->partitions.count), 0);
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            const struct kafka_fetch_response_partition *partition = &topic->partitions.items[p];
            struct kafka_fetch_outcome outcome = {partition->partition_index, partition->error_code, partition->high_watermark,
                                                  partition->log_start_offset, (uint32_t)partition->records.size};

            ck_assert_int_eq(kafka_fetch_response_partition(to, version, &outcome), 0);
            ck_assert_int_eq(buffer_append(to, partition->records.data, partition->records.size), 0);
            ck_assert_int_eq(kafka_fetch_response_partition_end(to, version), 0);
        }
        ck_assert_int_eq(kafka_fetch_response_topic_end(to, version), 0);
    }
    ck_assert_int_eq(kafka_fetch_response_end(to, version), 0);
}

/* What the broker never says is taken out. */
static void tame_partition(struct kafka_fetch_response_partition *partition)
{
    struct kafka_fetch_response_partition tame;

    kafka_init(&kafka_fetch_response_partition_form, &tame);
    tame.partition_index = partition->partition_index;
    tame.error_code = partition->error_code;
    tame.high_watermark = tame.last_stable_offset = partition->high_watermark;
    tame.log_start_offset = partition->log_start_offset;
    tame.aborted_transactions.count = -1;
    tame.records = partition->records.data != NULL ? partition->records : slice_of("", 0);
    *partition = tame;
}

START_TEST(both_ways_write_the_same_fetch_responses)
{
    int version = _i;
    struct kafka_form form = kafka_response_form(kafka_api_find(KAFKA_FETCH), version);
    struct random random;

    random_init(&random, 13);
    for (int round = 0; round < 40; round++) {
        struct arena arena = ARENA_INIT;
        struct buffer slow = BUFFER_INIT, fast = BUFFER_INIT;
        struct kafka_fetch_response response;

        random_message(form, &random, &arena, &response);
        response.throttle_time_ms = response.session_id = 0;
        response.node_endpoints.count = 0;
        for (int32_t t = 0; t < response.responses.count; t++)
            for (int32_t p = 0; p < response.responses.items[t].partitions.count; p++)
                tame_partition(&response.responses.items[t].partitions.items[p]);
        ck_assert_int_eq(kafka_encode(form, &response, &slow), 0);
        write_fetch(&response, version, &fast);
        ck_assert(slice_equal(buffer_slice(&slow), buffer_slice(&fast)));
        buffer_deinit(&slow);
        buffer_deinit(&fast);
        arena_deinit(&arena);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka_fast");
    TCase *tcase = tcase_create("fast");

    tcase_add_loop_test(tcase, both_ways_read_the_same_produce_requests, 0, 14);
    tcase_add_loop_test(tcase, both_ways_write_the_same_produce_responses, 0, 14);
    tcase_add_loop_test(tcase, both_ways_write_the_same_fetch_responses, 4, 19);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
