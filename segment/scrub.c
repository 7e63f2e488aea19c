/* The scrubber: reads closed, synced segments again, slowly and only when the background lane has nothing
 * better to do, and checks every batch. What it finds becomes a hole, which is not served, and which the
 * owner is told of. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define STEP_BYTES (1u << 20)
#define STEP_MS    125                       /* 8 MiB/s */
#define FIRST_MS   60000                     /* after the store opened */
#define REST_MS    (7ull * 24 * 3600 * 1000) /* after a whole pass */

struct scrub {
    struct store_job job;
    struct plog *plog;     /* being scrubbed; NULL: a pass begins with the first log */
    uint64_t segment_base; /* in it */
    uint32_t position;     /* the next batch there */
    uint64_t expected;     /* its offset */
    bool is_running;
    bool is_resting;
    /* of the step that runs */
    struct plog_id id;
    struct fs_file *file; /* referenced */
    uint32_t end;
    uint64_t segment_end_offset;
    int32_t epoch;      /* that batches must have up to epoch_end, where the step ends at the latest; -1: not known */
    uint64_t epoch_end;
    uint32_t cut_count; /* of the log when the step began */
    struct buffer block;
    uint64_t checked_bytes;
    bool is_damaged;
    uint64_t hole_to;
    uint32_t hole_resume;
    int error;
};

/* ---- run: any thread ---- */

static int read_block(struct scrub *scrub, size_t wanted)
{
    int err;

    if (wanted > scrub->end - scrub->position) wanted = scrub->end - scrub->position;
    buffer_clear(&scrub->block);
    err = buffer_reserve(&scrub->block, wanted);
    return err != 0 ? err
                    : scrub->file->fs->ops->read(scrub->file, scrub->block.data, wanted, scrub->position,
                                                 &scrub->block.size);
}

/* The size in a bad batch's header may still lead to the next one, which says itself where it begins: the bad one's count of
 * offsets may be what is wrong with it. */
static void note_damage(struct scrub *scrub, const struct record_batch_header *bad)
{
    struct record_batch_header next;
    uint8_t bytes[RECORD_BATCH_HEADER_SIZE];
    size_t got = 0;
    uint32_t position;

    scrub->is_damaged = true;
    scrub->hole_to = scrub->segment_end_offset;
    scrub->hole_resume = 0;
    if (bad == NULL || bad->size >= scrub->end - scrub->position) return;
    position = scrub->position + bad->size;
    if (scrub->file->fs->ops->read(scrub->file, bytes, sizeof(bytes), position, &got) != 0 ||
        record_batch_parse_header(slice_of(bytes, got), &next) != 0 || next.size > scrub->end - position ||
        (uint64_t)next.base_offset <= scrub->expected || (uint64_t)next.base_offset >= scrub->segment_end_offset)
        return;
    scrub->hole_to = (uint64_t)next.base_offset;
    scrub->hole_resume = position;
}

/* A batch's CRC leaves out what brokers set. Of that, the length would not fit the CRC; the offset follows from the batch
 * before; the leader epoch is what the log's books say. */
static bool is_sound(const struct scrub *scrub, struct slice bytes)
{
    struct record_batch_header header;

    if (record_batch_verify(bytes, &header) != 0 || (uint64_t)header.base_offset != scrub->expected) return false;
    if ((uint64_t)record_batch_last_offset(&header) >= scrub->segment_end_offset) return false;
    return scrub->epoch < 0 || header.leader_epoch == scrub->epoch || header.leader_epoch == -1;
}

static void check_batches(struct scrub *scrub)
{
    size_t used = 0;

    while (used < scrub->block.size && !scrub->is_damaged && scrub->expected < scrub->epoch_end) {
        struct slice at = slice_of(scrub->block.data + used, scrub->block.size - used);
        struct record_batch_header header;
        int err = record_batch_parse_header(at, &header);
        if (err == 0 && header.size > at.size && header.size <= scrub->end - scrub->position) {
            if (used > 0) return; /* the next step begins with it */
            scrub->error = read_block(scrub, header.size);
            if (scrub->error != 0) return;
            at = slice_of(scrub->block.data, scrub->block.size);
        }
        if (err == MESH_EAGAIN && used > 0) return;
        if (err != 0) {
            note_damage(scrub, NULL);
        } else if (header.size > at.size || !is_sound(scrub, slice_of(at.data, header.size))) {
            note_damage(scrub, &header);
        } else {
            used += header.size;
            scrub->checked_bytes += header.size;
            scrub->position += header.size;
            scrub->expected = (uint64_t)record_batch_last_offset(&header) + 1;
        }
    }
}

static void scrub_run(struct store_job *base)
{
    struct scrub *scrub = container_of(base, struct scrub, job);

    scrub->error = segment_open(base->fs, &scrub->id, scrub->segment_base, FS_READ, false, &scrub->file);
    if (scrub->error == 0) scrub->error = read_block(scrub, STEP_BYTES);
    if (scrub->error == 0) check_batches(scrub);
    fs_unref(scrub->file);
    scrub->file = NULL;
}

/* ---- the loop ---- */

static struct plog *next_log(struct store *store, struct plog *plog)
{
    struct list_node *node = plog != NULL ? plog->log_link.next : store->logs.next;

    return node != &store->logs ? container_of(node, struct plog, log_link) : NULL;
}

static void enter_segment(struct scrub *scrub, uint64_t base_offset)
{
    scrub->segment_base = base_offset;
    scrub->position = 0;
    scrub->expected = base_offset;
}

/* The closed segment at or behind the cursor, which then stands in it; NULL when the log has no more. */
static struct segment_file *find_segment(struct scrub *scrub)
{
    const struct plog *plog = scrub->plog;

    for (uint32_t i = 0; i + 1 < plog->segment_count; i++) {
        struct segment_file *segment = plog->segments[i];
        const struct plog_hole *hole;
        if (segment->base_offset < scrub->segment_base || segment->synced < segment->size) continue;
        if (segment->base_offset != scrub->segment_base) enter_segment(scrub, segment->base_offset);
        hole = plog_hole_at(plog, scrub->expected);
        if (hole != NULL && hole->resume_position > scrub->position) {
            scrub->position = hole->resume_position;
            scrub->expected = hole->to;
        } else if (hole != NULL) {
            scrub->position = segment->size;
        }
        if (scrub->position < segment->size) return segment;
        enter_segment(scrub, segment->base_offset + 1); /* any later one */
    }
    return NULL;
}

static void scrub_complete(struct store *store, struct store_job *base)
{
    struct scrub *scrub = container_of(base, struct scrub, job);
    struct plog *plog = scrub->plog;

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    scrub->is_running = false;
    store->stats.scrubbed_bytes += scrub->checked_bytes;
    if (plog == NULL) return; /* deleted meanwhile */
    if (plog->cut_count != scrub->cut_count) return; /* these bytes may be gone */
    if (scrub->is_damaged && plog->truncation == NULL && plog_hole_at(plog, scrub->expected) == NULL) {
        store->stats.corrupt_batches++;
        plog_add_hole(plog, scrub->expected, scrub->hole_to, scrub->hole_resume);
        plog_notify(plog);
    }
    /* What cannot be read is damage, too, but of the disk; the next reader is told so. */
    if (scrub->error != 0) enter_segment(scrub, scrub->segment_base + 1);
}

static struct scrub *scrub_get(struct store *store)
{
    if (store->scrub == NULL) {
        store->scrub = calloc(1, sizeof(*store->scrub));
        if (store->scrub != NULL) store->scrub_next_ms = store->now_ms + FIRST_MS;
    }
    return store->scrub;
}

struct store_job *store_scrub_job(struct store *store)
{
    struct scrub *scrub = scrub_get(store);
    struct segment_file *segment = NULL;

    if (scrub == NULL || scrub->is_running || store->now_ms < store->scrub_next_ms || store->is_draining)
        return NULL;
    for (int visited = 0; visited < 64; visited++) {
        if (scrub->plog != NULL) segment = find_segment(scrub);
        if (segment != NULL) break;
        scrub->plog = next_log(store, scrub->plog);
        enter_segment(scrub, 0);
        if (scrub->plog == NULL) break;
    }
    store->scrub_next_ms = store->now_ms + (scrub->plog == NULL ? REST_MS : STEP_MS);
    if (segment == NULL) return NULL;
    scrub->id = scrub->plog->id;
    scrub->end = segment->size;
    scrub->segment_end_offset = segment->next_offset;
    scrub->cut_count = scrub->plog->cut_count;
    scrub->epoch = epoch_cache_epoch_at(&scrub->plog->epochs, scrub->expected);
    scrub->epoch_end = UINT64_MAX;
    if (scrub->epoch >= 0)
        scrub->epoch_end =
            epoch_cache_end_offset(&scrub->plog->epochs, scrub->epoch, scrub->plog->end_offset, &scrub->epoch);
    scrub->is_damaged = false;
    scrub->checked_bytes = 0;
    scrub->is_running = true;
    scrub->job = (struct store_job){
        .lane = STORE_LANE_BACKGROUND, .fs = store->fs, .run = scrub_run, .complete = scrub_complete};
    list_init(&scrub->job.link);
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return &scrub->job;
}

uint64_t store_scrub_due(const struct store *store)
{
    bool has_closed = store->stats.segment_count > store->stats.log_count;

    return store->scrub != NULL && has_closed ? store->scrub_next_ms : UINT64_MAX;
}

void store_scrub_forget(struct store *store, const struct plog *plog)
{
    if (store->scrub == NULL || store->scrub->plog != plog) return;
    /* The pass goes on with the log before this one, which then moves to the one after it. */
    store->scrub->plog = NULL;
    if (plog->log_link.previous != &store->logs && !store->scrub->is_running)
        store->scrub->plog = container_of(plog->log_link.previous, struct plog, log_link);
    enter_segment(store->scrub, UINT64_MAX / 2);
}

void store_scrub_deinit(struct store *store)
{
    if (store->scrub == NULL) return;
    buffer_deinit(&store->scrub->block);
    free(store->scrub);
    store->scrub = NULL;
}
