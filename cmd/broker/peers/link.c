/* peers/link.c - a socket, a channel, a queue of messages, one buffer each way that exists only while it holds something. */
#include "cmd/broker/peers/link.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "cmd/broker/peers/socket_bytes.h"
#include "cmd/broker/runtime/long_memory.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <ev.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECT_SECONDS      2.0
#define HANDSHAKE_SECONDS    4.0
#define GOODBYE_SECONDS      1.0 /* for the peer to take what is queued when we close */
#define USER_TIMEOUT_MS      10000
#define KEEPALIVE_SECONDS    10
#define KEEPALIVE_PROBE_SECONDS 3
#define KEEPALIVE_PROBES     3
#define RECEIVE_CHUNK        16384
#define RECEIVES_PER_TURN    8
#define SEALED_BYTES_MAX     131072 /* that wait for the socket */
#define SENDS_PER_TURN       4
#define UNSENT_BYTES_MAX     131072 /* in the kernel before it asks for more: what is urgent waits behind no more than that */
#define REASON_SIZE          200
#define KEEP_BYTES           (512u << 10) /* of a buffer, while the link is busy */
#define TRIM_SECONDS         1.0

enum link_state { STATE_CONNECTING, STATE_HANDSHAKE, STATE_OPEN, STATE_GOODBYE, STATE_ENDED };

struct link {
    struct ev_loop *loop;
    const struct link_hooks *hooks;
    void *user, *mark;
    ev_io io;
    ev_timer timer;      /* deadlines; of an open link: memory that was used, and may not be needed for long */
    ev_prepare turn_end; /* never started: an event is fed to it when there is something to send */
    int fd;
    int poll_fd; /* an epoll set of the socket's own, for links that may be taken apart; -1: io watches the socket itself */
    int watched; /* events that are waited for */
    enum link_state state;
    bool is_dialled;
    struct net_address address;
    struct uuid expected;
    struct channel *channel;
    struct socket_bytes in, out;
    struct link_queue queue;
    struct link_parts parts;
    bool has_said_goodbye; /* its frame is in `out`, the last one */
    struct link_stats stats;
    struct channel_failure_detail failure;
    enum link_end end;
    char reason[REASON_SIZE];
};

/* ---- watching ---- */

/* libev never takes a socket out of its epoll set; it waits for the close. A socket that goes to another thread would leave events, and a
 * number that the other thread closes and uses again, behind. */
static void watch_apart(struct link *link, int events)
{
    struct epoll_event event = {.events = ((events & EV_READ) != 0 ? EPOLLIN : 0u) | ((events & EV_WRITE) != 0 ? EPOLLOUT : 0u)};
    int operation = link->watched == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    (void)epoll_ctl(link->poll_fd, operation, link->fd, &event); /* without memory for it the handshake's time runs out */
    if (link->watched == 0) ev_io_start(link->loop, &link->io);
    if (events == 0) ev_io_stop(link->loop, &link->io);
}

static void watch(struct link *link, int events)
{
    if (events == link->watched) return;
    if (link->poll_fd >= 0) {
        watch_apart(link, events);
    } else {
        if (link->watched != 0) ev_io_stop(link->loop, &link->io);
        if (events != 0) {
            ev_io_set(&link->io, link->fd, events);
            ev_io_start(link->loop, &link->io);
        }
    }
    link->watched = events;
}

/* What has happened to the socket, of an event of io. */
static int events_of(const struct link *link, int events)
{
    struct epoll_event event;

    if (link->poll_fd < 0) return events;
    if (epoll_wait(link->poll_fd, &event, 1, 0) != 1) return 0;
    return ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 ? link->watched & EV_READ : 0) |
           ((event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 ? link->watched & EV_WRITE : 0);
}

/* The link's socket from here on. */
static void set_socket(struct link *link, int fd)
{
    link->fd = fd;
    ev_io_set(&link->io, link->poll_fd >= 0 ? link->poll_fd : fd, EV_READ);
}

static void set_deadline(struct link *link, double seconds)
{
    ev_timer_stop(link->loop, &link->timer);
    if (seconds < 0) return;
    ev_timer_set(&link->timer, seconds, 0);
    ev_timer_start(link->loop, &link->timer);
}

/* ---- memory ---- */

/* A link at rest has no timer: it is for what came and went lately. */
static void trim_later(struct link *link)
{
    if (link->state == STATE_OPEN && !ev_is_active(&link->timer)) set_deadline(link, TRIM_SECONDS);
}

/* The memory of short messages is at the allocator's hand. */
static void emptied(struct link *link, struct socket_bytes *bytes)
{
    if (bytes->capacity <= RECEIVE_CHUNK) {
        socket_bytes_release(bytes);
        return;
    }
    socket_bytes_emptied(bytes, KEEP_BYTES);
    trim_later(link);
}

static void trim(struct link *link)
{
    bool has_in = socket_bytes_trim(&link->in), has_out = socket_bytes_trim(&link->out);

    if (long_memory_trim(clock_monotonic_ms()) || has_in || has_out) trim_later(link);
}

/* ---- the end ---- */

/* What is known first counts. The hook runs from the loop. */
static void end(struct link *link, enum link_end how, const char *reason)
{
    bool is_goodbye = link->state == STATE_GOODBYE;

    if (link->state == STATE_ENDED) return;
    link->state = STATE_ENDED;
    link->end = is_goodbye ? LINK_END_CLOSED : how;
    snprintf(link->reason, sizeof(link->reason), "%s", is_goodbye ? "closed here" : reason);
    watch(link, 0);
    set_deadline(link, 0);
}

static void release(struct link *link)
{
    watch(link, 0);
    ev_timer_stop(link->loop, &link->timer);
    ev_clear_pending(link->loop, &link->turn_end);
    if (link->fd >= 0) close(link->fd);
    if (link->poll_fd >= 0) close(link->poll_fd);
    channel_free(link->channel);
    socket_bytes_release(&link->in);
    socket_bytes_release(&link->out);
    link_queue_clear(&link->queue);
    link_parts_deinit(&link->parts);
    long_memory_close();
    free(link);
}

static void end_by_channel(struct link *link)
{
    channel_get_failure(link->channel, &link->failure);
    end(link, LINK_END_REJECTED, channel_failure_text(link->failure.failure));
}

static void end_by_errno(struct link *link, int saved)
{
    enum link_end how = saved == ECONNREFUSED                          ? LINK_END_REFUSED
                        : saved == ETIMEDOUT                           ? LINK_END_SILENT
                        : saved == ECONNRESET || saved == EPIPE        ? LINK_END_RESET
                        : saved == ENOMEM || saved == EMFILE || saved == ENFILE ? LINK_END_LOCAL
                                                                       : LINK_END_UNREACHABLE;

    end(link, how, how == LINK_END_REFUSED ? "nobody listens there" : strerror(saved));
}

/* The connection is over. Before the channel is open, what came of it may tell why. */
static void end_by_eof(struct link *link)
{
    if (link->state != STATE_HANDSHAKE) {
        end(link, LINK_END_RESET, "the connection ended without a goodbye");
        return;
    }
    channel_cut(link->channel, socket_bytes_slice(&link->in));
    end_by_channel(link);
}

/* ---- sending ---- */

/* Hands the socket what it takes of the sealed bytes. */
static void write_out(struct link *link)
{
    struct socket_bytes *out = &link->out;

    while (socket_bytes_size(out) > 0) {
        ssize_t size = send(link->fd, out->data + out->start, socket_bytes_size(out), MSG_NOSIGNAL);

        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (size < 0) {
            end_by_errno(link, errno);
            return;
        }
        link->stats.sent_bytes += (uint64_t)size;
        out->start += (size_t)size;
    }
    out->start = out->end = 0;
}

static int seal_frame(struct link *link, uint8_t type, struct slice payload)
{
    int err = socket_bytes_reserve(&link->out, payload.size + CHANNEL_FRAME_OVERHEAD, RECEIVE_CHUNK);

    if (err != 0) return err;
    err = channel_seal(link->channel, type, payload, link->out.data + link->out.end);
    if (err == 0) link->out.end += payload.size + CHANNEL_FRAME_OVERHEAD;
    return err;
}

/* Parts of what waits, as much as the socket may take next. */
static int seal_more(struct link *link)
{
    uint8_t room[LINK_PART_BYTES];
    struct link_part part;
    int err = 0;

    while (err == 0 && socket_bytes_size(&link->out) < SEALED_BYTES_MAX && link_queue_next(&link->queue, &part)) {
        err = seal_frame(link, part.type, link_part_bytes(&part, room));
        if (err != 0) break;
        link->stats.sent_frames++;
        link_queue_advance(&link->queue, &part);
    }
    if (err == 0 && link->state == STATE_GOODBYE && !link->has_said_goodbye && !link_queue_next(&link->queue, &part)) {
        err = seal_frame(link, CHANNEL_FRAME_END, slice_of(NULL, 0));
        link->has_said_goodbye = err == 0;
    }
    return err;
}

static bool has_more(struct link *link)
{
    struct link_part part;

    return socket_bytes_size(&link->out) > 0 || link_queue_next(&link->queue, &part);
}

static void flush(struct link *link)
{
    for (int i = 0; i < SENDS_PER_TURN; i++) {
        if (link->state != STATE_HANDSHAKE && seal_more(link) != 0) {
            end(link, LINK_END_LOCAL, "out of memory");
            return;
        }
        if (socket_bytes_size(&link->out) == 0) break;
        write_out(link);
        if (link->state == STATE_ENDED) return;
        if (socket_bytes_size(&link->out) > 0) break;
    }
    if (!has_more(link)) {
        emptied(link, &link->out);
        if (link->has_said_goodbye) {
            end(link, LINK_END_CLOSED, "closed here");
            return;
        }
    }
    watch(link, EV_READ | (has_more(link) ? EV_WRITE : 0));
}

static int queue_bytes(struct link *link, const uint8_t *data, size_t size)
{
    if (socket_bytes_reserve(&link->out, size, RECEIVE_CHUNK) != 0) return MESH_ENOMEM;
    memcpy(link->out.data + link->out.end, data, size);
    link->out.end += size;
    return 0;
}

/* What is sent in one turn of the loop leaves together, behind all other events of the turn. A socket that is full says itself when it is not. */
static void flush_later(struct link *link)
{
    if ((link->watched & EV_WRITE) == 0) ev_feed_event(link->loop, &link->turn_end, EV_CUSTOM);
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *turn_end, int events)
{
    struct link *link = turn_end->data;

    (void)loop;
    (void)events;
    if (link->state == STATE_OPEN || link->state == STATE_GOODBYE) flush(link);
}

int link_send_message(struct link *link, struct link_message *message)
{
    bool is_control = link_lane_of(message->type) == LINK_LANE_CONTROL;
    int err;

    if (link->state != STATE_OPEN) return MESH_ECLOSED;
    err = link_queue_push(&link->queue, message);
    if (err == MESH_EFULL && is_control) end(link, LINK_END_SILENT, "it does not read what it is sent");
    if (err == 0) flush_later(link);
    return err;
}

int link_send(struct link *link, uint8_t type, struct slice payload)
{
    struct link_message *message;
    int err;

    if (link->state != STATE_OPEN) return MESH_ECLOSED;
    if (payload.size > LINK_MESSAGE_MAX) return MESH_ETOOLARGE;
    message = link_message_copy(type, payload);
    if (message == NULL) return MESH_ENOMEM;
    err = link_send_message(link, message);
    if (err != 0) message->done(message);
    return err;
}

bool link_take_back(struct link *link, struct link_message *message)
{
    return link_queue_remove(&link->queue, message);
}

void link_close(struct link *link)
{
    if (link->state == STATE_GOODBYE || link->state == STATE_ENDED) return;
    if (link->state != STATE_OPEN) {
        end(link, LINK_END_CLOSED, "closed here");
        return;
    }
    link->state = STATE_GOODBYE;
    set_deadline(link, GOODBYE_SECONDS);
    watch(link, EV_READ | EV_WRITE);
}

void link_abandon(struct link *link)
{
    release(link);
}

/* ---- taking one apart ---- */

/* What is left in `bytes`, in memory of its own. */
static int take_bytes(struct socket_bytes *bytes, uint8_t **ret_data, size_t *ret_size)
{
    size_t size = socket_bytes_size(bytes);

    *ret_data = NULL;
    *ret_size = size;
    if (size == 0) return 0;
    *ret_data = malloc(size);
    if (*ret_data == NULL) return MESH_ENOMEM;
    memcpy(*ret_data, bytes->data + bytes->start, size);
    return 0;
}

int link_detach(struct link *link, struct link_remains *ret_remains)
{
    struct link_remains remains = {.fd = link->fd, .channel = link->channel};
    int err = take_bytes(&link->in, &remains.received, &remains.received_size);

    if (err == 0) err = take_bytes(&link->out, &remains.unsent, &remains.unsent_size);
    if (err != 0) {
        free(remains.received);
        return err;
    }
    end(link, LINK_END_CLOSED, "taken over"); /* stops watching, and frees it from the loop */
    link->fd = -1;
    link->channel = NULL;
    link->in.start = link->in.end = 0;
    link->out.start = link->out.end = 0;
    *ret_remains = remains;
    return 0;
}

void link_remains_free(struct link_remains *remains)
{
    if (remains->fd >= 0) close(remains->fd);
    channel_free(remains->channel);
    free(remains->received);
    free(remains->unsent);
    *remains = (struct link_remains){.fd = -1};
}

/* ---- receiving ---- */

static void handshake(struct link *link)
{
    struct channel_step step;
    enum channel_state state;

    do {
        state = channel_step(link->channel, socket_bytes_slice(&link->in), &step);
        link->in.start += step.used;
        if (step.out_size > 0 && queue_bytes(link, step.out, step.out_size) != 0) {
            end(link, LINK_END_LOCAL, "out of memory");
            return;
        }
    } while (state == CHANNEL_HANDSHAKING && step.used > 0 && socket_bytes_size(&link->in) > 0);
    if (socket_bytes_size(&link->out) > 0) flush(link);
    if (link->state == STATE_ENDED) return;
    if (state == CHANNEL_FAILED) {
        end_by_channel(link);
    } else if (state == CHANNEL_OPEN) {
        link->state = STATE_OPEN;
        set_deadline(link, -1);
        link->hooks->up(link->user, link);
    }
}

static void take_message(struct link *link, const struct channel_frame *frame)
{
    struct slice message;
    bool is_whole;
    int err = link_parts_add(&link->parts, frame->type, frame->payload, &message, &is_whole);
    uint8_t type = frame->type & (uint8_t)~LINK_PART_MORE;

    if (err == MESH_ENOMEM) {
        end(link, LINK_END_LOCAL, "out of memory");
    } else if (err != 0) {
        link->failure = (struct channel_failure_detail){.failure = CHANNEL_FAILURE_MALFORMED};
        end(link, LINK_END_REJECTED, channel_failure_text(CHANNEL_FAILURE_MALFORMED));
    } else if (is_whole) {
        link->hooks->receive(link->user, link, type, message);
        link_parts_release(&link->parts, type);
        if (message.size >= LONG_MEMORY_MIN) trim_later(link);
    }
}

uint8_t *link_take(struct link *link, uint8_t type, struct slice payload)
{
    uint8_t *bytes = link_parts_take(&link->parts, type);

    if (bytes != NULL) return bytes;
    bytes = long_memory_take(payload.size + 1);
    if (bytes != NULL && payload.size > 0) memcpy(bytes, payload.data, payload.size);
    return bytes;
}

/* One whole frame at the front, if there is one. */
static bool take_frame(struct link *link)
{
    struct channel_frame frame;
    int err;

    if (link->state != STATE_OPEN || socket_bytes_size(&link->in) == 0) return false;
    err = channel_open(link->channel, link->in.data + link->in.start, socket_bytes_size(&link->in), &frame);
    if (err == MESH_EAGAIN) return false;
    if (err != 0) {
        end_by_channel(link);
        return false;
    }
    link->in.start += frame.used;
    link->stats.received_frames++;
    if (frame.type == CHANNEL_FRAME_END)
        end(link, LINK_END_CLOSED, "closed by the peer");
    else
        take_message(link, &frame);
    return link->state == STATE_OPEN;
}

/* Room for what comes next: the rest of a frame that has begun, once its size is known. */
static int make_room(struct link *link)
{
    size_t size = 0, want = RECEIVE_CHUNK;

    if (link->state == STATE_OPEN && socket_bytes_size(&link->in) > 0 &&
        channel_frame_size(link->channel, socket_bytes_slice(&link->in), &size) == 0 &&
        size > socket_bytes_size(&link->in) + want)
        want = size - socket_bytes_size(&link->in);
    return socket_bytes_reserve(&link->in, want, RECEIVE_CHUNK);
}

static void consume(struct link *link)
{
    if (link->state == STATE_HANDSHAKE) handshake(link);
    while (take_frame(link))
        ;
    if (link->state == STATE_GOODBYE) link->in.start = link->in.end; /* we have stopped to listen */
}

static void receive(struct link *link)
{
    for (int round = 0; round < RECEIVES_PER_TURN && link->state != STATE_ENDED; round++) {
        size_t room;
        ssize_t size;

        if (make_room(link) != 0) {
            end(link, LINK_END_LOCAL, "out of memory");
            return;
        }
        room = link->in.capacity - link->in.end;
        size = recv(link->fd, link->in.data + link->in.end, room, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (size < 0) {
            end_by_errno(link, errno);
            return;
        }
        if (size == 0) {
            end_by_eof(link);
            return;
        }
        link->stats.received_bytes += (uint64_t)size;
        link->in.end += (size_t)size;
        consume(link);
        if ((size_t)size < room) break;
    }
    if (link->state != STATE_ENDED && socket_bytes_size(&link->in) == 0) emptied(link, &link->in);
}

/* ---- events ---- */

static void connected(struct link *link)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) {
        end_by_errno(link, error);
        return;
    }
    link->state = STATE_HANDSHAKE;
    set_deadline(link, HANDSHAKE_SECONDS);
    watch(link, EV_READ);
    handshake(link);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct link *link = io->data;

    (void)loop;
    events = events_of(link, events);
    if (events == 0) return;
    if (link->state == STATE_CONNECTING) {
        connected(link);
        return;
    }
    if (link->state == STATE_HANDSHAKE && socket_bytes_size(&link->in) > 0) consume(link); /* what was read before we came */
    if ((events & EV_READ) && link->state != STATE_ENDED) receive(link);
    if ((events & EV_WRITE) && link->state != STATE_ENDED) flush(link);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct link *link = timer->data;

    (void)loop;
    (void)events;
    switch (link->state) {
    case STATE_CONNECTING: end(link, LINK_END_SILENT, "no answer"); return;
    case STATE_GOODBYE: end(link, LINK_END_CLOSED, "closed here"); return;
    case STATE_HANDSHAKE:
        if (socket_bytes_size(&link->in) == 0 && link->stats.received_bytes == 0)
            end(link, LINK_END_SILENT, "it takes the connection, but says nothing");
        else
            end_by_eof(link);
        return;
    case STATE_OPEN: trim(link); return;
    case STATE_ENDED:
        link->hooks->down(link->user, link, link->end, link->reason);
        release(link);
        return;
    }
}

/* ---- making one ---- */

/* A peer whose machine is gone is noticed by what is sent, or by the kernel's probes on a link at rest. */
static void tune(int fd, const struct net_address *peer)
{
    static const char reno[] = "reno"; /* as for clients: pacing costs much where there is no network */
    int one = 1, idle = KEEPALIVE_SECONDS, interval = KEEPALIVE_PROBE_SECONDS, probes = KEEPALIVE_PROBES;
    unsigned timeout_ms = USER_TIMEOUT_MS, unsent = UNSENT_BYTES_MAX;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    if (net_address_is_loopback(peer)) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
}

static int link_new(const struct link_options *options, bool is_dialled, const struct uuid *expected, struct link **ret_link)
{
    struct channel_options channel = options->channel;
    struct link *link = calloc(1, sizeof(*link));
    int err, poll_fd = options->may_detach ? epoll_create1(EPOLL_CLOEXEC) : -1;

    if (link == NULL || (options->may_detach && poll_fd < 0)) {
        if (poll_fd >= 0) close(poll_fd);
        free(link);
        return MESH_ENOMEM;
    }
    channel.is_initiator = is_dialled;
    if (expected != NULL) channel.expected_peer = link->expected = *expected;
    random_system_bytes(channel.random, sizeof(channel.random));
    err = channel_new(&channel, &link->channel);
    crypto_wipe(channel.random, sizeof(channel.random));
    if (err != 0) {
        if (poll_fd >= 0) close(poll_fd);
        free(link);
        return err;
    }
    link_queue_init(&link->queue);
    long_memory_open();
    link->loop = options->loop;
    link->hooks = options->hooks;
    link->user = options->user;
    link->is_dialled = is_dialled;
    link->fd = -1;
    link->poll_fd = poll_fd;
    ev_io_init(&link->io, on_io, -1, 0);
    ev_timer_init(&link->timer, on_timer, 0, 0);
    ev_prepare_init(&link->turn_end, on_turn_end);
    ev_set_priority(&link->turn_end, EV_MINPRI);
    link->io.data = link->timer.data = link->turn_end.data = link;
    *ret_link = link;
    return 0;
}

/* The socket, connecting, or -1. */
static int dial(const struct net_address *address, const struct net_address *source)
{
    struct sockaddr_storage name, from;
    socklen_t size, from_size;
    int fd, saved;

    net_address_to_sockaddr(address, &name, &size);
    fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    tune(fd, address);
    if (!net_address_is_wildcard(source)) {
        struct net_address end_point = *source;

        end_point.port = 0;
        net_address_to_sockaddr(&end_point, &from, &from_size);
        /* An address of the other family cannot be our end: then the kernel chooses. */
        if (from.ss_family == name.ss_family) (void)bind(fd, (struct sockaddr *)&from, from_size);
    }
    if (connect(fd, (struct sockaddr *)&name, size) == 0 || errno == EINPROGRESS) return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int link_dial(const struct link_options *options, const struct net_address *address, const struct uuid *expected,
              struct link **ret_link)
{
    struct link *link;
    int err = link_new(options, true, expected, &link), fd;

    if (err != 0) return err;
    MESH_ASSERT(options->preamble.size <= LINK_PREAMBLE_MAX);
    if (options->preamble.size > 0 && queue_bytes(link, options->preamble.data, options->preamble.size) != 0) {
        release(link);
        return MESH_ENOMEM;
    }
    link->address = *address;
    link->state = STATE_CONNECTING;
    fd = dial(address, &options->source);
    set_socket(link, fd);
    *ret_link = link;
    if (fd < 0) {
        end_by_errno(link, errno);
        return 0;
    }
    set_deadline(link, CONNECT_SECONDS);
    watch(link, EV_WRITE);
    return 0;
}

int link_adopt(const struct link_options *options, int fd, struct slice received, struct link **ret_link)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    struct link *link;
    int err = link_new(options, false, NULL, &link);

    if (err != 0) {
        close(fd);
        return err;
    }
    set_socket(link, fd);
    if (getpeername(fd, (struct sockaddr *)&name, &size) != 0 ||
        net_address_from_sockaddr((struct sockaddr *)&name, &link->address) != 0) {
        release(link);
        return MESH_EIO;
    }
    if (socket_bytes_reserve(&link->in, received.size + RECEIVE_CHUNK, RECEIVE_CHUNK) != 0) {
        release(link);
        return MESH_ENOMEM;
    }
    if (received.size > 0) memcpy(link->in.data, received.data, received.size);
    link->in.end = received.size;
    tune(fd, &link->address);
    link->state = STATE_HANDSHAKE;
    set_deadline(link, HANDSHAKE_SECONDS);
    /* Writable at once: the first event takes what was received already. */
    watch(link, EV_READ | EV_WRITE);
    *ret_link = link;
    return 0;
}

/* ---- looking ---- */

size_t link_queued_bytes(const struct link *link, enum link_lane lane)
{
    return link->queue.bytes[lane];
}

bool link_is_up(const struct link *link)
{
    return link->state == STATE_OPEN;
}

bool link_is_dialled(const struct link *link)
{
    return link->is_dialled;
}

const struct net_address *link_address(const struct link *link)
{
    return &link->address;
}

const struct channel_peer *link_peer(const struct link *link)
{
    return channel_peer(link->channel);
}

const struct uuid *link_expected(const struct link *link)
{
    return &link->expected;
}

const struct channel_failure_detail *link_failure(const struct link *link)
{
    return &link->failure;
}

const struct link_stats *link_stats(const struct link *link)
{
    return &link->stats;
}

void link_set_mark(struct link *link, void *mark)
{
    link->mark = mark;
}

void *link_mark(const struct link *link)
{
    return link->mark;
}
