/* Requests that go past the control loops: when, in which order, and what comes of them when a stream ends. */
#include "base/error.h"
#include "cmd/broker/forward/outlet.h"
#include "cmd/broker/forward/ways.h"
#include "cmd/broker/runtime/shard.h"
#include "forward_pair.h"
#include "support/fs_gate.h"
#include "support/run_suite.h"

#include <check.h>

/* Something to be done on a shard's own thread. */
struct errand {
    struct mail mail;
    struct shard *shard;
    void (*run)(struct shard *shard);
    atomic_bool is_done;
};

static void errand_arrives(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);

    errand->run(errand->shard);
    atomic_store(&errand->is_done, true);
}

static void run_on_shards(const struct broker_fixture *fixture, void (*run)(struct shard *shard))
{
    for (uint32_t i = 0; i < fixture->broker->shard_count; i++) {
        struct errand errand = {.mail.deliver = errand_arrives, .shard = fixture->broker->shards[i], .run = run};

        shard_post(errand.shard, &errand.mail);
        while (!atomic_load(&errand.is_done)) {
        }
    }
}

static void sweep_much_later(struct shard *shard)
{
    (void)forward_outlets_sweep(&shard->forward_ways, shard->now_ms + 31000);
}

START_TEST(who_is_asked_again_is_asked_by_a_stream)
{
    struct forward_stats before;

    wait_for_link();
    before = stats_of(&here);
    for (int i = 0; i < 50; i++) {
        struct produce_result result = produce(far, 1, 10);

        ck_assert_int_eq(result.error, 0);
        ck_assert_uint_eq(result.base_offset, (uint64_t)i + 1);
    }
    ck_assert_uint_eq(stats_of(&here).streamed - before.streamed, 50);
    ck_assert_uint_eq(stats_of(&here).calls - before.calls, 50);
    ck_assert_uint_eq(stats_of(&here).answers - before.answers, 50);
    ck_assert_uint_ge(stats_of(&there).streams_now, 1);
    ck_assert_uint_eq(stats_of(&here).calls_now, 0);
}
END_TEST

/* The first batches go by the link, the last ones by the stream, and some are under way at the change: with sequences, so none may overtake another. */
START_TEST(order_holds_when_the_way_changes)
{
    enum { WINDOW = 5, BY_STREAM = 100 };
    uint32_t correlation_ids[WINDOW];
    uint64_t sent = 0, done = 0;
    bool is_enough = false;

    while (stats_of(&here).answers == 0) /* the link may be a moment younger than the images */
        (void)fetch_result(fetch_send(far, 0, 0, 1), NULL);
    while (!is_enough || done < sent) {
        struct produce_result result;

        if (sent - done == WINDOW || (is_enough && done < sent)) {
            result = raw_produce_result(&client, correlation_ids[done % WINDOW]);
            ck_assert_int_eq(result.error, 0);
            ck_assert(!result.is_duplicate);
            ck_assert_uint_eq(result.base_offset, done++);
            is_enough = stats_of(&here).streamed >= BY_STREAM;
        }
        if (!is_enough) {
            struct buffer batch = raw_batch(1, sent % 7 == 0 ? 100000 : 20, PRODUCER_ID, (int32_t)sent, raw_now_ms());

            correlation_ids[sent++ % WINDOW] = produce_one_send(far, &batch, -1);
            buffer_deinit(&batch);
        }
    }
    ck_assert_uint_lt(stats_of(&here).streamed, stats_of(&here).calls);
}
END_TEST

/* A batch was sent by a stream, the disk over there hangs, and the stream ends: nobody knows. Those after it go by the link, also when no stream can be had. */
START_TEST(of_what_was_sent_by_a_stream_that_ends_nobody_knows)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    int64_t until_ms;
    uint64_t streamed;
    uint32_t id;

    wait_for_link();
    fs_gate_shut();
    id = produce_one_send(far, &batch, -1);
    fs_gate_wait();
    run_on_shards(&there, forward_ways_close);
    ck_assert_int_eq(raw_produce_result(&client, id).error, MESH_ETIMEDOUT);
    ck_assert_uint_eq(stats_of(&here).unknown, 1);
    fs_gate_open();
    streamed = stats_of(&here).streamed;
    until_ms = raw_now_ms() + 1500; /* it is tried again after a second */
    while (raw_now_ms() < until_ms)
        ck_assert_int_eq(produce(far, 1, 10).error, 0);
    ck_assert_uint_eq(stats_of(&here).streamed, streamed);
    ck_assert_uint_eq(stats_of(&here).unknown, 1);
    buffer_deinit(&batch);
}
END_TEST

/* The entry's own streams end: the same, seen from there. */
START_TEST(a_shard_that_ends_its_streams_uses_the_link)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    uint64_t streamed;
    uint32_t id;

    wait_for_link();
    fs_gate_shut();
    id = produce_one_send(far, &batch, -1);
    fs_gate_wait();
    streamed = stats_of(&here).streamed;
    run_on_shards(&here, forward_ways_close);
    ck_assert_int_eq(raw_produce_result(&client, id).error, MESH_ETIMEDOUT);
    fs_gate_open();
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(produce(far, 1, 10).error, 0);
    ck_assert_uint_eq(stats_of(&here).streamed, streamed);
    while (stats_of(&there).streams_now > 0 || stats_of(&there).serves_now > 0) {
    }
    buffer_deinit(&batch);
}
END_TEST

/* Longer than what the network takes at once, and many: requests wait over there until those before are on their way. */
START_TEST(long_answers_all_come)
{
    enum { LONG = 900000, COUNT = 60, AHEAD = 6 };
    uint32_t correlation_ids[COUNT];
    struct buffer records = BUFFER_INIT;

    wait_for_link();
    ck_assert_int_eq(produce(far, 1, LONG).error, 0);
    for (int i = 0; i < COUNT + AHEAD; i++) {
        if (i < COUNT) correlation_ids[i] = fetch_send(far, 1, 0, 1 << 20);
        if (i < AHEAD) continue;
        ck_assert_uint_eq(fetch_result(correlation_ids[i - AHEAD], &records).next_offset, 2);
        ck_assert_uint_gt(records.size, LONG);
    }
    ck_assert_uint_eq(stats_of(&here).unknown, 0);
    buffer_deinit(&records);
}
END_TEST

START_TEST(an_idle_stream_ends_and_another_comes)
{
    wait_for_link();
    run_on_shards(&here, sweep_much_later);
    while (stats_of(&there).streams_now > 0) {
    }
    ck_assert_uint_eq(stats_of(&here).streams_now, 0);
    wait_for_stream();
    ck_assert_uint_eq(stats_of(&here).unknown, 0);
}
END_TEST

/* Whose time is up is told so; what comes of it later concerns nobody. */
START_TEST(a_late_answer_is_dropped)
{
    struct buffer batch = raw_batch(1, 10, -1, -1, raw_now_ms());
    uint32_t id;

    wait_for_link();
    client.produce_timeout_ms = 100;
    fs_gate_shut();
    id = produce_one_send(far, &batch, -1);
    fs_gate_wait();
    run_on_shards(&here, sweep_much_later);
    ck_assert_int_eq(raw_produce_result(&client, id).error, MESH_ETIMEDOUT);
    fs_gate_open();
    client.produce_timeout_ms = 30000;
    ck_assert_int_eq(produce(far, 1, 10).error, 0);
    ck_assert_uint_eq(stats_of(&here).unknown, 1);
    while (stats_of(&there).serves_now > 0) {
    }
    buffer_deinit(&batch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward_streams");
    TCase *tcase = tcase_create("streams");

    tcase_add_checked_fixture(tcase, setup_streamed, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, who_is_asked_again_is_asked_by_a_stream);
    tcase_add_test(tcase, order_holds_when_the_way_changes);
    tcase_add_test(tcase, long_answers_all_come);
    tcase_add_test(tcase, an_idle_stream_ends_and_another_comes);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("streams that end");
    tcase_add_checked_fixture(tcase, setup_gated_streamed, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, of_what_was_sent_by_a_stream_that_ends_nobody_knows);
    tcase_add_test(tcase, a_shard_that_ends_its_streams_uses_the_link);
    tcase_add_test(tcase, a_late_answer_is_dropped);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
