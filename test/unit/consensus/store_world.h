/* A store of consensus beside a model of what it has promised, on a disk in memory.
 *
 * The world performs random steps and keeps two models: `before` the step under way and `after` it. A disk as a power cut
 * leaves it in the middle must recover to one of them, or to the common beginning and a part of the entries that were being
 * appended. The first breach is kept as a sentence; nothing here asserts, so that a test may also demand a breach. */
#ifndef CONSENSUS_STORE_WORLD_H
#define CONSENSUS_STORE_WORLD_H

#include "base/random.h"
#include "replication/consensus/store.h"
#include "support/fs_mem.h"

#define MODEL_ENTRIES_MAX 3000
#define GHOSTS_MAX        8

/* The body is made from the seed. */
struct model_entry {
    uint64_t seed, term;
    uint32_t size;
    uint8_t chain[RAFT_CHAIN_SIZE];
};

struct model_snapshot {
    struct raft_position position; /* zero: none */
    uint64_t size;
};

struct model {
    uint64_t term, damaged_until, last;
    struct raft_server voted_for;
    struct model_snapshot snapshot, snapshot_before;
    struct model_entry entries[MODEL_ENTRIES_MAX + 1]; /* by index; the snapshot's own index counts as one */
};

/* Entries whose append failed for want of space: nobody was promised anything, but a crash may bring them back. */
struct ghost {
    uint64_t first;
    size_t count;
    struct model_entry *entries;
};

struct store_world {
    struct fs_mem *disk;
    struct fs *fs;
    struct raft_store *store;
    struct random random;
    struct model *before, *after;
    struct world_scratch *scratch;
    struct ghost ghosts[GHOSTS_MAX];
    size_t ghost_count;
    uint64_t append_first; /* of the append under way; 0: none */
    uint64_t segment_bytes_max;
    struct raft_store_report report; /* of the last opening */
    uint64_t recovered_last, recovered_damaged_until;
    bool may_be_damaged; /* the disk was hurt: a hole is an answer, a loss is not */
    char where[128], breach[512];
};

void store_world_init(struct store_world *world, struct fs_mem *disk, uint64_t seed);
void store_world_deinit(struct store_world *world);

/* The models of another world, for a copy of its disk. */
void store_world_take_models(struct store_world *world, const struct store_world *from);

/* Opens the store and compares what it recovered. The models then are what was found. Returns the store's error. */
int store_world_open(struct store_world *world);
void store_world_close(struct store_world *world);

/* Steps; each returns the store's error. With err != 0 both models may be true until the next opening. */
int store_world_append(struct store_world *world, uint64_t first, size_t count, bool is_first_the_same);
int store_world_vote(struct store_world *world);
int store_world_snapshot(struct store_world *world, uint64_t index);
int store_world_receive(struct store_world *world, uint64_t index, bool is_same_history);
int store_world_step(struct store_world *world); /* a random one */

/* What the leader would do with a hole: sends everything behind the log's end again, and clears the mark. */
int store_world_refill(struct store_world *world, const struct model *whole);

void store_world_fail(struct store_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
