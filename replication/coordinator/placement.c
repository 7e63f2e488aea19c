/* coordinator/placement.c - see placement.h. A greedy choice per replica: partitions x replicas x brokers
 * steps. */
#include "replication/coordinator/placement.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

struct candidate {
    const struct image_broker *broker;
    uint32_t zone;      /* a number for its zone; 0: it has none */
    uint64_t leads;     /* partitions of this topic that it would lead first */
    uint64_t topic;     /* replicas of this topic */
    uint64_t hosted;    /* replicas of all topics */
    uint64_t led;       /* partitions of all topics */
    uint64_t used;      /* its shares of bytes and traffic, in the unit of shares below */
    bool is_taken;      /* by the partition at hand */
    bool is_zone_taken; /* another replica of it is in its zone */
};

struct candidates {
    struct candidate *list; /* owned, by node id */
    size_t count;
    uint64_t hosted_total, led_total;
};

#define SHARE (1ull << 20) /* all of something; the products below fit 64 bits at every limit of the image */

static bool is_usable(const struct image_broker *broker)
{
    return !broker->is_fenced && !broker->is_draining && !broker->is_witness;
}

size_t placement_keeping_count(const struct image *image)
{
    size_t count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++)
        count += !image_broker_at(image, i)->is_witness;
    return count;
}

size_t placement_usable_count(const struct image *image)
{
    size_t count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++)
        count += is_usable(image_broker_at(image, i));
    return count;
}

static struct candidate *candidate_of(const struct candidates *candidates, int32_t node_id)
{
    for (size_t i = 0; i < candidates->count; i++) {
        if (candidates->list[i].broker->node_id == node_id) return &candidates->list[i];
    }
    return NULL;
}

/* Equal zones get equal numbers. */
static uint32_t zone_number(const struct candidates *candidates, size_t at)
{
    const char *zone = candidates->list[at].broker->zone;

    if (zone[0] == '\0') return 0;
    for (size_t i = 0; i < at; i++) {
        if (strcmp(candidates->list[i].broker->zone, zone) == 0) return candidates->list[i].zone;
    }
    return (uint32_t)at + 1;
}

static uint64_t share_of(uint64_t part, uint64_t total)
{
    /* What brokers say of themselves may be anything: shift until the product fits. */
    while (total > UINT32_MAX) {
        total >>= 1;
        part >>= 1;
    }
    if (total == 0) return 0;
    return (part < total ? part : total) * SHARE / total;
}

static void count_use(struct candidates *candidates, const struct decide_facts *facts)
{
    uint64_t stored = 0, traffic = 0;

    for (size_t i = 0; facts != NULL && i < facts->broker_count; i++) {
        uint64_t limit = UINT64_MAX / 2 / IMAGE_BROKERS_MAX;
        stored += facts->brokers[i].stored_bytes < limit ? facts->brokers[i].stored_bytes : limit;
        traffic += facts->brokers[i].bytes_per_s < limit ? facts->brokers[i].bytes_per_s : limit;
    }
    for (size_t i = 0; facts != NULL && i < facts->broker_count && i < IMAGE_BROKERS_MAX; i++) {
        struct candidate *candidate = candidate_of(candidates, facts->brokers[i].node_id);
        if (candidate == NULL) continue;
        candidate->used = share_of(facts->brokers[i].stored_bytes, stored) + share_of(facts->brokers[i].bytes_per_s, traffic);
    }
}

static void count_topic(struct candidates *candidates, const struct image_topic *topic)
{
    struct image_partition partition;

    for (uint32_t i = 0; topic != NULL && image_topic_partition(topic, i, &partition); i++) {
        for (uint32_t j = 0; j < partition.replica_count; j++) {
            struct candidate *candidate = candidate_of(candidates, partition.replicas[j]);
            if (candidate == NULL) continue;
            candidate->topic++;
            candidate->leads += j == 0; /* the preferred leader: where leadership goes back to */
        }
    }
}

/* The usable brokers with their present load. */
static int candidates_init(struct candidates *candidates, const struct image *image, const struct image_topic *topic,
                           const struct decide_facts *facts)
{
    *candidates = (struct candidates){.list = calloc(image_broker_count(image), sizeof(candidates->list[0]))};
    if (candidates->list == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        struct candidate *candidate = &candidates->list[candidates->count];
        if (!is_usable(broker)) continue;
        candidate->broker = broker;
        candidate->zone = zone_number(candidates, candidates->count++);
        candidate->hosted = image_replica_count(image, broker->node_id);
        candidate->led = image_leader_count(image, broker->node_id);
        candidates->hosted_total += candidate->hosted;
        candidates->led_total += candidate->led;
    }
    count_topic(candidates, topic);
    count_use(candidates, facts);
    return 0;
}

/* In units that two candidates can be compared in; hosted and led go on counting while partitions are placed. */
static uint64_t load_of(const struct candidates *candidates, const struct candidate *candidate, bool for_leader)
{
    uint64_t load = candidate->used + candidate->hosted * SHARE / (candidates->hosted_total + 1);

    return for_leader ? load + candidate->led * SHARE / (candidates->led_total + 1) : load;
}

/* Whether a is the better choice. */
static bool is_better(const struct candidates *candidates, const struct candidate *a, const struct candidate *b, bool for_leader)
{
    if (a->is_zone_taken != b->is_zone_taken) return b->is_zone_taken;
    if (for_leader && a->leads != b->leads) return a->leads < b->leads;
    if (a->topic != b->topic) return a->topic < b->topic;
    return load_of(candidates, a, for_leader) < load_of(candidates, b, for_leader);
}

static struct candidate *choose(struct candidates *candidates, bool for_leader)
{
    struct candidate *best = NULL;

    for (size_t i = 0; i < candidates->count; i++) {
        struct candidate *candidate = &candidates->list[i];
        if (candidate->is_taken || candidate->hosted >= IMAGE_PARTITIONS_MAX) continue;
        if (best == NULL || is_better(candidates, candidate, best, for_leader)) best = candidate;
    }
    return best;
}

static void take(struct candidates *candidates, struct candidate *chosen, bool for_leader)
{
    chosen->is_taken = true;
    chosen->leads += for_leader;
    chosen->led += for_leader;
    chosen->topic++;
    chosen->hosted++;
    for (size_t i = 0; chosen->zone != 0 && i < candidates->count; i++)
        candidates->list[i].is_zone_taken |= candidates->list[i].zone == chosen->zone;
}

static int place_one(struct candidates *candidates, uint32_t replication_factor, struct body_placement *ret_placement)
{
    ret_placement->count = 1;
    ret_placement->replica_count = replication_factor;
    for (size_t i = 0; i < candidates->count; i++)
        candidates->list[i].is_taken = candidates->list[i].is_zone_taken = false;
    for (uint32_t i = 0; i < replication_factor; i++) {
        struct candidate *chosen = choose(candidates, i == 0);
        if (chosen == NULL) return MESH_EFULL;
        take(candidates, chosen, i == 0);
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
                     uint32_t replication_factor, const struct decide_facts *facts, struct placement_plan *plan)
{
    struct candidates candidates;
    struct body_placement placement;
    int err = candidates_init(&candidates, image, topic, facts);

    if (err != 0) return err;
    MESH_ASSERT(replication_factor >= 1 && replication_factor <= candidates.count && replication_factor <= IMAGE_REPLICAS_MAX);
    for (uint32_t i = 0; i < partition_count && err == 0; i++) {
        err = place_one(&candidates, replication_factor, &placement);
        if (err == 0) err = plan_add(plan, &placement);
    }
    free(candidates.list);
    return err;
}

static int take_one(struct candidates *candidates, const int32_t *replicas, uint32_t replication_factor, struct body_placement *ret_placement)
{
    ret_placement->count = 1;
    ret_placement->replica_count = replication_factor;
    for (size_t i = 0; i < candidates->count; i++)
        candidates->list[i].is_taken = false;
    for (uint32_t i = 0; i < replication_factor; i++) {
        struct candidate *given = candidate_of(candidates, replicas[i]);

        if (given == NULL || given->is_taken) return MESH_EINVAL;
        if (given->hosted >= IMAGE_PARTITIONS_MAX) return MESH_EFULL;
        take(candidates, given, i == 0);
        ret_placement->replicas[i] = replicas[i];
    }
    return 0;
}

int placement_take(const struct image *image, const int32_t *replicas, uint32_t partition_count, uint32_t replication_factor, struct placement_plan *plan)
{
    struct candidates candidates;
    struct body_placement placement;
    int err = candidates_init(&candidates, image, NULL, NULL);

    if (err != 0) return err;
    MESH_ASSERT(replication_factor >= 1 && replication_factor <= IMAGE_REPLICAS_MAX);
    for (uint32_t i = 0; i < partition_count && err == 0; i++) {
        err = take_one(&candidates, &replicas[(size_t)i * replication_factor], replication_factor, &placement);
        if (err == 0) err = plan_add(plan, &placement);
    }
    free(candidates.list);
    return err;
}

void placement_plan_deinit(struct placement_plan *plan)
{
    free(plan->runs);
    *plan = (struct placement_plan){NULL, 0, 0};
}
