/* DIR/founding and the founded-marker: what was stored is there after every power cut, whole or as before; damage and what belongs to
 * another disk are named and refused. */
#include "base/error.h"
#include "base/fs_whole.h"
#include "cmd/broker/metadata/founded_marker.h"
#include "cmd/broker/metadata/founding_file.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_SIZE 512

static const struct raft_server self = {{{1}}, {{2}}};
static const struct uuid none;
static struct fs_mem *mem;
static struct fs *fs;
static char message[MESSAGE_SIZE];

static void set_up(void)
{
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static struct founding_state promised(uint64_t round)
{
    struct founding_state state = {.phase = FOUNDING_PROMISED, .expect = 3, .promised = {round, self}, .accepted = {round, self}};

    state.value = (struct founding_value){{{9}}, 1, {self}};
    state.known_count = 1;
    state.known[0] = (struct raft_server){{{3}}, {{4}}};
    return state;
}

static struct founding_state member_of(const struct uuid *cluster_id)
{
    return (struct founding_state){.phase = FOUNDING_MEMBER, .value = {.cluster = *cluster_id}};
}

static int load(const struct uuid *cluster_id, struct founding_state *ret_state)
{
    return founding_file_load(fs, &self, cluster_id, ret_state, message, sizeof(message));
}

START_TEST(nothing_is_blank)
{
    struct founding_state state;

    ck_assert_int_eq(load(&none, &state), 0);
    ck_assert_uint_eq(state.phase, FOUNDING_BLANK);
}
END_TEST

START_TEST(state_comes_back)
{
    struct founding_state state = promised(7), again;

    ck_assert_int_eq(founding_file_store(fs, &self, &state), 0);
    ck_assert_int_eq(load(&none, &again), 0);
    ck_assert_uint_eq(again.promised.round, 7);
    ck_assert_uint_eq(again.known_count, 1);
    ck_assert(founding_value_equal(&again.value, &state.value));
}
END_TEST

/* At every operation of a store: the old promise or the new one, and the new one once it was acknowledged. */
START_TEST(power_cut_leaves_old_or_new)
{
    for (int loss = 0; loss < FS_MEM_LOSE_MODES; loss++) {
        int err = MESH_EIO;
        for (uint64_t nth = 1; err != 0; nth++) {
            struct founding_state before = promised(1), after = promised(2), found;
            fs_mem_reset(mem, nth);
            ck_assert_int_eq(founding_file_store(fs, &self, &before), 0);
            fs_mem_crash_at(mem, nth);
            err = founding_file_store(fs, &self, &after);
            fs_mem_crash_now(mem);
            fs_mem_reboot(mem, (enum fs_mem_loss)loss);
            ck_assert_msg(load(&none, &found) == 0, "%s", message);
            ck_assert(found.promised.round == 2 || (err != 0 && found.promised.round == 1));
            ck_assert_uint_lt(nth, 50);
        }
    }
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    struct founding_state state = promised(7), found;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(founding_file_store(fs, &self, &state), 0);
    ck_assert_int_eq(fs_read_whole(fs, "founding", 65536, &bytes), 0);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(fs_replace(fs, ".", "founding", "new", buffer_slice(&bytes)), 0);
        ck_assert_int_ne(load(&none, &found), 0);
        ck_assert(message[0] != '\0');
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        ck_assert_int_eq(fs_replace(fs, ".", "founding", "new", slice_of(bytes.data, size)), 0);
        ck_assert_int_eq(load(&none, &found), MESH_ECORRUPT);
    }
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(another_disk_is_refused)
{
    const struct raft_server other = {{{1}}, {{3}}};
    struct founding_state state = promised(7), found;

    ck_assert_int_eq(founding_file_store(fs, &other, &state), 0);
    ck_assert_int_eq(load(&none, &found), MESH_ECORRUPT);
    ck_assert(strstr(message, "another broker's disk") != NULL);
}
END_TEST

/* The identity may lag behind, may know a mesh that no founding made, and may not contradict. */
START_TEST(identity_and_founding_agree)
{
    const struct uuid mesh = {{5}}, other = {{6}};
    struct founding_state state = member_of(&mesh), found;

    ck_assert_int_eq(load(&other, &found), 0);
    ck_assert_uint_eq(found.phase, FOUNDING_MEMBER);
    ck_assert(uuid_equal(&found.value.cluster, &other));
    ck_assert_int_eq(founding_file_store(fs, &self, &state), 0);
    ck_assert_int_eq(load(&none, &found), 0);
    ck_assert(uuid_equal(&found.value.cluster, &mesh));
    ck_assert_int_eq(load(&mesh, &found), 0);
    ck_assert_int_eq(load(&other, &found), MESH_ECORRUPT);
    ck_assert(strstr(message, "DIR/identity") != NULL);
    state = promised(3);
    ck_assert_int_eq(founding_file_store(fs, &self, &state), 0);
    ck_assert_int_eq(load(&other, &found), 0);
    ck_assert_uint_eq(found.phase, FOUNDING_MEMBER);
}
END_TEST

/* ---- the marker ---- */

START_TEST(marker_comes_back)
{
    struct uuid mesh = {{0xab, 0xcd}}, found = {{1}};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(founded_marker_read(fs, "founded", &found, message, sizeof(message)), 0);
    ck_assert(uuid_is_zero(&found));
    ck_assert_int_eq(founded_marker_write(fs, "founded", &mesh), 0);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    ck_assert_int_eq(founded_marker_read(fs, "founded", &found, message, sizeof(message)), 0);
    ck_assert(uuid_equal(&found, &mesh));
    ck_assert_int_eq(fs_read_whole(fs, "founded", 256, &bytes), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), slice_of_string("founded=abcd0000-0000-0000-0000-000000000000\n")));
    buffer_deinit(&bytes);
}
END_TEST

static const struct {
    const char *text;
    int err;
} marker_cases[] = {
    {"founded=abcd0000-0000-0000-0000-000000000001", 0},      /* as people write it */
    {"founded=abcd0000-0000-0000-0000-000000000001\r\n", 0},
    {"", MESH_ECORRUPT},
    {"abcd0000-0000-0000-0000-000000000001\n", MESH_ECORRUPT},
    {"founded=00000000-0000-0000-0000-000000000000\n", MESH_ECORRUPT},
    {"founded=abcd0000-0000-0000-0000-00000000000\n", MESH_ECORRUPT},
    {"founded=abcd0000-0000-0000-0000-000000000001 and more", MESH_ECORRUPT},
};

START_TEST(marker_is_read_strictly)
{
    struct uuid found = {{7}};

    ck_assert_int_eq(fs_replace(fs, ".", "founded", "new", slice_of_string(marker_cases[_i].text)), 0);
    ck_assert_int_eq(founded_marker_read(fs, "founded", &found, message, sizeof(message)), marker_cases[_i].err);
    ck_assert_int_eq(strstr(message, "does not say which mesh") != NULL, marker_cases[_i].err != 0);
    if (marker_cases[_i].err != 0) ck_assert_uint_eq(found.bytes[0], 7);
}
END_TEST

/* A place that is not there is not a place without a marker. */
START_TEST(marker_needs_its_directory)
{
    char root[] = "/tmp/mesh-marker-XXXXXX", path[128];
    const char *name = NULL;
    struct fs *place = NULL;
    struct uuid mesh = {{3}}, found;

    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/volume/founded", root);
    ck_assert_int_eq(founded_marker_place(path, &place, &name, message, sizeof(message)), MESH_ENOTFOUND);
    ck_assert(strstr(message, "mount its volume") != NULL);
    snprintf(path, sizeof(path), "%s/", root);
    ck_assert_int_eq(founded_marker_place(path, &place, &name, message, sizeof(message)), MESH_EINVAL);
    snprintf(path, sizeof(path), "%s/founded", root);
    ck_assert_int_eq(founded_marker_place(path, &place, &name, message, sizeof(message)), 0);
    ck_assert_str_eq(name, "founded");
    ck_assert_int_eq(founded_marker_write(place, name, &mesh), 0);
    ck_assert_int_eq(founded_marker_read(place, name, &found, message, sizeof(message)), 0);
    ck_assert(uuid_equal(&found, &mesh));
    place->ops->free(place);
    unlink(path);
    rmdir(root);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("founding_file");
    TCase *tcase = tcase_create("files");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_is_blank);
    tcase_add_test(tcase, state_comes_back);
    tcase_add_test(tcase, power_cut_leaves_old_or_new);
    tcase_add_test(tcase, every_flipped_bit_is_noticed);
    tcase_add_test(tcase, another_disk_is_refused);
    tcase_add_test(tcase, identity_and_founding_agree);
    tcase_add_test(tcase, marker_comes_back);
    tcase_add_loop_test(tcase, marker_is_read_strictly, 0, sizeof(marker_cases) / sizeof(marker_cases[0]));
    tcase_add_test(tcase, marker_needs_its_directory);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
