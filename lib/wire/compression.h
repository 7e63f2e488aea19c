/* wire/compression.h - the four codecs of record batches, over whole blobs.
 *
 * gzip: RFC 1952. snappy: raw block on write; raw block or the xerial stream on read. lz4: the standard
 * frame. zstd: the standard frame. Several gzip members, lz4 frames, zstd frames or xerial streams in a row
 * are read as one.
 *
 * Any thread. Each thread that compresses or decompresses keeps the libraries' working memory (40 KiB to a
 * few MiB by codec) from its first use until it ends, so that the steady state allocates nothing but output.
 */
#ifndef WIRE_COMPRESSION_H
#define WIRE_COMPRESSION_H

#include "wire/record_batch.h"

/* The most that one call takes in: no batch is larger. */
#define COMPRESSION_BYTES_MAX INT32_MAX

/* Appends the compressed form of `from` to *to. On failure *to keeps its bytes. Errors: MESH_ENOMEM,
 * MESH_ETOOLARGE (over COMPRESSION_BYTES_MAX), MESH_EUNSUPPORTED_COMPRESSION. */
int compression_compress(enum record_compression codec, struct slice from, struct buffer *to);

/* Appends the decompressed form to *to, refusing to grow it by more than bytes_max, whatever the blob claims.
 * On failure *to keeps its bytes. Errors: MESH_ECORRUPT, MESH_ETOOLARGE, MESH_ENOMEM,
 * MESH_EUNSUPPORTED_COMPRESSION. */
int compression_decompress(enum record_compression codec, struct slice from, size_t bytes_max,
                           struct buffer *to);

/* "none", "gzip", "snappy", "lz4", "zstd"; NULL when unknown. And back: MESH_EINVAL when unknown. */
const char *compression_name(enum record_compression codec);
int compression_from_name(const char *name, enum record_compression *ret_codec);

/* Gives back the calling thread's working memory now; it is made again when needed. */
void compression_release_thread(void);

#endif
