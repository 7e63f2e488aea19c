/* Records handled by several threads, against a scripted broker whose groups are decided as real ones are (fake_groups.h). */
#include "fake_broker.h"
#include "fake_groups.h"

#include <mesh/mesh.h>

#include "base/clock.h"
#include "support/run_suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define PARTITIONS 4
#define TOTAL      1000 /* records of each partition */
#define PATIENCE   60000 /* a limit is for what hangs */
#define THREADS    4

static struct fake_broker *broker;
static struct fake_groups groups;

/* ---- an application whose handlers do as they are told ---- */

enum behaviour { HANDLE, BLOCK, TRY_AGAIN, FAIL };

struct app {
    struct mesh_client *client;
    struct mesh_consumer *consumer;
    struct mesh_pool *pool;
    atomic_int at_work[PARTITIONS];        /* handlers: never more than one */
    _Atomic(int64_t) next[PARTITIONS];     /* the offset that comes next; -1: any */
    atomic_uint handled, side_by_side, told_slow, blocked, calls;
    _Atomic(int64_t) unwanted;             /* offset + 1 of a record that was no longer wanted while it was handled */
    atomic_int behaviour[PARTITIONS];      /* enum behaviour, at the offset below */
    int64_t at[PARTITIONS];
    atomic_int release;                    /* set: who blocks goes on */
    int result;                            /* of those who fail */
    int assigned, revoked, lost;
    int64_t revoked_at[PARTITIONS];
    size_t bytes_most;
};

static int misbehave(struct app *app, const struct mesh_consumed *record)
{
    switch (atomic_load(&app->behaviour[record->partition])) {
    case BLOCK:
        atomic_fetch_add(&app->blocked, 1);
        while (atomic_load(&app->release) == 0) {
            if (mesh_pool_is_wanted(record) == 0) atomic_store(&app->unwanted, record->offset + 1);
            sched_yield(); /* the others' turn, on a machine of few cores */
        }
        return 0;
    case TRY_AGAIN:
        if (atomic_fetch_add(&app->calls, 1) < 3) return MESH_EAGAIN;
        return 0;
    case FAIL: atomic_fetch_add(&app->calls, 1); return app->result;
    default: return 0;
    }
}

static int handle(void *user, const struct mesh_consumed *record)
{
    struct app *app = user;
    int32_t p = record->partition;
    char text[16];
    int result = 0, others = 0;

    ck_assert_int_eq(atomic_fetch_add(&app->at_work[p], 1), 0); /* one at a time */
    for (int i = 0; i < PARTITIONS; i++)
        others += i != p && atomic_load(&app->at_work[i]) > 0;
    if (others > 0) atomic_store(&app->side_by_side, 1);
    snprintf(text, sizeof(text), "%d", (int)record->offset);
    ck_assert_uint_eq(record->value_size, strlen(text));
    ck_assert_mem_eq(record->value, text, record->value_size);
    ck_assert(atomic_load(&app->next[p]) < 0 || atomic_load(&app->next[p]) == record->offset); /* in order, and none left out */
    if (record->offset == app->at[p]) result = misbehave(app, record);
    atomic_store(&app->next[p], result == 0 ? record->offset + 1 : record->offset);
    atomic_fetch_add(&app->handled, result == 0);
    atomic_fetch_sub(&app->at_work[p], 1);
    return result;
}

static void on_rebalance(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    struct app *app = user;
    const char *topic;
    int32_t partition;
    int64_t offset;

    (void)consumer;
    for (size_t i = 0; mesh_rebalance_get(rebalance, i, &topic, &partition, &offset) == 0; i++)
        switch (mesh_rebalance_kind(rebalance)) {
        case MESH_REBALANCE_ASSIGNED:
            app->assigned++;
            if (app->assigned > PARTITIONS) atomic_store(&app->next[partition], offset);
            break;
        case MESH_REBALANCE_REVOKED:
            ck_assert_int_eq(atomic_load(&app->at_work[partition]), 0); /* it was waited for */
            app->revoked++;
            app->revoked_at[partition] = offset;
            break;
        case MESH_REBALANCE_LOST: app->lost++; break;
        }
}

static void on_slow(void *user, const struct mesh_slow_info *info)
{
    struct app *app = user;

    ck_assert_str_eq(info->topic, "t");
    ck_assert_int_eq(info->offset, app->at[info->partition]);
    atomic_fetch_add(&app->told_slow, 1);
}

static int subscribe(struct app *app, const char *processing_ms, const char *delivery)
{
    const char *const topics[] = {"t"};
    struct mesh_group_options *options = NULL;
    int err;

    ck_assert_int_eq(mesh_group_options_new(&options), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "group", "g"), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "session.ms", "30000"), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "processing.ms", processing_ms), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "delivery", delivery), 0);
    ck_assert_int_eq(mesh_group_options_set(options, "commit.interval.ms", "50"), 0);
    err = mesh_consumer_subscribe(app->consumer, options, topics, 1);
    mesh_group_options_free(options);
    return err;
}

static void open_app(struct app *app, const char *processing_ms)
{
    memset(app, 0, sizeof(*app));
    for (int p = 0; p < PARTITIONS; p++) {
        atomic_store(&app->next[p], -1);
        app->at[p] = app->revoked_at[p] = -1;
    }
    ck_assert_int_eq(mesh_client_new(broker->address, &app->client), 0);
    ck_assert_int_eq(mesh_client_set_timeout_ms(app->client, PATIENCE), 0);
    ck_assert_int_eq(mesh_consumer_new(app->client, &app->consumer), 0);
    mesh_consumer_on_rebalance(app->consumer, on_rebalance, app);
    mesh_consumer_on_slow(app->consumer, on_slow, app);
    ck_assert_int_eq(subscribe(app, processing_ms, "at-least-once"), 0);
    ck_assert_int_eq(mesh_pool_new(app->consumer, THREADS, handle, app, &app->pool), 0);
}

static void misbehave_at(struct app *app, int32_t partition, int64_t offset, enum behaviour behaviour)
{
    app->at[partition] = offset;
    atomic_store(&app->behaviour[partition], behaviour);
}

static void close_app(struct app *app)
{
    atomic_store(&app->release, 1);
    mesh_pool_free(app->pool);
    mesh_consumer_free(app->consumer);
    mesh_client_free(app->client);
}

/* Runs the pool until the counter has reached so much. */
static void run_until(struct app *app, atomic_uint *counter, unsigned wanted)
{
    uint64_t until_ms = clock_monotonic_ms() + PATIENCE;

    while (atomic_load(counter) < wanted && clock_monotonic_ms() < until_ms) {
        struct mesh_pool_info info;

        ck_assert_int_eq(mesh_pool_run(app->pool, 5), 0);
        mesh_pool_info(app->pool, &info);
        if (info.bytes > app->bytes_most) app->bytes_most = info.bytes;
    }
    ck_assert_uint_ge(atomic_load(counter), wanted);
}

/* Whatever handlers say, until so many records were handled. */
static void run_on_until(struct app *app, unsigned wanted)
{
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; atomic_load(&app->handled) < wanted && clock_monotonic_ms() < until_ms;)
        (void)mesh_pool_run(app->pool, 5);
    ck_assert_uint_eq(atomic_load(&app->handled), wanted);
}

static void set_up(void)
{
    char texts[TOTAL][16];
    const char *values[TOTAL];

    broker = fake_broker_new("t", PARTITIONS);
    fake_groups_init(&groups, broker);
    for (int i = 0; i < TOTAL; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d", i);
        values[i] = texts[i];
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        for (int batch = 0; batch < TOTAL; batch += 10)
            fake_broker_append(broker, p, values + batch, 10, RECORD_COMPRESSION_NONE);
    fake_broker_start(broker);
}

static void tear_down(void)
{
    fake_broker_free(broker);
    fake_groups_deinit(&groups);
}

/* ---- stories ---- */

START_TEST(partitions_are_handled_side_by_side_and_each_in_order)
{
    struct app app;

    open_app(&app, "60000");
    misbehave_at(&app, 1, 50, BLOCK);
    run_until(&app, &app.handled, (PARTITIONS - 1) * TOTAL + 50); /* all of the others, behind nobody */
    ck_assert_int_eq(atomic_load(&app.next[1]), 50);
    ck_assert_int_eq(atomic_load(&app.side_by_side), 1);
    atomic_store(&app.release, 1);
    run_until(&app, &app.handled, PARTITIONS * TOTAL);
    mesh_pool_free(app.pool);
    app.pool = NULL;
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), 0);
    close_app(&app);
    fake_broker_stop(broker);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(fake_groups_committed(&groups, "g", p), TOTAL);
}
END_TEST

START_TEST(only_what_is_finished_without_a_gap_is_committed)
{
    struct app app;
    int64_t committed = 0;

    open_app(&app, "60000");
    misbehave_at(&app, 2, 30, BLOCK);
    run_until(&app, &app.handled, (PARTITIONS - 1) * TOTAL + 30);
    ck_assert_int_eq(mesh_consumer_commit(app.consumer), 0);
    ck_assert_int_eq(mesh_consumer_committed(app.consumer, "t", 2, &committed), 0);
    ck_assert_int_eq(committed, 30);
    ck_assert_int_eq(mesh_consumer_committed(app.consumer, "t", 0, &committed), 0);
    ck_assert_int_eq(committed, TOTAL);
    ck_assert_int_eq(mesh_pool_drain(app.pool, 20), MESH_ETIMEDOUT);
    atomic_store(&app.release, 1);
    ck_assert_int_eq(mesh_pool_drain(app.pool, PATIENCE), 0);
    ck_assert_int_gt(atomic_load(&app.next[2]), 30); /* what was read */
    close_app(&app);
    fake_broker_stop(broker);
}
END_TEST

START_TEST(what_waits_is_bounded_and_pauses_its_partition_alone)
{
    struct app app;
    struct mesh_pool_info info;

    open_app(&app, "60000");
    ck_assert_int_eq(mesh_pool_set_memory(app.pool, 65536), 0);
    ck_assert_int_eq(mesh_pool_set_memory(app.pool, 100), MESH_EINVAL);
    misbehave_at(&app, 0, 0, BLOCK);
    run_until(&app, &app.handled, (PARTITIONS - 1) * TOTAL);
    run_until(&app, &app.blocked, 1);
    do { /* until its share is full: else the test's time runs out */
        ck_assert_int_eq(mesh_pool_run(app.pool, 5), 0);
        mesh_pool_info(app.pool, &info);
    } while (info.paused == 0);
    ck_assert_int_eq(info.paused, 1);
    ck_assert_int_eq(info.running, 1);
    ck_assert_uint_lt(info.waiting, TOTAL);
    atomic_store(&app.release, 1);
    run_until(&app, &app.handled, PARTITIONS * TOTAL);
    ck_assert_uint_le(app.bytes_most, 65536);
    close_app(&app);
    fake_broker_stop(broker);
}
END_TEST

START_TEST(what_may_work_later_is_tried_again_before_anything_behind_it)
{
    struct app app;
    struct mesh_pool_info info;

    open_app(&app, "60000");
    ck_assert_int_eq(mesh_pool_set_retries(app.pool, 0, 1), 0);
    misbehave_at(&app, 3, 77, TRY_AGAIN);
    run_until(&app, &app.handled, PARTITIONS * TOTAL);
    mesh_pool_info(app.pool, &info);
    ck_assert_uint_eq(info.retried, 3);
    ck_assert_uint_eq(info.handled, PARTITIONS * TOTAL);
    close_app(&app);
    fake_broker_stop(broker);
}
END_TEST

/* Told, with the record; its partition stands still, the others go on; running again tries again. */
START_TEST(what_does_not_work_is_told_and_holds_its_partition)
{
    struct app app;
    int err = 0;

    open_app(&app, "60000");
    ck_assert_int_eq(mesh_pool_set_retries(app.pool, 2, 1), 0);
    app.result = _i == 0 ? MESH_ECORRUPT : MESH_EAGAIN;
    misbehave_at(&app, 3, 77, FAIL);
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; err == 0 && clock_monotonic_ms() < until_ms;)
        err = mesh_pool_run(app.pool, 10);
    ck_assert_int_eq(err, app.result);
    ck_assert(strstr(mesh_client_error(app.client), "partition 3 of topic \"t\" at offset 77") != NULL);
    ck_assert_uint_eq(atomic_load(&app.calls), _i == 0 ? 1 : 2);
    run_on_until(&app, (PARTITIONS - 1) * TOTAL + 77);
    ck_assert_int_eq(atomic_load(&app.next[3]), 77);
    atomic_store(&app.behaviour[3], HANDLE);
    run_on_until(&app, PARTITIONS * TOTAL); /* a call that had begun before may fail yet, */
    (void)mesh_pool_run(app.pool, 5);       /* and is told of */
    ck_assert_int_eq(mesh_pool_run(app.pool, 5), 0);
    close_app(&app);
    fake_broker_stop(broker);
}
END_TEST

START_TEST(what_the_end_leaves_comes_again)
{
    struct app first, second;

    open_app(&first, "60000");
    misbehave_at(&first, 1, 20, FAIL);
    first.result = MESH_ECORRUPT;
    run_on_until(&first, (PARTITIONS - 1) * TOTAL + 20);
    close_app(&first);
    open_app(&second, "60000");
    run_until(&second, &second.handled, TOTAL - 20);
    ck_assert_int_eq(atomic_load(&second.next[1]), TOTAL);
    ck_assert_int_eq(atomic_load(&second.next[0]), -1); /* nothing came twice */
    close_app(&second);
    fake_broker_stop(broker);
    ck_assert_int_eq(fake_groups_committed(&groups, "g", 1), TOTAL);
}
END_TEST

/* As soon as the pool ends, and the handlers know that. */
static void *release_when_unwanted(void *user)
{
    struct app *app = user;

    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; atomic_load(&app->unwanted) == 0 && clock_monotonic_ms() < until_ms;)
        sched_yield();
    atomic_store(&app->release, 1);
    return NULL;
}

/* Nobody leaves in the middle of a handler: somebody else would begin beside it (what test/sim/groups_clients.c does, too). */
START_TEST(who_leaves_waits_for_the_handlers_at_work)
{
    struct app a, b;
    pthread_t releaser;

    open_app(&a, "60000");
    for (int p = 0; p < PARTITIONS; p++)
        misbehave_at(&a, p, 40, BLOCK);
    run_until(&a, &a.blocked, PARTITIONS);
    ck_assert_int_eq(mesh_consumer_unsubscribe(a.consumer), MESH_EINVAL);
    ck_assert_int_eq(pthread_create(&releaser, NULL, release_when_unwanted, &a), 0);
    mesh_pool_free(a.pool);
    a.pool = NULL;
    for (int p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(atomic_load(&a.at_work[p]), 0);
        ck_assert_int_eq(atomic_load(&a.next[p]), 41);
    }
    pthread_join(releaser, NULL);
    ck_assert_int_eq(mesh_consumer_unsubscribe(a.consumer), 0);
    open_app(&b, "60000");
    run_until(&b, &b.handled, PARTITIONS * (TOTAL - 41));
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(atomic_load(&b.next[p]), TOTAL);
    ck_assert_uint_eq(atomic_load(&b.handled), PARTITIONS * (TOTAL - 41)); /* what they were at is done, and committed */
    close_app(&b);
    close_app(&a);
    fake_broker_stop(broker);
}
END_TEST

/* Half of the partitions are asked back while a handler is at work on each: the others go on, and what goes is let go when its handler is done. */
START_TEST(a_partition_that_goes_waits_for_its_handler)
{
    struct app a, b;
    unsigned moved = 0;

    open_app(&a, "60000");
    for (int p = 0; p < PARTITIONS; p++)
        misbehave_at(&a, p, 40, BLOCK);
    run_until(&a, &a.blocked, PARTITIONS);
    open_app(&b, "60000");
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; atomic_load(&a.unwanted) == 0 && clock_monotonic_ms() < until_ms;) {
        ck_assert_int_eq(mesh_pool_run(a.pool, 5), 0);
        ck_assert_int_eq(mesh_pool_run(b.pool, 5), 0);
    }
    ck_assert_int_eq(atomic_load(&a.unwanted), 41);
    ck_assert_int_eq(a.revoked, 0);
    ck_assert_uint_eq(atomic_load(&b.handled), 0);
    atomic_store(&a.release, 1);
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE; atomic_load(&a.handled) + atomic_load(&b.handled) < PARTITIONS * TOTAL && clock_monotonic_ms() < until_ms;) {
        ck_assert_int_eq(mesh_pool_run(a.pool, 5), 0);
        ck_assert_int_eq(mesh_pool_run(b.pool, 5), 0);
    }
    ck_assert_uint_eq(atomic_load(&a.handled) + atomic_load(&b.handled), PARTITIONS * TOTAL); /* nothing twice */
    ck_assert_int_eq(a.lost + b.lost, 0);
    for (int p = 0; p < PARTITIONS; p++)
        if (a.revoked_at[p] >= 0) {
            ck_assert_int_eq(a.revoked_at[p], 41);
            moved++;
        }
    ck_assert_uint_eq(moved, PARTITIONS / 2);
    close_app(&b);
    close_app(&a);
    fake_broker_stop(broker);
}
END_TEST

/* A handler that takes longer than its limit: told as slow, its partition is taken away, and its result counts for nothing. */
START_TEST(who_takes_too_long_is_told_of_first_and_then_loses_its_partition)
{
    struct app a, b;

    open_app(&a, "4000"); /* half of it is more than a busy machine keeps a thread waiting */
    for (int p = 0; p < PARTITIONS; p++)
        misbehave_at(&a, p, 40, BLOCK);
    run_until(&a, &a.blocked, PARTITIONS);
    run_until(&a, &a.told_slow, PARTITIONS);
    ck_assert_int_eq(a.lost, 0); /* nobody waits for it */
    open_app(&b, "60000");
    for (uint64_t until_ms = clock_monotonic_ms() + PATIENCE;
         (a.lost == 0 || atomic_load(&b.handled) < PARTITIONS / 2 * (TOTAL - 40)) && clock_monotonic_ms() < until_ms;) {
        ck_assert_int_eq(mesh_pool_run(a.pool, 5), 0);
        ck_assert_int_eq(mesh_pool_run(b.pool, 5), 0);
    }
    ck_assert_int_gt(a.lost, 0);
    ck_assert_uint_ge(atomic_load(&b.handled), PARTITIONS / 2 * (TOTAL - 40)); /* from what was committed on */
    ck_assert_uint_eq(atomic_load(&a.told_slow), PARTITIONS);
    close_app(&a); /* its handlers return now */
    close_app(&b);
    fake_broker_stop(broker);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct app app;
    struct mesh_pool *pool = NULL;

    open_app(&app, "60000");
    ck_assert_int_eq(mesh_pool_new(app.consumer, 1, handle, &app, &pool), MESH_EEXISTS);
    ck_assert_int_eq(mesh_pool_new(app.consumer, 0, handle, &app, &pool), MESH_EINVAL);
    ck_assert_int_eq(mesh_pool_set_retries(app.pool, -1, 1), MESH_EINVAL);
    run_until(&app, &app.handled, 10);
    ck_assert_int_eq(mesh_consumer_seek(app.consumer, "t", 0, 0), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_store(app.consumer, "t", 0, 0, NULL), MESH_EINVAL);
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), MESH_EINVAL);
    mesh_pool_free(app.pool);
    app.pool = NULL;
    ck_assert_int_eq(mesh_consumer_unsubscribe(app.consumer), 0);
    ck_assert_int_eq(mesh_pool_new(app.consumer, 1, handle, &app, &app.pool), 0);
    ck_assert_int_eq(mesh_pool_run(app.pool, 0), MESH_EINVAL); /* in no group */
    ck_assert_int_eq(subscribe(&app, "60000", "at-most-once"), 0);
    ck_assert_int_eq(mesh_pool_run(app.pool, 0), MESH_EINVAL);
    close_app(&app);
    fake_broker_stop(broker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("stories");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, partitions_are_handled_side_by_side_and_each_in_order);
    tcase_add_test(tcase, only_what_is_finished_without_a_gap_is_committed);
    tcase_add_test(tcase, what_waits_is_bounded_and_pauses_its_partition_alone);
    tcase_add_test(tcase, what_may_work_later_is_tried_again_before_anything_behind_it);
    tcase_add_loop_test(tcase, what_does_not_work_is_told_and_holds_its_partition, 0, 2);
    tcase_add_test(tcase, what_the_end_leaves_comes_again);
    tcase_add_test(tcase, who_leaves_waits_for_the_handlers_at_work);
    tcase_add_test(tcase, a_partition_that_goes_waits_for_its_handler);
    tcase_add_test(tcase, who_takes_too_long_is_told_of_first_and_then_loses_its_partition);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
