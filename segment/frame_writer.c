#include "segment/frame_writer.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "wire/record_batch.h"

#include <string.h>

void frame_writer_init(struct frame_writer *writer, uint64_t generation, uint64_t nonce)
{
    *writer = (struct frame_writer){.generation = generation, .nonce = nonce, .next_sequence = 1};
}

bool frame_writer_fits(const struct frame_writer *writer, size_t size)
{
    size_t need = JOURNAL_ENTRY_HEADER_SIZE + size + (writer->has_frame ? 0 : JOURNAL_FRAME_HEADER_SIZE);

    return writer->chunk != NULL && writer->chunk->capacity - writer->chunk->used >= need;
}

void frame_writer_set_chunk(struct frame_writer *writer, struct chunk *chunk)
{
    MESH_ASSERT(!writer->has_frame);
    writer->chunk = chunk;
}

/* Writes the header of the entry that was open; nothing more is added to it. */
static void close_entry(struct frame_writer *writer)
{
    if (writer->entry_count == 0) return;
    journal_entry_encode(&writer->open_header, journal_entry_seed(writer->nonce, writer->next_sequence),
                         writer->chunk->memory + writer->open_entry);
    writer->open_run = NULL;
}

uint32_t frame_writer_begin(struct frame_writer *writer, const struct journal_entry_header *header,
                            struct run *run)
{
    struct chunk *chunk = writer->chunk;

    MESH_ASSERT(frame_writer_fits(writer, 0));
    if (!writer->has_frame) {
        MESH_ASSERT(chunk->used % CHUNK_ALIGN == 0);
        writer->has_frame = true;
        writer->frame_start = chunk->used;
        writer->entry_count = 0;
        chunk->used += JOURNAL_FRAME_HEADER_SIZE;
    }
    close_entry(writer);
    writer->entry_count++;
    writer->open_entry = chunk->used;
    writer->open_header = *header;
    writer->open_header.size = writer->open_header.prefix_crc = 0;
    writer->open_run = run;
    chunk->used += JOURNAL_ENTRY_HEADER_SIZE;
    return chunk->used;
}

void frame_writer_add(struct frame_writer *writer, const uint8_t *batch, uint32_t size, uint64_t next_offset)
{
    struct journal_entry_header *header = &writer->open_header;

    MESH_ASSERT(writer->has_frame && size <= writer->chunk->capacity - writer->chunk->used);
    header->prefix_crc = crc32c_extend(header->prefix_crc, batch, RECORD_BATCH_CRC_START);
    header->size += size;
    header->next_offset = next_offset;
    writer->chunk->used += size;
}

void frame_writer_seal(struct frame_writer *writer, uint64_t durable, uint64_t live,
                       struct journal_frame *ret_frame)
{
    struct chunk *chunk = writer->chunk;
    uint32_t end = chunk->used;
    uint32_t padded = (uint32_t)chunk_round_up(end);
    struct journal_frame_header header = {
        .generation = writer->generation,
        .nonce = writer->nonce,
        .sequence = writer->next_sequence,
        .durable = durable,
        .live = live,
        .length = padded - writer->frame_start,
        .entry_bytes = end - writer->frame_start - JOURNAL_FRAME_HEADER_SIZE,
        .entry_count = writer->entry_count,
    };

    MESH_ASSERT(writer->has_frame && padded <= chunk->capacity);
    close_entry(writer);
    journal_frame_encode(&header, chunk->memory + writer->frame_start);
    memset(chunk->memory + end, 0, padded - end);
    chunk->used = padded;
    chunk->last_frame = header.sequence;
    if (chunk->first_frame == 0) chunk->first_frame = header.sequence;
    *ret_frame = (struct journal_frame){chunk, writer->frame_start, header.length, header.sequence};
    writer->has_frame = false;
    writer->entry_count = 0;
    writer->next_sequence++;
}
