#include "client/connection.h"

#include "base/assert.h"
#include "client/backoff.h"
#include "client/broker.h"
#include "client/client.h"
#include "client/lookup.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct backoff reconnect_backoff = {20, 1000};

/* ---- closing ---- */

static void close_socket(struct connection *connection)
{
    if (connection->awaited != NULL) (void)epoll_ctl(connection->client->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL); /* the lookup has another descriptor of it */
    if (connection->fd >= 0) close(connection->fd); /* leaves the epoll set by itself */
    connection->fd = -1;
    connection->is_write_armed = false;
    connection->awaited = NULL;
    list_remove(&connection->flush_node);
}

/* The requests in flight learn of their fate, oldest first, so that owners re-queue them in order. */
static void fail_requests(struct connection *connection, int error)
{
    uint64_t sent = connection->out.position_out;
    struct request *request;

    while ((request = request_table_oldest(&connection->requests)) != NULL) {
        request_table_remove(&connection->requests, request);
        request->connection = NULL;
        request->handler->failed(request, error, request->start_position < sent);
    }
    if (connection->receiving != NULL) {
        request = connection->receiving;
        connection->receiving = NULL;
        request->connection = NULL;
        request->handler->failed(request, error, true);
    }
}

static void set_backoff(struct connection *connection)
{
    struct mesh_client *client = connection->client;
    uint32_t wait_ms = backoff_ms(&reconnect_backoff, connection->failures, random_unit(&client->random));

    connection->failures++;
    connection->state = CONNECTION_BACKOFF;
    client_arm(client, &connection->timer, client->now_ms + wait_ms);
}

static void shut(struct connection *connection, int error)
{
    close_socket(connection);
    connection->session++;
    connection->is_doubted = false;
    fail_requests(connection, error);
    send_queue_reset(&connection->out);
    connection_io_reset(connection);
}

void connection_fail(struct connection *connection, int error, const char *format, ...)
{
    va_list arguments;

    if (connection->fd < 0) return;
    va_start(arguments, format);
    vsnprintf(connection->problem, sizeof(connection->problem), format, arguments);
    va_end(arguments);
    shut(connection, error);
    set_backoff(connection);
    client_mark_all(connection->client);
}

/* ---- greeting ---- */

static int hello_answered(struct request *request, const struct frame_header *header, struct slice message,
                          uint8_t **ret_attachment)
{
    struct connection *connection = container_of(request, struct connection, hello);
    struct message_hello_response response;
    int err;

    (void)ret_attachment;
    if (header->flags & FRAME_FLAG_ERROR) {
        struct message_error refusal;
        err = message_decode_error(message, &refusal);
        if (err != 0) return err;
        snprintf(connection->refusal, sizeof(connection->refusal), "%s",
                 refusal.message != NULL && refusal.message[0] ? refusal.message
                                                               : mesh_strerror(refusal.error));
        err = refusal.error < 0 ? refusal.error : MESH_EPROTO;
        message_deinit_error(&refusal);
        return err;
    }
    err = message_decode_hello_response(message, &response);
    if (err != 0) return err;
    if (response.version != FRAME_VERSION) err = MESH_EVERSION;
    if (response.frame_bytes_max < FRAME_HEADER_SIZE) err = MESH_EPROTO;
    if (err == 0 && broker_is_other(connection->broker, response.node_id)) err = MESH_ECLOSED;
    if (err == 0) {
        connection->frame_bytes_max = response.frame_bytes_max;
        connection->broker->node_id = response.node_id;
        connection->state = CONNECTION_READY;
        connection->failures = 0;
        connection->problem[0] = '\0';
        timer_disarm(&connection->client->timers, &connection->timer);
        broker_note_ready(connection->broker);
        client_mark_all(connection->client);
    }
    message_deinit_hello_response(&response);
    return err;
}

static void hello_failed(struct request *request, int error, bool was_sent)
{
    (void)request, (void)error, (void)was_sent; /* connection_fail() sees to it */
}

static const struct request_handler hello_handler = {hello_answered, NULL, hello_failed};

static void greet(struct connection *connection)
{
    struct message_hello_request hello = {connection->client->name, (char *)(uintptr_t)mesh_version(),
                                          FRAME_VERSION, FRAME_VERSION,
                                          connection->shard >= 0 ? connection->shard : CONNECTION_ANY_SHARD};
    struct buffer message = BUFFER_INIT;
    int err;

    connection->state = CONNECTION_GREETING;
    connection->frame_bytes_max = UINT32_MAX;
    connection->refusal[0] = '\0';
    connection->hello.handler = &hello_handler;
    client_arm(connection->client, &connection->timer,
               connection->client->now_ms + (uint64_t)connection->client->timeout_ms);
    if (connection->broker->is_relayed) connection_hurry(connection, BROKER_PROBE_MS);
    err = message_encode_hello_request(&message, &hello);
    if (err == 0)
        err = connection_request(connection, &connection->hello, FRAME_OP_HELLO, buffer_slice(&message), NULL,
                                 0);
    buffer_deinit(&message);
    if (err != 0) {
        connection_fail(connection, err, "%s", mesh_strerror(err));
        return;
    }
    connection_flush(connection);
}

/* ---- connecting ---- */

static void tune(int fd, const struct sockaddr *socket_address)
{
    static const char loopback_congestion[] = "reno"; /* BBR paces loopback down to a fraction of its speed */
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (address_is_loopback(socket_address))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, loopback_congestion, sizeof(loopback_congestion) - 1);
}

/* Starts connecting to one socket address. 0: under way or done; else an errno value. */
static int try_socket(struct connection *connection, size_t index)
{
    const struct sockaddr *socket_address = (const void *)&connection->sockets.sockets[index];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
    int fd = socket(socket_address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return errno;
    tune(fd, socket_address);
    if (connect(fd, socket_address, connection->sockets.sizes[index]) != 0 && errno != EINPROGRESS) goto fail;
    if (epoll_ctl(connection->client->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) goto fail;
    connection->fd = fd;
    connection->is_write_armed = true;
    return 0;
fail:;
    int saved_errno = errno;
    close(fd);
    return saved_errno;
}

/* One address did not take the connection. */
static void note_failure(struct connection *connection, int error)
{
    bool is_definite =
        error == ECONNREFUSED || error == ENETUNREACH || error == EADDRNOTAVAIL || error == EAFNOSUPPORT;

    if (!is_definite) connection->has_doubt = true;
    snprintf(connection->problem, sizeof(connection->problem), "%s", strerror(error));
}

/* Tries the addresses that are left; backs off when none is. */
static void try_next(struct connection *connection)
{
    struct mesh_client *client = connection->client;

    while (connection->socket_next < connection->sockets.count) {
        size_t index = connection->socket_next++;
        bool is_last = connection->socket_next == connection->sockets.count;
        int error = try_socket(connection, index);
        if (error == 0) {
            uint64_t wait_ms = (uint64_t)client->timeout_ms;
            if (!is_last && wait_ms > CONNECTION_CONNECT_MS) wait_ms = CONNECTION_CONNECT_MS;
            if (connection->broker->is_relayed && wait_ms > BROKER_PROBE_MS) wait_ms = BROKER_PROBE_MS;
            connection->state = CONNECTION_CONNECTING;
            client_arm(client, &connection->timer, client->now_ms + wait_ms);
            return;
        }
        note_failure(connection, error);
    }
    connection->is_refused = !connection->has_doubt;
    set_backoff(connection);
    broker_note_failure(connection->broker);
    client_mark_all(client);
}

/* Where it answered, or is said to be; once that fails, in turn with what it says of itself. */
static const struct address *choose_address(const struct connection *connection)
{
    const struct broker *broker = connection->broker;

    return connection->failures % 2 == 1 && broker->advertised.host[0] != '\0' ? &broker->advertised : &broker->address;
}

/* The addresses are known, or there are none (err). */
static void resolved(struct connection *connection, int err, const char *reason)
{
    connection->socket_next = 0;
    connection->has_doubt = err != 0 && err != MESH_ERESOLVE;
    if (err != 0) {
        connection->sockets.count = 0;
        snprintf(connection->problem, sizeof(connection->problem), "the name cannot be resolved: %s", reason);
    }
    try_next(connection);
}

static void drop_lookup(struct lookup **lookup)
{
    lookup_free(*lookup);
    *lookup = NULL;
}

static void looked_up(struct connection *connection)
{
    struct lookup **lookup = connection->awaited;
    const char *reason = "";
    int err;

    close_socket(connection);
    err = lookup_take(*lookup, &connection->sockets, &reason);
    drop_lookup(lookup);
    resolved(connection, err, reason);
}

/* One that is still under way since an earlier attempt, or has ended after it, serves this one: there is never more than one of each address. Errors: MESH_ENOMEM, MESH_EIO. */
static int look_up(struct connection *connection, const struct address *address)
{
    struct mesh_client *client = connection->client;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    struct lookup **lookup = &connection->lookups[address == &connection->broker->advertised];
    uint64_t wait_ms = (uint64_t)client->timeout_ms;
    int err = 0;

    if (*lookup != NULL && !lookup_is_of(*lookup, address)) drop_lookup(lookup);
    if (*lookup == NULL) err = lookup_new(address, lookup);
    if (err == 0) err = lookup_open_fd(*lookup, &connection->fd);
    if (err == 0 && epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0) err = MESH_EIO;
    if (err != 0) {
        close_socket(connection);
        return err;
    }
    if (connection->broker->is_relayed && wait_ms > BROKER_PROBE_MS) wait_ms = BROKER_PROBE_MS;
    connection->awaited = lookup;
    connection->state = CONNECTION_CONNECTING;
    client_arm(client, &connection->timer, client->now_ms + wait_ms);
    return 0;
}

static void start(struct connection *connection)
{
    const struct address *address = choose_address(connection);
    const char *reason = "";

    broker_note_attempt(connection->broker);
    if (address_is_numeric(address, &connection->sockets)) {
        resolved(connection, 0, reason);
    } else if (look_up(connection, address) != 0) { /* no thread to be had */
        int err = address_resolve(address, &connection->sockets, &reason);

        resolved(connection, err, reason);
    }
}

static void connected(struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) {
        note_failure(connection, error);
        close_socket(connection);
        try_next(connection);
        return;
    }
    connection->is_refused = false; /* somebody is there */
    greet(connection);
}

void connection_want(struct connection *connection)
{
    connection->is_wanted = true;
    if (connection->state == CONNECTION_CLOSED) start(connection);
}

void connection_hurry(struct connection *connection, uint32_t wait_ms)
{
    if (connection->state == CONNECTION_CONNECTING || connection->state == CONNECTION_GREETING)
        client_arm(connection->client, &connection->timer, connection->client->now_ms + wait_ms);
}

/* ---- timer ---- */

uint32_t connection_doubt_ms(const struct connection *connection)
{
    uint32_t limit_ms = (uint32_t)connection->client->timeout_ms, doubt_ms = CONNECTION_DOUBT_MS + connection->patience_ms;

    return doubt_ms < limit_ms ? doubt_ms : limit_ms;
}

/* Whoever has something under way there looks whether others know better: see broker.h. */
void connection_doubt(struct connection *connection)
{
    if (connection->is_doubted || connection->client->now_ms < connection->progress_ms + connection_doubt_ms(connection)) return;
    connection->is_doubted = true;
    connection->client->reach_generation++;
    client_mark_all(connection->client);
}

/* A broker that owes an answer and is silent comes into doubt, and is given up in the end. */
static void check_silence(struct connection *connection, uint64_t now_ms)
{
    uint64_t doubt_at_ms = connection->progress_ms + connection_doubt_ms(connection);
    uint64_t limit_ms = connection->progress_ms + (uint64_t)connection->client->timeout_ms;

    if (connection->requests.count == 0 && connection->receiving == NULL) return;
    if (now_ms < limit_ms) {
        connection_doubt(connection);
        client_arm(connection->client, &connection->timer, now_ms < doubt_at_ms ? doubt_at_ms : limit_ms);
        return;
    }
    connection_fail(connection, MESH_ETIMEDOUT, "no answer for %d ms", connection->client->timeout_ms);
}

static void timer_due(struct timer *timer, uint64_t now_ms)
{
    struct connection *connection = container_of(timer, struct connection, timer);

    switch (connection->state) {
    case CONNECTION_CONNECTING:
        if (connection->awaited != NULL) {
            close_socket(connection);
            resolved(connection, MESH_EAGAIN, "no name server answers");
            break;
        }
        snprintf(connection->problem, sizeof(connection->problem), "connecting timed out");
        connection->has_doubt = true;
        close_socket(connection);
        try_next(connection);
        break;
    case CONNECTION_GREETING:
        connection_fail(connection, MESH_ETIMEDOUT,
                        "connected, but nothing that speaks this protocol answered");
        break;
    case CONNECTION_READY: check_silence(connection, now_ms); break;
    case CONNECTION_BACKOFF:
        connection->state = CONNECTION_CLOSED;
        if (connection->broker->is_relayed && !connection_is_relay(connection)) {
            start(connection); /* nobody waits for it: it is looked for so that relays can be left */
        } else if (connection->is_wanted) {
            connection->is_wanted = false; /* wanted anew by whoever still wants it */
            client_mark_all(connection->client);
        }
        break;
    case CONNECTION_CLOSED: break;
    }
}

/* ---- events, making and freeing ---- */

void connection_event(struct connection *connection, uint32_t events)
{
    int err;

    if (connection->fd < 0) return;
    if (connection->awaited != NULL) {
        looked_up(connection);
        return;
    }
    if (connection->state == CONNECTION_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(connection);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        err = connection_read(connection);
        if (err == MESH_ECLOSED)
            connection_fail(connection, err, "the broker closed the connection");
        else if (err != 0 && connection->refusal[0] != '\0')
            connection_fail(connection, err, "the broker refused the connection: %s", connection->refusal);
        else if (err != 0)
            connection_fail(connection, err, "bad answer from the broker: %s", mesh_strerror(err));
        if (err != 0) return;
    }
    if (events & EPOLLOUT) {
        connection_flush(connection);
        if (send_queue_is_empty(&connection->out)) client_mark_all(connection->client);
    }
}

int connection_new(struct mesh_client *client, struct broker *broker, int32_t shard,
                   enum connection_lane lane, struct connection **ret_connection)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL) return MESH_ENOMEM;
    connection->client = client;
    connection->broker = broker;
    connection->shard = shard;
    connection->lane = lane;
    connection->fd = -1;
    list_init(&connection->node);
    list_init(&connection->flush_node);
    send_queue_init(&connection->out);
    request_table_init(&connection->requests);
    connection_io_reset(connection);
    if (client_add_timer(client, &connection->timer, timer_due) != 0) {
        free(connection);
        return MESH_ENOMEM;
    }
    list_push_back(&broker->connections, &connection->node);
    *ret_connection = connection;
    return 0;
}

void connection_free(struct connection *connection)
{
    if (connection == NULL) return;
    shut(connection, MESH_ECANCELED);
    lookup_free(connection->lookups[0]);
    lookup_free(connection->lookups[1]);
    client_remove_timer(connection->client, &connection->timer);
    list_remove(&connection->node);
    send_queue_deinit(&connection->out);
    request_table_deinit(&connection->requests);
    free(connection->in);
    free(connection);
}
