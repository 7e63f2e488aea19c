#include "base/error.h"
#include "segment/epoch_cache.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

static struct epoch_cache cache;

/* Epochs 2 at 10, 5 at 20, 6 at 30; the log ends at 40. */
static void set_up(void)
{
    cache = (struct epoch_cache)EPOCH_CACHE_INIT;
    ck_assert_int_eq(epoch_cache_assign(&cache, 2, 10), 0);
    ck_assert_int_eq(epoch_cache_assign(&cache, 5, 20), 0);
    ck_assert_int_eq(epoch_cache_assign(&cache, 6, 30), 0);
}

static void tear_down(void)
{
    epoch_cache_deinit(&cache);
}

static const struct {
    int32_t epoch, want_epoch;
    uint64_t want_offset;
} end_cases[] = {
    {1, -1, 10},             /* all known ones are larger: where the first begins  */
    {2, 2, 20},              /* ends where the next begins                         */
    {4, 2, 20},              /* not known here: the largest below it (KIP-279)     */
    {5, 5, 30},  {6, 6, 40}, /* the last one ends with the log                     */
    {9, 6, 40},              /* newer than anything here                           */
};

START_TEST(an_epoch_ends_where_the_next_begins)
{
    int32_t epoch = 99;

    set_up();
    ck_assert_uint_eq(epoch_cache_end_offset(&cache, end_cases[_i].epoch, 40, &epoch),
                      end_cases[_i].want_offset);
    ck_assert_int_eq(epoch, end_cases[_i].want_epoch);
    tear_down();
}
END_TEST

START_TEST(an_empty_cache_knows_no_epoch)
{
    int32_t epoch = 99;

    cache = (struct epoch_cache)EPOCH_CACHE_INIT;
    ck_assert_uint_eq(epoch_cache_end_offset(&cache, 3, 40, &epoch), 40);
    ck_assert_int_eq(epoch, -1);
    ck_assert_int_eq(epoch_cache_last_epoch(&cache), -1);
    ck_assert_int_eq(epoch_cache_epoch_at(&cache, 0), -1);
    epoch_cache_truncate_end(&cache, 0);
    epoch_cache_truncate_start(&cache, 5);
    ck_assert_uint_eq(cache.count, 0);
}
END_TEST

START_TEST(one_epoch_needs_no_heap)
{
    cache = (struct epoch_cache)EPOCH_CACHE_INIT;
    ck_assert_int_eq(epoch_cache_assign(&cache, 1, 0), 0);
    ck_assert_int_eq(epoch_cache_assign(&cache, 1, 100), 0);
    ck_assert_uint_eq(epoch_cache_memory_bytes(&cache), 0);
    ck_assert_int_eq(epoch_cache_assign(&cache, 2, 100), 0);
    ck_assert_uint_gt(epoch_cache_memory_bytes(&cache), 0);
    epoch_cache_truncate_end(&cache, 100);
    ck_assert_uint_eq(epoch_cache_memory_bytes(&cache), 0);
    ck_assert_int_eq(epoch_cache_last_epoch(&cache), 1);
    tear_down();
}
END_TEST

START_TEST(epochs_and_offsets_only_rise)
{
    set_up();
    ck_assert_int_eq(epoch_cache_assign(&cache, 5, 40), MESH_EINVAL);
    ck_assert_int_eq(epoch_cache_assign(&cache, 7, 29), MESH_EINVAL);
    ck_assert_int_eq(epoch_cache_assign(&cache, -1, 40), MESH_EINVAL);
    ck_assert_uint_eq(cache.count, 3);
    tear_down();
}
END_TEST

START_TEST(an_epoch_without_records_gives_way_to_the_next)
{
    int32_t epoch;

    set_up();
    ck_assert_int_eq(epoch_cache_assign(&cache, 7, 40), 0);
    ck_assert_int_eq(epoch_cache_assign(&cache, 8, 40), 0);
    ck_assert_uint_eq(cache.count, 4);
    ck_assert_uint_eq(epoch_cache_end_offset(&cache, 7, 50, &epoch), 40);
    ck_assert_int_eq(epoch, 6);
    tear_down();
}
END_TEST

static const struct {
    uint64_t offset;
    int32_t want;
} at_cases[] = {{0, -1}, {9, -1}, {10, 2}, {19, 2}, {20, 5}, {30, 6}, {1000, 6}, {UINT64_MAX, 6}};

START_TEST(the_epoch_of_an_offset_is_the_one_begun_last)
{
    set_up();
    ck_assert_int_eq(epoch_cache_epoch_at(&cache, at_cases[_i].offset), at_cases[_i].want);
    tear_down();
}
END_TEST

static const struct {
    uint64_t offset;
    uint32_t want_count;
} end_cut_cases[] = {{41, 3}, {31, 3}, {30, 2}, {20, 1}, {11, 1}, {10, 0}, {0, 0}};

/* {41}: at or behind the end of the log nothing but epochs without a record goes (KAFKA-10706). */
static const struct {
    int32_t epoch;
    uint64_t offset;
    int want_error;
    uint32_t want_count;
} learn_cases[] = {
    {3, 15, 0, 4},           /* between two others                   */
    {1, 5, 0, 4},            /* before all                           */
    {7, 35, 0, 4},           /* behind all                           */
    {5, 25, 0, 3},           /* what was known                       */
    {5, 17, 0, 3},           /* it began earlier                     */
    {6, 15, MESH_EINVAL, 3}, /* newer than what follows              */
    {1, 25, MESH_EINVAL, 3}, /* older than what was before           */
    {-1, 15, MESH_EINVAL, 3},
};

START_TEST(what_is_learned_later_is_put_between_the_others)
{
    set_up();
    ck_assert_int_eq(epoch_cache_learn(&cache, learn_cases[_i].epoch, learn_cases[_i].offset), learn_cases[_i].want_error);
    ck_assert_uint_eq(cache.count, learn_cases[_i].want_count);
    if (learn_cases[_i].want_error == 0) ck_assert_int_eq(epoch_cache_epoch_at(&cache, learn_cases[_i].offset), learn_cases[_i].epoch);
    for (uint32_t i = 1; i < cache.count; i++) {
        ck_assert_int_lt(epoch_cache_entries(&cache)[i - 1].epoch, epoch_cache_entries(&cache)[i].epoch);
        ck_assert_uint_lt(epoch_cache_entries(&cache)[i - 1].start_offset, epoch_cache_entries(&cache)[i].start_offset);
    }
    tear_down();
}
END_TEST

START_TEST(truncating_the_end_drops_epochs_that_begin_there)
{
    set_up();
    epoch_cache_truncate_end(&cache, end_cut_cases[_i].offset);
    ck_assert_uint_eq(cache.count, end_cut_cases[_i].want_count);
    tear_down();
}
END_TEST

START_TEST(an_epoch_assigned_at_the_end_goes_when_the_log_is_cut_at_its_end)
{
    set_up();
    ck_assert_int_eq(epoch_cache_assign(&cache, 9, 40), 0);
    epoch_cache_truncate_end(&cache, 40);
    ck_assert_int_eq(epoch_cache_last_epoch(&cache), 6);
    tear_down();
}
END_TEST

static const struct {
    uint64_t offset;
    uint32_t want_count;
    int32_t want_first;
    uint64_t want_start;
} start_cut_cases[] = {
    {5, 3, 2, 10},  {10, 3, 2, 10}, {15, 3, 2, 10}, {20, 3, 2, 10},
    {21, 2, 5, 20}, {30, 2, 5, 20}, {31, 1, 6, 30}, {99, 1, 6, 30},
};

START_TEST(truncating_the_start_keeps_the_epoch_of_the_record_before_it)
{
    set_up();
    epoch_cache_truncate_start(&cache, start_cut_cases[_i].offset);
    ck_assert_uint_eq(cache.count, start_cut_cases[_i].want_count);
    ck_assert_int_eq(epoch_cache_entries(&cache)[0].epoch, start_cut_cases[_i].want_first);
    ck_assert_uint_eq(epoch_cache_entries(&cache)[0].start_offset, start_cut_cases[_i].want_start);
    tear_down();
}
END_TEST

START_TEST(at_the_limit_the_oldest_epoch_gives_way)
{
    cache = (struct epoch_cache)EPOCH_CACHE_INIT;
    for (int32_t epoch = 0; epoch <= EPOCH_CACHE_COUNT_MAX; epoch++)
        ck_assert_int_eq(epoch_cache_assign(&cache, epoch, (uint64_t)epoch * 10), 0);
    ck_assert_uint_eq(cache.count, EPOCH_CACHE_COUNT_MAX);
    ck_assert_int_eq(epoch_cache_entries(&cache)[0].epoch, 1);
    tear_down();
}
END_TEST

START_TEST(a_snapshot_restores_the_cache_and_a_damaged_one_changes_nothing)
{
    struct buffer bytes = BUFFER_INIT;
    struct epoch_cache other = EPOCH_CACHE_INIT;
    struct slice rest;

    set_up();
    ck_assert_int_eq(epoch_cache_encode(&cache, &bytes), 0);
    ck_assert_int_eq(buffer_append(&bytes, "z", 1), 0);
    rest = buffer_slice(&bytes);
    ck_assert_int_eq(epoch_cache_decode(&other, &rest), 0);
    ck_assert_uint_eq(rest.size, 1);
    ck_assert_uint_eq(other.count, 3);
    ck_assert_int_eq(epoch_cache_epoch_at(&other, 20), 5);
    for (size_t size = 0; size < bytes.size - 1; size++) {
        rest = slice_of(bytes.data, size);
        ck_assert_int_eq(epoch_cache_decode(&other, &rest), MESH_ECORRUPT);
        ck_assert_uint_eq(rest.size, size);
    }
    bytes.data[4 + 8] = 5; /* two entries of epoch 5 */
    rest = buffer_slice(&bytes);
    ck_assert_int_eq(epoch_cache_decode(&other, &rest), MESH_ECORRUPT);
    ck_assert_uint_eq(other.count, 3);
    epoch_cache_deinit(&other);
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    struct buffer bytes = BUFFER_INIT;

    cache = (struct epoch_cache)EPOCH_CACHE_INIT;
    for (int32_t epoch = 0; epoch < 20; epoch++) {
        failing_alloc_each(n)
        {
            int err;
            failing_alloc_arm(n);
            err = epoch_cache_assign(&cache, epoch, (uint64_t)epoch);
            if (!failing_alloc_disarm()) break;
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_int_eq(epoch_cache_last_epoch(&cache), epoch - 1);
        }
    }
    ck_assert_int_eq(epoch_cache_encode(&cache, &bytes), 0);
    failing_alloc_each(n)
    {
        struct slice rest = buffer_slice(&bytes);
        int err;
        failing_alloc_arm(n);
        err = epoch_cache_decode(&cache, &rest);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_uint_eq(cache.count, 20);
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

#define ROWS(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

static Suite *suite(void)
{
    Suite *all = suite_create("epoch_cache");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, an_epoch_ends_where_the_next_begins, 0, ROWS(end_cases));
    tcase_add_test(tests, an_empty_cache_knows_no_epoch);
    tcase_add_test(tests, one_epoch_needs_no_heap);
    tcase_add_test(tests, epochs_and_offsets_only_rise);
    tcase_add_test(tests, an_epoch_without_records_gives_way_to_the_next);
    tcase_add_loop_test(tests, the_epoch_of_an_offset_is_the_one_begun_last, 0, ROWS(at_cases));
    tcase_add_loop_test(tests, what_is_learned_later_is_put_between_the_others, 0, sizeof(learn_cases) / sizeof(learn_cases[0]));
    tcase_add_loop_test(tests, truncating_the_end_drops_epochs_that_begin_there, 0, ROWS(end_cut_cases));
    tcase_add_test(tests, an_epoch_assigned_at_the_end_goes_when_the_log_is_cut_at_its_end);
    tcase_add_loop_test(tests, truncating_the_start_keeps_the_epoch_of_the_record_before_it, 0,
                        ROWS(start_cut_cases));
    tcase_add_test(tests, at_the_limit_the_oldest_epoch_gives_way);
    tcase_add_test(tests, a_snapshot_restores_the_cache_and_a_damaged_one_changes_nothing);
    tcase_add_test(tests, without_memory_nothing_changes);
    suite_add_tcase(all, tests);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
