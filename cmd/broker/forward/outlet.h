/* forward/outlet.h - calls of a shard to one shard of another broker, by a stream.
 *
 * The first calls go by the link; when one was answered, a stream is ordered. Until it is used, order is kept so: from its arrival on calls are held
 * here, and a look-up of offsets is sent over the link, behind all that went before. Its answer comes from the very shard that the stream goes to, so
 * everything before it was begun there. Then what is held goes over the stream, and so does everything after it.
 *
 * A stream lives beside its peer's link, which notices when the peer is silent: when the link goes the stream is ended. What was sent over one that ends is unknown (MESH_ETIMEDOUT);
 * what is held goes by the link, and after a pause a stream is tried again: an older broker closes each (peers/peer_streams.h). */
#ifndef BROKER_FORWARD_OUTLET_H
#define BROKER_FORWARD_OUTLET_H

#include "cmd/broker/forward/call.h"

/* Takes a call that may go by a stream, and whose stream there is. False: it is to go by the link. done() never runs inside. */
bool forward_outlet_submit(struct forward_call *call);

/* In done() of a call about this partition: if it went by the link, the next ones may go by a stream. */
void forward_outlet_learn(const struct forward_call *call, const struct uuid *topic_id, uint32_t partition);

/* ---- of ways.c ---- */

struct forward_ways;

/* Time: whose answer does not come, who is not used any more. Returns whether calls are under way or a change of ways is. */
bool forward_outlets_sweep(struct forward_ways *ways, uint64_t now_ms);
void forward_outlets_stop_waiting(struct forward_ways *ways);
void forward_outlets_close(struct forward_ways *ways);
void forward_outlets_free(struct forward_ways *ways);

#endif
