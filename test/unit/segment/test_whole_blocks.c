/* Write-behind writes whole blocks of a log that grows; what lies beyond the last one is held back, in memory and in the journal, until
 * more has come, or until somebody waits for it. */
#include "store_rig.h"

#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define BEHIND_MS  11000 /* then write-behind is due */
#define VALUE_SIZE 3000  /* a batch is smaller than a block */

static struct fs_mem *disk, *copy_disk;
static struct rig live, copy;
static uint64_t acked, pending_bytes, seed; /* pending: not in segments yet */
static unsigned point_count, ragged_count;

static void set_up(void)
{
    disk = fs_mem_new(1);
    copy_disk = fs_mem_new_fork(disk);
    rig_init(&live, fs_mem_fs(disk));
    live.options.journal_file_bytes = 1u << 20;
    live.options.journal_bytes_max = 4u << 20;
    live.options.sync_all_files_min = 1;
    rig_init(&copy, fs_mem_fs(copy_disk));
    copy.options = live.options;
    copy.options.fs = copy.fs;
    acked = pending_bytes = seed = 0;
    point_count = ragged_count = 0;
    rig_open(&live, 1);
}

static void tear_down(void)
{
    rig_deinit(&live);
    rig_deinit(&copy);
    fs_mem_free(copy_disk);
    fs_mem_free(disk);
}

static void note_acked(void)
{
    struct store_stats stats;

    store_get_stats(live.store, &stats);
    pending_bytes = stats.pending_bytes;
    acked = plog_durable_offset(live.logs[0]);
}

static void append(unsigned batches)
{
    for (unsigned i = 0; i < batches; i++) {
        rig_fill(&live, live.logs[0], 1, 1, VALUE_SIZE);
        store_end_turn(live.store, live.now_ms, live.now_wall_ms);
        rig_pump_lane(&live, STORE_LANE_SYNC);
        note_acked();
    }
    ck_assert_uint_eq(acked, plog_end_offset(live.logs[0]));
}

/* Of a log that was appended to a moment ago. */
static void write_behind(void)
{
    live.now_ms += BEHIND_MS;
    store_set_clock(live.store, live.now_ms, live.now_wall_ms);
    append(1);
    rig_pump_lane(&live, STORE_LANE_BEHIND);
    note_acked();
}

static void add_size(void *user, const char *path, uint64_t size)
{
    if (strstr(path, ".log") != NULL) *(uint64_t *)user += size;
}

static uint64_t size_of_files(void)
{
    uint64_t size = 0;

    fs_mem_each_file(disk, add_size, &size);
    return size;
}

/* Something is held back that the file has a part of. */
static void hold_back(void)
{
    append(12);
    write_behind();
    ck_assert_uint_eq(size_of_files() % FS_BLOCK_SIZE, 0);
    ck_assert_uint_lt(size_of_files(), plog_size_bytes(live.logs[0]));
    ck_assert_uint_gt(size_of_files(), plog_size_bytes(live.logs[0]) - pending_bytes);
}

static void count_ragged(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    (void)user;
    if (type == FS_MEM_OP_WRITE && strstr(path, ".log") != NULL) ragged_count += (position | size) % FS_BLOCK_SIZE != 0;
}

START_TEST(each_block_is_written_once_as_a_whole)
{
    fs_mem_set_observer(disk, count_ragged, NULL);
    for (int i = 0; i < 5; i++) {
        append(12);
        write_behind();
        ck_assert_uint_gt(pending_bytes, 0);
        ck_assert_uint_lt(pending_bytes, FS_BLOCK_SIZE + VALUE_SIZE + 100); /* no more than ends in a block is held back */
        ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 50000), acked);
    }
    ck_assert_uint_eq(ragged_count, 0);
    ck_assert_uint_gt(size_of_files(), 100000);
    fs_mem_set_observer(disk, NULL, NULL);
    rig_stop(&live);
    rig_open(&live, 1);
    ck_assert_str_eq(live.events, "");
    ck_assert_uint_eq(size_of_files(), plog_size_bytes(live.logs[0]));
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 50000), acked);
}
END_TEST

/* ---- power cuts ---- */

static void check_copy(enum fs_mem_loss loss)
{
    uint64_t end = plog_end_offset(copy.logs[0]);

    ck_assert_msg(loss != FS_MEM_LOSE_NOTHING ? strstr(copy.events, "damage") == NULL : copy.events[0] == '\0', "%s", copy.events);
    ck_assert_uint_eq(copy.report.holes, 0);
    ck_assert_uint_ge(end, acked);
    ck_assert_uint_eq(rig_check(&copy, copy.logs[0], 0, end, 1 << 20), end);
}

static void cut_power(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    (void)user;
    (void)path;
    (void)position;
    (void)size;
    if (type == FS_MEM_OP_READ) return;
    point_count++;
    for (int loss = 0; loss < FS_MEM_LOSE_MODES; loss++) {
        fs_mem_copy_crashed(disk, copy_disk, (enum fs_mem_loss)loss, ++seed);
        rig_open(&copy, 1);
        check_copy((enum fs_mem_loss)loss);
        rig_crash(&copy);
    }
}

/* _i: whether segments roll on the way. */
START_TEST(what_is_held_back_survives)
{
    live.config.segment_bytes = copy.config.segment_bytes = _i == 0 ? 1 << 30 : 100000;
    plog_set_config(live.logs[0], &live.config);
    fs_mem_set_observer(disk, cut_power, NULL);
    for (int round = 0; round < 3; round++) {
        append(15);
        write_behind();
        ck_assert_uint_gt(pending_bytes, 0);
    }
    append(3);
    rig_wait(&live, 3000); /* a checkpoint, for which all is written */
    note_acked();
    ck_assert_uint_eq(pending_bytes, 0);
    append(15);
    write_behind();
    append(15);
    write_behind();
    rig_stop(&live);
    fs_mem_set_observer(disk, NULL, NULL);
    ck_assert_uint_gt(point_count, 100);
}
END_TEST

START_TEST(the_next_life_goes_on_behind_it)
{
    hold_back();
    rig_crash(&live);
    fs_mem_reboot(disk, (enum fs_mem_loss)_i);
    rig_open(&live, 1);
    ck_assert_str_eq(live.events, "");
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), acked);
    append(15);
    write_behind();
    rig_stop(&live);
    rig_open(&live, 1);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 50000), acked);
}
END_TEST

/* ---- others that write, or cut ---- */

static void reopen_and_check(void)
{
    rig_crash(&live);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&live, 1);
    ck_assert_str_eq(live.events, "");
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), acked);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 50000), acked);
}

START_TEST(a_log_that_goes_direct_goes_on_where_the_blocks_end)
{
    uint64_t before;

    hold_back();
    before = size_of_files();
    rig_fill(&live, live.logs[0], 1, 1, 300000); /* large: the next ones go direct */
    rig_pump_lane(&live, STORE_LANE_SYNC);
    fs_mem_set_observer(disk, count_ragged, NULL);
    rig_fill(&live, live.logs[0], 1, 1, 300000);
    rig_pump_lane(&live, STORE_LANE_SYNC);
    note_acked();
    ck_assert_uint_eq(pending_bytes, 0);
    ck_assert_uint_eq(ragged_count, 1); /* the end */
    ck_assert_uint_gt(size_of_files(), before + 600000);
    reopen_and_check();
}
END_TEST

/* What found no room is given back, and not what had found some before. */
START_TEST(a_full_disk_takes_nothing_back_that_was_written)
{
    uint64_t before;

    hold_back();
    before = size_of_files();
    append(12);
    fs_mem_fail(disk, 1u << FS_MEM_OP_WRITE, 1, MESH_EFULL, false);
    write_behind();
    ck_assert_uint_eq(size_of_files(), before);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 50000), acked);
    rig_wait(&live, 5000);
    ck_assert_uint_eq(size_of_files(), plog_size_bytes(live.logs[0]));
    reopen_and_check();
}
END_TEST

static void note_done(void *user, int error)
{
    ck_assert_int_eq(error, 0);
    *(bool *)user = true;
}

/* _i: how many batches go. */
START_TEST(a_cut_waits_for_it)
{
    bool is_done = false;

    hold_back();
    ck_assert_int_eq(plog_truncate(live.logs[0], acked - (uint64_t)_i, note_done, &is_done), 0);
    rig_wait(&live, 1000);
    ck_assert(is_done);
    note_acked();
    ck_assert_uint_eq(size_of_files(), plog_size_bytes(live.logs[0]));
    hold_back();
    reopen_and_check();
}
END_TEST

/* Another log goes on: memory of one that fell silent does not wait for it. */
START_TEST(a_silent_log_is_written_to_its_end)
{
    uint64_t held;

    rig_crash(&live);
    rig_open(&live, 2);
    hold_back();
    held = pending_bytes;
    for (int i = 0; i < 2; i++) {
        live.now_ms += BEHIND_MS;
        store_set_clock(live.store, live.now_ms, live.now_wall_ms);
        ck_assert_int_eq(rig_append(&live, live.logs[1], 1, VALUE_SIZE), 0);
        store_end_turn(live.store, live.now_ms, live.now_wall_ms);
        rig_pump_lane(&live, STORE_LANE_SYNC);
        rig_pump_lane(&live, STORE_LANE_BEHIND);
    }
    note_acked();
    ck_assert_uint_gt(held, 0);
    ck_assert_uint_eq(size_of_files(), plog_size_bytes(live.logs[0]) + plog_size_bytes(live.logs[1]) - pending_bytes);
    ck_assert_uint_le(pending_bytes, VALUE_SIZE + 100); /* of the other one */
}
END_TEST

static Suite *whole_blocks_suite(void)
{
    Suite *suite = suite_create("whole_blocks");
    TCase *held = tcase_create("held_back"), *cuts = tcase_create("power_cuts"), *others = tcase_create("others");

    tcase_add_checked_fixture(held, set_up, tear_down);
    tcase_add_test(held, each_block_is_written_once_as_a_whole);
    tcase_add_test(held, a_silent_log_is_written_to_its_end);
    suite_add_tcase(suite, held);
    tcase_add_checked_fixture(cuts, set_up, tear_down);
    tcase_set_timeout(cuts, 120);
    tcase_add_loop_test(cuts, what_is_held_back_survives, 0, 2);
    tcase_add_loop_test(cuts, the_next_life_goes_on_behind_it, 0, FS_MEM_LOSE_MODES);
    suite_add_tcase(suite, cuts);
    tcase_add_checked_fixture(others, set_up, tear_down);
    tcase_add_test(others, a_log_that_goes_direct_goes_on_where_the_blocks_end);
    tcase_add_test(others, a_full_disk_takes_nothing_back_that_was_written);
    tcase_add_loop_test(others, a_cut_waits_for_it, 1, 4);
    suite_add_tcase(suite, others);
    return suite;
}

int main(void)
{
    return run_suite(whole_blocks_suite());
}
