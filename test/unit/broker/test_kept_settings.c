/* DIR/settings: what is written is read again, what cannot be used costs its lines and no more, and a power cut leaves the old or the new. */
#include "cmd/broker/operate/kept_settings.h"
#include "cmd/broker/operate/kept_wish.h"

#include "base/error.h"
#include "base/fs_whole.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <string.h>

static struct fs_mem *mem;
static struct fs *fs;
static struct kept_settings kept, again;
static unsigned bad_count;
static char bad_reason[256];

static void on_bad(void *user, const char *line, const char *reason)
{
    ck_assert_ptr_null(user);
    for (; *line != '\0'; line++)
        ck_assert_int_ge((unsigned char)*line, 0x20);
    bad_count++;
    snprintf(bad_reason, sizeof(bad_reason), "%s", reason);
}

static void keep(const char *key, uint64_t number)
{
    size_t index = settings_index(key);

    ck_assert_uint_lt(index, SETTINGS_MAX);
    kept.is_kept[index] = true;
    kept.numbers[index] = number;
}

static int read_again(void)
{
    bad_count = 0;
    return kept_settings_read(fs, &again, on_bad, NULL);
}

static void set_up(void)
{
    mem = fs_mem_new(7);
    fs = fs_mem_fs(mem);
    kept = (struct kept_settings){0};
    keep("log-level", 0);
    keep("connections.max", 77);
    keep("memory.bytes.max", 1u << 30);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

START_TEST(what_is_written_is_read_again)
{
    ck_assert_int_eq(kept_settings_write(fs, &kept), 0);
    ck_assert_int_eq(read_again(), 0);
    ck_assert_uint_eq(bad_count, 0);
    ck_assert_mem_eq(&again, &kept, sizeof(kept));
}
END_TEST

START_TEST(no_file_is_nothing_kept)
{
    const struct kept_settings none = {0};

    ck_assert_int_eq(read_again(), 0);
    ck_assert_mem_eq(&again, &none, sizeof(none));
}
END_TEST

#define HEAD "mesh settings 1\n"
static const struct {
    const char *text;
    int want;
    unsigned bad;
    uint64_t connections; /* 0: not kept */
    const char *in_reason;
} files[] = {
    {"", MESH_ECORRUPT, 0, 0, ""},
    {"mesh sett", MESH_ECORRUPT, 0, 0, ""},
    {"something else\nconnections.max = 5\n", MESH_ECORRUPT, 0, 0, ""},
    {"mesh settings 2\nconnections.max = 5\n", MESH_EVERSION, 0, 0, ""},
    {HEAD, 0, 0, 0, ""},
    {HEAD "\n\nconnections.max = 5", 0, 0, 5, ""},
    {HEAD "connections.max=5\n", 0, 1, 0, "KEY = VALUE"},
    {HEAD "not.yet.known = 5\nconnections.max = 6\n", 0, 1, 6, "no such setting"},
    {HEAD "election.ms = 500\nconnections.max = 6\n", 0, 1, 6, "at a start alone"},
    {HEAD "tls.key = /a\nconnections.max = 6\n", 0, 1, 6, "at a start alone"},
    {HEAD "connections.max = many\n", 0, 1, 0, "from 1 to 1000000"},
    {HEAD "log-level = loud\nconnections.max = 0\nconnections.max = 7\n", 0, 2, 7, "from 1"},
    {HEAD " = 5\n = \nconnections.max = \x01\n", 0, 3, 0, "from 1"},
    {HEAD "a line that is much longer than any setting could be, so that what is at its end is not even looked at by whoever reads this file, which is what this line is about, and "
          "so it goes on and on until the room for a line is full, and then some more of it, and more, and still more, and then at last what would make it a setting, if it were not for all of the words that stand before it here = 5\nconnections.max = 8\n",
     0, 1, 8, "KEY = VALUE"},
};

START_TEST(damage_costs_lines_and_no_more)
{
    ck_assert_int_eq(fs_replace(fs, ".", KEPT_SETTINGS_PATH, "x", slice_of_string(files[_i].text)), 0);
    ck_assert_int_eq(read_again(), files[_i].want);
    ck_assert_uint_eq(bad_count, files[_i].bad);
    ck_assert_uint_eq(again.numbers[settings_index("connections.max")], files[_i].connections);
    ck_assert(again.is_kept[settings_index("connections.max")] == (files[_i].connections != 0));
    if (bad_count > 0) ck_assert_msg(strstr(bad_reason, files[_i].in_reason) != NULL, "%s", bad_reason);
}
END_TEST

static uint64_t connections(void)
{
    ck_assert_int_eq(read_again(), 0);
    ck_assert_uint_eq(bad_count, 0);
    return again.numbers[settings_index("connections.max")];
}

/* At each operation: a failure is told and the old file stays; a power cut leaves one of the two. */
START_TEST(a_write_happens_or_not)
{
    for (uint64_t nth = 1; nth < 20; nth++) {
        int err;

        fs_mem_reset(mem, nth);
        keep("connections.max", 3);
        ck_assert_int_eq(kept_settings_write(fs, &kept), 0);
        fs_mem_fail(mem, FS_MEM_OPS_ALL, nth, nth % 2 == 0 ? MESH_EIO : MESH_EFULL, false);
        keep("connections.max", 5);
        err = kept_settings_write(fs, &kept);
        fs_mem_fail(mem, 0, 0, 0, false);
        if (err == 0) ck_assert_uint_eq(connections(), 5);
        else ck_assert(connections() == 3 || connections() == 5);
        keep("connections.max", 7);
        ck_assert_int_eq(kept_settings_write(fs, &kept), 0);

        keep("connections.max", 9);
        fs_mem_crash_at(mem, nth);
        err = kept_settings_write(fs, &kept);
        fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
        ck_assert(connections() == 9 || (err != 0 && connections() == 7));
    }
}
END_TEST

START_TEST(memory_may_fail)
{
    int err = MESH_ENOMEM;

    for (unsigned nth = 1; err != 0; nth++) {
        failing_alloc_arm(nth);
        err = kept_settings_write(fs, &kept);
        failing_alloc_disarm();
        ck_assert(err == 0 || err == MESH_ENOMEM);
    }
    err = MESH_ENOMEM;
    for (unsigned nth = 1; err != 0; nth++) {
        failing_alloc_arm(nth);
        err = read_again();
        failing_alloc_disarm();
        ck_assert(err == 0 || err == MESH_ENOMEM);
    }
    ck_assert_mem_eq(&again, &kept, sizeof(kept));
}
END_TEST

/* ---- DIR/emptying ---- */

static bool read_wish(int want_err)
{
    bool is_wanted = true;

    ck_assert_int_eq(kept_wish_read(fs, &is_wanted), want_err);
    return is_wanted;
}

START_TEST(a_wish_to_be_emptied_holds_over_a_power_cut_until_it_is_undone)
{
    ck_assert(!read_wish(0));
    ck_assert_int_eq(kept_wish_write(fs, false), 0); /* there was none */
    ck_assert_int_eq(kept_wish_write(fs, true), 0);
    fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
    ck_assert(read_wish(0));
    ck_assert_int_eq(kept_wish_write(fs, true), 0);
    ck_assert_int_eq(kept_wish_write(fs, false), 0);
    fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
    ck_assert(!read_wish(0));
}
END_TEST

START_TEST(another_file_is_no_wish)
{
    static const char *const texts[] = {"", "mesh emptying 2\n", "mesh emptying 1", "mesh emptying 1\n\n", "something that is much longer than a wish is\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_int_eq(fs_replace(fs, ".", KEPT_WISH_PATH, "new", slice_of_string(texts[i])), 0);
        ck_assert(!read_wish(MESH_ECORRUPT));
    }
    ck_assert_int_eq(kept_wish_write(fs, true), 0);
    ck_assert(read_wish(0));
}
END_TEST

START_TEST(memory_for_a_wish_may_fail)
{
    failing_alloc_each(nth) {
        bool is_wanted = true, has_failed;
        int err;

        ck_assert_int_eq(kept_wish_write(fs, false), 0);
        failing_alloc_arm(nth);
        err = kept_wish_write(fs, true);
        if (err == 0) err = kept_wish_read(fs, &is_wanted);
        has_failed = failing_alloc_disarm();
        if (err != 0) {
            ck_assert_int_eq(err, MESH_ENOMEM);
            continue;
        }
        ck_assert(is_wanted);
        if (!has_failed) break;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kept settings");
    TCase *tcase = tcase_create("file");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_written_is_read_again);
    tcase_add_test(tcase, no_file_is_nothing_kept);
    tcase_add_loop_test(tcase, damage_costs_lines_and_no_more, 0, sizeof(files) / sizeof(files[0]));
    tcase_add_test(tcase, a_write_happens_or_not);
    tcase_add_test(tcase, memory_may_fail);
    tcase_add_test(tcase, a_wish_to_be_emptied_holds_over_a_power_cut_until_it_is_undone);
    tcase_add_test(tcase, another_file_is_no_wish);
    tcase_add_test(tcase, memory_for_a_wish_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
