/* The metadata log on a disk that fails: what was acknowledged is there after every power cut, a torn tail is
 * cut, and damage is named instead of being skipped. */
#include "base/error.h"
#include "cmd/broker/metadata/log.h"
#include "metadata_history.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_COUNT 60
#define MESSAGE_SIZE 512

static struct fs_mem *mem;
static struct fs *fs;
static struct history *history;
static struct image *images[RECORD_COUNT + 1]; /* by index */

static void set_up(void)
{
    char name[32];

    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
    history = history_new_mesh(1, "");
    for (int i = 0; history->entry_count < RECORD_COUNT; i++) {
        snprintf(name, sizeof(name), "topic-%d", i);
        history_create_topic(history, name, 1 + i % 70, 1);
    }
    ck_assert_int_eq(image_new_empty(&images[0]), 0);
    for (size_t i = 0; i < RECORD_COUNT; i++)
        ck_assert_int_eq(image_apply(images[i], &history->entries[i], 1, &images[i + 1]), 0);
}

static void tear_down(void)
{
    for (size_t i = 0; i <= RECORD_COUNT; i++)
        image_unref(images[i]);
    history_free(history);
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static bool same_image(const struct image *a, const struct image *b)
{
    struct buffer left = BUFFER_INIT, right = BUFFER_INIT;
    bool is_same;

    ck_assert_int_eq(image_encode(a, &left), 0);
    ck_assert_int_eq(image_encode(b, &right), 0);
    is_same = slice_equal(buffer_slice(&left), buffer_slice(&right));
    buffer_deinit(&left);
    buffer_deinit(&right);
    return is_same;
}

static struct metadata_log *open_log(struct fs *on, uint64_t want_index)
{
    struct metadata_log *log = NULL;
    struct metadata_recovery recovery;
    struct image *image = NULL;
    char message[MESSAGE_SIZE];
    int err = metadata_log_open(on, &log, &image, &recovery, message, sizeof(message));

    ck_assert_msg(err == 0, "%s", message);
    ck_assert_uint_eq(image_applied_index(image), want_index);
    ck_assert(same_image(image, images[want_index]));
    image_unref(image);
    return log;
}

/* Appends records from+1 .. to, `per_commit` at a time. */
static int append(struct metadata_log *log, size_t from, size_t to, size_t per_commit)
{
    while (from < to) {
        size_t count = per_commit < to - from ? per_commit : to - from;
        int err = metadata_log_append(log, &history->entries[from], count);
        if (err != 0) return err;
        from += count;
    }
    return 0;
}

static void expect_refusal(int want, const char *said, const char *also)
{
    struct metadata_log *log;
    struct metadata_recovery recovery;
    struct image *image;
    char message[MESSAGE_SIZE];
    int err = metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message));

    ck_assert_msg(err == want, "%s: %s", mesh_error_name(err), message);
    ck_assert_msg(strstr(message, said) != NULL, "%s", message);
    ck_assert_msg(strstr(message, also) != NULL, "%s", message);
}

/* ---- plain life ---- */

START_TEST(records_come_back_after_a_stop)
{
    struct metadata_log *log = open_log(fs, 0);

    ck_assert_int_eq(append(log, 0, 10, 1), 0);
    metadata_log_close(log);
    log = open_log(fs, 10);
    ck_assert_int_eq(append(log, 10, 30, 3), 0);
    metadata_log_close(log);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    log = open_log(fs, 30);
    metadata_log_close(log);
}
END_TEST

START_TEST(a_snapshot_starts_a_new_file_and_keeps_the_one_before)
{
    struct metadata_log *log = open_log(fs, 0);
    struct fs_file *file;

    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(append(log, i * 10, i * 10 + 10, 2), 0);
        ck_assert_int_eq(metadata_log_snapshot(log, images[i * 10 + 10]), 0);
    }
    ck_assert_int_eq(append(log, 40, 45, 1), 0);
    metadata_log_close(log);
    ck_assert_int_eq(fs_open(fs, "meta/snapshot-00000000000000000020", FS_READ, &file), MESH_ENOTFOUND);
    ck_assert_int_eq(fs_open(fs, "meta/log-00000000000000000020", FS_READ, &file), MESH_ENOTFOUND);
    ck_assert_int_eq(fs_open(fs, "meta/snapshot-00000000000000000030", FS_READ, &file), 0);
    fs_unref(file);
    ck_assert_int_eq(fs_open(fs, "meta/log-00000000000000000030", FS_READ, &file), 0);
    fs_unref(file);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    metadata_log_close(open_log(fs, 45));
}
END_TEST

START_TEST(many_records_to_replay_ask_for_a_snapshot)
{
    struct history *longer = history_new_mesh(1, "");
    struct metadata_log *log = open_log(fs, 0);
    struct metadata_recovery recovery;
    struct image *image;
    char message[MESSAGE_SIZE], name[32];

    for (int i = 0; longer->entry_count < 300; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        history_create_topic(longer, name, 1, 1);
    }
    ck_assert_int_eq(metadata_log_append(log, longer->entries, 300), 0);
    ck_assert(!metadata_log_wants_snapshot(log));
    metadata_log_close(log);
    ck_assert_int_eq(metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message)), 0);
    ck_assert_uint_eq(recovery.record_count, 300);
    ck_assert(metadata_log_wants_snapshot(log));
    ck_assert_int_eq(metadata_log_snapshot(log, image), 0);
    ck_assert(!metadata_log_wants_snapshot(log));
    metadata_log_close(log);
    image_unref(image);
    ck_assert_int_eq(metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message)), 0);
    ck_assert_uint_eq(recovery.record_count, 0);
    ck_assert_uint_eq(image_topic_count(image), image_topic_count(longer->image));
    metadata_log_close(log);
    image_unref(image);
    history_free(longer);
}
END_TEST

/* ---- power cuts ---- */

struct crash_watch {
    struct fs_mem *fork;
    size_t acknowledged, attempted;
    size_t crash_count;
};

/* The disk as a power cut at this moment would leave it, opened again. */
static void check_crash(struct crash_watch *watch, enum fs_mem_loss loss, uint64_t seed)
{
    struct metadata_log *log;
    struct metadata_recovery recovery;
    struct image *image;
    struct fs *forked = fs_mem_fs(watch->fork);
    char message[MESSAGE_SIZE];
    uint64_t index;
    int err;

    fs_mem_copy_crashed(mem, watch->fork, loss, seed);
    err = metadata_log_open(forked, &log, &image, &recovery, message, sizeof(message));
    ck_assert_msg(err == 0, "crash %zu, loss %d: %s", watch->crash_count, (int)loss, message);
    index = image_applied_index(image);
    ck_assert_uint_ge(index, watch->acknowledged);
    ck_assert_uint_le(index, watch->attempted);
    ck_assert(same_image(image, images[index]));
    /* and it goes on from there */
    if (index < RECORD_COUNT) ck_assert_int_eq(metadata_log_append(log, &history->entries[index], 1), 0);
    metadata_log_close(log);
    image_unref(image);
    forked->ops->free(forked);
    watch->crash_count++;
}

static void observe(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    struct crash_watch *watch = user;

    (void)path;
    (void)position;
    (void)size;
    if (type == FS_MEM_OP_READ) return;
    for (int loss = 0; loss < FS_MEM_LOSE_MODES; loss++) {
        int seeds = loss == FS_MEM_LOSE_ANY ? 4 : loss == FS_MEM_LOSE_LATEST ? 2 : 1;
        for (int seed = 0; seed < seeds; seed++)
            check_crash(watch, (enum fs_mem_loss)loss, watch->crash_count * 977 + 1);
    }
}

START_TEST(what_was_acknowledged_survives_a_power_cut_at_every_operation)
{
    struct crash_watch watch = {.fork = fs_mem_new_fork(mem)};
    struct metadata_log *log;
    size_t per_commit = (size_t)_i + 1;

    fs_mem_set_observer(mem, observe, &watch);
    log = open_log(fs, 0);
    while (watch.acknowledged < RECORD_COUNT) {
        size_t to =
            watch.acknowledged + per_commit < RECORD_COUNT ? watch.acknowledged + per_commit : RECORD_COUNT;
        watch.attempted = to;
        ck_assert_int_eq(append(log, watch.acknowledged, to, per_commit), 0);
        watch.acknowledged = to;
        if (to / 8 != (to - per_commit) / 8) ck_assert_int_eq(metadata_log_snapshot(log, images[to]), 0);
        if (to / 20 == (to - per_commit) / 20) continue;
        metadata_log_close(log);
        log = open_log(fs, to);
    }
    metadata_log_close(log);
    fs_mem_set_observer(mem, NULL, NULL);
    ck_assert_uint_gt(watch.crash_count, 500);
    fs_mem_free(watch.fork);
}
END_TEST

/* ---- failing operations ---- */

/* Runs the whole story with the nth operation failing; what was acknowledged must be there afterwards. */
static bool run_with_fault(uint64_t nth, int err, bool is_lasting)
{
    struct metadata_log *log = NULL;
    struct metadata_recovery recovery;
    struct image *image = NULL;
    char message[MESSAGE_SIZE];
    size_t acknowledged = 0, attempted = 0;
    uint64_t index, ops;

    fs_mem_reset(mem, nth);
    ops = fs_mem_op_count(mem);
    fs_mem_fail(mem, FS_MEM_OPS_ALL, nth, err, is_lasting);
    if (metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message)) == 0) {
        ck_assert_uint_eq(image_applied_index(image), 0);
        image_unref(image);
        while (acknowledged < 20) {
            attempted = acknowledged + 1;
            if (metadata_log_append(log, &history->entries[acknowledged], 1) == 0)
                acknowledged++;
            else if (metadata_log_error(log) != 0 || is_lasting)
                break;
            if (acknowledged % 6 == 5) metadata_log_snapshot(log, images[acknowledged]);
        }
        metadata_log_close(log);
    }
    bool was_reached = fs_mem_op_count(mem) - ops >= nth;
    fs_mem_fail(mem, 0, 0, 0, false);
    fs_mem_reboot(mem, nth % 2 == 0 ? FS_MEM_LOSE_UNSYNCED : FS_MEM_LOSE_ANY);
    int reopened = metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message));
    ck_assert_msg(reopened == 0, "fault %d at %llu: %s", err, (unsigned long long)nth, message);
    index = image_applied_index(image);
    ck_assert_uint_ge(index, acknowledged);
    ck_assert_uint_le(index, attempted);
    ck_assert(same_image(image, images[index]));
    image_unref(image);
    metadata_log_close(log);
    return was_reached;
}

static const struct {
    int err;
    bool is_lasting;
} fault_cases[] = {{MESH_EIO, false}, {MESH_EIO, true}, {MESH_EFULL, false}, {MESH_EFULL, true}};

START_TEST(a_failed_operation_loses_nothing_acknowledged)
{
    uint64_t nth = 1;

    while (run_with_fault(nth, fault_cases[_i].err, fault_cases[_i].is_lasting))
        nth++;
    ck_assert_uint_gt(nth, 40);
}
END_TEST

START_TEST(a_full_disk_refuses_and_recovers)
{
    struct metadata_log *log = open_log(fs, 0);

    ck_assert_int_eq(append(log, 0, 5, 1), 0);
    fs_mem_fail(mem, 1u << FS_MEM_OP_WRITE_SYNC, 1, MESH_EFULL, false);
    ck_assert_int_eq(append(log, 5, 6, 1), MESH_EFULL);
    ck_assert_int_eq(metadata_log_error(log), 0);
    ck_assert_int_eq(append(log, 5, 10, 1), 0);
    metadata_log_close(log);
    metadata_log_close(open_log(fs, 10));
}
END_TEST

START_TEST(a_failed_sync_poisons_the_log)
{
    struct metadata_log *log = open_log(fs, 0);

    ck_assert_int_eq(append(log, 0, 5, 1), 0);
    fs_mem_fail(mem, 1u << FS_MEM_OP_WRITE_SYNC, 1, MESH_EIO, false);
    ck_assert_int_eq(append(log, 5, 6, 1), MESH_EIO);
    ck_assert_int_eq(append(log, 5, 6, 1), MESH_EIO); /* never retried */
    ck_assert_int_eq(metadata_log_error(log), MESH_EIO);
    ck_assert_int_eq(metadata_log_snapshot(log, images[5]), MESH_EIO);
    ck_assert(!metadata_log_wants_snapshot(log));
    metadata_log_close(log);
}
END_TEST

/* ---- damage ---- */

static uint64_t file_size(const char *path)
{
    struct fs_file *file;
    uint64_t size;

    ck_assert_int_eq(fs_open(fs, path, FS_READ, &file), 0);
    ck_assert_int_eq(fs->ops->size(file, &size), 0);
    fs_unref(file);
    return size;
}

#define LOG_0 "meta/log-00000000000000000000"

START_TEST(a_flipped_bit_anywhere_in_the_log_is_refused)
{
    struct metadata_log *log = open_log(fs, 0);
    uint64_t size;

    ck_assert_int_eq(append(log, 0, 6, 2), 0);
    metadata_log_close(log);
    size = file_size(LOG_0);
    for (uint64_t position = 0; position < size; position++) {
        unsigned bit = (unsigned)(position * 7 % 8);
        if (position >= 16 && position < 20)
            continue; /* reserved bytes of the header are covered by its checksum, too */
        ck_assert_int_eq(fs_mem_flip_bit(mem, LOG_0, position, bit), 0);
        if (position >= 4 && position < 8) {
            expect_refusal(MESH_EVERSION, LOG_0, "another version of mesh");
        } else {
            expect_refusal(MESH_ECORRUPT, "DIR/" LOG_0, "restore DIR/meta from a copy");
        }
        ck_assert_int_eq(fs_mem_flip_bit(mem, LOG_0, position, bit), 0);
    }
    metadata_log_close(open_log(fs, 6));
}
END_TEST

START_TEST(damage_is_named_with_its_byte_and_record)
{
    struct metadata_log *log = open_log(fs, 0);
    uint64_t size_after_2;

    ck_assert_int_eq(append(log, 0, 2, 1), 0);
    size_after_2 = file_size(LOG_0);
    ck_assert_int_eq(append(log, 2, 4, 1), 0);
    metadata_log_close(log);
    ck_assert_int_eq(fs_mem_flip_bit(mem, LOG_0, size_after_2 + 30, 3), 0);
    char want[64];
    snprintf(want, sizeof(want), "damaged at byte %llu (record 3;", (unsigned long long)size_after_2);
    expect_refusal(MESH_ECORRUPT, want, "good records follow");
}
END_TEST

START_TEST(a_tail_that_the_mark_does_not_vouch_for_is_torn_and_cut)
{
    struct metadata_log *log = open_log(fs, 0);
    uint64_t whole, before;
    struct fs_file *file;

    ck_assert_int_eq(append(log, 0, 5, 1), 0);
    before = file_size(LOG_0);
    ck_assert_int_eq(append(log, 5, 6, 1), 0);
    whole = file_size(LOG_0);
    metadata_log_close(log);
    ck_assert_int_eq(fs->ops->unlink(fs, "meta/durable"), 0);
    for (uint64_t size = whole - 1; size > before; size--) {
        struct metadata_recovery recovery;
        struct image *image;
        char message[MESSAGE_SIZE];
        ck_assert_int_eq(fs_open(fs, LOG_0, FS_WRITE, &file), 0);
        ck_assert_int_eq(fs->ops->truncate(file, size), 0);
        fs_unref(file);
        ck_assert_int_eq(metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message)), 0);
        ck_assert_uint_eq(image_applied_index(image), 5);
        ck_assert_uint_eq(recovery.torn_bytes, size - before);
        ck_assert_uint_eq(file_size(LOG_0), before);
        image_unref(image);
        ck_assert_int_eq(append(log, 5, 6, 1), 0);
        metadata_log_close(log);
        ck_assert_int_eq(fs->ops->unlink(fs, "meta/durable"), 0);
    }
    metadata_log_close(open_log(fs, 6));
}
END_TEST

START_TEST(a_tail_that_was_synced_is_damage)
{
    struct metadata_log *log = open_log(fs, 0);
    struct fs_file *file;

    ck_assert_int_eq(append(log, 0, 6, 1), 0);
    metadata_log_close(log);
    ck_assert_int_eq(fs_open(fs, LOG_0, FS_WRITE, &file), 0);
    ck_assert_int_eq(fs->ops->truncate(file, file_size(LOG_0) - 1), 0);
    fs_unref(file);
    expect_refusal(MESH_ECORRUPT, "(record 6, which had been synced)", "restore DIR/meta");
}
END_TEST

START_TEST(records_that_vanish_whole_are_missed)
{
    struct metadata_log *log = open_log(fs, 0);
    struct fs_file *file;
    uint64_t size_after_3;

    ck_assert_int_eq(append(log, 0, 3, 1), 0);
    size_after_3 = file_size(LOG_0);
    ck_assert_int_eq(append(log, 3, 6, 1), 0);
    metadata_log_close(log);
    ck_assert_int_eq(fs_open(fs, LOG_0, FS_WRITE, &file), 0);
    ck_assert_int_eq(fs->ops->truncate(file, size_after_3), 0);
    fs_unref(file);
    expect_refusal(MESH_ECORRUPT, "ends at record 3, but record 6 had been synced", "restore DIR/meta");
    ck_assert_int_eq(fs->ops->unlink(fs, LOG_0), 0);
    expect_refusal(MESH_ECORRUPT, "no log file", "restore DIR/meta");
}
END_TEST

START_TEST(a_damaged_snapshot_gives_way_to_the_one_before)
{
    struct metadata_log *log = open_log(fs, 0);
    struct metadata_recovery recovery;
    struct image *image;
    char message[MESSAGE_SIZE];
    uint64_t size;

    ck_assert_int_eq(append(log, 0, 10, 1), 0);
    ck_assert_int_eq(metadata_log_snapshot(log, images[10]), 0);
    ck_assert_int_eq(append(log, 10, 20, 1), 0);
    ck_assert_int_eq(metadata_log_snapshot(log, images[20]), 0);
    ck_assert_int_eq(append(log, 20, 25, 1), 0);
    metadata_log_close(log);
    size = file_size("meta/snapshot-00000000000000000020");
    ck_assert_int_eq(fs_mem_flip_bit(mem, "meta/snapshot-00000000000000000020", size / 2, 1), 0);
    ck_assert_int_eq(metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message)), 0);
    ck_assert(recovery.used_older_snapshot);
    ck_assert_uint_eq(image_applied_index(image), 25);
    ck_assert(same_image(image, images[25]));
    ck_assert(metadata_log_wants_snapshot(log));
    ck_assert_int_eq(metadata_log_snapshot(log, image), 0);
    image_unref(image);
    metadata_log_close(log);
    log = open_log(fs, 25);
    metadata_log_close(log);
    ck_assert_uint_gt(file_size("meta/damaged-snapshot-00000000000000000020"), 0);
}
END_TEST

START_TEST(a_damaged_snapshot_without_a_substitute_is_refused)
{
    struct metadata_log *log = open_log(fs, 0);

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(append(log, i * 10, i * 10 + 10, 1), 0);
        ck_assert_int_eq(metadata_log_snapshot(log, images[i * 10 + 10]), 0);
    }
    metadata_log_close(log);
    ck_assert_int_eq(fs_mem_flip_bit(mem, "meta/snapshot-00000000000000000020", 40, 1), 0);
    ck_assert_int_eq(fs_mem_flip_bit(mem, "meta/snapshot-00000000000000000030", 40, 1), 0);
    expect_refusal(MESH_ECORRUPT, "begins after record 20, but the records before it end at 0",
                   "restore DIR/meta");
}
END_TEST

START_TEST(a_history_of_another_mesh_does_not_continue)
{
    struct metadata_log *log = open_log(fs, 0);
    struct raft_entry forged = history->entries[3];

    ck_assert_int_eq(append(log, 0, 3, 1), 0);
    forged.chain[0] ^= 1; /* well written, but not of this chain */
    ck_assert_int_eq(metadata_log_append(log, &forged, 1), 0);
    metadata_log_close(log);
    expect_refusal(MESH_ECORRUPT, "does not continue the history at byte", "(record 4)");
}
END_TEST

START_TEST(a_record_of_a_newer_mesh_is_refused_as_such)
{
    struct metadata_log *log = open_log(fs, 0);
    struct raft_entry newer = history->entries[3];

    ck_assert_int_eq(append(log, 0, 3, 1), 0);
    newer.body = slice_of("\1\xe7\7\0\0", 5); /* a change of kind 999 */
    metadata_chain(image_chain(images[3]), &newer, newer.chain);
    ck_assert_int_eq(metadata_log_append(log, &newer, 1), 0);
    metadata_log_close(log);
    expect_refusal(MESH_EVERSION, "newer mesh", LOG_0);
}
END_TEST

START_TEST(opening_survives_every_failed_allocation)
{
    struct metadata_log *log = open_log(fs, 0);
    struct metadata_recovery recovery;
    struct image *image;
    char message[MESSAGE_SIZE];
    int err = 0;

    ck_assert_int_eq(append(log, 0, 20, 3), 0);
    ck_assert_int_eq(metadata_log_snapshot(log, images[20]), 0);
    ck_assert_int_eq(append(log, 20, 25, 3), 0);
    metadata_log_close(log);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = metadata_log_open(fs, &log, &image, &recovery, message, sizeof(message));
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    ck_assert_uint_eq(image_applied_index(image), 25);
    image_unref(image);
    metadata_log_close(log);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("metadata_log");
    TCase *tcase = tcase_create("metadata_log");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, records_come_back_after_a_stop);
    tcase_add_test(tcase, a_snapshot_starts_a_new_file_and_keeps_the_one_before);
    tcase_add_test(tcase, many_records_to_replay_ask_for_a_snapshot);
    tcase_add_loop_test(tcase, what_was_acknowledged_survives_a_power_cut_at_every_operation, 0, 3);
    tcase_add_loop_test(tcase, a_failed_operation_loses_nothing_acknowledged, 0, ROWS(fault_cases));
    tcase_add_test(tcase, a_full_disk_refuses_and_recovers);
    tcase_add_test(tcase, a_failed_sync_poisons_the_log);
    tcase_add_test(tcase, a_flipped_bit_anywhere_in_the_log_is_refused);
    tcase_add_test(tcase, damage_is_named_with_its_byte_and_record);
    tcase_add_test(tcase, a_tail_that_the_mark_does_not_vouch_for_is_torn_and_cut);
    tcase_add_test(tcase, a_tail_that_was_synced_is_damage);
    tcase_add_test(tcase, records_that_vanish_whole_are_missed);
    tcase_add_test(tcase, a_damaged_snapshot_gives_way_to_the_one_before);
    tcase_add_test(tcase, a_damaged_snapshot_without_a_substitute_is_refused);
    tcase_add_test(tcase, a_history_of_another_mesh_does_not_continue);
    tcase_add_test(tcase, a_record_of_a_newer_mesh_is_refused_as_such);
    tcase_add_test(tcase, opening_survives_every_failed_allocation);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
