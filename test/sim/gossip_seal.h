/* sim/gossip_seal.h - what a simulated broker's packets wear: crypto/sealed_packet.h as in the product, or a stand-in that
 * costs next to nothing (who sent it, in which boot, a counter against replays and a sum over all). Either way what was
 * damaged, replayed or is our own is dropped before the core sees it. */
#ifndef SIM_GOSSIP_SEAL_H
#define SIM_GOSSIP_SEAL_H

#include "sim/gossip_keys.h"

struct gossip_seal;

/* `keys` and `ring` NULL: the stand-in. `takes_replays`: the stand-in without its window. */
struct gossip_seal *gossip_seal_new(struct sim_host *host, const struct gossip_identity *identity, struct gossip_keys *keys,
                                    const struct keyring *ring, bool takes_replays);
void gossip_seal_free(struct gossip_seal *seal); /* accepts NULL */

/* The identity has taken a new boot. */
void gossip_seal_renew(struct gossip_seal *seal);

void gossip_seal_send(struct gossip_seal *seal, const struct net_address *to, struct slice text);

struct gossip_opened {
    struct uuid sender;
    uint32_t boot;
    struct slice text; /* valid until the next call */
};
bool gossip_seal_open(struct gossip_seal *seal, struct slice packet, struct gossip_opened *ret_opened);

/* For traces. */
void gossip_seal_describe(const struct gossip_seal *seal, struct slice packet, char *to, size_t size);

#endif
