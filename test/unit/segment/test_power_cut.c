/* The power fails, at every write and every sync of random workloads, and once more during recovery: what was
 * acknowledged is there, what was truncated is gone, and nothing is called damage.
 *
 * SEED=n replays one seed; POINTS=n sets how many crash points a run tries. */
#include "store_world.h"
#include "support/run_suite.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define POINTS_DEFAULT 100000
#define MEMORY_BYTES   (64u << 20)
#define RECOVERY_TRIES 4

static struct world live, copy;
static struct model_memory memory;
static uint64_t seed, point_count, seed_count, clean_count, nested_count;

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static enum fs_mem_loss draw_loss(struct random *random)
{
    return (enum fs_mem_loss)random_below(random, FS_MEM_LOSE_MODES);
}

/* Recovers the copy; now and then the power fails again on the way. */
static void recover_copy(void)
{
    for (int i = 0; i < RECOVERY_TRIES && random_below(&copy.random, 4) == 0; i++) {
        fs_mem_crash_at(copy.disk, 1 + random_below(&copy.random, 40));
        world_recover(&copy);
        world_close(&copy);
        nested_count += fs_mem_is_crashed(copy.disk);
        fs_mem_reboot(copy.disk, draw_loss(&copy.random));
    }
    must(world_recover(&copy) == 0, "%s: not recovered", copy.where);
    world_check_recovered(&copy);
}

/* The recovered store is a store like any other. */
static void use_copy(void)
{
    size_t used = memory.used;
    bool is_clean = random_below(&copy.random, 2) == 0, was_untold = copy.report.is_untold;
    unsigned appended = 0;

    for (int i = 0; i < 6; i++)
        appended += world_append(&copy, (uint32_t)random_below(&copy.random, copy.shape.log_count),
                                 (uint32_t)random_below(&copy.random, 600)) == 0;
    must(world_settle(&copy), "%s: after recovery nothing becomes durable", copy.where);
    world_check_logs(&copy);
    if (is_clean) must(world_drain(&copy), "%s: after recovery, draining fails", copy.where);
    world_close(&copy);
    fs_mem_reboot(copy.disk, is_clean ? FS_MEM_LOSE_UNSYNCED : draw_loss(&copy.random));
    must(world_recover(&copy) == 0, "%s: not recovered the second time", copy.where);
    if (is_clean || appended > 0)
        must(copy.report.was_clean == is_clean, "%s: was_clean is %d", copy.where, copy.report.was_clean);
    must(copy.report.is_untold == (was_untold || !copy.report.was_clean), "%s: is_untold is %d", copy.where, copy.report.is_untold);
    clean_count += is_clean;
    world_check_recovered(&copy);
    memory.used = used;
}

/* Called before each operation of the live disk. */
static void cut_power(void *user, enum fs_mem_op_type type, const char *path, uint64_t position,
                      uint64_t size)
{
    enum fs_mem_loss loss;

    (void)user;
    if (type == FS_MEM_OP_READ) return;
    point_count++;
    random_init(&copy.random, seed * 1000003 + point_count);
    loss = draw_loss(&copy.random);
    snprintf(copy.where, sizeof(copy.where), "SEED=%lu point %lu (%s %.40s at %lu, %lu bytes; loss %d)", seed,
             fs_mem_op_count(live.disk), fs_mem_op_name(type), path, position, size, loss);
    fs_mem_copy_crashed(live.disk, copy.disk, loss, random_next(&copy.random));
    world_copy_models(&copy, &live);
    recover_copy();
    if (random_below(&copy.random, 4) == 0) use_copy();
    world_close(&copy);
}

static void begin_seed(void)
{
    struct fs_mem *disk = live.disk;

    memset(&live, 0, sizeof(live));
    memset(copy.logs, 0, sizeof(copy.logs));
    memory.used = 0;
    live.disk = disk;
    live.memory = &memory;
    live.now_wall_ms = 1700000000000;
    fs_mem_reset(disk, seed);
    random_init(&live.random, seed);
    snprintf(live.where, sizeof(live.where), "SEED=%lu", seed);
    world_draw_shape(&live.shape, &live.random);
    ck_assert_int_eq(world_recover(&live), 0);
}

static void run_seed(void)
{
    unsigned steps;

    begin_seed();
    fs_mem_set_observer(live.disk, cut_power, NULL);
    steps = 50 + (unsigned)random_below(&live.random, 400);
    for (unsigned i = 0; i < steps; i++)
        world_step(&live);
    must(world_settle(&live), "%s: what was appended never becomes durable", live.where);
    world_check_logs(&live);
    if (random_below(&live.random, 2) == 0) must(world_drain(&live), "%s: draining fails", live.where);
    world_close(&live);
    fs_mem_set_observer(live.disk, NULL, NULL);
    seed_count++;
}

START_TEST(nothing_acknowledged_is_lost_at_any_power_cut)
{
    uint64_t points = from_environment("POINTS", POINTS_DEFAULT);

    model_memory_init(&memory, MEMORY_BYTES);
    live.disk = fs_mem_new(0);
    copy.disk = fs_mem_new_fork(live.disk);
    seed = from_environment("SEED", 1);
    do {
        run_seed();
        seed++;
    } while (getenv("SEED") == NULL && point_count < points);
    printf("%lu crash points in %lu seeds; %lu cuts during recovery, %lu clean stops\n", point_count,
           seed_count, nested_count, clean_count);
    fs_mem_free(copy.disk);
    fs_mem_free(live.disk);
    model_memory_deinit(&memory);
}
END_TEST

/* A disk that only pretends to sync must be found out, or the test above proves nothing. */
START_TEST(a_disk_that_lies_is_found_out)
{
    unsigned found = 0;

    model_memory_init(&memory, MEMORY_BYTES);
    live.disk = fs_mem_new(0);
    for (seed = 1; seed <= 20; seed++) {
        begin_seed();
        live.is_faulty = true;
        fs_mem_set_writeback_permille(live.disk, 0);
        fs_mem_set_lies(live.disk, FS_MEM_OPS_SYNC);
        for (int i = 0; i < 150; i++)
            world_step(&live);
        must(world_settle(&live), "%s: never settles", live.where);
        world_close(&live);
        fs_mem_reboot(live.disk, FS_MEM_LOSE_UNSYNCED);
        ck_assert_int_eq(world_recover(&live), 0);
        for (uint32_t i = 0; i < live.shape.log_count; i++) {
            const struct world_log *log = &live.logs[i];
            if (log->plog == NULL || plog_end_offset(log->plog) >= log->model.durable_end) continue;
            found++;
            break;
        }
        world_close(&live);
    }
    ck_assert_uint_gt(found, 15);
    fs_mem_free(live.disk);
    model_memory_deinit(&memory);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("power_cut");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 900);
    tcase_add_test(tests, nothing_acknowledged_is_lost_at_any_power_cut);
    tcase_add_test(tests, a_disk_that_lies_is_found_out);
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    /* Stores come and go by the hundred thousand: keep their large buffers instead of mapping them anew. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return run_suite(suite());
}
