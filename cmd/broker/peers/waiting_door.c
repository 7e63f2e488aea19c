/* peers/waiting_door.c - see waiting_door.h. */
#include "cmd/broker/peers/waiting_door.h"

#include "base/error.h"
#include "base/list.h"
#include "crypto/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG           256
#define ACCEPTS_PER_TURN  16
#define VISITORS_MAX      512  /* beyond, whoever waited longest goes */
#define REQUEST_BYTES_MAX 2048 /* of a probe, with its headers */
#define VISIT_S           5

struct visitor {
    struct list_node node; /* oldest first */
    struct waiting_door *door;
    ev_io io;
    ev_tstamp since;
    size_t size;
    char request[REQUEST_BYTES_MAX + 1];
};

struct waiting_door {
    struct waiting_door_options options;
    struct list_node visitors;
    unsigned visitor_count, visitors_max;
    ev_io acceptor;
    ev_timer timer;
};

/* Its socket, which somebody has to close. */
static int visitor_free(struct visitor *visitor)
{
    struct waiting_door *door = visitor->door;
    int fd = visitor->io.fd;

    ev_io_stop(door->options.loop, &visitor->io);
    list_remove(&visitor->node);
    door->visitor_count--;
    free(visitor);
    return fd;
}

/* ---- probes ---- */

static bool is_path(const char *path, const char *name)
{
    size_t size = strlen(name);

    return strncmp(path, name, size) == 0 && strchr(" ?\r\n", path[size]) != NULL;
}

/* One send: it is smaller than any socket's buffer. */
static void answer(const struct visitor *visitor)
{
    const char *path = strchr(visitor->request, ' ');
    bool is_alive = path != NULL && is_path(path + 1, "/livez"), has_body = strncmp(visitor->request, "HEAD ", 5) != 0;
    char body[256], text[512];
    int body_size = is_alive ? snprintf(body, sizeof(body), "alive\n") : snprintf(body, sizeof(body), "not ready: %s\n", visitor->door->options.reason);
    int size = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                        is_alive ? "200 OK" : "503 Service Unavailable", body_size, has_body ? body : "");

    if (send(visitor->io.fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return;
}

/* ---- visits ---- */

enum guest { GUEST_UNKNOWN, GUEST_PEER, GUEST_PROBE, GUEST_OTHER };

/* Only brokers and probes are told from the rest here: front/sniff.h knows all the doors that there are once the port is served. */
static enum guest who(const struct visitor *visitor)
{
    static const struct {
        const char *bytes;
        enum guest guest;
    } known[] = {{CHANNEL_MAGIC, GUEST_PEER}, {"GET ", GUEST_PROBE}, {"HEAD ", GUEST_PROBE}};
    enum guest guest = GUEST_OTHER;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t length = strlen(known[i].bytes), common = visitor->size < length ? visitor->size : length;

        if (memcmp(visitor->request, known[i].bytes, common) != 0) continue;
        if (common == length) return known[i].guest;
        guest = GUEST_UNKNOWN;
    }
    return guest;
}

static void hand_over(struct visitor *visitor)
{
    struct waiting_door *door = visitor->door;
    char bytes[REQUEST_BYTES_MAX];
    size_t size = visitor->size;
    int fd;

    memcpy(bytes, visitor->request, size);
    fd = visitor_free(visitor);
    if (door->options.peer != NULL) door->options.peer(door->options.user, fd, slice_of(bytes, size));
    else close(fd);
}

static void look_at(struct visitor *visitor)
{
    bool is_whole = strstr(visitor->request, "\r\n\r\n") != NULL || strstr(visitor->request, "\n\n") != NULL;

    switch (who(visitor)) {
    case GUEST_UNKNOWN: return;
    case GUEST_PEER: hand_over(visitor); return;
    case GUEST_PROBE:
        if (!is_whole && visitor->size < REQUEST_BYTES_MAX) return;
        answer(visitor);
        break;
    case GUEST_OTHER: break;
    }
    close(visitor_free(visitor));
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct visitor *visitor = io->data;
    ssize_t got = recv(io->fd, visitor->request + visitor->size, REQUEST_BYTES_MAX - visitor->size, MSG_DONTWAIT);

    (void)loop;
    (void)events;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        close(visitor_free(visitor));
        return;
    }
    visitor->size += (size_t)got;
    visitor->request[visitor->size] = '\0';
    look_at(visitor);
}

static void let_in(struct waiting_door *door, int fd)
{
    struct visitor *visitor;

    while (door->visitor_count >= door->visitors_max)
        close(visitor_free(container_of(door->visitors.next, struct visitor, node)));
    visitor = calloc(1, sizeof(*visitor));
    if (visitor == NULL) {
        close(fd);
        return;
    }
    visitor->door = door;
    visitor->since = ev_now(door->options.loop);
    list_push_back(&door->visitors, &visitor->node);
    door->visitor_count++;
    ev_io_init(&visitor->io, on_readable, fd, EV_READ);
    visitor->io.data = visitor;
    ev_io_start(door->options.loop, &visitor->io);
    if (!ev_is_active(&door->timer)) ev_timer_again(door->options.loop, &door->timer);
}

/* There is no descriptor, or no memory: half of the visitors are as many as may be from here on, so that the broker's own calls find some. Without any
 * it is tried again later. */
static void make_room(struct waiting_door *door)
{
    door->visitors_max = door->visitor_count > 2 ? door->visitor_count / 2 : 1;
    if (door->visitor_count == 0) ev_io_stop(door->options.loop, &door->acceptor);
    while (door->visitor_count >= door->visitors_max)
        close(visitor_free(container_of(door->visitors.next, struct visitor, node)));
    if (!ev_is_active(&door->timer)) ev_timer_again(door->options.loop, &door->timer);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            let_in(io->data, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) make_room(io->data);
        return; /* else none is left */
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct waiting_door *door = timer->data;

    (void)events;
    list_for_each_safe(node, &door->visitors)
    {
        struct visitor *visitor = container_of(node, struct visitor, node);

        if (ev_now(loop) - visitor->since >= VISIT_S) close(visitor_free(visitor));
    }
    ev_io_start(loop, &door->acceptor); /* if it was stopped */
    if (door->visitor_count == 0) ev_timer_stop(loop, timer);
}

int waiting_door_open(const struct waiting_door_options *options, struct waiting_door **ret_door)
{
    struct waiting_door *door;

    if (listen(options->listen_fd, BACKLOG) != 0) return error_from_errno(errno);
    door = calloc(1, sizeof(*door));
    if (door == NULL) return MESH_ENOMEM;
    door->options = *options;
    door->visitors_max = VISITORS_MAX;
    list_init(&door->visitors);
    ev_init(&door->timer, on_timer);
    door->timer.repeat = 1;
    door->timer.data = door;
    ev_io_init(&door->acceptor, on_accept, options->listen_fd, EV_READ);
    door->acceptor.data = door;
    ev_io_start(options->loop, &door->acceptor);
    *ret_door = door;
    return 0;
}

void waiting_door_close(struct waiting_door *door)
{
    if (door == NULL) return;
    ev_io_stop(door->options.loop, &door->acceptor);
    ev_timer_stop(door->options.loop, &door->timer);
    list_for_each_safe(node, &door->visitors) close(visitor_free(container_of(node, struct visitor, node)));
    free(door);
}
