/* front/http/process.h - what the kernel knows of this process, for /metrics. */
#ifndef FRONT_HTTP_PROCESS_H
#define FRONT_HTTP_PROCESS_H

#include <stdint.h>

struct process_stats {
    double cpu_seconds;
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_fds, max_fds;
    uint64_t threads;
};

/* Reads /proc/self; what cannot be read stays 0. Blocks for microseconds (no disk). */
void process_stats_read(struct process_stats *ret_stats);

#endif
