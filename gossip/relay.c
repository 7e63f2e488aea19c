#include "gossip/relay.h"

#include "gossip/outbox.h"
#include "gossip/table.h"

void relay_init(struct gossip *gossip)
{
    for (int i = 0; i < RELAYS_MAX; i++)
        gossip->relays[i].timer.kind = TIMER_RELAY;
}

void relay_begin(struct gossip *gossip, const struct item *request, const struct uuid *asker,
                 const struct net_address *address, bool by_link)
{
    uint32_t slot = gossip->next_relay++ % RELAYS_MAX;
    struct relay *relay = &gossip->relays[slot]; /* the oldest makes room */
    struct member *target = table_find(gossip, &request->ping_req.target);
    struct pending ping = {.type = PENDING_PING_TO, .peer = request->ping_req.target};

    if (target == gossip->self) return;
    relay->seq = RELAY_SEQ | (++gossip->next_seq * RELAYS_MAX & (RELAY_SEQ - 1)) | slot;
    relay->asker_seq = request->ping_req.seq;
    relay->asker = *asker;
    relay->target = request->ping_req.target;
    relay->asker_address = *address;
    relay->by_link = by_link;
    ping.seq = relay->seq;
    ping.address = request->ping_req.address;
    if (target != NULL) {
        ping.type = PENDING_PING;
        ping.member = target;
        ping.by_link = target->shown.is_udp_blocked && target->shown.is_linked;
    }
    outbox_push(gossip, &ping);
    timers_arm(&gossip->timers, &relay->timer,
               gossip->now_us + (uint64_t)request->ping_req.timeout_ms * 1000 * 8 / 10);
}

static void answer(struct gossip *gossip, const struct relay *relay, enum item_type what)
{
    outbox_push(gossip, &(struct pending){.type = PENDING_ANSWER,
                                          .answer = (uint8_t)what,
                                          .seq = relay->asker_seq,
                                          .peer = relay->asker,
                                          .address = relay->asker_address,
                                          .by_link = relay->by_link});
}

void relay_on_ack(struct gossip *gossip, const struct uuid *from, uint32_t seq)
{
    struct relay *relay = &gossip->relays[seq % RELAYS_MAX];

    if (relay->seq != seq || !uuid_equal(&relay->target, from)) return;
    relay->seq = 0;
    timers_cancel(&gossip->timers, &relay->timer);
    answer(gossip, relay, ITEM_RELAYED_ACK);
}

/* The relay stays open: an answer that comes late is passed on all the same. */
void relay_due(struct gossip *gossip, struct relay *relay)
{
    if (!GOSSIP_DEFECT(gossip, NO_LIFEGUARD)) answer(gossip, relay, ITEM_NACK);
}
