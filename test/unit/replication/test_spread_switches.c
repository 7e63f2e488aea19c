/* Each defect of spread/switches.h is brought back, and noticed by what the other tests of this folder demand. */
#include "spread_rig.h"

#include "replication/spread/switches.h"
#include "support/run_suite.h"

/* Do brokers differ in the end, with some seed? */
static bool feeds_differ(void)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct rig rig;
        bool differ;

        rig_init(&rig, seed);
        for (int i = 0; i < 2000; i++)
            rig_step(&rig);
        rig_heal(&rig);
        differ = rig_find_difference(&rig) != -1;
        rig_deinit(&rig);
        if (differ) return true;
    }
    return false;
}

#define GROUP {(const uint8_t *)"g", 1}

/* Is what three rows make, in some order, something else than the last of them, by version, says? */
static bool latest_is_lost(const struct spread_row rows[3], size_t want_count, uint64_t want_offset)
{
    static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    bool is_lost = false;

    for (size_t i = 0; i < 6; i++) {
        struct spread_cells *cells;
        struct spread_row found;

        ck_assert_int_eq(spread_cells_new(&cells), 0);
        for (size_t j = 0; j < 3; j++)
            ck_assert_int_eq(spread_cells_merge(cells, &rows[orders[i][j]]), 0);
        is_lost |= spread_cells_count(cells) != want_count;
        if (!is_lost && want_count != 0)
            is_lost = !spread_group_committed(cells, spread_cells_find(cells, rows[0].group), &rows[0].topic, 0, &found) || found.offset != want_offset;
        spread_cells_free(cells);
    }
    return is_lost;
}

static bool offsets_regress(void)
{
    static const struct spread_row rows[3] = {
        {.kind = SPREAD_CELL, .group = GROUP, .version = {1, 10}, .offset = 500},
        {.kind = SPREAD_CELL, .group = GROUP, .version = {2, 5}, .offset = 70}, /* somebody sought back */
        {.kind = SPREAD_CELL, .group = GROUP, .version = {1, 20}, .offset = 600},
    };

    return latest_is_lost(rows, 1, 70);
}

static bool the_dead_come_back(void)
{
    static const struct spread_row rows[3] = {
        {.kind = SPREAD_CELL, .group = GROUP, .version = {1, 10}, .offset = 500},
        {.kind = SPREAD_CELL_GONE, .group = GROUP, .version = {1, 15}},
        {.kind = SPREAD_GROUP_GONE, .group = GROUP, .version = {1, 20}},
    };

    return latest_is_lost(rows, 0, 0);
}

/* Is a round taken in although what came before it is missing? */
static bool gaps_are_passed_over(void)
{
    struct spread_message round = {.kind = SPREAD_ROUND, .partition = 0, .epoch = 1, .from = 1000000, .to = 1000001};
    struct uuid leader = {{1}};
    struct rig rig;
    bool is_asked_for = false;
    struct spread_output output;

    rig_init(&rig, 1);
    rig_link(&rig, 0, 4, true);
    rig_heal(&rig);
    ck_assert_int_eq(spread_feed_receive(rig.nodes[4].feed, rig.now_ms, &leader, &round), 0);
    while (spread_feed_next_output(rig.nodes[4].feed, rig.now_ms, &output))
        is_asked_for |= output.kind == SPREAD_OUTPUT_SEND;
    rig_deinit(&rig);
    return !is_asked_for;
}

static const struct {
    enum spread_defect defect;
    bool (*is_noticed)(void);
} cases[] = {
    {SPREAD_DEFECT_LAST_HEARD_WINS, offsets_regress},     {SPREAD_DEFECT_LARGEST_OFFSET_WINS, offsets_regress},
    {SPREAD_DEFECT_GRAVES_FORGOTTEN, the_dead_come_back}, {SPREAD_DEFECT_WALKS_ADD, feeds_differ},
    {SPREAD_DEFECT_GAPS_PASSED_OVER, gaps_are_passed_over},
};

START_TEST(every_defect_is_noticed)
{
    ck_assert(!cases[_i].is_noticed());
    spread_bring_back(cases[_i].defect);
    ck_assert_msg(cases[_i].is_noticed(), "defect %d", cases[_i].defect);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spread_switches");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, every_defect_is_noticed, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
