/* broker/front/connection.c - the life of one connection. */
#include "cmd/broker/front/connection.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/front/tls_stream.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/shard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMPLAINTS_PER_SECOND 10

static void connection_on_io(struct ev_loop *loop, ev_io *io, int events);

const char *connection_format_peer(const struct sockaddr *peer, char to[CONNECTION_PEER_SIZE])
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
    char address[INET6_ADDRSTRLEN] = "?";

    if (peer->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof(address));
        snprintf(to, CONNECTION_PEER_SIZE, "[%s]:%u", address, ntohs(v6->sin6_port));
    } else if (peer->sa_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, address, sizeof(address));
        snprintf(to, CONNECTION_PEER_SIZE, "%s:%u", address, ntohs(v4->sin_port));
    } else {
        snprintf(to, CONNECTION_PEER_SIZE, "unknown");
    }
    return to;
}

const char *connection_peer(const struct connection *connection, char to[CONNECTION_PEER_SIZE])
{
    return connection_format_peer(&connection->peer.any, to);
}

uint64_t connection_source(const struct connection *connection)
{
    if (connection->peer.any.sa_family == AF_INET6) return map_hash_bytes(&connection->peer.v6.sin6_addr, sizeof(connection->peer.v6.sin6_addr));
    return map_hash_bytes(&connection->peer.v4.sin_addr, sizeof(connection->peer.v4.sin_addr));
}

bool connection_is_local(const struct connection *connection)
{
    return accept_is_loopback(&connection->peer.any);
}

static void connection_enlist(struct connection *connection, struct shard *shard)
{
    connection->shard = shard;
    list_push_back(&shard->connections.all, &connection->link);
    shard->metrics.connections++;
    pool_charge(&shard->pool, connection->tls_bytes);
    ev_io_init(&connection->io, connection_on_io, connection->fd, 0);
}

int connection_new(struct shard *shard, int fd, const struct sockaddr *peer, socklen_t peer_size, bool is_gateway)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL) {
        close(fd);
        accept_forget(shard->broker);
        return MESH_ENOMEM;
    }
    connection->fd = fd;
    connection->is_gateway = is_gateway;
    if (peer_size > sizeof(connection->peer)) peer_size = sizeof(connection->peer);
    memcpy(&connection->peer, peer, peer_size);
    list_init(&connection->flush_link);
    list_init(&connection->wait_link);
    list_init(&connection->stall_link);
    list_init(&connection->fetches);
    connection_enlist(connection, shard);
    connection_update(connection, true);
    return connection->state == CONNECTION_CLOSED ? MESH_ENOMEM : 0;
}

/* Out of every list and of the loop, buffers given back. */
static void connection_leave(struct connection *connection)
{
    struct shard *shard = connection->shard;

    lobby_leave(connection);
    ev_io_stop(shard->loop, &connection->io);
    connection->is_reading = connection->is_writing = false;
    list_remove(&connection->link);
    list_remove(&connection->flush_link);
    list_remove(&connection->wait_link);
    list_remove(&connection->stall_link);
    pool_release(&shard->pool, connection->in);
    connection->in = NULL;
    connection->in_need = 0;
    connection->wait_since_ms = 0;
    connections_end_turn(connection);
    output_clear(connection);
    pool_uncharge(&shard->pool, connection->tls_bytes);
    shard->metrics.connections--;
}

/* Long polls, and a produce request that waits in the middle. */
static void connection_cancel_requests(struct connection *connection)
{
    uint32_t entry_count;

    kafka_close(connection);
    native_produce_abandon(connection->produce_call);
    connection->produce_call = NULL;
    connection->produced_entries = 0;
    while (fetch_cancel(&connection->fetches, &entry_count))
        connection_end(connection, connection_weight(entry_count));
}

int connection_give_away(struct connection *connection)
{
    struct shard *shard = connection->shard;
    int fd = connection->fd;

    MESH_ASSERT(connection->state != CONNECTION_CLOSED);
    connection_cancel_requests(connection);
    connection_leave(connection);
    tls_stream_free(connection->tls);
    connection->tls = NULL;
    connection->state = CONNECTION_CLOSED;
    shard->metrics.connections_closed++;
    connection->fd = -1;
    accept_forget(shard->broker);
    list_push_back(&shard->connections.closed, &connection->link);
    return fd;
}

void connection_close(struct connection *connection)
{
    if (connection->state != CONNECTION_CLOSED) close(connection_give_away(connection));
}

void connection_finish(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_CLOSING) return;
    connection->state = CONNECTION_CLOSING;
    pool_release(&connection->shard->pool, connection->in);
    connection->in = NULL;
    connection->in_need = 0;
    connections_end_turn(connection);
    connection_cancel_requests(connection);
    if (list_is_empty(&connection->flush_link))
        list_push_back(&connection->shard->connections.flushing, &connection->flush_link);
    connection_update(connection, true);
}

void connection_complain(struct connection *connection, const char *what)
{
    struct connections *connections = &connection->shard->connections;
    uint64_t second = connection->shard->now_ms / 1000;
    char peer[CONNECTION_PEER_SIZE];

    if (connections->complaint_second != second) {
        if (connections->complaints_suppressed > 0)
            log_warn("more complaints about peers were not logged count=%llu",
                     (unsigned long long)connections->complaints_suppressed);
        connections->complaints_suppressed = 0;
        connections->complaint_second = second;
        connections->complaint_count = 0;
    }
    if (connections->complaint_count++ >= COMPLAINTS_PER_SECOND) {
        connections->complaints_suppressed++;
        return;
    }
    log_warn("%s peer=%s shard=%u", what, connection_peer(connection, peer), connection->shard->index);
}

/* ---- limits ---- */

bool connection_is_over_limit(const struct connection *connection)
{
    const struct settings *settings = &connection->shard->broker->settings;

    return connection->out.bytes + connection->out.struct_bytes > settings->connection_memory_bytes_max ||
           connection->pending >= settings->connection_requests_max || connection->heavy >= CONNECTION_HEAVY_MAX ||
           kafka_is_busy(connection);
}

void connection_begin(struct connection *connection, uint32_t weight)
{
    connection->pending++;
    connection->heavy += weight;
    connection->shard->connections.pending++;
}

void connection_end(struct connection *connection, uint32_t weight)
{
    struct connections *connections = &connection->shard->connections;

    MESH_ASSERT(connection->pending > 0 && connections->pending > 0);
    connection->pending--;
    connection->heavy -= weight;
    connections->pending--;
    if (connection->is_over_limit && connection->state != CONNECTION_CLOSED &&
        list_is_empty(&connection->wait_link) && !connection_is_over_limit(connection))
        list_push_back(&connections->resuming, &connection->wait_link);
}

/* ---- what the loop watches ---- */

/* It has begun something that it must go on with: a hello, a request, or reading its answers. */
static bool connection_owes(const struct connection *connection)
{
    if (connection->state == CONNECTION_SNIFF || connection->state == CONNECTION_HELLO) return true;
    if (connection->state == CONNECTION_CLOSING || kafka_is_stranger(connection)) return true;
    if (connection->out.first != NULL && !connection->out.is_loading) return true;
    if (connection->in == NULL && !connection_has_turn(connection)) return false;
    return !connection->is_over_limit && list_is_empty(&connection->wait_link);
}

static void connection_watch_stall(struct connection *connection, bool has_progressed)
{
    struct shard *shard = connection->shard;
    bool is_listed = !list_is_empty(&connection->stall_link);
    bool owes = connection_owes(connection);

    if (!owes) {
        if (is_listed) list_remove(&connection->stall_link);
        return;
    }
    /* Before its hello or its login is complete, or while others wait for its turn to end, no dribble of bytes earns a peer more time. */
    if (is_listed && (!has_progressed || connection->state < CONNECTION_OPEN || kafka_is_stranger(connection) || connection_has_turn(connection)))
        return;
    connection->stall_since_ms = shard->now_ms;
    list_remove(&connection->stall_link);
    list_push_back(&shard->connections.stalling, &connection->stall_link);
    connections_watch_stall(shard);
}

static void connection_watch_io(struct connection *connection)
{
    struct ev_loop *loop = connection->shard->loop;
    bool reads = !connection->is_over_limit && list_is_empty(&connection->wait_link);
    bool writes = connection->out.first != NULL && !connection->out.is_loading &&
                  list_is_empty(&connection->flush_link);

    if (reads == connection->is_reading && writes == connection->is_writing) return;
    ev_io_stop(loop, &connection->io);
    ev_io_set(&connection->io, connection->fd, (reads ? EV_READ : 0) | (writes ? EV_WRITE : 0));
    if (reads || writes) ev_io_start(loop, &connection->io);
    connection->is_reading = reads;
    connection->is_writing = writes;
}

void connection_update(struct connection *connection, bool has_progressed)
{
    bool waits = !list_is_empty(&connection->wait_link) && !connection->is_over_limit; /* for memory */
    int err = 0;

    if (connection->state == CONNECTION_CLOSED) return;
    if (waits)
        err = lobby_enter(connection, LOBBY_END);
    else if (connection->state >= CONNECTION_OPEN)
        lobby_leave(connection);
    else
        err = lobby_enter(connection, LOBBY_INPUT);
    if (err != 0) {
        connection_close(connection);
        return;
    }
    if (connection->state >= CONNECTION_OPEN) connection_watch_io(connection);
    connection_watch_stall(connection, has_progressed);
}

static void connection_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *connection = container_of(io, struct connection, io);

    (void)loop;
    if (events & EV_WRITE && list_is_empty(&connection->flush_link))
        list_push_back(&connection->shard->connections.flushing, &connection->flush_link);
    if (events & EV_READ) connection_receive(connection);
}

/* ---- moving ---- */

void connection_detach(struct connection *connection)
{
    MESH_ASSERT(connection->pending == 0 && connection->out.first == NULL);
    connection_leave(connection);
    connection->shard = NULL;
}

int connection_attach(struct connection *connection, struct shard *shard, struct slice received)
{
    connection->is_over_limit = false;
    connection_enlist(connection, shard);
    if (received.size > 0) {
        connection->in = pool_acquire(&shard->pool, received.size, true);
        if (connection->in == NULL) {
            connection_close(connection);
            return MESH_ENOMEM;
        }
        memcpy(connection->in->data, received.data, received.size);
        connection->in->end = (uint32_t)received.size;
    }
    return 0;
}
