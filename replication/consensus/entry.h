/* consensus/entry.h - what the log of consensus is made of, and who keeps it. */
#ifndef CONSENSUS_ENTRY_H
#define CONSENSUS_ENTRY_H

#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <string.h>

#define RAFT_CHAIN_SIZE     32         /* bytes of the hash that vouches for an entry and all before it */
#define RAFT_BODY_SIZE_MAX  (9u << 20) /* bytes of one entry's body */
#define RAFT_SERVERS_MAX    16         /* voters and learners of one configuration */

/* A server is a broker *on a disk* (KIP-853): a broker that lost its disk is another server, and votes as one. */
struct raft_server {
    struct uuid broker; /* zero: none */
    struct uuid dir;
};

static inline bool raft_server_equal(const struct raft_server *a, const struct raft_server *b)
{
    return uuid_equal(&a->broker, &b->broker) && uuid_equal(&a->dir, &b->dir);
}

/* A disk keeps the first bytes of its uuid for life; with other bytes behind them it votes as another server (raft.h, RAFT_SET_BACK). */
#define RAFT_DIR_FIXED_BYTES 12

static inline bool raft_dir_is_same_disk(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, RAFT_DIR_FIXED_BYTES) == 0;
}

/* Numbers are on disk and on the wire: never renumber, never reuse. */
enum raft_entry_type {
    RAFT_ENTRY_NOOP = 1,    /* the first of each leader */
    RAFT_ENTRY_CONFIG = 2,  /* body: an encoded struct raft_config */
    RAFT_ENTRY_COMMAND = 3, /* body: the user's */
};

/* One entry. chain = the user's hash over (chain of the entry before, index, term, type, body), so equal chains mean
 * equal histories (PROTOCOLS 2.2). Index counts from 1 without gaps; before it lies index 0, term 0, a chain of zeros. */
struct raft_entry {
    uint64_t index, term;
    enum raft_entry_type type;
    struct slice body; /* borrowed; who lends it says how long */
    uint8_t chain[RAFT_CHAIN_SIZE];
};

typedef void raft_chain_fn(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry,
                           uint8_t ret_chain[RAFT_CHAIN_SIZE]);

/* A place in the log. */
struct raft_position {
    uint64_t index, term;
    uint8_t chain[RAFT_CHAIN_SIZE];
};

/* Who decides. Joint while old_voter_count is not 0: then both majorities are needed (Raft, dissertation 4.3). */
struct raft_config {
    struct raft_server voters[RAFT_SERVERS_MAX], old_voters[RAFT_SERVERS_MAX], learners[RAFT_SERVERS_MAX];
    uint8_t voter_count, old_voter_count, learner_count;
};

#endif
