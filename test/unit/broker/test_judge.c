/* Whose records are right when replicas differ. */
#include "cmd/broker/replicas/judge.h"

#include "support/run_suite.h"

#include <check.h>
#include <string.h>

/* Replicas as letters: which records each has, '?' when it did not say. The first one is this broker; `leader` its place. */
static const struct {
    const char *have;
    size_t leader;
    enum judge_verdict want;
} cases[] = {
    {"aaa", 1, JUDGE_EQUAL},
    {"aa?", 1, JUDGE_EQUAL},
    {"baa", 1, JUDGE_SELF},     /* two against this one             */
    {"ba", 1, JUDGE_SELF},      /* one against one: the leader's    */
    {"ba?", 1, JUDGE_SELF},
    {"aab", 2, JUDGE_LEADER},   /* two against the leader           */
    {"aba", 1, JUDGE_LEADER},
    {"aba", 0, JUDGE_OTHER},    /* this one leads, a third is wrong */
    {"baa", 0, JUDGE_SELF},     /* this one leads, and is wrong     */
    {"ab", 0, JUDGE_OTHER},     /* this one leads: as many as many  */
    {"abc", 0, JUDGE_OTHER},
    {"abc", 1, JUDGE_SELF},
    {"aaab", 1, JUDGE_OTHER},
    {"aabb", 2, JUDGE_SELF},    /* two against two: the leader's    */
    {"aabb", 1, JUDGE_OTHER},
    {"aabbb", 1, JUDGE_SELF},
    {"a?a", 1, JUDGE_UNKNOWN},  /* the leader did not say           */
    {"?aa", 1, JUDGE_UNKNOWN},
};

START_TEST(most_replicas_are_right_and_of_equals_the_leader)
{
    struct judge_voice voices[8];
    size_t count = strlen(cases[_i].have);

    memset(voices, 0, sizeof(voices));
    for (size_t i = 0; i < count; i++) {
        voices[i].is_known = cases[_i].have[i] != '?';
        memset(voices[i].digest, cases[_i].have[i], HEAL_DIGEST_SIZE);
        voices[i].is_self = i == 0;
        voices[i].is_leader = i == cases[_i].leader;
    }
    ck_assert_int_eq(judge_range(voices, count), cases[_i].want);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("judge");
    TCase *tests = tcase_create("broker");

    tcase_add_loop_test(tests, most_replicas_are_right_and_of_equals_the_leader, 0, sizeof(cases) / sizeof(cases[0]));
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
