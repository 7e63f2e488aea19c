/* coordinator/partition_rules.c - see partition_rules.h. */
#include "replication/coordinator/partition_rules.h"

#include "base/assert.h"
#include "replication/coordinator/switches.h"

static uint32_t bits_in(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static uint32_t all_of(const struct body_partition *state)
{
    return (1u << state->replica_count) - 1;
}

uint32_t rules_bit(const struct body_partition *state, int32_t node_id)
{
    for (uint32_t i = 0; i < state->replica_count; i++) {
        if (state->replicas[i] == node_id) return 1u << i;
    }
    return 0;
}

uint32_t rules_min_insync(const struct image_topic *topic, const struct body_partition *state)
{
    return image_min_insync(topic, state->replica_count - bits_in(state->adding));
}

uint32_t rules_majority(const struct body_partition *state)
{
    return (state->replica_count - bits_in(state->adding)) / 2 + 1;
}

/* ---- the ISR ---- */

void rules_leave_isr(const struct image_topic *topic, struct body_partition *state, uint32_t mask)
{
    uint32_t leaving = state->isr & mask;

    state->isr &= ~mask;
    if (COORDINATOR_DEFECT(NO_ELR)) {
        if (state->isr == 0) state->isr = leaving;
        return;
    }
    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM || bits_in(state->isr) < rules_min_insync(topic, state)) state->elr |= leaving;
    rules_settle(topic, state);
}

void rules_settle(const struct image_topic *topic, struct body_partition *state)
{
    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM) return;
    if (bits_in(state->isr) >= rules_min_insync(topic, state)) state->elr = state->last_known_elr = 0;
}

void rules_elect(struct elector *elector, const struct image_topic *topic, struct body_partition *state, enum image_election_reason reason)
{
    if (image_topic_mode(topic) != TOPIC_MODE_QUORUM) {
        elector_choose(elector, &topic->topic_id, state, reason);
        return;
    }
    elector_appoint(elector, &topic->topic_id, state, IMAGE_NO_LEADER, reason);
    state->is_sealing = true;
}

void rules_elect_if_one_can(struct elector *elector, const struct image_topic *topic, struct body_partition *state,
                            enum image_election_reason reason)
{
    if (state->leader != IMAGE_NO_LEADER || image_topic_mode(topic) == TOPIC_MODE_QUORUM) return;
    if (elector_best(elector, &topic->topic_id, state) != IMAGE_NO_LEADER) elector_choose(elector, &topic->topic_id, state, reason);
}

/* ---- moves ---- */

static uint32_t compact(uint32_t mask, uint32_t kept)
{
    uint32_t compacted = 0, at = 0;

    for (uint32_t i = 0; kept >> i != 0; i++) {
        if ((kept >> i & 1) == 0) continue;
        compacted |= (mask >> i & 1) << at++;
    }
    return compacted;
}

void rules_drop_replicas(struct body_partition *state, uint32_t mask)
{
    uint32_t kept = all_of(state) & ~mask, count = 0;

    MESH_ASSERT(kept != 0);
    for (uint32_t i = 0; i < state->replica_count; i++) {
        if ((kept >> i & 1) == 0) continue;
        state->replicas[count] = state->replicas[i];
        state->generations[count++] = state->generations[i];
    }
    state->replica_count = count;
    state->isr = compact(state->isr, kept);
    state->elr = compact(state->elr, kept);
    state->last_known_elr = compact(state->last_known_elr, kept);
    state->adding = compact(state->adding, kept);
    state->removing = compact(state->removing, kept);
    state->fresh = compact(state->fresh, kept);
}

/* The mask over the list before, in the order of the list after. */
static uint32_t reorder(uint32_t mask, const struct body_partition *before, const struct body_partition *after)
{
    uint32_t reordered = 0;

    for (uint32_t i = 0; i < before->replica_count; i++) {
        if (mask >> i & 1) reordered |= rules_bit(after, before->replicas[i]);
    }
    return reordered;
}

bool rules_begin_move(struct body_partition *state, const int32_t *replicas, uint32_t count)
{
    struct body_partition before = *state;

    MESH_ASSERT((state->adding | state->removing) == 0 && count >= 1 && count <= IMAGE_REPLICAS_MAX);
    memcpy(state->replicas, replicas, count * sizeof(replicas[0]));
    state->replica_count = count;
    for (uint32_t i = 0; i < before.replica_count; i++) {
        if (rules_bit(state, before.replicas[i]) != 0) continue;
        if (state->replica_count == IMAGE_REPLICAS_MAX) {
            *state = before;
            return false;
        }
        state->removing |= 1u << state->replica_count;
        state->replicas[state->replica_count++] = before.replicas[i];
    }
    for (uint32_t i = 0; i < state->replica_count; i++) {
        uint32_t was = rules_bit(&before, state->replicas[i]);
        state->generations[i] = was == 0 ? 0 : before.generations[__builtin_ctz(was)];
        if (was == 0) state->adding |= 1u << i;
    }
    state->isr = reorder(before.isr, &before, state);
    state->elr = reorder(before.elr, &before, state);
    state->last_known_elr = reorder(before.last_known_elr, &before, state);
    state->fresh = reorder(before.fresh, &before, state);
    state->is_queued = state->adding != 0;
    return true;
}

/* Whether enough of those that stay are in sync, and one of them can lead. Replicas that hold nothing that counts can go in any case. */
static bool can_shrink(const struct elector *elector, const struct image_topic *topic, const struct body_partition *state)
{
    uint32_t stay = all_of(state) & ~state->removing, min = image_min_insync(topic, bits_in(stay));

    if (((state->isr | state->elr | state->last_known_elr) & state->removing) == 0) return true;
    if (bits_in(state->isr & stay) < (min < bits_in(stay) ? min : bits_in(stay))) return false;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        if ((state->isr & stay) >> i & 1 && elector_is_usable(elector_find(elector, state->replicas[i]))) return true;
    }
    return false;
}

bool rules_move_is_stuck(const struct elector *elector, const struct image_topic *topic, const struct body_partition *state)
{
    return state->removing != 0 && !state->is_queued && (state->adding & ~state->isr) == 0 && !can_shrink(elector, topic, state);
}

static void shrink(struct elector *elector, const struct image_topic *topic, struct body_partition *state)
{
    bool loses_leader = (state->removing & rules_bit(state, state->leader)) != 0;

    rules_drop_replicas(state, state->removing);
    state->removing = 0;
    if (loses_leader) rules_elect(elector, topic, state, IMAGE_ELECTION_MOVED);
    rules_settle(topic, state);
}

bool rules_finish_move(struct elector *elector, const struct image_topic *topic, struct body_partition *state, bool is_confirmed)
{
    bool is_quorum = image_topic_mode(topic) == TOPIC_MODE_QUORUM, has_grown = false;

    if ((state->adding | state->removing) == 0 || state->is_queued || state->leader == IMAGE_NO_LEADER) return false;
    if ((state->adding & ~state->isr) != 0) return false;
    if (state->removing != 0 && (!is_quorum || state->adding == 0) && !can_shrink(elector, topic, state)) return false;
    if (state->adding != 0) {
        state->adding = 0;
        has_grown = true;
    }
    if (state->removing == 0 || (is_quorum && (has_grown || !is_confirmed))) {
        rules_settle(topic, state);
        return has_grown;
    }
    shrink(elector, topic, state);
    return true;
}

bool rules_cancel_move(const struct image_topic *topic, struct body_partition *state)
{
    uint32_t stay = all_of(state) & ~state->adding, min = rules_min_insync(topic, state), complete = state->isr | state->elr;

    if ((state->adding & rules_bit(state, state->leader)) != 0) return false;
    if (state->adding == 0 && image_topic_mode(topic) == TOPIC_MODE_QUORUM) return false;
    if (complete != 0 && (complete & stay) == 0) return false;
    if (bits_in(state->isr & stay) < (min < bits_in(state->isr) ? min : bits_in(state->isr))) return false;
    rules_drop_replicas(state, state->adding);
    state->adding = state->removing = 0;
    state->is_queued = false;
    rules_settle(topic, state);
    return true;
}
