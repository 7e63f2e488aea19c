/* coordinator/move_plan.c - what the coordinator moves by itself (decide_replicas.h): one look at all partitions, a few steps each time. All of
 * it follows from the image and from who is gone, so any later coordinator goes on where this one stopped. */
#include "replication/coordinator/move_plan.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define CHANGES_MAX     256              /* partitions of one decision */
#define SPREAD_START    10 /* percent of the average */
#define SPREAD_STOP     5

/* ---- the brokers ---- */

static uint32_t zone_number(const struct image *image, size_t at)
{
    const char *zone = image_broker_at(image, at)->zone;

    if (zone[0] == '\0') return 0;
    for (size_t i = 0; i < at; i++) {
        if (strcmp(image_broker_at(image, i)->zone, zone) == 0) return (uint32_t)i + 1;
    }
    return (uint32_t)at + 1;
}

static struct decide_broker_facts facts_of(const struct decide_facts *facts, int32_t node_id)
{
    for (size_t i = 0; facts != NULL && i < facts->broker_count; i++) {
        if (facts->brokers[i].node_id == node_id) return facts->brokers[i];
    }
    return (struct decide_broker_facts){.node_id = node_id};
}

int move_plan_init(struct move_plan *plan, const struct image *image, const struct decide_facts *facts, struct decision *decision)
{
    size_t count = image_broker_count(image);
    int err;

    *plan = (struct move_plan){.image = image, .changes = {.decision = decision}, .count = count, .budget = CHANGES_MAX};
    plan->movers = calloc(count == 0 ? 1 : count, sizeof(plan->movers[0]));
    if (plan->movers == NULL) return MESH_ENOMEM;
    err = elector_init(&plan->elector, image, facts);
    for (size_t i = 0; err == 0 && i < count; i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        struct decide_broker_facts known = facts_of(facts, broker->node_id);
        plan->movers[i] = (struct mover){
            .node_id = broker->node_id,
            .zone = zone_number(image, i),
            .is_usable = !known.is_leaving && elector_is_usable(elector_find(&plan->elector, broker->node_id)),
            .is_gone = known.is_leaving || (broker->is_fenced && known.is_gone),
        };
    }
    if (err != 0) free(plan->movers);
    return err;
}

void move_plan_deinit(struct move_plan *plan)
{
    elector_deinit(&plan->elector);
    free(plan->movers);
}

struct mover *move_plan_find(const struct move_plan *plan, int32_t node_id)
{
    const struct elector_broker *broker = elector_find(&plan->elector, node_id);

    return broker == NULL ? NULL : &plan->movers[broker - plan->elector.brokers]; /* both by node id */
}

/* A copy goes to each broker that is added, and from the leader. */
static void count_copies(struct move_plan *plan, const struct body_partition *state)
{
    struct mover *leader = move_plan_find(plan, state->leader);

    for (uint32_t i = 0; i < state->replica_count; i++) {
        struct mover *mover = state->adding >> i & 1 ? move_plan_find(plan, state->replicas[i]) : NULL;
        if (mover != NULL) mover->copies++;
        if (mover != NULL && leader != NULL) leader->copies++;
    }
}

static bool is_gone(const struct move_plan *plan, int32_t node_id)
{
    const struct mover *mover = move_plan_find(plan, node_id);

    return mover == NULL || mover->is_gone;
}

/* What is gone for good is replaced, or nobody is there to replace it: it does not hold up the others for ever. */
static bool is_missing_any(const struct move_plan *plan, const struct image_partition *partition)
{
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        bool is_in_sync = partition->leader != IMAGE_NO_LEADER && (partition->isr >> i & 1) != 0;
        if (!is_in_sync && (partition->adding >> i & 1) == 0 && !is_gone(plan, partition->replicas[i])) return true;
    }
    return false;
}

void move_plan_count(struct move_plan *plan, const struct image_topic *topic)
{
    struct image_partition now;
    struct body_partition state;

    for (uint32_t i = 0; image_topic_partition(topic, i, &now); i++) {
        for (uint32_t j = 0; j < now.replica_count; j++) {
            struct mover *mover = now.removing >> j & 1 ? NULL : move_plan_find(plan, now.replicas[j]);
            if (mover != NULL) mover->hosted++;
            if (mover != NULL && j == 0) mover->preferred++; /* also of a move: those that stay come first */
        }
        plan->is_troubled = plan->is_troubled || is_missing_any(plan, &now);
        if ((now.adding | now.removing) == 0) continue;
        plan->is_pending = true;
        image_pages_load(topic->pages, i, &state);
        if (!now.is_queued) count_copies(plan, &state);
    }
}

static bool contains(const int32_t *list, uint32_t count, int32_t node_id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == node_id) return true;
    }
    return false;
}

uint32_t move_plan_zone_mates(const struct move_plan *plan, const struct mover *mover, const int32_t *list, uint32_t count, uint32_t except)
{
    uint32_t mates = 0;

    for (uint32_t i = 0; mover->zone != 0 && i < count; i++) {
        const struct mover *other = i == except ? NULL : move_plan_find(plan, list[i]);
        mates += other != NULL && other != mover && other->zone == mover->zone;
    }
    return mates;
}

struct mover *move_plan_pick(const struct move_plan *plan, const int32_t *list, uint32_t count)
{
    struct mover *best = NULL;
    uint32_t best_mates = 0;

    for (size_t i = 0; i < plan->count; i++) {
        struct mover *mover = &plan->movers[i];
        uint32_t mates;
        if (!mover->is_usable || mover->copies >= plan->copies_max || mover->hosted >= IMAGE_PARTITIONS_MAX) continue;
        if (contains(list, count, mover->node_id)) continue;
        mates = move_plan_zone_mates(plan, mover, list, count, UINT32_MAX);
        if (best != NULL && (mates > best_mates || (mates == best_mates && mover->hosted >= best->hosted))) continue;
        best = mover;
        best_mates = mates;
    }
    return best;
}

bool move_plan_begin(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, const int32_t *list,
                     uint32_t count, bool is_queued)
{
    struct mover *leader = move_plan_find(plan, state->leader);

    if (leader == NULL || (!is_queued && leader->copies >= plan->copies_max)) return false;
    if (!rules_begin_move(state, list, count)) return false;
    state->is_queued = is_queued && state->adding != 0;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        struct mover *mover = move_plan_find(plan, state->replicas[i]);
        if (mover != NULL && state->adding >> i & 1) mover->hosted++;
        if (mover != NULL && state->removing >> i & 1) mover->hosted--;
    }
    if (!is_queued) count_copies(plan, state);
    rules_finish_move(&plan->elector, topic, state, false); /* what only removes may end at once */
    plan->is_pending |= (state->adding | state->removing) != 0;
    return true;
}

/* ---- moves under way ---- */

/* One of those that were to go stays instead: one that is up, else one that is not gone, else any: their number is what was promised. */
static void keep_one(const struct move_plan *plan, struct body_partition *state)
{
    uint32_t kept = 0, best = 0;

    for (uint32_t i = 0; i < state->replica_count; i++) {
        const struct mover *mover = move_plan_find(plan, state->replicas[i]);
        uint32_t rank = mover == NULL ? 1 : mover->is_usable ? 4 : mover->is_gone ? 2 : 3;
        if ((state->removing >> i & 1) == 0 || rank <= best) continue;
        best = rank;
        kept = 1u << i;
    }
    state->removing &= ~kept;
}

/* New brokers that went away before they were in sync are not waited for. */
static bool replace_gone(const struct move_plan *plan, struct body_partition *state)
{
    bool has_changed = false;

    for (uint32_t i = state->replica_count; i-- > 0;) {
        uint32_t bit = 1u << i, complete = state->isr | state->elr;
        if ((state->adding & bit) == 0 || (state->isr & bit) != 0 || !is_gone(plan, state->replicas[i])) continue;
        if (complete == bit || (complete == 0 && state->last_known_elr == bit)) continue; /* it alone holds the data */
        rules_drop_replicas(state, bit);
        keep_one(plan, state);
        has_changed = true;
    }
    if (state->adding == 0) state->is_queued = false;
    return has_changed;
}

static bool has_turn(const struct move_plan *plan, const struct body_partition *state)
{
    const struct mover *leader = move_plan_find(plan, state->leader);

    if (leader == NULL || leader->copies >= plan->copies_max) return false;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        const struct mover *mover = state->adding >> i & 1 ? move_plan_find(plan, state->replicas[i]) : NULL;
        if (mover != NULL && (mover->copies >= plan->copies_max || !mover->is_usable)) return false;
    }
    return true;
}

/* Brokers that were to keep their replicas went away, and the move cannot end without them: as many of those that were to go stay. */
static bool make_up_for_gone(const struct move_plan *plan, const struct image_topic *topic, struct body_partition *state)
{
    uint32_t before = state->removing;

    if (!rules_move_is_stuck(&plan->elector, topic, state)) return false;
    for (uint32_t i = 0; i < state->replica_count; i++) {
        bool stays = (before >> i & 1) == 0 && (state->isr >> i & 1) == 0;
        if (stays && is_gone(plan, state->replicas[i])) keep_one(plan, state);
    }
    return state->removing != before;
}

static bool go_on(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state)
{
    bool has_changed = replace_gone(plan, state);

    has_changed |= make_up_for_gone(plan, topic, state);
    if (state->is_queued && has_turn(plan, state)) {
        state->is_queued = false;
        count_copies(plan, state);
        has_changed = true;
    }
    return rules_finish_move(&plan->elector, topic, state, false) || has_changed;
}

/* ---- what should be otherwise ---- */

/* Replicas on brokers that are gone become others'. The number of those that changed. */
static uint32_t replace(const struct move_plan *plan, int32_t *list, uint32_t count, uint32_t most)
{
    uint32_t replaced = 0;

    for (uint32_t i = 0; i < count && replaced < most; i++) {
        const struct mover *mover = is_gone(plan, list[i]) ? move_plan_pick(plan, list, count) : NULL;
        if (mover == NULL) continue;
        list[i] = mover->node_id;
        replaced++;
    }
    return replaced;
}

/* Adds up to `most` replicas. */
static uint32_t grow(const struct move_plan *plan, int32_t *list, uint32_t *count, uint32_t wanted, uint32_t most)
{
    uint32_t added = 0;

    while (*count < wanted && added < most) {
        const struct mover *mover = move_plan_pick(plan, list, *count);
        if (mover == NULL) break;
        list[(*count)++] = mover->node_id;
        added++;
    }
    return added;
}

/* Who goes first: gone, then not in sync, then the later in the list; never the leader. replica_count: nobody can. */
static uint32_t choose_victim(const struct move_plan *plan, const struct body_partition *state, const int32_t *list, uint32_t count)
{
    uint32_t victim = count, best = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t rank = 1;
        if (list[i] == state->leader) continue;
        if ((state->isr & rules_bit(state, list[i])) == 0) rank = 2;
        if (is_gone(plan, list[i])) rank = 3;
        if (rank < best) continue;
        best = rank;
        victim = i;
    }
    return victim;
}

static uint32_t shrink(const struct move_plan *plan, const struct body_partition *state, int32_t *list, uint32_t *count, uint32_t wanted,
                       uint32_t most)
{
    uint32_t removed = 0;

    while (*count > wanted && removed < most) {
        uint32_t victim = choose_victim(plan, state, list, *count);
        if (victim == *count) break;
        memmove(&list[victim], &list[victim + 1], (*count - victim - 1) * sizeof(list[0]));
        (*count)--;
        removed++;
    }
    return removed;
}

/* As many replicas as are wanted, on brokers that are there. In mode quorum one replica comes or goes at a time. */
static bool maintain(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state)
{
    uint32_t wanted = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS), count = state->replica_count;
    uint32_t most = image_topic_mode(topic) == TOPIC_MODE_QUORUM ? 1 : IMAGE_REPLICAS_MAX;
    int32_t list[IMAGE_REPLICAS_MAX];
    uint32_t changed;

    if (wanted == 0) wanted = count;
    memcpy(list, state->replicas, count * sizeof(list[0]));
    changed = count > wanted ? 0 : replace(plan, list, count, most);
    if (changed < most) changed += grow(plan, list, &count, wanted, most - changed);
    if (changed < most) changed += shrink(plan, state, list, &count, wanted, most - changed);
    return changed != 0 && move_plan_begin(plan, topic, state, list, count, false);
}

static int step_topic(void *user, const struct image_topic *topic)
{
    struct move_plan *plan = user;
    struct image_partition quick;
    struct body_partition next;
    int err = 0;

    for (uint32_t i = 0; err == 0 && plan->budget != 0 && image_topic_partition(topic, i, &quick); i++) {
        bool is_moving = (quick.adding | quick.removing) != 0, has_changed;
        if (!is_moving && quick.leader == IMAGE_NO_LEADER && !topic_name_is_internal(topic->name)) continue;
        image_pages_load(topic->pages, i, &next);
        if (quick.leader == IMAGE_NO_LEADER && move_plan_refound(plan, topic, &next)) has_changed = true;
        else if (is_moving) has_changed = go_on(plan, topic, &next);
        else has_changed = quick.leader != IMAGE_NO_LEADER && maintain(plan, topic, &next);
        if (!has_changed && !is_moving && quick.leader != IMAGE_NO_LEADER && !quick.is_pinned && plan->is_spreading) has_changed = move_plan_spread_one(plan, topic, &next, false);
        if (!has_changed) continue;
        plan->budget--;
        err = changes_put(&plan->changes, topic, &next);
    }
    return err != 0 ? err : changes_end(&plan->changes);
}

/* ---- all ---- */

static int count_topic(void *user, const struct image_topic *topic)
{
    move_plan_count(user, topic);
    return 0;
}

/* Moves the clockwork of spreading on. What moves already is counted where it goes. */
static bool is_time_to_spread(struct movement *movement, const struct move_plan *plan, bool is_quiet)
{
    uint64_t most, least, average;

    if (!move_plan_extremes(plan, &most, &least, &average) || most - least < 2) return movement->is_spreading = false;
    if (!is_quiet || plan->is_troubled) return false;
    return movement->is_spreading = (most - least) * 100 > average * (movement->is_spreading ? SPREAD_STOP : SPREAD_START);
}

/* A number for who is gone: others, another number. */
static uint64_t who_is_gone(const struct decide_facts *facts)
{
    uint64_t sum = 0;

    for (size_t i = 0; facts != NULL && i < facts->broker_count; i++) {
        if (facts->brokers[i].is_gone || facts->brokers[i].is_leaving) sum += (uint64_t)(uint32_t)facts->brokers[i].node_id * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

int decide_moves(const struct image *image, const struct decide_moves *request, struct decision *decision)
{
    struct movement *movement = request->movement;
    uint64_t quiet_us = request->spread_quiet_us != 0 ? request->spread_quiet_us : DECIDE_SPREAD_QUIET_US;
    uint64_t gone = who_is_gone(request->facts);
    bool is_settled, is_quiet;
    struct move_plan plan;
    int err;

    if (movement->settled_index == image_applied_index(image) && movement->settled_gone == gone) return 0;
    err = move_plan_init(&plan, image, request->facts, decision);
    if (err != 0) return err;
    plan.copies_max = request->moves_per_broker;
    image_each_topic(image, count_topic, &plan);
    if (movement->quiet_since_us == 0) movement->quiet_since_us = request->now_us;
    is_quiet = request->now_us - movement->quiet_since_us >= quiet_us;
    plan.is_spreading = is_time_to_spread(movement, &plan, is_quiet);
    err = image_each_topic(image, step_topic, &plan);
    /* All that could be moved stays where it was put: there is no point in looking again before something else changes. */
    if (err == 0 && !plan.is_pending && decision->change_count == 0) plan.is_spreading = movement->is_spreading = false;
    movement->is_pending = plan.is_pending || plan.is_spreading;
    is_settled = err == 0 && is_quiet && !movement->is_pending && decision->change_count == 0;
    movement->settled_index = is_settled ? image_applied_index(image) : 0;
    movement->settled_gone = gone;
    move_plan_deinit(&plan);
    return err;
}
