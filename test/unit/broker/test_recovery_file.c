/* DIR/recovery: what was stored is read as it was, its absence is nothing promised, and damage, another disk's file and a newer one are named and refused. */
#include "base/error.h"
#include "base/fs_whole.h"
#include "cmd/broker/metadata/recovery_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdlib.h>
#include <string.h>

static const struct raft_server self = {{{1}}, {{2}}}, other = {{{1}}, {{3}}};
static struct fs_mem *mem;
static struct fs *fs;
static struct buffer bytes;
static char message[512];

static void set_up(void)
{
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
    bytes = (struct buffer)BUFFER_INIT;
}

static void tear_down(void)
{
    buffer_deinit(&bytes);
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static int load(const struct raft_server *server)
{
    buffer_clear(&bytes);
    message[0] = '\0';
    return recovery_file_load(fs, server, &bytes, message, sizeof(message));
}

START_TEST(what_was_stored_last_is_read)
{
    ck_assert_int_eq(load(&self), 0);
    ck_assert_uint_eq(bytes.size, 0);
    ck_assert_int_eq(recovery_file_store(fs, &self, slice_of_string("first")), 0);
    ck_assert_int_eq(recovery_file_store(fs, &self, slice_of_string("second")), 0);
    ck_assert_int_eq(load(&self), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), slice_of_string("second")));
}
END_TEST

START_TEST(damage_and_what_is_not_of_this_disk_are_refused)
{
    struct buffer whole = BUFFER_INIT;

    ck_assert_int_eq(recovery_file_store(fs, &self, slice_of_string("promise")), 0);
    ck_assert_int_eq(load(&other), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "DIR/recovery is damaged, or another disk's"));
    ck_assert_int_eq(fs_read_whole(fs, "recovery", 4096, &whole), 0);
    for (size_t i = 0; i < whole.size; i++) {
        whole.data[i] ^= 0x40;
        ck_assert_int_eq(fs_replace(fs, ".", "recovery", "recovery.new", buffer_slice(&whole)), 0);
        ck_assert_int_lt(load(&self), 0);
        ck_assert_uint_ne(strlen(message), 0);
        whole.data[i] ^= 0x40;
    }
    whole.data[4] = 2;
    ck_assert_int_eq(fs_replace(fs, ".", "recovery", "recovery.new", buffer_slice(&whole)), 0);
    ck_assert_int_eq(load(&self), MESH_EVERSION);
    ck_assert_ptr_nonnull(strstr(message, "newer mesh"));
    buffer_deinit(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recovery_file");
    TCase *tcase = tcase_create("recovery_file");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_was_stored_last_is_read);
    tcase_add_test(tcase, damage_and_what_is_not_of_this_disk_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
