/* gossip/links.h - who is linked to whom: everybody to everybody while the mesh is small, else each to its next
 * neighbours on a ring of hashed ids, so that several watch each process; besides seeds, the dead (they may only seem
 * so), whoever the caller needs, and whoever has to be talked to at length. */
#ifndef GOSSIP_LINKS_H
#define GOSSIP_LINKS_H

#include "gossip/internal.h"

/* Who is wanted is worked out anew shortly. */
void links_changed(struct gossip *gossip);
void links_choose(struct gossip *gossip);

void links_up(struct gossip *gossip, const struct uuid *peer, const struct net_address *address);
void links_mark_up(struct gossip *gossip, struct member *member);
void links_down(struct gossip *gossip, struct member *member, enum gossip_link_end how);
void links_failed(struct gossip *gossip, struct member *member, enum gossip_dial_failure how);

/* A link for the moment: hung up again when nobody needs it. */
void links_borrow(struct gossip *gossip, struct member *member);

/* The caller needs a link to it, or no more. */
void links_need(struct gossip *gossip, struct member *member, bool is_needed);

/* The member's dial timer. */
void links_dial_due(struct gossip *gossip, struct member *member);

/* It died, or is known to live: how it is tried from now on. */
void links_member_died(struct gossip *gossip, struct member *member);
void links_member_lives(struct gossip *gossip, struct member *member);

#endif
