/* mesh bench consume: a topic from its beginning to the end that it has at the start. */
#include "base/clock.h"
#include "cmd/cli/bench_load.h"
#include "cmd/cli/bench_report.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/consume_plan.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/producing.h"

#define RECORDS_DEFAULT     1000000
#define RECORD_SIZE_DEFAULT 1024
#define RECORDS_PER_POLL    4096

struct reading {
    const struct bench *bench;
    struct mesh_consumer *consumer;
    struct consume_plan plan;
    uint64_t records, bytes;
};

/* Fills the temporary topic. Returns an exit code. */
static int fill(const struct bench *bench)
{
    struct bench_load_options options = {.duration_ns = UINT64_MAX};
    static struct bench_load load; /* a histogram is large for a stack */
    struct mesh_producer *producer;
    int err = mesh_producer_new(bench->session.client, bench->topic, &producer);

    if (err != 0) return (int)session_fail(&bench->session, err, "filling the topic");
    options.records = (uint64_t)arguments_integer(bench->arguments, "records", RECORDS_DEFAULT);
    err = bench_load_run(&load, bench, producer, &options);
    if (err == 0) err = load.first_error;
    bench_load_deinit(&load);
    mesh_producer_free(producer);
    return err != 0 ? (int)failure_report(bench->session.is_json, err, NULL, "filling the topic") : EXIT_DONE;
}

static int plan(struct reading *reading)
{
    struct start_offset start = {START_BEGINNING, 0};
    struct mesh_topic_list *list;
    int err = mesh_topic_describe(reading->bench->session.client, reading->bench->topic, &list);

    if (err != 0) return err;
    err = consume_plan_init(&reading->plan, mesh_topic_list_get(list, 0), -1, start, true);
    mesh_topic_list_free(list);
    return err;
}

static int open_consumer(struct reading *reading)
{
    const struct arguments *arguments = reading->bench->arguments;
    int err = mesh_consumer_new(reading->bench->session.client, &reading->consumer);

    if (err == 0 && arguments_has(arguments, "fetch-bytes"))
        err = mesh_consumer_set_fetch_bytes_max(reading->consumer,
                                                (size_t)arguments_size(arguments, "fetch-bytes", 0));
    if (err == 0 && arguments_has(arguments, "no-verify"))
        err = mesh_consumer_set_verify(reading->consumer, 0);
    return err != 0
               ? err
               : mesh_consumer_assign(reading->consumer, reading->bench->topic, -1, MESH_OFFSET_BEGINNING);
}

/* Counts one poll's records; what others produced since the start is left out. */
static void count_records(struct reading *reading, const struct mesh_consumed *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        reading->bytes += records[i].value_size;
        if (records[i].offset + 1 >= reading->plan.partitions[records[i].partition].end)
            (void)consume_plan_advance(&reading->plan, records[i].partition, records[i].offset + 1);
    }
    reading->records += count;
}

static int read_all(struct reading *reading)
{
    static struct mesh_consumed records[RECORDS_PER_POLL];
    int err = 0;

    while (err == 0 && reading->plan.open_count > 0 && interrupt_signal() == 0) {
        size_t count = 0;
        err = mesh_consumer_poll(reading->consumer, records, RECORDS_PER_POLL, INTERRUPT_LOOK_MS, &count);
        if (err != 0) break;
        count_records(reading, records, count);
        for (size_t i = 0; count == 0 && i < reading->plan.partition_count; i++) {
            int64_t position;
            if (mesh_consumer_position(reading->consumer, reading->bench->topic, (int32_t)i, &position) ==
                    0 &&
                position >= 0)
                (void)consume_plan_advance(&reading->plan, (int32_t)i, position);
        }
    }
    return err;
}

/* Reads everything once; fills *ret_result. */
static int measure(const struct bench *bench, struct bench_result *ret_result)
{
    struct reading reading = {.bench = bench};
    uint64_t start_ns;
    int err = plan(&reading);

    if (err == 0) err = open_consumer(&reading);
    ret_result->before = bench_cpu_now(bench);
    start_ns = clock_monotonic_ns();
    if (err == 0) err = read_all(&reading);
    ret_result->seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    ret_result->after = bench_cpu_now(bench);
    ret_result->records = reading.records;
    ret_result->bytes = reading.bytes;
    mesh_consumer_free(reading.consumer);
    consume_plan_deinit(&reading.plan);
    return err;
}

static int run(const struct bench *bench)
{
    struct bench_result result = {.name = "consume", .replicas_synced = UINT32_MAX};
    int err = 0, code;

    interrupt_install();
    if (bench->temporary_topic[0] != '\0') {
        code = fill(bench);
        if (code != EXIT_DONE) return code;
    }
    if (arguments_has(bench->arguments, "warm-up")) err = measure(bench, &result);
    if (err == 0 && interrupt_signal() == 0) err = measure(bench, &result);
    if (err != 0) return (int)session_fail(&bench->session, err, "bench consume");
    code = bench_report(bench, &result);
    if (code == EXIT_DONE && interrupt_signal() != 0) code = EXIT_SIGNAL + interrupt_signal();
    return code;
}

int command_bench_consume(const struct arguments *arguments)
{
    struct bench bench;
    int code = bench_open(&bench, arguments, RECORD_SIZE_DEFAULT);

    if (code == EXIT_DONE) code = run(&bench);
    bench_close(&bench);
    return code;
}
