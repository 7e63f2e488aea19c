/* The rules of one replica: who may write, with what, and what is committed. */
#include "base/error.h"
#include "replication/partition/partition.h"
#include "support/run_suite.h"

#include <check.h>

#define NOW_MS 1700000000000

static const struct partition_positions empty_log = {0, 0, 0, 0, 0};

static struct partition partition_of(int32_t leader, int32_t epoch, struct partition_config config)
{
    struct partition_assignment assignment = {.leader = leader, .leader_epoch = epoch, .isr_count = 1};
    struct partition partition;

    partition_init(&partition, 1, &assignment, &config, &empty_log);
    return partition;
}

static const struct partition_config plain = {.batch_bytes_max = 1024, .min_insync = 1};

/* A batch of `count` records with the given timestamp; freed by the caller. */
static struct buffer batch_of(int count, int64_t timestamp_ms)
{
    struct record_batch_builder builder;
    struct record_batch_producer nobody = {-1, -1, -1};
    struct buffer bytes = BUFFER_INIT, unused = BUFFER_INIT;
    struct slice batch;

    record_batch_builder_init(&builder);
    for (int i = 0; i < count; i++) {
        struct record record = {.timestamp_ms = timestamp_ms, .value = slice_of_string("value"), .key_is_null = true};
        ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    }
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &nobody, 0, RECORD_COMPRESSION_NONE, &unused, &batch), 0);
    ck_assert_int_eq(buffer_append(&bytes, batch.data, batch.size), 0);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&unused);
    return bytes;
}

static int prepare(const struct partition *partition, struct buffer *batch, int32_t epoch, int32_t acks,
                   struct record_batch_header *header, int64_t *append_time_ms)
{
    return partition_leader_prepare(partition, batch->data, batch->size, epoch, acks, NOW_MS, header, append_time_ms);
}

static const struct {
    int32_t leader, epoch, request_epoch;
    int want;
} leader_cases[] = {
    {1, 5, PARTITION_EPOCH_ANY, 0},
    {1, 5, 5, 0},
    {1, 5, 4, MESH_ESTALE_EPOCH},   /* the client is behind */
    {1, 5, 6, MESH_EUNKNOWN_EPOCH}, /* we are */
    {2, 5, PARTITION_EPOCH_ANY, MESH_ENOT_LEADER},
    {2, 5, 4, MESH_ENOT_LEADER},
    {-1, 5, 5, MESH_ENOT_LEADER},
};
START_TEST(only_the_leader_serves_and_only_its_epoch)
{
    struct partition partition = partition_of(leader_cases[_i].leader, leader_cases[_i].epoch, plain);

    ck_assert_int_eq(partition_check_leader(&partition, leader_cases[_i].request_epoch), leader_cases[_i].want);
}
END_TEST

START_TEST(batches_get_consecutive_offsets_and_the_leaders_epoch)
{
    struct partition partition = partition_of(1, 7, plain);
    struct record_batch_header header, read_back;
    int64_t append_time_ms;

    for (int i = 0; i < 3; i++) {
        struct buffer batch = batch_of(2, NOW_MS);
        ck_assert_int_eq(prepare(&partition, &batch, 7, -1, &header, &append_time_ms), 0);
        ck_assert_int_eq(record_batch_verify(buffer_slice(&batch), &read_back), 0);
        ck_assert_int_eq(read_back.base_offset, 2 * i);
        ck_assert_int_eq(header.base_offset, 2 * i);
        ck_assert_int_eq(read_back.leader_epoch, 7);
        ck_assert_int_eq(append_time_ms, -1);
        partition_leader_appended(&partition, &header);
        buffer_deinit(&batch);
    }
    ck_assert_uint_eq(partition.log_end, 6);
    ck_assert_uint_eq(partition.high_watermark, 0);
}
END_TEST

START_TEST(a_prepared_batch_can_be_prepared_again)
{
    struct partition_config config = {.batch_bytes_max = 1024, .min_insync = 1, .is_append_time = true};
    struct partition partition = partition_of(1, 0, config);
    struct buffer batch = batch_of(3, 0);
    struct record_batch_header first, second;
    int64_t append_time_ms;

    partition_advance(&partition, &(struct partition_positions){0, 10, 10, 10, 0});
    ck_assert_int_eq(prepare(&partition, &batch, -1, 1, &first, &append_time_ms), 0);
    ck_assert_int_eq(first.base_offset, 10);
    partition_leader_unprepare(batch.data);
    ck_assert_int_eq(prepare(&partition, &batch, -1, 1, &second, &append_time_ms), 0);
    ck_assert_int_eq(record_batch_verify(buffer_slice(&batch), &second), 0);
    ck_assert_int_eq(first.base_offset, second.base_offset);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(log_append_time_replaces_the_producers_clock)
{
    struct partition_config config = {.batch_bytes_max = 1024, .min_insync = 1, .is_append_time = true};
    struct partition partition = partition_of(1, 0, config);
    struct buffer batch = batch_of(1, NOW_MS + 10 * PARTITION_TIMESTAMP_AHEAD_MAX_MS);
    struct record_batch_header header, read_back;
    int64_t append_time_ms;

    ck_assert_int_eq(prepare(&partition, &batch, -1, 1, &header, &append_time_ms), 0);
    ck_assert_int_eq(append_time_ms, NOW_MS);
    ck_assert_int_eq(record_batch_verify(buffer_slice(&batch), &read_back), 0);
    ck_assert_int_eq(read_back.max_timestamp_ms, NOW_MS);
    ck_assert(read_back.attributes & RECORD_ATTRIBUTE_LOG_APPEND_TIME);
    buffer_deinit(&batch);
}
END_TEST

static const struct {
    int64_t timestamp_ms;
    int want;
} timestamp_cases[] = {
    {-1, 0},                                                                        /* none */
    {0, 0},                                                                         /* old data are welcome */
    {NOW_MS + PARTITION_TIMESTAMP_AHEAD_MAX_MS, 0},                                 /* a clock a little ahead */
    {NOW_MS + PARTITION_TIMESTAMP_AHEAD_MAX_MS + 1, MESH_EINVALID_TIMESTAMP},
    {-2, MESH_EINVALID_TIMESTAMP},
};
START_TEST(create_time_has_bounds)
{
    struct partition partition = partition_of(1, 0, plain);
    struct buffer batch = batch_of(1, timestamp_cases[_i].timestamp_ms);
    struct record_batch_header header;
    int64_t append_time_ms;

    ck_assert_int_eq(prepare(&partition, &batch, -1, 1, &header, &append_time_ms), timestamp_cases[_i].want);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(what_a_producer_may_not_send_is_refused)
{
    struct partition partition = partition_of(1, 0, plain);
    struct partition small = partition_of(1, 0, (struct partition_config){.batch_bytes_max = 64, .min_insync = 1});
    struct partition strict = partition_of(1, 0, (struct partition_config){.batch_bytes_max = 1024, .min_insync = 2});
    struct buffer batch = batch_of(1, 0);
    struct record_batch_header header;
    int64_t append_time_ms;

    ck_assert_int_eq(prepare(&small, &batch, -1, 1, &header, &append_time_ms), MESH_ETOOLARGE);
    ck_assert_int_eq(prepare(&strict, &batch, -1, -1, &header, &append_time_ms), MESH_ENOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(prepare(&strict, &batch, -1, 1, &header, &append_time_ms), 0);
    batch.data[batch.size - 1] ^= 1;
    ck_assert_int_eq(prepare(&partition, &batch, -1, 1, &header, &append_time_ms), MESH_ECORRUPT);
    ck_assert_uint_eq(partition.log_end, 0);
    buffer_deinit(&batch);
}
END_TEST

static const struct {
    bool is_async;
    struct partition_positions positions;
    uint64_t want_high_watermark;
    bool want_rise;
} advance_cases[] = {
    {false, {0, 10, 8, 5, 0}, 5, true}, /* group: what is synced */
    {true, {0, 10, 8, 5, 0}, 8, true},  /* async: what the kernel has */
    {false, {0, 10, 8, 0, 0}, 0, false},
    {true, {0, 10, 0, 0, 0}, 0, false},
    {false, {4, 10, 4, 0, 0}, 4, false}, /* retention moves the start, and never leaves the mark below it */
    {false, {4, 10, 4, 0, 7}, 7, false}, /* nor does who deletes records */
    {false, {4, 10, 9, 9, 3}, 9, true},
};
START_TEST(the_high_watermark_follows_what_the_flush_mode_promises)
{
    struct partition_config config = {.batch_bytes_max = 1024, .min_insync = 1, .is_async = advance_cases[_i].is_async};
    struct partition partition = partition_of(1, 0, config);

    ck_assert_int_eq(partition_advance(&partition, &advance_cases[_i].positions), advance_cases[_i].want_rise);
    ck_assert_uint_eq(partition.high_watermark, advance_cases[_i].want_high_watermark);
    ck_assert_uint_eq(partition.log_start, advance_cases[_i].positions.start);
    ck_assert_uint_le(partition.first, partition.high_watermark);
}
END_TEST

START_TEST(the_high_watermark_never_falls)
{
    struct partition_config relaxed = {.batch_bytes_max = 1024, .min_insync = 1, .is_async = true};
    struct partition partition = partition_of(1, 0, relaxed);

    ck_assert(partition_advance(&partition, &(struct partition_positions){0, 10, 10, 7, 0}));
    partition_set_config(&partition, &plain); /* from now on only synced records count, but consumers saw up to 10 */
    ck_assert(!partition_advance(&partition, &(struct partition_positions){0, 12, 12, 7, 0}));
    ck_assert_uint_eq(partition.high_watermark, 10);
}
END_TEST

START_TEST(a_late_assignment_changes_nothing)
{
    struct partition partition = partition_of(1, 5, plain);

    partition_assign(&partition, &(struct partition_assignment){.leader = 2, .leader_epoch = 4, .isr_count = 1});
    ck_assert_int_eq(partition.leader, 1);
    partition_assign(&partition, &(struct partition_assignment){.leader = 2, .leader_epoch = 6, .isr_count = 3});
    ck_assert_int_eq(partition.leader, 2);
    ck_assert_int_eq(partition.leader_epoch, 6);
    ck_assert_uint_eq(partition.isr_count, 3);
}
END_TEST

static const struct {
    uint64_t offset;
    int want;
} fetch_cases[] = {
    {4, MESH_EOFFSET_OUT_OF_RANGE}, {5, 0}, {7, 0}, {8, 0}, /* the end: wait there */
    {9, MESH_EOFFSET_OUT_OF_RANGE},                         /* written, but not committed */
};
START_TEST(readers_stand_between_the_start_and_the_high_watermark)
{
    struct partition partition = partition_of(1, 0, plain);

    partition_advance(&partition, &(struct partition_positions){5, 10, 10, 8, 0});
    ck_assert_int_eq(partition_check_fetch_offset(&partition, fetch_cases[_i].offset), fetch_cases[_i].want);
}
END_TEST

/* Records were deleted: readers begin behind them, inside the log, whichever of the two moves. */
START_TEST(readers_do_not_stand_before_what_was_deleted)
{
    struct partition partition = partition_of(1, 0, plain);

    partition_advance(&partition, &(struct partition_positions){5, 10, 10, 8, 7});
    ck_assert_int_eq(partition_check_fetch_offset(&partition, 6), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(partition_check_fetch_offset(&partition, 7), 0);
    ck_assert_uint_eq(partition.log_start, 5);
    ck_assert_uint_eq(partition.first, 7);
    partition_advance(&partition, &(struct partition_positions){8, 10, 10, 8, 7});
    ck_assert_int_eq(partition_check_fetch_offset(&partition, 7), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(partition_check_fetch_offset(&partition, 8), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *tcase = tcase_create("rules");

    tcase_add_loop_test(tcase, only_the_leader_serves_and_only_its_epoch, 0,
                        sizeof(leader_cases) / sizeof(leader_cases[0]));
    tcase_add_test(tcase, batches_get_consecutive_offsets_and_the_leaders_epoch);
    tcase_add_test(tcase, a_prepared_batch_can_be_prepared_again);
    tcase_add_test(tcase, log_append_time_replaces_the_producers_clock);
    tcase_add_loop_test(tcase, create_time_has_bounds, 0, sizeof(timestamp_cases) / sizeof(timestamp_cases[0]));
    tcase_add_test(tcase, what_a_producer_may_not_send_is_refused);
    tcase_add_loop_test(tcase, the_high_watermark_follows_what_the_flush_mode_promises, 0,
                        sizeof(advance_cases) / sizeof(advance_cases[0]));
    tcase_add_test(tcase, the_high_watermark_never_falls);
    tcase_add_test(tcase, a_late_assignment_changes_nothing);
    tcase_add_loop_test(tcase, readers_stand_between_the_start_and_the_high_watermark, 0,
                        sizeof(fetch_cases) / sizeof(fetch_cases[0]));
    tcase_add_test(tcase, readers_do_not_stand_before_what_was_deleted);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
