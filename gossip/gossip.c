#include "gossip/gossip.h"

#include "base/assert.h"
#include "base/error.h"
#include "gossip/event.h"
#include "gossip/leave.h"
#include "gossip/links.h"
#include "gossip/mail.h"
#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/probe.h"
#include "gossip/relay.h"
#include "gossip/seeds.h"
#include "gossip/soft.h"
#include "gossip/spread.h"
#include "gossip/table.h"

#include <stdlib.h>

void gossip_options_init(struct gossip_options *options)
{
    *options = (struct gossip_options){
        .probe_interval_us = 500000,
        .probe_timeout_min_us = 100000,
        .gossip_interval_us = 100000,
        .digest_interval_us = 5000000,
        .indirect_probes = 3,
        .fan_out = 3,
        .suspicion_mult = 4,
        .suspicion_max_mult = 6,
        .retransmit_mult = 4,
        .health_max = 8,
        .direct_members_max = 16,
        .leave_delay_us = 1000000,
        .reconnect_max_us = 30000000,
        .tombstone_us = 24 * 3600 * 1000000ull,
        .advertises_observed = true,
    };
}

static bool is_text(const char *text, size_t size_max)
{
    size_t size = strnlen(text, size_max + 1);

    if (size > size_max) return false;
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) return false;
    return true;
}

static bool is_sound_self(const struct gossip_self *self, bool may_lack_address)
{
    return !uuid_is_zero(&self->id) && is_text(self->name, GOSSIP_NAME_MAX) && is_text(self->zone, GOSSIP_NAME_MAX) &&
           is_text(self->host, GOSSIP_HOST_MAX) && self->address.port != 0 &&
           (may_lack_address || !net_address_is_wildcard(&self->address));
}

static bool is_sound(const struct gossip_options *options)
{
    return is_sound_self(&options->self, options->advertises_observed) && options->signer.sign != NULL &&
           options->signer.verify != NULL && options->probe_interval_us >= 1000 && options->gossip_interval_us > 0 &&
           options->digest_interval_us > 0 && options->reconnect_max_us > 0 && options->health_max > 0 &&
           options->suspicion_mult > 0 && options->suspicion_max_mult > 0 && options->retransmit_mult > 0;
}

static void init_timers(struct gossip *gossip)
{
    gossip->probe_timer.kind = TIMER_PROBE;
    gossip->probe_late_timer.kind = TIMER_PROBE_LATE;
    gossip->rumour_timer.kind = TIMER_RUMOUR;
    gossip->digest_timer.kind = TIMER_DIGEST;
    gossip->links_timer.kind = TIMER_LINKS;
    gossip->seeds_timer.kind = TIMER_SEEDS;
    gossip->leave_timer.kind = TIMER_LEAVE;
    timers_arm(&gossip->timers, &gossip->probe_timer,
               gossip->now_us + random_below(&gossip->random, gossip->options.probe_interval_us));
    timers_arm(&gossip->timers, &gossip->digest_timer,
               gossip->now_us + random_below(&gossip->random, gossip->options.digest_interval_us));
}

static int add_self(struct gossip *gossip)
{
    int err = table_add(gossip, &gossip->options.self.id, &gossip->self);

    if (err != 0) return err;
    gossip->self->shown = (struct gossip_member){
        .self = gossip->options.self, .state = GOSSIP_ALIVE, .changed_us = gossip->now_us, .is_self = true};
    merge_sign_self(gossip);
    return 0;
}

int gossip_new(const struct gossip_options *options, uint64_t now_us, struct gossip **ret_gossip)
{
    struct gossip *gossip;
    int err = MESH_ENOMEM;

    if (!is_sound(options)) return MESH_EINVAL;
    gossip = calloc(1, sizeof(*gossip));
    if (gossip == NULL) return err;
    gossip->options = *options;
    gossip->now_us = now_us;
    gossip->health.max = options->health_max;
    random_init(&gossip->random, options->seed);
    gossip->hash_seed = random_next(&gossip->random);
    gossip->next_seq = (uint32_t)random_next(&gossip->random); /* answers to an earlier life do not fit */
    list_init(&gossip->mail_slots);
    list_init(&gossip->reports);
    list_init(&gossip->soft_reports);
    list_init(&gossip->soft_graves);
    spread_init(gossip);
    relay_init(gossip);
    gossip->room = malloc(OUTBOX_ROOM);
    if (gossip->room == NULL) goto fail;
    err = add_self(gossip);
    if (err != 0) goto fail;
    init_timers(gossip);
    *ret_gossip = gossip;
    return 0;
fail:
    gossip_free(gossip);
    return err;
}

void gossip_free(struct gossip *gossip)
{
    if (gossip == NULL) return;
    soft_free(gossip);
    table_free(gossip);
    timers_deinit(&gossip->timers);
    free(gossip->seeds);
    free(gossip->pending);
    free(gossip->room);
    free(gossip);
}

/* ---- time ---- */

/* Moves every suspicion by what was slept through. */
static void excuse(struct gossip *gossip, uint64_t slept_us)
{
    for (uint32_t i = 0; i < gossip->pool_count; i++) {
        struct member *member = gossip->pool[i];
        if (member->shown.state != GOSSIP_SUSPECT) continue;
        member->suspicion.started_us += slept_us;
        timers_arm(&gossip->timers, &member->suspicion_timer,
                   timers_due_of(&gossip->timers, &member->suspicion_timer) + slept_us);
    }
}

void gossip_begin_event(struct gossip *gossip, uint64_t now_us)
{
    uint64_t due_us = timers_due_us(&gossip->timers), late_us;

    if (now_us < gossip->now_us) now_us = gossip->now_us;
    gossip->now_us = now_us;
    if (gossip->pending_count == 0 && list_is_empty(&gossip->reports) && list_is_empty(&gossip->soft_reports)) {
        if (gossip->graves != NULL) table_bury(gossip);
        if (!list_is_empty(&gossip->soft_graves)) soft_bury(gossip);
    }
    if (due_us > now_us || now_us - due_us <= gossip->options.probe_interval_us / 2 ||
        GOSSIP_DEFECT(gossip, NO_STALL_GUARD))
        return;
    late_us = now_us - due_us;
    probe_void(gossip);
    if (gossip->stall_due_us != due_us) {
        gossip->stall_due_us = due_us;
        gossip->stall_counted_us = 0;
        gossip->stats.stalls++;
        if (!GOSSIP_DEFECT(gossip, NO_LIFEGUARD)) health_change(&gossip->health, 1);
    }
    excuse(gossip, late_us - gossip->stall_counted_us);
    gossip->stall_counted_us = late_us;
}

static void member_due(struct gossip *gossip, struct timer *timer)
{
    switch ((enum timer_kind)timer->kind) {
    case TIMER_SUSPICION:
        merge_suspicion_over(gossip, container_of(timer, struct member, suspicion_timer));
        break;
    case TIMER_MAIL: mail_again(gossip, container_of(timer, struct member, mail_timer)); break;
    case TIMER_DIAL: links_dial_due(gossip, container_of(timer, struct member, dial_timer)); break;
    default: merge_reap(gossip, container_of(timer, struct member, reap_timer));
    }
}

static void digest_due(struct gossip *gossip)
{
    gossip->digest_due = true;
    timers_arm(&gossip->timers, &gossip->digest_timer,
               gossip->now_us + gossip_jitter(gossip, gossip->options.digest_interval_us));
}

static void due(struct gossip *gossip, struct timer *timer)
{
    switch ((enum timer_kind)timer->kind) {
    case TIMER_PROBE: probe_due(gossip); break;
    case TIMER_PROBE_LATE: probe_late(gossip); break;
    case TIMER_RUMOUR: spread_tick(gossip); break;
    case TIMER_DIGEST: digest_due(gossip); break;
    case TIMER_LINKS: links_choose(gossip); break;
    case TIMER_SEEDS: seeds_due(gossip); break;
    case TIMER_LEAVE: leave_check(gossip); break;
    case TIMER_RELAY: relay_due(gossip, container_of(timer, struct relay, timer)); break;
    default: member_due(gossip, timer);
    }
}

void gossip_tick(struct gossip *gossip, uint64_t now_us)
{
    struct timer *timer;

    gossip_begin_event(gossip, now_us);
    while ((timer = timers_pop(&gossip->timers, gossip->now_us)) != NULL)
        due(gossip, timer);
}

uint64_t gossip_due_us(const struct gossip *gossip)
{
    return timers_due_us(&gossip->timers);
}

/* ---- other events ---- */

int gossip_set_seeds(struct gossip *gossip, uint64_t now_us, const struct net_address *seeds, size_t count)
{
    gossip_begin_event(gossip, now_us);
    return seeds_set(gossip, seeds, count);
}

void gossip_link_up(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, uint32_t boot,
                    const struct net_address *address)
{
    (void)boot;
    gossip_begin_event(gossip, now_us);
    if (!gossip->has_left) links_up(gossip, peer, address);
}

void gossip_link_down(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, enum gossip_link_end how)
{
    struct member *member;

    gossip_begin_event(gossip, now_us);
    member = table_find(gossip, peer);
    if (member != NULL && member != gossip->self && !gossip->has_left) links_down(gossip, member, how);
}

void gossip_dial_failed(struct gossip *gossip, uint64_t now_us, const struct net_address *address, const struct uuid *peer,
                        enum gossip_dial_failure how)
{
    struct member *member;

    gossip_begin_event(gossip, now_us);
    if (gossip->has_left) return;
    if (uuid_is_zero(peer)) {
        seeds_failed(gossip, address);
        return;
    }
    member = table_find(gossip, peer);
    if (member == NULL || member == gossip->self) return;
    /* What happened at an address where it no longer is says nothing about it. */
    if (!net_address_equal(address, &member->shown.self.address)) how = GOSSIP_DIAL_UNREACHABLE;
    links_failed(gossip, member, how);
}

int gossip_update_self(struct gossip *gossip, uint64_t now_us, const struct gossip_self *self)
{
    struct gossip_self *own = &gossip->self->shown.self;
    uint64_t incarnation = own->incarnation + 1;

    if (!is_sound_self(self, gossip->options.advertises_observed) || !uuid_equal(&self->id, &own->id)) return MESH_EINVAL;
    gossip_begin_event(gossip, now_us);
    if (gossip->is_leaving) return 0;
    *own = *self;
    own->incarnation = incarnation;
    merge_sign_self(gossip);
    outbox_report(gossip, gossip->self, GOSSIP_ALIVE, false);
    spread_announce(gossip, gossip->self, SPREAD_SELF, SPREAD_NEWS, SPREAD_OWN);
    return 0;
}

void gossip_set_boot(struct gossip *gossip, uint64_t now_us, uint32_t boot)
{
    struct member *self = gossip->self;

    gossip_begin_event(gossip, now_us);
    if (gossip->is_leaving || boot <= boot_of(self->shown.self.incarnation)) return;
    self->shown.self.incarnation = (uint64_t)boot << 32;
    self->soft.spread_from = 0; /* all of it is news to who forgets the boots before */
    merge_sign_self(gossip);
    outbox_report(gossip, self, GOSSIP_ALIVE, false);
    spread_announce(gossip, self, SPREAD_SELF, SPREAD_REFUTATION, SPREAD_OWN);
    if (self->soft.version > 0) spread_announce(gossip, self, SPREAD_VALUES, SPREAD_SOFT, SPREAD_OWN);
}

void gossip_set_frontier(struct gossip *gossip, const struct gossip_frontier *frontier)
{
    gossip->self->shown.frontier = *frontier;
}

void gossip_set_registered(struct gossip *gossip, const struct uuid *id, bool is_registered)
{
    struct member *member = table_find(gossip, id);

    if (member == NULL || member == gossip->self) return;
    member->shown.is_registered = is_registered;
    if (is_registered && !member_is_live(member)) links_member_died(gossip, member);
}

void gossip_set_needed(struct gossip *gossip, uint64_t now_us, const struct uuid *id, bool is_needed)
{
    struct member *member;

    gossip_begin_event(gossip, now_us);
    member = table_find(gossip, id);
    if (member != NULL && member != gossip->self && !gossip->has_left) links_need(gossip, member, is_needed);
}

void gossip_link_used(struct gossip *gossip, const struct uuid *peer)
{
    struct member *member = table_find(gossip, peer);

    if (member != NULL && member->link_idle_us != 0) member->link_idle_us = gossip->now_us;
}

/* ---- looking ---- */

size_t gossip_member_count(const struct gossip *gossip)
{
    return gossip->member_count;
}

const struct gossip_member *gossip_member_at(const struct gossip *gossip, size_t index)
{
    MESH_ASSERT(index < gossip->member_count);
    return &gossip->members[index]->shown;
}

const struct gossip_member *gossip_find(const struct gossip *gossip, const struct uuid *id)
{
    const struct member *member = table_find(gossip, id);

    return member == NULL ? NULL : &member->shown;
}

uint64_t gossip_members_hash(const struct gossip *gossip)
{
    return gossip->members_hash;
}

uint64_t gossip_soft_hash(const struct gossip *gossip)
{
    return gossip->soft_hash;
}

static uint32_t queued_bytes(const struct gossip *gossip)
{
    uint32_t bytes = 0;

    for (int rank = 0; rank < SPREAD_CLASSES; rank++)
        for (int sent = 0; sent <= SPREAD_TRANSMITS_MAX; sent++)
            list_for_each(node, &gossip->queue[rank][sent])
            {
                const struct spread_slot *slot = container_of(node, struct spread_slot, rumour);
                bytes += spread_size(slot);
            }
    return bytes;
}

void gossip_get_stats(const struct gossip *gossip, struct gossip_stats *ret_stats)
{
    uint32_t counts[GOSSIP_LEFT + 1] = {0};

    for (uint32_t i = 0; i < gossip->member_count; i++)
        counts[gossip->members[i]->shown.state]++;
    *ret_stats = gossip->stats;
    ret_stats->alive = counts[GOSSIP_ALIVE];
    ret_stats->suspect = counts[GOSSIP_SUSPECT];
    ret_stats->dead = counts[GOSSIP_DEAD];
    ret_stats->left = counts[GOSSIP_LEFT];
    ret_stats->health = gossip->health.score;
    ret_stats->queued_bytes = queued_bytes(gossip);
}

#ifdef MESH_TEST_SWITCHES
void gossip_bring_back(struct gossip *gossip, enum gossip_defect defect)
{
    gossip->defects = defect == GOSSIP_DEFECT_NONE ? 0 : gossip->defects | (uint64_t)1 << defect;
}
#endif
