/* How unlike two words are. */
#include "base/edit_distance.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *a, *b;
    size_t want, want_ignoring_case;
} distance_cases[] = {
    {"", "", 0, 0},
    {"a", "", 1, 1},
    {"", "abc", 3, 3},
    {"topic", "topic", 0, 0},
    {"topci", "topic", 1, 1}, /* neighbours swapped */
    {"tpic", "topic", 1, 1},
    {"topicc", "topic", 1, 1},
    {"tobic", "topic", 1, 1},
    {"kitten", "sitting", 3, 3},
    {"abc", "xyz", 3, 3},
    {"ca", "abc", 3, 3}, /* no byte is touched twice */
    {"ABC", "abc", 3, 0},
    {"TOpci", "topIC", 4, 1},    /* the swap is none while the case counts */
    {"a@[", "A`{", 3, 2},     /* 0x20 apart, but no letters */
    {"\xc3\x89", "\xc3\xa9", 1, 1}, /* nor beyond ASCII */
};
START_TEST(the_distance_counts_edits_and_swaps)
{
    const char *a = distance_cases[_i].a, *b = distance_cases[_i].b;

    ck_assert_uint_eq(edit_distance(a, b, false), distance_cases[_i].want);
    ck_assert_uint_eq(edit_distance(b, a, false), distance_cases[_i].want);
    ck_assert_uint_eq(edit_distance(a, b, true), distance_cases[_i].want_ignoring_case);
    ck_assert_uint_eq(edit_distance(b, a, true), distance_cases[_i].want_ignoring_case);
}
END_TEST

START_TEST(long_words_are_like_nothing)
{
    char word[EDIT_DISTANCE_LENGTH_MAX + 2];

    memset(word, 'a', sizeof(word));
    word[EDIT_DISTANCE_LENGTH_MAX] = '\0';
    ck_assert_uint_eq(edit_distance(word, "", false), EDIT_DISTANCE_LENGTH_MAX);
    ck_assert_uint_eq(edit_distance(word, word, false), 0);
    word[EDIT_DISTANCE_LENGTH_MAX] = 'a';
    word[EDIT_DISTANCE_LENGTH_MAX + 1] = '\0';
    ck_assert_uint_eq(edit_distance(word, "", false), SIZE_MAX);
    ck_assert_uint_eq(edit_distance("", word, false), SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edit_distance");
    TCase *tcase = tcase_create("edit_distance");

    tcase_add_loop_test(tcase, the_distance_counts_edits_and_swaps, 0, COUNT_OF(distance_cases));
    tcase_add_test(tcase, long_words_are_like_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
