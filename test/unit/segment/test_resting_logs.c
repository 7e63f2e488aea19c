/* Logs that nobody writes to: what they share, what they give back, and that they can be written to again, or are told that they cannot. */
#include "store_rig.h"

#include "base/error.h"
#include "segment/config_pool.h"
#include "segment/plog.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <check.h>

static struct fs_mem *disk;
static struct rig rig;

static void set_up(void)
{
    disk = fs_mem_new(1);
    rig_init(&rig, fs_mem_fs(disk));
}

static void tear_down(void)
{
    rig_deinit(&rig);
    fs_mem_free(disk);
}

/* ---- what is made with the first append ---- */

static const struct {
    enum plog_flush flush;
    uint32_t direct_enter_bytes;
} ways[] = {
    {PLOG_FLUSH_GROUP, 1u << 30},
    {PLOG_FLUSH_GROUP, 20000}, /* direct */
    {PLOG_FLUSH_ASYNC, 1u << 30},
};

/* Four appends, each of some batches, with a rest between them. */
START_TEST(what_a_log_needs_to_be_written_to_goes_when_it_rests)
{
    rig.options.direct_enter_bytes = ways[_i].direct_enter_bytes;
    rig.config.flush = ways[_i].flush;
    rig_open(&rig, 2);
    for (unsigned round = 1; round <= 4; round++) {
        ck_assert_ptr_eq(rig.logs[0]->work, PLOG_AT_REST);
        for (int i = 0; i < 3; i++) {
            rig_fill(&rig, rig.logs[0], 10, 1, 5000);
            rig_pump(&rig);
        }
        ck_assert_ptr_ne(rig.logs[0]->work, PLOG_AT_REST);
        ck_assert_ptr_eq(rig.logs[1]->work, PLOG_AT_REST); /* nobody has written to it */
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, round * 30, 100000), round * 30);
        rig_wait(&rig, 30000);
        ck_assert_ptr_eq(rig.logs[0]->work, PLOG_AT_REST);
        ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), round * 30);
        ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, round * 30, 100000), round * 30);
        if (round != 2) continue;
        rig_stop(&rig);
        rig_open(&rig, 2);
    }
    rig_stop(&rig);
}
END_TEST

static unsigned failing_nth;
static bool has_failed;

static void fail_nth(bool is_before)
{
    if (is_before) failing_alloc_arm(failing_nth);
    else has_failed = failing_alloc_disarm();
}

START_TEST(a_log_that_finds_no_memory_to_be_written_to_is_as_it_was)
{
    uint64_t end = 5;
    unsigned refused = 0;
    int err;

    rig_open(&rig, 1);
    rig_fill(&rig, rig.logs[0], 5, 1, 100);
    rig_wait(&rig, 30000);
    rig.around_append = fail_nth;
    failing_alloc_each(n)
    {
        ck_assert_ptr_eq(rig.logs[0]->work, PLOG_AT_REST);
        failing_nth = n;
        err = rig_append(&rig, rig.logs[0], 1, 100);
        ck_assert(err == 0 || (err == MESH_ENOMEM && has_failed));
        refused += err != 0;
        if (n == 1) ck_assert_ptr_eq(rig.logs[0]->work, PLOG_AT_REST); /* the first thing that is wanted */
        end += err == 0;
        ck_assert_uint_eq(plog_end_offset(rig.logs[0]), end);
        rig_wait(&rig, 30000);
        ck_assert_uint_eq(plog_durable_offset(rig.logs[0]), end);
        if (!has_failed) break;
    }
    ck_assert_uint_gt(refused, 3);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, end, 100000), end);
    rig_stop(&rig);
    rig_open(&rig, 1);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[0], 0, end, 100000), end);
}
END_TEST

START_TEST(a_log_that_is_deleted_or_cut_while_it_is_written_to_leaves_nothing)
{
    rig_open(&rig, 3);
    for (int i = 0; i < 3; i++)
        rig_fill(&rig, rig.logs[i], 10, 1, 5000);
    plog_delete(rig.logs[0]);
    ck_assert_int_eq(plog_truncate(rig.logs[1], 5, NULL, NULL), 0);
    rig_wait(&rig, 30000);
    ck_assert_ptr_eq(rig.logs[1]->work, PLOG_AT_REST);
    ck_assert_ptr_eq(rig.logs[2]->work, PLOG_AT_REST);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[1], 0, 5, 100000), 5);
    ck_assert_int_eq(plog_truncate(rig.logs[2], 5, NULL, NULL), 0); /* of a log that rests */
    plog_delete(rig.logs[1]);
    rig_wait(&rig, 30000);
    ck_assert_uint_eq(plog_end_offset(rig.logs[2]), 5);
    rig_fill(&rig, rig.logs[2], 5, 1, 5000);
    rig_wait(&rig, 30000);
    ck_assert_uint_eq(rig_check(&rig, rig.logs[2], 0, 10, 100000), 10);
    rig_stop(&rig);
}
END_TEST

/* ---- what is shared ---- */

static struct plog_config config_with(int field)
{
    struct plog_config config;

    plog_config_init(&config);
    switch (field) {
    case 1: config.flush = PLOG_FLUSH_ASYNC; break;
    case 2: config.flush_interval_ms++; break;
    case 3: config.flush_bytes++; break;
    case 4: config.segment_bytes++; break;
    case 5: config.segment_ms++; break;
    case 6: config.retention_ms++; break;
    case 7: config.retention_bytes++; break;
    case 8: config.index_interval_bytes++; break;
    case 9: config.producer_expiry_ms++; break;
    default: break;
    }
    return config;
}

#define FIELDS 10 /* and none of them */

START_TEST(settings_that_are_equal_are_one_and_others_are_not)
{
    const struct plog_config *got[FIELDS], *again;
    struct config_pool pool = {MAP_INIT};

    for (int i = 0; i < FIELDS; i++) {
        struct plog_config config = config_with(i);

        ck_assert_int_eq(config_pool_get(&pool, &config, &got[i]), 0);
        for (int k = 0; k < i; k++)
            ck_assert_ptr_ne(got[k], got[i]);
    }
    ck_assert_uint_eq(pool.configs.count, FIELDS);
    for (int i = 0; i < FIELDS; i++) {
        struct plog_config config = config_with(i);

        config_pool_put(&pool, got[i]);
        ck_assert_uint_eq(pool.configs.count, FIELDS - 1);
        ck_assert_int_eq(config_pool_get(&pool, &config, &got[i]), 0);
        ck_assert_int_eq(config_pool_get(&pool, &config, &again), 0);
        ck_assert_ptr_eq(got[i], again);
        config_pool_put(&pool, again);
        ck_assert_uint_eq(pool.configs.count, FIELDS);
        ck_assert_uint_eq(got[i]->segment_ms, config.segment_ms);
    }
    for (int i = 0; i < FIELDS; i++)
        config_pool_put(&pool, got[i]);
    config_pool_deinit(&pool);
}
END_TEST

START_TEST(settings_that_find_no_memory_are_not_taken_and_the_old_ones_stay)
{
    const struct plog_config *before;
    int err;

    rig_open(&rig, 2);
    before = rig.logs[0]->config;
    ck_assert_ptr_eq(before, rig.logs[1]->config);
    rig.config.retention_ms = 60000;
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = plog_set_config(rig.logs[0], &rig.config);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_ptr_eq(rig.logs[0]->config, before);
    }
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(rig.logs[0]->config->retention_ms, 60000);
    ck_assert_int_eq(rig.logs[1]->config->retention_ms, -1);
    rig_fill(&rig, rig.logs[0], 5, 1, 100);
    rig_fill(&rig, rig.logs[1], 5, 1, 100);
    rig_wait(&rig, 70000);
    ck_assert_uint_eq(plog_start_offset(rig.logs[0]), 5);
    ck_assert_uint_eq(plog_start_offset(rig.logs[1]), 0);
    rig_stop(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resting_logs");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, what_a_log_needs_to_be_written_to_goes_when_it_rests, 0, sizeof(ways) / sizeof(ways[0]));
    tcase_add_test(tests, a_log_that_finds_no_memory_to_be_written_to_is_as_it_was);
    tcase_add_test(tests, a_log_that_is_deleted_or_cut_while_it_is_written_to_leaves_nothing);
    tcase_add_test(tests, settings_that_are_equal_are_one_and_others_are_not);
    tcase_add_test(tests, settings_that_find_no_memory_are_not_taken_and_the_old_ones_stay);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
