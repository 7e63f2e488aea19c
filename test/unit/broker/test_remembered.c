/* DIR/members: what is written is read again, damage costs lines and no more, and a power cut leaves the old or the new. */
#include "cmd/broker/peers/remembered.h"

#include "base/error.h"
#include "base/fs_whole.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <string.h>

static struct fs_mem *mem;
static struct fs *fs;
static struct net_address some[REMEMBERED_MAX], read_back[REMEMBERED_MAX];
static size_t count;

static void set_up(void)
{
    mem = fs_mem_new(7);
    fs = fs_mem_fs(mem);
    for (unsigned i = 0; i < REMEMBERED_MAX; i++) {
        char text[NET_ADDRESS_STRING_SIZE];

        snprintf(text, sizeof(text), i % 2 == 0 ? "10.0.0.%u:%u" : "[2001:db8::%u]:%u", i + 1, 9000 + i);
        ck_assert_int_eq(net_address_parse(text, &some[i]), 0);
    }
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

START_TEST(what_is_written_is_read_again)
{
    for (size_t size = 0; size <= REMEMBERED_MAX; size += 16) {
        ck_assert_int_eq(remembered_write(fs, some, size), 0);
        ck_assert_int_eq(remembered_read(fs, read_back, &count), 0);
        ck_assert_uint_eq(count, size);
        for (size_t i = 0; i < size; i++)
            ck_assert(net_address_equal(&some[i], &read_back[i]));
    }
}
END_TEST

START_TEST(no_file_is_no_memory)
{
    ck_assert_int_eq(remembered_read(fs, read_back, &count), MESH_ENOTFOUND);
    ck_assert_uint_eq(count, 0);
}
END_TEST

static const struct {
    const char *text;
    int want;
    size_t addresses;
} files[] = {
    {"", MESH_ECORRUPT, 0},
    {"mesh memb", MESH_ECORRUPT, 0},
    {"something else entirely\n", MESH_ECORRUPT, 0},
    {"mesh members 2\n10.0.0.1:9092\n", MESH_EVERSION, 0},
    {"mesh members 1", MESH_EVERSION, 0},
    {"mesh members 1\n", 0, 0},
    {"mesh members 1\n\n\n10.0.0.1:9092", 0, 1},
    {"mesh members 1\n10.0.0.1\nrubbish\n10.0.0.1:0\n0.0.0.0:9092\n10.0.0.2:9092\n", 0, 1},
    {"mesh members 1\n10.0.0.1:9092\n"
     "a line that is much longer than any address could be, so that it is passed over as a whole: 10.0.0.3:9092\n"
     "10.0.0.2:9092\n",
     0, 2},
};

START_TEST(damage_costs_lines_and_no_more)
{
    struct slice text = slice_of_string(files[_i].text);

    ck_assert_int_eq(fs_replace(fs, ".", REMEMBERED_PATH, "x", text), 0);
    ck_assert_int_eq(remembered_read(fs, read_back, &count), files[_i].want);
    ck_assert_uint_eq(count, files[_i].addresses);
}
END_TEST

START_TEST(more_lines_than_fit_are_left)
{
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(buffer_append_string(&text, "mesh members 1\n"), 0);
    for (int i = 0; i < 3 * REMEMBERED_MAX; i++)
        ck_assert_int_eq(buffer_append_string(&text, "10.0.0.1:9092\n"), 0);
    ck_assert_int_eq(fs_replace(fs, ".", REMEMBERED_PATH, "x", buffer_slice(&text)), 0);
    ck_assert_int_eq(remembered_read(fs, read_back, &count), 0);
    ck_assert_uint_eq(count, REMEMBERED_MAX);
    buffer_deinit(&text);
}
END_TEST

/* At each operation: a failure is told and the old file stays; a power cut leaves one of the two. */
START_TEST(a_write_happens_or_not)
{
    for (uint64_t nth = 1; nth < 20; nth++) {
        int err;

        fs_mem_reset(mem, nth);
        ck_assert_int_eq(remembered_write(fs, some, 3), 0);
        fs_mem_fail(mem, FS_MEM_OPS_ALL, nth, nth % 2 == 0 ? MESH_EIO : MESH_EFULL, false);
        err = remembered_write(fs, some, 5);
        fs_mem_fail(mem, 0, 0, 0, false);
        ck_assert_int_eq(remembered_read(fs, read_back, &count), 0);
        if (err == 0)
            ck_assert_uint_eq(count, 5);
        else
            ck_assert(count == 3 || count == 5);
        ck_assert_int_eq(remembered_write(fs, some, 7), 0);

        fs_mem_crash_at(mem, nth);
        err = remembered_write(fs, some, 9);
        fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
        ck_assert_int_eq(remembered_read(fs, read_back, &count), 0);
        ck_assert(count == 9 || (err != 0 && count == 7));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remembered");
    TCase *tcase = tcase_create("file");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_written_is_read_again);
    tcase_add_test(tcase, no_file_is_no_memory);
    tcase_add_loop_test(tcase, damage_costs_lines_and_no_more, 0, sizeof(files) / sizeof(files[0]));
    tcase_add_test(tcase, more_lines_than_fit_are_left);
    tcase_add_test(tcase, a_write_happens_or_not);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
