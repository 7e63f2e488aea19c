#include "cmd/cli/scrape.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 65536

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n";

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

static void finish(struct scrape *scrape, int error)
{
    (void)close(scrape->fd);
    scrape->fd = -1;
    scrape->error = error != 0 ? error : scrape_body(buffer_slice(&scrape->answer), &scrape->body);
}

static void begin(struct scrape *scrape)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    char port[8];

    scrape->fd = -1;
    scrape->sent = 0;
    buffer_clear(&scrape->answer);
    scrape->body = slice_of(NULL, 0);
    snprintf(port, sizeof(port), "%u", (unsigned)scrape->port);
    scrape->error = MESH_ERESOLVE;
    if (getaddrinfo(scrape->host, port, &hints, &found) != 0) return;
    scrape->error = MESH_EUNREACHABLE;
    scrape->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (scrape->fd >= 0 && connect(scrape->fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
        (void)close(scrape->fd);
        scrape->fd = -1;
    }
    freeaddrinfo(found);
}

static void send_more(struct scrape *scrape)
{
    ssize_t sent = send(scrape->fd, request + scrape->sent, sizeof(request) - 1 - scrape->sent, MSG_NOSIGNAL);

    if (sent > 0)
        scrape->sent += (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR)
        finish(scrape, MESH_EUNREACHABLE);
}

static void receive_more(struct scrape *scrape)
{
    ssize_t got;

    if (scrape->answer.size > SCRAPE_BYTES_MAX) {
        finish(scrape, MESH_ETOOLARGE);
        return;
    }
    if (buffer_reserve(&scrape->answer, READ_SIZE) != 0) {
        finish(scrape, MESH_ENOMEM);
        return;
    }
    got = recv(scrape->fd, scrape->answer.data + scrape->answer.size, READ_SIZE, 0);
    if (got > 0)
        scrape->answer.size += (size_t)got;
    else if (got == 0)
        finish(scrape, 0);
    else if (errno != EAGAIN && errno != EINTR)
        finish(scrape, MESH_EUNREACHABLE);
}

/* Returns how many are still under way, and have an entry in `polled`, in their order. */
static nfds_t entries(const struct scrape *scrapes, size_t count, struct pollfd *polled)
{
    nfds_t used = 0;

    for (size_t i = 0; i < count; i++)
        if (scrapes[i].fd >= 0)
            polled[used++] = (struct pollfd){.fd = scrapes[i].fd, .events = scrapes[i].sent < sizeof(request) - 1 ? POLLOUT : POLLIN};
    return used;
}

static void serve(struct scrape *scrapes, size_t count, const struct pollfd *polled)
{
    for (size_t i = 0; i < count; i++) {
        short ready;

        if (scrapes[i].fd < 0) continue;
        ready = (polled++)->revents;
        if (ready == 0) continue;
        if (scrapes[i].sent < sizeof(request) - 1)
            send_more(&scrapes[i]);
        else
            receive_more(&scrapes[i]);
    }
}

void scrape_all(struct scrape *scrapes, size_t count, int timeout_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + (uint64_t)timeout_ms;
    struct pollfd *polled = calloc(count + 1, sizeof(*polled));
    int error = polled == NULL ? MESH_ENOMEM : MESH_ETIMEDOUT;

    for (size_t i = 0; i < count; i++)
        begin(&scrapes[i]);
    while (polled != NULL) {
        nfds_t open = entries(scrapes, count, polled);
        uint64_t now_ms = clock_monotonic_ms();

        if (open == 0 || now_ms >= end_ms) break;
        if (poll(polled, open, (int)(end_ms - now_ms)) < 0) {
            if (errno != EINTR) error = MESH_EIO;
            break; /* a signal: the caller is to stop */
        }
        serve(scrapes, count, polled);
    }
    for (size_t i = 0; i < count; i++)
        if (scrapes[i].fd >= 0) finish(&scrapes[i], error);
    free(polled);
}
