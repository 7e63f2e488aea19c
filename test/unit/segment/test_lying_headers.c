/* Batch headers that a rotten bit made say something else: reads by offset never serve another batch in the place of the one
 * asked for, and the scrubber gives up the bad batch only. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/healing.h"
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

/* Readers get files as they lie, and no CRC tells them of such a bit: all headers of a large read are looked at. */
START_TEST(a_large_read_ends_before_a_header_that_cannot_be_right)
{
    struct plog *plog;
    struct plog_view view;

    set_up();
    plog = open_rotten(visible[_i]);
    ck_assert_int_eq(plog_read(plog, 0, plog_end_offset(plog), 1u << 20, &view), 0);
    ck_assert_ptr_nonnull(view.extents[0].file);
    ck_assert_uint_eq(view.next_offset, BAD);
    plog_view_release(&view);
    ck_assert_uint_eq(plog_damage_count(plog), 0);
    ck_assert_int_eq(plog_read(plog, BAD, plog_end_offset(plog), 1u << 20, &view), MESH_ECORRUPT);
    ck_assert_uint_eq(plog_damage_count(plog), 1);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static unsigned read_count;

static void count_reads(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    (void)user;
    (void)path;
    (void)position;
    (void)size;
    read_count += type == FS_MEM_OP_READ;
}

/* One view from there on. Returns how often the file was read for that. */
static unsigned read_once(struct plog *plog, uint64_t from, uint64_t *ret_next_offset)
{
    struct plog_view view;

    read_count = 0;
    fs_mem_set_observer(disk, count_reads, NULL);
    ck_assert_int_eq(plog_read(plog, from, plog_end_offset(plog), 1u << 20, &view), 0);
    fs_mem_set_observer(disk, NULL, NULL);
    *ret_next_offset = view.next_offset;
    plog_view_release(&view);
    return read_count;
}

/* To look at each header costs something. What stays in memory is looked at once; what was damaged meanwhile is met by who reads it from the disk. */
START_TEST(headers_in_memory_are_looked_at_once)
{
    char path[FS_PATH_MAX];
    struct plog_id id = rig_id(0);
    struct plog_view view;
    uint64_t all, next_offset, bad = 5;

    set_up();
    rig.config.segment_bytes = 512u << 10;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 60, 1, 8000);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_gt(read_once(rig.logs[0], 0, &all), 50);
    ck_assert_uint_eq(all, 60);
    ck_assert_uint_lt(read_once(rig.logs[0], 0, &next_offset), 5);
    ck_assert_uint_eq(next_offset, all);

    ck_assert_int_eq(plog_read(rig.logs[0], 0, 1, 1, &view), 0);
    segment_path(&id, 0, SEGMENT_PATH_LOG, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, bad * view.size + 6, 2), 0);
    plog_view_release(&view);
    (void)read_once(rig.logs[0], 0, &next_offset);
    ck_assert_uint_eq(next_offset, bad);
    rig_stop(&rig);
    tear_down();
}
END_TEST

static bool is_seen_in_memory(struct plog *plog, uint64_t from, uint32_t bytes_max)
{
    struct plog_view view;
    bool is_cached;

    ck_assert_int_eq(plog_read(plog, from, plog_end_offset(plog), bytes_max, &view), 0);
    ck_assert_uint_eq(view.extent_count, 1);
    ck_assert_ptr_nonnull(view.extents[0].file);
    is_cached = view.extents[0].is_cached;
    plog_view_release(&view);
    return is_cached;
}

/* Whoever sends the file would have to look again. Nothing is claimed of what was not looked at, or of a part of it only. */
START_TEST(a_read_tells_what_it_saw_in_memory)
{
    char path[FS_PATH_MAX];
    struct plog_id id = rig_id(0);

    set_up();
    rig.config.segment_bytes = 512u << 10;
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 60, 1, 8000);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert(!is_seen_in_memory(rig.logs[0], 10, 200u << 10)); /* some 25 headers are walked over */
    ck_assert(is_seen_in_memory(rig.logs[0], 10, 200u << 10));
    ck_assert(is_seen_in_memory(rig.logs[0], 12, 100u << 10));
    ck_assert(!is_seen_in_memory(rig.logs[0], 20, 400u << 10)); /* more than those */
    ck_assert(!is_seen_in_memory(rig.logs[0], 0, 200u << 10));
    ck_assert(is_seen_in_memory(rig.logs[0], 0, 1u << 20));
    segment_path(&id, 0, SEGMENT_PATH_LOG, path);
    ck_assert_int_eq(fs_mem_flip_bit(disk, path, 4000, 2), 0); /* which only who reads from the disk meets */
    ck_assert(!is_seen_in_memory(rig.logs[0], 0, 1u << 20));
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
    tcase_add_loop_test(tests, a_large_read_ends_before_a_header_that_cannot_be_right, 0, sizeof(visible) / sizeof(visible[0]));
    tcase_add_test(tests, headers_in_memory_are_looked_at_once);
    tcase_add_test(tests, a_read_tells_what_it_saw_in_memory);
    tcase_add_loop_test(tests, the_scrubber_gives_up_the_bad_batch_only, 0, ROT_COUNT_OF);
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
