/* gossip/outbox.h - what is to be done, remembered until the caller asks; then the bytes are made, so that a packet
 * carries the newest there is and nothing is copied twice. */
#ifndef GOSSIP_OUTBOX_H
#define GOSSIP_OUTBOX_H

#include "gossip/internal.h"

#define OUTBOX_ROOM 65536 /* bytes of the largest piece of a message */

/* Room for what one event can cause among `members`. Errors: MESH_ENOMEM (unchanged). */
int outbox_reserve(struct gossip *gossip, size_t members);

/* False, and counted, when there is no room: as if the network had lost it. */
bool outbox_push(struct gossip *gossip, const struct pending *pending);

/* An output without bytes. */
void outbox_push_plain(struct gossip *gossip, enum gossip_output_type type, const struct uuid *peer,
                       const struct net_address *address);

/* The member is new, or its state, incarnation or self changed from what it was: reported once per event. */
void outbox_report(struct gossip *gossip, struct member *member, enum gossip_state was, bool is_new);

/* Tells a member what it is accused of, not more than once per gossip interval. */
void outbox_tell(struct gossip *gossip, struct member *member);

#endif
