/* The producer against a broker that misbehaves by script. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "base/assert.h"
#include "support/run_suite.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_broker *broker;
static struct mesh_client *client;
static struct mesh_producer *producer;

/* Fails the first `count` frames of one operation in one way. */
struct plan {
    enum frame_op op;
    enum fake_action action;
    int error;
    atomic_int count;
};
static struct plan plan;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* while it is locked, the broker waits before it answers by the plan */

static enum fake_action follow_plan(void *user, struct fake_broker *unused, enum frame_op op, int *error)
{
    struct plan *p = user;

    (void)unused;
    if (op != p->op || atomic_fetch_sub(&p->count, 1) <= 0) return FAKE_SERVE;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    *error = p->error;
    return p->action;
}

static void start(uint32_t partitions)
{
    broker = fake_broker_new("t", partitions);
    broker->script = follow_plan;
    broker->script_user = &plan;
    plan = (struct plan){0};
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_client_new(broker->address, &client), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 5000), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
}

static void set_up(void)
{
    start(4);
}

static void tear_down(void)
{
    mesh_producer_free(producer);
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

static const struct mesh_record hello = {.value = "hello", .value_size = 5, .partition = 0};

struct counts {
    int delivered, failed, unknown;
    int64_t last_offset[FAKE_PARTITIONS_MAX];
    int error;
};

static void count(void *user, const struct mesh_receipt *receipt)
{
    struct counts *counts = user;

    if (receipt->status == MESH_DELIVERED) {
        counts->delivered++;
        ck_assert_int_gt(receipt->offset, counts->last_offset[receipt->partition]);
        counts->last_offset[receipt->partition] = receipt->offset;
    } else {
        counts->error = receipt->error;
        receipt->status == MESH_DELIVERY_FAILED ? counts->failed++ : counts->unknown++;
    }
}

static void keep_receipt(void *user, const struct mesh_receipt *receipt)
{
    *(struct mesh_receipt *)user = *receipt;
}

static struct counts new_counts(void)
{
    struct counts counts = {0};

    for (int i = 0; i < FAKE_PARTITIONS_MAX; i++)
        counts.last_offset[i] = -1;
    return counts;
}

START_TEST(one_record_gets_its_receipt)
{
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
    ck_assert_int_eq(receipt.status, MESH_DELIVERED);
    ck_assert_str_eq(receipt.topic, "t");
    ck_assert_int_eq(receipt.partition, 0);
    ck_assert_int_eq(receipt.offset, 0);
    ck_assert_int_eq(receipt.leader_epoch, 7);
    ck_assert_uint_eq(receipt.replicas_synced, 1);
    ck_assert_int_gt(receipt.timestamp_ms, 1600000000000);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
    ck_assert_int_eq(receipt.offset, 1);
    ck_assert_uint_eq(mesh_producer_queued_records(producer), 0);
    ck_assert_uint_eq(mesh_producer_queued_bytes(producer), 0);
}
END_TEST

/* Every way for a PRODUCE to go wrong twice and then right: each record is stored exactly once, in order. */
static const struct {
    enum fake_action action;
    int error;
} recoverable[] = {
    {FAKE_REFUSE, MESH_EBUSY},
    {FAKE_FAIL_EACH, MESH_ENOT_LEADER},
    {FAKE_FAIL_EACH, MESH_EFULL},
    {FAKE_FAIL_EACH, MESH_ETIMEDOUT},
    {FAKE_FAIL_EACH, MESH_EUNCOMMITTED},
    {FAKE_FAIL_EACH, MESH_ECORRUPT},
    {FAKE_FAIL_EACH, MESH_EUNKNOWN_TOPIC},
    {FAKE_FAIL_EACH, MESH_EOUT_OF_ORDER_SEQUENCE},
    {FAKE_FAIL_EACH, MESH_EUNKNOWN_PRODUCER},
    {FAKE_CLOSE, 0},
    {FAKE_SERVE_AND_CLOSE, 0},
    {FAKE_SERVE_CUT, 0},
    {FAKE_SERVE_DRIP, 0},
    {FAKE_GARBAGE, 0},
    {FAKE_LIE_LENGTH, 0},
    {FAKE_LIE_CORRELATION, 0},
    {FAKE_BAD_CRC, 0},
    {FAKE_FEWER_RESULTS, 0},
};

/* The values in a partition's log, in order, as numbers. */
static void expect_log(uint32_t index, int first, int step, int end)
{
    struct fake_partition *partition = &broker->partitions[index];
    struct buffer scratch = BUFFER_INIT;
    int next = first;

    for (size_t at = 0; at < partition->log.size;) {
        struct record_batch_header header;
        struct record_iterator iterator;
        struct record record;
        ck_assert_int_eq(
            record_batch_parse_header(slice_of(partition->log.data + at, partition->log.size - at), &header),
            0);
        buffer_clear(&scratch);
        ck_assert_int_eq(record_iterator_init(&iterator, slice_of(partition->log.data + at, header.size),
                                              &scratch, 1u << 20),
                         0);
        while (record_iterator_next(&iterator, &record) == 1) {
            char text[16] = "";
            memcpy(text, record.value.data, record.value.size);
            ck_assert_int_eq((int)strtol(text, NULL, 10), next);
            next += step;
        }
        at += header.size;
    }
    ck_assert_int_ge(next, end);
    ck_assert_int_lt(next - step, end);
    buffer_deinit(&scratch);
}

static void send_numbers(int total, struct counts *counts)
{
    for (int i = 0; i < total; i++) {
        char text[16];
        struct mesh_record record = {.value = text, .partition = i % 4};
        record.value_size = (size_t)snprintf(text, sizeof(text), "%d", i);
        ck_assert_int_eq(mesh_producer_send(producer, &record, count, counts), 0);
        if (i % 10 == 0) ck_assert_int_eq(mesh_client_poll(client, 0), 0);
    }
}

START_TEST(trouble_neither_loses_nor_doubles_nor_reorders)
{
    struct counts counts = new_counts();

    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 3), 0);
    plan.op = FRAME_OP_PRODUCE;
    plan.action = recoverable[_i].action;
    plan.error = recoverable[_i].error;
    atomic_store(&plan.count, 2);
    send_numbers(400, &counts);
    ck_assert_int_eq(mesh_producer_flush(producer, 20000), 0);
    ck_assert_int_eq(counts.delivered, 400);
    ck_assert_int_eq(counts.failed + counts.unknown, 0);
    fake_broker_stop(broker);
    for (int i = 0; i < 4; i++)
        expect_log((uint32_t)i, i, 4, 400);
    fake_broker_start(broker);
}
END_TEST

START_TEST(every_operation_s_trouble_is_survived)
{
    static const enum frame_op ops[] = {FRAME_OP_HELLO, FRAME_OP_TOPIC_DESCRIBE, FRAME_OP_INIT_PRODUCER};
    static const enum fake_action actions[] = {FAKE_CLOSE,      FAKE_SERVE_AND_CLOSE, FAKE_SERVE_CUT,
                                               FAKE_SERVE_DRIP, FAKE_GARBAGE,         FAKE_LIE_LENGTH,
                                               FAKE_BAD_CRC,    FAKE_REFUSE};
    struct mesh_receipt receipt;

    plan.op = ops[_i % 3];
    plan.action = actions[_i / 3];
    plan.error = MESH_EBUSY;
    atomic_store(&plan.count, 2);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
}
END_TEST

START_TEST(a_fatal_error_fails_its_records_and_the_next_ones_go_on)
{
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    plan.op = FRAME_OP_PRODUCE;
    plan.action = FAKE_FAIL_EACH;
    plan.error = MESH_EINVALID_RECORD;
    atomic_store(&plan.count, 1);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), MESH_EINVALID_RECORD);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
    ck_assert_int_eq(receipt.offset, -1);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt),
                     0); /* its sequence is broken: under a new epoch */
    ck_assert_int_eq(receipt.offset, 1);
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_INIT_PRODUCER]), 1); /* the same id, in its next epoch */
}
END_TEST

START_TEST(without_an_answer_in_time_the_fate_is_unknown)
{
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_producer_set_delivery_timeout_ms(producer, 150), 0);
    plan.op = FRAME_OP_PRODUCE;
    plan.action = FAKE_SILENT;
    atomic_store(&plan.count, 1);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), MESH_ETIMEDOUT);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_UNKNOWN);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
}
END_TEST

START_TEST(what_never_left_in_time_is_failed)
{
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_producer_set_delivery_timeout_ms(producer, 150), 0);
    plan.op = FRAME_OP_INIT_PRODUCER;
    plan.action = FAKE_SILENT;
    atomic_store(&plan.count, 1000);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), MESH_ETIMEDOUT);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
}
END_TEST

static const struct {
    enum frame_op op;
    enum fake_action action;
    int error;
    enum mesh_delivery_status status;
} refusals[] = {
    {FRAME_OP_PRODUCE, FAKE_FAIL_EACH, MESH_EFULL, MESH_DELIVERY_FAILED},
    {FRAME_OP_PRODUCE, FAKE_REFUSE, MESH_EBUSY, MESH_DELIVERY_FAILED},
    {FRAME_OP_PRODUCE, FAKE_FAIL_EACH, MESH_ESTORAGE,
     MESH_DELIVERY_UNKNOWN}, /* a part may have reached the disk */
    {FRAME_OP_INIT_PRODUCER, FAKE_REFUSE, MESH_EFULL, MESH_DELIVERY_FAILED},
};

/* How far the client's clock is ahead of the machine's, which a busy machine cannot make late. */
static atomic_ullong ahead_ms;

uint64_t __real_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void);

uint64_t __wrap_clock_monotonic_ms(void)
{
    return __real_clock_monotonic_ms() + atomic_load(&ahead_ms);
}

/* The broker's answer to the first frame of the plan has been read, and nothing was sent again: it waits before that. */
static void hear_first_answer(void)
{
    struct pollfd readable = {.fd = mesh_client_fd(client), .events = POLLIN};
    unsigned answered;

    while (atomic_load(&broker->frames[plan.op]) == 0) ck_assert_int_eq(mesh_client_poll(client, 1), 0);
    answered = atomic_load(&broker->answered);
    pthread_mutex_unlock(&gate);
    while (atomic_load(&broker->answered) == answered) sched_yield();
    ck_assert_int_eq(poll(&readable, 1, -1), 1);
    ck_assert_int_eq(mesh_client_poll(client, 0), 0);
}

/* Time is up between two attempts: what an attempt under way would have brought is another question, and not known then. */
START_TEST(when_time_is_up_the_broker_s_own_reason_is_told)
{
    struct mesh_receipt receipts[2] = {0};

    ck_assert_int_eq(mesh_client_set_timeout_ms(client, 120000), 0);
    ck_assert_int_eq(mesh_producer_set_delivery_timeout_ms(producer, 60000), 0);
    ck_assert_int_eq(mesh_producer_set_in_flight_max(producer, 1), 0); /* the second one is never sent */
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 1), 0);
    plan.op = refusals[_i].op;
    plan.action = refusals[_i].action;
    plan.error = refusals[_i].error;
    atomic_store(&plan.count, 1000);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(mesh_producer_send(producer, &hello, keep_receipt, &receipts[i]), 0);
    hear_first_answer();
    atomic_fetch_add(&ahead_ms, 60000);
    ck_assert_int_eq(mesh_producer_flush(producer, 120000), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(receipts[i].error, refusals[_i].error);
    ck_assert_int_eq(receipts[0].status, refusals[_i].status);
    ck_assert_int_eq(receipts[1].status, MESH_DELIVERY_FAILED);
}
END_TEST

START_TEST(without_a_broker_records_are_failed_as_unreachable)
{
    struct mesh_receipt receipt;

    fake_broker_stop(broker);
    ck_assert_int_eq(mesh_producer_set_delivery_timeout_ms(producer, 150), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), MESH_EUNREACHABLE);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
    fake_broker_start(broker);
    for (int i = 0; i < 50 && mesh_produce(producer, &hello, &receipt) != 0;
         i++) /* until it is found again */
        ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
    ck_assert_int_eq(receipt.error, 0);
    fake_broker_stop(broker);
    ck_assert_int_eq(mesh_client_poll(client, 1000), 0); /* the client sees that it is gone */
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), MESH_EUNREACHABLE);
    fake_broker_start(broker);
}
END_TEST

START_TEST(an_unknown_topic_fails_soon_and_says_so)
{
    struct mesh_producer *other;
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_producer_new(client, "nobody", &other), 0);
    ck_assert_int_eq(mesh_produce(other, &hello, &receipt), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
    mesh_producer_free(other);
}
END_TEST

START_TEST(the_memory_cap_is_answered_and_recovers)
{
    static char big[2000];
    const struct mesh_record record = {.value = big, .value_size = sizeof(big), .partition = 1};
    struct counts counts = new_counts();
    int accepted = 0, err;

    ck_assert_int_eq(mesh_producer_set_memory_bytes_max(producer, 64u << 10), 0);
    ck_assert_int_eq(mesh_produce(producer, &record, NULL), 0);
    plan.op = FRAME_OP_PRODUCE;
    plan.action = FAKE_REFUSE;
    plan.error = MESH_EBUSY;
    atomic_store(&plan.count, 3);
    while ((err = mesh_producer_send(producer, &record, count, &counts)) == 0)
        ck_assert_int_lt(++accepted, 1000);
    ck_assert_int_eq(err, MESH_EQUEUEFULL);
    ck_assert_int_gt(accepted, 10);
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "memory"));
    while (mesh_producer_send(producer, &record, count, &counts) == MESH_EQUEUEFULL)
        ck_assert_int_eq(mesh_client_poll(client, 100), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_int_eq(counts.delivered, accepted + 1);
}
END_TEST

START_TEST(bad_records_are_refused_with_a_reason)
{
    static char big[3000];
    const struct mesh_header bad_header = {NULL, "v", 1};
    const struct {
        struct mesh_record record;
        int want;
    } cases[] = {
        {{.value = NULL, .value_size = 5}, MESH_EINVAL},
        {{.value = "x", .value_size = 1, .key = NULL, .key_size = 1}, MESH_EINVAL},
        {{.value = "x", .value_size = 1, .headers = &bad_header, .header_count = 1}, MESH_EINVAL},
        {{.value = "x", .value_size = 1, .partition = 4}, MESH_EINVAL},
        {{.value = big, .value_size = sizeof(big)}, MESH_ETOOLARGE},
    };

    ck_assert_int_eq(mesh_producer_set_batch_bytes_max(producer, 2048), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_int_eq(mesh_producer_send(producer, &cases[i].record, NULL, NULL), cases[i].want);
        ck_assert_str_ne(mesh_client_error(client), "");
    }
    ck_assert_uint_eq(mesh_producer_queued_records(producer), 0);
    ck_assert_int_eq(mesh_producer_set_linger_ms(producer, 5), MESH_EINVAL); /* too late for options */
}
END_TEST

START_TEST(records_sent_before_the_routes_are_known_keep_their_order_and_content)
{
    const struct mesh_header header = {"trace", "abc", 3};
    struct counts counts = new_counts();
    struct mesh_record record = {
        .key = "k", .key_size = 1, .headers = &header, .header_count = 1, .partition = 2};

    for (int i = 0; i < 50; i++) { /* no poll in between: nothing is known yet */
        char text[16];
        record.value = text;
        record.value_size = (size_t)snprintf(text, sizeof(text), "%d", i);
        ck_assert_int_eq(mesh_producer_send(producer, &record, count, &counts), 0);
    }
    ck_assert_uint_eq(mesh_producer_queued_records(producer), 50);
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(counts.delivered, 50);
    fake_broker_stop(broker);
    expect_log(2, 0, 1, 50);
    fake_broker_start(broker);
}
END_TEST

START_TEST(freeing_tells_what_was_not_delivered)
{
    struct mesh_producer *other;
    struct counts counts = new_counts();

    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &other), 0);
    plan.op = FRAME_OP_PRODUCE;
    plan.action = FAKE_SILENT;
    atomic_store(&plan.count, 100);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(mesh_producer_send(other, &hello, count, &counts), 0);
    if (_i == 1) ck_assert_int_eq(mesh_producer_flush(other, 100), MESH_ETIMEDOUT);
    mesh_producer_free(other);
    ck_assert_int_eq(counts.error, MESH_ECANCELED);
    ck_assert_int_eq(_i == 1 ? counts.unknown : counts.failed, 10);
    atomic_store(&plan.count, 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), MESH_OK);
}
END_TEST

START_TEST(acks_0_is_done_when_it_has_left)
{
    struct counts counts = {0};
    struct mesh_receipt receipt;

    ck_assert_int_eq(mesh_producer_set_acks(producer, 0), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(mesh_producer_send(producer, &hello, NULL, NULL), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
    ck_assert_int_eq(receipt.offset, -1);
    mesh_producer_free(producer);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0); /* on the same connection, after them */
    ck_assert_int_eq(receipt.offset, 1001);
    (void)counts;
}
END_TEST

static void send_again(void *user, const struct mesh_receipt *receipt)
{
    int *left = user;

    ck_assert_int_eq(receipt->status, MESH_DELIVERED);
    ck_assert_int_eq(mesh_producer_flush(producer, 0), MESH_EINVAL); /* may not wait */
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), MESH_EINVAL);
    if ((*left)-- > 0) ck_assert_int_eq(mesh_producer_send(producer, &hello, send_again, left), 0);
}

START_TEST(a_callback_may_send)
{
    int left = 100;

    ck_assert_int_eq(mesh_producer_send(producer, &hello, send_again, &left), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(left, -1);
}
END_TEST

/* The broker's answer is waited for once, without a call into the library: on a busy machine it may come after the loop's end. That it is
 * taken in is then up to the calls that send. */
START_TEST(a_tight_loop_makes_progress_without_polls_and_not_one_record_at_a_time)
{
    struct pollfd readable = {.events = POLLIN};
    struct counts counts = new_counts();
    unsigned answered;

    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0); /* the way is known */
    readable.fd = mesh_client_fd(client);
    answered = atomic_load(&broker->answered);
    for (int i = 0; i < 200000; i++) {
        ck_assert_int_eq(mesh_producer_send(producer, &hello, count, &counts), 0);
        if (i != 20000) continue;
        while (atomic_load(&broker->answered) == answered) sched_yield();
        if (counts.delivered == 0) ck_assert_int_eq(poll(&readable, 1, -1), 1);
    }
    ck_assert_int_gt(counts.delivered, 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 20000), 0);
    ck_assert_int_eq(counts.delivered, 200000);
    ck_assert_uint_lt(atomic_load(&broker->frames[FRAME_OP_PRODUCE]), 200000 / 100);
}
END_TEST

START_TEST(linger_waits_and_then_sends)
{
    struct counts counts = new_counts();

    ck_assert_int_eq(mesh_producer_set_linger_ms(producer, 60), 0);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0); /* a blocking call does not linger */
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(mesh_producer_send(producer, &hello, count, &counts), 0);
        ck_assert_int_eq(mesh_client_poll(client, 0), 0);
    }
    ck_assert_int_le(mesh_client_timeout_ms(client), 60);
    while (counts.delivered < 5)
        ck_assert_int_eq(mesh_client_poll(client, -1), 0);
    ck_assert_uint_eq(atomic_load(&broker->frames[FRAME_OP_PRODUCE]), 2);
}
END_TEST

START_TEST(compressed_batches_are_stored_compressed)
{
    ck_assert_int_eq(mesh_producer_set_compression(producer, (enum mesh_compression)_i), 0);
    struct counts counts = new_counts();
    send_numbers(1000, &counts);
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(counts.delivered, 1000);
    fake_broker_stop(broker);
    for (int i = 0; i < 4; i++)
        expect_log((uint32_t)i, i, 4, 1000);
    fake_broker_start(broker);
}
END_TEST

static int32_t last_partition(void *user, const struct mesh_record *record, int32_t partition_count)
{
    (void)record;
    return *(int *)user ? partition_count : partition_count - 1;
}

START_TEST(partitioners_choose)
{
    struct mesh_record record = {.value = "v", .value_size = 1, .partition = MESH_PARTITION_ANY};
    struct mesh_producer *other;
    struct mesh_receipt receipt;
    int is_out_of_range = 0;
    int32_t seen[4] = {0};

    ck_assert_int_eq(mesh_producer_set_partitioner(producer, MESH_PARTITIONER_ROUND_ROBIN), 0);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(mesh_produce(producer, &record, &receipt), 0);
        seen[receipt.partition]++;
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(seen[i], 2);

    ck_assert_int_eq(mesh_producer_new(client, "t", &other), 0);
    record.key = "foobar";
    record.key_size = 6;
    ck_assert_int_eq(mesh_produce(other, &record, &receipt), 0);
    ck_assert_int_eq(receipt.partition, (-790332482 & 0x7fffffff) % 4);
    mesh_producer_free(other);

    ck_assert_int_eq(mesh_producer_new(client, "t", &other), 0);
    ck_assert_int_eq(mesh_producer_set_partitioner(other, MESH_PARTITIONER_KEY_HASH), 0);
    record.key = NULL;
    record.key_size = 0;
    ck_assert_int_eq(mesh_produce(other, &record, &receipt), MESH_EINVAL);
    mesh_producer_free(other);

    ck_assert_int_eq(mesh_producer_new(client, "t", &other), 0);
    ck_assert_int_eq(mesh_producer_set_partitioner_fn(other, last_partition, &is_out_of_range), 0);
    ck_assert_int_eq(mesh_produce(other, &record, &receipt), 0);
    ck_assert_int_eq(receipt.partition, 3);
    is_out_of_range = 1;
    ck_assert_int_eq(mesh_producer_send(other, &record, NULL, NULL), MESH_EINVAL);
    mesh_producer_free(other);
}
END_TEST

START_TEST(a_batch_beyond_the_broker_s_frame_limit_is_refused)
{
    static char big[100000];
    const struct mesh_record record = {.value = big, .value_size = sizeof(big), .partition = 0};
    struct mesh_receipt receipt;

    fake_broker_stop(broker);
    broker->frame_bytes_max = 50000;
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_produce(producer, &record, &receipt), MESH_ETOOLARGE);
    ck_assert_int_eq(receipt.status, MESH_DELIVERY_FAILED);
    ck_assert_int_eq(mesh_produce(producer, &hello, &receipt), 0);
}
END_TEST

static void send_filled(int total, struct counts *counts)
{
    char value[100];
    const struct mesh_record record = {.value = value, .value_size = sizeof(value), .partition = 0};

    memset(value, 'v', sizeof(value));
    for (int i = 0; i < total; i++)
        ck_assert_int_eq(mesh_producer_send(producer, &record, count, counts), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 20000), 0);
}

START_TEST(batches_are_no_larger_than_the_topic_takes)
{
    char value[3000] = "";
    const struct mesh_record large = {.value = value, .value_size = sizeof(value), .partition = 1};
    struct counts counts = new_counts();

    atomic_store(&broker->batch_bytes_max, 2000);
    send_filled(1000, &counts); /* those before the routes are known, and those after */
    ck_assert_int_eq(counts.delivered, 1000);
    ck_assert_int_eq(mesh_produce(producer, &large, NULL), MESH_ETOOLARGE);
}
END_TEST

START_TEST(a_record_over_the_topic_s_limit_may_fit_once_compressed)
{
    char value[3000] = "";
    const struct mesh_record large = {.value = value, .value_size = sizeof(value), .partition = 0};

    atomic_store(&broker->batch_bytes_max, 2000);
    ck_assert_int_eq(mesh_producer_set_compression(producer, MESH_COMPRESSION_LZ4), 0);
    ck_assert_int_eq(mesh_produce(producer, &large, NULL), 0);
    ck_assert_int_eq(mesh_produce(producer, &large, NULL), 0);
}
END_TEST

START_TEST(a_limit_that_was_lowered_is_learned_from_the_refusal)
{
    struct counts counts = new_counts(), later = {0};

    send_filled(1000, &counts);
    ck_assert_int_eq(counts.delivered, 1000);
    atomic_store(&broker->batch_bytes_max, 2000);
    send_filled(1000, &counts);
    ck_assert_int_gt(counts.failed, 0);
    ck_assert_int_eq(counts.error, MESH_ETOOLARGE);
    ck_assert_int_eq(counts.delivered + counts.failed, 2000);
    while (later.delivered < 1000) { /* soon; else the test's time runs out */
        later = new_counts();
        ck_assert_int_eq(mesh_client_poll(client, 10), 0);
        send_filled(1000, &later);
    }
    ck_assert_int_eq(later.failed + later.unknown, 0);
}
END_TEST

START_TEST(batches_that_fit_one_by_one_are_not_refused_together)
{
    static char value[12400];
    struct counts counts = new_counts();

    fake_broker_stop(broker);
    broker->frame_bytes_max = 50000;
    fake_broker_start(broker);
    for (int32_t i = 0; i < 4; i++) { /* batches of nearly 12,500 bytes */
        const struct mesh_record record = {.value = value, .value_size = sizeof(value), .partition = i};
        ck_assert_int_eq(mesh_producer_send(producer, &record, count, &counts), 0);
    }
    ck_assert_int_eq(mesh_producer_flush(producer, 5000), 0);
    ck_assert_int_eq(counts.delivered, 4);
}
END_TEST

static void poll_in_callback(void *user, const struct mesh_receipt *receipt)
{
    (void)receipt;
    *(int *)user = mesh_client_poll(client, 0);
}

START_TEST(a_callback_may_not_wait_not_even_while_its_producer_is_freed)
{
    struct mesh_producer *other;
    int told = 1;

    ck_assert_int_eq(mesh_producer_new(client, "t", &other), 0);
    ck_assert_int_eq(mesh_producer_send(other, &hello, poll_in_callback, &told), 0);
    mesh_producer_free(other);
    ck_assert_int_eq(told, MESH_EINVAL);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
}
END_TEST

struct freeing {
    struct mesh_producer *other;
};

static void free_other(void *user, const struct mesh_receipt *receipt)
{
    struct freeing *freeing = user;

    ck_assert_int_eq(receipt->error, 0);
    mesh_producer_free(freeing->other); /* while it is sending on the same connection */
    freeing->other = NULL;
}

START_TEST(a_callback_may_free_another_producer)
{
    static char big[900000];
    const struct mesh_record bulk = {.value = big, .value_size = sizeof(big), .partition = 0};
    struct freeing freeing = {NULL};
    struct counts counts = new_counts();

    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &freeing.other), 0);
    ck_assert_int_eq(mesh_producer_send(producer, &hello, free_other, &freeing), 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(
            mesh_producer_send(freeing.other != NULL ? freeing.other : producer, &bulk, count, &counts), 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_ptr_null(freeing.other);
    ck_assert_int_eq(counts.delivered + counts.failed + counts.unknown, 20);
    ck_assert_int_eq(mesh_produce(producer, &hello, NULL), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client producer");
    TCase *c = tcase_create("producer");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, one_record_gets_its_receipt);
    tcase_add_loop_test(c, trouble_neither_loses_nor_doubles_nor_reorders, 0,
                        sizeof(recoverable) / sizeof(recoverable[0]));
    tcase_add_loop_test(c, every_operation_s_trouble_is_survived, 0, 24);
    tcase_add_test(c, a_fatal_error_fails_its_records_and_the_next_ones_go_on);
    tcase_add_test(c, without_an_answer_in_time_the_fate_is_unknown);
    tcase_add_test(c, what_never_left_in_time_is_failed);
    tcase_add_loop_test(c, when_time_is_up_the_broker_s_own_reason_is_told, 0,
                        sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(c, without_a_broker_records_are_failed_as_unreachable);
    tcase_add_test(c, an_unknown_topic_fails_soon_and_says_so);
    tcase_add_test(c, the_memory_cap_is_answered_and_recovers);
    tcase_add_test(c, bad_records_are_refused_with_a_reason);
    tcase_add_test(c, records_sent_before_the_routes_are_known_keep_their_order_and_content);
    tcase_add_loop_test(c, freeing_tells_what_was_not_delivered, 0, 2);
    tcase_add_test(c, acks_0_is_done_when_it_has_left);
    tcase_add_test(c, a_callback_may_send);
    tcase_add_test(c, a_tight_loop_makes_progress_without_polls_and_not_one_record_at_a_time);
    tcase_add_test(c, linger_waits_and_then_sends);
    tcase_add_loop_test(c, compressed_batches_are_stored_compressed, 0, 5);
    tcase_add_test(c, partitioners_choose);
    tcase_add_test(c, a_batch_beyond_the_broker_s_frame_limit_is_refused);
    tcase_add_test(c, batches_are_no_larger_than_the_topic_takes);
    tcase_add_test(c, a_record_over_the_topic_s_limit_may_fit_once_compressed);
    tcase_add_test(c, a_limit_that_was_lowered_is_learned_from_the_refusal);
    tcase_add_test(c, batches_that_fit_one_by_one_are_not_refused_together);
    tcase_add_test(c, a_callback_may_not_wait_not_even_while_its_producer_is_freed);
    tcase_add_test(c, a_callback_may_free_another_producer);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
