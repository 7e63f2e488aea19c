/* Sending and receiving frames on a connection: bytes in, bytes out; what they mean is the handlers'
 * business. */
#include "client/connection.h"

#include "base/assert.h"
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define IN_BYTES_REQUESTS (64u << 10) /* many small answers in one recv() */
#define IN_BYTES_FETCH                                                                                       \
    (8u << 10)             /* little more than header and message: the rest goes straight to its place */
#define IOVECS_MAX     256 /* per sendmsg() */
#define READ_BYTES_MAX (1u << 20) /* per event, so that one connection does not starve the others */

/* ---- sending ---- */

static size_t total_size(const struct slice *slices, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += slices[i].size;
    return size;
}

/* Queues header, message and attachments; they were made to fit. What is small goes into the ring in one
 * piece. */
static void queue_frame(struct connection *connection, const struct frame_header *header,
                        struct slice message, const struct slice *attachments, size_t attachment_count)
{
    struct send_queue *out = &connection->out;
    bool is_small = header->attachment_size <= CONNECTION_STAGE_MAX;
    uint8_t *to = send_queue_stage_room(out, FRAME_HEADER_SIZE + message.size +
                                                 (is_small ? header->attachment_size : 0));

    frame_write_header(to, header, message.data);
    to += FRAME_HEADER_SIZE;
    if (message.size > 0) memcpy(to, message.data, message.size);
    to += message.size;
    for (size_t i = 0; i < attachment_count; i++) {
        if (is_small) {
            memcpy(to, attachments[i].data, attachments[i].size);
            to += attachments[i].size;
        } else {
            send_queue_borrow(out, attachments[i].data, attachments[i].size);
        }
    }
    if (list_is_empty(&connection->flush_node))
        list_push_back(&connection->client->to_flush, &connection->flush_node);
}

/* A message too long for the ring goes out in memory of its own; it has no attachment. */
static int queue_long_message(struct connection *connection, const struct frame_header *header,
                              struct slice message)
{
    struct buffer frame = BUFFER_INIT;
    int err = buffer_reserve(&frame, FRAME_HEADER_SIZE + message.size);

    if (err != 0) return err;
    frame_write_header(frame.data, header, message.data);
    frame.size = FRAME_HEADER_SIZE;
    buffer_append(&frame, message.data, message.size); /* cannot fail: reserved */
    err = send_queue_own(&connection->out, &frame);
    if (err != 0) {
        buffer_deinit(&frame);
        return err;
    }
    if (list_is_empty(&connection->flush_node))
        list_push_back(&connection->client->to_flush, &connection->flush_node);
    return 0;
}

#define STAGED_MESSAGE_MAX (SEND_QUEUE_RING_SIZE / 4)

/* Whether a frame fits the send queue now: 0, MESH_EAGAIN, or MESH_ETOOLARGE for ever. */
static int check_room(struct connection *connection, struct slice message, size_t attachment_size,
                      size_t attachment_count)
{
    size_t staged = FRAME_HEADER_SIZE + message.size;

    if (message.size + attachment_size > connection->frame_bytes_max ||
        message.size > FRAME_MESSAGE_BYTES_MAX)
        return MESH_ETOOLARGE;
    if (message.size > STAGED_MESSAGE_MAX) return attachment_size == 0 ? 0 : MESH_ETOOLARGE;
    if (attachment_size <= CONNECTION_STAGE_MAX) staged += attachment_size;
    if (send_queue_has_room(&connection->out, staged, attachment_count)) return 0;
    return send_queue_is_empty(&connection->out) ? MESH_ENOMEM : MESH_EAGAIN;
}

static int queue_request(struct connection *connection, const struct frame_header *header,
                         struct slice message, const struct slice *attachments, size_t attachment_count)
{
    if (message.size > STAGED_MESSAGE_MAX) return queue_long_message(connection, header, message);
    queue_frame(connection, header, message, attachments, attachment_count);
    return 0;
}

int connection_request(struct connection *connection, struct request *request, enum frame_op op,
                       struct slice message, const struct slice *attachments, size_t attachment_count)
{
    size_t attachment_size = total_size(attachments, attachment_count);
    struct frame_header header = {.op = (uint16_t)op, .message_size = (uint32_t)message.size};
    int err = check_room(connection, message, attachment_size, attachment_count);

    MESH_ASSERT(connection->fd >= 0 && request->connection == NULL);
    if (err != 0) return err;
    err = request_table_add(&connection->requests, request);
    if (err != 0) return err;
    header.attachment_size = (uint32_t)attachment_size;
    header.correlation_id = request->correlation_id;
    request->start_position = connection->out.position_in;
    err = queue_request(connection, &header, message, attachments, attachment_count);
    if (err != 0) {
        request_table_remove(&connection->requests, request);
        return err;
    }
    request->connection = connection;
    request->end_position = connection->out.position_in;
    if (connection->requests.count == 1) connection->progress_ms = connection->client->now_ms;
    if (!timer_is_armed(&connection->timer))
        client_arm(connection->client, &connection->timer, connection->client->now_ms + connection_doubt_ms(connection));
    return 0;
}

int connection_post(struct connection *connection, enum frame_op op, struct slice message,
                    const struct slice *attachments, size_t attachment_count, uint64_t *ret_end_position)
{
    size_t attachment_size = total_size(attachments, attachment_count);
    struct frame_header header = {.op = (uint16_t)op, .message_size = (uint32_t)message.size};
    int err = check_room(connection, message, attachment_size, attachment_count);

    if (err != 0) return err;
    header.attachment_size = (uint32_t)attachment_size;
    err = request_table_skip(&connection->requests, &header.correlation_id);
    if (err != 0) return err;
    err = queue_request(connection, &header, message, attachments, attachment_count);
    if (err != 0) return err;
    connection->has_unanswered = true;
    *ret_end_position = connection->out.position_in;
    return 0;
}

static void arm_write(struct connection *connection, bool is_wanted)
{
    struct epoll_event event = {.events = EPOLLIN | (is_wanted ? EPOLLOUT : 0u), .data.ptr = connection};

    if (connection->is_write_armed == is_wanted) return;
    if (epoll_ctl(connection->client->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0) {
        connection_fail(connection, MESH_EIO, "epoll_ctl: %s", strerror(errno));
        return;
    }
    connection->is_write_armed = is_wanted;
}

void connection_flush(struct connection *connection)
{
    list_remove(&connection->flush_node);
    if (connection->fd < 0 || connection->state == CONNECTION_CONNECTING) return;
    while (!send_queue_is_empty(&connection->out)) {
        struct msghdr message = {0};
        ssize_t sent;

        message.msg_iov = send_queue_iovecs(&connection->out, IOVECS_MAX, &message.msg_iovlen);
        sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            arm_write(connection, true);
            return;
        }
        if (sent < 0) {
            connection_fail(connection, MESH_ECLOSED, "sending failed: %s", strerror(errno));
            return;
        }
        send_queue_advance(&connection->out, (size_t)sent);
        if (connection->has_unanswered)
            client_mark_all(connection->client); /* having left is all that counts */
    }
    arm_write(connection, false);
}

/* ---- receiving ---- */

void connection_io_reset(struct connection *connection)
{
    connection->in_at = connection->in_end = 0;
    connection->in_need = FRAME_HEADER_SIZE;
    connection->receiving = NULL;
    connection->attachment_to = NULL;
    connection->attachment_left = 0;
    connection->has_unanswered = false;
}

/* `size` bytes of the attachment are in place, or thrown away. */
static void attachment_advance(struct connection *connection, size_t size)
{
    struct request *request = connection->receiving;

    connection->attachment_left -= size;
    if (connection->attachment_to != NULL) connection->attachment_to += size;
    if (connection->attachment_left == 0) {
        connection->attachment_to = NULL;
        connection->receiving = NULL;
        if (request != NULL) request->connection = NULL;
    }
    if (request == NULL) return;
    request->handler->received(request, size, connection->attachment_left == 0);
}

/* Moves what the input buffer holds of the attachment. */
static void take_buffered_attachment(struct connection *connection)
{
    size_t size = connection->in_end - connection->in_at;

    if (size > connection->attachment_left) size = connection->attachment_left;
    if (size == 0) return;
    if (connection->attachment_to != NULL)
        memcpy(connection->attachment_to, connection->in + connection->in_at, size);
    connection->in_at += size;
    attachment_advance(connection, size);
}

/* The frame at in_at is complete up to its attachment. */
static int dispatch(struct connection *connection, const struct frame_header *header)
{
    const uint8_t *frame = connection->in + connection->in_at;
    struct request *request = request_table_find(&connection->requests, header->correlation_id);
    struct slice message = slice_of(frame + FRAME_HEADER_SIZE, header->message_size);
    uint8_t *attachment = NULL;
    uint64_t session = connection->session;
    int err = frame_verify(frame, header);

    if (err != 0) return err;
    if (!(header->flags & FRAME_FLAG_RESPONSE)) return MESH_EPROTO;
    connection->in_at += FRAME_HEADER_SIZE + header->message_size;
    if (request == NULL) {
        if (!connection->has_unanswered) return MESH_EPROTO;
    } else {
        /* An answer to what has not even left: the peer is mad, and our memory is still in the send queue. */
        if (request->end_position > connection->out.position_out) return MESH_EPROTO;
        request_table_remove(&connection->requests, request);
        request->connection = NULL;
        err = request->handler->answered(request, header, message, &attachment);
        if (err != 0) return err;
        if (connection->session != session) return MESH_ECLOSED; /* closed by what a callback did */
        if (attachment != NULL) {                                /* else the request may be gone by now */
            connection->receiving = request;
            request->connection = connection;
        }
    }
    connection->attachment_to = attachment;
    connection->attachment_left = header->attachment_size;
    return 0;
}

/* Handles every whole frame in the input buffer, and notes how many bytes the next one needs there. */
static int parse(struct connection *connection)
{
    for (;;) {
        struct frame_header header;
        size_t have;
        int err;

        connection->in_need = FRAME_HEADER_SIZE;
        if (connection->attachment_left > 0) take_buffered_attachment(connection);
        if (connection->attachment_left > 0) return 0;
        have = connection->in_end - connection->in_at;
        err = frame_parse_header(slice_of(connection->in + connection->in_at, have),
                                 CONNECTION_ATTACHMENT_MAX, &header);
        if (err == MESH_EAGAIN) return 0;
        if (err != 0) return err;
        connection->in_need = FRAME_HEADER_SIZE + header.message_size;
        if (have < connection->in_need) return 0;
        err = dispatch(connection, &header);
        if (err != 0) return err;
    }
}

/* Room for header and message of the next frame, moved to the buffer's front. */
static int make_room(struct connection *connection)
{
    size_t have = connection->in_end - connection->in_at;
    size_t capacity = connection->lane == CONNECTION_FETCH ? IN_BYTES_FETCH : IN_BYTES_REQUESTS;

    if (have > 0 && connection->in_at > 0) memmove(connection->in, connection->in + connection->in_at, have);
    connection->in_at = 0;
    connection->in_end = have;
    if (capacity < connection->in_need) capacity = connection->in_need;
    if (capacity > connection->in_capacity) {
        uint8_t *in = realloc(connection->in, capacity);
        if (in == NULL) return MESH_ENOMEM;
        connection->in = in;
        connection->in_capacity = capacity;
    }
    return 0;
}

/* One recv() to where the next bytes belong. Errors: MESH_EAGAIN, MESH_ECLOSED, MESH_ENOMEM. */
static int receive(struct connection *connection, size_t *ret_size, bool *ret_is_short)
{
    bool is_attachment = connection->attachment_left > 0 && connection->attachment_to != NULL;
    uint8_t *to;
    size_t room;
    ssize_t got;

    if (is_attachment) {
        to = connection->attachment_to;
        room = connection->attachment_left < CONNECTION_RECEIVE_STEP ? connection->attachment_left
                                                                     : CONNECTION_RECEIVE_STEP;
    } else {
        if (make_room(connection) != 0) return MESH_ENOMEM;
        to = connection->in + connection->in_end;
        room = connection->in_capacity - connection->in_end;
    }
    do
        got = recv(connection->fd, to, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got == 0) return MESH_ECLOSED;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? MESH_EAGAIN : MESH_ECLOSED;
    if (is_attachment)
        attachment_advance(connection, (size_t)got);
    else
        connection->in_end += (size_t)got;
    *ret_size = (size_t)got;
    *ret_is_short = (size_t)got < room;
    return 0;
}

int connection_read(struct connection *connection)
{
    size_t total = 0;
    bool is_short = false;

    while (total < READ_BYTES_MAX && !is_short) {
        bool was_attachment = connection->attachment_to != NULL;
        size_t size = 0;
        int err = receive(connection, &size, &is_short);
        if (err == MESH_EAGAIN) return 0;
        if (err != 0) return err;
        connection->progress_ms = connection->client->now_ms;
        connection->is_doubted = false;
        total += size;
        err = parse(connection);
        if (err != 0) return err;
        /* What has arrived is best used while it is in the cache: more only when asked again. At the end of an attachment
         * as well: read before the next answer comes, its memory can take that one. */
        if (was_attachment || connection->attachment_to != NULL) return 0;
    }
    return 0;
}
