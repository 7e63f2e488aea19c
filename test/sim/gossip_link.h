/* sim/gossip_link.h - links between simulated brokers, over the bytes of gossip_wire.h; and the choice of the one link that
 * counts when two brokers dialled each other at once. */
#ifndef SIM_GOSSIP_LINK_H
#define SIM_GOSSIP_LINK_H

#include "base/list.h"
#include "gossip/gossip.h"
#include "sim/gossip_keys.h"

struct gossip_links {
    struct sim_host *host;
    struct gossip *gossip;
    const struct gossip_identity *identity;
    struct gossip_keys *keys;   /* NULL: the stand-in */
    const struct keyring *ring; /* if keys */
    struct list_node all;
    uint32_t unproven; /* links whose peer is not known yet */
    uint64_t dials, hung_up;
    void (*drain)(void *user); /* carries out what the core wants after an event */
    void (*heard)(void *user, const struct uuid *from, struct slice message);
    void *drain_user; /* of both */
};

void gossip_links_init(struct gossip_links *links, struct sim_host *host, const struct gossip_identity *identity,
                       struct gossip_keys *keys);
void gossip_links_deinit(struct gossip_links *links);

/* What the core asks for. */
void gossip_links_dial(struct gossip_links *links, const struct net_address *address, const struct uuid *peer);
void gossip_links_send(struct gossip_links *links, const struct uuid *peer, struct slice message);
void gossip_links_hang_up(struct gossip_links *links, const struct uuid *peer);

/* What the network says; each may put events into the core. */
void gossip_links_opened(struct gossip_links *links, uint64_t stream, bool is_inbound, const struct net_address *peer);
void gossip_links_bytes(struct gossip_links *links, uint64_t stream, struct slice bytes);
void gossip_links_writable(struct gossip_links *links, uint64_t stream);
void gossip_links_closed(struct gossip_links *links, uint64_t stream, enum sim_stream_end how);
void gossip_links_expire(struct gossip_links *links); /* those that did not say who they are in time */

/* Links whose handshake was made with a key that the ring has no more are closed; they are made again. */
void gossip_links_renew(struct gossip_links *links);

#endif
