/* front/http/process.c - see process.h. */
#include "cmd/broker/front/http/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (directory == NULL) return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count >= 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

void process_stats_read(struct process_stats *ret_stats)
{
    FILE *file = fopen("/proc/self/stat", "re");
    struct rlimit limit;
    struct rusage usage;
    char line[1024];
    const char *fields;
    unsigned long long virtual_bytes, resident_pages, threads;

    memset(ret_stats, 0, sizeof(*ret_stats));
    if (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        fields = strrchr(line, ')'); /* the name before it may hold anything */
        /* After the name: state is field 3; threads 20, virtual size 23, resident pages 24. */
        if (fields != NULL &&
            sscanf(
                fields + 1,
                " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %*s %*s %llu %llu",
                &threads, &virtual_bytes, &resident_pages) == 3) {
            ret_stats->threads = threads;
            ret_stats->virtual_bytes = virtual_bytes;
            ret_stats->resident_bytes = resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
        }
    }
    if (file != NULL) fclose(file);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret_stats->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) ret_stats->max_fds = limit.rlim_cur;
    ret_stats->open_fds = count_fds();
}
