/* Reading what is not in memory: the loop never waits for the disk, the read lane does, and the reader gets on. */
#include "store_rig.h"

#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <string.h>

#define ATTEMPTS_MAX 40

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.config.segment_bytes = 4u << 20;
    rig.config.index_interval_bytes = 4096;
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

static void delete_index(void *user, const char *path, uint64_t size)
{
    char(*paths)[FS_PATH_MAX] = user;

    (void)size;
    if (strstr(path, ".index") == NULL) return;
    while ((*paths)[0] != '\0')
        paths++;
    memcpy(*paths, path, strlen(path) + 1);
}

static void remove_indexes(void)
{
    static char paths[64][FS_PATH_MAX];

    memset(paths, 0, sizeof(paths));
    fs_mem_each_file(disk, delete_index, paths);
    ck_assert_int_ne(paths[0][0], '\0');
    for (int i = 0; paths[i][0] != '\0'; i++)
        ck_assert_int_eq(rig.fs->ops->unlink(rig.fs, paths[i]), 0);
}

/* One read, repeated as often as the disk is needed; returns the next offset. */
static uint64_t read_patiently(struct plog *plog, uint64_t offset, uint32_t bytes_max)
{
    struct plog_view view;
    uint64_t next_offset;
    int err, attempts = 0;

    for (;;) {
        uint64_t waits = fs_mem_wait_count(disk);
        unsigned notified;

        err = plog_read(plog, offset, plog_end_offset(plog), bytes_max, &view);
        ck_assert_uint_eq(fs_mem_wait_count(disk), waits); /* not on the loop */
        if (err != MESH_EAGAIN) break;
        ck_assert_int_lt(++attempts, ATTEMPTS_MAX);
        notified = rig.notify_count;
        rig_pump_lane(&rig, STORE_LANE_READ);
        ck_assert_uint_gt(rig.notify_count, notified);
    }
    ck_assert_msg(err == 0, "read at %lu: %s", offset, mesh_strerror(err));
    ck_assert_uint_gt(view.size, 0);
    next_offset = view.next_offset;
    plog_view_release(&view);
    return next_offset;
}

/* A log of several segments, nothing of it in memory. */
static struct plog *open_cold(int record_count, size_t value_size, unsigned batches)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], batches, record_count, value_size);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_segment_count(rig.logs[0]), 2);
    fs_mem_set_cold(disk, true);
    return rig.logs[0];
}

static const struct {
    int record_count;
    size_t value_size;
    unsigned batches;
    uint32_t bytes_max;
} shapes[] = {
    {1, 100, 60000, 64u << 10},     /* small batches: the index leads */
    {10, 20000, 50, 1u << 20},      /* large ones: from header to header */
    {10, 20000, 50, 1},             /* one at a time */
};

START_TEST(a_cold_log_is_read_without_waiting_on_the_loop)
{
    struct plog *plog =
        open_cold(shapes[_i].record_count, shapes[_i].value_size, shapes[_i].batches);
    uint64_t offset = 0, end = plog_end_offset(plog);

    while (offset < end)
        offset = read_patiently(plog, offset, shapes[_i].bytes_max);
    fs_mem_set_cold(disk, false);
    rig_check(&rig, plog, 0, end, shapes[_i].bytes_max);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_lost_index_is_made_again_by_a_job)
{
    struct plog *plog;
    uint64_t end;

    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 60000, 1, 100);
    rig_stop(&rig);
    remove_indexes();
    rig_open(&rig, 1);
    plog = rig.logs[0];
    end = plog_end_offset(plog);
    fs_mem_set_cold(disk, true);
    for (uint64_t offset = 1; offset < end; offset += 7001) /* in the middle of things */
        ck_assert_uint_gt(read_patiently(plog, offset, 64u << 10), offset);
    fs_mem_set_cold(disk, false);
    rig_check(&rig, plog, 0, end, 64u << 10);
    rig_fill(&rig, plog, 10, 1, 100); /* behind a file whose index a job has made */
    rig_check(&rig, plog, end - 10, plog_end_offset(plog), 64u << 10);
    rig_stop(&rig);
}
END_TEST

START_TEST(the_first_append_after_a_crash_does_not_scan_on_the_loop)
{
    uint64_t end, waits;
    int err;

    rig.config.segment_bytes = 16u << 20;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 20, 10, 20000);
    rig_wait(&rig, 20000);
    rig_crash(&rig);
    rig_open(&rig, 1);
    end = plog_end_offset(rig.logs[0]);
    fs_mem_set_cold(disk, true);
    waits = fs_mem_wait_count(disk);
    err = rig_append(&rig, rig.logs[0], 1, 100);
    ck_assert_uint_eq(fs_mem_wait_count(disk), waits);
    ck_assert_int_eq(err, MESH_EAGAIN);
    rig_pump_lane(&rig, STORE_LANE_READ);
    ck_assert_uint_gt(fs_mem_wait_count(disk), waits);
    waits = fs_mem_wait_count(disk);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    ck_assert_uint_eq(fs_mem_wait_count(disk), waits);
    fs_mem_set_cold(disk, false);
    rig_pump(&rig);
    rig_check(&rig, rig.logs[0], 0, end + 1, 1u << 20);
    rig_stop(&rig);
}
END_TEST

START_TEST(memory_that_keeps_losing_what_was_read_does_not_stop_a_reader)
{
    struct plog *plog = open_cold(1, 100, 60000);
    struct plog_view view;
    int err, attempts = 0;

    while ((err = plog_read(plog, 30001, plog_end_offset(plog), 64u << 10, &view)) == MESH_EAGAIN) {
        ck_assert_int_lt(++attempts, ATTEMPTS_MAX);
        rig_pump_lane(&rig, STORE_LANE_READ);
        fs_mem_set_cold(disk, true); /* forgets */
    }
    ck_assert_int_eq(err, 0);
    plog_view_release(&view);
    fs_mem_set_cold(disk, false);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_disk_error_in_the_lane_reaches_the_reader)
{
    struct plog *plog = open_cold(1, 100, 60000);
    struct plog_view view;
    int err, attempts = 0;

    fs_mem_fail(disk, 1u << FS_MEM_OP_READ, 1, MESH_EIO, true);
    while ((err = plog_read(plog, 30001, plog_end_offset(plog), 64u << 10, &view)) == MESH_EAGAIN) {
        ck_assert_int_lt(++attempts, ATTEMPTS_MAX);
        rig_pump_lane(&rig, STORE_LANE_READ);
    }
    ck_assert_int_eq(err, MESH_EIO);
    fs_mem_fail(disk, 0, 0, 0, false);
    ck_assert_int_eq(plog_read(plog, 30001, plog_end_offset(plog), 64u << 10, &view), 0); /* by waiting, after so much */
    plog_view_release(&view);
    ck_assert_uint_gt(read_patiently(plog, 50001, 64u << 10), 50001);
    fs_mem_set_cold(disk, false);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_log_deleted_or_closed_while_it_is_read_leaves_nothing_behind)
{
    struct plog *plog = open_cold(1, 100, 60000);
    struct plog_view view;

    ck_assert_int_eq(plog_read(plog, 30001, plog_end_offset(plog), 64u << 10, &view), MESH_EAGAIN);
    if (_i == 0) {
        plog_delete(plog);
        rig.logs[0] = NULL;
        rig_pump(&rig);
        fs_mem_set_cold(disk, false);
        rig_stop(&rig);
    } else {
        rig_crash(&rig); /* the job never ran */
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cold reads");
    TCase *c = tcase_create("cold");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_cold_log_is_read_without_waiting_on_the_loop, 0, 3);
    tcase_add_test(c, a_lost_index_is_made_again_by_a_job);
    tcase_add_test(c, the_first_append_after_a_crash_does_not_scan_on_the_loop);
    tcase_add_test(c, memory_that_keeps_losing_what_was_read_does_not_stop_a_reader);
    tcase_add_test(c, a_disk_error_in_the_lane_reaches_the_reader);
    tcase_add_loop_test(c, a_log_deleted_or_closed_while_it_is_read_leaves_nothing_behind, 0, 2);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
