/* partition/follower.c - where a follower's log has to be cut, and what it takes over from its leader. */
#include "base/assert.h"
#include "replication/partition/replica_peers.h"
#include "replication/partition/sink.h"

static enum replica_cut_verdict begin_cut(struct replica *replica, uint64_t offset)
{
    MESH_ASSERT(!replica->is_cutting);
    replica->epoch_start = offset;
    replica->is_cutting = true;
    replica->is_cut_reset = false;
    replica->is_cut_committed = offset < replica->partition.high_watermark;
    replica_due(replica, REPLICA_TODO_CUT);
    return REPLICA_CUT_BEGINS;
}

/* The epoch of the record before goes along: an empty log that does not know it would look older than it is to whoever chooses a leader by
 * (last epoch, end). */
static enum replica_cut_verdict begin_anew(struct replica *replica, struct replica_log_start start, bool is_committed)
{
    begin_cut(replica, start.offset);
    replica->is_cut_reset = true;
    replica->is_cut_committed = is_committed;
    replica->cut_epoch = start.epoch;
    return REPLICA_CUT_BEGINS;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The common history ends at the latest where the epoch ends that both have, in either log (KIP-279). An epoch that is known here but
 * has no record ends at the log's end: cutting there drops the epoch, and that is progress too (KAFKA-10706). */
enum replica_cut_verdict replica_diverged(struct replica *replica, struct replica_epoch_end end, struct replica_epoch_end ours,
                                          int32_t last_epoch, struct replica_log_start start)
{
    const struct partition *partition = &replica->partition;
    uint64_t offset = smaller(smaller(end.offset, ours.offset), partition->log_end);

    if (end.epoch < 0 || end.epoch > last_epoch) return REPLICA_CUT_NOTHING; /* that is no epoch to compare by */
    if (REPLICA_DEFECT(replica, ONE_ROUND)) offset = smaller(end.offset, partition->log_end);
    if (REPLICA_DEFECT(replica, HEALS_BY_COPYING) && offset < partition->log_end) return begin_anew(replica, start, false);
    if (offset < partition->log_start) return begin_anew(replica, start, offset < partition->high_watermark);
    if (offset == partition->log_end && last_epoch <= end.epoch) return REPLICA_CUT_NOTHING;
    /* An empty log, and the record before it is of an epoch that the leader does not have: they part before its start, where nothing is left to cut. */
    if (partition->log_start == partition->log_end) return begin_anew(replica, start, start.offset < partition->high_watermark);
    if (offset == partition->log_end && REPLICA_DEFECT(replica, EMPTY_EPOCH_STAYS)) return REPLICA_CUT_AGAIN;
    return begin_cut(replica, offset);
}

/* Nothing of what is here is wanted, or can be compared. In an orderly life that is all below what the leader keeps. */
enum replica_cut_verdict replica_must_reset(struct replica *replica, int32_t last_epoch, struct replica_log_start start)
{
    const struct partition *partition = &replica->partition;

    if (last_epoch == start.epoch && partition->log_start == partition->log_end && partition->log_end == start.offset)
        return REPLICA_CUT_NOTHING;
    return begin_anew(replica, start, start.offset < partition->high_watermark);
}

bool replica_is_following(const struct replica *replica)
{
    return replica->role == REPLICA_FOLLOWER && replica->slot != NULL && replica->slot->state == SINK_SLOT_FOLLOWING;
}

bool replica_was_refused(const struct replica *replica)
{
    return replica->role == REPLICA_FOLLOWER && replica->slot != NULL && replica->slot->state == SINK_SLOT_REFUSED;
}

bool replica_give_up(struct replica *replica, uint64_t offset)
{
    if (replica->role != REPLICA_FOLLOWER || replica->is_cutting) return false;
    begin_cut(replica, offset);
    if (replica->slot != NULL) sink_gives_up(replica->slot);
    return true;
}

void replica_get_cut(const struct replica *replica, struct replica_cut *ret_cut)
{
    MESH_ASSERT(replica->is_cutting);
    *ret_cut = (struct replica_cut){replica->epoch_start, replica->is_cut_reset ? replica->cut_epoch : -1, replica->is_cut_reset,
                                    replica->is_cut_committed};
}

void replica_cut_done(struct replica *replica, const struct partition_positions *positions)
{
    struct partition *partition = &replica->partition;

    MESH_ASSERT(replica->is_cutting);
    MESH_ASSERT(positions->end <= replica->epoch_start);
    replica->is_cutting = false;
    partition_set_start(partition, positions);
    partition->log_end = positions->end;
    replica->written = positions->written;
    replica->durable = positions->durable;
    if (partition->high_watermark > positions->end) partition->high_watermark = positions->end;
    if (partition->high_watermark < positions->start && !REPLICA_DEFECT(replica, RESET_KEEPS_WATERMARK))
        partition->high_watermark = positions->start;
    if (replica->slot != NULL) sink_cut_done(replica->slot);
    if (replica_leads(replica)) replica_start_epoch(replica);
    replica_consider_report(replica);
}

void replica_adopt(struct replica *replica, uint64_t high_watermark, uint64_t leader_log_start)
{
    struct partition *partition = &replica->partition;
    uint64_t held = smaller(high_watermark, partition->log_end);

    if (leader_log_start > replica->leader_log_start) {
        replica->leader_log_start = leader_log_start;
        if (leader_log_start > partition->log_start) replica_due(replica, REPLICA_TODO_TRIM);
    }
    if (held <= partition->high_watermark) return;
    partition->high_watermark = held;
    replica_due(replica, REPLICA_TODO_HIGH_WATERMARK);
}

void replica_follower_appended(struct replica *replica, const struct record_batch_header *header)
{
    struct partition *partition = &replica->partition;

    MESH_ASSERT(replica->role == REPLICA_FOLLOWER && !replica->is_cutting);
    MESH_ASSERT((uint64_t)header->base_offset == partition->log_end);
    partition->log_end = (uint64_t)record_batch_last_offset(header) + 1;
}

bool replica_may_report(const struct replica *replica)
{
    if (replica->role != REPLICA_IDLE || replica->partition.leader_epoch < 0 || replica->is_cutting) return false;
    return replica->partition.config.mode != PARTITION_MODE_QUORUM || replica->durable == replica->partition.log_end;
}

void replica_consider_report(struct replica *replica)
{
    if (replica_may_report(replica)) replica_due(replica, REPLICA_TODO_REPORT);
}
