/* Reading: a view of whole batches, in memory where they still are, else as ranges of segment files. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

/* How far one read may go. */
struct read_limits {
    uint64_t offset;     /* exclusive */
    uint32_t bytes_left; /* of the view; the first batch may pass it */
};

/* Without memory for it the next read searches. */
static void remember(struct plog *plog, const struct segment_file *segment, struct plog_place place)
{
    if (plog->read_marks == NULL) {
        plog->read_marks = malloc(PLOG_READ_MARKS * sizeof(*plog->read_marks));
        if (plog->read_marks == NULL) return;
        for (int i = 0; i < PLOG_READ_MARKS; i++)
            plog->read_marks[i].offset = UINT64_MAX;
    }
    plog->read_marks[plog->next_read_mark] =
        (struct read_mark){place.offset, segment->base_offset, place.position};
    plog->next_read_mark = (uint8_t)((plog->next_read_mark + 1) % PLOG_READ_MARKS);
}

/* Where a batch begins, if a read ended there. The mark is used up: the reader leaves a new one. */
static bool recall(struct plog *plog, const struct segment_file *segment, uint64_t offset,
                   uint32_t *ret_position)
{
    for (int i = 0; plog->read_marks != NULL && i < PLOG_READ_MARKS; i++) {
        struct read_mark *mark = &plog->read_marks[i];
        if (mark->offset != offset || mark->segment_base != segment->base_offset) continue;
        *ret_position = mark->position;
        mark->offset = UINT64_MAX;
        plog->next_read_mark = (uint8_t)i;
        return true;
    }
    return false;
}

static void add_memory(struct plog_view *view, struct run *run, uint32_t position, uint32_t size)
{
    const uint8_t *memory = run->chunk->memory + run->chunk_position + position;
    struct plog_extent *last = view->extent_count > 0 ? &view->extents[view->extent_count - 1] : NULL;

    view->size += size;
    if (last != NULL && last->file == NULL && view->chunks[view->extent_count - 1] == run->chunk &&
        last->memory + last->size == memory) {
        last->size += size;
        return;
    }
    view->chunks[view->extent_count] = chunk_ref(run->chunk);
    view->extents[view->extent_count++] = (struct plog_extent){.memory = memory, .size = size};
}

/* Position in the run of the batch that contains offset. */
static uint32_t find_in_run(struct plog *plog, const struct run *run, uint64_t offset)
{
    const uint8_t *memory = run->chunk->memory + run->chunk_position;
    uint32_t position = 0, known;

    if (offset == run->base_offset) return 0;
    if (recall(plog, run->segment, offset, &known)) return known - run->segment_position;
    for (;;) {
        struct record_batch_header header;
        int err = record_batch_parse_header(slice_of(memory + position, run->size - position), &header);
        MESH_ASSERT(err == 0);
        if ((uint64_t)record_batch_last_offset(&header) >= offset) return position;
        position += header.size;
    }
}

/* Takes what the limits allow of one run, from the batch that contains view->next_offset on. */
static bool read_run(struct plog *plog, struct run *run, struct read_limits *limits, struct plog_view *view)
{
    const uint8_t *memory = run->chunk->memory + run->chunk_position;
    uint32_t start = find_in_run(plog, run, view->next_offset), end = start;
    uint64_t next_offset = view->next_offset;
    bool is_whole = run->next_offset <= limits->offset && run->size - start <= limits->bytes_left;

    if (is_whole) {
        end = run->size;
        next_offset = run->next_offset;
    }
    while (!is_whole && end < run->size) {
        struct record_batch_header header;
        int err = record_batch_parse_header(slice_of(memory + end, run->size - end), &header);
        MESH_ASSERT(err == 0);
        if ((uint64_t)record_batch_last_offset(&header) >= limits->offset) break;
        if (end + header.size - start > limits->bytes_left && view->size + (end - start) > 0) break;
        end += header.size;
        next_offset = (uint64_t)record_batch_last_offset(&header) + 1;
        if (end - start > limits->bytes_left) break;
    }
    if (end == start) return false;
    add_memory(view, run, start, end - start);
    view->next_offset = next_offset;
    limits->bytes_left -= end - start < limits->bytes_left ? end - start : limits->bytes_left;
    if (end < run->size)
        remember(plog, run->segment, (struct plog_place){run->segment_position + end, next_offset});
    return end == run->size;
}

static void read_memory(struct plog *plog, struct read_limits *limits, struct plog_view *view)
{
    uint32_t index = run_queue_find(plog_runs(plog), view->next_offset);

    while (index < plog_runs(plog)->count && view->next_offset < limits->offset && limits->bytes_left > 0 &&
           view->extent_count < PLOG_VIEW_EXTENTS_MAX) {
        struct run *run = run_queue_at(plog_runs(plog), index++);
        if (run->base_offset > view->next_offset || !read_run(plog, run, limits, view)) return;
    }
}

/* One extent from the file that holds view->next_offset. */
static int read_file(struct plog *plog, struct read_limits *limits, struct plog_look *look, struct plog_view *view)
{
    struct segment_file *segment = plog->segments[plog_find_segment(plog, view->next_offset)];
    struct plog_place start = {0, view->next_offset}, end;
    bool is_cached = false;
    int err = 0;

    if (segment->base_offset > view->next_offset ||
        view->next_offset >= plog_file_end_offset(plog, segment)) {
        if (plog->error != 0) return MESH_EIO;
        return MESH_ECORRUPT;
    }
    if (view->next_offset != segment->base_offset &&
        !recall(plog, segment, view->next_offset, &start.position))
        err = plog_locate_offset(plog, segment, view->next_offset, look, &start);
    if (err == 0) err = plog_open_segment(plog, segment);
    if (err == 0) err = plog_locate_end(plog, segment, start, limits->bytes_left, limits->offset, look, &end, &is_cached);
    if (err == MESH_EAGAIN && start.position > 0)
        remember(plog, segment, (struct plog_place){start.position, view->next_offset}); /* for the next attempt */
    if (err != 0) return err;
    if (end.position == start.position) {
        limits->bytes_left = 0;
        return 0;
    }
    if (view->extent_count > 0 && end.position - start.position > limits->bytes_left) {
        limits->bytes_left = 0; /* only the first batch of a view may pass the limit */
        return 0;
    }
    view->extents[view->extent_count++] = (struct plog_extent){
        .file = fs_ref(segment->opened->file), .position = start.position, .size = end.position - start.position, .is_cached = is_cached};
    view->size += end.position - start.position;
    view->next_offset = end.offset;
    limits->bytes_left -= end.position - start.position < limits->bytes_left ? end.position - start.position
                                                                             : limits->bytes_left;
    if (end.position < segment->size) remember(plog, segment, end);
    /* What the file still has does not fit, or may not be read: trying would only use up the mark. */
    if (end.position < segment->written) limits->bytes_left = 0;
    return 0;
}

static bool is_in_memory(const struct plog *plog, uint64_t offset)
{
    return plog_runs(plog)->count > 0 && run_queue_at(plog_runs(plog), 0)->base_offset <= offset;
}

/* Reads from files, then memory, until the limits. */
static int read_on(struct plog *plog, struct read_limits *limits, struct plog_view *view)
{
    struct plog_look look = {.index_wanted = NULL};
    int err = 0;

    while (err == 0 && view->next_offset < limits->offset && limits->bytes_left > 0 &&
           view->extent_count < PLOG_VIEW_EXTENTS_MAX) {
        if (is_in_memory(plog, view->next_offset)) {
            read_memory(plog, limits, view);
            break;
        }
        err = read_file(plog, limits, plog_may_look(plog) ? &look : NULL, view);
    }
    if (err == MESH_EAGAIN) return plog_warm(plog, &look);
    MESH_ASSERT(look.file.missing == NULL);
    if (err == 0) plog->cold_streak = 0;
    return err;
}

int plog_read(struct plog *plog, uint64_t offset, uint64_t limit_offset, uint32_t bytes_max,
              struct plog_view *ret_view)
{
    struct read_limits limits = {limit_offset < plog->end_offset ? limit_offset : plog->end_offset,
                                 bytes_max > 0 ? bytes_max : 1};
    const struct plog_hole *hole;
    int err;

    if (offset < plog->start_offset || offset > plog->end_offset) return MESH_EOFFSET_OUT_OF_RANGE;
    ret_view->extent_count = ret_view->size = 0;
    ret_view->next_offset = offset;
    if (plog->hole_count > 0) {
        if (plog_hole_at(plog, offset) != NULL && offset < limits.offset) return MESH_ECORRUPT;
        hole = plog_hole_after(plog, offset);
        if (hole != NULL && hole->from < limits.offset) limits.offset = hole->from;
    }
    err = read_on(plog, &limits, ret_view);
    /* What came before trouble is served; the next read runs into it first thing. */
    if (err != 0 && ret_view->extent_count == 0) return err;
    return 0;
}

void plog_view_release(struct plog_view *view)
{
    for (uint32_t i = 0; i < view->extent_count; i++) {
        if (view->extents[i].file != NULL)
            fs_unref(view->extents[i].file);
        else
            chunk_unref(view->chunks[i]);
    }
    view->extent_count = view->size = 0;
}
