#include "gossip/outbox.h"

#include "base/bytes.h"
#include "base/error.h"
#include "gossip/mail.h"
#include "gossip/soft_store.h"
#include "gossip/spread.h"
#include "gossip/sync.h"

#include <stdlib.h>

#define PENDING_BASE       256
#define PENDING_PER_MEMBER 8

int outbox_reserve(struct gossip *gossip, size_t members)
{
    size_t capacity = PENDING_BASE + members * PENDING_PER_MEMBER;
    struct pending *pending;

    if (capacity <= gossip->pending_capacity) return 0;
    pending = malloc(capacity * sizeof(*pending));
    if (pending == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < gossip->pending_count; i++)
        pending[i] = gossip->pending[(gossip->pending_at + i) % gossip->pending_capacity];
    free(gossip->pending);
    gossip->pending = pending;
    gossip->pending_at = 0;
    gossip->pending_capacity = (uint32_t)capacity;
    return 0;
}

bool outbox_push(struct gossip *gossip, const struct pending *pending)
{
    uint32_t at = gossip->pending_at + gossip->pending_count;

    if (gossip->pending_count == gossip->pending_capacity) {
        gossip->stats.outputs_lost++;
        return false;
    }
    if (at >= gossip->pending_capacity) at -= gossip->pending_capacity;
    gossip->pending[at] = *pending;
    gossip->pending_count++;
    return true;
}

void outbox_push_plain(struct gossip *gossip, enum gossip_output_type type, const struct uuid *peer,
                       const struct net_address *address)
{
    struct pending pending = {.type = PENDING_PLAIN, .plain = (uint8_t)type};

    if (peer != NULL) pending.peer = *peer;
    if (address != NULL) pending.address = *address;
    outbox_push(gossip, &pending);
}

void outbox_report(struct gossip *gossip, struct member *member, enum gossip_state was, bool is_new)
{
    gossip->changed_us = gossip->now_us;
    if (!list_is_empty(&member->report)) return;
    list_push_back(&gossip->reports, &member->report);
    member->reported_was = was;
    member->is_new = is_new;
}

void outbox_tell(struct gossip *gossip, struct member *member)
{
    if (GOSSIP_DEFECT(gossip, ACCUSATION_NOT_RETURNED) || member->shown.state == GOSSIP_ALIVE) return;
    if (member->told_us != 0 && gossip->now_us - member->told_us < gossip->options.gossip_interval_us) return;
    member->told_us = gossip->now_us;
    outbox_push(gossip, &(struct pending){.type = PENDING_TELL, .member = member});
}

/* ---- making the bytes ---- */

static void to_member(const struct member *member, bool by_link, struct gossip_output *output)
{
    output->type = by_link ? GOSSIP_OUTPUT_MESSAGE : GOSSIP_OUTPUT_PACKET;
    output->peer = *member_id(member);
    output->address = member->shown.self.address;
}

static void to_peer(const struct pending *pending, struct gossip_output *output)
{
    output->type = pending->by_link ? GOSSIP_OUTPUT_MESSAGE : GOSSIP_OUTPUT_PACKET;
    output->peer = pending->peer;
    output->address = pending->address;
}

static bool has_frontier(const struct gossip *gossip)
{
    return gossip->self->shown.frontier.index > 0 || gossip->self->shown.frontier.term > 0;
}

/* What rides on every ping and answer. */
static void put_riders(struct gossip *gossip, struct item_writer *writer)
{
    if (has_frontier(gossip)) (void)codec_put_frontier(writer, &gossip->self->shown.frontier);
    spread_fill(gossip, writer);
}

static void make_ping(struct gossip *gossip, const struct pending *pending, struct item_writer *writer)
{
    const struct member *member = pending->member;

    (void)codec_put_ping(writer, pending->seq, member != NULL ? member_id(member) : &pending->peer);
    /* The buddy system: whoever is suspected hears it first. */
    if (member != NULL && member->shown.state == GOSSIP_SUSPECT && !GOSSIP_DEFECT(gossip, NO_LIFEGUARD))
        (void)spread_put_state(gossip, writer, member);
    if (pending->says_digest) (void)codec_put_digest(writer, gossip->members_hash, gossip->soft_hash);
    put_riders(gossip, writer);
}

static bool make_to_member(struct gossip *gossip, const struct pending *pending, struct item_writer *writer,
                           struct gossip_output *output)
{
    struct member *member = pending->member;
    bool by_link = member->shown.is_linked && member->shown.is_udp_blocked;

    switch ((enum pending_type)pending->type) {
    case PENDING_PING:
        make_ping(gossip, pending, writer);
        by_link = pending->by_link;
        break;
    case PENDING_PING_REQ:
        (void)codec_put_ping_req(writer, pending->seq, (uint16_t)pending->index, member_id(pending->other),
                                 &pending->other->shown.self.address);
        spread_fill(gossip, writer);
        break;
    case PENDING_MAIL:
        if (!mail_write(gossip, member, writer)) return false;
        by_link = mail_goes_by_link(member);
        break;
    case PENDING_RUMOUR: spread_fill(gossip, writer); break;
    case PENDING_STRANGER: {
        const struct stranger *stranger = &gossip->strangers[pending->index];
        (void)codec_put_accusation(writer, stranger->type, &stranger->subject, stranger->incarnation, stranger->age_s,
                                   stranger->accusers, stranger->accuser_count);
        break;
    }
    case PENDING_TELL:
        /* Of who is faded nobody else reminds it: it may have lost the boot that it is accused in. */
        if (member->is_faded)
            (void)codec_put_alive(writer, slice_of(member->raw, member->raw_size), member->signature);
        (void)spread_put_state(gossip, writer, member);
        break;
    default: return false;
    }
    to_member(member, by_link, output);
    return !codec_is_empty(writer);
}

static bool make_to_peer(struct gossip *gossip, const struct pending *pending, struct item_writer *writer,
                         struct gossip_output *output)
{
    switch ((enum pending_type)pending->type) {
    case PENDING_PING_TO: make_ping(gossip, pending, writer); break;
    case PENDING_ANSWER:
        (void)codec_put_seq(writer, pending->answer, pending->seq);
        if (pending->says_who) (void)codec_put_who(writer);
        if (pending->says_observed) (void)codec_put_observed(writer, &pending->address);
        put_riders(gossip, writer);
        break;
    case PENDING_MAIL_ACK:
        (void)codec_put_serial(writer, ITEM_MAIL_ACK, pending->serial);
        if (pending->says_who) (void)codec_put_who(writer);
        break;
    case PENDING_INTRODUCE:
        (void)codec_put_alive(writer, slice_of(gossip->self->raw, gossip->self->raw_size), gossip->self->signature);
        if (gossip->is_leaving) (void)spread_put_state(gossip, writer, gossip->self);
        break;
    case PENDING_HELLO: sync_put_hello(gossip, pending, writer); break;
    default: return false;
    }
    to_peer(pending, output);
    return true;
}

static bool make_soft(struct gossip *gossip, struct pending *pending, struct item_writer *writer,
                      struct gossip_output *output, bool *ret_again)
{
    struct soft_summary summary;

    if (pending->type == PENDING_SOFT) {
        uint64_t from = pending->from;
        (void)soft_put_changes(gossip, writer, pending->other, &pending->from, &pending->gc_version);
        /* Over a link all of it goes; what a packet cannot hold waits for the next digest. */
        *ret_again = pending->by_link && pending->from != from && pending->from < pending->other->soft.version;
    } else {
        soft_summary_of(pending->other, &summary);
        if (pending->wants_all) summary.version = summary.gc_version = 0;
        codec_summary_put(codec_put_summaries(writer, 1), &summary);
    }
    to_member(pending->member, pending->by_link, output);
    return !codec_is_empty(writer);
}

static void make_plain(const struct pending *pending, struct gossip_output *output)
{
    output->type = (enum gossip_output_type)pending->plain;
    output->peer = pending->peer;
    output->address = pending->address;
    output->boot = pending->index;
}

/* What changed is said before anything is sent. */
static bool next_report(struct gossip *gossip, struct gossip_output *output)
{
    struct list_node *node = list_pop_front(&gossip->reports);

    if (node != NULL) {
        struct member *member = container_of(node, struct member, report);
        output->type = GOSSIP_OUTPUT_MEMBER;
        output->peer = *member_id(member);
        output->member = &member->shown;
        output->was = member->reported_was;
        output->is_new = member->is_new;
        return true;
    }
    node = list_pop_front(&gossip->soft_reports);
    if (node == NULL) return false;
    output->type = GOSSIP_OUTPUT_SOFT;
    output->peer = container_of(node, struct soft_entry, report)->origin;
    output->key = soft_entry_key(container_of(node, struct soft_entry, report));
    return true;
}

/* True when it yielded an output; *ret_again when there is more of it. */
static bool make(struct gossip *gossip, struct pending *pending, struct gossip_output *output, bool *ret_again)
{
    struct item_writer writer;
    bool by_link = pending->by_link || pending->type == PENDING_SYNC || pending->type == PENDING_SUMMARY ||
                   pending->type == PENDING_HELLO;
    bool made;

    if (pending->type == PENDING_PLAIN) {
        make_plain(pending, output);
        return true;
    }
    codec_start(&writer, gossip->room, by_link ? OUTBOX_ROOM : GOSSIP_PACKET_MAX);
    switch ((enum pending_type)pending->type) {
    case PENDING_PING:
    case PENDING_PING_REQ:
    case PENDING_MAIL:
    case PENDING_RUMOUR:
    case PENDING_STRANGER:
    case PENDING_TELL: made = make_to_member(gossip, pending, &writer, output); break;
    case PENDING_ASK_SOFT:
    case PENDING_SOFT: made = make_soft(gossip, pending, &writer, output, ret_again); break;
    case PENDING_SYNC:
    case PENDING_SUMMARY:
        to_member(pending->member, pending->member->shown.is_linked, output);
        made = sync_put_piece(gossip, pending, &writer, ret_again);
        break;
    default: made = make_to_peer(gossip, pending, &writer, output);
    }
    if (!made) return false;
    output->bytes = codec_bytes(&writer);
    if (output->type == GOSSIP_OUTPUT_PACKET) {
        gossip->stats.packets_out++;
        gossip->stats.bytes_out += output->bytes.size;
    } else {
        gossip->stats.messages_out++;
    }
    return true;
}

bool gossip_next_output(struct gossip *gossip, uint64_t now_us, struct gossip_output *ret_output)
{
    if (now_us > gossip->now_us) gossip->now_us = now_us;
    bytes_clear(ret_output, sizeof(*ret_output));
    if (next_report(gossip, ret_output)) return true;
    while (gossip->pending_count > 0) {
        struct pending *pending = &gossip->pending[gossip->pending_at];
        bool again = false, made;
        made = make(gossip, pending, ret_output, &again);
        if (!again) {
            gossip->pending_at = gossip->pending_at + 1 == gossip->pending_capacity ? 0 : gossip->pending_at + 1;
            gossip->pending_count--;
        }
        if (made) return true;
    }
    return false;
}
