/* wire/compression_context.c - the working memory of zlib, lz4 and zstd, kept per thread.
 *
 * Making a context costs 40 KiB to some MiB of fresh memory, far more than compressing one batch; so each
 * thread keeps what it used, until it ends. */
#include "base/thread_slot.h"
#include "wire/compression.h"
#include "wire/compression_codec.h"

#include <stdlib.h>

struct contexts {
    bool has_deflate, has_inflate;
    z_stream deflate, inflate;
    LZ4F_dctx *lz4;
    ZSTD_CCtx *zstd_compress;
    ZSTD_DCtx *zstd_decompress;
};

#define GZIP_WINDOW_BITS  (15 + 16) /* the largest window; 16 asks zlib for the gzip form */
#define GZIP_MEMORY_LEVEL 8         /* zlib's default */

static void contexts_free(void *pointer)
{
    struct contexts *contexts = pointer;

    if (contexts->has_deflate) deflateEnd(&contexts->deflate);
    if (contexts->has_inflate) inflateEnd(&contexts->inflate);
    LZ4F_freeDecompressionContext(contexts->lz4);
    ZSTD_freeCCtx(contexts->zstd_compress);
    ZSTD_freeDCtx(contexts->zstd_decompress);
    free(contexts);
}

static struct thread_slot slot = THREAD_SLOT_INIT(contexts_free);

/* Or threads that live on would call contexts_free() where libmesh no longer is. */
__attribute__((destructor)) static void leave(void)
{
    thread_slot_deinit(&slot);
}

static struct contexts *contexts_of_thread(void)
{
    struct contexts *contexts = thread_slot_get(&slot);

    if (contexts != NULL) return contexts;
    contexts = calloc(1, sizeof(*contexts));
    if (contexts == NULL || thread_slot_set(&slot, contexts) == 0) return contexts;
    free(contexts);
    return NULL;
}

void compression_release_thread(void)
{
    (void)thread_slot_set(&slot, NULL); /* cannot fail: setting NULL allocates nothing */
}

z_stream *codec_context_deflate(void)
{
    struct contexts *contexts = contexts_of_thread();

    if (contexts == NULL) return NULL;
    if (contexts->has_deflate) return deflateReset(&contexts->deflate) == Z_OK ? &contexts->deflate : NULL;
    if (deflateInit2(&contexts->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS,
                     GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    contexts->has_deflate = true;
    return &contexts->deflate;
}

z_stream *codec_context_inflate(void)
{
    struct contexts *contexts = contexts_of_thread();

    if (contexts == NULL) return NULL;
    if (contexts->has_inflate) return inflateReset(&contexts->inflate) == Z_OK ? &contexts->inflate : NULL;
    if (inflateInit2(&contexts->inflate, GZIP_WINDOW_BITS) != Z_OK) return NULL;
    contexts->has_inflate = true;
    return &contexts->inflate;
}

LZ4F_dctx *codec_context_lz4(void)
{
    struct contexts *contexts = contexts_of_thread();

    if (contexts == NULL) return NULL;
    if (contexts->lz4 == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&contexts->lz4, LZ4F_VERSION)))
        contexts->lz4 = NULL;
    return contexts->lz4;
}

void codec_context_lz4_drop(void)
{
    struct contexts *contexts = thread_slot_get(&slot);

    if (contexts == NULL) return;
    LZ4F_freeDecompressionContext(contexts->lz4);
    contexts->lz4 = NULL;
}

ZSTD_CCtx *codec_context_zstd_compress(void)
{
    struct contexts *contexts = contexts_of_thread();

    if (contexts == NULL) return NULL;
    if (contexts->zstd_compress == NULL) contexts->zstd_compress = ZSTD_createCCtx();
    return contexts->zstd_compress;
}

ZSTD_DCtx *codec_context_zstd_decompress(void)
{
    struct contexts *contexts = contexts_of_thread();

    if (contexts == NULL) return NULL;
    if (contexts->zstd_decompress == NULL) contexts->zstd_decompress = ZSTD_createDCtx();
    return contexts->zstd_decompress;
}
