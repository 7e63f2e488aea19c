#include "replication/groups/assign.h"

#include <stdlib.h>

#define NOBODY UINT32_MAX

struct assignment {
    const struct assign_member *members;
    const struct assign_topic *topics;
    uint32_t member_count, topic_count;
    uint64_t *subscribed; /* owned; bit topic * member_count + member */
    uint32_t *loads;      /* owned; partitions of each member */
    uint32_t *before;     /* owned; by partition in the order of topics: who had it, though it was not kept at once */
    bool is_uniform;      /* all subscribe to the same topics */
    bool minds_zones;
    uint32_t quota, extras; /* uniform: each gets quota, `extras` of them one more */
    uint32_t next;          /* uniform: whose turn it is */
};

static bool subscribes(const struct assignment *assignment, uint32_t member, uint32_t topic)
{
    uint64_t bit = (uint64_t)topic * assignment->member_count + member;

    return (assignment->subscribed[bit / 64] >> bit % 64) & 1;
}

static void assign_range(struct assignment *assignment)
{
    for (uint32_t t = 0; t < assignment->topic_count; t++) {
        const struct assign_topic *topic = &assignment->topics[t];
        uint32_t consumers = 0, partition = 0, turn = 0;

        for (uint32_t m = 0; m < assignment->member_count; m++)
            consumers += subscribes(assignment, m, t);
        for (uint32_t m = 0; m < assignment->member_count && consumers > 0; m++) {
            uint32_t share = topic->partition_count / consumers + (turn < topic->partition_count % consumers);

            if (!subscribes(assignment, m, t)) continue;
            turn++;
            for (; share > 0; share--)
                topic->owners[partition++] = m + 1;
        }
        while (partition < topic->partition_count)
            topic->owners[partition++] = 0;
    }
}

/* The first member from `from` on, around, that subscribes to the topic. */
static uint32_t next_consumer(const struct assignment *assignment, uint32_t topic, uint32_t from)
{
    for (uint32_t i = 0; i < assignment->member_count; i++) {
        uint32_t member = (from + i) % assignment->member_count;
        if (subscribes(assignment, member, topic)) return member;
    }
    return NOBODY;
}

static void assign_round_robin(struct assignment *assignment)
{
    uint32_t turn = 0;

    for (uint32_t t = 0; t < assignment->topic_count; t++)
        for (uint32_t p = 0; p < assignment->topics[t].partition_count; p++) {
            uint32_t member = next_consumer(assignment, t, turn);
            assignment->topics[t].owners[p] = member == NOBODY ? 0 : member + 1;
            if (member != NOBODY) turn = (member + 1) % assignment->member_count;
        }
}

/* ---- sticky ---- */

static uint16_t zone_of(const struct assignment *assignment, uint32_t topic, uint32_t partition)
{
    const uint16_t *zones = assignment->topics[topic].zones;

    return assignment->minds_zones && zones != NULL ? zones[partition] : 0;
}

/* Some consumer of the topic is in the zone. */
static bool is_served(const struct assignment *assignment, uint32_t topic, uint16_t zone)
{
    for (uint32_t m = 0; m < assignment->member_count; m++)
        if (assignment->members[m].zone == zone && subscribes(assignment, m, topic)) return true;
    return false;
}

static bool has_room(const struct assignment *assignment, uint32_t member)
{
    return !assignment->is_uniform || assignment->loads[member] < assignment->quota || (assignment->loads[member] == assignment->quota && assignment->extras > 0);
}

static void give(struct assignment *assignment, uint32_t topic, uint32_t partition, uint32_t member)
{
    if (assignment->is_uniform && assignment->loads[member] == assignment->quota) assignment->extras--;
    assignment->loads[member]++;
    assignment->topics[topic].owners[partition] = member + 1;
}

/* Takes from everybody what is not theirs by subscription, what is over the quota, and what another zone should have. Remembers who had it. */
static void keep(struct assignment *assignment, bool takes_extras)
{
    uint32_t number = 0;

    for (uint32_t t = 0; t < assignment->topic_count; t++)
        for (uint32_t p = 0; p < assignment->topics[t].partition_count; p++, number++) {
            uint32_t *owner = &assignment->topics[t].owners[p], member = assignment->before[number] - 1;
            uint16_t zone = zone_of(assignment, t, p);

            if (*owner != 0 || assignment->before[number] == 0) continue;
            if (assignment->is_uniform && assignment->loads[member] >= assignment->quota + takes_extras) continue;
            if (!has_room(assignment, member)) continue;
            if (zone != 0 && zone != assignment->members[member].zone && is_served(assignment, t, zone)) continue;
            give(assignment, t, p, member);
        }
}

/* The least loaded consumer of the topic; of those in `zone` alone, if that is not 0. */
static uint32_t least_loaded(const struct assignment *assignment, uint32_t topic, uint16_t zone)
{
    uint32_t best = NOBODY;

    for (uint32_t m = 0; m < assignment->member_count; m++) {
        if (zone != 0 && assignment->members[m].zone != zone) continue;
        if (!subscribes(assignment, m, topic) || !has_room(assignment, m)) continue;
        if (best == NOBODY || assignment->loads[m] < assignment->loads[best]) best = m;
    }
    return best;
}

/* Uniform: whoever is below the quota, in turn; then whoever may have one more. There always is one, for shares add up. */
static uint32_t next_with_room(struct assignment *assignment, uint32_t topic)
{
    if (assignment->member_count == 0 || !subscribes(assignment, 0, topic)) return NOBODY;
    for (uint32_t limit = assignment->quota; limit <= assignment->quota + 1; limit++)
        for (uint32_t i = 0; i < assignment->member_count; i++) {
            uint32_t member = assignment->next;
            assignment->next = (assignment->next + 1) % assignment->member_count;
            if (assignment->loads[member] < limit) return member;
        }
    return NOBODY;
}

static uint32_t choose(struct assignment *assignment, uint32_t topic, uint32_t partition, uint32_t before, int round)
{
    uint16_t zone = zone_of(assignment, topic, partition);

    if (round == 0) return zone == 0 ? NOBODY : least_loaded(assignment, topic, zone);
    if (round == 1) return before != 0 && has_room(assignment, before - 1) ? before - 1 : NOBODY;
    return assignment->is_uniform ? next_with_room(assignment, topic) : least_loaded(assignment, topic, 0);
}

/* Three rounds: to a member in its zone, back to whom it was with, to anybody. */
static void hand_out(struct assignment *assignment)
{
    for (int round = assignment->minds_zones ? 0 : 1; round < 3; round++) {
        uint32_t number = 0;

        for (uint32_t t = 0; t < assignment->topic_count; t++)
            for (uint32_t p = 0; p < assignment->topics[t].partition_count; p++, number++) {
                uint32_t member;

                if (assignment->topics[t].owners[p] != 0) continue;
                member = choose(assignment, t, p, assignment->before[number], round);
                if (member != NOBODY) give(assignment, t, p, member);
            }
    }
}

/* Subscriptions differ: a partition goes to another consumer as long as that makes the two more equal. The sum of squared loads falls
 * with each move, so it ends. */
static void even_out(struct assignment *assignment)
{
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        for (uint32_t t = 0; t < assignment->topic_count; t++)
            for (uint32_t p = 0; p < assignment->topics[t].partition_count; p++) {
                uint32_t *owner = &assignment->topics[t].owners[p], best;

                if (*owner == 0) break;
                best = least_loaded(assignment, t, 0);
                if (assignment->loads[best] + 1 >= assignment->loads[*owner - 1]) continue;
                assignment->loads[*owner - 1]--;
                give(assignment, t, p, best);
                has_moved = true;
            }
    }
}

static void assign_sticky(struct assignment *assignment)
{
    uint32_t number = 0, total = 0;

    for (uint32_t t = 0; t < assignment->topic_count; t++) {
        if (assignment->member_count > 0 && subscribes(assignment, 0, t)) total += assignment->topics[t].partition_count;
        for (uint32_t p = 0; p < assignment->topics[t].partition_count; p++, number++) {
            uint32_t owner = assignment->topics[t].owners[p];

            assignment->topics[t].owners[p] = 0;
            assignment->before[number] = owner != 0 && subscribes(assignment, owner - 1, t) ? owner : 0;
        }
    }
    if (assignment->is_uniform && assignment->member_count > 0) {
        assignment->quota = total / assignment->member_count;
        assignment->extras = total % assignment->member_count;
    }
    keep(assignment, false);
    keep(assignment, true);
    hand_out(assignment);
    if (!assignment->is_uniform) even_out(assignment);
}

static bool is_uniform(const struct assign_member *members, uint32_t member_count)
{
    for (uint32_t m = 1; m < member_count; m++) {
        if (members[m].topic_count != members[0].topic_count) return false;
        if (memcmp(members[m].topics, members[0].topics, members[0].topic_count * sizeof(uint32_t)) != 0) return false;
    }
    return true;
}

int assign_partitions(enum group_strategy strategy, const struct assign_member *members, uint32_t member_count, const struct assign_topic *topics,
                      uint32_t topic_count)
{
    struct assignment assignment = {.members = members, .topics = topics, .member_count = member_count, .topic_count = topic_count};
    uint64_t bits = (uint64_t)member_count * topic_count;
    size_t total = 0;
    int err = MESH_ENOMEM;

    for (uint32_t t = 0; t < topic_count; t++)
        total += topics[t].partition_count;
    assignment.subscribed = calloc((size_t)(bits / 64) + 1, sizeof(uint64_t));
    assignment.loads = calloc((size_t)member_count + 1, sizeof(uint32_t));
    assignment.before = calloc(total + 1, sizeof(uint32_t));
    assignment.is_uniform = is_uniform(members, member_count);
    assignment.minds_zones = strategy == GROUP_ZONE;
    if (assignment.subscribed == NULL || assignment.loads == NULL || assignment.before == NULL) goto end;
    for (uint32_t m = 0; m < member_count; m++)
        for (uint32_t i = 0; i < members[m].topic_count; i++) {
            uint64_t bit = (uint64_t)members[m].topics[i] * member_count + m;
            assignment.subscribed[bit / 64] |= 1ull << bit % 64;
        }
    if (strategy == GROUP_RANGE)
        assign_range(&assignment);
    else if (strategy == GROUP_ROUND_ROBIN)
        assign_round_robin(&assignment);
    else
        assign_sticky(&assignment);
    err = 0;
end:
    free(assignment.subscribed);
    free(assignment.loads);
    free(assignment.before);
    return err;
}
