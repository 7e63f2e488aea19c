/* gossip/address.h - this broker's own address, as its peers see it. */
#ifndef GOSSIP_ADDRESS_H
#define GOSSIP_ADDRESS_H

#include "gossip/internal.h"

/* A peer says from where it hears us. Without an address of our own that is taken at once; otherwise two must agree,
 * on what they saw of our packets: a dialled link comes from whatever address the system chose for it. */
void address_on_observed(struct gossip *gossip, const struct uuid *by, const struct net_address *observed, bool by_link);

#endif
