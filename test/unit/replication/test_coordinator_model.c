/* Any sequence of decisions keeps the rules: brokers come, fall silent, return, restart, drain and go; topics are made, grown and
 * deleted; ISRs grow. After each commit every partition is looked at, and compared with what it was before. */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/coordinator/record_body.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS       600
#define BROKERS_MAX 10

static struct history *history;
static struct uuid ids[BROKERS_MAX];
static uint64_t boots[BROKERS_MAX];
static size_t id_count;
static uint64_t now_us, sequence, elections_seen, leaderless_seen, refused_seen;
static struct balance balance;

/* ---- what must hold ---- */

static const struct image_broker *broker_of(const struct image *image, int32_t node_id)
{
    return image_find_broker(image, node_id);
}

static bool is_usable(const struct image_broker *broker)
{
    return broker != NULL && !broker->is_fenced && !broker->is_draining && !broker->is_witness;
}

static uint32_t bits_in(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static void check_partition(const struct image *image, const struct image_topic *topic, uint32_t number,
                            const struct image_partition *partition)
{
    uint32_t all = (1u << partition->replica_count) - 1, min = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_MIN_INSYNC);
    bool is_leader_in_isr = partition->leader == IMAGE_NO_LEADER;

    if (min > partition->replica_count) min = partition->replica_count;
    ck_assert_uint_eq((partition->isr | partition->elr | partition->last_known_elr) & ~all, 0);
    ck_assert_uint_eq(partition->isr & partition->elr, 0);
    ck_assert_uint_eq((partition->isr | partition->elr) & partition->last_known_elr, 0);
    if (bits_in(partition->isr) >= min) ck_assert_uint_eq(partition->elr | partition->last_known_elr, 0);
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        const struct image_broker *broker = broker_of(image, partition->replicas[i]);
        bool is_isr = partition->isr >> i & 1;
        for (uint32_t j = 0; j < i; j++)
            ck_assert_int_ne(partition->replicas[i], partition->replicas[j]);
        if (is_isr) ck_assert_msg(broker != NULL && !broker->is_fenced, "%s/%u: ISR has a broker that is not there", topic->name, number);
        if (broker == NULL) ck_assert_uint_eq((partition->elr | partition->last_known_elr) >> i & 1, 0);
        if (broker != NULL) ck_assert(!broker->is_witness);
        if (partition->replicas[i] == partition->leader) is_leader_in_isr = is_isr;
        /* nobody leads only where nobody may */
        if (partition->leader == IMAGE_NO_LEADER && is_usable(broker)) ck_assert_uint_eq((partition->isr | partition->elr) >> i & 1, 0);
    }
    ck_assert(is_leader_in_isr);
    leaderless_seen += partition->leader == IMAGE_NO_LEADER;
}

static void check_step(const struct image *before, const struct image_topic *topic, uint32_t number,
                       const struct image_partition *partition)
{
    const struct image_topic *old_topic = image_find_topic(before, &topic->topic_id);
    const struct image_election *election = image_election(history->image, &topic->topic_id, number);
    struct image_partition old;

    if (old_topic == NULL || !image_topic_partition(old_topic, number, &old)) return;
    ck_assert_int_ge(partition->leader_epoch, old.leader_epoch);
    ck_assert_uint_ge(partition->partition_epoch, old.partition_epoch);
    if (partition->isr != old.isr || partition->elr != old.elr || partition->leader_epoch != old.leader_epoch)
        ck_assert_uint_gt(partition->partition_epoch, old.partition_epoch);
    if (partition->leader == old.leader) return;
    ck_assert_int_gt(partition->leader_epoch, old.leader_epoch);
    ck_assert_ptr_nonnull(election); /* every change of a leader is explained */
    ck_assert_int_eq(election->leader, partition->leader);
    ck_assert_int_eq(election->leader_epoch, partition->leader_epoch);
    ck_assert_uint_eq(election->index, image_applied_index(history->image));
    ck_assert_uint_eq(election->candidate_count, partition->replica_count);
    elections_seen++;
}

static void check_brokers(void)
{
    const struct image *image = history->image;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        if (i > 0) ck_assert_int_gt(broker->node_id, image_broker_at(image, i - 1)->node_id);
        ck_assert_ptr_null(image_find_retired(image, &broker->broker_id));
        ck_assert_uint_le(broker->epoch, image_applied_index(image));
        if (broker->is_fenced) ck_assert_uint_eq(image_leader_count(image, broker->node_id), 0);
    }
}

static void check_all(const struct image *before)
{
    const struct image_topic **topics;
    struct image_partition partition;
    uint64_t led = 0, counted = 0;
    size_t count;

    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; image_topic_partition(topics[i], j, &partition); j++) {
            check_partition(history->image, topics[i], j, &partition);
            check_step(before, topics[i], j, &partition);
            led += partition.leader != IMAGE_NO_LEADER;
        }
    }
    free(topics);
    check_brokers();
    for (size_t i = 0; i < image_broker_count(history->image); i++)
        counted += image_leader_count(history->image, image_broker_at(history->image, i)->node_id);
    ck_assert_uint_eq(led, counted);
}

/* ---- what happens ---- */

static bool flip(int one_in)
{
    return rand() % one_in == 0;
}

static void register_one(size_t i, bool is_witness)
{
    struct decide_broker_register request = {
        .broker_id = ids[i],
        .dir_id = ids[i],
        .boot = boots[i],
        .name = "b",
        .host = "h",
        .zone = i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "",
        .port = 1,
        .shard_count = 1,
        .is_witness = is_witness,
        .starts_fenced = !flip(4),
        .was_unclean = flip(2),
        .has_lost_data = flip(6),
    };
    struct decision decision;

    decision_init(&decision);
    if (decide_broker_register(history->image, &request, &decision) != 0) refused_seen++;
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void change_broker(void)
{
    size_t i = (size_t)rand() % id_count;
    struct decide_broker_retire retire = {.broker_id = ids[i], .accepts_loss = flip(2), .is_alive_ok = flip(2)};
    struct decision decision;
    int err = 0;

    decision_init(&decision);
    switch (rand() % 8) {
    case 0:
    case 1: err = decide_broker_fence(history->image, &ids[i], NULL, &decision); break;
    case 2:
    case 3:
    case 4: err = decide_broker_unfence(history->image, &ids[i], NULL, &decision); break;
    case 5: err = decide_broker_drain(history->image, &ids[i], NULL, &decision); break;
    case 6: err = flip(6) ? decide_broker_retire(history->image, &retire, &decision) : 0; break;
    default: break;
    }
    refused_seen += err != 0;
    if (decision.change_count != 0) balance_reset(&balance);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void come_or_restart(void)
{
    size_t i = (size_t)rand() % id_count;

    if (id_count < BROKERS_MAX && flip(2)) {
        ids[id_count] = history_uuid(history);
        boots[id_count] = 1;
        register_one(id_count, flip(6));
        id_count++;
        return;
    }
    boots[i]++;
    register_one(i, image_find_broker_by_uuid(history->image, &ids[i]) != NULL &&
                        image_find_broker_by_uuid(history->image, &ids[i])->is_witness);
}

static void change_topics(int step)
{
    char name[32];
    struct decide_config configs[] = {{"min.insync", flip(2) ? "2" : "1"}, {"flush", flip(2) ? "async" : "group"}};
    struct decide_topic_create create = {.name = name,
                                         .partition_count = 1 + rand() % 5,
                                         .replication_factor = 2 + rand() % 3,
                                         .configs = configs,
                                         .config_count = 2,
                                         .topic_id = history_uuid(history)};
    struct decide_topic_alter alter = {.name = name, .partition_count = 6};
    struct decision decision;
    int err;

    snprintf(name, sizeof(name), "t%d", rand() % 12);
    decision_init(&decision);
    err = step % 7 == 0   ? decide_topic_delete(history->image, name, &decision)
          : step % 7 == 1 ? decide_topic_alter(history->image, &alter, &decision)
                          : decide_topic_create(history->image, &create, &decision);
    refused_seen += err != 0;
    history_commit(history, &decision);
    decision_deinit(&decision);
}

/* Followers have caught up: what replication asks for. */
static void grow_isrs(void)
{
    const struct image_topic **topics;
    struct image_partition now;
    size_t count;

    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        const struct image_topic *topic = image_find_topic(history->image, &topics[i]->topic_id);
        uint32_t number = (uint32_t)rand() % topic->partition_count;
        struct body_partition next = {.partition = number};
        struct buffer body = BUFFER_INIT;
        struct uuid topic_id = topic->topic_id;
        image_topic_partition(topic, number, &now);
        if (now.leader == IMAGE_NO_LEADER || flip(3)) continue;
        next.leader = now.leader;
        next.leader_epoch = now.leader_epoch;
        next.partition_epoch = now.partition_epoch + 1;
        next.isr = now.isr;
        for (uint32_t j = 0; j < now.replica_count; j++)
            next.isr |= (uint32_t)is_usable(broker_of(history->image, now.replicas[j])) << j;
        if (next.isr == now.isr) continue;
        if (bits_in(next.isr) < (uint32_t)image_topic_config(topic, TOPIC_CONFIG_MIN_INSYNC)) {
            next.elr = now.elr & ~next.isr;
            next.last_known_elr = now.last_known_elr & ~next.isr;
        }
        ck_assert_int_eq(body_encode_partitions(&body, &next, 1), 0);
        ck_assert_int_eq(history_commit_raw(history, METADATA_PARTITIONS_CHANGED, slice_of(topic_id.bytes, UUID_SIZE), buffer_slice(&body)), 0);
        buffer_deinit(&body);
    }
    free(topics);
}

static void elect_or_balance(void)
{
    const struct image_topic *topic;
    char name[32];
    struct decision decision;

    snprintf(name, sizeof(name), "t%d", rand() % 12);
    topic = image_find_topic_by_name(history->image, name);
    decision_init(&decision);
    if (flip(2) && topic != NULL)
        refused_seen += decide_elect_leader(history->image, &topic->topic_id, 0, NULL, &decision) != 0;
    else
        ck_assert_int_eq(decide_balance(history->image, &balance, NULL, now_us += 301ull * 1000000, &decision), 0);
    if (decision.change_count != 0 && flip(2))
        ck_assert_int_eq(decision_add_request(&decision, &ids[0], boots[0], ++sequence, 0, slice_of("ok", 2)), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void assert_equal(const struct image *a, const struct image *b)
{
    struct buffer left = BUFFER_INIT, right = BUFFER_INIT;

    ck_assert_int_eq(image_encode(a, &left), 0);
    ck_assert_int_eq(image_encode(b, &right), 0);
    ck_assert(slice_equal(buffer_slice(&left), buffer_slice(&right)));
    buffer_deinit(&left);
    buffer_deinit(&right);
}

static void check_snapshot(void)
{
    struct buffer bytes = BUFFER_INIT;
    struct image *again;

    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    ck_assert_int_eq(image_decode(buffer_slice(&bytes), &again), 0);
    assert_equal(again, history->image);
    image_unref(again);
    buffer_deinit(&bytes);
}

START_TEST(any_history_keeps_the_rules)
{
    struct image *replayed;

    srand((unsigned)_i * 7919 + 1);
    history = history_new_mesh(0, "");
    balance = (struct balance)BALANCE_INIT;
    ids[0] = history_uuid(history);
    boots[0] = 1;
    id_count = 1;
    register_one(0, false);
    for (int step = 0; step < STEPS; step++) {
        struct image *before = image_ref(history->image);
        switch (rand() % 6) {
        case 0: come_or_restart(); break;
        case 1:
        case 2: change_broker(); break;
        case 3: change_topics(step); break;
        case 4: grow_isrs(); break;
        default: elect_or_balance(); break;
        }
        check_all(before);
        image_unref(before);
        if (step % 40 == 0) check_snapshot();
    }
    ck_assert_int_eq(image_new_empty(&replayed), 0);
    for (size_t i = 0; i < history->entry_count; i++)
        ck_assert_int_eq(image_advance(replayed, &history->entries[i]), 0);
    assert_equal(replayed, history->image);
    image_unref(replayed);
    history_free(history);
    ck_assert_uint_gt(elections_seen, 20); /* the run was about something */
    ck_assert_uint_gt(leaderless_seen, 0);
    ck_assert_uint_gt(refused_seen, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coordinator_model");
    TCase *tcase = tcase_create("coordinator_model");

    tcase_add_loop_test(tcase, any_history_keeps_the_rules, 0, 24);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
