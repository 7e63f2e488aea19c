/* broker/front/cold.c - probing, and the job on the READ thread. */
#include "cmd/broker/front/cold.h"

#include "base/error.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_STRIDE 65536u
#define LOAD_STEP    262144u /* bytes per read of the READ thread */

struct cold_job {
    struct mail mail;
    struct connection *connection;
    struct shard *shard;
    struct fs_file *file; /* referenced */
    uint64_t position;
    size_t size;
};

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

bool cold_is_resident(const struct fs_file *file, uint64_t position, size_t size)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), count;

    if (size == 0) return true;
    if (count_cached_pages(file->fd, position, size, &count)) {
        if (count < (position + size - 1) / page_size - position / page_size + 1) return false;
        /* Pages count also while they are being read: the last one is there when the others are. */
        return probe(file->fd, position + size - 1) != 0;
    }
    for (size_t at = 0; at < size; at += PROBE_STRIDE) {
        int there = probe(file->fd, position + at);
        if (there <= 0) return there < 0;
    }
    return probe(file->fd, position + size - 1) != 0;
}

static void cold_home(struct mail *mail)
{
    struct cold_job *job = container_of(mail, struct cold_job, mail);
    struct connection *connection = job->connection;

    connection->out.is_loading = false;
    if (connection->state != CONNECTION_CLOSED && list_is_empty(&connection->flush_link))
        list_push_back(&job->shard->connections.flushing, &connection->flush_link);
    fs_unref(job->file);
    free(job);
    connection_end(connection, 0);
}

/* On the READ thread. Whatever goes wrong here, sendfile() will meet it too and say so. */
static void cold_run(struct mail *mail)
{
    struct cold_job *job = container_of(mail, struct cold_job, mail);
    void *scratch = malloc(LOAD_STEP);
    uint64_t at = job->position, end = job->position + job->size;

    (void)posix_fadvise(job->file->fd, (off_t)at, (off_t)job->size, POSIX_FADV_WILLNEED);
    while (scratch != NULL && at < end) {
        size_t step = end - at < LOAD_STEP ? end - at : LOAD_STEP;
        ssize_t size = pread(job->file->fd, scratch, step, (off_t)at);

        if (size <= 0) break;
        at += (uint64_t)size;
    }
    free(scratch);
    job->mail.deliver = cold_home;
    shard_post(job->shard, &job->mail);
}

int cold_load(struct connection *connection, struct fs_file *file, uint64_t position, size_t size)
{
    struct cold_job *job = malloc(sizeof(*job));

    if (job == NULL) return MESH_ENOMEM;
    *job = (struct cold_job){
        .mail.deliver = cold_run,
        .connection = connection,
        .shard = connection->shard,
        .file = fs_ref(file),
        .position = position,
        .size = size,
    };
    connection->out.is_loading = true;
    connection_begin(connection, 0);
    lane_post(&connection->shard->broker->read_lane, &job->mail);
    return 0;
}
