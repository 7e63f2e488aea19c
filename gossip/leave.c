#include "gossip/leave.h"

#include "gossip/event.h"
#include "gossip/mail.h"
#include "gossip/outbox.h"
#include "gossip/probe.h"
#include "gossip/spread.h"
#include "gossip/table.h"

#define CHECK_INTERVAL_US 50000
#define LONGEST_US        4000000 /* beyond the delay: who is not told by then cannot be */

void gossip_leave(struct gossip *gossip, uint64_t now_us)
{
    struct member *self = gossip->self;
    uint8_t message[CODEC_SIGNED_MAX];

    gossip_begin_event(gossip, now_us);
    if (gossip->is_leaving) return;
    gossip->is_leaving = true;
    gossip->leave_began_us = now_us;
    gossip->options.signer.sign(
        gossip->options.signer.user,
        slice_of(message, codec_signed_leave(member_id(self), self->shown.self.incarnation, message)),
        self->left_signature);
    self->shown.state = GOSSIP_LEFT;
    self->shown.changed_us = self->died_us = now_us;
    probe_void(gossip);
    table_rehash(gossip, self);
    outbox_report(gossip, self, GOSSIP_ALIVE, false);
    spread_announce(gossip, self, SPREAD_STATE, SPREAD_ACCUSATION, SPREAD_URGENT);
    timers_arm(&gossip->timers, &gossip->leave_timer,
               gossip->pool_count == 0 ? now_us : now_us + gossip->options.leave_delay_us);
}

void leave_check(struct gossip *gossip)
{
    const struct spread_slot *slot = &gossip->self->slots[SPREAD_STATE];
    uint64_t gone_us = gossip->now_us - gossip->leave_began_us;
    bool is_told = !slot->is_rumoured && !slot->is_mailed;

    if (!is_told && gossip->pool_count > 0 && gone_us < gossip->options.leave_delay_us + LONGEST_US) {
        timers_arm(&gossip->timers, &gossip->leave_timer, gossip->now_us + CHECK_INTERVAL_US);
        return;
    }
    gossip->has_left = true;
    while (gossip->timers.count > 0)
        timers_cancel(&gossip->timers, gossip->timers.heap[0].timer);
    outbox_push_plain(gossip, GOSSIP_OUTPUT_LEFT, NULL, NULL);
}
