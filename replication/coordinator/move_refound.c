/* coordinator/move_refound.c - a partition of the mesh's own begins anew where every replica was removed with its broker (move_plan.h). */
#include "replication/coordinator/move_plan.h"
#include "replication/coordinator/topic_name.h"

static bool is_lost(const struct move_plan *plan, const struct image_topic *topic, const struct body_partition *state)
{
    if (!topic_name_is_internal(topic->name) || image_topic_config(topic, TOPIC_CONFIG_UNCLEAN) != TOPIC_UNCLEAN_BALANCED) return false;
    if (state->leader != IMAGE_NO_LEADER || state->is_sealing || (state->isr | state->elr | state->last_known_elr) != 0) return false;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        if (elector_find(&plan->elector, state->replicas[i]) != NULL) return false; /* it may come back, or reports and leads (decide_recover.c) */
    }
    return true;
}

bool move_plan_refound(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state)
{
    uint32_t wanted = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS), count = 0;
    int32_t list[IMAGE_REPLICAS_MAX];

    if (!is_lost(plan, topic, state)) return false;
    if (wanted == 0) wanted = state->replica_count;
    while (count < wanted) {
        struct mover *mover = move_plan_pick(plan, list, count);
        if (mover == NULL) break;
        mover->hosted++;
        list[count++] = mover->node_id;
    }
    if (count == 0) return false;
    memcpy(state->replicas, list, count * sizeof(list[0]));
    state->replica_count = count;
    state->adding = state->removing = state->fresh = 0;
    state->is_queued = false;
    state->isr = 1; /* the others show that they follow it before they are in sync */
    state->reset_epoch++;
    elector_appoint(&plan->elector, &topic->topic_id, state, list[0], IMAGE_ELECTION_UNCLEAN);
    return true;
}
