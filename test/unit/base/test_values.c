/* Error codes, uuids, histograms, the generator, the clocks. */
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/random.h"
#include "base/uuid.h"
#include "support/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static const struct {
    const char *name;
    int number, retriable;
    const char *text;
} errors[] = {
#define ROW(error_name, error_number, error_retriable, error_text)                                           \
    {#error_name, error_number, error_retriable, error_text},
    MESH_ERROR_MAP(ROW)
#undef ROW
};
#define ERROR_COUNT (sizeof(errors) / sizeof(errors[0]))

START_TEST(error_codes_are_unique)
{
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        ck_assert_int_gt(errors[i].number, 0);
        ck_assert_int_eq(errors[i].name[0], 'E');
        for (size_t j = 0; j < i; j++) {
            ck_assert_int_ne(errors[i].number, errors[j].number);
            ck_assert_str_ne(errors[i].name, errors[j].name);
            ck_assert_str_ne(errors[i].text, errors[j].text);
        }
    }
}
END_TEST

START_TEST(error_codes_have_words)
{
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        ck_assert_str_eq(mesh_error_name(-errors[i].number), errors[i].name + 1);
        ck_assert_str_eq(mesh_strerror(-errors[i].number), errors[i].text);
        ck_assert_int_eq(mesh_error_is_retriable(-errors[i].number), errors[i].retriable);
    }
    ck_assert_str_eq(mesh_error_name(0), "OK");
    ck_assert_int_eq(mesh_error_is_retriable(0), 0);
    for (int unknown = -100000; unknown < -1000; unknown += 999) {
        ck_assert_ptr_nonnull(mesh_strerror(unknown));
        ck_assert_ptr_nonnull(mesh_error_name(-unknown));
        ck_assert_int_eq(mesh_error_is_retriable(unknown), 0);
    }
}
END_TEST

/* The numbers are on the wire and in scripts: this list may only grow. */
START_TEST(error_numbers_never_change)
{
    ck_assert_int_eq(MESH_ENOMEM, -1);
    ck_assert_int_eq(MESH_EIO, -3);
    ck_assert_int_eq(MESH_ECORRUPT, -4);
    ck_assert_int_eq(MESH_EFULL, -5);
    ck_assert_int_eq(MESH_ETIMEDOUT, -6);
    ck_assert_int_eq(MESH_ETOOLARGE, -11);
    ck_assert_int_eq(MESH_EUNKNOWN_TOPIC, -12);
    ck_assert_int_eq(MESH_EOFFSET_OUT_OF_RANGE, -18);
    ck_assert_int_eq(MESH_ENOT_LEADER, -19);
    ck_assert_int_eq(MESH_EOUT_OF_ORDER_SEQUENCE, -22);
    ck_assert_int_eq(MESH_EPRODUCER_FENCED, -24);
    ck_assert_int_eq(MESH_EUNSUPPORTED_COMPRESSION, -28);
    ck_assert_int_eq(MESH_EUNREACHABLE, -32);
    ck_assert_int_eq(MESH_EUNKNOWN, -41);
    ck_assert_int_eq(MESH_EUNKNOWN_PRODUCER, -43);
}
END_TEST

START_TEST(errno_values_become_codes)
{
    static const struct {
        int from, want;
    } cases[] = {
        {0, 0},
        {ENOMEM, MESH_ENOMEM},
        {ENOSPC, MESH_EFULL},
        {EDQUOT, MESH_EFULL},
        {EMFILE, MESH_EFULL},
        {EAGAIN, MESH_EAGAIN},
        {ENOENT, MESH_ENOTFOUND},
        {EEXIST, MESH_EEXISTS},
        {EPIPE, MESH_ECLOSED},
        {ECONNREFUSED, MESH_EUNREACHABLE},
        {EIO, MESH_EIO},
        {EBADF, MESH_EIO},
        {EROFS, MESH_EIO},
        {12345, MESH_EIO},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_int_eq(error_from_errno(cases[i].from), cases[i].want);
}
END_TEST

START_TEST(uuids_have_one_text)
{
    const uint8_t bytes[UUID_SIZE] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                      0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88};
    struct uuid uuid = uuid_from_random(bytes), parsed, zero = {{0}};
    char text[UUID_STRING_SIZE];

    ck_assert_str_eq(uuid_format(&uuid, text),
                     "01234567-89ab-4def-bfee-ddccbbaa9988"); /* version 4, variant 10 */
    ck_assert_int_eq(uuid_parse(text, &parsed), 0);
    ck_assert(uuid_equal(&uuid, &parsed));
    ck_assert_int_eq(uuid_parse("01234567-89AB-4DEF-BFEE-DDCCBBAA9988", &parsed), 0);
    ck_assert(uuid_equal(&uuid, &parsed));
    ck_assert(!uuid_is_zero(&uuid));
    ck_assert(uuid_is_zero(&zero));
    ck_assert_int_eq(uuid_parse("00000000-0000-0000-0000-000000000000", &parsed), 0);
    ck_assert(uuid_is_zero(&parsed));
}
END_TEST

START_TEST(other_texts_are_no_uuids)
{
    static const char *const texts[] = {
        "",
        "0",
        "01234567-89ab-4def-bfee-ddccbbaa998",
        "01234567-89ab-4def-bfee-ddccbbaa99888",
        "01234567-89ab-4def-bfee-ddccbbaa998g",
        "0123456789ab4defbfeeddccbbaa9988",
        "01234567-89ab-4def-bfeeddccbbaa-9988",
        " 1234567-89ab-4def-bfee-ddccbbaa9988",
        "{1234567-89ab-4def-bfee-ddccbbaa9988}",
        "01234567_89ab_4def_bfee_ddccbbaa9988",
    };
    struct uuid uuid = {{1}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        ck_assert_msg(uuid_parse(texts[i], &uuid) == MESH_EINVAL, "%s", texts[i]);
    for (size_t size = 0; size < 36; size++) { /* cut anywhere, in memory of exactly that size */
        char *cut = calloc(1, size + 1);
        memcpy(cut, "01234567-89ab-4def-bfee-ddccbbaa9988", size);
        ck_assert_int_eq(uuid_parse(cut, &uuid), MESH_EINVAL);
        free(cut);
    }
    ck_assert_int_eq(uuid.bytes[0], 1); /* untouched */
}
END_TEST

START_TEST(an_empty_histogram_says_zero)
{
    static struct histogram histogram;

    histogram_init(&histogram);
    ck_assert_uint_eq(histogram_quantile(&histogram, 0.5), 0);
    ck_assert_uint_eq(histogram_count_at_most(&histogram, UINT64_MAX), 0);
    ck_assert_uint_eq(histogram.count, 0);
}
END_TEST

/* Small values are exact; larger ones within 1/32. */
START_TEST(histogram_quantiles_are_within_their_error)
{
    static struct histogram histogram;
    static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};

    for (uint64_t scale = 1; scale <= (UINT64_C(1) << 50); scale <<= 10) {
        histogram_init(&histogram);
        for (uint64_t i = 1; i <= 10000; i++)
            histogram_record(&histogram, i * scale);
        ck_assert_uint_eq(histogram.count, 10000);
        ck_assert_uint_eq(histogram.sum, scale * 50005000u);
        ck_assert_uint_eq(histogram.min, scale);
        ck_assert_uint_eq(histogram.max, scale * 10000);
        for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
            double want = quantiles[q] * 10000 * (double)scale,
                   got = (double)histogram_quantile(&histogram, quantiles[q]);
            if (want < (double)scale) want = (double)scale;
            ck_assert_double_ge(got, want);
            ck_assert_double_le(got, want * (1 + 1.0 / 32) + 1);
        }
        ck_assert_uint_eq(histogram_quantile(&histogram, 1), histogram.max);
    }
}
END_TEST

START_TEST(histograms_take_any_value)
{
    static struct histogram histogram;
    static const uint64_t values[] = {
        0, 1, 31, 32, 33, 63, 64, UINT32_MAX, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    const size_t count = sizeof(values) / sizeof(values[0]);

    histogram_init(&histogram);
    for (size_t i = 0; i < count; i++)
        histogram_record(&histogram, values[i]);
    ck_assert_uint_eq(histogram.min, 0);
    ck_assert_uint_eq(histogram.max, UINT64_MAX);
    ck_assert_uint_eq(histogram_quantile(&histogram, 0), 0);
    ck_assert_uint_eq(histogram_quantile(&histogram, 1), UINT64_MAX);
    ck_assert_uint_eq(histogram_count_at_most(&histogram, 0), 1);
    ck_assert_uint_eq(histogram_count_at_most(&histogram, 31), 3);
    ck_assert_uint_eq(histogram_count_at_most(&histogram, UINT64_MAX), count);
}
END_TEST

START_TEST(merged_histograms_are_as_one)
{
    static struct histogram a, b, both, empty;
    struct random random;

    random_init(&random, 5);
    histogram_init(&a);
    histogram_init(&b);
    histogram_init(&both);
    histogram_init(&empty);
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_next(&random) >> random_below(&random, 60);
        histogram_record(i % 3 ? &a : &b, value);
        histogram_record(&both, value);
    }
    histogram_merge(&a, &b);
    histogram_merge(&a, &empty);
    ck_assert_mem_eq(&a, &both, sizeof(a));
    histogram_merge(&empty, &both);
    ck_assert_mem_eq(&empty, &both, sizeof(empty));
}
END_TEST

START_TEST(a_seed_is_a_sequence)
{
    struct random a, b, c;
    bool differs = false;

    random_init(&a, 7);
    random_init(&b, 7);
    random_init(&c, 8);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = random_next(&a);
        ck_assert_uint_eq(value, random_next(&b));
        differs = differs || value != random_next(&c);
    }
    ck_assert(differs);
    random_init(&a, 0); /* a state of zeros would stay there */
    ck_assert_uint_ne(random_next(&a) | random_next(&a), 0);
}
END_TEST

/* The authors' splitmix64 gives this state for seed 0; their xoshiro256** this first value. */
START_TEST(the_generator_is_xoshiro)
{
    struct random random;

    random_init(&random, 0);
    ck_assert_uint_eq(random.state[0], 0xe220a8397b1dcdafu);
    ck_assert_uint_eq(random.state[1], 0x6e789e6aa1b965f4u);
    ck_assert_uint_eq(random.state[2], 0x06c45d188009454fu);
    ck_assert_uint_eq(random.state[3], 0xf88bb8a8724c81ecu);
    ck_assert_uint_eq(random_next(&random), 0x99ec5f36cb75f2b4u);
}
END_TEST

START_TEST(random_numbers_fill_their_range)
{
    struct random random;
    unsigned counts[10] = {0};
    double sum = 0;

    random_init(&random, 9);
    for (int i = 0; i < 100000; i++) {
        double unit = random_unit(&random);
        uint64_t below = random_below(&random, 10);
        if (unit < 0 || unit >= 1 || below >= 10) ck_abort_msg("out of range");
        sum += unit;
        counts[below]++;
    }
    ck_assert_double_le(sum, 51000);
    ck_assert_double_ge(sum, 49000);
    for (int i = 0; i < 10; i++)
        ck_assert(counts[i] > 9000 && counts[i] < 11000);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(random_below(&random, 1), 0);
        ck_assert_uint_lt(random_below(&random, UINT64_MAX), UINT64_MAX);
    }
}
END_TEST

START_TEST(the_system_gives_different_bytes)
{
    uint8_t a[600] = {0}, b[600] = {0};

    random_system_bytes(a, sizeof(a)); /* more than getrandom gives uninterrupted */
    random_system_bytes(b, sizeof(b));
    ck_assert_mem_ne(a, b, sizeof(a));
    ck_assert_mem_ne(a + 568, b + 568, 32);
    random_system_bytes(a, 0);
}
END_TEST

START_TEST(clocks_run_forward)
{
    uint64_t ns = clock_monotonic_ns(), ms = clock_monotonic_ms();

    ck_assert_uint_ge(clock_monotonic_ns(), ns);
    ck_assert_uint_ge(clock_monotonic_ms(), ms);
    ck_assert_uint_ge(ms, ns / 1000000);
    ck_assert_uint_le(ms, clock_monotonic_ns() / 1000000);
    ck_assert_int_gt(clock_wall_ms(), INT64_C(1700000000000)); /* later than 2023 */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("values");
    TCase *tcase = tcase_create("values");

    tcase_add_test(tcase, error_codes_are_unique);
    tcase_add_test(tcase, error_codes_have_words);
    tcase_add_test(tcase, error_numbers_never_change);
    tcase_add_test(tcase, errno_values_become_codes);
    tcase_add_test(tcase, uuids_have_one_text);
    tcase_add_test(tcase, other_texts_are_no_uuids);
    tcase_add_test(tcase, an_empty_histogram_says_zero);
    tcase_add_test(tcase, histogram_quantiles_are_within_their_error);
    tcase_add_test(tcase, histograms_take_any_value);
    tcase_add_test(tcase, merged_histograms_are_as_one);
    tcase_add_test(tcase, a_seed_is_a_sequence);
    tcase_add_test(tcase, the_generator_is_xoshiro);
    tcase_add_test(tcase, random_numbers_fill_their_range);
    tcase_add_test(tcase, the_system_gives_different_bytes);
    tcase_add_test(tcase, clocks_run_forward);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
