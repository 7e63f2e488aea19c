/* The http door over real sockets and a real loop: answers, keep-alive, limits, slow peers, late shards. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/http/http.h"
#include "metadata_history.h"
#include "prometheus_check.h"
#include "support/run_suite.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct http_server *server;
static struct http_options options;
static struct history *history;
static struct metrics_shard shard;
static struct metrics_shard *shard_pointer = &shard;
static struct metrics_set set = {&shard_pointer, 1};

/* What the source does. */
static const char *not_ready_reason;
static bool shards_are_late, shards_are_dead;
static http_gathered_fn *late_done;
static void *late_user;
static http_done_fn *late_offsets;
static void *late_offsets_user;

static const struct image *source_image(void *user)
{
    (void)user;
    return history->image;
}

static const char *source_not_ready(void *user)
{
    (void)user;
    return not_ready_reason;
}

static void source_facts(void *user, struct describe_facts *ret_facts)
{
    (void)user;
    ret_facts->coordinator = ret_facts->self = 1;
    ret_facts->uptime_ms = 5;
}

static void source_gather(void *user, http_gathered_fn *done, void *done_user)
{
    (void)user;
    if (shards_are_late) {
        late_done = done;
        late_user = done_user;
    } else {
        done(done_user, shards_are_dead ? NULL : &set);
    }
}

static void source_offsets(void *user, struct message_topic_response *topics, http_done_fn *done,
                           void *done_user)
{
    (void)user;
    topics->topics[0].partitions[0].high_watermark = 4242;
    if (shards_are_late) {
        late_offsets = done;
        late_offsets_user = done_user;
    } else {
        done(done_user);
    }
}

static void start_server(void)
{
    struct http_source source = {
        .image = source_image,
        .not_ready = source_not_ready,
        .facts = source_facts,
        .gather = source_gather,
        .offsets = source_offsets,
        .start_wall_ms = 1000,
        .version = "1.2.3",
    };

    ck_assert_int_eq(http_server_new(loop, &options, &source, &server), 0);
}

static void set_up(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    loop = ev_loop_new(EVFLAG_AUTO);
    http_options_init(&options);
    history = history_new_mesh(1, "z");
    history_create_topic(history, "orders", 3, 1);
    history_create_topic(history, "audit.log", 1, 1);
    histogram_init(&shard.produce_ack_ns);
    histogram_init(&shard.group_answer_ns);
    histogram_init(&shard.fetch_wait_ns);
    histogram_init(&shard.sync_ns);
    start_server();
}

static void tear_down(void)
{
    http_server_free(server);
    history_free(history);
    ev_loop_destroy(loop);
}

/* ---- a client ---- */

static int connect_with(const char *received, int *ret_error)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *ret_error = http_server_adopt(server, fds[1], slice_of(received, strlen(received)), "test");
    return fds[0];
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Turns the loop until `fd` has given a whole response (by its length) or has ended; returns how many bytes.
 */
static size_t receive(int fd, char *to, size_t size, bool until_end, bool is_head)
{
    size_t have = 0;

    for (;;) {
        ssize_t got = recv(fd, to + have, size - 1 - have, 0);
        if (got > 0) have += (size_t)got;
        to[have] = '\0';
        if (got == 0 || (got < 0 && errno != EAGAIN)) return have;
        const char *body = strstr(to, "\r\n\r\n"), *length = strstr(to, "Content-Length: ");
        if (!until_end && body != NULL && length != NULL &&
            (is_head || strlen(body + 4) >= strtoul(length + 16, NULL, 10)))
            return have;
        ck_assert_uint_lt(have, size - 1);
        ev_run(loop, got > 0 ? EVRUN_NOWAIT : EVRUN_ONCE);
    }
}

static char response[1 << 20];

static const char *ask(const char *request)
{
    int err, fd = connect_with(request, &err);

    ck_assert_int_eq(err, 0);
    receive(fd, response, sizeof(response), false, strncmp(request, "HEAD", 4) == 0);
    close(fd);
    while (http_server_connection_count(server) > 0)
        ev_run(loop, EVRUN_ONCE);
    return response;
}

static const char *body_of(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n");

    ck_assert_ptr_nonnull(body);
    return body + 4;
}

/* ---- answers ---- */

static const struct {
    const char *request, *status, *contains;
} answer_cases[] = {
    {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "/metrics"},
    {"GET /livez HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "alive"},
    {"GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ready"},
    {"GET /readyz?verbose HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ready"},
    {"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "text/plain; version=0.0.4"},
    {"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "mesh_build_info{version=\"1.2.3\"} 1"},
    {"GET /v1/cluster HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"brokers\":[{"},
    {"GET /v1/status HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"problems\":["},
    {"GET /v1/topics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"total\":2"},
    {"GET /v1/topics?limit=1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"next\":\"audit.log\""},
    {"GET /v1/topics?limit=1&after=audit.log HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"next\":null"},
    {"GET /v1/topics?limit=0 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "limit is a number"},
    {"GET /v1/topics?limit=x HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "limit is a number"},
    {"GET /v1/topics?limit=99999999999999999999 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request",
     "limit is a number"},
    {"GET /v1/topics/orders HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"high_watermark\":4242"},
    {"GET /v1/topics/audit%2elog HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"name\":\"audit.log\""},
    {"GET /v1/topics/orders?from=2 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"partitions\":[{\"partition\":2"},
    {"GET /v1/topics/orders?from=7 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"partitions\":[]"},
    {"GET /v1/topics/orders?from=-1 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "number of a partition"},
    {"GET /v1/topics/nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "\"error\":\"UNKNOWN_TOPIC\""},
    {"GET /v1/topics/a%2Fb HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "\"error\":\"INVALID_TOPIC\""},
    {"GET /v1/topics/..%2F..%2Fetc HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "INVALID_TOPIC"},
    {"GET /v1/topics/ HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "nothing is here"},
    {"GET /nowhere HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "/readyz"},
    {"GET * HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "begins with '/'"},
    {"OPTIONS * HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD"},
    {"POST /v1/topics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "mesh topic"},
    {"DELETE /v1/topics/orders HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD"},
    {"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 413 Content Too Large", "no body"},
    {"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request", "not a well-formed"},
    {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505 HTTP Version", "HTTP/1.1"},
};

START_TEST(a_request_is_answered)
{
    const char *text = ask(answer_cases[_i].request);

    ck_assert_msg(strncmp(text, answer_cases[_i].status, strlen(answer_cases[_i].status)) == 0, "%s", text);
    ck_assert_msg(strstr(text, answer_cases[_i].contains) != NULL, "%s", text);
}
END_TEST

START_TEST(json_answers_parse_and_have_the_keys)
{
    json_t *topic = json_loads(body_of(ask("GET /v1/topics/orders HTTP/1.1\r\n\r\n")), 0, NULL), *partition,
           *status;
    json_t *cluster;
    char uuid[UUID_STRING_SIZE];

    ck_assert_ptr_nonnull(topic);
    ck_assert_str_eq(json_string_value(json_object_get(topic, "name")), "orders");
    ck_assert_str_eq(json_string_value(json_object_get(topic, "id")),
                     uuid_format(&image_find_topic_by_name(history->image, "orders")->topic_id, uuid));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(topic, "configs"), "flush")), "group");
    ck_assert_uint_eq(json_array_size(json_object_get(topic, "partitions")), 3);
    partition = json_array_get(json_object_get(topic, "partitions"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(partition, "leader")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(partition, "high_watermark")), 4242);
    ck_assert(json_is_integer(json_object_get(partition, "log_start")));
    ck_assert(json_is_integer(json_object_get(partition, "leader_epoch")));
    ck_assert_uint_eq(json_array_size(json_object_get(partition, "replicas")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(partition, "isr")), 1);
    json_decref(topic);
    status = json_loads(body_of(ask("GET /v1/status HTTP/1.1\r\n\r\n")), 0, NULL);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(json_string_value(json_object_get(status, "cluster")),
                     uuid_format(image_cluster_id(history->image), uuid));
    ck_assert_str_eq(json_string_value(json_object_get(status, "coordinator")),
                     uuid_format(&image_broker_at(history->image, 0)->broker_id, uuid));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(status, "partitions"), "total")), 4);
    ck_assert(json_is_array(json_object_get(status, "problems")));
    json_decref(status);
    cluster = json_loads(body_of(ask("GET /v1/cluster HTTP/1.1\r\n\r\n")), 0, NULL);
    ck_assert_str_eq(
        json_string_value(json_object_get(json_array_get(json_object_get(cluster, "brokers"), 0), "zone")),
        "z");
    json_decref(cluster);
}
END_TEST

START_TEST(the_metrics_are_well_formed)
{
    const char *body = body_of(ask("GET /metrics HTTP/1.1\r\n\r\n")),
               *wrong = prometheus_check(body, strlen(body));

    ck_assert_msg(wrong == NULL, "%s", wrong);
}
END_TEST

START_TEST(a_head_request_gets_the_head_only)
{
    const char *text = ask("HEAD /livez HTTP/1.1\r\n\r\n");

    ck_assert_ptr_nonnull(strstr(text, "Content-Length: 6"));
    ck_assert_str_eq(body_of(text), "");
}
END_TEST

START_TEST(readiness_says_why_not)
{
    not_ready_reason = "recovering";
    const char *text = ask("GET /readyz HTTP/1.1\r\n\r\n");
    not_ready_reason = NULL;
    ck_assert_ptr_nonnull(strstr(text, "503 Service Unavailable"));
    ck_assert_str_eq(body_of(text), "not ready: recovering\n");
}
END_TEST

/* ---- connections ---- */

START_TEST(a_connection_is_kept_for_many_requests_and_pipelined_ones)
{
    int err, fd = connect_with("GET /livez HTTP/1.1\r\n\r\n", &err);

    receive(fd, response, sizeof(response), false, false);
    ck_assert_ptr_nonnull(strstr(response, "Connection: keep-alive"));
    for (int i = 0; i < 5; i++) {
        say(fd, "GET /readyz HT");
        ev_run(loop, EVRUN_NOWAIT);
        say(fd, "TP/1.1\r\n\r\n");
        receive(fd, response, sizeof(response), false, false);
        ck_assert_str_eq(body_of(response), "ready\n");
    }
    say(fd, "GET /livez HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\nConnection: "
            "close\r\n\r\n");
    receive(fd, response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "alive"));
    ck_assert_ptr_nonnull(strstr(response, "mesh_topics 2"));
    ck_assert_ptr_nonnull(strstr(response, "Connection: close\r\n\r\nready\n"));
    close(fd);
}
END_TEST

START_TEST(a_peer_that_half_closes_still_gets_its_answer)
{
    int err, fd = connect_with("GET /livez HTTP/1.1\r\n", &err);

    say(fd, "\r\n");
    shutdown(fd, SHUT_WR);
    receive(fd, response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "alive"));
    close(fd);
}
END_TEST

START_TEST(a_peer_that_leaves_in_the_middle_costs_nothing)
{
    int err, fd = connect_with("GET /liv", &err);

    close(fd);
    while (http_server_connection_count(server) > 0)
        ev_run(loop, EVRUN_ONCE);
}
END_TEST

START_TEST(one_connection_too_many_is_told)
{
    int err, fds[3];

    http_server_free(server);
    options.connections_max = 2;
    start_server();
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_with("GET /livez", &err);
        ck_assert_int_eq(err, i < 2 ? 0 : MESH_EBUSY);
    }
    receive(fds[2], response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "503 Service Unavailable"));
    ck_assert_ptr_nonnull(strstr(response, "as many http connections"));
    ck_assert_uint_eq(http_server_connection_count(server), 2);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}
END_TEST

static const struct {
    const char *said, *want; /* NULL: closed without a word */
} slow_cases[] = {{"", NULL},
                  {"GET / HTTP/1.1\r\nHost: x", "408 Request Timeout"},
                  {"GET /livez HTTP/1.1\r\n\r\n", "alive"}};

START_TEST(a_slow_peer_is_not_waited_for)
{
    int err, fd;

    http_server_free(server);
    options.request_timeout_ms = options.idle_timeout_ms = 20;
    start_server();
    fd = connect_with(slow_cases[_i].said, &err);
    receive(fd, response, sizeof(response), true, false);
    if (slow_cases[_i].want == NULL)
        ck_assert_str_eq(response, "");
    else
        ck_assert_ptr_nonnull(strstr(response, slow_cases[_i].want));
    close(fd);
    while (http_server_connection_count(server) > 0)
        ev_run(loop, EVRUN_ONCE);
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_dropped)
{
    int err, fd, size = 4096;

    http_server_free(server);
    options.write_timeout_ms = 20;
    start_server();
    fd = connect_with("", &err);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 200; i++) { /* more answers than the socket takes */
        static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
        if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) break;
    }
    while (http_server_connection_count(server) > 0)
        ev_run(loop, EVRUN_ONCE);
    close(fd);
}
END_TEST

START_TEST(an_endless_head_is_refused_and_drained)
{
    char junk[1000];
    int err, fd = connect_with("GET / HTTP/1.1\r\n", &err);

    memset(junk, 'j', sizeof(junk));
    for (int i = 0; i < 20; i++) {
        if (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) < 0) break;
        ev_run(loop, EVRUN_NOWAIT);
    }
    receive(fd, response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "431 Request Header Fields Too Large"));
    close(fd);
    while (http_server_connection_count(server) > 0)
        ev_run(loop, EVRUN_ONCE);
}
END_TEST

/* ---- shards ---- */

START_TEST(an_answer_waits_for_the_shards)
{
    int err, fd;

    shards_are_late = true;
    fd = connect_with("GET /metrics HTTP/1.1\r\n\r\n", &err);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_int_eq(recv(fd, response, sizeof(response), 0), -1);
    shards_are_late = false;
    late_done(late_user, &set);
    receive(fd, response, sizeof(response), false, false);
    ck_assert_ptr_nonnull(strstr(response, "mesh_topics 2"));
    close(fd);
}
END_TEST

START_TEST(shards_that_do_not_answer_are_said)
{
    shards_are_dead = true;
    ck_assert_ptr_nonnull(strstr(ask("GET /metrics HTTP/1.1\r\n\r\n"), "503 Service Unavailable"));
    ck_assert_ptr_nonnull(strstr(ask("GET /v1/status HTTP/1.1\r\n\r\n"), "503 Service Unavailable"));
    shards_are_dead = false;
}
END_TEST

START_TEST(a_shard_may_answer_after_the_time_is_up)
{
    int err, fd;

    http_server_free(server);
    options.request_timeout_ms = 20;
    start_server();
    shards_are_late = true;
    fd = connect_with("GET /metrics HTTP/1.1\r\n\r\n", &err);
    receive(fd, response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "503 Service Unavailable"));
    shards_are_late = false;
    late_done(late_user, &set); /* nobody waits any more */
    close(fd);
}
END_TEST

START_TEST(a_shard_may_answer_after_the_peer_or_the_server_has_gone)
{
    int err, fd;

    shards_are_late = true;
    fd = connect_with("GET /v1/topics/orders HTTP/1.1\r\n\r\n", &err);
    close(fd);
    ev_run(loop, EVRUN_NOWAIT);
    late_offsets(late_offsets_user);
    fd = connect_with("GET /metrics HTTP/1.1\r\n\r\n", &err);
    http_server_free(server);
    server = NULL;
    late_done(late_user, &set);
    close(fd);
    shards_are_late = false;
}
END_TEST

START_TEST(a_stop_closes_the_idle_and_finishes_the_rest)
{
    int err, idle = connect_with("", &err), busy;

    shards_are_late = true;
    busy = connect_with("GET /metrics HTTP/1.1\r\n\r\n", &err);
    http_server_stop(server);
    ck_assert_uint_eq(http_server_connection_count(server), 1);
    ck_assert_int_eq(recv(idle, response, sizeof(response), 0), 0);
    shards_are_late = false;
    late_done(late_user, &set);
    receive(busy, response, sizeof(response), true, false);
    ck_assert_ptr_nonnull(strstr(response, "Connection: close"));
    close(idle);
    close(busy);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *tcase = tcase_create("http");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_request_is_answered, 0, ROWS(answer_cases));
    tcase_add_test(tcase, json_answers_parse_and_have_the_keys);
    tcase_add_test(tcase, the_metrics_are_well_formed);
    tcase_add_test(tcase, a_head_request_gets_the_head_only);
    tcase_add_test(tcase, readiness_says_why_not);
    tcase_add_test(tcase, a_connection_is_kept_for_many_requests_and_pipelined_ones);
    tcase_add_test(tcase, a_peer_that_half_closes_still_gets_its_answer);
    tcase_add_test(tcase, a_peer_that_leaves_in_the_middle_costs_nothing);
    tcase_add_test(tcase, one_connection_too_many_is_told);
    tcase_add_loop_test(tcase, a_slow_peer_is_not_waited_for, 0, ROWS(slow_cases));
    tcase_add_test(tcase, a_peer_that_does_not_read_is_dropped);
    tcase_add_test(tcase, an_endless_head_is_refused_and_drained);
    tcase_add_test(tcase, an_answer_waits_for_the_shards);
    tcase_add_test(tcase, shards_that_do_not_answer_are_said);
    tcase_add_test(tcase, a_shard_may_answer_after_the_time_is_up);
    tcase_add_test(tcase, a_shard_may_answer_after_the_peer_or_the_server_has_gone);
    tcase_add_test(tcase, a_stop_closes_the_idle_and_finishes_the_rest);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
