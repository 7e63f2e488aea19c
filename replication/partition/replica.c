/* partition/replica.c - the life of a replica: facts of the metadata, roles, positions; and the board. */
#include "replication/partition/replica.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/replica_peers.h"
#include "replication/partition/sink.h"
#include "replication/partition/source.h"

#include <stdlib.h>

#define TODO_OF_LEADERS (REPLICA_TODO_EPOCH_START | REPLICA_TODO_ALTER | REPLICA_TODO_BELOW_MIN)

/* ---- the board ---- */

void replica_board_init(struct replica_board *board)
{
    *board = (struct replica_board){.deadline_ms = UINT64_MAX, .lag_max_ms = REPLICA_LAG_MAX_MS};
    list_init(&board->todo);
    list_init(&board->watched);
}

void replica_due(struct replica *replica, uint32_t todo)
{
    if (replica->todo == 0) {
        list_remove(&replica->link);
        list_push_back(&replica->board->todo, &replica->link);
    }
    replica->todo |= (uint16_t)todo;
}

/* Nothing is to be done for it. */
static void put_aside(struct replica *replica)
{
    list_remove(&replica->link);
    if (replica->is_watched) list_push_back(&replica->board->watched, &replica->link);
}

static void replica_not_due(struct replica *replica, uint32_t todo)
{
    replica->todo &= (uint16_t)~todo;
    if (replica->todo == 0) put_aside(replica);
}

struct replica *replica_board_next(struct replica_board *board, uint32_t *ret_todo)
{
    struct list_node *node = list_pop_front(&board->todo);
    struct replica *replica;

    if (node == NULL) return NULL;
    replica = container_of(node, struct replica, link);
    *ret_todo = replica->todo;
    replica->todo = 0;
    put_aside(replica);
    return replica;
}

void replica_watch(struct replica *replica, uint64_t deadline_ms)
{
    struct replica_board *board = replica->board;

    if (!replica->is_watched && replica->todo == 0) list_push_back(&board->watched, &replica->link);
    replica->is_watched = true;
    if (deadline_ms < board->deadline_ms) board->deadline_ms = deadline_ms;
}

static void replica_unwatch(struct replica *replica)
{
    if (replica->is_watched && replica->todo == 0) list_remove(&replica->link);
    replica->is_watched = false;
}

/* Who is still to be watched says so. */
static void look_at(struct replica *replica)
{
    replica->is_watched = false;
    replica_isr_tick(replica);
}

void replica_board_tick(struct replica_board *board, uint64_t now_ms)
{
    struct list_node was_watched;

    board->now_ms = now_ms;
    if (now_ms < board->deadline_ms) return;
    board->deadline_ms = UINT64_MAX;
    list_init(&was_watched);
    while (!list_is_empty(&board->watched))
        list_push_back(&was_watched, list_pop_front(&board->watched));
    list_for_each(node, &board->todo)
    {
        struct replica *replica = container_of(node, struct replica, link);
        if (replica->is_watched) look_at(replica);
    }
    for (struct list_node *node; (node = list_pop_front(&was_watched)) != NULL;)
        look_at(container_of(node, struct replica, link));
}

/* ---- beginning and end ---- */

static uint64_t within(uint64_t offset, uint64_t start, uint64_t end)
{
    if (offset < start) return start;
    return offset > end ? end : offset;
}

void replica_init(struct replica *replica, struct replica_board *board, int32_t self, const struct partition_config *config,
                  const struct partition_positions *positions, uint64_t high_watermark)
{
    const struct partition_assignment nobody = {.leader = -1, .leader_epoch = -1};

    memset(replica, 0, sizeof(*replica));
    partition_init(&replica->partition, self, &nobody, config, positions);
    replica->partition.high_watermark = within(high_watermark, replica->partition.first, positions->end);
    replica->min_insync_wanted = config->min_insync;
    replica->board = board;
    replica->written = positions->written;
    replica->durable = positions->durable;
    list_init(&replica->link);
}

/* The followers that are attached are told why they are not any more. */
static void drop_peers(struct replica *replica, enum stream_reason reason)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++)
        source_leave(&replica->peers->at[i], reason);
    free(replica->peers);
    replica->peers = NULL;
}

static void leave_streams(struct replica *replica, enum stream_reason reason)
{
    drop_peers(replica, reason);
    if (replica->slot != NULL) sink_leave(replica->slot);
    MESH_ASSERT(replica->slot == NULL);
}

void replica_deinit(struct replica *replica)
{
    leave_streams(replica, STREAM_REASON_UNKNOWN_PARTITION);
    list_remove(&replica->link);
}

/* ---- assignment ---- */

static int find_member(const struct replica_assignment *assignment, int32_t node_id)
{
    for (int i = 0; i < assignment->member_count; i++)
        if (assignment->members[i].node_id == node_id) return i;
    return -1;
}

/* Whether the other replicas are those that the peers stand for. */
static bool peers_fit(const struct replica *replica, const struct replica_assignment *assignment)
{
    size_t i = 0;

    if (replica_peer_count(replica) + 1 != assignment->member_count) return false;
    for (int index = 0; index < assignment->member_count; index++) {
        if (assignment->members[index].node_id == replica->partition.self) continue;
        if (replica->peers->at[i].node_id != assignment->members[index].node_id) return false;
        i++;
    }
    return true;
}

static struct replica_peers *peers_new(struct replica *replica, const struct replica_assignment *assignment)
{
    size_t count = (size_t)assignment->member_count - 1;
    struct replica_peers *peers = calloc(1, sizeof(*peers) + count * sizeof(peers->at[0]));

    if (peers == NULL) return NULL;
    peers->replica = replica;
    for (int index = 0; index < assignment->member_count; index++) {
        const struct replica_member *member = &assignment->members[index];
        struct replica_peer *peer = &peers->at[peers->count];

        if (member->node_id == replica->partition.self) continue;
        list_init(&peer->link);
        peer->node_id = member->node_id;
        peer->broker_epoch = member->broker_epoch;
        peer->generation = member->generation;
        peer->is_eligible = member->is_eligible;
        peer->place = peers->count++;
        peer->index = (uint8_t)index;
    }
    return peers;
}

/* The same leader and epoch, other replicas: who stays keeps what it has. NULL: there are none any more. */
static void replace_peers(struct replica *replica, struct replica_peers *peers)
{
    struct replica_peers *old = replica->peers;

    for (size_t i = 0; old != NULL && i < old->count; i++)
        for (size_t k = 0; peers != NULL && k < peers->count; k++)
            if (old->at[i].node_id == peers->at[k].node_id) source_move(&old->at[i], &peers->at[k]);
    drop_peers(replica, STREAM_REASON_NOT_REPLICA);
    replica->peers = peers;
}

/* Whatever a former life has acknowledged counts no longer (KIP-903, KIP-966). */
static void refresh_peer(struct replica *replica, struct replica_peer *peer, const struct replica_member *member)
{
    bool is_same = peer->broker_epoch == member->broker_epoch &&
                   (peer->generation == member->generation || REPLICA_DEFECT(replica, GENERATION_IGNORED));

    peer->is_eligible = member->is_eligible;
    peer->broker_epoch = member->broker_epoch;
    peer->generation = member->generation;
    if (is_same) return;
    source_leave(peer, STREAM_REASON_STALE_REPLICA);
    peer->has_acked = peer->is_doubted = false;
    peer->written = peer->durable = 0;
    if (!replica->partition.is_starting) replica_lag_begin(replica, peer);
}

static void refresh_facts(struct replica *replica, const struct replica_assignment *assignment)
{
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        struct replica_peer *peer = &replica->peers->at[i];
        int index = find_member(assignment, peer->node_id);

        if (index >= 0) refresh_peer(replica, peer, &assignment->members[index]);
    }
}

/* A leader's mask, over the members of this assignment instead of those before. */
static uint16_t renumbered(const struct replica *replica, uint16_t mask, const struct replica_assignment *assignment)
{
    int place = find_member(assignment, replica->partition.self);
    uint16_t now = (uint16_t)((mask >> replica->self_index & 1u) << place);

    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        const struct replica_peer *peer = &replica->peers->at[i];

        place = find_member(assignment, peer->node_id);
        if (place >= 0) now |= (uint16_t)((mask >> peer->index & 1u) << place);
    }
    return now;
}

/* The members are others, or stand in another order. An answer to an ALTER may have told their partition epoch before: then nothing else settles what the
 * masks mean. */
static void renumber(struct replica *replica, const struct replica_assignment *assignment)
{
    if (!replica_leads(replica)) return;
    replica->isr = renumbered(replica, replica->isr, assignment);
    replica->proposed = renumbered(replica, replica->proposed, assignment);
    for (size_t i = 0; i < replica_peer_count(replica); i++) {
        int place = find_member(assignment, replica->peers->at[i].node_id);

        if (place >= 0) replica->peers->at[i].index = (uint8_t)place;
    }
}

/* A single replica's epoch needs no record: nobody has to learn of it from the log. Nor does the first epoch of a partition that nothing was ever written to:
 * there is no older one that it could be taken for, in no log, and its first record tells of it. Clients see a log that begins at 0 then. */
static bool needs_epoch_start(const struct replica *replica)
{
    const struct partition *partition = &replica->partition;

    if (partition->leader_epoch == 0 && partition->log_end == 0) return false;
    return replica->member_count > 1 && !REPLICA_DEFECT(replica, NO_EPOCH_START);
}

void replica_start_epoch(struct replica *replica)
{
    if (needs_epoch_start(replica)) {
        replica_due(replica, REPLICA_TODO_EPOCH_START);
        return;
    }
    replica->epoch_start = replica->partition.log_end;
    replica->partition.is_starting = false;
    replica_leader_moved(replica);
    replica_isr_consider(replica);
}

static void begin_to_lead(struct replica *replica, struct replica_peers *peers)
{
    replica->role = REPLICA_LEADER;
    replica->peers = peers;
    replica->partition.is_starting = true;
    if (!replica->is_cutting) replica_start_epoch(replica); /* otherwise replica_cut_done() does */
}

static void begin_to_follow(struct replica *replica)
{
    struct partition *partition = &replica->partition;

    replica->role = REPLICA_FOLLOWER;
    replica_due(replica, REPLICA_TODO_FOLLOW);
    if (!REPLICA_DEFECT(replica, CUT_TO_HIGH_WATERMARK) || replica->is_cutting) return;
    if (partition->high_watermark == partition->log_end) return;
    replica->epoch_start = partition->high_watermark;
    replica->is_cutting = true;
    replica->is_cut_reset = false;
    replica_due(replica, REPLICA_TODO_CUT);
}

static void begin_epoch(struct replica *replica, const struct replica_assignment *assignment, struct replica_peers *peers)
{
    struct partition *partition = &replica->partition;

    if (replica->role == REPLICA_LEADER) replica_due(replica, REPLICA_TODO_LED);
    leave_streams(replica, STREAM_REASON_STALE_EPOCH);
    replica_unwatch(replica);
    replica_not_due(replica, TODO_OF_LEADERS | REPLICA_TODO_FOLLOW | REPLICA_TODO_REPORT);
    partition->leader = assignment->leader;
    partition->leader_epoch = assignment->leader_epoch;
    partition->isr_count = (uint16_t)__builtin_popcount(assignment->isr);
    partition->is_starting = false;
    replica->partition_epoch = assignment->partition_epoch;
    replica->isr = assignment->isr;
    replica->proposed = 0;
    replica->is_altering = replica->is_uncertain = replica->has_confirmed = false;
    replica->wants_confirmation = assignment->wants_confirmation;
    replica->alter_after_ms = 0;
    if (assignment->leader == partition->self)
        begin_to_lead(replica, peers);
    else if (assignment->leader >= 0)
        begin_to_follow(replica);
    else
        replica->role = REPLICA_IDLE;
}

/* A sealed epoch has no leader at first and gets its one later. */
static bool begins_epoch(const struct replica *replica, const struct replica_assignment *assignment)
{
    const struct partition *partition = &replica->partition;

    if (assignment->leader_epoch != partition->leader_epoch) return assignment->leader_epoch > partition->leader_epoch;
    return partition->leader < 0 && assignment->leader >= 0 && assignment->partition_epoch > replica->partition_epoch;
}

static int take_assignment(struct replica *replica, const struct replica_assignment *assignment)
{
    int self = find_member(assignment, replica->partition.self);
    bool is_new = begins_epoch(replica, assignment);
    bool leads = is_new ? assignment->leader == replica->partition.self : replica_leads(replica);
    bool has_new_peers = leads && (is_new || !peers_fit(replica, assignment));
    struct replica_peers *peers = NULL; /* a leader that is alone has none */

    if (self < 0 || assignment->member_count > REPLICA_MEMBERS_MAX) return MESH_EINVAL;
    if (assignment->leader_epoch < replica->partition.leader_epoch) return 0;
    if (!is_new && assignment->partition_epoch < replica->partition_epoch) {
        refresh_facts(replica, assignment); /* an answer to an ALTER was faster than the image: the brokers' lives are news all the same */
        replica_isr_consider(replica);
        return 0;
    }
    if (has_new_peers && assignment->member_count > 1) {
        peers = peers_new(replica, assignment);
        if (peers == NULL) return MESH_ENOMEM;
    }
    if (!is_new) renumber(replica, assignment);
    replica->member_count = assignment->member_count;
    replica->self_index = (uint8_t)self;
    replica->generation = assignment->members[self].generation;
    if (is_new) {
        begin_epoch(replica, assignment, peers);
        replica_consider_report(replica);
        return 0;
    }
    if (has_new_peers || assignment->isr != replica->isr || !replica->wants_confirmation) replica->has_confirmed = false;
    replica->wants_confirmation = assignment->wants_confirmation;
    if (has_new_peers) replace_peers(replica, peers);
    refresh_facts(replica, assignment);
    if (assignment->partition_epoch > replica->partition_epoch)
        replica_isr_settle(replica, assignment->isr, assignment->partition_epoch);
    replica_isr_consider(replica);
    replica_consider_report(replica);
    return 0;
}

static void consider_all(struct replica *replica)
{
    if (!replica_leads(replica)) return;
    replica_advance(replica);
    replica_isr_consider(replica);
}

int replica_assign(struct replica *replica, const struct replica_assignment *assignment)
{
    struct partition_config *config = &replica->partition.config;
    int err = take_assignment(replica, assignment);

    if (err != 0 || config->min_insync == replica->min_insync_wanted) return err;
    config->min_insync = replica->min_insync_wanted;
    consider_all(replica);
    return 0;
}

void replica_set_config(struct replica *replica, const struct partition_config *config)
{
    uint32_t held = replica->partition.config.min_insync;

    partition_set_config(&replica->partition, config);
    replica->min_insync_wanted = config->min_insync;
    if (replica_leads(replica) && held > config->min_insync) replica->partition.config.min_insync = held;
    consider_all(replica);
}

void replica_set_positions(struct replica *replica, const struct partition_positions *positions)
{
    struct partition *partition = &replica->partition;
    bool start_rose = positions->start > partition->log_start;
    bool fell = positions->durable < replica->durable || positions->written < replica->written;

    if (replica->is_cutting) return; /* replica_cut_done() says where all of that ended */
    MESH_ASSERT(positions->start <= positions->end && positions->end == partition->log_end);
    MESH_ASSERT(positions->written <= positions->end && positions->durable <= positions->end);
    partition_set_start(partition, positions);
    replica->written = positions->written;
    replica->durable = positions->durable;
    if (partition->high_watermark < partition->first) { /* R20 */
        partition->high_watermark = partition->first;
        replica_due(replica, REPLICA_TODO_HIGH_WATERMARK);
    }
    if (replica->slot != NULL && fell) sink_fell(replica->slot);
    else if (replica->slot != NULL) sink_moved(replica->slot);
    replica_consider_report(replica);
    if (!replica_leads(replica)) return;
    if (start_rose) replica_mark_all(replica);
    replica_leader_moved(replica);
}

#ifdef MESH_TEST_SWITCHES
void replica_bring_back(struct replica *replica, enum replica_defect defect)
{
    replica->defects = defect == REPLICA_DEFECT_NONE ? 0 : replica->defects | (uint32_t)1 << defect;
}
#endif
