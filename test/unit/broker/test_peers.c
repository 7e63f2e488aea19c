/* The driver of gossip as a whole: strangers, the end of a leave, and memory that is short at every place. */
#include "cmd/broker/peers/peers.h"

#include "base/error.h"
#include "crypto/channel.h"
#include "crypto/crypto.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STRANGERS 300 /* more than are let in */
#define LET_IN    256
#define ALLOCATIONS_MAX 2000

static struct ev_loop *loop;
static struct identity_key identity;
static struct keyring *keyring;
static struct peers_options options;
static int bound_fd; /* holds the port of options.listen */

/* A listening socket, whose port nobody else has. */
static int listen_somewhere(struct net_address *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);

    ck_assert_int_eq(net_address_parse("127.0.0.1:0", ret_address), 0);
    net_address_to_sockaddr(ret_address, &name, &size);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&name, ret_address), 0);
    return fd;
}

static void setup(void)
{
    uint8_t bytes[CLUSTER_KEY_SIZE] = {1}, seed[IDENTITY_SEED_SIZE] = {2};
    struct cluster_key key;

    crypto_init();
    loop = ev_loop_new(EVFLAG_AUTO);
    identity_key_init(&identity, seed);
    keyring = keyring_new();
    cluster_key_init(&key, bytes);
    ck_assert_int_eq(keyring_install(keyring, &key), 0);
    options = (struct peers_options){.loop = loop, .client_port = 1, .name = "one", .zone = "", .host = "", .cluster_id = {{7}},
                                     .boot = 1, .identity = &identity, .keyring = keyring};
    bound_fd = listen_somewhere(&options.listen);
}

static void teardown(void)
{
    close(bound_fd);
    keyring_free(keyring);
    ev_loop_destroy(loop);
}

static struct peers *open_peers(void)
{
    struct peers *peers;

    ck_assert_int_eq(peers_open(&options, &peers), 0);
    return peers;
}

/* ---- strangers ---- */

struct crowd {
    int listener;
    int theirs[STRANGERS]; /* their ends */
};

static void crowd_arrives(struct crowd *crowd, struct peers *peers)
{
    struct sockaddr_storage name;
    struct net_address address;
    socklen_t size;

    crowd->listener = listen_somewhere(&address);
    net_address_to_sockaddr(&address, &name, &size);
    for (int i = 0; i < STRANGERS; i++) {
        int ours;

        crowd->theirs[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(crowd->theirs[i], (struct sockaddr *)&name, size), 0);
        ours = accept(crowd->listener, NULL, NULL);
        ck_assert_int_ge(ours, 0);
        ck_assert_int_eq(fcntl(ours, F_SETFL, O_NONBLOCK), 0);
        peers_adopt(peers, ours, slice_of_string(CHANNEL_MAGIC));
    }
}

/* A closed end reads as its end; one that is kept has nothing to read. */
static bool is_closed(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void crowd_leaves(struct crowd *crowd)
{
    for (int i = 0; i < STRANGERS; i++)
        close(crowd->theirs[i]);
    close(crowd->listener);
}

START_TEST(of_a_crowd_of_strangers_the_oldest_give_way)
{
    struct peers *peers = open_peers();
    struct peers_stats stats;
    struct crowd crowd;

    crowd_arrives(&crowd, peers);
    for (int i = 0; i < STRANGERS; i++)
        ck_assert_int_eq(is_closed(crowd.theirs[i]), i < STRANGERS - LET_IN);
    peers_get_stats(peers, &stats);
    ck_assert_uint_eq(stats.links_rejected, STRANGERS - LET_IN);
    ck_assert_uint_eq(stats.links, 0);
    peers_close(peers);
    crowd_leaves(&crowd);
}
END_TEST

/* ---- leaving ---- */

static void on_left(void *user)
{
    (*(int *)user)++;
}

START_TEST(whoever_waits_for_a_leave_is_answered_once_also_when_the_broker_stops)
{
    struct peers *peers = open_peers();
    int answers = 0;

    ck_assert_int_eq(peers_leave(peers, on_left, &answers), 0);
    ck_assert(peers_is_leaving(peers));
    ck_assert_int_eq(peers_leave(peers, on_left, &answers), MESH_EBUSY);
    peers_close(peers);
    ck_assert_int_eq(answers, 1);
}
END_TEST

START_TEST(there_is_one_leave_in_a_life)
{
    struct peers *peers = open_peers();
    int answers = 0;

    ck_assert_int_eq(peers_leave(peers, on_left, &answers), 0);
    while (answers == 0)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_int_eq(peers_leave(peers, on_left, &answers), MESH_EBUSY);
    peers_close(peers);
    ck_assert_int_eq(answers, 1);
}
END_TEST

/* ---- memory ---- */

START_TEST(each_allocation_of_a_start_may_fail)
{
    failing_alloc_each(n)
    {
        struct peers *peers = NULL;
        bool was_refused;
        int err;

        failing_alloc_arm(n);
        err = peers_open(&options, &peers);
        was_refused = failing_alloc_disarm();
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        ck_assert(err == 0 || err == MESH_ENOMEM);
        if (err == 0) peers_close(peers);
        if (!was_refused) break;
    }
}
END_TEST

/* The dial of a seed that is there, a stranger, and what is told of it all. */
START_TEST(each_allocation_of_links_may_fail)
{
    struct seed seed;
    char text[64];
    struct net_address address;
    int fd = listen_somewhere(&address);

    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0); /* without memory nobody dials */
    ck_assert_int_eq(seed_parse(net_address_format(&address, text), &seed), 0);
    options.seeds = &seed;
    options.seed_count = 1;
    failing_alloc_each(n)
    {
        struct peers *peers = open_peers();
        bool was_refused;
        int ours;

        failing_alloc_arm(n);
        for (int turn = 0; turn < 4; turn++) /* names, dials, their ends */
            ev_run(loop, EVRUN_NOWAIT);
        ours = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        if (ours >= 0) peers_adopt(peers, ours, slice_of_string(CHANNEL_MAGIC)); /* to itself: refused in the end */
        for (int turn = 0; turn < 8; turn++)
            ev_run(loop, EVRUN_NOWAIT);
        was_refused = failing_alloc_disarm();
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        peers_close(peers);
        if (!was_refused) break;
    }
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *tcase = tcase_create("peers");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, of_a_crowd_of_strangers_the_oldest_give_way);
    tcase_add_test(tcase, whoever_waits_for_a_leave_is_answered_once_also_when_the_broker_stops);
    tcase_add_test(tcase, there_is_one_leave_in_a_life);
    tcase_add_test(tcase, each_allocation_of_a_start_may_fail);
    tcase_add_test(tcase, each_allocation_of_links_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
