/* consensus/transfer.c - handing leadership over: proposals stop, the other one gets the rest of the log, then the word to stand at once. */
#include "replication/consensus/internal.h"

struct peer *transfer_best(struct raft *raft)
{
    struct peer *best = NULL;

    peers_each(peer, raft)
    {
        if (!peer->is_voter || peer->is_damaged ||
            !is_within(peer->answered_us, raft->now_us, raft->options.election_min_us))
            continue;
        if (best == NULL || peer->match > best->match ||
            (peer->match == best->match && !peer->is_unconnected && best->is_unconnected))
            best = peer;
    }
    return best;
}

int raft_transfer(struct raft *raft, uint64_t now_us, const struct raft_server *to)
{
    struct peer *peer;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->role != RAFT_LEADER) return MESH_ENOT_LEADER;
    if (raft->transfer.is_on || raft->config_index > raft->committed || raft->config.old_voter_count != 0) return MESH_EBUSY;
    peer = server_is_zero(to) ? transfer_best(raft) : peer_find(raft, to);
    if (peer == NULL) return server_is_zero(to) ? MESH_EBUSY : MESH_EINVAL;
    if (!peer->is_voter) return MESH_EINVAL;
    raft->transfer.to = peer->server;
    raft->transfer.until_us = raft->now_us + raft->options.election_min_us;
    raft->transfer.is_on = true;
    raft->transfer.is_sent = false;
    peer_want(raft, peer, WANT_ENTRIES);
    transfer_check(raft, peer);
    return 0;
}

void transfer_check(struct raft *raft, struct peer *peer)
{
    uint64_t last = last_index(raft);

    if (!raft->transfer.is_on || raft->transfer.is_sent || peer->match != last ||
        !server_same(raft, &raft->transfer.to, &peer->server))
        return;
    raft->transfer.is_sent = true;
    answer_queue(raft, (struct answer){.to = peer->server,
                                       .type = MESSAGE_TIMEOUT_NOW,
                                       .index = last,
                                       .hint_term = log_term(&raft->log, last)});
}

void transfer_tick(struct raft *raft)
{
    if (raft->now_us >= raft->transfer.until_us) raft->transfer.is_on = false;
}

void transfer_again(struct raft *raft, const struct peer *peer)
{
    if (server_same(raft, &raft->transfer.to, &peer->server)) raft->transfer.is_sent = false;
}
