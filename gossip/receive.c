#include "base/error.h"
#include "gossip/address.h"
#include "gossip/event.h"
#include "gossip/links.h"
#include "gossip/mail.h"
#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/probe.h"
#include "gossip/relay.h"
#include "gossip/soft.h"
#include "gossip/sync.h"
#include "gossip/table.h"

#define BOOT_OF_LINK 0 /* a link belongs to one process: nothing needs to be compared */

/* Who speaks, and how. */
struct source {
    const struct uuid *from;
    struct member *member; /* NULL: not known, or known only in an earlier boot */
    const struct net_address *address;
    bool by_link;
};

static void answer(struct gossip *gossip, const struct source *source, enum item_type what, uint32_t seq)
{
    const struct net_address *said = source->member != NULL ? &source->member->shown.self.address : source->address;

    outbox_push(gossip, &(struct pending){.type = PENDING_ANSWER,
                                          .answer = (uint8_t)what,
                                          .seq = seq,
                                          .peer = *source->from,
                                          .address = *source->address,
                                          .by_link = source->by_link,
                                          .says_who = source->member == NULL,
                                          .says_observed = !source->by_link &&
                                                           !net_address_equal(said, source->address)});
}

static void on_ack(struct gossip *gossip, const struct source *source, uint32_t seq)
{
    if (seq & RELAY_SEQ)
        relay_on_ack(gossip, source->from, seq);
    else if (source->member != NULL)
        probe_on_ack(gossip, source->member, seq, source->by_link);
}

static void on_frontier(struct gossip *gossip, struct member *member, const struct gossip_frontier *frontier)
{
    const struct gossip_frontier *ours = &gossip->self->shown.frontier, *before = &member->shown.frontier;
    bool is_same = before->term == frontier->term && before->index == frontier->index &&
                   before->chain == frontier->chain;

    if (is_same || (frontier->index < before->index && frontier->term <= before->term)) return;
    member->shown.frontier = *frontier;
    /* The same index with another chain is worth a look too: the caller finds corruption or a second mesh. */
    if (frontier->index > ours->index || (frontier->index == ours->index && frontier->chain != ours->chain))
        outbox_push_plain(gossip, GOSSIP_OUTPUT_FRONTIER, member_id(member), NULL);
}

static void on_accusation(struct gossip *gossip, const struct source *source, const struct item *item)
{
    struct accusation accusation = {.type = item->type,
                                    .subject = &item->accusation.subject,
                                    .incarnation = item->accusation.incarnation,
                                    .age_s = item->accusation.age_s,
                                    .accusers = item->accusation.accusers,
                                    .accuser_count = item->accusation.accuser_count};

    if (accusation.accuser_count == 0) { /* nobody else is named: who speaks is it */
        accusation.accusers = source->from;
        accusation.accuser_count = 1;
    }
    merge_accusation(gossip, &accusation, source->from, source->address, source->by_link);
}

static void on_alive(struct gossip *gossip, struct source *source, const struct item *item, uint32_t boot)
{
    merge_alive(gossip, item);
    if (source->member != NULL || !uuid_equal(&item->alive.id, source->from)) return;
    source->member = table_find(gossip, source->from);
    if (source->member != NULL && boot != BOOT_OF_LINK &&
        boot_of(source->member->shown.self.incarnation) != boot)
        source->member = NULL;
    if (source->member != NULL && source->by_link) links_mark_up(gossip, source->member);
}

static void on_gone(struct gossip *gossip, const struct source *source, const struct item *item)
{
    struct member *member = table_find(gossip, &item->gone.subject);

    if (member != NULL && member != gossip->self && source->member != NULL)
        merge_gone(gossip, member, item->gone.incarnation, source->from);
}

/* Items that mean something from members only. */
static void handle_from_member(struct gossip *gossip, const struct source *source, const struct item *item)
{
    struct member *member = source->member;

    if (member == NULL) return;
    switch ((enum item_type)item->type) {
    case ITEM_FRONTIER: on_frontier(gossip, member, &item->frontier); break;
    case ITEM_DIGEST:
        sync_on_digest(gossip, member, item->digest.members, item->digest.soft, source->by_link);
        break;
    case ITEM_MAIL_ACK: mail_acknowledged(gossip, member, item->serial); break;
    case ITEM_SYNC:
        if (source->by_link) sync_on_request(gossip, member, item->wants_reply);
        break;
    case ITEM_SOFT: soft_merge(gossip, &item->soft, member, source->by_link); break;
    case ITEM_SOFT_DIGEST: soft_compare(gossip, item->summaries, member); break;
    default: break;
    }
}

static void handle(struct gossip *gossip, struct source *source, const struct item *item, uint32_t boot)
{
    switch ((enum item_type)item->type) {
    case ITEM_PING: answer(gossip, source, ITEM_ACK, item->ping.seq); break;
    case ITEM_ACK: on_ack(gossip, source, item->seq); break;
    case ITEM_PING_REQ: relay_begin(gossip, item, source->from, source->address, source->by_link); break;
    case ITEM_NACK: probe_on_nack(gossip, item->seq); break;
    case ITEM_RELAYED_ACK: probe_on_relayed_ack(gossip, item->seq); break;
    case ITEM_ALIVE: on_alive(gossip, source, item, boot); break;
    case ITEM_SUSPECT:
    case ITEM_DEAD: on_accusation(gossip, source, item); break;
    case ITEM_LEFT: merge_left(gossip, item); break;
    case ITEM_GONE: on_gone(gossip, source, item); break;
    case ITEM_WHO:
        outbox_push(gossip, &(struct pending){.type = PENDING_INTRODUCE,
                                              .peer = *source->from,
                                              .address = *source->address,
                                              .by_link = source->by_link});
        break;
    case ITEM_OBSERVED: /* the first to tell a broker its address is one that it does not know yet */
        address_on_observed(gossip, source->from, &item->observed, source->by_link);
        break;
    case ITEM_MAIL:
        outbox_push(gossip, &(struct pending){.type = PENDING_MAIL_ACK,
                                              .serial = item->serial,
                                              .peer = *source->from,
                                              .address = *source->address,
                                              .by_link = source->by_link,
                                              .says_who = source->member == NULL});
        break;
    default: handle_from_member(gossip, source, item);
    }
}

/* Whether all of it can be read and is meant for us. Nothing is done before that is known. */
static bool is_sound(struct gossip *gossip, struct slice bytes, struct item_reader *ret_reader)
{
    struct item_reader reader;
    struct item item;
    int more = codec_open(bytes, &reader);

    if (more == 0) {
        *ret_reader = reader;
        more = 1;
    }
    while (more > 0 && (more = codec_next(&reader, &item)) > 0) {
        if (item.type != ITEM_PING || uuid_equal(&item.ping.target, member_id(gossip->self)) ||
            GOSSIP_DEFECT(gossip, TARGET_UNCHECKED))
            continue;
        gossip->stats.wrong_target++;
        return false;
    }
    if (more == 0) {
        ret_reader->is_sound = true;
        return true;
    }
    gossip->stats.malformed++;
    return false;
}

static void receive(struct gossip *gossip, struct source *source, uint32_t boot, struct slice bytes)
{
    struct item_reader reader;
    struct item item;

    if (gossip->has_left || uuid_equal(source->from, member_id(gossip->self)) || !is_sound(gossip, bytes, &reader))
        return;
    if (source->member != NULL && boot != BOOT_OF_LINK && boot_of(source->member->shown.self.incarnation) != boot)
        source->member = NULL; /* a later boot, which has not been introduced yet */
    if (source->member != NULL) source->member->shown.heard_us = gossip->now_us;
    /* A link may come up before its peer is known, and others may introduce that peer before it does so itself. */
    if (source->member != NULL && source->by_link) links_mark_up(gossip, source->member);
    while (codec_next(&reader, &item) > 0)
        handle(gossip, source, &item, boot);
    if (source->member != NULL && source->member->shown.state != GOSSIP_LEFT) outbox_tell(gossip, source->member);
}

void gossip_receive_packet(struct gossip *gossip, uint64_t now_us, const struct uuid *from, uint32_t boot,
                           const struct net_address *address, struct slice packet)
{
    struct source source = {.from = from, .address = address, .by_link = false};

    gossip_begin_event(gossip, now_us);
    source.member = table_find(gossip, from);
    gossip->stats.packets_in++;
    gossip->stats.bytes_in += packet.size;
    if (source.member != NULL && boot < boot_of(source.member->shown.self.incarnation) &&
        !GOSSIP_DEFECT(gossip, OLD_BOOT_ACCEPTED)) {
        gossip->stats.old_boot++;
        return;
    }
    if (packet.size > GOSSIP_PACKET_MAX) {
        gossip->stats.malformed++;
        return;
    }
    receive(gossip, &source, boot, packet);
}

void gossip_receive_message(struct gossip *gossip, uint64_t now_us, const struct uuid *peer, struct slice message)
{
    static const struct net_address nowhere;
    struct source source = {.from = peer, .address = &nowhere, .by_link = true};

    gossip_begin_event(gossip, now_us);
    source.member = table_find(gossip, peer);
    gossip->stats.messages_in++;
    if (message.size > GOSSIP_MESSAGE_MAX) {
        gossip->stats.malformed++;
        return;
    }
    receive(gossip, &source, BOOT_OF_LINK, message);
}
