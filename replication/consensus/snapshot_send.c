/* consensus/snapshot_send.c - the leader's side of a snapshot: a chunk is read by the driver, sent, stored there, and then the next one. */
#include "replication/consensus/internal.h"

#include "base/crc32c.h"

void snapshot_begin(struct raft *raft, struct peer *peer)
{
    peer_turn(raft, peer, PEER_SNAPSHOT, peer->next);
    peer->snapshot.index = raft->snapshot.index;
    peer->snapshot.offset = 0;
    peer->snapshot.is_waiting = false;
    peer_want(raft, peer, WANT_SNAPSHOT_READ);
}

/* At heartbeats: a chunk or its answer was lost, or the driver had trouble. */
void snapshot_tick(struct raft *raft, struct peer *peer)
{
    if (peer->state != PEER_SNAPSHOT || !peer->snapshot.is_waiting ||
        raft->now_us - peer->snapshot.asked_us < raft->options.election_min_us)
        return;
    peer->snapshot.is_waiting = false;
    peer_want(raft, peer, WANT_SNAPSHOT_READ);
}

bool next_snapshot_read(struct raft *raft, struct peer *peer, struct raft_output *output)
{
    peer->wants &= (uint8_t)~WANT_SNAPSHOT_READ;
    if (peer->state != PEER_SNAPSHOT || peer->snapshot.is_waiting) return false;
    if (peer->snapshot.index != raft->snapshot.index) { /* there is a newer one */
        peer->snapshot.index = raft->snapshot.index;
        peer->snapshot.offset = 0;
    }
    peer->snapshot.is_waiting = true;
    peer->snapshot.asked_us = raft->now_us;
    output->type = RAFT_OUTPUT_SNAPSHOT_READ;
    output->to = peer->server;
    output->index = peer->snapshot.index;
    output->offset = peer->snapshot.offset;
    output->size = raft->options.snapshot_chunk_bytes;
    return true;
}

void raft_snapshot_bytes(struct raft *raft, uint64_t now_us, const struct raft_server *to, uint64_t index, uint64_t offset,
                         struct slice bytes, uint64_t total, int error)
{
    struct peer *peer = peer_find(raft, to);
    struct message message;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->role != RAFT_LEADER || peer == NULL || peer->state != PEER_SNAPSHOT || !peer->snapshot.is_waiting) return;
    peer->snapshot.asked_us = raft->now_us;
    if (error != 0 || index != raft->snapshot.index || index != peer->snapshot.index || offset != peer->snapshot.offset ||
        offset > total || bytes.size > total - offset || bytes.size > RAFT_BODY_SIZE_MAX ||
        (bytes.size == 0 && offset != total))
        return; /* asked for again after a while */
    message_begin(raft, peer, MESSAGE_SNAPSHOT, &message);
    message.position = raft->snapshot;
    message.config = raft->snapshot_config;
    message.flags = offset + bytes.size == total ? MESSAGE_LAST : 0;
    message.offset = offset;
    message.total = total;
    message.crc = crc32c(bytes.data, bytes.size);
    message.bytes = bytes;
    buffer_clear(&raft->snapshot_message);
    if (message_encode(&message, &raft->snapshot_message) != 0) return;
    raft->snapshot_message_to = peer->server;
    raft->is_snapshot_message_pending = true;
}

void on_snapshot_response(struct raft *raft, const struct message *message, struct peer *peer)
{
    if (message->term > raft->term) {
        become_follower(raft, message->term, NULL);
        return;
    }
    if (raft->role != RAFT_LEADER || message->term != raft->term) return;
    peer->answered_us = raft->now_us;
    if (peer->state != PEER_SNAPSHOT || message->position.index != peer->snapshot.index) return;
    if ((message->flags & MESSAGE_LAST) != 0) {
        peer->is_damaged = (message->flags & MESSAGE_DAMAGED) != 0;
        peer_turn(raft, peer, PEER_REPLICATE, peer->snapshot.index + 1);
        peer_matched(raft, peer, peer->snapshot.index);
        peer_want(raft, peer, WANT_ENTRIES | WANT_HEARTBEAT);
        commit_count(raft);
        return;
    }
    if ((message->flags & MESSAGE_REJECTED) == 0 && message->offset == peer->snapshot.offset) return; /* doubled */
    peer->snapshot.offset = (message->flags & MESSAGE_REJECTED) != 0 ? 0 : message->offset;
    peer->snapshot.is_waiting = false;
    peer_want(raft, peer, WANT_SNAPSHOT_READ);
}
