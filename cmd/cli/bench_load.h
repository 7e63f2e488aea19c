/* cli/bench_load.h - the load that a benchmark puts on a broker: as fast as it goes, or on a fixed schedule.
 *
 * As fast as it goes: the queue of the producer is kept full; every BENCH_SAMPLE_EVERYth record's time from
 * send to acknowledgement is measured, which includes its wait in the queue. With a rate: record i is due at
 * start + i / rate, whether or not earlier ones have been answered, and its latency counts from when it was
 * due. A stall of the broker is thus seen by all records that it delayed (no coordinated omission). The hot
 * path reads no clock and allocates nothing for records that are not measured. */
#ifndef CLI_BENCH_LOAD_H
#define CLI_BENCH_LOAD_H

#include "base/histogram.h"
#include "cmd/cli/bench.h"

#define BENCH_SAMPLE_EVERY 64 /* without a rate; a power of two */

struct bench_load_options {
    uint64_t records;     /* stop after so many; UINT64_MAX: by time only */
    uint64_t duration_ns; /* stop after so long; UINT64_MAX: by number only */
    uint64_t rate;        /* records per second; 0: as fast as it goes */
};

struct bench_slots; /* send times of measured records on their way */

struct bench_load {
    const struct bench *bench;
    struct mesh_producer *producer; /* borrowed */
    struct bench_load_options options;
    uint64_t sent, delivered, failed, unknown; /* records */
    int first_error;
    uint32_t replicas_synced;  /* the least of the receipts; UINT32_MAX before the first */
    struct histogram latency;  /* ns */
    uint64_t start_ns, end_ns; /* from the first send to the last answer */
    struct bench_slots *slots; /* owned */
    struct mesh_record record; /* the one to send: from one to the next only its value changes */
};

/* Sends and waits for every answer, or until a signal or a failure stops the sending. The results are in the
 * load's members. May be called again (a warm-up before): everything counts from anew. Errors: MESH_ENOMEM,
 * or a code of libmesh that is about no record. */
int bench_load_run(struct bench_load *load, const struct bench *bench, struct mesh_producer *producer,
                   const struct bench_load_options *options);
void bench_load_deinit(struct bench_load *load);

#endif
