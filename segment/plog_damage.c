/* The register of a log's holes. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/healing.h"
#include "segment/store_core.h"

#include <stdlib.h>
#include <string.h>

void plog_drop_hole(struct plog *plog, uint32_t index)
{
    MESH_ASSERT(index < plog->hole_count);
    plog->hole_count--;
    memmove(plog->holes + index, plog->holes + index + 1, (plog->hole_count - index) * sizeof(*plog->holes));
    plog->store->stats.holes--;
    plog->store->is_manifest_stale = true;
}

/* Those that the new hole meets become part of it. */
static void swallow(struct plog *plog, struct plog_hole *hole)
{
    for (uint32_t i = 0; i < plog->hole_count;) {
        const struct plog_hole *other = &plog->holes[i];
        if (other->to <= hole->from || hole->to <= other->from) {
            i++;
            continue;
        }
        if (other->to > hole->to) {
            hole->to = other->to;
            hole->resume_position = other->resume_position;
        }
        hole->is_condemned |= other->is_condemned;
        hole->is_of_unknown_epochs |= other->is_of_unknown_epochs;
        if (other->from < hole->from) {
            hole->from = other->from;
            hole->position = other->position;
        }
        plog_drop_hole(plog, i);
    }
}

void plog_add_hole(struct plog *plog, const struct plog_hole *hole)
{
    struct plog_hole added = *hole, *holes;
    uint32_t at;

    if (plog->hole_count >= PLOG_HOLES_MAX) return;
    holes = realloc(plog->holes, (plog->hole_count + 1) * sizeof(*holes));
    if (holes == NULL) return;
    plog->holes = holes;
    swallow(plog, &added);
    for (at = plog->hole_count; at > 0 && holes[at - 1].from > added.from; at--)
        holes[at] = holes[at - 1];
    holes[at] = added;
    plog->hole_count++;
    plog->store->stats.holes++;
    plog->store->is_manifest_stale = true;
    plog_notify(plog);
}

static struct plog_hole *hole_at(const struct plog *plog, uint64_t offset)
{
    for (uint32_t i = 0; i < plog->hole_count; i++)
        if (plog->holes[i].from <= offset && offset < plog->holes[i].to) return &plog->holes[i];
    return NULL;
}

const struct plog_hole *plog_hole_at(const struct plog *plog, uint64_t offset)
{
    return hole_at(plog, offset);
}

const struct plog_hole *plog_hole_after(const struct plog *plog, uint64_t offset)
{
    for (uint32_t i = 0; i < plog->hole_count; i++)
        if (plog->holes[i].from >= offset) return &plog->holes[i];
    return NULL;
}

int plog_lost_file(struct plog *plog, struct segment_file *segment)
{
    struct store *store = plog->store;

    file_cache_close(&store->files, segment);
    segment_file_drop_index(segment);
    segment->indexed = 0;
    if (segment->is_lost) return MESH_ECORRUPT;
    segment->is_lost = true;
    if (segment->written == 0) return MESH_ECORRUPT;
    store->stats.corrupt_batches++;
    plog_add_hole(plog, &(struct plog_hole){.from = segment->base_offset,
                                            .to = plog_file_end_offset(plog, segment),
                                            .resume_position = segment->written});
    return MESH_ECORRUPT;
}

/* ---- what owners ask ---- */

uint32_t plog_damage_count(const struct plog *plog)
{
    return plog->hole_count;
}

bool plog_find_damage(const struct plog *plog, uint64_t offset, struct plog_damage *ret_damage)
{
    for (uint32_t i = 0; i < plog->hole_count; i++) {
        if (plog->holes[i].to <= offset) continue;
        *ret_damage = (struct plog_damage){plog->holes[i].from, plog->holes[i].to};
        return true;
    }
    return false;
}

/* Where the records at offset begin, a boundary: a hole that begins there knows it, else headers lead there. */
static int locate_boundary(struct plog *plog, struct segment_file *segment, uint64_t offset, uint32_t *ret_position)
{
    const struct plog_hole *hole = plog_hole_at(plog, offset);
    struct plog_place place;
    int err;

    if (hole != NULL && hole->from == offset) {
        *ret_position = hole->position;
        return 0;
    }
    err = plog_locate_offset(plog, segment, offset, NULL, &place);
    if (err == 0 && place.offset != offset) err = MESH_EOFFSET_OUT_OF_RANGE;
    if (err == 0) *ret_position = place.position;
    return err;
}

/* The part of [from, to) that lies in one segment. */
static int condemn_in_segment(struct plog *plog, struct segment_file *segment, uint64_t from, uint64_t to, struct plog_hole hole)
{
    int err = 0;

    hole.from = from;
    hole.to = to;
    hole.position = 0;
    hole.resume_position = segment->synced;
    if (from != segment->base_offset) err = locate_boundary(plog, segment, from, &hole.position);
    if (err == 0 && to != segment->synced_offset) err = locate_boundary(plog, segment, to, &hole.resume_position);
    if (err != 0) return err;
    plog_add_hole(plog, &hole);
    return plog_hole_at(plog, from) != NULL ? 0 : MESH_ENOMEM; /* the register had no room */
}

/* A range whose epochs are doubted ends before one that was condemned for another reason: each has its own way of being mended. */
static uint64_t doubted_end(const struct plog *plog, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < plog->hole_count && plog->holes[i].from < to; i++)
        if (plog->holes[i].from > from && plog->holes[i].is_condemned) return plog->holes[i].from;
    return to;
}

/* `why`: what is to be known of the holes, besides where they are. */
static int condemn(struct plog *plog, uint64_t from, uint64_t to, struct plog_hole why)
{
    int err = 0;

    if (plog->truncation != NULL) return MESH_EAGAIN;
    if (from >= to || from < plog->start_offset || to > plog->synced_offset) return MESH_EOFFSET_OUT_OF_RANGE;
    while (err == 0 && from < to) {
        struct segment_file *segment = plog->segments[plog_find_segment(plog, from)];
        uint64_t end = to < segment->synced_offset ? to : segment->synced_offset;
        struct plog_hole *hole = hole_at(plog, from);
        if (hole != NULL) { /* known to be bad already; from now on for this reason, too */
            if (why.is_condemned && !hole->is_condemned) hole->is_condemned = plog->store->is_manifest_stale = true;
            from = hole->to;
            continue;
        }
        if (from >= segment->synced_offset) return MESH_EOFFSET_OUT_OF_RANGE;
        if (!why.is_condemned) end = doubted_end(plog, from, end);
        err = condemn_in_segment(plog, segment, from, end, why);
        from = end;
    }
    return err;
}

int plog_condemn(struct plog *plog, uint64_t from, uint64_t to)
{
    return condemn(plog, from, to, (struct plog_hole){.is_condemned = true});
}

int plog_limit_epoch(struct plog *plog, int32_t epoch)
{
    const struct epoch_entry *entries = epoch_cache_entries(&plog->epochs);
    uint32_t i = plog->epochs.count;
    uint64_t from, end = plog->end_offset;
    int err = 0;

    if (epoch_cache_last_epoch(&plog->epochs) <= epoch) return 0;
    while (i > 0 && entries[i - 1].epoch > epoch)
        i--;
    from = entries[i].start_offset > plog->start_offset ? entries[i].start_offset : plog->start_offset;
    if (plog->synced_offset < end) return MESH_EAGAIN;
    /* While the books still agree with what the batches claim, which is how batches are found. */
    if (from < end) err = condemn(plog, from, end, (struct plog_hole){.is_of_unknown_epochs = true});
    if (err != 0) return err;
    for (uint32_t j = 0; j < plog->hole_count; j++)
        if (plog->holes[j].to > from) plog->holes[j].is_of_unknown_epochs = true;
    epoch_cache_truncate_end(&plog->epochs, entries[i].start_offset);
    plog->store->stats.corrupt_batches++;
    plog->store->is_manifest_stale = true;
    return 0;
}

int plog_check_headers(struct plog *plog, struct slice batches, uint64_t *offset)
{
    while (batches.size > 0) {
        struct record_batch_header header;
        int err = record_batch_parse_header(batches, &header);
        int32_t epoch = epoch_cache_epoch_at(&plog->epochs, *offset);

        if (err == MESH_EAGAIN || (err == 0 && header.size > batches.size)) return MESH_EAGAIN;
        if (err != 0 || (uint64_t)header.base_offset != *offset || (epoch >= 0 && header.leader_epoch >= 0 && header.leader_epoch != epoch)) {
            plog_suspect(plog, *offset);
            return MESH_ECORRUPT;
        }
        *offset = (uint64_t)record_batch_last_offset(&header) + 1;
        batches = slice_of(batches.data + header.size, batches.size - header.size);
    }
    return 0;
}
