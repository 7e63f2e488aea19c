/* segment/journal_format.h - the bytes of journal frames: headers encoded and judged. Pure functions. Tables:
 * FORMAT.md.
 *
 * A frame is what one piece of memory brings to the journal: a frame header, then entries (a header each, and
 * for DATA its batches), then zeros up to a multiple of FS_BLOCK_SIZE. */
#ifndef SEGMENT_JOURNAL_FORMAT_H
#define SEGMENT_JOURNAL_FORMAT_H

#include "base/slice.h"
#include "base/uuid.h"

#include <stdint.h>

#define JOURNAL_FRAME_HEADER_SIZE 64
#define JOURNAL_ENTRY_HEADER_SIZE 64
#define JOURNAL_FORMAT_VERSION    1

struct journal_frame_header {
    uint64_t generation;  /* of the store's run: frames of earlier runs in a recycled file are void */
    uint64_t nonce;       /* random, of the store's run */
    uint64_t sequence;    /* of the frame; consecutive within a generation, from 1 */
    uint64_t durable;     /* every frame up to this one was durable when this one was sealed */
    uint64_t live;        /* frames before this one are void: their records are in synced segments */
    uint32_t length;      /* of the frame, header and padding included */
    uint32_t entry_bytes; /* of the entries, after the frame header */
    uint32_t entry_count;
};

enum journal_entry_type {
    JOURNAL_ENTRY_DATA = 1,     /* batches [base_offset, next_offset) */
    JOURNAL_ENTRY_MARK = 2,     /* the log was durable in its segments up to base_offset */
    JOURNAL_ENTRY_TRUNCATE = 3, /* the log is about to be cut to end at base_offset */
    JOURNAL_ENTRY_RESET = 4,    /* it has been, durably: earlier entries of the log are void */
    JOURNAL_ENTRY_RESTART = 5,  /* likewise, and the log holds nothing now and goes on at base_offset; or it begins */
};

struct journal_entry_header {
    enum journal_entry_type type;
    struct uuid topic_id;
    uint32_t partition;
    uint64_t base_offset, next_offset;
    uint64_t segment_base_offset; /* the segment file that base_offset belongs to, and where in it */
    uint32_t segment_position;    /* RESTART: journal_restart_position() */
    uint32_t size;       /* bytes of batches that follow */
    uint32_t prefix_crc; /* CRC-32C over the first RECORD_BATCH_CRC_START bytes of each batch, in order */
};

/* A RESTART belongs to no place in a segment. It says the epoch of the record before its offset there (-1: none, or not known). */
static inline uint32_t journal_restart_position(int32_t epoch)
{
    return (uint32_t)epoch + 1;
}
static inline int32_t journal_restart_epoch(const struct journal_entry_header *header)
{
    return header->segment_position > INT32_MAX ? -1 : (int32_t)header->segment_position - 1;
}

void journal_frame_encode(const struct journal_frame_header *header, uint8_t to[JOURNAL_FRAME_HEADER_SIZE]);

/* Errors: MESH_ECORRUPT (not a frame header), MESH_EVERSION (a newer one). */
int journal_frame_decode(struct slice bytes, struct journal_frame_header *ret_header);

/* What the entries of one frame are sealed with, so that a stale block of an older frame at the same place is
 * not taken for a part of this one. */
uint32_t journal_entry_seed(uint64_t nonce, uint64_t sequence);

void journal_entry_encode(const struct journal_entry_header *header, uint32_t seed,
                          uint8_t to[JOURNAL_ENTRY_HEADER_SIZE]);
int journal_entry_decode(struct slice bytes, uint32_t seed,
                         struct journal_entry_header *ret_header); /* MESH_ECORRUPT */

#endif
