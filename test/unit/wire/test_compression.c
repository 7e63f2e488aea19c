/* The codecs: round trips, bounds that a blob cannot talk its way around, damage, and contexts per thread. */
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "wire/compression.h"
#include "wire/compression_codec.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>

/* The constructors of the libraries' contexts can be made to fail as well (see CMakeLists.txt). */
#define WRAP(type, name, parameters, arguments, failure)                                                     \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return failing_alloc_refuse() ? (failure) : __real_##name arguments;                                 \
    }
WRAP(ZSTD_CCtx *, ZSTD_createCCtx, (void), (), NULL)
WRAP(ZSTD_DCtx *, ZSTD_createDCtx, (void), (), NULL)
WRAP(size_t, LZ4F_createDecompressionContext, (LZ4F_dctx * *context, unsigned version), (context, version),
     (size_t)-9)
WRAP(int, deflateInit2_,
     (z_streamp stream, int level, int method, int bits, int memory, int strategy, const char *version,
      int size),
     (stream, level, method, bits, memory, strategy, version, size), Z_MEM_ERROR)
WRAP(int, inflateInit2_, (z_streamp stream, int bits, const char *version, int size),
     (stream, bits, version, size), Z_MEM_ERROR)

enum pattern { ZEROS, TEXT, NOISE, PATTERN_COUNT };

/* `size` bytes of a pattern in their own memory. */
static uint8_t *make_input(enum pattern pattern, size_t size)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog, 0123456789 times; ";
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    struct random random;

    random_init(&random, size);
    for (size_t i = 0; i < size; i++) {
        if (pattern == ZEROS) bytes[i] = 0;
        if (pattern == TEXT) bytes[i] = (uint8_t)text[(i * i / 97) % 61];
        if (pattern == NOISE) bytes[i] = (uint8_t)random_next(&random);
    }
    return bytes;
}

static const size_t sizes[] = {0, 1, 2, 15, 100, 4095, 32768, 65536, 65537, 300000, 1200000};
#define SIZE_COUNT (int)(sizeof(sizes) / sizeof(sizes[0]))

START_TEST(what_is_compressed_is_decompressed)
{
    enum record_compression codec = (enum record_compression)_i;

    for (int row = 0; row < SIZE_COUNT * PATTERN_COUNT; row++) {
        size_t size = sizes[row / PATTERN_COUNT];
        uint8_t *input = make_input(row % PATTERN_COUNT, size);
        struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;

        ck_assert_int_eq(buffer_append_string(&blob, "A"), 0); /* both append */
        ck_assert_int_eq(buffer_append_string(&back, "BC"), 0);
        ck_assert_int_eq(compression_compress(codec, slice_of(input, size), &blob), 0);
        ck_assert_int_eq(compression_decompress(codec, slice_of(blob.data + 1, blob.size - 1), size, &back),
                         0);
        ck_assert_uint_eq(back.size, 2 + size);
        ck_assert_mem_eq(back.data, "BC", 2);
        if (size > 0) ck_assert_mem_eq(back.data + 2, input, size);
        if (size > 0) {
            back.size = 2;
            ck_assert_int_eq(
                compression_decompress(codec, slice_of(blob.data + 1, blob.size - 1), size - 1, &back),
                MESH_ETOOLARGE);
            ck_assert_uint_eq(back.size, 2);
        }
        ck_assert_mem_eq(blob.data, "A", 1);
        buffer_deinit(&blob);
        buffer_deinit(&back);
        free(input);
    }
    compression_release_thread();
}
END_TEST

START_TEST(a_bomb_costs_no_more_than_its_limit)
{
    enum record_compression codec = (enum record_compression)_i;
    const size_t size = 64 << 20, limit = 1 << 20;
    uint8_t *zeros = calloc(1, size);
    struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;

    ck_assert_int_eq(compression_compress(codec, slice_of(zeros, size), &blob), 0);
    free(zeros);
    ck_assert_int_eq(compression_decompress(codec, buffer_slice(&blob), limit, &back), MESH_ETOOLARGE);
    ck_assert_uint_eq(back.size, 0);
    ck_assert_uint_le(back.capacity, 4 * limit);
    buffer_deinit(&blob);
    buffer_deinit(&back);
    compression_release_thread();
}
END_TEST

/* Blobs made by hand; decompressed with a limit of 1000 bytes. */
static const struct blob_case {
    const char *what;
    enum record_compression codec;
    int want; /* an error, or the number of bytes */
    size_t size;
    uint8_t bytes[40];
} blob_cases[] = {
    {"gzip: empty", RECORD_COMPRESSION_GZIP, MESH_ECORRUPT, 0, {0}},
    {"gzip: zlib's own header", RECORD_COMPRESSION_GZIP, MESH_ECORRUPT, 8, {0x78, 0x9c, 3, 0, 0, 0, 0, 1}},
    {"gzip: an empty member", RECORD_COMPRESSION_GZIP, 0, 20, {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3}},
    {"gzip: a wrong CRC",
     RECORD_COMPRESSION_GZIP,
     MESH_ECORRUPT,
     20,
     {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 1}},
    {"gzip: a byte behind",
     RECORD_COMPRESSION_GZIP,
     MESH_ECORRUPT,
     21,
     {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3}},
    {"snappy: empty", RECORD_COMPRESSION_SNAPPY, MESH_ECORRUPT, 0, {0}},
    {"snappy: a block of nothing", RECORD_COMPRESSION_SNAPPY, 0, 1, {0}},
    {"snappy: one literal", RECORD_COMPRESSION_SNAPPY, 2, 4, {2, 1 << 2, 'a', 'b'}},
    {"snappy: claims 4 GiB", RECORD_COMPRESSION_SNAPPY, MESH_ECORRUPT, 5, {255, 255, 255, 255, 15}},
    {"snappy: claims more than follows", RECORD_COMPRESSION_SNAPPY, MESH_ECORRUPT, 4, {3, 1 << 2, 'a', 'b'}},
    {"xerial: the header alone",
     RECORD_COMPRESSION_SNAPPY,
     0,
     16,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}},
    {"xerial: the header cut",
     RECORD_COMPRESSION_SNAPPY,
     MESH_ECORRUPT,
     15,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0}},
    {"xerial: the magic alone",
     RECORD_COMPRESSION_SNAPPY,
     MESH_ECORRUPT,
     8,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}},
    {"xerial: one block", RECORD_COMPRESSION_SNAPPY, 2, 24, {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                             0,    0,   0,   1,   0,   0,   0,   1,
                                                             0,    0,   0,   4,   2,   4,   'a', 'b'}},
    {"xerial: a block that claims more",
     RECORD_COMPRESSION_SNAPPY,
     MESH_ECORRUPT,
     24,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 2, 4, 'a', 'b'}},
    {"xerial: a negative size",
     RECORD_COMPRESSION_SNAPPY,
     MESH_ECORRUPT,
     24,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 255, 0, 0, 4, 2, 4, 'a', 'b'}},
    {"xerial: half a size",
     RECORD_COMPRESSION_SNAPPY,
     MESH_ECORRUPT,
     18,
     {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}},
    {"xerial: an empty block", RECORD_COMPRESSION_SNAPPY, MESH_ECORRUPT, 20, {0x82, 'S', 'N', 'A', 'P',
                                                                              'P',  'Y', 0,   0,   0,
                                                                              0,    1,   0,   0,   0,
                                                                              1,    0,   0,   0,   0}},
    {"xerial: two streams", RECORD_COMPRESSION_SNAPPY, 2, 40, {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                               0,    0,   0,   1,   0,   0,   0,   1,
                                                               0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                               0,    0,   0,   1,   0,   0,   0,   1,
                                                               0,    0,   0,   4,   2,   4,   'a', 'b'}},
    {"lz4: empty", RECORD_COMPRESSION_LZ4, MESH_ECORRUPT, 0, {0}},
    {"lz4: wrong magic", RECORD_COMPRESSION_LZ4, MESH_ECORRUPT, 7, {4, 0x22, 0x4d, 0x19, 0x60, 0x40, 0x82}},
    {"lz4: the header alone",
     RECORD_COMPRESSION_LZ4,
     MESH_ECORRUPT,
     7,
     {4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}},
    {"lz4: an empty frame", RECORD_COMPRESSION_LZ4, 0, 11, {4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}},
    {"lz4: a wrong header checksum",
     RECORD_COMPRESSION_LZ4,
     MESH_ECORRUPT,
     11,
     {4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x83}},
    {"lz4: bytes behind", RECORD_COMPRESSION_LZ4, MESH_ECORRUPT, 12, {4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}},
    {"lz4: a skippable frame", RECORD_COMPRESSION_LZ4, 0, 10, {0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9}},
    {"zstd: empty", RECORD_COMPRESSION_ZSTD, MESH_ECORRUPT, 0, {0}},
    {"zstd: wrong magic",
     RECORD_COMPRESSION_ZSTD,
     MESH_ECORRUPT,
     9,
     {0x28, 0xb5, 0x2f, 0xfe, 0x20, 0, 1, 0, 0}},
    {"zstd: an empty frame", RECORD_COMPRESSION_ZSTD, 0, 9, {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0}},
    {"zstd: the header alone", RECORD_COMPRESSION_ZSTD, MESH_ECORRUPT, 6, {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0}},
    {"zstd: claims 100, holds nothing",
     RECORD_COMPRESSION_ZSTD,
     MESH_ECORRUPT,
     9,
     {0x28, 0xb5, 0x2f, 0xfd, 0x20, 100, 1, 0, 0}},
    {"zstd: claims 2^63 bytes",
     RECORD_COMPRESSION_ZSTD,
     MESH_ETOOLARGE,
     16,
     {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0}},
    {"zstd: bytes behind",
     RECORD_COMPRESSION_ZSTD,
     MESH_ECORRUPT,
     10,
     {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0, 7}},
    {"zstd: a repeated byte, over the limit",
     RECORD_COMPRESSION_ZSTD,
     MESH_ETOOLARGE,
     10,
     {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x03, 0x80, 0x00, 'x'}}, /* RLE block of 4096, size untold */
    {"zstd: the same below it",
     RECORD_COMPRESSION_ZSTD,
     512,
     10,
     {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x03, 0x10, 0x00, 'x'}},
};

START_TEST(blobs_are_judged)
{
    const struct blob_case *c = &blob_cases[_i];
    uint8_t *copy =
        malloc(c->size > 0 ? c->size : 1); /* exact, so that a sanitizer sees reads past the end */
    struct buffer back = BUFFER_INIT;
    int err;

    memcpy(copy, c->bytes, c->size);
    err = compression_decompress(c->codec, slice_of(copy, c->size), 1000, &back);
    ck_assert_msg(c->want < 0 ? err == c->want : err == 0 && back.size == (size_t)c->want,
                  "%s: %d, %zu bytes", c->what, err, back.size);
    ck_assert_uint_le(back.capacity, 8192);
    buffer_deinit(&back);
    free(copy);
    compression_release_thread();
}
END_TEST

/* Levels above 19 make windows that a streaming decoder refuses, or allocates 128 MiB for. */
START_TEST(zstd_windows_of_any_size_are_read)
{
    const size_t size = 500000;
    uint8_t *input = make_input(TEXT, size);
    struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_inBuffer in = {input, size, 0};
    ZSTD_outBuffer out;

    ck_assert_int_eq(buffer_reserve(&blob, ZSTD_compressBound(size)), 0);
    out = (ZSTD_outBuffer){blob.data, blob.capacity, 0};
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
    ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue); /* the size is not told */
    ck_assert_uint_eq(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(context);
    blob.size = out.pos;
    ck_assert_uint_eq(ZSTD_getFrameContentSize(blob.data, blob.size), ZSTD_CONTENTSIZE_UNKNOWN);
    ck_assert_int_eq(compression_decompress(RECORD_COMPRESSION_ZSTD, buffer_slice(&blob), size, &back), 0);
    ck_assert_uint_eq(back.size, size);
    ck_assert_mem_eq(back.data, input, size);
    back.size = 0;
    ck_assert_int_eq(compression_decompress(RECORD_COMPRESSION_ZSTD, buffer_slice(&blob), size - 1, &back),
                     MESH_ETOOLARGE);
    buffer_deinit(&blob);
    buffer_deinit(&back);
    free(input);
    compression_release_thread();
}
END_TEST

/* lz4 1.9.4 does not forget such a frame when its context is reset. */
START_TEST(a_broken_lz4_frame_spoils_no_other)
{
    uint8_t *input = make_input(TEXT, 5000);
    struct buffer good = BUFFER_INIT, told = BUFFER_INIT, back = BUFFER_INIT;
    LZ4F_preferences_t preferences = {.frameInfo = {.contentSize = 5000}};

    ck_assert_int_eq(compression_compress(RECORD_COMPRESSION_LZ4, slice_of(input, 5000), &good), 0);
    ck_assert_int_eq(buffer_reserve(&told, LZ4F_compressFrameBound(5000, &preferences)), 0);
    told.size = LZ4F_compressFrame(told.data, told.capacity, input, 5000, &preferences);
    for (size_t cut = told.size; cut > 0; cut--) {
        int want = cut == told.size ? 0 : MESH_ECORRUPT;

        buffer_clear(&back);
        ck_assert_int_eq(
            compression_decompress(RECORD_COMPRESSION_LZ4, slice_of(told.data, cut), 5000, &back), want);
        ck_assert_int_eq(compression_decompress(RECORD_COMPRESSION_LZ4, buffer_slice(&told), 4999, &back),
                         MESH_ETOOLARGE);
        buffer_clear(&back);
        ck_assert_int_eq(compression_decompress(RECORD_COMPRESSION_LZ4, buffer_slice(&good), 5000, &back), 0);
        ck_assert_mem_eq(back.data, input, 5000);
    }
    buffer_deinit(&good);
    buffer_deinit(&told);
    buffer_deinit(&back);
    free(input);
    compression_release_thread();
}
END_TEST

START_TEST(every_bit_flip_is_harmless)
{
    enum record_compression codec = (enum record_compression)_i;
    const size_t size = 700;
    uint8_t *input = make_input(TEXT, size);
    struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;

    ck_assert_int_eq(compression_compress(codec, slice_of(input, size), &blob), 0);
    for (size_t bit = 0; bit < blob.size * 8; bit++) {
        int err;

        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        buffer_clear(&back);
        err = compression_decompress(codec, buffer_slice(&blob), 4096, &back);
        ck_assert(err == 0 || err == MESH_ECORRUPT || err == MESH_ETOOLARGE);
        ck_assert_uint_le(back.size, 4096);
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buffer_clear(&back); /* and damage leaves the context fit for the next blob */
    ck_assert_int_eq(compression_decompress(codec, buffer_slice(&blob), size, &back), 0);
    ck_assert_mem_eq(back.data, input, size);
    buffer_deinit(&blob);
    buffer_deinit(&back);
    free(input);
    compression_release_thread();
}
END_TEST

static int there_and_back(enum record_compression codec, struct buffer *blob, struct buffer *back)
{
    static const uint8_t input[20000];
    int err;

    buffer_clear(blob);
    buffer_clear(back);
    err = compression_compress(codec, slice_of(input, sizeof(input)), blob);
    if (err == 0) err = compression_decompress(codec, buffer_slice(blob), sizeof(input), back);
    return err;
}

START_TEST(each_allocation_may_fail)
{
    enum record_compression codec = (enum record_compression)_i;

    failing_alloc_each(n)
    {
        struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;
        bool failed;
        int err;

        compression_release_thread();
        failing_alloc_arm(n);
        err = there_and_back(codec, &blob, &back);
        failed = failing_alloc_disarm();
        ck_assert_int_eq(err, failed ? MESH_ENOMEM : 0);
        ck_assert_int_eq(there_and_back(codec, &blob, &back), 0);
        failing_alloc_arm(1); /* from the second time on nothing is allocated */
        err = there_and_back(codec, &blob, &back);
        ck_assert(!failing_alloc_disarm());
        ck_assert_int_eq(err, 0);
        buffer_deinit(&blob);
        buffer_deinit(&back);
        if (!failed) break;
    }
    compression_release_thread();
}
END_TEST

static void *work(void *argument)
{
    struct buffer blob = BUFFER_INIT, back = BUFFER_INIT;
    int *ret_err = argument;

    for (int turn = 0; turn < 50 && *ret_err == 0; turn++)
        *ret_err = there_and_back(1 + turn % RECORD_COMPRESSION_ZSTD, &blob, &back);
    buffer_deinit(&blob);
    buffer_deinit(&back);
    return NULL; /* its contexts go with it: the leak sanitizer watches */
}

START_TEST(threads_do_not_share_contexts)
{
    pthread_t threads[4];
    int results[4] = {0};

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &results[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(results[i], 0);
    }
}
END_TEST

START_TEST(codecs_have_names)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    enum record_compression codec;

    for (int i = 0; i < 5; i++) {
        ck_assert_str_eq(compression_name((enum record_compression)i), names[i]);
        ck_assert_int_eq(compression_from_name(names[i], &codec), 0);
        ck_assert_int_eq(codec, i);
    }
    ck_assert_ptr_null(compression_name((enum record_compression)5));
    ck_assert_int_eq(compression_from_name("Zstd", &codec), MESH_EINVAL);
    ck_assert_int_eq(compression_from_name("", &codec), MESH_EINVAL);
    ck_assert_int_eq(codec, RECORD_COMPRESSION_ZSTD); /* untouched */
}
END_TEST

START_TEST(unknown_codecs_and_sizes_are_refused)
{
    struct buffer to = BUFFER_INIT;

    for (unsigned codec = 5; codec <= 7; codec++) {
        ck_assert_int_eq(compression_compress((enum record_compression)codec, slice_of("x", 1), &to),
                         MESH_EUNSUPPORTED_COMPRESSION);
        ck_assert_int_eq(compression_decompress((enum record_compression)codec, slice_of("x", 1), 9, &to),
                         MESH_EUNSUPPORTED_COMPRESSION);
    }
    for (unsigned codec = 0; codec < 5; codec++) {
        struct slice huge = {(const uint8_t *)"x", (size_t)INT32_MAX + 1}; /* never looked at */
        ck_assert_int_eq(compression_compress((enum record_compression)codec, huge, &to), MESH_ETOOLARGE);
        ck_assert_int_eq(compression_decompress((enum record_compression)codec, huge, 9, &to),
                         MESH_ETOOLARGE);
    }
    ck_assert_ptr_null(to.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compression");
    TCase *tcase = tcase_create("codecs");
    const int first = RECORD_COMPRESSION_GZIP, end = RECORD_COMPRESSION_ZSTD + 1;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_is_compressed_is_decompressed, 0, end);
    tcase_add_loop_test(tcase, a_bomb_costs_no_more_than_its_limit, first, end);
    tcase_add_loop_test(tcase, blobs_are_judged, 0, sizeof(blob_cases) / sizeof(blob_cases[0]));
    tcase_add_test(tcase, zstd_windows_of_any_size_are_read);
    tcase_add_test(tcase, a_broken_lz4_frame_spoils_no_other);
    tcase_add_loop_test(tcase, every_bit_flip_is_harmless, 0, end);
    tcase_add_loop_test(tcase, each_allocation_may_fail, 0, end);
    tcase_add_test(tcase, threads_do_not_share_contexts);
    tcase_add_test(tcase, codecs_have_names);
    tcase_add_test(tcase, unknown_codecs_and_sizes_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
