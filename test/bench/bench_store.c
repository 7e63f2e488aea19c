/* The store alone, driven like a shard drives it: one loop, one sync thread, one background thread, a real
 * directory. Beside each other in one run: what append+fdatasync of 1 MiB pieces reaches on the same disk,
 * and what the store does.
 *
 *   bench_store DIRECTORY [MiB per case [logs batch-bytes]]
 *
 * Figures: MB/s of batches made durable, CPU seconds per GB of all threads, and the latency of one small
 * batch. */
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "segment/recovery.h"
#include "segment/store.h"
#include "wire/record_batch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LANES      STORE_LANE_READ
#define WARM_BYTES (512u << 20)

/* One thread that runs the jobs of one lane. */
struct lane {
    pthread_t thread;
    struct bench *bench;
    struct store_job *todo;
    bool is_stopping;
    pthread_cond_t wake;
};

struct bench {
    struct fs *fs;
    struct store *store;
    struct lane lanes[LANES];
    pthread_mutex_t mutex;
    pthread_cond_t done_wake;
    struct store_job *done[LANES];
    unsigned out; /* jobs that are out */
    uint64_t generation;
};

static void *lane_main(void *user)
{
    struct lane *lane = user;
    struct bench *bench = lane->bench;

    pthread_mutex_lock(&bench->mutex);
    for (;;) {
        struct store_job *job;
        while (lane->todo == NULL && !lane->is_stopping)
            pthread_cond_wait(&lane->wake, &bench->mutex);
        if (lane->todo == NULL) break;
        job = lane->todo;
        lane->todo = NULL;
        pthread_mutex_unlock(&bench->mutex);
        store_job_run(job);
        pthread_mutex_lock(&bench->mutex);
        bench->done[lane - bench->lanes] = job;
        pthread_cond_signal(&bench->done_wake);
    }
    pthread_mutex_unlock(&bench->mutex);
    return NULL;
}

static void start_lanes(struct bench *bench)
{
    pthread_mutex_init(&bench->mutex, NULL);
    pthread_cond_init(&bench->done_wake, NULL);
    for (int i = 0; i < LANES; i++) {
        bench->lanes[i].bench = bench;
        pthread_cond_init(&bench->lanes[i].wake, NULL);
        pthread_create(&bench->lanes[i].thread, NULL, lane_main, &bench->lanes[i]);
    }
}

static void stop_lanes(struct bench *bench)
{
    for (int i = 0; i < LANES; i++) {
        pthread_mutex_lock(&bench->mutex);
        bench->lanes[i].is_stopping = true;
        pthread_cond_signal(&bench->lanes[i].wake);
        pthread_mutex_unlock(&bench->mutex);
        pthread_join(bench->lanes[i].thread, NULL);
    }
}

static bool is_any_done(const struct bench *bench)
{
    for (int i = 0; i < LANES; i++)
        if (bench->done[i] != NULL) return true;
    return false;
}

/* Completes what is done and hands out what there is; waits for a completion first when `wait` and a job is
 * out. */
static void turn(struct bench *bench, bool wait)
{
    struct store_job *done[LANES];

    store_end_turn(bench->store, clock_monotonic_ms(), clock_wall_ms());
    pthread_mutex_lock(&bench->mutex);
    while (wait && bench->out > 0 && !is_any_done(bench))
        pthread_cond_wait(&bench->done_wake, &bench->mutex);
    memcpy(done, bench->done, sizeof(done));
    memset(bench->done, 0, sizeof(bench->done));
    pthread_mutex_unlock(&bench->mutex);
    for (int i = 0; i < LANES; i++) {
        if (done[i] == NULL) continue;
        bench->out--;
        store_job_complete(bench->store, done[i]);
    }
    for (int i = 0; i < LANES; i++) {
        struct store_job *job = store_next_job(bench->store, (enum store_lane)i);
        if (job == NULL) continue;
        bench->out++;
        pthread_mutex_lock(&bench->mutex);
        bench->lanes[i].todo = job;
        pthread_cond_signal(&bench->lanes[i].wake);
        pthread_mutex_unlock(&bench->mutex);
    }
}

static void must(int err, const char *what)
{
    if (err == 0) return;
    fprintf(stderr, "%s: %s\n", what, mesh_strerror(err));
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void open_store(struct bench *bench)
{
    struct store_options options;
    struct recovery_catalog *catalog;
    struct recovery_report report;

    must(recovery_run(bench->fs, NULL, NULL, &catalog, &report), "recovery");
    recovery_catalog_free(catalog);
    store_options_init(&options, bench->fs, 0);
    options.manifest_generation = report.generation + 1;
    must(store_open(&options, &bench->store), "store_open");
}

/* Drains and closes; deletes the logs first, so that the next case finds an empty disk. */
static void close_store(struct bench *bench, struct plog **logs, unsigned log_count)
{
    for (unsigned i = 0; i < log_count; i++)
        plog_delete(logs[i]);
    store_drain(bench->store);
    while (!store_is_drained(bench->store) || bench->out > 0)
        turn(bench, true);
    store_close(bench->store);
}

static struct plog **open_logs(struct bench *bench, unsigned log_count)
{
    struct plog **logs = calloc(log_count, sizeof(*logs));
    struct plog_config config;

    plog_config_init(&config);
    for (unsigned i = 0; i < log_count; i++) {
        struct plog_id id = {.partition = i};
        uint64_t stamp = clock_monotonic_ns();
        memcpy(id.topic_id.bytes, &stamp, sizeof(stamp));
        id.topic_id.bytes[15] = 1;
        if (i > 0) id.topic_id = plog_id(logs[0])->topic_id;
        must(store_open_log(bench->store, &id, &config, NULL, &logs[i]), "store_open_log");
    }
    return logs;
}

static uint8_t *build_batch(size_t size, struct record_batch_header *ret_header)
{
    struct record_batch_builder builder;
    struct record_batch_producer none = {-1, -1, -1};
    struct buffer unused = BUFFER_INIT;
    uint8_t *value = malloc(size), *copy;
    struct slice batch;
    struct record record = {.timestamp_ms = clock_wall_ms(), .key_is_null = true};

    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)rand();
    record_batch_builder_init(&builder);
    for (size_t left = size > 200 ? size - 128 : 64; left > 0;) {
        size_t take = left > 1024 ? 1024 : left;
        record.value = slice_of(value, take);
        must(record_batch_builder_add(&builder, &record), "builder");
        left -= take;
    }
    must(record_batch_builder_finish(&builder, &none, 0, RECORD_COMPRESSION_NONE, &unused, &batch),
         "builder");
    copy = malloc(batch.size);
    memcpy(copy, batch.data, batch.size);
    record_batch_set_leader_epoch(copy, 1);
    must(record_batch_verify(slice_of(copy, batch.size), ret_header), "verify");
    record_batch_builder_deinit(&builder);
    free(value);
    return copy;
}

static void append_one(struct bench *bench, struct plog *plog, uint8_t *batch,
                       struct record_batch_header *header)
{
    uint64_t ticket;
    int err;

    header->base_offset = (int64_t)plog_end_offset(plog);
    header->leader_epoch = 1;
    record_batch_set_base_offset(batch, header->base_offset);
    while ((err = plog_append(plog, header, batch, 0, &ticket)) == MESH_EAGAIN)
        turn(bench, true);
    must(err, "append");
}

/* Until all is in the segments, which an idle store does by itself after a while. */
static void settle(struct bench *bench)
{
    struct store_stats stats;

    do {
        turn(bench, bench->out > 0);
        store_get_stats(bench->store, &stats);
    } while (bench->out > 0 || stats.pending_bytes > 0);
}

static void throughput(struct bench *bench, const char *name, unsigned log_count, size_t batch_size,
                       uint64_t bytes)
{
    struct record_batch_header header;
    uint8_t *batch = build_batch(batch_size, &header);
    struct plog **logs;
    struct store_stats stats, before;
    uint64_t appended = 0, start_ns;
    double cpu, seconds;
    unsigned next = 0;

    open_store(bench);
    logs = open_logs(bench, log_count);
    /* Files are created and memory is touched before the clock starts: a broker that runs has done so long
     * ago. */
    for (uint64_t warm = 0; warm < WARM_BYTES || warm < (uint64_t)log_count * batch_size;
         warm += header.size) {
        append_one(bench, logs[next++ % log_count], batch, &header);
        if (warm % (256u << 10) < header.size) turn(bench, false);
    }
    settle(bench);
    store_get_stats(bench->store, &before);
    start_ns = clock_monotonic_ns();
    cpu = cpu_seconds();
    while (appended < bytes) {
        /* A turn brings 256 KiB, like a loop that has read some sockets. */
        for (uint64_t end = appended + (256u << 10); appended < end; appended += header.size)
            append_one(bench, logs[next++ % log_count], batch, &header);
        turn(bench, false);
    }
    while (store_durable_ticket(bench->store) + 1 < store_forming_ticket(bench->store) || bench->out > 0)
        turn(bench, true);
    seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    cpu = cpu_seconds() - cpu;
    store_get_stats(bench->store, &stats);
    printf(
        "%-34s %7.0f MB/s  %5.2f CPU-s/GB  journal x%.2f  segments x%.2f  %6.0f us/sync (p50)  %6.0f p99\n",
        name, (double)appended / seconds / 1e6, cpu / ((double)appended / 1e9),
        (double)(stats.journal_written_bytes - before.journal_written_bytes) / (double)appended,
        (double)(stats.segment_written_bytes - before.segment_written_bytes) / (double)appended,
        (double)histogram_quantile(store_sync_histogram(bench->store), 0.5) / 1e3,
        (double)histogram_quantile(store_sync_histogram(bench->store), 0.99) / 1e3);
    fflush(stdout);
    close_store(bench, logs, log_count);
    free(logs);
    free(batch);
}

/* One small batch at a time, each waited for. */
static void latency(struct bench *bench, size_t batch_size, unsigned count)
{
    struct record_batch_header header;
    uint8_t *batch = build_batch(batch_size, &header);
    struct histogram *histogram = malloc(sizeof(*histogram));
    struct plog **logs;
    double cpu = 0;

    histogram_init(histogram);
    open_store(bench);
    logs = open_logs(bench, 1);
    for (unsigned i = 0; i < count + count / 4; i++) {
        uint64_t start_ns = clock_monotonic_ns();
        append_one(bench, logs[0], batch, &header);
        while (plog_durable_offset(logs[0]) < plog_end_offset(logs[0]))
            turn(bench, bench->out > 0);
        if (i >= count / 4) histogram_record(histogram, clock_monotonic_ns() - start_ns);
        if (i == count / 4) cpu = cpu_seconds();
    }
    cpu = cpu_seconds() - cpu;
    printf("one batch of %zu bytes             p50 %4.0f us  p99 %4.0f us  (sync job p50 %.0f us)  %.0f us "
           "CPU each\n",
           batch_size, (double)histogram_quantile(histogram, 0.5) / 1e3,
           (double)histogram_quantile(histogram, 0.99) / 1e3,
           (double)histogram_quantile(store_sync_histogram(bench->store), 0.5) / 1e3, cpu * 1e6 / count);
    close_store(bench, logs, 1);
    free(logs);
    free(histogram);
    free(batch);
}

/* The yardstick: append 1 MiB through the page cache and fdatasync it. */
static void plain(const char *directory, uint64_t bytes)
{
    char path[512];
    char *data = malloc(1 << 20);
    uint64_t start_ns = clock_monotonic_ns();
    double cpu = cpu_seconds(), seconds;
    int fd;

    snprintf(path, sizeof(path), "%s/plain", directory);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    memset(data, 'x', 1 << 20);
    for (uint64_t at = 0; at < bytes; at += 1 << 20)
        if (write(fd, data, 1 << 20) != 1 << 20 || fdatasync(fd) != 0) must(MESH_EIO, "plain write");
    seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    printf("%-34s %7.0f MB/s  %5.2f CPU-s/GB\n", "append + fdatasync of 1 MiB", (double)bytes / seconds / 1e6,
           (cpu_seconds() - cpu) / ((double)bytes / 1e9));
    close(fd);
    unlink(path);
    free(data);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY [MiB per case [logs batch-bytes]]\n", argv[0]);
        return 2;
    }
    must(fs_real_new(argv[1], &bench.fs), "fs_real_new");
    start_lanes(&bench);
    if (argc > 4) {
        throughput(&bench, "chosen", (unsigned)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), bytes);
        goto out;
    }
    plain(argv[1], bytes);
    throughput(&bench, "1 log, batches of 1 MiB", 1, 1 << 20, bytes);
    throughput(&bench, "1 log, batches of 16 KiB", 1, 16 << 10, bytes);
    throughput(&bench, "4 logs, batches of 16 KiB", 4, 16 << 10, bytes);
    throughput(&bench, "100 logs, batches of 16 KiB", 100, 16 << 10, bytes);
    throughput(&bench, "1,000 logs, batches of 16 KiB", 1000, 16 << 10, bytes);
    throughput(&bench, "10,000 logs, batches of 16 KiB", 10000, 16 << 10, bytes);
    throughput(&bench, "10,000 logs, batches of 1 KiB", 10000, 1 << 10, bytes / 4);
    throughput(&bench, "1 log, batches of 200 bytes", 1, 200, bytes / 4);
    latency(&bench, 200, 2000);
    latency(&bench, 4096, 2000);
    plain(argv[1], bytes);
out:
    stop_lanes(&bench);
    bench.fs->ops->free(bench.fs);
    return 0;
}
