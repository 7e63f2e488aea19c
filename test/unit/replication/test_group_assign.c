/* Assignments: balance, few moves, zones, and the three plain strategies as text. */
#include "replication/groups/assign.h"
#include "replication/groups/pattern.h"

#include "base/random.h"
#include "support/run_suite.h"

#include <stdio.h>

#define MEMBERS    128
#define PARTITIONS 2048

static const uint32_t topics_of[4][4] = {{0, 1, 2, 3}, {0}, {1}, {0, 1}};

/* Each letter is a member: a-d. Topics of the given sizes, members as {number of topics, topics}. */
static const struct {
    enum group_strategy strategy;
    uint32_t sizes[3];
    const char *members; /* one digit each: 0 all topics, 1 the first, 2 the second, 3 the first two */
    const char *before, *want;
} rows[] = {
    {GROUP_RANGE, {7, 3, 0}, "000", "", "aaabbcc abc "},
    {GROUP_RANGE, {2, 0, 0}, "000", "", "ab  "},
    {GROUP_RANGE, {4, 4, 0}, "12", "", "aaaa bbbb "},
    {GROUP_RANGE, {3, 3, 3}, "", "", "--- --- ---"},
    {GROUP_ROUND_ROBIN, {7, 3, 0}, "000", "", "abcabca bca "},
    {GROUP_ROUND_ROBIN, {3, 3, 0}, "130", "", "abc bcb "},
    {GROUP_ROUND_ROBIN, {2, 2, 2}, "33", "", "ab ab --"},
    {GROUP_STICKY, {6, 0, 0}, "000", "", "abcabc  "},
    {GROUP_STICKY, {6, 0, 0}, "000", "aabbcc", "aabbcc  "},
    {GROUP_STICKY, {6, 0, 0}, "000", "aaabbb", "aacbbc  "},     /* one has come */
    {GROUP_STICKY, {7, 0, 0}, "000", "aaaaaab", "aaabccb  "},   /* the odd one stays with who had more */
    {GROUP_STICKY, {6, 0, 0}, "00", "aa-bb-", "aaabbb  "},
    {GROUP_STICKY, {2, 2, 0}, "13", "abab", "aa bb "},          /* a may not have the second topic */
    {GROUP_STICKY, {4, 0, 0}, "22", "abab", "----  "},
    {GROUP_STICKY, {1, 3, 0}, "31", "aaaa", "b aaa "},          /* subscriptions differ: evened out */
};

START_TEST(assignments_are_as_told)
{
    uint32_t owners[64] = {0}, next = 0, count = (uint32_t)strlen(rows[_i].members);
    struct assign_topic topics[3];
    struct assign_member members[8];
    char got[80] = "";
    size_t size = 0;

    for (uint32_t t = 0; t < 3; t++) {
        topics[t] = (struct assign_topic){rows[_i].sizes[t], NULL, owners + next};
        for (uint32_t p = 0; p < rows[_i].sizes[t] && rows[_i].before[0] != '\0'; p++)
            owners[next + p] = rows[_i].before[next + p] == '-' ? 0 : (uint32_t)(rows[_i].before[next + p] - 'a' + 1);
        next += rows[_i].sizes[t];
    }
    for (uint32_t m = 0; m < count; m++) {
        int which = rows[_i].members[m] - '0';
        members[m] = (struct assign_member){topics_of[which], which == 0 ? 3 : which == 3 ? 2 : 1, 0};
    }
    ck_assert_int_eq(assign_partitions(rows[_i].strategy, members, count, topics, 3), 0);
    for (uint32_t t = 0; t < 3; t++) {
        for (uint32_t p = 0; p < topics[t].partition_count; p++)
            got[size++] = topics[t].owners[p] == 0 ? '-' : (char)('a' + topics[t].owners[p] - 1);
        if (t < 2) got[size++] = ' ';
    }
    ck_assert_msg(strcmp(got, rows[_i].want) == 0, "\"%s\" instead of \"%s\"", got, rows[_i].want);
}
END_TEST

static uint32_t owners[PARTITIONS], before[PARTITIONS], loads[MEMBERS];

static uint32_t count_loads(uint32_t partitions, uint32_t members, uint32_t *ret_least)
{
    uint32_t most = 0;

    memset(loads, 0, sizeof(loads));
    for (uint32_t p = 0; p < partitions; p++) {
        if (owners[p] == 0) ck_abort_msg("partition %u has nobody", p);
        loads[owners[p] - 1]++;
    }
    *ret_least = UINT32_MAX;
    for (uint32_t m = 0; m < members; m++) {
        if (loads[m] > most) most = loads[m];
        if (loads[m] < *ret_least) *ret_least = loads[m];
    }
    return most;
}

static uint32_t count_moves(uint32_t partitions)
{
    uint32_t moves = 0;

    for (uint32_t p = 0; p < partitions; p++)
        moves += owners[p] != before[p];
    return moves;
}

/* The least that must move: what members have over their fair share, and what nobody has. */
static uint32_t least_moves(uint32_t partitions, uint32_t members)
{
    uint32_t kept = 0, quota = partitions / members, extras = partitions % members, has[MEMBERS] = {0};

    for (uint32_t p = 0; p < partitions; p++)
        if (before[p] != 0 && before[p] <= members) has[before[p] - 1]++;
    for (uint32_t m = 0; m < members; m++) {
        kept += has[m] < quota ? has[m] : quota;
        if (has[m] > quota && extras > 0) {
            kept++;
            extras--;
        }
    }
    return partitions - kept;
}

/* Members come and go at the end of the order; a topic grows. After each change: equal shares, and not one move too many. */
START_TEST(sticky_is_balanced_and_moves_no_more_than_it_must)
{
    uint32_t one[] = {0}, members = 1, partitions = 1, least;
    struct assign_member wants[MEMBERS];
    struct random random;

    random_init(&random, (uint64_t)_i);
    memset(owners, 0, sizeof(owners));
    for (uint32_t m = 0; m < MEMBERS; m++)
        wants[m] = (struct assign_member){one, 1, 0};
    for (int step = 0; step < 300; step++) {
        struct assign_topic topic = {0, NULL, owners};

        members = 1 + (uint32_t)random_below(&random, MEMBERS - 1);
        if (random_below(&random, 4) == 0 && partitions < PARTITIONS / 2) partitions += (uint32_t)random_below(&random, 50);
        for (uint32_t p = 0; p < partitions; p++)
            if (owners[p] > members) owners[p] = 0; /* it has left */
        memcpy(before, owners, sizeof(before));
        topic.partition_count = partitions;
        ck_assert_int_eq(assign_partitions(GROUP_STICKY, wants, members, &topic, 1), 0);
        uint32_t most = count_loads(partitions, members, &least);
        if (most > least + 1) ck_abort_msg("step %d: %u to %u", step, least, most);
        if (count_moves(partitions) != least_moves(partitions, members)) ck_abort_msg("step %d: %u moves, not %u", step, count_moves(partitions), least_moves(partitions, members));
    }
}
END_TEST

/* What the product promises: one more member among 100 on 1,000 partitions moves its own share alone. */
START_TEST(one_more_member_moves_its_share_alone)
{
    uint32_t one[] = {0};
    struct assign_member wants[MEMBERS];
    struct assign_topic topic = {1000, NULL, owners};

    memset(owners, 0, sizeof(owners));
    for (uint32_t m = 0; m < MEMBERS; m++)
        wants[m] = (struct assign_member){one, 1, 0};
    ck_assert_int_eq(assign_partitions(GROUP_STICKY, wants, 100, &topic, 1), 0);
    memcpy(before, owners, sizeof(before));
    ck_assert_int_eq(assign_partitions(GROUP_STICKY, wants, 101, &topic, 1), 0);
    ck_assert_uint_eq(count_moves(1000), 9);
    for (uint32_t p = 0; p < 1000; p++)
        if (owners[p] != before[p] && owners[p] != 101) ck_abort_msg("partition %u goes to another", p);
}
END_TEST

/* Subscriptions differ: no single move would make two members more equal, and asking again changes nothing. */
START_TEST(mixed_subscriptions_are_evened_out)
{
    static uint32_t lists[MEMBERS][8], all[8][64];
    struct assign_member wants[MEMBERS];
    struct assign_topic topics[8];
    struct random random;
    uint32_t members;

    random_init(&random, 100 + (uint64_t)_i);
    memset(all, 0, sizeof(all));
    members = 2 + (uint32_t)random_below(&random, 20);
    for (uint32_t t = 0; t < 8; t++)
        topics[t] = (struct assign_topic){1 + (uint32_t)random_below(&random, 64), NULL, all[t]};
    for (uint32_t m = 0; m < members; m++) {
        wants[m] = (struct assign_member){lists[m], 0, 0};
        for (uint32_t t = 0; t < 8; t++)
            if (random_below(&random, 2) == 0) lists[m][wants[m].topic_count++] = t;
    }
    ck_assert_int_eq(assign_partitions(GROUP_STICKY, wants, members, topics, 8), 0);
    memset(loads, 0, sizeof(loads));
    for (uint32_t t = 0; t < 8; t++)
        for (uint32_t p = 0; p < topics[t].partition_count; p++)
            if (all[t][p] != 0) loads[all[t][p] - 1]++;
    for (uint32_t m = 0; m < members; m++)
        for (uint32_t i = 0; i < wants[m].topic_count; i++)
            for (uint32_t p = 0; p < topics[lists[m][i]].partition_count; p++) {
                uint32_t owner = all[lists[m][i]][p];
                if (owner == 0 || loads[owner - 1] > loads[m] + 1) ck_abort_msg("member %u could have more", m);
            }
    static uint32_t again[8][64];
    memcpy(again, all, sizeof(all));
    ck_assert_int_eq(assign_partitions(GROUP_STICKY, wants, members, topics, 8), 0);
    ck_assert(memcmp(again, all, sizeof(all)) == 0);
}
END_TEST

START_TEST(zones_are_served_where_that_stays_balanced)
{
    uint32_t one[] = {0}, near = 0, least;
    uint16_t zones[300];
    struct assign_member wants[10];
    struct assign_topic topic = {300, zones, owners};
    struct random random;

    random_init(&random, (uint64_t)_i);
    for (uint32_t m = 0; m < 10; m++)
        wants[m] = (struct assign_member){one, 1, (uint16_t)(1 + m % 3)};
    for (uint32_t p = 0; p < 300; p++) {
        zones[p] = (uint16_t)(1 + p % 3);
        owners[p] = (uint32_t)random_below(&random, 11);
    }
    ck_assert_int_eq(assign_partitions(GROUP_ZONE, wants, 10, &topic, 1), 0);
    ck_assert_uint_le(count_loads(300, 10, &least), least + 1);
    for (uint32_t p = 0; p < 300; p++)
        near += wants[owners[p] - 1].zone == zones[p];
    ck_assert_msg(near >= 280, "%u of 300 are in their zone", near); /* 4 members of zone 1 have room for 120, of which there are 100 */
    memcpy(before, owners, sizeof(before));
    ck_assert_int_eq(assign_partitions(GROUP_ZONE, wants, 10, &topic, 1), 0);
    ck_assert_uint_eq(count_moves(300), 0);
}
END_TEST

static const struct {
    const char *pattern, *name;
    int want; /* 1: matches; 0: does not; else the error */
} patterns[] = {
    {"orders", "orders", 1},
    {"orders", "orders2", 0},
    {"orders|refunds", "refunds", 1},
    {"logs\\..*", "logs.eu", 1},
    {"logs\\..*", "logs_eu", 0},
    {"^a.*z$", "abcz", 1},
    {"[a-c]+", "abcabc", 1},
    {".*", "__mesh_groups", 0}, /* internal topics are offered to nobody */
    {"(", "", MESH_EINVALID_PATTERN},
    {"a)(b", "", MESH_EINVALID_PATTERN},
    {"[", "", MESH_EINVALID_PATTERN},
    {"*", "", MESH_EINVALID_PATTERN},
    {"", "", MESH_EINVALID_PATTERN},
    {"a{1000}", "", MESH_EINVALID_PATTERN},
    {"(a)\\1", "", MESH_EINVALID_PATTERN},
    {"a\\", "", MESH_EINVALID_PATTERN},
    {"__mesh.*", "", MESH_EINVALID_PATTERN},
    {"^__mesh.*", "", MESH_EINVALID_PATTERN},
};

START_TEST(patterns_match_whole_names)
{
    struct group_pattern pattern;
    int err = group_pattern_init(&pattern, slice_of_string(patterns[_i].pattern));

    if (patterns[_i].want < 0) {
        ck_assert_int_eq(err, patterns[_i].want);
        return;
    }
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(group_pattern_matches(&pattern, slice_of_string(patterns[_i].name)), patterns[_i].want);
    group_pattern_deinit(&pattern);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_assign");
    TCase *tcase = tcase_create("all");

    tcase_add_loop_test(tcase, assignments_are_as_told, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(tcase, sticky_is_balanced_and_moves_no_more_than_it_must, 0, 5);
    tcase_add_test(tcase, one_more_member_moves_its_share_alone);
    tcase_add_loop_test(tcase, mixed_subscriptions_are_evened_out, 0, 20);
    tcase_add_loop_test(tcase, zones_are_served_where_that_stays_balanced, 0, 5);
    tcase_add_loop_test(tcase, patterns_match_whole_names, 0, (int)(sizeof(patterns) / sizeof(patterns[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
