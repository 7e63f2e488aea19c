/* coordinator/placement.c - see placement.h. A greedy choice per replica: partitions x replicas x brokers
 * steps. */
#include "replication/coordinator/placement.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

struct candidate {
    const struct image_broker *broker;
    uint64_t leads;  /* partitions of this topic that it would lead first */
    uint64_t topic;  /* replicas of this topic */
    uint64_t hosted; /* replicas of all topics */
    bool is_taken;   /* by the partition at hand */
};

static struct candidate *candidate_of(struct candidate *candidates, size_t count, int32_t node_id)
{
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].broker->node_id == node_id) return &candidates[i];
    }
    return NULL;
}

/* The candidates with their present load, by node id. */
static struct candidate *candidates_new(const struct image *image, const struct image_topic *topic)
{
    size_t count = image_broker_count(image);
    struct candidate *candidates = calloc(count, sizeof(candidates[0]));
    struct image_partition partition;

    if (candidates == NULL) return NULL;
    for (size_t i = 0; i < count; i++) {
        candidates[i].broker = image_broker_at(image, i);
        candidates[i].hosted = image_replica_count(image, candidates[i].broker->node_id);
    }
    for (uint32_t i = 0; topic != NULL && image_topic_partition(topic, i, &partition); i++) {
        for (uint32_t j = 0; j < partition.replica_count; j++) {
            struct candidate *candidate = candidate_of(candidates, count, partition.replicas[j]);
            if (candidate == NULL) continue;
            candidate->topic++;
            candidate->leads += j == 0; /* the preferred leader: where leadership goes back to */
        }
    }
    return candidates;
}

static bool zone_is_taken(const struct candidate *candidates, size_t count, const struct candidate *candidate)
{
    if (candidate->broker->zone[0] == '\0') return false;
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].is_taken && strcmp(candidates[i].broker->zone, candidate->broker->zone) == 0)
            return true;
    }
    return false;
}

/* Whether a is the better choice. */
static bool is_better(const struct candidate *a, bool a_zone_taken, const struct candidate *b,
                      bool b_zone_taken, bool for_leader)
{
    if (a_zone_taken != b_zone_taken) return b_zone_taken;
    if (for_leader && a->leads != b->leads) return a->leads < b->leads;
    if (a->topic != b->topic) return a->topic < b->topic;
    return a->hosted < b->hosted;
}

static struct candidate *choose(struct candidate *candidates, size_t count, bool for_leader)
{
    struct candidate *best = NULL;
    bool best_zone_taken = false;

    for (size_t i = 0; i < count; i++) {
        bool zone_taken;
        if (candidates[i].is_taken || candidates[i].hosted >= IMAGE_PARTITIONS_MAX) continue;
        zone_taken = zone_is_taken(candidates, count, &candidates[i]);
        if (best != NULL && !is_better(&candidates[i], zone_taken, best, best_zone_taken, for_leader))
            continue;
        best = &candidates[i];
        best_zone_taken = zone_taken;
    }
    return best;
}

static int place_one(struct candidate *candidates, size_t count, uint32_t replication_factor,
                     struct body_placement *ret_placement)
{
    ret_placement->count = 1;
    ret_placement->replica_count = replication_factor;
    for (size_t i = 0; i < count; i++)
        candidates[i].is_taken = false;
    for (uint32_t i = 0; i < replication_factor; i++) {
        struct candidate *chosen = choose(candidates, count, i == 0);
        if (chosen == NULL) return MESH_EFULL;
        chosen->is_taken = true;
        chosen->leads += i == 0;
        chosen->topic++;
        chosen->hosted++;
        ret_placement->replicas[i] = chosen->broker->node_id;
    }
    return 0;
}

/* Adds one partition's replicas to the last run, or begins a new one. */
static int plan_add(struct placement_plan *plan, const struct body_placement *placement)
{
    struct body_placement *last = plan->run_count == 0 ? NULL : &plan->runs[plan->run_count - 1];

    if (last != NULL &&
        memcmp(last->replicas, placement->replicas, placement->replica_count * sizeof(int32_t)) == 0) {
        last->count++;
        return 0;
    }
    if (plan->run_count == plan->run_capacity) {
        uint32_t capacity = plan->run_capacity == 0 ? 16 : plan->run_capacity * 2;
        struct body_placement *runs = realloc(plan->runs, capacity * sizeof(runs[0]));
        if (runs == NULL) return MESH_ENOMEM;
        plan->runs = runs;
        plan->run_capacity = capacity;
    }
    plan->runs[plan->run_count++] = *placement;
    return 0;
}

int placement_choose(const struct image *image, const struct image_topic *topic, uint32_t partition_count,
                     uint32_t replication_factor, struct placement_plan *plan)
{
    size_t count = image_broker_count(image);
    struct candidate *candidates;
    struct body_placement placement;
    int err = 0;

    MESH_ASSERT(replication_factor >= 1 && replication_factor <= count &&
                replication_factor <= IMAGE_REPLICAS_MAX);
    candidates = candidates_new(image, topic);
    if (candidates == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < partition_count && err == 0; i++) {
        err = place_one(candidates, count, replication_factor, &placement);
        if (err == 0) err = plan_add(plan, &placement);
    }
    free(candidates);
    return err;
}

void placement_plan_deinit(struct placement_plan *plan)
{
    free(plan->runs);
    *plan = (struct placement_plan){NULL, 0, 0};
}
