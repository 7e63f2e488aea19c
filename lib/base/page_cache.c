#include "base/page_cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_STRIDE 65536u

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
