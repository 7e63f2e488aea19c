/* wire/compression_lz4.c - the LZ4 frame format.
 *
 * Frames are written with independent blocks: the Java client refuses linked ones. */
#include "base/error.h"
#include "wire/compression_codec.h"

int lz4_frame_compress(struct slice from, struct buffer *to)
{
    const LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max256KB, .blockMode = LZ4F_blockIndependent},
    };
    size_t bound = LZ4F_compressFrameBound(from.size, &preferences), size;

    if (buffer_reserve(to, bound) != 0) return MESH_ENOMEM;
    size = LZ4F_compressFrame(to->data + to->size, bound, from.data, from.size, &preferences);
    if (LZ4F_isError(size)) return MESH_ENOMEM; /* the bound leaves room for all; nothing else can go wrong */
    to->size += size;
    return 0;
}

static int decompress_frames(LZ4F_dctx *context, struct slice from, struct codec_output *output)
{
    struct buffer *to = output->to;
    size_t expected = 1; /* 0: the last frame is complete */
    int err = codec_output_reserve(output, from.size * 4);

    while (err == 0 && (from.size > 0 || expected != 0)) {
        size_t taken = from.size, made;

        err = codec_output_grow(output);
        if (err != 0) break;
        made = codec_output_room(output);
        expected = LZ4F_decompress(context, to->data + to->size, &made, from.data, &taken, NULL);
        if (LZ4F_isError(expected)) return MESH_ECORRUPT;
        to->size += made;
        from = slice_of(from.data + taken, from.size - taken);
        if (from.size == 0 && made == 0 && expected != 0) return MESH_ECORRUPT; /* truncated */
    }
    return err;
}

int lz4_frame_decompress(struct slice from, struct codec_output *output)
{
    LZ4F_dctx *context = codec_context_lz4();
    int err;

    if (context == NULL) return MESH_ENOMEM;
    err = decompress_frames(context, from, output);
    /* Not reset and reused: lz4 1.9.4 keeps the count of content bytes that a broken frame still owed, and
     * then finds fault with every later frame that does not tell its size. One bad blob would end lz4 on this
     * thread. */
    if (err != 0) codec_context_lz4_drop();
    return err;
}
