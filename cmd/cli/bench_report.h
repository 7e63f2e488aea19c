/* cli/bench_report.h - prints what a benchmark measured, to people or as one JSON object. */
#ifndef CLI_BENCH_REPORT_H
#define CLI_BENCH_REPORT_H

#include "base/histogram.h"
#include "cmd/cli/bench.h"

struct bench_result {
    const char *name;         /* "produce", "consume", "latency", "groups" (whose records are offsets) */
    uint64_t records, bytes;  /* bytes of values */
    uint64_t failed, unknown; /* records */
    double seconds;
    struct bench_cpu before, after;
    const struct histogram *latency; /* ns; NULL: not measured */
    uint32_t replicas_synced;        /* UINT32_MAX: not known */
};

/* Returns an exit code. */
int bench_report(const struct bench *bench, const struct bench_result *result);

#endif
