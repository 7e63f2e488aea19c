/* Log lines for programs: what is a field, what stays in the message, and that no text breaks the line. */
#include "base/log_render.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define NOW             "2026-11-21T21:30:00.123Z"
#define TEXT_SIZE_MAX   200

static char line[LOG_RENDER_SIZE(4096) + 1];

static const char *render(enum log_format format, const char *text)
{
    line[log_render(format, NOW, "info", text, strlen(text), line)] = '\0';
    return line;
}

#define L "time=" NOW " level=info msg="
#define J "{\"time\":\"" NOW "\",\"level\":\"info\",\"msg\":"

static const struct {
    const char *text, *logfmt, *json;
} cases[] = {
    {"", L "\"\"\n", J "\"\"}\n"},
    {"started", L "\"started\"\n", J "\"started\"}\n"},
    {"topic created topic=orders partitions=3", L "\"topic created\" topic=orders partitions=3\n", J "\"topic created\",\"topic\":\"orders\",\"partitions\":\"3\"}\n"},
    {"a=1", L "\"\" a=1\n", J "\"\",\"a\":\"1\"}\n"},
    {"failed error=\"no such file\" n=", L "\"failed\" error=\"no such file\" n=\"\"\n", J "\"failed\",\"error\":\"no such file\",\"n\":\"\"}\n"},
    /* a quote inside a quoted value; one that never ends */
    {"x error=\"he said \"no\", and\" n=1", L "\"x\" error=\"he said \\\"no\\\", and\" n=1\n", J "\"x\",\"error\":\"he said \\\"no\\\", and\",\"n\":\"1\"}\n"},
    {"x error=\"never", L "\"x\" error=\"\\\"never\"\n", J "\"x\",\"error\":\"\\\"never\"}\n"},
    /* what does not end the text is no field */
    {"key of broker=b1 failed: bad", L "\"key of broker=b1 failed: bad\"\n", J "\"key of broker=b1 failed: bad\"}\n"},
    {"broker=b1 is slow ms=5", L "\"broker=b1 is slow\" ms=5\n", J "\"broker=b1 is slow\",\"ms\":\"5\"}\n"},
    {"two  blanks a=1", L "\"two  blanks\" a=1\n", J "\"two  blanks\",\"a\":\"1\"}\n"},
    /* nobody's text takes the place of the line's own, or of another field */
    {"x name=n level=error a=1", L "\"x name=n level=error\" a=1\n", J "\"x name=n level=error\",\"a\":\"1\"}\n"},
    {"x id=1 name=n id=2", L "\"x id=1 name=n id=2\"\n", J "\"x id=1 name=n id=2\"}\n"},
    {"x Big=1 9a=2 _b=3", L "\"x Big=1 9a=2 _b=3\"\n", J "\"x Big=1 9a=2 _b=3\"}\n"},
    {"path at=C:\\x b=a=b", L "\"path\" at=\"C:\\\\x\" b=\"a=b\"\n", J "\"path\",\"at\":\"C:\\\\x\",\"b\":\"a=b\"}\n"},
    {"caf\xc3\xa9 name=\xff\xc0\xaf\xed\xa0\x80z", L "\"caf\xc3\xa9\" name=\"??????z\"\n", J "\"caf\xc3\xa9\",\"name\":\"??????z\"}\n"},
};
START_TEST(fields_are_what_the_text_ends_with)
{
    ck_assert_str_eq(render(LOG_FORMAT_LOGFMT, cases[_i].text), cases[_i].logfmt);
    ck_assert_str_eq(render(LOG_FORMAT_JSON, cases[_i].text), cases[_i].json);
}
END_TEST

START_TEST(more_fields_than_there_is_room_for_stay_in_the_message)
{
    char text[2048] = "";
    size_t used = 0;
    json_t *object;

    for (unsigned i = 0; i < LOG_RENDER_FIELDS_MAX + 2; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%sk%u=%u", i == 0 ? "" : " ", i, i);
    object = json_loads(render(LOG_FORMAT_JSON, text), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(object);
    ck_assert_str_eq(json_string_value(json_object_get(object, "k33")), "33");
    ck_assert_ptr_null(json_object_get(object, "k32")); /* the one too many, and all before it */
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(object, "msg")), "k0=0 k1=1"));
    json_decref(object);
}
END_TEST

/* Of what makes fields, and of anything. The texts lie at the end of memory of their own, for sanitizers. */
START_TEST(any_text_becomes_one_object)
{
    static const char often[] = "=\" ab=\"\\1";
    struct random random;

    random_init(&random, 20261123);
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = random_below(&random, TEXT_SIZE_MAX);
        char *text = malloc(size + 1), *to = malloc(LOG_RENDER_SIZE(size));
        size_t used;
        json_t *object;

        ck_assert(text != NULL && to != NULL);
        for (size_t i = 0; i < size; i++) {
            unsigned char c = random_below(&random, 4) != 0 ? (unsigned char)often[random_below(&random, sizeof(often) - 1)] : (unsigned char)random_below(&random, 256);
            text[i] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
        }
        used = log_render(LOG_FORMAT_LOGFMT, NOW, "info", text, size, to);
        ck_assert(used <= LOG_RENDER_SIZE(size) && memchr(to, '\n', used) == to + used - 1);
        used = log_render(LOG_FORMAT_JSON, NOW, "info", text, size, to);
        ck_assert(used <= LOG_RENDER_SIZE(size) && memchr(to, '\n', used) == to + used - 1);
        object = json_loadb(to, used, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(object != NULL, "%.*s", (int)used, to);
        ck_assert_str_eq(json_string_value(json_object_get(object, "level")), "info");
        json_decref(object);
        free(to);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log render");
    TCase *tcase = tcase_create("log render");

    tcase_add_loop_test(tcase, fields_are_what_the_text_ends_with, 0, COUNT_OF(cases));
    tcase_add_test(tcase, more_fields_than_there_is_room_for_stay_in_the_message);
    tcase_add_test(tcase, any_text_becomes_one_object);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
