/* gossip/merge.h - the state machine of a member: what is said of it, and what becomes of it (PROTOCOLS 1.2).
 *
 * Only what its subject signed raises an incarnation, revives or retires. An accusation, whoever makes it, can do no
 * more than start or shorten a suspicion, which its subject refutes. */
#ifndef GOSSIP_MERGE_H
#define GOSSIP_MERGE_H

#include "gossip/internal.h"

void merge_alive(struct gossip *gossip, const struct item *item);

/* type: ITEM_SUSPECT or ITEM_DEAD. `teller`: who said so just now, NULL when nobody is to be told the truth. */
struct accusation {
    uint8_t type;
    const struct uuid *subject;
    uint64_t incarnation;
    uint32_t age_s;
    const struct uuid *accusers;
    uint8_t accuser_count;
};
void merge_accusation(struct gossip *gossip, const struct accusation *accusation, const struct uuid *teller,
                      const struct net_address *teller_address, bool by_link);
void merge_left(struct gossip *gossip, const struct item *item);

/* This broker's own probe of it failed. */
void merge_own_suspicion(struct gossip *gossip, struct member *member, uint64_t incarnation);
void merge_suspicion_over(struct gossip *gossip, struct member *member);

/* A witness saw its process vanish; two make it dead at once. */
void merge_gone(struct gossip *gossip, struct member *member, uint64_t incarnation, const struct uuid *witness);

/* Half of a tombstone's time is over, or all of it. */
void merge_reap(struct gossip *gossip, struct member *member);
void merge_forget(struct gossip *gossip, struct member *member);

/* Another process has used this broker's identity in `boot`, or uses it. */
void merge_boot_behind(struct gossip *gossip, uint32_t boot);

/* Signs what this broker says of itself, and tells everybody. */
void merge_sign_self(struct gossip *gossip);

#endif
