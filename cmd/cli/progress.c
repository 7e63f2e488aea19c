#include "cmd/cli/progress.h"

#include "cmd/cli/terminal.h"

#include <stdio.h>
#include <unistd.h>

#define INTERVAL_NS UINT64_C(200000000)
#define LINE_SIZE   200

void progress_init(struct progress *progress, bool is_wanted, uint64_t total, uint64_t now_ns)
{
    progress->is_shown = is_wanted && terminal_is(STDERR_FILENO);
    progress->start_ns = now_ns;
    progress->next_ns = now_ns + INTERVAL_NS;
    progress->total = total;
}

void progress_format(char *to, size_t size, uint64_t records, uint64_t bytes, uint64_t done, uint64_t total,
                     double seconds)
{
    char count[TERMINAL_FIGURE_SIZE], volume[TERMINAL_FIGURE_SIZE], rate[TERMINAL_FIGURE_SIZE],
        speed[TERMINAL_FIGURE_SIZE];
    char left[TERMINAL_FIGURE_SIZE];
    double per_second = seconds > 0 ? 1 / seconds : 0;
    size_t used;

    used = (size_t)snprintf(to, size, "%s records  %s  %s records/s  %s/s", terminal_count(records, count),
                            terminal_megabytes((double)bytes, volume),
                            terminal_count((uint64_t)((double)records * per_second), rate),
                            terminal_megabytes((double)bytes * per_second, speed));
    if (total == 0 || done == 0 || done > total || used >= size) return;
    snprintf(to + used, size - used, "  %.0f %%  ETA %s", 100.0 * (double)done / (double)total,
             terminal_seconds(seconds * (double)(total - done) / (double)done, left));
}

void progress_update(struct progress *progress, uint64_t records, uint64_t bytes, uint64_t done,
                     uint64_t now_ns)
{
    char line[LINE_SIZE];

    if (!progress->is_shown || now_ns < progress->next_ns) return;
    progress->next_ns = now_ns + INTERVAL_NS;
    progress_format(line, sizeof(line), records, bytes, done, progress->total,
                    (double)(now_ns - progress->start_ns) / 1e9);
    fprintf(stderr, "\r%.*s\033[K", (int)terminal_width(STDERR_FILENO) - 1, line);
}

void progress_clear(struct progress *progress)
{
    if (progress->is_shown) fputs("\r\033[K", stderr);
}
