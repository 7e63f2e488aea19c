/* spread/spread.h - committed offsets on every broker: the driver of replication/spread, on the control loop.
 *
 * What the metadata say of the group partitions makes this broker a leader that tells, a holder of a replica, or a subscriber, of each. Rows come from
 * the shards that lead, by mail; they go out and come in over the peers' links (LINK_TYPE_SPREAD). query.h answers from what is known here.
 * Control loop, but for what says "shard". */
#ifndef BROKER_SPREAD_SPREAD_H
#define BROKER_SPREAD_SPREAD_H

#include "cmd/broker/runtime/control.h"
#include "replication/spread/feed.h"

struct spread;
struct shard_partition;

/* There are shards, and their threads do not run yet. Errors: MESH_ENOMEM. */
int spread_open(struct control *control, struct spread **ret_spread);

void spread_attach(struct spread *spread, struct peers *peers); /* becomes the peers' user for LINK_TYPE_SPREAD */
void spread_detach(struct spread *spread);                       /* the links are gone. Accepts NULL; harmless before spread_attach() */
void spread_free(struct spread *spread);                         /* no mail is under way any more. Accepts NULL */

/* There is a new image. Accepts NULL. */
void spread_image(struct spread *spread, const struct image *image);

/* Shard: a group partition's high watermark rose. */
void spread_committed(struct shard *shard, struct shard_partition *partition);

struct spread_stats {
    struct spread_feed_stats feed;
    uint64_t messages_refused; /* that no sound broker of this version sends */
};
void spread_get_stats(const struct spread *spread, struct spread_stats *ret_stats); /* accepts NULL: zeros */

#endif
