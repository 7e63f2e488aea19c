/* streams/stream_socket.h - a proven connection between shards of two brokers, on its shard: sealed frames in both directions.
 *
 * Frames come one at a time. Who cannot be done with one at once keeps it: nothing is read meanwhile, so the kernel's buffers fill and the peer
 * waits. What is sent is sealed at once and leaves at the end of the turn.
 *
 * Belongs to its shard's loop. Hooks run from the loop only, never inside a call of this header. */
#ifndef BROKER_STREAMS_STREAM_SOCKET_H
#define BROKER_STREAMS_STREAM_SOCKET_H

#include "base/slice.h"
#include "cmd/broker/peers/link.h"

#include <stdbool.h>

#define STREAM_SOCKET_BUSY (256u << 10) /* bytes that wait for the network, beyond which nothing more should be given to it */

/* Types of frames. On the wire: never renumber. 0 says goodbye (crypto/channel.h). */
enum stream_frame {
    STREAM_FRAME_HELLO = 1,  /* replication */
    STREAM_FRAME_PACKET = 2, /* likewise */
    STREAM_FRAME_CALL = 3,   /* forwarding: a frame of the native protocol, either way */
};

struct ev_loop;
struct stream_socket;

struct stream_socket_hooks {
    /* A frame; its payload stays until stream_socket_done(), which may come inside the hook or later. */
    void (*received)(void *user, uint8_t type, struct slice payload);
    /* The network took what waited: there is room again. */
    void (*drained)(void *user);
    /* It is over; the socket frees itself. `reason` is a sentence's end, valid during the hook. */
    void (*ended)(void *user, const char *reason);
};

/* Takes the remains, also on failure. Errors: MESH_ENOMEM. */
int stream_socket_new(struct ev_loop *loop, struct link_remains *remains, const struct stream_socket_hooks *hooks, void *user,
                      struct stream_socket **ret_socket);

/* Ends it without a hook. Accepts NULL. Not inside a hook of the same socket but ended(). */
void stream_socket_free(struct stream_socket *socket);

/* Says goodbye and ends: ended() comes from the loop, with this reason (kept; static text). */
void stream_socket_end(struct stream_socket *socket, const char *reason);

/* The frame that was received is done with. */
void stream_socket_done(struct stream_socket *socket);

/* Seals a frame. Errors: MESH_ECLOSED (it has ended), MESH_ENOMEM, MESH_ETOOLARGE: the stream is of no use any more. */
int stream_socket_send(struct stream_socket *socket, uint8_t type, struct slice payload);
int stream_socket_send_pieces(struct stream_socket *socket, uint8_t type, const struct slice *pieces, size_t count);
bool stream_socket_is_busy(const struct stream_socket *socket);

/* The network has not taken everything. */
bool stream_socket_has_unsent(const struct stream_socket *socket);

/* Gives the network what was sealed; once per turn, after what is to be sent. */
void stream_socket_flush(struct stream_socket *socket);

/* Gives back the room of buffers that have been empty since the last call. True: there are others, so it is to be called again later. */
bool stream_socket_trim(struct stream_socket *socket);
/* There is something to trim. */
bool stream_socket_has_room(const struct stream_socket *socket);

struct stream_socket_stats {
    uint64_t received_bytes, sent_bytes;
};
const struct stream_socket_stats *stream_socket_stats(const struct stream_socket *socket);

#endif
