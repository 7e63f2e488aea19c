#include "wire/frame.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"

#define FRAME_CRC_OFFSET 20 /* where the CRC stands; it covers what is before it */

static const uint8_t frame_magic[4] = {'M', 'E', 'S', 'H'};

static bool frame_flags_are_valid(uint8_t flags)
{
    if (flags & ~(FRAME_FLAG_RESPONSE | FRAME_FLAG_ERROR)) return false;
    return !(flags & FRAME_FLAG_ERROR) || (flags & FRAME_FLAG_RESPONSE);
}

int frame_parse_header(struct slice bytes, uint32_t frame_bytes_max, struct frame_header *ret_header)
{
    const uint8_t *at = bytes.data;
    struct frame_header header;

    if (bytes.size < FRAME_HEADER_SIZE) return MESH_EAGAIN;
    if (memcmp(at, frame_magic, sizeof(frame_magic)) != 0) return MESH_EPROTO;
    if (at[4] != FRAME_VERSION) return MESH_EVERSION;
    if (!frame_flags_are_valid(at[5])) return MESH_EPROTO;
    header.flags = at[5];
    header.op = le_load16(at + 6);
    header.correlation_id = le_load32(at + 8);
    header.message_size = le_load32(at + 12);
    header.attachment_size = le_load32(at + 16);
    if (header.message_size > FRAME_MESSAGE_BYTES_MAX) return MESH_ETOOLARGE;
    if ((uint64_t)header.message_size + header.attachment_size > frame_bytes_max) return MESH_ETOOLARGE;
    *ret_header = header;
    return 0;
}

int frame_verify(const uint8_t *frame, const struct frame_header *header)
{
    uint32_t crc = crc32c(frame, FRAME_CRC_OFFSET);

    crc = crc32c_extend(crc, frame + FRAME_HEADER_SIZE, header->message_size);
    return crc == le_load32(frame + FRAME_CRC_OFFSET) ? 0 : MESH_ECORRUPT;
}

void frame_write_header(uint8_t to[FRAME_HEADER_SIZE], const struct frame_header *header,
                        const uint8_t *message)
{
    MESH_ASSERT(frame_flags_are_valid(header->flags));
    MESH_ASSERT(header->message_size <= FRAME_MESSAGE_BYTES_MAX);
    memcpy(to, frame_magic, sizeof(frame_magic));
    to[4] = FRAME_VERSION;
    to[5] = header->flags;
    le_store16(to + 6, header->op);
    le_store32(to + 8, header->correlation_id);
    le_store32(to + 12, header->message_size);
    le_store32(to + 16, header->attachment_size);
    le_store32(to + FRAME_CRC_OFFSET,
               crc32c_extend(crc32c(to, FRAME_CRC_OFFSET), message, header->message_size));
}
