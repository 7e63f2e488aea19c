/* A log is deleted, and one of the same name begins (a replica that was moved away comes back). The power fails at every operation on the
 * way: what the new life acknowledged is there, and nothing of the life before is taken for it.
 *
 * Lives are told apart by the number of records in their batches. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/segment_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define OLD_RECORDS 3 /* in a batch */
#define NEW_RECORDS 1
#define OLD_BATCHES 25
#define OLD_END     (OLD_BATCHES * OLD_RECORDS) /* a new life does not get that far here */

enum past { JOURNAL_ONLY, RECOVERED, CLEAN, EARLIER_RUN, PASTS };

static struct rig live, copy;
static struct fs_mem *disk, *copy_disk;
static uint64_t acked, written; /* of the new life */
static uint64_t seed;
static unsigned point_count, old_count, new_count;

static uint64_t least_kept(enum fs_mem_loss loss)
{
    return loss == FS_MEM_LOSE_NOTHING && written > acked ? written : acked;
}

static void check_life(enum fs_mem_loss loss)
{
    const struct plog *plog = copy.logs[0];
    uint64_t end = plog_end_offset(plog);
    unsigned batches;

    if (end == OLD_END && least_kept(loss) == 0) { /* the deletion has not happened, or was under way: some of its files may be gone */
        old_count++;
        return;
    }
    ck_assert_msg(strstr(copy.events, "damage") == NULL, "%s", copy.events);
    ck_assert_uint_ge(end, least_kept(loss));
    ck_assert_uint_eq(plog_start_offset(plog), 0);
    batches = rig_check(&copy, copy.logs[0], 0, end, 1 << 20);
    if (end > 0 && batches == end / OLD_RECORDS) { /* as much of it as an async log had on the disk */
        ck_assert_uint_eq(least_kept(loss), 0);
        old_count++;
        return;
    }
    ck_assert_uint_eq(batches, end / NEW_RECORDS);
    new_count += end > 0;
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
        rig_open(&copy, 2);
        check_life((enum fs_mem_loss)loss);
        ck_assert_uint_eq(plog_end_offset(copy.logs[1]), 5);
        ck_assert_uint_eq(rig_check(&copy, copy.logs[1], 0, 5, 1 << 20), 5);
        rig_crash(&copy);
    }
}

static void note_acked(void)
{
    if (plog_durable_offset(live.logs[0]) > acked) acked = plog_durable_offset(live.logs[0]);
    if (plog_written_offset(live.logs[0]) > written) written = plog_written_offset(live.logs[0]);
}

/* What the machine has before the deletion; log 1 stays. */
static void live_before(enum past past)
{
    rig_open(&live, 2);
    rig_fill(&live, live.logs[1], 5, 1, 100);
    rig_fill(&live, live.logs[0], OLD_BATCHES, OLD_RECORDS, 1000);
    rig_pump(&live);
    if (past == JOURNAL_ONLY) return;
    rig_wait(&live, 3000);
    if (past == CLEAN) rig_stop(&live);
    else rig_crash(&live);
    rig_open(&live, 2);
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), OLD_END);
}

static void begin_anew(void)
{
    struct plog_id id = rig_id(0);

    plog_delete(live.logs[0]);
    ck_assert_int_eq(store_open_log(live.store, &id, &live.config, NULL, &live.logs[0]), 0);
}

static void live_on(unsigned batches)
{
    for (unsigned i = 0; i < batches; i++) {
        int err = rig_append(&live, live.logs[0], NEW_RECORDS, 700);
        for (int tries = 0; (err == MESH_EBUSY || err == MESH_EAGAIN) && tries < 200; tries++) {
            rig_wait(&live, 100);
            err = rig_append(&live, live.logs[0], NEW_RECORDS, 700);
        }
        ck_assert_msg(err == 0, "append: %s", mesh_strerror(err));
        if (i % 4 != 0) continue;
        store_end_turn(live.store, live.now_ms, live.now_wall_ms);
        note_acked();
        rig_pump(&live);
        note_acked();
    }
    rig_wait(&live, 3000); /* a manifest */
    note_acked();
}

static void set_up(void)
{
    disk = fs_mem_new(7);
    copy_disk = fs_mem_new_fork(disk);
    rig_init(&live, fs_mem_fs(disk));
    live.options.journal_file_bytes = 256u << 10;
    live.options.journal_bytes_max = 1u << 20;
    live.options.delete_step_bytes = 12000; /* a file at a time */
    live.config.segment_bytes = 12000;
    rig_init(&copy, fs_mem_fs(copy_disk));
    copy.options = live.options;
    copy.options.fs = copy.fs;
    copy.config = live.config;
    acked = written = 0;
    seed = 1;
    point_count = old_count = new_count = 0;
}

static void tear_down(void)
{
    rig_deinit(&live);
    rig_deinit(&copy);
    fs_mem_free(copy_disk);
    fs_mem_free(disk);
}

static void run(enum past past)
{
    live_before(past);
    if (past == EARLIER_RUN) { /* manifest/recovered names the old life still when the new one begins */
        plog_delete(live.logs[0]);
        rig_stop(&live);
        fs_mem_set_observer(disk, cut_power, NULL);
        rig_open(&live, 2);
        ck_assert_uint_eq(plog_end_offset(live.logs[0]), 0);
    } else {
        fs_mem_set_observer(disk, cut_power, NULL);
        begin_anew();
    }
    live_on(60);
    ck_assert_uint_eq(acked, 60);
    fs_mem_set_observer(disk, NULL, NULL);
    ck_assert(past == EARLIER_RUN || old_count > 0);
    ck_assert_uint_gt(point_count, 50);
    ck_assert_uint_gt(new_count, 50);
    rig_crash(&live);
    rig_open(&live, 2);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, 60, 1 << 20), 60);
}

START_TEST(a_new_life_is_not_mixed_with_the_old_one)
{
    run((enum past)_i);
}
END_TEST

START_TEST(nor_that_of_an_async_log)
{
    live.config.flush = copy.config.flush = PLOG_FLUSH_ASYNC;
    run((enum past)_i);
}
END_TEST

START_TEST(a_name_is_taken_until_its_files_are_gone)
{
    live_before(CLEAN);
    begin_anew();
    ck_assert_int_eq(rig_append(&live, live.logs[0], 1, 100), MESH_EBUSY);
    ck_assert_int_eq(plog_restart(live.logs[0], 100, 2, NULL, NULL), MESH_EBUSY);
    rig_pump(&live);
    ck_assert_int_eq(rig_append(&live, live.logs[0], 1, 100), MESH_EBUSY); /* a file was removed, others wait */
    rig_wait(&live, 5000);
    ck_assert_int_eq(plog_restart(live.logs[0], 100, 2, NULL, NULL), 0);
    rig_pump(&live);
    ck_assert_int_eq(rig_append(&live, live.logs[0], 1, 100), 0);
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), 101);
}
END_TEST

/* What cannot be removed keeps the name: the new log's bytes would lie before the old one's. */
START_TEST(a_name_stays_taken_where_files_cannot_be_removed)
{
    live_before(CLEAN);
    begin_anew();
    fs_mem_fail(disk, 1u << FS_MEM_OP_UNLINK, 1, MESH_EIO, true);
    rig_wait(&live, 20000);
    ck_assert_int_eq(rig_append(&live, live.logs[0], 1, 100), MESH_EBUSY);
    rig_fill(&live, live.logs[1], 1, 1, 100);
}
END_TEST

/* What failed for want of memory or space is done again; what was removed until then is made durable all the same. */
START_TEST(a_name_is_free_again_after_a_removal_that_had_to_wait)
{
    static const enum fs_mem_op_type ops[] = {FS_MEM_OP_UNLINK, FS_MEM_OP_RMDIR, FS_MEM_OP_SYNC_DIR};

    live_before(CLEAN);
    begin_anew();
    fs_mem_fail(disk, 1u << ops[_i], 1, MESH_ENOMEM, true);
    rig_wait(&live, 10000);
    ck_assert_int_eq(rig_append(&live, live.logs[0], NEW_RECORDS, 100), ops[_i] == FS_MEM_OP_RMDIR ? 0 : MESH_EBUSY);
    fs_mem_fail(disk, 0, 0, 0, false);
    rig_wait(&live, 5000);
    live_on(5);
    rig_crash(&live);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&live, 2);
    ck_assert_str_eq(live.events, "");
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 1 << 20), acked);
}
END_TEST

/* The files that a restart was to remove are there yet, though the log does not count them any more. */
START_TEST(a_name_is_taken_by_what_a_failed_restart_left)
{
    live_before(CLEAN);
    ck_assert_int_eq(plog_restart(live.logs[0], 0, -1, NULL, NULL), 0);
    fs_mem_fail(disk, 1u << FS_MEM_OP_UNLINK, 1, MESH_EIO, true);
    rig_wait(&live, 3000);
    ck_assert_int_eq(plog_error(live.logs[0]), MESH_ESTORAGE);
    fs_mem_fail(disk, 0, 0, 0, false);
    begin_anew();
    ck_assert_int_eq(rig_append(&live, live.logs[0], NEW_RECORDS, 100), MESH_EBUSY);
    rig_wait(&live, 5000);
    live_on(20);
    rig_crash(&live);
    rig_open(&live, 2);
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), 20);
}
END_TEST

/* ---- partitions of the same topic on other shards ---- */

static const struct fs_ops *plain;

static bool is_topic(const char *path)
{
    return strncmp(path, "topics/", 7) == 0 && strchr(path + 7, '/') == NULL;
}

/* Another one's last partition went at the same time, and took the topic's directory. */
static int rmdir_late(struct fs *fs, const char *path)
{
    if (is_topic(path)) (void)plain->rmdir(fs, path);
    return plain->rmdir(fs, path);
}

/* Another one's last partition goes right after, and takes the topic's directory, which has none yet. */
static int mkdir_in_vain(struct fs *fs, const char *path)
{
    int err = plain->mkdir(fs, path);

    if (is_topic(path) && point_count++ == 0) ck_assert_int_eq(plain->rmdir(fs, path), 0);
    return err;
}

static void tamper(struct fs_ops *ops, int (*rmdir)(struct fs *fs, const char *path), int (*mkdir)(struct fs *fs, const char *path))
{
    plain = live.fs->ops;
    *ops = *plain;
    if (rmdir != NULL) ops->rmdir = rmdir;
    if (mkdir != NULL) ops->mkdir = mkdir;
    live.fs->ops = ops;
}

static int unlink_never(struct fs *fs, const char *path)
{
    return strncmp(path, "topics/", 7) == 0 ? MESH_ENOMEM : plain->unlink(fs, path);
}

START_TEST(a_stop_does_not_wait_for_a_removal_that_fails)
{
    struct fs_ops ops;

    live_before(CLEAN);
    begin_anew();
    tamper(&ops, NULL, NULL);
    ops.unlink = unlink_never;
    rig_wait(&live, _i == 0 ? 0 : 3000);
    rig_stop(&live);
    live.fs->ops = plain;
}
END_TEST

static void count_file(void *user, const char *path, uint64_t size)
{
    struct plog_id id = rig_id(0);
    char directory[FS_PATH_MAX];

    (void)size;
    segment_directory_path(&id, directory);
    *(unsigned *)user += strncmp(path, directory, strlen(directory)) == 0;
}

/* Of log 0. */
static unsigned count_files(void)
{
    unsigned count = 0;

    fs_mem_each_file(disk, count_file, &count);
    return count;
}

/* What keeps its name keeps it over a stop that is in order but for that, too: no manifest names it then, and a start after a clean stop looks at manifests alone. So that
 * stop is none: the next start looks at the disk, and whoever owns logs deletes what it does not want. */
static int unlink_broken(struct fs *fs, const char *path)
{
    return strncmp(path, "topics/", 7) == 0 ? MESH_EIO : plain->unlink(fs, path);
}

START_TEST(files_that_could_not_be_removed_are_found_by_the_next_start)
{
    struct fs_ops ops;

    live_before((enum past)_i);
    begin_anew();
    tamper(&ops, NULL, NULL);
    ops.unlink = unlink_broken;
    rig_wait(&live, 20000);
    ck_assert_int_eq(rig_append(&live, live.logs[0], NEW_RECORDS, 100), MESH_EBUSY);
    rig_stop(&live);
    live.fs->ops = plain;
    rig_open(&live, 2);
    ck_assert(!live.report.was_clean);
    if (plog_end_offset(live.logs[0]) > 0) { /* else its records in the journal said that it was deleted */
        ck_assert_uint_eq(plog_end_offset(live.logs[0]), OLD_END);
        begin_anew();
        ck_assert_int_eq(rig_append(&live, live.logs[0], NEW_RECORDS, 100), MESH_EBUSY);
        rig_wait(&live, 5000);
    }
    ck_assert_uint_eq(count_files(), 0);
    live_on(5);
    rig_crash(&live);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    rig_open(&live, 2);
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), acked);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, acked, 1 << 20), acked);
    rig_stop(&live);
    rig_open(&live, 2);
    ck_assert(live.report.was_clean);
}
END_TEST

START_TEST(a_name_is_free_where_another_shard_removed_the_topic)
{
    struct fs_ops ops;

    rig_open(&live, 1);
    rig_fill(&live, live.logs[0], OLD_BATCHES, OLD_RECORDS, 1000);
    rig_wait(&live, 3000);
    tamper(&ops, rmdir_late, NULL);
    begin_anew();
    rig_wait(&live, 5000);
    ck_assert_int_eq(rig_append(&live, live.logs[0], NEW_RECORDS, 100), 0);
    rig_crash(&live);
    live.fs->ops = plain;
}
END_TEST

START_TEST(a_first_file_finds_its_directory_though_another_shard_removed_the_topic)
{
    struct fs_ops ops;

    rig_open(&live, 1);
    tamper(&ops, NULL, mkdir_in_vain);
    rig_fill(&live, live.logs[0], OLD_BATCHES, OLD_RECORDS, 1000);
    rig_wait(&live, 3000);
    ck_assert_uint_gt(point_count, 1);
    ck_assert_int_eq(plog_error(live.logs[0]), 0);
    ck_assert_uint_eq(rig_check(&live, live.logs[0], 0, OLD_END, 1 << 20), OLD_BATCHES);
    rig_stop(&live);
    live.fs->ops = plain;
}
END_TEST

/* The deletion's manifest is the first thing that this run writes, while what another log took is in memory only. Lost with the process, its records
 * are not taken for known ones: neither is their producer's retry a duplicate, nor their epoch one that the log has. */
START_TEST(a_manifest_before_anything_else_vouches_for_no_records_in_memory)
{
    struct record_batch_header header = {.producer_id = 7, .producer_epoch = 0, .base_sequence = 0, .record_count = 1};
    uint64_t base_offset;
    int32_t epoch;

    rig_open(&live, 2);
    rig_fill(&live, live.logs[0], 3, 1, 100);
    rig_fill(&live, live.logs[1], 3, 1, 100);
    rig_stop(&live);
    rig_open(&live, 2);
    epoch = plog_last_epoch(live.logs[1]);
    ck_assert_int_eq(rig_append_producer(&live, live.logs[1], 7, 0, 0), 0);
    ck_assert_int_eq(plog_check_producer(live.logs[1], &header, &base_offset), MESH_EDUPLICATE_SEQUENCE);
    plog_delete(live.logs[0]);
    rig_pump_lane(&live, STORE_LANE_BACKGROUND);
    rig_crash(&live);
    rig_open(&live, 2);
    ck_assert_uint_eq(plog_end_offset(live.logs[1]), 3);
    ck_assert_int_eq(plog_last_epoch(live.logs[1]), epoch);
    ck_assert_int_ne(plog_check_producer(live.logs[1], &header, &base_offset), MESH_EDUPLICATE_SEQUENCE);
    ck_assert(!live.report.was_clean);
}
END_TEST

/* Of a third life, the journal and a manifest know two before. */
START_TEST(lives_follow_each_other)
{
    live_before(RECOVERED);
    for (unsigned life = 0; life < 3; life++) {
        begin_anew();
        live_on(10 + life);
    }
    begin_anew();
    fs_mem_set_observer(disk, cut_power, NULL);
    written = acked = 0;
    live_on(40);
    ck_assert_uint_eq(acked, 40);
    fs_mem_set_observer(disk, NULL, NULL);
}
END_TEST

static void on_cut(void *user, int error)
{
    *(int *)user = error;
}

/* A log that was cut to nothing has nothing to be named for; but the manifest of the last crash still names what it had. Seed 9043864 of the replication
 * world: it came back after the third clean stop, without its files. */
START_TEST(what_was_cut_stays_away_over_stops)
{
    int error = MESH_EAGAIN;

    rig_open(&live, 2);
    rig_fill(&live, live.logs[0], OLD_BATCHES, OLD_RECORDS, 100);
    rig_pump(&live);
    rig_crash(&live);
    rig_open(&live, 2); /* manifest/recovered has it */
    ck_assert_uint_eq(plog_end_offset(live.logs[0]), OLD_END);
    ck_assert_int_eq(plog_truncate(live.logs[0], 0, on_cut, &error), 0);
    rig_wait(&live, 1000);
    ck_assert_int_eq(error, 0);
    for (int i = 0; i < 4; i++) {
        rig_fill(&live, live.logs[1], 1, 1, 100); /* so that there is a manifest to write */
        rig_stop(&live);
        rig_open(&live, 2);
        ck_assert_msg(live.report.was_clean, "%s", live.events);
        ck_assert_uint_eq(plog_end_offset(live.logs[0]), 0);
    }
}
END_TEST

/* Others may have committed what it took in; only its note tells of it. */
START_TEST(a_life_that_wrote_nothing_is_no_clean_stop)
{
    rig_open(&live, 1);
    ck_assert_int_eq(recovery_note_life(live.fs), 0);
    ck_assert(!live.report.is_untold);
    rig_stop(&live); /* the stores are done with, and the broker is not: it dies before it says so */
    rig_open(&live, 1);
    ck_assert(live.report.was_clean);
    ck_assert(live.report.is_untold);
    ck_assert_int_eq(recovery_note_life(live.fs), 0); /* once more is the same */
    rig_stop(&live);
    ck_assert_int_eq(recovery_told(live.fs), 0);
    rig_open(&live, 1);
    ck_assert(!live.report.is_untold);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_again");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_new_life_is_not_mixed_with_the_old_one, 0, PASTS);
    tcase_add_loop_test(tcase, nor_that_of_an_async_log, 0, PASTS);
    tcase_add_loop_test(tcase, files_that_could_not_be_removed_are_found_by_the_next_start, RECOVERED, PASTS);
    tcase_add_test(tcase, a_name_is_taken_until_its_files_are_gone);
    tcase_add_test(tcase, a_name_stays_taken_where_files_cannot_be_removed);
    tcase_add_loop_test(tcase, a_name_is_free_again_after_a_removal_that_had_to_wait, 0, 3);
    tcase_add_loop_test(tcase, a_stop_does_not_wait_for_a_removal_that_fails, 0, 2);
    tcase_add_test(tcase, a_name_is_taken_by_what_a_failed_restart_left);
    tcase_add_test(tcase, a_name_is_free_where_another_shard_removed_the_topic);
    tcase_add_test(tcase, a_first_file_finds_its_directory_though_another_shard_removed_the_topic);
    tcase_add_test(tcase, a_manifest_before_anything_else_vouches_for_no_records_in_memory);
    tcase_add_test(tcase, lives_follow_each_other);
    tcase_add_test(tcase, what_was_cut_stays_away_over_stops);
    tcase_add_test(tcase, a_life_that_wrote_nothing_is_no_clean_stop);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
