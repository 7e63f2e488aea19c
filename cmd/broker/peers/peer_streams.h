/* peers/peer_streams.h - connections between shards of two brokers: dialled, proven, and handed over. Control loop.
 *
 * What partitions replicate, and what clients send to brokers that do not lead, goes past the control loop: over connections that belong to shards. But keys, addresses and handshakes are the
 * control loop's; so it makes a stream (dial or accept, then the handshake of crypto/channel.h) and gives socket and channel away.
 *
 * A stream begins with a preamble in the clear, which tells the port's sniffer that it is one, and for which shard:
 *
 *   "MSTR", version u8 = 1, purpose u8, shard of the one who accepts u16 (little endian)
 *
 * A broker that does not know the purpose closes the connection (those before forwarding took nothing but 0).
 *
 * It proves nothing: who takes the stream repeats what matters inside the channel. */
#ifndef BROKER_PEERS_PEER_STREAMS_H
#define BROKER_PEERS_PEER_STREAMS_H

#include "base/slice.h"
#include "base/uuid.h"
#include "cmd/broker/peers/link.h"

#include <stdbool.h>
#include <stdint.h>

struct peers;

#define STREAM_MAGIC         "MSTR"
#define STREAM_VERSION       1
#define STREAM_PREAMBLE_SIZE 8

/* What a stream is for. On the wire: never renumber. */
enum stream_purpose { STREAM_REPLICATION = 0, STREAM_FORWARDING = 1 };

void stream_preamble_encode(enum stream_purpose purpose, uint16_t shard, uint8_t to[STREAM_PREAMBLE_SIZE]);
/* Errors: MESH_EAGAIN (not whole yet), MESH_EPROTO (no preamble, or for nothing that is known), MESH_EVERSION. */
int stream_preamble_decode(struct slice bytes, enum stream_purpose *ret_purpose, uint16_t *ret_shard);

/* A proven connection. */
struct peer_stream {
    struct link_remains remains; /* the taker's */
    struct uuid peer;
    uint32_t boot;               /* of the peer's process */
    enum stream_purpose purpose;
    uint16_t shard;              /* of whoever accepted */
    bool is_dialled;             /* by this side */
};

struct peer_stream_hooks {
    /* A peer opened a stream to a shard of this broker; `stream->remains` are the taker's. */
    void (*arrived)(void *user, const struct peer_stream *stream);
    /* The answer to peers_open_stream(), from the loop, never inside of it: `stream` is NULL when it failed, for `reason` (a sentence's end). */
    void (*opened)(void *user, uint64_t tag, const struct peer_stream *stream, const char *reason);
};

/* Who takes streams; for good. Before it those that arrive are closed. `hooks` is kept. */
void peers_set_streams(struct peers *peers, const struct peer_stream_hooks *hooks, void *user);

/* Dials a shard of the peer, where gossip says that it is; opened() tells the end with this `tag`, unless peers_close() comes first. Errors:
 * MESH_ENOTFOUND (gossip does not know the peer), MESH_EFULL (too many dials are under way), MESH_ENOMEM. */
int peers_open_stream(struct peers *peers, const struct uuid *peer, enum stream_purpose purpose, uint16_t shard, uint64_t tag);

/* Takes a connected socket that the sniffer found to be a stream's, and what was read of it, from the preamble on. */
void peers_adopt_stream(struct peers *peers, int fd, struct slice received);

#endif
