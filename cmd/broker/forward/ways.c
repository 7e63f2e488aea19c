/* forward/ways.c - see ways.h. */
#include "cmd/broker/forward/ways.h"

#include "cmd/broker/forward/inlet.h"
#include "cmd/broker/forward/outlet.h"
#include "cmd/broker/streams/stream_socket.h"
#include "cmd/broker/streams/streams.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

#define SWEEP_SECONDS      0.25 /* while calls are under way */
#define SWEEP_IDLE_SECONDS 10.0 /* while streams are kept for more */

void forward_ways_wake(struct forward_ways *ways, bool is_urgent)
{
    struct ev_loop *loop = ways->shard->loop;
    double seconds = is_urgent ? SWEEP_SECONDS : SWEEP_IDLE_SECONDS;

    if (ways->is_closed || (ev_is_active(&ways->sweep) && (!is_urgent || ways->is_urgent))) return;
    ways->is_urgent = is_urgent;
    ev_timer_stop(loop, &ways->sweep);
    ev_timer_set(&ways->sweep, seconds, 0.);
    ev_timer_start(loop, &ways->sweep);
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct forward_ways *ways = timer->data;
    bool is_busy;

    (void)loop;
    (void)events;
    is_busy = forward_outlets_sweep(ways, ways->shard->now_ms);
    if (!ways->is_urgent) forward_inlets_sweep(ways);
    if (is_busy || ways->outlets.count > 0 || !list_is_empty(&ways->inlets)) forward_ways_wake(ways, is_busy);
}

void forward_ways_unsent(struct forward_ways *ways, struct forward_way *way)
{
    if (list_is_empty(&way->unsent)) list_push_back(&ways->unsent, &way->unsent);
}

void forward_ways_send(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->forward_ways.unsent)) != NULL) {
        struct forward_way *way = container_of(node, struct forward_way, unsent);

        if (way->socket == NULL) continue;
        stream_socket_flush(way->socket);
        way->pump(way); /* what the network has taken at once is told by nobody else */
    }
}

bool forward_ways_are_flushed(const struct shard *shard)
{
    return forward_inlets_are_flushed(&shard->forward_ways);
}

/* ---- life ---- */

void forward_ways_init(struct shard *shard)
{
    struct forward_ways *ways = &shard->forward_ways;

    ways->shard = shard;
    ways->outlets = (struct map)MAP_INIT;
    list_init(&ways->inlets);
    list_init(&ways->orders);
    list_init(&ways->unsent);
    ev_timer_init(&ways->sweep, on_sweep, 0., 0.);
    ways->sweep.data = ways;
}

void forward_ways_stop_waiting(struct shard *shard)
{
    forward_outlets_stop_waiting(&shard->forward_ways);
}

void forward_ways_close(struct shard *shard)
{
    struct forward_ways *ways = &shard->forward_ways;

    if (ways->shard == NULL) return;
    ways->is_closed = true;
    ev_timer_stop(shard->loop, &ways->sweep);
    forward_outlets_close(ways);
    forward_inlets_close(ways);
}

void forward_ways_deinit(struct shard *shard)
{
    struct forward_ways *ways = &shard->forward_ways;

    if (ways->shard == NULL) return;
    forward_ways_close(shard);
    list_for_each_safe(node, &ways->orders)
    {
        struct stream_order *order = container_of(node, struct stream_order, node);

        list_remove(node);
        if (order->is_open) link_remains_free(&order->stream.remains);
        free(order);
    }
    forward_outlets_free(ways);
    forward_inlets_free(ways);
    ways->shard = NULL;
}
