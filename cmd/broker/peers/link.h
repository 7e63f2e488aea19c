/* peers/link.h - one TCP connection to another broker: connecting, the handshake of crypto/channel.h, sealed frames.
 *
 * What is sent waits in lanes (link_queue.h) and is sealed when the socket takes it, so that a short message overtakes a long
 * one; the kernel is handed little at a time for the same reason. Messages of one type arrive in the order in which they were sent.
 *
 * Belongs to one loop. Hooks run from the loop only, never inside a call of this header, so whoever calls need not fear
 * to be called back. Every link ends with exactly one down(), after which it frees itself. */
#ifndef BROKER_PEERS_LINK_H
#define BROKER_PEERS_LINK_H

#include "base/net_address.h"
#include "cmd/broker/peers/link_queue.h"
#include "crypto/channel.h"

#define LINK_PREAMBLE_MAX 16

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
    /* A message; payload is valid until the hook returns, but see link_take(). */
    void (*receive)(void *user, struct link *link, uint8_t type, struct slice payload);
    /* The end, also of a dial that never came up. `reason` is a sentence's end for people, valid during the hook. */
    void (*down)(void *user, struct link *link, enum link_end end, const char *reason);
};

struct link_options {
    struct ev_loop *loop;
    const struct link_hooks *hooks; /* kept */
    void *user;
    struct net_address source;      /* dialled from here; none: the kernel's choice. The port is ignored */
    bool may_detach;                /* link_detach() is going to take it apart */
    struct slice preamble;          /* sent before the handshake by who dials; at most LINK_PREAMBLE_MAX bytes, copied */
    struct channel_options channel; /* is_initiator, random and expected_peer are filled in here */
};

/* Dials. `expected` may be zero. Errors: MESH_ENOMEM; everything else comes by down(). */
int link_dial(const struct link_options *options, const struct net_address *address, const struct uuid *expected,
              struct link **ret_link);

/* Takes a connected socket (also on failure) and what was read of it. Errors: MESH_ENOMEM, MESH_EIO. */
int link_adopt(const struct link_options *options, int fd, struct slice received, struct link **ret_link);

/* Queues a copy. Errors: MESH_ECLOSED (not up, or ending), MESH_ETOOLARGE, MESH_ENOMEM, MESH_EFULL (too much waits already; in the
 * first lane that means that the peer does not read, and the link ends). */
int link_send(struct link *link, uint8_t type, struct slice payload);

/* The same without a copy: takes the message on success (link_queue.h). */
int link_send_message(struct link *link, struct link_message *message);

/* link_queue_remove(), of a message that this link took and has not given back. */
bool link_take_back(struct link *link, struct link_message *message);

/* Inside receive(): the payload's bytes become the caller's, for long_memory_give(); long messages are not copied for it. NULL: no memory. */
uint8_t *link_take(struct link *link, uint8_t type, struct slice payload);

/* Bytes that wait to be sealed. */
size_t link_queued_bytes(const struct link *link, enum link_lane lane);

/* Says goodbye, if the link is up, and ends it. down() comes with LINK_END_CLOSED. */
void link_close(struct link *link);

/* Ends it now, without a word and without down(). */
void link_abandon(struct link *link);

/* What is left of a link that somebody else goes on with: a socket, its open channel, and the bytes between the two. */
struct link_remains {
    int fd;
    struct channel *channel; /* owned */
    uint8_t *received;       /* owned; sealed bytes that came and were not opened yet; NULL: none */
    size_t received_size;
    uint8_t *unsent;         /* owned; bytes of the handshake that the socket has not taken; NULL: none */
    size_t unsent_size;
};
void link_remains_free(struct link_remains *remains); /* closes and frees all of it */

/* Of a link with may_detach, inside up(), and before anything was sent: takes the link apart. What is left of it ends like any other, by down() soon, unless it
 * is abandoned before. Errors: MESH_ENOMEM (nothing happened). */
int link_detach(struct link *link, struct link_remains *ret_remains);

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
