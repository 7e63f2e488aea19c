/* coordinator/replica_facts.c - see replica_facts.h. */
#include "replication/coordinator/replica_facts.h"

#include "replication/coordinator/topic_name.h"

#include <stdio.h>
#include <string.h>

static uint32_t bits_in(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static void count(struct replica_count *to, const struct image_topic *topic, uint32_t partition, bool is_so)
{
    size_t used = strlen(to->first);

    if (!is_so || to->count++ >= REPLICA_NAMED_MAX) return;
    snprintf(to->first + used, sizeof(to->first) - used, "%s%s/%u", used == 0 ? "" : ", ", topic->name, partition);
}

/* The mesh's own topics take what there is: nobody is told to add brokers for them. */
static uint32_t wanted_replicas(const struct image_topic *topic)
{
    return topic_name_is_internal(topic->name) ? 0 : (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS);
}

static void count_offline(const struct image_topic *topic, uint32_t i, const struct image_partition *partition, struct replica_facts *facts)
{
    bool is_empty = (partition->isr | partition->elr) == 0;

    count(&facts->offline, topic, i, true);
    count(&facts->sealed, topic, i, partition->is_sealing);
    count(&facts->lost, topic, i, is_empty && !partition->is_sealing);
    count(&facts->away, topic, i, !is_empty && !partition->is_sealing);
}

static void count_led(const struct image_topic *topic, uint32_t i, const struct image_partition *partition, struct replica_facts *facts)
{
    uint32_t factor = image_partition_factor(partition), in_sync = bits_in(partition->isr), min = image_min_insync(topic, factor);
    uint32_t wanted = wanted_replicas(topic);
    bool is_missing_one = bits_in(partition->isr & ~partition->adding) < factor, is_short = wanted > factor || is_missing_one;

    count(&facts->refusing, topic, i, in_sync < min);
    count(&facts->at_risk, topic, i, in_sync == min && is_short);
    count(&facts->under_replicated, topic, i, is_missing_one);
    count(&facts->degraded, topic, i, is_missing_one && in_sync > min);
}

void replica_facts_of_topic(const struct image_topic *topic, struct replica_facts *facts)
{
    uint32_t wanted = wanted_replicas(topic);
    bool is_async = image_topic_mode(topic) == TOPIC_MODE_ASYNC;
    struct image_partition partition;

    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        uint32_t staying = partition.replica_count - bits_in(partition.removing);
        uint32_t min = image_min_insync(topic, image_partition_factor(&partition));
        facts->partitions++;
        if (partition.leader == IMAGE_NO_LEADER)
            count_offline(topic, i, &partition, facts);
        else
            count_led(topic, i, &partition, facts);
        count(&facts->wishes_unmet, topic, i, staying < wanted);
        count(&facts->moving, topic, i, (partition.adding | partition.removing) != 0);
        count(&facts->queued, topic, i, partition.is_queued);
        count(&facts->reset, topic, i, partition.reset_epoch != 0);
        count(&facts->narrow, topic, i, min == 1 && staying > 1 && !is_async);
    }
}

static int add_topic(void *user, const struct image_topic *topic)
{
    replica_facts_of_topic(topic, user);
    return 0;
}

void replica_facts_collect(const struct image *image, struct replica_facts *ret_facts)
{
    *ret_facts = (struct replica_facts){.partitions = 0};
    image_each_topic(image, add_topic, ret_facts);
}

/* ---- in words ---- */

struct kind {
    const char *what; /* behind "n partitions" */
    const char *meaning, *remedy;
};

static void tell(const struct replica_count *so, const struct kind *kind, struct replica_problem *problems, size_t *ret_count)
{
    struct replica_problem *problem = &problems[*ret_count];

    if (so->count == 0) return;
    snprintf(problem->what, sizeof(problem->what), "%llu partition%s %s, first %s", (unsigned long long)so->count, so->count == 1 ? "" : "s",
             kind->what, so->first);
    problem->meaning = kind->meaning;
    problem->remedy = kind->remedy;
    ++*ret_count;
}

size_t replica_problems(const struct replica_facts *facts, struct replica_problem problems[REPLICA_PROBLEMS_MAX])
{
    static const struct kind lost = {"without a complete replica", "nobody leads them: whoever is elected may lack acknowledged records",
                                     "bring back the brokers that held them; else accept the loss: mesh topic alter NAME --set unclean=balanced"};
    static const struct kind sealed = {"waiting for a majority of their replicas", "mode=quorum elects by what a majority reports",
                                       "start brokers that hold them, until it is a majority"};
    static const struct kind away = {"without a leader", "nothing can be written to them or read from them",
                                        "start the brokers that hold complete replicas; mesh why TOPIC/PARTITION names them"};
    static const struct kind refusing = {"with too few replicas in sync", "acks=all is refused until min.insync is met again; reading goes on",
                                         "start the brokers that are missing, or give the topic others: mesh topic move"};
    static const struct kind at_risk = {"at risk", "just as many replicas are in sync as min.insync asks for: one more failure and writes are refused",
                                        "start the brokers that are missing; replicas of those that are gone are made anew after a while"};
    static const struct kind degraded = {"under-replicated", "a replica is missing; min.insync can do without it",
                                         "start the brokers that are missing; replicas of those that are gone are made anew after a while"};
    static const struct kind wishes = {"with fewer replicas than wanted", "the setting replicas asks for more brokers than could be given",
                                       "add brokers, or lower it: mesh topic alter NAME --set replicas=N"};
    size_t count = 0;

    tell(&facts->lost, &lost, problems, &count);
    tell(&facts->sealed, &sealed, problems, &count);
    tell(&facts->away, &away, problems, &count);
    tell(&facts->refusing, &refusing, problems, &count);
    tell(&facts->at_risk, &at_risk, problems, &count);
    tell(&facts->degraded, &degraded, problems, &count);
    tell(&facts->wishes_unmet, &wishes, problems, &count);
    return count;
}

int replica_facts_progress(const struct replica_facts *facts, char *to, size_t size)
{
    unsigned long long moving = facts->moving.count, queued = facts->queued.count;

    if (moving == 0) return snprintf(to, size, "%s", "");
    if (queued == 0)
        return snprintf(to, size, "%llu of %llu partitions on the move", moving, (unsigned long long)facts->partitions);
    return snprintf(to, size, "%llu of %llu partitions on the move, %llu of them waiting for their turn", moving,
                    (unsigned long long)facts->partitions, queued);
}
