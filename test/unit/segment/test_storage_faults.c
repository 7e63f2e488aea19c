/* Disks that fail, fill up, rot and put things in wrong places, and memory that runs out: acknowledged
 * records are served or reported as lost; nothing else is ever served in their place.
 *
 * SEED=n replays one seed of every suite; ROUNDS=n sets how many seeds each suite tries; EXTRA_DRAW=1 makes other worlds of
 * the same seeds. */
#include "base/error.h"
#include "store_world.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS_DEFAULT 300
#define MEMORY_BYTES   (64u << 20)

static struct world world;
static struct model_memory memory;
static uint64_t seed;
static bool has_extra_draw; /* other worlds of the same seeds: EXTRA_DRAW=1 */

static void begin(const char *what)
{
    struct fs_mem *disk = world.disk;

    memset(&world, 0, sizeof(world));
    memory.used = 0;
    world.disk = disk;
    world.memory = &memory;
    world.now_wall_ms = 1700000000000;
    world.is_faulty = true;
    fs_mem_reset(disk, seed);
    random_init(&world.random, seed);
    snprintf(world.where, sizeof(world.where), "%s SEED=%lu", what, seed);
    world_draw_shape(&world.shape, &world.random);
    if (has_extra_draw && random_below(&world.random, 2)) (void)random_below(&world.random, 64);
    ck_assert_int_eq(world_recover(&world), 0);
}

static void steps(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        world_step(&world);
}

/* The machine comes back with a disk that works. */
static void restart(void)
{
    world_close(&world);
    fs_mem_reboot(world.disk, (enum fs_mem_loss)random_below(&world.random, FS_MEM_LOSE_MODES));
    fs_mem_set_capacity(world.disk, UINT64_MAX);
    must(world_recover(&world) == 0, "%s: not recovered", world.where);
}

/* Worlds with the extra draw that have found something once: run always. */
static const uint64_t found_seeds[] = {1419, 1484};

static void each_seed(void (*run)(void))
{
    const char *only = getenv("SEED"), *rounds = getenv("ROUNDS");
    uint64_t last = rounds == NULL ? ROUNDS_DEFAULT : strtoull(rounds, NULL, 0);

    has_extra_draw = getenv("EXTRA_DRAW") != NULL;
    model_memory_init(&memory, MEMORY_BYTES);
    world.disk = fs_mem_new(0);
    if (only != NULL) {
        seed = strtoull(only, NULL, 0);
        run();
    }
    for (seed = 1; seed <= last && only == NULL; seed++)
        run();
    for (unsigned i = 0; i < sizeof(found_seeds) / sizeof(found_seeds[0]) && only == NULL; i++) {
        has_extra_draw = true;
        seed = found_seeds[i];
        run();
    }
    fs_mem_free(world.disk);
    model_memory_deinit(&memory);
}

/* ---- failing operations ---- */

static void fail_something(unsigned type_mask, int err, bool may_last)
{
    steps(50 + (unsigned)random_below(&world.random, 150));
    fs_mem_fail(world.disk, type_mask, 1 + random_below(&world.random, 20), err,
                may_last && random_below(&world.random, 2) == 0);
    steps(100);
    world_settle(&world); /* it may not come to an end */
    restart();
    world_check_durable(&world);
    world_close(&world);
}

static void run_failed_sync(void)
{
    begin("failed sync");
    fail_something(FS_MEM_OPS_SYNC, MESH_EIO, false);
}

START_TEST(after_a_failed_sync_nothing_unsafe_is_acknowledged)
{
    each_seed(run_failed_sync);
}
END_TEST

static void run_failed_operation(void)
{
    begin("failed operation");
    fail_something(FS_MEM_OPS_ALL, MESH_EIO, true);
}

START_TEST(after_any_failed_operation_nothing_unsafe_is_acknowledged)
{
    each_seed(run_failed_operation);
}
END_TEST

static void run_full(void)
{
    begin("full disk");
    fail_something(FS_MEM_OPS_ALL & ~FS_MEM_OPS_SYNC, MESH_EFULL, true);
}

START_TEST(a_write_refused_for_space_loses_nothing)
{
    each_seed(run_full);
}
END_TEST

/* The space itself is small: appends are refused, and accepted again when there is room. */
static void run_small_disk(void)
{
    begin("small disk");
    steps(50);
    fs_mem_set_capacity(world.disk, fs_mem_used_bytes(world.disk) + (random_below(&world.random, 64) << 12));
    steps(200);
    world_settle(&world);
    fs_mem_set_capacity(world.disk, UINT64_MAX);
    restart();
    world_check_durable(&world);
    for (uint32_t i = 0; i < world.shape.log_count; i++) {
        int err = world.logs[i].plog == NULL ? 0 : plog_error(world.logs[i].plog);
        must(err == 0, "%s: log %s does not come back: %s", world.where, world.logs[i].model.name,
             mesh_error_name(err));
    }
    world_close(&world);
}

START_TEST(a_disk_that_is_full_refuses_and_comes_back)
{
    each_seed(run_small_disk);
}
END_TEST

/* Recovery meets a disk that cannot be read, once; the next one finds everything. */
static void run_failed_read(void)
{
    begin("failed read");
    steps(150);
    world_settle(&world);
    world_close(&world);
    fs_mem_reboot(world.disk, FS_MEM_LOSE_ANY);
    fs_mem_fail(world.disk, 1u << FS_MEM_OP_READ, 1 + random_below(&world.random, 30), MESH_EIO, false);
    world_recover(&world);
    restart();
    world_check_durable(&world);
    world_close(&world);
}

START_TEST(an_unreadable_disk_is_not_mistaken_for_an_empty_one)
{
    each_seed(run_failed_read);
}
END_TEST

/* ---- memory ---- */

static void arm_sometimes(struct random *random)
{
    if (random_below(random, 3) == 0) failing_alloc_arm(1 + (unsigned)random_below(random, 8));
}

static void disarm(void)
{
    failing_alloc_disarm();
}

static void run_failing_alloc(void)
{
    struct recovery_catalog *catalog;
    struct recovery_report report;
    int err;

    begin("failing allocation");
    world.arm = arm_sometimes;
    world.disarm = disarm;
    steps(250);
    world.arm = NULL;
    must(world_settle(&world), "%s: with memory again, nothing becomes durable", world.where);
    world_close(&world);
    fs_mem_reboot(world.disk, FS_MEM_LOSE_ANY);
    failing_alloc_arm(1 + (unsigned)random_below(&world.random, 60));
    err = recovery_run(fs_mem_fs(world.disk), NULL, NULL, &catalog, &report);
    failing_alloc_disarm();
    must(err == 0 || err == MESH_ENOMEM, "%s: recovery without memory answers %s", world.where,
         mesh_error_name(err));
    if (err == 0) recovery_catalog_free(catalog);
    restart();
    world_check_durable(&world);
    world_close(&world);
}

START_TEST(without_memory_appends_are_refused_and_nothing_is_lost)
{
    each_seed(run_failing_alloc);
}
END_TEST

/* ---- damage ---- */

struct file_choice {
    struct random *random;
    unsigned seen;
    char path[FS_PATH_MAX];
    uint64_t size;
};

static void choose_file(void *user, const char *path, uint64_t size)
{
    struct file_choice *choice = user;

    if (size == 0 || random_below(choice->random, ++choice->seen) != 0) return;
    snprintf(choice->path, sizeof(choice->path), "%s", path);
    choice->size = size;
}

/* The model keeps what was durable some syncs ago: a damaged last frame of a journal cannot be told from a
 * torn one. */
static void settle_well_behind(struct world *checked)
{
    uint64_t durable_ends[MODEL_LOGS_MAX];

    world_settle(&world);
    for (uint32_t i = 0; i < world.shape.log_count; i++)
        durable_ends[i] = world.logs[i].model.durable_end;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < world.shape.log_count; i++)
            world_append(&world, i, 50);
        world_settle(&world);
    }
    world_copy_models(checked, &world);
    for (uint32_t i = 0; i < world.shape.log_count; i++) {
        if (checked->logs[i].model.durable_end > durable_ends[i])
            checked->logs[i].model.durable_end = durable_ends[i];
    }
}

static bool has_damage_event;

static void note_damage(void *user, bool is_damage, const char *text)
{
    (void)user;
    (void)text;
    has_damage_event |= is_damage;
}

static struct world checked;

/* Lost offsets are all refused, and somebody was told. */
static void check_damage(bool may_rot)
{
    uint32_t unserved = 0;

    for (uint32_t i = 0; i < world.shape.log_count; i++) {
        if (world.logs[i].plog != NULL)
            unserved +=
                model_count_unserved(&checked.logs[i].model, world.logs[i].plog, may_rot, world.where);
    }
    must(unserved == 0 || may_rot || has_damage_event || world.report.holes > 0,
         "%s: %u acknowledged batches are missing and nothing was reported", world.where, unserved);
}

static void recover_damaged(void)
{
    struct recovery_catalog *catalog;
    struct recovery_report report;

    /* Once only to listen; what it decides must hold the second time. */
    has_damage_event = false;
    must(recovery_run(fs_mem_fs(world.disk), note_damage, NULL, &catalog, &report) == 0, "%s: not recovered",
         world.where);
    recovery_catalog_free(catalog);
    has_damage_event |= report.holes > 0;
    must(world_recover(&world) == 0, "%s: not recovered", world.where);
}

static void run_bit_flips(void)
{
    unsigned flips;
    bool is_clean;

    begin("bit flips");
    steps(150);
    settle_well_behind(&checked);
    is_clean = random_below(&world.random, 3) == 0 && world_drain(&world);
    world_close(&world);
    fs_mem_reboot(world.disk, is_clean ? FS_MEM_LOSE_UNSYNCED : FS_MEM_LOSE_ANY);
    flips = 1 + (unsigned)random_below(&world.random, 4);
    for (unsigned i = 0; i < flips; i++) {
        struct file_choice choice = {.random = &world.random};
        fs_mem_each_file(world.disk, choose_file, &choice);
        if (choice.seen == 0) break;
        if (random_below(&world.random, 4) == 0)
            fs_mem_zero_sector(world.disk, choice.path, random_below(&world.random, choice.size));
        else
            fs_mem_flip_bit(world.disk, choice.path, random_below(&world.random, choice.size), i % 8);
    }
    recover_damaged();
    check_damage(true); /* what recovery has no need to read, the scrubber and the reader's CRC find */
    world_close(&world);
}

START_TEST(rotten_bytes_are_never_served_as_sound_ones_nor_silently_dropped)
{
    each_seed(run_bit_flips);
}
END_TEST

static void run_astray(void)
{
    static const char *const kinds[] = {"journal", "log", ""};

    begin("write astray");
    steps(100);
    fs_mem_write_astray(world.disk, kinds[random_below(&world.random, 3)],
                        1 + random_below(&world.random, 10),
                        random_below(&world.random, 2) ? FS_MEM_ASTRAY_LOST : FS_MEM_ASTRAY_MISPLACED);
    world.shape.read_weight = 0;
    steps(100);
    settle_well_behind(&checked);
    world_close(&world);
    fs_mem_reboot(world.disk, FS_MEM_LOSE_ANY);
    recover_damaged();
    check_damage(true);
    world_close(&world);
}

START_TEST(writes_that_went_astray_are_never_served_as_sound_ones_nor_silently_dropped)
{
    each_seed(run_astray);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("storage_faults");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, after_a_failed_sync_nothing_unsafe_is_acknowledged);
    tcase_add_test(tests, after_any_failed_operation_nothing_unsafe_is_acknowledged);
    tcase_add_test(tests, a_write_refused_for_space_loses_nothing);
    tcase_add_test(tests, a_disk_that_is_full_refuses_and_comes_back);
    tcase_add_test(tests, an_unreadable_disk_is_not_mistaken_for_an_empty_one);
    tcase_add_test(tests, without_memory_appends_are_refused_and_nothing_is_lost);
    tcase_add_test(tests, rotten_bytes_are_never_served_as_sound_ones_nor_silently_dropped);
    tcase_add_test(tests, writes_that_went_astray_are_never_served_as_sound_ones_nor_silently_dropped);
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
