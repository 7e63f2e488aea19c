/* gossip/spread.h - rumours: what is news goes out with every packet, and to a few members at random each gossip
 * interval, a limited number of times.
 *
 * One slot per (member, kind of news): newer replaces older, so that the queue is bounded by the table. Slots wait by
 * class (refutation, accusation, news, soft state) and, within one, the least often sent first. What is this broker's
 * own word is mailed besides (mail.h). */
#ifndef GOSSIP_SPREAD_H
#define GOSSIP_SPREAD_H

#include "gossip/internal.h"

enum spread_reach {
    SPREAD_HEARD, /* from others: rumour only */
    SPREAD_OWN,   /* said first here: mailed too while the mesh is small */
    SPREAD_URGENT /* said first here, and mailed to all however many there are */
};

void spread_init(struct gossip *gossip);
void spread_announce(struct gossip *gossip, struct member *member, enum spread_what what, enum spread_class rank,
                     enum spread_reach reach);
void spread_cancel(struct gossip *gossip, struct member *member, enum spread_what what);
void spread_cancel_all(struct gossip *gossip, struct member *member);

static inline bool spread_is_idle(const struct gossip *gossip)
{
    return gossip->queued == 0;
}

/* How often each rumour is sent: mult * ceil(log10(members + 1)). */
unsigned spread_limit(size_t members, unsigned mult);

/* Adds what fits, counts it as sent. */
void spread_fill(struct gossip *gossip, struct item_writer *writer);

/* Writes what a slot says now. False: no room. What is no longer true is silently nothing. */
bool spread_put(struct gossip *gossip, struct item_writer *writer, const struct spread_slot *slot);

/* The accusation or the leave of this member, if there is one. False: no room. */
bool spread_put_state(const struct gossip *gossip, struct item_writer *writer, const struct member *member);

/* About how many bytes a slot will take in a packet. */
uint32_t spread_size(const struct spread_slot *slot);

/* A gossip interval is over: packets for a few. */
void spread_tick(struct gossip *gossip);

#endif
