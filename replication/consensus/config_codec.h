/* consensus/config_codec.h - struct raft_config as bytes: the body of a CONFIG entry, and part of messages, snapshots and the
 * user's image. Pure; any thread. The bytes are on disk and on the wire, and equal configurations have equal bytes:
 *
 *     version 1, then three lists (voters, old voters, learners), each: count (one byte), then (broker uuid, dir uuid) * count */
#ifndef CONSENSUS_CONFIG_CODEC_H
#define CONSENSUS_CONFIG_CODEC_H

#include "base/buffer.h"
#include "replication/consensus/entry.h"

#include <stdbool.h>

#define RAFT_CONFIG_BYTES_MAX (1 + 3 * (1 + RAFT_SERVERS_MAX * 2 * UUID_SIZE))

/* Appends the configuration. Errors: MESH_ENOMEM (nothing appended). */
int raft_config_encode(struct buffer *to, const struct raft_config *config);

/* Reads one that fills `from` exactly; places behind the counts are zeroed. Errors: MESH_ECORRUPT (not such bytes, or a
 * configuration that raft_config_is_sound() refuses), MESH_EVERSION (a newer mesh wrote it). */
int raft_config_decode(struct slice from, struct raft_config *ret_config);

/* Nobody at all, or at least one voter; no list names a server twice or the zero uuid; no voter is a learner too. */
bool raft_config_is_sound(const struct raft_config *config);

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b); /* the same lists in the same order */

#endif
