/* consensus/term.c - term, vote and role; when they are durable; and the rules of a server with a hole. */
#include "replication/consensus/internal.h"

void state_changed(struct raft *raft)
{
    raft->generation++;
}

bool is_state_durable(const struct raft *raft)
{
    return raft->generation_durable == raft->generation || RAFT_DEFECT(raft, VOTE_NOT_HELD);
}

void election_timer_reset(struct raft *raft)
{
    uint64_t spread = raft->options.election_max_us - raft->options.election_min_us + 1;

    /* a single voter has nobody to wait for, and nobody to split its vote */
    raft->election_due_us = raft->role == RAFT_FOLLOWER && is_sole_voter(raft)
                                ? raft->now_us
                                : raft->now_us + raft->options.election_min_us + random_below(&raft->random, spread);
}

static void leadership_ends(struct raft *raft)
{
    reads_lose(raft);
    raft->transfer.is_on = false;
    raft->uncommitted_bytes = 0;
    raft->is_snapshot_message_pending = false;
}

void become_follower(struct raft *raft, uint64_t term, const struct raft_server *leader)
{
    enum raft_role role = raft->role;

    MESH_ASSERT(term >= raft->term);
    if (role == RAFT_LEADER) leadership_ends(raft);
    if (term > raft->term) {
        raft->term = term;
        memset(&raft->voted_for, 0, sizeof(raft->voted_for));
        state_changed(raft);
    } else if (RAFT_DEFECT(raft, VOTE_FORGOTTEN) && role != RAFT_FOLLOWER) {
        memset(&raft->voted_for, 0, sizeof(raft->voted_for));
        state_changed(raft);
    }
    raft->role = RAFT_FOLLOWER;
    memset(&raft->leader, 0, sizeof(raft->leader));
    if (leader != NULL) raft->leader = *leader;
    raft->verified = raft->committed;
    raft->leader_sequence = 0;
    raft->owes_ack = false;
    raft->is_transfer_campaign = false;
    raft->summoned_until_us = 0;
    peers_each(peer, raft) peer->wants &= WANT_PRESENCE | WANT_PRESENCE_ANSWER;
    if (role != RAFT_FOLLOWER) election_timer_reset(raft);
}

void step_down(struct raft *raft)
{
    become_follower(raft, raft->term, NULL);
    raft->leader_heard_us = 0;
    election_timer_reset(raft);
    raft->election_due_us += raft->options.election_max_us; /* whoever is better connected goes first */
}

void server_fail(struct raft *raft)
{
    if (raft->has_failed) return;
    become_follower(raft, raft->term, NULL);
    raft->has_failed = true;
}

bool is_disabled_by_damage(const struct raft *raft)
{
    return raft->damaged_until != 0 && !RAFT_DEFECT(raft, HOLE_VOTES);
}

/* A server with a hole may have acknowledged entries that it does not have. They are decided, one way or the other, when a leader has committed
 * an entry of its own term and this server durably has the log up to there, if
 * - that is beyond the hole; or
 * - that leader's term is newer than any in which this server can have acknowledged: an entry of the hole that was committed
 *   is then in that leader's log, below (leader completeness), and one that is not there never will be. */
void damage_check(struct raft *raft)
{
    uint64_t committed = raft->committed;

    if (raft->damaged_until == RAFT_SET_BACK) return; /* what was forgotten is not in any log: votes */
    if (raft->damaged_until == 0 || committed == 0 || raft->verified < committed || raft->durable < committed) return;
    if (log_term(&raft->log, committed) != raft->term) return;
    if (committed < raft->damaged_until && raft->term <= raft->damage_term) return;
    raft->damaged_until = 0;
    state_changed(raft);
}
