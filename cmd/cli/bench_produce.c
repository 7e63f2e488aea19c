/* mesh bench produce */
#include "cmd/cli/bench_load.h"
#include "cmd/cli/bench_report.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/producing.h"

#include <string.h>
#include <sys/prctl.h>

#define RECORDS_DEFAULT     1000000
#define RECORD_SIZE_DEFAULT 1024
#define NS_PER_SECOND       UINT64_C(1000000000)

static int set_up_producer(const struct bench *bench, struct mesh_producer **ret_producer)
{
    const struct arguments *arguments = bench->arguments;
    struct mesh_producer *producer;
    int err = mesh_producer_new(bench->session.client, bench->topic, &producer);

    if (err != 0) return err;
    err = producing_set_options(producer, arguments);
    if (err == 0 && arguments_has(arguments, "no-idempotence"))
        err = mesh_producer_set_idempotent(producer, 0);
    if (err == 0 && arguments_has(arguments, "batch-records"))
        err = mesh_producer_set_batch_records_max(producer,
                                                  (size_t)arguments_integer(arguments, "batch-records", 1));
    if (err == 0 && arguments_has(arguments, "in-flight"))
        err = mesh_producer_set_in_flight_max(producer, (int)arguments_integer(arguments, "in-flight", 1));
    if (err == 0 && strcmp(arguments_text(arguments, "partitioner", "sticky"), "round-robin") == 0)
        err = mesh_producer_set_partitioner(producer, MESH_PARTITIONER_ROUND_ROBIN);
    if (err == 0) err = mesh_producer_set_delivery_timeout_ms(producer, bench->session.timeout_ms);
    if (err != 0) {
        mesh_producer_free(producer);
        return err;
    }
    *ret_producer = producer;
    return 0;
}

static struct bench_load_options load_options(const struct arguments *arguments)
{
    struct bench_load_options options = {.records = UINT64_MAX, .duration_ns = UINT64_MAX};
    uint64_t seconds = (uint64_t)arguments_integer(arguments, "seconds", 0);

    if (seconds > 0) options.duration_ns = seconds * NS_PER_SECOND;
    if (seconds == 0 || arguments_has(arguments, "records"))
        options.records = (uint64_t)arguments_integer(arguments, "records", RECORDS_DEFAULT);
    options.rate = (uint64_t)arguments_integer(arguments, "rate", 0);
    return options;
}

static int finish(const struct bench *bench, const struct bench_load *load, struct bench_cpu before, int err)
{
    struct bench_result result = {
        .name = "produce",
        .records = load->delivered,
        .bytes = load->delivered * bench->record_size,
        .failed = load->failed,
        .unknown = load->unknown,
        .seconds = (double)(load->end_ns - load->start_ns) / 1e9,
        .before = before,
        .after = bench_cpu_now(bench),
        .latency = &load->latency,
        .replicas_synced = load->replicas_synced,
    };
    int code;

    if (err != 0) return (int)session_fail(&bench->session, err, "bench produce");
    code = bench_report(bench, &result);
    if (load->first_error != 0) return (int)failure_report(false, load->first_error, NULL, "bench produce");
    if (code == EXIT_DONE && interrupt_signal() != 0) code = EXIT_SIGNAL + interrupt_signal();
    return code;
}

static int run(const struct bench *bench, struct mesh_producer *producer)
{
    struct bench_load_options options = load_options(bench->arguments), warm_up = {.duration_ns = UINT64_MAX};
    static struct bench_load load; /* a histogram is large for a stack */
    struct bench_cpu before;
    int err = 0, code;

    /* A schedule in microseconds needs timers that are not rounded to 50 of them. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    interrupt_install();
    warm_up.records = (uint64_t)arguments_integer(bench->arguments, "warm-up", 0);
    if (warm_up.records > 0) err = bench_load_run(&load, bench, producer, &warm_up);
    before = bench_cpu_now(bench);
    if (err == 0 && load.first_error == 0 && interrupt_signal() == 0)
        err = bench_load_run(&load, bench, producer, &options);
    code = finish(bench, &load, before, err);
    bench_load_deinit(&load);
    return code;
}

int command_bench_produce(const struct arguments *arguments)
{
    struct mesh_producer *producer = NULL;
    struct bench bench;
    int err, code = bench_open(&bench, arguments, RECORD_SIZE_DEFAULT);

    if (code == EXIT_DONE) {
        err = set_up_producer(&bench, &producer);
        code = err != 0 ? (int)session_fail(&bench.session, err, "bench produce") : run(&bench, producer);
        mesh_producer_free(producer);
    }
    bench_close(&bench);
    return code;
}
