/* broker/ops/groups.h - requests about consumer groups, from whichever shard they come to: to the leader of the group's partition, wherever that is.
 *
 * Free of protocols: bytes of wire/message_group.h go in, and come back. The partition's name is all that is looked at on the way. The first join or
 * commit in a mesh has its topic made (coordinator/groups_topic.h); whatever else finds none is answered as by a leader without groups. */
#ifndef BROKER_OPS_GROUPS_H
#define BROKER_OPS_GROUPS_H

#include "base/slice.h"

#include <stdint.h>

struct shard;

/* On the submitting shard, exactly once, maybe inside the call. `answer` is borrowed; it is never empty but where there was no memory for it. */
typedef void groups_done_fn(void *owner, uint64_t tag, struct slice answer);

/* `op`: groups_serve_knows(). `message` is copied. What is refused on the way, an answer says, too: MESH_EPROTO, MESH_EINVALID_GROUP, MESH_ENOT_LEADER (unless the
 * request asks to be sent on), MESH_EAGAIN (there is no leader now), MESH_EUNREACHABLE, MESH_EBUSY: nothing was done; MESH_ETIMEDOUT: nobody knows.
 * Errors: MESH_EAGAIN (no memory in the pool; done will not run). */
int groups_submit(struct shard *shard, uint16_t op, struct slice message, groups_done_fn *done, void *owner, uint64_t tag);

#endif
