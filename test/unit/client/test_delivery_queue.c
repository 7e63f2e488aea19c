/* The decisions about one partition's batches, driven by hand: no sockets, no clock. */
#include "client/delivery_queue.h"

#include "base/error.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct batch_pool pool;
static struct delivery_queue queue;

static void set_up(void)
{
    batch_pool_init(&pool, 16u << 20);
    delivery_queue_init(&queue, true, 5);
}

static struct producer_batch *push(uint32_t records)
{
    struct producer_batch *batch = NULL;

    ck_assert_int_eq(batch_pool_take(&pool, 1000, 1000, &batch), 0);
    for (uint32_t i = 0; i < records; i++) {
        const struct record record = {.timestamp_ms = 5, .key_is_null = true, .value = slice_of("v", 1)};
        ck_assert_int_eq(batch_add(batch, &record, (struct delivery){NULL, NULL}), 0);
    }
    delivery_queue_push(&queue, batch);
    return batch;
}

static void answer(struct producer_batch *batch, int error)
{
    const struct produce_result result = {.error = error, .base_offset = 100, .append_time_ms = -1};

    delivery_queue_answered(&queue, batch, &result, 1000, 10);
}

static void expect(struct producer_batch *batch, enum mesh_delivery_status status, int error)
{
    ck_assert_ptr_eq(delivery_queue_pop(&queue), batch);
    ck_assert_int_eq(batch->status, status);
    ck_assert_int_eq(batch->result.error, error);
    batch_pool_give(&pool, batch);
}

static void tear_down(void)
{
    struct producer_batch *batch;

    while (queue.next != NULL)
        delivery_queue_give_up(&queue, queue.next, MESH_ECANCELED);
    while ((batch = delivery_queue_pop(&queue)) != NULL)
        batch_pool_give(&pool, batch);
    batch_pool_deinit(&pool);
}

START_TEST(nothing_is_sent_without_a_producer_id)
{
    push(3);
    ck_assert(!delivery_queue_can_send(&queue, 0));
    ck_assert(delivery_queue_needs_producer_id(&queue));
    delivery_queue_set_producer_id(&queue, 9, 2);
    ck_assert(delivery_queue_can_send(&queue, 0));
    ck_assert(!delivery_queue_needs_producer_id(&queue));
}
END_TEST

START_TEST(sequences_count_records_and_wrap)
{
    struct producer_batch *a = push(3), *b = push(2), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 2);
    queue.next_sequence = INT32_MAX - 3;
    ck_assert_ptr_eq(delivery_queue_take(&queue), a);
    ck_assert_ptr_eq(delivery_queue_take(&queue), b);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_int_eq(a->base_sequence, INT32_MAX - 3);
    ck_assert_int_eq(b->base_sequence, INT32_MAX);
    ck_assert_int_eq(c->base_sequence, 1);
    ck_assert_int_eq(c->producer_id, 9);
    ck_assert_int_eq(c->producer_epoch, 2);
    answer(a, 0), answer(b, 0), answer(c, 0);
}
END_TEST

START_TEST(at_most_five_are_in_flight_and_answers_in_any_order_are_told_in_order)
{
    struct producer_batch *batches[7];

    for (int i = 0; i < 7; i++)
        batches[i] = push(1);
    delivery_queue_set_producer_id(&queue, 9, 0);
    for (int i = 0; i < 5; i++)
        delivery_queue_take(&queue);
    ck_assert(!delivery_queue_can_send(&queue, 0));
    answer(batches[1], 0);
    ck_assert(!delivery_queue_can_send(
        &queue, 0)); /* the broker would forget batches[0] while we have no answer for it */
    ck_assert_ptr_null(delivery_queue_pop(&queue));
    answer(batches[0], 0);
    expect(batches[0], MESH_DELIVERED, 0);
    expect(batches[1], MESH_DELIVERED, 0);
    ck_assert_ptr_null(delivery_queue_pop(&queue));
    ck_assert(delivery_queue_can_send(&queue, 0));
    for (int i = 2; i < 5; i++)
        answer(batches[i], 0);
}
END_TEST

START_TEST(after_a_failure_all_come_back_before_anything_goes_again_in_order)
{
    struct producer_batch *a = push(1), *b = push(1), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_take(&queue);
    answer(a, MESH_ENOT_LEADER);
    ck_assert(!delivery_queue_can_send(&queue, 100000)); /* b is still out there */
    answer(b, MESH_EOUT_OF_ORDER_SEQUENCE);              /* a's failure, seen from behind */
    ck_assert(!delivery_queue_can_send(&queue, 1009));   /* backoff */
    ck_assert(delivery_queue_can_send(&queue, 1010));
    ck_assert_ptr_eq(delivery_queue_take(&queue), a);
    ck_assert_ptr_eq(delivery_queue_take(&queue), b);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_int_eq(a->base_sequence, 0); /* kept */
    ck_assert_int_eq(b->base_sequence, 1);
    ck_assert_int_eq(c->base_sequence, 2);
    ck_assert_uint_eq(queue.failures, 1);
    answer(a, 0), answer(b, 0), answer(c, 0);
    ck_assert_uint_eq(queue.failures, 0);
    expect(a, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(a_sequence_broken_by_a_lost_batch_goes_on_under_a_new_epoch)
{
    struct producer_batch *a = push(4), *b = push(1), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 1000, 10);
    delivery_queue_give_up(&queue, a, MESH_ETIMEDOUT); /* its time is up */
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_ETIMEDOUT);
    ck_assert_ptr_eq(delivery_queue_take(&queue), b); /* under the old id: perhaps a was stored */
    ck_assert_int_eq(b->base_sequence, 4);
    answer(b, MESH_EOUT_OF_ORDER_SEQUENCE); /* it was not, and so b was not either, of which this was the only attempt */
    ck_assert(!delivery_queue_needs_producer_id(&queue));
    ck_assert_ptr_eq(delivery_queue_take(&queue), b);
    ck_assert_int_eq(b->producer_id, 9); /* the same, so that what is still on its way is fenced by the newer epoch */
    ck_assert_int_eq(b->producer_epoch, 1);
    ck_assert_int_eq(b->base_sequence, 0);
    ck_assert_uint_eq(b->encoded.size, 0); /* to be sealed anew */
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_int_eq(c->base_sequence, 1);
    answer(b, 0), answer(c, 0);
    expect(b, MESH_DELIVERED, 0);
    expect(c, MESH_DELIVERED, 0);
}
END_TEST

/* The first attempts of both may be on their way still, and be stored before anything of the new epoch is there. */
START_TEST(behind_an_unknown_batch_nothing_is_sent_anew_that_was_never_answered)
{
    struct producer_batch *a = push(4), *b = push(1), *c = push(1), *d = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue), delivery_queue_take(&queue), delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 1000, 10);
    delivery_queue_lost(&queue, b, MESH_ECLOSED, true, 1000, 10);
    delivery_queue_lost(&queue, c, MESH_ECLOSED, false, 1000, 10);
    delivery_queue_give_up(&queue, a, MESH_ETIMEDOUT);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_ETIMEDOUT);
    ck_assert_ptr_eq(delivery_queue_take(&queue), b);
    answer(b, MESH_EOUT_OF_ORDER_SEQUENCE);
    expect(b, MESH_DELIVERY_UNKNOWN, MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c); /* it was never sent before */
    ck_assert_int_eq(c->producer_epoch, 1);
    ck_assert_int_eq(c->base_sequence, 0);
    ck_assert_ptr_eq(delivery_queue_take(&queue), d);
    answer(c, 0), answer(d, 0);
    expect(c, MESH_DELIVERED, 0);
    expect(d, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(a_forgotten_producer_never_stores_a_batch_twice)
{
    struct producer_batch *a = push(1), *b = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 1000, 10); /* may have been stored */
    delivery_queue_take(&queue);
    answer(a, MESH_EUNKNOWN_PRODUCER);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_EUNKNOWN_PRODUCER);
    delivery_queue_set_producer_id(&queue, 10, 0);
    delivery_queue_take(&queue);
    answer(b, MESH_EPRODUCER_FENCED); /* never sent before: again, under a new id */
    ck_assert(delivery_queue_needs_producer_id(&queue));
    delivery_queue_set_producer_id(&queue, 11, 0);
    ck_assert_ptr_eq(delivery_queue_take(&queue), b);
    answer(b, 0);
    expect(b, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(a_forgotten_producer_s_waiting_batches_are_not_sent_again_under_a_new_id_either)
{
    struct produce_result unknown = {.error = MESH_EUNKNOWN_PRODUCER};
    struct producer_batch *a = push(1), *b = push(1), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 0, 0);
    delivery_queue_lost(&queue, b, MESH_ECLOSED, true, 0, 0); /* both may be stored */
    ck_assert_ptr_eq(delivery_queue_take(&queue), a);
    delivery_queue_answered(&queue, a, &unknown, 0, 0);
    ck_assert(delivery_queue_needs_producer_id(&queue));
    delivery_queue_set_producer_id(&queue, 10, 0);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_EUNKNOWN_PRODUCER);
    expect(b, MESH_DELIVERY_UNKNOWN, MESH_EUNKNOWN_PRODUCER);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_int_eq(c->base_sequence, 0);
    delivery_queue_lost(&queue, c, MESH_ECLOSED, false, 0, 0);
}
END_TEST

/* What was given up because the old id is not known any more says nothing about the new one. */
START_TEST(a_new_id_begins_without_the_doubts_of_the_old_one)
{
    struct producer_batch *a = push(1), *b = push(1), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue), delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 0, 0);
    delivery_queue_lost(&queue, b, MESH_ECLOSED, true, 0, 0);
    ck_assert_ptr_eq(delivery_queue_take(&queue), a);
    answer(a, MESH_EUNKNOWN_PRODUCER);
    delivery_queue_set_producer_id(&queue, 10, 0);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_EUNKNOWN_PRODUCER);
    expect(b, MESH_DELIVERY_UNKNOWN, MESH_EUNKNOWN_PRODUCER);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    delivery_queue_lost(&queue, c, MESH_ECLOSED, true, 0, 0);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    answer(c, MESH_EOUT_OF_ORDER_SEQUENCE);
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_int_eq(c->producer_epoch, 1);
    answer(c, 0);
    expect(c, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(what_never_left_is_failed_and_what_may_have_arrived_is_unknown)
{
    struct producer_batch *a = push(1), *b = push(1), *c = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 0, 1);
    delivery_queue_lost(&queue, b, MESH_ECLOSED, false, 0, 1);
    delivery_queue_give_up(&queue, a, MESH_ETIMEDOUT);
    delivery_queue_give_up(&queue, b, MESH_ETIMEDOUT);
    delivery_queue_give_up(&queue, c, MESH_ECANCELED);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_ETIMEDOUT);
    expect(b, MESH_DELIVERY_FAILED, MESH_ETIMEDOUT);
    expect(c, MESH_DELIVERY_FAILED, MESH_ECANCELED);
}
END_TEST

START_TEST(without_sequences_what_may_be_stored_is_unknown_at_once_and_not_sent_again)
{
    struct produce_result uncommitted = {.error = MESH_EUNCOMMITTED}, busy = {.error = MESH_EBUSY};
    struct producer_batch *a = push(1), *b = push(1), *c = push(1), *d = push(1);

    queue.is_idempotent = false;
    for (int i = 0; i < 4; i++)
        delivery_queue_take(&queue);
    delivery_queue_answered(&queue, a, &uncommitted, 0, 5);
    delivery_queue_lost(&queue, b, MESH_ECLOSED, true, 0, 5);
    delivery_queue_answered(&queue, c, &busy, 0, 5); /* certainly not stored */
    delivery_queue_lost(&queue, d, MESH_ECLOSED, false, 0, 5);
    expect(a, MESH_DELIVERY_UNKNOWN, MESH_EUNCOMMITTED);
    expect(b, MESH_DELIVERY_UNKNOWN, MESH_ECLOSED);
    ck_assert(!delivery_queue_can_send(&queue, 4));
    ck_assert_ptr_eq(delivery_queue_take(&queue), c);
    ck_assert_ptr_eq(delivery_queue_take(&queue), d);
    answer(c, 0);
    answer(d, 0);
    expect(c, MESH_DELIVERED, 0);
    expect(d, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(another_leader_is_tried_at_once)
{
    struct producer_batch *a = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 0, 1000);
    ck_assert(delivery_queue_is_stuck(&queue));
    ck_assert(!delivery_queue_can_send(&queue, 10));
    delivery_queue_hurry(&queue);
    ck_assert(!delivery_queue_is_stuck(&queue));
    ck_assert(delivery_queue_can_send(&queue, 10));
}
END_TEST

START_TEST(the_broker_s_last_refusal_is_remembered_until_something_else_is_heard)
{
    struct produce_result full = {.error = MESH_EFULL}, sequence = {.error = MESH_EOUT_OF_ORDER_SEQUENCE},
                          stored = {0};
    struct producer_batch *a = push(1), *b = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    delivery_queue_take(&queue);
    delivery_queue_answered(&queue, a, &full, 0, 0);
    ck_assert_int_eq(queue.refusal, MESH_EFULL);
    delivery_queue_answered(&queue, b, &sequence, 0, 0); /* follows from the first one's failure */
    ck_assert_int_eq(queue.refusal, MESH_EFULL);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, false, 0, 0); /* it never left: nothing new is known */
    ck_assert_int_eq(queue.refusal, MESH_EFULL);
    delivery_queue_take(&queue);
    delivery_queue_lost(&queue, a, MESH_ECLOSED, true, 0, 0);
    ck_assert_int_eq(queue.refusal, 0);
    delivery_queue_take(&queue);
    delivery_queue_answered(&queue, a, &full, 0, 0);
    delivery_queue_take(&queue);
    delivery_queue_answered(&queue, a, &stored, 0, 0);
    ck_assert_int_eq(queue.refusal, 0);
    expect(a, MESH_DELIVERED, 0);
}
END_TEST

START_TEST(a_stored_duplicate_is_delivered_without_an_offset)
{
    struct producer_batch *a = push(1);

    delivery_queue_set_producer_id(&queue, 9, 0);
    delivery_queue_take(&queue);
    answer(a, MESH_EDUPLICATE_SEQUENCE);
    ck_assert_int_eq((int64_t)a->result.base_offset, -1);
    expect(a, MESH_DELIVERED, 0);
}
END_TEST

static const struct {
    int error;
    bool is_first;
    uint32_t attempts;
    enum delivery_outcome want;
} outcome_cases[] = {
    {0, true, 1, DELIVERY_STORED},
    {MESH_EDUPLICATE_SEQUENCE, true, 1, DELIVERY_STORED},
    {MESH_EOUT_OF_ORDER_SEQUENCE, true, 1, DELIVERY_NEW_ID},
    {MESH_EOUT_OF_ORDER_SEQUENCE, false, 1, DELIVERY_RETRY},
    {MESH_EUNKNOWN_PRODUCER, true, 1, DELIVERY_FORGOTTEN},
    {MESH_EPRODUCER_FENCED, false, 1, DELIVERY_RETRY},
    {MESH_ENOT_LEADER, true, 1, DELIVERY_RETRY},
    {MESH_EUNREACHABLE, true, 1, DELIVERY_RETRY},
    {MESH_EBUSY, true, 99, DELIVERY_RETRY},
    {MESH_EFULL, true, 1, DELIVERY_RETRY},
    {MESH_ENOT_ENOUGH_REPLICAS, true, 1, DELIVERY_RETRY},
    {MESH_ETIMEDOUT, true, 1, DELIVERY_UNCLEAR},
    {MESH_EUNCOMMITTED, true, 1, DELIVERY_UNCLEAR},
    {MESH_ESTORAGE, true, 1, DELIVERY_UNCLEAR},
    {MESH_ESHUTDOWN, true, 1, DELIVERY_UNCLEAR},
    {MESH_ECORRUPT, true, 1, DELIVERY_RETRY},
    {MESH_ECORRUPT, true, 5, DELIVERY_REFUSED},
    {MESH_ETOOLARGE, true, 1, DELIVERY_REFUSED},
    {MESH_EINVALID_RECORD, true, 1, DELIVERY_REFUSED},
    {MESH_EINVALID_TIMESTAMP, true, 1, DELIVERY_REFUSED},
    {MESH_EUNAUTHORIZED, true, 1, DELIVERY_REFUSED},
    {MESH_EIO, true, 1, DELIVERY_DOUBTFUL},
};

START_TEST(each_error_has_its_outcome)
{
    ck_assert_int_eq(
        delivery_outcome_of(outcome_cases[_i].error, outcome_cases[_i].is_first, outcome_cases[_i].attempts),
        outcome_cases[_i].want);
}
END_TEST

/* A broker that stores by sequence, a network that loses, and keeps what it seemed to lose for a while: whatever happens, nothing is stored
 * twice, what is DELIVERED is stored, what is FAILED is not, and the stored records are in order. */
struct attempt {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    uint32_t records, id;
};

struct model_broker {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    struct {
        int32_t sequence;
        uint32_t id;
    } window[5];
    int window_count;
    uint32_t stored[4096];
    uint32_t stored_count;
};

static int model_store(struct model_broker *broker, const struct attempt *attempt)
{
    if (broker->producer_id == attempt->producer_id && attempt->producer_epoch < broker->producer_epoch) return MESH_EPRODUCER_FENCED;
    if (broker->producer_id != attempt->producer_id || broker->producer_epoch != attempt->producer_epoch) {
        if (attempt->base_sequence != 0) return MESH_EUNKNOWN_PRODUCER;
        broker->producer_id = attempt->producer_id;
        broker->producer_epoch = attempt->producer_epoch;
        broker->next_sequence = 0;
        broker->window_count = 0;
    }
    for (int i = 0; i < broker->window_count; i++)
        if (broker->window[i].sequence == attempt->base_sequence) return 0;
    if (attempt->base_sequence != broker->next_sequence) return MESH_EOUT_OF_ORDER_SEQUENCE;
    if (broker->window_count == 5)
        memmove(broker->window, broker->window + 1,
                sizeof(broker->window[0]) * (size_t)--broker->window_count);
    broker->window[broker->window_count].sequence = attempt->base_sequence;
    broker->window[broker->window_count++].id = attempt->id;
    broker->next_sequence += (int32_t)attempt->records;
    broker->stored[broker->stored_count++] = attempt->id;
    return 0;
}

struct flight {
    struct producer_batch *batch;
    struct attempt attempt;
    bool is_slow; /* the broker has not seen it yet */
    int error;
};

#define LATE_MAX 64

/* What the broker gets long after its connection has ended. */
struct late {
    struct attempt at[LATE_MAX];
    uint32_t count;
};

static void late_put(struct late *late, const struct attempt *attempt)
{
    if (late->count < LATE_MAX) late->at[late->count++] = *attempt;
}

/* In the order in which it was sent: it waits in one place. */
static void late_arrive(struct late *late, struct model_broker *broker, struct random *random)
{
    while (late->count > 0 && random_below(random, 3) != 0) {
        model_store(broker, &late->at[0]);
        memmove(late->at, late->at + 1, sizeof(late->at[0]) * --late->count);
    }
}

static struct flight flight_of(struct producer_batch *batch, uint32_t id)
{
    return (struct flight){
        .batch = batch,
        .attempt = {batch->producer_id, batch->producer_epoch, batch->base_sequence, batch_record_count(batch), id},
    };
}

/* What was sent before it on the same connection arrives before it. */
static void arrive_up_to(struct flight *flights, uint32_t last, struct model_broker *broker)
{
    for (uint32_t i = 0; i <= last; i++) {
        if (!flights[i].is_slow) continue;
        flights[i].error = model_store(broker, &flights[i].attempt);
        flights[i].is_slow = false;
    }
}

START_TEST(random_losses_never_store_twice_nor_lie)
{
    struct model_broker broker = {.producer_id = -1};
    struct flight flights[5];
    uint32_t ids[600] = {0}, flight_count = 0, pushed = 0, next_id = 0;
    struct producer_batch *batches[600];
    enum mesh_delivery_status fates[600];
    struct late late = {.count = 0};
    struct random random;
    uint64_t now_ms = 0;
    int64_t producer_id = 0;
    bool is_slow = false;
    uint32_t told = 0;

    random_init(&random, (uint64_t)_i + 1);
    while (told < 600) {
        struct producer_batch *batch;
        now_ms += 5;
        if (pushed < 600 && random_below(&random, 2)) {
            batches[pushed] = push(1 + (uint32_t)random_below(&random, 3));
            ids[pushed] = pushed;
            pushed++;
        }
        if (delivery_queue_needs_producer_id(&queue))
            delivery_queue_set_producer_id(&queue, producer_id++, 0);
        if (random_below(&random, 4) == 0) late_arrive(&late, &broker, &random);
        while (delivery_queue_can_send(&queue, now_ms) && flight_count < 5) {
            batch = delivery_queue_take(&queue);
            for (next_id = 0; batches[next_id] != batch || ids[next_id] == UINT32_MAX; next_id++) {
            }
            flights[flight_count] = flight_of(batch, next_id);
            is_slow = flight_count == 0 ? random_below(&random, 4) == 0 : is_slow || random_below(&random, 8) == 0;
            flights[flight_count].is_slow = is_slow;
            if (!is_slow) flights[flight_count].error = model_store(&broker, &flights[flight_count].attempt);
            flight_count++;
        }
        switch (random_below(&random, 8)) {
        case 0: /* the connection goes, and every answer with it; some requests too */
            while (flight_count > 0) {
                struct flight *flight = &flights[0];
                if (flight->is_slow && random_below(&random, 4) != 0) late_put(&late, &flight->attempt);
                delivery_queue_lost(&queue, flight->batch, MESH_ECLOSED, true, now_ms, 3);
                memmove(flights, flights + 1, sizeof(flights[0]) * --flight_count);
            }
            break;
        case 1: /* the oldest that waits runs out of time */
            if (queue.next != NULL && random_below(&random, 4) == 0 && queue.in_flight == 0) {
                batch = queue.next;
                delivery_queue_give_up(&queue, batch, MESH_ETIMEDOUT);
            }
            break;
        default: /* an answer, not always the oldest */
            if (flight_count > 0) {
                uint32_t at = (uint32_t)random_below(&random, flight_count);
                struct produce_result result = {.append_time_ms = -1};

                arrive_up_to(flights, at, &broker);
                result.error = flights[at].error;
                delivery_queue_answered(&queue, flights[at].batch, &result, now_ms, 3);
                memmove(flights + at, flights + at + 1, sizeof(flights[0]) * (flight_count - at - 1));
                flight_count--;
            }
        }
        while ((batch = delivery_queue_pop(&queue)) != NULL) {
            uint32_t id = told++;
            ck_assert_ptr_eq(batches[id], batch); /* in order */
            fates[id] = batch->status;
            ids[id] = UINT32_MAX;
            batch_pool_give(&pool, batch);
        }
    }
    for (uint32_t i = 1; i < broker.stored_count; i++)
        ck_assert_uint_lt(broker.stored[i - 1], broker.stored[i]); /* in order, and so never twice */
    for (uint32_t id = 0, at = 0; id < 600; id++) {
        bool is_stored = at < broker.stored_count && broker.stored[at] == id;
        if (is_stored) at++;
        if (fates[id] == MESH_DELIVERED) ck_assert(is_stored);
        if (fates[id] == MESH_DELIVERY_FAILED) ck_assert(!is_stored);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client delivery queue");
    TCase *c = tcase_create("delivery queue");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, nothing_is_sent_without_a_producer_id);
    tcase_add_test(c, sequences_count_records_and_wrap);
    tcase_add_test(c, at_most_five_are_in_flight_and_answers_in_any_order_are_told_in_order);
    tcase_add_test(c, after_a_failure_all_come_back_before_anything_goes_again_in_order);
    tcase_add_test(c, a_sequence_broken_by_a_lost_batch_goes_on_under_a_new_epoch);
    tcase_add_test(c, behind_an_unknown_batch_nothing_is_sent_anew_that_was_never_answered);
    tcase_add_test(c, a_forgotten_producer_never_stores_a_batch_twice);
    tcase_add_test(c, a_forgotten_producer_s_waiting_batches_are_not_sent_again_under_a_new_id_either);
    tcase_add_test(c, a_new_id_begins_without_the_doubts_of_the_old_one);
    tcase_add_test(c, what_never_left_is_failed_and_what_may_have_arrived_is_unknown);
    tcase_add_test(c, without_sequences_what_may_be_stored_is_unknown_at_once_and_not_sent_again);
    tcase_add_test(c, another_leader_is_tried_at_once);
    tcase_add_test(c, the_broker_s_last_refusal_is_remembered_until_something_else_is_heard);
    tcase_add_test(c, a_stored_duplicate_is_delivered_without_an_offset);
    tcase_add_loop_test(c, each_error_has_its_outcome, 0, sizeof(outcome_cases) / sizeof(outcome_cases[0]));
    tcase_add_loop_test(c, random_losses_never_store_twice_nor_lie, 0, 200);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
