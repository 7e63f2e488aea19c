/* consensus/commit.c - what is committed, and giving it out in order. */
#include "replication/consensus/internal.h"

void commit_to(struct raft *raft, uint64_t index)
{
    uint64_t from = raft->committed;

    if (index <= from) return;
    MESH_ASSERT(index <= last_index(raft));
    config_committed(raft, from, index);
    raft->committed = index;
    if (raft->verified < index) raft->verified = index; /* every leader has what is committed */
    if (raft->role != RAFT_LEADER) return;
    for (uint64_t i = from + 1; i <= index && raft->uncommitted_bytes != 0; i++) {
        const struct raft_entry *entry = log_at(&raft->log, i);
        if (entry->term == raft->term && entry->type == RAFT_ENTRY_COMMAND)
            raft->uncommitted_bytes -= log_entry_cost(entry);
    }
    leader_wake_peers(raft, WANT_COMMIT);
}

static uint64_t peer_counted(const struct raft *raft, const struct peer *peer)
{
    (void)raft;
    return peer->is_damaged ? 0 : peer->match;
}

/* Only an entry of the own term is committed by counting; those before it go with it (Raft 5.4.2). */
void commit_count(struct raft *raft)
{
    uint64_t own = RAFT_DEFECT(raft, UNDURABLE_ACKNOWLEDGED) ? last_index(raft) : raft->durable, index;

    if (raft->role != RAFT_LEADER) return;
    index = majority_value(raft, own, peer_counted);
    if (index <= raft->committed) return;
    if (log_term(&raft->log, index) != raft->term && !RAFT_DEFECT(raft, OLD_TERM_COUNTED)) return;
    commit_to(raft, index);
}

bool next_commit(struct raft *raft, struct raft_output *output)
{
    if (raft->applied >= raft->committed) return false;
    output->type = RAFT_OUTPUT_COMMIT;
    output->entry_count = log_run(&raft->log, raft->applied + 1, raft->committed);
    output->entries = log_at(&raft->log, raft->applied + 1);
    raft->applied += output->entry_count;
    output->index = raft->applied;
    return true;
}
