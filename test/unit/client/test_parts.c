/* The small parts of libmesh that decide or keep without doing I/O. */
#include "base/address.h"
#include "client/backoff.h"
#include "client/gather.h"
#include "client/partitioner.h"
#include "client/request_table.h"
#include "client/send_queue.h"
#include "client/timer_heap.h"

#include "base/error.h"
#include "base/list.h"
#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <netinet/in.h>
#include <stdlib.h>

/* ---- backoff ---- */

static const struct {
    struct backoff backoff;
    uint32_t attempt;
    double unit;
    uint32_t want_ms;
} backoff_cases[] = {
    {{20, 1000}, 0, 0.0, 10},        /* half for certain */
    {{20, 1000}, 0, 0.999, 19},      /* never the whole */
    {{20, 1000}, 1, 0.0, 20},        /* doubles */
    {{20, 1000}, 5, 0.5, 480},       /* 20 << 5 = 640 */
    {{20, 1000}, 6, 0.0, 500},       /* capped */
    {{20, 1000}, 4000000, 0.0, 500}, /* no overflow */
    {{1, 1000}, 0, 0.0, 1},          /* at least 1 ms */
};

START_TEST(backoff_doubles_up_to_its_cap_with_jitter)
{
    ck_assert_uint_eq(
        backoff_ms(&backoff_cases[_i].backoff, backoff_cases[_i].attempt, backoff_cases[_i].unit),
        backoff_cases[_i].want_ms);
}
END_TEST

/* ---- partitioner ---- */

/* From the tests of Kafka's own client (UtilsTest.testMurmur2), as signed numbers there. */
static const struct {
    const char *key;
    int32_t want;
} murmur2_cases[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
};

START_TEST(murmur2_agrees_with_kafka)
{
    uint32_t hash = partitioner_murmur2(slice_of_string(murmur2_cases[_i].key));

    ck_assert_int_eq((int32_t)hash, murmur2_cases[_i].want);
    for (int32_t count = 1; count < 50; count += 7)
        ck_assert_int_eq(partitioner_of_key(slice_of_string(murmur2_cases[_i].key), count),
                         (int32_t)(hash & 0x7fffffff) % count);
}
END_TEST

START_TEST(an_empty_key_has_a_partition)
{
    ck_assert_int_eq(partitioner_of_key(slice_of("", 0), 1), 0);
    ck_assert_int_ge(partitioner_of_key(slice_of("", 0), 12), 0);
}
END_TEST

/* ---- addresses ---- */

static const struct {
    const char *text, *host;
    uint16_t port;
} address_cases[] = {
    {"localhost", "localhost", 9092},
    {"127.0.0.1:1", "127.0.0.1", 1},
    {" broker-7.example.org:65535 ", "broker-7.example.org", 65535},
    {"[::1]", "::1", 9092},
    {"[fe80::1]:7000", "fe80::1", 7000},
};

START_TEST(addresses_are_understood)
{
    struct address address;
    char text[ADDRESS_TEXT_SIZE];
    struct address again;

    ck_assert_int_eq(address_parse(slice_of_string(address_cases[_i].text), &address), 0);
    ck_assert_str_eq(address.host, address_cases[_i].host);
    ck_assert_uint_eq(address.port, address_cases[_i].port);
    ck_assert_int_eq(address_parse(slice_of_string(address_format(&address, text)), &again), 0);
    ck_assert_str_eq(again.host, address.host);
    ck_assert_uint_eq(again.port, address.port);
}
END_TEST

static const char *const bad_addresses[] = {
    "",     " ",    ":1",     "host:", "host:0", "host:65536", "host:12x", "host:123456",
    "[::1", "[]:1", "[::1]x", "ho st", "a/b",    "h,",         ",",        "a,,b",
};

START_TEST(malformed_addresses_are_refused)
{
    struct address addresses[4];
    size_t count = 99;

    ck_assert_int_eq(address_parse_list(bad_addresses[_i], addresses, 4, &count), MESH_EINVAL);
    ck_assert_uint_eq(count, 99);
}
END_TEST

START_TEST(lists_of_addresses_have_a_limit)
{
    struct address addresses[2];
    size_t count;

    ck_assert_int_eq(address_parse_list("a,b:2", addresses, 2, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(addresses[1].host, "b");
    ck_assert_int_eq(address_parse_list("a,b,c", addresses, 2, &count), MESH_EINVAL);
}
END_TEST

START_TEST(numeric_addresses_resolve_and_nonsense_says_why)
{
    struct address address = {.host = "127.0.0.1", .port = 9};
    struct address_sockets sockets;
    const char *reason = NULL;

    ck_assert_int_eq(address_resolve(&address, &sockets, &reason), 0);
    ck_assert_uint_eq(sockets.count, 1);
    ck_assert(address_is_loopback((struct sockaddr *)&sockets.sockets[0]));
    memcpy(address.host, "no such name!", 14);
    ck_assert_int_eq(address_resolve(&address, &sockets, &reason), MESH_ERESOLVE);
    ck_assert_ptr_nonnull(reason);
}
END_TEST

/* ---- timers ---- */

#define TIMER_COUNT 200

START_TEST(timers_come_out_in_the_order_of_their_deadlines)
{
    struct timer_heap heap = {0};
    struct timer timers[TIMER_COUNT];
    struct random random;
    uint64_t last_ms = 0;
    int seen = 0;

    random_init(&random, 7);
    ck_assert_int_eq(timer_heap_reserve(&heap, TIMER_COUNT), 0);
    ck_assert_uint_eq(timer_heap_next_ms(&heap), TIMER_NEVER);
    for (int i = 0; i < TIMER_COUNT; i++) {
        timer_init(&timers[i], NULL);
        timer_arm(&heap, &timers[i], random_below(&random, 1000));
    }
    for (int i = 0; i < TIMER_COUNT; i += 3)
        timer_arm(&heap, &timers[i], random_below(&random, 1000)); /* moved */
    for (int i = 0; i < TIMER_COUNT; i += 4) {
        timer_disarm(&heap, &timers[i]);
        timer_disarm(&heap, &timers[i]); /* harmless */
    }
    while (timer_heap_next_ms(&heap) != TIMER_NEVER) {
        uint64_t next_ms = timer_heap_next_ms(&heap);
        struct timer *timer;
        ck_assert(next_ms == 0 || timer_heap_pop_due(&heap, next_ms - 1) == NULL);
        timer = timer_heap_pop_due(&heap, next_ms);
        ck_assert_uint_eq(timer->deadline_ms, next_ms);
        ck_assert_uint_ge(next_ms, last_ms);
        ck_assert(!timer_is_armed(timer));
        last_ms = next_ms;
        seen++;
    }
    ck_assert_int_eq(seen, TIMER_COUNT - TIMER_COUNT / 4);
    timer_heap_deinit(&heap);
}
END_TEST

/* ---- send queue ---- */

/* Moves random amounts through the queue in random steps and compares what comes out. */
START_TEST(what_goes_through_the_send_queue_comes_out_the_same)
{
    static uint8_t big[100000], in[8u << 20], out[8u << 20];
    struct send_queue queue;
    struct random random;
    size_t in_size = 0, out_size = 0;

    random_init(&random, (uint64_t)_i);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)random_next(&random);
    send_queue_init(&queue);
    while (in_size < 7u << 20) {
        size_t size = 1 + random_below(&random, 5000);
        switch (random_below(&random, 4)) {
        case 0:
        case 1:
            if (!send_queue_has_room(&queue, size, 1)) break;
            send_queue_stage(&queue, big + size, size);
            memcpy(in + in_size, big + size, size);
            in_size += size;
            break;
        case 2:
            ck_assert(send_queue_is_empty(&queue) ? send_queue_has_room(&queue, 0, 1) : true);
            if (!send_queue_has_room(&queue, 0, 1)) break;
            send_queue_borrow(&queue, big + size, size * 10);
            memcpy(in + in_size, big + size, size * 10);
            in_size += size * 10;
            break;
        case 3: {
            struct buffer owned = BUFFER_INIT;
            buffer_append(&owned, big, size);
            ck_assert_int_eq(send_queue_own(&queue, &owned), 0);
            ck_assert_ptr_null(owned.data);
            memcpy(in + in_size, big, size);
            in_size += size;
        }
        }
        for (size_t budget = random_below(&random, 30000); budget > 0 && !send_queue_is_empty(&queue);) {
            size_t count, take;
            struct iovec *iovecs = send_queue_iovecs(&queue, 3, &count);
            take = iovecs[0].iov_len < budget ? iovecs[0].iov_len : budget;
            memcpy(out + out_size, iovecs[0].iov_base, take);
            out_size += take;
            budget -= take;
            send_queue_advance(&queue, take);
        }
        ck_assert_uint_eq(queue.position_in, in_size);
        ck_assert_uint_eq(queue.position_out, out_size);
    }
    ck_assert_int_eq(memcmp(in, out, out_size), 0);
    send_queue_deinit(&queue); /* frees what waits: the leak checker looks */
}
END_TEST

START_TEST(a_full_ring_says_so_and_recovers)
{
    static const uint8_t bytes[1000];
    struct send_queue queue;
    size_t staged = 0;

    send_queue_init(&queue);
    while (send_queue_has_room(&queue, sizeof(bytes), 1)) {
        send_queue_stage(&queue, bytes, sizeof(bytes));
        staged += sizeof(bytes);
    }
    ck_assert_uint_gt(staged, SEND_QUEUE_RING_SIZE - sizeof(bytes) - 1);
    send_queue_advance(&queue, staged);
    ck_assert(send_queue_has_room(&queue, SEND_QUEUE_RING_SIZE, 1));
    ck_assert(!send_queue_has_room(&queue, SEND_QUEUE_RING_SIZE + 1, 1));
    send_queue_deinit(&queue);
}
END_TEST

/* ---- request table ---- */

START_TEST(requests_are_found_by_their_correlation_ids)
{
    static struct request requests[1000];
    struct request_table table;
    struct request replacement;

    request_table_init(&table);
    ck_assert_ptr_null(request_table_find(&table, 1));
    ck_assert_ptr_null(request_table_oldest(&table));
    table.first_id = table.next_id = UINT32_MAX - 300; /* the ids wrap on the way */
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(request_table_add(&table, &requests[i]), 0);
    for (int i = 999; i >= 0; i -= 2) { /* answered out of order */
        ck_assert_ptr_eq(request_table_find(&table, requests[i].correlation_id), &requests[i]);
        request_table_remove(&table, &requests[i]);
        ck_assert_ptr_null(request_table_find(&table, requests[i].correlation_id));
    }
    ck_assert_ptr_null(request_table_find(&table, requests[0].correlation_id - 1));
    request_table_replace(&table, &requests[2], &replacement);
    ck_assert_ptr_eq(request_table_find(&table, requests[2].correlation_id), &replacement);
    request_table_remove(&table, &replacement);
    ck_assert_ptr_eq(request_table_oldest(&table), &requests[0]);
    ck_assert_uint_eq(table.count, 499);
    request_table_deinit(&table);
}
END_TEST

START_TEST(a_steady_pipeline_does_not_grow_the_table)
{
    struct request requests[8];
    struct request_table table;
    uint32_t id;

    request_table_init(&table);
    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(request_table_add(&table, &requests[i % 8]), 0);
        ck_assert_int_eq(request_table_skip(&table, &id), 0);
        ck_assert_ptr_null(request_table_find(&table, id));
        request_table_remove(&table, &requests[i % 8]);
    }
    ck_assert_uint_le(table.capacity, 64);
    request_table_deinit(&table);
}
END_TEST

/* ---- gather ---- */

#define GATHER_MIB ((size_t)1 << 20)

static const struct {
    const char *name;
    size_t fresh_bytes; /* each millisecond, for three windows */
    struct gather_load load;
    bool is_waiting, has_plenty;
} gather_cases[] = {
    {"a flood over thousands waits", 256 << 10, {5000, 8 * GATHER_MIB, 20 * GATHER_MIB, 256 * GATHER_MIB}, true, false},
    {"also with 8 KiB for each", 256 << 10, {2000, 16 * GATHER_MIB, 40 * GATHER_MIB, 256 * GATHER_MIB}, true, false},
    {"until there is 16 KiB for each", 256 << 10, {2000, 32 * GATHER_MIB, 80 * GATHER_MIB, 256 * GATHER_MIB}, false, true},
    {"or a fourth of the memory", 256 << 10, {50000, 64 * GATHER_MIB, 90 * GATHER_MIB, 256 * GATHER_MIB}, false, true},
    {"or little memory is left", 256 << 10, {5000, 8 * GATHER_MIB, 192 * GATHER_MIB, 256 * GATHER_MIB}, false, true},
    {"few batches never wait", 256 << 10, {255, 0, 0, 64 * GATHER_MIB}, false, false},
    {"a trickle never waits", 32 << 10, {5000, 8 * GATHER_MIB, 20 * GATHER_MIB, 256 * GATHER_MIB}, false, false},
    {"nor does one who has stopped", 0, {5000, 8 * GATHER_MIB, 20 * GATHER_MIB, 256 * GATHER_MIB}, false, false},
    {"tiny memory is no reason to wait", 256 << 10, {300, 2048, 4096, 4096}, false, true},
};

START_TEST(a_flood_over_many_partitions_gathers)
{
    struct gather gather = {0};
    uint64_t now_ms = 1000;

    for (; now_ms < 1000 + 3 * GATHER_WINDOW_MS; now_ms++)
        gather_update(&gather, now_ms, gather_cases[_i].fresh_bytes, &gather_cases[_i].load);
    ck_assert_msg(gather.is_waiting == gather_cases[_i].is_waiting && gather.has_plenty == gather_cases[_i].has_plenty, "%s",
                  gather_cases[_i].name);
}
END_TEST

START_TEST(gathering_ends_with_the_flood)
{
    const struct gather_load load = {5000, 8 * GATHER_MIB, 20 * GATHER_MIB, 256 * GATHER_MIB};
    struct gather gather = {0};
    uint64_t now_ms = 1000;

    for (; now_ms < 1000 + 3 * GATHER_WINDOW_MS; now_ms++)
        gather_update(&gather, now_ms, 256 << 10, &load);
    ck_assert(gather.is_waiting);
    for (int looks = 0; looks < 2 && gather.is_waiting; looks++)
        gather_update(&gather, gather_due_ms(&gather), 0, &load);
    ck_assert(!gather.is_waiting); /* at the second look at the latest */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client parts");
    TCase *c = tcase_create("parts");

    tcase_add_loop_test(c, backoff_doubles_up_to_its_cap_with_jitter, 0,
                        sizeof(backoff_cases) / sizeof(backoff_cases[0]));
    tcase_add_loop_test(c, murmur2_agrees_with_kafka, 0, sizeof(murmur2_cases) / sizeof(murmur2_cases[0]));
    tcase_add_test(c, an_empty_key_has_a_partition);
    tcase_add_loop_test(c, addresses_are_understood, 0, sizeof(address_cases) / sizeof(address_cases[0]));
    tcase_add_loop_test(c, malformed_addresses_are_refused, 0,
                        sizeof(bad_addresses) / sizeof(bad_addresses[0]));
    tcase_add_test(c, lists_of_addresses_have_a_limit);
    tcase_add_test(c, numeric_addresses_resolve_and_nonsense_says_why);
    tcase_add_test(c, timers_come_out_in_the_order_of_their_deadlines);
    tcase_add_loop_test(c, what_goes_through_the_send_queue_comes_out_the_same, 0, 3);
    tcase_add_test(c, a_full_ring_says_so_and_recovers);
    tcase_add_test(c, requests_are_found_by_their_correlation_ids);
    tcase_add_test(c, a_steady_pipeline_does_not_grow_the_table);
    tcase_add_loop_test(c, a_flood_over_many_partitions_gathers, 0, sizeof(gather_cases) / sizeof(gather_cases[0]));
    tcase_add_test(c, gathering_ends_with_the_flood);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
