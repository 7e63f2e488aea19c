#include "segment/sync_queue.h"

#include "base/assert.h"
#include "base/error.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REFUSALS_LATER 64 /* writes that take the other way after a refusal, which costs more than a lane */

struct sync_queue {
    aio_context_t context;
    int event_fd;
    size_t size; /* of the write under way; 0: none is */
    unsigned avoid; /* that many times */
    bool is_useless; /* the file system cannot */
};

int sync_queue_new(struct sync_queue **ret_queue)
{
    struct sync_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL) return MESH_ENOMEM;
    queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->event_fd < 0 || syscall(SYS_io_setup, 1, &queue->context) != 0) {
        int err = errno == ENOMEM ? MESH_ENOMEM : MESH_EUNSUPPORTED;
        if (queue->event_fd >= 0) close(queue->event_fd);
        free(queue);
        return err;
    }
    *ret_queue = queue;
    return 0;
}

void sync_queue_free(struct sync_queue *queue)
{
    if (queue == NULL) return;
    syscall(SYS_io_destroy, queue->context); /* waits */
    close(queue->event_fd);
    free(queue);
}

int sync_queue_fd(const struct sync_queue *queue)
{
    return queue->event_fd;
}

static int refuse(struct sync_queue *queue, int error_number)
{
    if (error_number == EINVAL || error_number == EOPNOTSUPP || error_number == ENOSYS) {
        queue->is_useless = true;
        return MESH_EUNSUPPORTED;
    }
    queue->avoid = REFUSALS_LATER;
    return MESH_EAGAIN;
}

int sync_queue_begin(struct sync_queue *queue, struct fs_file *file, const struct iovec *iov, int iov_count,
                     uint64_t position)
{
    struct iocb request = {
        .aio_lio_opcode = IOCB_CMD_PWRITEV,
        .aio_rw_flags = RWF_DSYNC | RWF_NOWAIT,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)queue->event_fd,
        .aio_fildes = (uint32_t)file->fd,
        .aio_buf = (uint64_t)(uintptr_t)iov,
        .aio_nbytes = (uint64_t)iov_count,
        .aio_offset = (int64_t)position,
    };
    struct iocb *requests[] = {&request};
    long result;

    MESH_ASSERT(queue->size == 0);
    /* Through the page cache the call would write, and sync, before it returns. */
    if (file->fd < 0 || !file->is_direct || queue->is_useless) return MESH_EUNSUPPORTED;
    if (queue->avoid > 0) {
        queue->avoid--;
        return MESH_EAGAIN;
    }
    do {
        result = syscall(SYS_io_submit, queue->context, 1, requests);
    } while (result < 0 && errno == EINTR);
    if (result != 1) return refuse(queue, result < 0 ? errno : EAGAIN);
    for (int i = 0; i < iov_count; i++)
        queue->size += iov[i].iov_len;
    return 0;
}

static int result_error(struct sync_queue *queue, int64_t result)
{
    if (result == (int64_t)queue->size) return 0;
    if (result >= 0) return MESH_EAGAIN; /* only a part of it */
    switch (-result) {
    case EAGAIN:
    case EINTR:
    case EINVAL:
    case EOPNOTSUPP:
        refuse(queue, (int)-result);
        return MESH_EAGAIN;
    case ENOSPC:
    case EDQUOT: return MESH_EFULL;
    default: return MESH_EIO;
    }
}

bool sync_queue_end(struct sync_queue *queue, bool wait, int *ret_error)
{
    struct timespec now = {0, 0};
    struct io_event event;
    uint64_t count;
    long result;

    if (queue->size == 0) return false;
    /* First the descriptor: the kernel writes it after the event, so what is taken back here has its event already. */
    if (read(queue->event_fd, &count, sizeof(count)) < 0) MESH_ASSERT(errno == EAGAIN || errno == EINTR);
    do {
        result = syscall(SYS_io_getevents, queue->context, wait ? 1L : 0L, 1L, &event, wait ? NULL : &now);
    } while (result < 0 && errno == EINTR);
    MESH_ASSERT(result >= 0);
    if (result == 0) return false;
    *ret_error = result_error(queue, event.res);
    queue->size = 0;
    return true;
}
