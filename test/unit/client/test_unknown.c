/* A producer without sequences: what may have been stored is told as unknown, and never sent again. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static struct fake_broker *broker;
static struct mesh_client *client;
static struct mesh_producer *producer;

/* The first PRODUCE goes wrong in this way. */
static enum fake_action action;
static int action_error;
static atomic_bool is_due;

static enum fake_action spoil_one(void *user, struct fake_broker *unused, enum frame_op op, int *error)
{
    (void)user, (void)unused;
    *error = action_error;
    return op == FRAME_OP_PRODUCE && atomic_exchange(&is_due, false) ? action : FAKE_SERVE;
}

static void set_up(void)
{
    broker = fake_broker_new("t", 4);
    broker->script = spoil_one;
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_client_new(broker->address, &client), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
}

static void tear_down(void)
{
    mesh_producer_free(producer);
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

static const struct {
    enum fake_action action;
    int error, want;
} unclear[] = {
    {FAKE_FAIL_EACH, MESH_ETIMEDOUT, MESH_ETIMEDOUT}, {FAKE_FAIL_EACH, MESH_EUNCOMMITTED, MESH_EUNCOMMITTED},
    {FAKE_CLOSE, 0, MESH_ECLOSED},                    {FAKE_SERVE_AND_CLOSE, 0, MESH_ECLOSED},
    {FAKE_SERVE_CUT, 0, MESH_ECLOSED},                {FAKE_SILENT, 0, MESH_ETIMEDOUT},
};

struct fate {
    enum mesh_delivery_status status;
    int error, told, stored;
};

static void tell_fate(void *user, const struct mesh_receipt *receipt)
{
    struct fate *fate = user;

    fate->status = receipt->status;
    fate->error = receipt->error;
    fate->told++;
}

/* How often each number is in the partition's log. */
static void count_stored(uint32_t index, struct fate *fates)
{
    const struct fake_partition *partition = &broker->partitions[index];
    struct buffer scratch = BUFFER_INIT;

    for (size_t at = 0; at < partition->log.size;) {
        struct record_batch_header header;
        struct record_iterator iterator;
        struct record record;
        struct slice rest = slice_of(partition->log.data + at, partition->log.size - at);

        ck_assert_int_eq(record_batch_parse_header(rest, &header), 0);
        buffer_clear(&scratch);
        ck_assert_int_eq(record_iterator_init(&iterator, slice_of(rest.data, header.size), &scratch, 1u << 20), 0);
        while (record_iterator_next(&iterator, &record) == 1) {
            char text[16] = "";
            memcpy(text, record.value.data, record.value.size);
            fates[strtol(text, NULL, 10)].stored++;
        }
        at += header.size;
    }
    buffer_deinit(&scratch);
}

START_TEST(without_sequences_a_lost_answer_is_told_and_nothing_is_stored_twice)
{
    struct fate fates[40] = {{0}};
    int unknown = 0;

    ck_assert_int_eq(mesh_producer_set_idempotent(producer, 0), 0);
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 2), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 500), 0);
    action = unclear[_i].action;
    action_error = unclear[_i].error;
    atomic_store(&is_due, true);
    for (int i = 0; i < 40; i++) {
        char text[16];
        struct mesh_record record = {.value = text, .partition = 1};
        record.value_size = (size_t)snprintf(text, sizeof(text), "%d", i);
        ck_assert_int_eq(mesh_producer_send(producer, &record, tell_fate, &fates[i]), 0);
    }
    ck_assert_int_eq(mesh_producer_flush(producer, 20000), 0);
    fake_broker_stop(broker);
    count_stored(1, fates);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(fates[i].told, 1);
        ck_assert_int_le(fates[i].stored, 1);
        ck_assert_int_ne(fates[i].status, MESH_DELIVERY_FAILED);
        if (fates[i].status == MESH_DELIVERED) ck_assert_int_eq(fates[i].stored, 1);
        if (fates[i].status != MESH_DELIVERY_UNKNOWN) continue;
        ck_assert_int_eq(fates[i].error, unclear[_i].want);
        unknown++;
    }
    ck_assert_int_ge(unknown, 2);
    ck_assert_int_lt(unknown, 40);
    fake_broker_start(broker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client unknown fates");
    TCase *tcase = tcase_create("unknown fates");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, without_sequences_a_lost_answer_is_told_and_nothing_is_stored_twice, 0, sizeof(unclear) / sizeof(unclear[0]));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
