/* wire/compression.c - picks the codec, and keeps decompression within its bounds. */
#include "wire/compression.h"

#include "base/error.h"
#include "wire/compression_codec.h"

static int copy_compress(struct slice from, struct buffer *to)
{
    return buffer_append(to, from.data, from.size);
}

static int copy_decompress(struct slice from, struct codec_output *output)
{
    if (from.size > output->bytes_max) return MESH_ETOOLARGE;
    return buffer_append(output->to, from.data, from.size);
}

static const struct codec {
    const char *name;
    int (*compress)(struct slice from, struct buffer *to);
    int (*decompress)(struct slice from, struct codec_output *output);
} codecs[] = {
    [RECORD_COMPRESSION_NONE] = {"none", copy_compress, copy_decompress},
    [RECORD_COMPRESSION_GZIP] = {"gzip", gzip_compress, gzip_decompress},
    [RECORD_COMPRESSION_SNAPPY] = {"snappy", snappy_raw_compress, snappy_any_decompress},
    [RECORD_COMPRESSION_LZ4] = {"lz4", lz4_frame_compress, lz4_frame_decompress},
    [RECORD_COMPRESSION_ZSTD] = {"zstd", zstd_frame_compress, zstd_frame_decompress},
};

#define CODEC_COUNT (sizeof(codecs) / sizeof(codecs[0]))

int compression_compress(enum record_compression codec, struct slice from, struct buffer *to)
{
    size_t start = to->size;
    int err;

    if ((size_t)codec >= CODEC_COUNT) return MESH_EUNSUPPORTED_COMPRESSION;
    if (from.size > COMPRESSION_BYTES_MAX) return MESH_ETOOLARGE;
    err = codecs[codec].compress(from, to);
    if (err != 0) to->size = start;
    return err;
}

int compression_decompress(enum record_compression codec, struct slice from, size_t bytes_max,
                           struct buffer *to)
{
    struct codec_output output = {.to = to, .start = to->size, .bytes_max = bytes_max};
    int err;

    if ((size_t)codec >= CODEC_COUNT) return MESH_EUNSUPPORTED_COMPRESSION;
    if (from.size > COMPRESSION_BYTES_MAX) return MESH_ETOOLARGE;
    if (from.size == 0 && codec != RECORD_COMPRESSION_NONE) return MESH_ECORRUPT;
    err = codecs[codec].decompress(from, &output);
    if (err == 0 && to->size - output.start > bytes_max) err = MESH_ETOOLARGE;
    if (err != 0) to->size = output.start;
    return err;
}

/* How many more bytes may be written before the ceiling, bytes_max + 1. */
static size_t below_ceiling(const struct codec_output *output)
{
    size_t written = output->to->size - output->start;

    if (written > output->bytes_max) return 0;
    return output->bytes_max - written + (output->bytes_max < SIZE_MAX ? 1 : 0);
}

size_t codec_output_room(const struct codec_output *output)
{
    size_t free_bytes = output->to->capacity - output->to->size, allowed = below_ceiling(output);

    return free_bytes < allowed ? free_bytes : allowed;
}

int codec_output_reserve(struct codec_output *output, size_t wanted)
{
    size_t allowed = below_ceiling(output);

    if (allowed == 0) return MESH_ETOOLARGE;
    return buffer_reserve(output->to, wanted < allowed ? wanted : allowed);
}

int codec_output_grow(struct codec_output *output)
{
    size_t written = output->to->size - output->start;

    if (codec_output_room(output) > 0) return 0;
    return codec_output_reserve(output, written > 4096 ? written : 4096);
}

const char *compression_name(enum record_compression codec)
{
    return (size_t)codec < CODEC_COUNT ? codecs[codec].name : NULL;
}

int compression_from_name(const char *name, enum record_compression *ret_codec)
{
    for (size_t i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(name, codecs[i].name) != 0) continue;
        *ret_codec = (enum record_compression)i;
        return 0;
    }
    return MESH_EINVAL;
}
