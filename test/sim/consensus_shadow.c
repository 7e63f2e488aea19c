#include "sim/consensus_shadow.h"

#include "base/assert.h"
#include "sim/consensus_machine.h"

#include <stdlib.h>

void shadow_deinit(struct shadow_log *log)
{
    free(log->entries);
    *log = (struct shadow_log){0};
}

static void put(struct shadow_log *log, uint64_t index, uint64_t term, const uint8_t chain[RAFT_CHAIN_SIZE])
{
    if (index >= log->capacity) {
        size_t capacity = log->capacity == 0 ? 256 : log->capacity;
        while (capacity <= index)
            capacity *= 2;
        log->entries = realloc(log->entries, capacity * sizeof(log->entries[0]));
        MESH_ASSERT(log->entries != NULL);
        log->capacity = capacity;
    }
    log->entries[index] = (struct shadow_entry){term, consensus_chain_mark(chain)};
    log->last = index;
}

void shadow_begin(struct shadow_log *log, const struct raft_position *position)
{
    log->first = position->index == 0 ? 1 : position->index;
    log->last = 0;
    if (position->index > 0) put(log, position->index, position->term, position->chain);
}

bool shadow_append(struct shadow_log *log, const struct raft_entry *entry)
{
    if (entry->index > log->last + 1 || entry->index < log->first) return false;
    put(log, entry->index, entry->term, entry->chain);
    return true;
}

bool shadow_holds(const struct shadow_log *log, uint64_t index, uint64_t mark)
{
    if (index < log->first) return log->last >= log->first;
    return index <= log->last && log->entries[index].mark == mark;
}

void shadow_install(struct shadow_log *log, const struct raft_position *position)
{
    if (position->index >= log->first && position->index <= log->last &&
        log->entries[position->index].mark == consensus_chain_mark(position->chain))
        return;
    if (position->index < log->first) return;
    shadow_begin(log, position);
}
