/* example/main.c - one of three processes that keep one counter: `counter FOLDER ID`.
 *
 * Keeps its files in FOLDER/ID, and tells its port in FOLDER/port-ID. Whoever connects and says "P" and an id is a peer, and sends
 * messages (4 bytes size, the bytes); anybody else sends lines and gets one line for each:
 *
 *     add N BUT     adds N. "ok VALUE": done for good; "lost"; "leader ID": ask that one. BUT names a leader that the asker
 *                   cannot reach (0: none): as long as no other is known, the answer waits
 *     get BUT       "value V": of all that was acknowledged before; or "leader ID"
 *     reach V       "value W" as soon as this server's own counter is V or more */
#include "base/bytes.h"
#include "base/error.h"
#include "replication/consensus/example/connection.h"
#include "replication/consensus/example/counter.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GUESTS_MAX   32
#define REDIAL_US    20000
#define LINE_MAX_BYTES 100
#define FRAME_MAX    (1u << 20)

enum request { REQUEST_NONE, REQUEST_ADD, REQUEST_GET, REQUEST_REACH };

/* Whoever connected: a client, or a peer that sends to us. */
struct guest {
    struct connection connection;
    unsigned peer; /* 0: a client */
    bool is_known;
    enum request request;
    uint64_t number, but;  /* as asked */
    uint64_t index, term;  /* ADD: where it was proposed; 0: not yet. GET: what must be applied */
    uint64_t context;      /* GET: of the read under way; 0: none */
};

struct process {
    const char *folder;
    unsigned id;
    int listener;
    struct counter *counter;
    struct connection peers[COUNTER_SERVERS + 1]; /* to whom we send */
    uint64_t redial_us[COUNTER_SERVERS + 1];
    struct guest guests[GUESTS_MAX];
    uint64_t contexts;
};

/* ---- answers ---- */

static void answer(struct guest *guest, const char *what, uint64_t number)
{
    char line[LINE_MAX_BYTES];
    int size = snprintf(line, sizeof(line), "%s %llu\n", what, (unsigned long long)number);

    guest->request = REQUEST_NONE;
    guest->index = guest->context = 0;
    if (guest->connection.fd < 0) return; /* it is gone */
    connection_send(&guest->connection, slice_of(line, (size_t)size), (struct slice){NULL, 0});
}

static void on_applied(void *user, uint64_t index, uint64_t term, uint64_t value)
{
    struct process *process = user;

    for (int i = 0; i < GUESTS_MAX; i++) {
        struct guest *guest = &process->guests[i];
        if (guest->request == REQUEST_ADD && guest->index == index) answer(guest, guest->term == term ? "ok" : "lost", value);
    }
}

static void on_read(void *user, uint64_t context, uint64_t index)
{
    struct process *process = user;

    for (int i = 0; i < GUESTS_MAX; i++) {
        struct guest *guest = &process->guests[i];
        if (guest->request != REQUEST_GET || guest->context != context) continue;
        guest->index = index;
        if (index == 0) guest->context = 0; /* lost with the leadership: asked again */
    }
}

/* ---- requests ---- */

/* This server does not lead. */
static void point_to_leader(struct process *process, struct guest *guest)
{
    unsigned leader = counter_leader(process->counter);

    if (leader != 0 && leader != guest->but && leader != process->id) answer(guest, "leader", leader);
}

/* True when the core was given something to do. */
static bool serve(struct process *process, struct guest *guest)
{
    struct counter *counter = process->counter;
    int err;

    switch (guest->request) {
    case REQUEST_NONE:
        return false;
    case REQUEST_REACH:
        if (counter_value(counter) >= guest->number) answer(guest, "value", counter_value(counter));
        return false;
    case REQUEST_ADD:
        if (guest->index != 0) {
            if (counter_applied(counter) >= guest->index) answer(guest, "unknown", 0); /* a snapshot went past it */
            return false;
        }
        err = counter_add(counter, guest->number, &guest->index, &guest->term);
        break;
    case REQUEST_GET:
        if (guest->index != 0 && counter_applied(counter) >= guest->index) answer(guest, "value", counter_value(counter));
        if (guest->request == REQUEST_NONE || guest->context != 0) return false;
        guest->context = ++process->contexts;
        err = counter_read(counter, guest->context);
        if (err != 0) guest->context = 0;
        break;
    default:
        return false;
    }
    if (err == MESH_ENOT_LEADER) point_to_leader(process, guest);
    return err == 0;
}

static void take_line(struct guest *guest, const char *line)
{
    unsigned long long number = 0, but = 0;

    if (sscanf(line, "add %llu %llu", &number, &but) == 2)
        guest->request = REQUEST_ADD;
    else if (sscanf(line, "get %llu", &but) == 1)
        guest->request = REQUEST_GET;
    else if (sscanf(line, "reach %llu", &number) == 1)
        guest->request = REQUEST_REACH;
    else
        answer(guest, "not understood", 0);
    guest->number = number;
    guest->but = but;
}

/* ---- what guests send ---- */

static void take_frames(struct process *process, struct guest *guest)
{
    struct buffer *in = &guest->connection.in;
    size_t at = 0;

    while (in->size - at >= 4) {
        uint32_t size = le_load32(in->data + at);
        if (size > FRAME_MAX) {
            connection_close(&guest->connection);
            return;
        }
        if (in->size - at - 4 < size) break;
        counter_receive(process->counter, guest->peer, slice_of(in->data + at + 4, size));
        if (counter_run(process->counter) != 0) exit(1); /* every event's outputs before the next event */
        at += 4 + size;
    }
    buffer_consume(in, at);
}

static void take_lines(struct guest *guest)
{
    struct buffer *in = &guest->connection.in;

    while (guest->request == REQUEST_NONE && in->size > 0) {
        char line[LINE_MAX_BYTES];
        const uint8_t *end = memchr(in->data, '\n', in->size);
        size_t size = end == NULL ? in->size : (size_t)(end - in->data);
        if (size >= sizeof(line)) {
            connection_close(&guest->connection);
            return;
        }
        if (end == NULL) return;
        memcpy(line, in->data, size);
        line[size] = '\0';
        buffer_consume(in, size + 1);
        take_line(guest, line);
    }
}

static void take_bytes(struct process *process, struct guest *guest)
{
    struct buffer *in = &guest->connection.in;

    if (!guest->is_known && in->size > 0) {
        if (in->data[0] == 'P') {
            if (in->size < 2) return;
            guest->peer = in->data[1];
            buffer_consume(in, 2);
        }
        guest->is_known = true;
    }
    if (guest->peer != 0)
        take_frames(process, guest);
    else
        take_lines(guest);
}

/* ---- peers ---- */

static uint16_t read_port(const struct process *process, unsigned id)
{
    char path[256];
    unsigned port = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/port-%u", process->folder, id);
    file = fopen(path, "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%u", &port) != 1 || port > UINT16_MAX) port = 0;
    fclose(file);
    return (uint16_t)port;
}

static bool write_port(const struct process *process, uint16_t port)
{
    char path[256], temporary[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/port-%u", process->folder, process->id);
    snprintf(temporary, sizeof(temporary), "%s/port-%u.new", process->folder, process->id);
    file = fopen(temporary, "w");
    if (file == NULL) return false;
    fprintf(file, "%u\n", port);
    return fclose(file) == 0 && rename(temporary, path) == 0;
}

static bool dial(struct process *process, unsigned to)
{
    uint8_t hello[2] = {'P', (uint8_t)process->id};
    struct connection *peer = &process->peers[to];
    uint64_t now_us = counter_now_us();
    uint16_t port;

    if (peer->fd >= 0) return true;
    if (now_us < process->redial_us[to]) return false;
    process->redial_us[to] = now_us + REDIAL_US;
    port = read_port(process, to);
    return port != 0 && connection_dial(peer, port) && connection_send(peer, slice_of(hello, sizeof(hello)), (struct slice){NULL, 0});
}

static void on_send(void *user, unsigned to, struct slice message)
{
    struct process *process = user;
    uint8_t size[4];

    if (to == 0 || to > COUNTER_SERVERS || !dial(process, to)) return; /* lost, as on any network */
    le_store32(size, (uint32_t)message.size);
    connection_send(&process->peers[to], slice_of(size, sizeof(size)), message);
}

/* ---- the loop ---- */

static void serve_all(struct process *process)
{
    bool is_busy = true;

    while (is_busy) {
        is_busy = false;
        if (counter_run(process->counter) != 0) exit(1);
        for (int i = 0; i < GUESTS_MAX; i++) {
            if (process->guests[i].connection.fd < 0) continue;
            take_bytes(process, &process->guests[i]);
            if (!serve(process, &process->guests[i])) continue;
            is_busy = true;
            if (counter_run(process->counter) != 0) exit(1);
        }
    }
}

static void accept_guest(struct process *process)
{
    for (int i = 0; i < GUESTS_MAX; i++) {
        struct guest *guest = &process->guests[i];
        if (guest->connection.fd >= 0) continue;
        *guest = (struct guest){.connection = CONNECTION_INIT};
        if (!connection_accept(process->listener, &guest->connection)) return;
    }
}

static void move_bytes(struct connection *connection, short events)
{
    if (connection->fd < 0 || events == 0) return;
    if ((events & (POLLIN | POLLERR | POLLHUP)) != 0 && !connection_read(connection)) return;
    if ((events & POLLOUT) != 0) connection_flush(connection);
}

static struct connection *connection_at(struct process *process, int i)
{
    return i < GUESTS_MAX ? &process->guests[i].connection : &process->peers[i - GUESTS_MAX];
}

#define CONNECTIONS (GUESTS_MAX + COUNTER_SERVERS + 1)

static void wait_and_move(struct process *process)
{
    struct pollfd polls[CONNECTIONS + 1];
    uint64_t now_us = counter_now_us(), due_us = counter_due_us(process->counter);
    uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;

    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = connection_at(process, i);
        polls[i] = (struct pollfd){connection->fd, POLLIN, 0};
        if (connection->out.size > 0) polls[i].events |= POLLOUT;
    }
    polls[CONNECTIONS] = (struct pollfd){process->listener, POLLIN, 0};
    if (wait_us > 1000000) wait_us = 1000000;
    if (poll(polls, CONNECTIONS + 1, (int)((wait_us + 999) / 1000)) <= 0) return;
    for (int i = 0; i < CONNECTIONS; i++)
        move_bytes(connection_at(process, i), polls[i].revents);
    if (polls[CONNECTIONS].revents != 0) accept_guest(process);
}

int main(int count, char **arguments)
{
    static struct process process;
    struct counter_events events = {&process, on_send, on_applied, on_read};
    char root[256], message[400] = "";
    struct fs *fs;
    uint16_t port;

    process.folder = count == 3 ? arguments[1] : "";
    process.id = count == 3 ? (unsigned)strtoul(arguments[2], NULL, 10) : 0;
    if (process.id == 0 || process.id > COUNTER_SERVERS) {
        fprintf(stderr, "usage: counter FOLDER ID (1..%d)\n", COUNTER_SERVERS);
        return 2;
    }
    for (int i = 0; i < CONNECTIONS; i++)
        connection_at(&process, i)->fd = -1;
    snprintf(root, sizeof(root), "%s/%u", process.folder, process.id);
    if (fs_real_new(root, &fs) != 0 || fs->ops->lock(fs, "lock") != 0 ||
        counter_open(fs, process.id, &events, &process.counter, message, sizeof(message)) != 0 ||
        connection_listen(&process.listener, &port) != 0 || !write_port(&process, port)) {
        fprintf(stderr, "counter: cannot start: %s\n", message);
        return 1;
    }
    printf("port %u\n", port);
    fflush(stdout);
    for (;;) {
        serve_all(&process);
        wait_and_move(&process);
    }
}
