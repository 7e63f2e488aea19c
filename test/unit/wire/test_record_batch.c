/* The batch header: what is judged, and what a leader patches. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/random.h"
#include "support/run_suite.h"
#include "unit/wire/batch_fixture.h"

#include <check.h>
#include <stdlib.h>

/* A small valid batch as a producer would send it; the caller deinits the builder. */
static struct slice small_batch(struct record_batch_builder *builder)
{
    struct slice batch;

    record_batch_builder_init(builder);
    fixture_build(builder, fixture_records(), 2);
    ck_assert_int_eq(
        record_batch_builder_finish(builder, &fixture_no_producer, 0, RECORD_COMPRESSION_NONE, NULL, &batch),
        0);
    return batch;
}

/* One field of the small batch (two records) changed, the CRC made right again. */
static const struct patch_case {
    const char *what;
    int at, size;
    uint64_t value;
    int want_parse, want_verify, want_produced;
} patch_cases[] = {
    {"nothing", 0, 8, 0, 0, 0, 0},
    {"base offset", 0, 8, 5, 0, 0, MESH_EINVALID_RECORD},
    {"negative base offset", 0, 8, UINT64_MAX, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"last offset overflows", 0, 8, INT64_MAX, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"last offset is the largest", 0, 8, INT64_MAX - 1, 0, 0, MESH_EINVALID_RECORD},
    {"length below the header", 8, 4, 48, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"length of a bare header", 8, 4, 49, 0, MESH_ECORRUPT, MESH_ECORRUPT},
    {"negative length", 8, 4, 0x80000000, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"the largest length", 8, 4, 0x7fffffff, 0, MESH_ECORRUPT, MESH_ECORRUPT},
    {"leader epoch", 12, 4, 77, 0, 0, 0},
    {"magic 0", 16, 1, 0, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"magic 1", 16, 1, 1, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"magic 3", 16, 1, 3, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"zstd", 21, 2, 4, 0, 0, 0},
    {"codec 5", 21, 2, 5, 0, 0, MESH_EUNSUPPORTED_COMPRESSION},
    {"codec 7", 21, 2, 7, 0, 0, MESH_EUNSUPPORTED_COMPRESSION},
    {"transactional", 21, 2, 0x10, 0, 0, MESH_EINVALID_RECORD},
    {"control", 21, 2, 0x20, 0, 0, MESH_EINVALID_RECORD},
    {"delta above count - 1", 23, 4, 2, 0, 0, MESH_EINVALID_RECORD},
    {"delta below count - 1", 23, 4, 0, 0, 0, MESH_EINVALID_RECORD},
    {"negative delta", 23, 4, 0xffffffff, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
    {"producer without epoch and sequence", 43, 8, 1, 0, 0, MESH_EINVALID_RECORD},
    {"no records", 57, 4, 0, 0, 0, MESH_EINVALID_RECORD},
    {"negative count", 57, 4, 0xffffffff, MESH_ECORRUPT, MESH_ECORRUPT, MESH_ECORRUPT},
};

static void put(uint8_t *to, int size, uint64_t value)
{
    for (int i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

START_TEST(headers_are_judged)
{
    const struct patch_case *c = &patch_cases[_i];
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    uint8_t *bytes = builder.bytes.data;
    struct record_batch_header header, untouched = {.base_offset = 99};

    put(bytes + c->at, c->size, c->value);
    be_store32(bytes + 17, crc32c(bytes + 21, batch.size - 21));
    header = untouched;
    ck_assert_msg(record_batch_parse_header(batch, &header) == c->want_parse, "parse: %s", c->what);
    if (c->want_parse != 0) ck_assert_int_eq(header.base_offset, 99);
    header = untouched;
    ck_assert_msg(record_batch_verify(batch, &header) == c->want_verify, "verify: %s", c->what);
    if (c->want_verify != 0) ck_assert_int_eq(header.base_offset, 99);
    header = untouched;
    ck_assert_msg(record_batch_verify_produced(batch, 1 << 20, &header) == c->want_produced, "produced: %s",
                  c->what);
    if (c->want_produced != 0) ck_assert_int_eq(header.base_offset, 99);
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(too_large_batches_are_refused_by_size)
{
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    struct record_batch_header header;

    ck_assert_int_eq(record_batch_verify_produced(batch, (uint32_t)batch.size, &header), 0);
    ck_assert_int_eq(record_batch_verify_produced(batch, (uint32_t)batch.size - 1, &header), MESH_ETOOLARGE);
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    struct record_batch_header header;

    for (size_t size = 0; size < batch.size; size++) {
        uint8_t *copy = malloc(size > 0 ? size : 1); /* exact, so that a sanitizer sees reads past the end */
        struct slice cut = slice_of(copy, size);

        memcpy(copy, batch.data, size);
        ck_assert_int_eq(record_batch_parse_header(cut, &header), size < 61 ? MESH_EAGAIN : 0);
        ck_assert_int_eq(record_batch_verify(cut, &header), size < 61 ? MESH_EAGAIN : MESH_ECORRUPT);
        ck_assert_int_eq(record_batch_verify_produced(cut, 1 << 20, &header), MESH_ECORRUPT); /* no more is to come */
        free(copy);
    }
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(a_byte_too_many_is_refused)
{
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    struct record_batch_header header;
    uint8_t *copy = calloc(1, batch.size + 1);

    memcpy(copy, batch.data, batch.size);
    ck_assert_int_eq(record_batch_verify(slice_of(copy, batch.size + 1), &header), MESH_ECORRUPT);
    ck_assert_int_eq(record_batch_parse_header(slice_of(copy, batch.size + 1), &header), 0);
    free(copy);
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(every_bit_flip_is_refused_but_in_the_leaders_fields)
{
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    struct record_batch_header header;

    for (size_t bit = 0; bit < batch.size * 8; bit++) {
        size_t byte = bit / 8;
        bool is_leaders = byte < 8 || (byte >= 12 && byte < 16);
        int err;

        builder.bytes.data[byte] ^= (uint8_t)(1u << bit % 8);
        err = record_batch_verify(batch, &header);
        if (is_leaders)
            ck_assert(err == 0 ||
                      (byte == 0 && err == MESH_ECORRUPT)); /* byte 0: the sign of the base offset */
        else
            ck_assert_int_eq(err, MESH_ECORRUPT);
        builder.bytes.data[byte] ^= (uint8_t)(1u << bit % 8);
    }
    record_batch_builder_deinit(&builder);
}
END_TEST

START_TEST(the_leader_patches_offset_and_epoch_without_the_crc)
{
    struct record_batch_builder builder;
    struct slice batch = small_batch(&builder);
    struct record_batch_header header;

    record_batch_set_base_offset(builder.bytes.data, INT64_C(0x0123456789abcdef));
    record_batch_set_leader_epoch(builder.bytes.data, 0x12345678);
    ck_assert_int_eq(record_batch_verify(batch, &header), 0);
    ck_assert_int_eq(header.base_offset, INT64_C(0x0123456789abcdef));
    ck_assert_int_eq(record_batch_last_offset(&header), INT64_C(0x0123456789abcdef) + 1);
    ck_assert_int_eq(header.leader_epoch, 0x12345678);
    record_batch_builder_deinit(&builder);
}
END_TEST

/* Sizes around the places where the CRC is combined another way, and random contents. */
START_TEST(append_time_keeps_the_crc_right_at_any_size)
{
    static const size_t sizes[] = {0, 1, 2, 7, 8, 100, 1000, 1023, 1024, 1025, 4096, 65535, 1048576, 3000001};
    struct random random;

    random_init(&random, 42);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = RECORD_BATCH_HEADER_SIZE + sizes[i];
        uint8_t *batch = malloc(size);
        struct record_batch_header header;

        for (size_t j = 0; j < size; j++)
            batch[j] = (uint8_t)random_next(&random);
        memset(batch, 0, 8);
        be_store32(batch + 8, (uint32_t)size - 12);
        batch[16] = 2;
        be_store16(batch + 21, 0);
        be_store32(batch + 23, 0);
        be_store32(batch + 57, 1);
        be_store32(batch + 17, crc32c(batch + 21, size - 21));
        for (int turn = 0; turn < 2; turn++) { /* the second time the bit is set already */
            int64_t now_ms = (int64_t)(random_next(&random) >> 1);
            record_batch_set_append_time(batch, now_ms);
            ck_assert_int_eq(record_batch_verify(slice_of(batch, size), &header), 0);
            ck_assert_int_eq(header.max_timestamp_ms, now_ms);
            ck_assert_int_eq(header.attributes, RECORD_ATTRIBUTE_LOG_APPEND_TIME);
        }
        batch[size - 1] ^= 1; /* damage done before the patch is not covered up by it */
        record_batch_set_append_time(batch, 1);
        ck_assert_int_eq(record_batch_verify(slice_of(batch, size), &header), MESH_ECORRUPT);
        free(batch);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_batch");
    TCase *tcase = tcase_create("header");

    tcase_add_loop_test(tcase, headers_are_judged, 0, sizeof(patch_cases) / sizeof(patch_cases[0]));
    tcase_add_test(tcase, too_large_batches_are_refused_by_size);
    tcase_add_test(tcase, every_truncation_is_refused);
    tcase_add_test(tcase, a_byte_too_many_is_refused);
    tcase_add_test(tcase, every_bit_flip_is_refused_but_in_the_leaders_fields);
    tcase_add_test(tcase, the_leader_patches_offset_and_epoch_without_the_crc);
    tcase_add_test(tcase, append_time_keeps_the_crc_right_at_any_size);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
