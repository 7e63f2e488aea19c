/* sim/consensus_shadow.h - what an observer keeps of a log: term and chain of each entry, by index. */
#ifndef SIM_CONSENSUS_SHADOW_H
#define SIM_CONSENSUS_SHADOW_H

#include "replication/consensus/entry.h"

struct shadow_entry {
    uint64_t term, mark; /* the chain's first bytes */
};

/* Entries first..last are known; a log that begins after a snapshot knows the snapshot's last entry too. */
struct shadow_log {
    struct shadow_entry *entries; /* by index */
    size_t capacity;
    uint64_t first, last;
};

void shadow_deinit(struct shadow_log *log);

/* Empties it; the next entry follows `position` (zero: the log's beginning). */
void shadow_begin(struct shadow_log *log, const struct raft_position *position);

/* Cuts from the entry's index on, then appends it; false: it does not continue the log. */
bool shadow_append(struct shadow_log *log, const struct raft_entry *entry);

/* Whether the log holds, or has behind it in a snapshot, what was appended as this. An index before `first` counts as held. */
bool shadow_holds(const struct shadow_log *log, uint64_t index, uint64_t mark);

/* A snapshot up to there was put before the log: it stays if it continues it. */
void shadow_install(struct shadow_log *log, const struct raft_position *position);

#endif
