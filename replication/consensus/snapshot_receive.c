/* consensus/snapshot_receive.c - the follower's side of a snapshot, and what becomes of the log when one is in place, by whichever way it came.
 *
 * A chunk is answered when it is durable, so there is one at a time. From the last chunk until it is in place the log stands still: disk
 * and memory change together. */
#include "replication/consensus/internal.h"

#include "base/crc32c.h"

static void answer_snapshot(struct raft *raft, const struct raft_server *to, uint64_t index, uint32_t flags, uint64_t offset)
{
    if (is_disabled_by_damage(raft)) flags |= MESSAGE_DAMAGED;
    answer_queue(raft, (struct answer){.to = *to,
                                       .type = MESSAGE_SNAPSHOT_RESPONSE,
                                       .flags = flags,
                                       .index = index,
                                       .offset = offset});
}

static void incoming_clear(struct raft *raft)
{
    memset(&raft->incoming, 0, sizeof(raft->incoming));
}

static void incoming_begin(struct raft *raft, const struct message *message)
{
    incoming_clear(raft);
    raft->incoming.position = message->position;
    raft->incoming.config = message->config;
    raft->incoming.from = message->from;
    raft->incoming.term = message->term;
    raft->incoming.total = message->total;
}

static bool is_expected(const struct raft *raft, const struct message *message)
{
    return raft->incoming.position.index == message->position.index &&
           raft->incoming.position.term == message->position.term && raft->incoming.term == message->term &&
           raft->incoming.total == message->total && raft_server_equal(&raft->incoming.from, &message->from) &&
           memcmp(raft->incoming.position.chain, message->position.chain, RAFT_CHAIN_SIZE) == 0;
}

void on_snapshot(struct raft *raft, const struct message *message, struct peer *peer)
{
    (void)peer;
    if (!accept_leader(raft, message)) return;
    if (raft->incoming.is_storing) return; /* doubled; or of a leader before, whose chunk is still being stored */
    if (message->position.index <= raft->committed) { /* nothing new: the leader learns how far the log is */
        answer_queue(raft, (struct answer){.to = message->from,
                                           .type = MESSAGE_APPEND_RESPONSE,
                                           .flags = is_disabled_by_damage(raft) ? MESSAGE_DAMAGED : 0u,
                                           .sequence = raft->leader_sequence,
                                           .match = raft->durable < raft->verified ? raft->durable : raft->verified,
                                           .hint_index = raft->verified});
        return;
    }
    if (crc32c(message->bytes.data, message->bytes.size) != message->crc || message->config.voter_count == 0) {
        raft->messages_dropped++;
        return;
    }
    if (message->offset == 0) {
        incoming_begin(raft, message);
    } else if (!is_expected(raft, message)) {
        answer_snapshot(raft, &message->from, message->position.index, MESSAGE_REJECTED, 0);
        return;
    } else if (message->offset != raft->incoming.offset) {
        answer_snapshot(raft, &message->from, message->position.index, 0, raft->incoming.offset);
        return;
    }
    buffer_clear(&raft->chunk);
    if (buffer_append(&raft->chunk, message->bytes.data, message->bytes.size) != 0) return; /* as if it were lost */
    raft->is_chunk_pending = true;
    raft->incoming.is_storing = true;
    raft->incoming.is_installing = (message->flags & MESSAGE_LAST) != 0;
}

static bool incoming_is_current(const struct raft *raft)
{
    return raft->incoming.term == raft->term && raft->role == RAFT_FOLLOWER &&
           raft_server_equal(&raft->incoming.from, &raft->leader);
}

void chunk_stored(struct raft *raft, bool is_last)
{
    struct raft_server from = raft->incoming.from;
    uint64_t index = raft->incoming.position.index;
    bool is_current = incoming_is_current(raft);

    raft->incoming.is_storing = false;
    raft->incoming.offset += raft->chunk.size;
    if (is_last) {
        snapshot_replaces_log(raft, &raft->incoming.position, &raft->incoming.config);
        incoming_clear(raft);
        buffer_deinit(&raft->chunk);
    }
    if (is_current) answer_snapshot(raft, &from, index, is_last ? MESSAGE_LAST : 0u, is_last ? 0 : raft->incoming.offset);
}

void chunk_refused(struct raft *raft)
{
    if (incoming_is_current(raft))
        answer_snapshot(raft, &raft->incoming.from, raft->incoming.position.index, MESSAGE_REJECTED, 0);
    incoming_clear(raft);
}

static uint64_t retained_bytes_count(const struct raft *raft)
{
    uint64_t bytes = 0, last = last_index(raft), until = raft->snapshot.index < last ? raft->snapshot.index : last;

    for (uint64_t i = raft->log.base.index + 1; i <= until; i++)
        bytes += log_entry_cost(log_at(&raft->log, i));
    return bytes;
}

void snapshot_replaces_log(struct raft *raft, const struct raft_position *position, const struct raft_config *config)
{
    uint64_t index = position->index;
    bool continues = index >= raft->log.base.index && index <= last_index(raft) &&
                     memcmp(log_chain(&raft->log, index), position->chain, RAFT_CHAIN_SIZE) == 0;

    if (index <= raft->committed) return; /* the log came here by another way meanwhile */
    if (!continues) {
        log_reset(&raft->log, position);
        stores_cut(raft, index);
        raft->entries_stored = raft->durable = index;
        raft->verified = 0;
    }
    if (raft->entries_stored < index) raft->entries_stored = index;
    if (raft->durable < index) raft->durable = index;
    if (raft->verified < index) raft->verified = index;
    raft->snapshot = *position;
    raft->snapshot_config = *config;
    raft->retained_bytes = retained_bytes_count(raft);
    raft->committed = raft->applied = index;
    raft->is_restore_pending = true;
    config_reset(raft, config, index);
    damage_check(raft);
}
