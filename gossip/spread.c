#include "gossip/spread.h"

#include "base/assert.h"
#include "gossip/mail.h"
#include "gossip/outbox.h"
#include "gossip/soft.h"
#include "gossip/table.h"

#include <math.h>

#define PIECES_MAX 64 /* rumours in one packet */

void spread_init(struct gossip *gossip)
{
    for (int rank = 0; rank < SPREAD_CLASSES; rank++)
        for (int i = 0; i <= SPREAD_TRANSMITS_MAX; i++)
            list_init(&gossip->queue[rank][i]);
}

unsigned spread_limit(size_t members, unsigned mult)
{
    unsigned limit = mult;

    for (size_t power = 10; power < members + 1; power *= 10)
        limit += mult;
    return limit < SPREAD_TRANSMITS_MAX ? limit : SPREAD_TRANSMITS_MAX;
}

static struct member *member_of(const struct spread_slot *slot)
{
    return container_of(slot - slot->what, struct member, slots[0]);
}

void spread_announce(struct gossip *gossip, struct member *member, enum spread_what what, enum spread_class rank,
                     enum spread_reach reach)
{
    struct spread_slot *slot = &member->slots[what];

    if (reach == SPREAD_URGENT || (reach == SPREAD_OWN && gossip_size(gossip) <= gossip->options.direct_members_max))
        mail_announce(gossip, slot, reach == SPREAD_URGENT);
    if (what == SPREAD_GONE) return; /* a witness speaks for itself: nobody passes that on */
    if (!slot->is_rumoured) gossip->queued++;
    slot->is_rumoured = true;
    slot->rank = (uint8_t)rank;
    slot->transmits = 0;
    list_remove(&slot->rumour);
    list_push_back(&gossip->queue[rank][0], &slot->rumour);
    if (!timer_is_armed(&gossip->rumour_timer))
        timers_arm(&gossip->timers, &gossip->rumour_timer,
                   gossip->now_us + random_below(&gossip->random, gossip->options.gossip_interval_us));
}

static void drop_rumour(struct gossip *gossip, struct spread_slot *slot)
{
    if (!slot->is_rumoured) return;
    list_remove(&slot->rumour);
    slot->is_rumoured = false;
    gossip->queued--;
}

void spread_cancel(struct gossip *gossip, struct member *member, enum spread_what what)
{
    drop_rumour(gossip, &member->slots[what]);
    mail_drop(&member->slots[what]);
}

void spread_cancel_all(struct gossip *gossip, struct member *member)
{
    for (int what = 0; what < SPREAD_WHATS; what++)
        spread_cancel(gossip, member, what);
}

bool spread_put_state(const struct gossip *gossip, struct item_writer *writer, const struct member *member)
{
    const struct gossip_self *self = &member->shown.self;
    uint64_t age_s = member->died_us < gossip->now_us ? (gossip->now_us - member->died_us) / 1000000 : 0;

    if (age_s > UINT32_MAX) age_s = UINT32_MAX;
    switch (member->shown.state) {
    case GOSSIP_ALIVE: return true;
    case GOSSIP_SUSPECT:
        return codec_put_accusation(writer, ITEM_SUSPECT, &self->id, self->incarnation, 0,
                                    member->suspicion.accusers, member->suspicion.accuser_count);
    case GOSSIP_DEAD:
        return codec_put_accusation(writer, ITEM_DEAD, &self->id, self->incarnation, (uint32_t)age_s,
                                    member->suspicion.accusers, member->suspicion.accuser_count);
    case GOSSIP_LEFT:
        return codec_put_left(writer, &self->id, self->incarnation, (uint32_t)age_s, member->left_signature);
    }
    return true;
}

bool spread_put(struct gossip *gossip, struct item_writer *writer, const struct spread_slot *slot)
{
    const struct member *member = member_of(slot);

    switch ((enum spread_what)slot->what) {
    case SPREAD_SELF:
        return codec_put_alive(writer, slice_of(member->raw, member->raw_size), member->signature);
    case SPREAD_STATE: return spread_put_state(gossip, writer, member);
    case SPREAD_GONE:
        return !member->has_observed ||
               codec_put_gone(writer, member_id(member), member->shown.self.incarnation);
    case SPREAD_VALUES: return soft_put_news(gossip, writer, member);
    case SPREAD_WHATS: break;
    }
    return true;
}

uint32_t spread_size(const struct spread_slot *slot)
{
    const struct member *member = member_of((struct spread_slot *)slot);

    switch ((enum spread_what)slot->what) {
    case SPREAD_SELF: return 3u + member->raw_size + GOSSIP_SIGNATURE;
    case SPREAD_STATE:
        if (member->shown.state == GOSSIP_LEFT) return UUID_SIZE + 12 + GOSSIP_SIGNATURE;
        return UUID_SIZE + 12 + member->suspicion.accuser_count * (uint32_t)UUID_SIZE;
    case SPREAD_GONE: return UUID_SIZE + 10;
    default: return GOSSIP_PACKET_MAX / 4; /* what soft state gets of a packet */
    }
}

/* Takes what fits from one class, the least often sent first, into `sent`. Looks at few that do not fit. */
static void fill_from(struct gossip *gossip, struct item_writer *writer, enum spread_class rank,
                      struct list_node *sent, unsigned *pieces)
{
    unsigned misses = 0;

    for (int transmits = 0; transmits <= SPREAD_TRANSMITS_MAX; transmits++) {
        list_for_each_safe(node, &gossip->queue[rank][transmits])
        {
            struct spread_slot *slot = container_of(node, struct spread_slot, rumour);
            if (*pieces == PIECES_MAX || misses == 4) return;
            if (!spread_put(gossip, writer, slot)) {
                misses++;
                continue;
            }
            (*pieces)++;
            list_remove(node);
            list_push_back(sent, node);
        }
    }
}

void spread_fill(struct gossip *gossip, struct item_writer *writer)
{
    unsigned limit = spread_limit(gossip_size(gossip), gossip->options.retransmit_mult), pieces = 0;
    uint8_t *end = writer->end;
    struct list_node sent;

    if (gossip->queued == 0) return;
    list_init(&sent);
    /* Soft state is worth the least but never nothing: membership leaves it a quarter of each packet. */
    if (!GOSSIP_DEFECT(gossip, STARVATION) && end - writer->at > 512) writer->end -= (end - writer->at) / 4;
    for (int rank = 0; rank < SPREAD_CLASSES; rank++) {
        if (rank == SPREAD_SOFT) writer->end = end;
        fill_from(gossip, writer, rank, &sent, &pieces);
    }
    while (!list_is_empty(&sent)) {
        struct spread_slot *slot = container_of(list_pop_front(&sent), struct spread_slot, rumour);
        slot->transmits++;
        if (slot->transmits >= limit)
            drop_rumour(gossip, slot);
        else
            list_push_back(&gossip->queue[slot->rank][slot->transmits], &slot->rumour);
    }
}

void spread_tick(struct gossip *gossip)
{
    struct member *members[TABLE_DRAW_MAX];
    size_t count;

    /* Alone, there is nobody to tell: the first other member is news itself, which starts the timer again. */
    if (gossip->queued == 0 || gossip->member_count == 1) return;
    count = table_draw(gossip, gossip->options.fan_out, NULL, NULL, members);
    for (size_t i = 0; i < count; i++)
        outbox_push(gossip, &(struct pending){.type = PENDING_RUMOUR, .member = members[i]});
    /* Somebody dead is told as well: perhaps it only seemed so. */
    if (gossip->member_count > gossip->pool_count + 1) {
        struct member *member = gossip->members[random_below(&gossip->random, gossip->member_count)];
        if (member->shown.state == GOSSIP_DEAD && gossip->now_us - member->shown.changed_us < RECENTLY_DEAD_US)
            outbox_push(gossip, &(struct pending){.type = PENDING_TELL, .member = member});
    }
    timers_arm(&gossip->timers, &gossip->rumour_timer, gossip->now_us + gossip->options.gossip_interval_us);
}
