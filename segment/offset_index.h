/* segment/offset_index.h - the sparse index of one segment: from an offset, a position or a time to a batch
 * near it.
 *
 * An entry names a batch boundary: the offset of the batch, its position in the segment file, and the largest
 * timestamp of all batches *before* it. All three never decrease from entry to entry, so one binary search
 * serves all three questions, and each answer is a place from which scanning batch headers forward finds what
 * is asked.
 *
 * Two forms: `struct offset_index` in memory, which grows with the segment being written, and the index file
 * of a sealed (or put away) segment: a tree of 4 KiB pages, each with its own CRC, the root last; a search
 * reads one page per level (three for 1 GiB at 16 KiB), and never loads the file. The index is a hint that
 * can be made again: on MESH_ECORRUPT the caller scans the segment and writes a new one. It says itself how
 * far it reaches (end_offset, end_position). In memory: owned by one thread. Bytes: FORMAT.md. */
#ifndef SEGMENT_OFFSET_INDEX_H
#define SEGMENT_OFFSET_INDEX_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/fs.h"
#include "wire/record_batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFSET_INDEX_PAGE_SIZE 4096 /* bytes; a file is a whole number of pages */

struct offset_index_entry {
    uint32_t relative_offset;        /* offset - base offset of the segment */
    uint32_t position;               /* bytes from the start of the segment file */
    int64_t max_timestamp_before_ms; /* INT64_MIN for the first batch */
};

/* What the index covers. */
struct offset_index_range {
    uint64_t base_offset;     /* of the segment */
    uint64_t end_offset;      /* after the last batch indexed; base_offset when there is none */
    uint64_t end_position;    /* the byte after it */
    int64_t max_timestamp_ms; /* of all batches; INT64_MIN when there is none. After a truncation an upper
                                 bound */
};

struct offset_index {
    struct offset_index_range range;
    struct offset_index_entry *entries; /* owned; sorted */
    uint32_t count, capacity;
};

void offset_index_init(struct offset_index *index, uint64_t base_offset);
void offset_index_deinit(
    struct offset_index *index); /* also gives memory back: it is then empty, same base offset */
size_t offset_index_memory_bytes(const struct offset_index *index);

/* True when a batch at `position` can be indexed: position and relative offset fit 32 bits. Roll the segment
 * if not. */
bool offset_index_fits(const struct offset_index *index, const struct record_batch_header *header,
                       uint64_t position);

/* Takes note of the batch that begins at range.end_position (asserted: base offset >= range.end_offset, it
 * fits). Adds an entry for the first batch and for each that begins interval_bytes or more behind the last
 * entry. Errors: MESH_ENOMEM: the entry is left out, all else is noted, the index stays right but is sparser;
 * callers may ignore it. */
int offset_index_append(struct offset_index *index, const struct record_batch_header *header,
                        uint32_t interval_bytes);

/* The same by plain values, for batches that are known only so. */
int offset_index_note(struct offset_index *index, uint64_t base_offset, uint64_t last_offset, uint32_t size,
                      int64_t max_timestamp_ms, uint32_t interval_bytes);

/* The segment was cut to end at end_position, a batch boundary, where end_offset is the next offset. */
void offset_index_truncate(struct offset_index *index, uint64_t end_offset, uint64_t end_position);

enum offset_index_key {
    OFFSET_INDEX_BY_OFFSET,    /* greatest entry with offset <= key */
    OFFSET_INDEX_BY_POSITION,  /* greatest entry with position <= key */
    OFFSET_INDEX_BY_TIMESTAMP, /* greatest entry such that all batches before it are older than key (as
                                  int64_t ms) */
};

/* Errors: MESH_ENOTFOUND: no such entry (an empty index, or an offset below the first one's). A time always
 * finds one unless the index is empty. Keys beyond range.end_... find the last entry. */
int offset_index_find(const struct offset_index *index, enum offset_index_key by, uint64_t key,
                      struct offset_index_entry *ret_entry);

/* ---- the file ---- */

/* Appends the file's bytes (a multiple of OFFSET_INDEX_PAGE_SIZE). Errors: MESH_ENOMEM (*to is unchanged). */
int offset_index_encode(const struct offset_index *index, struct buffer *to);

/* Reads a whole file's bytes back. ret_index is written only on success. Errors: MESH_ECORRUPT, MESH_ENOMEM.
 */
int offset_index_decode(struct slice bytes, struct offset_index *ret_index);

/* What the file of the segment at base_offset covers. One read, of the last page. Blocks.
 * Errors: MESH_ECORRUPT, MESH_EIO. */
int offset_index_file_range(struct fs_file *file, uint64_t base_offset, struct offset_index_range *ret_range);

/* As offset_index_find(), on the file: one page read per level, no heap memory. Any thread; blocks if look is NULL.
 * Errors: MESH_ENOTFOUND, MESH_ECORRUPT, MESH_EIO, with look MESH_EAGAIN. */
int offset_index_file_find(struct fs_file *file, uint64_t base_offset, enum offset_index_key by, uint64_t key,
                           struct fs_look *look, struct offset_index_entry *ret_entry);

#endif
