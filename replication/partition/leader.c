/* partition/leader.c - what a leader appends, what its followers hold, and what is committed. */
#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/replica_peers.h"
#include "replication/partition/source.h"

/* R6: what a replica holds is what the topic's flush promises. */
static uint64_t position_of(const struct replica *replica, uint64_t written, uint64_t durable)
{
    return replica->partition.config.is_async || REPLICA_DEFECT(replica, UNDURABLE_COUNTED) ? written : durable;
}

/* NULL: nothing was heard of it in this epoch, or it has taken that back. */
static const struct replica_peer *find_heard(const struct replica *replica, int32_t node_id)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++)
        if (replica->peers->at[i].node_id == node_id && replica_peer_stands(&replica->peers->at[i])) return &replica->peers->at[i];
    return NULL;
}

uint64_t replica_position_of(const struct replica *replica, int32_t node_id)
{
    const struct replica_peer *peer = find_heard(replica, node_id);

    return peer == NULL ? 0 : peer->written;
}

uint64_t replica_own_position(const struct replica *replica)
{
    return position_of(replica, replica->written, replica->durable);
}

uint64_t replica_peer_position(const struct replica *replica, const struct replica_peer *peer)
{
    return position_of(replica, peer->written, peer->durable);
}

/* ---- the high watermark ---- */

bool replica_peer_is_counted(const struct replica *replica, const struct replica_peer *peer)
{
    uint16_t maximal = REPLICA_DEFECT(replica, PROPOSED_NOT_COUNTED) ? replica->isr : replica->isr | replica->proposed;

    return (maximal >> peer->index) & 1;
}

/* R5: the smallest position in the maximal ISR, each of whose members has acknowledged this very epoch. */
static bool isr_position(const struct replica *replica, uint64_t *ret_position)
{
    const struct partition_config *config = &replica->partition.config;
    uint64_t position = replica_own_position(replica);

    if (config->mode == PARTITION_MODE_ISR && replica->partition.isr_count < config->min_insync &&
        !REPLICA_DEFECT(replica, MIN_INSYNC_IGNORED))
        return false;
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        uint64_t theirs = replica_peer_position(replica, peer);

        if (!replica_peer_is_counted(replica, peer)) continue;
        if (!replica_peer_stands(peer)) return false;
        if (theirs < position) position = theirs;
    }
    *ret_position = position;
    return true;
}

/* What a majority of all replicas holds, and only once it holds the record that this epoch begins with (Raft 5.4.2: what is of an
 * earlier epoch is committed by what follows it, never by being counted). */
static bool quorum_position(const struct replica *replica, uint64_t *ret_position)
{
    uint64_t held[REPLICA_MEMBERS_MAX];
    size_t count = 0, majority = replica->member_count / 2u + 1;

    held[count++] = replica_own_position(replica);
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        uint64_t position = replica_peer_position(replica, peer);
        size_t at = count;

        if (!replica_peer_stands(peer)) continue;
        for (; at > 0 && held[at - 1] < position; at--)
            held[at] = held[at - 1];
        held[at] = position;
        count++;
    }
    if (count < majority) return false;
    if (held[majority - 1] <= replica->epoch_start && replica->member_count > 1 && !REPLICA_DEFECT(replica, FIGURE_EIGHT))
        return false;
    *ret_position = held[majority - 1];
    return true;
}

static void mark_peer(struct replica_peer *peer)
{
    if (peer->source == NULL) return;
    peer->is_mark_due = true;
    source_wake(peer);
}

void replica_mark_all(struct replica *replica)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++)
        mark_peer(&replica->peers->at[i]);
}

void replica_advance(struct replica *replica)
{
    struct partition *partition = &replica->partition;
    uint64_t position;
    bool is_known;

    if (partition->is_starting) return;
    is_known = partition->config.mode == PARTITION_MODE_QUORUM ? quorum_position(replica, &position) : isr_position(replica, &position);
    if (!is_known || position <= partition->high_watermark) return;
    MESH_ASSERT(position <= partition->log_end);
    partition->high_watermark = position;
    replica_due(replica, REPLICA_TODO_HIGH_WATERMARK);
    replica_mark_all(replica);
}

bool replica_end_is_known(const struct replica *replica)
{
    const struct partition *partition = &replica->partition;

    return !replica_leads(replica) || (!partition->is_starting && partition->high_watermark >= replica->epoch_start);
}

int replica_check_fetch_offset(const struct replica *replica, uint64_t offset)
{
    const struct partition *partition = &replica->partition;

    if (!replica_end_is_known(replica) && offset > partition->high_watermark && offset <= partition->log_end) return MESH_EAGAIN;
    return partition_check_fetch_offset(partition, offset);
}

void replica_get_receipt(const struct replica *replica, uint64_t end_offset, struct replica_receipt *ret_receipt)
{
    *ret_receipt = (struct replica_receipt){replica->written >= end_offset, replica->durable >= end_offset};
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];

        if (!replica_peer_stands(peer)) continue;
        ret_receipt->held += peer->written >= end_offset;
        ret_receipt->synced += peer->durable >= end_offset;
    }
}

bool replica_member_end(const struct replica *replica, int32_t node_id, uint64_t *ret_end)
{
    const struct replica_peer *peer;

    if (!replica_leads(replica)) return false;
    if (node_id == replica->partition.self) {
        *ret_end = replica->partition.log_end;
        return true;
    }
    peer = find_heard(replica, node_id);
    if (peer == NULL) return false;
    *ret_end = peer->written;
    return true;
}

void replica_get_lag(const struct replica *replica, struct replica_lag *ret_lag)
{
    *ret_lag = (struct replica_lag){.followers = (uint32_t)replica_peer_count(replica)};
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        uint64_t behind = replica->partition.log_end - replica_peer_position(replica, peer);

        ret_lag->attached += peer->source != NULL;
        if (peer->has_acked && behind > ret_lag->records_max) ret_lag->records_max = behind;
    }
}

/* ---- appends ---- */

int replica_build_epoch_start(const struct replica *replica, int64_t now_wall_ms, struct buffer *to)
{
    const struct partition *partition = &replica->partition;
    size_t at = to->size;
    int err = record_batch_build_control(to, -1, -1, REPLICA_CONTROL_EPOCH, partition->leader_epoch, now_wall_ms);

    MESH_ASSERT(replica_leads(replica) && partition->is_starting && !replica->is_cutting);
    if (err != 0) return err;
    record_batch_set_base_offset(to->data + at, (int64_t)partition->log_end);
    record_batch_set_leader_epoch(to->data + at, partition->leader_epoch);
    return 0;
}

void replica_leader_moved(struct replica *replica)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        struct replica_peer *peer = &replica->peers->at[i];

        replica_lag_update(replica, peer);
        if (peer->source == NULL) continue;
        peer->is_waiting = false;
        if (peer->sent < replica->partition.log_end) source_wake(peer);
    }
    replica_advance(replica);
}

void replica_leader_appended(struct replica *replica, const struct record_batch_header *header)
{
    MESH_ASSERT(replica_leads(replica) && !replica->partition.is_starting);
    partition_leader_appended(&replica->partition, header);
    replica_leader_moved(replica);
}

void replica_epoch_started(struct replica *replica, const struct record_batch_header *header)
{
    MESH_ASSERT(replica_leads(replica) && replica->partition.is_starting);
    replica->epoch_start = (uint64_t)header->base_offset;
    replica->partition.is_starting = false;
    replica_leader_appended(replica, header);
    replica_isr_consider(replica);
}

/* ---- followers ---- */

static struct replica_peer *find_peer(struct replica *replica, int32_t node_id)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++)
        if (replica->peers->at[i].node_id == node_id) return &replica->peers->at[i];
    return NULL;
}

/* R1: both speak of the same epoch, and of the same lives. */
static enum stream_reason check_identity(struct replica *replica, const struct replica_peer *peer,
                                         const struct stream_message *attach)
{
    const struct partition *partition = &replica->partition;

    if (!REPLICA_DEFECT(replica, EPOCHS_NOT_COMPARED)) {
        if (attach->leader_epoch < partition->leader_epoch) return STREAM_REASON_STALE_EPOCH;
        if (attach->leader_epoch > partition->leader_epoch) return STREAM_REASON_UNKNOWN_EPOCH;
    }
    if (!replica_leads(replica)) return STREAM_REASON_NOT_LEADER;
    if (partition->is_starting) return STREAM_REASON_STARTING;
    if (peer == NULL) return STREAM_REASON_NOT_REPLICA;
    if (attach->broker_epoch < peer->broker_epoch) return STREAM_REASON_STALE_REPLICA;
    if (attach->broker_epoch > peer->broker_epoch) return STREAM_REASON_UNKNOWN_REPLICA;
    if (REPLICA_DEFECT(replica, GENERATION_IGNORED)) return STREAM_REASON_NONE;
    if (attach->generation < peer->generation) return STREAM_REASON_STALE_REPLICA;
    if (attach->generation > peer->generation) return STREAM_REASON_UNKNOWN_REPLICA;
    return STREAM_REASON_NONE;
}

/* R2. What ends before ours begins is not wanted; and where no epoch is known to both, nothing can be compared: then the follower begins
 * anew, which loses nothing that this leader has. So does one that has nothing and does not know behind which epoch it begins, unless that
 * is not known here either: then it knows it. Who has nothing, begins where we do and knows the epoch that we do not know keeps it. */
static enum replica_answer compare_histories(const struct partition *partition, const struct stream_message *attach,
                                             struct replica_epoch_end end, int32_t start_epoch)
{
    if (attach->log_end < partition->log_start) return REPLICA_RESET;
    if (end.epoch < 0 || attach->last_epoch < 0) {
        bool begins_here = attach->log_start == attach->log_end && attach->log_end == partition->log_start;
        return begins_here && start_epoch < 0 ? REPLICA_ACCEPTED : REPLICA_RESET;
    }
    return end.epoch < attach->last_epoch || end.offset < attach->log_end ? REPLICA_DIVERGED : REPLICA_ACCEPTED;
}

/* It holds less than it said in this epoch. */
static bool has_lost(const struct replica *replica, const struct replica_peer *peer, const struct stream_message *attach)
{
    return peer->has_acked && position_of(replica, attach->written, attach->durable) < replica_peer_position(replica, peer);
}

/* Its word is remembered (has_lost), but nothing is committed on it; and its clock runs, though it may miss nothing by that word. A stream
 * that it is attached to is older than what made it doubted. */
void replica_peer_doubted(struct replica *replica, struct replica_peer *peer)
{
    if (!peer->has_acked) return;
    source_leave(peer, STREAM_REASON_LEFT);
    peer->is_doubted = true;
    replica_lag_begin(replica, peer);
}

void replica_judge_attach(struct replica *replica, int32_t node_id, const struct stream_message *attach,
                          struct replica_epoch_end end, int32_t start_epoch, struct replica_judgement *ret_judgement)
{
    struct replica_peer *peer = find_peer(replica, node_id);
    enum stream_reason reason = check_identity(replica, peer, attach);
    bool lost;

    *ret_judgement = (struct replica_judgement){REPLICA_REJECTED, reason, NULL};
    if (reason != STREAM_REASON_NONE) return;
    ret_judgement->answer = compare_histories(&replica->partition, attach, end, start_epoch);
    if (REPLICA_DEFECT(replica, UNRECONCILED_COUNTED) && attach->durable <= replica->partition.log_end)
        replica_peer_acked(replica, peer, attach->written, attach->durable);
    lost = has_lost(replica, peer, attach);
    if (lost) replica_peer_doubted(replica, peer);
    if (ret_judgement->answer != REPLICA_ACCEPTED) return;
    /* What may be committed on the word of a member of the ISR is not given up by taking the word back. It lags until it is out of the ISR, and then
     * begins like any other. */
    if (lost && replica_peer_is_counted(replica, peer)) {
        *ret_judgement = (struct replica_judgement){REPLICA_REJECTED, STREAM_REASON_LOST, NULL};
        return;
    }
    ret_judgement->peer = peer;
}

void replica_peer_acked(struct replica *replica, struct replica_peer *peer, uint64_t written, uint64_t durable)
{
    peer->written = written;
    peer->durable = durable;
    peer->has_acked = true;
    peer->is_doubted = false;
    replica_lag_update(replica, peer);
    replica_advance(replica);
    if (!((replica->isr >> peer->index) & 1)) replica_isr_consider(replica);
}
