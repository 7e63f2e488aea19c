/* Batches, what is owed for their records, and the pool that caps their memory. */
#include "client/producer_batch.h"

#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct batch_pool pool;

static void set_up(void)
{
    batch_pool_init(&pool, 64u << 10);
}

static void tear_down(void)
{
    batch_pool_deinit(&pool);
}

static int add(struct producer_batch *batch, int64_t timestamp_ms, mesh_delivery_fn *fn, void *user)
{
    const struct record record = {
        .timestamp_ms = timestamp_ms, .key_is_null = true, .value = slice_of("0123456789", 10)};

    return batch_add(batch, &record, (struct delivery){fn, user});
}

struct told {
    int64_t offset, timestamp_ms;
    void *user;
};

static struct told told[16];
static size_t told_count;

static void note(void *user, const struct mesh_receipt *receipt)
{
    told[told_count++] = (struct told){receipt->offset, receipt->timestamp_ms, user};
}

static void resolve(struct producer_batch *batch, int64_t append_time_ms)
{
    batch->status = MESH_DELIVERED;
    batch->result = (struct produce_result){.base_offset = 50, .append_time_ms = append_time_ms};
}

START_TEST(each_sender_is_told_its_own_offset_and_timestamp)
{
    struct producer_batch *batch;
    struct mesh_receipt receipt = {.offset = 50};
    int a, b;

    ck_assert_int_eq(batch_pool_take(&pool, 500, 500, &batch), 0);
    add(batch, 1000, note, &a);
    add(batch, 1000, note, &a);
    add(batch, 900, note, &b); /* older than the first: a negative delta */
    add(batch, 2000, NULL, NULL);
    add(batch, 2000, note, &b);
    resolve(batch, -1);
    told_count = 0;
    batch_tell(batch, &receipt);
    ck_assert_uint_eq(told_count, 4);
    ck_assert(told[0].user == &a && told[0].offset == 50 && told[0].timestamp_ms == 1000);
    ck_assert(told[1].user == &a && told[1].offset == 51 && told[1].timestamp_ms == 1000);
    ck_assert(told[2].user == &b && told[2].offset == 52 && told[2].timestamp_ms == 900);
    ck_assert(told[3].user == &b && told[3].offset == 54 && told[3].timestamp_ms == 2000);
    batch_pool_give(&pool, batch);
}
END_TEST

START_TEST(any_number_of_timestamps_is_told_truly)
{
    struct producer_batch *batch;
    struct mesh_receipt receipt = {.offset = 50};

    ck_assert_int_eq(batch_pool_take(&pool, 2000, 2000, &batch), 0);
    for (int i = 0; i < 16; i++)
        add(batch, 1000 + i / (_i + 1), note, NULL); /* 16 runs, 8 of them, 6 */
    resolve(batch, -1);
    told_count = 0;
    batch_tell(batch, &receipt);
    ck_assert_uint_eq(told_count, 16);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(told[i].timestamp_ms, 1000 + i / (_i + 1));
    batch_pool_give(&pool, batch);
}
END_TEST

START_TEST(the_broker_s_append_time_overrides)
{
    struct producer_batch *batch;
    struct mesh_receipt receipt = {.offset = 50};

    ck_assert_int_eq(batch_pool_take(&pool, 500, 500, &batch), 0);
    add(batch, 1, note, NULL);
    add(batch, 2, note, NULL);
    resolve(batch, 777);
    told_count = 0;
    batch_tell(batch, &receipt);
    ck_assert(told_count == 2 && told[0].timestamp_ms == 777 && told[1].timestamp_ms == 777);
    batch_pool_give(&pool, batch);
}
END_TEST

START_TEST(one_delivery_for_all_costs_no_memory)
{
    struct producer_batch *batch;

    ck_assert_int_eq(batch_pool_take(&pool, 500, 500, &batch), 0);
    for (int i = 0; i < 10; i++)
        add(batch, 1, note, &pool);
    ck_assert_ptr_null(batch->runs);
    batch_pool_give(&pool, batch);
}
END_TEST

START_TEST(the_cap_holds_and_memory_is_reused)
{
    struct producer_batch *batches[200];
    size_t count = 0;
    int err;

    while ((err = batch_pool_take(&pool, 100, 4096, &batches[count])) == 0)
        count++;
    ck_assert_int_eq(err, MESH_EQUEUEFULL);
    ck_assert_uint_gt(count, 10);
    ck_assert_uint_le(pool.memory_used, pool.memory_max);
    ck_assert_int_eq(batch_pool_reserve(&pool, batches[0], 32768), MESH_EQUEUEFULL);
    for (size_t i = 0; i < count; i++)
        batch_pool_give(&pool, batches[i]);
    ck_assert_uint_eq(pool.memory_used, pool.memory_idle);
    ck_assert_int_eq(batch_pool_take(&pool, 100, 4096, &batches[0]), 0); /* from the idle ones */
    ck_assert_int_eq(batch_pool_take(&pool, 60000, 60000, &batches[1]),
                     MESH_EQUEUEFULL);                                      /* rounded up: over the cap */
    ck_assert_int_eq(batch_pool_take(&pool, 30000, 30000, &batches[1]), 0); /* idle ones make way */
    ck_assert_uint_le(pool.memory_used, pool.memory_max);
    batch_pool_give(&pool, batches[0]);
    batch_pool_give(&pool, batches[1]);
}
END_TEST

/* What counts against the cap is hardly more than what was asked for, whatever was used before. */
START_TEST(little_of_the_memory_is_room_that_nobody_asked_for)
{
    static const size_t sizes[] = {512, 700, 1025, 5000, 9000, 12289, 20000, 30000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct producer_batch *other, *batch;
        size_t capacity;
        ck_assert_int_eq(batch_pool_take(&pool, 100, 2 * sizes[i], &other), 0);
        batch_pool_give(&pool, other); /* idle, and too large */
        ck_assert_int_eq(batch_pool_take(&pool, 100, sizes[i], &batch), 0);
        capacity = batch->builder.bytes.capacity;
        ck_assert_uint_ge(capacity, sizes[i]);
        ck_assert_uint_le(capacity, sizes[i] + sizes[i] / 2);
        batch_pool_give(&pool, batch);
    }
}
END_TEST

START_TEST(a_batch_grows_and_keeps_what_it_has)
{
    struct producer_batch *batch;
    struct record_batch_header header;

    ck_assert_int_eq(batch_pool_take(&pool, 100, 100, &batch), 0);
    for (int i = 0; i < 500; i++) {
        ck_assert_int_eq(batch_pool_reserve(&pool, batch, 60), 0);
        ck_assert_int_eq(add(batch, i, NULL, NULL), 0);
    }
    batch->has_sequence = true;
    batch->producer_id = 8;
    batch->producer_epoch = 1;
    batch->base_sequence = 77;
    ck_assert_int_eq(batch_seal(batch, RECORD_COMPRESSION_NONE), 0);
    ck_assert_int_eq(record_batch_verify_produced(batch->encoded, 1u << 20, &header), 0);
    ck_assert_int_eq(header.record_count, 500);
    ck_assert_int_eq(header.base_sequence, 77);
    batch->base_sequence = 5; /* sealing again is allowed: the sequence was broken */
    ck_assert_int_eq(batch_seal(batch, RECORD_COMPRESSION_ZSTD), 0);
    ck_assert_int_eq(record_batch_verify_produced(batch->encoded, 1u << 20, &header), 0);
    ck_assert_int_eq(header.base_sequence, 5);
    ck_assert_int_eq(header.attributes & RECORD_ATTRIBUTE_COMPRESSION, RECORD_COMPRESSION_ZSTD);
    batch_pool_recount(&pool, batch);
    batch_pool_give(&pool, batch);
}
END_TEST

START_TEST(without_memory_a_batch_is_unchanged)
{
    failing_alloc_each(n)
    {
        struct producer_batch *batch = NULL;
        int err, second = 0;
        uint32_t count = 0;
        failing_alloc_arm(n);
        err = batch_pool_take(&pool, 100, 100, &batch);
        if (err == 0) err = add(batch, 1, note, NULL);
        if (err == 0) {
            second = add(batch, 1, note, &pool); /* the deliveries differ: runs are needed */
            count = batch_record_count(batch);
        }
        if (!failing_alloc_disarm()) {
            ck_assert_int_eq(err, 0);
            batch_pool_give(&pool, batch);
            break;
        }
        ck_assert(err == MESH_ENOMEM || (second == MESH_ENOMEM && count == 1));
        if (batch != NULL) batch_pool_give(&pool, batch);
        batch_pool_deinit(&pool); /* the books balance */
        batch_pool_init(&pool, 64u << 10);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client batches");
    TCase *c = tcase_create("batches");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, each_sender_is_told_its_own_offset_and_timestamp);
    tcase_add_loop_test(c, any_number_of_timestamps_is_told_truly, 0, 3);
    tcase_add_test(c, the_broker_s_append_time_overrides);
    tcase_add_test(c, one_delivery_for_all_costs_no_memory);
    tcase_add_test(c, the_cap_holds_and_memory_is_reused);
    tcase_add_test(c, little_of_the_memory_is_room_that_nobody_asked_for);
    tcase_add_test(c, a_batch_grows_and_keeps_what_it_has);
    tcase_add_test(c, without_memory_a_batch_is_unchanged);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
