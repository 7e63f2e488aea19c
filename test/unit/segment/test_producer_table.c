#include "base/error.h"
#include "segment/producer_table.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

static struct producer_table table;
static uint64_t next_offset;

static struct record_batch_header batch(int64_t id, int16_t epoch, int32_t sequence, int32_t count)
{
    return (struct record_batch_header){.base_offset = (int64_t)next_offset,
                                        .producer_id = id,
                                        .producer_epoch = epoch,
                                        .base_sequence = sequence,
                                        .last_offset_delta = count - 1,
                                        .record_count = count};
}

static int check(int64_t id, int16_t epoch, int32_t sequence, int32_t count)
{
    struct record_batch_header header = batch(id, epoch, sequence, count);
    uint64_t base_offset = 0;

    return producer_table_check(&table, &header, &base_offset);
}

/* Checks, and appends when the check allows it. */
static int produce(int64_t id, int16_t epoch, int32_t sequence, int32_t count, int64_t now_ms)
{
    struct record_batch_header header = batch(id, epoch, sequence, count);
    int err = check(id, epoch, sequence, count);

    if (err != 0) return err;
    ck_assert_int_eq(producer_table_record(&table, &header, now_ms), 0);
    next_offset += (uint64_t)count;
    return 0;
}

static void set_up(void)
{
    table = (struct producer_table)PRODUCER_TABLE_INIT;
    next_offset = 100;
}

static void tear_down(void)
{
    producer_table_deinit(&table);
}

/* After batches (0..4), (5..5), (6..9) of producer 7, epoch 3. */
static const struct {
    int16_t epoch;
    int32_t sequence, count;
    int want;
    uint64_t want_offset;
} check_cases[] = {
    {3, 10, 5, 0, 0},                           /* the next one */
    {3, 0, 5, MESH_EDUPLICATE_SEQUENCE, 100},   /* the oldest again */
    {3, 5, 1, MESH_EDUPLICATE_SEQUENCE, 105},   /* a middle one */
    {3, 6, 4, MESH_EDUPLICATE_SEQUENCE, 106},   /* the newest */
    {3, 6, 3, MESH_EOUT_OF_ORDER_SEQUENCE, 0},  /* same start, other end: not the same batch */
    {3, 11, 1, MESH_EOUT_OF_ORDER_SEQUENCE, 0}, /* a gap */
    {3, 9, 2, MESH_EOUT_OF_ORDER_SEQUENCE, 0},  /* an overlap */
    {3, -1, 1, MESH_EOUT_OF_ORDER_SEQUENCE, 0}, /* no sequence at all */
    {2, 10, 1, MESH_EPRODUCER_FENCED, 0},       /* an older epoch, even with the right sequence */
    {4, 0, 1, 0, 0},                            /* a newer epoch begins at 0 */
    {4, 10, 1, MESH_EOUT_OF_ORDER_SEQUENCE, 0}, /* and nowhere else */
};

START_TEST(a_batch_is_new_repeated_out_of_order_or_fenced)
{
    struct record_batch_header header;
    uint64_t base_offset = 0;

    set_up();
    ck_assert_int_eq(produce(7, 3, 0, 5, 0), 0);
    ck_assert_int_eq(produce(7, 3, 5, 1, 0), 0);
    ck_assert_int_eq(produce(7, 3, 6, 4, 0), 0);
    header = batch(7, check_cases[_i].epoch, check_cases[_i].sequence, check_cases[_i].count);
    ck_assert_int_eq(producer_table_check(&table, &header, &base_offset), check_cases[_i].want);
    ck_assert_uint_eq(base_offset, check_cases[_i].want_offset);
    tear_down();
}
END_TEST

START_TEST(batches_without_producer_pass_and_leave_no_trace)
{
    set_up();
    ck_assert_int_eq(produce(-1, -1, -1, 3, 0), 0);
    ck_assert_int_eq(produce(-1, -1, -1, 3, 0), 0);
    ck_assert_uint_eq(producer_table_memory_bytes(&table), 0);
    tear_down();
}
END_TEST

START_TEST(an_unknown_producer_may_start_anywhere)
{
    set_up();
    ck_assert_int_eq(produce(7, 3, 1234, 5, 0), 0);
    ck_assert_int_eq(check(7, 3, 1239, 1), 0);
    ck_assert_int_eq(check(7, 3, 0, 1), MESH_EOUT_OF_ORDER_SEQUENCE);
    tear_down();
}
END_TEST

START_TEST(sequences_wrap_after_the_largest_int)
{
    set_up();
    ck_assert_int_eq(produce(7, 0, INT32_MAX - 1, 1, 0), 0);
    ck_assert_int_eq(produce(7, 0, INT32_MAX, 3, 0), 0); /* MAX, 0, 1 */
    ck_assert_int_eq(check(7, 0, INT32_MAX, 3), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(produce(7, 0, 2, 1, 0), 0);
    ck_assert_int_eq(produce(8, 0, INT32_MAX, 1, 0), 0);
    ck_assert_int_eq(produce(8, 0, 0, 1, 0), 0);
    tear_down();
}
END_TEST

START_TEST(only_the_last_five_batches_are_remembered)
{
    set_up();
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(produce(7, 0, i, 1, 0), 0);
    ck_assert_int_eq(check(7, 0, 0, 1), MESH_EOUT_OF_ORDER_SEQUENCE);
    for (int i = 1; i < 6; i++)
        ck_assert_int_eq(check(7, 0, i, 1), MESH_EDUPLICATE_SEQUENCE);
    tear_down();
}
END_TEST

START_TEST(a_new_epoch_clears_the_window)
{
    set_up();
    ck_assert_int_eq(produce(7, 0, 0, 1, 0), 0);
    ck_assert_int_eq(produce(7, 1, 0, 1, 0), 0);
    ck_assert_int_eq(check(7, 1, 0, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(7, 0, 1, 1), MESH_EPRODUCER_FENCED);
    ck_assert_int_eq(produce(7, 1, 1, 1, 0), 0);
    tear_down();
}
END_TEST

START_TEST(a_control_batch_raises_the_epoch_without_a_place_in_the_window)
{
    struct record_batch_header control;

    set_up();
    ck_assert_int_eq(produce(7, 0, 0, 1, 0), 0);
    control = batch(7, 0, -1, 1);
    control.attributes = RECORD_ATTRIBUTE_CONTROL;
    ck_assert_int_eq(producer_table_record(&table, &control, 0), 0);
    next_offset++;
    ck_assert_int_eq(produce(7, 0, 1, 1, 0), 0);
    control = batch(7, 1, -1, 1);
    control.attributes = RECORD_ATTRIBUTE_CONTROL;
    ck_assert_int_eq(producer_table_record(&table, &control, 0), 0);
    ck_assert_int_eq(check(7, 0, 2, 1), MESH_EPRODUCER_FENCED);
    ck_assert_int_eq(check(7, 1, 0, 1), 0);
    tear_down();
}
END_TEST

START_TEST(replaying_an_overlap_changes_nothing)
{
    struct record_batch_header headers[7];

    set_up();
    for (int i = 0; i < 7; i++) {
        headers[i] = batch(7, 0, i, 1);
        ck_assert_int_eq(produce(7, 0, i, 1, 0), 0);
    }
    for (int i = 3; i < 7; i++)
        ck_assert_int_eq(producer_table_record(&table, &headers[i], 0), 0);
    ck_assert_int_eq(check(7, 0, 2, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(7, 0, 7, 1), 0);
    tear_down();
}
END_TEST

START_TEST(truncation_forgets_what_lay_behind_the_cut)
{
    set_up();
    ck_assert_int_eq(produce(7, 0, 0, 2, 0), 0); /* 100 */
    ck_assert_int_eq(produce(8, 0, 0, 2, 0), 0); /* 102 */
    ck_assert_int_eq(produce(7, 0, 2, 2, 0), 0); /* 104 */
    ck_assert(producer_table_truncate(&table, 106));
    ck_assert(producer_table_truncate(&table, 104)); /* nothing had left the windows: they are exact */
    ck_assert_int_eq(check(7, 0, 2, 2), 0);
    ck_assert_int_eq(check(7, 0, 0, 2), MESH_EDUPLICATE_SEQUENCE);
    ck_assert(producer_table_truncate(&table, 102));
    ck_assert_uint_eq(producer_table_count(&table), 1);
    ck_assert(producer_table_truncate(&table, 0));
    ck_assert_uint_eq(producer_table_memory_bytes(&table), 0);
    tear_down();
}
END_TEST

START_TEST(a_window_that_lost_its_older_part_is_inexact_until_it_is_full_again)
{
    set_up();
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(produce(7, 0, i, 1, 0), 0);
    ck_assert(producer_table_truncate(&table, 107));
    ck_assert(!producer_table_truncate(&table, 105)); /* batches 0 and 1 belong into it and are not known */
    next_offset = 105;
    ck_assert_int_eq(produce(7, 0, 5, 1, 0), 0);
    ck_assert(!producer_table_is_exact(&table));
    ck_assert_int_eq(produce(7, 0, 6, 1, 0), 0);
    ck_assert(producer_table_is_exact(&table));
    tear_down();
}
END_TEST

START_TEST(a_producer_whose_window_is_gone_counts_as_unknown)
{
    set_up();
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(produce(7, 3, i, 1, 0), 0);
    ck_assert(!producer_table_truncate(&table, 102));
    ck_assert_int_eq(check(7, 3, 2, 1), 0);
    ck_assert_int_eq(check(7, 3, 0, 1), 0);
    ck_assert_int_eq(check(7, 2, 0, 1), MESH_EPRODUCER_FENCED);
    tear_down();
    set_up();
    ck_assert_int_eq(produce(7, 0, 0, 1, 0), 0);
    ck_assert_int_eq(produce(7, 1, 0, 1, 0), 0);
    ck_assert(!producer_table_truncate(&table, 101)); /* epoch 0 is the present one again, and not known */
    ck_assert_int_eq(check(7, 0, 5, 1), 0);
    ck_assert_int_eq(check(7, 1, 0, 1), 0);
    tear_down();
}
END_TEST

START_TEST(scanning_the_log_mends_what_is_inexact_and_leaves_the_rest)
{
    struct producer_table scanned = PRODUCER_TABLE_INIT;

    set_up();
    ck_assert_int_eq(produce(8, 0, 0, 1, 0), 0);
    ck_assert_int_eq(produce(9, 0, 0, 1, 0), 0); /* before what will be scanned */
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(produce(7, 0, i, 1, 0), 0); /* 102..108 */
    ck_assert_int_eq(produce(9, 1, 0, 1, 0), 0);
    ck_assert(!producer_table_truncate(&table, 104));
    for (int i = 0; i < 2; i++) {
        struct record_batch_header header = batch(7, 0, i, 1);
        header.base_offset = 102 + i;
        ck_assert_int_eq(producer_table_record(&scanned, &header, 0), 0);
    }
    producer_table_mend(&table, &scanned);
    ck_assert(producer_table_is_exact(&table));
    ck_assert_int_eq(check(7, 0, 0, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(7, 0, 2, 1), 0);
    ck_assert_int_eq(check(7, 0, 3, 1), MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_int_eq(check(8, 0, 0, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_uint_eq(producer_table_count(&table), 2); /* 9 was not found */
    producer_table_mend(&table, &scanned);
    tear_down();
}
END_TEST

START_TEST(idle_producers_expire)
{
    set_up();
    ck_assert(producer_table_oldest_ms(&table) == INT64_MAX);
    ck_assert_int_eq(produce(7, 0, 0, 1, 1000), 0);
    ck_assert_int_eq(produce(8, 0, 0, 1, 1500), 0);
    ck_assert_int_eq(produce(7, 0, 1, 1, 2000), 0);
    ck_assert(producer_table_oldest_ms(&table) == 1500);
    producer_table_expire(&table, 2500, 1000);
    ck_assert_uint_eq(producer_table_count(&table), 2);
    producer_table_expire(&table, 2501, 1000);
    ck_assert_uint_eq(producer_table_count(&table), 1);
    ck_assert_int_eq(check(8, 0, 77, 1), 0); /* believed again */
    producer_table_expire(&table, 0, 1000);  /* a clock that jumped back forgets nobody */
    ck_assert_uint_eq(producer_table_count(&table), 1);
    producer_table_expire(&table, INT64_MAX, 1000);
    ck_assert_uint_eq(producer_table_memory_bytes(&table), 0);
    tear_down();
}
END_TEST

START_TEST(at_the_limit_the_longest_idle_producer_gives_way)
{
    set_up();
    for (int64_t id = 0; id < PRODUCER_TABLE_COUNT_MAX; id++)
        ck_assert_int_eq(produce(id, 0, 0, 1, id), 0);
    ck_assert_int_eq(produce(0, 0, 1, 1, PRODUCER_TABLE_COUNT_MAX), 0); /* 1 is now the longest idle */
    ck_assert_int_eq(produce(1000000, 0, 0, 1, PRODUCER_TABLE_COUNT_MAX), 0);
    ck_assert_uint_eq(producer_table_count(&table), PRODUCER_TABLE_COUNT_MAX);
    ck_assert_int_eq(check(1, 0, 55, 1), 0);
    ck_assert_int_eq(check(0, 0, 1, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(2, 0, 0, 1), MESH_EDUPLICATE_SEQUENCE);
    tear_down();
}
END_TEST

START_TEST(a_snapshot_restores_windows_order_and_epochs)
{
    struct buffer bytes = BUFFER_INIT;
    struct slice rest;

    set_up();
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(produce(7, 2, i, 1, 10), 0);
    ck_assert_int_eq(produce(8, 0, 0, 1, 20), 0);
    ck_assert_int_eq(buffer_append(&bytes, "xy", 2), 0);
    ck_assert_int_eq(producer_table_encode(&table, &bytes), 0);
    ck_assert_int_eq(buffer_append(&bytes, "z", 1), 0);
    tear_down();
    rest = slice_of(bytes.data + 2, bytes.size - 2);
    ck_assert_int_eq(producer_table_decode(&table, &rest), 0);
    ck_assert_uint_eq(rest.size, 1);
    ck_assert_int_eq(check(7, 2, 1, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(7, 2, 0, 1), MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_int_eq(check(7, 1, 6, 1), MESH_EPRODUCER_FENCED);
    ck_assert(producer_table_oldest_ms(&table) == 10);
    ck_assert(!producer_table_truncate(&table, 105)); /* it still knows that something older was there */
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

/* What a snapshot brings is as small as it can be, until the producer writes again. */
static void decode_again(void)
{
    struct buffer bytes = BUFFER_INIT;
    struct slice rest;

    ck_assert_int_eq(producer_table_encode(&table, &bytes), 0);
    producer_table_deinit(&table);
    rest = buffer_slice(&bytes);
    ck_assert_int_eq(producer_table_decode(&table, &rest), 0);
    buffer_deinit(&bytes);
}

/* _i + 1 producers that have written one to six batches each. */
START_TEST(a_window_from_a_snapshot_grows_when_its_producer_writes_again)
{
    size_t before;

    set_up();
    for (int id = 0; id <= _i; id++)
        for (int i = 0; i <= id % 6; i++)
            ck_assert_int_eq(produce(id, 0, i, 1, id), 0);
    before = producer_table_memory_bytes(&table);
    decode_again();
    ck_assert_uint_lt(producer_table_memory_bytes(&table), before);
    for (int id = 0; id <= _i; id++) {
        ck_assert_int_eq(check(id, 0, id % 6, 1), MESH_EDUPLICATE_SEQUENCE);
        for (int i = id % 6 + 1; i < 10; i++) {
            ck_assert_int_eq(produce(id, 0, i, 1, 1000 + id), 0);
            for (int back = i < 4 ? i : 4; back >= 0; back--)
                ck_assert_int_eq(check(id, 0, i - back, 1), MESH_EDUPLICATE_SEQUENCE);
            ck_assert_int_eq(check(id, 0, i - 5, 1), MESH_EOUT_OF_ORDER_SEQUENCE);
        }
        ck_assert(producer_table_oldest_ms(&table) == (id < _i ? id + 1 : 1000));
    }
    ck_assert_uint_eq(producer_table_count(&table), (size_t)_i + 1);
    ck_assert_uint_eq(producer_table_memory_bytes(&table), before);
    tear_down();
}
END_TEST

/* With a map, and as the oldest of all: what was found takes the place of what was there. */
START_TEST(mending_keeps_order_and_idleness)
{
    struct producer_table scanned = PRODUCER_TABLE_INIT;

    set_up();
    for (int id = 0; id < 6; id++)
        for (int i = 0; i < 7; i++)
            ck_assert_int_eq(produce(id, 0, i, 1, 100 * id + i), 0); /* 100 + 7 * id + i */
    decode_again();
    ck_assert(!producer_table_truncate(&table, 105)); /* of producer 0 the last two batches go, and all of the others */
    for (int i = 0; i < 5; i++) {
        struct record_batch_header header = batch(0, 0, i, 1);
        header.base_offset = 100 + i;
        ck_assert_int_eq(producer_table_record(&scanned, &header, 9999), 0);
    }
    producer_table_mend(&table, &scanned);
    ck_assert(producer_table_is_exact(&table));
    ck_assert_uint_eq(producer_table_count(&scanned), 0);
    ck_assert_uint_eq(producer_table_count(&table), 1);
    ck_assert(producer_table_oldest_ms(&table) == 6); /* when it wrote, not when it was found */
    ck_assert_int_eq(check(0, 0, 0, 1), MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq(check(0, 0, 5, 1), 0);
    tear_down();
}
END_TEST

START_TEST(a_damaged_snapshot_is_refused_and_changes_nothing)
{
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;

    set_up();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(produce(7 + i, 2, 0, 1, 10), 0);
    ck_assert_int_eq(producer_table_encode(&table, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++) { /* cut at every byte */
        struct slice cut = slice_of(bytes.data, size);
        ck_assert_int_eq(producer_table_decode(&table, &cut), MESH_ECORRUPT);
        ck_assert_uint_eq(cut.size, size);
    }
    for (size_t bit = 0; bit < bytes.size * 8;
         bit++) { /* flip every bit: refused, or a table that encodes again */
        struct producer_table other = PRODUCER_TABLE_INIT;
        struct slice flipped = buffer_slice(&bytes);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (producer_table_decode(&other, &flipped) == 0) {
            buffer_clear(&again);
            ck_assert_int_eq(producer_table_encode(&other, &again), 0);
        }
        producer_table_deinit(&other);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(producer_table_count(&table), 3);
    buffer_deinit(&bytes);
    buffer_deinit(&again);
    tear_down();
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    struct buffer bytes = BUFFER_INIT;

    set_up();
    for (int i = 0; i < 40; i++) {
        struct record_batch_header header = batch(i, 0, 0, 1);
        failing_alloc_each(n)
        {
            int err;
            failing_alloc_arm(n);
            err = producer_table_record(&table, &header, 0);
            if (!failing_alloc_disarm()) break;
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_uint_eq(producer_table_count(&table), (size_t)i);
        }
        ck_assert_uint_eq(producer_table_count(&table), (size_t)i + 1);
    }
    ck_assert_int_eq(producer_table_encode(&table, &bytes), 0);
    failing_alloc_each(n)
    {
        struct slice rest = buffer_slice(&bytes);
        int err;
        failing_alloc_arm(n);
        err = producer_table_decode(&table, &rest);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        ck_assert_uint_eq(rest.size, bytes.size);
    }
    ck_assert_uint_eq(producer_table_count(&table), 40);
    for (int i = 0; i < 2; i++) { /* the window grows once: then there is nothing that could fail */
        struct record_batch_header header = batch(0, 0, 1 + i, 1);
        int failures = 0;
        next_offset++;
        header.base_offset++;
        failing_alloc_each(n)
        {
            int err;
            failing_alloc_arm(n);
            err = producer_table_record(&table, &header, 0);
            if (!failing_alloc_disarm()) break;
            failures++;
            ck_assert_int_eq(err, MESH_ENOMEM);
            ck_assert_int_eq(check(0, 0, 1 + i, 1), 0);
        }
        ck_assert_int_eq(failures, i == 0 ? 1 : 0);
        ck_assert_int_eq(check(0, 0, 1 + i, 1), MESH_EDUPLICATE_SEQUENCE);
    }
    buffer_deinit(&bytes);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("producer_table");
    TCase *rules = tcase_create("rules"), *life = tcase_create("life");

    tcase_add_loop_test(rules, a_batch_is_new_repeated_out_of_order_or_fenced, 0,
                        sizeof(check_cases) / sizeof(check_cases[0]));
    tcase_add_test(rules, batches_without_producer_pass_and_leave_no_trace);
    tcase_add_test(rules, an_unknown_producer_may_start_anywhere);
    tcase_add_test(rules, sequences_wrap_after_the_largest_int);
    tcase_add_test(rules, only_the_last_five_batches_are_remembered);
    tcase_add_test(rules, a_new_epoch_clears_the_window);
    tcase_add_test(rules, a_control_batch_raises_the_epoch_without_a_place_in_the_window);
    suite_add_tcase(all, rules);
    tcase_add_test(life, replaying_an_overlap_changes_nothing);
    tcase_add_test(life, truncation_forgets_what_lay_behind_the_cut);
    tcase_add_test(life, a_window_that_lost_its_older_part_is_inexact_until_it_is_full_again);
    tcase_add_test(life, a_producer_whose_window_is_gone_counts_as_unknown);
    tcase_add_test(life, scanning_the_log_mends_what_is_inexact_and_leaves_the_rest);
    tcase_add_test(life, idle_producers_expire);
    tcase_add_test(life, at_the_limit_the_longest_idle_producer_gives_way);
    tcase_add_test(life, a_snapshot_restores_windows_order_and_epochs);
    tcase_add_loop_test(life, a_window_from_a_snapshot_grows_when_its_producer_writes_again, 0, 12);
    tcase_add_test(life, mending_keeps_order_and_idleness);
    tcase_add_test(life, a_damaged_snapshot_is_refused_and_changes_nothing);
    tcase_add_test(life, without_memory_nothing_changes);
    suite_add_tcase(all, life);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
