/* What this machine can do at best, measured with bare system calls, so that a figure of Mesh can be judged beside it.
 *
 * usage: limits DIR [WHAT]   prints one JSON object; takes about 20 s; needs 1.1 GiB of space in DIR. WHAT: `append`, `paced` or `sendfile`, one
 *                            round of these alone, to be taken in turns with what is judged beside them
 *
 * append_sync_1m    append 1 MiB + fdatasync to a growing file, as a log does at its simplest: MB/s
 * sync_4k_grow      append 4 KiB + fdatasync: median us;  sync_4k_overwrite: the same on a file that exists
 * sync_4k_paced     the latter 5,000 times a second: median and 99th percentile, from when each one was due, as a client
 *                   of a broker sees it: what this machine does to its tail when nobody else is to blame
 * pingpong          64 B there and back over loopback TCP: median us, default and reno congestion control
 * stream, sendfile  one-way loopback TCP: GB/s, and the sender's CPU-seconds per GB */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB      (1u << 20)
#define ROUNDS   3
#define SAMPLES  2000
#define PACED_NS      200000 /* between two: 5,000 a second */
#define PACED_SAMPLES 10000
#define FILE_BYTES    ((size_t)256 * MIB) /* of what sendfile sends again and again */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

static char *buffer_of(size_t size)
{
    void *buffer;
    if (posix_memalign(&buffer, 4096, size) != 0) fail("memory");
    memset(buffer, 0x5a, size);
    return buffer;
}

/* MB/s of appending `total` bytes in pieces, each followed by fdatasync, to a new file. */
static double append_sync(const char *path, size_t piece, size_t total)
{
    char *buffer = buffer_of(piece);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    double start = now_s(), seconds;

    if (fd < 0) fail(path);
    for (size_t done = 0; done < total; done += piece)
        if (pwrite(fd, buffer, piece, (off_t)done) != (ssize_t)piece || fdatasync(fd) != 0) fail("append");
    seconds = now_s() - start;
    close(fd);
    free(buffer);
    return (double)total / seconds / 1e6;
}

/* Median us of 4 KiB + fdatasync, over the file as it is or from an empty one. */
static double sync_4k(const char *path, bool overwrite)
{
    char *buffer = buffer_of(4096);
    double *samples = calloc(SAMPLES, sizeof(*samples));
    int fd = open(path, O_RDWR | O_CREAT | (overwrite ? 0 : O_TRUNC), 0600);
    double result;

    if (fd < 0 || samples == NULL) fail(path);
    for (int i = 0; i < SAMPLES; i++) {
        double start = now_s();
        if (pwrite(fd, buffer, 4096, (off_t)i * 4096) != 4096 || fdatasync(fd) != 0) fail("sync");
        samples[i] = (now_s() - start) * 1e6;
    }
    result = median(samples, SAMPLES);
    close(fd);
    free(samples);
    free(buffer);
    return result;
}

/* Microseconds from when each sync was due until it was done, in order of size. */
static void sync_4k_paced(const char *path, double *ret_median, double *ret_p99)
{
    char *buffer = buffer_of(4096);
    double *samples = calloc(PACED_SAMPLES, sizeof(*samples));
    int fd = open(path, O_RDWR, 0600), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec pace = {.it_interval = {0, PACED_NS}, .it_value = {0, PACED_NS}};
    uint64_t ticks = 0;
    double start = now_s();

    if (fd < 0 || timer < 0 || samples == NULL || timerfd_settime(timer, 0, &pace, NULL) != 0) fail(path);
    for (int i = 0; i < PACED_SAMPLES; i++) {
        uint64_t passed;
        if (ticks == 0) {
            if (read(timer, &passed, sizeof(passed)) != sizeof(passed)) fail("timer");
            ticks = passed;
        }
        ticks--;
        if (pwrite(fd, buffer, 4096, (off_t)(i % SAMPLES) * 4096) != 4096 || fdatasync(fd) != 0) fail("sync");
        samples[i] = (now_s() - start) * 1e6 - (double)(i + 1) * PACED_NS / 1e3;
    }
    *ret_median = median(samples, PACED_SAMPLES);
    *ret_p99 = samples[PACED_SAMPLES / 100 * 99];
    close(timer);
    close(fd);
    free(samples);
    free(buffer);
}

static void set_congestion(int fd, const char *name)
{
    int one = 1;
    if (name != NULL) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A connected pair over loopback TCP. */
static void connect_pair(const char *congestion, int *ret_a, int *ret_b)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    *ret_a = socket(AF_INET, SOCK_STREAM, 0);
    set_congestion(*ret_a, congestion);
    if (connect(*ret_a, (struct sockaddr *)&address, size) != 0) fail("connect");
    *ret_b = accept(listener, NULL, NULL);
    set_congestion(*ret_b, congestion);
    close(listener);
}

static double pingpong(const char *congestion)
{
    double *samples = calloc(SAMPLES * 10, sizeof(*samples));
    char bytes[64] = {0};
    int a, b, status;
    double result;
    pid_t child;

    connect_pair(congestion, &a, &b);
    child = fork();
    if (child == 0) {
        close(a);
        while (recv(b, bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes))
            if (send(b, bytes, sizeof(bytes), 0) != sizeof(bytes)) break;
        _exit(0);
    }
    close(b);
    for (int i = 0; i < SAMPLES * 10; i++) {
        double start = now_s();
        if (send(a, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
            recv(a, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
            fail("pingpong");
        samples[i] = (now_s() - start) * 1e6;
    }
    close(a);
    waitpid(child, &status, 0);
    result = median(samples, SAMPLES * 10);
    free(samples);
    return result;
}

static void drain(int fd)
{
    char *buffer = buffer_of(MIB / 4);
    while (recv(fd, buffer, MIB / 4, 0) > 0)
        ;
    _exit(0);
}

/* GB/s one way; with a file the bytes leave by sendfile from the page cache. */
static double stream(const char *congestion, const char *file, size_t file_size, double *ret_cpu_per_gb)
{
    const size_t total = (size_t)4 << 30;
    char *buffer = buffer_of(MIB);
    int a, b, status, fd = file != NULL ? open(file, O_RDONLY) : -1;
    double start, cpu, seconds;
    pid_t child;

    connect_pair(congestion, &a, &b);
    child = fork();
    if (child == 0) {
        close(a);
        drain(b);
    }
    close(b);
    start = now_s();
    cpu = cpu_s();
    for (size_t done = 0; done < total;) {
        off_t position = file != NULL ? (off_t)(done % file_size) : 0;
        ssize_t sent = file != NULL ? sendfile(a, fd, &position, file_size - (size_t)position) : send(a, buffer, MIB, 0);
        if (sent <= 0) fail("stream");
        done += (size_t)sent;
    }
    cpu = cpu_s() - cpu;
    shutdown(a, SHUT_WR);
    waitpid(child, &status, 0);
    seconds = now_s() - start;
    close(a);
    if (fd >= 0) close(fd);
    free(buffer);
    *ret_cpu_per_gb = cpu / ((double)total / 1e9);
    return (double)total / seconds / 1e9;
}

static void print_paced(double paced_us, double p99_us)
{
    printf("\"sync_4k_paced_us\": %.1f, \"sync_4k_paced_p99_us\": %.1f", paced_us, p99_us);
}

static void measure_disk(const char *path)
{
    double bandwidth[ROUNDS], grow[ROUNDS], overwrite[ROUNDS], paced[ROUNDS], paced_p99[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        bandwidth[i] = append_sync(path, MIB, (size_t)512 * MIB);
        grow[i] = sync_4k(path, false);
        overwrite[i] = sync_4k(path, true);
        sync_4k_paced(path, &paced[i], &paced_p99[i]);
    }
    printf("\"append_sync_1m_mb_per_s\": %.1f, \"sync_4k_grow_us\": %.1f, \"sync_4k_overwrite_us\": %.1f, ",
           median(bandwidth, ROUNDS), median(grow, ROUNDS), median(overwrite, ROUNDS));
    print_paced(median(paced, ROUNDS), median(paced_p99, ROUNDS));
    printf(", ");
}

static void measure_append(const char *path)
{
    printf("\"append_sync_1m_mb_per_s\": %.1f", append_sync(path, MIB, (size_t)512 * MIB));
}

static void measure_paced(const char *path)
{
    double paced_us, p99_us;

    (void)sync_4k(path, false); /* so that there is something to overwrite */
    sync_4k_paced(path, &paced_us, &p99_us);
    print_paced(paced_us, p99_us);
}

static void measure_sendfile(const char *path)
{
    double cpu;

    append_sync(path, MIB, FILE_BYTES);
    printf("\"sendfile_default_gb_per_s\": %.2f, ", stream(NULL, path, FILE_BYTES, &cpu));
    printf("\"sendfile_reno_gb_per_s\": %.2f", stream("reno", path, FILE_BYTES, &cpu));
}

static void measure_network(const char *path)
{
    static const char *const congestions[] = {NULL, "reno"};
    static const char *const names[] = {"default", "reno"};
    double cpu;

    append_sync(path, MIB, FILE_BYTES);
    for (int i = 0; i < 2; i++) {
        double ping[ROUNDS], plain[ROUNDS], file[ROUNDS], file_cpu[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            ping[round] = pingpong(congestions[i]);
            plain[round] = stream(congestions[i], NULL, 0, &cpu);
            file[round] = stream(congestions[i], path, FILE_BYTES, &file_cpu[round]);
        }
        printf("\"pingpong_%s_us\": %.1f, \"stream_%s_gb_per_s\": %.2f, \"sendfile_%s_gb_per_s\": %.2f, "
               "\"sendfile_%s_cpu_s_per_gb\": %.3f%s",
               names[i], median(ping, ROUNDS), names[i], median(plain, ROUNDS), names[i], median(file, ROUNDS), names[i],
               median(file_cpu, ROUNDS), i == 0 ? ", " : "");
    }
}

static void measure_all(const char *path)
{
    measure_disk(path);
    fflush(stdout);
    measure_network(path);
}

static const struct {
    const char *name;
    void (*measure)(const char *path);
} limits[] = {{"all", measure_all}, {"append", measure_append}, {"paced", measure_paced}, {"sendfile", measure_sendfile}};

int main(int argc, char **argv)
{
    const char *what = argc == 3 ? argv[2] : limits[0].name;
    char path[4096];
    size_t i = 0;

    while (i < sizeof(limits) / sizeof(limits[0]) && strcmp(limits[i].name, what) != 0)
        i++;
    if (argc < 2 || argc > 3 || i == sizeof(limits) / sizeof(limits[0])) {
        fprintf(stderr, "usage: limits DIR [all | append | paced | sendfile]\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s/limits.dat", argv[1]);
    printf("{");
    fflush(stdout);
    limits[i].measure(path);
    printf("}\n");
    unlink(path);
    return 0;
}
