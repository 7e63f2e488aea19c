/* Where the end is for readers that do not know control batches: before those that are last, but never before the first record that is not deleted. */
#include "cmd/broker/ops/fetch_control.h"

#include "segment/healing.h"
#include "segment/store_rig.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"
#include "wire/record_batch.h"

#include <check.h>

static struct fs_mem *disk;
static struct rig rig;

static void setup(void)
{
    disk = fs_mem_new(5);
    rig_init(&rig, fs_mem_fs(disk));
    rig_open(&rig, 1);
}

static void teardown(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

/* A leader's epoch begins. */
static void begin_epoch(struct plog *plog)
{
    struct buffer batch = BUFFER_INIT;
    struct record_batch_header header;
    uint64_t ticket;

    ck_assert_int_eq(record_batch_build_control(&batch, -1, -1, 2, 0, rig.now_wall_ms), 0);
    record_batch_set_base_offset(batch.data, (int64_t)plog_end_offset(plog));
    record_batch_set_leader_epoch(batch.data, ++rig.leader_epoch);
    ck_assert_int_eq(record_batch_verify(buffer_slice(&batch), &header), 0);
    ck_assert_int_eq(plog_append(plog, &header, batch.data, rig.now_wall_ms, &ticket), 0);
    buffer_deinit(&batch);
}

static uint64_t find_end(void)
{
    uint64_t end = 0;

    ck_assert_int_eq(fetch_control_end(rig.logs[0], plog_end_offset(rig.logs[0]), &end), 0);
    return end;
}

START_TEST(the_end_is_before_the_last_control_batches)
{
    rig_fill(&rig, rig.logs[0], 2, 5, 100);
    ck_assert_uint_eq(find_end(), 10);
    begin_epoch(rig.logs[0]);
    begin_epoch(rig.logs[0]);
    ck_assert_uint_eq(find_end(), 10);
    rig_fill(&rig, rig.logs[0], 1, 1, 100);
    ck_assert_uint_eq(find_end(), 13);
}
END_TEST

/* Who is told of an end before the first offset asks there, is refused, and asks for the end again. */
START_TEST(the_end_is_not_among_deleted_records)
{
    rig_fill(&rig, rig.logs[0], 2, 5, 100);
    begin_epoch(rig.logs[0]);
    begin_epoch(rig.logs[0]);
    rig_pump(&rig);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 11), 0);
    ck_assert_uint_eq(find_end(), 11);
    ck_assert_int_eq(plog_delete_before(rig.logs[0], 12), 0);
    ck_assert_uint_eq(find_end(), 12);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 0); /* their bytes are there yet */
}
END_TEST

/* Who wants to begin at the end does not wait for damage before it to be mended; nor does one that has control batches behind it tell of more. */
START_TEST(what_is_damaged_before_the_end_is_not_in_the_way)
{
    rig_fill(&rig, rig.logs[0], 2, 5, 100);
    begin_epoch(rig.logs[0]);
    begin_epoch(rig.logs[0]);
    rig_pump(&rig);
    rig_stop(&rig); /* to segment files */
    rig_open(&rig, 1);
    ck_assert_uint_eq(find_end(), 10);
    ck_assert_int_eq(plog_condemn(rig.logs[0], 11, 12), 0);
    ck_assert_uint_eq(find_end(), 12);
    rig_stop(&rig);
    rig_open(&rig, 1);
    begin_epoch(rig.logs[0]);
    ck_assert_uint_eq(find_end(), 12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch control");
    TCase *tcase = tcase_create("ends");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_end_is_before_the_last_control_batches);
    tcase_add_test(tcase, the_end_is_not_among_deleted_records);
    tcase_add_test(tcase, what_is_damaged_before_the_end_is_not_in_the_way);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
