#include "client/partitioner.h"

#include "base/assert.h"
#include "base/bytes.h"

uint32_t partitioner_murmur2(struct slice key)
{
    const uint32_t multiplier = 0x5bd1e995u;
    uint32_t hash = 0x9747b28cu ^ (uint32_t)key.size;
    size_t whole = key.size & ~(size_t)3;

    for (size_t i = 0; i < whole; i += 4) {
        uint32_t word = le_load32(key.data + i) * multiplier;
        word = (word ^ (word >> 24)) * multiplier;
        hash = (hash * multiplier) ^ word;
    }
    if (key.size > whole) {
        for (size_t i = key.size; i > whole; i--)
            hash ^= (uint32_t)key.data[i - 1] << (8 * (i - 1 - whole));
        hash *= multiplier;
    }
    hash = (hash ^ (hash >> 13)) * multiplier;
    return hash ^ (hash >> 15);
}

int32_t partitioner_of_key(struct slice key, int32_t partition_count)
{
    MESH_ASSERT(partition_count > 0);
    return (int32_t)(partitioner_murmur2(key) & 0x7fffffffu) % partition_count;
}
