/* A producer and a consumer against a broker that does anything at random, from one seed: what was
 * acknowledged is there once, in order, and the consumer sees exactly what is there. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "base/assert.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTITIONS 3
#define RECORDS    1500 /* per partition */

struct chaos {
    struct random random; /* the broker's thread only */
    atomic_bool is_over;
};

static enum fake_action be_random(void *user, struct fake_broker *broker, enum frame_op op, int *error)
{
    static const enum fake_action actions[] = {FAKE_REFUSE,          FAKE_FAIL_EACH,       FAKE_CLOSE,
                                               FAKE_SERVE_AND_CLOSE, FAKE_SERVE_CUT,       FAKE_SERVE_DRIP,
                                               FAKE_GARBAGE,         FAKE_LIE_CORRELATION, FAKE_BAD_CRC};
    static const int errors[] = {MESH_EBUSY, MESH_ENOT_LEADER, MESH_EAGAIN, MESH_EFULL, MESH_ESHUTDOWN};
    struct chaos *chaos = user;

    (void)broker, (void)op;
    if (atomic_load(&chaos->is_over) || random_below(&chaos->random, 6) != 0) return FAKE_SERVE;
    *error = errors[random_below(&chaos->random, sizeof(errors) / sizeof(errors[0]))];
    return actions[random_below(&chaos->random, sizeof(actions) / sizeof(actions[0]))];
}

struct tally {
    int delivered;
    int64_t last_offset[PARTITIONS];
};

static void note(void *user, const struct mesh_receipt *receipt)
{
    struct tally *tally = user;

    ck_assert_msg(receipt->status == MESH_DELIVERED, "%s", mesh_strerror(receipt->error));
    ck_assert_int_gt(receipt->offset, tally->last_offset[receipt->partition]);
    tally->last_offset[receipt->partition] = receipt->offset;
    tally->delivered++;
}

static void produce_all(struct mesh_client *client, struct mesh_producer *producer, struct tally *tally,
                        struct random *random)
{
    for (int i = 0; i < RECORDS * PARTITIONS; i++) {
        char text[16];
        struct mesh_record record = {.value = text, .partition = i % PARTITIONS};
        record.value_size = (size_t)snprintf(text, sizeof(text), "%d", i / PARTITIONS);
        while (mesh_producer_send(producer, &record, note, tally) == MESH_EQUEUEFULL)
            ck_assert_int_eq(mesh_client_poll(client, 10), 0);
        if (random_below(random, 20) == 0)
            ck_assert_int_eq(mesh_client_poll(client, (int)random_below(random, 2)), 0);
    }
    ck_assert_int_eq(mesh_producer_flush(producer, 60000), 0);
}

static void consume_all(struct mesh_client *client, struct mesh_consumer *consumer)
{
    struct mesh_consumed records[100];
    int next[PARTITIONS] = {0}, total = 0;

    while (total < RECORDS * PARTITIONS) {
        size_t count = 0;
        int err = mesh_consumer_poll(consumer, records, 100, 10000, &count);
        ck_assert_msg(err == 0, "%s", mesh_client_error(client));
        ck_assert_uint_gt(count, 0);
        for (size_t i = 0; i < count; i++) {
            char text[16] = "";
            memcpy(text, records[i].value, records[i].value_size);
            ck_assert_int_eq((int)strtol(text, NULL, 10), next[records[i].partition]);
            ck_assert_int_eq(records[i].offset, next[records[i].partition]++);
            total++;
        }
    }
}

START_TEST(nothing_is_lost_doubled_or_reordered)
{
    struct fake_broker *broker = fake_broker_new("t", PARTITIONS);
    struct chaos chaos = {.is_over = false};
    struct tally tally = {0, {-1, -1, -1}};
    struct mesh_client *client;
    struct mesh_producer *producer;
    struct mesh_consumer *consumer;
    struct random random;

    random_init(&random, (uint64_t)_i);
    random_init(&chaos.random, (uint64_t)_i + 1000);
    broker->shard_count = 2;
    broker->script = be_random;
    broker->script_user = &chaos;
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_client_new(broker->address, &client), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 1 + (size_t)random_below(&random, 40)), 0);
    ck_assert_int_eq(mesh_producer_set_memory_bytes_max(producer, 100000), 0);
    produce_all(client, producer, &tally, &random);
    ck_assert_int_eq(tally.delivered, RECORDS * PARTITIONS);
    ck_assert_uint_eq(atomic_load(&broker->produced_records), RECORDS * PARTITIONS);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
    ck_assert_int_eq(mesh_consumer_set_fetch_bytes_max(consumer, 16u << 10), 0);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", -1, MESH_OFFSET_BEGINNING), 0);
    consume_all(client, consumer);
    mesh_consumer_free(consumer);
    mesh_producer_free(producer);
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client chaos");
    TCase *c = tcase_create("chaos");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, nothing_is_lost_doubled_or_reordered, 0, 8);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
