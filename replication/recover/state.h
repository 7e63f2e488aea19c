/* recover/state.h - what a disk remembers of recoveries, and what one is about. Bytes: FORMAT.md. */
#ifndef RECOVER_STATE_H
#define RECOVER_STATE_H

#include "base/buffer.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECOVER_BROKERS_MAX 1024 /* of one mesh, the lost among them */
#define RECOVER_ROUND_MAX   (UINT64_C(1) << 48)
#define RECOVER_HISTORY_MAX (UINT64_C(1) << 30)

/* The number of a proposal. Ordered by round, then proposer; round 0: none. No proposer uses one twice: it promises itself each one durably
 * before it says it to others. */
struct recover_ballot {
    uint64_t round;
    struct uuid proposer;
};

/* Everybody who belongs to the mesh: declared lost by people, or a survivor, whose word is needed. Rising by id. */
struct recover_broker {
    struct uuid id;
    bool is_lost;
};
struct recover_party {
    size_t count;
    struct recover_broker brokers[RECOVER_BROKERS_MAX];
};

/* What is decided: which broker's log goes on, alone at first. Two values are the same when both agree. */
struct recover_value {
    uint64_t history; /* the number of the history that begins there: 1 and more; the founding's is 0 */
    struct uuid chosen;
};

struct recover_state {
    struct recover_ballot promised, accepted; /* accepted <= promised */
    struct recover_value value;               /* the accepted one */
    struct recover_party party;               /* of the ballot that was accepted */
    bool is_removed;                          /* the mesh has told this broker that it was removed */
    uint64_t removed_history;                 /* the history that did it */
};

int recover_ballot_compare(const struct recover_ballot *a, const struct recover_ballot *b);
bool recover_value_equal(const struct recover_value *a, const struct recover_value *b);

/* NULL: the party does not know it. */
const struct recover_broker *recover_party_find(const struct recover_party *party, const struct uuid *id);
/* Adds, or declares lost who was a survivor (never the other way). Errors: MESH_EFULL. */
int recover_party_add(struct recover_party *party, const struct uuid *id, bool is_lost);

/* Appends. Errors: MESH_ENOMEM. */
int recover_state_encode(const struct recover_state *state, struct buffer *to);
/* Errors: MESH_ECORRUPT, MESH_EVERSION (of a newer mesh); *ret_state is then untouched. */
int recover_state_decode(struct slice from, struct recover_state *ret_state);

#endif
