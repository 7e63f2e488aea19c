/* gossip/seeds.h - addresses where others may be: each is dialled until who answers there is a live member. */
#ifndef GOSSIP_SEEDS_H
#define GOSSIP_SEEDS_H

#include "gossip/internal.h"

int seeds_set(struct gossip *gossip, const struct net_address *seeds, size_t count);
void seeds_due(struct gossip *gossip);
void seeds_answered(struct gossip *gossip, const struct net_address *address, const struct uuid *peer);
void seeds_failed(struct gossip *gossip, const struct net_address *address);

/* Whether the link to this peer is one that we made to a seed; true once for each. */
bool seeds_opened_link(struct gossip *gossip, const struct uuid *peer);

/* This broker stands alone: the seeds are tried at once. */
void seeds_hurry(struct gossip *gossip);

#endif
