/* Appending: a batch is copied to where the disk will take it from, and every book is brought up to date. All
 * that can fail comes before the first change that a reader or the disk could see. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <string.h>

/* Where a batch goes. */
struct append_place {
    struct chunk *chunk;
    struct run *run;           /* the run that grows; NULL: fresh_run begins */
    struct run *fresh_run;     /* owned until committed */
    struct batch_touch *touch; /* group only */
};

static int switch_flush_mode(struct plog *plog)
{
    /* Journal records behind unsynced page-cache bytes would look like a hole after a crash. */
    if (plog->synced_offset != plog->end_offset) {
        plog->store->is_checkpoint_due = true;
        return MESH_EAGAIN;
    }
    plog->flush = plog->config->flush;
    return 0;
}

/* A log that was opened without a past may have had one under the same name, in manifests that are still there and in the journal. A
 * RESTART voids all of it, and has to be durable with the log's first records at the latest; by then the former files are gone for good,
 * as what recovery finds after a RESTART belongs to the log. Async records do not wait for the journal: the log waits once. */
static int check_fresh(struct plog *plog)
{
    int err;

    if (store_is_name_taken(plog->store, &plog->id)) return MESH_EBUSY;
    if (plog->config->flush != PLOG_FLUSH_ASYNC) return 0;
    err = plog_restart(plog, plog->end_offset, -1, NULL, NULL);
    return err != 0 ? err : MESH_EAGAIN;
}

static int check(struct plog *plog, const struct record_batch_header *header)
{
    if (plog_error(plog) != 0) return plog_error(plog);
    if (plog->truncation != NULL || plog->store->is_draining) return MESH_EAGAIN;
    if (header->size > SEGMENT_BYTES_MAX / 4 || header->size > store_batch_size_max(plog->store))
        return MESH_ETOOLARGE;
    if (header->leader_epoch >= 0 && header->leader_epoch < epoch_cache_last_epoch(&plog->epochs))
        return MESH_EINVAL;
    MESH_ASSERT((uint64_t)header->base_offset == plog->end_offset);
    if (!store_has_space(plog->store, header->size)) return MESH_EFULL;
    if (plog->is_fresh) {
        int err = check_fresh(plog);
        if (err != 0) return err;
    }
    return plog->flush != plog->config->flush ? switch_flush_mode(plog) : 0;
}

static bool must_roll(const struct plog *plog, const struct segment_file *segment,
                      const struct record_batch_header *header, int64_t now_wall_ms)
{
    if (segment->size == 0) return false;
    if ((uint64_t)segment->size + header->size > plog->config->segment_bytes) return true;
    if (header->base_offset + header->last_offset_delta - (int64_t)segment->base_offset >
        (int64_t)UINT32_MAX / 2)
        return true;
    return now_wall_ms > segment->first_timestamp_ms &&
           (uint64_t)(now_wall_ms - segment->first_timestamp_ms) > plog->config->segment_ms;
}

/* The first append after a start: what the file holds beyond its saved index is read, by a job if that may be much. */
static int active_index(struct plog *plog, struct segment_file *segment)
{
    struct plog_look look = {.index_wanted = segment};

    if (segment->written < INDEX_JOB_BYTES_MIN || !plog_may_look(plog)) return plog_load_index(plog, segment);
    return plog_warm(plog, &look);
}

/* The segment that the batch belongs to, its index usable. */
static int append_segment(struct plog *plog, const struct record_batch_header *header, int64_t now_wall_ms,
                          struct segment_file **ret_segment)
{
    struct segment_file *segment = plog_active_segment(plog);
    int err = 0;

    if (segment == NULL || segment->is_lost || segment->next_offset != plog->end_offset ||
        must_roll(plog, segment, header, now_wall_ms)) {
        if (segment != NULL) plog->store->is_manifest_stale = true;
        err = plog_add_segment(plog, plog->end_offset, &segment);
    }
    if (err == 0 && segment->index == NULL) err = active_index(plog, segment);
    /* It was found just now that its file is gone: the log goes on in another one. */
    if (err == MESH_ECORRUPT && segment->is_lost) return append_segment(plog, header, now_wall_ms, ret_segment);
    if (err == 0) *ret_segment = segment;
    return err;
}

static void leave_direct(struct plog *plog)
{
    struct chunk *chunk = plog->work->direct_chunk;

    plog->work->direct_chunk = NULL;
    plog->store->direct_log_count--;
    store_close_chunk(plog->store, chunk);
}

/* Decides, once per log and ticket, which way its bytes take. */
static bool choose_direct(struct plog *plog, const struct batch_touch *touch, bool is_first_touch)
{
    struct store *store = plog->store;

    if (!is_first_touch) return touch->is_direct;
    if (plog->work->direct_chunk != NULL) {
        plog->work->quiet_tickets =
            plog->work->recent_bytes < store->options.direct_enter_bytes / 4 ? plog->work->quiet_tickets + 1 : 0;
        if (plog->work->quiet_tickets < DIRECT_QUIET_TICKETS) return true;
        leave_direct(plog);
        return false;
    }
    if (plog->work->recent_bytes < store->options.direct_enter_bytes || plog->is_writing) return false;
    if (plog_has_unsynced_older_segment(plog)) return false;
    return store->direct_log_count < DIRECT_LOGS_MAX && plog->work->direct_run_count == 0;
}

/* Room in the log's own chunk, laid out like the segment file. */
static int direct_room(struct plog *plog, const struct segment_file *segment, uint32_t size,
                       struct chunk **ret_chunk)
{
    struct chunk *chunk = plog->work->direct_chunk;
    uint32_t skew = segment->size % CHUNK_ALIGN;
    int err;

    if (chunk != NULL) {
        uint32_t used =
            chunk->used % CHUNK_ALIGN == skew ? chunk->used : (uint32_t)chunk_round_up(chunk->used) + skew;
        if (used <= chunk->capacity && chunk->capacity - used >= size) {
            chunk->used = used;
            *ret_chunk = chunk;
            return 0;
        }
    }
    err = store_get_chunk(plog->store, (size_t)skew + size, ret_chunk);
    if (err != 0) return err;
    (*ret_chunk)->used = skew;
    if (chunk != NULL)
        store_close_chunk(plog->store, chunk);
    else
        plog->store->direct_log_count++;
    plog->work->direct_chunk = *ret_chunk;
    return 0;
}

static int async_room(struct store *store, uint32_t size, struct chunk **ret_chunk)
{
    struct chunk *chunk = store->async_chunk;
    int err;

    if (chunk != NULL && chunk->capacity - chunk->used >= size) {
        *ret_chunk = chunk;
        return 0;
    }
    err = store_get_chunk(store, size, ret_chunk);
    if (err != 0) return err;
    if (chunk != NULL) store_close_chunk(store, chunk);
    store->async_chunk = *ret_chunk;
    return 0;
}

static bool can_grow(const struct run *run, const struct segment_file *segment, const struct chunk *chunk,
                     uint64_t ticket)
{
    return run != NULL && !run->is_written && run->segment == segment && run->chunk == chunk &&
           run->ticket == ticket && run->chunk_position + run->size == chunk->used;
}

static int prepare_run(struct plog *plog, struct append_place *place, const struct segment_file *segment,
                       uint64_t ticket)
{
    struct run *last = run_queue_last(plog_runs(plog));

    if (can_grow(last, segment, place->chunk, ticket)) {
        place->run = last;
        return 0;
    }
    if (run_queue_reserve(plog_runs(plog)) != 0) return MESH_ENOMEM;
    place->fresh_run = run_pool_get(&plog->store->runs);
    return place->fresh_run != NULL ? 0 : MESH_ENOMEM;
}

/* Journal: the entry of the log's open run grows, or a new entry begins. */
static int place_in_frame(struct plog *plog, const struct segment_file *segment,
                          const struct record_batch_header *header, struct append_place *place)
{
    struct store *store = plog->store;
    struct frame_writer *writer = &store->writer;
    struct run *last = run_queue_last(plog_runs(plog));
    uint32_t position;
    struct journal_entry_header entry = {
        .type = JOURNAL_ENTRY_DATA,
        .topic_id = plog->id.topic_id,
        .partition = plog->id.partition,
        .base_offset = plog->end_offset,
        .next_offset = plog->end_offset,
        .segment_base_offset = segment->base_offset,
        .segment_position = segment->size,
    };
    int err;

    if (last != NULL && writer->open_run == last && last->segment == segment && !last->is_written &&
        writer->chunk->capacity - writer->chunk->used >= header->size) {
        place->chunk = writer->chunk;
        place->run = last;
        return 0;
    }
    place->fresh_run = run_pool_get(&store->runs);
    if (place->fresh_run == NULL) return MESH_ENOMEM;
    err = store_begin_entry(store, &entry, header->size, place->fresh_run, &position);
    place->chunk = writer->chunk;
    /* Only now: finding a chunk may have taken this log's oldest runs away. */
    return err != 0 ? err : run_queue_reserve(plog_runs(plog));
}

/* In the ticket of the first records, before them. That ticket takes the journal's way: a log goes direct for what it brought before. */
static int tell_fresh(struct plog *plog)
{
    struct store *store = plog->store;
    struct journal_entry_header entry = {
        .type = JOURNAL_ENTRY_RESTART,
        .topic_id = plog->id.topic_id,
        .partition = plog->id.partition,
        .base_offset = plog->end_offset,
        .next_offset = plog->end_offset,
        .segment_base_offset = plog->end_offset,
        .segment_position = journal_restart_position(-1),
    };
    uint32_t position;
    int err = store_begin_entry(store, &entry, 0, NULL, &position);

    if (err != 0) return err;
    store->forming->has_records = true;
    store->is_manifest_stale = true;
    plog->was_restarted = true;
    plog->is_fresh = false;
    return 0;
}

static int find_place(struct plog *plog, struct segment_file *segment,
                      const struct record_batch_header *header, struct append_place *place)
{
    struct store *store = plog->store;
    uint64_t ticket;
    bool is_first_touch;
    int err;

    if (plog->flush == PLOG_FLUSH_ASYNC) {
        err = async_room(store, header->size, &place->chunk);
        return err != 0 ? err : prepare_run(plog, place, segment, 0);
    }
    err = store_begin_append(store, header->size + (plog->is_fresh ? FS_BLOCK_SIZE : 0)); /* its RESTART may get a frame of its own */
    ticket = store->next_ticket;
    is_first_touch = plog->work->touch_ticket != ticket;
    if (err == 0) err = store_touch(store, plog, &place->touch);
    if (err == 0 && plog->is_fresh) err = tell_fresh(plog);
    if (err != 0) return err;
    if (!choose_direct(plog, place->touch, is_first_touch))
        return place_in_frame(plog, segment, header, place);
    err = direct_room(plog, segment, header->size, &place->chunk);
    if (err == 0) err = prepare_run(plog, place, segment, ticket);
    if (err != 0 || place->touch->is_direct) return err;
    place->touch->is_direct = true;
    store->forming->direct_count++;
    return 0;
}

static void begin_run(struct plog *plog, struct segment_file *segment, struct append_place *place)
{
    struct run *run = place->fresh_run;

    run->plog = plog;
    run->chunk = place->chunk;
    run->segment = segment;
    run->base_offset = run->next_offset = plog->end_offset;
    run->ticket = place->touch != NULL ? plog->store->next_ticket : 0;
    run->chunk_position = place->chunk->used;
    run->segment_position = segment->size;
    run->size = 0;
    run->is_written = false;
    list_push_back(&place->chunk->runs, &run->chunk_link);
    place->chunk->dirty_run_count++;
    run_queue_push(plog_runs(plog), run);
    run->is_written = false;
    run->is_direct = place->touch != NULL && place->touch->is_direct;
    plog->work->direct_run_count += run->is_direct;
    place->run = run;
}

/* From here on nothing fails. */
static void commit(struct plog *plog, struct segment_file *segment, const struct record_batch_header *header,
                   const uint8_t *batch, struct append_place *place)
{
    struct store *store = plog->store;
    struct chunk *chunk = place->chunk;
    uint64_t next_offset = (uint64_t)record_batch_last_offset(header) + 1;

    if (place->run == NULL) begin_run(plog, segment, place);
    memcpy(chunk->memory + chunk->used, batch, header->size);
    if (place->touch != NULL && !place->touch->is_direct)
        frame_writer_add(&store->writer, chunk->memory + chunk->used, header->size, next_offset);
    else
        chunk->used += header->size;
    place->run->size += header->size;
    place->run->next_offset = next_offset;
    offset_index_append(segment->index, header, plog->config->index_interval_bytes);
    segment->size += header->size;
    segment->next_offset = next_offset;
    if (segment->first_timestamp_ms == INT64_MAX) segment->first_timestamp_ms = header->base_timestamp_ms;
    if (header->max_timestamp_ms > segment->max_timestamp_ms)
        segment->max_timestamp_ms = header->max_timestamp_ms;
    plog->end_offset = next_offset;
    plog->size_bytes += header->size;
    store->last_append_ms = store->now_ms;
    store->pending_bytes += header->size;
    store->space_left -= header->size;
    store->stats.appended_batches++;
    store->stats.appended_bytes += header->size;
    store->stats.appended_records += (uint64_t)header->record_count;
}

static void account_touch(struct plog *plog, struct batch_touch *touch, uint32_t size)
{
    struct sync_batch *batch = plog->store->forming;

    touch->bytes += size;
    touch->end_offset = plog->end_offset;
    batch->bytes += size + JOURNAL_ENTRY_HEADER_SIZE;
    if (batch->bytes >= plog->store->batch_bytes_max) store_queue_forming(plog->store);
}

int plog_append(struct plog *plog, const struct record_batch_header *header, const uint8_t *batch,
                int64_t now_wall_ms, uint64_t *ret_ticket)
{
    struct store *store = plog->store;
    struct append_place place = {0};
    struct segment_file *segment;
    bool was_idle = plog->due_index == 0;
    int err = check(plog, header);

    if (err == 0) err = plog_begin_work(plog);
    if (err == 0) err = append_segment(plog, header, now_wall_ms, &segment);
    if (err == 0) err = find_place(plog, segment, header, &place);
    if (err == 0 && header->leader_epoch >= 0)
        err = epoch_cache_assign(&plog->epochs, header->leader_epoch, plog->end_offset);
    if (err == 0) err = producer_table_record(&plog->producers, header, now_wall_ms);
    if (err != 0) {
        if (place.fresh_run != NULL) {
            if (store->writer.open_run == place.fresh_run) store->writer.open_run = NULL;
            run_pool_put(&store->runs, place.fresh_run);
        }
        return err;
    }
    commit(plog, segment, header, batch, &place);
    *ret_ticket = place.touch != NULL ? store->next_ticket : 0;
    if (place.touch != NULL)
        account_touch(plog, place.touch, header->size);
    else if (list_is_empty(&plog->work->async_link))
        list_push_back(&store->async_logs, &plog->work->async_link);
    if (was_idle) store_due_changed(plog);
    return 0;
}
