/* front/http/connection.c - one HTTP connection: read, answer, write, one request at a time.
 *
 *   READING --request whole--> WAITING --answer--> WRITING --kept alive--> READING
 *      |                          |                   |
 *      +---- bad, too slow -------+-- too slow ->     +--to be closed--> DRAINING --peer closed or 1 s-->
 * gone
 *
 * DRAINING reads and drops what the peer still sends, since closing with unread bytes would reset the
 * connection and could take the answer with it. One timer guards whatever state it is in. */
#include "cmd/broker/front/http/server.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/http/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES          4096
#define DRAIN_MS            1000
#define DRAIN_BYTES_MAX     (1u << 20)
#define PIPELINED_BYTES_MAX (2 * HTTP_HEAD_BYTES_MAX) /* read ahead of the request at hand */
#define PEER_BYTES_MAX      64

enum state { READING, WAITING, WRITING, DRAINING };

struct http_connection {
    struct list_node link;
    struct http_server *server;
    int fd;
    enum state state;
    bool is_kept_alive, is_head; /* of the request at hand */
    bool peer_has_finished;      /* no more requests will come */
    bool is_advancing;           /* inside advance(): answers that come at once are picked up there */
    ev_io readable, writable;
    ev_timer timer;
    struct http_request_reader reader;
    struct http_exchange *exchange; /* WAITING: ours until released */
    struct buffer in, out;
    size_t sent; /* of out */
    size_t drained;
    char peer[PEER_BYTES_MAX];
};

struct http_connection *http_connection_of(struct list_node *link)
{
    return container_of(link, struct http_connection, link);
}

bool http_connection_is_idle(const struct http_connection *connection)
{
    return connection->state == DRAINING ||
           (connection->state == READING && !http_request_has_begun(&connection->reader));
}

void http_connection_close(struct http_connection *connection)
{
    struct http_server *server = connection->server;

    ev_io_stop(server->loop, &connection->readable);
    ev_io_stop(server->loop, &connection->writable);
    ev_timer_stop(server->loop, &connection->timer);
    if (connection->exchange != NULL) http_exchange_release(connection->exchange);
    close(connection->fd);
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->out);
    list_remove(&connection->link);
    server->connection_count--;
    free(connection);
}

static void set_deadline(struct http_connection *connection, uint32_t timeout_ms)
{
    ev_timer_stop(connection->server->loop, &connection->timer);
    ev_timer_set(&connection->timer, timeout_ms / 1e3, 0.);
    ev_timer_start(connection->server->loop, &connection->timer);
}

/* ---- writing ---- */

/* Sends what the socket takes. 0: all is sent; MESH_EAGAIN; MESH_ECLOSED. */
static int send_some(struct http_connection *connection)
{
    while (connection->sent < connection->out.size) {
        ssize_t size = send(connection->fd, connection->out.data + connection->sent,
                            connection->out.size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0) {
            connection->sent += (size_t)size;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return MESH_EAGAIN;
        } else if (errno != EINTR) {
            return MESH_ECLOSED;
        }
    }
    return 0;
}

static void begin_writing(struct http_connection *connection)
{
    connection->state = WRITING;
    connection->sent = 0;
    ev_io_stop(connection->server->loop, &connection->readable); /* the next request waits in the kernel */
    set_deadline(connection, connection->server->options.write_timeout_ms);
}

/* What is sent gives its memory back when it was large; then the next request, or the end. */
static void end_writing(struct http_connection *connection)
{
    struct http_server *server = connection->server;

    ev_io_stop(server->loop, &connection->writable);
    if (connection->out.capacity > 65536)
        buffer_deinit(&connection->out);
    else
        buffer_clear(&connection->out);
    if (connection->is_kept_alive && !server->is_stopping) {
        connection->state = READING;
        http_request_reader_init(&connection->reader);
        set_deadline(connection, server->options.idle_timeout_ms);
        return;
    }
    connection->state = DRAINING;
    shutdown(connection->fd, SHUT_WR);
    buffer_clear(&connection->in);
    ev_io_start(server->loop, &connection->readable);
    set_deadline(connection, DRAIN_MS);
}

static int write_response(struct http_connection *connection, const struct http_response *response)
{
    buffer_clear(&connection->out);
    if (connection->server->is_stopping || connection->peer_has_finished) connection->is_kept_alive = false;
    return http_response_write(response, connection->is_head, connection->is_kept_alive, &connection->out);
}

/* Answers without a router: bad bytes, too slow. The connection ends behind it. */
static int refuse(struct http_connection *connection, int status, const char *text)
{
    struct http_response response;
    int err;

    log_warn("http request refused peer=%s status=%d reason=\"%s\"", connection->peer, status, text);
    http_response_init(&response);
    connection->is_kept_alive = connection->is_head = false;
    err = http_response_text(&response, status, "%s", text);
    if (err == 0) err = write_response(connection, &response);
    http_response_deinit(&response);
    if (err == 0) begin_writing(connection);
    return err;
}

/* ---- the steps ---- */

static void advance(struct http_connection *connection);

static void exchange_answered(void *user, struct http_exchange *exchange)
{
    struct http_connection *connection = user;
    int err = write_response(connection, &exchange->response);

    connection->exchange = NULL;
    http_exchange_release(exchange);
    if (err != 0) { /* no memory for the answer: the peer sees the connection end */
        connection->is_kept_alive = false;
        buffer_clear(&connection->out);
    }
    begin_writing(connection);
    if (!connection->is_advancing) advance(connection);
}

static int start_exchange(struct http_connection *connection)
{
    const struct http_request *request = &connection->reader.request;
    struct http_exchange *exchange =
        http_exchange_new(connection->server, request, exchange_answered, connection);

    if (exchange == NULL) return MESH_ENOMEM;
    connection->is_kept_alive = request->is_kept_alive;
    connection->is_head = request->method == HTTP_HEAD;
    connection->state = WAITING;
    connection->exchange = exchange;
    ev_io_stop(connection->server->loop, &connection->readable);
    set_deadline(connection, connection->server->options.request_timeout_ms);
    http_exchange_start(exchange);
    return 0;
}

/* Reads a request out of the bytes at hand. MESH_EAGAIN: more are needed. */
static int step_reading(struct http_connection *connection)
{
    bool had_begun = http_request_has_begun(&connection->reader);
    size_t used;
    int err = http_request_read(&connection->reader, buffer_slice(&connection->in), &used);

    buffer_consume(&connection->in, used);
    if (err == 0) return start_exchange(connection);
    if (err == MESH_EPROTO)
        return refuse(connection, connection->reader.status, http_request_problem(&connection->reader));
    if (connection->peer_has_finished) return MESH_ECLOSED;
    if (!had_begun && http_request_has_begun(&connection->reader))
        set_deadline(connection, connection->server->options.request_timeout_ms);
    ev_io_start(connection->server->loop, &connection->readable);
    return MESH_EAGAIN;
}

static int step_writing(struct http_connection *connection)
{
    int err = send_some(connection);

    if (err == 0) end_writing(connection);
    if (err == MESH_EAGAIN) ev_io_start(connection->server->loop, &connection->writable);
    return err;
}

/* Goes on as far as it can without waiting; may end the connection. */
static void advance(struct http_connection *connection)
{
    int err = 0;

    connection->is_advancing = true;
    while (err == 0) {
        switch (connection->state) {
        case READING: err = step_reading(connection); break;
        case WRITING: err = step_writing(connection); break;
        case WAITING:
        case DRAINING: err = MESH_EAGAIN; break;
        }
    }
    connection->is_advancing = false;
    if (err != MESH_EAGAIN) http_connection_close(connection);
}

/* ---- events ---- */

static void drain(struct http_connection *connection, ssize_t size)
{
    connection->drained += (size_t)size;
    if (connection->drained > DRAIN_BYTES_MAX) http_connection_close(connection);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct http_connection *connection = watcher->data;
    uint8_t bytes[READ_BYTES];
    ssize_t size = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    (void)loop;
    (void)events;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (size < 0 || (size == 0 && connection->state == DRAINING)) {
        http_connection_close(connection);
    } else if (connection->state == DRAINING) {
        drain(connection, size);
    } else if (size == 0) {
        connection->peer_has_finished = true;
        advance(connection);
    } else if (buffer_append(&connection->in, bytes, (size_t)size) != 0) {
        http_connection_close(connection);
    } else {
        advance(connection);
    }
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    advance(watcher->data);
}

static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct http_connection *connection = watcher->data;
    int err = MESH_ECLOSED;

    (void)loop;
    (void)events;
    if (connection->state == READING && http_request_has_begun(&connection->reader)) {
        err = refuse(connection, 408, "the request did not arrive in time");
    } else if (connection->state == WAITING) {
        http_exchange_release(connection->exchange);
        connection->exchange = NULL;
        err = refuse(connection, 503, "a shard did not answer in time");
    }
    if (err == 0)
        advance(connection);
    else
        http_connection_close(connection);
}

int http_connection_start(struct http_server *server, int fd, struct slice received, const char *peer)
{
    struct http_connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL || received.size > PIPELINED_BYTES_MAX ||
        buffer_append(&connection->in, received.data, received.size) != 0) {
        free(connection);
        close(fd);
        return MESH_ENOMEM;
    }
    connection->server = server;
    connection->fd = fd;
    snprintf(connection->peer, sizeof(connection->peer), "%s", peer);
    http_request_reader_init(&connection->reader);
    ev_io_init(&connection->readable, on_readable, fd, EV_READ);
    ev_io_init(&connection->writable, on_writable, fd, EV_WRITE);
    ev_timer_init(&connection->timer, on_timeout, 0., 0.);
    connection->readable.data = connection->writable.data = connection->timer.data = connection;
    list_push_back(&server->connections, &connection->link);
    server->connection_count++;
    set_deadline(connection, server->options.request_timeout_ms); /* something has been said already */
    advance(connection);
    return 0;
}
