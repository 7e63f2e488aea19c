/* Names that nobody answers for: a client goes on with the brokers that it reaches. The system's resolver is played here. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "client/lookup.h"

#include "base/clock.h"
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* silent.test is answered for when `is_answered`, with this machine; anything else at once, by the real one. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_answered;
static unsigned asked, answered; /* of silent.test */
static _Thread_local char others_data[400 << 10]; /* what an application's libraries keep for each thread: of a look-up's stack it leaves what it leaves */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret_found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret_found);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret_found)
{
    others_data[sizeof(others_data) - 1]++;
    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strcmp(host, "silent.test") != 0) return __real_getaddrinfo(host, port, hints, ret_found);
    pthread_mutex_lock(&mutex);
    asked++;
    while (!is_answered)
        pthread_cond_wait(&changed, &mutex);
    answered++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return __real_getaddrinfo("127.0.0.1", port, hints, ret_found);
}

static void answer(bool is_true)
{
    pthread_mutex_lock(&mutex);
    is_answered = is_true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static unsigned count_asked(void)
{
    unsigned count;

    pthread_mutex_lock(&mutex);
    count = asked;
    pthread_mutex_unlock(&mutex);
    return count;
}

static struct fake_broker *broker;
static struct mesh_client *client;

static void set_up(void)
{
    answer(false);
    asked = answered = 0;
    broker = fake_broker_new("t", 2);
    fake_broker_start(broker);
    client = NULL;
}

/* No thread may outlive its test: it would ask with the next one's answers. */
static void tear_down(void)
{
    mesh_client_free(client);
    answer(true);
    pthread_mutex_lock(&mutex);
    while (answered < asked)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

/* By the name that is silent first, or alone. */
static void connect_by(bool is_alone)
{
    char brokers[128];

    snprintf(brokers, sizeof(brokers), "silent.test:%u%s%s", broker->port, is_alone ? "" : ",", is_alone ? "" : broker->address);
    ck_assert_int_eq(mesh_client_new(brokers, &client), 0);
}

START_TEST(a_silent_name_keeps_nobody_from_a_broker_that_is_reached)
{
    struct mesh_topic_list *topics;

    connect_by(false);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &topics), 0);
    mesh_topic_list_free(topics);
    ck_assert_uint_le(count_asked(), 1);
}
END_TEST

static void *answer_later(void *user)
{
    (void)user;
    while (count_asked() == 0)
        poll(NULL, 0, 1);
    answer(true);
    return NULL;
}

START_TEST(a_name_that_is_answered_late_is_connected_to)
{
    struct mesh_topic_list *topics;
    pthread_t thread;

    connect_by(true);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_later, NULL), 0);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &topics), 0);
    mesh_topic_list_free(topics);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(count_asked(), 1);
}
END_TEST

/* Attempts that are given up leave one question behind, and its answer serves the next of them. */
START_TEST(many_attempts_ask_once)
{
    struct mesh_topic_list *topics;

    connect_by(true);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 20), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(mesh_topic_describe(client, "t", &topics), MESH_EUNREACHABLE);
        ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "no name server answers"));
    }
    ck_assert_uint_eq(count_asked(), 1);
    answer(true);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 30000), 0);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &topics), 0);
    mesh_topic_list_free(topics);
    ck_assert_uint_eq(count_asked(), 1);
}
END_TEST

START_TEST(a_client_ends_while_its_question_is_open)
{
    struct mesh_topic_list *topics;

    connect_by(true);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 20), 0);
    ck_assert_int_eq(mesh_topic_describe(client, "t", &topics), MESH_EUNREACHABLE);
    mesh_client_free(client);
    client = NULL;
}
END_TEST

/* Then the calling thread asks. */
START_TEST(memory_for_a_lookup_may_fail)
{
    struct address address = {.host = "localhost", .port = 9};
    struct lookup *lookup = NULL;

    failing_alloc_each(nth) {
        int err;

        failing_alloc_arm(nth);
        err = lookup_new(&address, &lookup);
        if (!failing_alloc_disarm()) {
            ck_assert_int_eq(err, 0);
            break;
        }
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    lookup_free(lookup);
}
END_TEST

START_TEST(what_comes_of_it_is_told_once_it_is_over)
{
    struct address address = {.host = "silent.test", .port = 9};
    struct address_sockets sockets;
    const struct sockaddr_in *found = (const void *)&sockets.sockets[0];
    struct lookup *lookup;
    const char *reason;
    struct pollfd polled;

    ck_assert_int_eq(lookup_new(&address, &lookup), 0);
    ck_assert(lookup_is_of(lookup, &address));
    address.port = 10;
    ck_assert(!lookup_is_of(lookup, &address));
    ck_assert_int_eq(lookup_open_fd(lookup, &polled.fd), 0);
    polled.events = POLLIN;
    ck_assert_int_eq(poll(&polled, 1, 10), 0);
    answer(true);
    ck_assert_int_eq(poll(&polled, 1, 60000), 1);
    ck_assert_int_eq(lookup_take(lookup, &sockets, &reason), 0);
    ck_assert_uint_eq(sockets.count, 1);
    ck_assert_uint_eq(ntohs(found->sin_port), 9);
    close(polled.fd);
    lookup_free(lookup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lookup");
    TCase *tcase = tcase_create("lookup");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_silent_name_keeps_nobody_from_a_broker_that_is_reached);
    tcase_add_test(tcase, a_name_that_is_answered_late_is_connected_to);
    tcase_add_test(tcase, many_attempts_ask_once);
    tcase_add_test(tcase, a_client_ends_while_its_question_is_open);
    tcase_add_test(tcase, memory_for_a_lookup_may_fail);
    tcase_add_test(tcase, what_comes_of_it_is_told_once_it_is_over);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
