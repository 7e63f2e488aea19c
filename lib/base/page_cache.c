#include "base/page_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_STRIDE 65536u
#define LOAD_STEP    (1u << 20) /* what a pipe may hold without privileges */
#define COPY_STEP    (64u << 10)

/* 1: there; 0: not there; -1: this file system cannot tell. */
static int probe(int fd, uint64_t position)
{
    char byte;
    struct iovec iov = {&byte, 1};
    ssize_t size = preadv2(fd, &iov, 1, (off_t)position, RWF_NOWAIT);

    if (size >= 0) return 1;
    return errno == EAGAIN ? 0 : -1;
}

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* since Linux 6.5; the same everywhere */
#endif

/* Counts what the page cache has of a range, in one call. False: this kernel, file system or sandbox does not tell. */
static bool count_cached_pages(int fd, uint64_t position, size_t size, uint64_t *ret_count)
{
    static _Atomic bool is_missing;
    const uint64_t range[2] = {position, size};
    uint64_t counts[5]; /* cached, dirty, under writeback, evicted, recently evicted */

    if (atomic_load_explicit(&is_missing, memory_order_relaxed)) return false;
    if (syscall(SYS_cachestat, fd, range, counts, 0) != 0) {
        if (errno == ENOSYS || errno == EPERM) atomic_store_explicit(&is_missing, true, memory_order_relaxed);
        return false;
    }
    *ret_count = counts[0];
    return true;
}

bool page_cache_has(int fd, uint64_t position, size_t size)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), count;

    if (size == 0) return true;
    if (count_cached_pages(fd, position, size, &count)) {
        if (count < (position + size - 1) / page_size - position / page_size + 1) return false;
        /* Pages count also while they are being read: the last one is there when the others are. */
        return probe(fd, position + size - 1) != 0;
    }
    for (size_t at = 0; at < size; at += PROBE_STRIDE) {
        int there = probe(fd, position + at);
        if (there <= 0) return there < 0;
    }
    return probe(fd, position + size - 1) != 0;
}

/* ---- loading ---- */

struct nowhere {
    int pipe[2];
    int null;
};

static void nowhere_close(struct nowhere *nowhere)
{
    if (nowhere->null >= 0) close(nowhere->null);
    if (nowhere->pipe[0] >= 0) close(nowhere->pipe[0]);
    if (nowhere->pipe[1] >= 0) close(nowhere->pipe[1]);
}

/* False: no descriptors are left, or there is no such device here. */
static bool nowhere_open(struct nowhere *nowhere)
{
    *nowhere = (struct nowhere){{-1, -1}, open("/dev/null", O_WRONLY | O_CLOEXEC)};
    if (nowhere->null < 0 || pipe2(nowhere->pipe, O_CLOEXEC) != 0) return false;
    (void)fcntl(nowhere->pipe[1], F_SETPIPE_SZ, (int)LOAD_STEP); /* else it takes what it holds */
    return true;
}

static ssize_t splice_once(int from, off_t *position, int to, size_t size)
{
    ssize_t moved;

    do {
        moved = splice(from, position, to, NULL, size, 0);
    } while (moved < 0 && errno == EINTR);
    return moved;
}

/* Returns how much of the range has gone through the pipe: pages are waited for as they enter, and are never copied. */
static size_t load_by_reference(int fd, uint64_t position, size_t size)
{
    struct nowhere nowhere;
    off_t at = (off_t)position, end = (off_t)(position + size);
    bool goes_on = nowhere_open(&nowhere);

    while (goes_on && at < end) {
        ssize_t held = splice_once(fd, &at, nowhere.pipe[1], (size_t)(end - at));

        goes_on = held > 0;
        while (goes_on && held > 0) {
            ssize_t gone = splice_once(nowhere.pipe[0], NULL, nowhere.null, (size_t)held);

            goes_on = gone > 0;
            held -= gone;
        }
    }
    nowhere_close(&nowhere);
    return (size_t)(at - (off_t)position);
}

/* A pread() of all of it copies what nobody looks at, into memory that is new to the process, for ten times the CPU time; POSIX_FADV_WILLNEED does not wait,
 * and brings single pages, where reading in sequence comes to large folios. */
void page_cache_load(int fd, uint64_t position, size_t size)
{
    size_t done = load_by_reference(fd, position, size);
    void *scratch = done < size ? malloc(COPY_STEP) : NULL;

    while (scratch != NULL && done < size) {
        ssize_t got = pread(fd, scratch, size - done < COPY_STEP ? size - done : COPY_STEP, (off_t)(position + done));

        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += (size_t)got;
    }
    free(scratch);
}
