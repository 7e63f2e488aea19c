/* Reading records: bytes that nobody vouches for must be refused or harmless. Run under the sanitizers, each
 * batch stands in memory of exactly its size. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/wire/batch_fixture.h"
#include "wire/compression.h"
#include "wire/record_batch_layout.h"

#include <check.h>
#include <stdlib.h>

#define T FIXTURE_TIME_MS

/* A batch around `records`, in its own memory: free(ret.data). */
static struct slice batch_around(const void *records, size_t size, int32_t count, int32_t last_delta,
                                 uint16_t attributes)
{
    uint8_t *batch = malloc(RECORD_BATCH_HEADER_SIZE + size);

    if (size > 0) memcpy(batch + RECORD_BATCH_HEADER_SIZE, records, size);
    record_batch_write_header(batch, &(struct record_batch_header){
                                         .base_offset = 100,
                                         .size = (uint32_t)(RECORD_BATCH_HEADER_SIZE + size),
                                         .attributes = attributes,
                                         .last_offset_delta = last_delta,
                                         .base_timestamp_ms = T,
                                         .max_timestamp_ms = T + 50,
                                         .producer_id = -1,
                                         .producer_epoch = -1,
                                         .base_sequence = -1,
                                         .record_count = count,
                                     });
    return slice_of(batch, RECORD_BATCH_HEADER_SIZE + size);
}

#define BROKEN_PROMISE 1000000 /* walk() found what the iterator's contract rules out */

static volatile uint8_t seen; /* so that the compiler really reads */

/* Reads every byte of a record; false when it breaks a promise of the header file. */
static bool record_is_sound(const struct record_iterator *iterator, struct record record)
{
    struct record_header header;
    uint32_t headers = 0;

    for (size_t i = 0; i < record.key.size; i++)
        seen ^= record.key.data[i];
    for (size_t i = 0; i < record.value.size; i++)
        seen ^= record.value.data[i];
    while (record_header_next(&record.headers_encoded, &header) == 1)
        headers++;
    return headers == record.header_count && record.offset >= iterator->header.base_offset &&
           record.offset <= record_batch_last_offset(&iterator->header);
}

/* Walks to the end, headers too. Returns the number of records, or the error. Uses none of Check's macros, so
 * that allocations may fail meanwhile. */
static int walk(struct slice batch, struct buffer *scratch)
{
    struct record_iterator iterator;
    struct record record;
    int count = 0, err = record_iterator_init(&iterator, batch, scratch, 1 << 20);

    if (err != 0) return err;
    while ((err = record_iterator_next(&iterator, &record)) == 1) {
        if (!record_is_sound(&iterator, record)) return BROKEN_PROMISE;
        count++;
    }
    /* At the end, or at an error, it stays. */
    if (record_iterator_next(&iterator, &record) != err) return BROKEN_PROMISE;
    return err == 0 ? count : err;
}

/* The bytes of one record each unless said otherwise. In zigzag: 0 -> 0, -1 -> 1, 1 -> 2, -2 -> 3. */
static const struct malformed_case {
    const char *what;
    int want; /* records, or an error */
    int32_t count, last_delta;
    size_t size;
    uint8_t bytes[40];
} malformed_cases[] = {
    {"a good one", 1, 1, 0, 9, {16, 0, 0, 0, 2, 'k', 2, 'v', 0}},
    {"nulls", 1, 1, 0, 7, {12, 0, 0, 0, 1, 1, 0}},
    {"unknown attributes", 1, 1, 0, 7, {12, 255, 0, 0, 1, 1, 0}},
    {"none expected, none there", 0, 0, 5, 0, {0}},
    {"one expected, none there", MESH_ECORRUPT, 1, 0, 0, {0}},
    {"none expected, one there", MESH_ECORRUPT, 0, 0, 7, {12, 0, 0, 0, 1, 1, 0}},
    {"one byte behind the last", MESH_ECORRUPT, 1, 0, 8, {12, 0, 0, 0, 1, 1, 0, 0}},
    {"size zero", MESH_ECORRUPT, 1, 0, 1, {0}},
    {"size negative", MESH_ECORRUPT, 1, 0, 7, {11, 0, 0, 0, 1, 1, 0}},
    {"size one short", MESH_ECORRUPT, 1, 0, 7, {10, 0, 0, 0, 1, 1, 0}},
    {"size one over", MESH_ECORRUPT, 1, 0, 7, {14, 0, 0, 0, 1, 1, 0}},
    {"size over, bytes inside", MESH_ECORRUPT, 1, 0, 8, {14, 0, 0, 0, 1, 1, 0, 0}},
    {"size beyond 64 bits", MESH_ECORRUPT, 1, 0, 11, {255, 255, 255, 255, 255, 255, 255, 255, 255, 127, 0}},
    {"size of 2^63 - 1", MESH_ECORRUPT, 1, 0, 11, {254, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0}},
    {"size unfinished", MESH_ECORRUPT, 1, 0, 2, {0x80, 0x80}},
    {"size padded with zeros is a size", 1, 1, 0, 8, {0x8c, 0, 0, 0, 0, 1, 1, 0}},
    {"key below -1", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 0, 3, 1, 0}},
    {"key past the end", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 0, 8, 1, 0}},
    {"key of 2^63 - 1",
     MESH_ECORRUPT,
     1,
     0,
     16,
     {30, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0}},
    {"value below -1", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 0, 1, 5, 0}},
    {"value past the end", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 0, 1, 4, 0}},
    {"no header count", MESH_ECORRUPT, 1, 0, 6, {10, 0, 0, 0, 1, 1}},
    {"no value", MESH_ECORRUPT, 1, 0, 5, {8, 0, 0, 0, 1}},
    {"no key", MESH_ECORRUPT, 1, 0, 4, {6, 0, 0, 0}},
    {"no offset delta", MESH_ECORRUPT, 1, 0, 3, {4, 0, 0}},
    {"no timestamp delta", MESH_ECORRUPT, 1, 0, 2, {2, 0}},
    {"one header", 1, 1, 0, 11, {20, 0, 0, 0, 1, 1, 2, 2, 'h', 2, 'v'}},
    {"header value null", 1, 1, 0, 10, {18, 0, 0, 0, 1, 1, 2, 2, 'h', 1}},
    {"header key null", MESH_ECORRUPT, 1, 0, 9, {16, 0, 0, 0, 1, 1, 2, 1, 1}},
    {"header count negative", MESH_ECORRUPT, 1, 0, 11, {20, 0, 0, 0, 1, 1, 1, 2, 'h', 2, 'v'}},
    {"header count too small", MESH_ECORRUPT, 1, 0, 11, {20, 0, 0, 0, 1, 1, 0, 2, 'h', 2, 'v'}},
    {"header count too large", MESH_ECORRUPT, 1, 0, 11, {20, 0, 0, 0, 1, 1, 4, 2, 'h', 2, 'v'}},
    {"header count huge", MESH_ECORRUPT, 1, 0, 11, {20, 0, 0, 0, 1, 1, 254, 255, 255, 255, 15}},
    {"header past the end", MESH_ECORRUPT, 1, 0, 11, {20, 0, 0, 0, 1, 1, 2, 2, 'h', 4, 'v'}},
    {"offset negative", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 1, 1, 1, 0}},
    {"offset beyond the last", MESH_ECORRUPT, 1, 0, 7, {12, 0, 0, 2, 1, 1, 0}},
    {"gaps, as compaction leaves", 2, 2, 9, 14, {12, 0, 0, 4, 1, 1, 0, 12, 0, 0, 18, 1, 1, 0}},
    {"the same offset twice", MESH_ECORRUPT, 2, 9, 14, {12, 0, 0, 4, 1, 1, 0, 12, 0, 0, 4, 1, 1, 0}},
    {"offsets going back", MESH_ECORRUPT, 2, 9, 14, {12, 0, 0, 4, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0}},
    {"a second one is missing", MESH_ECORRUPT, 2, 1, 7, {12, 0, 0, 0, 1, 1, 0}},
    {"the second is cut", MESH_ECORRUPT, 2, 1, 13, {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1}},
};

START_TEST(records_that_do_not_add_up_are_refused)
{
    const struct malformed_case *c = &malformed_cases[_i];
    struct slice batch = batch_around(c->bytes, c->size, c->count, c->last_delta, 0);
    int got = walk(batch, NULL);

    ck_assert_msg(got == c->want, "%s: %d", c->what, got);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

/* The fixture's records, encoded; the caller deinits the builder. */
static struct slice fixture_encoded(struct record_batch_builder *builder)
{
    record_batch_builder_init(builder);
    fixture_build(builder, fixture_records(), FIXTURE_RECORD_COUNT);
    return slice_of(builder->bytes.data + RECORD_BATCH_HEADER_SIZE,
                    builder->bytes.size - RECORD_BATCH_HEADER_SIZE);
}

START_TEST(every_truncation_of_the_records_is_refused)
{
    struct record_batch_builder builder;
    struct slice records = fixture_encoded(&builder);
    struct buffer scratch = BUFFER_INIT, blob = BUFFER_INIT;
    enum record_compression codec = (enum record_compression)_i;

    ck_assert_int_eq(compression_compress(codec, records, &blob), 0);
    for (size_t size = 0; size < blob.size; size++) {
        struct slice cut =
            batch_around(blob.data, size, FIXTURE_RECORD_COUNT, FIXTURE_RECORD_COUNT - 1, codec);
        ck_assert_int_eq(walk(cut, &scratch), MESH_ECORRUPT);
        free((void *)(uintptr_t)cut.data);
    }
    record_batch_builder_deinit(&builder);
    buffer_deinit(&scratch);
    buffer_deinit(&blob);
    compression_release_thread();
}
END_TEST

/* Without the CRC in the way: what is then returned may be wrong, but it lies inside the batch. */
START_TEST(every_bit_flip_of_the_records_is_harmless)
{
    struct record_batch_builder builder;
    struct slice records = fixture_encoded(&builder);
    struct buffer scratch = BUFFER_INIT, blob = BUFFER_INIT;
    enum record_compression codec = (enum record_compression)_i;

    ck_assert_int_eq(compression_compress(codec, records, &blob), 0);
    for (size_t bit = 0; bit < blob.size * 8; bit++) {
        struct slice batch;
        int got;

        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        batch = batch_around(blob.data, blob.size, FIXTURE_RECORD_COUNT, FIXTURE_RECORD_COUNT - 1, codec);
        got = walk(batch, &scratch);
        ck_assert(got == FIXTURE_RECORD_COUNT || got == MESH_ECORRUPT || got == MESH_ETOOLARGE);
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        free((void *)(uintptr_t)batch.data);
    }
    record_batch_builder_deinit(&builder);
    buffer_deinit(&scratch);
    buffer_deinit(&blob);
    compression_release_thread();
}
END_TEST

START_TEST(an_emptied_batch_has_no_records)
{
    for (int codec = RECORD_COMPRESSION_NONE; codec <= RECORD_COMPRESSION_ZSTD; codec++) {
        struct slice batch = batch_around(NULL, 0, 0, 7, (uint16_t)codec);
        ck_assert_int_eq(walk(batch, NULL), 0);
        free((void *)(uintptr_t)batch.data);
    }
}
END_TEST

START_TEST(a_batch_that_is_not_whole_is_refused)
{
    struct slice batch = batch_around("\x0c\0\0\0\1\1\0", 7, 1, 0, 0);
    struct record_iterator iterator;
    struct buffer scratch = BUFFER_INIT;

    ck_assert_int_eq(record_iterator_init(&iterator, slice_of(batch.data, batch.size - 1), NULL, 0),
                     MESH_ECORRUPT);
    ck_assert_int_eq(record_iterator_init(&iterator, slice_of(batch.data, 60), NULL, 0), MESH_ECORRUPT);
    ck_assert_int_eq(record_iterator_init(&iterator, slice_of(NULL, 0), NULL, 0), MESH_ECORRUPT);
    free((void *)(uintptr_t)batch.data);
    batch = batch_around("x", 1, 1, 0, 6);
    ck_assert_int_eq(record_iterator_init(&iterator, batch, &scratch, 9), MESH_EUNSUPPORTED_COMPRESSION);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

START_TEST(a_bomb_is_refused)
{
    struct record_batch_builder builder;
    struct slice records = fixture_encoded(&builder), batch;
    struct buffer scratch = BUFFER_INIT, blob = BUFFER_INIT;
    struct record_iterator iterator;
    enum record_compression codec = (enum record_compression)_i;

    ck_assert_int_eq(compression_compress(codec, records, &blob), 0);
    batch = batch_around(blob.data, blob.size, FIXTURE_RECORD_COUNT, FIXTURE_RECORD_COUNT - 1, codec);
    ck_assert_int_eq(record_iterator_init(&iterator, batch, &scratch, records.size - 1), MESH_ETOOLARGE);
    ck_assert_int_eq(record_iterator_init(&iterator, batch, &scratch, records.size), 0);
    free((void *)(uintptr_t)batch.data);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&scratch);
    buffer_deinit(&blob);
    compression_release_thread();
}
END_TEST

START_TEST(each_allocation_may_fail)
{
    struct record_batch_builder builder;
    struct slice records = fixture_encoded(&builder), batch;
    struct buffer blob = BUFFER_INIT;
    enum record_compression codec = (enum record_compression)_i;

    ck_assert_int_eq(compression_compress(codec, records, &blob), 0);
    batch = batch_around(blob.data, blob.size, FIXTURE_RECORD_COUNT, FIXTURE_RECORD_COUNT - 1, codec);
    failing_alloc_each(n)
    {
        struct buffer scratch = BUFFER_INIT;
        bool failed;
        int got;

        compression_release_thread();
        failing_alloc_arm(n);
        got = walk(batch, &scratch);
        failed = failing_alloc_disarm();
        ck_assert_int_eq(got, failed ? MESH_ENOMEM : FIXTURE_RECORD_COUNT);
        buffer_deinit(&scratch);
        if (!failed) break;
    }
    free((void *)(uintptr_t)batch.data);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&blob);
    compression_release_thread();
}
END_TEST

/* Three records at T, T + 30, T + 10; the header says max T + 50. */
static const struct {
    int64_t from_ms;
    int want;
    int64_t want_offset, want_timestamp_ms;
} time_cases[] = {
    {INT64_MIN, 0, 100, T},         {T, 0, 100, T},
    {T + 1, 0, 102, T + 30}, /* the first at or after, in offset order; not the nearest in time */
    {T + 10, 0, 102, T + 30},       {T + 30, 0, 102, T + 30},
    {T + 31, MESH_ENOTFOUND, 0, 0}, {T + 50, MESH_ENOTFOUND, 0, 0},
    {T + 51, MESH_ENOTFOUND, 0, 0}, {INT64_MAX, MESH_ENOTFOUND, 0, 0},
};

START_TEST(records_are_found_by_time)
{
    static const uint8_t records[] = {12, 0, 0, 0, 1, 1, 0, 12, 0, 60, 4, 1, 1, 0, 12, 0, 20, 6, 1, 1, 0};
    struct slice batch = batch_around(records, sizeof(records), 3, 3, 0);
    int64_t offset = -7, timestamp_ms = -7;
    int got = record_batch_find_timestamp(batch, time_cases[_i].from_ms, 0, NULL, 0, &offset, &timestamp_ms);

    ck_assert_int_eq(got, time_cases[_i].want);
    ck_assert_int_eq(offset, got == 0 ? time_cases[_i].want_offset : -7);
    ck_assert_int_eq(timestamp_ms, got == 0 ? time_cases[_i].want_timestamp_ms : -7);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

START_TEST(a_time_is_not_found_before_an_offset)
{
    static const uint8_t records[] = {12, 0, 0, 0, 1, 1, 0, 12, 0, 60, 4, 1, 1, 0, 12, 0, 20, 6, 1, 1, 0};
    struct slice batch = batch_around(records, sizeof(records), 3, 3, 0);
    int64_t offset, timestamp_ms;

    ck_assert_int_eq(record_batch_find_timestamp(batch, T, 101, NULL, 0, &offset, &timestamp_ms), 0);
    ck_assert_int_eq(offset, 102);
    ck_assert_int_eq(record_batch_find_timestamp(batch, T, 103, NULL, 0, &offset, &timestamp_ms), 0);
    ck_assert_int_eq(offset, 103);
    ck_assert_int_eq(timestamp_ms, T + 10);
    ck_assert_int_eq(record_batch_find_timestamp(batch, T + 11, 103, NULL, 0, &offset, &timestamp_ms), MESH_ENOTFOUND);
    ck_assert_int_eq(record_batch_find_timestamp(batch, T, 104, NULL, 0, &offset, &timestamp_ms), MESH_ENOTFOUND);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

START_TEST(append_time_is_every_records_time)
{
    static const uint8_t records[] = {12, 0, 0, 4, 1, 1, 0, 12, 0, 60, 6, 1, 1, 0};
    struct slice batch = batch_around(records, sizeof(records), 2, 3, RECORD_ATTRIBUTE_LOG_APPEND_TIME);
    int64_t offset, timestamp_ms;

    ck_assert_int_eq(record_batch_find_timestamp(batch, T + 40, 0, NULL, 0, &offset, &timestamp_ms), 0);
    ck_assert_int_eq(offset, 102); /* the first there is, though the batch begins at 100 */
    ck_assert_int_eq(timestamp_ms, T + 50);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

START_TEST(no_time_finds_a_control_record)
{
    struct buffer batch = BUFFER_INIT;
    int64_t offset, timestamp_ms;

    ck_assert_int_eq(record_batch_build_control(&batch, -1, -1, 2, 7, T), 0);
    ck_assert_int_eq(record_batch_find_timestamp(buffer_slice(&batch), T - 1, 0, NULL, 0, &offset, &timestamp_ms), MESH_ENOTFOUND);
    buffer_deinit(&batch);
}
END_TEST

START_TEST(damage_on_the_way_to_a_time_is_reported)
{
    struct slice batch = batch_around("\x0c\0\0\0\1\1\0\xff", 8, 2, 1, 0);
    int64_t offset, timestamp_ms;

    ck_assert_int_eq(record_batch_find_timestamp(batch, T, 0, NULL, 0, &offset, &timestamp_ms), 0);
    ck_assert_int_eq(record_batch_find_timestamp(batch, T + 1, 0, NULL, 0, &offset, &timestamp_ms),
                     MESH_ECORRUPT);
    ck_assert_int_eq(record_batch_find_timestamp(slice_of("x", 1), T, 0, NULL, 0, &offset, &timestamp_ms),
                     MESH_ECORRUPT);
    free((void *)(uintptr_t)batch.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_iterator");
    TCase *tcase = tcase_create("iterator");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, records_that_do_not_add_up_are_refused, 0,
                        sizeof(malformed_cases) / sizeof(malformed_cases[0]));
    tcase_add_loop_test(tcase, every_truncation_of_the_records_is_refused, 0, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_loop_test(tcase, every_bit_flip_of_the_records_is_harmless, 0, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_test(tcase, an_emptied_batch_has_no_records);
    tcase_add_test(tcase, a_batch_that_is_not_whole_is_refused);
    tcase_add_loop_test(tcase, a_bomb_is_refused, RECORD_COMPRESSION_GZIP, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_loop_test(tcase, records_are_found_by_time, 0, sizeof(time_cases) / sizeof(time_cases[0]));
    tcase_add_test(tcase, a_time_is_not_found_before_an_offset);
    tcase_add_test(tcase, append_time_is_every_records_time);
    tcase_add_test(tcase, no_time_finds_a_control_record);
    tcase_add_test(tcase, damage_on_the_way_to_a_time_is_reported);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
