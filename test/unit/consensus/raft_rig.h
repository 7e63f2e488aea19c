/* unit/consensus/raft_rig.h - one server of consensus whose friends and disk are played by the test, message by message. */
#ifndef UNIT_RAFT_RIG_H
#define UNIT_RAFT_RIG_H

#include "replication/consensus/config_codec.h"
#include "unit/consensus/raft_net.h"

#define RIG_SENT_MAX 4096

struct rig {
    struct raft *raft;
    uint64_t now_us;
    struct message sent[RIG_SENT_MAX]; /* without bodies */
    size_t sent_count;
    uint64_t store;     /* the newest that was given out */
    uint64_t committed; /* by COMMIT */
    uint64_t stored_term, damaged_until, forced_term;
    struct raft_server voted_for;
};

enum { A, B, C, D, X }; /* A is the server under test; A, B, C vote */

struct raft_server rig_server(unsigned who);
void rig_init(struct rig *rig, uint32_t defects, unsigned learners, uint64_t damaged_until);
/* As one that compares lives: this is its own, and those came before it. */
void rig_init_life(struct rig *rig, uint32_t defects, const struct raft_life *life, const struct raft_claim *past, size_t past_count);
void rig_free(struct rig *rig);
void rig_drain(struct rig *rig);
void rig_stored(struct rig *rig);          /* all that was given out is durable */
void rig_tick(struct rig *rig, uint64_t us); /* that much later */
struct message rig_message(unsigned from, enum message_type type, uint64_t term);
void rig_hear(struct rig *rig, const struct message *message);
/* An append by `from` of `count` entries of `entry_term` after (previous index, term), as rig's log has or will have it. */
void rig_append(struct rig *rig, unsigned from, uint64_t term, uint64_t previous, uint64_t entry_term, unsigned count, uint64_t committed);
void rig_befriend(struct rig *rig);                 /* B and C are there, and hear A */
void rig_elect(struct rig *rig, bool noop_commits); /* A leads, with B's votes */
struct raft_status rig_status(const struct rig *rig);
const struct message *rig_last(const struct rig *rig, enum message_type type); /* the newest that was sent; NULL */

#endif
