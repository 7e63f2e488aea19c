/* What `mesh top` makes of /metrics: samples read from text, sums over shards and brokers, rates and quantiles between two looks; HTTP answers that are none. */
#include "cmd/cli/exposition.h"
#include "cmd/cli/scrape.h"
#include "cmd/cli/top_state.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text ---- */

START_TEST(samples_are_read_and_the_rest_is_passed_over)
{
    struct slice text = slice_of_string("# HELP a_total \"What\" {it} is.\n# TYPE a_total counter\na_total 3\n\nnonsense\nopen{x=\"1\" 4\nno_value{}\n"
                                        "b{shard=\"0\",topic=\"q}\\\"\\\\\\n\"} 1.5e3 1700000000000\nc{le=\"+Inf\"} +Inf\nlast 7");
    struct exposition_sample sample;
    char value[16];

    ck_assert(exposition_next(&text, &sample) && exposition_is(&sample, "a_total") && sample.value == 3 && sample.labels.size == 0);
    ck_assert(!exposition_is(&sample, "a_tota") && !exposition_is(&sample, "a_total_"));
    ck_assert(exposition_next(&text, &sample) && exposition_is(&sample, "b") && sample.value == 1500);
    ck_assert(exposition_label(&sample, "shard", value, sizeof(value)));
    ck_assert_str_eq(value, "0");
    ck_assert(exposition_label(&sample, "topic", value, sizeof(value)));
    ck_assert_str_eq(value, "q}\"\\\n");
    ck_assert(!exposition_label(&sample, "topic", value, 5) && !exposition_label(&sample, "opic", value, sizeof(value)));
    ck_assert(exposition_next(&text, &sample) && exposition_is(&sample, "c") && isinf(sample.value));
    ck_assert(exposition_next(&text, &sample) && exposition_is(&sample, "last") && sample.value == 7);
    ck_assert(!exposition_next(&text, &sample));
}
END_TEST

/* ---- looks ---- */

static void add(struct top_look *look, size_t index, const char *text)
{
    ck_assert_int_eq(top_look_add(look, index, slice_of_string(text)), 0);
}

START_TEST(shards_are_summed_by_broker_and_topics_over_brokers)
{
    struct top_look look;

    ck_assert_int_eq(top_look_init(&look, 2, 5), 0);
    add(&look, 0, "mesh_produced_records_total{shard=\"0\"} 3\nmesh_produced_records_total{shard=\"1\"} 4\nmesh_topic_stored_bytes{topic=\"b\"} 10\n"
                  "mesh_topic_stored_bytes{topic=\"a\"} 1\nmesh_group_lag{group=\"g\",topic=\"a\"} 7\n");
    add(&look, 1, "mesh_topic_stored_bytes{topic=\"b\"} 20\nmesh_group_lag{group=\"g\",topic=\"a\"} 9\nmesh_group_lag{group=\"f\",topic=\"a\"} 1\n");
    ck_assert(look.brokers[0].produced_records == 7 && look.brokers[1].produced_records == 0);
    ck_assert_uint_eq(look.topic_count, 2);
    ck_assert(top_find_topic(&look, "a")->stored_bytes == 1 && top_find_topic(&look, "b")->stored_bytes == 30);
    ck_assert_ptr_null(top_find_topic(&look, "c"));
    ck_assert_uint_eq(look.lag_count, 2);
    ck_assert_str_eq(look.lags[0].group, "f");
    ck_assert(look.lags[1].records == 9); /* the same lag, told by two: the one that knows of more */
    top_look_deinit(&look);
}
END_TEST

START_TEST(many_topics_in_any_order_are_found)
{
    struct top_look look;
    char line[64];

    ck_assert_int_eq(top_look_init(&look, 1, 0), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "mesh_topic_stored_bytes{topic=\"t%d\"} %d\n", i * 617 % 1000, i * 617 % 1000);
        add(&look, 0, line);
    }
    ck_assert_uint_eq(look.topic_count, 1000);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "t%d", i);
        ck_assert(top_find_topic(&look, line)->stored_bytes == i);
    }
    top_look_deinit(&look);
}
END_TEST

START_TEST(a_rate_is_what_was_added_in_a_second)
{
    ck_assert(top_rate(100, 300, 2) == 100);
    ck_assert(top_rate(100, 100, 2) == 0);
    ck_assert(isnan(top_rate(300, 100, 2))); /* it has been restarted */
    ck_assert(isnan(top_rate((double)NAN, 100, 2)));
    ck_assert(isnan(top_rate(0, 100, 0)));
}
END_TEST

#define COUNTED(records) "mesh_topic_produced_records_total{topic=\"t\",shard=\"0\"} " #records "\n"

/* What a silent broker had counted long ago is nothing that was added since. */
START_TEST(topics_rates_are_of_brokers_that_answered_both_times)
{
    struct top_look before, now;

    ck_assert_int_eq(top_look_init(&before, 3, 0), 0);
    ck_assert_int_eq(top_look_init(&now, 3, 0), 0);
    ck_assert(isnan(top_topic_rate(&(struct top_look){0}, &now, &(struct top_topic){.name = "t"}, TOP_PRODUCED_RECORDS, 2)));
    add(&before, 0, COUNTED(100));
    add(&before, 2, COUNTED(500));
    add(&now, 0, COUNTED(140));
    add(&now, 1, COUNTED(1000000)); /* it was silent then */
    add(&now, 2, COUNTED(3));       /* it has begun anew */
    ck_assert(top_topic_rate(&before, &now, top_find_topic(&now, "t"), TOP_PRODUCED_RECORDS, 2) == 20);
    add(&now, 0, "mesh_topic_produced_records_total{topic=\"made since\"} 8\n");
    ck_assert(top_topic_rate(&before, &now, top_find_topic(&now, "made since"), TOP_PRODUCED_RECORDS, 2) == 4);
    top_look_deinit(&before);
    ck_assert_int_eq(top_look_init(&before, 3, 0), 0);
    add(&before, 2, COUNTED(500));
    ck_assert(isnan(top_topic_rate(&before, &now, top_find_topic(&now, "t"), TOP_PRODUCED_RECORDS, 2))); /* nobody knows */
    top_look_deinit(&before);
    top_look_deinit(&now);
}
END_TEST

static void add_histogram(struct top_look *look, int fast, int slow)
{
    char text[512];

    snprintf(text, sizeof(text),
             "mesh_journal_sync_seconds_bucket{shard=\"0\",le=\"0.1\"} %d\nmesh_journal_sync_seconds_bucket{shard=\"0\",le=\"0.001\"} %d\n"
             "mesh_journal_sync_seconds_bucket{shard=\"0\",le=\"+Inf\"} %d\nmesh_journal_sync_seconds_bucket{shard=\"1\",le=\"0.001\"} %d\n"
             "mesh_journal_sync_seconds_bucket{shard=\"1\",le=\"0.1\"} %d\nmesh_journal_sync_seconds_bucket{shard=\"1\",le=\"+Inf\"} %d\n",
             fast + slow, fast, fast + slow, fast, fast, fast);
    add(look, 0, text);
}

START_TEST(a_quantile_is_of_what_came_between_two_looks)
{
    struct top_look before, now;

    ck_assert_int_eq(top_look_init(&before, 1, 0), 0);
    ck_assert_int_eq(top_look_init(&now, 1, 0), 0);
    add_histogram(&before, 1000, 500); /* slow once: that is over */
    add_histogram(&now, 1100, 501);
    ck_assert(top_quantile(&before.brokers[0].syncs, &now.brokers[0].syncs, 0.5) == 0.001);
    ck_assert(top_quantile(&before.brokers[0].syncs, &now.brokers[0].syncs, 0.99) == 0.001); /* 200 of 201 */
    ck_assert(top_quantile(&before.brokers[0].syncs, &now.brokers[0].syncs, 0.999) == 0.1);
    ck_assert(isnan(top_quantile(&now.brokers[0].syncs, &now.brokers[0].syncs, 0.5)));
    ck_assert(isnan(top_quantile(&before.brokers[0].acks, &now.brokers[0].acks, 0.5)));
    top_look_deinit(&before);
    top_look_deinit(&now);
}
END_TEST

START_TEST(more_buckets_than_there_is_room_for_are_left_out)
{
    struct top_look look;
    char line[80];

    ck_assert_int_eq(top_look_init(&look, 1, 0), 0);
    for (int i = 0; i < 2 * TOP_BUCKETS_MAX; i++) {
        snprintf(line, sizeof(line), "mesh_produce_ack_seconds_bucket{shard=\"0\",le=\"%d\"} 1\n", i);
        add(&look, 0, line);
    }
    add(&look, 0, "mesh_produce_ack_seconds_bucket{shard=\"0\",le=\"NaN\"} 1\nmesh_produce_ack_seconds_bucket{shard=\"0\"} 1\n");
    ck_assert_uint_eq(look.brokers[0].acks.count, TOP_BUCKETS_MAX);
    top_look_deinit(&look);
}
END_TEST

START_TEST(without_memory_it_says_so)
{
    int err = 0;

    failing_alloc_each(n)
    {
        struct top_look look = {0};
        bool was_refused;

        failing_alloc_arm(n);
        err = top_look_init(&look, 1, 0);
        if (err == 0) err = top_look_add(&look, 0, slice_of_string("mesh_topic_stored_bytes{topic=\"b\"} 10\nmesh_group_lag{group=\"g\",topic=\"a\"} 7\n"));
        was_refused = failing_alloc_disarm();
        top_look_deinit(&look);
        if (!was_refused) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

/* ---- answers ---- */

static const struct {
    const char *answer, *body; /* NULL: it is refused */
} answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n", "a 1\n"},
    {"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n", ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na 1\n", NULL}, /* cut short */
    {"HTTP/1.1 200 OK\r\n\r\na 1\n", NULL},
    {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", NULL},
    {"MESH", NULL},
    {"", NULL},
};
START_TEST(only_whole_answers_count)
{
    struct slice body;
    int err = scrape_body(slice_of_string(answers[_i].answer), &body);

    ck_assert_int_eq(err, answers[_i].body == NULL ? MESH_EPROTO : 0);
    if (err == 0) ck_assert(slice_equal(body, slice_of_string(answers[_i].body)));
}
END_TEST

/* ---- asking ---- */

/* A socket on a loopback port of its own. */
static int open_port(int type, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    if (type == SOCK_STREAM) ck_assert_int_eq(listen(fd, 8), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Answers one request. */
static void *answer_once(void *user)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n";
    int fd = accept(*(int *)user, NULL, NULL);
    char asked[4096];

    if (fd < 0) return NULL;
    (void)!recv(fd, asked, sizeof(asked), 0);
    (void)!send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
    (void)close(fd);
    return NULL;
}

static bool is_unwanted(void)
{
    return true;
}

/* A name server that never says anything keeps nobody but the broker whose name it should know. */
START_TEST(a_silent_name_server_costs_the_others_nothing)
{
    uint16_t web_port, dns_port;
    int web = open_port(SOCK_STREAM, &web_port), dns = open_port(SOCK_DGRAM, &dns_port);
    struct scrape scrapes[] = {{.host = "broker.invalid", .port = 9092, .is_doubted = true}, {.host = "localhost", .port = web_port}, {.host = "127.0.0.1", .port = dns_port}};
    char servers[32];
    struct scrape_limits limits = {60000, 100, NULL, servers};
    pthread_t thread;

    snprintf(servers, sizeof(servers), "127.0.0.1:%u", dns_port);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_once, &web), 0);
    scrape_all(scrapes, COUNT_OF(scrapes), &limits);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(scrapes[0].error == MESH_ETIMEDOUT || scrapes[0].error == MESH_ERESOLVE); /* the latter on a machine that was slow */
    ck_assert_int_eq(scrapes[1].error, 0);
    ck_assert(slice_equal(scrapes[1].body, slice_of_string("a 1\n")));
    ck_assert_int_eq(scrapes[2].error, MESH_EUNREACHABLE); /* nobody listens */
    limits = (struct scrape_limits){60000, 60000, is_unwanted, servers};
    scrape_all(scrapes, 1, &limits);
    ck_assert_int_eq(scrapes[0].error, MESH_ETIMEDOUT);
    for (size_t i = 0; i < COUNT_OF(scrapes); i++)
        buffer_deinit(&scrapes[i].answer);
    (void)close(web);
    (void)close(dns);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("top");
    TCase *tcase = tcase_create("top");

    tcase_add_test(tcase, samples_are_read_and_the_rest_is_passed_over);
    tcase_add_test(tcase, shards_are_summed_by_broker_and_topics_over_brokers);
    tcase_add_test(tcase, many_topics_in_any_order_are_found);
    tcase_add_test(tcase, a_rate_is_what_was_added_in_a_second);
    tcase_add_test(tcase, topics_rates_are_of_brokers_that_answered_both_times);
    tcase_add_test(tcase, a_silent_name_server_costs_the_others_nothing);
    tcase_add_test(tcase, a_quantile_is_of_what_came_between_two_looks);
    tcase_add_test(tcase, more_buckets_than_there_is_room_for_are_left_out);
    tcase_add_test(tcase, without_memory_it_says_so);
    tcase_add_loop_test(tcase, only_whole_answers_count, 0, COUNT_OF(answers));
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
