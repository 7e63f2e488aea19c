/* coordinator/leader_walk.c - see leader_walk.h. */
#include "replication/coordinator/leader_walk.h"

#include "base/error.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"
#include "replication/coordinator/switches.h"

#include <stdio.h>

/* The bit of the broker among the replicas; 0: it is none. */
static uint32_t bit_of(const struct image_partition *partition, int32_t node_id)
{
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        if (partition->replicas[i] == node_id) return 1u << i;
    }
    return 0;
}

/* What a new life is less trusted with: async topics may lack what was not flushed; a disk that was set back may lack anything that it had acknowledged,
 * and is complete only if nobody else is left to say so; a lost disk lacks all. */
static void distrust(const struct leader_walk *walk, const struct image_topic *topic, struct body_partition *state, uint32_t bit)
{
    bool is_async = image_topic_config(topic, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_ASYNC;
    bool is_asked = image_topic_mode(topic) == TOPIC_MODE_QUORUM; /* each counts for what it says it has, so it must have forgotten nothing */

    if (walk->has_lost_data || (walk->was_set_back && is_asked)) {
        state->elr &= ~bit;
        state->last_known_elr &= ~bit;
        state->fresh |= bit;
        return;
    }
    if (walk->was_set_back) state->fresh |= bit;
    if ((state->elr & bit) != 0 && (walk->was_set_back || (walk->was_unclean && is_async && !COORDINATOR_DEFECT(UNCLEAN_STOP_TRUSTED)))) {
        state->elr &= ~bit;
        state->last_known_elr |= bit;
    }
}

/* Whether others of the ISR could go on without the broker. */
static bool others_can_lead(const struct leader_walk *walk, const struct image_partition *now, uint32_t bit)
{
    for (uint32_t i = 0; i < now->replica_count; i++) {
        if ((now->isr & ~bit) >> i & 1 && elector_is_usable(elector_find(walk->elector, now->replicas[i]))) return true;
    }
    return false;
}

/* Cheap: most partitions have nothing to do with the broker. */
static bool is_concerned(const struct leader_walk *walk, const struct image_partition *now, uint32_t bit)
{
    switch (walk->kind) {
    case LEADER_WALK_GONE: return (now->isr & bit) != 0 || now->leader == walk->node_id;
    case LEADER_WALK_DRAIN: return (now->isr & bit) != 0 && others_can_lead(walk, now, bit);
    case LEADER_WALK_RETIRE: return ((now->isr | now->elr | now->last_known_elr) & bit) != 0;
    case LEADER_WALK_NEW_LIFE:
        return (now->isr & bit) != 0 || walk->was_set_back || walk->has_lost_data || (walk->was_unclean && (now->elr & bit) != 0);
    case LEADER_WALK_RETURN:
        return now->leader == IMAGE_NO_LEADER && !now->is_sealing && ((now->isr | now->elr | now->last_known_elr) & bit) != 0;
    }
    return false;
}

static bool differs(const struct image_partition *now, const struct body_partition *next)
{
    return now->leader != next->leader || now->isr != next->isr || now->elr != next->elr || now->last_known_elr != next->last_known_elr ||
           next->fresh != 0;
}

/* The partition's next state, in place; it may be as it was. */
static void next_state(struct leader_walk *walk, const struct image_topic *topic, struct body_partition *state, uint32_t bit)
{
    if (walk->kind == LEADER_WALK_RETURN) {
        if (elector_best(walk->elector, &topic->topic_id, state) == IMAGE_NO_LEADER) return;
        elector_choose(walk->elector, &topic->topic_id, state, walk->reason);
    } else {
        rules_leave_isr(topic, state, bit);
        if (walk->kind == LEADER_WALK_NEW_LIFE) distrust(walk, topic, state, bit);
        if (walk->kind == LEADER_WALK_RETIRE) {
            state->elr &= ~bit;
            state->last_known_elr &= ~bit;
        }
        if (state->leader == walk->node_id)
            rules_elect(walk->elector, topic, state, walk->reason);
        else
            rules_elect_if_one_can(walk->elector, topic, state, walk->reason); /* one of two last known ones may be left, say */
    }
    rules_settle(topic, state); /* the elected may have come from the ELR */
}

static void note_loss(struct leader_walk *walk, const struct image_topic *topic, const struct body_partition *state)
{
    uint32_t left = state->isr | state->elr | state->last_known_elr, needed = 1;

    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM) needed = rules_majority(state);
    if (walk->kind != LEADER_WALK_RETIRE || (uint32_t)__builtin_popcount(left) >= needed) return;
    if (walk->lost_count++ == 0)
        snprintf(walk->lost_name, sizeof(walk->lost_name), "%s/%u", topic->name, state->partition);
}

static int walk_topic(void *user, const struct image_topic *topic)
{
    struct leader_walk *walk = user;
    struct changes changes = {.decision = walk->decision};
    struct image_partition now;
    struct body_partition state;
    int err = 0;

    for (uint32_t i = 0; err == 0 && image_topic_partition(topic, i, &now); i++) {
        uint32_t bit = bit_of(&now, walk->node_id);
        if (bit == 0 || !is_concerned(walk, &now, bit)) continue;
        image_pages_load(topic->pages, i, &state);
        next_state(walk, topic, &state, bit);
        if (!differs(&now, &state)) continue;
        note_loss(walk, topic, &state);
        err = changes_put(&changes, topic, &state);
        walk->changed_count++;
    }
    return err != 0 ? err : changes_end(&changes);
}

int leader_walk(const struct image *image, struct leader_walk *walk)
{
    return image_each_topic(image, walk_topic, walk);
}
