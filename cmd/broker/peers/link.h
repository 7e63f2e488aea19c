/* peers/link.h - one TCP connection to another broker: connecting, the handshake of crypto/channel.h, sealed frames.
 *
 * Belongs to one loop. Hooks run from the loop only, never inside a call of this header, so whoever calls need not fear
 * to be called back. Every link ends with exactly one down(), after which it frees itself. */
#ifndef BROKER_PEERS_LINK_H
#define BROKER_PEERS_LINK_H

#include "base/net_address.h"
#include "crypto/channel.h"

#define LINK_QUEUE_BYTES_MAX (48u << 20) /* sealed bytes waiting to be sent; a peer that does not read is hung up on */

/* Types of frames (channel.h): who is spoken to on the other side. */
enum link_type {
    LINK_TYPE_GOSSIP = 1, /* a message */
    LINK_TYPE_PACKET = 2, /* what would have been a datagram, had its sender UDP */
    LINK_TYPE_KEYS = 3,   /* a rotation of the cluster key: key_rotation.h */
};

enum link_end {
    LINK_END_CLOSED,      /* in good order, by either side */
    LINK_END_RESET,       /* the peer's end vanished without a word: its process may be dead */
    LINK_END_SILENT,      /* no answer in time, in the handshake or to what was sent */
    LINK_END_REFUSED,     /* nobody listens at that address */
    LINK_END_UNREACHABLE, /* no way to that address */
    LINK_END_REJECTED,    /* who answers is not who was meant, or breaks the protocol: see the failure */
    LINK_END_LOCAL,       /* no memory or descriptors here */
};

struct ev_loop;
struct link;

struct link_hooks {
    /* The peer is proven: link_peer(). */
    void (*up)(void *user, struct link *link);
    /* A frame; payload is valid until the hook returns. */
    void (*receive)(void *user, struct link *link, uint8_t type, struct slice payload);
    /* The end, also of a dial that never came up. `reason` is a sentence's end for people, valid during the hook. */
    void (*down)(void *user, struct link *link, enum link_end end, const char *reason);
};

struct link_options {
    struct ev_loop *loop;
    const struct link_hooks *hooks; /* kept */
    void *user;
    struct net_address source;      /* dialled from here; none: the kernel's choice. The port is ignored */
    struct channel_options channel; /* is_initiator, random and expected_peer are filled in here */
};

/* Dials. `expected` may be zero. Errors: MESH_ENOMEM; everything else comes by down(). */
int link_dial(const struct link_options *options, const struct net_address *address, const struct uuid *expected,
              struct link **ret_link);

/* Takes a connected socket (also on failure) and what was read of it. Errors: MESH_ENOMEM, MESH_EIO. */
int link_adopt(const struct link_options *options, int fd, struct slice received, struct link **ret_link);

/* Queues a frame. Errors: MESH_ECLOSED (not up, or ending), MESH_ETOOLARGE, MESH_ENOMEM, MESH_EFULL (the peer does not read
 * what it was sent; the link ends). */
int link_send(struct link *link, uint8_t type, struct slice payload);

/* Says goodbye, if the link is up, and ends it. down() comes with LINK_END_CLOSED. */
void link_close(struct link *link);

/* Ends it now, without a word and without down(). */
void link_abandon(struct link *link);

bool link_is_up(const struct link *link);
bool link_is_dialled(const struct link *link);                        /* by this side */
const struct net_address *link_address(const struct link *link);      /* of the peer's end */
const struct channel_peer *link_peer(const struct link *link);        /* NULL before it is proven */
const struct uuid *link_expected(const struct link *link);            /* who was dialled, or zero */
const struct channel_failure_detail *link_failure(const struct link *link); /* of a handshake or channel that failed */
struct link_stats {
    uint64_t received_bytes, sent_bytes, received_frames, sent_frames;
};
const struct link_stats *link_stats(const struct link *link);

/* For the owner's bookkeeping. */
void link_set_mark(struct link *link, void *mark);
void *link_mark(const struct link *link);

#endif
