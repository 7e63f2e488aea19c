/* forward/ways.h - a shard's own connections to and from shards of other brokers, for requests that are sent on: past both control loops.
 *
 * By the links a request and its answer change threads six times, by a stream twice. Belongs to its shard's thread. */
#ifndef BROKER_FORWARD_WAYS_H
#define BROKER_FORWARD_WAYS_H

#include "base/list.h"
#include "base/map.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define FORWARD_OUTLETS_MAX 64  /* of a shard; what goes to further shards of others goes by their links */
#define FORWARD_INLETS_MAX  512 /* of a shard; further ones are closed, and who dialled uses its link */

struct shard;
struct stream_socket;

/* One end of a stream, for the end of the turn. */
struct forward_way {
    struct list_node unsent;      /* in ways->unsent, while it has sealed something in this turn */
    struct stream_socket *socket; /* NULL: there is none */
    void (*pump)(struct forward_way *way); /* seals what waits, as far as there is room */
};

struct forward_ways {
    struct shard *shard;
    struct map outlets;       /* outlet.h */
    struct list_node inlets;  /* inlet.h */
    uint32_t inlet_count;
    struct list_node orders;  /* for streams, on their way to the control loop and back */
    struct list_node unsent;
    ev_timer sweep;           /* runs while there are outlets or inlets */
    bool is_urgent;           /* and soon: calls are under way */
    bool is_closed;           /* the shard's end */
};

void forward_ways_init(struct shard *shard);

/* Something was sealed: it leaves at the end of the turn. */
void forward_ways_unsent(struct forward_ways *ways, struct forward_way *way);

/* There is an outlet or an inlet, or a call under way: the sweep is to run soon. */
void forward_ways_wake(struct forward_ways *ways, bool is_urgent);

/* The end of the turn. */
void forward_ways_send(struct shard *shard);

/* Whether everything that was answered has left. */
bool forward_ways_are_flushed(const struct shard *shard);

/* The broker stops: long polls at other brokers come home empty. */
void forward_ways_stop_waiting(struct shard *shard);

/* The last answers have left: ends the streams; calls come home by mail, and later ones go to the control loop. May be called again. */
void forward_ways_close(struct shard *shard);

/* After forward_ways_close(), when no mail is under way any more. Harmless without forward_ways_init(). */
void forward_ways_deinit(struct shard *shard);

#endif
