#include "base/machine.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX 4096

/* A small file of the kernel's, as a string. */
static bool read_text(const char *path, char text[FILE_SIZE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, FILE_SIZE_MAX - 1);

    if (fd >= 0) close(fd);
    if (size < 0) return false;
    text[size] = '\0';
    return true;
}

/* The group of this process below /sys/fs/cgroup. In a container that sees its own group as the whole tree, and where the group lies outside of what is seen: "". */
static void find_group(const char *root, char group[PATH_MAX])
{
    char path[PATH_MAX], text[FILE_SIZE_MAX], *line;

    group[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/proc/self/cgroup", root) >= (int)sizeof(path) || !read_text(path, text)) return;
    line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
    if (line == NULL) return;
    line += *line == '\n' ? 4 : 3;
    line[strcspn(line, "\n")] = '\0';
    if (strstr(line, "/..") == NULL && strcmp(line, "/") != 0) snprintf(group, PATH_MAX, "%s", line);
}

static bool read_limit(const char *root, const char *group, const char *name, char text[FILE_SIZE_MAX])
{
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/%s", root, group, name) < (int)sizeof(path) && read_text(path, text);
}

/* memory.max: bytes, or "max". */
static void limit_memory(const char *text, struct machine_share *share)
{
    char *end;
    unsigned long long bytes = strtoull(text, &end, 10);

    if (end == text || bytes == 0 || bytes >= share->memory_bytes) return;
    share->memory_bytes = bytes;
    share->is_memory_limited = true;
}

/* cpu.max: microseconds (or "max") of a period of so many. A part of a core is a core. */
static void limit_cores(const char *text, struct machine_share *share)
{
    unsigned long long quota, period, cores;

    if (sscanf(text, "%llu %llu", &quota, &period) != 2 || quota == 0 || period == 0) return;
    cores = quota / period + (quota % period != 0);
    if (cores >= share->cores) return;
    share->cores = (uint32_t)cores;
    share->is_cores_limited = true;
}

void machine_share_find(const char *root, struct machine_share *ret)
{
    char group[PATH_MAX], text[FILE_SIZE_MAX], *slash;
    cpu_set_t cores;

    *ret = (struct machine_share){.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), .cores = 1};
    if (sched_getaffinity(0, sizeof(cores), &cores) == 0) ret->cores = (uint32_t)CPU_COUNT(&cores);
    find_group(root, group);
    for (;;) {
        if (read_limit(root, group, "memory.max", text)) limit_memory(text, ret);
        if (read_limit(root, group, "cpu.max", text)) limit_cores(text, ret);
        slash = strrchr(group, '/');
        if (slash == NULL) return;
        *slash = '\0';
    }
}
