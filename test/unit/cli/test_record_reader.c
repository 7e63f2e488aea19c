/* Streams cut into records, whatever the sizes in which they arrive. */
#include "base/bytes.h"
#include "base/random.h"
#include "cmd/cli/record_reader.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Feeds `input` through a pipe in steps of at most step_size bytes and writes every record as "key=value;" or
 * "value;" (null: "~;") into text. Returns what finish() said. */
static int read_all(const struct record_reader_options *options, struct slice input, size_t step_size,
                    char *text, size_t text_size)
{
    struct record_reader *reader;
    struct record_view view;
    size_t used = 0, size;
    int fds[2], err;

    ck_assert_int_eq(record_reader_new(options, &reader), 0);
    ck_assert_int_eq(pipe(fds), 0);
    text[0] = '\0';
    for (bool is_end = false; !is_end;) {
        size_t step = input.size < step_size ? input.size : step_size;
        ck_assert_int_eq(write(fds[1], input.data, step), (ssize_t)step);
        input.data += step;
        input.size -= step;
        if (step == 0) close(fds[1]);
        ck_assert_int_eq(record_reader_fill(reader, fds[0], &size), 0);
        is_end = size == 0;
        for (;;) {
            err = is_end ? record_reader_finish(reader, &view) : record_reader_next(reader, &view);
            if (err != 0) break;
            if (view.has_key)
                used += (size_t)snprintf(text + used, text_size - used, "%.*s=", (int)view.key.size,
                                         (const char *)view.key.data);
            if (view.is_null)
                used += (size_t)snprintf(text + used, text_size - used, "~;");
            else
                used += (size_t)snprintf(text + used, text_size - used, "%.*s;", (int)view.value.size,
                                         (const char *)view.value.data);
            if (is_end) break;
        }
        if (!is_end) ck_assert_int_eq(err, MESH_EAGAIN);
    }
    close(fds[0]);
    record_reader_free(reader);
    return err;
}

static const struct {
    const char *input;
    bool keeps_newlines;
    const char *delimiter, *null_marker, *want;
    int finish;
} line_cases[] = {
    {"", false, "", NULL, "", MESH_ENOTFOUND},
    {"one\ntwo\n", false, "", NULL, "one;two;", MESH_ENOTFOUND},
    {"one\ntwo", false, "", NULL, "one;two;", 0},
    {"\n\n", false, "", NULL, ";;", MESH_ENOTFOUND},
    {"\n", true, "", NULL, "\n;", MESH_ENOTFOUND},
    {"one\n\ntwo", true, "", NULL, "one\n;\n;two;", 0},
    {"a:1\nb\n:3\nc:\n", false, ":", NULL, "a=1;b;=3;c=;", MESH_ENOTFOUND},
    {"a:1:2\n", false, ":", NULL, "a=1:2;", MESH_ENOTFOUND},
    {"a=>1\nb=x\n", false, "=>", NULL, "a=1;b=x;", MESH_ENOTFOUND},
    {"a:NULL\nNULL\nNULLx\n", false, ":", "NULL", "a=~;~;NULLx;", MESH_ENOTFOUND},
    {"a:NULL\n", true, ":", "NULL", "a=~;", MESH_ENOTFOUND},
    {"caf\xc3\xa9\r\n", false, "", NULL, "caf\xc3\xa9\r;", MESH_ENOTFOUND},
};
START_TEST(lines_are_cut_alike_however_they_arrive)
{
    struct record_reader_options options = {.framing = FRAMING_LINES,
                                            .keeps_newlines = line_cases[_i].keeps_newlines,
                                            .null_marker = line_cases[_i].null_marker};
    char text[256];

    options.key_delimiter_size = strlen(line_cases[_i].delimiter);
    memcpy(options.key_delimiter, line_cases[_i].delimiter, options.key_delimiter_size);
    for (size_t step = 1; step < 8; step++) {
        ck_assert_int_eq(read_all(&options, slice_of_string(line_cases[_i].input), step, text, sizeof(text)),
                         line_cases[_i].finish);
        ck_assert_str_eq(text, line_cases[_i].want);
    }
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1
static const struct {
    const char *input;
    size_t size;
    const char *delimiter, *want;
    int finish;
} prefixed_cases[] = {
    {BYTES(""), "", "", MESH_ENOTFOUND},
    {BYTES("\0\0\0\3one\0\0\0\0\0\0\0\3t\nw"), "", "one;;t\nw;", MESH_ENOTFOUND},
    {BYTES("\0\0\0\3a:1"), ":", "a=1;", MESH_ENOTFOUND},
    {BYTES("\xff\xff\xff\xff\0\0\0\1x"), "", "~;x;", MESH_ENOTFOUND},
    {BYTES("\0\0\0\3on"), "", "", MESH_EPROTO},
    {BYTES("\0\0"), "", "", MESH_EPROTO},
};
START_TEST(length_prefixed_records_are_cut_alike_however_they_arrive)
{
    struct record_reader_options options = {.framing = FRAMING_LENGTH_PREFIXED};
    char text[256];

    options.key_delimiter_size = strlen(prefixed_cases[_i].delimiter);
    memcpy(options.key_delimiter, prefixed_cases[_i].delimiter, options.key_delimiter_size);
    for (size_t step = 1; step < 8; step++) {
        ck_assert_int_eq(read_all(&options, slice_of(prefixed_cases[_i].input, prefixed_cases[_i].size), step,
                                  text, sizeof(text)),
                         prefixed_cases[_i].finish);
        ck_assert_str_eq(text, prefixed_cases[_i].want);
    }
}
END_TEST

START_TEST(length_that_lies_is_refused_before_memory_is_taken)
{
    struct record_reader_options options = {.framing = FRAMING_LENGTH_PREFIXED};
    struct record_reader *reader;
    struct record_view view;
    int fds[2];
    size_t size;

    ck_assert_int_eq(record_reader_new(&options, &reader), 0);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "\x7f\xff\xff\xff", 4), 4);
    ck_assert_int_eq(record_reader_fill(reader, fds[0], &size), 0);
    ck_assert_int_eq(record_reader_next(reader, &view), MESH_ETOOLARGE);
    close(fds[0]);
    close(fds[1]);
    record_reader_free(reader);
}
END_TEST

/* A file of lines of random lengths, some longer than two blocks, compared line by line. */
START_TEST(large_input_comes_through_byte_for_byte)
{
    struct record_reader_options options = {.framing = FRAMING_LINES, .keeps_newlines = true};
    size_t total = 9u << 20, checked = 0, size = 1;
    uint8_t *input = malloc(total);
    struct record_reader *reader;
    struct record_view view;
    struct random random;
    FILE *file = tmpfile();

    ck_assert(input != NULL && file != NULL);
    random_init(&random, 7);
    for (size_t at = 0; at < total;) {
        size_t length =
            random_below(&random, 50) == 0 ? random_below(&random, 3u << 20) : random_below(&random, 300);
        if (length >= total - at) length = total - at - 1;
        memset(input + at, 'a' + (int)random_below(&random, 26), length);
        input[at + length] = '\n';
        at += length + 1;
    }
    ck_assert_uint_eq(fwrite(input, 1, total, file), total);
    ck_assert_int_eq(fflush(file), 0);
    ck_assert_int_eq(lseek(fileno(file), 0, SEEK_SET), 0);
    ck_assert_int_eq(record_reader_new(&options, &reader), 0);
    while (size > 0) {
        ck_assert_int_eq(record_reader_fill(reader, fileno(file), &size), 0);
        while (record_reader_next(reader, &view) == 0) {
            ck_assert(checked + view.value.size <= total);
            ck_assert(memcmp(view.value.data, input + checked, view.value.size) == 0);
            checked += view.value.size;
        }
    }
    ck_assert_int_eq(record_reader_finish(reader, &view), MESH_ENOTFOUND);
    ck_assert_uint_eq(checked, total);
    record_reader_free(reader);
    fclose(file);
    free(input);
}
END_TEST

START_TEST(line_without_end_is_refused)
{
    struct record_reader_options options = {.framing = FRAMING_LINES};
    int fd = open("/dev/zero", O_RDONLY), err = 0;
    struct record_reader *reader;
    struct record_view view;
    size_t size, taken = 0;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(record_reader_new(&options, &reader), 0);
    while (err == 0 && taken < 4 * (size_t)RECORD_READER_SIZE_MAX) {
        err = record_reader_fill(reader, fd, &size);
        if (err == 0) ck_assert_int_eq(record_reader_next(reader, &view), MESH_EAGAIN);
        taken += size;
    }
    ck_assert_int_eq(err, MESH_ETOOLARGE);
    record_reader_free(reader);
    close(fd);
}
END_TEST

START_TEST(reading_tells_what_went_wrong)
{
    struct record_reader_options options = {.framing = FRAMING_LINES};
    struct record_reader *reader;
    int directory = open("/", O_RDONLY), fds[2];
    size_t size = 7;

    ck_assert_int_eq(record_reader_new(&options, &reader), 0);
    ck_assert_int_lt(record_reader_fill(reader, directory, &size), 0);
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    ck_assert_int_eq(record_reader_fill(reader, fds[0], &size), MESH_EAGAIN);
    ck_assert_uint_eq(size, 7);
    close(fds[0]);
    close(fds[1]);
    close(directory);
    record_reader_free(reader);
}
END_TEST

START_TEST(a_failing_allocation_is_told)
{
    struct record_reader_options options = {.framing = FRAMING_LINES};

    failing_alloc_each(n)
    {
        struct record_reader *reader = NULL;
        int err;
        failing_alloc_arm(n);
        err = record_reader_new(&options, &reader);
        if (!failing_alloc_disarm()) {
            record_reader_free(reader);
            break;
        }
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli record reader");
    TCase *tcase = tcase_create("record reader");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, lines_are_cut_alike_however_they_arrive, 0, COUNT_OF(line_cases));
    tcase_add_loop_test(tcase, length_prefixed_records_are_cut_alike_however_they_arrive, 0,
                        COUNT_OF(prefixed_cases));
    tcase_add_test(tcase, length_that_lies_is_refused_before_memory_is_taken);
    tcase_add_test(tcase, large_input_comes_through_byte_for_byte);
    tcase_add_test(tcase, line_without_end_is_refused);
    tcase_add_test(tcase, reading_tells_what_went_wrong);
    tcase_add_test(tcase, a_failing_allocation_is_told);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
