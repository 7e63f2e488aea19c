/* Batches of group commit: which logs a ticket touches and which frames carry it. */
#include "segment/store_core.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

#define SPARE_BATCHES_MAX 4

/* What a batch may need beside the bytes of an append: headers, the padding of the frame that it ends and of
 * the one that it begins, and a frame of marks. */
#define APPEND_OVERHEAD (4u * FS_BLOCK_SIZE)

#define MARK_MS 250 /* the next batch of a direct log brings a mark then; one that falls silent waits for a manifest */

struct sync_batch *store_batch_new(struct store *store)
{
    struct list_node *node = list_pop_front(&store->spare_batches);
    struct sync_batch *batch;

    if (node != NULL) {
        store->spare_batch_count--;
        return container_of(node, struct sync_batch, link);
    }
    batch = calloc(1, sizeof(*batch));
    if (batch != NULL) list_init(&batch->link);
    return batch;
}

void store_batch_drop(struct sync_batch *batch)
{
    if (batch == NULL) return;
    free(batch->frames);
    free(batch->touches);
    free(batch);
}

void store_batch_free(struct store *store, struct sync_batch *batch)
{
    for (uint32_t i = 0; i < batch->frame_count; i++)
        chunk_unref(batch->frames[i].chunk);
    batch->frame_count = batch->touch_count = batch->direct_count = 0;
    batch->bytes = batch->frame_bytes = 0;
    batch->has_records = false;
    if (store->spare_batch_count >= SPARE_BATCHES_MAX) {
        store_batch_drop(batch);
        return;
    }
    list_push_front(&store->spare_batches, &batch->link);
    store->spare_batch_count++;
}

/* The forming batch, begun when there is none. */
static int forming_batch(struct store *store)
{
    if (store->forming != NULL) return 0;
    store->forming = store_batch_new(store);
    if (store->forming == NULL) return MESH_ENOMEM;
    store->forming->ticket = store->next_ticket;
    return 0;
}

uint64_t store_last_ticket(const struct store *store)
{
    return store->forming != NULL ? store->forming->ticket : store->next_ticket - 1;
}

static int grow_array(void **array, uint32_t *capacity, size_t item_size)
{
    uint32_t wanted = *capacity > 0 ? *capacity * 2 : 16;
    void *grown = realloc(*array, wanted * item_size);

    if (grown == NULL) return MESH_ENOMEM;
    *array = grown;
    *capacity = wanted;
    return 0;
}

uint32_t store_batch_size_max(const struct store *store)
{
    return store->options.journal_file_bytes - APPEND_OVERHEAD;
}

int store_begin_append(struct store *store, uint32_t size)
{
    const struct frame_writer *writer = &store->writer;
    uint64_t need = (uint64_t)size + APPEND_OVERHEAD;

    if (store->forming == NULL) return 0;
    need += store->forming->frame_bytes;
    if (writer->has_frame) need += writer->chunk->used - writer->frame_start;
    return need <= store->options.journal_file_bytes ? 0 : store_queue_forming(store);
}

int store_touch(struct store *store, struct plog *plog, struct batch_touch **ret_touch)
{
    struct sync_batch *batch;
    int err = forming_batch(store);

    if (err != 0) return err;
    batch = store->forming;
    if (plog->work->touch_ticket != batch->ticket) {
        if (batch->touch_count == batch->touch_capacity) {
            err = grow_array((void **)&batch->touches, &batch->touch_capacity, sizeof(*batch->touches));
            if (err != 0) return err;
        }
        plog->work->touch_ticket = batch->ticket;
        plog->work->touch_slot = batch->touch_count++;
        plog->job_references++;
        plog->touch_references++;
        batch->touches[plog->work->touch_slot] = (struct batch_touch){plog, plog->end_offset, 0, false};
    }
    *ret_touch = &batch->touches[plog->work->touch_slot];
    return 0;
}

void plog_touch_unref(struct plog *plog)
{
    MESH_ASSERT(plog->touch_references > 0);
    plog->touch_references--;
    plog_job_unref(plog);
}

int store_seal_frame(struct store *store)
{
    struct sync_batch *batch = store->forming;
    struct journal_frame *frame;

    if (!store->writer.has_frame) return 0;
    MESH_ASSERT(batch != NULL);
    if (batch->frame_count == batch->frame_capacity &&
        grow_array((void **)&batch->frames, &batch->frame_capacity, sizeof(*batch->frames)) != 0)
        return MESH_ENOMEM;
    frame = &batch->frames[batch->frame_count++];
    frame_writer_seal(&store->writer, store->durable_sequence, store->live_sequence, frame);
    batch->frame_bytes += frame->length;
    chunk_ref(frame->chunk);
    return 0;
}

/* Leaves the writer's chunk for one with room for an entry of size bytes. */
static int change_chunk(struct store *store, size_t size)
{
    struct chunk *old = store->writer.chunk, *chunk;
    int err = store_get_chunk(store, frame_writer_chunk_size(size), &chunk);

    if (err != 0) return err;
    err = store_seal_frame(store);
    if (err != 0) {
        store_close_chunk(store, chunk);
        return err;
    }
    frame_writer_set_chunk(&store->writer, chunk);
    if (old != NULL) store_close_chunk(store, old);
    return 0;
}

int store_begin_entry(struct store *store, const struct journal_entry_header *header, size_t size,
                      struct run *run, uint32_t *ret_position)
{
    int err = forming_batch(store);

    if (err == 0 && !frame_writer_fits(&store->writer, size)) err = change_chunk(store, size);
    if (err != 0) return err;
    *ret_position = frame_writer_begin(&store->writer, header, run);
    return 0;
}

/* Whether the journal is told now how far a direct log is durable. What it says costs a durable write of its own, as long as the
 * sync of a small batch: every batch would pay it, to make the few bytes fewer that a damaged disk can take from a log in a crash. */
static bool is_mark_due(const struct store *store, const struct plog *plog, bool has_frame)
{
    return has_frame || plog->work->unmarked_bytes >= store->options.mark_bytes || store->now_ms - plog->work->marked_ms >= MARK_MS;
}

static bool add_mark(struct store *store, struct plog *plog)
{
    const struct segment_file *segment = plog->segments[plog_find_segment(plog, plog->synced_offset - 1)];
    struct journal_entry_header mark;
    uint32_t position;

    if (segment->synced_offset != plog->synced_offset) return true; /* a hole ends there, no batch */
    mark = (struct journal_entry_header){
        .type = JOURNAL_ENTRY_MARK,
        .topic_id = plog->id.topic_id,
        .partition = plog->id.partition,
        .base_offset = plog->synced_offset,
        .next_offset = plog->synced_offset,
        .segment_base_offset = segment->base_offset,
        .segment_position = segment->synced,
    };
    if (store_begin_entry(store, &mark, 0, NULL, &position) != 0) return false;
    plog->work->unmarked_bytes = 0;
    plog->work->marked_ms = store->now_ms;
    return true;
}

/* Tells the journal how far direct logs were durable before this batch. */
static void add_marks(struct store *store)
{
    struct sync_batch *batch = store->forming;

    for (uint32_t i = 0; i < batch->touch_count && batch->direct_count > 0; i++) {
        struct plog *plog = batch->touches[i].plog;
        bool has_frame = batch->frame_count > 0 || store->writer.has_frame;
        if (!batch->touches[i].is_direct || plog->synced_offset == plog->start_offset) continue;
        plog->work->unmarked_bytes += batch->touches[i].bytes;
        if (is_mark_due(store, plog, has_frame) && !add_mark(store, plog)) return; /* a hint less */
    }
}

int store_queue_forming(struct store *store)
{
    int err;

    if (store->forming == NULL) return 0;
    add_marks(store);
    err = store_seal_frame(store);
    if (err != 0) return err;
    list_push_back(&store->queued_batches, &store->forming->link);
    store->forming = NULL;
    store->next_ticket++;
    return 0;
}

bool store_drop_empty_forming(struct store *store)
{
    struct sync_batch *batch = store->forming;

    if (batch->frame_count > 0 || batch->direct_count > 0 || store->writer.has_frame) return false;
    store->forming = NULL;
    for (uint32_t i = 0; i < batch->touch_count; i++) {
        batch->touches[i].plog->work->touch_ticket = 0;
        plog_touch_unref(batch->touches[i].plog);
    }
    store_batch_free(store, batch);
    return true;
}
