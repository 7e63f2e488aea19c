/* See forward_pair.h. */
#include "forward_pair.h"

#include "cmd/broker/peers/seed.h"
#include "support/fs_gate.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

struct broker_fixture here, there;
struct raw_client client, direct;
int32_t leaders[PARTITIONS];
struct uuid topic_id;
uint32_t far, far_other, near;
static struct seed seed;
static char key_path[128];
static bool goes_by_stream; /* wait_for_link() waits for a stream, too */

/* ---- two brokers ---- */

/* Until the other broker has heard of the topic, too. */
static void connect_there(void)
{
    int32_t same[PARTITIONS];

    raw_hello(&direct, there.port, -1);
    while (!raw_topic_leaders(&direct, "orders", same, PARTITIONS)) {
    }
    ck_assert_mem_eq(same, leaders, sizeof(same));
}

void start_there(void)
{
    broker_fixture_start(&there);
    connect_there();
}

static void choose_partitions(void)
{
    far = far_other = near = UINT32_MAX;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        if (leaders[i] == 1) near = i;
        if (leaders[i] != 2) continue;
        if (far == UINT32_MAX)
            far = i;
        else if (raw_shard_of(&topic_id, i) != raw_shard_of(&topic_id, far))
            far_other = i;
    }
    if (far_other == UINT32_MAX) far_other = far;
    ck_assert(far != UINT32_MAX && near != UINT32_MAX);
}

/* The disk over there may hang. */
static void on_opened_there(struct broker_fixture *self)
{
    for (uint32_t i = 0; i < self->broker->shard_count; i++)
        fs_gate_install(self->broker->store_disks[i], "sync-");
    broker_fixture_use_lanes(self);
}

static void on_served_there(struct broker_fixture *self)
{
    (void)self;
    fs_gate_open(); /* or its threads would never end */
}

static void setup_brokers(bool is_gated)
{
    char address[64];

    broker_fixture_init(&here);
    broker_fixture_init(&there);
    if (is_gated) {
        there.opened = on_opened_there;
        there.served = on_served_there;
    }
    broker_fixture_set(&here, "requests.slow.ms", "200");
    broker_fixture_set(&there, "requests.slow.ms", "200");
    broker_fixture_start(&here);
    snprintf(address, sizeof(address), "127.0.0.1:%u", here.port);
    ck_assert_int_eq(seed_parse(address, &seed), 0);
    snprintf(key_path, sizeof(key_path), "%s/key", here.data_dir);
    there.options.seeds = &seed;
    there.options.seed_count = 1;
    there.options.key_places.option = key_path;
    there.options.name = "there";
    broker_fixture_start(&there);
    raw_hello(&client, here.port, -1);
    topic_id = raw_topic_create(&client, "orders", PARTITIONS, NULL, NULL);
    ck_assert(raw_topic_leaders(&client, "orders", leaders, PARTITIONS));
    raw_close(&client);
    choose_partitions();
    connect_there();
    raw_hello(&client, here.port, (int32_t)raw_shard_of(&topic_id, far));
}

void setup(void)
{
    goes_by_stream = false;
    setup_brokers(false);
}

void setup_streamed(void)
{
    goes_by_stream = true;
    setup_brokers(false);
}

void setup_gated(void)
{
    goes_by_stream = false;
    setup_brokers(true);
}

void setup_gated_streamed(void)
{
    goes_by_stream = true;
    setup_brokers(true);
}

void teardown(void)
{
    raw_close(&client);
    raw_close(&direct);
    broker_fixture_deinit(&there);
    broker_fixture_deinit(&here);
}

/* ---- requests that ask for it ---- */

uint32_t produce_send(const struct produce_entry *entries, uint32_t count, struct slice batches, int32_t acks)
{
    struct buffer message = BUFFER_INIT;
    uint32_t correlation_id;

    ck_assert_int_eq(produce_request_start(&message, acks, client.produce_timeout_ms), 0);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(produce_request_add(&message, &entries[i]), 0);
    ck_assert_int_eq(produce_request_forward(&message), 0);
    correlation_id = raw_send(&client, FRAME_OP_PRODUCE, buffer_slice(&message), batches);
    buffer_deinit(&message);
    return correlation_id;
}

uint32_t produce_one_send(uint32_t partition, const struct buffer *batch, int32_t acks)
{
    const struct produce_entry entry = {topic_id, partition, -1, (uint32_t)batch->size};

    return produce_send(&entry, 1, buffer_slice(batch), acks);
}

struct produce_result produce(uint32_t partition, int count, size_t value_size)
{
    struct buffer batch = raw_batch(count, value_size, -1, -1, raw_now_ms());
    struct produce_result result = raw_produce_result(&client, produce_one_send(partition, &batch, -1));

    buffer_deinit(&batch);
    return result;
}

uint32_t fetch_send(uint32_t partition, uint64_t offset, uint32_t max_wait_ms, uint32_t bytes_max)
{
    const struct fetch_entry entry = {topic_id, partition, -1, offset, bytes_max, false, false};
    struct buffer message = BUFFER_INIT;
    uint32_t correlation_id;

    ck_assert_int_eq(fetch_request_start(&message, max_wait_ms, 1, bytes_max), 0);
    ck_assert_int_eq(fetch_request_add(&message, &entry), 0);
    ck_assert_int_eq(fetch_request_forward(&message), 0);
    correlation_id = raw_send(&client, FRAME_OP_FETCH, buffer_slice(&message), slice_of(NULL, 0));
    buffer_deinit(&message);
    return correlation_id;
}

struct fetch_result fetch_result(uint32_t correlation_id, struct buffer *records)
{
    struct fetch_result result;

    ck_assert_uint_eq(raw_fetch_results(&client, correlation_id, &result, 1, records), 1);
    return result;
}

struct forward_stats stats_of(const struct broker_fixture *fixture)
{
    struct forward_stats stats;

    forward_get_stats(fixture->broker->control.forward, &stats);
    return stats;
}

/* Requests that change nothing, until they go past the control loops. */
void wait_for_stream(void)
{
    uint64_t before = stats_of(&here).streamed;

    while (stats_of(&here).streamed == before)
        ck_assert_int_eq(fetch_result(fetch_send(far, 0, 0, 1), NULL).error, 0);
}

/* The link may be a moment younger than the images. */
void wait_for_link(void)
{
    struct produce_result result;

    do
        result = produce(far, 1, 10);
    while (result.error == MESH_EUNREACHABLE);
    ck_assert_int_eq(result.error, 0);
    if (goes_by_stream) wait_for_stream();
}
