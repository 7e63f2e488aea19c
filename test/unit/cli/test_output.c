/* How facts are written: JSON, tables, filled text, figures, progress. */
#include "cmd/cli/json_writer.h"
#include "cmd/cli/move_watch.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/table.h"
#include "cmd/cli/terminal.h"
#include "cmd/cli/text.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <jansson.h>
#include <math.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void ck_text(struct buffer *text, const char *want)
{
    ck_assert_int_eq(buffer_append(text, "", 1), 0);
    ck_assert_str_eq((char *)text->data, want);
    buffer_deinit(text);
}

START_TEST(json_nests_and_separates)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "a");
    json_writer_integer(&json, INT64_MIN);
    json_writer_key(&json, "b");
    json_writer_begin_array(&json);
    json_writer_unsigned(&json, UINT64_MAX);
    json_writer_begin_object(&json);
    json_writer_end_object(&json);
    json_writer_begin_array(&json);
    json_writer_end_array(&json);
    json_writer_boolean(&json, true);
    json_writer_end_array(&json);
    json_writer_key(&json, "c");
    json_writer_null(&json);
    json_writer_key(&json, "d");
    json_writer_real(&json, 1.25, 2);
    json_writer_key(&json, "e");
    json_writer_real(&json, (double)NAN, 2);
    json_writer_end_object(&json);
    ck_assert_int_eq(json_writer_error(&json), 0);
    ck_text(&text, "{\"a\": -9223372036854775808, \"b\": [18446744073709551615, {}, [], true], \"c\": null, "
                   "\"d\": 1.25, \"e\": null}");
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1
static const struct {
    const char *bytes;
    size_t size;
    const char *want; /* the whole member */
} member_cases[] = {
    {BYTES(""), "{\"v\": \"\"}"},
    {BYTES("plain"), "{\"v\": \"plain\"}"},
    {BYTES("q\"b\\n\nr\rt\tz\0d\x7f"), "{\"v\": \"q\\\"b\\\\n\\nr\\rt\\tz\\u0000d\\u007f\"}"},
    {BYTES("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
     "{\"v\": \"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}"},
    {BYTES("\xff"), "{\"v_base64\": \"/w==\"}"},
    {BYTES("a\xff"), "{\"v_base64\": \"Yf8=\"}"},
    {BYTES("ab\xff"), "{\"v_base64\": \"YWL/\"}"},
    {BYTES("12345678\xc3"), "{\"v_base64\": \"MTIzNDU2NzjD\"}"},
    {BYTES("\xc0\x80"), "{\"v_base64\": \"wIA=\"}"},             /* an overlong NUL */
    {BYTES("\xed\xa0\x80"), "{\"v_base64\": \"7aCA\"}"},         /* half of a surrogate pair */
    {BYTES("\xf4\x90\x80\x80"), "{\"v_base64\": \"9JCAgA==\"}"}, /* above U+10FFFF */
    {BYTES("\xe0\x80\x80"), "{\"v_base64\": \"4ICA\"}"},
    {BYTES("\xf0\x80\x80\x80"), "{\"v_base64\": \"8ICAgA==\"}"},
    {NULL, 0, "{\"v\": null}"},
};
START_TEST(bytes_are_text_when_they_are_utf8_and_base64_otherwise)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;
    json_t *parsed;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_member_bytes(&json, "v", member_cases[_i].bytes, member_cases[_i].size);
    json_writer_end_object(&json);
    ck_assert_int_eq(json_writer_error(&json), 0);
    parsed = json_loadb((char *)text.data, text.size, JSON_ALLOW_NUL, NULL); /* another one's parser agrees */
    ck_assert_ptr_nonnull(parsed);
    json_decref(parsed);
    ck_text(&text, member_cases[_i].want);
}
END_TEST

START_TEST(text_that_is_not_utf8_is_replaced)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_text_of(&json,
                        "a\xff\xfe"
                        "b\xc3",
                        5);
    ck_assert_int_eq(json_writer_error(&json), 0);
    ck_text(&text, "\"a\xef\xbf\xbd\xef\xbf\xbd"
                   "b\xef\xbf\xbd\"");
}
END_TEST

START_TEST(json_error_sticks)
{
    failing_alloc_each(n)
    {
        struct buffer text = BUFFER_INIT;
        struct json_writer json;
        int err;
        json_writer_init(&json, &text);
        failing_alloc_arm(n);
        json_writer_begin_object(&json);
        json_writer_key(&json, "key");
        json_writer_text(
            &json, "a text that is longer than what a fresh buffer holds, so that it has to grow once more");
        json_writer_end_object(&json);
        err = json_writer_error(&json);
        if (!failing_alloc_disarm()) {
            ck_assert_int_eq(err, 0);
            buffer_deinit(&text);
            break;
        }
        ck_assert_int_eq(err, MESH_ENOMEM);
        buffer_deinit(&text);
    }
}
END_TEST

START_TEST(table_aligns_words_left_and_numbers_right)
{
    static const struct table_column columns[] = {{"NAME", false}, {"COUNT", true}, {"STATE", false}};
    struct buffer text = BUFFER_INIT;
    struct table table;

    table_init(&table, columns, COUNT_OF(columns));
    table_cell(&table, "%s", "orders-of-\xc3\xa9t\xc3\xa9");
    table_cell(&table, "%d", 7);
    table_cell(&table, "ok");
    table_cell(&table, "%s", "x\033[2J");
    table_cell(&table, "%d", 1234567);
    table_cell(&table, "%s", "");
    ck_assert_int_eq(table_write(&table, &text, false), 0);
    table_deinit(&table);
    ck_text(&text, "NAME             COUNT  STATE\n"
                   "orders-of-\xc3\xa9t\xc3\xa9        7  ok\n"
                   "x?[2J          1234567  \n");
}
END_TEST

START_TEST(table_without_rows_is_its_titles)
{
    static const struct table_column columns[] = {{"A", false}, {"B", true}};
    struct buffer text = BUFFER_INIT;
    struct table table;

    table_init(&table, columns, COUNT_OF(columns));
    ck_assert_int_eq(table_write(&table, &text, true), 0);
    table_deinit(&table);
    ck_text(&text, "\033[1mA  B\n\033[0m");
}
END_TEST

START_TEST(text_is_filled_and_examples_are_kept)
{
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(
        text_fill(&text,
                  "one two three four\nfive\n\n  kept   as it is and long\nsix averyveryverylongword seven\n",
                  2, 16),
        0);
    ck_text(&text, "  one two three\n  four five\n\n    kept   as it is and long\n  six\n  "
                   "averyveryverylongword\n  seven\n");
}
END_TEST

START_TEST(entry_moves_down_when_its_head_is_long)
{
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(text_entry(&text, "--a", "short words", 8, 16), 0);
    ck_assert_int_eq(text_entry(&text, "--a-long-head", "words", 8, 16), 0);
    ck_text(&text, "  --a   short\n        words\n  --a-long-head\n        words\n");
}
END_TEST

static const struct {
    const char *want;
    char *(*format)(uint64_t, char *);
    uint64_t figure;
} figure_cases[] = {
    {"0", terminal_count, 0},
    {"999", terminal_count, 999},
    {"1,000", terminal_count, 1000},
    {"18,446,744,073,709,551,615", terminal_count, UINT64_MAX},
    {"1023 B", terminal_bytes, 1023},
    {"1.5 KiB", terminal_bytes, 1536},
    {"512 MiB", terminal_bytes, 512u << 20},
    {"16.0 EiB", terminal_bytes, UINT64_MAX},
    {"950 ns", terminal_nanoseconds, 950},
    {"25.0 us", terminal_nanoseconds, 25000},
    {"1.25 ms", terminal_nanoseconds, 1250000},
    {"2.500 s", terminal_nanoseconds, 2500000000},
};
START_TEST(figures_read_well)
{
    char text[TERMINAL_FIGURE_SIZE];

    ck_assert_str_eq(figure_cases[_i].format(figure_cases[_i].figure, text), figure_cases[_i].want);
}
END_TEST

static const struct {
    double seconds;
    const char *want;
} seconds_cases[] = {
    {0.25, "0.25 s"}, {12.7, "12 s"}, {125, "2 min 5 s"}, {7500, "2 h 5 min"}, {180000, "2 d 2 h"}};
START_TEST(durations_read_well)
{
    char text[TERMINAL_FIGURE_SIZE];

    ck_assert_str_eq(terminal_seconds(seconds_cases[_i].seconds, text), seconds_cases[_i].want);
}
END_TEST

START_TEST(progress_tells_the_rest_when_the_total_is_known)
{
    char line[200];

    progress_format(line, sizeof(line), 1000, 5000000, 5000000, 20000000, 2);
    ck_assert_str_eq(line, "1,000 records  5.0 MB  500 records/s  2.5 MB/s  25 %  ETA 6.00 s");
    progress_format(line, sizeof(line), 1000, 5000000, 5000000, 0, 2);
    ck_assert_str_eq(line, "1,000 records  5.0 MB  500 records/s  2.5 MB/s");
    progress_format(line, sizeof(line), 0, 0, 0, 100, 0);
    ck_assert_str_eq(line, "0 records  0.000 MB  0 records/s  0.000 MB/s");
}
END_TEST

static const struct {
    struct move_progress progress;
    double seconds;
    const char *line;
} move_cases[] = {
    {{3, 0, 3, 0, 0, 0}, 0, "0 of 3 partitions moved, 3 wait for their turn"},
    {{3, 1, 1, 200000000, 50000000, 0}, 5, "1 of 3 partitions moved, 1 waits for its turn  25 % of 200 MB  10.0 MB/s  ETA 15 s"},
    {{1, 0, 0, 200000000, 150000000, 100000000}, 5, "0 of 1 partition moved  75 % of 200 MB  10.0 MB/s  ETA 5.00 s"}, /* what was there says no speed */
    {{1, 1, 0, 200000000, 200000000, 0}, 5, "1 of 1 partition moved  100 % of 200 MB  40.0 MB/s"},
};
START_TEST(moves_tell_how_far_they_are)
{
    char line[200];

    move_progress_format(line, sizeof(line), &move_cases[_i].progress, move_cases[_i].seconds);
    ck_assert_str_eq(line, move_cases[_i].line);
    move_progress_format(line, 12, &move_cases[_i].progress, move_cases[_i].seconds); /* cut off, not overrun */
    ck_assert_uint_eq(strlen(line), 11);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli output");
    TCase *tcase = tcase_create("output");

    tcase_add_test(tcase, json_nests_and_separates);
    tcase_add_loop_test(tcase, bytes_are_text_when_they_are_utf8_and_base64_otherwise, 0,
                        COUNT_OF(member_cases));
    tcase_add_test(tcase, text_that_is_not_utf8_is_replaced);
    tcase_add_test(tcase, json_error_sticks);
    tcase_add_test(tcase, table_aligns_words_left_and_numbers_right);
    tcase_add_test(tcase, table_without_rows_is_its_titles);
    tcase_add_test(tcase, text_is_filled_and_examples_are_kept);
    tcase_add_test(tcase, entry_moves_down_when_its_head_is_long);
    tcase_add_loop_test(tcase, figures_read_well, 0, COUNT_OF(figure_cases));
    tcase_add_loop_test(tcase, durations_read_well, 0, COUNT_OF(seconds_cases));
    tcase_add_test(tcase, progress_tells_the_rest_when_the_total_is_known);
    tcase_add_loop_test(tcase, moves_tell_how_far_they_are, 0, COUNT_OF(move_cases));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
