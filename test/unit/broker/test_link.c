/* Links between brokers over real sockets on loopback: coming up, frames, and every way to end; and how that is told. */
#include "cmd/broker/peers/explain.h"
#include "cmd/broker/peers/link.h"
#include "cmd/broker/peers/log_limiter.h"
#include "cmd/broker/runtime/long_memory.h"

#include "base/clock.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "support/run_suite.h"

#include <check.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    struct link *link;
    struct link_options options;
    struct identity_key identity;
    struct keyring *keyring;
    int ups, downs, frames;
    uint8_t last_type;
    size_t last_size, received;
    uint32_t checksum;
    enum link_end end;
    struct channel_failure_detail failure;
    char reason[200];
    bool closes_on_frame, keeps;
    uint8_t *kept; /* the last message, when it keeps them */
};

static struct ev_loop *loop;
static struct side dialler, listener;
static int listen_fd;
static struct net_address listen_address;
static ev_io acceptor;
static bool is_accepting;

/* ---- the two sides ---- */

static void on_up(void *user, struct link *link)
{
    struct side *side = user;

    ck_assert_ptr_eq(side->link, link);
    ck_assert(link_is_up(link));
    side->ups++;
}

static void on_receive(void *user, struct link *link, uint8_t type, struct slice payload)
{
    struct side *side = user;

    side->frames++;
    side->last_type = type;
    side->last_size = payload.size;
    side->received += payload.size;
    for (size_t i = 0; i < payload.size; i += 997)
        side->checksum = side->checksum * 31 + payload.data[i];
    if (side->closes_on_frame) link_close(link);
    if (side->keeps) side->kept = link_take(link, type, payload);
}

static void on_down(void *user, struct link *link, enum link_end end, const char *reason)
{
    struct side *side = user;

    side->downs++;
    side->end = end;
    side->failure = *link_failure(link);
    snprintf(side->reason, sizeof(side->reason), "%s", reason);
    side->link = NULL;
}

static const struct link_hooks hooks = {on_up, on_receive, on_down};

static void add_key(struct side *side, uint8_t with)
{
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct cluster_key key;

    memset(bytes, with, sizeof(bytes));
    cluster_key_init(&key, bytes);
    ck_assert_int_eq(keyring_install(side->keyring, &key), 0);
}

static void side_init(struct side *side, uint8_t number)
{
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(side, 0, sizeof(*side));
    memset(seed, number, sizeof(seed));
    identity_key_init(&side->identity, seed);
    side->keyring = keyring_new();
    side->options = (struct link_options){
        .loop = loop,
        .hooks = &hooks,
        .user = side,
        .channel = {.ciphers = channel_ciphers_here(), .keyring = side->keyring, .identity = &side->identity, .boot = number,
                    .cluster_id = {{7}}, .wall_ms = (uint64_t)clock_wall_ms()},
    };
}

/* The port's sniffer takes the first bytes before a link is made of them. */
static void on_accept(struct ev_loop *unused, ev_io *io, int events)
{
    uint8_t first[4];
    int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

    (void)unused;
    (void)events;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(recv(fd, first, sizeof(first), MSG_WAITALL), sizeof(first));
    ck_assert_mem_eq(first, CHANNEL_MAGIC, 4);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(link_adopt(&listener.options, fd, slice_of(first, sizeof(first)), &listener.link), 0);
}

static void setup(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    crypto_init();
    loop = ev_loop_new(EVBACKEND_EPOLL);
    side_init(&dialler, 1);
    side_init(&listener, 2);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&address, &listen_address), 0);
    ck_assert_int_eq(listen(listen_fd, 8), 0);
    ev_io_init(&acceptor, on_accept, listen_fd, EV_READ);
    ev_io_start(loop, &acceptor);
    is_accepting = true;
}

static void stop_accepting(void)
{
    if (!is_accepting) return;
    is_accepting = false;
    ev_io_stop(loop, &acceptor);
    close(listen_fd);
}

static void teardown(void)
{
    if (dialler.link != NULL) link_abandon(dialler.link);
    if (listener.link != NULL) link_abandon(listener.link);
    stop_accepting();
    keyring_free(dialler.keyring);
    keyring_free(listener.keyring);
    ev_loop_destroy(loop);
}

static void dial(const struct uuid *expected)
{
    ck_assert_int_eq(link_dial(&dialler.options, &listen_address, expected, &dialler.link), 0);
    ck_assert(!link_is_up(dialler.link));
    ck_assert_int_eq(dialler.ups + dialler.downs, 0); /* hooks never run inside a call */
}

#define RUN_UNTIL(condition)                                                                                         \
    while (!(condition))                                                                                             \
    ev_run(loop, EVRUN_ONCE)

static void connect_both(void)
{
    add_key(&dialler, 5);
    add_key(&listener, 5);
    dial(NULL);
    RUN_UNTIL(dialler.ups + dialler.downs > 0 && listener.ups + listener.downs > 0);
    ck_assert_msg(dialler.ups == 1 && listener.ups == 1, "%s / %s", dialler.reason, listener.reason);
}

/* ---- up, and frames ---- */

START_TEST(both_ends_prove_who_they_are)
{
    connect_both();
    ck_assert(uuid_equal(&link_peer(dialler.link)->id, &listener.identity.id));
    ck_assert(uuid_equal(&link_peer(listener.link)->id, &dialler.identity.id));
    ck_assert_uint_eq(link_peer(dialler.link)->boot, 2);
    ck_assert(link_is_dialled(dialler.link) && !link_is_dialled(listener.link));
    ck_assert(net_address_equal(link_address(dialler.link), &listen_address));
}
END_TEST

START_TEST(frames_of_every_size_arrive_in_order)
{
    static const size_t sizes[] = {0, 1, 100, LINK_PART_BYTES - 1, LINK_PART_BYTES, LINK_PART_BYTES + 1, 1 << 20, LINK_MESSAGE_MAX};
    uint8_t *payload = malloc(LINK_MESSAGE_MAX);
    uint32_t checksum = 0;
    size_t total = 0;

    for (size_t i = 0; i < LINK_MESSAGE_MAX; i++)
        payload[i] = (uint8_t)(i * 7 + (i >> 8));
    connect_both();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_FORWARD, slice_of(payload, sizes[i])), 0);
        for (size_t j = 0; j < sizes[i]; j += 997)
            checksum = checksum * 31 + payload[j];
        total += sizes[i];
    }
    RUN_UNTIL(listener.frames == (int)(sizeof(sizes) / sizeof(sizes[0])) || listener.downs > 0);
    ck_assert_msg(listener.downs == 0, "%s", listener.reason);
    ck_assert_uint_eq(listener.received, total);
    ck_assert_uint_eq(listener.checksum, checksum);
    ck_assert_uint_eq(listener.last_type, LINK_TYPE_FORWARD);
    ck_assert_uint_eq(listener.last_size, LINK_MESSAGE_MAX);
    free(payload);
}
END_TEST

START_TEST(frames_go_both_ways_at_once)
{
    static uint8_t payload[50000];

    connect_both();
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(link_send(dialler.link, 1, slice_of(payload, sizeof(payload))), 0);
        ck_assert_int_eq(link_send(listener.link, 1, slice_of(payload, sizeof(payload))), 0);
    }
    RUN_UNTIL(listener.frames == 200 && dialler.frames == 200);
}
END_TEST

START_TEST(a_frame_that_is_too_large_is_refused_and_harms_nothing)
{
    uint8_t *payload = calloc(1, LINK_MESSAGE_MAX + 1);

    connect_both();
    ck_assert_int_eq(link_send(dialler.link, 1, slice_of(payload, LINK_MESSAGE_MAX + 1)), MESH_ETOOLARGE);
    ck_assert_int_eq(link_send(dialler.link, 1, slice_of(payload, 10)), 0);
    RUN_UNTIL(listener.frames == 1);
    free(payload);
}
END_TEST

/* ---- lanes ---- */

/* Long messages wait, and a short one that comes later is there before them. */
START_TEST(a_heartbeat_overtakes_a_snapshot)
{
    uint8_t *snapshot = calloc(1, 8 << 20);

    connect_both();
    ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_METADATA, slice_of(snapshot, 8 << 20)), 0);
    ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_FORWARD, slice_of(snapshot, 8 << 20)), 0);
    ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_CONSENSUS, slice_of("beat", 4)), 0);
    RUN_UNTIL(listener.frames > 0);
    ck_assert_uint_eq(listener.last_type, LINK_TYPE_CONSENSUS);
    RUN_UNTIL(listener.frames == 3);
    free(snapshot);
}
END_TEST

/* A peer that reads slowly costs what it is sent in bulk, never the link, as long as what is short gets through. */
START_TEST(bulk_beyond_its_bound_is_refused_and_the_link_stays)
{
    static uint8_t payload[1 << 20];
    int err = 0, sent = 0;

    connect_both();
    for (; err == 0; sent += err == 0)
        err = link_send(dialler.link, LINK_TYPE_FORWARD, slice_of(payload, sizeof(payload)));
    ck_assert_int_eq(err, MESH_EFULL);
    ck_assert_int_eq(sent, LINK_BULK_BYTES_MAX >> 20);
    ck_assert_uint_eq(link_queued_bytes(dialler.link, LINK_LANE_FORWARD), LINK_BULK_BYTES_MAX);
    ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_CONSENSUS, slice_of("beat", 4)), 0);
    RUN_UNTIL(listener.frames == sent + 1);
    ck_assert_int_eq(dialler.downs + listener.downs, 0);
    ck_assert_uint_eq(link_queued_bytes(dialler.link, LINK_LANE_FORWARD), 0);
}
END_TEST

static int done_messages;

static void count_done(struct link_message *message)
{
    (void)message;
    done_messages++;
}

START_TEST(a_message_is_given_back_once_also_by_an_end)
{
    static uint8_t head[1000], body[5 << 20];
    struct link_message messages[2] = {{.type = LINK_TYPE_FORWARD, .head = slice_of(head, sizeof(head)), .body = slice_of(body, sizeof(body)), .done = count_done}};

    messages[1] = messages[0];
    done_messages = 0;
    connect_both();
    ck_assert_int_eq(link_send_message(dialler.link, &messages[0]), 0);
    RUN_UNTIL(listener.frames == 1);
    ck_assert_uint_eq(listener.received, sizeof(head) + sizeof(body));
    ck_assert_int_eq(done_messages, 1);
    ck_assert_int_eq(link_send_message(dialler.link, &messages[1]), 0);
    link_abandon(dialler.link);
    dialler.link = NULL;
    ck_assert_int_eq(done_messages, 2);
}
END_TEST

START_TEST(what_arrives_can_be_kept)
{
    static uint8_t payload[100000];

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 31);
    connect_both();
    listener.keeps = true;
    for (int i = 0; i < 2; i++) { /* in parts, and in one */
        size_t size = i == 0 ? sizeof(payload) : 1000;

        ck_assert_int_eq(link_send(dialler.link, LINK_TYPE_FORWARD, slice_of(payload, size)), 0);
        RUN_UNTIL(listener.frames == i + 1);
        ck_assert_mem_eq(listener.kept, payload, size);
        long_memory_give(listener.kept);
    }
}
END_TEST

/* ---- ends ---- */

START_TEST(a_goodbye_is_told_apart_from_a_death)
{
    connect_both();
    ck_assert_int_eq(link_send(dialler.link, 3, slice_of("last", 4)), 0);
    link_close(dialler.link);
    ck_assert_int_eq(link_send(dialler.link, 3, slice_of("late", 4)), MESH_ECLOSED);
    RUN_UNTIL(dialler.downs > 0 && listener.downs > 0);
    ck_assert_int_eq(listener.frames, 1); /* what was sent before the goodbye arrives */
    ck_assert_int_eq(dialler.end, LINK_END_CLOSED);
    ck_assert_int_eq(listener.end, LINK_END_CLOSED);
}
END_TEST

START_TEST(a_peer_that_vanishes_is_a_reset)
{
    connect_both();
    link_abandon(listener.link);
    listener.link = NULL;
    RUN_UNTIL(dialler.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_RESET);
}
END_TEST

START_TEST(a_link_may_be_closed_from_inside_its_hook)
{
    connect_both();
    listener.closes_on_frame = true;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(link_send(dialler.link, 1, slice_of("x", 1)), 0);
    RUN_UNTIL(dialler.downs > 0 && listener.downs > 0);
    ck_assert_int_eq(listener.frames, 1);
    ck_assert_int_eq(listener.end, LINK_END_CLOSED);
}
END_TEST

START_TEST(nobody_listening_is_refused)
{
    add_key(&dialler, 5);
    stop_accepting();
    dial(NULL);
    RUN_UNTIL(dialler.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_REFUSED);
}
END_TEST

START_TEST(another_key_is_told_on_both_ends)
{
    add_key(&dialler, 5);
    add_key(&listener, 6);
    dial(NULL);
    RUN_UNTIL(dialler.downs > 0 && listener.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_REJECTED);
    ck_assert_int_eq(dialler.failure.failure, CHANNEL_FAILURE_WRONG_KEY);
    ck_assert_int_eq(listener.end, LINK_END_REJECTED);
    ck_assert_int_eq(listener.failure.failure, CHANNEL_FAILURE_WRONG_KEY);
}
END_TEST

START_TEST(another_mesh_is_told)
{
    listener.options.channel.cluster_id.bytes[0] = 9;
    add_key(&dialler, 5);
    add_key(&listener, 5);
    dial(NULL);
    RUN_UNTIL(dialler.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_REJECTED);
    ck_assert_int_eq(dialler.failure.failure, CHANNEL_FAILURE_OTHER_CLUSTER);
}
END_TEST

START_TEST(an_unexpected_broker_is_told)
{
    struct uuid somebody = {{1, 2, 3}};

    add_key(&dialler, 5);
    add_key(&listener, 5);
    dial(&somebody);
    RUN_UNTIL(dialler.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_REJECTED);
    ck_assert_int_eq(dialler.failure.failure, CHANNEL_FAILURE_WRONG_PEER);
}
END_TEST

/* A peer that takes the connection and never reads: what waits for it is bounded. */
START_TEST(a_peer_that_does_not_read_is_hung_up_on)
{
    static uint8_t payload[1 << 20];
    int err = 0;

    connect_both();
    for (int i = 0; i < 200 && err == 0; i++)
        err = link_send(dialler.link, 1, slice_of(payload, sizeof(payload)));
    ck_assert_int_eq(err, MESH_EFULL);
    RUN_UNTIL(dialler.downs > 0);
    ck_assert_int_eq(dialler.end, LINK_END_SILENT);
}
END_TEST

START_TEST(bytes_that_are_no_frame_end_the_link)
{
    int pair[2];
    static const char hello[] = "MLNK and then nothing that anybody would say in a handshake, but more than enough of it to be read";

    add_key(&listener, 5);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[1]);
    ck_assert_int_eq(link_adopt(&listener.options, pair[0], slice_of(hello, sizeof(hello)), &listener.link), MESH_EIO);
    listener.link = NULL; /* a socket without an address is nobody's */
}
END_TEST

/* ---- how it is told ---- */

START_TEST(every_end_has_a_cause_and_a_cure)
{
    struct net_address address;
    const struct uuid own = {{1}};
    struct explain_context context = {&address, &own, NULL, "/etc/mesh/key", NULL};
    struct channel_failure_detail failure = {.own_key_id = 0x12345678, .peer_key_id = 0x9abcdef0};
    struct explanation explanation;

    ck_assert_int_eq(net_address_parse("10.0.0.1:9092", &address), 0);
    for (int end = LINK_END_CLOSED; end <= LINK_END_LOCAL; end++) {
        for (int kind = 0; kind < CHANNEL_FAILURE_COUNT; kind++) {
            failure.failure = (enum channel_failure)kind;
            explain_link_end(&context, (enum link_end)end, "for a reason", &failure, &explanation);
            ck_assert_ptr_nonnull(strstr(explanation.what, "10.0.0.1:9092"));
            ck_assert_uint_gt(strlen(explanation.cure), 10);
            ck_assert(end == LINK_END_REJECTED || !explanation.is_permanent);
        }
    }
    failure.failure = CHANNEL_FAILURE_WRONG_KEY;
    explain_link_end(&context, LINK_END_REJECTED, "", &failure, &explanation);
    ck_assert_ptr_nonnull(strstr(explanation.what, "9abcdef0"));
    ck_assert_ptr_nonnull(strstr(explanation.what, "12345678"));
    ck_assert_ptr_nonnull(strstr(explanation.cure, "/etc/mesh/key"));
    ck_assert(explanation.is_permanent);
}
END_TEST

START_TEST(a_broker_on_loopback_cannot_come_out)
{
    struct net_address address, listen;
    struct explain_context context = {&address, NULL, NULL, NULL, &listen};
    const struct channel_failure_detail none = {0};
    struct explanation explanation;

    ck_assert_int_eq(net_address_parse("10.0.0.1:9092", &address), 0);
    ck_assert_int_eq(net_address_parse("127.0.0.1:9092", &listen), 0);
    explain_link_end(&context, LINK_END_UNREACHABLE, "Invalid argument", &none, &explanation);
    ck_assert_ptr_null(strstr(explanation.what, "Invalid argument"));
    ck_assert_ptr_nonnull(strstr(explanation.cure, "--listen"));
    ck_assert(explanation.is_permanent);
    ck_assert_int_eq(net_address_parse("0.0.0.0:9092", &listen), 0);
    explain_link_end(&context, LINK_END_UNREACHABLE, "No route to host", &none, &explanation);
    ck_assert_ptr_nonnull(strstr(explanation.what, "No route to host"));
    ck_assert(!explanation.is_permanent);
}
END_TEST

START_TEST(clocks_are_told_with_their_difference)
{
    struct net_address address;
    struct explain_context context = {&address, NULL, NULL, NULL, NULL};
    struct explanation explanation;

    ck_assert_int_eq(net_address_parse("10.0.0.1:9092", &address), 0);
    explain_clock(&context, -90500, &explanation);
    ck_assert_str_eq(explanation.what, "the clock of 10.0.0.1:9092 is 90.5 s behind this machine's");
    ck_assert(explanation.is_permanent);
    explain_clock(&context, 1200, &explanation);
    ck_assert_ptr_nonnull(strstr(explanation.what, "1.2 s ahead of"));
    ck_assert(!explanation.is_permanent);
}
END_TEST

START_TEST(a_source_gets_one_line_a_second)
{
    struct log_limiter limiter = {{0}};
    struct net_address one, two;
    int lines = 0;

    ck_assert_int_eq(net_address_parse("10.0.0.1:1", &one), 0);
    ck_assert_int_eq(net_address_parse("10.0.0.1:2", &two), 0); /* another port is the same source */
    for (uint64_t now_ms = 0; now_ms < 10000; now_ms += 10)
        lines += log_limiter_allows(&limiter, now_ms % 20 == 0 ? &one : &two, now_ms);
    ck_assert_int_eq(lines, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link");
    TCase *tcase = tcase_create("link"), *told = tcase_create("told");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, both_ends_prove_who_they_are);
    tcase_add_test(tcase, frames_of_every_size_arrive_in_order);
    tcase_add_test(tcase, frames_go_both_ways_at_once);
    tcase_add_test(tcase, a_frame_that_is_too_large_is_refused_and_harms_nothing);
    tcase_add_test(tcase, a_heartbeat_overtakes_a_snapshot);
    tcase_add_test(tcase, bulk_beyond_its_bound_is_refused_and_the_link_stays);
    tcase_add_test(tcase, a_message_is_given_back_once_also_by_an_end);
    tcase_add_test(tcase, what_arrives_can_be_kept);
    tcase_add_test(tcase, a_goodbye_is_told_apart_from_a_death);
    tcase_add_test(tcase, a_peer_that_vanishes_is_a_reset);
    tcase_add_test(tcase, a_link_may_be_closed_from_inside_its_hook);
    tcase_add_test(tcase, nobody_listening_is_refused);
    tcase_add_test(tcase, another_key_is_told_on_both_ends);
    tcase_add_test(tcase, another_mesh_is_told);
    tcase_add_test(tcase, an_unexpected_broker_is_told);
    tcase_add_test(tcase, a_peer_that_does_not_read_is_hung_up_on);
    tcase_add_test(tcase, bytes_that_are_no_frame_end_the_link);
    tcase_add_test(told, every_end_has_a_cause_and_a_cure);
    tcase_add_test(told, a_broker_on_loopback_cannot_come_out);
    tcase_add_test(told, clocks_are_told_with_their_difference);
    tcase_add_test(told, a_source_gets_one_line_a_second);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, told);
    return run_suite(suite);
}
