/* Seeds as people write them, and what becomes of them with a name server that answers, errs or says nothing. */
#include "cmd/broker/peers/resolver.h"

#include "base/error.h"
#include "dns_server.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

struct outcome {
    int calls, error;
    char reason[64];
    size_t count;
    char addresses[RESOLVER_ADDRESSES_MAX][NET_ADDRESS_STRING_SIZE];
};

static struct ev_loop *loop;
static struct dns_server server;
static struct resolver *resolver;

static void setup(void)
{
    loop = ev_loop_new(EVBACKEND_EPOLL);
    dns_server_start(&server, loop);
    ck_assert_int_eq(resolver_new(loop, server.address, &resolver), 0);
}

static void teardown(void)
{
    resolver_free(resolver);
    dns_server_stop(&server);
    ev_loop_destroy(loop);
}

static void on_answer(void *user, int error, const char *reason, const struct net_address *addresses, size_t count)
{
    struct outcome *outcome = user;

    outcome->calls++;
    outcome->error = error;
    outcome->count = count;
    snprintf(outcome->reason, sizeof(outcome->reason), "%s", reason);
    for (size_t i = 0; i < count; i++)
        net_address_format(&addresses[i], outcome->addresses[i]);
}

static void start_look_up(const char *text, struct outcome *outcome)
{
    struct seed seed;

    memset(outcome, 0, sizeof(*outcome));
    ck_assert_int_eq(seed_parse(text, &seed), 0);
    ck_assert_int_eq(resolver_look_up(resolver, &seed, on_answer, outcome), 0);
}

static void look_up(const char *text, struct outcome *outcome)
{
    start_look_up(text, outcome);
    while (outcome->calls == 0)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_int_eq(outcome->calls, 1);
}

static bool has(const struct outcome *outcome, const char *address)
{
    for (size_t i = 0; i < outcome->count; i++)
        if (strcmp(outcome->addresses[i], address) == 0) return true;
    return false;
}

static void serve(const struct dns_record *records, size_t count)
{
    server.records = records;
    server.count = count;
}

/* ---- seeds ---- */

static const struct {
    const char *text;
    int error;
    enum seed_kind kind;
    const char *again;
} seed_cases[] = {
    {"10.0.0.1", 0, SEED_ADDRESS, "10.0.0.1:9092"},
    {"10.0.0.1:7000", 0, SEED_ADDRESS, "10.0.0.1:7000"},
    {"[2001:db8::1]:7000", 0, SEED_ADDRESS, "[2001:db8::1]:7000"},
    {"[::1]", 0, SEED_ADDRESS, "[::1]:9092"},
    {"mesh-0.mesh.prod.svc", 0, SEED_HOST, "mesh-0.mesh.prod.svc:9092"},
    {"localhost:1", 0, SEED_HOST, "localhost:1"},
    {"_mesh._tcp.example.org", 0, SEED_SERVICE, "_mesh._tcp.example.org"},
    {"", MESH_EINVAL, 0, NULL},
    {"host:", MESH_EINVAL, 0, NULL},
    {"host:0", MESH_EINVAL, 0, NULL},
    {"host:65536", MESH_EINVAL, 0, NULL},
    {"[::1", MESH_EINVAL, 0, NULL},
};

START_TEST(seeds_are_understood_as_people_write_them)
{
    char text[ADDRESS_TEXT_SIZE];
    struct seed seed;

    ck_assert_int_eq(seed_parse(seed_cases[_i].text, &seed), seed_cases[_i].error);
    if (seed_cases[_i].error != 0) return;
    ck_assert_int_eq(seed.kind, seed_cases[_i].kind);
    ck_assert_str_eq(seed_format(&seed, text), seed_cases[_i].again);
}
END_TEST

/* ---- look-ups ---- */

START_TEST(a_numeric_seed_asks_nobody)
{
    struct outcome outcome;

    start_look_up("10.1.2.3:7", &outcome);
    ck_assert_int_eq(outcome.calls, 1);
    ck_assert_str_eq(outcome.addresses[0], "10.1.2.3:7");
    ck_assert_uint_eq(server.udp_questions, 0);
}
END_TEST

START_TEST(all_addresses_of_both_families_are_found)
{
    static const struct dns_record records[] = {
        {"mesh.test", DNS_A, "10.0.0.1", 0}, {"mesh.test", DNS_A, "10.0.0.2", 0}, {"mesh.test", DNS_AAAA, "2001:db8::3", 0}};
    struct outcome outcome;

    serve(records, 3);
    look_up("mesh.test:7000", &outcome);
    ck_assert_int_eq(outcome.error, 0);
    ck_assert_uint_eq(outcome.count, 3);
    ck_assert(has(&outcome, "10.0.0.1:7000") && has(&outcome, "10.0.0.2:7000") && has(&outcome, "[2001:db8::3]:7000"));
}
END_TEST

START_TEST(an_answer_too_long_for_a_packet_comes_by_tcp)
{
    static struct dns_record records[200];
    static char texts[200][16];
    struct outcome outcome;

    for (int i = 0; i < 200; i++) {
        snprintf(texts[i], sizeof(texts[i]), "10.0.1.%d", i);
        records[i] = (struct dns_record){"many.test", DNS_A, texts[i], 0};
    }
    serve(records, 200);
    look_up("many.test", &outcome);
    ck_assert_uint_eq(outcome.count, 200);
    ck_assert_uint_ge(server.tcp_questions, 1);
}
END_TEST

START_TEST(more_addresses_than_the_bound_are_left_out)
{
    static struct dns_record records[RESOLVER_ADDRESSES_MAX + 50];
    static char texts[RESOLVER_ADDRESSES_MAX + 50][16];
    struct outcome outcome;

    for (int i = 0; i < RESOLVER_ADDRESSES_MAX + 50; i++) {
        snprintf(texts[i], sizeof(texts[i]), "10.0.%d.%d", i / 250, i % 250);
        records[i] = (struct dns_record){"many.test", DNS_A, texts[i], 0};
    }
    serve(records, RESOLVER_ADDRESSES_MAX + 50);
    look_up("many.test", &outcome);
    ck_assert_uint_eq(outcome.count, RESOLVER_ADDRESSES_MAX);
}
END_TEST

START_TEST(a_service_brings_its_hosts_and_ports)
{
    static const struct dns_record records[] = {{"_mesh._tcp.test", DNS_SRV, "a.test", 7001},
                                                {"_mesh._tcp.test", DNS_SRV, "b.test", 7002},
                                                {"_mesh._tcp.test", DNS_SRV, "gone.test", 7003},
                                                {"a.test", DNS_A, "10.0.0.1", 0},
                                                {"b.test", DNS_AAAA, "2001:db8::2", 0}};
    struct outcome outcome;

    serve(records, 5);
    look_up("_mesh._tcp.test", &outcome);
    ck_assert_int_eq(outcome.error, 0);
    ck_assert_uint_eq(outcome.count, 2);
    ck_assert(has(&outcome, "10.0.0.1:7001") && has(&outcome, "[2001:db8::2]:7002"));
}
END_TEST

START_TEST(a_name_that_does_not_exist_yet_is_told_and_found_later)
{
    static const struct dns_record records[] = {{"late.test", DNS_A, "10.0.0.9", 0}};
    struct outcome outcome;

    look_up("late.test", &outcome);
    ck_assert_int_eq(outcome.error, MESH_ERESOLVE);
    ck_assert_str_eq(outcome.reason, "no such name");
    serve(records, 1);
    look_up("late.test", &outcome);
    ck_assert_int_eq(outcome.error, 0);
}
END_TEST

START_TEST(a_silent_name_server_ends_in_an_error)
{
    struct outcome outcome;

    server.is_silent = true;
    look_up("mesh.test", &outcome);
    ck_assert_int_eq(outcome.error, MESH_EAGAIN);
    ck_assert_str_eq(outcome.reason, "the name server does not answer");
}
END_TEST

START_TEST(nothing_is_told_after_the_end)
{
    struct outcome outcome;

    server.is_silent = true;
    start_look_up("mesh.test", &outcome);
    resolver_free(resolver);
    resolver = NULL;
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_int_eq(outcome.calls, 0);
}
END_TEST

START_TEST(many_questions_at_once_are_each_answered)
{
    static const struct dns_record records[] = {{"mesh.test", DNS_A, "10.0.0.1", 0}};
    static struct outcome outcomes[32];
    int answered = 0;

    serve(records, 1);
    for (int i = 0; i < 32; i++)
        start_look_up(i % 2 == 0 ? "mesh.test" : "other.test", &outcomes[i]);
    while (answered < 32) {
        ev_run(loop, EVRUN_ONCE);
        answered = 0;
        for (int i = 0; i < 32; i++)
            answered += outcomes[i].calls;
    }
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(outcomes[i].error, i % 2 == 0 ? 0 : MESH_ERESOLVE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolver");
    TCase *tcase = tcase_create("resolver");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, seeds_are_understood_as_people_write_them, 0, sizeof(seed_cases) / sizeof(seed_cases[0]));
    tcase_add_test(tcase, a_numeric_seed_asks_nobody);
    tcase_add_test(tcase, all_addresses_of_both_families_are_found);
    tcase_add_test(tcase, an_answer_too_long_for_a_packet_comes_by_tcp);
    tcase_add_test(tcase, more_addresses_than_the_bound_are_left_out);
    tcase_add_test(tcase, a_service_brings_its_hosts_and_ports);
    tcase_add_test(tcase, a_name_that_does_not_exist_yet_is_told_and_found_later);
    tcase_add_test(tcase, a_silent_name_server_ends_in_an_error);
    tcase_add_test(tcase, nothing_is_told_after_the_end);
    tcase_add_test(tcase, many_questions_at_once_are_each_answered);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
