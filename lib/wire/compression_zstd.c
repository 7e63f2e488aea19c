/* wire/compression_zstd.c - Zstandard frames (RFC 8878).
 *
 * Many clients stream, so that the frame does not tell its content's size. It is decoded in one pass into the
 * output all the same, larger at each attempt: that needs no window memory, which a hostile frame could
 * demand 128 MiB of, and a caller's reused buffer is large enough the first time. */
#include "base/error.h"
#include "wire/compression_codec.h"

#include <zstd_errors.h>

int zstd_frame_compress(struct slice from, struct buffer *to)
{
    ZSTD_CCtx *context = codec_context_zstd_compress();
    size_t bound = ZSTD_compressBound(from.size), size;

    if (context == NULL || buffer_reserve(to, bound) != 0) return MESH_ENOMEM;
    size = ZSTD_compressCCtx(context, to->data + to->size, bound, from.data, from.size, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(size)) return MESH_ENOMEM; /* the bound leaves room for all; nothing else can go wrong */
    to->size += size;
    return 0;
}

int zstd_frame_decompress(struct slice from, struct codec_output *output)
{
    ZSTD_DCtx *context = codec_context_zstd_decompress();
    unsigned long long content = ZSTD_getFrameContentSize(from.data, from.size);
    size_t wanted, size;
    int err;

    if (context == NULL) return MESH_ENOMEM;
    if (content == ZSTD_CONTENTSIZE_ERROR) return MESH_ECORRUPT;
    if (content != ZSTD_CONTENTSIZE_UNKNOWN && content > output->bytes_max) return MESH_ETOOLARGE;
    wanted = content != ZSTD_CONTENTSIZE_UNKNOWN && content > 0 ? (size_t)content : from.size * 4;
    for (;;) {
        size_t room;

        err = codec_output_reserve(output, wanted);
        if (err != 0) return err;
        room = codec_output_room(output);
        size = ZSTD_decompressDCtx(context, output->to->data + output->to->size, room, from.data, from.size);
        if (!ZSTD_isError(size)) break;
        switch (ZSTD_getErrorCode(size)) {
        case ZSTD_error_dstSize_tooSmall: break;
        case ZSTD_error_memory_allocation: return MESH_ENOMEM;
        default: return MESH_ECORRUPT;
        }
        if (room > output->bytes_max) return MESH_ETOOLARGE;
        wanted = room * 2;
    }
    output->to->size += size;
    return 0;
}
