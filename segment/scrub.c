/* The scrubber: reads what is synced again, slowly and only when the background lane has nothing better to do, and checks every
 * batch. What it finds becomes a hole, which is not served, and which the owner is told of. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/healing.h"
#include "segment/store_core.h"

#include <stdlib.h>

#define STEP_BYTES   (1u << 20)
#define BYTES_PER_S  (8u << 20)                /* unless the options say otherwise */
#define RETRY_MS     125                       /* a step that is due waits for its lane */
#define FIRST_MS     60000                     /* after the store opened, unless the options say otherwise */
#define REST_MS      (7ull * 24 * 3600 * 1000) /* after a whole pass, likewise */
#define DETOUR_BYTES (16u << 20)

/* Where it has got to. */
struct scrub_cursor {
    struct plog *plog;     /* NULL: nowhere; a pass then begins with the first log */
    uint64_t segment_base; /* in it */
    uint32_t position;     /* the next batch there */
    uint64_t expected;     /* its offset */
    uint32_t cut_count;    /* of the log when it was there: after a cut other batches may lie there, at other places */
};

struct scrub {
    struct store_job job;
    struct scrub_cursor pass;
    struct scrub_cursor detour; /* to what somebody doubts */
    uint64_t detour_bytes;      /* left of it */
    struct scrub_cursor *at;    /* the one that the step which runs belongs to */
    bool is_running;
    /* of the step that runs */
    struct plog *stepping; /* its log; NULL: deleted meanwhile */
    struct plog_id id;
    uint64_t segment_base;
    uint32_t position;
    uint64_t expected;
    struct fs_file *file; /* referenced */
    uint32_t end;
    uint64_t end_offset;
    int32_t epoch;      /* that batches must have up to epoch_end, where the step ends at the latest; -1: not known */
    uint64_t epoch_end;
    uint32_t cut_count; /* of the log when the step began */
    struct buffer block;
    uint64_t checked_bytes;
    bool is_damaged;
    struct plog_hole hole;
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
    scrub->hole = (struct plog_hole){.from = scrub->expected, .to = scrub->end_offset, .position = scrub->position, .resume_position = scrub->end};
    if (bad == NULL || bad->size >= scrub->end - scrub->position) return;
    position = scrub->position + bad->size;
    if (scrub->file->fs->ops->read(scrub->file, bytes, sizeof(bytes), position, &got) != 0 ||
        record_batch_parse_header(slice_of(bytes, got), &next) != 0 || next.size > scrub->end - position ||
        (uint64_t)next.base_offset <= scrub->expected || (uint64_t)next.base_offset >= scrub->end_offset)
        return;
    scrub->hole.to = (uint64_t)next.base_offset;
    scrub->hole.resume_position = position;
}

/* A batch's CRC leaves out what brokers set. Of that, the length would not fit the CRC; the offset follows from the batch
 * before; the leader epoch is what the log's books say. */
static bool is_sound(const struct scrub *scrub, struct slice bytes)
{
    struct record_batch_header header;

    if (record_batch_verify(bytes, &header) != 0 || (uint64_t)header.base_offset != scrub->expected) return false;
    if ((uint64_t)record_batch_last_offset(&header) >= scrub->end_offset) return false;
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

/* What cannot be read is damage, too. */
static void scrub_run(struct store_job *base)
{
    struct scrub *scrub = container_of(base, struct scrub, job);

    scrub->error = segment_open(base->fs, &scrub->id, scrub->segment_base, FS_READ, false, &scrub->file);
    if (scrub->error == 0) scrub->error = read_block(scrub, STEP_BYTES);
    if (scrub->error == 0 && scrub->block.size > 0) check_batches(scrub);
    else if (scrub->error == 0) note_damage(scrub, NULL); /* the file ends before its time */
    if (scrub->error == MESH_EIO && scrub->file != NULL) {
        scrub->error = 0;
        note_damage(scrub, NULL);
    }
    fs_unref(scrub->file);
    scrub->file = NULL;
}

/* ---- the loop ---- */

static struct plog *next_log(struct store *store, struct plog *plog)
{
    struct list_node *node = plog != NULL ? plog->log_link.next : store->logs.next;

    return node != &store->logs ? container_of(node, struct plog, log_link) : NULL;
}

static void enter_segment(struct scrub_cursor *cursor, uint64_t base_offset)
{
    cursor->segment_base = base_offset;
    cursor->position = 0;
    cursor->expected = base_offset;
    cursor->cut_count = cursor->plog != NULL ? cursor->plog->cut_count : 0;
}

/* The segment at or behind the cursor, which then stands in it before something that is synced; NULL when the log has no more. */
static struct segment_file *find_segment(struct scrub_cursor *cursor)
{
    const struct plog *plog = cursor->plog;

    if (cursor->cut_count != plog->cut_count) enter_segment(cursor, cursor->segment_base);
    for (uint32_t i = 0; i < plog->segment_count; i++) {
        struct segment_file *segment = plog->segments[i];
        const struct plog_hole *hole;
        if (segment->base_offset < cursor->segment_base) continue;
        if (segment->base_offset != cursor->segment_base) enter_segment(cursor, segment->base_offset);
        hole = plog_hole_at(plog, cursor->expected);
        if (hole != NULL && hole->resume_position > cursor->position) {
            cursor->position = hole->resume_position;
            cursor->expected = hole->to;
        } else if (hole != NULL) {
            cursor->position = segment->size;
        }
        if (cursor->position < segment->synced) return segment;
        enter_segment(cursor, segment->base_offset + 1); /* any later one */
    }
    return NULL;
}

static struct segment_file *segment_at(const struct plog *plog, uint64_t base_offset)
{
    struct segment_file *segment = plog->segment_count > 0 ? plog->segments[plog_find_segment(plog, base_offset)] : NULL;

    return segment != NULL && segment->base_offset == base_offset ? segment : NULL;
}

static void scrub_complete(struct store *store, struct store_job *base)
{
    struct scrub *scrub = container_of(base, struct scrub, job);
    struct scrub_cursor *cursor = scrub->at;
    struct plog *plog = scrub->stepping;
    struct segment_file *segment;

    store->is_lane_busy[STORE_LANE_BACKGROUND] = false;
    scrub->is_running = false;
    store->stats.scrubbed_bytes += scrub->checked_bytes;
    scrub->stepping = NULL;
    if (plog == NULL || plog != cursor->plog) return; /* deleted meanwhile; the cursor may stand in another log by now */
    if (plog->cut_count != scrub->cut_count || plog->truncation != NULL) return; /* these bytes may be gone */
    segment = segment_at(plog, scrub->segment_base);
    if (segment == NULL) return; /* retention has taken it: what was damaged there is nobody's any more */
    if (scrub->is_damaged && plog_hole_at(plog, scrub->expected) == NULL) {
        store->stats.corrupt_batches++;
        plog_add_hole(plog, &scrub->hole);
        if (plog_hole_at(plog, scrub->expected) == NULL) scrub->error = MESH_ENOMEM; /* not to look at it for ever */
    }
    if (scrub->error == MESH_ENOTFOUND) (void)plog_lost_file(plog, segment);
    if (cursor == &scrub->detour) scrub->detour_bytes -= scrub->checked_bytes < scrub->detour_bytes ? scrub->checked_bytes : scrub->detour_bytes;
    if (scrub->error != 0) {
        enter_segment(cursor, scrub->segment_base + 1);
        return;
    }
    cursor->position = scrub->position;
    cursor->expected = scrub->expected;
}

static struct scrub *scrub_get(struct store *store)
{
    uint64_t first_ms = store->options.scrub_first_ms > 0 ? store->options.scrub_first_ms : FIRST_MS;

    if (store->scrub == NULL) {
        store->scrub = calloc(1, sizeof(*store->scrub));
        if (store->scrub != NULL) store->scrub_next_ms = store->now_ms + first_ms;
    }
    return store->scrub;
}

void plog_suspect(struct plog *plog, uint64_t offset)
{
    struct scrub *scrub = scrub_get(plog->store);
    struct segment_file *segment;
    struct offset_index_entry entry;

    if (scrub == NULL || scrub->detour.plog != NULL || plog->is_deleted || plog->segment_count == 0) return;
    segment = plog->segments[plog_find_segment(plog, offset)];
    scrub->detour.plog = plog;
    scrub->detour_bytes = DETOUR_BYTES;
    enter_segment(&scrub->detour, segment->base_offset);
    if (offset >= segment->synced_offset || segment->index == NULL) return;
    if (offset_index_find(segment->index, OFFSET_INDEX_BY_OFFSET, offset, &entry) != 0) return;
    scrub->detour.position = entry.position;
    scrub->detour.expected = segment->base_offset + entry.relative_offset;
}

static uint64_t rest_ms(const struct store *store)
{
    return store->options.scrub_rest_ms > 0 ? store->options.scrub_rest_ms : REST_MS;
}

/* From one step of a pass to the next. */
static uint64_t step_ms(const struct store *store)
{
    uint64_t bytes_per_s = store->options.scrub_bytes_per_s > 0 ? store->options.scrub_bytes_per_s : BYTES_PER_S;
    uint64_t ms = STEP_BYTES * 1000ull / bytes_per_s;

    return ms > 0 ? ms : 1;
}

void store_scrub_terms(struct store *store)
{
    const struct scrub *scrub = store->scrub;
    uint64_t wait_ms = scrub != NULL && scrub->pass.plog != NULL ? step_ms(store) : rest_ms(store);

    if (store->scrub_next_ms > store->now_ms + wait_ms) store->scrub_next_ms = store->now_ms + wait_ms;
}

/* The next step of the detour, or of the pass. */
static struct segment_file *choose(struct store *store, struct scrub *scrub)
{
    struct segment_file *segment = NULL;

    scrub->at = &scrub->detour;
    if (scrub->detour.plog != NULL) {
        uint64_t base = scrub->detour.segment_base;
        segment = scrub->detour_bytes > 0 ? find_segment(&scrub->detour) : NULL;
        if (segment != NULL && segment->base_offset == base) return segment;
        scrub->detour.plog = NULL; /* it has come to its end */
        segment = NULL;
    }
    scrub->at = &scrub->pass;
    if (store->now_ms < store->scrub_next_ms) return NULL;
    for (int visited = 0; visited < 64; visited++) {
        if (scrub->pass.plog != NULL) segment = find_segment(&scrub->pass);
        if (segment != NULL) break;
        scrub->pass.plog = next_log(store, scrub->pass.plog);
        enter_segment(&scrub->pass, 0);
        if (scrub->pass.plog == NULL) break;
    }
    store->scrub_next_ms = store->now_ms + (scrub->pass.plog == NULL ? rest_ms(store) : step_ms(store));
    return segment;
}

static void describe_step(struct scrub *scrub, const struct segment_file *segment)
{
    const struct scrub_cursor *cursor = scrub->at;
    struct plog *plog = cursor->plog;

    scrub->stepping = plog;
    scrub->id = plog->id;
    scrub->segment_base = segment->base_offset;
    scrub->position = cursor->position;
    scrub->expected = cursor->expected;
    scrub->end = segment->synced;
    scrub->end_offset = segment->synced_offset;
    scrub->cut_count = plog->cut_count;
    scrub->epoch = epoch_cache_epoch_at(&plog->epochs, scrub->expected);
    scrub->epoch_end = UINT64_MAX;
    if (scrub->epoch >= 0)
        scrub->epoch_end = epoch_cache_end_offset(&plog->epochs, scrub->epoch, plog->end_offset, &scrub->epoch);
    scrub->is_damaged = false;
    scrub->checked_bytes = 0;
}

struct store_job *store_scrub_job(struct store *store)
{
    struct scrub *scrub = scrub_get(store);
    struct segment_file *segment;

    if (scrub == NULL || scrub->is_running || store->is_draining) return NULL;
    segment = choose(store, scrub);
    if (segment == NULL) return NULL;
    describe_step(scrub, segment);
    scrub->is_running = true;
    scrub->job = (struct store_job){
        .lane = STORE_LANE_BACKGROUND, .fs = store->fs, .run = scrub_run, .complete = scrub_complete};
    list_init(&scrub->job.link);
    store->is_lane_busy[STORE_LANE_BACKGROUND] = true;
    return &scrub->job;
}

uint64_t store_scrub_due(const struct store *store)
{
    if (store->scrub == NULL || store->stats.segment_count == 0 || store->is_draining) return UINT64_MAX; /* who stops does not scrub */
    if (store->scrub->detour.plog != NULL)
        return store->is_lane_busy[STORE_LANE_BACKGROUND] ? UINT64_MAX : store->now_ms; /* whatever keeps the lane busy ends */
    /* A step that is due waits for its lane; who waits for that with a timer must not spin. */
    if (store->is_lane_busy[STORE_LANE_BACKGROUND] && store->scrub_next_ms <= store->now_ms) return store->now_ms + RETRY_MS;
    return store->scrub_next_ms;
}

void store_scrub_forget(struct store *store, const struct plog *plog)
{
    struct scrub *scrub = store->scrub;

    if (scrub == NULL) return;
    if (scrub->stepping == plog) scrub->stepping = NULL;
    if (scrub->detour.plog == plog) scrub->detour.plog = NULL;
    if (scrub->pass.plog != plog) return;
    /* The pass goes on with the log before this one, which then moves to the one after it. */
    scrub->pass.plog = NULL;
    if (plog->log_link.previous != &store->logs && !scrub->is_running)
        scrub->pass.plog = container_of(plog->log_link.previous, struct plog, log_link);
    enter_segment(&scrub->pass, UINT64_MAX / 2);
}

void store_scrub_deinit(struct store *store)
{
    if (store->scrub == NULL) return;
    buffer_deinit(&store->scrub->block);
    free(store->scrub);
    store->scrub = NULL;
}
