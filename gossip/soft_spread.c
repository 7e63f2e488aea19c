#include "gossip/merge.h"
#include "gossip/outbox.h"
#include "gossip/soft_store.h"
#include "gossip/spread.h"
#include "gossip/table.h"

/* Writes (from, to] as far as it fits; returns the version reached. */
static uint64_t put_range(struct item_writer *writer, const struct member *member, uint64_t from, bool is_reset)
{
    const struct soft_origin *soft = &member->soft;
    struct item_soft head = {.origin = *member_id(member),
                             .boot = boot_of(member->shown.self.incarnation),
                             .from = from,
                             .to = from,
                             .gc_version = soft->gc_version,
                             .is_reset = is_reset};
    const struct list_node *node = soft->entries.previous;
    struct soft_writer entries;

    if (!codec_soft_begin(writer, &entries)) return from;
    while (node != &soft->entries && container_of(node, struct soft_entry, by_version)->version > from)
        node = node->previous;
    for (node = node->next; node != &soft->entries; node = node->next) {
        const struct soft_entry *entry = container_of(node, struct soft_entry, by_version);
        if (!codec_soft_put(&entries, &(struct soft_change){entry->version, entry->is_deleted, soft_entry_key(entry),
                                                            soft_entry_value(entry)}))
            break;
        head.to = entry->version;
    }
    if (node == &soft->entries) head.to = soft->version; /* what came between was overwritten since */
    codec_soft_end(&entries, &head);
    return head.to;
}

bool soft_put_changes(struct gossip *gossip, struct item_writer *writer, const struct member *member, uint64_t *from,
                      uint64_t *gc_version)
{
    bool is_reset = *from < member->soft.gc_version && *gc_version < member->soft.gc_version;
    uint64_t to;

    if (*from >= member->soft.version) return true;
    if (is_reset) {
        *from = 0;
        gossip->stats.soft_resets++;
    }
    to = put_range(writer, member, *from, is_reset);
    if (to == *from && !is_reset) return false;
    *from = to;
    *gc_version = member->soft.gc_version; /* the next piece goes on */
    return true;
}

bool soft_put_news(struct gossip *gossip, struct item_writer *writer, const struct member *member)
{
    const struct soft_origin *soft = &member->soft;
    uint64_t from = soft->spread_from > soft->gc_version ? soft->spread_from : soft->gc_version;

    (void)gossip;
    return from >= soft->version || put_range(writer, member, from, false) > from;
}

void soft_summary_of(const struct member *member, struct soft_summary *ret_summary)
{
    ret_summary->origin = *member_id(member);
    ret_summary->boot = boot_of(member->shown.self.incarnation);
    ret_summary->version = member->soft.version;
    ret_summary->gc_version = member->soft.gc_version;
}

static void ask(struct gossip *gossip, struct member *teller, struct member *origin)
{
    outbox_push(gossip, &(struct pending){.type = PENDING_ASK_SOFT,
                                          .member = teller,
                                          .other = origin,
                                          .by_link = teller->shown.is_linked});
}

/* Stores what is newer than what we have; stops where there is no room and stays at the prefix that it holds. */
static uint64_t apply(struct gossip *gossip, struct member *member, const struct item_soft *soft)
{
    struct slice entries = soft->entries;
    struct soft_change change;
    uint64_t reached = member->soft.version;

    while (codec_soft_next(&entries, &change) > 0) {
        if (change.version <= member->soft.version) continue;
        if (soft_store(gossip, member, &change) != 0) return reached;
        reached = change.version;
    }
    return soft->to;
}

/* Whether the changes connect with those that are here. The rest of a reset lacks the tombstones that its origin has collected:
 * it is for those that began anew with the reset, and for those that have seen all these deletions. */
static bool connects(const struct gossip *gossip, const struct member *member, const struct item_soft *soft)
{
    (void)gossip; /* without switches */
    if (soft->from > member->soft.version) return GOSSIP_DEFECT(gossip, GAPS_TAKEN);
    if (soft->from >= soft->gc_version || member->soft.gc_version >= soft->gc_version ||
        member->soft.version >= soft->gc_version)
        return true;
    return GOSSIP_DEFECT(gossip, REST_OF_RESET_TAKEN);
}

void soft_merge(struct gossip *gossip, const struct item_soft *soft, struct member *teller, bool by_link)
{
    struct member *member = table_find(gossip, &soft->origin);
    bool is_first_hand = by_link && member != NULL && teller == member;
    uint64_t before;

    if (member == NULL || member == gossip->self || !member_is_live(member) ||
        soft->boot != boot_of(member->shown.self.incarnation))
        return;
    /* All of it, from its own mouth, as we wanted: whatever others said does not count. */
    if (is_first_hand && soft->from == 0 && member->soft.is_doubted) {
        soft_clear(gossip, member);
        member->soft.gc_version = soft->gc_version;
        table_rehash(gossip, member);
    }
    if (soft->is_reset && soft->gc_version > member->soft.gc_version && member->soft.version < soft->gc_version) {
        soft_clear(gossip, member);
        member->soft.gc_version = soft->gc_version;
    }
    if (soft->to <= member->soft.version) return;
    if (!connects(gossip, member, soft)) {
        if (teller != NULL) ask(gossip, teller, member);
        return;
    }
    before = member->soft.version;
    member->soft.version = apply(gossip, member, soft);
    if (member->soft.version == before) return;
    if (is_first_hand && before == member->soft.confirmed) member->soft.confirmed = member->soft.version;
    soft_collect(gossip, member, soft->gc_version);
    if (!member->slots[SPREAD_VALUES].is_rumoured) member->soft.spread_from = before;
    table_rehash(gossip, member);
    spread_announce(gossip, member, SPREAD_VALUES, SPREAD_SOFT, SPREAD_HEARD);
}

#define UNSIGNED_CONFLICT_US 30000000

/* Nothing proves it, and each time costs a boot: who lies has to be patient. */
static bool is_time_to_believe(struct gossip *gossip)
{
    if (gossip->soft_conflict_us != 0 && gossip->now_us - gossip->soft_conflict_us < UNSIGNED_CONFLICT_US) return false;
    gossip->soft_conflict_us = gossip->now_us;
    return true;
}

void soft_compare(struct gossip *gossip, struct slice summaries, struct member *teller)
{
    struct soft_summary theirs;

    for (size_t i = 0; i < summaries.size / CODEC_SOFT_SUMMARY; i++) {
        struct member *member;
        codec_summary_at(summaries, i, &theirs);
        member = table_find(gossip, &theirs.origin);
        /* More of our own values than we have set: another life of this broker, from whose disk ours was copied. */
        if (member != NULL && member == gossip->self && theirs.boot == boot_of(member->shown.self.incarnation) &&
            theirs.version > member->soft.version && is_time_to_believe(gossip))
            merge_boot_behind(gossip, theirs.boot);
        if (member == NULL || !member_is_live(member) || theirs.boot != boot_of(member->shown.self.incarnation))
            continue;
        if (member->soft.version > theirs.version)
            outbox_push(gossip, &(struct pending){.type = PENDING_SOFT,
                                                  .member = teller,
                                                  .other = member,
                                                  .by_link = teller->shown.is_linked,
                                                  .from = theirs.version,
                                                  .gc_version = theirs.gc_version});
        else if (member->soft.version < theirs.version && member != gossip->self)
            ask(gossip, teller, member);
    }
}
