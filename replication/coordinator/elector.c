/* coordinator/elector.c - see elector.h. */
#include "replication/coordinator/elector.h"

#include "base/error.h"
#include "replication/coordinator/switches.h"

#include <stdio.h>
#include <stdlib.h>

#define SCORE_IN_SYNC   1000000
#define SCORE_LOG       100000
#define SCORE_ZONE      50000
#define SCORE_HEALTH    4000
#define SCORE_LOAD      30
#define SCORE_PREFERRED 900

#define SCORES_BYTES_MAX (4u << 20) /* of one decision: an entry has room for RAFT_BODY_SIZE_MAX in all */
#define BYTES_PER_S_MAX  (1ull << 44)  /* what brokers claim beyond it counts as this: sums and products fit */
#define CANDIDATE_BYTES  12         /* that one takes in a change, or less */

/* ---- what is known of the brokers ---- */

static const struct decide_broker_facts *facts_of(const struct decide_facts *facts, int32_t node_id)
{
    for (size_t i = 0; facts != NULL && i < facts->broker_count; i++) {
        if (facts->brokers[i].node_id == node_id) return &facts->brokers[i];
    }
    return NULL;
}

static bool is_in_zone(const struct decide_facts *facts, const struct image_broker *broker)
{
    if (facts == NULL || facts->preferred_zone == NULL || facts->preferred_zone[0] == '\0') return true;
    return strcmp(facts->preferred_zone, broker->zone) == 0;
}

int elector_init(struct elector *elector, const struct image *image, const struct decide_facts *facts)
{
    size_t count = image_broker_count(image);

    *elector = (struct elector){.facts = facts, .count = count};
    elector->brokers = calloc(count == 0 ? 1 : count, sizeof(elector->brokers[0]));
    if (elector->brokers == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        const struct decide_broker_facts *known = facts_of(facts, broker->node_id);
        uint32_t health = known == NULL ? 0 : known->health;
        elector->brokers[i] = (struct elector_broker){
            .node_id = broker->node_id,
            .broker_id = broker->broker_id,
            .is_fenced = broker->is_fenced,
            .is_draining = broker->is_draining,
            .is_witness = broker->is_witness,
            .is_in_zone = is_in_zone(facts, broker),
            .health = (uint8_t)(health > 10 ? 0 : 10 - health),
            .leaders = image_leader_count(image, broker->node_id),
            .bytes_per_s = known == NULL ? 0 : known->bytes_per_s < BYTES_PER_S_MAX ? known->bytes_per_s : BYTES_PER_S_MAX,
        };
        elector->data_count += !broker->is_witness;
        elector->leaders_total += elector->brokers[i].leaders;
        elector->bytes_total += elector->brokers[i].bytes_per_s;
    }
    return 0;
}

void elector_deinit(struct elector *elector)
{
    free(elector->brokers);
    elector->brokers = NULL;
}

struct elector_broker *elector_find(const struct elector *elector, int32_t node_id)
{
    size_t low = 0, high = elector->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (elector->brokers[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < elector->count && elector->brokers[low].node_id == node_id ? &elector->brokers[low] : NULL;
}

bool elector_is_usable(const struct elector_broker *broker)
{
    return broker != NULL && !broker->is_fenced && !broker->is_draining && !broker->is_witness;
}

/* ---- scores ---- */

/* 100 for nothing, 50 for the average, 0 for twice that and more. */
static uint32_t share_points(uint64_t part, uint64_t total, uint64_t count)
{
    uint64_t used = total == 0 ? 0 : part * 50 * count / total;

    return used > 100 ? 0 : 100 - (uint32_t)used;
}

/* Whoever leads the partition at hand is not the worse for it: that one is not counted. */
static uint8_t load_points(const struct elector *elector, const struct elector_broker *broker, bool is_leader)
{
    uint32_t leaders = share_points(broker->leaders - is_leader, elector->leaders_total - is_leader, elector->data_count);

    if (elector->bytes_total == 0) return (uint8_t)leaders;
    return (uint8_t)((leaders + share_points(broker->bytes_per_s, elector->bytes_total, elector->data_count)) / 2);
}

static int64_t score_of(const struct image_candidate *candidate)
{
    int64_t score = 1; /* whoever may lead has more than none */

    score += candidate->flags & IMAGE_CANDIDATE_IN_SYNC ? SCORE_IN_SYNC : 0;
    score += (int64_t)candidate->log * SCORE_LOG;
    score += candidate->flags & IMAGE_CANDIDATE_ZONE ? SCORE_ZONE : 0;
    score += (int64_t)candidate->health * SCORE_HEALTH;
    score += (int64_t)candidate->load * SCORE_LOAD;
    score += candidate->flags & IMAGE_CANDIDATE_PREFERRED ? SCORE_PREFERRED : 0;
    return score;
}

/* Replicas that may lead by what they hold; whether they can is another question. */
static uint32_t may_lead(const struct elector *elector, const struct body_partition *state)
{
    uint32_t usable = 0;

    for (uint32_t i = 0; i < state->replica_count; i++)
        usable |= (uint32_t)elector_is_usable(elector_find(elector, state->replicas[i])) << i;
    if ((state->isr & usable) != 0) return state->isr & usable;
    if ((state->elr & usable) != 0) return state->elr & usable;
    if (COORDINATOR_DEFECT(ANYBODY_LEADS)) return usable;
    if (state->isr == 0 && state->elr == 0 && __builtin_popcount(state->last_known_elr) == 1)
        return state->last_known_elr & usable;
    return 0;
}

static void look_at(const struct elector *elector, const struct uuid *topic_id, const struct body_partition *state, uint32_t i,
                    bool may, struct image_candidate *ret_candidate)
{
    const struct elector_broker *broker = elector_find(elector, state->replicas[i]);
    const struct decide_facts *facts = elector->facts;
    uint32_t flags = broker == NULL ? IMAGE_CANDIDATE_RETIRED : 0;

    if (state->isr >> i & 1) flags |= IMAGE_CANDIDATE_IN_SYNC;
    if (state->elr >> i & 1) flags |= IMAGE_CANDIDATE_ELIGIBLE;
    if (state->last_known_elr >> i & 1) flags |= IMAGE_CANDIDATE_LAST_KNOWN;
    if (i == 0) flags |= IMAGE_CANDIDATE_PREFERRED;
    *ret_candidate = (struct image_candidate){.node_id = state->replicas[i], .log = 9};
    if (broker != NULL) {
        if (broker->is_fenced) flags |= IMAGE_CANDIDATE_FENCED;
        if (broker->is_draining) flags |= IMAGE_CANDIDATE_DRAINING;
        if (broker->is_in_zone) flags |= IMAGE_CANDIDATE_ZONE;
        ret_candidate->health = broker->health;
        ret_candidate->load = load_points(elector, broker, state->leader == broker->node_id);
    }
    if (facts != NULL && facts->log_rank != NULL) {
        uint8_t log = facts->log_rank(facts->user, topic_id, state->partition, state->replicas[i]);
        ret_candidate->log = log > 9 ? 9 : log;
    }
    ret_candidate->flags = (uint8_t)flags;
    ret_candidate->score = may ? score_of(ret_candidate) : 0;
}

static bool is_better(const struct elector *elector, const struct image_candidate *a, const struct image_candidate *b)
{
    if (a->score != b->score) return a->score > b->score; /* 64 bits, compared and never subtracted */
    return memcmp(elector_find(elector, a->node_id)->broker_id.bytes, elector_find(elector, b->node_id)->broker_id.bytes,
                  UUID_SIZE) < 0;
}

/* Fills the candidates; returns the best one's place, or replica_count. */
static uint32_t rank(const struct elector *elector, const struct uuid *topic_id, const struct body_partition *state,
                     struct image_candidate *candidates)
{
    uint32_t may = may_lead(elector, state), best = state->replica_count;

    for (uint32_t i = 0; i < state->replica_count; i++) {
        look_at(elector, topic_id, state, i, may >> i & 1, &candidates[i]);
        if ((may >> i & 1) == 0) continue;
        if (best == state->replica_count || is_better(elector, &candidates[i], &candidates[best])) best = i;
    }
    return best;
}

/* ---- elections ---- */

static void keep_election(struct elector *elector, struct body_partition *state, enum image_election_reason reason)
{
    size_t bytes = (size_t)state->replica_count * CANDIDATE_BYTES;

    state->election.reason = reason;
    state->election.candidate_count = 0;
    if (elector->score_bytes + bytes > SCORES_BYTES_MAX) return;
    elector->score_bytes += bytes;
    state->election.candidate_count = state->replica_count;
}

static void hand_over(struct elector *elector, struct body_partition *state, int32_t leader)
{
    struct elector_broker *from = elector_find(elector, state->leader), *to = elector_find(elector, leader);

    if (from != NULL && from->leaders > 0) from->leaders--;
    if (to != NULL) to->leaders++;
    state->leader = leader;
    state->leader_epoch += !COORDINATOR_DEFECT(EPOCH_KEPT);
}

bool elector_choose(struct elector *elector, const struct uuid *topic_id, struct body_partition *state,
                    enum image_election_reason reason)
{
    uint32_t best = rank(elector, topic_id, state, state->election.candidates), bit = 1u << best;
    bool is_found = best < state->replica_count;
    bool is_unclean = is_found && ((state->isr | state->elr) & bit) == 0 && !COORDINATOR_DEFECT(ANYBODY_LEADS);

    keep_election(elector, state, is_unclean ? IMAGE_ELECTION_UNCLEAN : reason);
    hand_over(elector, state, is_found ? state->replicas[best] : IMAGE_NO_LEADER);
    if (!is_found) return false;
    state->reset_epoch += is_unclean;
    state->isr |= bit;
    state->elr &= ~bit;
    state->last_known_elr &= ~bit;
    return true;
}

void elector_appoint(struct elector *elector, const struct uuid *topic_id, struct body_partition *state, int32_t leader,
                     enum image_election_reason reason)
{
    rank(elector, topic_id, state, state->election.candidates);
    keep_election(elector, state, reason);
    hand_over(elector, state, leader);
}

int32_t elector_best(const struct elector *elector, const struct uuid *topic_id, const struct body_partition *state)
{
    struct image_candidate candidates[IMAGE_REPLICAS_MAX];
    uint32_t best = rank(elector, topic_id, state, candidates);

    return best < state->replica_count ? state->replicas[best] : IMAGE_NO_LEADER;
}
