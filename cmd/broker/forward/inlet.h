/* forward/inlet.h - a shard's end of streams over which shards of other brokers send requests on: served, and answered by the same stream. */
#ifndef BROKER_FORWARD_INLET_H
#define BROKER_FORWARD_INLET_H

#include "cmd/broker/peers/peer_streams.h"

struct forward_ways;
struct shard;

/* Takes the stream, or closes it: `stream->remains` are empty after. */
void forward_stream_arrived(struct shard *shard, struct peer_stream *stream);

/* ---- of ways.c ---- */

void forward_inlets_sweep(struct forward_ways *ways);
bool forward_inlets_are_flushed(const struct forward_ways *ways);
void forward_inlets_close(struct forward_ways *ways);
void forward_inlets_free(struct forward_ways *ways);

#endif
