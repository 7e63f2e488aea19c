#include "gossip/mail.h"

#include "gossip/outbox.h"
#include "gossip/rtt.h"
#include "gossip/spread.h"

#define TRIES_MAX     8
#define RTO_MIN_US    100000u
#define RTO_MAX_US    1000000u
#define TRIES_BY_UDP  2

static void queue_letter(struct gossip *gossip, struct member *member)
{
    if (member->mail_queued) return;
    member->mail_queued = outbox_push(gossip, &(struct pending){.type = PENDING_MAIL, .member = member});
}

void mail_announce(struct gossip *gossip, struct spread_slot *slot, bool is_urgent)
{
    (void)is_urgent;
    list_remove(&slot->mail);
    list_push_back(&gossip->mail_slots, &slot->mail);
    slot->serial = ++gossip->mail_serial;
    slot->is_mailed = true;
    slot->mail_left = gossip->pool_count;
    if (slot->mail_left == 0) mail_drop(slot);
    for (uint32_t i = 0; i < gossip->pool_count; i++)
        queue_letter(gossip, gossip->pool[i]);
}

void mail_drop(struct spread_slot *slot)
{
    list_remove(&slot->mail);
    slot->is_mailed = false;
}

void mail_join(struct gossip *gossip, struct member *member)
{
    member->mail_acked = member->mail_sent = gossip->mail_serial;
    member->mail_tries = 0;
}

/* The member needs none of the slots up to `serial` any more; a slot that nobody needs goes. */
static void settle(struct gossip *gossip, struct member *member, uint64_t serial)
{
    list_for_each_safe(node, &gossip->mail_slots)
    {
        struct spread_slot *slot = container_of(node, struct spread_slot, mail);
        if (slot->serial > serial) break;
        if (slot->serial > member->mail_acked && --slot->mail_left == 0) mail_drop(slot);
    }
    member->mail_acked = serial;
}

void mail_part(struct gossip *gossip, struct member *member)
{
    settle(gossip, member, gossip->mail_serial);
    timers_cancel(&gossip->timers, &member->mail_timer);
}

bool mail_goes_by_link(const struct member *member)
{
    return member->shown.is_linked && (member->shown.is_udp_blocked || member->mail_tries >= TRIES_BY_UDP);
}

static uint64_t retry_us(const struct gossip *gossip, const struct member *member)
{
    uint64_t rto_us = rtt_timeout_us(gossip->rtt_p99_us, RTO_MIN_US, RTO_MAX_US) << member->mail_tries;

    return rto_us < RTO_MAX_US ? rto_us : RTO_MAX_US;
}

bool mail_write(struct gossip *gossip, struct member *member, struct item_writer *writer)
{
    struct list_node *node = gossip->mail_slots.previous;
    uint8_t *serial_at = writer->at;
    uint64_t serial = member->mail_acked;

    member->mail_queued = false;
    if (member->pool_index == 0 || !codec_put_serial(writer, ITEM_MAIL, 0)) return false;
    while (node != &gossip->mail_slots && container_of(node, struct spread_slot, mail)->serial > member->mail_acked)
        node = node->previous;
    for (node = node->next; node != &gossip->mail_slots; node = node->next) {
        const struct spread_slot *slot = container_of(node, struct spread_slot, mail);
        if (!spread_put(gossip, writer, slot)) break;
        serial = slot->serial;
    }
    if (serial == member->mail_acked) { /* all of it was taken back meanwhile */
        member->mail_acked = gossip->mail_serial;
        timers_cancel(&gossip->timers, &member->mail_timer);
        return false;
    }
    (void)codec_put_serial(&(struct item_writer){writer->start, serial_at, writer->end}, ITEM_MAIL, serial);
    member->mail_sent = serial;
    timers_arm(&gossip->timers, &member->mail_timer, gossip->now_us + retry_us(gossip, member));
    return true;
}

void mail_acknowledged(struct gossip *gossip, struct member *member, uint64_t serial)
{
    if (member->pool_index == 0 || serial <= member->mail_acked || serial > member->mail_sent) return;
    settle(gossip, member, serial);
    member->mail_tries = 0;
    timers_cancel(&gossip->timers, &member->mail_timer);
    if (!list_is_empty(&gossip->mail_slots) &&
        container_of(gossip->mail_slots.previous, struct spread_slot, mail)->serial > serial)
        queue_letter(gossip, member);
}

void mail_again(struct gossip *gossip, struct member *member)
{
    if (++member->mail_tries >= TRIES_MAX) {
        settle(gossip, member, gossip->mail_serial); /* the digest will tell it, if it lives */
        member->mail_tries = 0;
        return;
    }
    queue_letter(gossip, member);
}
