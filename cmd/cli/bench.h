/* cli/bench.h - what the three benchmarks share: the topic, the payload, CPU times. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cmd/cli/session.h"

#include <sys/types.h>

#define BENCH_TOPIC_SIZE 32

struct bench {
    const struct arguments *arguments;
    struct session session;
    char temporary_topic[BENCH_TOPIC_SIZE]; /* "" when --topic names one */
    const char *topic;
    size_t record_size;  /* bytes of each value */
    uint8_t *payload;    /* owned; values are windows of it, so that no two neighbours are alike */
    size_t payload_size; /* at least record_size + BENCH_PAYLOAD_WINDOWS */
    pid_t broker_pid;    /* 0: not known */
};

#define BENCH_PAYLOAD_WINDOWS (1u << 20)

/* Opens a client, makes the payload and creates the topic. Reports its own failure. Returns EXIT_DONE, or the
 * code to exit with; bench_close() is due in both cases. */
int bench_open(struct bench *bench, const struct arguments *arguments, size_t record_size_default);

/* Deletes a temporary topic, too. */
void bench_close(struct bench *bench);

/* The value number `index`: bench->record_size bytes. */
static inline const void *bench_value(const struct bench *bench, uint64_t index)
{
    /* One behind the other, as an application would have just written or read them; each time around the
     * windows are others, so that no batch holds the same value twice and a codec finds no more in them than
     * there is. */
    uint64_t at = index * bench->record_size;

    return bench->payload + ((at + at / BENCH_PAYLOAD_WINDOWS * 7919) & (BENCH_PAYLOAD_WINDOWS - 1));
}

/* CPU-seconds used so far by this process, and by the broker (-1: not known). */
struct bench_cpu {
    double client, broker;
};
struct bench_cpu bench_cpu_now(const struct bench *bench);

/* utime + stime of one line of /proc/PID/stat, in clock ticks. Pure. Errors: MESH_EINVAL. */
int bench_parse_stat(const char *line, uint64_t *ret_ticks);

#endif
