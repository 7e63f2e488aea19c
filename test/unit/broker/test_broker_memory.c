/* Every allocation of a running broker fails once, on whichever thread it is: the request is refused, retried or its
 * connection closed. Nobody waits for ever, nothing is freed twice, and what was acknowledged is there. */
#include "base/clock.h"
#include "base/error.h"
#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/runtime/partitions.h"
#include "raw_client.h"
#include "replication/coordinator/topic_config.h"
#include "segment/plog.h"
#include "support/failing_alloc.h"
#include "support/fs_gate.h"
#include "support/run_suite.h"
#include "wire/message_operate.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PARTITIONS     4
#define SILENCE_MS     20000
#define ALLOCATIONS_MAX 2000 /* a step that makes more makes no progress */

static struct broker_fixture fixture;
static struct uuid topic;
static struct buffer batch;               /* of two records */
static uint64_t acknowledged[PARTITIONS]; /* ends */

static void setup(void)
{
    struct raw_client client;

    failing_alloc_spare_this_thread();
    broker_fixture_init(&fixture);
    broker_fixture_set(&fixture, "request.bytes.max", "1m");
    broker_fixture_set(&fixture, "store.memory.bytes.max", "8m");
    broker_fixture_start(&fixture);
    batch = raw_batch(2, 1000, -1, -1, raw_now_ms());
    memset(acknowledged, 0, sizeof(acknowledged));
    raw_hello(&client, fixture.port, 0);
    topic = raw_topic_create(&client, "t", PARTITIONS, NULL, NULL);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        acknowledged[i] = raw_produce(&client, &topic, i, &batch).base_offset + 2;
    raw_close(&client);
}

static void teardown(void)
{
    buffer_deinit(&batch);
    broker_fixture_deinit(&fixture);
}

/* ---- a client that takes what comes ---- */

/* false: the connection was closed instead. Silence is a failure. */
static bool receive(struct raw_client *client, struct raw_frame *ret_frame)
{
    uint64_t begin_ms = clock_monotonic_ms();

    if (raw_receive(client, ret_frame)) return true;
    ck_assert_msg(clock_monotonic_ms() - begin_ms < SILENCE_MS, "the broker says nothing");
    return false;
}

/* Whether the request was answered, well or with the error of a broker without memory. */
static bool is_answered(struct raw_client *client, struct raw_frame *ret_frame)
{
    if (!receive(client, ret_frame)) return false;
    ck_assert_msg(ret_frame->error == 0 || ret_frame->error == MESH_ENOMEM, "%s", mesh_strerror(ret_frame->error));
    return true;
}

static void take_answer(struct raw_client *client)
{
    struct raw_frame frame;

    if (is_answered(client, &frame)) raw_frame_deinit(&frame);
}

/* For requests that build on one that may have failed, and for those that must fail. */
static void take_any_answer(struct raw_client *client)
{
    struct raw_frame frame;

    if (receive(client, &frame)) raw_frame_deinit(&frame);
}

static void say_hello(struct raw_client *client, int32_t shard)
{
    struct message_hello_request request = {
        .client_name = (char[]){"raw"}, .client_version = (char[]){"1"}, .version_min = 1, .version_max = 1, .shard = shard};
    struct buffer message = BUFFER_INIT;

    raw_connect(client, fixture.port);
    ck_assert_int_eq(message_encode_hello_request(&message, &request), 0);
    raw_send(client, FRAME_OP_HELLO, buffer_slice(&message), slice_of(NULL, 0));
    buffer_deinit(&message);
    take_answer(client);
}

static void send_message(struct raw_client *client, uint16_t op, struct buffer *message)
{
    raw_send(client, op, buffer_slice(message), slice_of(NULL, 0));
    buffer_deinit(message);
}

/* The results of one produce request, whose entries are for partition first, first + 1, ... */
static void take_receipts(struct raw_client *client, uint32_t first)
{
    struct produce_response_reader reader;
    struct produce_result result;
    struct raw_frame frame;

    if (!is_answered(client, &frame)) return;
    if (frame.error == 0) {
        ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
        for (uint32_t i = first; produce_response_reader_next(&reader, &result); i++) {
            ck_assert_msg(result.error == 0 || result.error == MESH_ENOMEM, "%s", mesh_strerror(result.error));
            if (result.error == 0) acknowledged[i] = result.base_offset + 2;
        }
    }
    raw_frame_deinit(&frame);
}

/* ---- the steps ---- */

static void produce_all(struct raw_client *client, int32_t acks)
{
    struct buffer message = BUFFER_INIT, batches = BUFFER_INIT;

    ck_assert_int_eq(produce_request_start(&message, acks, 30000), 0);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct produce_entry entry = {topic, i, -1, (uint32_t)batch.size};
        ck_assert_int_eq(produce_request_add(&message, &entry), 0);
        ck_assert_int_eq(buffer_append(&batches, batch.data, batch.size), 0);
    }
    raw_send(client, FRAME_OP_PRODUCE, buffer_slice(&message), buffer_slice(&batches));
    buffer_deinit(&message);
    buffer_deinit(&batches);
}

static void produce(unsigned number)
{
    struct raw_client client;

    say_hello(&client, (int32_t)number % 2);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        raw_produce_send(&client, &topic, i, &batch, -1);
        take_receipts(&client, i);
    }
    produce_all(&client, 0);
    produce_all(&client, -1);
    take_receipts(&client, 0);
    raw_close(&client);
}

static void fetch(unsigned number)
{
    static const struct raw_fetch at_once = {0, 1, 1 << 20}, patient = {300, 1, 1 << 20};
    struct fetch_entry entries[PARTITIONS];
    struct raw_client reader, writer;

    for (uint32_t i = 0; i < PARTITIONS; i++)
        entries[i] = (struct fetch_entry){topic, i, -1, 0, 1 << 20, false, false};
    say_hello(&reader, (int32_t)number % 2);
    say_hello(&writer, 1);
    raw_fetch_send(&reader, &at_once, entries, PARTITIONS);
    take_answer(&reader);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        entries[i].offset = acknowledged[i];
    raw_fetch_send(&reader, &patient, entries, PARTITIONS);
    raw_produce_send(&writer, &topic, number % PARTITIONS, &batch, -1);
    take_receipts(&writer, number % PARTITIONS);
    take_answer(&reader);
    raw_close(&reader);
    raw_close(&writer);
}

static void list_offsets(unsigned number)
{
    static const int64_t times[] = {-1, -2, 1};
    struct list_offsets_entry entries[3 * PARTITIONS];
    struct message_list_offsets_request request = {.entries = entries, .entry_count = 3 * PARTITIONS};
    struct buffer message = BUFFER_INIT;
    struct raw_client client;

    for (uint32_t i = 0; i < 3 * PARTITIONS; i++)
        entries[i] = (struct list_offsets_entry){topic, i % PARTITIONS, times[i / PARTITIONS], 0, 0, false};
    say_hello(&client, (int32_t)number % 2);
    ck_assert_int_eq(message_encode_list_offsets_request(&message, &request), 0);
    send_message(&client, FRAME_OP_LIST_OFFSETS, &message);
    take_answer(&client);
    raw_close(&client);
}

static void administer(unsigned number)
{
    char name[32];
    char *names = name;
    struct message_config config = {(char[]){"retention.ms"}, (char[]){"3600000"}, false};
    struct message_topic_create create = {name, 3, 1, &config, 1, false, NULL, 0};
    struct message_topic_alter alter = {.name = name, .partition_count = 5};
    struct message_topic_describe describe = {&names, 1, false, true};
    struct message_topic_delete delete = {name};
    struct buffer message = BUFFER_INIT;
    struct raw_client client;

    snprintf(name, sizeof(name), "new-%u", number);
    say_hello(&client, (int32_t)number % 2);
    ck_assert_int_eq(message_encode_topic_create(&message, &create), 0);
    send_message(&client, FRAME_OP_TOPIC_CREATE, &message);
    take_any_answer(&client);
    ck_assert_int_eq(message_encode_topic_describe(&message, &describe), 0);
    send_message(&client, FRAME_OP_TOPIC_DESCRIBE, &message);
    take_any_answer(&client);
    ck_assert_int_eq(message_encode_topic_alter(&message, &alter), 0);
    send_message(&client, FRAME_OP_TOPIC_ALTER, &message);
    take_any_answer(&client);
    ck_assert_int_eq(message_encode_topic_delete(&message, &delete), 0);
    send_message(&client, FRAME_OP_TOPIC_DELETE, &message);
    take_any_answer(&client);
    raw_close(&client);
}

static void ask(unsigned number)
{
    static const uint16_t ops[] = {FRAME_OP_PING, FRAME_OP_CLUSTER, FRAME_OP_STATUS, FRAME_OP_INIT_PRODUCER, 99};
    struct raw_client client;

    say_hello(&client, (int32_t)number % 2);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        raw_send(&client, ops[i], slice_of(NULL, 0), slice_of(NULL, 0));
        take_any_answer(&client);
    }
    raw_close(&client);
}

/* Whatever comes, until the broker closes. */
/* A change that finds no memory is refused, and kept nowhere. */
static void configure(unsigned number)
{
    struct message_config_change change = {slice_of_string("fetch.wait.ms.max"), slice_of_string(number % 2 == 0 ? "1m" : "2m")};
    struct raw_client client;

    say_hello(&client, (int32_t)number % 2);
    for (uint32_t action = MESSAGE_CONFIG_LOOK; action <= MESSAGE_CONFIG_UNSET; action++) {
        const struct message_config_request request = {.action = action, .changes = &change, .change_count = action == MESSAGE_CONFIG_LOOK ? 0 : 1};
        struct buffer message = BUFFER_INIT;

        ck_assert_int_eq(message_encode_config_request(&message, &request), 0);
        send_message(&client, FRAME_OP_CONFIG, &message);
        take_any_answer(&client);
    }
    raw_close(&client);
}

/* Logs get new settings, which not all of their shards may find memory for at once. */
static void retune(unsigned number)
{
    char value[32];
    struct message_config config = {(char[]){"retention.ms"}, value, false};
    struct message_topic_alter alter = {.name = (char[]){"t"}, .configs = &config, .config_count = 1};
    struct buffer message = BUFFER_INIT;
    struct raw_client client;

    snprintf(value, sizeof(value), "%u", 3600000 + number);
    say_hello(&client, (int32_t)number % 2);
    ck_assert_int_eq(message_encode_topic_alter(&message, &alter), 0);
    send_message(&client, FRAME_OP_TOPIC_ALTER, &message);
    take_any_answer(&client);
    raw_close(&client);
}

static void read_http(unsigned number)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct raw_client client;
    uint64_t begin_ms = clock_monotonic_ms();
    char bytes[4096];

    (void)number;
    raw_connect(&client, fixture.port);
    raw_send_bytes(&client, request, sizeof(request) - 1);
    while (recv(client.fd, bytes, sizeof(bytes), 0) > 0) {
    }
    ck_assert_msg(clock_monotonic_ms() - begin_ms < SILENCE_MS, "the http door says nothing");
    raw_close(&client);
}

/* ---- the walk ---- */

static void expect_all_is_well(void)
{
    struct raw_client client;

    for (int32_t shard = 0; shard < 2; shard++) {
        raw_hello(&client, fixture.port, shard);
        raw_ping(&client);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            struct produce_result result = raw_produce(&client, &topic, i, &batch);
            ck_assert_int_eq(result.error, 0);
            ck_assert_uint_ge(result.base_offset, acknowledged[i]);
            acknowledged[i] = result.base_offset + 2;
        }
        raw_close(&client);
    }
}

/* Goes to a shard, which counts its logs that go by other settings than its image says. */
struct settings_look {
    struct mail mail;
    struct shard *shard;
    unsigned differing;
    sem_t is_done;
};

static void look_at_settings(struct mail *mail)
{
    struct settings_look *look = container_of(mail, struct settings_look, mail);

    look->differing = 0;
    for (struct map_node *node = NULL; (node = map_iterate(&look->shard->partitions, node)) != NULL;) {
        const struct shard_partition *partition = container_of(node, struct shard_partition, node);
        struct plog_config config;

        topic_config_to_plog(partition->topic->topic, &config);
        look->differing += partition->plog->config->retention_ms != config.retention_ms;
    }
    sem_post(&look->is_done);
}

static void expect_settings_in_force(void)
{
    uint64_t begin_ms = clock_monotonic_ms();

    for (uint32_t i = 0; i < fixture.broker->shard_count; i++) {
        struct settings_look look = {.mail = {NULL, look_at_settings}, .shard = fixture.broker->shards[i]};

        sem_init(&look.is_done, 0, 0);
        do {
            ck_assert_msg(clock_monotonic_ms() - begin_ms < SILENCE_MS, "logs go by older settings than their topic has");
            shard_post(look.shard, &look.mail);
            while (sem_wait(&look.is_done) != 0) {
            }
        } while (look.differing > 0);
        sem_destroy(&look.is_done);
    }
}

static void expect_what_was_acknowledged(void)
{
    struct raw_client client;

    raw_hello(&client, fixture.port, -1);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        ck_assert_int_ge(raw_list_offsets(&client, &topic, i, -1).offset, (int64_t)acknowledged[i]);
    raw_close(&client);
}

static void (*const steps[])(unsigned) = {produce, fetch, list_offsets, administer, ask, configure, retune, read_http};

START_TEST(each_allocation_may_fail)
{
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        steps[_i](n);
        if (!failing_alloc_disarm()) break;
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        expect_all_is_well();
        expect_settings_in_force();
    }
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_start(&fixture);
    expect_what_was_acknowledged();
    expect_all_is_well();
}
END_TEST

/* ---- answers without memory ---- */

/* A ping whose answer needs more memory than that to the hello has left behind, and right behind it something that can be seen. */
static void send_ping_and_record(struct raw_client *client, uint32_t partition)
{
    static const uint8_t zeros[20000];
    struct produce_entry entry = {topic, partition, -1, (uint32_t)batch.size};
    struct frame_header ping = {.op = FRAME_OP_PING, .correlation_id = 1, .message_size = sizeof(zeros)};
    struct frame_header produced = {.op = FRAME_OP_PRODUCE, .correlation_id = 2, .attachment_size = (uint32_t)batch.size};
    struct buffer all = BUFFER_INIT, message = BUFFER_INIT;
    uint8_t header[FRAME_HEADER_SIZE];

    ck_assert_int_eq(produce_request_start(&message, 0, 30000), 0);
    ck_assert_int_eq(produce_request_add(&message, &entry), 0);
    produced.message_size = (uint32_t)message.size;
    frame_write_header(header, &ping, zeros);
    buffer_append(&all, header, sizeof(header));
    buffer_append(&all, zeros, sizeof(zeros));
    frame_write_header(header, &produced, message.data);
    buffer_append(&all, header, sizeof(header));
    buffer_append(&all, message.data, message.size);
    buffer_append(&all, batch.data, batch.size);
    raw_send_bytes(client, all.data, all.size);
    buffer_deinit(&all);
    buffer_deinit(&message);
}

/* Where the next record of the partition goes. */
static uint64_t next_offset(uint32_t partition)
{
    struct raw_client client;
    struct produce_result result;

    raw_hello(&client, fixture.port, (int32_t)raw_shard_of(&topic, partition));
    result = raw_produce(&client, &topic, partition, &batch);
    raw_close(&client);
    ck_assert_int_eq(result.error, 0);
    return result.base_offset;
}

#define PING_ALLOCATIONS 8 /* those that the answer may need are among the first */

/* The broker is a new one each time, as one that has answered a ping keeps the memory for the next. */
START_TEST(nothing_behind_a_ping_that_cannot_be_answered_is_served)
{
    uint64_t end = next_offset(0) + 2, next;
    unsigned closed = 0;

    for (unsigned i = 0; closed == 0 || i < PING_ALLOCATIONS; i++) { /* those of other threads count, too */
        struct raw_client client;
        struct raw_frame frame;
        bool is_pinged;

        ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
        broker_fixture_start(&fixture);
        raw_hello(&client, fixture.port, (int32_t)raw_shard_of(&topic, 0));
        failing_alloc_arm(i % PING_ALLOCATIONS + 1);
        send_ping_and_record(&client, 0);
        is_pinged = receive(&client, &frame);
        if (is_pinged) {
            raw_frame_deinit(&frame);
            raw_send(&client, FRAME_OP_PING, slice_of(NULL, 0), slice_of(NULL, 0)); /* then the record has been served */
            take_any_answer(&client);
        }
        raw_close(&client);
        failing_alloc_disarm();
        next = next_offset(0);
        if (!is_pinged) {
            closed++;
            ck_assert_uint_eq(next, end);
        }
        end = next + 2;
    }
}
END_TEST

#define FLOOD 24 /* batches of 450 KB: more than a shard's store may hold */

/* Until the store of partition 0's shard, whose disk hangs, has no memory for such a batch. */
static void fill_store(struct raw_client *client, const struct uuid *flooded, const struct buffer *large)
{
    struct produce_response_reader reader;
    struct produce_result result;
    struct raw_frame frame;
    bool is_full = false;

    client->produce_timeout_ms = 50;
    for (int i = 0; i < FLOOD; i++)
        raw_produce_send(client, flooded, 0, large, -1);
    while (!is_full) {
        ck_assert(raw_receive(client, &frame));
        ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
        ck_assert(produce_response_reader_next(&reader, &result));
        is_full = result.error == MESH_EBUSY;
        raw_frame_deinit(&frame);
    }
}

/* Two batches: one for a topic that is not there, one that waits for memory. */
static void send_two(struct raw_client *client, const struct uuid *flooded, const struct buffer *large)
{
    struct produce_entry entries[2] = {{.leader_epoch = -1, .batch_size = (uint32_t)large->size},
                                       {*flooded, 0, -1, (uint32_t)large->size}};
    struct buffer message = BUFFER_INIT, both = BUFFER_INIT;

    ck_assert_int_eq(produce_request_start(&message, -1, 0), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(produce_request_add(&message, &entries[i]), 0);
        ck_assert_int_eq(buffer_append(&both, large->data, large->size), 0);
    }
    raw_send(client, FRAME_OP_PRODUCE, buffer_slice(&message), buffer_slice(&both));
    buffer_deinit(&message);
    buffer_deinit(&both);
}

static void on_opened(struct broker_fixture *self)
{
    for (uint32_t i = 0; i < self->broker->shard_count; i++)
        fs_gate_install(self->broker->store_disks[i], "sync-");
    broker_fixture_use_lanes(self);
}

static void on_served(struct broker_fixture *self)
{
    (void)self;
    fs_gate_open();
}

/* A request waits in its middle; its topic is deleted, which ends it on the spot, and for the answer there is no memory. */
START_TEST(an_answer_to_a_request_that_had_waited_may_find_no_memory)
{
    struct buffer large = raw_batch(450, 1000, -1, -1, raw_now_ms());

    fixture.opened = on_opened;
    fixture.served = on_served;
    failing_alloc_each(n)
    {
        struct raw_client witness, filler, client;
        struct buffer message = BUFFER_INIT;
        struct uuid flooded;
        char name[32];

        snprintf(name, sizeof(name), "flooded-%u", n);
        ck_assert_int_eq(broker_fixture_stop(&fixture), 0); /* a new one has no memory at hand */
        broker_fixture_start(&fixture);
        raw_hello(&witness, fixture.port, 0);
        flooded = raw_topic_create(&witness, name, 1, NULL, NULL);
        raw_hello(&filler, fixture.port, (int32_t)raw_shard_of(&flooded, 0));
        raw_hello(&client, fixture.port, (int32_t)raw_shard_of(&flooded, 0));
        fs_gate_shut();
        fill_store(&filler, &flooded, &large);
        send_two(&client, &flooded, &large);
        for (int i = 0; i < 10; i++) /* meanwhile the request arrives, and waits */
            raw_ping(&witness);
        failing_alloc_arm(n);
        ck_assert_int_eq(message_encode_topic_delete(&message, &(struct message_topic_delete){name}), 0);
        send_message(&witness, FRAME_OP_TOPIC_DELETE, &message);
        take_any_answer(&witness);
        fs_gate_open();
        take_any_answer(&client);
        raw_close(&client);
        raw_close(&filler);
        raw_close(&witness);
        if (!failing_alloc_disarm()) break;
        expect_all_is_well();
    }
    buffer_deinit(&large);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, (int)(sizeof(steps) / sizeof(steps[0])));
    tcase_add_test(tcase, an_answer_to_a_request_that_had_waited_may_find_no_memory);
    tcase_add_test(tcase, nothing_behind_a_ping_that_cannot_be_answered_is_served);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
