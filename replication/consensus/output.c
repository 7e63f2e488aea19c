/* consensus/output.c - what is to be done next, made from the state when it is asked for. */
#include "replication/consensus/internal.h"

static bool next_role(struct raft *raft, struct raft_output *output)
{
    if (raft->reported.role == raft->role && raft->reported.term == raft->term &&
        raft_server_equal(&raft->reported.leader, &raft->leader))
        return false;
    raft->reported.role = output->role = raft->role;
    raft->reported.term = output->term = raft->term;
    raft->reported.leader = output->leader = raft->leader;
    output->type = RAFT_OUTPUT_ROLE;
    return true;
}

static bool send(struct raft_output *output, const struct raft_server *to, const struct buffer *message)
{
    output->type = RAFT_OUTPUT_SEND;
    output->to = *to;
    output->message = buffer_slice(message);
    return true;
}

static bool small_send(struct raft *raft, const struct message *message, struct raft_output *output)
{
    buffer_clear(&raft->message);
    return message_encode(message, &raft->message) == 0 && send(output, &message->to, &raft->message);
}

static bool vote_request_send(struct raft *raft, struct peer *peer, struct raft_output *output)
{
    struct message message;
    bool is_pre = raft->role == RAFT_PRE_CANDIDATE;

    message_begin(raft, peer, MESSAGE_VOTE_REQUEST, &message);
    if (is_pre) {
        message.term = raft->term + 1;
        message.flags = MESSAGE_PRE_VOTE;
    } else if (raft->is_transfer_campaign) {
        message.flags = MESSAGE_TRANSFER;
    }
    message.position.index = last_index(raft);
    message.position.term = log_term(&raft->log, last_index(raft));
    return small_send(raft, &message, output);
}

static bool presence_send(struct raft *raft, struct peer *peer, bool is_answer, struct raft_output *output)
{
    struct message message;

    message_begin(raft, peer, MESSAGE_PRESENCE, &message);
    if (is_answer) message.flags |= MESSAGE_QUIET;
    if (is_quorum_connected(raft)) message.flags |= MESSAGE_CONNECTED;
    if (is_within(peer->heard_us, raft->now_us, raft->options.election_min_us)) message.flags |= MESSAGE_HEARS_YOU;
    return small_send(raft, &message, output);
}

/* One thing for the peer; false: nothing (more) can be made for it now. *ret_waits: something waits for the disk. */
static bool peer_next(struct raft *raft, struct peer *peer, struct raft_output *output, bool *ret_waits)
{
    *ret_waits = false;
    if ((peer->wants & (WANT_PRESENCE | WANT_PRESENCE_ANSWER)) != 0) {
        bool is_answer = (peer->wants & WANT_PRESENCE) == 0; /* a question says all that an answer does */
        peer->wants &= (uint8_t) ~(WANT_PRESENCE | WANT_PRESENCE_ANSWER);
        if (presence_send(raft, peer, is_answer, output)) return true;
    }
    if ((peer->wants & WANT_VOTE) != 0) {
        bool is_asking = raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
        if (raft->role == RAFT_CANDIDATE && !is_state_durable(raft)) {
            *ret_waits = true;
            return false;
        }
        peer->wants &= (uint8_t)~WANT_VOTE;
        if (is_asking && vote_request_send(raft, peer, output)) return true;
    }
    if (raft->role != RAFT_LEADER) {
        peer->wants &= WANT_VOTE | WANT_PRESENCE;
        return false;
    }
    if ((peer->wants & (WANT_ENTRIES | WANT_HEARTBEAT | WANT_COMMIT)) != 0 && append_make(raft, peer))
        return send(output, &peer->server, &raft->message);
    return (peer->wants & WANT_SNAPSHOT_READ) != 0 && next_snapshot_read(raft, peer, output);
}

static bool next_peer(struct raft *raft, struct raft_output *output)
{
    uint64_t waiting = 0;

    while ((raft->peers_wanting & ~waiting) != 0) {
        unsigned i = (unsigned)__builtin_ctzll(raft->peers_wanting & ~waiting);
        bool waits;
        if (peer_next(raft, &raft->peers[i], output, &waits)) return true;
        if (waits) {
            waiting |= 1ull << i;
        } else if (raft->peers[i].wants == 0) {
            raft->peers_wanting &= ~(1ull << i);
        }
    }
    return false;
}

static bool next_message(struct raft *raft, struct raft_output *output)
{
    struct message message;

    while (next_answer(raft, &message)) {
        if (small_send(raft, &message, output)) return true; /* without memory: as if it were lost */
    }
    if (next_peer(raft, output)) return true;
    if (!raft->is_snapshot_message_pending) return false;
    raft->is_snapshot_message_pending = false;
    return send(output, &raft->snapshot_message_to, &raft->snapshot_message);
}

static bool next_restore(struct raft *raft, struct raft_output *output)
{
    if (!raft->is_restore_pending) return false;
    raft->is_restore_pending = false;
    output->type = RAFT_OUTPUT_RESTORE;
    output->position = raft->snapshot;
    output->config = &raft->snapshot_config;
    return true;
}

bool raft_next_output(struct raft *raft, uint64_t now_us, struct raft_output *ret_output)
{
    if (now_us > raft->now_us) raft->now_us = now_us;
    bytes_clear(ret_output, sizeof(*ret_output));
    if (next_role(raft, ret_output)) return true;
    if (next_read(raft, ret_output)) return true; /* those that are lost, also by a server that failed */
    if (raft->has_failed) return false;
    return next_store(raft, ret_output) || next_message(raft, ret_output) || next_restore(raft, ret_output) ||
           next_commit(raft, ret_output);
}
