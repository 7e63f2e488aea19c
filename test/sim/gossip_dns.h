/* sim/gossip_dns.h - the names of a simulated mesh's seeds and what they lead to: now and then nothing, only a part, where
 * brokers were long ago, or very many addresses behind most of which there is nobody. */
#ifndef SIM_GOSSIP_DNS_H
#define SIM_GOSSIP_DNS_H

#include "sim/sim.h"

#define GOSSIP_DNS_MAX 256 /* addresses of one answer */

enum gossip_dns_fault { GOSSIP_DNS_NONE, GOSSIP_DNS_PARTIAL, GOSSIP_DNS_STALE, GOSSIP_DNS_MANY, GOSSIP_DNS_FAULTS };

struct gossip_dns {
    struct sim *sim;
    struct random random;
    uint32_t first;                       /* the host whose address comes first: one that is healed in the end */
    uint16_t faults[GOSSIP_DNS_FAULTS];   /* nested */
    struct net_address old[GOSSIP_DNS_MAX]; /* where brokers were in the beginning */
    uint32_t old_count;
};

void gossip_dns_reset(struct gossip_dns *dns, struct sim *sim, uint32_t first, uint64_t seed);

/* Writes what the names lead to now and returns how many addresses that are; 0: no answer. */
size_t gossip_dns_look_up(struct gossip_dns *dns, struct net_address to[GOSSIP_DNS_MAX]);

#endif
