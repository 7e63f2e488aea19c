/* Reading an answer's attachment while it arrives: any split, any damage. */
#include "client/fetch.h"

#include "base/error.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct buffer data;
static size_t batch_size;

static void set_up(void)
{
    const struct record_batch_producer producer = {-1, -1, -1};
    struct record_batch_builder builder;
    struct slice batch;

    data = (struct buffer)BUFFER_INIT;
    record_batch_builder_init(&builder);
    for (int i = 0; i < 3; i++) {
        const struct record record = {.timestamp_ms = 1, .key_is_null = true, .value = slice_of("hello", 5)};
        record_batch_builder_add(&builder, &record);
    }
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &producer, 0, RECORD_COMPRESSION_NONE, NULL, &batch), 0);
    batch_size = batch.size;
    for (int i = 0; i < 3; i++)
        buffer_append(&data, batch.data, batch.size);
    record_batch_builder_deinit(&builder);
}

static void tear_down(void)
{
    buffer_deinit(&data);
}

/* Two regions: of two batches, and of one. */
static struct fetch *make_fetch(void)
{
    struct fetch *fetch = fetch_new();
    struct fetch_spares none = {.count = 0};

    ck_assert_int_eq(fetch_reserve_asks(fetch, 2), 0);
    ck_assert_int_eq(fetch_take_data(fetch, &none, data.size), 0);
    memcpy(fetch->data, data.data, data.size);
    fetch->size = data.size;
    fetch->regions[0] = (struct fetch_region){.end = 2 * batch_size};
    fetch->regions[1] = (struct fetch_region){.end = 3 * batch_size};
    fetch->region_count = 2;
    return fetch;
}

START_TEST(batches_come_out_whole_wherever_the_stream_is_cut)
{
    struct fetch *fetch = make_fetch();
    struct record_batch_header header;
    struct slice batch;
    int batches = 0, regions = 0;

    for (fetch->filled = 0; fetch->filled <= fetch->size;) {
        switch (fetch_look(fetch, true, &batch, &header)) {
        case FETCH_BATCH:
            ck_assert_uint_eq(batch.size, batch_size);
            ck_assert_uint_ge(fetch->filled, fetch->at + batch_size);
            fetch_skip(fetch, batch.size);
            batches++;
            break;
        case FETCH_REGION_END:
            fetch_next_region(fetch);
            regions++;
            break;
        case FETCH_MORE: fetch->filled++; break;
        case FETCH_END: goto end;
        case FETCH_DAMAGED: ck_abort();
        }
    }
end:
    ck_assert_int_eq(batches, 3);
    ck_assert_int_eq(regions, 2);
    ck_assert_uint_eq(fetch->filled, fetch->size);
    fetch_free(fetch);
}
END_TEST

START_TEST(any_flipped_bit_under_the_crc_is_damage)
{
    struct fetch *fetch = make_fetch();
    struct record_batch_header header;
    struct slice batch;

    fetch->filled = fetch->size;
    for (size_t i = 16; i < batch_size; i++) { /* magic, CRC, and what the CRC covers */
        fetch->data[i] ^= 1;
        ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_DAMAGED);
        fetch->data[i] ^= 1;
    }
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_BATCH);
    fetch->data[batch_size - 1] ^= 1;
    ck_assert_int_eq(fetch_look(fetch, false, &batch, &header), FETCH_BATCH); /* not asked to verify */
    fetch_free(fetch);
}
END_TEST

START_TEST(damage_is_seen_wherever_the_stream_is_cut)
{
    struct fetch *fetch = make_fetch();
    struct record_batch_header header;
    struct slice batch;

    for (size_t cut = RECORD_BATCH_HEADER_SIZE; cut < batch_size; cut++) {
        fetch->crc_end = 0;
        fetch->data[cut - 1] ^= 1;
        fetch->filled = cut;
        ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_MORE);
        fetch->filled = batch_size;
        ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_DAMAGED);
        fetch->data[cut - 1] ^= 1;
    }
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_BATCH);
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_BATCH); /* and again */
    fetch_free(fetch);
}
END_TEST

START_TEST(the_memory_used_last_is_used_next)
{
    struct fetch *fetch = fetch_new();
    struct fetch_spares spares = {.count = 0};
    uint8_t *blocks[FETCH_SPARES_MAX + 1];

    for (int i = 0; i <= FETCH_SPARES_MAX; i++) {
        ck_assert_int_eq(fetch_take_data(fetch, &(struct fetch_spares){.count = 0}, (size_t)(100 + i)), 0);
        blocks[i] = fetch->data;
        fetch_give_data(fetch, &spares, 1000);
        ck_assert_ptr_null(fetch->data);
    }
    ck_assert_uint_eq(spares.count, FETCH_SPARES_MAX); /* the oldest is gone */
    ck_assert_int_eq(fetch_take_data(fetch, &spares, 50), 0);
    ck_assert_ptr_eq(fetch->data, blocks[FETCH_SPARES_MAX]);
    fetch_give_data(fetch, &spares, 1000);
    ck_assert_int_eq(fetch_take_data(fetch, &spares, 1001), 0); /* none is large enough */
    ck_assert_uint_eq(spares.count, FETCH_SPARES_MAX);
    fetch_give_data(fetch, &spares, 1000); /* too large to keep */
    ck_assert_uint_eq(spares.count, FETCH_SPARES_MAX);
    fetch_spares_deinit(&spares);
    fetch_free(fetch);
}
END_TEST

START_TEST(a_batch_that_reaches_beyond_its_region_is_damage)
{
    struct fetch *fetch = make_fetch();
    struct record_batch_header header;
    struct slice batch;

    fetch->filled = fetch->size;
    fetch->regions[0].end = batch_size - 1;
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_DAMAGED);
    fetch->regions[0].end = RECORD_BATCH_HEADER_SIZE - 1; /* less than a header is left */
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_DAMAGED);
    fetch->regions[0].end = 0;
    ck_assert_int_eq(fetch_look(fetch, true, &batch, &header), FETCH_REGION_END);
    fetch_free(fetch);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client fetch");
    TCase *c = tcase_create("fetch");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batches_come_out_whole_wherever_the_stream_is_cut);
    tcase_add_test(c, any_flipped_bit_under_the_crc_is_damage);
    tcase_add_test(c, damage_is_seen_wherever_the_stream_is_cut);
    tcase_add_test(c, the_memory_used_last_is_used_next);
    tcase_add_test(c, a_batch_that_reaches_beyond_its_region_is_damage);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
