/* Finding the mesh to join: a peer on a thread of its own answers as it is told to, and join_find_cluster() says what it makes
 * of that. */
#include "cmd/broker/peers/join.h"
#include "cmd/broker/peers/probe.h"

#include "base/clock.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX 64

/* ---- a broker, as far as joining needs one ---- */

struct peer {
    pthread_t thread;
    struct ev_loop *loop;
    ev_io acceptor;
    ev_async stop;
    int fd;
    struct net_address address;
    struct identity_key identity;
    struct keyring *keyring;
    atomic_bool has_cluster;
    int64_t clock_offset_ms;
    struct link *links[LINKS_MAX];
    uint32_t link_count;
};

static const struct uuid mesh = {{0xaa, 1}};

static void key_init(struct keyring **ring, uint8_t with)
{
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct cluster_key key;

    memset(bytes, with, sizeof(bytes));
    cluster_key_init(&key, bytes);
    *ring = keyring_new();
    ck_assert_int_eq(keyring_install(*ring, &key), 0);
}

static void on_up(void *user, struct link *link)
{
    (void)user;
    (void)link;
}

static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    (void)user;
    (void)link;
    (void)type;
    (void)payload;
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct peer *peer = user;

    (void)end;
    (void)reason;
    for (uint32_t i = 0; i < peer->link_count; i++)
        if (peer->links[i] == link) peer->links[i] = peer->links[--peer->link_count];
}

static const struct link_hooks hooks = {on_up, on_frame, on_down};

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    struct peer *peer = io->data;
    int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);
    struct link_options options = {
        .loop = loop,
        .hooks = &hooks,
        .user = peer,
        .channel = {.keyring = peer->keyring,
                    .identity = &peer->identity,
                    .boot = 1,
                    .wall_ms = (uint64_t)(clock_wall_ms() + peer->clock_offset_ms)},
    };

    (void)events;
    if (fd < 0 || peer->link_count == LINKS_MAX) return;
    if (atomic_load(&peer->has_cluster)) options.channel.cluster_id = mesh;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (link_adopt(&options, fd, slice_of(NULL, 0), &peer->links[peer->link_count]) == 0) peer->link_count++;
}

static void on_stop(struct ev_loop *loop, ev_async *async, int events)
{
    (void)async;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void *run_peer(void *user)
{
    ev_run(((struct peer *)user)->loop, 0);
    return NULL;
}

static void peer_start(struct peer *peer, uint8_t number, uint8_t key)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(peer, 0, sizeof(*peer));
    atomic_init(&peer->has_cluster, true);
    memset(seed, number, sizeof(seed));
    identity_key_init(&peer->identity, seed);
    key_init(&peer->keyring, key);
    peer->loop = ev_loop_new(EVBACKEND_EPOLL);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(peer->fd, (struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(getsockname(peer->fd, (struct sockaddr *)&name, &size), 0);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&name, &peer->address), 0);
    ck_assert_int_eq(listen(peer->fd, 8), 0);
    ev_io_init(&peer->acceptor, on_accept, peer->fd, EV_READ);
    peer->acceptor.data = peer;
    ev_io_start(peer->loop, &peer->acceptor);
    ev_async_init(&peer->stop, on_stop);
    ev_async_start(peer->loop, &peer->stop);
}

static void peer_run(struct peer *peer)
{
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, run_peer, peer), 0);
}

static void peer_end(struct peer *peer)
{
    ev_async_send(peer->loop, &peer->stop);
    pthread_join(peer->thread, NULL);
    for (uint32_t i = 0; i < peer->link_count; i++)
        link_abandon(peer->links[i]);
    ev_loop_destroy(peer->loop);
    close(peer->fd);
    keyring_free(peer->keyring);
}

/* ---- who joins ---- */

static struct identity_key identity;
static struct keyring *keyring;
static char told[4096];
static struct peer *founds_when_told; /* it becomes part of a mesh once it was told to belong to none */

static void on_progress(void *user, const char *what, const char *cure)
{
    size_t used = strlen(told);

    (void)user;
    snprintf(told + used, sizeof(told) - used, "%s | %s\n", what, cure);
    if (founds_when_told != NULL && strstr(what, "no mesh yet") != NULL) atomic_store(&founds_when_told->has_cluster, true);
}

static void setup(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {99};

    crypto_init();
    identity_key_init(&identity, seed);
    key_init(&keyring, 5);
    told[0] = '\0';
    founds_when_told = NULL;
}

static void teardown(void)
{
    keyring_free(keyring);
}

static int bind_somewhere(struct net_address *ret_address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&name, ret_address), 0);
    return fd;
}

static int join_seeds(const struct seed *seeds, size_t count, struct uuid *ret_cluster, struct explanation *ret_explanation)
{
    struct net_address own;
    const struct join_options options = {.seeds = seeds,
                                         .seed_count = count,
                                         .keyring = keyring,
                                         .key_path = "the.key",
                                         .identity = &identity,
                                         .boot = 1,
                                         .listen_fd = bind_somewhere(&own),
                                         .progress = on_progress};
    int err = join_find_cluster(&options, ret_cluster, ret_explanation);

    close(options.listen_fd);
    return err;
}

static struct seed seed_at(const struct net_address *address)
{
    char text[NET_ADDRESS_STRING_SIZE];
    struct seed seed;

    ck_assert_int_eq(seed_parse(net_address_format(address, text), &seed), 0);
    return seed;
}

/* ---- what becomes of it ---- */

START_TEST(a_seed_tells_its_mesh)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 5);
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), 0);
    ck_assert(uuid_equal(&found, &mesh));
    ck_assert_str_eq(told, "");
    peer_end(&peer);
}
END_TEST

START_TEST(one_good_seed_among_bad_ones_is_enough)
{
    struct explanation explanation;
    struct peer good, wrong_key;
    struct net_address nobody;
    struct seed seeds[3];
    struct uuid found;

    peer_start(&good, 1, 5);
    peer_start(&wrong_key, 2, 6);
    peer_run(&good);
    peer_run(&wrong_key);
    nobody = good.address;
    nobody.port = 1;
    seeds[0] = seed_at(&wrong_key.address);
    seeds[1] = seed_at(&nobody);
    seeds[2] = seed_at(&good.address);
    ck_assert_int_eq(join_seeds(seeds, 3, &found, &explanation), 0);
    ck_assert(uuid_equal(&found, &mesh));
    peer_end(&good);
    peer_end(&wrong_key);
}
END_TEST

START_TEST(a_key_that_all_refuse_is_final)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 6);
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), MESH_EUNAUTHORIZED);
    ck_assert_ptr_nonnull(strstr(explanation.what, "another cluster key"));
    ck_assert_ptr_nonnull(strstr(explanation.cure, "the.key"));
    peer_end(&peer);
}
END_TEST

START_TEST(a_clock_far_off_is_refused_with_the_difference)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 5);
    peer.clock_offset_ms = INT64_C(3600) * 1000;
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), MESH_EUNAUTHORIZED);
    ck_assert_ptr_nonnull(strstr(explanation.what, "the clock of 127.0.0.1"));
    ck_assert_ptr_nonnull(strstr(explanation.what, "s ahead of this machine's"));
    ck_assert_ptr_nonnull(strstr(explanation.cure, "NTP"));
    peer_end(&peer);
}
END_TEST

START_TEST(a_clock_a_little_off_is_told_and_no_obstacle)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 5);
    peer.clock_offset_ms = -5000;
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), 0);
    ck_assert_ptr_nonnull(strstr(told, "behind this machine's"));
    peer_end(&peer);
}
END_TEST

/* ---- who only looks ---- */

static void keep_finding(void *user, const struct probe_finding *finding)
{
    struct probe_finding *to = user;

    ck_assert_uint_eq(to->state, UINT32_MAX); /* one address: one finding */
    *to = *finding;
}

static struct probe_finding probe(const struct net_address *address)
{
    const struct seed seed = seed_at(address);
    struct probe_finding finding = {.state = (enum probe_state)UINT32_MAX};
    const struct probe_options options = {.seed = &seed, .keyring = keyring, .key_path = "the.key", .found = keep_finding, .user = &finding};

    ck_assert_int_eq(probe_run(&options), 0);
    return finding;
}

START_TEST(a_look_tells_who_answers_and_by_which_clock)
{
    struct probe_finding finding;
    struct peer peer;

    peer_start(&peer, 1, 5);
    peer.clock_offset_ms = INT64_C(3600) * 1000;
    peer_run(&peer);
    finding = probe(&peer.address);
    ck_assert_int_eq(finding.state, PROBE_MEMBER);
    ck_assert(uuid_equal(&finding.cluster_id, &mesh));
    ck_assert(llabs(finding.clock_ms - peer.clock_offset_ms) <= finding.clock_uncertain_ms + 1);
    atomic_store(&peer.has_cluster, false);
    finding = probe(&peer.address);
    ck_assert_int_eq(finding.state, PROBE_WAITING);
    peer_end(&peer);
    finding = probe(&peer.address);
    ck_assert_int_eq(finding.state, PROBE_SILENT);
    ck_assert_ptr_nonnull(strstr(finding.explanation.what, "nobody listens at"));
    peer_start(&peer, 1, 6);
    peer_run(&peer);
    finding = probe(&peer.address);
    ck_assert_int_eq(finding.state, PROBE_REFUSED);
    ck_assert_int_eq(finding.failure, CHANNEL_FAILURE_WRONG_KEY);
    ck_assert_ptr_nonnull(strstr(finding.explanation.cure, "the.key"));
    peer_end(&peer);
}
END_TEST

START_TEST(a_seed_without_a_mesh_is_waited_for)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 5);
    atomic_store(&peer.has_cluster, false);
    founds_when_told = &peer;
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), 0);
    ck_assert(uuid_equal(&found, &mesh));
    ck_assert_ptr_nonnull(strstr(told, "belongs to no mesh yet itself"));
    peer_end(&peer);
}
END_TEST

START_TEST(a_broker_that_finds_only_itself_is_told)
{
    struct explanation explanation;
    struct peer peer;
    struct seed seed;
    struct uuid found;

    peer_start(&peer, 1, 5);
    identity = peer.identity;
    peer_run(&peer);
    seed = seed_at(&peer.address);
    ck_assert_int_eq(join_seeds(&seed, 1, &found, &explanation), MESH_EUNAUTHORIZED);
    ck_assert_ptr_nonnull(strstr(explanation.what, "is this broker itself"));
    peer_end(&peer);
}
END_TEST

/* ---- with a founding ---- */

#define BROKERS 3

/* Brokers that all have each other as seeds, each on a thread: whoever has heard all others say its number sends a round of applause, and ends
 * with a mesh once everybody has applauded. Not the protocol of founding: what it needs of links. */
struct founder {
    pthread_t thread;
    struct join_founding founding;
    struct join_options options;
    struct join *join;
    struct identity_key identity;
    struct net_address address;
    unsigned ups, applause;
    int error;
    struct uuid found;
};

static struct founder founders[BROKERS];
static struct seed founder_seeds[BROKERS];

static void founder_start(void *user, struct join *join, struct ev_loop *loop)
{
    struct founder *founder = user;

    (void)loop;
    founder->join = join;
}

static void founder_stop(void *user)
{
    ((struct founder *)user)->join = NULL;
}

static void founder_up(void *user, const struct channel_peer *peer, const struct uuid *dir_id)
{
    struct founder *founder = user;

    ck_assert(uuid_is_zero(&peer->cluster_id));
    ck_assert_uint_eq(dir_id->bytes[0], peer->boot); /* as the founders have it */
    ck_assert_int_eq(join_send(founder->join, &peer->id, slice_of("clap", 4)), 0);
    founder->ups++;
}

static void founder_down(void *user, const struct uuid *peer)
{
    (void)user;
    (void)peer;
}

static void founder_receive(void *user, const struct uuid *peer, const struct uuid *dir_id, const struct net_address *source, struct slice message)
{
    struct founder *founder = user;

    (void)peer;
    (void)source;
    ck_assert(!uuid_is_zero(dir_id));
    ck_assert(slice_equal(message, slice_of("clap", 4)));
    if (++founder->applause == BROKERS - 1) join_end(founder->join, 0, &mesh);
}

static void *run_founder(void *user)
{
    struct founder *founder = user;
    struct explanation explanation;

    founder->error = join_find_cluster(&founder->options, &founder->found, &explanation);
    return NULL;
}

static void founder_init(uint8_t number, size_t seed_count)
{
    struct founder *founder = &founders[number];
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(founder, 0, sizeof(*founder));
    memset(seed, number + 1, sizeof(seed));
    identity_key_init(&founder->identity, seed);
    founder->founding = (struct join_founding){founder, founder_start, founder_stop, founder_up, founder_down, founder_receive, NULL, NULL, NULL};
    founder->options = (struct join_options){.seeds = founder_seeds,
                                             .seed_count = seed_count,
                                             .keyring = keyring,
                                             .key_path = "the.key",
                                             .identity = &founder->identity,
                                             .boot = number + 1u,
                                             .dir_id = {{(uint8_t)(number + 1)}},
                                             .founding = &founder->founding,
                                             .listen_fd = bind_somewhere(&founder->address)};
    founder_seeds[number] = seed_at(&founder->address);
}

START_TEST(brokers_without_a_mesh_talk_to_each_other)
{
    for (uint8_t i = 0; i < BROKERS; i++)
        founder_init(i, BROKERS);
    for (int i = 0; i < BROKERS; i++)
        ck_assert_int_eq(pthread_create(&founders[i].thread, NULL, run_founder, &founders[i]), 0);
    for (int i = 0; i < BROKERS; i++) {
        pthread_join(founders[i].thread, NULL);
        ck_assert_int_eq(founders[i].error, 0);
        ck_assert(uuid_equal(&founders[i].found, &mesh));
        ck_assert_uint_ge(founders[i].ups, 1);
        ck_assert_ptr_null(founders[i].join);
        close(founders[i].options.listen_fd);
    }
}
END_TEST

START_TEST(a_mesh_that_is_there_ends_a_founding)
{
    struct peer peer;

    peer_start(&peer, 9, 5);
    peer_run(&peer);
    founder_init(0, 2);
    founder_seeds[1] = seed_at(&peer.address);
    run_founder(&founders[0]);
    ck_assert_int_eq(founders[0].error, 0);
    ck_assert(uuid_equal(&founders[0].found, &mesh));
    ck_assert_uint_eq(founders[0].ups, 0);
    close(founders[0].options.listen_fd);
    peer_end(&peer);
}
END_TEST

START_TEST(a_wrong_key_ends_a_founding_too)
{
    struct peer peer;

    peer_start(&peer, 9, 6);
    peer_run(&peer);
    founder_init(0, 2);
    founder_seeds[1] = seed_at(&peer.address);
    run_founder(&founders[0]);
    ck_assert_int_eq(founders[0].error, MESH_EUNAUTHORIZED);
    close(founders[0].options.listen_fd);
    peer_end(&peer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("join");
    TCase *tcase = tcase_create("join");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_seed_tells_its_mesh);
    tcase_add_test(tcase, one_good_seed_among_bad_ones_is_enough);
    tcase_add_test(tcase, a_key_that_all_refuse_is_final);
    tcase_add_test(tcase, a_clock_far_off_is_refused_with_the_difference);
    tcase_add_test(tcase, a_clock_a_little_off_is_told_and_no_obstacle);
    tcase_add_test(tcase, a_look_tells_who_answers_and_by_which_clock);
    tcase_add_test(tcase, a_seed_without_a_mesh_is_waited_for);
    tcase_add_test(tcase, a_broker_that_finds_only_itself_is_told);
    tcase_add_test(tcase, brokers_without_a_mesh_talk_to_each_other);
    tcase_add_test(tcase, a_mesh_that_is_there_ends_a_founding);
    tcase_add_test(tcase, a_wrong_key_ends_a_founding_too);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
