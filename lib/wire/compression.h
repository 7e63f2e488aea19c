/* wire/compression.h - the four codecs of record batches, over whole blobs.
 *
 * gzip: RFC 1952. snappy: raw block on write; raw block or the xerial stream on read. lz4: the standard frame.
 * zstd: the standard frame. Pure functions; any thread. */
#ifndef WIRE_COMPRESSION_H
#define WIRE_COMPRESSION_H

#include "wire/record_batch.h"

/* Appends the compressed form of `from` to *to. Errors: MESH_ENOMEM, MESH_EUNSUPPORTED_COMPRESSION. */
int compression_compress(enum record_compression codec, struct slice from, struct buffer *to);

/* Appends the decompressed form to *to, refusing to grow it by more than bytes_max. Errors: MESH_ECORRUPT,
 * MESH_ETOOLARGE, MESH_ENOMEM, MESH_EUNSUPPORTED_COMPRESSION. */
int compression_decompress(enum record_compression codec, struct slice from, size_t bytes_max, struct buffer *to);

/* "none", "gzip", "snappy", "lz4", "zstd"; NULL when unknown. And back: MESH_EINVAL when unknown. */
const char *compression_name(enum record_compression codec);
int compression_from_name(const char *name, enum record_compression *ret_codec);

#endif
