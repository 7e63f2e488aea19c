/* Finding batch boundaries in segment files: a place from the index, then headers, read a block at a time. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/store_core.h"

#define SCAN_BYTES       (32u << 10)
#define PEEK_BYTES       512u /* where one header is all that is to be expected */
#define PEEK_MIN         (4u << 10)  /* behind batches of this size */
#define WALK_BYTES_MAX   (4u << 20)  /* of one view: the loop does nothing else meanwhile */
#define WARM_BYTES_MAX   (1u << 20)
#define VERIFY_BYTES_MAX (1u << 20) /* of batches before damage, on the loop */
#define SKIP_MIN         (64u << 10) /* less is walked sooner than it is known to be in memory */

/* Walks the headers of a segment file from a boundary on. */
struct header_walk {
    struct plog *plog;
    struct segment_file *segment;
    uint32_t position;    /* of the next header */
    uint64_t offset;      /* that it must have: batches follow each other without a gap */
    uint32_t block_start; /* of the bytes in store->scratch */
    size_t block_size;
    uint32_t batch_size; /* of the last batch; 0: none yet */
    struct fs_look *look;
};

uint64_t plog_file_end_offset(const struct plog *plog, const struct segment_file *segment)
{
    return segment->written == segment->size ? segment->next_offset : plog->filed_offset;
}

/* The header says how many offsets and bytes the batch has, and nothing has looked at its CRC: where the next batch does
 * not begin with the offset that this one leads to, one of the two is damaged. */
static int walk_next(struct header_walk *walk, struct record_batch_header *ret_header)
{
    struct store *store = walk->plog->store;
    uint32_t left = walk->segment->written - walk->position;
    int32_t epoch;
    int err;

    if (left < RECORD_BATCH_HEADER_SIZE) return MESH_ECORRUPT;
    if (walk->position + RECORD_BATCH_HEADER_SIZE > walk->block_start + walk->block_size ||
        walk->block_size == 0) {
        uint32_t size = walk->batch_size > 0 && walk->batch_size < PEEK_MIN ? SCAN_BYTES : PEEK_BYTES;
        err = buffer_reserve(&store->scratch, SCAN_BYTES);
        if (err != 0) return err;
        walk->block_start = walk->position;
        err = fs_read(walk->segment->opened->file, store->scratch.data, left < size ? left : size, walk->position, walk->look,
                      &walk->block_size);
        if (err != 0) return err;
    }
    err = record_batch_parse_header(slice_of(store->scratch.data + (walk->position - walk->block_start),
                                             walk->block_size - (walk->position - walk->block_start)),
                                    ret_header);
    if (err != 0 || (uint64_t)ret_header->base_offset != walk->offset || ret_header->size > left) return MESH_ECORRUPT;
    if ((uint64_t)record_batch_last_offset(ret_header) >= plog_file_end_offset(walk->plog, walk->segment))
        return MESH_ECORRUPT;
    epoch = epoch_cache_epoch_at(&walk->plog->epochs, walk->offset); /* which no CRC covers */
    if (epoch >= 0 && ret_header->leader_epoch != epoch && ret_header->leader_epoch != -1) return MESH_ECORRUPT;
    walk->batch_size = ret_header->size;
    return 0;
}

static void walk_to(struct header_walk *walk, struct plog_place place)
{
    walk->position = place.position;
    walk->offset = place.offset;
}

static int start_walk(struct header_walk *walk, struct plog *plog, struct segment_file *segment,
                      struct plog_place from, struct plog_look *look)
{
    *walk = (struct header_walk){.plog = plog, .segment = segment, .look = look != NULL ? &look->file : NULL};
    walk_to(walk, from);
    return plog_open_segment(plog, segment);
}

static struct plog_place known_place(struct plog *plog, struct segment_file *segment, enum offset_index_key by, uint64_t key)
{
    struct offset_index_entry entry;

    if (plog_find_index(plog, segment, by, key, NULL, &entry) != 0) return (struct plog_place){0, segment->base_offset};
    return (struct plog_place){entry.position, segment->base_offset + entry.relative_offset};
}

/* The last boundary at or before this place that no header led to: where a hole ends, or what the index knows. */
static struct plog_place anchor_before(struct plog *plog, struct segment_file *segment, struct plog_place place)
{
    struct plog_place anchor = known_place(plog, segment, OFFSET_INDEX_BY_OFFSET, place.offset);

    if (anchor.position > place.position) anchor = known_place(plog, segment, OFFSET_INDEX_BY_POSITION, place.position);
    if (anchor.position > 0 && (anchor.position == place.position) != (anchor.offset == place.offset))
        anchor = known_place(plog, segment, OFFSET_INDEX_BY_POSITION, anchor.position - 1);
    for (uint32_t i = 0; i < plog->hole_count; i++) {
        const struct plog_hole *hole = &plog->holes[i];
        if (hole->to > anchor.offset && hole->to <= place.offset && hole->resume_position > anchor.position && hole->resume_position <= place.position)
            anchor = (struct plog_place){hole->resume_position, hole->to};
    }
    return anchor;
}

/* Past the batches that are sound, and no further than `end`. What is more than is looked at here counts as damaged, until it is mended. */
static struct plog_place skip_sound(struct plog *plog, struct segment_file *segment, struct plog_place from, struct plog_place end)
{
    struct buffer *bytes = &plog->store->scratch;
    size_t size = segment->written - from.position, got = 0;
    struct plog_place place = from;

    if (size > VERIFY_BYTES_MAX) size = VERIFY_BYTES_MAX;
    if (plog_open_segment(plog, segment) != 0 || buffer_reserve(bytes, size) != 0) return from;
    if (fs_read(segment->opened->file, bytes->data, size, from.position, NULL, &got) != 0) return from;
    while (place.position < end.position) {
        uint32_t used = place.position - from.position;
        struct record_batch_header header;
        if (record_batch_parse_header(slice_of(bytes->data + used, got - used), &header) != 0 || header.size > got - used) break;
        if (record_batch_verify(slice_of(bytes->data + used, header.size), &header) != 0 || (uint64_t)header.base_offset != place.offset) break;
        if (header.size > end.position - place.position || (uint64_t)record_batch_last_offset(&header) >= end.offset) break;
        place = (struct plog_place){place.position + header.size, (uint64_t)record_batch_last_offset(&header) + 1};
    }
    return place;
}

/* Damage that a reader ran into: everything up to the next place that the index or a segment boundary knows is a hole. Where headers do not lead
 * on, any of those on the way may have led astray, by a count of offsets that is wrong, and no reader has looked at their CRCs: it begins
 * with the first that is not sound. */
static int found_damage(struct plog *plog, struct segment_file *segment, uint64_t from, uint32_t position)
{
    struct plog_place met = {position, from};
    struct plog_place begin = skip_sound(plog, segment, anchor_before(plog, segment, met), met);
    struct offset_index_entry entry;
    struct plog_hole hole = {.from = begin.offset, .to = plog_file_end_offset(plog, segment), .position = begin.position, .resume_position = segment->written};

    plog->store->stats.corrupt_batches++;
    for (uint32_t at = position + 1; segment->index != NULL && at < segment->written;) {
        /* The first entry behind the damage. */
        at += plog->config->index_interval_bytes;
        if (offset_index_find(segment->index, OFFSET_INDEX_BY_POSITION, at, &entry) == 0 &&
            entry.position > position) {
            hole.to = segment->base_offset + entry.relative_offset;
            hole.resume_position = entry.position;
            break;
        }
    }
    if (hole.to > from && plog_hole_at(plog, from) == NULL) plog_add_hole(plog, &hole);
    return MESH_ECORRUPT;
}

int plog_locate_offset(struct plog *plog, struct segment_file *segment, uint64_t offset, struct plog_look *look,
                       struct plog_place *ret_place)
{
    struct offset_index_entry entry;
    struct header_walk walk;
    struct plog_place next;
    int err = plog_find_index(plog, segment, OFFSET_INDEX_BY_OFFSET, offset, look, &entry);

    if (err != 0) return err;
    next = (struct plog_place){entry.position, segment->base_offset + entry.relative_offset};
    err = start_walk(&walk, plog, segment, next, look);
    while (err == 0) {
        struct record_batch_header header;
        const struct plog_hole *hole = plog_hole_at(plog, walk.offset);
        if (hole != NULL && hole->resume_position > walk.position) {
            walk_to(&walk, (struct plog_place){hole->resume_position, hole->to});
            if (hole->to > offset) return MESH_ECORRUPT;
            continue;
        }
        err = walk_next(&walk, &header);
        if (err != 0) break;
        next = (struct plog_place){walk.position + header.size, (uint64_t)record_batch_last_offset(&header) + 1};
        if (next.offset > offset) {
            *ret_place = (struct plog_place){walk.position, walk.offset};
            return 0;
        }
        walk_to(&walk, next);
    }
    return err == MESH_ECORRUPT ? found_damage(plog, segment, walk.offset, walk.position) : err;
}

/* How far the headers from `position` on have been looked at, and what they are headers of is still in memory: what is read from the disk
 * again may have rotted there. */
static uint32_t walked_to(struct segment_file *segment, uint32_t position, uint64_t position_max)
{
    struct segment_walked *walked = &segment->opened->walked;
    struct fs_file *file = segment->opened->file;
    uint32_t end = position_max < walked->to ? (uint32_t)position_max : walked->to;

    if (position < walked->from || end <= position || end - position < SKIP_MIN) return position;
    if (walked->load_count == atomic_load_explicit(&file->load_count, memory_order_relaxed) && file->fs->ops->is_cached != NULL &&
        file->fs->ops->is_cached(file, position, end - position))
        return end;
    *walked = (struct segment_walked){0, 0, 0};
    return position;
}

/* Stretches that touch become one; of two that do not the longer one stays. */
static void note_walked(struct segment_file *segment, uint32_t from, uint32_t to)
{
    struct segment_walked *walked = &segment->opened->walked;
    uint32_t load_count = atomic_load_explicit(&segment->opened->file->load_count, memory_order_relaxed);

    if (walked->load_count != load_count) *walked = (struct segment_walked){0, 0, 0};
    if (walked->from <= to && from <= walked->to && walked->to > 0) {
        if (from < walked->from) walked->from = from;
        if (to > walked->to) walked->to = to;
    } else if (to - from > walked->to - walked->from) {
        *walked = (struct segment_walked){from, to, load_count};
    }
}

/* An index entry to start from that is behind `from` and before both limits. Without one the headers lead on: the only
 * error is MESH_EAGAIN. */
static int skip_ahead(struct plog *plog, struct segment_file *segment, uint32_t position_max, uint64_t limit_offset,
                      struct plog_look *look, struct plog_place *io_place)
{
    struct offset_index_entry by_position, by_offset, *entry = &by_position;
    int err = plog_find_index(plog, segment, OFFSET_INDEX_BY_POSITION, position_max, look, &by_position);

    if (err == 0 && limit_offset < plog_file_end_offset(plog, segment)) {
        err = plog_find_index(plog, segment, OFFSET_INDEX_BY_OFFSET, limit_offset, look, &by_offset);
        if (err == 0 && by_offset.position < by_position.position) entry = &by_offset;
    }
    if (err != 0) return err == MESH_EAGAIN ? err : 0;
    if (entry->position <= io_place->position) return 0;
    io_place->position = entry->position;
    io_place->offset = segment->base_offset + entry->relative_offset;
    return 0;
}

/* What a job brings at once, where the walk came upon what is not in memory: all that this reader is going to want. */
static void want_all(struct plog_look *look, uint64_t position_max)
{
    uint64_t end = look->file.position + SCAN_BYTES;

    if (end < position_max) end = position_max;
    if (end > look->file.position + WARM_BYTES_MAX) end = look->file.position + WARM_BYTES_MAX;
    look->file.size = (size_t)(end - look->file.position);
}

/* Walks from *io_place on, as far as the limits allow. */
static int walk_on(struct header_walk *walk, uint64_t position_max, uint64_t limit_offset, uint32_t from, struct plog_place *io_place)
{
    int err = 0;

    walk_to(walk, *io_place);
    /* The first batch may be larger than what is wanted. */
    while (io_place->position == from || io_place->position < position_max) {
        struct record_batch_header header;
        err = walk_next(walk, &header);
        if (err != 0 || (uint64_t)record_batch_last_offset(&header) >= limit_offset) break;
        if ((uint64_t)walk->position + header.size > position_max && walk->position > from) break;
        *io_place = (struct plog_place){walk->position + header.size, (uint64_t)record_batch_last_offset(&header) + 1};
        walk_to(walk, *io_place);
    }
    return err;
}

/* Every header on the way is held against what is known: no reader can tell that the offset of a batch has changed, since its CRC leaves it
 * out, and to send from the file looks at nothing. */
int plog_locate_end(struct plog *plog, struct segment_file *segment, struct plog_place from, uint32_t bytes_max,
                    uint64_t limit_offset, struct plog_look *look, struct plog_place *ret_place, bool *ret_is_cached)
{
    uint32_t walk_max = look != NULL ? WALK_BYTES_MAX : SCAN_BYTES; /* the loop waits for the disk: as little as may be */
    uint64_t position_max = (uint64_t)from.position + (bytes_max < walk_max ? bytes_max : walk_max);
    struct plog_place place = from;
    struct header_walk walk;
    uint32_t known;
    int err;

    if (position_max > segment->written) position_max = segment->written;
    err = start_walk(&walk, plog, segment, place, look);
    if (err != 0) return err;
    known = walked_to(segment, from.position, position_max);
    if (known > from.position) err = skip_ahead(plog, segment, known, limit_offset, look, &place);
    if (err == 0) {
        err = walk_on(&walk, position_max, limit_offset, from.position, &place);
        if (err == MESH_EAGAIN) want_all(look, position_max);
    }
    /* Damage further on, or what has to be waited for, is for the read that begins there. */
    if (place.position > from.position && (err == MESH_EAGAIN || err == MESH_ECORRUPT)) {
        if (err == MESH_EAGAIN) fs_unref(look->file.missing);
        if (err == MESH_EAGAIN) look->file.missing = NULL;
        err = 0;
    }
    if (err == MESH_ECORRUPT) return found_damage(plog, segment, from.offset, from.position);
    if (err == 0 && place.position > from.position) note_walked(segment, from.position, place.position);
    *ret_is_cached = place.position <= known;
    if (err == 0) *ret_place = place;
    return err;
}
