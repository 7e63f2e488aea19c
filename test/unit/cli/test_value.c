/* What people type: numbers, sizes, durations, times, escapes, places to start; and "did you mean". */
#include "base/edit_distance.h"
#include "cmd/cli/start_offset.h"
#include "cmd/cli/suggest.h"
#include "cmd/cli/value.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define BAD             INT64_MIN /* the text is refused */

static const struct {
    const char *text;
    int64_t want;
} integer_cases[] = {
    {"0", 0},     {"42", 42},   {"-7", -7},    {"+5", 5},    {"100", 100},
    {"101", BAD}, {"-11", BAD}, {"", BAD},     {"-", BAD},   {"4x", BAD},
    {" 4", BAD},  {"4 ", BAD},  {"0x10", BAD}, {"1.5", BAD}, {"99999999999999999999", BAD},
    {"--5", BAD}, {"+-5", BAD},
};
START_TEST(integer_is_whole_and_in_range)
{
    int64_t got = BAD;
    int err = value_parse_integer(integer_cases[_i].text, -10, 100, &got);

    ck_assert_int_eq(err, integer_cases[_i].want == BAD ? MESH_EINVAL : 0);
    ck_assert_int_eq(got, integer_cases[_i].want);
}
END_TEST

static const struct {
    const char *text;
    int64_t want;
} size_cases[] = {
    {"0", 0},          {"4096", 4096},   {"10B", 10},   {"1k", 1024},      {"1K", 1024}, {"64KiB", 65536},
    {"2MiB", 2 << 20}, {"1GB", 1 << 30}, {"3T", BAD},   {"1m", BAD},       {"", BAD},    {"KiB", BAD},
    {"1KiBs", BAD},    {"-1", BAD},      {"1.5M", BAD}, {"8388608T", BAD}, {"1Ki", BAD},
};
START_TEST(size_understands_powers_of_1024)
{
    int64_t got = BAD;
    int err = value_parse_size(size_cases[_i].text, 0, INT64_C(1) << 40, &got);

    ck_assert_int_eq(err, size_cases[_i].want == BAD ? MESH_EINVAL : 0);
    ck_assert_int_eq(got, size_cases[_i].want);
}
END_TEST

static const struct {
    const char *text;
    int64_t want;
} duration_cases[] = {
    {"5", 5000},      {"0", 0},       {"500ms", 500},
    {"1.5s", 1500},   {"2m", 120000}, {"1h", 3600000},
    {"1d", 86400000}, {"0.0004", 0},  {"-5", BAD},
    {"", BAD},        {"s", BAD},     {"5 s", BAD},
    {"5sec", BAD},    {"0x5", BAD},   {"1e300d", BAD},
    {"nan", BAD},     {"inf", BAD},   {"99999999999999d", BAD},
};
START_TEST(duration_is_seconds_unless_a_unit_says_otherwise)
{
    int64_t got = BAD;
    int err = value_parse_duration(duration_cases[_i].text, &got);

    ck_assert_int_eq(err, duration_cases[_i].want == BAD ? MESH_EINVAL : 0);
    ck_assert_int_eq(got, duration_cases[_i].want);
}
END_TEST

static const struct {
    const char *text, *topic; /* NULL: refused */
    int32_t partition;
} partition_cases[] = {
    {"orders", "orders", -1}, {"orders/0", "orders", 0}, {"a/2147483647", "a", INT32_MAX}, {"", NULL, 0},       {"/1", NULL, 0},
    {"orders/", NULL, 0},     {"orders/-1", NULL, 0},    {"orders/x", NULL, 0},            {"a/1/2", "a/1", 2}, {"0123456789012345", NULL, 0},
};
START_TEST(a_partition_is_a_topic_and_a_number)
{
    char topic[16] = "";
    int32_t partition = 7;
    int err = value_parse_partition(partition_cases[_i].text, topic, sizeof(topic), &partition);

    ck_assert_int_eq(err, partition_cases[_i].topic == NULL ? MESH_EINVAL : 0);
    if (err != 0) return;
    ck_assert_str_eq(topic, partition_cases[_i].topic);
    ck_assert_int_eq(partition, partition_cases[_i].partition);
}
END_TEST

#define NOW_MS INT64_C(1000000000000)
static const struct {
    const char *text;
    int64_t want;
} time_cases[] = {
    {"1764000000000", INT64_C(1764000000000)},
    {"-10m", NOW_MS - 600000},
    {"-99999999h", 0}, /* before 1970: the beginning of time */
    {"2001-09-09T01:46:40Z", INT64_C(1000000000000)},
    {"2001-09-09 01:46:40Z", INT64_C(1000000000000)},
    {"2001-09-09T03:46:40+02:00", INT64_C(1000000000000)},
    {"2001-09-08T20:16:40-0530", INT64_C(1000000000000)},
    {"2001-09-09T01:46:40.125Z", INT64_C(1000000000125)},
    {"2001-09-09T01:46:40.123456Z", INT64_C(1000000000123)},
    {"2001-09-09T01:46Z", INT64_C(999999960000)},
    {"2001-09-09T01:46:40", INT64_C(999992800000)}, /* local time, two hours east: see main() */
    {"2001-09-09", INT64_C(999986400000)},
    {"2000-02-29", INT64_C(951775200000)},
    {"2001-02-29", BAD},
    {"2001-13-01", BAD},
    {"2001-00-01", BAD},
    {"2001-01-32", BAD},
    {"1969-01-01", BAD},
    {"2001-09-09T24:00:00Z", BAD},
    {"2001-09-09T01", BAD},
    {"2001-09-09T01:46:40.Z", BAD},
    {"2001-09-09T01:46:40X", BAD},
    {"2001-09-09T01:46:40Zz", BAD},
    {"2001-09-09T01:46:40+99:00", BAD},
    {"2001-9-9", BAD},
    {"yesterday", BAD},
    {"", BAD},
    {"-", BAD},
};
START_TEST(time_is_iso_8601_or_milliseconds_or_relative)
{
    int64_t got = BAD;
    int err = value_parse_time(time_cases[_i].text, NOW_MS, &got);

    ck_assert_int_eq(err, time_cases[_i].want == BAD ? MESH_EINVAL : 0);
    ck_assert_int_eq(got, time_cases[_i].want);
}
END_TEST

static const struct {
    const char *text, *want;
    size_t size;
} bytes_cases[] = {
    {":", ":", 1},
    {"\\t", "\t", 1},
    {"\\x1f|", "\x1f|", 2},
    {"\\0", "\0", 1},
    {"\\\\", "\\", 1},
    {"=>", "=>", 2},
    {"\\n\\r", "\n\r", 2},
    {"", NULL, 0},
    {"\\", NULL, 0},
    {"\\q", NULL, 0},
    {"\\x1", NULL, 0},
    {"\\xzz", NULL, 0},
    {"1234567890123456", "1234567890123456", 16},
    {"12345678901234567", NULL, 0},
};
START_TEST(bytes_understand_escapes)
{
    uint8_t got[VALUE_BYTES_MAX];
    size_t size = 99;
    int err = value_parse_bytes(bytes_cases[_i].text, got, &size);

    ck_assert_int_eq(err, bytes_cases[_i].want == NULL ? MESH_EINVAL : 0);
    if (err != 0) {
        ck_assert_uint_eq(size, 99);
        return;
    }
    ck_assert_uint_eq(size, bytes_cases[_i].size);
    ck_assert_mem_eq(got, bytes_cases[_i].want, size);
}
END_TEST

static const struct {
    const char *text;
    int err;
    struct start_offset want;
} start_cases[] = {
    {"beginning", 0, {START_BEGINNING, 0}},
    {"end", 0, {START_END, 0}},
    {"offset:0", 0, {START_OFFSET, 0}},
    {"offset:12", 0, {START_OFFSET, 12}},
    {"offset:-12", 0, {START_BEFORE_END, 12}},
    {"time:5", 0, {START_TIME, 5}},
    {"time:-1s", 0, {START_TIME, NOW_MS - 1000}},
    {"offset:", MESH_EINVAL, {START_BEGINNING, 0}},
    {"offset:x", MESH_EINVAL, {START_BEGINNING, 0}},
    {"time:noon", MESH_EINVAL, {START_BEGINNING, 0}},
    {"middle", MESH_EINVAL, {START_BEGINNING, 0}},
    {"", MESH_EINVAL, {START_BEGINNING, 0}},
};
START_TEST(start_is_named_counted_or_dated)
{
    struct start_offset got = {START_BEGINNING, 0};

    ck_assert_int_eq(start_offset_parse(start_cases[_i].text, NOW_MS, &got), start_cases[_i].err);
    ck_assert_int_eq(got.kind, start_cases[_i].want.kind);
    ck_assert_int_eq(got.value, start_cases[_i].want.value);
}
END_TEST

static const struct {
    const char *word, *want;
} nearest_cases[] = {
    {"prodcue", "produce"},
    {"consum", "consume"},
    {"stat", "status"},
    {"topics", "topic"},
    {"x", NULL},
    {"frobnicate", NULL},
    {"", NULL},
    {"pr", "produce"},
};
START_TEST(nearest_is_suggested_only_when_it_is_near)
{
    static const char *const words[] = {"serve", "topic", "produce", "consume", "status"};
    const char *got = suggestion_nearest(nearest_cases[_i].word, words, COUNT_OF(words));

    if (nearest_cases[_i].want == NULL)
        ck_assert_ptr_null(got);
    else
        ck_assert_str_eq(got, nearest_cases[_i].want);
}
END_TEST

START_TEST(long_words_are_like_nothing)
{
    static const char *const words[] = {"topic"};
    char word[EDIT_DISTANCE_LENGTH_MAX + 10];

    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    ck_assert_ptr_null(suggestion_nearest(word, words, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli value");
    TCase *tcase = tcase_create("value");

    setenv("TZ", "UTC-2", 1); /* POSIX: two hours east of Greenwich */
    tzset();
    tcase_add_loop_test(tcase, integer_is_whole_and_in_range, 0, COUNT_OF(integer_cases));
    tcase_add_loop_test(tcase, size_understands_powers_of_1024, 0, COUNT_OF(size_cases));
    tcase_add_loop_test(tcase, a_partition_is_a_topic_and_a_number, 0, COUNT_OF(partition_cases));
    tcase_add_loop_test(tcase, duration_is_seconds_unless_a_unit_says_otherwise, 0, COUNT_OF(duration_cases));
    tcase_add_loop_test(tcase, time_is_iso_8601_or_milliseconds_or_relative, 0, COUNT_OF(time_cases));
    tcase_add_loop_test(tcase, bytes_understand_escapes, 0, COUNT_OF(bytes_cases));
    tcase_add_loop_test(tcase, start_is_named_counted_or_dated, 0, COUNT_OF(start_cases));
    tcase_add_loop_test(tcase, nearest_is_suggested_only_when_it_is_near, 0, COUNT_OF(nearest_cases));
    tcase_add_test(tcase, long_words_are_like_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
