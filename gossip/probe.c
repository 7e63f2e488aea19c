#include "gossip/probe.h"

#include "gossip/links.h"
#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/relay.h"
#include "gossip/rtt.h"
#include "gossip/table.h"

#define UDP_MISSES_MAX 3 /* probes in a row that the link alone answered: packets do not get through */

static uint64_t interval_us(const struct gossip *gossip)
{
    return health_scale(&gossip->health, gossip->options.probe_interval_us);
}

/* Within half a period, so that there is time to ask others. */
static uint64_t timeout_us(const struct gossip *gossip)
{
    return health_scale(&gossip->health,
                        rtt_timeout_us(gossip->rtt_p99_us, gossip->options.probe_timeout_min_us,
                                       gossip->options.probe_interval_us / 2));
}

static void change_health(struct gossip *gossip, int by)
{
    if (!GOSSIP_DEFECT(gossip, NO_LIFEGUARD)) health_change(&gossip->health, by);
}

/* Whether packets reach the member: only what a link answered says that they do not. */
static void judge_udp(struct probe *probe)
{
    struct member *target = probe->target;

    if (probe->is_acked_by_udp || !probe->is_acked) {
        target->udp_misses = 0;
    } else if (target->shown.is_linked && target->udp_misses < UDP_MISSES_MAX &&
               ++target->udp_misses == UDP_MISSES_MAX) {
        target->shown.is_udp_blocked = true;
    }
}

static void judge(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    int missing = probe->nacks_expected - probe->nacks;

    if (probe->target == NULL) return;
    judge_udp(probe);
    if (!probe->is_acked) {
        /* Those who were asked to ask answered nothing either: perhaps it is we who hear nothing. */
        change_health(gossip, probe->nacks_expected == 0 ? 1 : missing);
        merge_own_suspicion(gossip, probe->target, probe->incarnation);
    }
    probe->target = NULL;
}

static void begin(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    struct pending ping = {.type = PENDING_PING, .says_digest = gossip->digest_due};

    probe->target = gossip->is_leaving ? NULL : table_next_target(gossip);
    if (probe->target == NULL) return;
    gossip->digest_due = false;
    gossip->stats.probes++;
    probe->seq = ++gossip->next_seq & (RELAY_SEQ - 1);
    probe->sent_us = gossip->now_us;
    probe->incarnation = probe->target->shown.self.incarnation;
    probe->nacks = probe->nacks_expected = 0;
    probe->is_acked = probe->is_acked_by_udp = probe->asked_others = false;
    ping.member = probe->target;
    ping.seq = probe->seq;
    outbox_push(gossip, &ping);
    /* Packets are tried on, to notice when they get through again. */
    ping.by_link = probe->target->shown.is_udp_blocked && probe->target->shown.is_linked;
    if (ping.by_link) outbox_push(gossip, &ping);
    timers_arm(&gossip->timers, &gossip->probe_late_timer, gossip->now_us + timeout_us(gossip));
}

void probe_due(struct gossip *gossip)
{
    judge(gossip);
    begin(gossip);
    timers_arm(&gossip->timers, &gossip->probe_timer, gossip->now_us + interval_us(gossip));
}

static bool is_alive(const struct member *member)
{
    return member->shown.state == GOSSIP_ALIVE;
}

void probe_late(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    struct member *helpers[TABLE_DRAW_MAX];
    uint64_t rest_us = interval_us(gossip) - timeout_us(gossip);
    size_t count;

    if (probe->target == NULL || probe->is_acked) return;
    gossip->stats.probe_timeouts++;
    probe->asked_others = true;
    count = table_draw(gossip, gossip->options.indirect_probes, probe->target, is_alive, helpers);
    for (size_t i = 0; i < count; i++) {
        struct pending request = {.type = PENDING_PING_REQ, .member = helpers[i], .other = probe->target};
        request.seq = probe->seq;
        request.index = (uint32_t)(rest_us / 1000 > UINT16_MAX ? UINT16_MAX : rest_us / 1000);
        outbox_push(gossip, &request);
        gossip->stats.indirect_probes++;
    }
    probe->nacks_expected = GOSSIP_DEFECT(gossip, NO_LIFEGUARD) ? 0 : (uint8_t)count;
    if (probe->target->shown.is_linked)
        outbox_push(gossip, &(struct pending){
                                .type = PENDING_PING, .member = probe->target, .seq = probe->seq, .by_link = true});
    else
        links_borrow(gossip, probe->target);
}

static void answered(struct gossip *gossip)
{
    gossip->probe.is_acked = true;
    timers_cancel(&gossip->timers, &gossip->probe_late_timer);
}

void probe_on_ack(struct gossip *gossip, struct member *member, uint32_t seq, bool by_link)
{
    struct probe *probe = &gossip->probe;
    uint64_t took_us = gossip->now_us - probe->sent_us;

    if (member != probe->target || seq != probe->seq) return;
    if (!by_link && !probe->is_acked_by_udp) {
        uint32_t sample_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
        probe->is_acked_by_udp = true;
        member->shown.is_udp_blocked = false;
        member->shown.rtt_us = rtt_smooth(member->shown.rtt_us, sample_us);
        gossip->rtt_p99_us = rtt_percentile(gossip->rtt_p99_us, sample_us);
    }
    if (!probe->is_acked && !probe->asked_others) change_health(gossip, -1);
    answered(gossip);
}

void probe_on_relayed_ack(struct gossip *gossip, uint32_t seq)
{
    if (gossip->probe.target == NULL || seq != gossip->probe.seq) return;
    gossip->stats.indirect_acks++;
    answered(gossip);
}

void probe_on_nack(struct gossip *gossip, uint32_t seq)
{
    struct probe *probe = &gossip->probe;

    if (probe->target == NULL || seq != probe->seq || probe->nacks == probe->nacks_expected) return;
    gossip->stats.nacks++;
    probe->nacks++;
}

void probe_on_link_up(struct gossip *gossip, const struct member *member)
{
    if (member == gossip->probe.target && gossip->probe.asked_others) answered(gossip);
}

void probe_void(struct gossip *gossip)
{
    gossip->probe.target = NULL;
    timers_cancel(&gossip->timers, &gossip->probe_late_timer);
}

void probe_drop(struct gossip *gossip, const struct member *member)
{
    if (gossip->probe.target == member) probe_void(gossip);
}
