/* CRC-32C, byte order and variable-length integers. */
#include "base/bytes.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>

/* RFC 3720 appendix B.4, and the check value of the CRC catalogues. */
START_TEST(crc_of_published_vectors)
{
    static const uint8_t read_command[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };
    uint8_t bytes[32];

    ck_assert_uint_eq(crc32c("", 0), 0);
    ck_assert_uint_eq(crc32c("123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    ck_assert_uint_eq(crc32c(bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    ck_assert_uint_eq(crc32c(bytes, sizeof(bytes)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    ck_assert_uint_eq(crc32c(bytes, sizeof(bytes)), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(crc32c(bytes, sizeof(bytes)), 0x113fdb5c);
    ck_assert_uint_eq(crc32c(read_command, sizeof(read_command)), 0xd9963a56);
}
END_TEST

/* One bit after the other, from the polynomial alone. */
static uint32_t slow_crc(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

/* Sizes and alignments around the places where the way of computing changes. */
START_TEST(crc_is_the_same_in_each_way)
{
    uint8_t bytes[600];
    struct random random;

    random_init(&random, 4);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)random_next(&random);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size <= 580; size++)
            if (crc32c(bytes + start, size) != slow_crc(bytes + start, size))
                ck_abort_msg("%zu at %zu", size, start);
}
END_TEST

START_TEST(crc_extends_and_combines_at_any_cut)
{
    static const size_t cuts[] = {0,    1,    2,    7,    63,   1022,  1023,  1024,
                                  1025, 2047, 2048, 4095, 5000, 99999, 100000};
    const size_t size = 100000;
    uint8_t *bytes = malloc(size);
    struct random random;
    uint32_t whole;

    random_init(&random, 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)random_next(&random);
    whole = crc32c(bytes, size);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        uint32_t head = crc32c(bytes, cuts[i]), tail = crc32c(bytes + cuts[i], size - cuts[i]);
        ck_assert_uint_eq(crc32c_extend(head, bytes + cuts[i], size - cuts[i]), whole);
        ck_assert_uint_eq(crc32c_combine(head, tail, size - cuts[i]), whole);
    }
    free(bytes);
}
END_TEST

/* Too long to be computed byte by byte: moving past m bytes and then n is moving past m + n. */
START_TEST(crc_combines_over_huge_distances)
{
    struct random random;

    random_init(&random, 2);
    for (int i = 0; i < 2000; i++) {
        uint32_t crc = (uint32_t)random_next(&random);
        size_t m = random_next(&random) >> (2 + random_below(&random, 60));
        size_t n = random_next(&random) >> (2 + random_below(&random, 60));
        uint32_t in_two_steps = crc32c_combine(crc32c_combine(crc, 0, m), 0, n);

        ck_assert_uint_eq(in_two_steps, crc32c_combine(crc, 0, m + n));
        ck_assert_uint_eq(crc32c_combine(crc, 77, n), crc32c_combine(crc, 0, n) ^ 77);
        ck_assert_uint_eq(crc32c_combine(crc, 0, 0), crc);
    }
}
END_TEST

START_TEST(integers_have_an_order)
{
    uint8_t bytes[9] = {0};

    be_store16(bytes + 1, 0x1234); /* at no alignment */
    ck_assert_mem_eq(bytes + 1, "\x12\x34", 2);
    ck_assert_uint_eq(be_load16(bytes + 1), 0x1234);
    be_store32(bytes + 1, 0x12345678);
    ck_assert_mem_eq(bytes + 1, "\x12\x34\x56\x78", 4);
    ck_assert_uint_eq(be_load32(bytes + 1), 0x12345678);
    ck_assert_uint_eq(le_load32(bytes + 1), 0x78563412);
    be_store64(bytes + 1, 0x123456789abcdef0u);
    ck_assert_mem_eq(bytes + 1, "\x12\x34\x56\x78\x9a\xbc\xde\xf0", 8);
    ck_assert_uint_eq(be_load64(bytes + 1), 0x123456789abcdef0u);
    ck_assert_uint_eq(le_load64(bytes + 1), 0xf0debc9a78563412u);
    le_store16(bytes + 1, 0x1234);
    ck_assert_mem_eq(bytes + 1, "\x34\x12", 2);
    ck_assert_uint_eq(le_load16(bytes + 1), 0x1234);
    le_store32(bytes + 1, 0x12345678);
    ck_assert_mem_eq(bytes + 1, "\x78\x56\x34\x12", 4);
    le_store64(bytes + 1, 1);
    ck_assert_mem_eq(bytes + 1, "\1\0\0\0\0\0\0\0", 8);
    ck_assert_uint_eq(bytes[0], 0);
}
END_TEST

static const struct {
    int64_t value;
    uint64_t zigzag;
} zigzag_cases[] = {
    {0, 0},
    {-1, 1},
    {1, 2},
    {-2, 3},
    {2, 4},
    {INT32_MAX, 0xfffffffe},
    {INT32_MIN, 0xffffffff},
    {INT64_MAX, UINT64_MAX - 1},
    {INT64_MIN, UINT64_MAX},
};

START_TEST(zigzag_alternates)
{
    ck_assert_uint_eq(zigzag_encode(zigzag_cases[_i].value), zigzag_cases[_i].zigzag);
    ck_assert_int_eq(zigzag_decode(zigzag_cases[_i].zigzag), zigzag_cases[_i].value);
}
END_TEST

static const struct {
    uint64_t value;
    size_t size;
    uint8_t bytes[VARINT_SIZE_MAX];
} varint_cases[] = {
    {0, 1, {0}},
    {1, 1, {1}},
    {127, 1, {0x7f}},
    {128, 2, {0x80, 1}},
    {300, 2, {0xac, 2}}, /* the example of protobuf's documentation */
    {16383, 2, {0xff, 0x7f}},
    {16384, 3, {0x80, 0x80, 1}},
    {2097151, 3, {0xff, 0xff, 0x7f}},
    {2097152, 4, {0x80, 0x80, 0x80, 1}},
    {UINT32_MAX, 5, {0xff, 0xff, 0xff, 0xff, 0x0f}},
    {UINT64_C(1) << 63, 10, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}},
    {UINT64_MAX, 10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
};

START_TEST(varints_are_base_128)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    uint64_t got = 99;

    ck_assert_uint_eq(varint_size(varint_cases[_i].value), varint_cases[_i].size);
    ck_assert_ptr_eq(varint_encode(bytes, varint_cases[_i].value), bytes + varint_cases[_i].size);
    ck_assert_mem_eq(bytes, varint_cases[_i].bytes, varint_cases[_i].size);
    ck_assert_ptr_eq(varint_decode(bytes, bytes + varint_cases[_i].size, &got),
                     bytes + varint_cases[_i].size);
    ck_assert_uint_eq(got, varint_cases[_i].value);
    for (size_t size = 0; size < varint_cases[_i].size;
         size++) { /* cut short: refused, and nothing written */
        got = 99;
        ck_assert_ptr_null(varint_decode(bytes, bytes + size, &got));
        ck_assert_uint_eq(got, 99);
    }
}
END_TEST

START_TEST(varints_beyond_64_bits_are_refused)
{
    static const uint8_t too_large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};
    static const uint8_t too_long[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
    static const uint8_t padded[] = {0x81, 0x80, 0};
    uint64_t got = 99;

    ck_assert_ptr_null(varint_decode(too_large, too_large + sizeof(too_large), &got));
    ck_assert_ptr_null(varint_decode(too_long, too_long + sizeof(too_long), &got));
    ck_assert_uint_eq(got, 99);
    ck_assert_ptr_eq(varint_decode(padded, padded + sizeof(padded), &got), padded + 3);
    ck_assert_uint_eq(got, 1);
}
END_TEST

START_TEST(random_varints_are_read_back)
{
    struct random random;

    random_init(&random, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random_next(&random) >> random_below(&random, 64), got;
        uint8_t bytes[VARINT_SIZE_MAX];
        uint8_t *end = varint_encode(bytes, value);

        if ((size_t)(end - bytes) != varint_size(value)) ck_abort_msg("size of %lu", (unsigned long)value);
        if (varint_decode(bytes, end, &got) != end || got != value)
            ck_abort_msg("value %lu", (unsigned long)value);
        if (zigzag_encode(zigzag_decode(value)) != value) ck_abort_msg("zigzag %lu", (unsigned long)value);
    }
}
END_TEST

/* Each way to read badly, with good bytes behind: they are not read. */
START_TEST(after_a_bad_read_nothing_is_left)
{
    static const uint8_t bytes[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};

    for (int way = 0; way < 5; way++) {
        size_t begin = way == 0 ? 0 : way == 4 ? sizeof(bytes) - 15 : 9;
        struct codec_reader reader = codec_reader_of(slice_of(bytes + begin, sizeof(bytes) - begin));
        switch (way) {
        case 0: ck_assert_uint_eq(codec_get_varint(&reader), 0); break;            /* longer than 64 bits */
        case 1: ck_assert_uint_eq(codec_get_bounded(&reader, 100), 0); break;      /* 896 */
        case 2: ck_assert_uint_eq(codec_get_raw(&reader, 16).size, 0); break;      /* 15 are left */
        case 3: ck_assert_uint_eq(codec_get_string(&reader, 895).size, 0); break;
        default: ck_assert_uint_eq(codec_get_uuid(&reader).bytes[0], 0); break;    /* 15, where 16 are wanted */
        }
        ck_assert(reader.is_bad);
        ck_assert_uint_eq(codec_get_varint(&reader), 0);
        ck_assert_uint_eq(codec_get_raw(&reader, 1).size, 0);
        ck_assert(!codec_reader_is_done(&reader));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tcase = tcase_create("bytes");

    tcase_add_test(tcase, crc_of_published_vectors);
    tcase_add_test(tcase, crc_is_the_same_in_each_way);
    tcase_add_test(tcase, crc_extends_and_combines_at_any_cut);
    tcase_add_test(tcase, crc_combines_over_huge_distances);
    tcase_add_test(tcase, integers_have_an_order);
    tcase_add_loop_test(tcase, zigzag_alternates, 0, sizeof(zigzag_cases) / sizeof(zigzag_cases[0]));
    tcase_add_loop_test(tcase, varints_are_base_128, 0, sizeof(varint_cases) / sizeof(varint_cases[0]));
    tcase_add_test(tcase, varints_beyond_64_bits_are_refused);
    tcase_add_test(tcase, random_varints_are_read_back);
    tcase_add_test(tcase, after_a_bad_read_nothing_is_left);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
