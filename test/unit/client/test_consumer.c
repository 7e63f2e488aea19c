/* The consumer against a broker that misbehaves by script. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "base/assert.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static struct fake_broker *broker;
static struct mesh_client *client;
static struct mesh_consumer *consumer;

struct plan {
    enum frame_op op;
    enum fake_action action;
    int error;
    atomic_int count;
};
static struct plan plan;

static enum fake_action follow_plan(void *user, struct fake_broker *unused, enum frame_op op, int *error)
{
    struct plan *p = user;

    (void)unused;
    if (op != p->op || atomic_fetch_sub(&p->count, 1) <= 0) return FAKE_SERVE;
    *error = p->error;
    return p->action;
}

#define TOTAL 300 /* records in each of two partitions */

/* Batches of 1 to 7 records, some compressed; values count up. */
static void fill(uint32_t partition)
{
    char texts[8][16];
    const char *values[8];
    int next = 0;

    for (int batch = 0; next < TOTAL; batch++) {
        size_t count = (size_t)(batch % 7) + 1;
        if (count > (size_t)(TOTAL - next)) count = (size_t)(TOTAL - next);
        for (size_t i = 0; i < count; i++) {
            snprintf(texts[i], sizeof(texts[i]), "%d", next++);
            values[i] = texts[i];
        }
        fake_broker_append(broker, partition, values, count, (enum record_compression)(batch % 5));
    }
}

static void set_up(void)
{
    broker = fake_broker_new("t", 3);
    broker->shard_count = 2;
    broker->script = follow_plan;
    broker->script_user = &plan;
    plan = (struct plan){0};
    fill(0);
    fill(1);
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_client_new(broker->address, &client), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 5000), 0);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
}

static void tear_down(void)
{
    mesh_consumer_free(consumer);
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

/* Reads until `end` of each partition was seen, expecting the values in order from next[]. */
static void read_all(int next[3], const int end[3], size_t max_per_poll)
{
    struct mesh_consumed *records = calloc(max_per_poll, sizeof(*records));

    while (next[0] < end[0] || next[1] < end[1]) {
        size_t count = 0;
        int err = mesh_consumer_poll(consumer, records, max_per_poll, 5000, &count);
        ck_assert_msg(err == 0, "%s", mesh_client_error(client));
        ck_assert_uint_gt(count, 0);
        for (size_t i = 0; i < count; i++) {
            char text[16] = "";
            int *expected = &next[records[i].partition];
            ck_assert_int_eq(records[i].offset, *expected);
            memcpy(text, records[i].value, records[i].value_size);
            ck_assert_int_eq((int)strtol(text, NULL, 10), *expected);
            ck_assert_str_eq(records[i].topic, "t");
            ck_assert_int_eq(records[i].leader_epoch, 7);
            ck_assert_ptr_null(records[i].key);
            (*expected)++;
        }
    }
    free(records);
}

START_TEST(all_partitions_are_read_in_order_whatever_the_poll_size)
{
    static const size_t sizes[] = {1, 2, 7, 1000};
    int next[3] = {0}, end[3] = {TOTAL, TOTAL, 0};
    int64_t offset;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, MESH_OFFSET_BEGINNING), 0);
    read_all(next, end, sizes[_i]);
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 0, &offset), 0);
    ck_assert_int_eq(offset, TOTAL);
    ck_assert_int_eq(mesh_consumer_high_watermark(consumer, "t", 0, &offset), 0);
    ck_assert_int_eq(offset, TOTAL);
    ck_assert_int_eq(mesh_consumer_high_watermark(consumer, "t", 9, &offset), MESH_EINVAL);
}
END_TEST

START_TEST(reading_may_begin_in_the_middle_of_a_batch)
{
    int next[3] = {_i, TOTAL, 0}, end[3] = {TOTAL, TOTAL, 0};

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, _i), 0);
    read_all(next, end, 50);
}
END_TEST

START_TEST(small_fetches_read_everything_too)
{
    int next[3] = {0}, end[3] = {TOTAL, TOTAL, 0};

    ck_assert_int_eq(mesh_consumer_set_fetch_bytes_max(consumer, 16u << 10), 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, MESH_OFFSET_BEGINNING), 0);
    read_all(next, end, 13);
}
END_TEST

static const struct {
    enum frame_op op;
    enum fake_action action;
    int error;
} troubles[] = {
    {FRAME_OP_FETCH, FAKE_REFUSE, MESH_EBUSY},
    {FRAME_OP_FETCH, FAKE_FAIL_EACH, MESH_ENOT_LEADER},
    {FRAME_OP_FETCH, FAKE_FAIL_EACH, MESH_EUNKNOWN_TOPIC},
    {FRAME_OP_FETCH, FAKE_CLOSE, 0},
    {FRAME_OP_FETCH, FAKE_SERVE_AND_CLOSE, 0},
    {FRAME_OP_FETCH, FAKE_SERVE_CUT, 0},
    {FRAME_OP_FETCH, FAKE_SERVE_DRIP, 0},
    {FRAME_OP_FETCH, FAKE_GARBAGE, 0},
    {FRAME_OP_FETCH, FAKE_LIE_LENGTH, 0},
    {FRAME_OP_FETCH, FAKE_LIE_CORRELATION, 0},
    {FRAME_OP_FETCH, FAKE_BAD_CRC, 0},
    {FRAME_OP_FETCH, FAKE_FEWER_RESULTS, 0},
    {FRAME_OP_LIST_OFFSETS, FAKE_REFUSE, MESH_EBUSY},
    {FRAME_OP_LIST_OFFSETS, FAKE_FAIL_EACH, MESH_ENOT_LEADER},
    {FRAME_OP_LIST_OFFSETS, FAKE_SERVE_CUT, 0},
    {FRAME_OP_LIST_OFFSETS, FAKE_GARBAGE, 0},
    {FRAME_OP_HELLO, FAKE_SERVE_CUT, 0},
    {FRAME_OP_HELLO, FAKE_REFUSE, MESH_EBUSY},
    {FRAME_OP_TOPIC_DESCRIBE, FAKE_SERVE_CUT, 0},
    {FRAME_OP_TOPIC_DESCRIBE, FAKE_SERVE_DRIP, 0},
};

START_TEST(trouble_neither_skips_nor_repeats)
{
    int next[3] = {0}, end[3] = {TOTAL, TOTAL, 0};

    plan.op = troubles[_i].op;
    plan.action = troubles[_i].action;
    plan.error = troubles[_i].error;
    atomic_store(&plan.count, 3);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, MESH_OFFSET_BEGINNING), 0);
    read_all(next, end, 20);
}
END_TEST

/* Polls until an error comes; records before it are counted. */
static int poll_error(size_t *ret_records)
{
    struct mesh_consumed records[64];
    size_t count = 0;
    int err = 0;

    *ret_records = 0;
    for (int i = 0; i < 100 && err == 0; i++) {
        err = mesh_consumer_poll(consumer, records, 64, 2000, &count);
        *ret_records += count;
        if (err == 0 && count == 0) break;
    }
    return err;
}

START_TEST(an_offset_out_of_range_is_told_once_and_seek_goes_on)
{
    const char *topic = NULL;
    int32_t partition = -1;
    struct mesh_consumed record;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 1, TOTAL + 5), 0);
    ck_assert_int_eq(poll_error(&count), MESH_EOFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(mesh_consumer_error_partition(consumer, &topic, &partition), 0);
    ck_assert_str_eq(topic, "t");
    ck_assert_int_eq(partition, 1);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 50, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(mesh_consumer_seek(consumer, "t", 1, 17), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(record.offset, 17);
}
END_TEST

/* Damage on the way, or what the broker mends at once, is not the application's business; but the broker hears of it. */
START_TEST(damage_that_comes_once_is_asked_for_again_and_the_broker_told)
{
    int next[3] = {0, TOTAL, TOTAL}, end[3] = {TOTAL, TOTAL, TOTAL};

    plan.op = FRAME_OP_FETCH;
    plan.action = _i == 0 ? FAKE_BAD_BATCH : FAKE_TRUNCATED_BATCH;
    atomic_store(&plan.count, 1);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), 0);
    read_all(next, end, 20);
    ck_assert_uint_eq(atomic_load(&broker->doubted), 1);
}
END_TEST

START_TEST(damage_is_told_once_and_stops_only_its_partition)
{
    size_t count;
    int64_t offset;
    int next[3] = {TOTAL, 0, 0}, end[3] = {TOTAL, TOTAL, 0};

    plan.op = FRAME_OP_FETCH;
    plan.action = _i == 0 ? FAKE_BAD_BATCH : FAKE_TRUNCATED_BATCH;
    atomic_store(&plan.count, 1000);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), 0);
    ck_assert_int_eq(poll_error(&count), MESH_ECORRUPT);
    ck_assert_uint_gt(count, 0); /* what came before the damage was handed out */
    ck_assert_uint_lt(count, TOTAL);
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 0, &offset), 0);
    ck_assert_int_eq(offset, (int64_t)count);
    ck_assert_uint_gt(atomic_load(&broker->doubted), 0);
    atomic_store(&plan.count, 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 1, 0), 0);
    read_all(next, end, 20);
    ck_assert_int_eq(mesh_consumer_resume(consumer, "t", 0), 0); /* the broker has healed */
    next[0] = (int)offset;
    read_all(next, end, 20);
}
END_TEST

/* Who reads on from elsewhere, or comes back, has not seen damage there: nobody is told of any, and the first that comes is asked for again. */
START_TEST(a_seek_leaves_what_was_doubted_behind)
{
    struct mesh_consumed record;
    size_t count;
    int64_t offset;
    unsigned told;

    plan.op = FRAME_OP_FETCH;
    plan.action = FAKE_BAD_BATCH;
    atomic_store(&plan.count, 1000);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), 0);
    ck_assert_int_eq(poll_error(&count), MESH_ECORRUPT);
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 0, &offset), 0);
    told = atomic_load(&broker->doubted);
    ck_assert_uint_gt(told, 0);

    atomic_store(&plan.count, _i); /* 0: the broker has healed; 1: it comes once more */
    ck_assert_int_eq(mesh_consumer_seek(consumer, "t", 0, offset), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(record.offset, offset);
    if (_i == 0) ck_assert_uint_eq(atomic_load(&broker->doubted), told);
}
END_TEST

START_TEST(paused_partitions_keep_still_and_resume_where_they_were)
{
    struct mesh_consumed records[10];
    size_t count;
    int next[3] = {0, TOTAL, 0}, end[3] = {TOTAL, TOTAL, 0};

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, records, 10, 5000, &count), 0);
    next[0] = (int)count;
    ck_assert_int_eq(mesh_consumer_pause(consumer, "t", 0), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, records, 10, 30, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(mesh_consumer_resume(consumer, "t", 0), 0);
    read_all(next, end, 10);
}
END_TEST

START_TEST(seeking_and_unassigning_drop_what_was_fetched_ahead)
{
    struct mesh_consumed record;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, 0), 0);
    for (int i = 0; i < 40; i++) {
        int64_t to = (i * 37) % TOTAL;
        ck_assert_int_eq(mesh_consumer_seek(consumer, "t", 0, to), 0);
        ck_assert_int_eq(mesh_consumer_pause(consumer, "t", 1), 0);
        ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
        ck_assert_uint_eq(count, 1);
        ck_assert_int_eq(record.offset, to);
    }
    ck_assert_int_eq(mesh_consumer_unassign(consumer, "t", 0), 0);
    ck_assert_int_eq(mesh_consumer_unassign(consumer, "t", 0), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 30, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(mesh_consumer_resume(consumer, "t", 1), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_int_eq(record.partition, 1);
    ck_assert_int_eq(mesh_consumer_unassign(consumer, "t", -1), 0);
}
END_TEST

START_TEST(the_end_and_times_are_resolved_at_the_leader)
{
    struct mesh_consumed record;
    struct mesh_producer *producer;
    const struct mesh_record hello = {.value = "300", .value_size = 3, .partition = 0};
    int64_t offset;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign_time(consumer, "t", 1, 1042), 0);
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 1, &offset), 0);
    ck_assert_int_eq(offset, 42);
    ck_assert_int_eq(mesh_consumer_unassign(consumer, "t", 1), 0);
    ck_assert_int_eq(mesh_consumer_assign_time(consumer, "t", 1, 999999), 0); /* younger than any: the end */
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 1, &offset), 0);
    ck_assert_int_eq(offset, TOTAL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_END), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 50, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count),
                     0); /* the long poll is answered */
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(record.offset, TOTAL);
    mesh_producer_free(producer);
}
END_TEST

START_TEST(wrong_uses_are_refused)
{
    struct mesh_consumed record;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "nobody", 0, 0), MESH_EUNKNOWN_TOPIC);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "nobody"));
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 3, 0), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, -3), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "", 0, 0), MESH_EINVALID_TOPIC);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 0), MESH_EEXISTS);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, 0), MESH_EEXISTS);
    ck_assert_int_eq(mesh_consumer_unassign(consumer, "t", 1), MESH_EINVAL); /* all or nothing */
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 0, 0, &count), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_set_fetch_max_wait_ms(consumer, 60000), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_error_partition(consumer, NULL, NULL), MESH_ENOTFOUND);
}
END_TEST

START_TEST(keys_headers_and_tombstones_come_through)
{
    const struct mesh_header headers[] = {{"a", "1", 1}, {"none", NULL, 0}};
    const struct mesh_record full = {.key = "k",
                                     .key_size = 1,
                                     .value = "v",
                                     .value_size = 1,
                                     .headers = headers,
                                     .header_count = 2,
                                     .timestamp_ms = 12345,
                                     .partition = 2};
    const struct mesh_record tombstone = {.key = "k", .key_size = 1, .partition = 2};
    struct mesh_producer *producer;
    struct mesh_consumed records[2];
    const char *key;
    const void *value;
    size_t count, key_size, value_size;

    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_producer_send(producer, &full, NULL, NULL), 0);
    ck_assert_int_eq(mesh_produce(producer, &tombstone, NULL), 0);
    mesh_producer_free(producer);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 2, 0), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, records, 2, 5000, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(records[0].timestamp_ms, 12345);
    ck_assert_uint_eq(records[0].header_count, 2);
    ck_assert_int_eq(mesh_consumed_header(&records[0], 0, &key, &key_size, &value, &value_size), 0);
    ck_assert(key_size == 1 && key[0] == 'a' && value_size == 1 && *(const char *)value == '1');
    ck_assert_int_eq(mesh_consumed_header(&records[0], 1, &key, &key_size, &value, &value_size), 0);
    ck_assert(key_size == 4 && value == NULL);
    ck_assert_int_eq(mesh_consumed_header(&records[0], 2, &key, &key_size, &value, &value_size), MESH_EINVAL);
    ck_assert_ptr_null(records[1].value);
    ck_assert_uint_eq(records[1].key_size, 1);
}
END_TEST

START_TEST(freeing_with_a_fetch_under_way_is_safe)
{
    struct mesh_consumed record;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, 0), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_int_eq(mesh_client_poll(client, 10), 0);
    mesh_consumer_free(consumer);
    ck_assert_int_eq(mesh_client_poll(client, 10), 0);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, 9), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_int_eq(record.offset, 9);
}
END_TEST

START_TEST(an_idle_consumer_asks_seldom)
{
    struct mesh_consumed record;
    size_t count;

    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 2, MESH_OFFSET_END), 0);
    ck_assert_int_eq(mesh_consumer_set_fetch_max_wait_ms(consumer, 100), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 450, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_le(atomic_load(&broker->frames[FRAME_OP_FETCH]), 6);
}
END_TEST

START_TEST(a_short_timeout_does_not_give_up_a_broker_that_only_has_nothing_to_say)
{
    struct mesh_consumed record;
    unsigned hellos;
    size_t count;

    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 200), 0); /* less than the fetch wait's default */
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 2, MESH_OFFSET_END), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 300, &count), 0);
    hellos = atomic_load(&broker->frames[FRAME_OP_HELLO]);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 1200, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_HELLO]), hellos);
}
END_TEST

/* Ten connections, nine of which have nothing to say and keep their requests for as long as they may. */
START_TEST(shards_with_nothing_to_say_do_not_starve_the_others)
{
    struct fake_broker *wide = fake_broker_new("wide", 10);
    const char *value = "seen";
    struct mesh_consumer *reader;
    struct mesh_client *caller;
    struct mesh_consumed record;
    size_t count;

    wide->shard_count = 10;
    fake_broker_append(wide, (uint32_t)_i, &value, 1, RECORD_COMPRESSION_NONE);
    fake_broker_start(wide);
    ck_assert_int_eq(mesh_client_new(wide->address, &caller), 0);
    ck_assert_int_eq(mesh_consumer_new(caller, &reader), 0);
    ck_assert_int_eq(mesh_consumer_set_fetch_max_wait_ms(reader, 10000), 0);
    ck_assert_int_eq(mesh_consumer_assign(reader, "wide", -1, MESH_OFFSET_BEGINNING), 0);
    ck_assert_int_eq(mesh_consumer_poll(reader, &record, 1, 5000, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(record.partition, _i);
    mesh_consumer_free(reader);
    mesh_client_free(caller);
    fake_broker_stop(wide);
    fake_broker_free(wide);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client consumer");
    TCase *c = tcase_create("consumer");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, all_partitions_are_read_in_order_whatever_the_poll_size, 0, 4);
    tcase_add_loop_test(c, reading_may_begin_in_the_middle_of_a_batch, 0, 10);
    tcase_add_test(c, small_fetches_read_everything_too);
    tcase_add_loop_test(c, shards_with_nothing_to_say_do_not_starve_the_others, 0, 10);
    tcase_add_loop_test(c, trouble_neither_skips_nor_repeats, 0, sizeof(troubles) / sizeof(troubles[0]));
    tcase_add_test(c, an_offset_out_of_range_is_told_once_and_seek_goes_on);
    tcase_add_loop_test(c, damage_that_comes_once_is_asked_for_again_and_the_broker_told, 0, 2);
    tcase_add_loop_test(c, damage_is_told_once_and_stops_only_its_partition, 0, 2);
    tcase_add_loop_test(c, a_seek_leaves_what_was_doubted_behind, 0, 2);
    tcase_add_test(c, paused_partitions_keep_still_and_resume_where_they_were);
    tcase_add_test(c, seeking_and_unassigning_drop_what_was_fetched_ahead);
    tcase_add_test(c, the_end_and_times_are_resolved_at_the_leader);
    tcase_add_test(c, wrong_uses_are_refused);
    tcase_add_test(c, keys_headers_and_tombstones_come_through);
    tcase_add_test(c, freeing_with_a_fetch_under_way_is_safe);
    tcase_add_test(c, an_idle_consumer_asks_seldom);
    tcase_add_test(c, a_short_timeout_does_not_give_up_a_broker_that_only_has_nothing_to_say);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
