/* coordinator/decide_recover.c - who leads when rule R9 finds nobody: by what replicas reported (decide_replicas.h). */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"
#include "replication/coordinator/switches.h"

struct recovery {
    const struct image *image;
    const struct decide_recover *request;
    const struct image_topic *topic;
    struct elector elector;
    struct body_partition state;
    const struct replica_report *reports[IMAGE_REPLICAS_MAX]; /* of each replica; NULL: none that counts */
    uint32_t reported; /* their mask */
    uint32_t usable;   /* replicas on brokers that are up */
};

/* Counts what was said by the present lives of brokers that are up, about the partition as it is now. Who reported and went away is not waited for and
 * cannot lead; a majority of the others knows all that it knew of what was committed. */
static void collect(struct recovery *recovery)
{
    const struct body_partition *state = &recovery->state;

    for (uint32_t i = 0; i < state->replica_count; i++)
        recovery->usable |= (uint32_t)elector_is_usable(elector_find(&recovery->elector, state->replicas[i])) << i;
    for (size_t i = 0; i < recovery->request->report_count; i++) {
        const struct replica_report *report = &recovery->request->reports[i];
        const struct image_broker *broker = image_find_broker(recovery->image, report->node_id);
        uint32_t bit = rules_bit(state, report->node_id);
        if (broker == NULL || broker->epoch != report->broker_epoch || report->leader_epoch != state->leader_epoch) continue;
        if ((bit & recovery->usable) == 0) continue;
        recovery->reports[__builtin_ctz(bit)] = report;
        recovery->reported |= bit;
    }
}

/* Raft 5.4.1: the later epoch wins, then the longer log. */
static int compare_logs(const struct replica_report *a, const struct replica_report *b)
{
    if (a->last_epoch != b->last_epoch) return a->last_epoch < b->last_epoch ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Of equal logs the healthier broker's, then the earlier replica's. */
static bool is_better(const struct recovery *recovery, uint32_t i, uint32_t best)
{
    int order = compare_logs(recovery->reports[i], recovery->reports[best]);

    if (order != 0) return order > 0;
    return elector_find(&recovery->elector, recovery->state.replicas[i])->health >
           elector_find(&recovery->elector, recovery->state.replicas[best])->health;
}

/* The place of the longest log in the mask, which is not empty and was reported. */
static uint32_t longest(const struct recovery *recovery, uint32_t mask)
{
    uint32_t best = (uint32_t)__builtin_ctz(mask);

    for (uint32_t i = best + 1; i < recovery->state.replica_count; i++) {
        if (mask >> i & 1 && is_better(recovery, i, best)) best = i;
    }
    return best;
}

static int write_down(struct recovery *recovery, uint32_t leader, enum image_election_reason reason, struct decision *decision)
{
    struct changes changes = {.decision = decision};
    struct body_partition *state = &recovery->state;
    uint32_t complete = state->isr | state->elr, bit = 1u << leader;
    int err;

    state->isr = bit; /* the others show that they follow it before they are in sync */
    state->elr = reason == IMAGE_ELECTION_SEALED ? complete & ~bit : 0;
    state->last_known_elr = 0;
    state->is_sealing = false;
    state->adding &= ~bit; /* whoever leads is no newcomer any more */
    if (state->adding == 0) state->is_queued = false;
    state->reset_epoch += reason == IMAGE_ELECTION_UNCLEAN;
    elector_appoint(&recovery->elector, &recovery->topic->topic_id, state, state->replicas[leader], reason);
    err = changes_put(&changes, recovery->topic, state);
    return err != 0 ? err : changes_end(&changes);
}

/* ---- without loss ---- */

/* A majority that has refused all earlier epochs: whatever was committed is in one of its logs, and the longest one has all of it. Replicas that
 * lost data do not speak: their empty logs would stand for what they once acknowledged. */
static int unseal(struct recovery *recovery, struct decision *decision)
{
    const struct body_partition *state = &recovery->state;
    uint32_t speakers = recovery->reported & (state->isr | state->elr) & ~state->adding;

    if (speakers == 0) return 0;
    if ((uint32_t)__builtin_popcount(speakers) < rules_majority(state) && !COORDINATOR_DEFECT(SEAL_UNCOUNTED)) return 0;
    return write_down(recovery, longest(recovery, speakers), IMAGE_ELECTION_SEALED, decision);
}

/* ---- with loss, as the topic's setting says ---- */

/* Replicas whose brokers are in the mesh, up or not. */
static uint32_t registered(const struct recovery *recovery)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < recovery->state.replica_count; i++)
        mask |= (uint32_t)(elector_find(&recovery->elector, recovery->state.replicas[i]) != NULL) << i;
    return mask;
}

/* Those of whom the best leads now; 0: it is not time. */
static uint32_t ready(const struct recovery *recovery)
{
    const struct body_partition *state = &recovery->state;
    uint32_t known;

    switch ((enum topic_unclean)image_topic_config(recovery->topic, TOPIC_CONFIG_UNCLEAN)) {
    case TOPIC_UNCLEAN_MANUAL: return 0;
    case TOPIC_UNCLEAN_BALANCED:
        if ((state->isr | state->elr) != 0) return 0; /* a complete one is only away */
        known = state->last_known_elr != 0 ? state->last_known_elr : registered(recovery);
        return (known & ~recovery->reported) == 0 ? known : 0;
    case TOPIC_UNCLEAN_PROACTIVE:
        return recovery->request->is_overdue || (recovery->usable & ~recovery->reported) == 0 ? recovery->reported : 0;
    }
    return 0;
}

static int recover_by_itself(struct recovery *recovery, struct decision *decision)
{
    const struct body_partition *state = &recovery->state;
    uint32_t candidates;

    if (state->leader != IMAGE_NO_LEADER) return 0;
    if (state->is_sealing) return unseal(recovery, decision);
    if (elector_best(&recovery->elector, &recovery->topic->topic_id, state) != IMAGE_NO_LEADER) return 0; /* R9 sees to it */
    candidates = ready(recovery);
    return candidates == 0 ? 0 : write_down(recovery, longest(recovery, candidates), IMAGE_ELECTION_UNCLEAN, decision);
}

/* ---- with loss, as the operator says ---- */

static int recover_as_asked(struct recovery *recovery, struct decision *decision)
{
    const struct body_partition *state = &recovery->state;
    const struct decide_recover *request = recovery->request;
    uint32_t chosen = request->node_id == 0 ? 0 : rules_bit(state, request->node_id);
    const char *name = recovery->topic->name;

    if (state->leader != IMAGE_NO_LEADER)
        return decision_refuse(decision, MESH_EEXISTS, "%s/%u is led by broker %d: nothing needs to be lost", name, state->partition,
                               state->leader);
    if (!state->is_sealing && elector_best(&recovery->elector, &recovery->topic->topic_id, state) != IMAGE_NO_LEADER)
        return decision_refuse(decision, MESH_ENOT_ENOUGH_REPLICAS, "%s/%u has a complete replica that is up, and gets its leader without loss",
                               name, state->partition);
    if (request->node_id != 0 && (chosen & recovery->usable) == 0)
        return decision_refuse(decision, MESH_ENOT_ENOUGH_REPLICAS, "broker %d has no replica of %s/%u, or is not up", request->node_id, name,
                               state->partition);
    if (recovery->usable == 0)
        return decision_refuse(decision, MESH_ENOT_ENOUGH_REPLICAS, "no replica of %s/%u is on a broker that is up", name, state->partition);
    if (chosen == 0 && recovery->reported == 0)
        return decision_refuse(decision, MESH_EAGAIN, "no replica of %s/%u has said yet how far its log goes: ask again, or name a broker", name,
                               state->partition);
    if (chosen == 0) chosen = 1u << longest(recovery, recovery->reported);
    return write_down(recovery, (uint32_t)__builtin_ctz(chosen), IMAGE_ELECTION_UNCLEAN, decision);
}

int decide_recover(const struct image *image, const struct decide_recover *request, struct decision *decision)
{
    struct recovery recovery = {.image = image, .request = request, .topic = image_find_topic(image, &request->topic_id)};
    int err;

    if (recovery.topic == NULL || request->partition >= recovery.topic->partition_count)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such partition");
    err = elector_init(&recovery.elector, image, request->facts);
    if (err != 0) return err;
    image_pages_load(recovery.topic->pages, request->partition, &recovery.state);
    collect(&recovery);
    err = request->is_asked ? recover_as_asked(&recovery, decision) : recover_by_itself(&recovery, decision);
    elector_deinit(&recovery.elector);
    return err;
}
