/* Every allocation of a subscribed consumer's life fails once: the call says so or gets over it; nothing crashes, leaks, hangs, or is skipped.
 *
 * Most of a life is waiting - after some failures a second, until it is tried again - so several processes share the allocations. */
#include "fake_broker.h"
#include "fake_groups.h"

#include <mesh/mesh.h>

#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 8

static struct fake_broker *broker;
static struct fake_groups groups;
static unsigned worker, life; /* each has a group of its own: nobody waits for the session of one that ended badly */

static void set_up(void)
{
    const char *values[] = {"a", "b", "c"};

    broker = fake_broker_new("t", 2);
    fake_groups_init(&groups, broker);
    fake_broker_append(broker, 0, values, 3, RECORD_COMPRESSION_NONE);
    fake_broker_append(broker, 1, values, 3, RECORD_COMPRESSION_NONE);
    fake_broker_fork(broker);
}

static void tear_down(void)
{
    fake_broker_kill(broker);
    fake_broker_free(broker);
    fake_groups_deinit(&groups);
}

static void on_rebalance(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    (void)consumer;
    if (mesh_rebalance_kind(rebalance) == MESH_REBALANCE_ASSIGNED) *(size_t *)user += mesh_rebalance_count(rebalance);
}

static int subscribe(struct mesh_consumer *consumer, bool is_pattern, bool has_thread)
{
    const char *const topics[] = {"t"};
    struct mesh_group_options *options = NULL;
    char group[32];
    int err = mesh_group_options_new(&options);

    snprintf(group, sizeof(group), "g%u-%u", worker, life++);
    if (err == 0) err = mesh_group_options_set(options, "group", group);
    if (err == 0) err = mesh_group_options_set(options, "session.ms", "1000");
    if (err == 0) err = mesh_group_options_set(options, "commit.interval.ms", "10");
    if (err == 0) err = mesh_group_options_set(options, "liveness", has_thread ? "thread" : "poll");
    if (err == 0) err = is_pattern ? mesh_consumer_subscribe_pattern(consumer, options, "t") : mesh_consumer_subscribe(consumer, options, topics, 1);
    mesh_group_options_free(options);
    return err;
}

static int consume(struct mesh_client *client, bool is_pattern, bool has_thread)
{
    struct mesh_consumer *consumer = NULL;
    struct mesh_consumed records[4];
    int64_t next[2] = {0, 0}, committed = 0;
    size_t count = 1, total = 0, assigned = 0;
    int err = mesh_consumer_new(client, &consumer);

    if (err != 0) return err;
    mesh_consumer_on_rebalance(consumer, on_rebalance, &assigned);
    err = subscribe(consumer, is_pattern, has_thread);
    while (err == 0 && count > 0 && total < 6) {
        err = mesh_consumer_poll(consumer, records, 4, 5000, &count);
        for (size_t i = 0; err == 0 && i < count; i++)
            if (records[i].offset != next[records[i].partition]++) err = MESH_ECORRUPT;
        total += count;
    }
    if (err == 0) err = total >= 6 && assigned == 2 ? mesh_consumer_commit(consumer) : MESH_ETIMEDOUT;
    if (err == 0) err = mesh_consumer_committed(consumer, "t", 1, &committed);
    if (err == 0 && committed != 3) err = MESH_ECORRUPT;
    if (err == 0) err = mesh_consumer_unsubscribe(consumer);
    mesh_consumer_free(consumer);
    return err;
}

static int handle(void *user, const struct mesh_consumed *record)
{
    atomic_llong *next = user;

    return atomic_fetch_add(&next[record->partition], 1) == record->offset ? 0 : MESH_ECORRUPT;
}

static int handle_in_a_pool(struct mesh_client *client)
{
    struct mesh_consumer *consumer = NULL;
    struct mesh_pool *pool = NULL;
    atomic_llong next[2] = {0, 0};
    int64_t committed = 0;
    int err = mesh_consumer_new(client, &consumer);

    if (err == 0) err = subscribe(consumer, false, true);
    if (err == 0) err = mesh_pool_new(consumer, 2, handle, next, &pool);
    for (int i = 0; i < 500 && err == 0 && (atomic_load(&next[0]) < 3 || atomic_load(&next[1]) < 3); i++)
        err = mesh_pool_run(pool, 10);
    if (err == 0) err = mesh_pool_drain(pool, 5000);
    mesh_pool_free(pool);
    if (err == 0) err = mesh_consumer_commit(consumer);
    if (err == 0) err = mesh_consumer_committed(consumer, "t", 1, &committed);
    if (err == 0 && committed != 3) err = MESH_ECORRUPT;
    if (err == 0) err = mesh_consumer_unsubscribe(consumer);
    mesh_consumer_free(consumer);
    return err;
}

static int live(int which)
{
    struct mesh_client *client = NULL;
    int err = mesh_client_new(broker->address, &client);

    if (err != 0) return err;
    mesh_client_set_timeout_ms(client, 3000);
    err = which == 2 ? handle_in_a_pool(client) : consume(client, which == 1, which == 1);
    mesh_client_free(client);
    return err;
}

/* The allocations of one worker, each WORKERS after the last. */
static bool walk(int which)
{
    for (unsigned n = 1 + worker; n < 1000; n += WORKERS) {
        bool was_refused;
        int err;

        failing_alloc_arm(n);
        err = live(which);
        was_refused = failing_alloc_disarm();
        if (err != 0 && (!was_refused || (err != MESH_ENOMEM && err != MESH_ECLOSED))) {
            fprintf(stderr, "life %d, allocation %u: %s\n", which, n, mesh_strerror(err));
            return false;
        }
        if (!was_refused) return true; /* nothing was left to fail */
    }
    fprintf(stderr, "life %d: there is no end\n", which);
    return false;
}

START_TEST(each_allocation_may_fail)
{
    pid_t workers[WORKERS];

    fflush(NULL); /* what is buffered is the parent's to write */
    for (worker = 0; worker < WORKERS; worker++) {
        workers[worker] = fork();
        ck_assert_int_ge(workers[worker], 0);
        if (workers[worker] > 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        exit(walk(_i) ? EXIT_SUCCESS : EXIT_FAILURE); /* leaks are looked for at the end */
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;

        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS, "worker %d of life %d ended with status %#x", i, _i, (unsigned)status);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client group memory");
    TCase *tcase = tcase_create("memory");

    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, 3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
