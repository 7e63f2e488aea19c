/* The coordinator's decisions: what each request answers, and in which words. */
#include "base/error.h"
#include "metadata_history.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/placement.h"
#include "replication/coordinator/replica_facts.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <time.h>

/* A mesh of two brokers with topic "orders" (4 partitions, 2 replicas). */
static struct history *small_mesh(void)
{
    struct history *history = history_new_mesh(2, "");

    history_create_topic(history, "orders", 4, 2);
    return history;
}

static const struct {
    const char *name;
    int32_t partitions, replicas;
    const char *key, *value; /* NULL: no config */
    int want;
    const char *said;
} create_cases[] = {
    {"new", 1, 1, NULL, NULL, 0, NULL},
    {"new", 100000, 1, NULL, NULL, 0, NULL},
    {"new", 0, 0, NULL, NULL, 0, NULL},
    {"new", -1, -1, NULL, NULL, 0, NULL},
    {"new", 3, 2, "retention.ms", "1d", 0, NULL},
    {"new", 3, 2, "min.insync", "2", 0, NULL},
    {"orders.", 1, 1, NULL, NULL, 0, NULL},
    {"order_s", 1, 1, NULL, NULL, 0, NULL},
    {"orders", 1, 1, NULL, NULL, MESH_ETOPIC_EXISTS, "\"orders\" exists already"},
    {"Orders", 1, 1, NULL, NULL, MESH_ETOPIC_EXISTS, "topic \"orders\" exists; names that differ only"},
    {"", 1, 1, NULL, NULL, MESH_EINVALID_TOPIC, "needs a name"},
    {"..", 1, 1, NULL, NULL, MESH_EINVALID_TOPIC, "cannot be"},
    {"a/b", 1, 1, NULL, NULL, MESH_EINVALID_TOPIC, "not allowed"},
    {"__mesh_groups", 1, 1, NULL, NULL, MESH_EINVALID_TOPIC, "the mesh's own"},
    {"new", -2, 1, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000 partitions, not -2"},
    {"new", 100001, 1, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000"},
    {"new", INT32_MAX, 1, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000"},
    {"new", INT32_MIN, 1, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000"},
    {"new", 1, 17, NULL, NULL, MESH_EINVALID_REPLICATION, "at most 16"},
    {"new", 1, -2, NULL, NULL, MESH_EINVALID_REPLICATION, "at least 1"},
    {"new", 1, 1, "retenton.ms", "1d", MESH_EINVALID_CONFIG, "did you mean \"retention.ms\"?"},
    {"new", 1, 1, "retention.ms", "soon", MESH_EINVALID_CONFIG, "retention.ms=soon"},
    {"new", 1, 1, "cleanup.policy", "compact", MESH_EINVALID_CONFIG, "allowed: delete"},
    {"new", 1, 1, "min.insync", "2", MESH_EINVALID_CONFIG, "cannot be met by 1 replica"},
};

START_TEST(creating_a_topic_is_answered)
{
    struct history *history = small_mesh();
    struct decide_config config = {create_cases[_i].key, create_cases[_i].value};
    struct decide_topic_create request = {
        .name = create_cases[_i].name,
        .partition_count = create_cases[_i].partitions,
        .replication_factor = create_cases[_i].replicas,
        .configs = &config,
        .config_count = config.key == NULL ? 0 : 1,
        .topic_id = history_uuid(history),
        .partition_count_default = 6,
        .replication_factor_default = 3,
    };
    struct decision decision;
    struct image_partition partition;
    const struct image_topic *topic;
    int err;

    decision_init(&decision);
    err = decide_topic_create(history->image, &request, &decision);
    ck_assert_msg(err == create_cases[_i].want, "%s: %s", mesh_error_name(err), decision.message);
    if (err == 0) {
        history_commit(history, &decision);
        topic = image_find_topic(history->image, &request.topic_id);
        ck_assert_ptr_nonnull(topic);
        ck_assert_uint_eq(topic->partition_count,
                          request.partition_count < 1 ? 6u : (uint32_t)request.partition_count);
        ck_assert(image_topic_partition(topic, 0, &partition));
        ck_assert_uint_eq(partition.replica_count,
                          request.replication_factor < 1 ? 2u : (uint32_t)request.replication_factor);
        ck_assert_int_eq(partition.leader, partition.replicas[0]);
        ck_assert_uint_eq(partition.isr, (1u << partition.replica_count) - 1);
    } else {
        ck_assert_uint_eq(decision.change_count, 0);
        ck_assert_msg(strstr(decision.message, create_cases[_i].said) != NULL, "%s", decision.message);
    }
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_config_given_twice_is_refused_and_defaults_of_the_broker_are_recorded)
{
    struct history *history = small_mesh();
    struct decide_config defaults[] = {{"retention.ms", "2d"}, {"flush", "async"}};
    struct decide_config configs[] = {{"retention.ms", "1d"}, {"retention.ms", "1d"}};
    struct decide_topic_create request = {
        .name = "new",
        .partition_count = 1,
        .replication_factor = 1,
        .configs = configs,
        .config_count = 2,
        .config_defaults = defaults,
        .config_default_count = 2,
        .topic_id = history_uuid(history),
    };
    struct decision decision;
    const struct image_topic *topic;

    decision_init(&decision);
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), MESH_EINVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(decision.message, "retention.ms is given twice"));
    request.config_count = 1;
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    topic = image_find_topic_by_name(history->image, "new");
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_RETENTION_MS), 86400000);
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_FLUSH), TOPIC_FLUSH_ASYNC);
    ck_assert_uint_eq(topic->config_count, 2);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(the_topic_of_groups_works_on_a_mesh_of_one_and_is_found_the_second_time)
{
    struct history *history = history_new_mesh(1, "");
    struct uuid first = history_uuid(history), second = history_uuid(history), id;
    struct replica_problem problems[REPLICA_PROBLEMS_MAX];
    const struct image_topic *topic;
    struct image_partition partition;
    struct replica_facts facts;
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_groups_topic(history->image, &first, GROUPS_TOPIC_PARTITIONS, NULL, &decision, &id), 0);
    ck_assert(uuid_equal(&id, &first));
    history_commit(history, &decision);
    decision_deinit(&decision);
    topic = image_find_topic_by_name(history->image, GROUPS_TOPIC_NAME);
    ck_assert_uint_eq(topic->partition_count, GROUPS_TOPIC_PARTITIONS);
    ck_assert(image_topic_partition(topic, 63, &partition));
    ck_assert_uint_eq(partition.replica_count, 1);
    ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_REPLICAS), GROUPS_TOPIC_REPLICAS); /* as brokers come */
    ck_assert_uint_eq(image_min_insync(topic, image_partition_factor(&partition)), 1);         /* and until then one is enough */
    ck_assert_uint_eq(image_min_insync(topic, 3), 2);
    replica_facts_collect(history->image, &facts);
    ck_assert_uint_eq(replica_problems(&facts, problems), 0); /* nobody misses anything */
    ck_assert_uint_eq(groups_topic_others(history->image), 0);
    ck_assert_uint_eq(groups_topic_other_partitions(history->image), 0);
    decision_init(&decision);
    ck_assert_int_eq(decide_groups_topic(history->image, &second, GROUPS_TOPIC_PARTITIONS, NULL, &decision, &id), 0);
    ck_assert(uuid_equal(&id, &first));
    ck_assert_uint_eq(decision.change_count, 0);
    ck_assert_int_eq(decide_topic_delete(history->image, GROUPS_TOPIC_NAME, &decision), MESH_EINVALID_TOPIC);
    ck_assert_uint_eq(decision.change_count, 0);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_mesh_without_brokers_says_so)
{
    struct history *history = history_new_mesh(0, "");
    struct decide_topic_create request = {.name = "t",
                                          .topic_id = history_uuid(history),
                                          .partition_count_default = 1,
                                          .replication_factor_default = 1};
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), MESH_EINVALID_REPLICATION);
    ck_assert_ptr_nonnull(strstr(decision.message, "no broker is up"));
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

static const struct {
    const char *name;
    int32_t partitions;
    const char *key, *value, *removed;
    int want;
    const char *said;
    size_t changes;
} alter_cases[] = {
    {"orders", 8, NULL, NULL, NULL, 0, NULL, 1},
    {"orders", 4, NULL, NULL, NULL, 0, NULL, 0},
    {"orders", 0, NULL, NULL, NULL, 0, NULL, 0},
    {"orders", 0, "flush", "async", NULL, 0, NULL, 1},
    {"orders", 0, NULL, NULL, "flush", 0, NULL, 0},
    {"orders", 0, "flush", "async", "flush", 0, NULL, 1},
    {"orders", 100000, "flush", "async", "retention.ms", 0, NULL, 1},
    {"orders", 3, NULL, NULL, NULL, MESH_EINVALID_PARTITIONS, "can only grow", 0},
    {"orders", -1, NULL, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000", 0},
    {"orders", 100001, NULL, NULL, NULL, MESH_EINVALID_PARTITIONS, "1 to 100000", 0},
    {"orders", 0, "flsh", "async", NULL, MESH_EINVALID_CONFIG, "did you mean \"flush\"", 0},
    {"orders", 0, "min.insync", "3", NULL, MESH_EINVALID_CONFIG, "cannot be met by 2 replicas", 0},
    {"orders", 0, NULL, NULL, "flsh", MESH_EINVALID_CONFIG, "did you mean \"flush\"", 0},
    {"nothing", 5, NULL, NULL, NULL, MESH_EUNKNOWN_TOPIC, "there is no topic \"nothing\"", 0},
    {"ORDERS", 5, NULL, NULL, NULL, MESH_EUNKNOWN_TOPIC, "there is \"orders\"", 0},
    {"a\nb", 5, NULL, NULL, NULL, MESH_EUNKNOWN_TOPIC, "character 2", 0},
};

START_TEST(altering_a_topic_is_answered)
{
    struct history *history = small_mesh();
    struct decide_config config = {alter_cases[_i].key, alter_cases[_i].value};
    const char *removed[] = {alter_cases[_i].removed};
    struct decide_topic_alter request = {
        .name = alter_cases[_i].name,
        .partition_count = alter_cases[_i].partitions,
        .configs = &config,
        .config_count = config.key == NULL ? 0 : 1,
        .removed_keys = removed,
        .removed_key_count = removed[0] == NULL ? 0 : 1,
    };
    struct decision decision;
    struct image_partition partition;
    const struct image_topic *topic;
    int err;

    decision_init(&decision);
    err = decide_topic_alter(history->image, &request, &decision);
    ck_assert_msg(err == alter_cases[_i].want, "%s: %s", mesh_error_name(err), decision.message);
    ck_assert_uint_eq(decision.change_count, alter_cases[_i].changes);
    if (err != 0) {
        ck_assert_msg(strstr(decision.message, alter_cases[_i].said) != NULL, "%s", decision.message);
    } else {
        history_commit(history, &decision);
        topic = image_find_topic_by_name(history->image, "orders");
        ck_assert_uint_eq(topic->partition_count,
                          request.partition_count == 0 ? 4u : (uint32_t)request.partition_count);
        ck_assert(image_topic_partition(topic, topic->partition_count - 1, &partition));
        ck_assert_uint_eq(partition.replica_count, 2);
        ck_assert_int_eq(image_topic_config(topic, TOPIC_CONFIG_FLUSH),
                         config.key == NULL ? TOPIC_FLUSH_GROUP : TOPIC_FLUSH_ASYNC);
    }
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(the_first_replica_leads_when_it_is_asked_for)
{
    struct history *history = small_mesh();
    struct uuid orders = image_find_topic_by_name(history->image, "orders")->topic_id, first;
    struct image_partition partition;
    struct decision decision;

    decision_init(&decision);
    ck_assert(image_topic_partition(image_find_topic(history->image, &orders), 0, &partition));
    first = image_find_broker(history->image, partition.replicas[0])->broker_id;
    ck_assert_int_eq(decide_prefer_leader(history->image, &orders, 7, NULL, &decision), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(decide_prefer_leader(history->image, &orders, 0, NULL, &decision), 0);
    ck_assert_uint_eq(decision.change_count, 0); /* it leads already */
    ck_assert_int_eq(decide_broker_fence(history->image, &first, NULL, &decision), 0);
    history_commit(history, &decision);
    ck_assert(image_topic_partition(image_find_topic(history->image, &orders), 0, &partition));
    ck_assert_int_ne(partition.leader, partition.replicas[0]);
    ck_assert_int_eq(decide_prefer_leader(history->image, &orders, 0, NULL, &decision), MESH_ENOT_ENOUGH_REPLICAS);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_topic_is_deleted_once_and_its_name_is_free_again)
{
    struct history *history = small_mesh();
    struct uuid old = image_find_topic_by_name(history->image, "orders")->topic_id;
    struct decision decision;
    const struct image_topic *topic;

    decision_init(&decision);
    ck_assert_int_eq(decide_topic_delete(history->image, "ORDERS", &decision), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(decide_topic_delete(history->image, "orders", &decision), 0);
    history_commit(history, &decision);
    ck_assert_ptr_null(image_find_topic_by_name(history->image, "orders"));
    ck_assert_ptr_null(image_find_topic(history->image, &old));
    ck_assert(image_topic_was_deleted(history->image, &old));
    ck_assert_uint_eq(image_partition_count(history->image), 0);
    ck_assert_uint_eq(image_replica_count(history->image, 1), 0);
    ck_assert_int_eq(decide_topic_delete(history->image, "orders", &decision), MESH_EUNKNOWN_TOPIC);
    topic = history_create_topic(history, "Orders", 1, 1);
    ck_assert(!uuid_equal(&topic->topic_id, &old));
    ck_assert_int_eq(decide_topic_delete_id(history->image, &old, &decision), MESH_EUNKNOWN_TOPIC); /* not the one that bears its name now */
    old = topic->topic_id;
    ck_assert_int_eq(decide_topic_delete_id(history->image, &old, &decision), 0);
    history_commit(history, &decision);
    ck_assert_ptr_null(image_find_topic(history->image, &old));
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

static const struct {
    const char *name, *host, *zone;
    uint16_t port;
    uint32_t shards;
    uint64_t boot;
    int want;
    const char *said;
} register_cases[] = {
    {"b", "h", "", 9092, 2, 5, 0, NULL},
    {"b", "h", "z", 1, 65535, 6, 0, NULL},
    {"", "h", "", 9092, 2, 5, MESH_EINVAL, "needs a name"},
    {"b", "", "", 9092, 2, 5, MESH_EINVAL, "needs a name"},
    {"b", "h", "", 0, 2, 5, MESH_EINVAL, "port"},
    {"b", "h", "", 9092, 0, 5, MESH_EINVAL, "shards"},
    {"b", "h", "", 9092, 65536, 5, MESH_EINVAL, "shards"},
    {"b", "h", "", 9092, 2, 4, MESH_EINVAL, "restored from a copy"},
};

START_TEST(registering_a_broker_is_answered)
{
    struct history *history = history_new_mesh(1, "");
    struct decide_broker_register request = {
        .broker_id = history_uuid(history),
        .boot = register_cases[_i].boot,
        .name = register_cases[_i].name,
        .host = register_cases[_i].host,
        .zone = register_cases[_i].zone,
        .port = register_cases[_i].port,
        .shard_count = register_cases[_i].shards,
    };
    struct decision decision;
    int err;

    history_register_broker(history, &request.broker_id, 5, "");
    decision_init(&decision);
    err = decide_broker_register(history->image, &request, &decision);
    ck_assert_msg(err == register_cases[_i].want, "%s: %s", mesh_error_name(err), decision.message);
    if (err != 0)
        ck_assert_msg(strstr(decision.message, register_cases[_i].said) != NULL, "%s", decision.message);
    history_commit(history, &decision);
    ck_assert_int_eq(image_find_broker_by_uuid(history->image, &request.broker_id)->node_id, 2);
    ck_assert_uint_eq(image_broker_count(history->image), 2);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_long_text_of_a_broker_is_refused)
{
    struct history *history = history_new_mesh(0, "");
    char text[257];
    struct decide_broker_register request = {.broker_id = history_uuid(history),
                                             .boot = 1,
                                             .name = text,
                                             .host = "h",
                                             .zone = "",
                                             .port = 1,
                                             .shard_count = 1};
    struct decision decision;

    memset(text, 'n', sizeof(text));
    text[256] = '\0';
    decision_init(&decision);
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), MESH_EINVAL);
    text[255] = '\0';
    ck_assert_int_eq(decide_broker_register(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(producer_ids_never_repeat)
{
    struct history *history = history_new_mesh(1, "");
    struct decision decision;
    int64_t first = image_next_producer_id(history->image);

    decision_init(&decision);
    ck_assert_int_eq(decide_producer_ids(history->image, 1, 0, &decision), MESH_EINVAL);
    ck_assert_int_eq(decide_producer_ids(history->image, 1, 1000001, &decision), MESH_EINVAL);
    ck_assert_int_eq(decide_producer_ids(history->image, 1, 1000, &decision), 0);
    history_commit(history, &decision);
    ck_assert_int_eq(image_next_producer_id(history->image), first + 1000);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(a_mesh_is_founded_once)
{
    struct history *history = history_new_mesh(0, "");
    struct uuid uuid = history_uuid(history);
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_cluster_create(history->image, &uuid, &decision), MESH_EEXISTS);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(ten_thousand_partitions_are_created_at_once)
{
    struct history *history = history_new_mesh(1, "");
    struct timespec start, end;
    const struct image_topic *topic;

    clock_gettime(CLOCK_MONOTONIC, &start);
    topic = history_create_topic(history, "wide", 10000, 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_uint_eq(topic->partition_count, 10000);
    ck_assert_uint_eq(image_replica_count(history->image, 1), 10000);
    ck_assert_int_lt((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000, 500);
    ck_assert_uint_lt(history->entries[history->entry_count - 1].body.size,
                      64); /* equal partitions are one run */
    history_free(history);
}
END_TEST

START_TEST(a_broker_hosts_200000_partitions_and_no_more)
{
    struct history *history = history_new_mesh(1, "");
    struct decide_topic_create request = {
        .name = "c", .partition_count = 1, .replication_factor = 1, .topic_id = history_uuid(history)};
    struct decision decision;

    history_create_topic(history, "a", 100000, 1);
    history_create_topic(history, "b", 100000, 1);
    decision_init(&decision);
    ck_assert_int_eq(decide_topic_create(history->image, &request, &decision), MESH_EINVALID_PARTITIONS);
    ck_assert_msg(strstr(decision.message, "200000 that a broker can host") != NULL, "%s", decision.message);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

static const struct {
    int brokers;
    const char *zones;
    int32_t partitions, replicas;
} placement_cases[] = {{1, "", 7, 1},      {3, "", 12, 3},       {5, "", 100, 3},
                       {4, "aabb", 40, 2}, {6, "aabbcc", 60, 3}, {3, "aab", 9, 2}};

START_TEST(replicas_are_spread_over_brokers_and_zones)
{
    struct history *history = history_new_mesh(placement_cases[_i].brokers, placement_cases[_i].zones);
    const struct image_topic *topic =
        history_create_topic(history, "t", placement_cases[_i].partitions, placement_cases[_i].replicas);
    uint32_t leads[8] = {0}, least = UINT32_MAX, most = 0;
    struct image_partition partition;

    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        leads[partition.leader]++;
        for (uint32_t j = 0; j < partition.replica_count; j++) {
            for (uint32_t k = 0; k < j; k++) {
                ck_assert_int_ne(partition.replicas[j], partition.replicas[k]);
                if (placement_cases[_i].zones[0] != '\0')
                    ck_assert_str_ne(image_find_broker(history->image, partition.replicas[j])->zone,
                                     image_find_broker(history->image, partition.replicas[k])->zone);
            }
        }
    }
    for (int node = 1; node <= placement_cases[_i].brokers; node++) {
        if (leads[node] < least) least = leads[node];
        if (leads[node] > most) most = leads[node];
    }
    ck_assert_uint_le(most - least, 1);
    history_free(history);
}
END_TEST

START_TEST(growth_goes_to_those_who_lead_least)
{
    struct history *history = history_new_mesh(3, "");
    struct decide_topic_alter request = {.name = "t", .partition_count = 3};
    struct image_partition partition;
    struct decision decision;
    bool leads[4] = {false};

    history_create_topic(history, "t", 1, 1);
    decision_init(&decision);
    ck_assert_int_eq(decide_topic_alter(history->image, &request, &decision), 0);
    history_commit(history, &decision);
    for (uint32_t i = 0; i < 3; i++) {
        image_topic_partition(image_find_topic_by_name(history->image, "t"), i, &partition);
        ck_assert(!leads[partition.leader]);
        leads[partition.leader] = true;
    }
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

START_TEST(decisions_survive_every_failed_allocation)
{
    struct history *history = history_new_mesh(3, "abc");
    struct decide_config config = {"flush", "async"};
    struct decide_topic_create create = {.name = "t",
                                         .partition_count = 50,
                                         .replication_factor = 2,
                                         .configs = &config,
                                         .config_count = 1,
                                         .topic_id = history_uuid(history)};
    struct decision decision;
    int err = 0;

    failing_alloc_each(n)
    {
        decision_init(&decision);
        failing_alloc_arm(n);
        err = decide_topic_create(history->image, &create, &decision);
        bool refused = failing_alloc_disarm();
        if (!refused) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
        decision_deinit(&decision);
    }
    ck_assert_int_eq(err, 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
    history_free(history);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("decide");
    TCase *tcase = tcase_create("decide");

    tcase_add_loop_test(tcase, creating_a_topic_is_answered, 0, ROWS(create_cases));
    tcase_add_test(tcase, a_config_given_twice_is_refused_and_defaults_of_the_broker_are_recorded);
    tcase_add_test(tcase, the_topic_of_groups_works_on_a_mesh_of_one_and_is_found_the_second_time);
    tcase_add_test(tcase, a_mesh_without_brokers_says_so);
    tcase_add_loop_test(tcase, altering_a_topic_is_answered, 0, ROWS(alter_cases));
    tcase_add_test(tcase, the_first_replica_leads_when_it_is_asked_for);
    tcase_add_test(tcase, a_topic_is_deleted_once_and_its_name_is_free_again);
    tcase_add_loop_test(tcase, registering_a_broker_is_answered, 0, ROWS(register_cases));
    tcase_add_test(tcase, a_long_text_of_a_broker_is_refused);
    tcase_add_test(tcase, producer_ids_never_repeat);
    tcase_add_test(tcase, a_mesh_is_founded_once);
    tcase_add_test(tcase, ten_thousand_partitions_are_created_at_once);
    tcase_add_test(tcase, a_broker_hosts_200000_partitions_and_no_more);
    tcase_add_loop_test(tcase, replicas_are_spread_over_brokers_and_zones, 0, ROWS(placement_cases));
    tcase_add_test(tcase, growth_goes_to_those_who_lead_least);
    tcase_add_test(tcase, decisions_survive_every_failed_allocation);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
