#include "coordinator_model.h"

#include <check.h>
#include <stdlib.h>

bool model_is_usable(const struct image_broker *broker)
{
    return broker != NULL && !broker->is_fenced && !broker->is_draining && !broker->is_witness;
}

static uint32_t bits_in(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static bool is_quorum(const struct image_topic *topic)
{
    return image_topic_mode(topic) == TOPIC_MODE_QUORUM;
}

/* ---- one partition as it is ---- */

static void check_masks(const struct image_topic *topic, const struct image_partition *partition)
{
    uint32_t all = (1u << partition->replica_count) - 1, min = image_min_insync(topic, image_partition_factor(partition));

    must(((partition->isr | partition->elr | partition->last_known_elr | partition->adding | partition->removing) & ~all) == 0);
    must((partition->isr & partition->elr) == 0);
    must(((partition->isr | partition->elr) & partition->last_known_elr) == 0);
    must((partition->adding & partition->removing) == 0);
    must(partition->adding != all && partition->removing != all);
    must(!partition->is_queued || partition->adding != 0);
    must(!partition->is_sealing || (is_quorum(topic) && partition->leader == IMAGE_NO_LEADER));
    if (!is_quorum(topic) && bits_in(partition->isr) >= min) must((partition->elr | partition->last_known_elr) == 0);
    if (is_quorum(topic)) must(partition->last_known_elr == 0);
    if (is_quorum(topic)) must(bits_in(partition->adding) <= 1 && bits_in(partition->removing) <= 1);
}

static void check_replicas(const struct image *image, const struct image_topic *topic, uint32_t number, const struct image_partition *partition)
{
    bool is_leader_in_isr = partition->leader == IMAGE_NO_LEADER;

    for (uint32_t i = 0; i < partition->replica_count; i++) {
        const struct image_broker *broker = image_find_broker(image, partition->replicas[i]);
        bool is_isr = partition->isr >> i & 1, is_complete = (partition->isr | partition->elr) >> i & 1;
        bool is_last = (partition->isr | partition->elr) == 0 && partition->last_known_elr == 1u << i;
        for (uint32_t j = 0; j < i; j++)
            must(partition->replicas[i] != partition->replicas[j]);
        if (is_isr) must_that(broker != NULL && !broker->is_fenced, "%s/%u: ISR has a broker that is not there", topic->name, number);
        if (broker == NULL) must(((partition->elr | partition->last_known_elr) >> i & 1) == 0);
        must(broker == NULL || !broker->is_witness);
        if (partition->replicas[i] == partition->leader) is_leader_in_isr = is_isr;
        /* nobody leads only where nobody may */
        if (partition->leader == IMAGE_NO_LEADER && model_is_usable(broker) && !is_quorum(topic))
            must_that(!is_complete && !is_last, "%s/%u: nobody leads, and broker %d could", topic->name, number, partition->replicas[i]);
    }
    must(is_leader_in_isr);
}

/* ---- what became of it ---- */

static bool names(const struct image_partition *partition, uint32_t mask, int32_t node_id)
{
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        if (partition->replicas[i] == node_id) return mask >> i & 1;
    }
    return false;
}

/* Whoever is elected was complete, or the loss is on record. */
static void check_election(const struct image *image, const struct image_topic *topic, const struct image_partition *old,
                           const struct image_partition *now, uint32_t number)
{
    const struct image_election *election = image_election(image, &topic->topic_id, number);
    bool was_complete = names(old, old->isr | old->elr, now->leader);

    must(now->leader_epoch > old->leader_epoch);
    must_that(election != NULL, "%s/%u: a change of leader that nobody explains", topic->name, number);
    must(election->leader == now->leader && election->leader_epoch == now->leader_epoch);
    must(election->index == image_applied_index(image));
    must(election->candidate_count == now->replica_count);
    if (now->leader == IMAGE_NO_LEADER) return;
    if (election->reason == IMAGE_ELECTION_UNCLEAN)
        must(now->reset_epoch == old->reset_epoch + 1);
    else
        must_that(was_complete || election->reason == IMAGE_ELECTION_MOVED, "%s/%u: broker %d leads, was not complete, and nobody says so", topic->name,
                  number, now->leader); /* MOVED: it joined the ISR in the same entry */
    if (is_quorum(topic)) must(election->reason == IMAGE_ELECTION_SEALED || election->reason == IMAGE_ELECTION_UNCLEAN);
}

static bool same_replicas(const struct image_partition *a, const struct image_partition *b)
{
    return a->replica_count == b->replica_count && memcmp(a->replicas, b->replicas, a->replica_count * sizeof(int32_t)) == 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void check_move(const struct image_topic *topic, const struct image_partition *old, const struct image_partition *now)
{
    uint32_t min = image_min_insync(topic, image_partition_factor(now));

    if (same_replicas(old, now)) return;
    must_that(bits_in(now->isr) >= least(least(min, now->replica_count), bits_in(old->isr)), "%s: a move left %u in sync of %u", topic->name,
              bits_in(now->isr), bits_in(old->isr));
    if (old->isr != 0 || old->elr != 0) must((now->isr | now->elr) != 0);
    for (uint32_t i = 0; i < now->replica_count; i++) {
        for (uint32_t j = 0; j < old->replica_count; j++) {
            if (old->replicas[j] == now->replicas[i]) must(image_partition_generation(now, i) >= image_partition_generation(old, j));
        }
    }
}

static void check_step(const struct image *before, const struct image *image, const struct image_topic *topic, uint32_t number,
                       const struct image_partition *now, struct model_seen *seen)
{
    const struct image_topic *old_topic = image_find_topic(before, &topic->topic_id);
    struct image_partition old;

    if (old_topic == NULL || !image_topic_partition(old_topic, number, &old)) return;
    must(now->leader_epoch >= old.leader_epoch && now->partition_epoch >= old.partition_epoch && now->reset_epoch >= old.reset_epoch);
    if (now->isr != old.isr || now->elr != old.elr || now->leader_epoch != old.leader_epoch || now->adding != old.adding)
        must(now->partition_epoch > old.partition_epoch);
    check_move(topic, &old, now);
    seen->moves_begun += (old.adding | old.removing) == 0 && (now->adding | now->removing) != 0;
    seen->moves_ended += (old.adding | old.removing) != 0 && (now->adding | now->removing) == 0;
    seen->losses += now->reset_epoch > old.reset_epoch;
    seen->seals += now->is_sealing && !old.is_sealing;
    if (now->leader == old.leader && now->reset_epoch == old.reset_epoch) return;
    check_election(image, topic, &old, now, number);
    seen->elections++;
}

/* ---- all ---- */

static void check_brokers(const struct image *image)
{
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        if (i > 0) must(broker->node_id > image_broker_at(image, i - 1)->node_id);
        must(image_find_retired(image, &broker->broker_id) == NULL);
        must(broker->epoch <= image_applied_index(image));
        if (broker->is_fenced) must(image_leader_count(image, broker->node_id) == 0);
    }
}

void model_check(const struct image *before, const struct image *image, struct model_seen *seen)
{
    const struct image_topic **topics;
    struct image_partition partition;
    uint64_t led = 0, counted = 0;
    size_t count;

    ck_assert_int_eq(image_topics_by_name(image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; image_topic_partition(topics[i], j, &partition); j++) {
            check_masks(topics[i], &partition);
            check_replicas(image, topics[i], j, &partition);
            check_step(before, image, topics[i], j, &partition, seen);
            led += partition.leader != IMAGE_NO_LEADER;
            seen->leaderless += partition.leader == IMAGE_NO_LEADER;
        }
    }
    free(topics);
    check_brokers(image);
    for (size_t i = 0; i < image_broker_count(image); i++)
        counted += image_leader_count(image, image_broker_at(image, i)->node_id);
    must(led == counted);
}
