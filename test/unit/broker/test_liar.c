/* A member that holds the cluster key and lies about another: two brokers as they run (their sockets, seals, links and
 * gossip), and a third one that says over its links whatever it likes. Its victim stays alive, where it is. */
#include "cmd/broker/peers/peers_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "gossip/codec.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

enum { OBSERVER, VICTIM, BROKERS };

static const struct uuid cluster = {{0xcc, 1}};
static struct ev_loop *loop;

static struct broker {
    struct peers *peers;
    struct identity_key identity;
    struct keyring *keyring;
    struct net_address address;
    ev_io acceptor;
} brokers[BROKERS];

static struct liar {
    struct identity_key identity;
    struct keyring *keyring;
    struct link *links[BROKERS];
    struct gossip_self self;
} liar;

/* ---- the honest ---- */

static void make_identity(struct identity_key *identity, struct keyring **ret_ring, uint8_t number)
{
    uint8_t seed[IDENTITY_SEED_SIZE], bytes[CLUSTER_KEY_SIZE];
    struct cluster_key key;

    memset(seed, number, sizeof(seed));
    identity_key_init(identity, seed);
    memset(bytes, 5, sizeof(bytes));
    cluster_key_init(&key, bytes);
    *ret_ring = keyring_new();
    ck_assert_int_eq(keyring_install(*ret_ring, &key), 0);
}

static void on_accept(struct ev_loop *unused, ev_io *io, int events)
{
    struct broker *broker = io->data;
    int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)unused;
    (void)events;
    if (fd >= 0) peers_adopt(broker->peers, fd, slice_of("", 0));
}

static void listen_at_a_free_port(struct broker *broker)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&name, &broker->address), 0);
    ev_io_init(&broker->acceptor, on_accept, fd, EV_READ);
    broker->acceptor.data = broker;
    ev_io_start(loop, &broker->acceptor);
}

static void start(struct broker *broker, uint8_t number, const struct broker *through)
{
    char address[NET_ADDRESS_STRING_SIZE];
    struct seed seed;

    make_identity(&broker->identity, &broker->keyring, number);
    listen_at_a_free_port(broker);
    if (through != NULL) ck_assert_int_eq(seed_parse(net_address_format(&through->address, address), &seed), 0);
    const struct peers_options options = {.loop = loop,
                                          .listen = broker->address,
                                          .client_port = broker->address.port,
                                          .name = number == 1 ? "observer" : "victim",
                                          .zone = "",
                                          .host = "",
                                          .cluster_id = cluster,
                                          .dir_id = {{number}},
                                          .boot = 1,
                                          .identity = &broker->identity,
                                          .keyring = broker->keyring,
                                          .seeds = &seed,
                                          .seed_count = through != NULL};
    ck_assert_int_eq(peers_open(&options, &broker->peers), 0);
}

static const struct gossip_member *seen(int by, const struct uuid *id)
{
    return gossip_find(brokers[by].peers->gossip, id);
}

static const struct gossip_member *victim(void)
{
    return seen(OBSERVER, &brokers[VICTIM].identity.id);
}

static struct gossip_stats stats_of(int who)
{
    struct peers_stats stats;

    peers_get_stats(brokers[who].peers, &stats);
    return stats.gossip;
}

/* What holds whatever the liar says: nobody dies of it, nobody leaves, nobody moves. */
static void turn(void)
{
    ev_run(loop, EVRUN_ONCE);
    if (victim() == NULL) return;
    ck_assert_msg(victim()->state == GOSSIP_ALIVE || victim()->state == GOSSIP_SUSPECT, "the victim was buried alive");
    ck_assert(net_address_equal(&victim()->self.address, &brokers[VICTIM].address));
}

#define RUN_UNTIL(condition) \
    while (!(condition))     \
    turn()

static bool is_seen_alive(int by, const struct uuid *id)
{
    const struct gossip_member *member = seen(by, id);

    return member != NULL && member->state == GOSSIP_ALIVE;
}

/* ---- the liar ---- */

static void say(int to, const struct item_writer *writer)
{
    ck_assert_ptr_nonnull(liar.links[to]);
    ck_assert_int_eq(link_send(liar.links[to], LINK_TYPE_GOSSIP, codec_bytes(writer)), 0);
}

/* What `self` says of itself, signed by the liar. */
static void put_signed_by_liar(struct item_writer *writer, const struct gossip_self *self)
{
    uint8_t raw[CODEC_SELF_MAX], message[CODEC_SIGNED_MAX], signature[GOSSIP_SIGNATURE];
    struct slice body = slice_of(raw, codec_self_encode(self, raw));

    identity_gossip_sign(&liar.identity, slice_of(message, codec_signed_self(body, message)), signature);
    ck_assert(codec_put_alive(writer, body, signature));
}

static void on_up(void *user, struct link *link)
{
    int to = link == liar.links[OBSERVER] ? OBSERVER : VICTIM;
    uint8_t room[2000];
    struct item_writer writer;

    (void)user;
    codec_start(&writer, room, sizeof(room));
    put_signed_by_liar(&writer, &liar.self);
    say(to, &writer);
}

/* It answers when it is asked whether it lives, so that it stays a member; to everything else it is deaf. */
static void on_frame(void *user, struct link *link, uint8_t type, struct slice payload)
{
    struct item_reader reader;
    struct item item;

    (void)user;
    if (type != LINK_TYPE_GOSSIP || codec_open(payload, &reader) != 0) return;
    while (codec_next(&reader, &item) > 0) {
        uint8_t room[64];
        struct item_writer writer;

        if (item.type != ITEM_PING) continue;
        codec_start(&writer, room, sizeof(room));
        ck_assert(codec_put_seq(&writer, ITEM_ACK, item.ping.seq));
        say(link == liar.links[OBSERVER] ? OBSERVER : VICTIM, &writer);
    }
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    (void)user;
    (void)end;
    for (int to = 0; to < BROKERS; to++)
        if (liar.links[to] == link) liar.links[to] = NULL;
    ck_abort_msg("the liar was hung up on: %s", reason);
}

static const struct link_hooks hooks = {on_up, on_frame, on_down};

static void let_liar_join(void)
{
    struct link_options options;

    make_identity(&liar.identity, &liar.keyring, 3);
    options = (struct link_options){.loop = loop,
                                    .hooks = &hooks,
                                    .channel = {.ciphers = channel_ciphers_here(),
                                                .keyring = liar.keyring,
                                                .identity = &liar.identity,
                                                .boot = 1,
                                                .cluster_id = cluster,
                                                .wall_ms = (uint64_t)clock_wall_ms()}};
    liar.self = (struct gossip_self){.id = liar.identity.id,
                                     .incarnation = (uint64_t)1 << 32,
                                     .address = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, 1},
                                     .name = "liar"};
    memcpy(liar.self.public_key, liar.identity.public_key, sizeof(liar.self.public_key));
    for (int to = 0; to < BROKERS; to++)
        ck_assert_int_eq(link_dial(&options, &brokers[to].address, NULL, &liar.links[to]), 0);
    RUN_UNTIL(is_seen_alive(OBSERVER, &liar.identity.id) && is_seen_alive(VICTIM, &liar.identity.id));
}

static void setup(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    crypto_init();
    loop = ev_loop_new(EVBACKEND_EPOLL);
    start(&brokers[OBSERVER], 1, NULL);
    start(&brokers[VICTIM], 2, &brokers[OBSERVER]);
    RUN_UNTIL(is_seen_alive(OBSERVER, &brokers[VICTIM].identity.id) && is_seen_alive(VICTIM, &brokers[OBSERVER].identity.id));
    let_liar_join();
}

static void teardown(void)
{
    for (int i = 0; i < BROKERS; i++)
        if (liar.links[i] != NULL) link_abandon(liar.links[i]);
    keyring_free(liar.keyring);
    memset(&liar, 0, sizeof(liar));
    for (int i = 0; i < BROKERS; i++) {
        peers_close(brokers[i].peers);
        ev_io_stop(loop, &brokers[i].acceptor);
        close(brokers[i].acceptor.fd);
        keyring_free(brokers[i].keyring);
    }
    memset(brokers, 0, sizeof(brokers));
    ev_loop_destroy(loop);
}

/* ---- accusations ---- */

static void accuse(enum item_type type, const struct uuid *accusers, uint8_t count)
{
    uint8_t room[500];
    struct item_writer writer;

    codec_start(&writer, room, sizeof(room));
    if (type == ITEM_GONE)
        ck_assert(codec_put_gone(&writer, &brokers[VICTIM].identity.id, victim()->self.incarnation));
    else
        ck_assert(codec_put_accusation(&writer, type, &brokers[VICTIM].identity.id, victim()->self.incarnation, 0, accusers, count));
    say(OBSERVER, &writer);
}

/* Until the observer has the victim's answer to what was said at this incarnation. */
static void wait_refutation(uint64_t incarnation)
{
    RUN_UNTIL(victim()->self.incarnation > incarnation && victim()->state == GOSSIP_ALIVE);
}

static void lie_and_be_refuted(enum item_type type, const struct uuid *accusers, uint8_t count)
{
    for (int i = 0; i < 20; i++) {
        uint64_t incarnation = victim()->self.incarnation;

        accuse(type, accusers, count);
        accuse(type, accusers, count); /* what is repeated does not become truer */
        wait_refutation(incarnation);
    }
    ck_assert_uint_eq(stats_of(OBSERVER).deaths, 0);
    ck_assert_uint_ge(stats_of(VICTIM).refutations, 20);
}

START_TEST(a_suspicion_is_refuted)
{
    lie_and_be_refuted(ITEM_SUSPECT, NULL, 0);
}
END_TEST

START_TEST(a_death_is_no_more_than_a_suspicion)
{
    lie_and_be_refuted(ITEM_DEAD, NULL, 0);
}
END_TEST

START_TEST(accusers_that_were_made_up_do_not_make_it_a_death)
{
    struct uuid accusers[SUSPICION_ACCUSERS_MAX];

    for (size_t i = 0; i < SUSPICION_ACCUSERS_MAX; i++)
        accusers[i] = (struct uuid){{0xee, (uint8_t)i}};
    lie_and_be_refuted(ITEM_DEAD, accusers, SUSPICION_ACCUSERS_MAX);
}
END_TEST

START_TEST(one_witness_does_not_make_a_process_vanish)
{
    lie_and_be_refuted(ITEM_GONE, NULL, 0);
    ck_assert_uint_eq(stats_of(OBSERVER).fast_deaths, 0);
}
END_TEST

/* ---- in another's name ---- */

/* The victim with a later incarnation and another address, signed by the liar under the public key that it says. */
static void forge_alive(const uint8_t *public_key)
{
    struct gossip_self self = victim()->self;
    uint8_t room[2000];
    struct item_writer writer;

    self.incarnation += 10;
    self.address.port ^= 1;
    memcpy(self.public_key, public_key, sizeof(self.public_key));
    codec_start(&writer, room, sizeof(room));
    put_signed_by_liar(&writer, &self);
    say(OBSERVER, &writer);
}

START_TEST(nobody_moves_another)
{
    struct gossip_self before = victim()->self;

    forge_alive(before.public_key);
    forge_alive(liar.identity.public_key); /* the signature is good, but the id is not that of this key */
    RUN_UNTIL(stats_of(OBSERVER).bad_signature >= 2);
    ck_assert_uint_eq(stats_of(OBSERVER).bad_signature, 2);
    ck_assert_uint_eq(victim()->self.incarnation, before.incarnation);
    ck_assert_mem_eq(victim()->self.public_key, before.public_key, sizeof(before.public_key));
    ck_assert_int_eq(victim()->state, GOSSIP_ALIVE);
}
END_TEST

START_TEST(nobody_makes_a_member_of_an_id_that_is_not_its_own)
{
    struct gossip_self self = liar.self;
    uint8_t room[2000];
    struct item_writer writer;

    self.id = (struct uuid){{0xdd}};
    codec_start(&writer, room, sizeof(room));
    put_signed_by_liar(&writer, &self);
    say(OBSERVER, &writer);
    RUN_UNTIL(stats_of(OBSERVER).bad_signature >= 1);
    ck_assert_ptr_null(seen(OBSERVER, &self.id));
}
END_TEST

START_TEST(nobody_retires_another)
{
    uint8_t room[500], message[CODEC_SIGNED_MAX], signature[GOSSIP_SIGNATURE];
    const struct uuid *id = &brokers[VICTIM].identity.id;
    struct item_writer writer;

    identity_gossip_sign(&liar.identity, slice_of(message, codec_signed_leave(id, victim()->self.incarnation, message)), signature);
    codec_start(&writer, room, sizeof(room));
    ck_assert(codec_put_left(&writer, id, victim()->self.incarnation, 0, signature));
    say(OBSERVER, &writer);
    say(VICTIM, &writer); /* it is not talked into leaving either */
    RUN_UNTIL(stats_of(OBSERVER).bad_signature >= 1);
    accuse(ITEM_SUSPECT, NULL, 0);
    wait_refutation(victim()->self.incarnation);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("liar");
    TCase *cases = tcase_create("liar");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60); /* for what hangs */
    tcase_add_test(cases, a_suspicion_is_refuted);
    tcase_add_test(cases, a_death_is_no_more_than_a_suspicion);
    tcase_add_test(cases, accusers_that_were_made_up_do_not_make_it_a_death);
    tcase_add_test(cases, one_witness_does_not_make_a_process_vanish);
    tcase_add_test(cases, nobody_moves_another);
    tcase_add_test(cases, nobody_makes_a_member_of_an_id_that_is_not_its_own);
    tcase_add_test(cases, nobody_retires_another);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
