#include "base/error.h"
#include "base/random.h"
#include "segment/offset_index.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdlib.h>

#define BASE 1000

static struct offset_index index_;

static void note(uint64_t base_offset, uint64_t last_offset, uint32_t size, int64_t max_timestamp_ms)
{
    ck_assert_int_eq(offset_index_note(&index_, base_offset, last_offset, size, max_timestamp_ms, 100), 0);
}

/* Batches of 60 bytes, an entry at least every 100: at positions 0, 120, 240, 360. Times go back once. */
static void set_up(void)
{
    static const int64_t times[] = {50, 60, 40, 45, 70, 70, 80};

    offset_index_init(&index_, BASE);
    for (uint64_t i = 0; i < 7; i++)
        note(BASE + i * 10, BASE + i * 10 + 9, 60, times[i]);
}

static void tear_down(void)
{
    offset_index_deinit(&index_);
}

static const struct {
    enum offset_index_key by;
    int64_t key;
    int want;
    uint32_t want_position;
} find_cases[] = {
    {OFFSET_INDEX_BY_OFFSET, BASE, 0, 0},
    {OFFSET_INDEX_BY_OFFSET, BASE + 19, 0, 0},
    {OFFSET_INDEX_BY_OFFSET, BASE + 20, 0, 120},
    {OFFSET_INDEX_BY_OFFSET, BASE + 65, 0, 360},
    {OFFSET_INDEX_BY_OFFSET, BASE + (INT64_C(1) << 40), 0, 360},
    {OFFSET_INDEX_BY_OFFSET, BASE - 1, MESH_ENOTFOUND, 0},
    {OFFSET_INDEX_BY_POSITION, 0, 0, 0},
    {OFFSET_INDEX_BY_POSITION, 119, 0, 0},
    {OFFSET_INDEX_BY_POSITION, 120, 0, 120},
    {OFFSET_INDEX_BY_POSITION, INT64_C(1) << 40, 0, 360},
    {OFFSET_INDEX_BY_TIMESTAMP, INT64_MIN, 0, 0},
    {OFFSET_INDEX_BY_TIMESTAMP, 60, 0, 0},   /* the second batch has it */
    {OFFSET_INDEX_BY_TIMESTAMP, 61, 0, 240}, /* before 240 nothing is newer than 60 */
    {OFFSET_INDEX_BY_TIMESTAMP, 70, 0, 240},
    {OFFSET_INDEX_BY_TIMESTAMP, 71, 0, 360},
    {OFFSET_INDEX_BY_TIMESTAMP, INT64_MAX, 0, 360},
};

START_TEST(offsets_positions_and_times_lead_to_a_batch_at_or_before_them)
{
    struct offset_index_entry entry = {0};

    set_up();
    ck_assert_uint_eq(index_.count, 4);
    ck_assert_int_eq(offset_index_find(&index_, find_cases[_i].by, (uint64_t)find_cases[_i].key, &entry),
                     find_cases[_i].want);
    ck_assert_uint_eq(entry.position, find_cases[_i].want_position);
    ck_assert_uint_eq(entry.relative_offset, entry.position / 6);
    tear_down();
}
END_TEST

START_TEST(an_empty_index_finds_nothing)
{
    struct offset_index_entry entry;

    offset_index_init(&index_, BASE);
    ck_assert_int_eq(offset_index_find(&index_, OFFSET_INDEX_BY_OFFSET, BASE, &entry), MESH_ENOTFOUND);
    ck_assert_int_eq(offset_index_find(&index_, OFFSET_INDEX_BY_TIMESTAMP, 5, &entry), MESH_ENOTFOUND);
    ck_assert_uint_eq(offset_index_memory_bytes(&index_), 0);
}
END_TEST

START_TEST(what_32_bits_cannot_say_does_not_fit)
{
    struct record_batch_header header = {.base_offset = BASE + (INT64_C(1) << 32) - 1};

    offset_index_init(&index_, BASE);
    ck_assert(offset_index_fits(&index_, &header, UINT32_MAX));
    ck_assert(!offset_index_fits(&index_, &header, UINT64_C(1) << 32));
    header.base_offset++;
    ck_assert(!offset_index_fits(&index_, &header, 0));
}
END_TEST

START_TEST(headers_are_noted_as_their_values_are)
{
    struct record_batch_header header = {
        .base_offset = BASE, .last_offset_delta = 9, .size = 500, .max_timestamp_ms = 77};

    offset_index_init(&index_, BASE);
    ck_assert_int_eq(offset_index_append(&index_, &header, 100), 0);
    ck_assert_uint_eq(index_.range.end_offset, BASE + 10);
    ck_assert_uint_eq(index_.range.end_position, 500);
    ck_assert(index_.range.max_timestamp_ms == 77);
    tear_down();
}
END_TEST

START_TEST(truncation_drops_entries_and_keeps_times_on_the_safe_side)
{
    struct offset_index_entry entry;

    set_up();
    offset_index_truncate(&index_, BASE + 99, 99999); /* behind the end: nothing */
    ck_assert_uint_eq(index_.range.end_position, 420);
    offset_index_truncate(&index_, BASE + 50, 300);
    ck_assert_uint_eq(index_.count, 3);
    ck_assert_uint_eq(index_.range.end_offset, BASE + 50);
    ck_assert(index_.range.max_timestamp_ms == 70);
    note(BASE + 50, BASE + 59, 60, 10);
    note(BASE + 60, BASE + 69, 60, 10);
    ck_assert_int_eq(offset_index_find(&index_, OFFSET_INDEX_BY_OFFSET, BASE + 69, &entry), 0);
    ck_assert_uint_eq(entry.position, 360);
    offset_index_truncate(&index_, BASE, 0);
    ck_assert_uint_eq(index_.count, 0);
    ck_assert(index_.range.max_timestamp_ms == INT64_MIN);
    tear_down();
}
END_TEST

START_TEST(without_memory_an_entry_is_left_out_and_answers_stay_right)
{
    struct offset_index_entry entry;

    offset_index_init(&index_, BASE);
    note(BASE, BASE, 100, 5);
    note(BASE + 1, BASE + 1, 100, 9);
    note(BASE + 2, BASE + 2, 100, 6);
    note(BASE + 3, BASE + 3, 100, 6);
    failing_alloc_arm(1);
    ck_assert_int_eq(offset_index_note(&index_, BASE + 4, BASE + 4, 100, 20, 100), MESH_ENOMEM);
    ck_assert(failing_alloc_disarm());
    note(BASE + 5, BASE + 5, 100, 6);
    ck_assert_int_eq(offset_index_find(&index_, OFFSET_INDEX_BY_OFFSET, BASE + 4, &entry), 0);
    ck_assert_uint_eq(entry.position, 300);
    ck_assert_int_eq(offset_index_find(&index_, OFFSET_INDEX_BY_TIMESTAMP, 15, &entry), 0);
    ck_assert_uint_eq(entry.position, 300);
    tear_down();
}
END_TEST

/* ---- files ---- */

static struct fs_mem *mem;
static struct fs_file *file;

static void store_file(void)
{
    struct buffer bytes = BUFFER_INIT;
    struct iovec iov;

    mem = fs_mem_new(1);
    ck_assert_int_eq(offset_index_encode(&index_, &bytes), 0);
    ck_assert_uint_eq(bytes.size % OFFSET_INDEX_PAGE_SIZE, 0);
    iov = (struct iovec){bytes.data, bytes.size};
    ck_assert_int_eq(fs_open(fs_mem_fs(mem), "i", FS_WRITE | FS_CREATE, &file), 0);
    ck_assert_int_eq(file->fs->ops->write(file, &iov, 1, 0), 0);
    buffer_deinit(&bytes);
}

static void drop_file(void)
{
    fs_unref(file);
    fs_mem_free(mem);
}

/* Around each size where the tree changes its shape. */
static const uint32_t file_cases[] = {0,   1,   250, 251,       252,           255,
                                      256, 510, 511, 251 * 255, 251 * 255 + 1, 70000};

static void fill(uint32_t count)
{
    struct random random;
    uint64_t offset = BASE;

    random_init(&random, count);
    offset_index_init(&index_, BASE);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t records = 1 + random_below(&random, 20);
        note(offset, offset + records - 1, 100 + (uint32_t)random_below(&random, 100),
             (int64_t)i + (int64_t)random_below(&random, 30));
        offset += records;
    }
    ck_assert_uint_eq(index_.count, count);
}

static void compare(enum offset_index_key by, uint64_t key)
{
    struct offset_index_entry want = {0}, got = {0};

    ck_assert_int_eq(offset_index_file_find(file, BASE, by, key, NULL, &got),
                     offset_index_find(&index_, by, key, &want));
    ck_assert_uint_eq(got.position, want.position);
    ck_assert_uint_eq(got.relative_offset, want.relative_offset);
    ck_assert(got.max_timestamp_before_ms == want.max_timestamp_before_ms);
}

START_TEST(a_file_answers_as_the_index_in_memory_does)
{
    struct offset_index_range range;
    uint32_t count = file_cases[_i];
    struct random random;

    random_init(&random, 5);
    fill(count);
    store_file();
    ck_assert_int_eq(offset_index_file_range(file, BASE, &range), 0);
    ck_assert_uint_eq(range.end_offset, index_.range.end_offset);
    ck_assert_uint_eq(range.end_position, index_.range.end_position);
    ck_assert(range.max_timestamp_ms == index_.range.max_timestamp_ms);
    for (int i = 0; i < 2000; i++) {
        compare(OFFSET_INDEX_BY_OFFSET, BASE + random_below(&random, range.end_offset - BASE + 3));
        compare(OFFSET_INDEX_BY_POSITION, random_below(&random, range.end_position + 3));
        compare(OFFSET_INDEX_BY_TIMESTAMP, random_below(&random, count + 40));
    }
    compare(OFFSET_INDEX_BY_OFFSET, BASE - 1);
    compare(OFFSET_INDEX_BY_OFFSET, UINT64_MAX);
    drop_file();
    tear_down();
}
END_TEST

START_TEST(a_file_decodes_to_the_index_that_it_came_from)
{
    struct buffer bytes = BUFFER_INIT;
    struct offset_index decoded;

    fill(file_cases[_i]);
    ck_assert_int_eq(offset_index_encode(&index_, &bytes), 0);
    ck_assert_int_eq(offset_index_decode(buffer_slice(&bytes), &decoded), 0);
    ck_assert_uint_eq(decoded.count, index_.count);
    ck_assert_mem_eq(&decoded.range, &index_.range, sizeof(decoded.range));
    for (uint32_t i = 0; i < index_.count; i++)
        ck_assert_mem_eq(&decoded.entries[i], &index_.entries[i], sizeof(decoded.entries[i]));
    offset_index_deinit(&decoded);
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

static void seen_page(void *user, enum fs_mem_op_type type, const char *path, uint64_t position,
                      uint64_t size)
{
    unsigned *count = user;

    (void)path;
    (void)position;
    ck_assert_uint_eq(size, OFFSET_INDEX_PAGE_SIZE);
    *count += type == FS_MEM_OP_READ;
}

START_TEST(a_search_reads_one_page_per_level)
{
    struct offset_index_entry entry;
    unsigned reads = 0;

    fill(70000);
    store_file();
    fs_mem_set_observer(mem, seen_page, &reads);
    ck_assert_int_eq(offset_index_file_find(file, BASE, OFFSET_INDEX_BY_POSITION, 5000000, NULL, &entry), 0);
    ck_assert_uint_eq(reads, 3);
    drop_file();
    tear_down();
}
END_TEST

START_TEST(damage_is_noticed_wherever_it_is)
{
    struct offset_index_entry entry;
    struct offset_index_range range;
    struct buffer bytes = BUFFER_INIT;
    struct offset_index decoded;
    uint64_t size;

    fill(600); /* three leaves and the root */
    store_file();
    ck_assert_int_eq(file->fs->ops->size(file, &size), 0);
    ck_assert_uint_eq(size, 4 * OFFSET_INDEX_PAGE_SIZE);
    ck_assert_int_eq(offset_index_encode(&index_, &bytes), 0);
    for (uint64_t at = 0; at < size; at += 101) {
        uint64_t key = at / OFFSET_INDEX_PAGE_SIZE * 255; /* the first entry of that leaf */
        int found;
        if (key >= 600) key = 0;
        ck_assert_int_eq(fs_mem_flip_bit(mem, "i", at, at % 8), 0);
        found = offset_index_file_find(file, BASE, OFFSET_INDEX_BY_POSITION, index_.entries[key].position, NULL,
                                       &entry);
        ck_assert_int_eq(found, MESH_ECORRUPT);
        ck_assert_int_eq(fs_mem_flip_bit(mem, "i", at, at % 8), 0);
        bytes.data[at] ^= (uint8_t)(1u << at % 8);
        ck_assert_int_eq(offset_index_decode(buffer_slice(&bytes), &decoded), MESH_ECORRUPT);
        bytes.data[at] ^= (uint8_t)(1u << at % 8);
    }
    ck_assert_int_eq(offset_index_file_range(file, BASE + 1, &range), MESH_ECORRUPT); /* of another segment */
    ck_assert_int_eq(file->fs->ops->truncate(file, size - 1), 0);
    ck_assert_int_eq(offset_index_file_range(file, BASE, &range), MESH_ECORRUPT);
    ck_assert_int_eq(file->fs->ops->truncate(file, OFFSET_INDEX_PAGE_SIZE), 0);
    ck_assert_int_eq(offset_index_file_range(file, BASE, &range), MESH_ECORRUPT);
    ck_assert_int_eq(file->fs->ops->truncate(file, 0), 0);
    ck_assert_int_eq(offset_index_file_range(file, BASE, &range), MESH_ECORRUPT);
    fs_mem_fail(mem, 1u << FS_MEM_OP_READ, 1, MESH_EIO, true);
    ck_assert_int_eq(file->fs->ops->truncate(file, OFFSET_INDEX_PAGE_SIZE), 0);
    ck_assert_int_eq(offset_index_file_range(file, BASE, &range), MESH_EIO);
    buffer_deinit(&bytes);
    drop_file();
    tear_down();
}
END_TEST

START_TEST(decoding_without_memory_says_so)
{
    struct buffer bytes = BUFFER_INIT;
    struct offset_index decoded;

    fill(10);
    failing_alloc_each(n)
    {
        int err;
        failing_alloc_arm(n);
        err = offset_index_encode(&index_, &bytes);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(bytes.size, 0);
    }
    failing_alloc_arm(1);
    ck_assert_int_eq(offset_index_decode(buffer_slice(&bytes), &decoded), MESH_ENOMEM);
    failing_alloc_disarm();
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

#define ROWS(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

static Suite *suite(void)
{
    Suite *all = suite_create("offset_index");
    TCase *memory = tcase_create("memory"), *files = tcase_create("files");

    tcase_add_loop_test(memory, offsets_positions_and_times_lead_to_a_batch_at_or_before_them, 0,
                        ROWS(find_cases));
    tcase_add_test(memory, an_empty_index_finds_nothing);
    tcase_add_test(memory, what_32_bits_cannot_say_does_not_fit);
    tcase_add_test(memory, headers_are_noted_as_their_values_are);
    tcase_add_test(memory, truncation_drops_entries_and_keeps_times_on_the_safe_side);
    tcase_add_test(memory, without_memory_an_entry_is_left_out_and_answers_stay_right);
    suite_add_tcase(all, memory);
    tcase_add_loop_test(files, a_file_answers_as_the_index_in_memory_does, 0, ROWS(file_cases));
    tcase_add_loop_test(files, a_file_decodes_to_the_index_that_it_came_from, 0, ROWS(file_cases));
    tcase_add_test(files, a_search_reads_one_page_per_level);
    tcase_add_test(files, damage_is_noticed_wherever_it_is);
    tcase_add_test(files, decoding_without_memory_says_so);
    suite_add_tcase(all, files);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
