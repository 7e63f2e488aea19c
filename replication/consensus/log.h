/* consensus/log.h - the log in memory: a ring of entries that owns their bodies, behind a base.
 *
 *     base | retained: in the snapshot, kept for those behind | not in a snapshot yet ... last
 *
 * Knows nothing of commits or durability. Positions are asked by index; those before the base are gone. */
#ifndef CONSENSUS_LOG_H
#define CONSENSUS_LOG_H

#include "replication/consensus/raft.h"

#define LOG_ENTRY_COST 96 /* bytes that an entry is held to take beside its body */

struct raft_log {
    struct raft_entry *ring; /* of capacity, a power of two */
    size_t capacity, head;   /* the entry at base.index + 1 is at ring[head] */
    size_t count;
    struct raft_position base;
    uint64_t bytes; /* of the entries: bodies and LOG_ENTRY_COST each */
    raft_chain_fn *chain;
};

void log_init(struct raft_log *log, raft_chain_fn *chain);
void log_deinit(struct raft_log *log);

static inline uint64_t log_last_index(const struct raft_log *log)
{
    return log->base.index + log->count;
}

/* The entry at index; base.index < index <= last. */
static inline struct raft_entry *log_at(const struct raft_log *log, uint64_t index)
{
    return &log->ring[(log->head + (size_t)(index - log->base.index - 1)) & (log->capacity - 1)];
}

/* Term, and place, at base.index <= index <= last. */
uint64_t log_term(const struct raft_log *log, uint64_t index);
struct raft_position log_position(const struct raft_log *log, uint64_t index);
const uint8_t *log_chain(const struct raft_log *log, uint64_t index);

/* The largest index <= `from` whose term is <= `term`; the base's if there is none. */
uint64_t log_find_term(const struct raft_log *log, uint64_t from, uint64_t term);

/* Appends a copy and computes its chain. The entry's index and chain are not looked at. Errors: MESH_ENOMEM (unchanged). */
int log_append(struct raft_log *log, uint64_t term, enum raft_entry_type type, struct slice body);

/* Drops what is after index. */
void log_truncate(struct raft_log *log, uint64_t index);

/* Drops what is before and at index, a place in the log. */
void log_trim(struct raft_log *log, uint64_t index);

/* Empties it; the next entry follows `base`. */
void log_reset(struct raft_log *log, const struct raft_position *base);

/* How many entries from `index` on lie beside each other in memory, up to `last`. */
size_t log_run(const struct raft_log *log, uint64_t index, uint64_t last);

static inline uint64_t log_entry_cost(const struct raft_entry *entry)
{
    return LOG_ENTRY_COST + entry->body.size;
}

#endif
