/* consensus/follow.c - the follower's side of the log: whom to follow, what fits, and when to say so. */
#include "replication/consensus/internal.h"

/* A leader of whom this server does not know may be one of a configuration that it has not got yet. Then that leader's log goes beyond what
 * is committed here; otherwise it is no more than a stranger, and makes no term rise. */
static bool is_credible(struct raft *raft, const struct message *message)
{
    const struct raft_config *committed = &raft->committed_config;

    if (peer_find(raft, &message->from) != NULL || server_same(raft, &raft->leader, &message->from) ||
        servers_have(raft, committed->voters, committed->voter_count, &message->from) ||
        servers_have(raft, committed->old_voters, committed->old_voter_count, &message->from))
        return true;
    if (!is_member(raft) || RAFT_DEFECT(raft, REMOVED_DISRUPTS)) return true;
    return message->position.index + message->entry_count > raft->committed;
}

bool accept_leader(struct raft *raft, const struct message *message)
{
    if (message->term < raft->term) {
        answer_queue(raft, (struct answer){.to = message->from, /* it learns the term */
                                           .type = MESSAGE_APPEND_RESPONSE,
                                           .flags = MESSAGE_REJECTED});
        return false;
    }
    if (!is_credible(raft, message)) {
        raft->messages_dropped++;
        return false;
    }
    if (message->term == raft->term && (raft->role == RAFT_LEADER || (!server_is_zero(&raft->leader) &&
                                                                     !server_same(raft, &raft->leader, &message->from)))) {
        raft->corruptions++; /* two leaders in one term */
        return false;
    }
    if (message->term > raft->term || raft->role != RAFT_FOLLOWER || server_is_zero(&raft->leader))
        become_follower(raft, message->term, &message->from);
    raft->leader_heard_us = raft->now_us;
    election_timer_reset(raft);
    return true;
}

void log_cut(struct raft *raft, uint64_t index)
{
    MESH_ASSERT(index >= raft->committed);
    log_truncate(&raft->log, index);
    if (raft->entries_stored > index) raft->entries_stored = index;
    if (raft->durable > index) raft->durable = index;
    if (raft->verified > index) raft->verified = index;
    stores_cut(raft, index);
    config_truncated(raft);
}

/* What may be counted: it equals the leader's log, and is on the disk. */
static uint64_t acknowledged(const struct raft *raft)
{
    if (RAFT_DEFECT(raft, UNDURABLE_ACKNOWLEDGED)) return raft->verified;
    return raft->durable < raft->verified ? raft->durable : raft->verified;
}

static void answer_append(struct raft *raft, const struct raft_server *to, struct answer answer)
{
    answer.to = *to;
    answer.type = MESSAGE_APPEND_RESPONSE;
    answer.sequence = raft->leader_sequence;
    answer.match = acknowledged(raft);
    if (is_disabled_by_damage(raft)) answer.flags |= MESSAGE_DAMAGED;
    if ((answer.flags & MESSAGE_REJECTED) == 0) answer.hint_index = raft->verified;
    answer_queue(raft, answer);
}

void follower_acknowledge(struct raft *raft)
{
    if (!raft->owes_ack || raft->role != RAFT_FOLLOWER || server_is_zero(&raft->leader)) return;
    answer_append(raft, &raft->leader, (struct answer){.flags = 0});
    raft->owes_ack = acknowledged(raft) < raft->verified;
}

static void reject(struct raft *raft, const struct message *message, uint64_t hint, uint32_t flags)
{
    answer_append(raft, &message->from,
                  (struct answer){.flags = MESSAGE_REJECTED | flags,
                                  .index = message->position.index,
                                  .hint_index = hint,
                                  .hint_term = log_term(&raft->log, hint)});
}

/* Whether the entries follow what is here; if not, it is answered. */
static bool previous_fits(struct raft *raft, const struct message *message)
{
    const struct raft_position *previous = &message->position;
    uint64_t last = last_index(raft), index = previous->index;

    if (index > last) {
        reject(raft, message, last, 0);
        return false;
    }
    if (index < raft->log.base.index) return true; /* committed, and in the snapshot */
    if (log_term(&raft->log, index) != previous->term) {
        uint64_t hint = log_find_term(&raft->log, index, previous->term);
        if (index <= raft->committed) { /* a leader that does not have what is committed */
            raft->corruptions++;
            server_fail(raft);
            return false;
        }
        reject(raft, message, hint < raft->committed ? raft->committed : hint, 0);
        return false;
    }
    if (memcmp(log_chain(&raft->log, index), previous->chain, RAFT_CHAIN_SIZE) == 0) return true;
    raft->corruptions++; /* one index, one term, two histories */
    if (index <= raft->committed) {
        server_fail(raft);
    } else {
        reject(raft, message, raft->committed, MESSAGE_CORRUPT);
    }
    return false;
}

/* Takes over the entries that are not here yet. Returns the last index that now equals the leader's, short of all
 * when memory ran out; sets *ret_first to the first one that was appended (0: none). */
static uint64_t entries_take(struct raft *raft, const struct message *message, uint64_t *ret_first)
{
    struct slice left = message->entries;
    struct raft_entry entry;
    uint64_t index = message->position.index;

    *ret_first = 0;
    while (message_next_entry(&left, &entry)) {
        index++;
        if (index <= raft->log.base.index) continue;
        if (index <= last_index(raft)) {
            if (log_term(&raft->log, index) == entry.term) continue;
            if (index <= raft->committed) {
                raft->corruptions++;
                server_fail(raft);
                return 0;
            }
            log_cut(raft, index - 1);
        }
        if (entry.term < log_term(&raft->log, index - 1) ||
            log_append(&raft->log, entry.term, entry.type, entry.body) != 0)
            return index - 1;
        if (*ret_first == 0) *ret_first = index;
        config_appended(raft, index);
    }
    return index;
}

static void accept(struct raft *raft, const struct message *message, uint64_t until)
{
    bool is_quiet = (message->flags & MESSAGE_QUIET) != 0;

    if (until > raft->verified) raft->verified = until;
    if (raft->verified > last_index(raft)) raft->verified = last_index(raft);
    commit_to(raft, message->committed < raft->verified ? message->committed : raft->verified);
    damage_check(raft);
    raft->owes_ack = acknowledged(raft) < raft->verified;
    if (!is_quiet || (message->entry_count != 0 && acknowledged(raft) >= until))
        answer_append(raft, &message->from, (struct answer){.flags = 0});
}

void on_append(struct raft *raft, const struct message *message, struct peer *peer)
{
    uint64_t until, first;

    (void)peer; /* it moves when a configuration comes */
    if (!accept_leader(raft, message)) return;
    if (message->sequence > raft->leader_sequence) raft->leader_sequence = message->sequence;
    if ((message->position.index == 0 && message->entry_count == 0) || raft->incoming.is_installing) {
        answer_append(raft, &message->from, (struct answer){.flags = 0}); /* alive; nothing about the log */
        return;
    }
    if (!previous_fits(raft, message)) return;
    until = entries_take(raft, message, &first);
    if (raft->has_failed) return;
    if (until == message->position.index + message->entry_count && message->entry_count != 0 &&
        until >= raft->log.base.index && until <= last_index(raft) &&
        memcmp(log_chain(&raft->log, until), message->chain, RAFT_CHAIN_SIZE) != 0) {
        raft->corruptions++;
        if (first != 0) log_cut(raft, first - 1);
        reject(raft, message, raft->committed, MESSAGE_CORRUPT);
        return;
    }
    accept(raft, message, until);
}
