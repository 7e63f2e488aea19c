/* Building batches: what goes in comes out, limits hold, memory is reused, and failures change nothing. */
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/wire/batch_fixture.h"
#include "wire/compression.h"
#include "wire/record_batch_small.h"

#include <check.h>

#define T FIXTURE_TIME_MS

static struct record value_record(int64_t timestamp_ms, const char *value, size_t size)
{
    return (struct record){.timestamp_ms = timestamp_ms, .key_is_null = true, .value = slice_of(value, size)};
}

START_TEST(what_is_built_is_read_back_with_each_codec)
{
    enum record_compression compression = (enum record_compression)_i;
    const struct record_batch_producer producer = {12, 3, 45};
    struct record_batch_builder builder;
    struct buffer compressed = BUFFER_INIT, scratch = BUFFER_INIT;
    struct slice batch;
    struct record_batch_header header;
    struct record_iterator iterator;
    struct record record;

    record_batch_builder_init(&builder);
    for (int turn = 0; turn < 3; turn++) { /* the builder and the buffers are used again */
        record_batch_builder_clear(&builder);
        fixture_build(&builder, fixture_records(), FIXTURE_RECORD_COUNT);
        ck_assert_int_eq(
            record_batch_builder_finish(&builder, &producer, 0, compression, &compressed, &batch), 0);
        ck_assert_int_eq(record_batch_verify_produced(batch, 1 << 20, &header), 0);
        ck_assert_int_eq(header.attributes, compression);
        ck_assert_int_eq(header.leader_epoch, -1);
        ck_assert_int_eq(header.producer_id, 12);
        ck_assert_int_eq(header.producer_epoch, 3);
        ck_assert_int_eq(header.base_sequence, 45);
        ck_assert_int_eq(record_iterator_init(&iterator, batch, &scratch, 1 << 20), 0);
        for (int i = 0; i < FIXTURE_RECORD_COUNT; i++) {
            ck_assert_int_eq(record_iterator_next(&iterator, &record), 1);
            ck_assert_int_eq(record.offset, i);
            fixture_check(&record, &fixture_records()[i]);
        }
        ck_assert_int_eq(record_iterator_next(&iterator, &record), 0);
        ck_assert_int_eq(record_iterator_next(&iterator, &record), 0); /* and stays at the end */
    }
    record_batch_builder_deinit(&builder);
    buffer_deinit(&compressed);
    buffer_deinit(&scratch);
}
END_TEST

/* Sizes at which a varint grows by a byte. */
START_TEST(sizes_around_varint_steps_are_read_back)
{
    static const size_t sizes[] = {0,  1,    54,   55,   56,   57,   63,      64,
                                   65, 8183, 8184, 8191, 8192, 8193, 1048575, 1048576};
    static char bytes[1048576];
    struct record_batch_builder builder;

    record_batch_builder_init(&builder);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct record_header record_header = {.key = slice_of_string("h"),
                                              .value = slice_of(bytes, sizes[i])};
        struct record record = value_record(T, bytes, sizes[i]), got;
        struct record_iterator iterator;
        struct slice batch;
        size_t before;

        record.header_count = 1;
        record.headers = &record_header;
        record_batch_builder_clear(&builder);
        ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
        before = builder.bytes.size;
        ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
        ck_assert_uint_ge(record_batch_record_size_max(&record), builder.bytes.size - before);
        ck_assert_int_eq(record_batch_builder_finish(&builder, &fixture_no_producer, 0, 0, NULL, &batch), 0);
        ck_assert_int_eq(record_iterator_init(&iterator, batch, NULL, 0), 0);
        ck_assert_int_eq(record_iterator_next(&iterator, &got), 1);
        ck_assert_int_eq(record_iterator_next(&iterator, &got), 1);
        ck_assert_uint_eq(got.value.size, sizes[i]);
        ck_assert_int_eq(record_header_next(&got.headers_encoded, &record_header), 1);
        ck_assert_uint_eq(record_header.value.size, sizes[i]);
        ck_assert_int_eq(record_iterator_next(&iterator, &got), 0);
    }
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(timestamps_of_any_distance_are_read_back)
{
    static const int64_t times[] = {0,   -1,   1,        INT64_MAX, INT64_MIN, T, -T, INT64_MIN + 1,
                                    127, -128, INT32_MAX};
    const int count = sizeof(times) / sizeof(times[0]);
    struct record_batch_builder builder;

    record_batch_builder_init(&builder);
    for (int first = 0; first < count; first++) {
        struct record_iterator iterator;
        struct slice batch;
        struct record record;

        record_batch_builder_clear(&builder);
        for (int i = 0; i < count; i++) {
            record = value_record(times[(first + i) % count], "v", 1);
            ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
        }
        ck_assert_int_eq(record_batch_builder_finish(&builder, &fixture_no_producer, 0, 0, NULL, &batch), 0);
        ck_assert_int_eq(record_iterator_init(&iterator, batch, NULL, 0), 0);
        ck_assert_int_eq(iterator.header.base_timestamp_ms, times[first]);
        ck_assert_int_eq(iterator.header.max_timestamp_ms, INT64_MAX);
        for (int i = 0; i < count; i++) {
            ck_assert_int_eq(record_iterator_next(&iterator, &record), 1);
            ck_assert_int_eq(record.timestamp_ms, times[(first + i) % count]);
        }
    }
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(max_timestamp_of_the_former_batch_is_forgotten)
{
    struct record_batch_builder builder;
    struct record late = value_record(T + 1000, "v", 1), early = value_record(T, "v", 1);

    record_batch_builder_init(&builder);
    ck_assert_int_eq(record_batch_builder_add(&builder, &late), 0);
    record_batch_builder_clear(&builder);
    ck_assert_int_eq(record_batch_builder_add(&builder, &early), 0);
    ck_assert_int_eq(builder.max_timestamp_ms, T);
    ck_assert_int_eq(builder.base_timestamp_ms, T);
    record_batch_builder_deinit(&builder);
}
END_TEST

/* The sizes lie about the memory behind them, so a read would crash: refused by arithmetic alone. */
START_TEST(records_over_the_limit_are_refused_unread)
{
    const size_t over = (size_t)INT32_MAX + 1;
    struct record_header headers[2] = {
        {.key = {(const uint8_t *)"k", 1}, .value = {(const uint8_t *)"v", 1}}};
    struct record_batch_builder builder;
    struct record records[7];
    struct buffer before;

    record_batch_builder_init(&builder);
    for (int i = 0; i < 7; i++)
        records[i] = value_record(T, "v", 1);
    ck_assert_int_eq(record_batch_builder_add(&builder, &records[0]), 0);
    before = builder.bytes;

    records[0].value.size = over;
    records[1].value.size = SIZE_MAX;
    records[2].key_is_null = false;
    records[2].key = slice_of("k", INT32_MAX / 2);
    records[2].value.size = INT32_MAX / 2; /* each below, the sum above what the batch has left */
    records[3].header_count = (uint32_t)INT32_MAX + 1;
    records[3].headers = headers;
    headers[1] =
        (struct record_header){.key = {(const uint8_t *)"k", 1}, .value = {(const uint8_t *)"v", over}};
    records[4].header_count = 2;
    records[4].headers = headers;
    records[5].value.size = INT32_MAX - 61;
    records[6].value.size = INT32_MAX;
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(record_batch_builder_add(&builder, &records[i]), MESH_ETOOLARGE);
        ck_assert_int_eq(builder.record_count, 1);
        ck_assert_mem_eq(&builder.bytes, &before, sizeof(before));
    }
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(a_full_batch_takes_no_more)
{
    struct record_batch_builder builder;
    struct record record = value_record(T, "0123456789", 10);

    record_batch_builder_init(&builder);
    ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    builder.bytes.size =
        INT32_MAX - 16; /* one byte short of room for the 17 of this record; nothing there is touched */
    ck_assert_int_eq(record_batch_builder_add(&builder, &record), MESH_ETOOLARGE);
    ck_assert_uint_eq(builder.bytes.size, INT32_MAX - 16);
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(an_empty_batch_is_refused)
{
    struct record_batch_builder builder;
    struct buffer compressed = BUFFER_INIT;
    struct slice batch = {NULL, 7};

    record_batch_builder_init(&builder);
    ck_assert_int_eq(record_batch_builder_finish(&builder, &fixture_no_producer, 0, RECORD_COMPRESSION_ZSTD,
                                                 &compressed, &batch),
                     MESH_EINVAL);
    ck_assert_uint_eq(batch.size, 7);
    record_batch_builder_deinit(&builder);
    record_batch_builder_deinit(&builder); /* harmless twice */
}
END_TEST

START_TEST(what_does_not_shrink_is_stored_as_it_is)
{
    struct record_batch_builder builder;
    struct buffer compressed = BUFFER_INIT;
    struct record record = value_record(T, "q8Zp", 4);
    struct record_batch_header header;
    struct slice batch;

    record_batch_builder_init(&builder);
    ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    for (int codec = RECORD_COMPRESSION_GZIP; codec <= RECORD_COMPRESSION_ZSTD; codec++) {
        ck_assert_int_eq(record_batch_builder_finish(&builder, &fixture_no_producer,
                                                     RECORD_ATTRIBUTE_TRANSACTIONAL,
                                                     (enum record_compression)codec, &compressed, &batch),
                         0);
        ck_assert_int_eq(record_batch_verify(batch, &header), 0);
        ck_assert_int_eq(header.attributes, RECORD_ATTRIBUTE_TRANSACTIONAL);
        ck_assert_ptr_eq(batch.data, builder.bytes.data);
    }
    record_batch_builder_deinit(&builder);
    buffer_deinit(&compressed);
}
END_TEST

START_TEST(a_batch_can_be_finished_again)
{
    const struct record_batch_producer first = {1, 0, 10}, second = {2, 5, 0};
    struct record_batch_builder builder;
    struct buffer compressed = BUFFER_INIT;
    struct record_batch_header header;
    struct slice batch;

    record_batch_builder_init(&builder);
    fixture_build(&builder, fixture_records(), FIXTURE_RECORD_COUNT);
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &first, 0, RECORD_COMPRESSION_LZ4, &compressed, &batch), 0);
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &second, 4, RECORD_COMPRESSION_NONE, &compressed, &batch), 0);
    ck_assert_int_eq(record_batch_verify_produced(batch, 1 << 20, &header), 0);
    ck_assert_int_eq(header.attributes, 0); /* the argument `compression` alone decides */
    ck_assert_int_eq(header.producer_id, 2);
    ck_assert_int_eq(header.base_sequence, 0);
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &second, 0, (enum record_compression)5, &compressed, &batch),
        MESH_EUNSUPPORTED_COMPRESSION);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&compressed);
}
END_TEST

START_TEST(control_batches_are_control_batches)
{
    static const struct {
        int16_t type;
        uint16_t want_attributes;
    } cases[] = {{0, 0x30}, {1, 0x30}, {2, 0x20}, {100, 0x20}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer bytes = BUFFER_INIT;
        struct record_batch_header header;
        struct record_iterator iterator;
        struct record record;

        ck_assert_int_eq(record_batch_build_control(&bytes, 77, 2, cases[i].type, 258, T), 0);
        ck_assert_int_eq(record_batch_verify(buffer_slice(&bytes), &header), 0);
        ck_assert_int_eq(record_batch_verify_produced(buffer_slice(&bytes), 1 << 20, &header),
                         MESH_EINVALID_RECORD);
        ck_assert_int_eq(header.attributes, cases[i].want_attributes);
        ck_assert_int_eq(record_batch_last_offset(&header), header.base_offset);
        ck_assert_int_eq(record_iterator_init(&iterator, buffer_slice(&bytes), NULL, 0), 0);
        ck_assert_int_eq(record_iterator_next(&iterator, &record), 1);
        ck_assert_uint_eq(record.key.size, 4);
        ck_assert_int_eq(record.key.data[3], cases[i].type);
        ck_assert_uint_eq(record.value.size, 6);
        ck_assert_mem_eq(record.value.data, "\0\0\0\0\1\2", 6);
        ck_assert_int_eq(record_iterator_next(&iterator, &record), 0);
        buffer_deinit(&bytes);
    }
}
END_TEST

/* Builds the fixture with a codec; the first error, or 0. */
/* Adds a record the short way if that takes it, else the long way; tells which. */
static bool add_small_or_any(struct record_batch_builder *builder, const struct record *record)
{
    if (record_batch_builder_add_small(builder, record->timestamp_ms, record->key, record->key_is_null,
                                       record->value, record->value_is_null))
        return true;
    ck_assert_int_eq(record_batch_builder_add(builder, record), 0);
    return false;
}

static void check_same_batches(struct record_batch_builder *one, struct record_batch_builder *other)
{
    const struct record_batch_producer producer = {7, 1, 100};
    struct record_batch_header header;
    struct slice a, b;

    ck_assert_int_eq(record_batch_builder_finish(one, &producer, 0, RECORD_COMPRESSION_NONE, NULL, &a), 0);
    ck_assert_int_eq(record_batch_builder_finish(other, &producer, 0, RECORD_COMPRESSION_NONE, NULL, &b), 0);
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.data, b.data, a.size);
    ck_assert_int_eq(record_batch_verify_produced(a, UINT32_MAX, &header), 0);
}

START_TEST(the_short_way_writes_the_same_bytes)
{
    static const size_t sizes[] = {0,   1,   55,   56,   57,   63,   64,   100,
                                   127, 128, 4095, 8000, 8001, 8191, 8192, 20000};
    static const int64_t times[] = {T, T, T + 1, T + 63, T + 64, T + 8191, T + 8192, T - 1, T + 5};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), TIMES = sizeof(times) / sizeof(times[0]) };
    static char bytes[20000];
    struct record_batch_builder small, any;
    int small_count = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 31);
    record_batch_builder_init(&small);
    record_batch_builder_init(&any);
    for (int turn = 0; turn < 2; turn++) { /* what was summed is forgotten when the builder is cleared */
        record_batch_builder_clear(&small);
        record_batch_builder_clear(&any);
        ck_assert_int_eq(buffer_reserve(&small.bytes, 2u << 20), 0);
        for (int i = 0; i < 9000 + turn; i++) { /* far enough for offsets of three bytes */
            struct record record = {.timestamp_ms = times[i % TIMES],
                                    .key = slice_of(bytes, sizes[i / 5 % SIZES]),
                                    .value = slice_of(bytes + 7, sizes[i % (i < 500 ? SIZES - 1 : 9)])};
            record.key_is_null = i % 3 == 0;
            record.value_is_null = i % 11 == 0;
            if (record.key_is_null || i >= 500) record.key.size = 0;
            if (record.value_is_null) record.value.size = 0;
            small_count += add_small_or_any(&small, &record);
            ck_assert_int_eq(record_batch_builder_add(&any, &record), 0);
        }
        check_same_batches(&small, &any);
        ck_assert_uint_gt(small.summed, 0);
        ck_assert_uint_eq(any.summed, 0);
    }
    ck_assert_int_gt(small_count, 10000);
    record_batch_builder_deinit(&small);
    record_batch_builder_deinit(&any);
}
END_TEST

START_TEST(the_short_way_needs_memory_and_a_record_before)
{
    struct record record = value_record(T, "0123456789", 10);
    struct record_batch_builder builder;

    record_batch_builder_init(&builder);
    ck_assert_int_eq(buffer_reserve(&builder.bytes, 200), 0);
    ck_assert(!add_small_or_any(&builder, &record)); /* the first: it sets the base timestamp */
    while (add_small_or_any(&builder, &record))
        ck_assert_uint_le(builder.bytes.size, builder.bytes.capacity);
    ck_assert_int_gt(builder.record_count, 3);
    record_batch_builder_deinit(&builder);
}
END_TEST

static int build_once(struct record_batch_builder *builder, struct buffer *compressed, int codec)
{
    static const char value[5000];
    struct slice batch;

    record_batch_builder_clear(builder);
    for (int i = 0; i < 20; i++) {
        struct record record = value_record(T, value, sizeof(value));
        int err = record_batch_builder_add(builder, &record);

        if (err != 0) return builder->record_count == i ? err : 1; /* else the batch is not as it was */
    }
    return record_batch_builder_finish(builder, &fixture_no_producer, 0, (enum record_compression)codec,
                                       compressed, &batch);
}

START_TEST(each_allocation_may_fail)
{
    failing_alloc_each(n)
    {
        struct record_batch_builder builder;
        struct buffer compressed = BUFFER_INIT;
        bool failed;
        int err;

        compression_release_thread();
        record_batch_builder_init(&builder);
        failing_alloc_arm(n);
        err = build_once(&builder, &compressed, _i);
        failed = failing_alloc_disarm();
        ck_assert_int_eq(err, failed ? MESH_ENOMEM : 0);
        ck_assert_int_eq(build_once(&builder, &compressed, _i), 0); /* and it works again */
        record_batch_builder_deinit(&builder);
        buffer_deinit(&compressed);
        if (!failed) break;
    }
    compression_release_thread();
}
END_TEST

START_TEST(control_batches_survive_a_failed_allocation)
{
    struct buffer to = BUFFER_INIT;
    int err;

    failing_alloc_arm(1);
    err = record_batch_build_control(&to, 1, 1, 0, 0, T);
    ck_assert(failing_alloc_disarm());
    ck_assert_int_eq(err, MESH_ENOMEM);
    ck_assert_uint_eq(to.size, 0);
}
END_TEST

START_TEST(the_steady_state_allocates_nothing)
{
    struct record_batch_builder builder;
    struct buffer compressed = BUFFER_INIT;
    int err;

    record_batch_builder_init(&builder);
    ck_assert_int_eq(build_once(&builder, &compressed, _i), 0);
    failing_alloc_arm(1);
    err = build_once(&builder, &compressed, _i);
    ck_assert(!failing_alloc_disarm());
    ck_assert_int_eq(err, 0);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&compressed);
    compression_release_thread();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_batch_builder");
    TCase *tcase = tcase_create("builder");

    tcase_add_loop_test(tcase, what_is_built_is_read_back_with_each_codec, 0, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_test(tcase, sizes_around_varint_steps_are_read_back);
    tcase_add_test(tcase, timestamps_of_any_distance_are_read_back);
    tcase_add_test(tcase, max_timestamp_of_the_former_batch_is_forgotten);
    tcase_add_test(tcase, records_over_the_limit_are_refused_unread);
    tcase_add_test(tcase, a_full_batch_takes_no_more);
    tcase_add_test(tcase, an_empty_batch_is_refused);
    tcase_add_test(tcase, what_does_not_shrink_is_stored_as_it_is);
    tcase_add_test(tcase, a_batch_can_be_finished_again);
    tcase_add_test(tcase, the_short_way_writes_the_same_bytes);
    tcase_add_test(tcase, the_short_way_needs_memory_and_a_record_before);
    tcase_add_test(tcase, control_batches_are_control_batches);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, RECORD_COMPRESSION_ZSTD + 1);
    tcase_add_test(tcase, control_batches_survive_a_failed_allocation);
    tcase_add_loop_test(tcase, the_steady_state_allocates_nothing, 0, RECORD_COMPRESSION_ZSTD + 1);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
