/* Every allocation of a broker that serves Kafka's protocol fails once: the request is answered or its connection closed, nobody waits for
 * ever, and in the end nothing is left over. */
#include "base/bytes.h"
#include "base/clock.h"
#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/front/connections.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/header.h"
#include "kafka/messages.h"
#include "raw_client.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PARTITIONS      4
#define SILENCE_MS      20000
#define ALLOCATIONS_MAX 2000 /* a step that makes more makes no progress */
#define ANSWER_MAX      (64u << 10)

static struct broker_fixture fixture;
static struct buffer batch;
static size_t left_over; /* in the pools, when the broker had ended */

static void on_served(struct broker_fixture *self)
{
    left_over = 0;
    for (uint32_t i = 0; i < self->broker->shard_count; i++) {
        connections_close_all(self->broker->shards[i]);
        left_over += self->broker->shards[i]->pool.used_bytes;
    }
}

static void setup(void)
{
    struct raw_client client;

    failing_alloc_spare_this_thread();
    broker_fixture_init(&fixture);
    fixture.served = on_served;
    broker_fixture_set(&fixture, "groups.gather.ms", "0");
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, 0);
    raw_topic_create(&client, "t", PARTITIONS, NULL, NULL);
    raw_close(&client);
    batch = raw_batch(2, 1000, -1, -1, raw_now_ms());
}

static void teardown(void)
{
    buffer_deinit(&batch);
    broker_fixture_deinit(&fixture);
}

/* ---- a client that takes what comes ---- */

static void send_request(struct raw_client *client, int16_t key, int version, const void *message)
{
    struct buffer frame = BUFFER_INIT;

    ck_assert_int_eq(kafka_request_encode(kafka_api_find(key), version, (int32_t)client->next_correlation_id++, slice_of_string("test"), message, &frame), 0);
    raw_send_bytes(client, frame.data, frame.size);
    buffer_deinit(&frame);
}

static bool receive_bytes(struct raw_client *client, uint8_t *to, size_t size)
{
    uint64_t begin_ms = clock_monotonic_ms();

    if (recv(client->fd, to, size, MSG_WAITALL) == (ssize_t)size) return true;
    ck_assert_msg(clock_monotonic_ms() - begin_ms < SILENCE_MS, "the broker says nothing");
    return false;
}

/* The answer to the request of that correlation id, or an end. */
static bool take_answer(struct raw_client *client, uint32_t correlation_id)
{
    static uint8_t answer[ANSWER_MAX];
    uint32_t size;

    if (!receive_bytes(client, answer, KAFKA_SIZE_SIZE)) return false;
    size = be_load32(answer);
    ck_assert(size >= 4 && size <= sizeof(answer));
    if (!receive_bytes(client, answer, size)) return false;
    ck_assert_uint_eq(be_load32(answer), correlation_id);
    return true;
}

/* ---- the steps ---- */

static void send_produce(struct raw_client *client, int16_t acks)
{
    struct kafka_produce_request_partition partitions[PARTITIONS];
    struct kafka_produce_request_topic topics[] = {{.name = slice_of_string("t"), .partitions = {partitions, PARTITIONS}},
                                                   {.name = slice_of_string("gone"), .partitions = {partitions, acks == 0 ? 0 : 1}}};
    struct kafka_produce_request request = {.acks = acks, .timeout_ms = 30000, .topics = {topics, 2}};

    for (int32_t i = 0; i < PARTITIONS; i++)
        partitions[i] = (struct kafka_produce_request_partition){i, buffer_slice(&batch)};
    send_request(client, KAFKA_PRODUCE, 9, &request);
}

static void produce(struct raw_client *client)
{
    send_produce(client, -1); /* the first three overlap */
    send_produce(client, 0);
    send_produce(client, 1);
    (void)(take_answer(client, 1) && take_answer(client, 3));
}

static void send_fetch(struct raw_client *client, int64_t offset, int32_t max_wait_ms)
{
    struct kafka_fetch_request_partition partitions[PARTITIONS] = {0};
    struct kafka_fetch_request_topic topic = {.topic = slice_of_string("t"), .partitions = {partitions, PARTITIONS}};
    struct kafka_fetch_request request;

    kafka_init(&kafka_fetch_request_form, &request);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        kafka_init(&kafka_fetch_request_partition_form, &partitions[i]);
        partitions[i].partition = i;
        partitions[i].fetch_offset = offset;
        partitions[i].partition_max_bytes = 4096;
    }
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = max_wait_ms > 0 ? INT32_MAX : 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    send_request(client, KAFKA_FETCH, 12, &request);
}

static void fetch(struct raw_client *client)
{
    send_fetch(client, 0, 0);
    send_fetch(client, 0, 1);
    (void)(take_answer(client, 1) && take_answer(client, 2));
}

/* Whoever leaves while records are waited for. */
static void leave(struct raw_client *client)
{
    send_produce(client, -1);
    send_fetch(client, 0, 60000);
    take_answer(client, 1);
}

static void list_offsets(struct raw_client *client)
{
    struct kafka_list_offsets_request_partition partitions[] = {{0, -1, -1}, {1, -1, -2}, {2, -1, 1}, {3, -1, -3}};
    struct kafka_list_offsets_request_topic topics[] = {{slice_of_string("t"), {partitions, PARTITIONS}}, {slice_of_string("gone"), {partitions, 1}}};
    struct kafka_list_offsets_request request = {.replica_id = -1, .topics = {topics, 2}};

    send_request(client, KAFKA_LIST_OFFSETS, 6, &request);
    take_answer(client, 1);
}

static void metadata(struct raw_client *client)
{
    static unsigned made;
    char name[32];
    struct kafka_metadata_request_topic topics[] = {{.name = slice_of_string("t")}, {.name = slice_of(name, 0)}, {.name = slice_of_string("no name/")}};
    struct kafka_metadata_request request = {.topics = {topics, 3}, .allow_auto_topic_creation = true};

    snprintf(name, sizeof(name), "made-%u", made++);
    topics[1].name = slice_of_string(name);
    send_request(client, KAFKA_METADATA, 9, &request);
    request.topics.count = -1;
    send_request(client, KAFKA_METADATA, 9, &request);
    (void)(take_answer(client, 1) && take_answer(client, 2));
}

static void administer(struct raw_client *client)
{
    struct kafka_create_topics_request_config config = {slice_of_string("retention.ms"), slice_of_string("3600000")};
    struct kafka_create_topics_request_topic topics[] = {
        {.name = slice_of_string("a"), .num_partitions = 2, .replication_factor = -1, .configs = {&config, 1}},
        {.name = slice_of_string("b"), .num_partitions = 0, .replication_factor = 1}};
    struct kafka_create_topics_request create = {.topics = {topics, 2}, .timeout_ms = 1000};
    struct slice names[] = {slice_of_string("a"), slice_of_string("gone")};
    struct kafka_delete_topics_request delete = {.topic_names = {names, 2}, .timeout_ms = 1000};

    send_request(client, KAFKA_CREATE_TOPICS, 5, &create);
    send_request(client, KAFKA_DELETE_TOPICS, 5, &delete);
    (void)(take_answer(client, 1) && take_answer(client, 2));
}

static void configure(struct raw_client *client)
{
    struct kafka_alter_configs_request_config set[] = {{slice_of_string("retention.ms"), slice_of_string("3600000")}, {slice_of_string("segment.ms"), slice_of(NULL, 0)}};
    struct kafka_alter_configs_request_resource resources[] = {{2, slice_of_string("t"), {set, 2}}, {2, slice_of_string("gone"), {set, 1}}};
    struct kafka_alter_configs_request alter = {.resources = {resources, 2}};
    struct kafka_incremental_alter_configs_request_config changes[] = {{slice_of_string("retention.ms"), 1, slice_of(NULL, 0)},
                                                                       {slice_of_string("what"), 0, slice_of_string("1")}};
    struct kafka_incremental_alter_configs_request_resource incremental[] = {{2, slice_of_string("t"), {changes, 1}}, {2, slice_of_string("t"), {changes, 2}}};
    struct kafka_incremental_alter_configs_request increment = {.resources = {incremental, 2}};
    struct kafka_create_partitions_request_topic topics[] = {{slice_of_string("t"), 1, {NULL, -1}}, {slice_of_string("gone"), 9, {NULL, -1}}};
    struct kafka_create_partitions_request grow = {.topics = {topics, 2}, .timeout_ms = 1000};
    struct kafka_describe_configs_request_resource described[] = {{2, slice_of_string("t"), {NULL, -1}}, {4, slice_of_string("1"), {NULL, -1}}};
    struct kafka_describe_configs_request describe = {.resources = {described, 2}, .include_documentation = true};

    send_request(client, KAFKA_ALTER_CONFIGS, 2, &alter);
    send_request(client, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &increment);
    send_request(client, KAFKA_CREATE_PARTITIONS, 3, &grow);
    send_request(client, KAFKA_DESCRIBE_CONFIGS, 4, &describe);
    for (uint32_t i = 1; i <= 4; i++)
        if (!take_answer(client, i)) return;
}

static void change_users(struct raw_client *client)
{
    uint8_t salted[32] = {1}, salt[16] = {2};
    struct kafka_alter_user_scram_credentials_request_upsertion set = {slice_of_string("u"), 1, 4096, slice_of(salt, sizeof(salt)), slice_of(salted, sizeof(salted))};
    struct kafka_alter_user_scram_credentials_request_deletion deletions[] = {{slice_of_string("u"), 2}, {slice_of_string("v"), 1}};
    struct kafka_alter_user_scram_credentials_request alter = {.deletions = {deletions, 2}, .upsertions = {&set, 1}};
    struct kafka_describe_user_scram_credentials_request_user users[] = {{slice_of_string("u")}, {slice_of_string("v")}};
    struct kafka_describe_user_scram_credentials_request describe = {.users = {users, 2}};

    send_request(client, KAFKA_ALTER_USER_SCRAM_CREDENTIALS, 0, &alter);
    alter.deletions.count = 0;
    send_request(client, KAFKA_ALTER_USER_SCRAM_CREDENTIALS, 0, &alter);
    send_request(client, KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &describe);
    describe.users.count = -1;
    send_request(client, KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &describe);
    for (uint32_t i = 1; i <= 4; i++)
        if (!take_answer(client, i)) return;
}

/* Where replicas are, who leads, how large they are, and who has written to them. */
static void place(struct raw_client *client)
{
    struct kafka_alter_partition_reassignments_request_partition moves[] = {{0, {(int32_t[]){1}, 1}}, {1, {NULL, -1}}, {99, {NULL, 0}}};
    struct kafka_alter_partition_reassignments_request_topic moved = {slice_of_string("t"), {moves, 3}};
    struct kafka_alter_partition_reassignments_request move = {.timeout_ms = 1000, .allow_replication_factor_change = true, .topics = {&moved, 1}};
    struct kafka_elect_leaders_request_topic led = {slice_of_string("t"), {(int32_t[]){0, 99}, 2}};
    struct kafka_elect_leaders_request elect = {.topic_partitions = {&led, 1}, .timeout_ms = 1000};

    struct kafka_delete_records_request_partition deleted[] = {{0, -1}, {1, 1000}, {99, 0}};
    struct kafka_delete_records_request_topic trimmed = {slice_of_string("t"), {deleted, 3}};
    struct kafka_delete_records_request trim = {.topics = {&trimmed, 1}, .timeout_ms = 1000};

    send_request(client, KAFKA_ALTER_PARTITION_REASSIGNMENTS, 1, &move);
    send_request(client, KAFKA_ELECT_LEADERS, 2, &elect);
    elect.topic_partitions.count = -1;
    send_request(client, KAFKA_ELECT_LEADERS, 1, &elect);
    send_request(client, KAFKA_DELETE_RECORDS, 2, &trim);
    for (uint32_t i = 1; i <= 4; i++)
        if (!take_answer(client, i)) return;
}

static void look(struct raw_client *client)
{
    struct kafka_describe_log_dirs_request_topic sized = {slice_of_string("t"), {(int32_t[]){0, 1, 99}, 3}};
    struct kafka_describe_log_dirs_request dirs = {.topics = {&sized, 1}};
    struct kafka_describe_producers_request_topic written = {slice_of_string("t"), {(int32_t[]){0, 1, 99}, 3}};
    struct kafka_describe_producers_request producers = {.topics = {&written, 1}};

    send_request(client, KAFKA_DESCRIBE_LOG_DIRS, 5, &dirs);
    dirs.topics.count = -1;
    send_request(client, KAFKA_DESCRIBE_LOG_DIRS, 1, &dirs);
    send_request(client, KAFKA_DESCRIBE_PRODUCERS, 0, &producers);
    for (uint32_t i = 1; i <= 3; i++)
        if (!take_answer(client, i)) return;
}

static void ask(struct raw_client *client)
{
    struct kafka_init_producer_id_request producer = {.transaction_timeout_ms = 1, .producer_id = -1, .producer_epoch = -1};
    struct kafka_describe_cluster_request cluster = {.endpoint_type = 1};
    struct kafka_api_versions_request versions = {.client_software_name = slice_of_string("x"), .client_software_version = slice_of_string("1")};

    send_request(client, KAFKA_API_VERSIONS, 3, &versions);
    send_request(client, KAFKA_INIT_PRODUCER_ID, 4, &producer);
    send_request(client, KAFKA_DESCRIBE_CLUSTER, 1, &cluster);
    for (uint32_t i = 1; i <= 3; i++)
        if (!take_answer(client, i)) return;
}

static void send_login(struct raw_client *client, const char *mechanism, struct slice token)
{
    struct kafka_sasl_handshake_request handshake = {.mechanism = slice_of_string(mechanism)};
    struct kafka_sasl_authenticate_request authenticate = {.auth_bytes = token};

    send_request(client, KAFKA_SASL_HANDSHAKE, 1, &handshake);
    if (take_answer(client, 1)) send_request(client, KAFKA_SASL_AUTHENTICATE, 2, &authenticate);
}

/* The password is compared on a thread of its own, for a name that nobody has as for any other. */
static void log_in(struct raw_client *client)
{
    send_login(client, "PLAIN", slice_of("\0nobody\0pencil", 14));
    take_answer(client, 2);
}

/* Whoever leaves meanwhile. */
static void leave_a_login(struct raw_client *client)
{
    send_login(client, "PLAIN", slice_of("\0nobody\0pencil", 14));
}

static void be_challenged(struct raw_client *client)
{
    send_login(client, "SCRAM-SHA-512", slice_of_string("n,,n=nobody,r=abcdefgh"));
    take_answer(client, 2);
}

/* ---- the walk ---- */

/* stride: the metadata try again a second later; of the allocations behind the door's own, which test_metadata fails one by one, a sample. */
/* ---- groups ---- */

static void offsets(struct raw_client *client)
{
    struct kafka_find_coordinator_request find = {.key = slice_of_string("g")};
    struct kafka_offset_commit_request_partition partitions[] = {{0, 0, -1, slice_of_string("text")}, {1, 0, -1, {NULL, 0}}, {99, 0, -1, {NULL, 0}}};
    struct kafka_offset_commit_request_topic topics[] = {{.name = slice_of_string("t"), .partitions = {partitions, 3}},
                                                         {.name = slice_of_string("gone"), .partitions = {partitions, 1}}};
    struct kafka_offset_commit_request commit = {.group_id = slice_of_string("g"), .generation_id_or_member_epoch = -1, .topics = {topics, 2}};
    struct kafka_offset_fetch_request_topic fetched = {slice_of_string("t"), {(int32_t[]){0, 1, 2}, 3}};
    struct kafka_offset_fetch_request fetch = {.group_id = slice_of_string("g"), .topics = {&fetched, 1}};

    commit.member_id = slice_of_string("");
    send_request(client, KAFKA_FIND_COORDINATOR, 3, &find);
    send_request(client, KAFKA_OFFSET_COMMIT, 7, &commit);
    send_request(client, KAFKA_OFFSET_FETCH, 5, &fetch);
    fetch.topics.count = -1;
    send_request(client, KAFKA_OFFSET_FETCH, 5, &fetch);
    for (uint32_t i = 1; i <= 4; i++)
        if (!take_answer(client, i)) return;
}

/* A member of a group of its own, for nobody says which id the one before was told. */
static void be_member(struct raw_client *client)
{
    static unsigned made;
    char name[32];
    struct kafka_join_group_request_protocol protocol = {slice_of_string("range"), slice_of_string("what it can")};
    struct kafka_join_group_request join = {.session_timeout_ms = 6000, .rebalance_timeout_ms = 6000, .protocol_type = slice_of_string("consumer"),
                                            .protocols = {&protocol, 1}};
    struct kafka_sync_group_request_assignment assignment = {slice_of_string("who"), slice_of_string("all")};
    struct kafka_sync_group_request sync = {.generation_id = 1, .member_id = slice_of_string("who"), .assignments = {&assignment, 1}};
    struct kafka_heartbeat_request beat = {.generation_id = 1, .member_id = slice_of_string("who")};
    struct kafka_leave_group_request_member leaving[] = {{.member_id = slice_of_string("")}, {.member_id = slice_of_string("who")}};
    struct kafka_leave_group_request leave_all = {.members = {leaving, 2}};

    snprintf(name, sizeof(name), "group-%u", made++);
    leaving[0].group_instance_id = join.group_instance_id = slice_of_string("instance");
    join.group_id = sync.group_id = beat.group_id = leave_all.group_id = slice_of_string(name);
    join.member_id = slice_of_string("");
    send_request(client, KAFKA_JOIN_GROUP, 5, &join);
    send_request(client, KAFKA_SYNC_GROUP, 3, &sync);
    send_request(client, KAFKA_HEARTBEAT, 3, &beat);
    send_request(client, KAFKA_LEAVE_GROUP, 3, &leave_all);
    for (uint32_t i = 1; i <= 4; i++)
        if (!take_answer(client, i)) return;
}

#define DOOR_ALLOCATIONS 15
static const struct {
    void (*take)(struct raw_client *);
    unsigned stride;
} steps[] = {{produce, 1}, {fetch, 1}, {leave, 1}, {list_offsets, 1}, {metadata, 9}, {administer, 9}, {configure, 9}, {change_users, 9}, {place, 9}, {look, 1}, {ask, 1}, {log_in, 1}, {leave_a_login, 1}, {be_challenged, 1}, {offsets, 3}, {be_member, 3}};

static void take_step(void (*step)(struct raw_client *))
{
    struct raw_client client;

    raw_connect(&client, fixture.port);
    step(&client);
    raw_close(&client);
}

static void expect_all_is_well(void)
{
    struct raw_client client;

    raw_connect(&client, fixture.port);
    send_produce(&client, -1);
    send_fetch(&client, 0, 0);
    ck_assert(take_answer(&client, 1));
    ck_assert(take_answer(&client, 2));
    raw_close(&client);
}

START_TEST(each_allocation_may_fail)
{
    for (unsigned n = 1;; n += n < DOOR_ALLOCATIONS ? 1 : steps[_i].stride) {
        failing_alloc_arm(n);
        take_step(steps[_i].take);
        if (!failing_alloc_disarm()) break;
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        expect_all_is_well();
    }
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    ck_assert_uint_eq(left_over, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, (int)(sizeof(steps) / sizeof(steps[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
