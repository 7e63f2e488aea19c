/* Logs with flush=async: at the end of each turn their bytes go to the segment files through the page cache,
 * right on the loop; the kernel has them then. A later job syncs them (store_checkpoint.c). What finds no space or no memory stays where it
 * is, and is written at the end of a later turn. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#define ASYNC_IOVS_MAX 64

/* Writes the unwritten runs of one log that lie in one segment, up to ASYNC_IOVS_MAX. */
static int write_some(struct plog *plog)
{
    struct store *store = plog->store;
    struct iovec iov[ASYNC_IOVS_MAX];
    struct run *first = run_queue_at(plog_runs(plog), plog_runs(plog)->written_count);
    struct segment_file *segment = first->segment;
    uint32_t index = plog_runs(plog)->written_count, end = first->segment_position;
    struct segment_write write = {.id = &plog->id, .base_offset = segment->base_offset, .iov = iov};
    int err;

    while (index < plog_runs(plog)->count && write.iov_count < ASYNC_IOVS_MAX) {
        struct run *run = run_queue_at(plog_runs(plog), index++);
        if (run->segment != segment) break;
        iov[write.iov_count++] = (struct iovec){run->chunk->memory + run->chunk_position, run->size};
        end += run->size;
    }
    write.file = segment_file_opened_ref(segment);
    write.position = first->segment_position;
    write.end = end;
    write.create = !segment->is_created;
    write.past_cache_min = UINT32_MAX;
    err = segment_write_run(store->fs, &write, NULL);
    file_cache_install(&store->files, segment, write.file, NULL, store->now_ms);
    if (err != 0) return err;
    store_write_done(store);
    segment->is_created = true;
    store->stats.segment_written_bytes += end - write.position;
    plog->work->unsynced_bytes += end - write.position;
    while (write.iov_count-- > 0) {
        struct run *run = run_queue_at(plog_runs(plog), plog_runs(plog)->written_count);
        plog->filed_offset = run->next_offset;
        plog_run_written(plog, run);
    }
    segment_file_set_written(segment, end, plog->filed_offset);
    return 0;
}

static void write_log(struct plog *plog)
{
    struct store *store = plog->store;
    int err = 0;

    while (err == 0 && plog_runs(plog)->written_count < plog_runs(plog)->count)
        err = write_some(plog);
    if (store_may_write_again(err) && !store->is_draining) {
        store->async_retry_ms = store_write_refused(store, err);
        list_push_back(&store->async_logs, &plog->work->async_link);
    } else if (err != 0) {
        plog_poison(plog, err);
    }
    /* The page cache has them now; the chunk is used again at once. */
    while (plog_runs(plog)->count > 0 && err == 0)
        plog_drop_first_run(plog);
    plog_join_unsynced(plog);
    store->is_manifest_stale = true;
    plog_notify(plog);
    store_due_changed(plog);
}

static bool mark_unclean(struct store *store)
{
    int err = store_mark_unclean(store);

    if (store_may_write_again(err) && !store->is_draining)
        store->async_retry_ms = store_write_refused(store, err);
    else if (err != 0)
        store_fail_journal(store, MESH_ESTORAGE);
    return err == 0;
}

void store_write_async(struct store *store)
{
    struct list_node logs, *node;
    struct chunk *chunk = store->async_chunk;

    if (list_is_empty(&store->async_logs) || store->error != 0) return; /* of a failed store nothing is written any more */
    if (store->now_ms < store->async_retry_ms && !store->is_draining) return; /* what was refused a moment ago is one of them */
    if (!mark_unclean(store)) return;
    list_init(&logs);
    while ((node = list_pop_front(&store->async_logs)) != NULL)
        list_push_back(&logs, node);
    while ((node = list_pop_front(&logs)) != NULL) {
        struct plog *plog = container_of(node, struct plog_work, async_link)->plog;
        if (plog->error == 0) write_log(plog);
    }
    if (chunk == NULL || !list_is_empty(&chunk->runs)) return;
    if (atomic_load(&chunk->references) == 1) {
        chunk->used = 0;
        return;
    }
    store->async_chunk = NULL; /* a reader still holds it */
    store_close_chunk(store, chunk);
}
