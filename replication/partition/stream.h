/* partition/stream.h - what both ends of a replication stream have in common: limits, and what only a liar says.
 *
 * source.h is the leader's end, sink.h the follower's. */
#ifndef PARTITION_STREAM_H
#define PARTITION_STREAM_H

#include "replication/partition/message.h"

#define STREAM_SLOTS_MAX    (1u << 17)   /* partitions in one stream */
#define STREAM_WINDOW       (8u << 20)   /* bytes of credit that a follower gives in all */
#define STREAM_PIECE        (256u << 10) /* bytes of one partition before the next has its turn, at most; one batch at least */
#define STREAM_LATE_TURN     4            /* of so many pieces one goes to a follower that is not in sync, while both kinds want some */
#define STREAM_LATE_CREDIT   (STREAM_WINDOW / 2) /* credits that are left to those in sync, while there is an allowance for the others */
#define STREAM_PACKET_AIM   (1u << 20)   /* bytes after which a packet is to be sent */
#define STREAM_CONTROL_MAX  (1u << 20)   /* bytes of answers that wait; then nothing more is to be received before they are sent */
#define STREAM_RETRY_MIN_MS 10           /* after a REJECT; doubled each time up to ... */
#define STREAM_RETRY_MAX_MS 1000

/* X(name, text): what ends a stream. */
#define STREAM_LIE_MAP(X)                                                                                             \
    X(NONE, "nothing was wrong")                                                                                      \
    X(MALFORMED, "the peer sent a packet that cannot be read")                                                        \
    X(VERSION, "the peer speaks another version of the replication stream")                                           \
    X(DIRECTION, "the peer sent what only the other end may say")                                                     \
    X(SLOT, "the peer named a slot that was never opened")                                                            \
    X(SESSION, "the peer named a session that was never opened, or opened one twice")                                 \
    X(EPOCH, "the peer speaks in another leader epoch than its session")                                              \
    X(ACK_AHEAD, "the peer acknowledges what was never sent to it")                                                   \
    X(ACK_FALLS, "the peer acknowledges less than before")                                                            \
    X(CREDIT, "the peer sent data beyond its credits, or grants absurd ones")                                         \
    X(UNASKED, "the peer sent data before the histories were compared, or after they differed")                       \
    X(ORDER, "the peer sent batches that do not follow the log's end")                                                \
    X(BATCH_EPOCH, "the peer sent batches of falling epochs, or of epochs above its own")                             \
    X(NO_CUT, "the peer says that the histories differ where there is nothing to cut")                                \
    X(PIECES, "the peer sent the pieces of a batch in disorder")

enum stream_lie {
#define STREAM_LIE_ENUM(name, text) STREAM_LIE_##name,
    STREAM_LIE_MAP(STREAM_LIE_ENUM)
#undef STREAM_LIE_ENUM
    STREAM_LIE_COUNT
};
const char *stream_lie_text(enum stream_lie lie); /* never NULL */

#endif
