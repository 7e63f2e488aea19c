/* consensus/presence.c - voters tell each other, a few times in an election timeout, that they are there and whether they hear a majority.
 *
 * A link may work one way only, so a voter counts as connected when it is heard *and* says that it hears. A server that is not connected with
 * a majority never campaigns: it could not lead, and would only unseat one that can (OmniPaxos, section 2). */
#include "replication/consensus/internal.h"

void presence_tick(struct raft *raft)
{
    if (!takes_part(raft) || raft->now_us < raft->presence_due_us) return;
    raft->presence_due_us = raft->now_us + raft->options.election_min_us / PRESENCE_PARTS;
    peers_each(peer, raft)
    {
        if (peer->is_voter || peer->is_old_voter) peer_want(raft, peer, WANT_PRESENCE);
    }
}

/* Who does not count the sender among its voters, because its configuration is an older one or lost, tells it nothing by itself; but it may be needed
 * for that one's majority, so it answers. */
void on_presence(struct raft *raft, const struct message *message, struct peer *peer)
{
    bool tells = peer != NULL && (peer->is_voter || peer->is_old_voter) && takes_part(raft);

    if (!tells && (message->flags & MESSAGE_QUIET) == 0)
        answer_queue(raft, (struct answer){.to = message->from,
                                           .type = MESSAGE_PRESENCE,
                                           .flags = MESSAGE_HEARS_YOU | MESSAGE_QUIET});
    if (peer == NULL) return;
    peer->hears_me_us = (message->flags & MESSAGE_HEARS_YOU) != 0 ? raft->now_us : 0;
    peer->is_quorum_connected = (message->flags & MESSAGE_CONNECTED) != 0;
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
