/* The small parts of a shard: the queue of acknowledgements, the pool of buffers, the sniffer, the settings. */
#include "base/error.h"
#include "cmd/broker/front/sniff.h"
#include "cmd/broker/runtime/ack_queue.h"
#include "cmd/broker/runtime/pool.h"
#include "cmd/broker/settings.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>

/* ---- acknowledgements ---- */

START_TEST(acknowledgements_keep_their_order_while_the_ring_grows_and_wraps)
{
    struct ack_queue queue = ACK_QUEUE_INIT;
    uint64_t pushed = 0, popped = 0;

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 37; i++) {
            struct ack *ack = ack_queue_push(&queue);
            ck_assert_ptr_nonnull(ack);
            ack->ticket = pushed++;
        }
        for (int i = 0; i < 31; i++) {
            ck_assert_uint_eq(ack_queue_front(&queue)->ticket, popped++);
            ack_queue_pop(&queue);
        }
    }
    for (; popped < pushed; popped++) {
        ck_assert_uint_eq(ack_queue_front(&queue)->ticket, popped);
        ack_queue_pop(&queue);
    }
    ck_assert_ptr_null(ack_queue_front(&queue));
    ack_queue_trim(&queue);
    ck_assert_uint_eq(queue.capacity, 0);
    ack_queue_deinit(&queue);
}
END_TEST

START_TEST(a_queue_that_cannot_grow_keeps_what_it_has)
{
    struct ack_queue queue = ACK_QUEUE_INIT;
    struct ack *ack;
    uint64_t count = 0;

    do {
        failing_alloc_arm(queue.count == 0 ? 2 : 1); /* the first push may allocate */
        ack = ack_queue_push(&queue);
        failing_alloc_disarm();
        if (ack != NULL) ack->ticket = count++;
    } while (ack != NULL);
    ck_assert_uint_gt(count, 1);
    for (uint64_t i = 0; i < count; i++) {
        ck_assert_uint_eq(ack_queue_front(&queue)->ticket, i);
        ack_queue_pop(&queue);
    }
    ack_queue_deinit(&queue);
}
END_TEST

START_TEST(an_undone_push_leaves_no_trace)
{
    struct ack_queue queue = ACK_QUEUE_INIT;

    ack_queue_push(&queue)->ticket = 1;
    ck_assert_ptr_nonnull(ack_queue_push(&queue));
    ack_queue_unpush(&queue);
    ack_queue_push(&queue)->ticket = 2;
    ack_queue_pop(&queue);
    ck_assert_uint_eq(ack_queue_front(&queue)->ticket, 2);
    ack_queue_deinit(&queue);
}
END_TEST

/* ---- pool ---- */

START_TEST(the_pool_keeps_to_its_limit_except_for_what_is_urgent)
{
    struct pool_buffer *first, *urgent;
    struct pool pool;

    pool_init(&pool, 100000);
    first = pool_acquire(&pool, 60000, false);
    ck_assert_ptr_nonnull(first);
    ck_assert_uint_ge(first->capacity, 60000);
    ck_assert_uint_eq(pool.used_bytes, pool_cost(60000));
    ck_assert_ptr_null(pool_acquire(&pool, 60000, false));
    urgent = pool_acquire(&pool, 60000, true);
    ck_assert_ptr_nonnull(urgent);
    pool_release(&pool, first);
    pool_release(&pool, urgent);
    pool_deinit(&pool);
}
END_TEST

START_TEST(what_is_charged_to_the_pool_leaves_less_for_others)
{
    struct pool_buffer *urgent;
    struct pool pool;

    pool_init(&pool, 100000);
    pool_charge(&pool, 90000);
    ck_assert_ptr_null(pool_acquire(&pool, 60000, false));
    urgent = pool_acquire(&pool, 60000, true);
    ck_assert_ptr_nonnull(urgent);
    pool_release(&pool, urgent);
    pool_uncharge(&pool, 90000);
    pool_release(&pool, pool_acquire(&pool, 60000, false));
    pool_deinit(&pool);
}
END_TEST

START_TEST(the_hottest_buffer_is_used_first)
{
    struct pool_buffer *a, *b;
    struct pool pool;

    pool_init(&pool, 1 << 20);
    a = pool_acquire(&pool, 1000, false);
    b = pool_acquire(&pool, 1000, false);
    pool_release(&pool, a);
    pool_release(&pool, b);
    ck_assert_uint_gt(pool.free_bytes, 0);
    ck_assert_ptr_eq(pool_acquire(&pool, 1000, false), b);
    ck_assert_uint_eq(b->start, 0);
    ck_assert_uint_eq(b->end, 0);
    pool_release(&pool, b);
    pool_trim(&pool);
    ck_assert_uint_eq(pool.free_bytes, 0);
    pool_deinit(&pool);
}
END_TEST

/* ---- sniffing ---- */

static const struct {
    const char *bytes;
    size_t size;
    enum sniff want;
} sniff_cases[] = {
    {"MESH\1", 5, SNIFF_NATIVE},
    {"MES", 3, SNIFF_MORE},
    {"M", 1, SNIFF_MORE},
    {"", 0, SNIFF_MORE},
    {"MESX", 4, SNIFF_KAFKA},
    {"GET / HTTP/1.1", 14, SNIFF_HTTP},
    {"GE", 2, SNIFF_MORE},
    {"GEX", 3, SNIFF_KAFKA},
    {"OPTIONS ", 8, SNIFF_HTTP},
    {"OPTIONS", 7, SNIFF_MORE},
    {"P", 1, SNIFF_MORE},
    {"PUT /", 5, SNIFF_HTTP},
    {"\x16\x03\x01", 3, SNIFF_TLS},
    {"\x16", 1, SNIFF_MORE},
    {"\0\0\0\x20\0\x12", 6, SNIFF_KAFKA},
    {"SSH-2.0-", 8, SNIFF_KAFKA},
    {"MSTR\1\0\2", 7, SNIFF_MORE},
    {"MSTR\1\0\2\0", 8, SNIFF_STREAM},
    {"MLNK", 4, SNIFF_PEER},
};
START_TEST(the_first_bytes_tell_the_door)
{
    ck_assert_int_eq(sniff(slice_of(sniff_cases[_i].bytes, sniff_cases[_i].size)), sniff_cases[_i].want);
}
END_TEST

START_TEST(no_eight_bytes_leave_the_door_open)
{
    for (unsigned first = 0; first < 256; first++) {
        char bytes[SNIFF_BYTES_MAX] = {(char)first, 'E', 'T', ' ', '/', ' ', 'H', 'T'};
        ck_assert_int_ne(sniff(slice_of(bytes, sizeof(bytes))), SNIFF_MORE);
    }
}
END_TEST

/* ---- settings ---- */

static const struct {
    const char *key, *value;
    int want;
} setting_cases[] = {
    {"connections.max", "10", 0},
    {"connections.max", "0", MESH_EINVAL},
    {"connections.max", "-1", MESH_EINVAL},
    {"connections.max", "10k", MESH_EINVAL}, /* suffixes are for bytes */
    {"connections.max", "", MESH_EINVAL},
    {"request.bytes.max", "1m", 0},
    {"request.bytes.max", "1G", 0},
    {"request.bytes.max", "1MiB", 0},
    {"request.bytes.max", "64kib", 0},
    {"request.bytes.max", "1m1", MESH_EINVAL},
    {"request.bytes.max", "2h", MESH_EINVAL},
    {"stop.ms.max", "5s", 0},
    {"stop.ms.max", "500ms", 0},
    {"moves.replace.ms", "7d", 0},
    {"moves.replace.ms", "8d", MESH_EINVAL}, /* the unit counts */
    {"stop.ms.max", "1w", MESH_EINVAL},
    {"stop.ms.max", "5 s", MESH_EINVAL},
    {"scrub.rest.ms", "18446744073709551615d", MESH_EINVAL}, /* overflows */
    {"log-level", "debug", 0},
    {"log-level", "0", MESH_EINVAL},
    {"log-level", "", MESH_EINVAL},
    {"request.bytes.max", "1", MESH_EINVAL},
    {"request.bytes.max", "1mb", MESH_EINVAL},
    {"request.bytes.max", "1 m", MESH_EINVAL},
    {"memory.bytes.max", "99999999999999999999", MESH_EINVAL},
    {"memory.bytes.max", "18014398509481984k", MESH_EINVAL}, /* overflows */
    {"topic.retention.ms", "1000", 0},
    {"topic.", "1", MESH_EINVAL},
    {"topic.partitions", "12", 0},
    {"topic.partitions", "many", MESH_EINVAL},
    {"no.such.key", "1", MESH_EINVAL},
};
START_TEST(settings_are_judged_with_a_reason)
{
    struct settings settings;
    char reason[200] = "";

    settings_init(&settings);
    ck_assert_int_eq(settings_set(&settings, setting_cases[_i].key, setting_cases[_i].value, reason, sizeof(reason)),
                     setting_cases[_i].want);
    ck_assert_int_eq(reason[0] != '\0', setting_cases[_i].want != 0);
}
END_TEST

/* What is told of a setting is what would set it. */
START_TEST(settings_are_told_as_they_are_set)
{
    struct settings settings, other;
    char text[SETTINGS_PATH_MAX], reason[64];
    size_t said = 0;

    settings_init(&settings);
    for (size_t i = 0; settings_info(i) != NULL; i++)
        ck_assert(settings_is_default(&settings, i));
    ck_assert_int_eq(settings_set(&settings, "request.bytes.max", "2m", reason, sizeof(reason)), 0);
    ck_assert_int_eq(settings_set(&settings, "tls.key", "/a/key.pem", reason, sizeof(reason)), 0);
    settings_init(&other);
    for (size_t i = 0; settings_info(i) != NULL; i++) {
        ck_assert_int_eq(settings_set(&other, settings_info(i)->key, settings_format(&settings, i, text), reason, sizeof(reason)), 0);
        said += !settings_is_default(&settings, i);
    }
    ck_assert_uint_eq(said, 2);
    ck_assert_uint_eq(other.request_bytes_max, 2u << 20);
    ck_assert_str_eq(other.tls_key, "/a/key.pem");
    memset(other.sources, 0, sizeof(other.sources)); /* all were said there */
    memset(settings.sources, 0, sizeof(settings.sources));
    ck_assert_mem_eq(&other, &settings, sizeof(settings));
}
END_TEST

START_TEST(settings_reach_their_fields)
{
    struct settings settings;
    char text[SETTINGS_TEXT_MAX];

    settings_init(&settings);
    ck_assert_int_eq(settings_set(&settings, "request.bytes.max", "2m", NULL, 0), 0);
    ck_assert_uint_eq(settings.request_bytes_max, 2u << 20);
    ck_assert_int_eq(settings_set(&settings, "topic.flush", "async", NULL, 0), 0);
    ck_assert_int_eq(settings_set(&settings, "topic.flush", "group", NULL, 0), 0);
    ck_assert_uint_eq(settings.topic_default_count, 1);
    ck_assert_str_eq(settings.topic_defaults[0].key, "flush");
    ck_assert_str_eq(settings.topic_defaults[0].value, "group");
    ck_assert_int_eq(settings_set(&settings, "moves.replace.ms", "10M", NULL, 0), 0);
    ck_assert_uint_eq(settings.moves_replace_ms, 600000);
    ck_assert_int_eq(settings_set(&settings, "memory.bytes.max", "3gib", NULL, 0), 0);
    ck_assert_uint_eq(settings.memory_bytes_max, 3ull << 30);
    for (size_t i = 0; settings_info(i) != NULL; i++) { /* every default is legal */
        ck_assert_int_eq(settings_set(&settings, settings_info(i)->key, settings_format_number(i, settings_info(i)->fallback, text), NULL, 0), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runtime");
    TCase *tcase = tcase_create("runtime");

    tcase_add_test(tcase, acknowledgements_keep_their_order_while_the_ring_grows_and_wraps);
    tcase_add_test(tcase, a_queue_that_cannot_grow_keeps_what_it_has);
    tcase_add_test(tcase, an_undone_push_leaves_no_trace);
    tcase_add_test(tcase, the_pool_keeps_to_its_limit_except_for_what_is_urgent);
    tcase_add_test(tcase, what_is_charged_to_the_pool_leaves_less_for_others);
    tcase_add_test(tcase, the_hottest_buffer_is_used_first);
    tcase_add_loop_test(tcase, the_first_bytes_tell_the_door, 0, sizeof(sniff_cases) / sizeof(sniff_cases[0]));
    tcase_add_test(tcase, no_eight_bytes_leave_the_door_open);
    tcase_add_test(tcase, settings_are_told_as_they_are_set);
    tcase_add_loop_test(tcase, settings_are_judged_with_a_reason, 0,
                        sizeof(setting_cases) / sizeof(setting_cases[0]));
    tcase_add_test(tcase, settings_reach_their_fields);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
