/* coordinator/decide_leader.c - decisions about the leadership of living brokers: on request, and gently back to where it was placed. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/elector.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/leader_walk.h"
#include "replication/coordinator/partition_rules.h"

#include <stdlib.h>

#define BALANCE_QUIET_US    (5ull * 60 * 1000000)
#define BALANCE_WINDOW_US   (60ull * 1000000)
#define BALANCE_START       10 /* percent of what was placed on a broker and is led by others */
#define BALANCE_STOP        5
#define BALANCE_PER_WINDOW  5  /* percent of all partitions */
#define BALANCE_HEALTH_MIN  8  /* of 10 */

/* ---- on request ---- */

int decide_elect_leader(const struct image *image, const struct uuid *topic_id, uint32_t partition, const struct decide_facts *facts,
                        struct decision *decision)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);
    struct changes changes = {.decision = decision};
    struct body_partition state;
    struct elector elector;
    int32_t best;
    int err;

    if (topic == NULL || partition >= topic->partition_count)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such partition");
    err = elector_init(&elector, image, facts);
    if (err != 0) return err;
    image_pages_load(topic->pages, partition, &state);
    best = elector_best(&elector, topic_id, &state);
    if (best == IMAGE_NO_LEADER || state.is_sealing)
        err = decision_refuse(decision, MESH_ENOT_ENOUGH_REPLICAS,
                              state.is_sealing ? "%s/%u waits for a majority of its replicas to report"
                                               : "no complete replica of %s/%u is on a broker that is up",
                              topic->name, partition);
    if (err == 0 && best != state.leader) {
        rules_elect(&elector, topic, &state, IMAGE_ELECTION_ASKED);
        rules_settle(topic, &state);
        err = changes_put(&changes, topic, &state);
        if (err == 0) err = changes_end(&changes);
    }
    elector_deinit(&elector);
    return err;
}

int decide_prefer_leader(const struct image *image, const struct uuid *topic_id, uint32_t partition, const struct decide_facts *facts,
                         struct decision *decision)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);
    struct changes changes = {.decision = decision};
    struct body_partition state;
    struct elector elector;
    int err;

    if (topic == NULL || partition >= topic->partition_count)
        return decision_refuse(decision, MESH_EUNKNOWN_TOPIC, "there is no such partition");
    image_pages_load(topic->pages, partition, &state);
    if (state.leader == state.replicas[0]) return 0;
    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM)
        return decision_refuse(decision, MESH_EUNSUPPORTED, "with mode=quorum the replica with the longest log leads, wherever it is");
    err = elector_init(&elector, image, facts);
    if (err != 0) return err;
    if ((state.isr & 1) == 0 || !elector_is_usable(elector_find(&elector, state.replicas[0])))
        err = decision_refuse(decision, MESH_ENOT_ENOUGH_REPLICAS, "the first replica of %s/%u, on broker %d, is not in sync, or not up", topic->name,
                              partition, state.replicas[0]);
    if (err == 0) {
        elector_appoint(&elector, topic_id, &state, state.replicas[0], IMAGE_ELECTION_ASKED);
        rules_settle(topic, &state);
        err = changes_put(&changes, topic, &state);
        if (err == 0) err = changes_end(&changes);
    }
    elector_deinit(&elector);
    return err;
}

/* ---- back to where it was placed ---- */

/* Of one broker: partitions placed on it that it could lead now, and how many of them others lead. */
struct owed {
    uint64_t placed, led_by_others;
};

struct balance_walk {
    struct elector *elector;
    struct owed *owed; /* parallel to elector->brokers */
    uint64_t budget;   /* partitions that may move still */
    struct decision *decision;
    uint64_t moved_count;
};

/* The broker that the partition was placed on, if leadership could go (back) there; otherwise NULL. Not while the partition moves: its
 * first replica may be a new one, and the end of the move seeks a leader where it has to. */
static struct elector_broker *placed_on(const struct elector *elector, const struct image_partition *partition)
{
    bool is_candidate = (partition->isr & 1) != 0 && (partition->adding | partition->removing) == 0;
    struct elector_broker *broker = is_candidate ? elector_find(elector, partition->replicas[0]) : NULL;

    return partition->leader != IMAGE_NO_LEADER && elector_is_usable(broker) && broker->health >= BALANCE_HEALTH_MIN ? broker : NULL;
}

static int count_owed(void *user, const struct image_topic *topic)
{
    struct balance_walk *walk = user;
    struct image_partition partition;

    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM) return 0; /* its leaders stay: each change of one costs a seal */
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        const struct elector_broker *broker = placed_on(walk->elector, &partition);
        if (broker == NULL) continue;
        walk->owed[broker - walk->elector->brokers].placed++;
        walk->owed[broker - walk->elector->brokers].led_by_others += partition.leader != broker->node_id;
    }
    return 0;
}

static bool is_beyond(const struct owed *owed, uint32_t percent)
{
    return owed->led_by_others * 100 > owed->placed * percent;
}

static bool is_overloaded(const struct elector *elector, const struct elector_broker *broker)
{
    uint64_t brokers = elector->data_count == 0 ? 1 : elector->data_count;

    return broker->leaders * brokers > 2 * elector->leaders_total + brokers ||
           (elector->bytes_total != 0 && broker->bytes_per_s * brokers > 2 * elector->bytes_total);
}

/* Whether this partition's leadership goes back now. */
static struct elector_broker *target_of(struct balance_walk *walk, const struct image_partition *partition)
{
    struct elector_broker *broker = placed_on(walk->elector, partition);
    struct owed *owed = broker == NULL ? NULL : &walk->owed[broker - walk->elector->brokers];

    if (broker == NULL || broker->node_id == partition->leader || walk->budget == 0) return NULL;
    if (!is_beyond(owed, BALANCE_STOP) || is_overloaded(walk->elector, broker)) return NULL;
    owed->led_by_others--;
    walk->budget--;
    return broker;
}

static int move_topic(void *user, const struct image_topic *topic)
{
    struct balance_walk *walk = user;
    struct changes changes = {.decision = walk->decision};
    struct image_partition now;
    struct body_partition state;
    int err = 0;

    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM) return 0;
    for (uint32_t i = 0; err == 0 && image_topic_partition(topic, i, &now); i++) {
        const struct elector_broker *broker = target_of(walk, &now);
        if (broker == NULL) continue;
        image_pages_load(topic->pages, i, &state);
        elector_appoint(walk->elector, &topic->topic_id, &state, broker->node_id, IMAGE_ELECTION_BALANCED);
        err = changes_put(&changes, topic, &state);
        walk->moved_count++;
    }
    return err != 0 ? err : changes_end(&changes);
}

void balance_reset(struct balance *balance)
{
    *balance = (struct balance)BALANCE_INIT;
}

/* Moves the clockwork on; true: leadership may move now. */
static bool is_time(struct balance *balance, const struct balance_walk *walk, uint64_t now_us)
{
    bool is_beyond_start = false, is_beyond_stop = false;

    for (size_t i = 0; i < walk->elector->count; i++) {
        is_beyond_start |= is_beyond(&walk->owed[i], BALANCE_START);
        is_beyond_stop |= is_beyond(&walk->owed[i], BALANCE_STOP);
    }
    if (balance->is_moving && is_beyond_stop) return true;
    balance->is_moving = false;
    if (!is_beyond_start) {
        balance->imbalanced_us = 0;
        return false;
    }
    if (balance->imbalanced_us == 0) balance->imbalanced_us = now_us;
    if (now_us - balance->imbalanced_us < BALANCE_QUIET_US) return false;
    balance->is_moving = true;
    return true;
}

/* Partitions that may still move in the minute of now. */
static uint64_t budget_of(struct balance *balance, const struct image *image, uint64_t now_us)
{
    uint64_t all = (image_partition_count(image) * BALANCE_PER_WINDOW + 99) / 100;

    if (balance->window_us == 0 || now_us - balance->window_us >= BALANCE_WINDOW_US) {
        balance->window_us = now_us;
        balance->moved_count = 0;
    }
    return all > balance->moved_count ? all - balance->moved_count : 0;
}

int decide_balance(const struct image *image, struct balance *balance, const struct decide_facts *facts, uint64_t now_us,
                   struct decision *decision)
{
    struct elector elector;
    struct balance_walk walk = {.elector = &elector, .decision = decision};
    int err = elector_init(&elector, image, facts);

    if (err != 0) return err;
    walk.owed = calloc(elector.count == 0 ? 1 : elector.count, sizeof(walk.owed[0]));
    if (walk.owed == NULL) err = MESH_ENOMEM;
    if (err == 0) err = image_each_topic(image, count_owed, &walk);
    if (err == 0 && is_time(balance, &walk, now_us)) {
        walk.budget = budget_of(balance, image, now_us);
        if (walk.budget != 0) err = image_each_topic(image, move_topic, &walk);
        if (err == 0) balance->moved_count += (uint32_t)walk.moved_count;
    }
    free(walk.owed);
    elector_deinit(&elector);
    return err;
}
