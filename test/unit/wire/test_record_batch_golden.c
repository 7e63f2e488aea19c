/* Batches that another implementation wrote are read to the last bit, and ours are the same bytes. */
#include "base/bytes.h"
#include "base/error.h"
#include "support/run_suite.h"
#include "unit/wire/batch_fixture.h"

#include <check.h>
#include <stdlib.h>

#define T FIXTURE_TIME_MS

static const struct {
    const char *name;
    enum record_compression compression;
    bool has_big_record;
} golden_cases[] = {
    {"none", RECORD_COMPRESSION_NONE, false},
    {"gzip", RECORD_COMPRESSION_GZIP, false},
    {"gzip_members", RECORD_COMPRESSION_GZIP, false},
    {"snappy_xerial", RECORD_COMPRESSION_SNAPPY, false},
    {"snappy_xerial_blocks", RECORD_COMPRESSION_SNAPPY, true},
    {"snappy_raw", RECORD_COMPRESSION_SNAPPY, false},
    {"lz4", RECORD_COMPRESSION_LZ4, false},
    {"lz4_frames", RECORD_COMPRESSION_LZ4, false},
    {"lz4_linked", RECORD_COMPRESSION_LZ4, true},
    {"zstd", RECORD_COMPRESSION_ZSTD, false},
    {"zstd_streamed", RECORD_COMPRESSION_ZSTD, false},
    {"zstd_frames", RECORD_COMPRESSION_ZSTD, false},
};

static void check_big_record(const struct record *record)
{
    ck_assert_int_eq(record->timestamp_ms, T + 9);
    ck_assert(slice_equal(record->key, slice_of_string("big")));
    ck_assert_uint_eq(record->value.size, 100000);
    for (size_t j = 0; j < record->value.size; j++)
        if (record->value.data[j] != (uint8_t)('a' + j / 7 % 26)) ck_abort_msg("byte %zu differs", j);
}

START_TEST(foreign_batches_are_read)
{
    struct buffer file = fixture_golden(golden_cases[_i].name), scratch = BUFFER_INIT;
    struct slice batch = buffer_slice(&file);
    int count = FIXTURE_RECORD_COUNT + golden_cases[_i].has_big_record;
    struct record_batch_header header;
    struct record_iterator iterator;
    struct record record;

    ck_assert_int_eq(record_batch_verify_produced(batch, 1 << 20, &header), 0);
    ck_assert_int_eq(header.attributes, golden_cases[_i].compression);
    ck_assert_uint_eq(header.size, batch.size);
    ck_assert_int_eq(header.base_offset, 0);
    ck_assert_int_eq(header.leader_epoch, 0);
    ck_assert_int_eq(header.last_offset_delta, count - 1);
    ck_assert_int_eq(header.record_count, count);
    ck_assert_int_eq(header.base_timestamp_ms, T);
    ck_assert_int_eq(header.max_timestamp_ms, T + 400 * INT64_C(86400000));
    ck_assert_int_eq(header.producer_id, 4096);
    ck_assert_int_eq(header.producer_epoch, 7);
    ck_assert_int_eq(header.base_sequence, INT32_MAX);

    record_batch_set_base_offset(file.data, 1000);
    ck_assert_int_eq(record_iterator_init(&iterator, batch, &scratch, 1 << 20), 0);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(record_iterator_next(&iterator, &record), 1);
        ck_assert_int_eq(record.offset, 1000 + i);
        if (i < FIXTURE_RECORD_COUNT)
            fixture_check(&record, &fixture_records()[i]);
        else
            check_big_record(&record);
    }
    ck_assert_int_eq(record_iterator_next(&iterator, &record), 0);
    buffer_deinit(&scratch);
    buffer_deinit(&file);
}
END_TEST

START_TEST(the_builder_writes_the_same_bytes)
{
    const struct record_batch_producer producer = {4096, 7, INT32_MAX};
    struct buffer file = fixture_golden("none");
    struct record_batch_builder builder;
    struct slice batch;

    record_batch_builder_init(&builder);
    fixture_build(&builder, fixture_records(), FIXTURE_RECORD_COUNT);
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &producer, 0, RECORD_COMPRESSION_NONE, NULL, &batch), 0);
    record_batch_set_leader_epoch(file.data, -1); /* that library says 0; no one reads it there */
    ck_assert_uint_eq(batch.size, file.size);
    ck_assert_mem_eq(batch.data, file.data, file.size);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&file);
}
END_TEST

/* Written down field by field from the format's definition; the CRC was computed by kafka-python. */
START_TEST(one_record_by_hand)
{
    static const uint8_t want[] = {
        0,    0,    0,    0,    0,    0,    0,    0,       /* base offset */
        0,    0,    0,    0x3a,                            /* length: 70 - 12 */
        0xff, 0xff, 0xff, 0xff,                            /* leader epoch */
        2,                                                 /* magic */
        0xe9, 0x9b, 0x8d, 0xd8,                            /* CRC */
        0,    0,                                           /* attributes */
        0,    0,    0,    0,                               /* last offset delta */
        0,    0,    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,    /* base timestamp: 1700000000000 */
        0,    0,    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,    /* max timestamp */
        255,  255,  255,  255,  255,  255,  255,  255,     /* producer id */
        255,  255,                                         /* producer epoch */
        255,  255,  255,  255,                             /* base sequence */
        0,    0,    0,    1,                               /* record count */
        16,   0,    0,    0,    2,    'k',  2,    'v',  0, /* the record: 8 bytes */
    };
    const struct expected_record record = {
        .timestamp_ms = T, .key = "k", .key_size = 1, .value = "v", .value_size = 1};
    struct record_batch_builder builder;
    struct slice batch;

    record_batch_builder_init(&builder);
    fixture_build(&builder, &record, 1);
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &fixture_no_producer, 0, RECORD_COMPRESSION_NONE, NULL, &batch),
        0);
    ck_assert_uint_eq(batch.size, sizeof(want));
    ck_assert_mem_eq(batch.data, want, sizeof(want));
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(transactional_batches_carry_their_bit)
{
    const struct record_batch_producer producer = {9, 0, 0};
    struct buffer file = fixture_golden("transactional");
    struct record_batch_builder builder;
    struct slice batch;

    record_batch_builder_init(&builder);
    fixture_build(&builder, fixture_records(), 1);
    ck_assert_int_eq(record_batch_builder_finish(&builder, &producer, RECORD_ATTRIBUTE_TRANSACTIONAL,
                                                 RECORD_COMPRESSION_NONE, NULL, &batch),
                     0);
    record_batch_set_leader_epoch(file.data, -1);
    ck_assert_uint_eq(batch.size, file.size);
    ck_assert_mem_eq(batch.data, file.data, file.size);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&file);
}
END_TEST

START_TEST(append_time_corrects_the_crc)
{
    struct buffer batch = fixture_golden("none"), want = fixture_golden("append_time");
    struct record_iterator iterator;
    struct record record;

    record_batch_set_append_time(batch.data, T + 123456);
    ck_assert_mem_eq(batch.data, want.data, want.size);
    ck_assert_int_eq(record_iterator_init(&iterator, buffer_slice(&batch), NULL, 0), 0);
    while (record_iterator_next(&iterator, &record) == 1)
        ck_assert_int_eq(record.timestamp_ms, T + 123456); /* every record reads as appended then */
    buffer_deinit(&batch);
    buffer_deinit(&want);
}
END_TEST

START_TEST(control_batches_are_the_same_bytes)
{
    struct buffer want = fixture_golden("commit"), got = BUFFER_INIT;

    ck_assert_int_eq(buffer_append_string(&got, "before"), 0);
    ck_assert_int_eq(record_batch_build_control(&got, 9, 3, 1, 5, T), 0);
    ck_assert_uint_eq(got.size, 6 + want.size);
    ck_assert_mem_eq(got.data, "before", 6);
    ck_assert_mem_eq(got.data + 6, want.data, want.size);
    buffer_deinit(&want);
    buffer_deinit(&got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_batch_golden");
    TCase *tcase = tcase_create("golden");

    tcase_add_loop_test(tcase, foreign_batches_are_read, 0, sizeof(golden_cases) / sizeof(golden_cases[0]));
    tcase_add_test(tcase, the_builder_writes_the_same_bytes);
    tcase_add_test(tcase, one_record_by_hand);
    tcase_add_test(tcase, transactional_batches_carry_their_bit);
    tcase_add_test(tcase, append_time_corrects_the_crc);
    tcase_add_test(tcase, control_batches_are_the_same_bytes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
