/* broker/front/connections.c - what happens to all of a shard's connections: time, turns, the end. */
#include "cmd/broker/front/connections.h"

#include "base/log.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- those that owe us something ---- */

static const char *stall_text(const struct connection *connection)
{
    if (connection->state < CONNECTION_OPEN) return "closed a connection that did not say hello in time";
    if (connection->out.first != NULL) return "closed a connection that does not read its answers";
    return "closed a connection that stopped in the middle of a request";
}

static void stall_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct shard *shard = timer->data;
    struct connections *connections = &shard->connections;
    uint64_t limit_ms = shard->broker->settings.connection_stall_ms;

    (void)events;
    while (!list_is_empty(&connections->stalling)) {
        struct connection *connection = container_of(connections->stalling.next, struct connection, stall_link);
        uint64_t due_ms = connection->stall_since_ms + limit_ms;

        if (due_ms > shard->now_ms) {
            ev_timer_set(timer, (double)(due_ms - shard->now_ms) / 1e3 + 0.001, 0.);
            ev_timer_start(loop, timer);
            return;
        }
        if (connection->state != CONNECTION_CLOSING) connection_complain(connection, stall_text(connection));
        connection_close(connection);
    }
}

/* ---- life ---- */

void connections_init(struct shard *shard, int listen_fd)
{
    struct connections *connections = &shard->connections;

    list_init(&connections->all);
    list_init(&connections->flushing);
    list_init(&connections->resuming);
    list_init(&connections->memory_waiting);
    list_init(&connections->stalling);
    list_init(&connections->closed);
    connections->listen_fd = listen_fd;
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

void connections_deinit(struct shard *shard)
{
    struct connections *connections = &shard->connections;

    if (connections->listen_fd >= 0) close(connections->listen_fd);
    connections->listen_fd = -1;
    while (!list_is_empty(&connections->all))
        connection_close(container_of(connections->all.next, struct connection, link));
    list_for_each_safe(node, &connections->closed)
    {
        list_remove(node);
        free(container_of(node, struct connection, link)); /* nothing answers any more */
    }
    ev_timer_stop(shard->loop, &connections->stall_timer);
    lobby_close(shard);
}

/* ---- turns ---- */

/* Whether the pool has what it needs to go on; without that it would only come back at once. */
static bool connection_finds_memory(const struct connection *connection)
{
    const struct pool *pool = &connection->shard->pool;
    size_t need = connection->in_need;

    if (connection->in == NULL)
        need = need > 65536 ? need : 65536 - POOL_HEADER_SIZE;
    else if (connection->in->capacity >= need)
        return true;
    return pool->used_bytes + pool_cost(need) <= pool->bytes_max;
}

void connections_resume(struct shard *shard)
{
    struct connections *connections = &shard->connections;
    struct list_node *node;

    while ((node = list_pop_front(&connections->resuming)) != NULL)
        connection_serve(container_of(node, struct connection, wait_link));
    while (!list_is_empty(&connections->memory_waiting)) {
        struct connection *connection = container_of(connections->memory_waiting.next, struct connection, wait_link);

        if (!connection_finds_memory(connection)) return;
        list_remove(&connection->wait_link);
        connection_serve(connection);
        if (connection->state == CONNECTION_CLOSED || list_is_empty(&connection->wait_link)) continue;
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
        if (connection->state == CONNECTION_CLOSING) shutdown(connection->fd, SHUT_WR); /* then wait for its end */
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
