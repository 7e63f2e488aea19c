/* wall_clock.c - preloaded into a broker, it shifts the wall clock by what a file says, while the broker
 * runs.
 *
 * CHAOS_CLOCK_FILE names a file of eight bytes: milliseconds, signed, of this machine's byte order. Only
 * CLOCK_REALTIME is shifted: the monotonic clock is what the protocols may rely on. Without the file nothing
 * is. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void map_the_file(void)
{
    const char *path = getenv("CHAOS_CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory;

    if (fd < 0) return;
    memory = mmap(NULL, sizeof(*shift_ms), PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) shift_ms = memory;
    close(fd);
}

static void shift(struct timespec *ret_time)
{
    int64_t ms = shift_ms != NULL ? *shift_ms : 0;
    int64_t ns = ret_time->tv_nsec + ms % 1000 * 1000000;

    ret_time->tv_sec += (time_t)(ms / 1000);
    if (ns < 0) ret_time->tv_sec--, ns += 1000000000;
    if (ns >= 1000000000) ret_time->tv_sec++, ns -= 1000000000;
    ret_time->tv_nsec = (long)ns;
}

PUBLIC int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, ret_time);

    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(ret_time);
    return result;
}

PUBLIC int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    *ret_time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

PUBLIC time_t time(time_t *ret_time)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (ret_time != NULL) *ret_time = now.tv_sec;
    return now.tv_sec;
}
