/* Rows out of a leader's state: rounds alone, or a walk and the rounds since, tell all that is committed and nothing else. */
#include "group_rig.h"
#include "replication/spread/cells.h"
#include "replication/spread/collect.h"
#include "replication/spread/held.h"
#ifdef MESH_TEST_SWITCHES
#include "replication/spread/switches.h"
#endif

#include "base/random.h"
#include "support/run_suite.h"

#include <stdio.h>

static struct group_rig rig;
static struct groups *state;
static struct spread_cells *told; /* by rounds from the start */
static struct spread_held held;

static void setup(void)
{
    rig_init(&rig);
    rig_topic(&rig, "orders", 40);
    rig_topic(&rig, "parcels", 3);
    state = rig.replicas[rig.leader];
    ck_assert_int_eq(groups_watch_changes(state, true), 0);
    ck_assert_int_eq(spread_cells_new(&told), 0);
    spread_held_init(&held);
}

static void teardown(void)
{
    spread_held_clear(&held);
    spread_cells_free(told);
    rig_deinit(&rig);
}

/* False: a row that is not committed. */
static bool take(struct spread_cells *to, struct slice rows, uint64_t high_watermark)
{
    struct spread_rows_reader reader = spread_rows_read(rows);
    struct spread_row row;

    while (spread_rows_next(&reader, &row)) {
        if (row.version.lsn >= high_watermark) return false;
        ck_assert_int_eq(spread_cells_merge(to, &row), 0);
    }
    ck_assert(codec_reader_is_done(&reader.reader));
    return true;
}

static bool tell_held(uint64_t high_watermark, struct spread_cells *other)
{
    struct buffer rows;
    bool is_last, is_good = true;

    while (spread_held_next(&held, high_watermark, &rows, &is_last)) {
        ck_assert(!held.has_gap);
        is_good &= take(told, buffer_slice(&rows), high_watermark);
        if (other != NULL) is_good &= take(other, buffer_slice(&rows), high_watermark);
        buffer_deinit(&rows);
    }
    return is_good;
}

static bool collect(uint64_t high_watermark, struct spread_cells *other)
{
    bool is_good = tell_held(high_watermark, other);

    ck_assert_int_eq(spread_held_sort(&held, high_watermark), 0);
    if (!held.is_held) spread_held_take(&held, state, high_watermark, 7);
    return tell_held(high_watermark, other) && is_good;
}

static void act(struct random *random)
{
    char name[16];
    struct slice group = slice_of(name, 0);
    struct group_reply reply;
    uint64_t what = random_below(random, 30);

    group.size = (size_t)snprintf(name, sizeof(name), "group-%d", (int)random_below(random, 6));
    if (what == 0) {
        group_lead_delete(rig.lead, group, &reply);
    } else if (what < 3) {
        struct group_claim claim = {.topic = rig_topic_id(&rig, "orders"), .partition = (uint32_t)random_below(random, 40)};
        group_lead_delete_offsets(rig.lead, group, &claim, 1, &reply);
    } else {
        struct group_commit_cell cell = {.topic = rig_topic_id(&rig, what < 8 ? "parcels" : "orders"), .partition = (uint32_t)random_below(random, 3),
                                         .offset = random_below(random, 1000), .record_epoch = -1};
        struct group_commit commit = {.caller = {.group = group}, .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = &cell,
                                      .cell_count = 1};
        if (what > 20) cell.metadata = slice_of_string("text");
        group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &reply);
    }
    rig_append(&rig);
}

static void judge(const struct spread_cells *cells)
{
    size_t count = 0;

    ck_assert_uint_eq(spread_cells_groups(cells), groups_count(state));
    for (const struct group *group = groups_next(state, NULL); group != NULL; group = groups_next(state, group)) {
        struct group_view view = group_view_of(group);
        const struct spread_group *heard = spread_cells_find(cells, view.name);
        struct group_cursor cursor = {0};
        struct uuid topic;
        uint32_t partition;

        ck_assert_ptr_nonnull(heard);
        ck_assert_uint_eq(spread_group_view_of(heard).cell_count, view.cell_count);
        ck_assert_uint_eq(spread_group_view_of(heard).empty_since_ms, view.empty_since_ms);
        while (group_next_partition(state, group, &cursor, &topic, &partition)) {
            struct group_offset offset;
            struct spread_row row;
            if (!group_committed(state, group, &topic, partition, &offset)) continue;
            ck_assert(spread_group_committed(cells, heard, &topic, partition, &row));
            ck_assert(row.offset == offset.offset && row.time_s == offset.committed_s && slice_equal(row.metadata, offset.metadata));
            count++;
        }
    }
    ck_assert_uint_eq(spread_cells_count(cells), count);
}

/* Commits go on while everything is walked over. */
static bool live(uint64_t seed)
{
    struct spread_cells *walked = NULL;
    struct spread_walk walk = {0};
    struct random random;
    bool is_last = false, is_good = true;

    random_init(&random, seed);
    for (int step = 0; step < 600; step++) {
        uint64_t lag = random_below(&random, 6), mark = rig.log_end < lag ? 0 : rig.log_end - lag;

        act(&random);
        if (step % 7 == 0) is_good &= collect(mark, walked);
        if (step == 300) ck_assert_int_eq(spread_cells_new(&walked), 0);
        if (step >= 300 && step % 20 == 0 && !is_last) {
            struct buffer rows = BUFFER_INIT;
            ck_assert_int_eq(spread_collect_piece(state, mark, &walk, &rows, &is_last), 0);
            is_good &= take(walked, buffer_slice(&rows), mark);
            buffer_deinit(&rows);
        }
    }
    is_good &= collect(rig.log_end, walked);
    if (is_good) {
        ck_assert(is_last);
        judge(told);
        judge(walked);
    }
    spread_cells_free(walked);
    return is_good;
}

#ifndef MESH_TEST_SWITCHES
START_TEST(rounds_and_walks_tell_all_that_is_committed)
{
    ck_assert(live((uint64_t)_i));
}
END_TEST

static void commit_of(const char *group, uint64_t offset)
{
    struct group_commit_cell cell = {.topic = rig_topic_id(&rig, "orders"), .offset = offset, .record_epoch = -1};
    struct group_commit commit = {.caller = {.group = slice_of_string(group)}, .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY,
                                  .cells = &cell, .cell_count = 1};
    struct group_reply reply;

    ck_assert_int_eq(group_lead_commit(rig.lead, rig.now_ms, rig.wall_ms, &commit, &reply), 0);
    rig_append(&rig);
}

/* Whenever one looks, its latest record is not committed yet. */
START_TEST(what_is_committed_without_a_pause_is_told)
{
    struct uuid topic = rig_topic_id(&rig, "orders");

    for (uint64_t offset = 1; offset < 100; offset++) {
        struct spread_row row = {.offset = 0};
        const struct spread_group *busy;

        commit_of("busy", offset);
        ck_assert(collect(rig.log_end - 1, NULL));
        busy = spread_cells_find(told, slice_of_string("busy"));
        if (offset < 4) continue;
        ck_assert_ptr_nonnull(busy);
        ck_assert(spread_group_committed(told, busy, &topic, 0, &row));
        ck_assert_uint_ge(row.offset + 3, offset);
    }
}
END_TEST

static bool is_told(const char *group)
{
    const struct spread_group *heard = spread_cells_find(told, slice_of_string(group));
    struct uuid topic = rig_topic_id(&rig, "orders");
    struct spread_row row;

    return heard != NULL && spread_group_committed(told, heard, &topic, 0, &row);
}

/* One record that cannot be committed keeps back none below it, neither when the round is taken nor when the high watermark comes closer. */
START_TEST(what_lies_below_a_high_watermark_that_stands_still_is_told)
{
    uint64_t first_end, second_end;

    commit_of("first", 1);
    first_end = rig.log_end;
    commit_of("second", 1);
    second_end = rig.log_end;
    commit_of("third", 1);
    ck_assert(collect(first_end, NULL));
    ck_assert(held.is_held && is_told("first") && !is_told("second"));
    ck_assert(collect(first_end, NULL));
    ck_assert(!is_told("second"));
    ck_assert(collect(second_end, NULL));
    ck_assert(held.is_held && is_told("second") && !is_told("third"));
    commit_of("fourth", 1); /* no part of this round, which ends below it */
    ck_assert(collect(second_end, NULL));
    ck_assert(tell_held(rig.log_end, NULL));
    ck_assert(!held.is_held && is_told("third") && !is_told("fourth"));
}
END_TEST

/* Who was told a part waits for the last one, also where nothing is left for it; and where nothing changed nothing is said. */
START_TEST(a_round_that_was_told_in_parts_has_an_end)
{
    struct buffer rows;
    bool is_last;

    commit_of("early", 1);
    spread_held_take(&held, state, rig.log_end, 7);
    held.to++; /* as by a control record behind */
    ck_assert(spread_held_next(&held, rig.log_end, &rows, &is_last));
    ck_assert(!is_last && rows.size > 0);
    buffer_deinit(&rows);
    ck_assert(!spread_held_next(&held, rig.log_end, &rows, &is_last));
    ck_assert(spread_held_next(&held, rig.log_end + 1, &rows, &is_last));
    ck_assert(is_last && rows.size == 0);
    buffer_deinit(&rows);
    spread_held_take(&held, state, rig.log_end, 7);
    ck_assert(!spread_held_next(&held, rig.log_end, &rows, &is_last));
    ck_assert(!held.is_held);
}
END_TEST
#else
START_TEST(what_is_not_committed_is_noticed)
{
    spread_bring_back(SPREAD_DEFECT_UNCOMMITTED_TOLD);
    ck_assert(!live((uint64_t)_i));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("spread_collect");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
#ifndef MESH_TEST_SWITCHES
    tcase_add_loop_test(tests, rounds_and_walks_tell_all_that_is_committed, 0, 20);
    tcase_add_test(tests, what_is_committed_without_a_pause_is_told);
    tcase_add_test(tests, what_lies_below_a_high_watermark_that_stands_still_is_told);
    tcase_add_test(tests, a_round_that_was_told_in_parts_has_an_end);
#else
    tcase_add_loop_test(tests, what_is_not_committed_is_noticed, 0, 1);
#endif
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
