/* Batch headers that a rotten bit made say something else: reads by offset never serve another batch in the place of the one
 * asked for, and the scrubber gives up the bad batch only. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/segment_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <stddef.h>

#define BATCHES 2000 /* of one record, so that offsets count batches */
#define BAD     5

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.config.segment_bytes = 64u << 10;
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

/* Byte of the batch and bit in it. */
struct rot {
    unsigned byte, bit;
};

#define ROT_OFFSET       {7, 0}
#define ROT_EPOCH        {15, 2}
#define ROT_COUNT        {26, 1} /* three offsets instead of one */
#define ROT_COUNT_BEYOND {24, 7} /* more than the segment has */
#define ROT_BODY         {70, 3}

/* A log of several segments, none of it in memory; batch BAD of the first one is rotten. */
static struct plog *open_rotten(struct rot rot)
{
    char path[FS_PATH_MAX];
    struct plog_id id = rig_id(0);
    struct plog_view view;

    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], BATCHES, 1, 100);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(plog_segment_count(rig.logs[0]), 2);
    ck_assert_int_eq(plog_read(rig.logs[0], 0, 1, 1, &view), 0);
    segment_path(&id, 0, SEGMENT_PATH_LOG, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, (uint64_t)BAD * view.size + rot.byte, rot.bit), 0);
    plog_view_release(&view);
    return rig.logs[0];
}

/* True when offset is answered with its own batch, sound or visibly rotten; false: refused. Anything else fails. */
static bool is_answered(struct plog *plog, uint64_t offset, uint32_t bytes_max, uint64_t *ret_next_offset)
{
    struct record_batch_header header;
    uint8_t bytes[RECORD_BATCH_HEADER_SIZE];
    struct plog_view view;
    size_t got;
    int err = plog_read(plog, offset, plog_end_offset(plog), bytes_max, &view);

    ck_assert_msg(err == 0 || err == MESH_ECORRUPT, "offset %lu: %s", offset, mesh_strerror(err));
    *ret_next_offset = offset + 1;
    if (err != 0) return false;
    ck_assert_uint_gt(view.size, 0); /* nothing at all would keep the reader waiting for ever */
    ck_assert_ptr_nonnull(view.extents[0].file);
    err = rig.fs->ops->read(view.extents[0].file, bytes, sizeof(bytes), view.extents[0].position, &got);
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(record_batch_parse_header(slice_of(bytes, got), &header), 0);
    ck_assert_int_eq(header.base_offset, (int64_t)offset);
    if (offset != BAD || bytes_max == 1) ck_assert_int_eq(header.leader_epoch, 3);
    *ret_next_offset = view.next_offset;
    plog_view_release(&view);
    return true;
}

static const struct rot rots[] = {ROT_OFFSET, ROT_EPOCH, ROT_COUNT, ROT_COUNT_BEYOND, ROT_BODY};

#define ROT_COUNT_OF (sizeof(rots) / sizeof(rots[0]))

/* The end of one read is where the next one begins: what a bad header led to must not be believed. */
START_TEST(a_header_that_lies_never_leads_to_another_batch)
{
    static const uint32_t sizes[] = {1, 700, 1u << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct plog *plog;
        uint64_t next_offset;
        set_up();
        plog = open_rotten(rots[_i]);
        for (uint64_t offset = BAD; offset < plog_end_offset(plog); offset = next_offset)
            (void)is_answered(plog, offset, sizes[i], &next_offset);
        rig_stop(&rig);
        tear_down();
    }
}
END_TEST

static const struct rot visible[] = {ROT_OFFSET, ROT_EPOCH, ROT_COUNT_BEYOND};

START_TEST(a_header_that_cannot_be_right_is_refused)
{
    struct plog *plog;
    uint64_t next_offset;

    set_up();
    plog = open_rotten(visible[_i]);
    ck_assert(!is_answered(plog, BAD, 1, &next_offset));
    ck_assert(is_answered(plog, BAD - 1, 1, &next_offset));
    rig_stop(&rig);
    tear_down();
}
END_TEST

START_TEST(the_scrubber_gives_up_the_bad_batch_only)
{
    struct plog *plog;
    uint64_t next_offset;

    set_up();
    plog = open_rotten(rots[_i]);
    rig_wait(&rig, 70000);
    for (uint64_t offset = 0; offset + 100 < plog_end_offset(plog); offset++)
        ck_assert_msg(is_answered(plog, offset, 1, &next_offset) == (offset != BAD), "offset %lu", offset);
    rig_check(&rig, plog, BAD + 1, plog_end_offset(plog), 1u << 20);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("lying headers");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, a_header_that_lies_never_leads_to_another_batch, 0, ROT_COUNT_OF);
    tcase_add_loop_test(tests, a_header_that_cannot_be_right_is_refused, 0, sizeof(visible) / sizeof(visible[0]));
    tcase_add_loop_test(tests, the_scrubber_gives_up_the_bad_batch_only, 0, ROT_COUNT_OF);
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
