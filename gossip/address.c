#include "gossip/address.h"

#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/spread.h"

#define READDRESS_INTERVAL_US 60000000 /* peers who see different addresses shall not make us restless */

static bool same_ip(const struct net_address *a, const struct net_address *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void take(struct gossip *gossip, const struct net_address *observed, const struct uuid *by)
{
    struct member *self = gossip->self;

    memcpy(self->shown.self.address.ip, observed->ip, sizeof(observed->ip));
    self->shown.self.incarnation++;
    gossip->readdressed_us = gossip->now_us;
    merge_sign_self(gossip);
    outbox_report(gossip, self, GOSSIP_ALIVE, false);
    outbox_push_plain(gossip, GOSSIP_OUTPUT_ADDRESS, NULL, &self->shown.self.address);
    spread_announce(gossip, self, SPREAD_SELF, SPREAD_NEWS, SPREAD_OWN);
    /* The teller may not know us yet: our hello held nothing that could be dialled. */
    outbox_push(gossip, &(struct pending){.type = PENDING_INTRODUCE, .peer = *by, .by_link = true});
}

void address_on_observed(struct gossip *gossip, const struct uuid *by, const struct net_address *observed, bool by_link)
{
    const struct net_address *own = &gossip->self->shown.self.address;

    if (!gossip->options.advertises_observed || gossip->is_leaving || net_address_is_wildcard(observed) ||
        same_ip(observed, own))
        return;
    if (net_address_is_wildcard(own)) {
        take(gossip, observed, by);
        return;
    }
    /* A peer on the same machine sees what no other could dial. */
    if (by_link || net_address_is_loopback(observed)) return;
    if (gossip->readdressed_us != 0 && gossip->now_us - gossip->readdressed_us < READDRESS_INTERVAL_US) return;
    if (same_ip(observed, &gossip->observed) && !uuid_is_zero(&gossip->observed_by) &&
        !uuid_equal(by, &gossip->observed_by)) {
        take(gossip, observed, by);
        return;
    }
    gossip->observed = *observed;
    gossip->observed_by = *by;
}
