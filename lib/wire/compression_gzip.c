/* wire/compression_gzip.c - gzip (RFC 1952) through zlib. */
#include "base/assert.h"
#include "base/error.h"
#include "wire/compression_codec.h"

/* zlib counts in unsigned int; room may be larger. */
static uInt clamp(size_t size)
{
    return size > UINT32_MAX ? UINT32_MAX : (uInt)size;
}

int gzip_compress(struct slice from, struct buffer *to)
{
    z_stream *stream = codec_context_deflate();
    size_t bound;
    int result;

    if (stream == NULL) return MESH_ENOMEM;
    bound = deflateBound(stream, from.size);
    if (bound > UINT32_MAX) return MESH_ETOOLARGE;
    if (buffer_reserve(to, bound) != 0) return MESH_ENOMEM;
    stream->next_in = (Bytef *)(uintptr_t)from.data;
    stream->avail_in = (uInt)from.size;
    stream->next_out = to->data + to->size;
    stream->avail_out = (uInt)bound;
    result = deflate(stream, Z_FINISH);
    MESH_ASSERT(result == Z_STREAM_END); /* the bound leaves room for all */
    to->size += bound - stream->avail_out;
    return 0;
}

/* Inflates one member from the front of *from. */
static int inflate_member(z_stream *stream, struct slice *from, struct codec_output *output)
{
    struct buffer *to = output->to;
    int result = Z_OK;

    stream->next_in = (Bytef *)(uintptr_t)from->data;
    stream->avail_in = (uInt)from->size;
    while (result != Z_STREAM_END) {
        uInt room;
        int err = codec_output_grow(output);

        if (err != 0) return err;
        room = clamp(codec_output_room(output));
        stream->next_out = to->data + to->size;
        stream->avail_out = room;
        result = inflate(stream, Z_NO_FLUSH);
        to->size += room - stream->avail_out;
        if (result == Z_MEM_ERROR) return MESH_ENOMEM;
        if (result != Z_OK && result != Z_STREAM_END) return MESH_ECORRUPT; /* a truncated one: Z_BUF_ERROR */
    }
    *from = slice_of(stream->next_in, stream->avail_in);
    return 0;
}

int gzip_decompress(struct slice from, struct codec_output *output)
{
    z_stream *stream = codec_context_inflate();
    int err;

    if (stream == NULL) return MESH_ENOMEM;
    err = codec_output_reserve(output, from.size * 4);
    while (err == 0 && from.size > 0) {
        err = inflate_member(stream, &from, output);
        if (err == 0 && inflateReset(stream) != Z_OK) err = MESH_ECORRUPT;
    }
    return err;
}
