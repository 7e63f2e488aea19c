/* Which settings the keys of a request name. */
#include "cmd/broker/front/kafka/config_names.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

static struct config_name names[] = {{"retention.ms", 0}, {"flush", 1}, {"segment.ms", 2}, {"retention", 0}, {"flush.ms", 3}};
#define COUNT (sizeof(names) / sizeof(names[0]))

static const struct {
    const char *key;
    size_t size;
    unsigned want; /* 1 << number */
} cases[] = {
    {"retention.ms", 12, 1}, {"retention", 9, 1},  {"flush", 5, 2},      {"flush.ms", 8, 8},     {"segment.ms", 10, 4}, {"", 0, 0},
    {"flush.", 6, 0},        {"flus", 4, 0},       {"flush\0ms", 8, 0},  {"flush\0", 6, 0},      {"zzz", 3, 0},         {"a", 1, 0},
    {"Flush", 5, 0},         {"\xff\xff", 2, 0},   {"segment.mt", 10, 0}, {"segment.ms ", 11, 0},
};

START_TEST(a_key_names_one_or_none)
{
    struct slice keys[] = {slice_of(cases[_i].key, cases[_i].size), slice_of_string("what"), slice_of(cases[_i].key, cases[_i].size)};
    bool is_wanted[4] = {false};

    config_names_sort(names, COUNT);
    config_names_mark(names, COUNT, keys, 3, is_wanted);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(is_wanted[i], cases[_i].want >> i & 1);
}
END_TEST

START_TEST(nothing_is_found_among_none)
{
    struct slice key = slice_of_string("flush");
    bool is_wanted[1] = {false};

    config_names_sort(NULL, 0);
    config_names_mark(NULL, 0, &key, 1, is_wanted);
    config_names_mark(names, COUNT, NULL, 0, is_wanted);
    ck_assert(!is_wanted[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_names");
    TCase *tcase = tcase_create("names");

    tcase_add_loop_test(tcase, a_key_names_one_or_none, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tcase, nothing_is_found_among_none);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
