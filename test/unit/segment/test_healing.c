/* Damage of every kind, found and mended with records from elsewhere: what the log serves is always right, and at the end it is
 * whole again, also when the power fails at any moment of a repair. */
#include "healing_rig.h"

#include "base/error.h"
#include "segment/healing.h"
#include "segment/segment_file.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* In the first segment, one in the middle, and the one that is appended to. */
static unsigned place(int number)
{
    return number == 0 ? 0 : number == 1 ? 2 : last_number();
}

START_TEST(the_scrubber_finds_all_damage_and_pieces_from_elsewhere_mend_it)
{
    set_up();
    fill_and_reopen();
    do_harm((enum harm)(_i % HARM_COUNT), place(_i / HARM_COUNT));
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    check_whole(2 * BATCHES);
    rig_wait(&rig, 6000); /* another pass finds nothing */
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    rig_open(&rig, 1);
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Appends do not wait for the repair, nor do they get in its way. */
START_TEST(a_log_with_damage_goes_on)
{
    set_up();
    fill_and_reopen();
    do_harm((enum harm)_i, last_number());
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0); /* it is remembered */
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(heal(), 0);
    check_whole(2 * BATCHES);
    rig_crash(&rig);
    rig_open(&rig, 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(2 * BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(a_file_that_is_gone_when_a_crash_is_recovered_from_is_a_hole)
{
    set_up();
    fill_and_reopen();
    rig_fill(&rig, rig.logs[0], 10, 1, 100); /* not stopped cleanly any more */
    rig_pump(&rig);
    do_harm(HARM_GONE, (unsigned)_i);
    rig_crash(&rig);
    for (int i = 0; i < 2; i++) {
        rig_open(&rig, 1);
        ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1); /* the same one, however often it starts */
        ck_assert_uint_gt(count_refused(), 0);
        rig_fill(&rig, rig.logs[0], 10, 1, 100);
        rig_pump(&rig);
        rig_crash(&rig);
    }
    rig_open(&rig, 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES + 30);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* ---- bad pieces ---- */

enum lie { LIE_BODY, LIE_EPOCH, LIE_LATER, LIE_EARLIER, LIE_BEYOND, LIE_HALF, LIE_COUNT };

START_TEST(pieces_that_are_not_what_was_lost_are_refused)
{
    struct plog_damage damage;
    struct slice piece;
    uint8_t *bad;
    uint64_t from;

    set_up();
    fill_and_reopen();
    do_harm(HARM_BODY, 2);
    rig_wait(&rig, 6000);
    ck_assert(plog_find_damage(rig.logs[0], 0, &damage));
    from = damage.from;
    ck_assert_uint_eq(damage.to, from + 1);
    piece = piece_of(_i == LIE_LATER ? from + 1 : _i == LIE_EARLIER ? from - 1 : from, _i == LIE_BEYOND ? from + 3 : from + 1, PIECE);
    bad = malloc(piece.size);
    memcpy(bad, piece.data, piece.size);
    if (_i == LIE_BODY) bad[80] ^= 1;
    if (_i == LIE_EPOCH) bad[15] ^= 4;
    ck_assert_int_eq(repair(from, slice_of(bad, _i == LIE_HALF ? piece.size - 1 : piece.size)), MESH_ECORRUPT);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    ck_assert_uint_eq(count_refused(), 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    free(bad);
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(what_is_sound_after_all_is_taken_back_without_a_piece)
{
    uint64_t base;
    char path[FS_PATH_MAX];

    set_up();
    fill_and_reopen();
    do_harm(HARM_BODY, 1);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    base = base_of(1);
    path_of(base, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, starts[base + 5] - starts[base] + 80, 1), 0);
    ck_assert_int_eq(repair(base + 5, slice_of(NULL, 0)), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The owner says that records are wrong though they are sound: they are not believed, but replaced. */
START_TEST(condemned_records_are_not_served_until_they_are_replaced)
{
    uint64_t from, to;

    set_up();
    fill_and_reopen();
    from = base_of(1) - 3;
    to = base_of(1) + 4;
    ck_assert_int_eq(plog_condemn(rig.logs[0], from, to), 0);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 2); /* in two files */
    ck_assert_uint_eq(count_refused(), 7);
    if (_i == 1) { /* neither does a restart believe them */
        rig_stop(&rig);
        rig_open(&rig, 1);
        ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 2);
        ck_assert_uint_eq(count_refused(), 7);
    }
    ck_assert_int_eq(repair(from, slice_of(NULL, 0)), 0);
    ck_assert_uint_eq(count_refused(), 7);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    ck_assert_int_eq(plog_condemn(rig.logs[0], BATCHES - 1, BATCHES + 1), MESH_EOFFSET_OUT_OF_RANGE);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Nothing is appended to the log of a follower that has lost records and waits for them: it must not need that to be heard of. */
START_TEST(damage_that_was_known_before_a_restart_is_told_at_once)
{
    set_up();
    fill_and_reopen();
    do_harm(HARM_OFFSET, 1);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    rig.notify_count = 0;
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_pump(&rig);
    ck_assert_uint_gt(rig.notify_count, 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A store that drains waits for its jobs, and not with a step of the scrubber that is due and never begins: its owner would ask without a pause. */
START_TEST(who_stops_does_not_wait_for_the_scrubber)
{
    set_up();
    fill_and_reopen();
    rig_wait(&rig, 500);
    rig_fill(&rig, rig.logs[0], 10, 1, 100);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    store_drain(rig.store);
    for (int i = 0; i < 30; i++) { /* no job gets done meanwhile */
        rig.now_ms += 100;
        ck_assert_uint_gt(store_tick(rig.store, rig.now_ms, rig.now_wall_ms), rig.now_ms);
    }
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(what_is_doubted_is_looked_at_at_once)
{
    set_up();
    rig.options.scrub_first_ms = 3600000;
    fill_and_reopen();
    do_harm(HARM_BODY, 3);
    rig_wait(&rig, 2000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    plog_suspect(rig.logs[0], base_of(3) + 5);
    rig_wait(&rig, 200);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The pass over everything may fall due with the last step of a look at what is doubted, which ends where the next segment begins. */
START_TEST(a_pass_begins_where_a_doubt_has_ended)
{
    set_up();
    rig.options.scrub_first_ms = 3600000;
    fill_and_reopen();
    do_harm(HARM_BODY, 3);
    plog_suspect(rig.logs[0], base_of(1) + 5);
    rig.now_ms += 3600000;
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* The scrubber rests for an hour, until it is told to rest for three seconds. */
START_TEST(a_rest_under_way_becomes_shorter)
{
    const struct store_terms terms = {0, 3000, 0};

    set_up();
    rig.options.scrub_rest_ms = 3600000;
    fill_and_reopen();
    rig_wait(&rig, 6000);
    do_harm(HARM_BODY, 3);
    rig_wait(&rig, 10000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    store_set_terms(rig.store, &terms);
    rig_wait(&rig, 10000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A step takes 16 s, until it may take less; every segment takes one. */
START_TEST(a_pass_is_as_slow_as_it_is_told)
{
    const struct store_terms slow = {0, 3600000, 64u << 10}, fast = {0, 3600000, 0};

    set_up();
    rig.options.scrub_bytes_per_s = slow.scrub_bytes_per_s;
    fill_and_reopen();
    do_harm(HARM_BODY, 3);
    rig_wait(&rig, 30000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    store_set_terms(rig.store, &slow); /* the same once more */
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 0);
    store_set_terms(rig.store, &fast);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_damage_count(rig.logs[0]), 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* Between two steps of a pass the log is cut, and other batches come: where the pass stood none of them begins. */
START_TEST(a_pass_does_not_go_on_inside_of_what_came_after_a_cut)
{
    struct store_stats stats = {.scrubbed_bytes = 0};
    struct outcome outcome = {0, false};
    struct plog *plog;

    set_up();
    rig.config.flush = PLOG_FLUSH_ASYNC;
    rig.config.flush_bytes = 1;
    rig_open(&rig, 1);
    plog = rig.logs[0];
    rig_fill(&rig, plog, 20, 1, 100);
    while (stats.scrubbed_bytes == 0) {
        rig_wait(&rig, 10);
        store_get_stats(rig.store, &stats);
    }
    ck_assert_int_eq(plog_truncate(plog, 19, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    rig_fill(&rig, plog, 4, 1, 300);
    rig_wait(&rig, 6000);
    ck_assert_uint_eq(plog_end_offset(plog), 23);
    ck_assert_uint_eq(plog_damage_count(plog), 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static void cut_at(uint64_t offset)
{
    struct outcome outcome = {0, false};

    ck_assert_int_eq(plog_truncate(rig.logs[0], offset, on_done, &outcome), 0);
    for (int i = 0; i < 10 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done && outcome.error == 0);
}

/* The manifest ends at 14. Then the log is cut at 12, goes on with other batches, and is cut at 14. */
START_TEST(what_a_manifest_knew_of_records_that_were_cut_is_not_believed)
{
    set_up();
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 14, 1, 100);
    rig_stop(&rig);
    rig_open(&rig, 1);
    cut_at(12);
    rig_fill(&rig, rig.logs[0], 4, 1, 300);
    cut_at(14);
    rig_fill(&rig, rig.logs[0], 1, 1, 200);
    rig_pump(&rig);
    rig_crash(&rig);
    rig_open(&rig, 1);
    check_whole(15);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A log is deleted while it is looked at, and then another one is doubted: what is found belongs to the one that is gone. */
START_TEST(what_is_found_in_a_deleted_log_is_not_said_of_another)
{
    struct store_job *job;

    set_up();
    rig.options.scrub_first_ms = 3600000;
    rig_open(&rig, 2);
    for (int i = 0; i < 2; i++)
        rig_fill(&rig, rig.logs[i], BATCHES, 1, 100);
    rig_pump(&rig);
    rig_stop(&rig);
    rig_open(&rig, 2);
    rig_wait(&rig, 2000);
    do_harm(HARM_BODY, 3);
    plog_suspect(rig.logs[0], base_of(3) + 5);
    job = store_next_job(rig.store, STORE_LANE_BACKGROUND);
    ck_assert_ptr_nonnull(job);
    store_job_run(job);
    plog_delete(rig.logs[0]);
    plog_suspect(rig.logs[1], 0);
    store_job_complete(rig.store, job);
    ck_assert_uint_eq(plog_damage_count(rig.logs[1]), 0);
    rig_wait(&rig, 200); /* and it is looked at from where it is doubted */
    ck_assert_uint_eq(plog_damage_count(rig.logs[1]), 0);
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* A log can be cut to where its damage begins, or into it: the ordinary way of replication brings the rest again. */
START_TEST(a_log_is_cut_where_its_damage_begins)
{
    struct outcome outcome = {0, false};
    uint64_t base;

    set_up();
    fill_and_reopen();
    base = base_of(2);
    do_harm((enum harm)_i, 2);
    rig_wait(&rig, 6000);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_int_eq(plog_truncate(rig.logs[0], base + 5, on_done, &outcome), 0);
    for (int i = 0; i < 20 && !outcome.is_done; i++)
        rig_pump(&rig);
    ck_assert(outcome.is_done);
    ck_assert_int_eq(outcome.error, 0);
    ck_assert_uint_le(plog_end_offset(rig.logs[0]), base + 5);
    check_whole(plog_end_offset(rig.logs[0]));
    rig_stop(&rig);
    tear_down();
}
END_TEST

/* ---- the power fails ---- */

/* Tries to heal with a power cut at the nth operation. True: it was through before that. */
static bool heal_until_crash(enum harm harm, unsigned segment_number, uint64_t nth, enum fs_mem_loss loss)
{
    bool is_through;

    set_up();
    fill_and_reopen();
    do_harm(harm, segment_number);
    rig_wait(&rig, 2200);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    fs_mem_crash_at(disk, nth);
    (void)heal();
    rig_pump(&rig);
    is_through = !fs_mem_is_crashed(disk);
    rig_crash(&rig);
    fs_mem_crash_at(disk, 0);
    fs_mem_reboot(disk, loss);
    rig_open(&rig, 1);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), BATCHES);
    (void)count_refused();
    rig_wait(&rig, 2200); /* the scrubber finds what is not in the register any more */
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
    return is_through;
}

START_TEST(a_power_cut_at_any_moment_of_a_repair_loses_nothing_that_was_sound)
{
    static const enum harm harms[] = {HARM_BODY, HARM_CUT, HARM_GONE};
    bool is_through = false;

    for (uint64_t nth = 1; !is_through; nth++) {
        ck_assert_uint_lt(nth, 500);
        is_through = heal_until_crash(harms[_i], _i == 1 ? 0 : 2, nth, (enum fs_mem_loss)(nth % FS_MEM_LOSE_MODES));
    }
}
END_TEST

START_TEST(a_disk_that_fails_during_a_repair_leaves_the_damage_in_the_register)
{
    set_up();
    fill_and_reopen();
    do_harm(HARM_CUT, 1);
    rig_wait(&rig, 2200);
    fs_mem_fail(disk, 1u << (_i == 0 ? FS_MEM_OP_WRITE : FS_MEM_OP_SYNC), 1, MESH_EIO, false);
    ck_assert_int_eq(heal(), MESH_EIO);
    ck_assert_uint_gt(plog_damage_count(rig.logs[0]), 0);
    ck_assert_uint_gt(count_refused(), 0);
    ck_assert_int_eq(plog_error(rig.logs[0]), _i == 0 ? 0 : MESH_ESTORAGE); /* a failed sync may have taken others' bytes along */
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&rig, 1);
    rig_wait(&rig, 2200);
    ck_assert_int_eq(heal(), 0);
    check_whole(BATCHES);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("healing");
    TCase *tests = tcase_create("segment");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, the_scrubber_finds_all_damage_and_pieces_from_elsewhere_mend_it, 0, 3 * HARM_COUNT);
    tcase_add_loop_test(tests, a_log_with_damage_goes_on, 0, HARM_COUNT);
    tcase_add_loop_test(tests, a_file_that_is_gone_when_a_crash_is_recovered_from_is_a_hole, 0, 3);
    tcase_add_loop_test(tests, pieces_that_are_not_what_was_lost_are_refused, 0, LIE_COUNT);
    tcase_add_test(tests, a_rest_under_way_becomes_shorter);
    tcase_add_test(tests, a_pass_is_as_slow_as_it_is_told);
    tcase_add_test(tests, what_is_sound_after_all_is_taken_back_without_a_piece);
    tcase_add_loop_test(tests, condemned_records_are_not_served_until_they_are_replaced, 0, 2);
    tcase_add_test(tests, damage_that_was_known_before_a_restart_is_told_at_once);
    tcase_add_test(tests, who_stops_does_not_wait_for_the_scrubber);
    tcase_add_test(tests, what_is_doubted_is_looked_at_at_once);
    tcase_add_test(tests, a_pass_begins_where_a_doubt_has_ended);
    tcase_add_test(tests, a_pass_does_not_go_on_inside_of_what_came_after_a_cut);
    tcase_add_test(tests, what_a_manifest_knew_of_records_that_were_cut_is_not_believed);
    tcase_add_test(tests, what_is_found_in_a_deleted_log_is_not_said_of_another);
    tcase_add_loop_test(tests, a_log_is_cut_where_its_damage_begins, 0, HARM_COUNT);
    tcase_add_loop_test(tests, a_power_cut_at_any_moment_of_a_repair_loses_nothing_that_was_sound, 0, 3);
    tcase_add_loop_test(tests, a_disk_that_fails_during_a_repair_leaves_the_damage_in_the_register, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_suite(suite());
}
