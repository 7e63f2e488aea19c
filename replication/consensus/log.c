#include "replication/consensus/log.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64

void log_init(struct raft_log *log, raft_chain_fn *chain)
{
    memset(log, 0, sizeof(*log));
    log->chain = chain;
}

void log_deinit(struct raft_log *log)
{
    log_truncate(log, log->base.index);
    free(log->ring);
    log->ring = NULL;
}

const uint8_t *log_chain(const struct raft_log *log, uint64_t index)
{
    return index == log->base.index ? log->base.chain : log_at(log, index)->chain;
}

uint64_t log_term(const struct raft_log *log, uint64_t index)
{
    MESH_ASSERT(index >= log->base.index && index <= log_last_index(log));
    return index == log->base.index ? log->base.term : log_at(log, index)->term;
}

struct raft_position log_position(const struct raft_log *log, uint64_t index)
{
    struct raft_position position = {index, log_term(log, index), {0}};

    memcpy(position.chain, log_chain(log, index), RAFT_CHAIN_SIZE);
    return position;
}

/* Terms never fall along a log, so halving finds the place. */
uint64_t log_find_term(const struct raft_log *log, uint64_t from, uint64_t term)
{
    uint64_t low = log->base.index, high = from;

    MESH_ASSERT(from >= low && from <= log_last_index(log));
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (log_at(log, middle)->term <= term) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static int log_grow(struct raft_log *log)
{
    size_t capacity = log->capacity == 0 ? CAPACITY_MIN : log->capacity * 2;
    struct raft_entry *ring = malloc(capacity * sizeof(*ring));

    if (ring == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < log->count; i++)
        ring[i] = log->ring[(log->head + i) & (log->capacity - 1)];
    free(log->ring);
    log->ring = ring;
    log->capacity = capacity;
    log->head = 0;
    return 0;
}

int log_append(struct raft_log *log, uint64_t term, enum raft_entry_type type, struct slice body)
{
    uint64_t last = log_last_index(log);
    struct raft_entry *entry;
    uint8_t *copy = NULL;

    MESH_ASSERT(term >= log_term(log, last));
    if (log->count == log->capacity && log_grow(log) != 0) return MESH_ENOMEM;
    if (body.size != 0) {
        copy = malloc(body.size);
        if (copy == NULL) return MESH_ENOMEM;
        memcpy(copy, body.data, body.size);
    }
    log->count++;
    entry = log_at(log, last + 1);
    entry->index = last + 1;
    entry->term = term;
    entry->type = type;
    entry->body = slice_of(copy, body.size);
    log->chain(log_chain(log, last), entry, entry->chain);
    log->bytes += log_entry_cost(entry);
    return 0;
}

static void entry_drop(struct raft_log *log, struct raft_entry *entry)
{
    log->bytes -= log_entry_cost(entry);
    free((void *)entry->body.data);
    log->count--;
}

void log_truncate(struct raft_log *log, uint64_t index)
{
    MESH_ASSERT(index >= log->base.index);
    while (log_last_index(log) > index)
        entry_drop(log, log_at(log, log_last_index(log)));
}

void log_trim(struct raft_log *log, uint64_t index)
{
    MESH_ASSERT(index <= log_last_index(log));
    while (log->base.index < index) {
        struct raft_entry *first = log_at(log, log->base.index + 1);
        log->base.index = first->index;
        log->base.term = first->term;
        memcpy(log->base.chain, first->chain, RAFT_CHAIN_SIZE);
        log->head = (log->head + 1) & (log->capacity - 1);
        entry_drop(log, first);
    }
}

void log_reset(struct raft_log *log, const struct raft_position *base)
{
    log_truncate(log, log->base.index);
    log->base = *base;
}

size_t log_run(const struct raft_log *log, uint64_t index, uint64_t last)
{
    size_t at = (log->head + (size_t)(index - log->base.index - 1)) & (log->capacity - 1);
    uint64_t wanted = last - index + 1;

    return wanted < log->capacity - at ? (size_t)wanted : log->capacity - at;
}
