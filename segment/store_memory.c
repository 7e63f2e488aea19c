/* Where chunks come from and where they go: forming -> with unwritten runs -> tail cache -> the pool. And the
 * estimate of what the disk still holds. */
#include "segment/store_core.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

static void reclaim(struct store *store, struct chunk *chunk)
{
    while (!list_is_empty(&chunk->runs)) {
        struct run *run = container_of(chunk->runs.next, struct run, chunk_link);
        struct plog *plog = run->plog;
        /* Runs leave a log oldest first. Older ones may lie in chunks that became clean later: they go too.
         */
        while (run_queue_at(plog_runs(plog), 0) != run)
            plog_drop_first_run(plog);
        plog_drop_first_run(plog);
    }
    list_remove(&chunk->link);
    store->clean_bytes -= chunk->capacity;
    chunk_unref(chunk);
}

bool store_reclaim_chunk(struct store *store)
{
    if (list_is_empty(&store->clean_chunks)) return false;
    reclaim(store, container_of(store->clean_chunks.next, struct chunk, link));
    return true;
}

int store_get_chunk(struct store *store, size_t size_min, struct chunk **ret_chunk)
{
    int err = chunk_pool_get(store->pool, size_min, ret_chunk);

    while (err == MESH_EAGAIN && store_reclaim_chunk(store))
        err = chunk_pool_get(store->pool, size_min, ret_chunk);
    if (err == MESH_EAGAIN) store->is_memory_wanted = true;
    if (err != 0) return err;
    (*ret_chunk)->opened_ms = store->now_ms;
    list_push_back(&store->dirty_chunks, &(*ret_chunk)->link);
    return 0;
}

void store_chunk_cleaned(struct store *store, struct chunk *chunk)
{
    MESH_ASSERT(chunk->dirty_run_count == 0);
    if (chunk->is_open) return;
    list_remove(&chunk->link);
    list_push_back(&store->clean_chunks, &chunk->link);
    store->clean_bytes += chunk->capacity;
    while (store->clean_bytes > store->options.memory_bytes_max / 2 && store_reclaim_chunk(store)) {
    }
}

void store_close_chunk(struct store *store, struct chunk *chunk)
{
    if (!chunk->is_open) return;
    chunk->is_open = false;
    if (chunk->dirty_run_count == 0) store_chunk_cleaned(store, chunk);
}

uint8_t *store_staging(struct store *store, enum store_lane lane)
{
    if (store->staging[lane] == NULL)
        store->staging[lane] = aligned_alloc(FS_BLOCK_SIZE, SEGMENT_STAGING_SIZE);
    return store->staging[lane];
}

/* Closes the chunk that nothing has been appended to since the last frame was sealed. */
static void close_idle_writer(struct store *store)
{
    struct chunk *chunk = store->writer.chunk;

    if (chunk == NULL || store->writer.has_frame) return;
    frame_writer_set_chunk(&store->writer, NULL);
    store_close_chunk(store, chunk);
}

static void close_direct_chunks(struct store *store)
{
    list_for_each_safe(node, &store->dirty_chunks)
    {
        struct chunk *chunk = container_of(node, struct chunk, link);
        struct plog *plog;
        if (!chunk->is_open || chunk->dirty_run_count > 0 || list_is_empty(&chunk->runs)) continue;
        plog = container_of(chunk->runs.previous, struct run, chunk_link)->plog;
        if (plog->work->direct_chunk != chunk) continue;
        plog->work->direct_chunk = NULL;
        store->direct_log_count--;
        store_close_chunk(store, chunk);
    }
}

void store_yield_memory(struct store *store)
{
    close_idle_writer(store);
    close_direct_chunks(store);
}

void store_release_memory(struct store *store)
{
    store_yield_memory(store);
    if (store->async_chunk != NULL && store->async_chunk->used == 0) {
        store_close_chunk(store, store->async_chunk);
        store->async_chunk = NULL;
    }
    while (store_reclaim_chunk(store)) {
    }
    store_rest_logs(store);
    for (int lane = 0; lane < STORE_LANE_COUNT; lane++) {
        if (store->is_lane_busy[lane]) continue;
        free(store->staging[lane]);
        store->staging[lane] = NULL;
    }
    while (store->spare_batch_count > 0) {
        store_batch_drop(container_of(list_pop_front(&store->spare_batches), struct sync_batch, link));
        store->spare_batch_count--;
    }
    run_pool_trim(&store->runs);
    chunk_pool_trim(store->pool);
    buffer_deinit(&store->scratch);
}

void store_space_probed(struct store *store, uint64_t free_bytes)
{
    /* What is pending has still to be written; what a running job has written of it already is counted twice,
     * on the safe side. */
    uint64_t taken = store->options.free_bytes_min + store->pending_bytes;
    int64_t limit = INT64_MAX / 2;

    store->free_bytes = free_bytes;
    store->probed_ms = store->now_ms;
    if (free_bytes < taken)
        store->space_left = 0;
    else
        store->space_left = free_bytes - taken > (uint64_t)limit ? limit : (int64_t)(free_bytes - taken);
}

bool store_may_write_again(int error)
{
    return error == MESH_EFULL || error == MESH_ENOMEM;
}

uint64_t store_write_refused(struct store *store, int error)
{
    if (error == MESH_EFULL) store->is_full_found = true;
    return store->now_ms + WRITE_RETRY_MS;
}

bool store_has_space(struct store *store, uint64_t size)
{
    uint64_t free_bytes;

    /* Whatever the disk says of its space (a quota says nothing of it): what is accepted already comes first. */
    if (store->is_full_found && store->pending_bytes > 0) return false;
    /* Without a journal file nothing becomes durable: accept nothing that would then wait for one in vain. */
    if (!journal_files_has_any(&store->journal)) size += store->options.journal_file_bytes;
    if (store->space_left >= (int64_t)size) return true;
    if (store->fs->ops->free_bytes(store->fs, &free_bytes) == 0) store_space_probed(store, free_bytes);
    return store->space_left >= (int64_t)size;
}
