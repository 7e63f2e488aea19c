#include "sim/sim_frame.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/sim_random.h"

void sim_frame_put(struct buffer *to, uint32_t type, struct slice payload)
{
    uint8_t header[SIM_FRAME_HEADER];

    le_store32(header, (uint32_t)payload.size);
    le_store32(header + 4, type);
    le_store64(header + 8, sim_mix(payload.size, type));
    le_store64(header + 16, sim_hash_bytes(7, payload.data, payload.size));
    MESH_ASSERT(buffer_append(to, header, sizeof(header)) == 0);
    if (payload.size > 0) MESH_ASSERT(buffer_append(to, payload.data, payload.size) == 0);
}

int sim_frame_take(struct slice bytes, size_t size_max, size_t *at, uint32_t *ret_type, struct slice *ret_payload)
{
    const uint8_t *header;
    uint32_t size, type;

    if (bytes.size - *at < SIM_FRAME_HEADER) return 0;
    header = bytes.data + *at;
    size = le_load32(header);
    type = le_load32(header + 4);
    if (size > size_max || sim_mix(size, type) != le_load64(header + 8)) return -1;
    if (bytes.size - *at - SIM_FRAME_HEADER < size) return 0;
    if (sim_hash_bytes(7, header + SIM_FRAME_HEADER, size) != le_load64(header + 16)) return -1;
    *ret_type = type;
    *ret_payload = slice_of(header + SIM_FRAME_HEADER, size);
    *at += SIM_FRAME_HEADER + (size_t)size;
    return 1;
}
