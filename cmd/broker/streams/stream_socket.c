/* streams/stream_socket.c - a socket, a channel, and one buffer each way that exists only while it holds something. */
#include "cmd/broker/streams/stream_socket.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/peers/socket_bytes.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES    (128u << 10) /* that are read at least at once */
#define FRAMES_PER_TURN  64
#define KEEP_BYTES       (2u << 20) /* of a buffer that is kept while its stream is in use */

struct stream_socket {
    struct ev_loop *loop;
    const struct stream_socket_hooks *hooks;
    void *user;
    ev_io io;
    ev_timer ending; /* runs at once: ended() comes from the loop */
    int watched;
    struct channel *channel;
    struct socket_bytes in, out; /* kept while the stream is busy: stream_socket_trim() takes them from an idle one */
    size_t frame_size; /* of the frame at the front of `in` that somebody keeps; 0: none */
    bool has_ended, is_reading;
    const char *reason;
    struct stream_socket_stats stats;
};

static void watch(struct stream_socket *socket, int events)
{
    if (events == socket->watched) return;
    if (socket->watched != 0) ev_io_stop(socket->loop, &socket->io);
    socket->watched = events;
    if (events == 0) return;
    ev_io_set(&socket->io, socket->io.fd, events);
    ev_io_start(socket->loop, &socket->io);
}

static void rewatch(struct stream_socket *socket)
{
    if (socket->has_ended) return;
    watch(socket, (socket->frame_size == 0 ? EV_READ : 0) | (socket_bytes_size(&socket->out) > 0 ? EV_WRITE : 0));
}

static void end(struct stream_socket *socket, const char *reason)
{
    if (socket->has_ended) return;
    socket->has_ended = true;
    socket->reason = reason;
    watch(socket, 0);
    ev_timer_start(socket->loop, &socket->ending);
}

/* ---- sending ---- */

int stream_socket_send_pieces(struct stream_socket *socket, uint8_t type, const struct slice *pieces, size_t count)
{
    struct socket_bytes *out = &socket->out;
    size_t size = CHANNEL_FRAME_OVERHEAD;
    int err;

    if (socket->has_ended) return MESH_ECLOSED;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    err = socket_bytes_reserve(out, size, 2 * RECEIVE_BYTES);
    if (err == 0) err = channel_seal_pieces(socket->channel, type, pieces, count, out->data + out->end);
    if (err != 0) return err;
    out->end += size;
    return 0;
}

int stream_socket_send(struct stream_socket *socket, uint8_t type, struct slice payload)
{
    return stream_socket_send_pieces(socket, type, &payload, 1);
}

bool stream_socket_trim(struct stream_socket *socket)
{
    bool has_in = socket_bytes_trim(&socket->in), has_out = socket_bytes_trim(&socket->out);

    return has_in || has_out;
}

bool stream_socket_has_room(const struct stream_socket *socket)
{
    return socket->in.data != NULL || socket->out.data != NULL;
}

bool stream_socket_is_busy(const struct stream_socket *socket)
{
    return socket_bytes_size(&socket->out) >= STREAM_SOCKET_BUSY;
}

bool stream_socket_has_unsent(const struct stream_socket *socket)
{
    return socket_bytes_size(&socket->out) > 0;
}

void stream_socket_flush(struct stream_socket *socket)
{
    struct socket_bytes *out = &socket->out;

    while (!socket->has_ended && socket_bytes_size(out) > 0) {
        ssize_t size = send(socket->io.fd, out->data + out->start, socket_bytes_size(out), MSG_NOSIGNAL);

        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (size < 0) {
            end(socket, strerror(errno));
            return;
        }
        socket->stats.sent_bytes += (uint64_t)size;
        out->start += (size_t)size;
    }
    if (socket_bytes_size(out) == 0 && out->data != NULL) socket_bytes_emptied(&socket->out, KEEP_BYTES);
    rewatch(socket);
}

/* ---- receiving ---- */

/* Hands out the frames that are there, until somebody keeps one. */
static void hand_out(struct stream_socket *socket)
{
    for (int i = 0; i < FRAMES_PER_TURN && !socket->has_ended && socket->frame_size == 0; i++) {
        struct channel_frame frame;
        int err;

        if (socket_bytes_size(&socket->in) == 0) break;
        err = channel_open(socket->channel, socket->in.data + socket->in.start, socket_bytes_size(&socket->in), &frame);
        if (err == MESH_EAGAIN) break;
        if (err != 0) {
            end(socket, "what arrived was changed on its way");
            return;
        }
        if (frame.type == CHANNEL_FRAME_END) {
            end(socket, "closed by the peer");
            return;
        }
        socket->frame_size = frame.used;
        socket->hooks->received(socket->user, frame.type, frame.payload);
    }
}

void stream_socket_done(struct stream_socket *socket)
{
    MESH_ASSERT(socket->frame_size > 0);
    socket->in.start += socket->frame_size;
    socket->frame_size = 0;
    if (socket_bytes_size(&socket->in) == 0) socket_bytes_emptied(&socket->in, KEEP_BYTES);
    if (socket->is_reading || socket->has_ended) return;
    rewatch(socket);
    if (socket_bytes_size(&socket->in) > 0) ev_feed_event(socket->loop, &socket->io, EV_READ); /* more may be there already */
}

/* How much to receive. Of a long frame its rest and the next one's header, so that hardly anything is left to be moved to the front. */
static size_t wanted(struct stream_socket *socket)
{
    size_t size = 0, have = socket_bytes_size(&socket->in);

    if (have > 0 && channel_frame_size(socket->channel, slice_of(socket->in.data + socket->in.start, have), &size) == 0 && size > have &&
        size >= RECEIVE_BYTES)
        return size - have + CHANNEL_FRAME_HEADER_SIZE;
    return RECEIVE_BYTES;
}

/* Something that was received can be handed out now. */
static bool has_whole_frame(struct stream_socket *socket)
{
    size_t size = 0, have = socket_bytes_size(&socket->in);

    if (socket->has_ended || socket->frame_size > 0 || have == 0) return false;
    return channel_frame_size(socket->channel, slice_of(socket->in.data + socket->in.start, have), &size) != 0 || (size > 0 && size <= have);
}

/* Once per turn: whoever sends much has its turn again in the next one. */
static void receive(struct stream_socket *socket)
{
    size_t room;
    ssize_t size;

    hand_out(socket);
    if (socket->has_ended || socket->frame_size > 0) return;
    room = wanted(socket);
    if (socket_bytes_reserve(&socket->in, room, 2 * RECEIVE_BYTES) != 0) {
        end(socket, "out of memory");
        return;
    }
    do {
        size = recv(socket->io.fd, socket->in.data + socket->in.end, room, 0);
    } while (size < 0 && errno == EINTR);
    if (size > 0) {
        socket->stats.received_bytes += (uint64_t)size;
        socket->in.end += (size_t)size;
        hand_out(socket);
    } else if (size == 0) {
        end(socket, "the connection ended without a goodbye");
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        end(socket, strerror(errno));
    }
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct stream_socket *socket = io->data;

    (void)loop;
    if ((events & EV_READ) != 0 && socket->frame_size == 0 && !socket->has_ended) {
        socket->is_reading = true;
        receive(socket);
        socket->is_reading = false;
        if (has_whole_frame(socket)) ev_feed_event(socket->loop, &socket->io, EV_READ); /* more than one turn's */
        if (socket_bytes_size(&socket->in) == 0 && socket->in.data != NULL) socket_bytes_emptied(&socket->in, KEEP_BYTES);
        rewatch(socket);
    }
    if ((events & EV_WRITE) != 0 && !socket->has_ended) {
        stream_socket_flush(socket);
        if (!socket->has_ended && !stream_socket_is_busy(socket)) socket->hooks->drained(socket->user);
    }
}

/* ---- life ---- */

void stream_socket_free(struct stream_socket *socket)
{
    if (socket == NULL) return;
    watch(socket, 0);
    ev_timer_stop(socket->loop, &socket->ending);
    ev_clear_pending(socket->loop, &socket->io);
    close(socket->io.fd);
    channel_free(socket->channel);
    free(socket->in.data);
    free(socket->out.data);
    free(socket);
}

static void on_ending(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct stream_socket *socket = timer->data;

    (void)loop;
    (void)events;
    socket->hooks->ended(socket->user, socket->reason);
    stream_socket_free(socket);
}

void stream_socket_end(struct stream_socket *socket, const char *reason)
{
    if (socket->has_ended) return;
    if (stream_socket_send(socket, CHANNEL_FRAME_END, slice_of(NULL, 0)) == 0) stream_socket_flush(socket);
    end(socket, reason);
}

/* The links' settings (peers/link.c) fit, but for how much may wait in the kernel: here everything is long. */
static void tune(int fd)
{
    int unsent = 1 << 20;

    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static struct socket_bytes take(uint8_t *data, size_t size)
{
    return (struct socket_bytes){.data = data, .end = size, .capacity = size};
}

int stream_socket_new(struct ev_loop *loop, struct link_remains *remains, const struct stream_socket_hooks *hooks, void *user,
                      struct stream_socket **ret_socket)
{
    struct stream_socket *socket = calloc(1, sizeof(*socket));

    if (socket == NULL) {
        link_remains_free(remains);
        return MESH_ENOMEM;
    }
    socket->loop = loop;
    socket->hooks = hooks;
    socket->user = user;
    socket->channel = remains->channel;
    socket->in = take(remains->received, remains->received_size);
    socket->out = take(remains->unsent, remains->unsent_size);
    tune(remains->fd);
    ev_io_init(&socket->io, on_io, remains->fd, 0);
    ev_timer_init(&socket->ending, on_ending, 0., 0.);
    socket->io.data = socket->ending.data = socket;
    *remains = (struct link_remains){.fd = -1};
    rewatch(socket);
    if (socket_bytes_size(&socket->in) > 0) ev_feed_event(loop, &socket->io, EV_READ);
    *ret_socket = socket;
    return 0;
}

const struct stream_socket_stats *stream_socket_stats(const struct stream_socket *socket)
{
    return &socket->stats;
}
