/* gossip/relay.h - pings on behalf of others. */
#ifndef GOSSIP_RELAY_H
#define GOSSIP_RELAY_H

#include "gossip/internal.h"

#define RELAY_SEQ (1u << 31) /* set in the sequence numbers of relayed pings */

void relay_init(struct gossip *gossip);
void relay_begin(struct gossip *gossip, const struct item *request, const struct uuid *asker,
                 const struct net_address *address, bool by_link);
void relay_on_ack(struct gossip *gossip, const struct uuid *from, uint32_t seq);
void relay_due(struct gossip *gossip, struct relay *relay); /* time to say that nothing came */

#endif
