/* wire/compression_codec.h - what the codecs share. Private to lib/wire.
 *
 * A decompressor writes into a codec_output: the end of a caller's buffer, growing by doubling, with a
 * ceiling. The ceiling is one byte above what is allowed, so that a blob which holds exactly the allowed
 * number of bytes ends well and any larger one shows. */
#ifndef WIRE_COMPRESSION_CODEC_H
#define WIRE_COMPRESSION_CODEC_H

#include "base/buffer.h"
#include "base/slice.h"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

struct codec_output {
    struct buffer *to;
    size_t start;     /* to->size at the beginning */
    size_t bytes_max; /* may be added */
};

/* Bytes that may be written at to->data + to->size now. */
size_t codec_output_room(const struct codec_output *output);

/* Provides room for `wanted` more bytes, or as many as the ceiling leaves. Errors: MESH_ETOOLARGE (no room is
 * left at all: bytes_max is exceeded), MESH_ENOMEM. */
int codec_output_reserve(struct codec_output *output, size_t wanted);

/* Provides room when there is none, doubling what is there. Errors: the same. */
int codec_output_grow(struct codec_output *output);

/* The codecs. Compressors append to *to; on failure both may leave bytes behind, which the caller drops. */
int gzip_compress(struct slice from, struct buffer *to);
int gzip_decompress(struct slice from, struct codec_output *output);
int snappy_raw_compress(struct slice from, struct buffer *to);
int snappy_any_decompress(struct slice from, struct codec_output *output);
int lz4_frame_compress(struct slice from, struct buffer *to);
int lz4_frame_decompress(struct slice from, struct codec_output *output);
int zstd_frame_compress(struct slice from, struct buffer *to);
int zstd_frame_decompress(struct slice from, struct codec_output *output);

/* The libraries' working memory of the calling thread, made at first use, ready for a new blob. NULL: out of
 * memory. */
z_stream *codec_context_deflate(void);
z_stream *codec_context_inflate(void);
LZ4F_dctx *codec_context_lz4(void); /* after a frame that did not end well, it must have been dropped */
void codec_context_lz4_drop(void);
ZSTD_CCtx *codec_context_zstd_compress(void);
ZSTD_DCtx *codec_context_zstd_decompress(void);

#endif
