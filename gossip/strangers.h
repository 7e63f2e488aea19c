/* gossip/strangers.h - accusations of brokers, or of incarnations, that are not known here yet: kept, the least
 * recently heard making room, and passed on once. */
#ifndef GOSSIP_STRANGERS_H
#define GOSSIP_STRANGERS_H

#include "gossip/merge.h"

void strangers_keep(struct gossip *gossip, const struct accusation *accusation);

/* The subject is known now: what was said of this incarnation is said again. */
void strangers_apply(struct gossip *gossip, const struct member *member);

#endif
