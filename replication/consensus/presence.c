/* consensus/presence.c - who hears whom: voters that miss a leader ask each other, and answer.
 *
 * A link may work one way only, so a voter counts as connected when it is heard *and* says that it hears. A server that is not connected with
 * a majority never campaigns: it could not lead, and would only unseat one that can (OmniPaxos, section 2). While a leader is heard nobody needs
 * to know, so nothing is said: the questions begin half an election timeout before anybody may campaign. Whoever has just answered is left in
 * peace for a while, and so is more and more whoever does not. */
#include "replication/consensus/internal.h"

uint64_t presence_due_us(const struct raft *raft)
{
    uint64_t missed_us = raft->leader_heard_us + raft->options.election_min_us / 2;

    if (raft->role == RAFT_LEADER) return RAFT_NEVER;
    if (server_is_zero(&raft->leader) || missed_us < raft->presence_due_us) return raft->presence_due_us;
    return missed_us;
}

void presence_ask(struct raft *raft, struct peer *peer)
{
    peer->unanswered = peer->heard_us >= peer->asked_us ? 1 : peer->unanswered + 1;
    peer->asked_us = raft->now_us;
    peer_want(raft, peer, WANT_PRESENCE);
}

void presence_ask_all(struct raft *raft)
{
    peers_each(peer, raft)
    {
        if (peer->is_voter || peer->is_old_voter) presence_ask(raft, peer);
    }
}

static bool is_to_be_asked(const struct raft *raft, const struct peer *peer)
{
    uint64_t part = raft->options.election_min_us / PRESENCE_PARTS;
    bool is_fresh = is_within(peer->heard_us, raft->now_us, part + part / 2) && is_within(peer->hears_me_us, raft->now_us, part + part / 2);
    bool is_silent = peer->heard_us < peer->asked_us;

    if (!is_silent) return !is_fresh;
    return raft->now_us - peer->asked_us >= (peer->unanswered < PRESENCE_PARTS ? peer->unanswered : PRESENCE_PARTS) * part;
}

void presence_tick(struct raft *raft)
{
    if (!takes_part(raft) || raft->now_us < presence_due_us(raft)) return;
    raft->presence_due_us = raft->now_us + raft->options.election_min_us / PRESENCE_PARTS;
    peers_each(peer, raft)
    {
        if ((peer->is_voter || peer->is_old_voter) && is_to_be_asked(raft, peer)) presence_ask(raft, peer);
    }
}

/* A question is always answered, also to one who is no voter here: its configuration may be newer, and this server needed for its majority. */
void on_presence(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool is_question = (message->flags & MESSAGE_QUIET) == 0;

    if (peer == NULL) {
        if (is_question)
            answer_queue(raft, (struct answer){.to = message->from,
                                               .type = MESSAGE_PRESENCE,
                                               .flags = MESSAGE_HEARS_YOU | MESSAGE_QUIET});
        return;
    }
    if (is_question) peer_want(raft, peer, WANT_PRESENCE_ANSWER);
    peer->hears_me_us = (message->flags & MESSAGE_HEARS_YOU) != 0 ? raft->now_us : 0;
    peer->is_unconnected = (message->flags & MESSAGE_CONNECTED) == 0;
    summons_check(raft);
}

bool peer_is_connected(const struct raft *raft, const struct peer *peer)
{
    return is_within(peer->heard_us, raft->now_us, raft->options.election_min_us) &&
           is_within(peer->hears_me_us, raft->now_us, raft->options.election_min_us);
}

static bool has_answered_lately(const struct raft *raft, const struct peer *peer)
{
    return is_within(peer->answered_us, raft->now_us, raft->options.election_min_us);
}

bool has_check_quorum(const struct raft *raft)
{
    return has_majority(raft, true, has_answered_lately);
}

bool is_quorum_connected(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER) return has_check_quorum(raft);
    return has_majority(raft, true, peer_is_connected);
}
