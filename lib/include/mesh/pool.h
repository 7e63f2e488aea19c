/* mesh/pool.h - handling records on several threads: those of one partition one after the other, in order; those of different partitions side by side.
 *
 * The pool is put over a consumer that is, or will be, subscribed (mesh/group.h, delivery "at-least-once"); mesh_pool_run() polls it, and threads of the pool
 * call the handler. Then:
 *   - What is finished counts as handled: of each partition everything before the first record that is not. Committing goes by the group's options.
 *   - Memory is bounded. A partition whose records wait for a slow handler is paused, and goes on when half of its share is handled; others go on meanwhile.
 *   - When a partition goes, what waits is dropped (another member gets it), and the handler at work is waited for, while all other partitions go on. It may ask
 *     mesh_pool_is_wanted() whether it had better give up. After "processing.ms" the partition is taken away all the same: then its result counts for nothing,
 *     and if the partition comes back, nothing of it is handled before that handler has returned.
 *   - Handlers begin nothing while it is not certain that the partitions are still this member's.
 *   - A handler that takes longer than half of "processing.ms" is told of once, while it works: mesh_consumer_on_slow(), by the thread that runs the pool.
 *
 * All calls here but mesh_pool_is_wanted() belong to the consumer's thread. Included by mesh/mesh.h. */
#ifndef MESH_POOL_H
#define MESH_POOL_H

#include <mesh/error.h>
#include <mesh/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mesh_consumed;
struct mesh_consumer;
struct mesh_pool;

/* Runs in a thread of the pool; the record is the handler's until it returns. It must not use the consumer or its client (it may have a client of its own).
 * Returns 0: it is handled. A retriable code (mesh_error_is_retriable(): MESH_EAGAIN, MESH_ETIMEDOUT, ...): once more after a pause, and nothing else of its
 * partition before. Any other: its partition stands still, and mesh_pool_run() says so. What is to be left out has to be put where it is found again, and 0 returned. */
typedef int mesh_handle_fn(void *user, const struct mesh_consumed *record);

/* threads: 1 to 256. Until it is freed the consumer is polled, sought and unsubscribed by nobody else. Errors: MESH_EINVAL, MESH_EEXISTS (it has a pool),
 * MESH_ENOMEM, MESH_EIO. */
MESH_EXPORT int mesh_pool_new(struct mesh_consumer *consumer, int threads, mesh_handle_fn *handle, void *user, struct mesh_pool **ret_pool);
/* Of copies of records that wait: 64 KiB to 16 GiB, default 16 MiB. Divided evenly between the partitions, each of which may exceed its share by one record. */
MESH_EXPORT int mesh_pool_set_memory(struct mesh_pool *pool, size_t bytes);
/* attempts_max: of one record; 0, the default: no end. pause_ms: after the first, doubled with each up to 64 times as much; default 100. */
MESH_EXPORT int mesh_pool_set_retries(struct mesh_pool *pool, int attempts_max, int pause_ms);

/* Polls and hands over for so long. Errors: what a handler returned of which mesh_client_error() names the record (called again, it is handled again); what
 * mesh_consumer_poll() says. */
MESH_EXPORT int mesh_pool_run(struct mesh_pool *pool, int timeout_ms);
/* Reads nothing more, until all that was read is handled. Errors: as above; MESH_ETIMEDOUT. */
MESH_EXPORT int mesh_pool_drain(struct mesh_pool *pool, int timeout_ms);
/* Waits for the handlers that are at work. What waits is forgotten, and not committed. Before mesh_consumer_unsubscribe(), which commits what was
 * handled, and before mesh_consumer_free(). Accepts NULL. */
MESH_EXPORT void mesh_pool_free(struct mesh_pool *pool);

/* For a handler, of the record that it was given: 0 when its partition is about to go, or gone, or the pool ends. */
MESH_EXPORT int mesh_pool_is_wanted(const struct mesh_consumed *record);

struct mesh_pool_info {
    uint64_t handled, retried;
    size_t waiting, bytes; /* records, and their memory */
    int running;
    int paused; /* partitions that wait for room */
};
MESH_EXPORT void mesh_pool_info(struct mesh_pool *pool, struct mesh_pool_info *ret_info);

#ifdef __cplusplus
}
#endif
#endif
