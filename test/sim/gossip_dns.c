#include "sim/gossip_dns.h"

#include "sim/sim_sometimes.h"

#define NAMED       4    /* brokers that the names lead to */
#define NOBODY      3000 /* from this number on nobody has the addresses */
#define NOBODY_MANY 200

static size_t current(const struct gossip_dns *dns, struct net_address to[GOSSIP_DNS_MAX])
{
    uint32_t count = sim_host_count(dns->sim);
    size_t used = 0;

    to[used++] = sim_host_address(sim_host_at(dns->sim, dns->first));
    for (uint32_t i = 0; i < count && used < NAMED; i++) {
        if (i != dns->first) to[used++] = sim_host_address(sim_host_at(dns->sim, i));
    }
    return used;
}

void gossip_dns_reset(struct gossip_dns *dns, struct sim *sim, uint32_t first, uint64_t seed)
{
    *dns = (struct gossip_dns){.sim = sim, .first = first};
    random_init(&dns->random, seed);
    dns->old_count = (uint32_t)current(dns, dns->old);
}

size_t gossip_dns_look_up(struct gossip_dns *dns, struct net_address to[GOSSIP_DNS_MAX])
{
    size_t count;

    if (dns->faults[GOSSIP_DNS_NONE] > 0) {
        SIM_SOMETIMES("the seeds' names led nowhere");
        return 0;
    }
    count = current(dns, to);
    if (dns->faults[GOSSIP_DNS_STALE] > 0) {
        SIM_SOMETIMES("the seeds' names led to where brokers were long ago");
        memcpy(to, dns->old, dns->old_count * sizeof(to[0]));
        count = dns->old_count;
    }
    if (dns->faults[GOSSIP_DNS_PARTIAL] > 0) {
        SIM_SOMETIMES("the seeds' names led to one of their brokers only");
        to[0] = to[random_below(&dns->random, count)];
        count = 1;
    }
    if (dns->faults[GOSSIP_DNS_MANY] > 0) {
        SIM_SOMETIMES("the seeds' names led to very many addresses");
        for (uint32_t i = 0; i < NOBODY_MANY; i++)
            to[count++] = sim_address(NOBODY + i, to[0].port);
    }
    return count;
}
