/* Records before any offset are deleted: what is served begins there, over stops, crashes and cuts; nothing behind it is touched. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/segment_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(11);
    rig_init(&rig, fs_mem_fs(disk));
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

static void lose_power(void)
{
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&rig, 2);
}

static void note_done(void *user, int error)
{
    *(int *)user = error;
}

static void count_segment(void *user, const char *path, uint64_t size)
{
    uint64_t base_offset;
    const char *name = strrchr(path, '/');

    (void)size;
    *(unsigned *)user += name != NULL && segment_parse_name(name + 1, &base_offset);
}

static unsigned count_segments(void)
{
    unsigned count = 0;

    fs_mem_each_file(disk, count_segment, &count);
    return count;
}

/* Inside a batch: the one that holds the offset stays, and is where a read from there begins. */
START_TEST(a_log_begins_inside_a_batch)
{
    struct plog_view view;
    unsigned notified;

    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_pump(&rig);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 0);
    notified = rig.notify_count;
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 47), 0);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 47);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 0);
    rig_pump(&rig); /* no time passes: the manifest is due at once */
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 47);
    ck_assert_uint_gt(rig.notify_count, notified + 1);
    for (int life = 0; life < 4; life++) {
        ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 47);
        ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 47);
        ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 0); /* the segment is there yet */
        ck_assert_uint_ge(plog_high_watermark(rig.logs[0]), life == 0 ? 0 : 47);
        ck_assert_uint_eq(plog_first_offset(rig.logs[1]), 0);
        ck_assert_int_eq(plog_read(rig.logs[0], 47, 100, 1, &view), 0);
        ck_assert_uint_eq(view.next_offset, 50);
        plog_view_release(&view);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 45, 100, 9000), 11);
        if (life == 1) rig_stop(&rig);
        if (life == 1) rig_open(&rig, 2);
        else lose_power();
    }
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 20), 0); /* late */
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 47);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 101), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 47);
}
END_TEST

/* The manifest that says it is written while other records are in the journal alone: it voids none of them, and speaks of such ones too. */
START_TEST(records_that_no_segment_has_yet_are_deleted_as_well)
{
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 10, 3, 100);
    rig_fill(&rig, rig.logs[1], 10, 3, 100);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 30);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 28), 0);
    rig_pump_lane(&rig, STORE_LANE_BACKGROUND);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 28);
    ck_assert_uint_eq(count_segments(), 0);
    lose_power();
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 28);
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 30);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 27, 30, 9000), 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, 30, 9000), 10);
    ck_assert_str_eq(rig.events, "");
}
END_TEST

START_TEST(files_of_deleted_records_go)
{
    unsigned before;

    rig.config.segment_bytes = 20000;
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 100, 5, 200);
    rig_wait(&rig, 5000);
    before = count_segments();
    ck_assert_uint_gt(before, 4);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 252), 0);
    rig_wait(&rig, 5000);
    ck_assert_uint_lt(count_segments(), before - 1);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 150);
    ck_assert_uint_le(plog_start_offset(rig.logs[0]), 250);
    lose_power();
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 252);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 500), 0);
    rig_wait(&rig, 5000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 500);
    ck_assert_uint_eq(plog_size_bytes(rig.logs[0]), 0);
    ck_assert_uint_eq(count_segments(), 0);
    lose_power();
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 500);
    rig_fill(&rig, rig.logs[0], 1, 5, 200);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 500, 505, 9000), 1);
}
END_TEST

/* What retention did not take in one life it takes in the next: the books alone say what is deleted then. */
START_TEST(files_go_after_a_restart_as_well)
{
    rig.config.segment_bytes = 20000;
    rig_open(&rig, 2);
    plog_set_high_watermark(rig.logs[0], 0); /* keeps all segments */
    rig_fill(&rig, rig.logs[0], 100, 5, 200);
    rig_wait(&rig, 5000);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 252), 0);
    rig_wait(&rig, 5000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 0);
    lose_power();
    rig_wait(&rig, 5000);
    ck_assert_uint_gt(plog_start_offset(rig.logs[0]), 150);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 252);
}
END_TEST

/* Records that come in the place of those that were cut are new ones, whether the crash comes before the next manifest or after it. */
START_TEST(a_cut_takes_it_down)
{
    int error = MESH_EAGAIN;

    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_pump(&rig);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 77), 0);
    rig_pump(&rig);
    ck_assert_int_eq(plog_truncate(rig.logs[0], 30, note_done, &error), 0);
    rig_pump(&rig);
    ck_assert_int_eq(error, 0);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 30);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 30);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    if (_i == 0) rig_pump(&rig);
    else rig_wait(&rig, 5000);
    lose_power();
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 130);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 30);
}
END_TEST

START_TEST(so_does_a_restart)
{
    static const uint64_t places[] = {10, 1000};
    int error = MESH_EAGAIN;

    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_pump(&rig);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 77), 0);
    rig_pump(&rig);
    ck_assert_int_eq(plog_restart(rig.logs[0], places[_i], 2, note_done, &error), 0);
    rig_pump(&rig);
    ck_assert_int_eq(error, 0);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), places[_i]);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_pump(&rig);
    lose_power();
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), places[_i] + 100);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), places[_i]);
}
END_TEST

/* No manifest says it of records that a crash may take: what comes in their place is there. */
START_TEST(what_comes_in_the_place_of_lost_records_is_served)
{
    rig.config.flush = _i == 0 ? PLOG_FLUSH_GROUP : PLOG_FLUSH_ASYNC;
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_wait(&rig, 5000);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 190), 0);
    rig_pump_lane(&rig, STORE_LANE_BACKGROUND);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 190);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 100);
    lose_power();
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 100);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 100);
    rig_fill(&rig, rig.logs[0], 40, 5, 100);
    rig_wait(&rig, 5000);
    lose_power();
    ck_assert_uint_eq(plog_end_offset(rig.logs[0]), 300);
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 100);
    rig_fill(&rig, rig.logs[0], 2, 5, 100);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 307), 0);
    rig_pump_lane(&rig, STORE_LANE_BACKGROUND);
    rig_wait(&rig, 3000); /* said once they are durable */
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 307);
    lose_power();
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 307);
}
END_TEST

struct found {
    int error;
    int64_t offset;
};

static void note_found(void *user, int error, int64_t offset, int64_t timestamp_ms)
{
    (void)timestamp_ms;
    *(struct found *)user = (struct found){error, offset};
}

static int64_t find_time(int64_t timestamp_ms)
{
    struct found found = {.error = MESH_EAGAIN};

    ck_assert_int_eq(plog_find_time(rig.logs[0], timestamp_ms, plog_end_offset(rig.logs[0]), note_found, &found), 0);
    rig_pump(&rig);
    ck_assert(found.error == 0 || found.error == MESH_ENOTFOUND);
    return found.error == 0 ? found.offset : -1;
}

/* In memory, then in files. */
START_TEST(times_find_no_deleted_record)
{
    rig.config.segment_bytes = 20000;
    rig_open(&rig, 2);
    plog_set_high_watermark(rig.logs[0], 0); /* keeps all segments: they are not what hides the records */
    rig_fill(&rig, rig.logs[0], 100, 5, 200);
    if (_i == 1) rig_wait(&rig, 5000);
    ck_assert_int_eq(find_time(0), 0);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 3), 0);
    ck_assert_int_eq(find_time(0), 3);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 252), 0);
    ck_assert_int_eq(find_time(0), 252);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 500), 0);
    ck_assert_int_eq(find_time(0), -1);
}
END_TEST

/* A manifest that fails is no word given; the next one says it. */
START_TEST(a_manifest_that_fails_is_written_again)
{
    rig_open(&rig, 2);
    rig_fill(&rig, rig.logs[0], 20, 5, 100);
    rig_wait(&rig, 5000);
    fs_mem_fail(disk, 1u << FS_MEM_OP_RENAME, 1, MESH_EFULL, true);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 47), 0);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 0);
    fs_mem_fail(disk, 0, 0, 0, false);
    rig_wait(&rig, 3000);
    ck_assert_uint_eq(plog_durable_deleted_offset(rig.logs[0]), 47);
    lose_power();
    ck_assert_uint_eq(plog_first_offset(rig.logs[0]), 47);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deleted_records");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_log_begins_inside_a_batch);
    tcase_add_test(tcase, records_that_no_segment_has_yet_are_deleted_as_well);
    tcase_add_test(tcase, files_of_deleted_records_go);
    tcase_add_test(tcase, files_go_after_a_restart_as_well);
    tcase_add_loop_test(tcase, a_cut_takes_it_down, 0, 2);
    tcase_add_loop_test(tcase, so_does_a_restart, 0, 2);
    tcase_add_loop_test(tcase, what_comes_in_the_place_of_lost_records_is_served, 0, 2);
    tcase_add_loop_test(tcase, times_find_no_deleted_record, 0, 2);
    tcase_add_test(tcase, a_manifest_that_fails_is_written_again);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
