#include "gossip/sync.h"

#include "gossip/links.h"
#include "gossip/outbox.h"
#include "gossip/soft.h"
#include "gossip/spread.h"

#define SETTLE_US 1000000 /* after the last change of the table */
#define PATIENCE  6       /* digest intervals */

/* Items of one member at most: its self, and what is said of it. */
#define MEMBER_BYTES_MAX (CODEC_SELF_MAX + GOSSIP_SIGNATURE + 256)

void sync_put_hello(struct gossip *gossip, const struct pending *pending, struct item_writer *writer)
{
    (void)codec_put_observed(writer, &pending->address);
    /* An address that nobody can dial is not announced: the peer's OBSERVED gives us a better one, and then we are. */
    if (!net_address_is_wildcard(&gossip->self->shown.self.address))
        (void)codec_put_alive(writer, slice_of(gossip->self->raw, gossip->self->raw_size), gossip->self->signature);
    if (pending->other != NULL) (void)spread_put_state(gossip, writer, pending->other);
    (void)codec_put_digest(writer, gossip->members_hash, gossip->soft_hash);
}

static bool put_members(struct gossip *gossip, struct pending *pending, struct item_writer *writer, bool *ret_again)
{
    if (pending->index == 0) (void)codec_put_sync(writer, pending->wants_reply);
    while (pending->index < gossip->member_count) {
        const struct member *member = gossip->members[pending->index];
        if (writer->end - writer->at < MEMBER_BYTES_MAX) {
            *ret_again = true;
            return true;
        }
        pending->index++;
        if (member->is_faded) continue;
        (void)codec_put_alive(writer, slice_of(member->raw, member->raw_size), member->signature);
        (void)spread_put_state(gossip, writer, member);
    }
    return true;
}

static bool put_summaries(struct gossip *gossip, struct pending *pending, struct item_writer *writer, bool *ret_again)
{
    size_t room = (size_t)(writer->end - writer->at - 8) / CODEC_SOFT_SUMMARY, count = 0;
    struct soft_summary summary;
    uint32_t from = pending->index;
    uint8_t *at;

    for (; pending->index < gossip->member_count && count < room; pending->index++)
        count += member_is_live(gossip->members[pending->index]);
    if (count == 0) return false;
    at = codec_put_summaries(writer, count);
    for (uint32_t i = from; i < pending->index; i++) {
        if (!member_is_live(gossip->members[i])) continue;
        soft_summary_of(gossip->members[i], &summary);
        at = codec_summary_put(at, &summary);
    }
    *ret_again = pending->index < gossip->member_count;
    return true;
}

bool sync_put_piece(struct gossip *gossip, struct pending *pending, struct item_writer *writer, bool *ret_again)
{
    if (!pending->member->shown.is_linked) {
        if (pending->type == PENDING_SYNC) return false;
        /* Versions are worth packets too. */
        writer->end = writer->start + GOSSIP_PACKET_MAX;
    }
    if (pending->type == PENDING_SYNC) return put_members(gossip, pending, writer, ret_again);
    return put_summaries(gossip, pending, writer, ret_again);
}

/* Differences that are being spread settle by themselves; but where something always is, they are not left for ever. */
static bool is_time(const struct gossip *gossip, uint64_t last_us, uint64_t quiet_us)
{
    return (spread_is_idle(gossip) && gossip->now_us - quiet_us >= SETTLE_US) ||
           gossip->now_us - last_us >= PATIENCE * (uint64_t)gossip->options.digest_interval_us;
}

void sync_on_digest(struct gossip *gossip, struct member *teller, uint64_t members, uint64_t soft, bool by_link)
{
    if (GOSSIP_DEFECT(gossip, NO_ANTI_ENTROPY) && !by_link) return;
    if (members != gossip->members_hash && (by_link || is_time(gossip, teller->synced_us, gossip->changed_us))) {
        if (teller->synced_us != 0 && gossip->now_us - teller->synced_us < gossip->options.digest_interval_us / 2 &&
            !by_link)
            return;
        teller->synced_us = gossip->now_us;
        if (!teller->shown.is_linked) {
            links_borrow(gossip, teller); /* the hello of the new link carries the digest again */
            return;
        }
        gossip->stats.syncs++;
        outbox_push(gossip, &(struct pending){.type = PENDING_SYNC, .member = teller, .wants_reply = !by_link});
    }
    if (soft != gossip->soft_hash && (by_link || is_time(gossip, teller->summarised_us, 0))) {
        teller->summarised_us = gossip->now_us;
        outbox_push(gossip, &(struct pending){.type = PENDING_SUMMARY, .member = teller});
    }
}

void sync_on_request(struct gossip *gossip, struct member *asker, bool wants_reply)
{
    asker->synced_us = gossip->now_us;
    if (wants_reply) outbox_push(gossip, &(struct pending){.type = PENDING_SYNC, .member = asker});
}
