/* wire/compression_snappy.c - snappy in its two framings.
 *
 * Clients in C and Go write one raw block. Java clients and kafka-python write the stream of the snappy-java
 * (xerial) library, whose first byte pair no raw block can begin with: it would be a copy from before the
 * start.
 *
 *   82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version i32 | compatible version i32 | { size i32 | raw block }...
 *
 * All integers big-endian. Streams may follow one another, each with its own header. */
#include "base/bytes.h"
#include "base/error.h"
#include "wire/compression_codec.h"

#include <snappy-c.h>

#define XERIAL_MAGIC_SIZE  8
#define XERIAL_HEADER_SIZE 16

static const uint8_t xerial_magic[XERIAL_MAGIC_SIZE] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

/* A copy element makes at most 64 bytes out of 3. A block that claims more is corrupt; known before
 * allocating for it. */
#define EXPANSION_MAX 22

int snappy_raw_compress(struct slice from, struct buffer *to)
{
    size_t size = snappy_max_compressed_length(from.size);

    if (buffer_reserve(to, size) != 0) return MESH_ENOMEM;
    if (snappy_compress((const char *)from.data, from.size, (char *)to->data + to->size, &size) != SNAPPY_OK)
        return MESH_EINVAL;
    to->size += size;
    return 0;
}

static int decompress_block(struct slice block, struct codec_output *output)
{
    struct buffer *to = output->to;
    size_t size;
    int err;

    if (snappy_uncompressed_length((const char *)block.data, block.size, &size) != SNAPPY_OK)
        return MESH_ECORRUPT;
    if (size > block.size * EXPANSION_MAX) return MESH_ECORRUPT;
    err = codec_output_reserve(output, size > 0 ? size : 1);
    if (err != 0) return err;
    if (size > codec_output_room(output)) return MESH_ETOOLARGE;
    if (snappy_uncompress((const char *)block.data, block.size, (char *)to->data + to->size, &size) !=
        SNAPPY_OK)
        return MESH_ECORRUPT;
    to->size += size;
    return 0;
}

static bool starts_xerial_stream(struct slice bytes)
{
    return bytes.size >= XERIAL_MAGIC_SIZE && memcmp(bytes.data, xerial_magic, XERIAL_MAGIC_SIZE) == 0;
}

static int decompress_xerial(struct slice from, struct codec_output *output)
{
    while (from.size > 0) {
        size_t skip = XERIAL_HEADER_SIZE, size = 0;
        int err = 0;

        if (!starts_xerial_stream(from)) {
            skip = 4;
            if (from.size < skip) return MESH_ECORRUPT;
            size = be_load32(from.data);
        }
        if (from.size < skip || size > from.size - skip) return MESH_ECORRUPT;
        if (skip == 4) err = decompress_block(slice_of(from.data + skip, size), output);
        if (err != 0) return err;
        from = slice_of(from.data + skip + size, from.size - skip - size);
    }
    return 0;
}

int snappy_any_decompress(struct slice from, struct codec_output *output)
{
    return starts_xerial_stream(from) ? decompress_xerial(from, output) : decompress_block(from, output);
}
