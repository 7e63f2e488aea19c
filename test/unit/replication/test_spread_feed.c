/* Five brokers that tell each other what was committed: whatever links do, all have it in the end, and where nothing happens nothing is said. */
#include "spread_rig.h"

#include "support/run_suite.h"

START_TEST(all_have_it_in_the_end)
{
    struct rig rig;

    rig_init(&rig, (uint64_t)_i);
    for (int part = 0; part < 4; part++) {
        for (int i = 0; i < 1500; i++)
            rig_step(&rig);
        rig_heal(&rig);
        ck_assert_msg(rig_find_difference(&rig) == -1, "seed %d, part %d: %d", _i, part, rig_find_difference(&rig));
    }
    rig_deinit(&rig);
}
END_TEST

static void link_all(struct rig *rig)
{
    for (uint32_t a = 0; a < RIG_NODES; a++)
        for (uint32_t b = 0; b < a; b++)
            rig_link(rig, a, b, true);
}

START_TEST(nothing_is_said_where_nothing_happens)
{
    struct rig rig;
    uint64_t sent;

    rig_init(&rig, 1);
    link_all(&rig);
    for (int i = 0; i < 50; i++)
        rig_commit_any(&rig, 0);
    rig_heal(&rig);
    rig_heal(&rig);
    sent = rig.sent_messages;
    for (int i = 0; i < 1000; i++)
        rig_pass(&rig, 1000);
    ck_assert_uint_eq(rig.sent_messages, sent);
    for (uint32_t i = 0; i < RIG_NODES; i++)
        ck_assert_uint_eq(spread_feed_due_ms(rig.nodes[i].feed), UINT64_MAX);
    ck_assert_uint_eq(spread_feed_age_ms(rig.nodes[4].feed, rig.now_ms, 0), SPREAD_ROUND_MS);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_short_break_is_no_reason_to_tell_everything_again)
{
    struct rig rig;
    uint64_t pieces;

    rig_init(&rig, 2);
    link_all(&rig);
    for (int i = 0; i < 50; i++)
        rig_commit_any(&rig, 0);
    rig_heal(&rig);
    pieces = spread_feed_stats_of(rig.nodes[0].feed).pieces_told;
    rig_link(&rig, 0, 4, false);
    rig_commit_any(&rig, 0);
    rig_pass(&rig, 3000);
    ck_assert_uint_eq(spread_feed_age_ms(rig.nodes[4].feed, rig.now_ms, 0), 3000 + SPREAD_ROUND_MS);
    rig_heal(&rig);
    ck_assert_int_eq(rig_find_difference(&rig), -1);
    ck_assert_uint_eq(spread_feed_stats_of(rig.nodes[0].feed).pieces_told, pieces);
    rig_deinit(&rig);
}
END_TEST

START_TEST(who_holds_a_replica_is_not_told)
{
    struct rig rig;

    rig_init(&rig, 3);
    for (uint32_t partition = 0; partition < RIG_PARTITIONS; partition++) {
        for (uint32_t node = 0; node < RIG_NODES; node++)
            rig.partitions[partition].is_held[node] = true;
        rig_place(&rig, partition);
    }
    link_all(&rig);
    for (int i = 0; i < 20; i++)
        while (rig_deliver(&rig)) {
        }
    rig.sent_messages = 0;
    for (int i = 0; i < 50; i++)
        rig_commit_any(&rig, 0);
    rig_heal(&rig);
    ck_assert_uint_eq(rig.sent_messages, 0);
    ck_assert(!rig.partitions[0].is_watched);
    rig_deinit(&rig);
}
END_TEST

/* What was heard stays when its leader and every replica are lost, and whoever leads next can ask for it. */
START_TEST(the_last_copy_is_kept_until_the_next_leader_has_told_all)
{
    struct spread_message ask = {.kind = SPREAD_RECOVER, .partition = 0, .epoch = 9}, answer;
    struct uuid id = {{1 + 1}};
    struct spread_cells *cells;
    struct spread_output output;
    struct rig rig;
    uint32_t pieces = 0;
    bool is_last = false;

    rig_init(&rig, 4);
    link_all(&rig);
    for (int i = 0; i < 300; i++)
        rig_commit_any(&rig, 0);
    rig_heal(&rig);
    rig_link(&rig, 0, 4, false);
    spread_feed_place(rig.nodes[4].feed, rig.now_ms, 0, SPREAD_ELSEWHERE, NULL, 8);
    rig_pass(&rig, 60000);
    ck_assert_int_eq(spread_cells_new(&cells), 0);
    ck_assert_int_eq(spread_feed_receive(rig.nodes[4].feed, rig.now_ms, &id, &ask), 0);
    while (spread_feed_next_output(rig.nodes[4].feed, rig.now_ms, &output)) {
        if (output.kind != SPREAD_OUTPUT_SEND) continue;
        ck_assert_int_eq(spread_message_decode(output.bytes, &answer), 0);
        ck_assert(answer.kind == SPREAD_RECOVERED && answer.epoch == 9 && answer.piece == pieces++ && !is_last);
        ck_assert_uint_ge(answer.age_ms, 60000);
        is_last = answer.is_last;
        ck_assert_int_eq(spread_cells_merge_rows(cells, answer.rows), 0);
    }
    ck_assert(is_last);
    ck_assert_uint_eq(spread_cells_hash(cells), spread_cells_hash(rig.partitions[0].truth));
    spread_cells_free(cells);
    rig_deinit(&rig);
}
END_TEST

/* Who is no leader, or was one, is not believed. */
START_TEST(lies_are_passed_over)
{
    struct buffer rows = BUFFER_INIT;
    struct spread_rows_writer writer = spread_rows_write(&rows);
    struct spread_row row = {.kind = SPREAD_CELL, .group = slice_of_string("g"), .version = {99, 99}, .offset = 1};
    struct spread_message round = {.kind = SPREAD_ROUND, .partition = 0, .epoch = 1, .from = 0, .to = UINT64_MAX};
    struct uuid liar = {{3 + 1}}, leader = {{0 + 1}};
    struct rig rig;

    spread_rows_put(&writer, &row);
    rig_init(&rig, 5);
    link_all(&rig);
    for (int i = 0; i < 20; i++)
        rig_commit_any(&rig, 0);
    rig_heal(&rig);
    round.rows = buffer_slice(&rows);
    ck_assert_int_eq(spread_feed_receive(rig.nodes[4].feed, rig.now_ms, &liar, &round), 0);
    round.epoch = 0; /* its leader, before it led */
    ck_assert_int_eq(spread_feed_receive(rig.nodes[4].feed, rig.now_ms, &leader, &round), 0);
    round.kind = SPREAD_PIECE;
    round.is_last = true;
    ck_assert_int_eq(spread_feed_receive(rig.nodes[4].feed, rig.now_ms, &leader, &round), 0);
    ck_assert_int_eq(rig_find_difference(&rig), -1);
    rig_deinit(&rig);
    buffer_deinit(&rows);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spread_feed");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, all_have_it_in_the_end, 0, 24);
    tcase_add_test(tests, nothing_is_said_where_nothing_happens);
    tcase_add_test(tests, a_short_break_is_no_reason_to_tell_everything_again);
    tcase_add_test(tests, who_holds_a_replica_is_not_told);
    tcase_add_test(tests, the_last_copy_is_kept_until_the_next_leader_has_told_all);
    tcase_add_test(tests, lies_are_passed_over);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
