/* founding/state.h - what a disk remembers of the founding of its mesh, and the arithmetic of its quorums. Bytes: FORMAT.md. */
#ifndef FOUNDING_STATE_H
#define FOUNDING_STATE_H

#include "base/buffer.h"
#include "replication/consensus/entry.h"
#include "replication/founding/stamps.h"

#define FOUNDING_EXPECT_MAX   100 /* brokers that are expected at a first boot */
#define FOUNDING_SERVERS_MAX  128 /* that may take part, wiped disks included; more: nothing is founded */
#define FOUNDING_FOUNDERS_MAX 7   /* first voters */
#define FOUNDING_ROUND_MAX    (UINT64_C(1) << 48)

/* A proposal's number. Ordered by round, then proposer; round 0: none. No proposer uses one twice: it promises itself each one
 * durably before it says it to others. (The "nonce" of PROTOCOLS 3.3.) */
struct founding_ballot {
    uint64_t round;
    struct raft_server proposer;
};

/* What is decided: the mesh and its first voters. founder_count 0: those are not known any more (a mesh told of itself by name). */
struct founding_value {
    struct uuid cluster; /* zero: none */
    uint8_t founder_count;
    struct raft_server founders[FOUNDING_FOUNDERS_MAX]; /* in order, each once */
};

enum founding_phase {
    FOUNDING_BLANK,
    FOUNDING_PROMISED, /* to one ballot; maybe it has accepted a value, too */
    FOUNDING_MEMBER,   /* for ever */
};

struct founding_state {
    enum founding_phase phase;
    uint32_t expect;                           /* with which it has taken part; 0: never */
    struct founding_ballot promised, accepted; /* accepted <= promised */
    struct founding_value value;               /* the accepted one; of a MEMBER: its mesh */
    size_t known_count;                        /* other disks that ever took part with this expect */
    struct raft_server known[FOUNDING_SERVERS_MAX - 1];
    struct founding_stamp heard[FOUNDING_SERVERS_MAX - 1]; /* the newest that was heard of each of them, as of this store */
    struct founding_stamps stamps;                         /* of this state, and of those before it */
    bool is_set_back; /* others had heard of stamps that this disk does not hold: it takes no part any more */
};

int founding_server_compare(const struct raft_server *a, const struct raft_server *b);
int founding_ballot_compare(const struct founding_ballot *a, const struct founding_ballot *b);
static inline bool founding_ballot_equal(const struct founding_ballot *a, const struct founding_ballot *b)
{
    return founding_ballot_compare(a, b) == 0;
}
bool founding_value_equal(const struct founding_value *a, const struct founding_value *b);
bool founding_value_has(const struct founding_value *value, const struct raft_server *server);

/* How many voters a mesh of so many brokers has (PROTOCOLS 3.2): 1, 1, 3, 3, 5, 5, 5 and no more. */
unsigned founding_voters(unsigned brokers);

/* How many disks it takes when `known` ever took part: a majority of those expected, and one more for each disk beyond them.
 * Why that is enough: README.md. */
unsigned founding_quorum(unsigned expect, unsigned known);

/* Appends. Errors: MESH_ENOMEM. */
int founding_state_encode(const struct founding_state *state, struct buffer *to);

/* Errors: MESH_ECORRUPT (no such state), MESH_EVERSION (of a newer mesh); *ret_state is then untouched. */
int founding_state_decode(struct slice from, struct founding_state *ret_state);

#endif
