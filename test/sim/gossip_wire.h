/* sim/gossip_wire.h - the bytes of one link between simulated brokers: who is there, messages, a goodbye. They are those of
 * crypto/channel.h as in the product, or of a stand-in (a greeting, then frames with lengths and sums). */
#ifndef SIM_GOSSIP_WIRE_H
#define SIM_GOSSIP_WIRE_H

#include "base/buffer.h"
#include "sim/gossip_keys.h"

struct channel;

struct gossip_wire {
    struct sim_host *host;
    const struct gossip_identity *identity;
    struct gossip_keys *keys; /* NULL: the stand-in */
    struct channel *channel;
    bool is_proven;
};

enum gossip_wire_result {
    GOSSIP_WIRE_MORE,    /* nothing whole is there yet */
    GOSSIP_WIRE_PROVEN,  /* the peer has said who it is */
    GOSSIP_WIRE_MESSAGE,
    GOSSIP_WIRE_GOODBYE,
    GOSSIP_WIRE_BROKEN,  /* no such bytes: the link is over */
};

struct gossip_wire_event {
    struct uuid peer;     /* PROVEN */
    uint32_t boot;        /* PROVEN */
    struct slice message; /* MESSAGE: inside `in` */
    size_t used;          /* bytes of `in` to be consumed when the event is done with */
    bool is_other;        /* BROKEN: somebody else than expected answered, or this broker itself */
};

/* The connection stands. What is to be sent is appended to `out`, as everywhere here. `expected` zero: anybody. */
void gossip_wire_begin(struct gossip_wire *wire, struct sim_host *host, const struct gossip_identity *identity,
                       struct gossip_keys *keys, const struct keyring *ring, bool is_dialled, const struct uuid *expected,
                       struct buffer *out);
void gossip_wire_deinit(struct gossip_wire *wire);

enum gossip_wire_result gossip_wire_take(struct gossip_wire *wire, struct buffer *in, struct buffer *out,
                                         struct gossip_wire_event *ret_event);
void gossip_wire_put(struct gossip_wire *wire, struct slice message, struct buffer *out);
void gossip_wire_put_goodbye(struct gossip_wire *wire, struct buffer *out);

/* Of the cluster key that the handshake used; 0: not proven, or the stand-in. */
uint32_t gossip_wire_key_id(const struct gossip_wire *wire);

#endif
