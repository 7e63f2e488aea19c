/* Connections, addresses, calls about topics, and the application's own loop. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "base/assert.h"
#include "base/clock.h"
#include "support/run_suite.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fake_broker *broker;
static struct mesh_client *client;

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

static void set_plan(enum frame_op op, enum fake_action action, int error, int count)
{
    plan.op = op;
    plan.action = action;
    plan.error = error;
    atomic_store(&plan.count, count);
}

static void set_up(void)
{
    broker = fake_broker_new("t", 2);
    broker->script = follow_plan;
    broker->script_user = &plan;
    set_plan(0, FAKE_SERVE, 0, 0);
    fake_broker_start(broker);
    client = NULL;
}

static void tear_down(void)
{
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

static void connect_to(const char *list, int timeout_ms)
{
    ck_assert_int_eq(mesh_client_new(list, &client), 0);
    ck_assert_int_eq(mesh_client_set_name(client, "test"), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, timeout_ms), 0);
}

/* A port that listens and never says anything (is_silent), or one where nobody listens. */
static int odd_port(bool is_silent, char to[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (is_silent) ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(to, 32, "127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

START_TEST(when_none_answers_the_error_names_every_address_and_cause)
{
    char dead[32], silent[32], list[100];
    int dead_fd = odd_port(false, dead), silent_fd = odd_port(true, silent);
    struct mesh_status *status;

    snprintf(list, sizeof(list), "%s,%s", dead, silent);
    connect_to(list, 600);
    ck_assert_int_eq(mesh_status_get(client, &status), MESH_EUNREACHABLE);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), dead));
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), silent));
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "refused"));
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "mesh serve"));
    close(dead_fd);
    close(silent_fd);
}
END_TEST

START_TEST(brokers_that_all_refuse_are_given_up_early_when_asked_for)
{
    char dead[32], other[32], silent[32], list[200];
    int dead_fd = odd_port(false, dead), other_fd = odd_port(false, other),
        silent_fd = odd_port(true, silent);
    struct mesh_status *status;
    uint64_t start_ms;

    snprintf(list, sizeof(list), "%s,%s", dead, other);
    connect_to(list, 20000);
    ck_assert_int_eq(mesh_client_set_refused_timeout_ms(client, -2), MESH_EINVAL);
    ck_assert_int_eq(mesh_client_set_refused_timeout_ms(client, 100), 0);
    start_ms = clock_monotonic_ms();
    ck_assert_int_eq(mesh_status_get(client, &status), MESH_EUNREACHABLE);
    ck_assert_uint_ge(clock_monotonic_ms() - start_ms, 100);
    ck_assert_uint_lt(clock_monotonic_ms() - start_ms, 5000);
    mesh_client_free(client);

    snprintf(list, sizeof(list), "%s,%s", dead, silent); /* silence is not a refusal */
    connect_to(list, 1500);
    ck_assert_int_eq(mesh_client_set_refused_timeout_ms(client, 0), 0);
    start_ms = clock_monotonic_ms();
    ck_assert_int_eq(mesh_status_get(client, &status), MESH_EUNREACHABLE);
    ck_assert_uint_ge(clock_monotonic_ms() - start_ms, 1400);
    close(dead_fd);
    close(other_fd);
    close(silent_fd);
}
END_TEST

START_TEST(any_address_may_be_down_or_silent)
{
    char dead[32], silent[32], list[200];
    int dead_fd = odd_port(false, dead), silent_fd = odd_port(true, silent);
    uint64_t start_ms = clock_monotonic_ms();
    struct mesh_status *status;

    snprintf(list, sizeof(list), "%s,%s,no such host!x,%s", dead, silent, broker->address);
    ck_assert_int_eq(mesh_client_new(list, &client), MESH_EINVAL);
    snprintf(list, sizeof(list), "%s,%s,host.invalid:1,%s", dead, silent, broker->address);
    connect_to(list, 20000);
    ck_assert_int_eq(mesh_status_get(client, &status), 0);
    ck_assert_str_eq(mesh_status_info(status)->version, "fake");
    ck_assert_uint_eq(mesh_status_info(status)->partitions, 2);
    mesh_status_free(status);
    ck_assert_uint_lt(clock_monotonic_ms() - start_ms, 15000);
    close(dead_fd);
    close(silent_fd);
}
END_TEST

START_TEST(a_broker_that_comes_back_is_found_again)
{
    struct mesh_producer *producer;
    const struct mesh_record hello = {.value = "x", .value_size = 1};

    connect_to(broker->address, 5000);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
        fake_broker_stop(broker); /* the connection breaks */
        fake_broker_start(broker);
    }
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    mesh_producer_free(producer);
}
END_TEST

START_TEST(the_leader_is_found_through_another_broker)
{
    struct fake_broker *leader = fake_broker_new("t", 2);
    const struct mesh_record hello = {.value = "x", .value_size = 1, .partition = 1};
    struct mesh_producer *producer;
    struct mesh_consumer *consumer;
    struct mesh_consumed record;
    size_t count;

    fake_broker_stop(broker);
    leader->node_id = 8;
    broker->leader = leader;
    fake_broker_start(leader);
    fake_broker_start(broker);
    connect_to(broker->address, 5000);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    ck_assert_uint_eq(atomic_load(&leader->produced_records), 1);
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_PRODUCE]), 0);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 1, MESH_OFFSET_BEGINNING), 0);
    ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 5000, &count), 0);
    ck_assert_uint_eq(count, 1);
    mesh_consumer_free(consumer);
    mesh_producer_free(producer);
    mesh_client_free(client);
    client = NULL;
    fake_broker_stop(leader);
    fake_broker_free(leader);
}
END_TEST

START_TEST(topics_are_made_changed_and_removed)
{
    struct mesh_topic_options *options;

    connect_to(broker->address, 5000);
    ck_assert_int_eq(mesh_topic_options_new(&options), 0);
    ck_assert_int_eq(mesh_topic_options_set_partitions(options, 0), MESH_EINVALID_PARTITIONS);
    ck_assert_int_eq(mesh_topic_options_set_partitions(options, 2), 0);
    ck_assert_int_eq(mesh_topic_options_set_replicas(options, -1), MESH_EINVALID_REPLICATION);
    ck_assert_int_eq(mesh_topic_options_set(options, "", "x"), MESH_EINVALID_CONFIG);
    ck_assert_int_eq(mesh_topic_options_set(options, "flush", "async"), 0);
    ck_assert_int_eq(mesh_topic_options_set(options, "flush", "group"), 0);
    ck_assert_int_eq(mesh_topic_options_set(options, "retention.ms", NULL), 0);
    ck_assert_int_eq(mesh_topic_create(client, "t", options), 0);
    ck_assert_int_eq(mesh_topic_alter(client, "t", options), 0);
    ck_assert_int_eq(mesh_topic_delete(client, "t"), 0);
    ck_assert_int_eq(mesh_topic_create(client, "", options), MESH_EINVALID_TOPIC);
    mesh_topic_options_free(options);
    set_plan(FRAME_OP_TOPIC_CREATE, FAKE_FAIL_EACH, MESH_ETOPIC_EXISTS, 1);
    ck_assert_int_eq(mesh_topic_create(client, "t", NULL), MESH_ETOPIC_EXISTS);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "\"t\""));
    set_plan(FRAME_OP_TOPIC_DELETE, FAKE_REFUSE, MESH_EUNAUTHORIZED, 1);
    ck_assert_int_eq(mesh_topic_delete(client, "t"), MESH_EUNAUTHORIZED);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "refused by the script"));
}
END_TEST

START_TEST(a_change_whose_answer_is_lost_is_not_made_twice)
{
    connect_to(broker->address, 5000);
    set_plan(FRAME_OP_TOPIC_CREATE, FAKE_SERVE_AND_CLOSE, 0, 100);
    ck_assert_int_eq(mesh_topic_create(client, "t", NULL), MESH_ECLOSED);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "may or may not"));
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_TOPIC_CREATE]), 1);
}
END_TEST

START_TEST(a_question_whose_answer_is_lost_is_asked_again)
{
    static const enum fake_action actions[] = {FAKE_CLOSE,           FAKE_SERVE_AND_CLOSE, FAKE_SERVE_CUT,
                                               FAKE_SERVE_DRIP,      FAKE_GARBAGE,         FAKE_LIE_LENGTH,
                                               FAKE_LIE_CORRELATION, FAKE_BAD_CRC};
    struct mesh_topic_list *list;

    connect_to(broker->address, 5000);
    set_plan(FRAME_OP_TOPIC_DESCRIBE, actions[_i], 0, 2);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &list), 0);
    ck_assert_uint_eq(mesh_topic_list_count(list), 1);
    ck_assert_str_eq(mesh_topic_list_get(list, 0)->name, "t");
    ck_assert_uint_eq(mesh_topic_list_get(list, 0)->partition_count, 2);
    ck_assert_int_eq(mesh_topic_list_get(list, 0)->partitions[1].leader_epoch, 7);
    ck_assert_ptr_null(mesh_topic_list_get(list, 1));
    mesh_topic_list_free(list);
    ck_assert_int_eq(mesh_topic_describe(client, "nobody", &list), MESH_EUNKNOWN_TOPIC);
}
END_TEST

/* It answers, in vain or not, before it would be taken for a dead one. */
START_TEST(a_deletion_of_records_is_over_before_its_broker_is_given_up)
{
    static const int timeouts_ms[] = {30000, 5000};
    struct mesh_trim trim = {.partition = 1, .offset = -1};

    connect_to(broker->address, timeouts_ms[_i]);
    ck_assert_int_eq(mesh_topic_trim(client, "t", &trim, 1), MESH_ETIMEDOUT);
    ck_assert_int_eq(trim.error, MESH_ETIMEDOUT);
    ck_assert_uint_gt(atomic_load(&broker->trim_timeout_ms), 0);
    ck_assert_uint_le(atomic_load(&broker->trim_timeout_ms), (unsigned)timeouts_ms[_i] / 2);
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_TOPIC_TRIM]), 1);
}
END_TEST

START_TEST(a_broker_that_never_answers_is_given_up)
{
    struct mesh_topic_list *list;

    connect_to(broker->address, 200);
    set_plan(FRAME_OP_TOPIC_DESCRIBE, FAKE_SILENT, 0, 1);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &list), MESH_ETIMEDOUT);
    ck_assert_int_eq(mesh_topic_describe(client, NULL, &list), 0); /* over a new connection */
    mesh_topic_list_free(list);
}
END_TEST

static void note(void *user, const struct mesh_receipt *receipt)
{
    int *delivered = user;

    ck_assert_int_eq(receipt->error, 0);
    (*delivered)++;
}

/* Answers may overtake one another on a connection. */
START_TEST(answers_out_of_order_find_their_requests)
{
    const struct mesh_record hello = {.value = "x", .value_size = 1, .partition = 0};
    struct mesh_producer *producer;
    int delivered = 0;

    connect_to(broker->address, 5000);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 1), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    set_plan(FRAME_OP_PRODUCE, FAKE_SERVE_LATER, 0, 1);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(mesh_producer_send(producer, &hello, note, &delivered), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(delivered, 50);
    ck_assert_uint_eq(atomic_load(&broker->produced_records), 51);
    mesh_producer_free(producer);
}
END_TEST

START_TEST(an_application_s_own_loop_drives_the_client)
{
    const struct mesh_record hello = {.value = "x", .value_size = 1};
    struct mesh_producer *producer;
    int delivered = 0;

    connect_to(broker->address, 5000);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_client_timeout_ms(client), -1); /* nothing to do */
    for (int round = 0; round < 3; round++) {
        int before = delivered;
        ck_assert_int_eq(mesh_producer_send(producer, &hello, note, &delivered), 0);
        ck_assert_int_eq(mesh_client_timeout_ms(client), 0);
        while (delivered == before) {
            struct pollfd fd = {mesh_client_fd(client), POLLIN, 0};
            ck_assert_int_ge(poll(&fd, 1, mesh_client_timeout_ms(client)), 0);
            ck_assert_int_eq(mesh_client_poll(client, 0), 0);
        }
    }
    mesh_producer_free(producer);
}
END_TEST

START_TEST(wrong_options_are_refused)
{
    char long_name[200];

    ck_assert_int_eq(mesh_client_new("host:99999", &client), MESH_EINVAL);
    client = NULL;
    connect_to(broker->address, 5000);
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    ck_assert_int_eq(mesh_client_set_name(client, long_name), MESH_EINVAL);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 0), MESH_EINVAL);
    ck_assert_str_ne(mesh_version(), "");
    mesh_client_free(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client");
    TCase *c = tcase_create("client");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, when_none_answers_the_error_names_every_address_and_cause);
    tcase_add_test(c, brokers_that_all_refuse_are_given_up_early_when_asked_for);
    tcase_add_test(c, any_address_may_be_down_or_silent);
    tcase_add_test(c, a_broker_that_comes_back_is_found_again);
    tcase_add_test(c, the_leader_is_found_through_another_broker);
    tcase_add_test(c, topics_are_made_changed_and_removed);
    tcase_add_test(c, a_change_whose_answer_is_lost_is_not_made_twice);
    tcase_add_loop_test(c, a_question_whose_answer_is_lost_is_asked_again, 0, 8);
    tcase_add_loop_test(c, a_deletion_of_records_is_over_before_its_broker_is_given_up, 0, 2);
    tcase_add_test(c, a_broker_that_never_answers_is_given_up);
    tcase_add_test(c, answers_out_of_order_find_their_requests);
    tcase_add_test(c, an_application_s_own_loop_drives_the_client);
    tcase_add_test(c, wrong_options_are_refused);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
