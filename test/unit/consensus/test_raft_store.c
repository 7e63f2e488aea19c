/* The store of consensus on a disk that loses, tears, rots, fills up and fails, against a model of its promises.
 *
 * SEED=n replays one seed of the power cuts; POINTS=n sets how many crash points are tried. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "replication/consensus/store_internal.h"
#include "store_world.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define POINTS_DEFAULT 8000

static struct store_world live, copy;
static struct fs_mem *disk, *fork_disk;
static uint64_t point_count, nested_count;

static void set_up(void)
{
    disk = fs_mem_new(1);
    fork_disk = fs_mem_new_fork(disk);
}

static void tear_down(void)
{
    fs_mem_free(fork_disk);
    fs_mem_free(disk);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static void must_hold(const struct store_world *world)
{
    ck_assert_msg(world->breach[0] == '\0', "%s", world->breach);
}

static void must_open(struct store_world *world)
{
    int err = store_world_open(world);

    must_hold(world);
    ck_assert_msg(err == 0, "%s: %s", world->where, mesh_error_name(err));
}

static void begin(uint64_t seed)
{
    fs_mem_reset(disk, seed);
    store_world_init(&live, disk, seed);
    must_open(&live);
}

static void run_steps(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int err = store_world_step(&live);
        must_hold(&live);
        ck_assert_msg(err == 0, "%s: %s", live.where, mesh_error_name(err));
    }
}

/* ---- power cuts ---- */

static enum fs_mem_loss draw_loss(struct random *random)
{
    return (enum fs_mem_loss)random_below(random, FS_MEM_LOSE_MODES);
}

/* Opens the copy; now and then the power fails again on the way. */
static void recover_copy(void)
{
    while (random_below(&copy.random, 3) == 0) {
        fs_mem_crash_at(fork_disk, 1 + random_below(&copy.random, 30));
        store_world_open(&copy);
        must_hold(&copy);
        store_world_close(&copy);
        nested_count += fs_mem_is_crashed(fork_disk);
        fs_mem_reboot(fork_disk, draw_loss(&copy.random));
    }
    must_open(&copy);
    ck_assert_uint_eq(copy.recovered_damaged_until, 0);
}

/* A recovered store is a store like any other. */
static void use_copy(void)
{
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(store_world_step(&copy), 0);
    store_world_close(&copy);
    fs_mem_reboot(fork_disk, draw_loss(&copy.random));
    must_open(&copy);
}

static void cut_power(void *user, enum fs_mem_op_type type, const char *path, uint64_t position, uint64_t size)
{
    uint64_t *every = user;
    enum fs_mem_loss loss;

    if (type == FS_MEM_OP_READ || random_below(&copy.random, *every) != 0) return;
    point_count++;
    loss = draw_loss(&copy.random);
    fs_mem_copy_crashed(disk, fork_disk, loss, random_next(&copy.random));
    store_world_take_models(&copy, &live);
    snprintf(copy.where, sizeof(copy.where), "%.24s point %llu (%s %.30s at %llu, %llu bytes; loss %d)", live.where,
             (unsigned long long)point_count, fs_mem_op_name(type), path, (unsigned long long)position, (unsigned long long)size, loss);
    recover_copy();
    if (random_below(&copy.random, 4) == 0) use_copy();
    store_world_close(&copy);
}

START_TEST(nothing_acknowledged_is_lost_at_any_power_cut)
{
    uint64_t points = from_environment("POINTS", POINTS_DEFAULT), seed = from_environment("SEED", 1), every = 2;

    store_world_init(&copy, fork_disk, seed);
    do {
        begin(seed);
        random_init(&copy.random, seed * 77);
        fs_mem_set_observer(disk, cut_power, &every);
        run_steps(60);
        fs_mem_set_observer(disk, NULL, NULL);
        store_world_deinit(&live);
        seed++;
    } while (getenv("SEED") == NULL && point_count < points);
    store_world_deinit(&copy);
    printf("%llu crash points, %llu of them with more during recovery\n", (unsigned long long)point_count, (unsigned long long)nested_count);
}
END_TEST

/* ---- rot ---- */

static struct {
    uint64_t total, chosen, position;
    char path[FS_PATH_MAX];
} pick;

static void choose_file(void *user, const char *path, uint64_t size)
{
    (void)user;
    if (size == 0) return;
    if (pick.chosen >= pick.total && pick.chosen < pick.total + size) {
        snprintf(pick.path, sizeof(pick.path), "%s", path);
        pick.position = pick.chosen - pick.total;
    }
    pick.total += size;
}

/* Any byte of any file; half of the time one of a record, which fill less of the files than what is reserved. */
static void hurt_copy(struct random *random)
{
    uint8_t byte = 0;
    struct fs_file *file;
    size_t size;

    for (int tries = 0; tries < 60; tries++) {
        pick.total = 0;
        pick.chosen = UINT64_MAX;
        fs_mem_each_file(fork_disk, choose_file, NULL);
        pick.chosen = random_below(random, pick.total);
        pick.total = 0;
        fs_mem_each_file(fork_disk, choose_file, NULL);
        ck_assert_int_eq(fs_open(copy.fs, pick.path, FS_READ, &file), 0);
        ck_assert_int_eq(copy.fs->ops->read(file, &byte, 1, pick.position, &size), 0);
        fs_unref(file);
        if (byte != 0 || random_below(random, 50) == 0) break;
    }
    if (random_below(random, 10) == 0) { /* a small file, and seldom hit */
        snprintf(pick.path, sizeof(pick.path), "consensus/state");
        pick.position = random_below(random, 2) * STORE_BLOCK_SIZE + random_below(random, STORE_STATE_SIZE);
    }
    if (random_below(random, 8) == 0)
        ck_assert_int_eq(fs_mem_zero_sector(fork_disk, pick.path, pick.position), 0);
    else
        ck_assert_int_eq(fs_mem_flip_bit(fork_disk, pick.path, pick.position, (unsigned)random_below(random, 8)), 0);
}

static struct model whole;
static uint64_t damaged_count, repaired_count, older_count, refused_count, copy_count;

/* A hurt copy: everything that was promised is there, or it is a hole up to its end, or the start is refused by name. */
static void open_hurt_copy(void)
{
    int err;

    copy.may_be_damaged = true;
    err = store_world_open(&copy);
    must_hold(&copy);
    if (err == MESH_ECORRUPT) {
        ck_assert_msg(strstr(pick.path, "snapshot-") != NULL, "%s: one bit of %s refuses the start", copy.where, pick.path);
        refused_count++;
        return;
    }
    ck_assert_msg(err == 0, "%s: %s", copy.where, mesh_error_name(err));
    damaged_count += copy.report.damaged_until != 0;
    repaired_count += copy.report.repaired;
    older_count += copy.report.used_older_snapshot;
    copy_count += copy.report.vote_slot_damaged;
    if (copy.recovered_last < whole.last) {
        ck_assert_msg(copy.report.damaged_first == copy.recovered_last + 1 && copy.recovered_damaged_until >= whole.last,
                      "%s: %s at %llu: entries up to %llu, hole until %llu of %llu", copy.where, pick.path,
                      (unsigned long long)pick.position, (unsigned long long)copy.recovered_last,
                      (unsigned long long)copy.recovered_damaged_until, (unsigned long long)whole.last);
    }
    if (copy.report.used_older_snapshot) { /* its log may be none, and the model's entries are */
        store_world_close(&copy);
        return;
    }
    ck_assert_int_eq(store_world_refill(&copy, &whole), 0);
    store_world_close(&copy);
    fs_mem_reboot(fork_disk, FS_MEM_LOSE_UNSYNCED);
    copy.may_be_damaged = false;
    must_open(&copy);
    ck_assert_uint_eq(copy.recovered_last, whole.last);
    ck_assert_uint_eq(copy.recovered_damaged_until, 0);
    store_world_close(&copy);
}

START_TEST(damage_is_repaired_or_named_and_never_cut)
{
    store_world_init(&copy, fork_disk, 1);
    for (uint64_t seed = 1; seed <= 25; seed++) {
        begin(seed);
        run_steps(40);
        store_world_close(&live);
        whole = *live.before;
        for (int i = 0; i < 80; i++) {
            fs_mem_copy_crashed(disk, fork_disk, FS_MEM_LOSE_NOTHING, 1);
            store_world_take_models(&copy, &live);
            snprintf(copy.where, sizeof(copy.where), "seed %llu try %d", (unsigned long long)seed, i);
            hurt_copy(&live.random);
            open_hurt_copy();
        }
        store_world_deinit(&live);
    }
    store_world_deinit(&copy);
    printf("%llu holes, %llu headers repaired, %llu older snapshots, %llu copies of the state, %llu refusals\n",
           (unsigned long long)damaged_count, (unsigned long long)repaired_count, (unsigned long long)older_count,
           (unsigned long long)copy_count, (unsigned long long)refused_count);
    ck_assert(damaged_count > 50 && repaired_count > 50 && older_count > 5 && copy_count > 5);
}
END_TEST

/* The hole is found, half of it is filled, the power fails: it is still a hole. */
START_TEST(a_hole_is_remembered_until_it_is_decided)
{
    begin(3);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(store_world_append(&live, live.after->last + 1, 1, false), 0);
    whole = *live.before;
    store_world_close(&live);
    ck_assert_int_eq(fs_mem_zero_sector(disk, "consensus/log-00000000000000000001", STORE_BLOCK_SIZE + 512), 0); /* slots 5..8 */
    ck_assert_int_eq(fs_mem_zero_sector(disk, "consensus/log-00000000000000000001", STORE_BODIES_POSITION + 512), 0);
    live.may_be_damaged = true;
    must_open(&live);
    ck_assert_uint_lt(live.recovered_last, 8);
    ck_assert_uint_eq(live.recovered_damaged_until, 10);
    store_world_close(&live);
    must_open(&live);
    ck_assert_uint_eq(live.recovered_damaged_until, 10);
    live.before->last = live.after->last = live.recovered_last; /* what a leader's history may look like */
    ck_assert_int_eq(store_world_append(&live, live.recovered_last + 1, 1, false), 0);
    store_world_close(&live);
    fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
    must_open(&live);
    ck_assert_uint_lt(live.recovered_last, 10);
    ck_assert_uint_eq(live.recovered_damaged_until, 10);
    ck_assert_int_eq(raft_store_set_state(live.store, live.before->term, &live.before->voted_for, 0), 0);
    store_world_close(&live);
    must_open(&live);
    ck_assert_uint_eq(live.recovered_damaged_until, 0);
    store_world_deinit(&live);
}
END_TEST

static void expect_refusal(int want, const char *said, const char *also)
{
    const struct raft_server self = {{{1}}, {{2}}}, other = {{{1}}, {{3}}};
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_store *store;
    char message[400];
    int err = raft_store_open(live.fs, "consensus", want == MESH_EWRONG_MESH ? &other : &self, NULL, &store, &recovered, &report, message,
                              sizeof(message));

    ck_assert_int_eq(err, want == MESH_EWRONG_MESH ? MESH_ECORRUPT : want);
    ck_assert_msg(strstr(message, said) != NULL && strstr(message, also) != NULL, "%s", message);
}

START_TEST(what_cannot_be_trusted_refuses_to_start_and_names_the_cure)
{
    begin(1);
    ck_assert_int_eq(store_world_append(&live, 1, 3, false), 0);
    store_world_close(&live);
    expect_refusal(MESH_EWRONG_MESH, "another server", "back");
    fs_mem_flip_bit(disk, "consensus/state", 50, 1);
    fs_mem_flip_bit(disk, "consensus/state", STORE_BLOCK_SIZE + 60, 1);
    expect_refusal(MESH_ECORRUPT, "both copies", "empty data directory");
    ck_assert_int_eq(live.fs->ops->unlink(live.fs, "consensus/state"), 0);
    expect_refusal(MESH_ECORRUPT, "state is missing", "empty data directory");
    store_world_deinit(&live);
}
END_TEST

static void raise_version(const char *path, size_t size, int copies)
{
    uint8_t bytes[STORE_BLOCK_SIZE];
    struct iovec iov = {bytes, size};
    struct fs_file *file;
    size_t got;

    ck_assert_int_eq(fs_open(live.fs, path, FS_WRITE, &file), 0);
    for (int i = 0; i < copies; i++) {
        ck_assert_int_eq(live.fs->ops->read(file, bytes, size, (uint64_t)i * STORE_BLOCK_SIZE, &got), 0);
        le_store32(bytes + 4, 2);
        le_store32(bytes + size - 4, crc32c(bytes, size - 4));
        ck_assert_int_eq(live.fs->ops->write(file, &iov, 1, (uint64_t)i * STORE_BLOCK_SIZE), 0);
    }
    fs_unref(file);
}

START_TEST(files_of_a_newer_mesh_are_refused_and_left_alone)
{
    static const struct {
        const char *path;
        size_t size;
        int copies;
    } rows[] = {{"consensus/snapshot-00000000000000000003", STORE_BLOCK_SIZE, 1},
                {"consensus/log-00000000000000000001", STORE_BLOCK_SIZE, 1},
                {"consensus/state", STORE_STATE_SIZE, 2}};

    begin(1);
    ck_assert_int_eq(store_world_append(&live, 1, 5, false), 0);
    ck_assert_int_eq(store_world_snapshot(&live, 3), 0);
    store_world_close(&live);
    raise_version(rows[_i].path, rows[_i].size, rows[_i].copies);
    expect_refusal(MESH_EVERSION, "newer mesh", rows[_i].path);
    store_world_deinit(&live);
}
END_TEST

/* ---- space ---- */

/* Every operation that may find no space does so once. */
START_TEST(after_a_full_disk_the_same_may_be_tried_again)
{
    uint64_t full_count = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(seed);
        for (int i = 0; i < 60; i++) {
            uint64_t last = live.after->last, snapshot = live.after->snapshot.position.index;
            int err;
            fs_mem_set_capacity(disk, fs_mem_used_bytes(disk) + 4096 * random_below(&live.random, 30));
            if (i % 4 == 3 && last > snapshot)
                err = store_world_snapshot(&live, last);
            else if (i % 4 == 2)
                err = store_world_receive(&live, last + 1, false);
            else
                err = store_world_append(&live, last + 1 - (last > snapshot ? random_below(&live.random, 2) : 0),
                                         1 + (size_t)random_below(&live.random, 300), false);
            must_hold(&live);
            ck_assert_msg(err == 0 || err == MESH_EFULL, "%s step %d: %s", live.where, i, mesh_error_name(err));
            ck_assert_int_eq(raft_store_error(live.store), 0);
            full_count += err != 0;
            ck_assert_int_eq(store_world_vote(&live), 0); /* always has room */
            if (i % 10 == 9) {
                fs_mem_set_capacity(disk, UINT64_MAX);
                store_world_close(&live);
                fs_mem_reboot(disk, draw_loss(&live.random));
                must_open(&live);
            }
        }
        store_world_deinit(&live);
    }
    printf("%llu times full\n", (unsigned long long)full_count);
    ck_assert_uint_gt(full_count, 500);
}
END_TEST

/* ---- failing disks ---- */

/* One operation fails; from then on nothing is stored, and what the next start finds is there for good. */
START_TEST(a_failed_write_or_sync_poisons_and_is_never_tried_again)
{
    static const unsigned masks[] = {FS_MEM_OPS_SYNC | 1u << FS_MEM_OP_SYNC_DIR, 1u << FS_MEM_OP_WRITE | 1u << FS_MEM_OP_WRITE_SYNC,
                                     FS_MEM_OPS_ALL};
    uint64_t poisoned_count = 0;

    for (uint64_t seed = 1; seed <= 600; seed++) {
        int err = 0;
        begin(seed);
        run_steps((unsigned)random_below(&live.random, 20));
        fs_mem_fail(disk, masks[seed % 3], 1 + random_below(&live.random, 12), MESH_EIO, false);
        for (int i = 0; i < 20 && err == 0; i++)
            err = store_world_step(&live);
        fs_mem_fail(disk, 0, 0, 0, false);
        if (live.store != NULL && raft_store_error(live.store) != 0) {
            ck_assert_int_ne(raft_store_set_state(live.store, live.before->term + 5, &live.before->voted_for, 0), 0);
            poisoned_count++;
        }
        live.breach[0] = '\0'; /* an opening that failed is no breach here */
        store_world_close(&live);
        must_open(&live);
        store_world_close(&live);
        fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
        must_open(&live); /* exactly what was told the time before */
        store_world_deinit(&live);
    }
    ck_assert_uint_gt(poisoned_count, 200);
}
END_TEST

START_TEST(without_memory_nothing_is_lost)
{
    unsigned refused = 0;

    begin(5);
    run_steps(40);
    for (int round = 0; round < 12; round++) {
        int err = 0;
        store_world_close(&live);
        failing_alloc_each(n) {
            bool was_refused;
            failing_alloc_arm(n);
            err = store_world_open(&live);
            was_refused = failing_alloc_disarm();
            if (!was_refused) break;
            refused++;
            if (err == 0) store_world_close(&live);
        }
        must_hold(&live);
        ck_assert_int_eq(err, 0);
        for (int i = 0; i < 3; i++) {
            failing_alloc_arm(1);
            err = store_world_snapshot(&live, live.after->last);
            failing_alloc_disarm();
            ck_assert_int_eq(err, live.before->snapshot.position.index == live.after->last ? MESH_EINVAL : MESH_ENOMEM);
            ck_assert_int_eq(raft_store_error(live.store), 0);
        }
        ck_assert_int_eq(store_world_append(&live, live.after->last + 1, 30, false), 0);
    }
    ck_assert_uint_gt(refused, 20);
    store_world_deinit(&live);
}
END_TEST

/* ---- bounds ---- */

static void count_file(void *user, const char *path, uint64_t size)
{
    uint64_t *bytes = user;

    if (strstr(path, "log-") != NULL || strstr(path, "snapshot-") != NULL) *bytes += size;
}

START_TEST(what_two_snapshots_cover_is_removed)
{
    uint64_t bytes = 0;

    begin(9);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(store_world_append(&live, live.after->last + 1, 20, false), 0);
        ck_assert_int_eq(store_world_snapshot(&live, live.after->last), 0);
    }
    fs_mem_each_file(disk, count_file, &bytes);
    ck_assert_uint_lt(bytes, 1 << 20);
    store_world_close(&live);
    must_open(&live);
    store_world_deinit(&live);
}
END_TEST

START_TEST(entries_that_a_snapshot_covers_are_skipped)
{
    struct raft_entry entry = {.index = 1, .term = 1, .type = RAFT_ENTRY_NOOP};

    begin(9);
    ck_assert_int_eq(store_world_append(&live, 1, 3, false), 0);
    ck_assert_int_eq(store_world_receive(&live, 20, false), 0);
    entry.index = 4;
    ck_assert_int_eq(raft_store_append(live.store, &entry, 1), 0);
    entry.index = 22;
    ck_assert_int_eq(raft_store_append(live.store, &entry, 1), MESH_EINVAL); /* a gap */
    ck_assert_int_eq(store_world_append(&live, 21, 3, false), 0);
    store_world_close(&live);
    must_open(&live);
    ck_assert_uint_eq(live.recovered_last, 23);
    store_world_deinit(&live);
}
END_TEST

static int send_chunk(uint64_t index, uint64_t offset, bool is_last)
{
    const struct raft_config config = {.voter_count = 1, .voters = {{.broker = {{1}}, .dir = {{1}}}}};
    const struct raft_position position = {.index = index, .term = 1};

    return raft_store_snapshot_chunk(live.store, &position, &config, offset, slice_of_string("0123456789"), 20, is_last);
}

/* From the leader and from a neighbour, say. The later one counts, the other is told so, and the disk is not to blame. */
START_TEST(of_two_snapshots_at_a_time_one_gives_way)
{
    begin(9);
    ck_assert_int_eq(send_chunk(30, 0, false), 0);
    ck_assert_int_eq(send_chunk(20, 0, false), 0);
    ck_assert_int_eq(send_chunk(30, 10, true), MESH_EAGAIN);
    ck_assert_int_eq(send_chunk(20, 10, true), 0);
    ck_assert_int_eq(send_chunk(30, 0, false), 0);
    ck_assert_int_eq(send_chunk(30, 10, true), 0);
    ck_assert_int_eq(send_chunk(20, 0, false), MESH_EAGAIN); /* a newer one is there */
    ck_assert_int_eq(send_chunk(30, 10, true), 0);           /* or the same */
    ck_assert_int_eq(send_chunk(0, 0, false), MESH_EINVAL);
    ck_assert_int_eq(raft_store_error(live.store), 0);
    store_world_deinit(&live);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft store");
    TCase *tcase = tcase_create("raft store");

    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_acknowledged_is_lost_at_any_power_cut);
    tcase_add_test(tcase, damage_is_repaired_or_named_and_never_cut);
    tcase_add_test(tcase, a_hole_is_remembered_until_it_is_decided);
    tcase_add_test(tcase, what_cannot_be_trusted_refuses_to_start_and_names_the_cure);
    tcase_add_loop_test(tcase, files_of_a_newer_mesh_are_refused_and_left_alone, 0, 3);
    tcase_add_test(tcase, after_a_full_disk_the_same_may_be_tried_again);
    tcase_add_test(tcase, a_failed_write_or_sync_poisons_and_is_never_tried_again);
    tcase_add_test(tcase, without_memory_nothing_is_lost);
    tcase_add_test(tcase, what_two_snapshots_cover_is_removed);
    tcase_add_test(tcase, entries_that_a_snapshot_covers_are_skipped);
    tcase_add_test(tcase, of_two_snapshots_at_a_time_one_gives_way);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
