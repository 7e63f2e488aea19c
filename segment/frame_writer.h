/* segment/frame_writer.h - journal frames as they form in the memory of chunks. No input/output.
 *
 * The batches of journaled logs are copied once, to where the journal will write them from: behind a frame
 * header and, for each run, an entry header. seal() completes the headers and pads to a block, so that the
 * chunk's memory from the frame's start is the frame. Owned by the store's loop. */
#ifndef SEGMENT_FRAME_WRITER_H
#define SEGMENT_FRAME_WRITER_H

#include "segment/chunk.h"
#include "segment/journal_format.h"
#include "segment/run.h"

/* A sealed frame, ready to be written. */
struct journal_frame {
    struct chunk *chunk;
    uint32_t position, length; /* in the chunk */
    uint64_t sequence;
};

struct frame_writer {
    uint64_t generation, nonce;
    uint64_t next_sequence; /* of the frame that forms, or of the next one */
    struct chunk *chunk;    /* borrowed; NULL: none */
    uint32_t frame_start;
    uint32_t entry_count;
    bool has_frame;
    struct run *open_run; /* the last entry when it may still grow */
    uint32_t open_entry;  /* position of its entry header */
    struct journal_entry_header open_header;
};

void frame_writer_init(struct frame_writer *writer, uint64_t generation, uint64_t nonce);

/* Memory that `size` bytes of batches need in an empty chunk. */
static inline size_t frame_writer_chunk_size(size_t size)
{
    return JOURNAL_FRAME_HEADER_SIZE + JOURNAL_ENTRY_HEADER_SIZE + size;
}

/* True when a new entry with `size` bytes of batches fits the current chunk. */
bool frame_writer_fits(const struct frame_writer *writer, size_t size);

/* Goes on in another chunk (or NULL). No frame may be forming. */
void frame_writer_set_chunk(struct frame_writer *writer, struct chunk *chunk);

/* Begins an entry, and a frame when none is forming; it must fit. header->size, next_offset and prefix_crc
 * are filled from what frame_writer_add() brings. Returns the chunk position where its batches go. run may be
 * NULL (no batches). */
uint32_t frame_writer_begin(struct frame_writer *writer, const struct journal_entry_header *header,
                            struct run *run);

/* Takes note of a batch that was just copied to chunk->used (which this moves on), as part of the open entry.
 */
void frame_writer_add(struct frame_writer *writer, const uint8_t *batch, uint32_t size, uint64_t next_offset);

/* Completes the forming frame. has_frame must be true. */
void frame_writer_seal(struct frame_writer *writer, uint64_t durable, uint64_t live,
                       struct journal_frame *ret_frame);

#endif
