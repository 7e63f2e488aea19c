/* partition/isr.c - who is in sync: lag clocks, what is asked of the coordinator, and what becomes of the answers (R7, R8). */
#include "replication/partition/replica_peers.h"
#include "replication/partition/source.h"

static bool is_in_isr(const struct replica *replica, const struct replica_peer *peer)
{
    return (replica->isr >> peer->index) & 1;
}

/* ---- lag clocks ---- */

/* The clock says since when the follower misses what the leader had at that time. It starts over whenever that much has arrived, so
 * that a follower which keeps up with a steady stream is never late, though it never has everything. */
void replica_lag_begin(struct replica *replica, struct replica_peer *peer)
{
    if (!peer->is_behind) {
        peer->is_behind = true;
        peer->lag_since_ms = replica->board->now_ms;
        peer->lag_offset = replica->partition.log_end;
    }
    if (is_in_isr(replica, peer)) replica_watch(replica, peer->lag_since_ms + replica->board->lag_max_ms);
}

void replica_lag_update(struct replica *replica, struct replica_peer *peer)
{
    uint64_t position = replica_peer_position(replica, peer);

    if (replica_peer_stands(peer) && peer->is_behind && position >= peer->lag_offset) peer->is_behind = false;
    if (!replica_peer_stands(peer) || position < replica->partition.log_end) replica_lag_begin(replica, peer);
}

static uint64_t lag_deadline(const struct replica *replica, const struct replica_peer *peer)
{
    return peer->is_behind ? peer->lag_since_ms + replica->board->lag_max_ms : UINT64_MAX;
}

/* ---- what should be ---- */

/* R8: it follows now, in this epoch and in its present life, has all that may be committed (which may be more than this leader knows
 * to be: the epoch's start says how much), and the coordinator would have it. */
static bool may_join(const struct replica *replica, const struct replica_peer *peer)
{
    uint64_t position = replica_peer_position(replica, peer);

    if (peer->source == NULL || !peer->has_acked) return false;
    if (!peer->is_eligible && !REPLICA_DEFECT(replica, INELIGIBLE_PROPOSED)) return false;
    if (position < replica->epoch_start && !REPLICA_DEFECT(replica, JOINS_EARLY)) return false;
    return position >= replica->partition.high_watermark;
}

/* In mode quorum nobody leaves for being late: the ISR says only who is known to have all, which moves and elections want to know; what is
 * committed hangs on a majority. */
static uint16_t wanted_isr(const struct replica *replica)
{
    bool is_quorum = replica->partition.config.mode == PARTITION_MODE_QUORUM;
    uint16_t wanted = replica->isr;

    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        uint16_t bit = (uint16_t)(1u << peer->index);

        if (is_in_isr(replica, peer)) {
            if (!is_quorum && lag_deadline(replica, peer) <= replica->board->now_ms) wanted &= (uint16_t)~bit;
        } else if (may_join(replica, peer)) {
            wanted |= bit;
        }
    }
    return wanted;
}

/* While an earlier proposal may yet be done, any ALTER that is done makes it void: so one is asked for, if only to change nothing. */
static bool wants_alter(const struct replica *replica)
{
    if (!replica_leads(replica) || replica->partition.is_starting) return false;
    if (replica->is_uncertain && (replica->proposed & ~replica->isr) != 0) return true;
    if (replica->wants_confirmation && !replica->has_confirmed && replica->partition.config.mode == PARTITION_MODE_QUORUM) return true;
    return wanted_isr(replica) != replica->isr;
}

void replica_isr_consider(struct replica *replica)
{
    if (replica->is_altering || !wants_alter(replica)) return;
    if (replica->board->now_ms < replica->alter_after_ms)
        replica_watch(replica, replica->alter_after_ms);
    else
        replica_due(replica, REPLICA_TODO_ALTER);
}

void replica_isr_tick(struct replica *replica)
{
    uint64_t now_ms = replica->board->now_ms;

    if (!replica_leads(replica)) return;
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        uint64_t deadline_ms = lag_deadline(replica, peer);

        if (is_in_isr(replica, peer) && deadline_ms > now_ms && deadline_ms != UINT64_MAX) replica_watch(replica, deadline_ms);
    }
    replica_isr_consider(replica);
}

/* Who counts holds the high watermark from then on, so its data must not go on waiting among those of the late. */
static void sort_peers(struct replica *replica)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++)
        source_sort(&replica->peers->at[i]);
}

/* ---- asking ---- */

static void say_member(struct replica_alter *alter, int32_t node_id, uint64_t broker_epoch, uint64_t generation)
{
    alter->isr[alter->isr_count++] = (struct replica_alter_member){node_id, broker_epoch, generation};
}

bool replica_alter_begin(struct replica *replica, struct replica_alter *ret_alter)
{
    uint16_t wanted = wanted_isr(replica);

    if (replica->is_altering || !wants_alter(replica)) return false;
    *ret_alter = (struct replica_alter){
        .leader_epoch = replica->partition.leader_epoch,
        .partition_epoch = replica->partition_epoch,
        .leader_broker_epoch = replica->board->broker_epoch,
    };
    say_member(ret_alter, replica->partition.self, replica->board->broker_epoch, replica->generation);
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];
        bool says_lives = !REPLICA_DEFECT(replica, LIVES_NOT_SAID);

        if (!((wanted >> peer->index) & 1)) continue;
        say_member(ret_alter, peer->node_id, says_lives ? peer->broker_epoch : 0, says_lives ? peer->generation : 0);
    }
    replica->has_confirmed = replica->wants_confirmation; /* once is enough, until the coordinator's picture changes */
    /* What was proposed before and may yet be done goes on to count (R7). */
    replica->proposed = replica->is_uncertain ? replica->proposed | wanted : wanted;
    replica->is_altering = true;
    sort_peers(replica);
    return true;
}

void replica_isr_settle(struct replica *replica, uint16_t isr, uint32_t partition_epoch)
{
    struct partition *partition = &replica->partition;
    uint32_t was = partition->isr_count;

    replica->isr = isr;
    replica->proposed = 0;
    replica->partition_epoch = partition_epoch;
    replica->is_altering = replica->is_uncertain = false;
    replica->alter_after_ms = 0;
    partition->isr_count = (uint16_t)__builtin_popcount(isr);
    if (!replica_leads(replica)) return;
    if (partition->config.mode == PARTITION_MODE_ISR && was >= partition->config.min_insync &&
        partition->isr_count < partition->config.min_insync)
        replica_due(replica, REPLICA_TODO_BELOW_MIN);
    for (size_t i = 0; i < replica_peer_count(replica); i++) /* who joined has a clock from now on */
        if (replica->peers->at[i].is_behind) replica_lag_begin(replica, &replica->peers->at[i]);
    sort_peers(replica);
    replica_advance(replica);
}

static uint16_t mask_of(const struct replica *replica, const struct replica_alter *alter)
{
    uint16_t mask = (uint16_t)(1u << replica->self_index);

    for (uint8_t i = 0; i < alter->isr_count; i++)
        for (size_t k = 0; k < replica_peer_count(replica); k++)
            if (replica->peers->at[k].node_id == alter->isr[i].node_id) mask |= (uint16_t)(1u << replica->peers->at[k].index);
    return mask;
}

/* An answer to what the image has overtaken says nothing any more: every ALTER is bound to one partition epoch. */
void replica_alter_done(struct replica *replica, const struct replica_alter *alter, enum replica_alter_outcome outcome,
                        uint32_t partition_epoch)
{
    if (!replica_leads(replica) || alter->leader_epoch != replica->partition.leader_epoch || !replica->is_altering ||
        alter->partition_epoch != replica->partition_epoch)
        return;
    replica->is_altering = false;
    if (outcome == REPLICA_ALTER_DONE && partition_epoch <= replica->partition_epoch) outcome = REPLICA_ALTER_UNKNOWN; /* settles nothing */
    switch (outcome) {
    case REPLICA_ALTER_DONE:
        replica_isr_settle(replica, mask_of(replica, alter), partition_epoch);
        break;
    case REPLICA_ALTER_REFUSED:
        if (!replica->is_uncertain || REPLICA_DEFECT(replica, ROLLS_BACK_BLINDLY)) {
            replica->proposed = 0;
            replica->is_uncertain = false;
            sort_peers(replica);
            replica_advance(replica);
        }
        break;
    case REPLICA_ALTER_UNKNOWN:
        replica->is_uncertain = true;
        if (REPLICA_DEFECT(replica, SHRINKS_ALONE)) {
            replica->isr &= mask_of(replica, alter);
            replica->partition.isr_count = (uint16_t)__builtin_popcount(replica->isr);
            replica_advance(replica);
        }
        break;
    }
    if (outcome != REPLICA_ALTER_DONE) {
        replica->alter_after_ms = replica->board->now_ms + REPLICA_ALTER_RETRY_MS;
        replica->has_confirmed = false;
    }
    replica_isr_consider(replica);
}
