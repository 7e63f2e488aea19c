#include "segment/journal_format.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs.h"

#define FRAME_MAGIC 0x314a4d4du /* "MMJ1" */

void journal_frame_encode(const struct journal_frame_header *header, uint8_t to[JOURNAL_FRAME_HEADER_SIZE])
{
    memset(to, 0, JOURNAL_FRAME_HEADER_SIZE);
    le_store32(to, FRAME_MAGIC);
    le_store32(to + 4, JOURNAL_FORMAT_VERSION);
    le_store64(to + 8, header->generation);
    le_store64(to + 16, header->nonce);
    le_store64(to + 24, header->sequence);
    le_store64(to + 32, header->durable);
    le_store64(to + 40, header->live);
    le_store32(to + 48, header->length);
    le_store32(to + 52, header->entry_bytes);
    le_store32(to + 56, header->entry_count);
    le_store32(to + 60, crc32c(to, 60));
}

int journal_frame_decode(struct slice bytes, struct journal_frame_header *ret_header)
{
    const uint8_t *at = bytes.data;
    struct journal_frame_header header;

    if (bytes.size < JOURNAL_FRAME_HEADER_SIZE || le_load32(at) != FRAME_MAGIC) return MESH_ECORRUPT;
    if (le_load32(at + 60) != crc32c(at, 60)) return MESH_ECORRUPT;
    if (le_load32(at + 4) != JOURNAL_FORMAT_VERSION) return MESH_EVERSION;
    header.generation = le_load64(at + 8);
    header.nonce = le_load64(at + 16);
    header.sequence = le_load64(at + 24);
    header.durable = le_load64(at + 32);
    header.live = le_load64(at + 40);
    header.length = le_load32(at + 48);
    header.entry_bytes = le_load32(at + 52);
    header.entry_count = le_load32(at + 56);
    if (header.length % FS_BLOCK_SIZE != 0 || header.length < FS_BLOCK_SIZE) return MESH_ECORRUPT;
    if (header.entry_bytes > header.length - JOURNAL_FRAME_HEADER_SIZE) return MESH_ECORRUPT;
    *ret_header = header;
    return 0;
}

uint32_t journal_entry_seed(uint64_t nonce, uint64_t sequence)
{
    uint8_t bytes[16];

    le_store64(bytes, nonce);
    le_store64(bytes + 8, sequence);
    return crc32c(bytes, sizeof(bytes));
}

void journal_entry_encode(const struct journal_entry_header *header, uint32_t seed,
                          uint8_t to[JOURNAL_ENTRY_HEADER_SIZE])
{
    memset(to, 0, JOURNAL_ENTRY_HEADER_SIZE);
    le_store32(to + 4, (uint32_t)header->type);
    memcpy(to + 8, header->topic_id.bytes, UUID_SIZE);
    le_store64(to + 24, header->base_offset);
    le_store64(to + 32, header->next_offset);
    le_store64(to + 40, header->segment_base_offset);
    le_store32(to + 48, header->segment_position);
    le_store32(to + 52, header->size);
    le_store32(to + 56, header->partition);
    le_store32(to + 60, header->prefix_crc);
    le_store32(to, crc32c_extend(seed, to + 4, JOURNAL_ENTRY_HEADER_SIZE - 4));
}

int journal_entry_decode(struct slice bytes, uint32_t seed, struct journal_entry_header *ret_header)
{
    const uint8_t *at = bytes.data;
    struct journal_entry_header header;
    uint32_t type;

    if (bytes.size < JOURNAL_ENTRY_HEADER_SIZE) return MESH_ECORRUPT;
    if (le_load32(at) != crc32c_extend(seed, at + 4, JOURNAL_ENTRY_HEADER_SIZE - 4)) return MESH_ECORRUPT;
    type = le_load32(at + 4);
    if (type < JOURNAL_ENTRY_DATA || type > JOURNAL_ENTRY_RESTART) return MESH_ECORRUPT;
    header.type = (enum journal_entry_type)type;
    memcpy(header.topic_id.bytes, at + 8, UUID_SIZE);
    header.base_offset = le_load64(at + 24);
    header.next_offset = le_load64(at + 32);
    header.segment_base_offset = le_load64(at + 40);
    header.segment_position = le_load32(at + 48);
    header.size = le_load32(at + 52);
    header.partition = le_load32(at + 56);
    header.prefix_crc = le_load32(at + 60);
    *ret_header = header;
    return 0;
}
