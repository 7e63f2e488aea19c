/* segment/sync_queue.h - one durable write at a time without a thread: the kernel's asynchronous I/O (io_submit(2)).
 *
 * A lane costs each sync two wake-ups from thread to thread, on each side of a write that may take as little as 50 us.
 * Here the loop hands the write over itself, and a descriptor becomes readable when it is durable. The kernel is asked not
 * to block (RWF_NOWAIT): what it cannot do that way it refuses, and the caller takes a lane. Owned by one loop. */
#ifndef SEGMENT_SYNC_QUEUE_H
#define SEGMENT_SYNC_QUEUE_H

#include "base/fs.h"

struct sync_queue;

/* Errors: MESH_EUNSUPPORTED (the system has none for us: a container's filter, the limit fs.aio-max-nr), MESH_ENOMEM. */
int sync_queue_new(struct sync_queue **ret_queue);

/* A write that is under way is waited for first. Accepts NULL. */
void sync_queue_free(struct sync_queue *queue);

/* Readable once the write has ended. */
int sync_queue_fd(const struct sync_queue *queue);

/* Begins what fs_ops.write_sync does. The file must be referenced and the memory left alone until the write has ended; the
 * iov itself may go. Nothing else may be under way. Errors, nothing begun: MESH_EUNSUPPORTED (never for this file: not
 * direct, or not of the real disk), MESH_EAGAIN (not now). */
int sync_queue_begin(struct sync_queue *queue, struct fs_file *file, const struct iovec *iov, int iov_count,
                     uint64_t position);

/* True when the write has ended; with `wait` it blocks until then. *ret_error: 0: it is durable; MESH_EAGAIN: it was
 * refused, or is not whole: do it all with write_sync; MESH_EFULL, MESH_EIO: as from write_sync. */
bool sync_queue_end(struct sync_queue *queue, bool wait, int *ret_error);

#endif
