/* Consumed records as they are written: the inverse of the reader. */
#include "cmd/cli/record_writer.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(text)     text, sizeof(text) - 1

static struct mesh_consumed consumed(const char *key, const char *value)
{
    return (struct mesh_consumed){
        .topic = "t",
        .partition = 3,
        .offset = 42,
        .timestamp_ms = 1000,
        .key = key,
        .key_size = key != NULL ? strlen(key) : 0,
        .value = value,
        .value_size = value != NULL ? strlen(value) : 0,
    };
}

static const struct {
    enum output_format format;
    bool with_keys;
    const char *null_marker, *key, *value, *want;
    size_t want_size;
} cases[] = {
    {OUTPUT_LINES, false, NULL, "k", "v", BYTES("v\n")},
    {OUTPUT_LINES, true, NULL, "k", "v", BYTES("k\tv\n")},
    {OUTPUT_LINES, true, NULL, "", "v", BYTES("\tv\n")},
    {OUTPUT_LINES, true, NULL, NULL, "v", BYTES("v\n")},
    {OUTPUT_LINES, true, "NULL", "k", NULL, BYTES("k\tNULL\n")},
    {OUTPUT_LINES, false, NULL, "k", NULL, BYTES("\n")},
    {OUTPUT_RAW, false, NULL, NULL, "v\n", BYTES("v\n")},
    {OUTPUT_RAW, true, NULL, "k", "v", BYTES("k\tv")},
    {OUTPUT_LENGTH_PREFIXED, false, NULL, "k", "val", BYTES("\0\0\0\3val")},
    {OUTPUT_LENGTH_PREFIXED, true, NULL, "k", "val", BYTES("\0\0\0\5k\tval")},
    {OUTPUT_LENGTH_PREFIXED, false, NULL, NULL, "", BYTES("\0\0\0\0")},
    {OUTPUT_LENGTH_PREFIXED, false, NULL, NULL, NULL, BYTES("\xff\xff\xff\xff")},
    {OUTPUT_LENGTH_PREFIXED, false, "~", NULL, NULL, BYTES("\0\0\0\1~")},
    {OUTPUT_LENGTH_PREFIXED, true, NULL, "k", NULL, BYTES("\0\0\0\2k\t")},
    {OUTPUT_JSON, false, NULL, "k", "v\"",
     BYTES("{\"topic\": \"t\", \"partition\": 3, \"offset\": 42, \"timestamp\": 1000, \"key\": \"k\", "
           "\"value\": \"v\\\"\", \"headers\": []}\n")},
    {OUTPUT_JSON, false, NULL, NULL, NULL,
     BYTES("{\"topic\": \"t\", \"partition\": 3, \"offset\": 42, \"timestamp\": 1000, \"key\": null, "
           "\"value\": null, "
           "\"headers\": []}\n")},
};

static struct record_writer_options options_of(int i)
{
    return (struct record_writer_options){.format = cases[i].format,
                                          .with_keys = cases[i].with_keys,
                                          .key_delimiter = {'\t'},
                                          .key_delimiter_size = 1,
                                          .null_marker = cases[i].null_marker};
}

START_TEST(records_are_written_in_each_format)
{
    struct record_writer_options options = options_of(_i);
    struct mesh_consumed record = consumed(cases[_i].key, cases[_i].value);
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(buffer_append(&text, "#", 1), 0); /* what was there stays */
    ck_assert_int_eq(record_writer_append(&options, &record, &text), 0);
    ck_assert_uint_eq(text.size, cases[_i].want_size + 1);
    ck_assert_mem_eq(text.data + 1, cases[_i].want, cases[_i].want_size);
    buffer_deinit(&text);
}
END_TEST

START_TEST(a_failing_allocation_is_told)
{
    struct record_writer_options options = options_of(_i);
    struct mesh_consumed record = consumed(cases[_i].key, cases[_i].value);

    failing_alloc_each(n)
    {
        struct buffer text = BUFFER_INIT;
        int err;
        failing_alloc_arm(n);
        err = record_writer_append(&options, &record, &text);
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

int main(void)
{
    Suite *suite = suite_create("cli record writer");
    TCase *tcase = tcase_create("record writer");

    tcase_add_loop_test(tcase, records_are_written_in_each_format, 0, COUNT_OF(cases));
    tcase_add_loop_test(tcase, a_failing_allocation_is_told, 0, COUNT_OF(cases));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
