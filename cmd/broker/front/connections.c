/* broker/front/connections.c - what happens to all of a shard's connections: time, turns, the end. */
#include "cmd/broker/front/connections.h"

#include "base/log.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/tls_stream.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_LIMITS 4 /* stall limits that a request may wait for memory: longer than its client does */

/* ---- those that owe us something ---- */

static const char *stall_text(const struct connection *connection)
{
    if (connection->state < CONNECTION_OPEN) return "closed a connection that did not say hello in time";
    if (kafka_is_stranger(connection)) return "closed a connection that did not log in in time";
    if (connection->out.first != NULL) return "closed a connection that does not read its answers";
    return "closed a connection that stopped in the middle of a request";
}

static uint64_t stall_due_ms(const struct shard *shard)
{
    const struct connections *connections = &shard->connections;
    uint64_t limit_ms = shard->broker->settings.connection_stall_ms, due_ms = UINT64_MAX;

    if (!list_is_empty(&connections->stalling))
        due_ms = container_of(connections->stalling.next, struct connection, stall_link)->stall_since_ms + limit_ms;
    if (!list_is_empty(&connections->memory_waiting)) {
        uint64_t since_ms =
            container_of(connections->memory_waiting.next, struct connection, wait_link)->wait_since_ms;
        if (since_ms + WAIT_LIMITS * limit_ms < due_ms) due_ms = since_ms + WAIT_LIMITS * limit_ms;
    }
    return due_ms;
}

/* Closes whoever is due; those that came first stand first in both lists. */
static void stall_close_due(struct shard *shard)
{
    struct connections *connections = &shard->connections;
    uint64_t limit_ms = shard->broker->settings.connection_stall_ms;

    while (!list_is_empty(&connections->stalling)) {
        struct connection *connection = container_of(connections->stalling.next, struct connection, stall_link);

        if (connection->stall_since_ms + limit_ms > shard->now_ms) break;
        if (connection->state != CONNECTION_CLOSING) connection_complain(connection, stall_text(connection));
        connection_close(connection);
    }
    while (!list_is_empty(&connections->memory_waiting)) {
        struct connection *connection = container_of(connections->memory_waiting.next, struct connection, wait_link);

        if (connection->wait_since_ms + WAIT_LIMITS * limit_ms > shard->now_ms) break;
        connection_complain(connection, "closed a connection whose request waited too long for memory");
        connection_close(connection);
    }
}

void connections_watch_stall(struct shard *shard)
{
    ev_timer *timer = &shard->connections.stall_timer;
    uint64_t due_ms = stall_due_ms(shard);

    if (due_ms == UINT64_MAX || (ev_is_active(timer) && shard->connections.stall_due_ms <= due_ms)) return;
    shard->connections.stall_due_ms = due_ms;
    ev_timer_stop(shard->loop, timer);
    ev_timer_set(timer, due_ms > shard->now_ms ? (double)(due_ms - shard->now_ms) / 1e3 + 0.001 : 0.001, 0.);
    ev_timer_start(shard->loop, timer);
}

static void stall_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct shard *shard = timer->data;

    (void)loop;
    (void)events;
    stall_close_due(shard);
    connections_watch_stall(shard);
}

/* ---- life ---- */

void connections_init(struct shard *shard, int listen_fd, int gateway_fd)
{
    struct connections *connections = &shard->connections;

    list_init(&connections->all);
    list_init(&connections->flushing);
    list_init(&connections->resuming);
    list_init(&connections->memory_waiting);
    list_init(&connections->stalling);
    list_init(&connections->closed);
    connections->listeners[LISTENER_PORT].fd = listen_fd;
    connections->listeners[LISTENER_GATEWAY] = (struct listener){.fd = gateway_fd, .is_gateway = true};
    connections->lobby = (struct lobby)LOBBY_INIT;
    ev_timer_init(&connections->stall_timer, stall_on_timer, 0., 0.);
    connections->stall_timer.data = shard;
}

void connections_listen(struct shard *shard)
{
    accept_start(shard);
}

void connections_stop_listening(struct shard *shard)
{
    accept_stop(shard);
}

static void connections_reap(struct shard *shard)
{
    list_for_each_safe(node, &shard->connections.closed)
    {
        struct connection *connection = container_of(node, struct connection, link);

        if (connection->pending > 0) continue;
        list_remove(&connection->link);
        free(connection);
    }
}

void connections_close_all(struct shard *shard)
{
    while (!list_is_empty(&shard->connections.all))
        connection_close(container_of(shard->connections.all.next, struct connection, link));
}

void connections_deinit(struct shard *shard)
{
    struct connections *connections = &shard->connections;

    for (int i = 0; i < LISTENER_COUNT; i++) {
        if (connections->listeners[i].fd >= 0) close(connections->listeners[i].fd);
        connections->listeners[i].fd = -1;
    }
    connections_close_all(shard);
    list_for_each_safe(node, &connections->closed)
    {
        list_remove(node);
        free(container_of(node, struct connection, link)); /* nothing answers any more */
    }
    ev_timer_stop(shard->loop, &connections->stall_timer);
    lobby_close(shard);
}

/* ---- turns ---- */

bool connection_has_turn(const struct connection *connection)
{
    return connection->shard->connections.turn == connection;
}

void connections_end_turn(struct connection *connection)
{
    if (connection_has_turn(connection)) connection->shard->connections.turn = NULL;
}

void connections_wait_for_memory(struct connection *connection)
{
    struct connections *connections = &connection->shard->connections;

    if (connection->wait_since_ms == 0) connection->wait_since_ms = connection->shard->now_ms;
    /* The turn's holder waits for something else than the pool; who stands before it waits for the turn. */
    if (connection_has_turn(connection))
        list_push_front(&connections->memory_waiting, &connection->wait_link);
    else
        list_push_back(&connections->memory_waiting, &connection->wait_link);
    connections_watch_stall(connection->shard);
}

/* Whether the first in line can go on; without memory or the turn it would only come back at once. */
static bool front_can_go_on(struct connection *connection)
{
    struct connections *connections = &connection->shard->connections;

    if (connection_finds_memory(connection) || connections->turn == connection) return true;
    if (connections->turn != NULL) return false;
    connections->turn = connection;
    list_remove(&connection->stall_link); /* its time begins now */
    return true;
}

void connections_resume(struct shard *shard)
{
    struct connections *connections = &shard->connections;
    struct list_node *node;

    while ((node = list_pop_front(&connections->resuming)) != NULL)
        connection_serve(container_of(node, struct connection, wait_link));
    while (!list_is_empty(&connections->memory_waiting)) {
        struct connection *connection = container_of(connections->memory_waiting.next, struct connection, wait_link);

        if (!front_can_go_on(connection)) return;
        list_remove(&connection->wait_link);
        connections->is_serving_front = true;
        connection_serve(connection);
        connections->is_serving_front = false;
        if (connection->state == CONNECTION_CLOSED || list_is_empty(&connection->wait_link)) continue;
        if (connection->is_over_limit) continue;
        list_remove(&connection->wait_link); /* the store is still full: it keeps its place */
        list_push_front(&connections->memory_waiting, &connection->wait_link);
        return;
    }
}

void connections_relieve(struct shard *shard)
{
    list_for_each(node, &shard->connections.stalling)
    {
        struct connection *connection = container_of(node, struct connection, stall_link);

        if (connection->is_writing) (void)output_copy_records(connection);
    }
}

/* Then its end is waited for. */
static void finish_sending(struct connection *connection)
{
    if (connection->tls != NULL) tls_stream_end(connection->tls);
    shutdown(connection->fd, SHUT_WR);
}

static void connection_flush(struct connection *connection)
{
    struct shard *shard = connection->shard;
    uint64_t before = connection->out.bytes;

    switch (output_flush(connection)) {
    case OUTPUT_FAILED: connection_close(connection); return;
    case OUTPUT_AGAIN:
        list_push_back(&shard->connections.flushing, &connection->flush_link);
        shard->has_more = true;
        break;
    case OUTPUT_SENT:
        if (connection->state == CONNECTION_CLOSING) finish_sending(connection);
        break;
    case OUTPUT_BLOCKED: break;
    }
    if (connection->is_over_limit && list_is_empty(&connection->wait_link) && !connection_is_over_limit(connection)) {
        list_push_back(&shard->connections.resuming, &connection->wait_link);
        shard->has_more = true;
    }
    connection_update(connection, connection->out.bytes != before);
}

void connections_flush(struct shard *shard)
{
    struct connections *connections = &shard->connections;
    struct list_node batch, *node;

    list_init(&batch);
    if (!list_is_empty(&connections->flushing)) { /* those that ask again get their turn in the next round */
        list_insert_before(connections->flushing.next, &batch);
        list_remove(&connections->flushing);
    }
    while ((node = list_pop_front(&batch)) != NULL)
        connection_flush(container_of(node, struct connection, flush_link));
    if (!list_is_empty(&connections->closed)) connections_reap(shard);
}

bool connections_are_flushed(const struct shard *shard)
{
    list_for_each(node, &shard->connections.all)
    {
        if (container_of(node, struct connection, link)->out.first != NULL) return false;
    }
    return true;
}
