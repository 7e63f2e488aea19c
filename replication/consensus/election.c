/* consensus/election.c - who asks for votes, and who gets them.
 *
 * Three guards keep a lone server from unseating a leader that works: it asks without raising its term first (pre-vote), voters that hear a
 * leader do not answer (stickiness), and who is not connected with a majority does not even ask. */
#include "replication/consensus/internal.h"

void campaign_tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER || !takes_part(raft) || raft->now_us < raft->election_due_us) return;
    if (is_disabled_by_damage(raft) || raft->incoming.is_installing ||
        (raft->role == RAFT_CANDIDATE && !is_state_durable(raft))) { /* a slow disk: a further term would not help */
        raft->election_due_us = raft->now_us + raft->options.election_min_us;
        return;
    }
    if (!is_quorum_connected(raft) && !RAFT_DEFECT(raft, UNCONNECTED_CAMPAIGNS)) {
        uint64_t part = raft->options.election_min_us / PRESENCE_PARTS;
        if (raft->role != RAFT_FOLLOWER) become_follower(raft, raft->term, NULL);
        raft->election_due_us = raft->now_us + part + random_below(&raft->random, part + 1);
        return;
    }
    campaign_start(raft, false);
}

/* All voters see the same end at the same time: they stand apart by more than the time in which a vote is had, and the first one waits until
 * the others have seen it too (they would be sticky) and have said that they hear it. */
void raft_server_gone(struct raft *raft, uint64_t now_us, const struct raft_server *server)
{
    uint64_t step = raft->options.election_min_us / GONE_PARTS;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->has_failed || raft->role != RAFT_FOLLOWER || server_is_zero(server) || !server_same(raft, &raft->leader, server)) return;
    become_follower(raft, raft->term, NULL);
    raft->election_due_us = raft->now_us + step + random_below(&raft->random, 4 * step + 1);
    presence_ask_all(raft);
}

static void votes_ask(struct raft *raft)
{
    peers_each(peer, raft)
    {
        peer->has_answered = peer->has_granted = false;
        if (peer->is_voter || peer->is_old_voter) peer_want(raft, peer, WANT_VOTE);
    }
}

static void candidate_start(struct raft *raft, bool is_transfer)
{
    raft->role = RAFT_CANDIDATE;
    raft->term++;
    raft->voted_for = raft->options.self;
    raft->verified = raft->committed;
    raft->leader_sequence = 0;
    raft->owes_ack = false;
    state_changed(raft);
    raft->elections++;
    raft->is_transfer_campaign = is_transfer;
    raft->summoned_until_us = 0;
    memset(&raft->leader, 0, sizeof(raft->leader));
    election_timer_reset(raft);
    votes_ask(raft);
    campaign_check(raft);
}

void campaign_start(struct raft *raft, bool is_transfer)
{
    if (is_transfer || is_sole_voter(raft) || RAFT_DEFECT(raft, NO_PRE_VOTE)) {
        candidate_start(raft, is_transfer);
        return;
    }
    raft->role = RAFT_PRE_CANDIDATE;
    raft->is_transfer_campaign = false;
    raft->summoned_until_us = 0;
    raft->owes_ack = false;
    memset(&raft->leader, 0, sizeof(raft->leader));
    election_timer_reset(raft);
    votes_ask(raft);
    campaign_check(raft);
}

static bool has_granted(const struct raft *raft, const struct peer *peer)
{
    (void)raft;
    return peer->has_granted;
}

void campaign_check(struct raft *raft)
{
    if (raft->role == RAFT_PRE_CANDIDATE) {
        if (has_majority(raft, true, has_granted)) candidate_start(raft, false);
    } else if (raft->role == RAFT_CANDIDATE && is_state_durable(raft)) {
        if (has_majority(raft, true, has_granted)) leader_start(raft);
    }
}

static bool is_up_to_date(const struct raft *raft, const struct raft_position *theirs)
{
    uint64_t last = last_index(raft), term = log_term(&raft->log, last);

    return theirs->term > term || (theirs->term == term && theirs->index >= last);
}

static bool is_sticky(const struct raft *raft, const struct message *message, const struct peer *peer)
{
    bool is_wanted = (message->flags & MESSAGE_TRANSFER) != 0 && peer != NULL && (peer->is_voter || peer->is_old_voter);

    if (is_wanted || RAFT_DEFECT(raft, NO_STICKINESS)) return false;
    if (RAFT_DEFECT(raft, REMOVED_DISRUPTS) && peer == NULL) return false;
    return raft->role == RAFT_LEADER ||
           (!server_is_zero(&raft->leader) &&
            is_within(raft->leader_heard_us, raft->now_us, raft->options.election_min_us));
}

static void pre_vote_answer(struct raft *raft, const struct message *message, bool may_grant)
{
    bool grants = may_grant && message->term > raft->term;

    answer_queue(raft, (struct answer){.to = message->from,
                                       .type = MESSAGE_VOTE_RESPONSE,
                                       .flags = MESSAGE_PRE_VOTE | (grants ? MESSAGE_GRANTED : 0u),
                                       .term = grants ? message->term : raft->term});
}

/* A candidate need not be in this server's configuration, which may be an old one (Raft 4.2.2). But a server that is not, is heeded only where
 * it gets the vote: so a stranger makes no term rise by asking. */
void on_vote_request(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool is_pre = (message->flags & MESSAGE_PRE_VOTE) != 0, grants;
    bool may_grant = is_up_to_date(raft, &message->position) && !is_disabled_by_damage(raft);
    bool is_stranger = peer == NULL && !RAFT_DEFECT(raft, REMOVED_DISRUPTS);

    if (message->term < raft->term || (is_pre && message->term == raft->term)) {
        answer_queue(raft, (struct answer){.to = message->from, /* it learns the term */
                                           .type = MESSAGE_VOTE_RESPONSE,
                                           .flags = is_pre ? MESSAGE_PRE_VOTE : 0u});
        return;
    }
    if (is_sticky(raft, message, peer)) return;
    if (is_pre) {
        pre_vote_answer(raft, message, may_grant);
        return;
    }
    if (message->term > raft->term) {
        if (is_stranger && !may_grant) {
            raft->messages_dropped++;
            return;
        }
        become_follower(raft, message->term, NULL);
    }
    grants = may_grant && raft->role == RAFT_FOLLOWER && server_is_zero(&raft->leader) &&
             (server_is_zero(&raft->voted_for) || server_same(raft, &raft->voted_for, &message->from));
    if (grants && server_is_zero(&raft->voted_for)) {
        raft->voted_for = message->from;
        state_changed(raft);
    }
    if (grants) election_timer_reset(raft);
    answer_queue(raft, (struct answer){.to = message->from,
                                       .type = MESSAGE_VOTE_RESPONSE,
                                       .flags = grants ? MESSAGE_GRANTED : 0u});
}

void on_vote_response(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool is_pre = (message->flags & MESSAGE_PRE_VOTE) != 0, has_vote = (message->flags & MESSAGE_GRANTED) != 0;

    if (message->term > raft->term && !(is_pre && has_vote)) {
        become_follower(raft, message->term, NULL);
        return;
    }
    if (is_pre ? raft->role != RAFT_PRE_CANDIDATE || !has_vote || message->term != raft->term + 1
               : raft->role != RAFT_CANDIDATE || message->term != raft->term)
        return; /* of an earlier campaign */
    peer->has_answered = true;
    peer->has_granted = has_vote;
    campaign_check(raft);
}

/* Not where the own disk lags behind what it would stand for: it would have to wait for that disk as a leader. */
static bool may_stand_now(const struct raft *raft)
{
    bool is_durable = raft->durable == last_index(raft) && raft->incoming.position.index == 0 && is_state_durable(raft);

    return raft->role == RAFT_FOLLOWER && takes_part(raft) && !is_disabled_by_damage(raft) && !raft->incoming.is_installing &&
           (is_durable || RAFT_DEFECT(raft, TRANSFER_UNDURABLE));
}

/* The leader hands over; it may be one that the newest configuration has no more. A server under a leader does not know whom else it hears: it asks
 * first. */
void on_timeout_now(struct raft *raft, const struct message *message)
{
    bool has_all = raft->durable >= message->position.index || RAFT_DEFECT(raft, TRANSFER_UNDURABLE);

    if (message->term != raft->term || !server_same(raft, &raft->leader, &message->from) || !has_all || !may_stand_now(raft)) {
        raft->messages_dropped++;
        return;
    }
    raft->summoned_until_us = raft->now_us + raft->options.election_min_us;
    if (!is_quorum_connected(raft)) presence_ask_all(raft);
    summons_check(raft);
}

void summons_check(struct raft *raft)
{
    if (raft->now_us < raft->summoned_until_us && may_stand_now(raft) && is_quorum_connected(raft)) campaign_start(raft, true);
}
