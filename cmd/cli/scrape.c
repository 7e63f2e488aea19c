#include "cmd/cli/scrape.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/broker.h"
#include "cmd/cli/interrupt.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE     65536
#define ADDRESSES_MAX 8 /* of one name that are tried */

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n";

/* One broker's scrape, under way. */
struct errand {
    struct scrape *scrape;
    struct round *round;
    struct net_address addresses[ADDRESSES_MAX];
    size_t address_count, tried;
    size_t sent;
    ev_io io; /* fd -1: none is open */
    bool is_over;
};

struct round {
    struct ev_loop *loop;
    struct resolver *resolver;
    struct errand *errands;
    size_t count, waited_for, doubted; /* still under way: those that are not doubted, those that are */
    const struct scrape_limits *limits;
    uint64_t began_ms;
    ev_timer end, look;
};

int scrape_body(struct slice answer, struct slice *ret_body)
{
    static const char good[] = "HTTP/1.1 200 ", length[] = "\r\nContent-Length: ", end[] = "\r\n\r\n";
    const uint8_t *behind, *at;
    struct slice body;

    if (answer.size < sizeof(good) - 1 || memcmp(answer.data, good, sizeof(good) - 1) != 0) return MESH_EPROTO;
    behind = memmem(answer.data, answer.size, end, sizeof(end) - 1);
    if (behind == NULL) return MESH_EPROTO;
    at = memmem(answer.data, (size_t)(behind - answer.data), length, sizeof(length) - 1);
    behind += sizeof(end) - 1;
    body = slice_of(behind, answer.size - (size_t)(behind - answer.data));
    if (at == NULL || strtoull((const char *)at + sizeof(length) - 1, NULL, 10) != body.size) return MESH_EPROTO; /* a line end follows the number */
    *ret_body = body;
    return 0;
}

/* ---- one broker ---- */

static void close_socket(struct errand *errand)
{
    if (errand->io.fd < 0) return;
    ev_io_stop(errand->round->loop, &errand->io);
    (void)close(errand->io.fd);
    errand->io.fd = -1;
}

static void set_end(struct round *round, int from_begin_ms)
{
    uint64_t passed_ms = clock_monotonic_ms() - round->began_ms;

    ev_timer_stop(round->loop, &round->end);
    ev_timer_set(&round->end, passed_ms < (uint64_t)from_begin_ms ? (double)((uint64_t)from_begin_ms - passed_ms) / 1e3 : 0, 0);
    ev_timer_start(round->loop, &round->end);
}

static void finish(struct errand *errand, int error)
{
    struct scrape *scrape = errand->scrape;
    struct round *round = errand->round;

    if (errand->is_over) return;
    errand->is_over = true;
    close_socket(errand);
    scrape->error = error != 0 ? error : scrape_body(buffer_slice(&scrape->answer), &scrape->body);
    if (scrape->is_doubted)
        round->doubted--;
    else
        round->waited_for--;
    if (round->waited_for + round->doubted == 0)
        ev_break(round->loop, EVBREAK_ALL);
    else if (round->waited_for == 0 && round->limits->doubted_ms < round->limits->timeout_ms)
        set_end(round, round->limits->doubted_ms);
}

static void watch(struct errand *errand, int fd, int events)
{
    ev_io_stop(errand->round->loop, &errand->io);
    ev_io_set(&errand->io, fd, events);
    ev_io_start(errand->round->loop, &errand->io);
}

static void connect_next(struct errand *errand)
{
    close_socket(errand);
    while (errand->tried < errand->address_count) {
        struct sockaddr_storage to;
        socklen_t size;
        int fd;

        net_address_to_sockaddr(&errand->addresses[errand->tried++], &to, &size);
        fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) continue;
        if (connect(fd, (const struct sockaddr *)&to, size) == 0 || errno == EINPROGRESS) {
            watch(errand, fd, EV_WRITE);
            return;
        }
        (void)close(fd);
    }
    finish(errand, MESH_EUNREACHABLE);
}

static void send_more(struct errand *errand)
{
    ssize_t sent = send(errand->io.fd, request + errand->sent, sizeof(request) - 1 - errand->sent, MSG_NOSIGNAL);

    if (sent > 0)
        errand->sent += (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR && errand->sent == 0)
        connect_next(errand); /* nobody listens there */
    else if (errno != EAGAIN && errno != EINTR)
        finish(errand, MESH_EUNREACHABLE);
    if (errand->sent == sizeof(request) - 1 && errand->io.fd >= 0) watch(errand, errand->io.fd, EV_READ);
}

static void receive_more(struct errand *errand)
{
    struct scrape *scrape = errand->scrape;
    ssize_t got;

    if (scrape->answer.size > SCRAPE_BYTES_MAX) {
        finish(errand, MESH_ETOOLARGE);
        return;
    }
    if (buffer_reserve(&scrape->answer, READ_SIZE) != 0) {
        finish(errand, MESH_ENOMEM);
        return;
    }
    got = recv(errand->io.fd, scrape->answer.data + scrape->answer.size, READ_SIZE, 0);
    if (got > 0)
        scrape->answer.size += (size_t)got;
    else if (got == 0)
        finish(errand, 0);
    else if (errno != EAGAIN && errno != EINTR)
        finish(errand, MESH_EUNREACHABLE);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct errand *errand = io->data;

    (void)loop, (void)events;
    if (errand->sent < sizeof(request) - 1)
        send_more(errand);
    else
        receive_more(errand);
}

static void on_addresses(void *user, int error, const char *reason, const struct net_address *addresses, size_t count)
{
    struct errand *errand = user;

    (void)reason;
    if (error != 0) {
        finish(errand, error == MESH_ENOMEM ? error : MESH_ERESOLVE);
        return;
    }
    errand->address_count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    memcpy(errand->addresses, addresses, errand->address_count * sizeof(*addresses));
    connect_next(errand);
}

static void begin(struct errand *errand)
{
    struct seed seed = {.kind = SEED_HOST, .address = {.port = errand->scrape->port}};
    char text[ADDRESS_TEXT_SIZE];
    struct net_address address;
    int err;

    if (snprintf(seed.address.host, sizeof(seed.address.host), "%s", errand->scrape->host) >= (int)sizeof(seed.address.host)) {
        finish(errand, MESH_ERESOLVE);
        return;
    }
    if (net_address_parse(address_format(&seed.address, text), &address) == 0) seed.kind = SEED_ADDRESS;
    err = resolver_look_up(errand->round->resolver, &seed, on_addresses, errand);
    if (err != 0) finish(errand, err);
}

/* ---- all of them ---- */

static void on_end(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    const struct round *round = timer->data;

    (void)events;
    if (round->limits->is_unwanted != NULL && round->limits->is_unwanted()) ev_break(loop, EVBREAK_ALL);
}

static void run(struct round *round, struct scrape *scrapes)
{
    ev_timer_init(&round->end, on_end, 0, 0);
    ev_timer_init(&round->look, on_look, INTERRUPT_LOOK_MS / 1e3, INTERRUPT_LOOK_MS / 1e3);
    round->look.data = round;
    ev_timer_start(round->loop, &round->look);
    for (size_t i = 0; i < round->count; i++) {
        struct errand *errand = &round->errands[i];

        *errand = (struct errand){.scrape = &scrapes[i], .round = round};
        ev_io_init(&errand->io, on_io, -1, 0);
        errand->io.data = errand;
        round->waited_for += !scrapes[i].is_doubted;
        round->doubted += scrapes[i].is_doubted;
    }
    set_end(round, round->waited_for > 0 ? round->limits->timeout_ms : round->limits->doubted_ms);
    for (size_t i = 0; i < round->count; i++)
        begin(&round->errands[i]);
    if (round->waited_for + round->doubted > 0) ev_run(round->loop, 0);
    for (size_t i = 0; i < round->count; i++)
        finish(&round->errands[i], MESH_ETIMEDOUT);
}

void scrape_all(struct scrape *scrapes, size_t count, const struct scrape_limits *limits)
{
    struct round round = {.count = count, .limits = limits, .began_ms = clock_monotonic_ms(), .loop = ev_loop_new(EVFLAG_AUTO), .errands = calloc(count + 1, sizeof(*round.errands))};

    for (size_t i = 0; i < count; i++) {
        buffer_clear(&scrapes[i].answer);
        scrapes[i].body = slice_of(NULL, 0);
        scrapes[i].error = MESH_ENOMEM;
    }
    if (round.loop != NULL && round.errands != NULL && resolver_new(round.loop, limits->name_servers, &round.resolver) == 0) {
        run(&round, scrapes);
        resolver_free(round.resolver);
    }
    free(round.errands);
    if (round.loop != NULL) ev_loop_destroy(round.loop);
}
