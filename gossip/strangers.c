#include "gossip/strangers.h"

#include "gossip/outbox.h"
#include "gossip/table.h"

static struct stranger *place_for(struct gossip *gossip, const struct uuid *subject)
{
    struct stranger *oldest = &gossip->strangers[0];

    for (int i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *stranger = &gossip->strangers[i];
        if (stranger->used != 0 && uuid_equal(&stranger->subject, subject)) return stranger;
        if (stranger->used < oldest->used) oldest = stranger;
    }
    return oldest;
}

static bool is_known(const struct stranger *stranger, const struct accusation *accusation)
{
    return stranger->used != 0 && uuid_equal(&stranger->subject, accusation->subject) &&
           (stranger->incarnation > accusation->incarnation ||
            (stranger->incarnation == accusation->incarnation && stranger->type >= accusation->type));
}

void strangers_keep(struct gossip *gossip, const struct accusation *accusation)
{
    struct stranger *stranger = place_for(gossip, accusation->subject);
    struct member *members[TABLE_DRAW_MAX];
    size_t count;

    if (is_known(stranger, accusation)) return;
    *stranger = (struct stranger){.subject = *accusation->subject,
                                  .incarnation = accusation->incarnation,
                                  .used = ++gossip->stranger_clock,
                                  .age_s = accusation->age_s,
                                  .type = accusation->type,
                                  .accuser_count = accusation->accuser_count};
    memcpy(stranger->accusers, accusation->accusers, accusation->accuser_count * sizeof(struct uuid));
    count = table_draw(gossip, gossip->options.fan_out, NULL, NULL, members);
    for (size_t i = 0; i < count; i++)
        outbox_push(gossip, &(struct pending){.type = PENDING_STRANGER,
                                              .member = members[i],
                                              .index = (uint32_t)(stranger - gossip->strangers)});
}

void strangers_apply(struct gossip *gossip, const struct member *member)
{
    struct stranger *stranger, said;
    struct accusation accusation;

    if (gossip->stranger_clock == 0) return;
    stranger = place_for(gossip, member_id(member));
    if (stranger->used == 0 || !uuid_equal(&stranger->subject, member_id(member)) ||
        stranger->incarnation > member->shown.self.incarnation)
        return;
    said = *stranger;
    stranger->used = 0;
    if (said.incarnation < member->shown.self.incarnation) return;
    accusation = (struct accusation){.type = said.type,
                                     .subject = &said.subject,
                                     .incarnation = said.incarnation,
                                     .age_s = said.age_s,
                                     .accusers = said.accusers,
                                     .accuser_count = said.accuser_count};
    merge_accusation(gossip, &accusation, NULL, NULL, false);
}
