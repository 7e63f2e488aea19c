/* gossip/probe.h - one member after the other is asked whether it is there; who does not answer is asked through
 * others and over its link, and is suspected only then. */
#ifndef GOSSIP_PROBE_H
#define GOSSIP_PROBE_H

#include "gossip/internal.h"

void probe_due(struct gossip *gossip);  /* the period is over: judge, and begin the next */
void probe_late(struct gossip *gossip); /* no direct answer in time */
void probe_on_ack(struct gossip *gossip, struct member *member, uint32_t seq, bool by_link);
void probe_on_relayed_ack(struct gossip *gossip, uint32_t seq);
void probe_on_nack(struct gossip *gossip, uint32_t seq);
void probe_on_link_up(struct gossip *gossip, const struct member *member);
void probe_void(struct gossip *gossip); /* nobody is judged for what is under way */
void probe_drop(struct gossip *gossip, const struct member *member); /* it is no target any more */

#endif
