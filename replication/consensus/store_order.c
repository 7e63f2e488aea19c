/* consensus/store_order.c - what is given to the disk, in which order, and what is durable once the driver says so.
 *
 * Term and vote go before entries of that term, entries before the chunk of a snapshot that came after them. When STORES_MAX are
 * under way the rest waits and becomes one store: a slow disk is written in larger pieces. */
#include "replication/consensus/internal.h"

static struct store_record *store_push(struct raft *raft, enum store_kind kind, struct raft_output *output)
{
    struct store_record *record = &raft->stores[(raft->store_head + raft->store_count++) % STORES_MAX];

    memset(record, 0, sizeof(*record));
    record->number = output->store = ++raft->store_next;
    record->kind = kind;
    return record;
}

static void state_store(struct raft *raft, struct raft_output *output)
{
    output->type = RAFT_OUTPUT_STORE_STATE;
    store_push(raft, STORE_KIND_STATE, output)->generation = raft->generation;
    output->term = raft->term;
    output->voted_for = raft->voted_for;
    output->damaged_until = raft->damaged_until;
    output->forced_term = raft->forced_term;
    if (raft->has_new_others) {
        output->others = raft->others;
        output->other_count = raft->other_count;
        raft->has_new_others = false;
    }
    raft->generation_stored = raft->generation;
}

static void entries_store(struct raft *raft, struct raft_output *output)
{
    uint64_t first = raft->entries_stored + 1;

    output->type = RAFT_OUTPUT_STORE_ENTRIES;
    output->entry_count = log_run(&raft->log, first, last_index(raft));
    output->entries = log_at(&raft->log, first);
    raft->entries_stored += output->entry_count;
    store_push(raft, STORE_KIND_ENTRIES, output)->last = raft->entries_stored;
    output->committed = raft->committed < raft->entries_stored ? raft->committed : raft->entries_stored;
}

static void chunk_store(struct raft *raft, struct raft_output *output)
{
    output->type = RAFT_OUTPUT_STORE_CHUNK;
    output->is_last = raft->incoming.is_installing;
    store_push(raft, STORE_KIND_CHUNK, output)->is_last = output->is_last;
    output->message = buffer_slice(&raft->chunk);
    output->position = raft->incoming.position;
    output->config = &raft->incoming.config;
    output->offset = raft->incoming.offset;
    output->size = raft->chunk.size;
    output->total = raft->incoming.total;
    raft->is_chunk_pending = false;
}

bool next_store(struct raft *raft, struct raft_output *output)
{
    if (raft->store_count == STORES_MAX) return false;
    if (raft->generation_stored != raft->generation) {
        state_store(raft, output);
    } else if (raft->entries_stored < last_index(raft)) {
        entries_store(raft, output);
    } else if (raft->is_chunk_pending) {
        chunk_store(raft, output);
    } else {
        return false;
    }
    return true;
}

/* What was given to the disk of entries after index is, or is about to be, overwritten there: its completion says nothing about
 * what takes the place, even if that has the same index and term again (etcd's ABA). */
void stores_cut(struct raft *raft, uint64_t index)
{
    for (unsigned i = 0; i < raft->store_count; i++) {
        struct store_record *record = &raft->stores[(raft->store_head + i) % STORES_MAX];
        if (record->kind == STORE_KIND_ENTRIES && record->last > index && !RAFT_DEFECT(raft, STALE_STORE_COUNTED))
            record->last = index;
    }
}

static void store_done(struct raft *raft, const struct store_record *record, bool is_refused)
{
    uint64_t last = record->last < last_index(raft) ? record->last : last_index(raft);

    switch (record->kind) {
    case STORE_KIND_STATE: raft->generation_durable = record->generation; break;
    case STORE_KIND_ENTRIES:
        if (last > raft->durable) raft->durable = last;
        break;
    case STORE_KIND_CHUNK:
        if (is_refused) {
            chunk_refused(raft);
        } else {
            chunk_stored(raft, record->is_last);
        }
        break;
    }
}

static void stores_done(struct raft *raft, uint64_t store, bool is_refused)
{
    while (raft->store_count != 0 && raft->stores[raft->store_head].number <= store) {
        struct store_record record = raft->stores[raft->store_head];
        raft->store_head = (raft->store_head + 1) % STORES_MAX;
        raft->store_count--;
        store_done(raft, &record, is_refused && record.number == store);
    }
    campaign_check(raft);
    commit_count(raft);
    damage_check(raft);
    follower_acknowledge(raft);
    change_tick(raft);
}

void raft_stored(struct raft *raft, uint64_t now_us, uint64_t store)
{
    if (now_us > raft->now_us) raft->now_us = now_us;
    if (!raft->has_failed) stores_done(raft, store, false);
}

void raft_chunk_refused(struct raft *raft, uint64_t now_us, uint64_t store)
{
    if (now_us > raft->now_us) raft->now_us = now_us;
    if (!raft->has_failed) stores_done(raft, store, true);
}

void raft_store_failed(struct raft *raft, uint64_t now_us, int error)
{
    (void)error; /* whoever stores reports it */
    if (now_us > raft->now_us) raft->now_us = now_us;
    server_fail(raft);
}
