/* doctor_disk.c - where records are to be kept: directory, filesystem, space, and how long an fsync takes. */
#include "cmd/cli/doctor.h"

#include "base/clock.h"
#include "cmd/broker/broker.h"
#include "cmd/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LOCK_NAME      "lock"
#define SYNC_COUNT     9
#define SYNC_SIZE      4096
#define SYNC_SLOW_NS   20000000ull
#define SPACE_SMALL    (1ull << 30)
#define SPACE_NONE     (64ull << 20)

static const struct {
    unsigned long type;
    const char *name, *remedy; /* NULL: well */
} filesystems[] = {
    {0xEF53, "ext4", NULL},
    {0x58465342, "xfs", NULL},
    {0x9123683E, "btrfs", "every fsync costs several writes there: ext4 or xfs are faster"},
    {0x2FC12FC1, "zfs", NULL},
    {0xF2F52010, "f2fs", NULL},
    {0x01021994, "tmpfs", "it is memory: after a restart of the machine nothing is left. Name a directory on a disk with --data"},
    {0x794C7630, "overlay", "it is a container's own layer, which goes with the container: mount a volume there"},
    {0x6969, "nfs", "locks and fsync over a network may not hold what they promise: use a local disk, and let the mesh keep the copies"},
    {0xFF534D42, "cifs", "locks and fsync over a network may not hold what they promise: use a local disk, and let the mesh keep the copies"},
    {0xFE534D42, "smb2", "locks and fsync over a network may not hold what they promise: use a local disk, and let the mesh keep the copies"},
};

/* The directory itself, or the nearest one above it that is there. */
static void nearest(const char *path, char to[PATH_MAX])
{
    struct stat facts;

    snprintf(to, PATH_MAX, "%s", path);
    while (stat(to, &facts) != 0 && errno == ENOENT) {
        char *slash = strrchr(to, '/');

        if (slash == NULL) {
            snprintf(to, PATH_MAX, ".");
            return;
        }
        if (slash == to) slash++;
        *slash = '\0';
    }
}

static void check_filesystem(struct doctor *doctor, const char *path)
{
    struct statfs facts;

    if (statfs(path, &facts) != 0) {
        doctor_find(doctor, DOCTOR_WARNING, "disk", "the path must be reachable for this user", "the filesystem of %.200s cannot be looked at (%s)", path, strerror(errno));
        return;
    }
    for (size_t i = 0; i < sizeof(filesystems) / sizeof(filesystems[0]); i++) {
        if (filesystems[i].type != (unsigned long)facts.f_type) continue;
        doctor_find(doctor, filesystems[i].remedy == NULL ? DOCTOR_OK : DOCTOR_WARNING, "disk", filesystems[i].remedy == NULL ? "" : filesystems[i].remedy,
                    "%.200s is on %s", path, filesystems[i].name);
        return;
    }
    doctor_find(doctor, DOCTOR_WARNING, "disk", "ext4 and xfs are known to keep what fsync promises", "%.200s is on a filesystem of an unknown type (0x%lx)", path,
                (unsigned long)facts.f_type);
}

static void check_space(struct doctor *doctor, const char *path)
{
    uint64_t least = doctor->settings->broker.disk_free_bytes_min, bytes;
    char figure[TERMINAL_FIGURE_SIZE];
    struct statvfs facts;

    if (statvfs(path, &facts) != 0) return; /* told above */
    bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    terminal_bytes(bytes, figure);
    if (bytes < SPACE_NONE || bytes < least)
        doctor_find(doctor, DOCTOR_ERROR, "space", "a broker would refuse records at once: free some space, or name another disk with --data", "%s free in %.200s", figure, path);
    else if (bytes < SPACE_SMALL || bytes < 2 * least)
        doctor_find(doctor, DOCTOR_WARNING, "space", "records will soon be refused: topics keep 7 days unless retention.bytes or retention.ms say otherwise", "%s free in %.200s",
                    figure, path);
    else
        doctor_find(doctor, DOCTOR_OK, "space", "", "%s free in %.200s", figure, path);
    if (facts.f_files > 0 && facts.f_favail < 1000)
        doctor_find(doctor, DOCTOR_WARNING, "space", "each partition has some files: delete small files there", "%llu more files fit in %.200s", (unsigned long long)facts.f_favail, path);
}

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* The middle one of some, on a file without a name. 0: it could not be measured. */
static uint64_t measure_sync(const char *path)
{
    static const uint8_t block[SYNC_SIZE];
    uint64_t times[SYNC_COUNT];
    int fd = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0) return 0;
    for (int i = 0; i < SYNC_COUNT; i++) {
        uint64_t begin = clock_monotonic_ns();

        if (pwrite(fd, block, sizeof(block), (off_t)i * SYNC_SIZE) != SYNC_SIZE || fdatasync(fd) != 0) {
            close(fd);
            return 0;
        }
        times[i] = clock_monotonic_ns() - begin;
    }
    close(fd);
    qsort(times, SYNC_COUNT, sizeof(times[0]), compare_times);
    return times[SYNC_COUNT / 2] > 0 ? times[SYNC_COUNT / 2] : 1;
}

static void check_sync(struct doctor *doctor, const char *path)
{
    uint64_t ns = measure_sync(path);
    char figure[TERMINAL_FIGURE_SIZE];

    if (ns == 0)
        doctor_find(doctor, DOCTOR_WARNING, "fsync", "the filesystem has no unnamed files, or takes none now", "not measured in %.200s (%s)", path, strerror(errno));
    else if (ns > SYNC_SLOW_NS)
        doctor_find(doctor, DOCTOR_WARNING, "fsync", "an acknowledgement waits for one: each takes at least so long. A disk with power loss protection is faster", "%s in %.200s",
                    terminal_nanoseconds(ns, figure), path);
    else
        doctor_find(doctor, DOCTOR_OK, "fsync", "", "%s in %.200s", terminal_nanoseconds(ns, figure), path);
}

/* Looks at the lock of a broker that runs there, if it has ever been one. */
static void check_lock(struct doctor *doctor, const char *data)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/%s", data, LOCK_NAME) >= (int)sizeof(path)) return;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "data", "stop it, or name another directory with --data", "a broker is running on %.200s", data);
    close(fd);
}

void doctor_disk(struct doctor *doctor)
{
    const char *data = doctor->settings->data;
    char path[PATH_MAX];
    char foreign[NAME_MAX + 1];
    struct stat facts;

    nearest(data, path);
    if (stat(path, &facts) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "data", "make it reachable for this user, or name another directory with --data", "%.200s: %s", path, strerror(errno));
    else if (!S_ISDIR(facts.st_mode))
        doctor_find(doctor, DOCTOR_ERROR, "data", "name a directory with --data", "%.200s is no directory", path);
    else if (access(path, R_OK | W_OK | X_OK) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "data", "make it writable for this user (chown), or name another directory with --data", "%.200s: %s", path, strerror(errno));
    else if (strcmp(path, data) != 0)
        doctor_find(doctor, DOCTOR_OK, "data", "", "%.200s will be made", data);
    else if (broker_finds_foreign(data, foreign))
        doctor_find(doctor, DOCTOR_WARNING, "data", "name an empty directory with --data, to keep a broker's files apart", "%.200s is not empty, and no broker has been there: it holds %.100s", data, foreign);
    else
        doctor_find(doctor, DOCTOR_OK, "data", "", "%.200s is there, and writable", data);
    check_lock(doctor, data);
    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) return;
    check_filesystem(doctor, path);
    check_space(doctor, path);
    if (access(path, W_OK | X_OK) == 0) check_sync(doctor, path);
}
