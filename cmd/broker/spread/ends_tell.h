/* spread/ends_tell.h - every broker tells those that it has links to how far the partitions go that it leads, once a second and what has changed alone, so that each can say how
 * far a group lags when it is alone.
 *
 *     shard: a high watermark rises --mail, a second's worth--> control loop --ENDS--> the others' control loops
 *
 * A message without ends asks for all of them. Control loop, but for what says "shard". */
#ifndef BROKER_SPREAD_ENDS_TELL_H
#define BROKER_SPREAD_ENDS_TELL_H

#include "cmd/broker/spread/spread.h"
#include "replication/spread/ends.h"

#define ENDS_SHARD_MS   1000         /* between two mails of a shard */
#define ENDS_TELL_MS    200          /* what several shards mail goes out together; and between two messages of who has more to tell */
#define ENDS_AGAIN_MS   1000         /* for whom there was no room on the link */
#define ENDS_BYTES      (64u << 10)  /* of one */
#define ENDS_FRESH_MS   2000         /* how old an end may be while its leader tells all that changes */
#define ENDS_KEEP_MS    60000        /* between two looks for topics that are gone */

/* Shard: a partition's high watermark rose, as it does with the first record of an epoch where there is more than one replica. */
void ends_changed(struct shard *shard, struct shard_partition *partition);

/* How far a partition goes, and how old that may be at most. False: nobody has said it. `spread` may be NULL. */
bool ends_find(const struct spread *spread, const struct uuid *topic, uint32_t partition, struct spread_end *ret_end, uint64_t *ret_age_ms);

/* ---- inside spread/ ---- */

struct spread_ends_part;
int ends_open(struct spread *spread); /* MESH_ENOMEM */
void ends_stop(struct spread *spread);
void ends_free(struct spread *spread);
void ends_image(struct spread *spread, const struct image *image);
void ends_peer_up(struct spread *spread, const struct uuid *peer);
void ends_peer_down(struct spread *spread, const struct uuid *peer);
void ends_receive(struct spread *spread, const struct uuid *peer, const struct spread_message *message);

#endif
