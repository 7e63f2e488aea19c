/* What the rest of the broker does with links and streams: two drivers of gossip on one loop, over real sockets on loopback. */
#include "cmd/broker/front/sniff.h"
#include "cmd/broker/peers/peer_streams.h"
#include "cmd/broker/peers/peer_users.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/runtime/long_memory.h"

#include "base/error.h"
#include "crypto/channel.h"
#include "crypto/crypto.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    struct peers *peers;
    struct peers_options options;
    struct identity_key identity;
    struct keyring *keyring;
    int listen_fd;
    ev_io acceptor;
    struct seed seed;
    unsigned ups, downs, messages, met, frontiers;
    bool is_linked, echoes;
    struct uuid dir_id;
    uint8_t *kept;
    size_t kept_size;
    struct peer_stream stream; /* the last that came up; fd -1: none */
    unsigned arrived, opened, failed;
    uint64_t tag;
};

static struct ev_loop *loop;
static struct side sides[2];

#define RUN_UNTIL(condition)                                                                                         \
    while (!(condition))                                                                                             \
    ev_run(loop, EVRUN_ONCE)

/* ---- hooks ---- */

static const struct uuid *id_of(const struct side *side)
{
    return &side->identity.id;
}

static void on_up(void *user, const struct uuid *peer, const struct uuid *dir_id)
{
    struct side *side = user;

    ck_assert(!side->is_linked);
    ck_assert(peers_is_linked(side->peers, peer, NULL));
    side->is_linked = true;
    side->dir_id = *dir_id;
    side->ups++;
    ck_assert_int_eq(peers_link_send(side->peers, peer, LINK_TYPE_CONSENSUS, slice_of("first", 5)), 0);
}

static void on_down(void *user, const struct uuid *peer)
{
    struct side *side = user;

    ck_assert(side->is_linked);
    side->is_linked = false;
    side->downs++;
    ck_assert_int_eq(peers_link_send(side->peers, peer, LINK_TYPE_CONSENSUS, slice_of("late", 4)), MESH_ECLOSED);
}

static void on_receive(void *user, const struct uuid *peer, const struct uuid *dir_id, struct slice message)
{
    struct side *side = user;

    ck_assert(side->is_linked && uuid_equal(dir_id, &side->dir_id));
    if (side->messages++ == 0) ck_assert(slice_equal(message, slice_of("first", 5))); /* nothing is lost at the beginning */
    long_memory_give(side->kept);
    side->kept = peers_take_message(side->peers, message);
    side->kept_size = message.size;
    if (side->echoes) ck_assert_int_eq(peers_link_send(side->peers, peer, LINK_TYPE_CONSENSUS, slice_of(side->kept, side->kept_size)), 0);
}

static void on_member(void *user, const struct gossip_member *member, enum gossip_state was, bool is_new)
{
    struct side *side = user;

    (void)was;
    side->met += is_new && !member->is_self;
}

static void on_frontier(void *user, const struct gossip_member *member)
{
    struct side *side = user;

    ck_assert_uint_eq(member->frontier.index, 77);
    side->frontiers++;
}

static void take_stream(struct side *side, const struct peer_stream *stream)
{
    link_remains_free(&side->stream.remains);
    side->stream = *stream;
}

static void on_arrived(void *user, const struct peer_stream *stream)
{
    struct side *side = user;

    side->arrived++;
    take_stream(side, stream);
}

static void on_opened(void *user, uint64_t tag, const struct peer_stream *stream, const char *reason)
{
    struct side *side = user;

    side->tag = tag;
    if (stream == NULL) {
        ck_assert_ptr_nonnull(reason);
        side->failed++;
        return;
    }
    side->opened++;
    take_stream(side, stream);
}

static const struct peer_user_hooks hooks = {on_up, on_down, on_receive};
static const struct peer_stream_hooks stream_hooks = {on_arrived, on_opened};
static const struct peer_news_hooks news = {.member = on_member, .frontier = on_frontier};

static void on_accept(struct ev_loop *unused, ev_io *io, int events)
{
    struct side *side = io->data;
    uint8_t first[SNIFF_BYTES_MAX];
    struct slice bytes = {first, sizeof(first)};
    int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

    (void)unused;
    (void)events;
    if (fd < 0) return;
    ck_assert_int_eq(recv(fd, first, sizeof(first), MSG_WAITALL), sizeof(first));
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    if (sniff(bytes) == SNIFF_STREAM) peers_adopt_stream(side->peers, fd, bytes);
    else peers_adopt(side->peers, fd, bytes);
}

/* ---- two sides ---- */

static void side_open(struct side *side)
{
    ck_assert_int_eq(peers_open(&side->options, &side->peers), 0);
    peers_set_user(side->peers, LINK_TYPE_CONSENSUS, &hooks, side);
    peers_set_news(side->peers, &news, side);
    peers_set_streams(side->peers, &stream_hooks, side);
}

static void side_init(struct side *side, uint8_t number)
{
    static const char *const names[] = {"one", "two"};
    uint8_t key_bytes[CLUSTER_KEY_SIZE] = {1}, seed[IDENTITY_SEED_SIZE] = {number};
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    struct cluster_key key;

    memset(side, 0, sizeof(*side));
    side->stream.remains.fd = -1;
    identity_key_init(&side->identity, seed);
    side->keyring = keyring_new();
    cluster_key_init(&key, key_bytes);
    ck_assert_int_eq(keyring_install(side->keyring, &key), 0);
    side->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(side->listen_fd, (struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(listen(side->listen_fd, 8), 0);
    ck_assert_int_eq(getsockname(side->listen_fd, (struct sockaddr *)&name, &size), 0);
    side->options = (struct peers_options){.loop = loop, .client_port = 1, .name = names[number - 1], .zone = "", .host = "",
                                           .cluster_id = {{7}}, .dir_id = {{number, number}}, .boot = 1,
                                           .identity = &side->identity, .keyring = side->keyring};
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&name, &side->options.listen), 0);
    ev_io_init(&side->acceptor, on_accept, side->listen_fd, EV_READ);
    side->acceptor.data = side;
    ev_io_start(loop, &side->acceptor);
}

static void setup(void)
{
    char text[NET_ADDRESS_STRING_SIZE];

    crypto_init();
    loop = ev_loop_new(EVFLAG_AUTO);
    side_init(&sides[0], 1);
    side_init(&sides[1], 2);
    ck_assert_int_eq(seed_parse(net_address_format(&sides[0].options.listen, text), &sides[1].seed), 0);
    sides[1].options.seeds = &sides[1].seed;
    sides[1].options.seed_count = 1;
}

static void teardown(void)
{
    for (int i = 0; i < 2; i++) {
        peers_close(sides[i].peers);
        ev_io_stop(loop, &sides[i].acceptor);
        close(sides[i].listen_fd);
        keyring_free(sides[i].keyring);
        long_memory_give(sides[i].kept);
        link_remains_free(&sides[i].stream.remains);
    }
    ev_run(loop, EVRUN_NOWAIT); /* a link that was taken over is freed from the loop */
    ev_loop_destroy(loop);
}

static void link_up(void)
{
    side_open(&sides[0]);
    side_open(&sides[1]);
    RUN_UNTIL(sides[0].messages > 0 && sides[1].messages > 0);
}

/* ---- what is promised ---- */

START_TEST(a_user_hears_of_links_and_their_disks)
{
    link_up();
    ck_assert(uuid_equal(&sides[0].dir_id, &sides[1].options.dir_id));
    ck_assert(uuid_equal(&sides[1].dir_id, &sides[0].options.dir_id));
    ck_assert_uint_eq(sides[0].ups, sides[0].downs + 1);
    ck_assert_uint_eq(sides[0].met, 1);
    ck_assert(peers_is_linked(sides[0].peers, id_of(&sides[1]), NULL));
    ck_assert(!peers_is_linked(sides[0].peers, id_of(&sides[0]), NULL));
}
END_TEST

START_TEST(long_messages_go_there_and_back)
{
    static uint8_t message[3 << 20];
    unsigned before;

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 13 + (i >> 12));
    link_up();
    before = sides[0].messages;
    sides[1].echoes = true;
    ck_assert_int_eq(peers_link_send(sides[0].peers, id_of(&sides[1]), LINK_TYPE_CONSENSUS, slice_of(message, sizeof(message))), 0);
    RUN_UNTIL(sides[0].messages > before);
    ck_assert_uint_eq(sides[0].kept_size, sizeof(message));
    ck_assert_mem_eq(sides[0].kept, message, sizeof(message));
}
END_TEST

START_TEST(a_type_without_a_user_is_dropped)
{
    link_up();
    ck_assert_int_eq(peers_link_send(sides[0].peers, id_of(&sides[1]), LINK_TYPE_METADATA, slice_of("anybody?", 8)), 0);
    ck_assert_int_eq(peers_link_send(sides[0].peers, id_of(&sides[1]), LINK_TYPE_CONSENSUS, slice_of("first", 5)), 0);
    RUN_UNTIL(sides[1].messages == 2);
}
END_TEST

/* As a broker's forwarding, which is there only after the metadata are, and those may need links first. */
START_TEST(a_user_that_comes_late_hears_of_the_links_that_are_up)
{
    ck_assert_int_eq(peers_open(&sides[0].options, &sides[0].peers), 0);
    side_open(&sides[1]);
    RUN_UNTIL(peers_is_linked(sides[0].peers, id_of(&sides[1]), NULL) && sides[1].is_linked);
    peers_set_user(sides[0].peers, LINK_TYPE_CONSENSUS, &hooks, &sides[0]);
    ck_assert_uint_eq(sides[0].ups, 0); /* from the loop, not from inside a call */
    RUN_UNTIL(sides[0].ups == 1 && sides[1].messages == 1);
    ck_assert_int_eq(peers_link_send(sides[1].peers, id_of(&sides[0]), LINK_TYPE_CONSENSUS, slice_of("first", 5)), 0);
    RUN_UNTIL(sides[0].messages == 1);
    ck_assert_uint_eq(sides[0].ups, 1);
    peers_close(sides[1].peers);
    sides[1].peers = NULL;
    RUN_UNTIL(!sides[0].is_linked);
    ck_assert_uint_eq(sides[0].downs, 1);
}
END_TEST

/* Neither up nor down, when the link is gone before the loop turns. */
START_TEST(a_user_that_comes_late_hears_nothing_of_a_link_that_ends_first)
{
    ck_assert_int_eq(peers_open(&sides[0].options, &sides[0].peers), 0);
    side_open(&sides[1]);
    RUN_UNTIL(peers_is_linked(sides[0].peers, id_of(&sides[1]), NULL) && sides[1].is_linked);
    peers_set_user(sides[0].peers, LINK_TYPE_CONSENSUS, &hooks, &sides[0]);
    peers_close(sides[0].peers);
    sides[0].peers = NULL;
    ck_assert_uint_eq(sides[0].ups, 0);
    ck_assert_uint_eq(sides[0].downs, 0);
}
END_TEST

START_TEST(a_broker_that_comes_back_is_up_again)
{
    link_up();
    peers_close(sides[1].peers);
    sides[1].peers = NULL;
    sides[1].is_linked = false;
    sides[1].messages = 0;
    RUN_UNTIL(!sides[0].is_linked);
    sides[1].options.boot++;
    sides[0].messages = 0;
    side_open(&sides[1]);
    RUN_UNTIL(sides[0].messages > 0 && sides[1].messages > 0);
    ck_assert_uint_eq(sides[0].ups, sides[0].downs + 1);
}
END_TEST

START_TEST(a_broker_that_is_wanted_before_it_is_known_is_registered_when_it_comes)
{
    side_open(&sides[0]);
    ck_assert_int_eq(peers_want_link(sides[0].peers, id_of(&sides[1])), 0);
    ck_assert_int_eq(peers_want_link(sides[0].peers, id_of(&sides[1])), 0);
    ck_assert_int_eq(peers_set_registered(sides[0].peers, id_of(&sides[1]), true), 0);
    side_open(&sides[1]);
    RUN_UNTIL(sides[0].messages > 0 && sides[1].messages > 0);
    ck_assert(peers_find_member(sides[0].peers, id_of(&sides[1]))->is_registered);
    for (int i = 0; i < 3; i++) /* one more than was wanted is harmless */
        peers_unwant_link(sides[0].peers, id_of(&sides[1]));
    ck_assert_int_eq(peers_set_registered(sides[0].peers, id_of(&sides[1]), false), 0);
    RUN_UNTIL(!peers_find_member(sides[0].peers, id_of(&sides[1]))->is_registered);
    ck_assert(sides[0].is_linked);
}
END_TEST

/* Seals at one end, opens at the other: what the takers of a stream do. */
static void speak(struct side *from, struct side *to, const char *text)
{
    struct link_remains *out = &from->stream.remains, *in = &to->stream.remains;
    uint8_t sealed[256], opened[512];
    size_t size = strlen(text), have = in->received_size;
    struct channel_frame frame;

    ck_assert_int_eq(channel_seal(out->channel, 1, slice_of(text, size), sealed), 0);
    if (out->unsent_size > 0) ck_assert_int_eq(send(out->fd, out->unsent, out->unsent_size, 0), (ssize_t)out->unsent_size);
    out->unsent_size = 0;
    ck_assert_int_eq(send(out->fd, sealed, size + CHANNEL_FRAME_OVERHEAD, 0), (ssize_t)(size + CHANNEL_FRAME_OVERHEAD));
    if (have > 0) memcpy(opened, in->received, have);
    in->received_size = 0;
    ck_assert_int_eq(fcntl(in->fd, F_SETFL, 0), 0);
    while (channel_open(in->channel, opened, have, &frame) == MESH_EAGAIN) {
        ssize_t got = recv(in->fd, opened + have, sizeof(opened) - have, 0);
        ck_assert_int_gt(got, 0);
        have += (size_t)got;
    }
    ck_assert(frame.type == 1 && slice_equal(frame.payload, slice_of(text, size)));
    ck_assert_uint_eq(frame.used, have);
}

START_TEST(a_stream_is_proven_and_handed_over)
{
    link_up();
    for (uint16_t shard = 0; shard < 300; shard += 259) {
        ck_assert_int_eq(peers_open_stream(sides[0].peers, id_of(&sides[1]), STREAM_REPLICATION, shard, 70u + shard), 0);
        RUN_UNTIL(sides[0].opened > shard / 259u && sides[1].arrived > shard / 259u);
        ck_assert_uint_eq(sides[0].tag, 70u + shard);
        ck_assert(sides[0].stream.is_dialled && !sides[1].stream.is_dialled);
        ck_assert(uuid_equal(&sides[0].stream.peer, id_of(&sides[1])) && uuid_equal(&sides[1].stream.peer, id_of(&sides[0])));
        ck_assert_uint_eq(sides[0].stream.shard, shard);
        ck_assert_uint_eq(sides[1].stream.shard, shard);
        ck_assert_uint_eq(sides[1].stream.boot, 1);
        speak(&sides[0], &sides[1], "who dialled speaks first");
        speak(&sides[1], &sides[0], "and is answered");
    }
    ev_run(loop, EVRUN_NOWAIT); /* links that were taken apart free themselves */
    ck_assert(sides[0].is_linked && sides[1].is_linked); /* the link between the two is another one, and stays */
}
END_TEST

START_TEST(a_stream_that_cannot_be_is_told_once)
{
    struct uuid nobody = {{9}};

    link_up();
    ck_assert_int_eq(peers_open_stream(sides[0].peers, &nobody, STREAM_REPLICATION, 0, 1), MESH_ENOTFOUND);
    ev_io_stop(loop, &sides[1].acceptor);
    close(sides[1].listen_fd);
    sides[1].listen_fd = -1;
    ck_assert_int_eq(peers_open_stream(sides[0].peers, id_of(&sides[1]), STREAM_REPLICATION, 0, 5), 0);
    RUN_UNTIL(sides[0].failed > 0);
    ck_assert_uint_eq(sides[0].tag, 5);
    ck_assert_uint_eq(sides[0].opened, 0);
    ck_assert_int_eq(peers_open_stream(sides[0].peers, id_of(&sides[1]), STREAM_REPLICATION, 0, 6), 0); /* forgotten at the end, without an answer */
}
END_TEST

START_TEST(a_preamble_is_read_strictly)
{
    uint8_t bytes[STREAM_PREAMBLE_SIZE];
    enum stream_purpose purpose = STREAM_REPLICATION;
    uint16_t shard = 0;

    stream_preamble_encode(STREAM_FORWARDING, 0x1234, bytes);
    for (size_t size = 0; size < sizeof(bytes); size++)
        ck_assert_int_eq(stream_preamble_decode(slice_of(bytes, size), &purpose, &shard), MESH_EAGAIN);
    ck_assert_int_eq(stream_preamble_decode(slice_of(bytes, sizeof(bytes)), &purpose, &shard), 0);
    ck_assert_uint_eq(shard, 0x1234);
    ck_assert_int_eq(purpose, STREAM_FORWARDING);
    bytes[5] = STREAM_FORWARDING + 1; /* what a later version may want */
    ck_assert_int_eq(stream_preamble_decode(slice_of(bytes, sizeof(bytes)), &purpose, &shard), MESH_EPROTO);
    bytes[5] = STREAM_REPLICATION;
    bytes[4]++;
    ck_assert_int_eq(stream_preamble_decode(slice_of(bytes, sizeof(bytes)), &purpose, &shard), MESH_EVERSION);
    bytes[0] = 'X';
    ck_assert_int_eq(stream_preamble_decode(slice_of(bytes, sizeof(bytes)), &purpose, &shard), MESH_EPROTO);
}
END_TEST

START_TEST(a_frontier_ahead_is_told)
{
    const struct gossip_frontier frontier = {3, 77, 12345};

    link_up();
    peers_set_frontier(sides[1].peers, &frontier);
    RUN_UNTIL(sides[0].frontiers > 0);
    ck_assert_uint_eq(peers_find_member(sides[0].peers, id_of(&sides[1]))->frontier.chain, 12345);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peer users");
    TCase *tcase = tcase_create("peer users");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_user_hears_of_links_and_their_disks);
    tcase_add_test(tcase, long_messages_go_there_and_back);
    tcase_add_test(tcase, a_type_without_a_user_is_dropped);
    tcase_add_test(tcase, a_user_that_comes_late_hears_of_the_links_that_are_up);
    tcase_add_test(tcase, a_user_that_comes_late_hears_nothing_of_a_link_that_ends_first);
    tcase_add_test(tcase, a_broker_that_comes_back_is_up_again);
    tcase_add_test(tcase, a_broker_that_is_wanted_before_it_is_known_is_registered_when_it_comes);
    tcase_add_test(tcase, a_stream_is_proven_and_handed_over);
    tcase_add_test(tcase, a_stream_that_cannot_be_is_told_once);
    tcase_add_test(tcase, a_preamble_is_read_strictly);
    tcase_add_test(tcase, a_frontier_ahead_is_told);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
