/* Any sequence of decisions keeps the rules: brokers come, fall silent, return, restart, lose disks, drain and go; topics of all modes are made,
 * changed and deleted; leaders change ISRs, replicas lose records and move, leaders are found by reports. After each commit every partition is
 * looked at, and compared with what it was before (coordinator_model.h). In the end all that is left comes back: then every
 * partition has a leader, and every move ends. */
#include "base/error.h"
#include "coordinator_model.h"
#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/groups_topic.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS       1200
#define BROKERS_MAX 10

static struct history *history;
static struct uuid ids[BROKERS_MAX];
static uint64_t boots[BROKERS_MAX];
static size_t id_count;
static uint64_t now_us, sequence, refused_seen;
static struct model_seen seen;
static struct balance balance;
static struct movement movement;

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
        .was_set_back = flip(5),
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
    case 5: err = decide_broker_drain(history->image, &ids[i], false, NULL, &decision); break;
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

static const struct image_topic *any_topic(char name[32])
{
    snprintf(name, 32, "t%d", rand() % 12);
    return image_find_topic_by_name(history->image, name);
}

static int create_topic(const char *name, struct decision *decision)
{
    static const char *const modes[] = {"isr", "isr", "async", "sync-double-write", "quorum"};
    static const char *const uncleans[] = {"manual", "balanced", "proactive"};
    const char *mode = modes[rand() % 5];
    bool is_plain = strcmp(mode, "isr") == 0;
    struct decide_config configs[] = {
        {"mode", mode},
        {"unclean", strcmp(mode, "quorum") == 0 ? "manual" : uncleans[rand() % 3]},
        {"min.insync", flip(2) ? "2" : "1"},
        {"flush", flip(2) ? "async" : "group"},
    };
    struct decide_topic_create create = {.name = name,
                                         .partition_count = 1 + rand() % 5,
                                         .replication_factor = strcmp(mode, "sync-double-write") == 0 ? 2 : 2 + rand() % 3,
                                         .configs = configs,
                                         .config_count = is_plain ? 2 + (size_t)rand() % 3 : 2,
                                         .topic_id = history_uuid(history)};

    return decide_topic_create(history->image, &create, decision);
}

static int alter_topic(const char *name, struct decision *decision)
{
    static const struct decide_config wishes[] = {{"replicas", "1"},   {"replicas", "2"},   {"replicas", "3"},      {"replicas", "4"},
                                                  {"min.insync", "1"}, {"min.insync", "2"}, {"min.insync", "auto"}, {"unclean", "balanced"}};
    struct decide_topic_alter alter = {.name = name, .partition_count = flip(3) ? 6 : 0, .configs = &wishes[rand() % 8], .config_count = 1};

    return decide_topic_alter(history->image, &alter, decision);
}

/* The mesh's own: it may be made, found, and neither altered nor deleted. */
static int change_groups_topic(struct decision *decision)
{
    struct uuid fresh = history_uuid(history), id;
    int err = decide_groups_topic(history->image, &fresh, 3, NULL, decision, &id);
    struct decision refused;

    ck_assert(err != 0 || decision->change_count > 0 || uuid_equal(&id, &image_find_topic_by_name(history->image, GROUPS_TOPIC_NAME)->topic_id));
    decision_init(&refused);
    ck_assert_int_ne(alter_topic(GROUPS_TOPIC_NAME, &refused), 0);
    ck_assert_int_ne(decide_topic_delete(history->image, GROUPS_TOPIC_NAME, &refused), 0);
    ck_assert_uint_eq(refused.change_count, 0);
    decision_deinit(&refused);
    return err;
}

static void change_topics(int step)
{
    char name[32];
    struct decision decision;
    int err;

    any_topic(name);
    decision_init(&decision);
    err = flip(40)        ? change_groups_topic(&decision)
          : step % 7 == 0 ? decide_topic_delete(history->image, name, &decision)
          : flip(3)     ? alter_topic(name, &decision)
                        : create_topic(name, &decision);
    refused_seen += err != 0;
    history_commit(history, &decision);
    decision_deinit(&decision);
}

/* ---- what replication asks for ---- */

static void commit_if(int err, struct decision *decision)
{
    refused_seen += err != 0;
    if (err == 0) history_commit(history, decision);
    decision_deinit(decision);
}

/* The leader's wish: those of the mask, or everybody. Now and then it is a lie. */
static void alter_isr(const struct image_topic *topic, uint32_t number, uint32_t mask, bool is_honest)
{
    struct image_partition now;
    struct decide_member members[IMAGE_REPLICAS_MAX];
    struct decide_isr wish = {.topic_id = topic->topic_id, .partition = number, .members = members};
    struct decide_alter_partitions request = {.partitions = &wish, .count = 1};
    struct decide_result result;
    struct decision decision;

    image_topic_partition(topic, number, &now);
    if (now.leader == IMAGE_NO_LEADER) return;
    wish.leader_epoch = now.leader_epoch - (!is_honest && flip(9));
    wish.partition_epoch = now.partition_epoch - (!is_honest && flip(9));
    request.leader = now.leader;
    request.broker_epoch = image_find_broker(history->image, now.leader)->epoch;
    for (uint32_t i = 0; i < now.replica_count; i++) {
        const struct image_broker *broker = image_find_broker(history->image, now.replicas[i]);
        bool is_there = model_is_usable(broker) || (now.isr >> i & 1);
        if (now.replicas[i] != now.leader && ((mask >> i & 1) == 0 || (!is_there && is_honest))) continue;
        if (now.is_queued && (now.adding >> i & 1) && is_honest) continue;
        members[wish.member_count++] = (struct decide_member){now.replicas[i], broker == NULL ? 1 : broker->epoch - (!is_honest && flip(9)),
                                                              image_partition_generation(&now, i) - (!is_honest && flip(9))};
    }
    decision_init(&decision);
    ck_assert_int_eq(decide_alter_partitions(history->image, &request, NULL, &decision, &result), 0);
    if (is_honest) must_that(result.error == 0, "an honest leader is refused: %s", mesh_error_name(result.error));
    if (result.error != 0) must(decision.change_count == 0);
    commit_if(result.error, &decision);
}

static void lose_replica(const struct image_topic *topic, uint32_t number)
{
    struct decide_lost lost = {topic->topic_id, number, 0};
    struct decide_replicas_lost request = {.replicas = &lost, .count = 1};
    struct image_partition now;
    struct decide_result result;
    struct decision decision;
    const struct image_broker *broker;
    uint32_t at;

    image_topic_partition(topic, number, &now);
    at = (uint32_t)rand() % now.replica_count;
    request.node_id = now.replicas[at];
    lost.generation = image_partition_generation(&now, at);
    broker = image_find_broker(history->image, request.node_id);
    if (broker == NULL) return;
    request.broker_epoch = broker->epoch;
    decision_init(&decision);
    ck_assert_int_eq(decide_replicas_lost(history->image, &request, NULL, &decision, &result), 0);
    commit_if(result.error, &decision);
}

/* Some of those that are up report; all of them when is_whole. */
static void recover(const struct image_topic *topic, uint32_t number, bool is_whole)
{
    struct replica_report reports[IMAGE_REPLICAS_MAX];
    struct decide_recover request = {.topic_id = topic->topic_id, .partition = number, .reports = reports, .is_overdue = flip(2),
                                     .is_asked = is_whole || flip(6)};
    struct image_partition now;
    struct decision decision;
    int err;

    image_topic_partition(topic, number, &now);
    for (uint32_t i = 0; i < now.replica_count; i++) {
        const struct image_broker *broker = image_find_broker(history->image, now.replicas[i]);
        if (broker == NULL || (!is_whole && flip(3))) continue;
        reports[request.report_count++] =
            (struct replica_report){now.replicas[i], broker->epoch - flip(9), now.leader_epoch - flip(9), rand() % 3, rand() % 5};
    }
    decision_init(&decision);
    err = decide_recover(history->image, &request, &decision);
    commit_if(err, &decision);
}

static void move_replicas(const struct image_topic *topic, uint32_t number)
{
    struct decide_move move = {.topic_id = topic->topic_id, .partition = number};
    struct decision decision;
    size_t count = image_broker_count(history->image);

    for (uint32_t wanted = (uint32_t)rand() % 4, first = (uint32_t)rand(); move.count < wanted && move.count < count; move.count++)
        move.replicas[move.count] = image_broker_at(history->image, (first + move.count) % count)->node_id;
    decision_init(&decision);
    commit_if(flip(9) ? decide_topic_balance(history->image, &topic->topic_id, NULL, &decision)
                      : decide_move(history->image, &move, 1, NULL, &decision),
              &decision);
}

/* The coordinator's own look; some of those that are silent count as gone. */
static void look_at_moves(int gone_one_in)
{
    struct decide_broker_facts brokers[BROKERS_MAX + 1];
    struct decide_facts facts = {.brokers = brokers};
    struct decide_moves request = {.movement = &movement, .moves_per_broker = 2, .now_us = now_us += 61ull * 1000000, .facts = &facts};
    struct decision decision;

    for (size_t i = 0; i < image_broker_count(history->image); i++) {
        int32_t node_id = image_broker_at(history->image, i)->node_id;
        if (flip(gone_one_in)) brokers[facts.broker_count++] = (struct decide_broker_facts){.node_id = node_id, .is_gone = true};
    }
    decision_init(&decision);
    commit_if(decide_moves(history->image, &request, &decision), &decision);
}

static void replicate(void)
{
    char name[32];
    const struct image_topic *topic = any_topic(name);
    uint32_t number = topic == NULL ? 0 : (uint32_t)rand() % topic->partition_count;

    if (topic == NULL || flip(4)) {
        look_at_moves(3);
        return;
    }
    switch (rand() % 8) {
    case 0: lose_replica(topic, number); break;
    case 1:
    case 2: move_replicas(topic, number); break;
    case 3: recover(topic, number, false); break;
    case 4: alter_isr(topic, number, (uint32_t)rand(), true); break;
    case 5: alter_isr(topic, number, UINT32_MAX, false); break;
    default: alter_isr(topic, number, UINT32_MAX, true); break;
    }
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

/* ---- peace ---- */

static void everybody_returns(void)
{
    struct decision decision;

    for (size_t i = 0; i < id_count; i++) {
        if (image_find_broker_by_uuid(history->image, &ids[i]) == NULL) continue;
        decision_init(&decision);
        commit_if(decide_broker_unfence(history->image, &ids[i], NULL, &decision), &decision);
    }
}

/* What replication does when all is well: leaders are found, whatever it costs, and whoever follows catches up. */
static void catch_up(void)
{
    const struct image_topic **topics;
    struct image_partition now;
    size_t count;

    ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    for (size_t i = 0; i < count; i++) {
        struct uuid topic_id = topics[i]->topic_id; /* the images of the loop's commits come and go */
        for (uint32_t j = 0; image_topic_partition(image_find_topic(history->image, &topic_id), j, &now); j++) {
            if (now.leader == IMAGE_NO_LEADER) recover(image_find_topic(history->image, &topic_id), j, true);
            alter_isr(image_find_topic(history->image, &topic_id), j, UINT32_MAX, true);
        }
        if (i + 1 == count) break;
        free(topics);
        ck_assert_int_eq(image_topics_by_name(history->image, &topics, &count), 0);
    }
    free(topics);
}

static char unsettled_text[300];

static void describe_unsettled(const struct image_topic *topic, uint32_t number, const struct image_partition *now, size_t usable)
{
    int size = snprintf(unsettled_text, sizeof(unsettled_text), "%s/%u mode %d wanted %d leader %d isr %x elr %x adding %x removing %x%s%s, %zu brokers up:",
                        topic->name, number, (int)image_topic_mode(topic), (int)image_topic_config(topic, TOPIC_CONFIG_REPLICAS), now->leader,
                        now->isr, now->elr, now->adding, now->removing, now->is_queued ? " queued" : "", now->is_sealing ? " sealed" : "", usable);

    for (uint32_t i = 0; i < now->replica_count; i++) {
        bool is_up = model_is_usable(image_find_broker(history->image, now->replicas[i]));
        size += snprintf(unsettled_text + size, sizeof(unsettled_text) - (size_t)size, " %d%s", now->replicas[i], is_up ? "" : "!");
    }
}

/* Partitions that are not as they should be. */
static int count_unsettled(void *user, const struct image_topic *topic)
{
    int64_t wanted = image_topic_config(topic, TOPIC_CONFIG_REPLICAS);
    size_t *count = user, usable = 0;
    struct image_partition now;

    for (size_t i = 0; i < image_broker_count(history->image); i++)
        usable += model_is_usable(image_broker_at(history->image, i));
    for (uint32_t i = 0; image_topic_partition(topic, i, &now); i++) {
        bool is_met = wanted == 0 || now.replica_count == wanted || (wanted > now.replica_count && usable <= now.replica_count);
        bool is_there = false;
        for (uint32_t j = 0; j < now.replica_count; j++)
            is_there |= model_is_usable(image_find_broker(history->image, now.replicas[j]));
        if (!is_there) continue; /* all its brokers were removed */
        if (now.leader != IMAGE_NO_LEADER && (now.adding | now.removing) == 0 && is_met) continue;
        describe_unsettled(topic, i, &now, usable);
        ++*count;
    }
    return 0;
}

static void peace(void)
{
    size_t unsettled = 1;

    everybody_returns();
    for (int round = 0; round < 300 && unsettled != 0; round++) {
        struct image *before = image_ref(history->image);
        catch_up();
        image_unref(before);
        before = image_ref(history->image);
        look_at_moves(INT32_MAX);
        model_check(before, history->image, &seen);
        image_unref(before);
        unsettled = 0;
        image_each_topic(history->image, count_unsettled, &unsettled);
    }
    must_that(unsettled == 0, "%zu partitions do not come to rest, the last one %s", unsettled, unsettled_text);
}

START_TEST(any_history_keeps_the_rules)
{
    struct image *replayed;

    srand((unsigned)_i * 7919 + 1);
    history = history_new_mesh(0, "");
    balance = (struct balance)BALANCE_INIT;
    movement = (struct movement)MOVEMENT_INIT;
    ids[0] = history_uuid(history);
    boots[0] = 1;
    id_count = 1;
    register_one(0, false);
    for (int step = 0; step < STEPS; step++) {
        struct image *before = image_ref(history->image);
        switch (rand() % 7) {
        case 0: come_or_restart(); break;
        case 1: change_broker(); break;
        case 2: change_topics(step); break;
        case 3: elect_or_balance(); break;
        default: replicate(); break;
        }
        model_check(before, history->image, &seen);
        image_unref(before);
        if (step % 100 == 0) check_snapshot();
    }
    peace();
    check_snapshot();
    ck_assert_int_eq(image_new_empty(&replayed), 0);
    for (size_t i = 0; i < history->entry_count; i++)
        ck_assert_int_eq(image_advance(replayed, &history->entries[i]), 0);
    assert_equal(replayed, history->image);
    image_unref(replayed);
    history_free(history);
    ck_assert_uint_gt(seen.elections, 20); /* the run was about something */
    ck_assert_uint_gt(seen.leaderless, 0);
    ck_assert_uint_gt(seen.moves_ended, 0);
    ck_assert_uint_gt(refused_seen, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coordinator_model");
    TCase *tcase = tcase_create("coordinator_model");

    tcase_add_loop_test(tcase, any_history_keeps_the_rules, 0, 60);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
