/* mesh bench groups: committed offsets. Each group has one member, with a thread and a client of its own, that owns every partition of the topic and commits all of
 * them at once, one commit after another. */
#include "base/clock.h"
#include "cmd/cli/bench_report.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"

#include <mesh/group.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GROUPS_DEFAULT  4
#define GROUPS_MAX      256
#define SECONDS_DEFAULT 10
#define POLL_MS         50
#define POLL_RECORDS    100

struct committing;

struct committer {
    struct committing *all;
    pthread_t thread;
    char group[64];
    struct mesh_client *client;
    struct mesh_consumer *consumer;
    struct histogram latency; /* ns */
    int32_t partitions;       /* that it reads: claimed, and told to the application */
    int err;
    char why[256];
};

struct committing {
    const struct bench *bench;
    int32_t partitions;
    _Atomic(uint32_t) ready; /* committers that own all of their partitions, or never will */
    _Atomic(bool) is_begun, is_over;
    _Atomic(uint64_t) cells; /* committed, of all groups */
    uint32_t count;
    struct committer *committers; /* owned */
};

static void rest_ms(long ms)
{
    struct timespec time = {0, ms * 1000000};

    (void)nanosleep(&time, NULL); /* interrupted or not: whoever rests looks again */
}

/* ---- one group ---- */

static void rebalanced(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    struct committer *committer = user;
    int32_t count = (int32_t)mesh_rebalance_count(rebalance);

    (void)consumer;
    committer->partitions += mesh_rebalance_kind(rebalance) == MESH_REBALANCE_ASSIGNED ? count : -count;
}

static int subscribe(struct committer *committer)
{
    const struct bench *bench = committer->all->bench;
    struct mesh_group_options *options = NULL;
    int err = mesh_client_new(arguments_text(bench->arguments, "broker", NULL), &committer->client);

    if (err == 0) err = mesh_client_set_timeout_ms(committer->client, bench->session.timeout_ms);
    if (err == 0) err = mesh_consumer_new(committer->client, &committer->consumer);
    if (err == 0) err = mesh_group_options_new(&options);
    if (err == 0) err = mesh_group_options_set(options, "group", committer->group);
    if (err == 0) err = mesh_group_options_set(options, "delivery", "manual");
    if (err == 0) err = mesh_group_options_set(options, "commit.interval.ms", "0");
    if (err == 0) mesh_consumer_on_rebalance(committer->consumer, rebalanced, committer);
    if (err == 0) err = mesh_consumer_subscribe(committer->consumer, options, &bench->topic, 1);
    mesh_group_options_free(options);
    return err;
}

/* Until every partition is this member's. */
static int await_all(struct committer *committer)
{
    uint64_t give_up_ns = clock_monotonic_ns() + (uint64_t)committer->all->bench->session.timeout_ms * 1000000;
    struct mesh_consumed consumed[POLL_RECORDS];
    int err = 0;

    while (err == 0 && committer->partitions < committer->all->partitions && interrupt_signal() == 0) {
        size_t count;

        err = mesh_consumer_poll(committer->consumer, consumed, POLL_RECORDS, POLL_MS, &count);
        if (err == 0 && clock_monotonic_ns() >= give_up_ns) err = MESH_ETIMEDOUT;
    }
    return err;
}

/* Each partition has one record: it counts as handled, and as not handled, by turns. */
static int commit_all(struct committer *committer, int64_t offset)
{
    uint64_t start_ns = clock_monotonic_ns();
    int err = 0;

    for (int32_t p = 0; err == 0 && p < committer->all->partitions; p++)
        err = mesh_consumer_store(committer->consumer, committer->all->bench->topic, p, offset, NULL);
    if (err == 0) err = mesh_consumer_commit(committer->consumer);
    if (err != 0) return err;
    histogram_record(&committer->latency, clock_monotonic_ns() - start_ns);
    atomic_fetch_add(&committer->all->cells, (uint64_t)committer->all->partitions);
    return 0;
}

static void *commit_many(void *user)
{
    struct committer *committer = user;
    struct committing *all = committer->all;
    int64_t offset = 0;
    int err = subscribe(committer);

    if (err == 0) err = await_all(committer);
    atomic_fetch_add(&all->ready, 1);
    while (err == 0 && !atomic_load(&all->is_begun) && !atomic_load(&all->is_over))
        rest_ms(1);
    while (err == 0 && !atomic_load(&all->is_over))
        err = commit_all(committer, offset ^= 1);
    committer->err = err;
    if (err != 0 && committer->client != NULL) snprintf(committer->why, sizeof(committer->why), "%s", mesh_client_error(committer->client));
    mesh_consumer_free(committer->consumer);
    if (committer->client != NULL) (void)mesh_group_delete(committer->client, committer->group, NULL); /* or it expires */
    mesh_client_free(committer->client);
    return NULL;
}

/* ---- all of them ---- */

static int count_partitions(const struct bench *bench, int32_t *ret_count)
{
    struct mesh_topic_list *list = NULL;
    int err = mesh_topic_describe(bench->session.client, bench->topic, &list);

    if (err == 0) *ret_count = (int32_t)mesh_topic_list_get(list, 0)->partition_count;
    mesh_topic_list_free(list);
    return err;
}

/* One record in each partition: nothing behind a log's end can be committed. */
static int fill(const struct bench *bench, int32_t partitions)
{
    struct mesh_producer *producer = NULL;
    int err = mesh_producer_new(bench->session.client, bench->topic, &producer);

    for (int32_t p = 0; err == 0 && p < partitions; p++) {
        struct mesh_record record = {.value = bench_value(bench, (uint64_t)p), .value_size = bench->record_size, .partition = p};

        err = mesh_producer_send(producer, &record, NULL, NULL);
    }
    if (err == 0) err = mesh_producer_flush(producer, bench->session.timeout_ms);
    mesh_producer_free(producer);
    return err;
}

static int start_all(struct committing *all)
{
    uint64_t stamp = clock_monotonic_ns();

    for (; all->count < (uint32_t)arguments_integer(all->bench->arguments, "groups", GROUPS_DEFAULT); all->count++) {
        struct committer *committer = &all->committers[all->count];

        committer->all = all;
        histogram_init(&committer->latency);
        snprintf(committer->group, sizeof(committer->group), "bench-%llx-%u", (unsigned long long)stamp, all->count);
        if (pthread_create(&committer->thread, NULL, commit_many, committer) != 0) return MESH_ENOMEM;
    }
    return 0;
}

static void measure(struct committing *all, struct bench_result *result)
{
    uint64_t start_ns, end_ns, most = (uint64_t)arguments_integer(all->bench->arguments, "records", INT64_MAX);

    while (atomic_load(&all->ready) < all->count)
        rest_ms(1);
    result->before = bench_cpu_now(all->bench);
    start_ns = clock_monotonic_ns();
    end_ns = start_ns + (uint64_t)arguments_integer(all->bench->arguments, "seconds", SECONDS_DEFAULT) * 1000000000;
    atomic_store(&all->is_begun, true);
    while (clock_monotonic_ns() < end_ns && atomic_load(&all->cells) < most && interrupt_signal() == 0)
        rest_ms(10);
    result->records = atomic_load(&all->cells);
    result->seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    result->after = bench_cpu_now(all->bench);
}

/* Ends the threads; the first failure is told. */
static int join_all(struct committing *all, struct histogram *latency)
{
    int code = EXIT_DONE;

    atomic_store(&all->is_over, true);
    for (uint32_t i = 0; i < all->count; i++) {
        struct committer *committer = &all->committers[i];

        (void)pthread_join(committer->thread, NULL);
        histogram_merge(latency, &committer->latency);
        if (committer->err != 0 && code == EXIT_DONE)
            code = (int)failure_report(all->bench->session.is_json, committer->err, committer->why, "committing for group '%s'", committer->group);
    }
    return code;
}

static int run(const struct bench *bench)
{
    static struct histogram latency; /* large for a stack */
    struct bench_result result = {.name = "groups", .latency = &latency, .replicas_synced = UINT32_MAX};
    struct committing all = {.bench = bench};
    int err = count_partitions(bench, &all.partitions), code;

    histogram_init(&latency);
    if (err == 0) err = fill(bench, all.partitions);
    if (err != 0) return (int)session_fail(&bench->session, err, "filling the topic");
    all.committers = calloc(GROUPS_MAX, sizeof(*all.committers));
    if (all.committers == NULL) return (int)session_fail(&bench->session, MESH_ENOMEM, "bench groups");
    interrupt_install();
    err = start_all(&all);
    if (err == 0) measure(&all, &result);
    code = join_all(&all, &latency);
    free(all.committers);
    if (err != 0) return (int)session_fail(&bench->session, err, "bench groups");
    if (code == EXIT_DONE) code = bench_report(bench, &result);
    if (code == EXIT_DONE && interrupt_signal() != 0) code = EXIT_SIGNAL + interrupt_signal();
    return code;
}

int command_bench_groups(const struct arguments *arguments)
{
    struct bench bench;
    int code = bench_open(&bench, arguments, 1);

    if (code == EXIT_DONE) code = run(&bench);
    bench_close(&bench);
    return code;
}
