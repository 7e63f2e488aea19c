#include "gossip/links.h"

#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/probe.h"
#include "gossip/seeds.h"
#include "gossip/spread.h"
#include "gossip/table.h"

#define SETTLE_US       50000     /* after a change, before choosing anew: changes come in swarms */
#define BACKOFF_MIN_US  500000u
#define DIAL_LASTS_US   10000000  /* a dial whose end we never heard of */
#define YIELD_US        1000000   /* of two that want each other the smaller id dials, the larger waits so long */
#define RESET_WINDOW_US 2000000   /* a refusal so soon after a reset means a dead process */
#define REDIAL_US       30000     /* a process that dies may close its links before its port: then it is asked again so soon */
#define IDLE_US         30000000  /* a borrowed link is kept so long */

void links_changed(struct gossip *gossip)
{
    if (!timer_is_armed(&gossip->links_timer))
        timers_arm(&gossip->timers, &gossip->links_timer, gossip->now_us + SETTLE_US);
    if (gossip->pool_count == 0) seeds_hurry(gossip);
}

static void dial(struct gossip *gossip, struct member *member)
{
    if (member->shown.is_linked || member->is_dialled || gossip->is_leaving) return;
    member->is_dialled = true;
    outbox_push_plain(gossip, GOSSIP_OUTPUT_DIAL, member_id(member), &member->shown.self.address);
    timers_arm(&gossip->timers, &member->dial_timer, gossip->now_us + DIAL_LASTS_US);
}

static void dial_later(struct gossip *gossip, struct member *member)
{
    uint32_t most_us = gossip->options.reconnect_max_us;

    member->backoff_us = member->backoff_us == 0 ? BACKOFF_MIN_US : member->backoff_us * 2;
    if (member->backoff_us > most_us) member->backoff_us = most_us;
    /* Jitter goes down only: the longest wait is a promise. */
    timers_arm(&gossip->timers, &member->dial_timer,
               gossip->now_us + member->backoff_us - random_below(&gossip->random, member->backoff_us / 2 + 1));
}

/* The LINKS_RING live members that follow on the ring of hashes. */
static void choose_neighbours(struct gossip *gossip)
{
    struct member *next[LINKS_RING];
    unsigned count = 0;

    for (uint32_t i = 0; i < gossip->pool_count; i++) {
        struct member *member = gossip->pool[i];
        uint64_t distance = member->ring_hash - gossip->self->ring_hash;
        unsigned at = count;
        member->is_wanted = false;
        while (at > 0 && next[at - 1]->ring_hash - gossip->self->ring_hash > distance)
            at--;
        if (at == LINKS_RING) continue;
        if (count < LINKS_RING) count++;
        for (unsigned j = count - 1; j > at; j--)
            next[j] = next[j - 1];
        next[at] = member;
    }
    for (unsigned i = 0; i < count; i++)
        next[i]->is_wanted = true;
}

static void mark_down(struct gossip *gossip, struct member *member)
{
    member->shown.is_linked = false;
    member->is_ours = member->is_dialled = false;
    member->shown.is_udp_blocked = false;
    member->udp_misses = 0;
    gossip->linked_count--;
}

static void hang_up(struct gossip *gossip, struct member *member)
{
    mark_down(gossip, member);
    outbox_push_plain(gossip, GOSSIP_OUTPUT_HANG_UP, member_id(member), NULL);
}

static void keep_or_release(struct gossip *gossip, struct member *member, bool *has_idle)
{
    if (member->is_wanted || !member->is_ours) {
        member->link_idle_us = 0;
        return;
    }
    if (member->link_idle_us == 0) member->link_idle_us = gossip->now_us;
    if (gossip->now_us - member->link_idle_us >= IDLE_US)
        hang_up(gossip, member);
    else
        *has_idle = true;
}

void links_choose(struct gossip *gossip)
{
    bool is_small = gossip_size(gossip) <= gossip->options.direct_members_max, has_idle = false;

    if (!is_small) choose_neighbours(gossip);
    for (uint32_t i = 0; i < gossip->pool_count; i++) {
        struct member *member = gossip->pool[i];
        if (is_small || member->is_needed) member->is_wanted = true;
        if (member->shown.is_linked) {
            keep_or_release(gossip, member, &has_idle);
        } else if (member->is_wanted && !timer_is_armed(&member->dial_timer)) {
            bool yields = is_small && memcmp(member_id(gossip->self), member_id(member), UUID_SIZE) > 0;
            timers_arm(&gossip->timers, &member->dial_timer,
                       gossip->now_us + random_below(&gossip->random, SETTLE_US) + (yields ? YIELD_US : 0));
        }
    }
    if (has_idle) timers_arm(&gossip->timers, &gossip->links_timer, gossip->now_us + IDLE_US);
}

void links_dial_due(struct gossip *gossip, struct member *member)
{
    bool is_dead = !member_is_live(member), is_due = member->is_wanted || member->reset_us != 0;

    member->is_dialled = false;
    if (member->shown.is_linked || (is_dead && GOSSIP_DEFECT(gossip, DEAD_NOT_DIALLED))) return;
    if (is_dead) {
        if (member->shown.state == GOSSIP_LEFT && !member->shown.is_registered) return;
        /* The mesh as a whole, not each of its members, tries the unregistered once per interval. */
        is_due = member->shown.is_registered || member->is_needed ||
                 gossip->now_us - member->shown.changed_us < RECENTLY_DEAD_US ||
                 random_below(&gossip->random, gossip_size(gossip)) == 0;
    }
    if (is_due)
        dial(gossip, member);
    else if (is_dead)
        dial_later(gossip, member);
}

void links_need(struct gossip *gossip, struct member *member, bool is_needed)
{
    if (member->is_needed == is_needed) return;
    member->is_needed = is_needed;
    if (!is_needed) {
        links_changed(gossip); /* it may be wanted for its place on the ring */
        return;
    }
    if (member_is_live(member)) member->is_wanted = true;
    member->link_idle_us = 0;
    if (member->shown.is_linked || member->is_dialled || timer_is_armed(&member->dial_timer)) return;
    if (member_is_live(member))
        dial(gossip, member);
    else
        dial_later(gossip, member);
}

void links_borrow(struct gossip *gossip, struct member *member)
{
    member->link_idle_us = gossip->now_us;
    dial(gossip, member);
}

void links_mark_up(struct gossip *gossip, struct member *member)
{
    if (member->shown.is_linked) return;
    member->shown.is_linked = true;
    member->is_ours = seeds_opened_link(gossip, member_id(member)) || member->is_dialled;
    member->link_idle_us = 0;
    member->is_dialled = false;
    member->backoff_us = 0;
    member->reset_us = 0;
    gossip->linked_count++;
    timers_cancel(&gossip->timers, &member->dial_timer);
    probe_on_link_up(gossip, member);
    if (!timer_is_armed(&gossip->links_timer))
        timers_arm(&gossip->timers, &gossip->links_timer, gossip->now_us + SETTLE_US);
}

void links_down(struct gossip *gossip, struct member *member, enum gossip_link_end how)
{
    if (!member->shown.is_linked) return;
    mark_down(gossip, member);
    if (how == GOSSIP_LINK_RESET && member_is_live(member)) {
        member->reset_us = gossip->now_us;
        dial(gossip, member);
    } else if (member->is_wanted || !member_is_live(member)) {
        dial_later(gossip, member);
    }
}

void links_failed(struct gossip *gossip, struct member *member, enum gossip_dial_failure how)
{
    bool was_reset = member->reset_us != 0 && gossip->now_us - member->reset_us < RESET_WINDOW_US;
    bool is_gone = was_reset && how == GOSSIP_DIAL_REFUSED;

    member->is_dialled = false;
    if (member->shown.is_linked) return; /* its own dial was quicker */
    if (was_reset && how == GOSSIP_DIAL_UNREACHABLE && member_is_live(member)) {
        timers_arm(&gossip->timers, &member->dial_timer, gossip->now_us + REDIAL_US);
        return;
    }
    member->reset_us = 0;
    dial_later(gossip, member);
    if (is_gone && !GOSSIP_DEFECT(gossip, NO_FAST_DEATH)) outbox_push_plain(gossip, GOSSIP_OUTPUT_GONE, member_id(member), NULL);
    if (!is_gone || !member_is_live(member) || GOSSIP_DEFECT(gossip, NO_FAST_DEATH)) return;
    /* First-hand: the process that held the link is gone, and nothing listens where it was. */
    member->has_observed = true;
    spread_announce(gossip, member, SPREAD_GONE, SPREAD_ACCUSATION, SPREAD_URGENT);
    merge_gone(gossip, member, member->shown.self.incarnation, member_id(gossip->self));
}

void links_up(struct gossip *gossip, const struct uuid *peer, const struct net_address *address)
{
    struct pending hello = {.type = PENDING_HELLO, .by_link = true, .peer = *peer, .address = *address};
    struct member *member = table_find(gossip, peer);

    if (member == gossip->self) return;
    seeds_answered(gossip, address, peer);
    if (member != NULL) {
        links_mark_up(gossip, member);
        hello.other = member;
    }
    outbox_push(gossip, &hello);
}

void links_member_died(struct gossip *gossip, struct member *member)
{
    member->is_wanted = false;
    member->backoff_us = 0;
    if (member->shown.is_linked) hang_up(gossip, member); /* nothing came through it either: a new one may */
    if (GOSSIP_DEFECT(gossip, DEAD_NOT_DIALLED))
        timers_cancel(&gossip->timers, &member->dial_timer);
    else if (!member->is_dialled)
        dial_later(gossip, member);
}

void links_member_lives(struct gossip *gossip, struct member *member)
{
    member->backoff_us = 0;
    if (member->is_needed && !member->is_dialled) timers_cancel(&gossip->timers, &member->dial_timer); /* not after the wait for a dead one */
    links_changed(gossip);
}
