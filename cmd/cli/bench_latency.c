/* mesh bench latency: one record on its way at a time. */
#include "base/clock.h"
#include "cmd/cli/bench_report.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/producing.h"

#include <poll.h>

#define RECORDS_DEFAULT     10000
#define RECORD_SIZE_DEFAULT 100
#define WARM_UP_DEFAULT     100
#define WAIT_MS             10

struct pinging {
    const struct bench *bench;
    struct mesh_producer *producer;
    struct mesh_client *second_client; /* of the consumer; both NULL unless --end-to-end */
    struct mesh_consumer *consumer;
    struct histogram latency; /* ns */
    uint64_t records;
    uint32_t replicas_synced;
};

/* Until the acknowledgement. */
static int ping_acknowledged(struct pinging *pinging, const struct mesh_record *record)
{
    struct mesh_receipt receipt;
    int err = mesh_produce(pinging->producer, record, &receipt);

    if (err == 0 && receipt.replicas_synced < pinging->replicas_synced)
        pinging->replicas_synced = receipt.replicas_synced;
    return err;
}

static void note_answer(void *user, const struct mesh_receipt *receipt)
{
    *(int *)user = receipt->error;
}

/* Serves the producer's client once and the consumer's until one of them has more to do. */
static int serve_both(struct pinging *pinging, struct mesh_consumed *consumed, size_t *ret_count)
{
    struct mesh_client *client = pinging->bench->session.client;
    struct pollfd fds[2] = {{.fd = mesh_client_fd(client), .events = POLLIN},
                            {.fd = mesh_client_fd(pinging->second_client), .events = POLLIN}};
    int err = mesh_client_poll(client, 0);

    if (err == 0) err = mesh_consumer_poll(pinging->consumer, consumed, 1, 0, ret_count);
    if (err == 0 && *ret_count == 0) (void)poll(fds, 2, WAIT_MS); /* woken or not: both are asked again */
    return err;
}

/* Until a consumer has the record; its acknowledgement is awaited afterwards, outside of the time. */
static int ping_consumed(struct pinging *pinging, const struct mesh_record *record, uint64_t start_ns,
                         uint64_t *ret_end_ns)
{
    int timeout_ms = pinging->bench->session.timeout_ms, answer = 0;
    uint64_t give_up_ns = start_ns + (uint64_t)timeout_ms * 1000000;
    struct mesh_consumed consumed;
    size_t count = 0;
    int err = mesh_producer_send(pinging->producer, record, note_answer, &answer);

    while (err == 0 && answer == 0 && count == 0) {
        err = serve_both(pinging, &consumed, &count);
        if (err == 0 && count == 0 && clock_monotonic_ns() >= give_up_ns) err = MESH_ETIMEDOUT;
    }
    *ret_end_ns = clock_monotonic_ns();
    if (err == 0) err = mesh_producer_flush(pinging->producer, timeout_ms);
    return err != 0 ? err : answer;
}

static int ping_many(struct pinging *pinging, uint64_t count, bool counts)
{
    int err = 0;

    for (uint64_t i = 0; err == 0 && i < count && interrupt_signal() == 0; i++) {
        struct mesh_record record = {.value = bench_value(pinging->bench, i),
                                     .value_size = pinging->bench->record_size,
                                     .partition = MESH_PARTITION_ANY};
        uint64_t start_ns = clock_monotonic_ns(), end_ns;
        if (pinging->consumer != NULL) {
            err = ping_consumed(pinging, &record, start_ns, &end_ns);
        } else {
            err = ping_acknowledged(pinging, &record);
            end_ns = clock_monotonic_ns();
        }
        if (err != 0 || !counts) continue;
        histogram_record(&pinging->latency, end_ns - start_ns);
        pinging->records++;
    }
    return err;
}

static int set_up(struct pinging *pinging)
{
    const struct bench *bench = pinging->bench;
    int err = mesh_producer_new(bench->session.client, bench->topic, &pinging->producer);

    if (err == 0) err = producing_set_acks(pinging->producer, bench->arguments);
    if (err == 0) err = mesh_producer_set_delivery_timeout_ms(pinging->producer, bench->session.timeout_ms);
    if (err != 0 || !arguments_has(bench->arguments, "end-to-end")) return err;
    err = mesh_client_new(arguments_text(bench->arguments, "broker", NULL), &pinging->second_client);
    if (err == 0) err = mesh_client_set_timeout_ms(pinging->second_client, bench->session.timeout_ms);
    if (err == 0) err = mesh_consumer_new(pinging->second_client, &pinging->consumer);
    if (err == 0) err = mesh_consumer_assign(pinging->consumer, bench->topic, -1, MESH_OFFSET_END);
    return err;
}

/* The end to consume from is fixed before the first record that counts: one poll asks for it. */
static int settle(struct pinging *pinging)
{
    struct mesh_consumed consumed;
    size_t count;

    return pinging->consumer != NULL ? mesh_consumer_poll(pinging->consumer, &consumed, 1, 200, &count) : 0;
}

static int run(struct pinging *pinging)
{
    const struct bench *bench = pinging->bench;
    struct bench_result result = {.name = "latency", .latency = &pinging->latency};
    uint64_t start_ns;
    int err, code;

    interrupt_install();
    err = settle(pinging);
    if (err == 0)
        err = ping_many(pinging, (uint64_t)arguments_integer(bench->arguments, "warm-up", WARM_UP_DEFAULT),
                        false);
    result.before = bench_cpu_now(bench);
    start_ns = clock_monotonic_ns();
    if (err == 0)
        err = ping_many(pinging, (uint64_t)arguments_integer(bench->arguments, "records", RECORDS_DEFAULT),
                        true);
    result.seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    result.after = bench_cpu_now(bench);
    result.records = pinging->records;
    result.bytes = pinging->records * bench->record_size;
    result.replicas_synced = pinging->replicas_synced;
    if (err != 0) return (int)session_fail(&bench->session, err, "bench latency");
    code = bench_report(bench, &result);
    if (code == EXIT_DONE && interrupt_signal() != 0) code = EXIT_SIGNAL + interrupt_signal();
    return code;
}

int command_bench_latency(const struct arguments *arguments)
{
    static struct pinging pinging; /* a histogram is large for a stack */
    struct bench bench;
    int err, code = bench_open(&bench, arguments, RECORD_SIZE_DEFAULT);

    pinging = (struct pinging){.bench = &bench, .replicas_synced = UINT32_MAX};
    histogram_init(&pinging.latency);
    if (code == EXIT_DONE) {
        err = set_up(&pinging);
        code = err != 0 ? (int)session_fail(&bench.session, err, "bench latency") : run(&pinging);
    }
    mesh_consumer_free(pinging.consumer);
    mesh_client_free(pinging.second_client);
    mesh_producer_free(pinging.producer);
    bench_close(&bench);
    return code;
}
