/* gossip/mail.h - direct mail: what this broker says first goes to every live member at once, and again until it is
 * acknowledged. In meshes of up to 16 that is everything; in larger ones leaves and vanished processes.
 *
 * Each announcement gives its slot the next serial. A letter carries all slots after the serial that the recipient has
 * acknowledged, oldest first as many as fit, and the serial of its last; the answer acknowledges up to there. */
#ifndef GOSSIP_MAIL_H
#define GOSSIP_MAIL_H

#include "gossip/internal.h"

void mail_announce(struct gossip *gossip, struct spread_slot *slot, bool is_urgent);
void mail_drop(struct spread_slot *slot);

/* A member enters or leaves the pool of recipients. A newcomer learns what is older by a full exchange. */
void mail_join(struct gossip *gossip, struct member *member);
void mail_part(struct gossip *gossip, struct member *member);

/* Writes a letter; false when there is nothing to say. */
bool mail_write(struct gossip *gossip, struct member *member, struct item_writer *writer);
void mail_acknowledged(struct gossip *gossip, struct member *member, uint64_t serial);
void mail_again(struct gossip *gossip, struct member *member);

/* Letters that were tried in vain over UDP go over the link when there is one. */
bool mail_goes_by_link(const struct member *member);

static inline bool mail_is_idle(const struct gossip *gossip)
{
    return list_is_empty(&gossip->mail_slots);
}

#endif
