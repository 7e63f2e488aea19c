/* Write-behind beside a checkpoint's sync: nobody waits for the other, the checkpoint vouches for what was written before its sync and for
 * nothing else, and a sync that fails condemns what was written beside it. */
#include "store_rig.h"

#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define BEHIND_MS 11000 /* then write-behind is due */

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.options.journal_file_bytes = 1u << 20;
    rig.options.journal_bytes_max = 4u << 20;
    rig.options.sync_all_files_min = 1;
    rig_open(&rig, 2);
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

static void append(unsigned log, unsigned batches)
{
    rig_fill(&rig, rig.logs[log], batches, 1, 9000);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[log]), plog_end_offset(rig.logs[log]));
}

static struct store_job *take(enum store_lane lane)
{
    struct store_job *job;

    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    job = store_next_job(rig.store, lane);
    ck_assert_ptr_nonnull(job);
    return job;
}

static void run_and_complete(struct store_job *job)
{
    store_job_run(job);
    store_job_complete(rig.store, job);
}

/* The sync of a checkpoint that has ten batches of the first log to vouch for. */
static struct store_job *take_sync(void)
{
    append(0, 10);
    rig.now_ms += 3000; /* idle: a checkpoint is due */
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
    rig_pump_lane(&rig, STORE_LANE_BACKGROUND); /* it begins, and waits for */
    rig_pump_lane(&rig, STORE_LANE_BEHIND);
    ck_assert_uint_eq(plog_written_offset(rig.logs[0]), 10);
    return take(STORE_LANE_BACKGROUND);
}

static struct store_job *take_behind(unsigned log)
{
    append(log, 10);
    rig.now_ms += BEHIND_MS;
    return take(STORE_LANE_BEHIND);
}

static void cut_power(void)
{
    fs_mem_crash_now(disk);
    rig_crash(&rig);
    fs_mem_reboot(disk, FS_MEM_LOSE_LATEST);
    rig_open(&rig, 2);
}

/* Of both logs: of the one that is being synced, and of another. */
START_TEST(what_is_written_beside_a_sync_is_not_vouched_for)
{
    struct store_job *sync = take_sync(), *behind;

    store_job_run(sync);
    behind = take_behind(0);
    append(1, 10);
    run_and_complete(behind); /* of the first log only */
    rig.now_ms += BEHIND_MS;
    run_and_complete(take(STORE_LANE_BEHIND));
    ck_assert_uint_eq(plog_written_offset(rig.logs[0]), 20);
    ck_assert_uint_eq(plog_written_offset(rig.logs[1]), 10);
    store_job_complete(rig.store, sync);
    run_and_complete(take(STORE_LANE_BACKGROUND)); /* the manifest */
    cut_power();
    ck_assert_str_eq(rig.events, "");
    ck_assert_uint_eq(rig.report.holes, 0);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 20, 100000), 20);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, 10, 100000), 10);
}
END_TEST

/* The system says once that bytes were lost, whichever file's they were. _i: which of the two jobs ends first. */
START_TEST(a_failed_sync_of_all_condemns_what_was_written_beside_it)
{
    struct store_job *sync = take_sync(), *behind = take_behind(1);

    store_job_run(behind);
    if (_i == 0) store_job_complete(rig.store, behind);
    fs_mem_fail(disk, 1u << FS_MEM_OP_SYNC_ALL, 1, MESH_EIO, false);
    run_and_complete(sync);
    if (_i == 1) store_job_complete(rig.store, behind);
    ck_assert_int_ne(plog_error(rig.logs[0]), 0);
    ck_assert_int_ne(plog_error(rig.logs[1]), 0);
    rig_wait(&rig, 5000); /* a later sync succeeds, and makes nothing good */
    cut_power();
    ck_assert_uint_eq(rig.report.holes, 0);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 10, 100000), 10);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, 10, 100000), 10);
}
END_TEST

static void note_index(void *user, const char *path, uint64_t size)
{
    (void)size;
    if (strstr(path, ".index") != NULL) strncpy(user, path, FS_PATH_MAX - 1);
}

static void remove_indexes(void)
{
    for (;;) {
        char path[FS_PATH_MAX] = "";
        fs_mem_each_file(disk, note_index, path);
        if (path[0] == '\0') return;
        ck_assert_int_eq(fs_mem_fs(disk)->ops->unlink(fs_mem_fs(disk), path), 0);
    }
}

/* ... and only that: what a log had synced before stays good. _i: whether the log is to be looked at all the same, since an index that
 * was made for a reader waits to be saved. */
START_TEST(a_failed_sync_of_all_spares_who_had_nothing_to_lose)
{
    struct store_job *sync;
    struct plog_view view;

    append(1, 20);
    rig_wait(&rig, 5000);
    if (_i == 1) {
        rig_crash(&rig);
        fs_mem_reboot(disk, FS_MEM_LOSE_NOTHING);
        remove_indexes();
        rig_open(&rig, 2);
        while (plog_read(rig.logs[1], 10, 20, 10000, &view) == MESH_EAGAIN)
            rig_pump_lane(&rig, STORE_LANE_READ);
        plog_view_release(&view);
    }
    sync = take_sync();
    fs_mem_fail(disk, 1u << FS_MEM_OP_SYNC_ALL, 1, MESH_EIO, false);
    run_and_complete(sync);
    ck_assert_int_ne(plog_error(rig.logs[0]), 0);
    ck_assert_int_eq(plog_error(rig.logs[1]), 0);
}
END_TEST

static uint64_t pending_bytes(void)
{
    struct store_stats stats;

    store_get_stats(rig.store, &stats);
    return stats.pending_bytes;
}

/* The journal's syncs wait for what the disk was given before. A stop waits for nothing. */
START_TEST(what_nobody_waits_for_is_written_in_small_steps)
{
    uint64_t before;

    rig_crash(&rig);
    rig.options.memory_bytes_max = rig.options.journal_bytes_max = 64u << 20; /* neither makes it urgent */
    rig_open(&rig, 2);
    for (unsigned i = 0; i < 70; i++) {
        append(0, 10);
        append(1, 10);
    }
    rig.now_ms += BEHIND_MS;
    for (int i = 0; i < 2; i++) {
        before = pending_bytes();
        run_and_complete(take(STORE_LANE_BEHIND));
        ck_assert_uint_lt(pending_bytes(), before);
        ck_assert_uint_gt(pending_bytes(), before - (4u << 20) - 100000);
        ck_assert_ptr_null(store_next_job(rig.store, STORE_LANE_BEHIND));
        rig.now_ms += 50;
        append(1, 1);
    }
    ck_assert_uint_gt(pending_bytes(), 0);
    store_drain(rig.store);
    run_and_complete(take(STORE_LANE_BEHIND));
    ck_assert_uint_eq(pending_bytes(), 0);
}
END_TEST

static uint64_t memory_bytes(void)
{
    struct store_stats stats;

    store_get_stats(rig.store, &stats);
    return stats.memory_bytes;
}

START_TEST(memory_of_a_log_that_fails_stays_as_long_as_it_is_written)
{
    struct store_job *sync = take_sync(), *behind = take_behind(0);

    fs_mem_fail(disk, 1u << FS_MEM_OP_SYNC_ALL, 1, MESH_EIO, false);
    run_and_complete(sync);
    ck_assert_int_ne(plog_error(rig.logs[0]), 0);
    rig.now_ms += 2 * BEHIND_MS;
    store_tick(rig.store, rig.now_ms, rig.now_wall_ms);
    ck_assert_uint_gt(memory_bytes(), 0);
    run_and_complete(behind);
    rig_wait(&rig, 2 * BEHIND_MS);
    ck_assert_uint_eq(memory_bytes(), 0);
}
END_TEST

static Suite *write_behind_suite(void)
{
    Suite *suite = suite_create("write_behind");
    TCase *beside = tcase_create("beside_a_sync");

    tcase_add_checked_fixture(beside, set_up, tear_down);
    tcase_add_test(beside, what_is_written_beside_a_sync_is_not_vouched_for);
    tcase_add_loop_test(beside, a_failed_sync_of_all_condemns_what_was_written_beside_it, 0, 2);
    tcase_add_loop_test(beside, a_failed_sync_of_all_spares_who_had_nothing_to_lose, 0, 2);
    tcase_add_test(beside, what_nobody_waits_for_is_written_in_small_steps);
    tcase_add_test(beside, memory_of_a_log_that_fails_stays_as_long_as_it_is_written);
    suite_add_tcase(suite, beside);
    return suite;
}

int main(void)
{
    return run_suite(write_behind_suite());
}
