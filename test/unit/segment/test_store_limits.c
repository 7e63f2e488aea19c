/* The store at its limits: a disk without room for the journal, a drain that cannot end cleanly, many logs.
 */
#include "store_rig.h"

#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MANY_LOGS 3000

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
    rig.options.journal_file_bytes = 1u << 20;
    rig.options.journal_bytes_max = 4u << 20;
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

static void count_journal_file(void *user, const char *path, uint64_t size)
{
    (void)size;
    if (strstr(path, ".journal") != NULL) ++*(unsigned *)user;
}

START_TEST(appends_are_refused_when_the_journal_would_find_no_space)
{
    fs_mem_set_capacity(disk, 512u << 10);
    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), MESH_EFULL);
    fs_mem_set_capacity(disk, 16u << 20);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0); /* room again: as if nothing had been */
    rig_pump(&rig);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 1);
    rig_stop(&rig);
}
END_TEST

START_TEST(what_waits_for_a_journal_file_in_vain_fails_and_leaves_no_litter)
{
    unsigned journal_files = 0;

    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    fs_mem_set_capacity(disk, 100u << 10); /* somebody else was faster */
    rig_wait(&rig, 5000);
    ck_assert_int_eq(plog_error(rig.logs[0]), MESH_EFULL);
    ck_assert_uint_ge(store_durable_ticket(rig.store), 1); /* the ticket is over, and it failed */
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 0);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), MESH_EFULL);
    fs_mem_each_file(disk, count_journal_file, &journal_files);
    ck_assert_uint_eq(journal_files, 0);
}
END_TEST

START_TEST(a_drain_on_a_full_disk_ends)
{
    rig_open(&rig, 1);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 100), 0);
    fs_mem_set_capacity(disk, 100u << 10);
    store_drain(rig.store);
    for (int i = 0; i < 100 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_eq(store_drain_error(rig.store), MESH_EFULL);
}
END_TEST

START_TEST(a_drain_that_cannot_write_segments_ends_and_the_next_start_recovers)
{
    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 20, 1, 1000);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), 20);
    fs_mem_set_capacity(disk, fs_mem_used_bytes(disk));
    store_drain(rig.store);
    for (int i = 0; i < 100 && !store_is_drained(rig.store); i++)
        rig_wait(&rig, 100);
    ck_assert(store_is_drained(rig.store));
    ck_assert_int_ne(store_drain_error(rig.store), 0);
    rig_crash(&rig);
    fs_mem_set_capacity(disk, UINT64_MAX);
    rig_open(&rig, 1);
    ck_assert(!rig.report.was_clean);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 20, 5000), 20);
}
END_TEST

START_TEST(journal_files_shrink_to_a_small_limit)
{
    struct store_stats stats;

    rig.options.journal_bytes_max = 1u << 20;
    rig.options.journal_file_bytes = 64u << 20;
    rig_open(&rig, 1);
    for (int i = 0; i < 200; i++) {
        rig_fill(&rig, rig.logs[0], 5, 1, 3000);
        rig_pump(&rig);
    }
    store_get_stats(rig.store, &stats);
    ck_assert_uint_le(stats.journal_live_bytes, 1u << 20);
    ck_assert_uint_lt(fs_mem_used_bytes(disk), (1u << 20) + 1000 * 3200 + (256u << 10));
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, 1000, 1 << 20), 1000);
    ck_assert_int_eq(rig_append(&rig, rig.logs[0], 1, 260000), MESH_ETOOLARGE);
}
END_TEST

static void set_up_real(void)
{
    rig_init(&rig, NULL);
}

static void tear_down_real(void)
{
    rig_deinit(&rig);
}

static struct plog_id many_id(uint32_t number)
{
    struct plog_id id = rig_id(0);

    id.partition = number;
    return id;
}

static void open_many(struct plog **logs)
{
    struct recovery_catalog *catalog;

    ck_assert_int_eq(recovery_run(rig.fs, NULL, NULL, &catalog, &rig.report), 0);
    rig.options.manifest_generation = rig.report.generation + 1;
    ck_assert_int_eq(store_open(&rig.options, &rig.store), 0);
    for (uint32_t i = 0; i < MANY_LOGS; i++) {
        struct plog_id id = many_id(i);
        ck_assert_int_eq(store_open_log(rig.store, &id, &rig.config, recovery_take(catalog, &id), &logs[i]),
                         0);
    }
    recovery_catalog_free(catalog);
    store_end_turn(rig.store, rig.now_ms, rig.now_wall_ms);
}

START_TEST(thousands_of_logs_share_one_sync_and_rest_together)
{
    struct plog **logs = calloc(MANY_LOGS, sizeof(*logs));
    struct store_stats stats;

    open_many(logs);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        rig_fill(&rig, logs[i], 1, 1, 50);
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.journal_sync_count, 1);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        ck_assert_uint_eq(plog_durable_offset(logs[i]), 1);
    rig_wait(&rig, 25000);
    store_get_stats(rig.store, &stats);
    ck_assert_uint_eq(stats.memory_bytes, 0);
    ck_assert_uint_eq(stats.open_file_count, 0);
    for (uint32_t i = 0; i < MANY_LOGS; i += 17)
        ck_assert_uint_eq(rig_check(&rig, logs[i], 0, 1, 1000), 1);
    rig_stop(&rig);
    open_many(logs);
    ck_assert(rig.report.was_clean);
    ck_assert_uint_eq(rig.report.log_count, MANY_LOGS);
    for (uint32_t i = 0; i < MANY_LOGS; i += 17) {
        ck_assert_uint_eq(plog_end_offset(logs[i]), 1);
        rig_fill(&rig, logs[i], 1, 1, 50);
    }
    rig_pump_lane(&rig, STORE_LANE_SYNC);
    rig_crash(&rig);
    open_many(logs);
    for (uint32_t i = 0; i < MANY_LOGS; i++)
        ck_assert_uint_eq(plog_end_offset(logs[i]), i % 17 == 0 ? 2 : 1);
    free(logs);
}
END_TEST

static Suite *limits_suite(void)
{
    Suite *suite = suite_create("store_limits");
    TCase *full = tcase_create("full");
    TCase *many = tcase_create("many");

    tcase_add_checked_fixture(full, set_up, tear_down);
    tcase_add_test(full, appends_are_refused_when_the_journal_would_find_no_space);
    tcase_add_test(full, what_waits_for_a_journal_file_in_vain_fails_and_leaves_no_litter);
    tcase_add_test(full, a_drain_on_a_full_disk_ends);
    tcase_add_test(full, a_drain_that_cannot_write_segments_ends_and_the_next_start_recovers);
    tcase_add_test(full, journal_files_shrink_to_a_small_limit);
    suite_add_tcase(suite, full);
    tcase_add_checked_fixture(many, set_up_real, tear_down_real);
    tcase_set_timeout(many, 60);
    tcase_add_test(many, thousands_of_logs_share_one_sync_and_rest_together);
    suite_add_tcase(suite, many);
    return suite;
}

int main(void)
{
    return run_suite(limits_suite());
}
