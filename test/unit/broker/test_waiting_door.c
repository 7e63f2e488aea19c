/* Who knocks while a broker waits, on a loop that is turned by hand: nothing here waits for the time that a visit may last. */
#include "cmd/broker/peers/waiting_door.h"

#include "support/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 200

static struct ev_loop *loop;
static struct waiting_door *door;
static struct sockaddr_in address;
static struct rlimit before;
static int listen_fd, clients[CLIENTS_MAX], peer_fd;
static char peer_bytes[64];

static void take_peer(void *user, int fd, struct slice bytes)
{
    (void)user;
    ck_assert_uint_lt(bytes.size, sizeof(peer_bytes));
    memcpy(peer_bytes, bytes.data, bytes.size);
    peer_bytes[bytes.size] = '\0';
    peer_fd = fd;
}

static void setup(void)
{
    socklen_t size = sizeof(address);
    struct waiting_door_options options = {.reason = "it waits", .peer = take_peer};

    peer_fd = -1;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
    loop = ev_loop_new(EVBACKEND_EPOLL);
    options.loop = loop;
    options.listen_fd = listen_fd;
    ck_assert_int_eq(waiting_door_open(&options, &door), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    memset(clients, -1, sizeof(clients));
}

static void teardown(void)
{
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    waiting_door_close(door);
    ev_loop_destroy(loop);
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (clients[i] >= 0) close(clients[i]);
    if (peer_fd >= 0) close(peer_fd);
    close(listen_fd);
}

static void knock(int i, const char *words)
{
    clients[i] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(clients[i], 0);
    ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&address, sizeof(address)), 0);
    if (words[0] != '\0') ck_assert_int_eq(send(clients[i], words, strlen(words), 0), (ssize_t)strlen(words));
}

/* What is there is done. */
static void turn(void)
{
    for (int i = 0; i < 300; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

/* What a client has heard; "-": nothing, and it is connected still; "": the connection has ended. */
static const char *heard(int i)
{
    static char text[512];
    ssize_t size = recv(clients[i], text, sizeof(text) - 1, MSG_DONTWAIT);

    if (size < 0) return "-";
    text[size] = '\0';
    return text;
}

/* No descriptor is free but so many. */
static void leave_descriptors(int count)
{
    struct rlimit few = before;
    int highest = dup(listen_fd);

    close(highest); /* the lowest that is free: all below are taken */
    few.rlim_cur = (rlim_t)(highest + count);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}

START_TEST(brokers_are_handed_on_and_probes_answered)
{
    knock(0, "MLNKabc");
    knock(1, "GET /readyz HTTP/1.1\r\n\r\n");
    knock(2, "MES");
    knock(3, "ML");
    turn();
    ck_assert_int_ge(peer_fd, 0);
    ck_assert_str_eq(peer_bytes, "MLNKabc");
    ck_assert_ptr_nonnull(strstr(heard(1), "not ready: it waits\n"));
    ck_assert_str_eq(heard(2), "");
    ck_assert_str_eq(heard(3), "-");
}
END_TEST

START_TEST(who_holds_all_descriptors_is_in_no_probers_way)
{
    for (int i = 0; i < CLIENTS_MAX - 1; i++)
        knock(i, "");
    knock(CLIENTS_MAX - 1, "GET /livez HTTP/1.1\r\n\r\n");
    leave_descriptors(20);
    turn();
    ck_assert_ptr_nonnull(strstr(heard(CLIENTS_MAX - 1), "\r\n\r\nalive\n"));
    ck_assert_str_eq(heard(0), ""); /* who came first has left */
    for (int i = 0; i < 8; i++) { /* and some are left for the broker's own calls */
        clients[i] = dup(listen_fd);
        ck_assert_int_ge(clients[i], 0);
    }
}
END_TEST

START_TEST(without_any_descriptor_it_does_not_spin)
{
    double begin = ev_time();
    int turns = 0;

    knock(0, "GET /livez HTTP/1.1\r\n\r\n");
    leave_descriptors(0);
    for (; ev_time() < begin + 1.5; turns++)
        ev_run(loop, EVRUN_ONCE); /* sleeps until it is time to try again */
    ck_assert_str_eq(heard(0), "-");
    ck_assert_int_le(turns, 10);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 60 && strcmp(heard(0), "-") == 0; i++)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_str_eq(heard(0), ""); /* it was answered, and has ended */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waiting door");
    TCase *tcase = tcase_create("waiting door");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, brokers_are_handed_on_and_probes_answered);
    tcase_add_test(tcase, who_holds_all_descriptors_is_in_no_probers_way);
    tcase_add_test(tcase, without_any_descriptor_it_does_not_spin);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
