/* One question per message, names uncompressed in answers, TC set when an answer passes 512 bytes over UDP (RFC 1035). */
#include "dns_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_SIZE 12
#define UDP_MAX     512
#define MESSAGE_MAX 16384

static size_t put16(uint8_t *to, size_t at, uint16_t value)
{
    to[at] = (uint8_t)(value >> 8);
    to[at + 1] = (uint8_t)value;
    return at + 2;
}

static size_t put_name(uint8_t *to, size_t at, const char *name)
{
    while (*name != '\0') {
        size_t length = strcspn(name, ".");

        to[at++] = (uint8_t)length;
        memcpy(to + at, name, length);
        at += length;
        name += length + (name[length] == '.');
    }
    to[at++] = 0;
    return at;
}

/* The name of the question as text; returns where its type begins, 0: malformed. */
static size_t read_name(const uint8_t *message, size_t size, char to[256])
{
    size_t at = HEADER_SIZE, used = 0;

    while (at < size && message[at] != 0) {
        size_t length = message[at];

        if (length > 63 || at + 1 + length >= size || used + length + 2 > 256) return 0;
        if (used > 0) to[used++] = '.';
        memcpy(to + used, message + at + 1, length);
        used += length;
        at += 1 + length;
    }
    to[used] = '\0';
    return at + 5 <= size ? at + 1 : 0;
}

static size_t put_record(uint8_t *to, size_t at, const struct dns_record *record)
{
    size_t length_at;

    at = put_name(to, at, record->name);
    at = put16(to, at, record->type);
    at = put16(to, at, 1);
    at = put16(to, put16(to, at, 0), 0); /* time to live: none */
    length_at = at;
    at += 2;
    if (record->type == DNS_SRV) {
        at = put16(to, put16(to, put16(to, at, 0), 0), record->port);
        at = put_name(to, at, record->data);
    } else {
        assert(inet_pton(record->type == DNS_A ? AF_INET : AF_INET6, record->data, to + at) == 1);
        at += record->type == DNS_A ? 4 : 16;
    }
    (void)put16(to, length_at, (uint16_t)(at - length_at - 2));
    return at;
}

static size_t answer(const struct dns_server *server, const uint8_t *question, size_t size, size_t limit, uint8_t *to)
{
    char name[256];
    size_t type_at = size > HEADER_SIZE ? read_name(question, size, name) : 0, at;
    uint16_t type, found = 0;
    bool is_known = false;

    if (type_at == 0) return 0;
    type = (uint16_t)(question[type_at] << 8 | question[type_at + 1]);
    at = type_at + 4;
    memcpy(to, question, at);
    for (size_t i = 0; i < server->count; i++) {
        const struct dns_record *record = &server->records[i];

        if (strcasecmp(record->name, name) != 0) continue;
        is_known = true;
        if (record->type != type) continue;
        at = put_record(to, at, record);
        found++;
    }
    to[2] = 0x84; /* an answer, with authority */
    to[3] = is_known ? 0x80 : 0x83;
    (void)put16(to, 6, found);
    (void)put16(to, 8, 0);
    (void)put16(to, 10, 0);
    if (at > limit) {
        to[2] |= 0x02; /* cut: ask by TCP */
        (void)put16(to, 6, 0);
        at = type_at + 4;
    }
    return at;
}

static void on_udp(struct ev_loop *loop, ev_io *io, int events)
{
    struct dns_server *server = io->data;
    static uint8_t question[UDP_MAX], reply[MESSAGE_MAX];
    struct sockaddr_storage from;
    socklen_t from_size = sizeof(from);
    ssize_t size = recvfrom(io->fd, question, sizeof(question), 0, (struct sockaddr *)&from, &from_size);
    size_t reply_size;

    (void)loop;
    (void)events;
    if (size <= 0) return;
    server->udp_questions++;
    if (server->is_silent) return;
    reply_size = answer(server, question, (size_t)size, UDP_MAX, reply);
    if (reply_size > 0) (void)sendto(io->fd, reply, reply_size, 0, (struct sockaddr *)&from, from_size);
}

/* A resolver that asks by TCP has sent its whole question by the time it is accepted, or does so at once. */
static void on_tcp(struct ev_loop *loop, ev_io *io, int events)
{
    struct dns_server *server = io->data;
    static uint8_t question[UDP_MAX + 2], reply[MESSAGE_MAX + 2];
    int fd = accept(io->fd, NULL, NULL);
    size_t used = 0, reply_size;

    (void)loop;
    (void)events;
    if (fd < 0) return;
    while (used < 2 || used < 2 + ((size_t)question[0] << 8 | question[1])) {
        ssize_t got = recv(fd, question + used, sizeof(question) - used, 0);

        if (got <= 0) break;
        used += (size_t)got;
    }
    server->tcp_questions++;
    reply_size = used < 2 ? 0 : answer(server, question + 2, used - 2, MESSAGE_MAX, reply + 2);
    (void)put16(reply, 0, (uint16_t)reply_size);
    if (reply_size > 0) (void)send(fd, reply, reply_size + 2, MSG_NOSIGNAL);
    close(fd);
}

static int bound(int type, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, type, 0);

    assert(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0);
    return fd;
}

void dns_server_start(struct dns_server *server, struct ev_loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int udp, tcp = bound(SOCK_STREAM, &address);

    memset(server, 0, sizeof(*server));
    server->loop = loop;
    assert(getsockname(tcp, (struct sockaddr *)&address, &size) == 0 && listen(tcp, 16) == 0);
    udp = bound(SOCK_DGRAM, &address);
    snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port));
    ev_io_init(&server->udp, on_udp, udp, EV_READ);
    ev_io_init(&server->tcp, on_tcp, tcp, EV_READ);
    server->udp.data = server->tcp.data = server;
    ev_io_start(loop, &server->udp);
    ev_io_start(loop, &server->tcp);
}

void dns_server_stop(struct dns_server *server)
{
    ev_io_stop(server->loop, &server->udp);
    ev_io_stop(server->loop, &server->tcp);
    close(server->udp.fd);
    close(server->tcp.fd);
}
