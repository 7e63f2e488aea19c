/* Other stores' defects, brought back one at a time: the tests of test_raft_store.c would notice each. Every hunt runs with the
 * defect, and must find a breach, and without it, and must find none. */
#include "base/error.h"
#include "replication/consensus/store_internal.h"
#include "store_world.h"
#include "support/run_suite.h"

#include <stdio.h>

#define SEEDS 10

static struct store_world live, copy;
static struct fs_mem *disk, *fork_disk;

static void set_up(void)
{
    disk = fs_mem_new(1);
    fork_disk = fs_mem_new_fork(disk);
}

static void tear_down(void)
{
    raft_store_bring_back(STORE_DEFECT_NONE);
    fs_mem_free(fork_disk);
    fs_mem_free(disk);
}

/* ---- hunts: each runs one seed, and says whether a promise was broken ---- */

static void cut_power(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    (void)user;
    (void)path;
    (void)position;
    (void)size;
    if (type == FS_MEM_OP_READ || copy.breach[0] != '\0') return;
    fs_mem_copy_crashed(disk, fork_disk, (enum fs_mem_loss)random_below(&copy.random, FS_MEM_LOSE_MODES), random_next(&copy.random));
    store_world_take_models(&copy, &live);
    if (store_world_open(&copy) != 0) store_world_fail(&copy, "not opened");
    if (copy.recovered_damaged_until != 0) store_world_fail(&copy, "a hole on a good disk");
    store_world_close(&copy);
}

static bool hunt_with_power_cuts(uint64_t seed)
{
    bool is_broken;

    store_world_init(&copy, fork_disk, seed);
    fs_mem_set_observer(disk, cut_power, NULL);
    for (int i = 0; i < 50 && copy.breach[0] == '\0' && live.breach[0] == '\0'; i++)
        if (store_world_step(&live) != 0) store_world_fail(&live, "a step failed");
    fs_mem_set_observer(disk, NULL, NULL);
    is_broken = copy.breach[0] != '\0' || live.breach[0] != '\0';
    store_world_deinit(&copy);
    return is_broken;
}

/* An entry in the middle rots. */
static bool hunt_with_rot(uint64_t seed)
{
    for (int i = 0; i < 20; i++)
        store_world_append(&live, live.after->last + 1, 1, false);
    store_world_close(&live);
    fs_mem_flip_bit(disk, "consensus/log-00000000000000000001", STORE_BODIES_POSITION + 300 + seed * 20, 3);
    live.may_be_damaged = true;
    if (store_world_open(&live) != 0) store_world_fail(&live, "not opened");
    return live.breach[0] != '\0';
}

static bool hunt_with_failing_syncs(uint64_t seed)
{
    fs_mem_fail(disk, 1u << FS_MEM_OP_SYNC, 1 + seed % 5, MESH_EIO, false);
    for (int i = 0; i < 10 && raft_store_error(live.store) == 0; i++)
        store_world_append(&live, live.after->last + 1, 2, false);
    store_world_close(&live);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    if (store_world_open(&live) != 0) store_world_fail(&live, "not opened");
    if (live.recovered_damaged_until != 0) store_world_fail(&live, "a hole");
    return live.breach[0] != '\0';
}

static unsigned breaches(bool (*hunt)(uint64_t seed), enum store_defect defect)
{
    unsigned count = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fs_mem_reset(disk, seed);
        raft_store_bring_back(STORE_DEFECT_NONE);
        store_world_init(&live, disk, seed);
        ck_assert_int_eq(store_world_open(&live), 0);
        raft_store_bring_back(defect);
        count += hunt(seed);
        store_world_deinit(&live);
    }
    return count;
}

static const struct {
    enum store_defect defect;
    bool (*hunt)(uint64_t seed);
    const char *name;
} rows[] = {
    {STORE_DEFECT_VOTE_REWRITTEN, hunt_with_power_cuts, "the vote is deleted, then rewritten"},
    {STORE_DEFECT_VOTE_UNSYNCED, hunt_with_power_cuts, "the vote is not synced"},
    {STORE_DEFECT_TORN_ASSUMED, hunt_with_rot, "every bad entry is torn"},
    {STORE_DEFECT_SYNC_RETRIED, hunt_with_failing_syncs, "a failed sync is tried again"},
    {STORE_DEFECT_CUT_IN_MEMORY, hunt_with_power_cuts, "a cut is only in memory"},
    {STORE_DEFECT_SNAPSHOT_REPLACED, hunt_with_power_cuts, "the old snapshot goes first"},
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) == STORE_DEFECT_COUNT - 1, "every defect has its hunt");

START_TEST(the_defect_is_noticed_and_the_store_without_it_is_sound)
{
    unsigned with = breaches(rows[_i].hunt, rows[_i].defect), without = breaches(rows[_i].hunt, STORE_DEFECT_NONE);

    printf("%s: noticed in %u of %u seeds; without: %u\n", rows[_i].name, with, SEEDS, without);
    ck_assert_uint_gt(with, 0);
    ck_assert_uint_eq(without, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft store switches");
    TCase *tcase = tcase_create("raft store switches");

    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, the_defect_is_noticed_and_the_store_without_it_is_sound, 0, STORE_DEFECT_COUNT - 1);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
