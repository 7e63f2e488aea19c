/* cli/progress.h - one line on a terminal that tells how far long work is: rates, and when it will end.
 *
 * Shown on standard error, only when that is a terminal, at most five times a second. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    bool is_shown;
    uint64_t start_ns, next_ns;
    uint64_t total; /* in the unit of `done` below; 0: not known */
};

void progress_init(struct progress *progress, bool is_wanted, uint64_t total, uint64_t now_ns);

/* Shows the state when it is time to. `done` is compared with the total (bytes, or records when those are
 * counted). */
void progress_update(struct progress *progress, uint64_t records, uint64_t bytes, uint64_t done,
                     uint64_t now_ns);

/* Removes the line. */
void progress_clear(struct progress *progress);

/* The line itself, without decoration: "1,234 records  56.7 MB  10,000 records/s  5.6 MB/s  42 %  ETA 12 s".
 * Pure. */
void progress_format(char *to, size_t size, uint64_t records, uint64_t bytes, uint64_t done, uint64_t total,
                     double seconds);

#endif
