/* coordinator/move_spread.c - replicas spread over the brokers that are up (move_plan.h, decide_replicas.h). */
#include "replication/coordinator/move_plan.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image_pages.h"

bool move_plan_extremes(const struct move_plan *plan, uint64_t *ret_most, uint64_t *ret_least, uint64_t *ret_average)
{
    uint64_t usable = 0, total = 0;

    *ret_most = 0;
    *ret_least = UINT64_MAX;
    for (size_t i = 0; i < plan->count; i++) {
        uint64_t hosted = plan->movers[i].hosted;
        if (!plan->movers[i].is_usable) continue;
        usable++;
        total += hosted;
        if (hosted > *ret_most) *ret_most = hosted;
        if (hosted < *ret_least) *ret_least = hosted;
    }
    *ret_average = usable == 0 ? 0 : total / usable;
    return usable >= 2;
}

/* Every step makes the two brokers more even (from >= to + 2), so that steps come to an end; and none brings two replicas into one zone. */
static bool is_worth_it(const struct move_plan *plan, const struct mover *from, const struct mover *to, const struct body_partition *state,
                        uint32_t at)
{
    if (from == NULL || !from->is_usable || from->hosted < to->hosted + 2) return false;
    return move_plan_zone_mates(plan, to, state->replicas, state->replica_count, at) <=
           move_plan_zone_mates(plan, from, state->replicas, state->replica_count, at);
}

/* The broker with least that has no replica here; unlike move_plan_pick() whatever its zone: is_worth_it() looks at that. */
static struct mover *emptiest(const struct move_plan *plan, const struct body_partition *state)
{
    struct mover *best = NULL;

    for (size_t i = 0; i < plan->count; i++) {
        struct mover *mover = &plan->movers[i];
        bool is_here = false;
        if (!mover->is_usable || mover->copies >= plan->copies_max || (best != NULL && mover->hosted >= best->hosted)) continue;
        for (uint32_t j = 0; j < state->replica_count; j++)
            is_here |= state->replicas[j] == mover->node_id;
        if (!is_here) best = mover;
    }
    return best;
}

/* The one at `at` comes first, if the brokers then lead more evenly: that they do follows later, gently (decide_balance()). */
static bool prefer(const struct move_plan *plan, int32_t *list, uint32_t at)
{
    const struct mover *first = move_plan_find(plan, list[0]), *other = move_plan_find(plan, list[at]);
    int32_t node_id = list[at];

    if (at == 0 || first == NULL || other == NULL || first->preferred < other->preferred + 2) return false;
    list[at] = list[0];
    list[0] = node_id;
    return true;
}

static bool begin(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, const int32_t *list, bool is_queued)
{
    struct mover *before = move_plan_find(plan, state->replicas[0]), *after = move_plan_find(plan, list[0]);

    if (!move_plan_begin(plan, topic, state, list, state->replica_count, is_queued)) return false;
    if (before != NULL) before->preferred--;
    if (after != NULL) after->preferred++;
    return true;
}

/* Another of the replicas as the preferred leader: nothing is copied. */
static bool reorder_one(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, bool is_queued)
{
    int32_t list[IMAGE_REPLICAS_MAX];
    const struct mover *best = NULL;
    uint32_t at = 0;

    for (uint32_t i = 1; i < state->replica_count; i++) {
        const struct mover *mover = move_plan_find(plan, state->replicas[i]);
        if (mover == NULL || !mover->is_usable || (best != NULL && mover->preferred >= best->preferred)) continue;
        best = mover;
        at = i;
    }
    memcpy(list, state->replicas, state->replica_count * sizeof(list[0]));
    return prefer(plan, list, at) && begin(plan, topic, state, list, is_queued);
}

bool move_plan_spread_one(struct move_plan *plan, const struct image_topic *topic, struct body_partition *state, bool is_queued)
{
    struct mover *to = emptiest(plan, state), *best = NULL;
    int32_t list[IMAGE_REPLICAS_MAX];
    uint32_t at = 0;

    for (uint32_t i = 0; to != NULL && i < state->replica_count; i++) {
        struct mover *from = move_plan_find(plan, state->replicas[i]);
        if (!is_worth_it(plan, from, to, state, i) || (best != NULL && from->hosted < best->hosted)) continue;
        best = from; /* of equals the later: the first one is the preferred leader */
        at = i;
    }
    if (best == NULL) return reorder_one(plan, topic, state, is_queued);
    memcpy(list, state->replicas, state->replica_count * sizeof(list[0]));
    list[at] = to->node_id;
    (void)prefer(plan, list, at);
    return begin(plan, topic, state, list, is_queued);
}

static int count_topic(void *user, const struct image_topic *topic)
{
    move_plan_count(user, topic);
    return 0;
}

static int balance_topic(void *user, const struct image_topic *topic)
{
    struct move_plan *plan = user;
    struct body_partition next;
    int err = 0;

    for (uint32_t i = 0; err == 0 && plan->budget != 0 && i < topic->partition_count; i++) {
        image_pages_load(topic->pages, i, &next);
        if (next.leader == IMAGE_NO_LEADER || (next.adding | next.removing) != 0) continue;
        if (!move_plan_spread_one(plan, topic, &next, true)) continue;
        next.is_pinned = false; /* who asks for this leaves the place to the mesh again */
        plan->budget--;
        err = changes_put(&plan->changes, topic, &next);
    }
    return err != 0 ? err : changes_end(&plan->changes);
}

int decide_topic_balance(const struct image *image, const struct uuid *topic_id, const struct decide_facts *facts, struct decision *decision)
{
    bool is_all = uuid_is_zero(topic_id);
    const struct image_topic *topic = is_all ? NULL : image_find_topic(image, topic_id);
    struct move_plan plan;
    int err;

    if (topic == NULL && !is_all) return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such topic");
    err = move_plan_init(&plan, image, facts, decision);
    if (err != 0) return err;
    plan.copies_max = UINT64_MAX;
    plan.budget = DECIDE_PARTITIONS_MAX;
    if (is_all) {
        image_each_topic(image, count_topic, &plan);
        err = image_each_topic(image, balance_topic, &plan);
    } else {
        move_plan_count(&plan, topic);
        err = balance_topic(&plan, topic);
    }
    move_plan_deinit(&plan);
    return err;
}
