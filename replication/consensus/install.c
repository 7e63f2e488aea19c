/* consensus/install.c - what comes by other ways than from the leader: entries that others know to be committed, whole snapshots; and
 * the log's beginning, which follows the own snapshots. */
#include "replication/consensus/internal.h"

static bool entry_is_sound(const struct raft_entry *entry, const struct raft_entry *before)
{
    struct raft_config config;

    if (before != NULL && (entry->index != before->index + 1 || entry->term < before->term)) return false;
    if (entry->index == 0 || entry->term == 0 || entry->index > RAFT_NEVER / 2 || entry->body.size > RAFT_BODY_SIZE_MAX) return false;
    switch (entry->type) {
    case RAFT_ENTRY_NOOP: return entry->body.size == 0;
    case RAFT_ENTRY_CONFIG: return raft_config_decode(entry->body, &config) == 0 && config.voter_count != 0;
    case RAFT_ENTRY_COMMAND: return true;
    }
    return false;
}

/* Nothing is changed before all of them are known to be good. */
static int entries_check(struct raft *raft, const struct raft_entry *entries, size_t count)
{
    uint64_t last = last_index(raft);

    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &entries[i];
        uint8_t chain[RAFT_CHAIN_SIZE];
        const uint8_t *previous;
        if (!entry_is_sound(entry, i == 0 ? NULL : entry - 1)) return MESH_EINVAL;
        if (i == 0 && entry->index > last + 1) return MESH_EAGAIN;
        if (entry->index <= raft->committed) {
            if (entry->index < raft->log.base.index) continue;
            if (memcmp(log_chain(&raft->log, entry->index), entry->chain, RAFT_CHAIN_SIZE) == 0) continue;
            raft->corruptions++;
            return MESH_ECORRUPT;
        }
        previous = i == 0 ? log_chain(&raft->log, entry->index - 1) : entries[i - 1].chain;
        raft->log.chain(previous, entry, chain);
        if (memcmp(chain, entry->chain, RAFT_CHAIN_SIZE) == 0) continue;
        /* what is here before the first of them may differ and not be committed: then those before are needed too */
        return i == 0 && entry->index - 1 > raft->committed ? MESH_EAGAIN : MESH_EINVAL;
    }
    return 0;
}

static int entry_install(struct raft *raft, const struct raft_entry *entry)
{
    uint64_t index = entry->index;
    int err;

    if (index <= last_index(raft)) {
        if (memcmp(log_chain(&raft->log, index), entry->chain, RAFT_CHAIN_SIZE) == 0) return 0;
        if (raft->role == RAFT_LEADER) return MESH_ECORRUPT; /* of a term that is not newer: two histories */
        log_cut(raft, index - 1);
    } else if (raft->role == RAFT_LEADER) {
        return MESH_ECORRUPT;
    }
    err = log_append(&raft->log, entry->term, entry->type, entry->body);
    if (err == 0) config_appended(raft, index);
    return err;
}

int raft_install_committed(struct raft *raft, uint64_t now_us, const struct raft_entry *entries, size_t count)
{
    int err;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->has_failed) return MESH_ESTORAGE;
    if (count == 0) return 0;
    if (raft->incoming.is_installing) return MESH_EAGAIN;
    err = entries_check(raft, entries, count);
    if (err != 0) return err;
    /* a leader of that term was elected: this server's term is at least as new */
    if (entries[count - 1].term > raft->term) become_follower(raft, entries[count - 1].term, NULL);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].index <= raft->committed) continue;
        err = entry_install(raft, &entries[i]);
        if (err != 0) break;
        if (raft->verified < entries[i].index) raft->verified = entries[i].index;
        commit_to(raft, entries[i].index);
    }
    if (err == MESH_ECORRUPT) raft->corruptions++;
    if (raft->role == RAFT_FOLLOWER && raft->durable < raft->verified && is_member(raft)) raft->owes_ack = true;
    damage_check(raft);
    return err;
}

int raft_install_snapshot(struct raft *raft, uint64_t now_us, const struct raft_position *position, const struct raft_config *config)
{
    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->has_failed) return MESH_ESTORAGE;
    if (raft->incoming.is_installing) return MESH_EAGAIN;
    if (position->index <= raft->committed || position->index > RAFT_NEVER / 2 || position->term == 0 ||
        config->voter_count == 0 || !raft_config_is_sound(config))
        return MESH_EINVAL;
    if (position->term > raft->term || raft->role != RAFT_FOLLOWER)
        become_follower(raft, position->term > raft->term ? position->term : raft->term, NULL);
    snapshot_replaces_log(raft, position, config);
    return 0;
}

/* ---- the own snapshots ---- */

static void config_find(const struct raft *raft, uint64_t from, uint64_t until, struct raft_config *config)
{
    for (uint64_t i = until; i > from; i--) {
        if (log_at(&raft->log, i)->type != RAFT_ENTRY_CONFIG) continue;
        (void)raft_config_decode(log_at(&raft->log, i)->body, config);
        return;
    }
}

void raft_compact(struct raft *raft, uint64_t now_us, uint64_t index)
{
    uint64_t old = raft->snapshot.index;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (index <= old || index > raft->applied || index > raft->entries_stored) return;
    MESH_ASSERT(raft->log.base.index <= old);
    config_find(raft, old, index, &raft->snapshot_config);
    raft->snapshot = log_position(&raft->log, index);
    for (uint64_t i = old + 1; i <= index; i++)
        raft->retained_bytes += log_entry_cost(log_at(&raft->log, i));
    while (raft->retained_bytes > raft->options.retained_bytes_max && raft->log.base.index < index) {
        uint64_t first = raft->log.base.index + 1;
        raft->retained_bytes -= log_entry_cost(log_at(&raft->log, first));
        log_trim(&raft->log, first);
    }
}
