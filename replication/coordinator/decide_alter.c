/* coordinator/decide_alter.c - decisions about who is in sync: leaders' wishes (ALTER), and replicas that lost records. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"
#include "replication/coordinator/switches.h"

/* ---- what both begin with ---- */

/* The broker that asks, in its present life. */
static int check_asker(const struct image *image, int32_t node_id, uint64_t broker_epoch, size_t count, struct decision *decision)
{
    const struct image_broker *broker = image_find_broker(image, node_id);

    if (count > DECIDE_PARTITIONS_MAX)
        return decision_refuse(decision, MESH_EINVAL, "one request is about at most %d partitions", DECIDE_PARTITIONS_MAX);
    if (broker == NULL) return decision_refuse(decision, MESH_ENOTFOUND, "the mesh knows no broker %d", node_id);
    if (broker->epoch == broker_epoch) return 0;
    return decision_refuse(decision, MESH_ESTALE_EPOCH, "broker %d has begun another life since", node_id);
}

static int refuse_order(struct decision *decision)
{
    return decision_refuse(decision, MESH_EINVAL, "the partitions of a request rise by topic and number, each one once");
}

/* The partition, or NULL. */
static const struct image_topic *load(const struct image *image, const struct uuid *topic_id, uint32_t partition,
                                      struct body_partition *ret_state, struct decide_result *result)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);

    *result = (struct decide_result){.error = MESH_EUNKNOWN_TOPIC};
    if (topic == NULL || partition >= topic->partition_count) return NULL;
    image_pages_load(topic->pages, partition, ret_state);
    *result = (struct decide_result){.partition_epoch = ret_state->partition_epoch};
    return topic;
}

/* ---- ALTER ---- */

struct alter {
    const struct image *image;
    const struct decide_alter_partitions *request;
    struct elector elector;
    struct changes changes;
};

/* Whether the asker leads as it believes to. */
static int check_leader(const struct decide_alter_partitions *request, const struct decide_isr *wish, const struct body_partition *now)
{
    if (wish->leader_epoch < now->leader_epoch) return MESH_ESTALE_EPOCH;
    if (wish->leader_epoch > now->leader_epoch) return MESH_EUNKNOWN_EPOCH;
    return now->leader == request->leader ? 0 : MESH_ENOT_LEADER;
}

/* One member. Those that are in the ISR already stay there whatever their brokers are up to: fencing them is another decision. But what caught
 * up must be what is there now: another life may have lost records (KIP-903), another replica begins empty (KIP-966 6.5.4). */
static int check_member(const struct alter *alter, const struct body_partition *now, const struct decide_member *member, uint32_t *ret_bit)
{
    const struct elector_broker *broker = elector_find(&alter->elector, member->node_id);
    const struct image_broker *registered = image_find_broker(alter->image, member->node_id);
    uint32_t bit = rules_bit(now, member->node_id), at = (uint32_t)__builtin_ctz(bit | 1u << 31);

    if (bit == 0) return MESH_EINVAL;
    *ret_bit = bit;
    if (registered == NULL) return MESH_EBUSY;
    if (registered->epoch != member->broker_epoch && !COORDINATOR_DEFECT(LIFE_UNCHECKED)) return MESH_EBUSY;
    if (now->generations[at] != member->generation && !COORDINATOR_DEFECT(GENERATION_UNCHECKED)) return MESH_EBUSY;
    if ((now->isr & bit) != 0) return 0;
    if (!elector_is_usable(broker) && !COORDINATOR_DEFECT(FENCED_MAY_JOIN)) return MESH_EBUSY;
    return now->is_queued && (now->adding & bit) != 0 ? MESH_EBUSY : 0;
}

static int check_members(const struct alter *alter, const struct decide_isr *wish, const struct body_partition *now, uint32_t *ret_isr)
{
    uint32_t isr = 0;
    int busy = 0;

    for (uint32_t i = 0; i < wish->member_count; i++) {
        uint32_t bit = 0;
        int err = check_member(alter, now, &wish->members[i], &bit);
        if (err == MESH_EINVAL || (isr & bit) != 0) return MESH_EINVAL;
        if (err != 0) busy = err;
        isr |= bit;
    }
    if ((isr & rules_bit(now, now->leader)) == 0) return MESH_EINVAL;
    *ret_isr = isr;
    return busy;
}

/* The wish becomes true in place. */
static void take_wish(struct alter *alter, const struct image_topic *topic, uint32_t isr, struct body_partition *state)
{
    uint32_t leaving = state->isr & ~isr;

    state->isr |= isr;
    state->elr &= ~isr;
    state->last_known_elr &= ~isr;
    rules_leave_isr(topic, state, leaving);
    rules_finish_move(&alter->elector, topic, state, true);
}

static int alter_one(struct alter *alter, const struct decide_isr *wish, struct decide_result *result)
{
    struct body_partition now, next;
    const struct image_topic *topic = load(alter->image, &wish->topic_id, wish->partition, &now, result);
    uint32_t isr = 0;
    int err;

    if (topic == NULL) return 0;
    result->error = check_leader(alter->request, wish, &now);
    if (result->error != 0) return 0;
    result->error = check_members(alter, wish, &now, &isr);
    if (wish->partition_epoch > now.partition_epoch) result->error = MESH_EINVAL; /* nobody knows more than the coordinator */
    if (wish->partition_epoch < now.partition_epoch && !COORDINATOR_DEFECT(PARTITION_EPOCH_UNCHECKED)) {
        /* Too late, or a retry of what was done: the image tells the leader which, and all else that it missed. To hear of the newer epoch alone would make it
         * one that knows of a min.insync that rose meanwhile (durability.c), and it would go on committing by the lower one. */
        result->error = MESH_EAGAIN;
        return 0;
    }
    if (result->error != 0) return 0;
    next = now;
    take_wish(alter, topic, isr, &next);
    /* Also when nothing changes but the partition epoch: a leader that never heard what became of an earlier wish asks for that, so that the
     * earlier one cannot come true any more. */
    err = changes_put(&alter->changes, topic, &next);
    result->partition_epoch = next.partition_epoch;
    return err;
}

int decide_alter_partitions(const struct image *image, const struct decide_alter_partitions *request, const struct decide_facts *facts,
                            struct decision *decision, struct decide_result *ret_results)
{
    struct alter alter = {.image = image, .request = request, .changes = {.decision = decision}};
    const struct decide_isr *wishes = request->partitions;
    int err = check_asker(image, request->leader, request->broker_epoch, request->count, decision);

    for (size_t i = 1; err == 0 && i < request->count; i++) {
        if (decide_compare_places(&wishes[i - 1].topic_id, wishes[i - 1].partition, &wishes[i].topic_id, wishes[i].partition) >= 0)
            err = refuse_order(decision);
    }
    if (err == 0) err = elector_init(&alter.elector, image, facts);
    if (err != 0) return err;
    for (size_t i = 0; err == 0 && i < request->count; i++)
        err = alter_one(&alter, &wishes[i], &ret_results[i]);
    if (err == 0) err = changes_end(&alter.changes);
    elector_deinit(&alter.elector);
    return err;
}

/* ---- replicas that lost records ---- */

/* Who is in none of the sets begins anew too: its new generation makes those wishes for an ISR with it void that are still on their way. */
static bool can_do_without(const struct image_topic *topic, const struct body_partition *state, uint32_t bit)
{
    uint32_t others = (state->isr | state->elr) & ~bit;

    if (((state->isr | state->elr | state->last_known_elr) & bit) == 0) return true; /* nobody counts on it */
    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM) return (uint32_t)__builtin_popcount(others) >= rules_majority(state);
    return others != 0;
}

static int lose_one(const struct image *image, int32_t node_id, const struct decide_lost *lost, struct elector *elector,
                    struct changes *changes, struct decide_result *result)
{
    struct body_partition now, next;
    const struct image_topic *topic = load(image, &lost->topic_id, lost->partition, &now, result);
    uint32_t bit = topic == NULL ? 0 : rules_bit(&now, node_id);
    int err;

    if (topic == NULL) return 0;
    if (bit == 0) result->error = MESH_EUNKNOWN_TOPIC;
    if (bit != 0 && now.generations[__builtin_ctz(bit)] != lost->generation) return 0; /* a late copy of what was done */
    if (bit != 0 && !can_do_without(topic, &now, bit)) result->error = MESH_ENOT_ENOUGH_REPLICAS;
    if (result->error != 0 || COORDINATOR_DEFECT(LOSS_IGNORED)) return 0;
    next = now;
    next.isr &= ~bit;
    next.elr &= ~bit;
    next.last_known_elr &= ~bit;
    next.fresh |= bit;
    if (next.leader == node_id)
        rules_elect(elector, topic, &next, IMAGE_ELECTION_DAMAGED);
    else
        rules_elect_if_one_can(elector, topic, &next, IMAGE_ELECTION_DAMAGED);
    rules_settle(topic, &next);
    err = changes_put(changes, topic, &next);
    result->partition_epoch = next.partition_epoch;
    return err;
}

int decide_replicas_lost(const struct image *image, const struct decide_replicas_lost *request, const struct decide_facts *facts,
                         struct decision *decision, struct decide_result *ret_results)
{
    struct changes changes = {.decision = decision};
    const struct decide_lost *lost = request->replicas;
    struct elector elector;
    int err = check_asker(image, request->node_id, request->broker_epoch, request->count, decision);

    for (size_t i = 1; err == 0 && i < request->count; i++) {
        if (decide_compare_places(&lost[i - 1].topic_id, lost[i - 1].partition, &lost[i].topic_id, lost[i].partition) >= 0)
            err = refuse_order(decision);
    }
    if (err == 0) err = elector_init(&elector, image, facts);
    if (err != 0) return err;
    for (size_t i = 0; err == 0 && i < request->count; i++)
        err = lose_one(image, request->node_id, &lost[i], &elector, &changes, &ret_results[i]);
    if (err == 0) err = changes_end(&changes);
    elector_deinit(&elector);
    return err;
}
