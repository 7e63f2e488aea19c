/* Fuzzes everything that reads record batches or compressed blobs.
 *
 * The input is a batch. Its length and CRC are made right first, or the fuzzer would never get past them.
 * Beyond "no crash, no read outside" it holds the codec to its properties:
 *   - patches keep the CRC right, whatever is in the batch;
 *   - what the iterator yields lies inside the batch or the scratch, and offsets increase within the header's
 * range;
 *   - the same records put into a new batch read back the same, with each codec;
 *   - a blob never decompresses beyond its bound, and leaves the codec fit for the next one. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "wire/compression.h"

#include <stdlib.h>
#include <string.h>

#define DECOMPRESSED_BYTES_MAX 65536
#define HEADERS_MAX            64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buffer scratch, rebuilt_scratch, compressed;
static struct record_batch_builder builder;

/* Any blob against each codec. */
static void check_codecs(struct slice blob)
{
    for (int codec = RECORD_COMPRESSION_NONE; codec <= RECORD_COMPRESSION_ZSTD + 1; codec++) {
        int err;

        buffer_clear(&scratch);
        err = compression_decompress((enum record_compression)codec, blob, DECOMPRESSED_BYTES_MAX, &scratch);
        MESH_ASSERT(scratch.size <= DECOMPRESSED_BYTES_MAX);
        MESH_ASSERT(err == 0 || scratch.size == 0);
    }
}

static void check_patches(uint8_t *batch, size_t size)
{
    struct record_batch_header before, after;

    if (record_batch_verify(slice_of(batch, size), &before) != 0) return;
    record_batch_set_base_offset(batch, 7);
    record_batch_set_leader_epoch(batch, 9);
    record_batch_set_append_time(batch, 1234567);
    MESH_ASSERT(record_batch_verify(slice_of(batch, size), &after) == 0);
    MESH_ASSERT(after.base_offset == 7 && after.leader_epoch == 9 && after.max_timestamp_ms == 1234567);
    MESH_ASSERT(after.attributes == (before.attributes | RECORD_ATTRIBUTE_LOG_APPEND_TIME));
    record_batch_set_append_time(batch, before.max_timestamp_ms);
}

/* Reads every byte, for the sanitizers. */
static void touch(struct slice bytes)
{
    static volatile uint32_t seen;

    if (bytes.size > 0) seen = seen ^ crc32c(bytes.data, bytes.size);
}

static void check_same(const struct record *a, const struct record *b)
{
    MESH_ASSERT(a->timestamp_ms == b->timestamp_ms && a->header_count == b->header_count);
    MESH_ASSERT(a->key_is_null == b->key_is_null && slice_equal(a->key, b->key));
    MESH_ASSERT(a->value_is_null == b->value_is_null && slice_equal(a->value, b->value));
}

/* Reads record->header_count headers into `headers`, which has room for HEADERS_MAX. */
static void read_headers(const struct record *record, struct record_header *headers)
{
    struct slice rest = record->headers_encoded;

    for (uint32_t i = 0; i < record->header_count && i < HEADERS_MAX; i++) {
        int got = record_header_next(&rest, &headers[i]);
        MESH_ASSERT(got == 1);
        touch(headers[i].key);
        touch(headers[i].value);
    }
    MESH_ASSERT(record->header_count > HEADERS_MAX || rest.size == 0);
}

/* Puts what the batch yields into the builder. False when the batch is damaged or not to be rebuilt. */
static bool read_into_builder(struct slice batch)
{
    struct record_iterator iterator;
    struct record record;
    struct record_header headers[HEADERS_MAX];
    int64_t previous_offset = -1;
    bool complete = true;
    int got;

    record_batch_builder_clear(&builder);
    if (record_iterator_init(&iterator, batch, &scratch, DECOMPRESSED_BYTES_MAX) != 0) return false;
    while ((got = record_iterator_next(&iterator, &record)) == 1) {
        MESH_ASSERT(record.offset > previous_offset && record.offset >= iterator.header.base_offset);
        MESH_ASSERT(record.offset <= record_batch_last_offset(&iterator.header));
        previous_offset = record.offset;
        touch(record.key);
        touch(record.value);
        read_headers(&record, headers);
        complete = complete && record.header_count <= HEADERS_MAX;
        record.headers = headers;
        if (complete) MESH_ASSERT(record_batch_builder_add(&builder, &record) == 0);
    }
    MESH_ASSERT(got == 0 || got == MESH_ECORRUPT);
    return got == 0 && complete && builder.record_count > 0;
}

/* The batch in the builder, finished with a codec, reads as `original` does. */
static void check_rebuilt(struct slice original, enum record_compression codec)
{
    const struct record_batch_producer producer = {5, 1, 2};
    struct record_iterator old, new;
    struct record_batch_header header;
    struct record a, b;
    struct slice batch;
    int err = record_batch_builder_finish(&builder, &producer, 0, codec, &compressed, &batch);

    MESH_ASSERT(err == 0);
    MESH_ASSERT(record_batch_verify_produced(batch, UINT32_MAX, &header) == 0);
    MESH_ASSERT(record_iterator_init(&old, original, &scratch, DECOMPRESSED_BYTES_MAX) == 0);
    MESH_ASSERT(record_iterator_init(&new, batch, &rebuilt_scratch, builder.bytes.size) == 0);
    while (record_iterator_next(&old, &a) == 1) {
        struct record_header headers_a[HEADERS_MAX], headers_b[HEADERS_MAX];

        MESH_ASSERT(record_iterator_next(&new, &b) == 1);
        check_same(&a, &b);
        read_headers(&a, headers_a);
        read_headers(&b, headers_b);
        for (uint32_t i = 0; i < a.header_count; i++) {
            MESH_ASSERT(slice_equal(headers_a[i].key, headers_b[i].key));
            MESH_ASSERT(slice_equal(headers_a[i].value, headers_b[i].value));
            MESH_ASSERT(headers_a[i].value_is_null == headers_b[i].value_is_null);
        }
    }
    MESH_ASSERT(record_iterator_next(&new, &b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice batch = slice_of(data, size);
    struct record_batch_header header;
    int64_t offset, timestamp_ms;
    uint8_t *fixed;

    record_batch_parse_header(batch, &header);
    record_batch_verify_produced(batch, 1 << 20, &header);
    check_codecs(batch);
    if (size < RECORD_BATCH_HEADER_SIZE) return 0;
    check_codecs(slice_of(data + RECORD_BATCH_HEADER_SIZE, size - RECORD_BATCH_HEADER_SIZE));

    fixed = malloc(size);
    MESH_ASSERT(fixed != NULL);
    memcpy(fixed, data, size);
    fixed[16] = RECORD_BATCH_MAGIC;
    be_store32(fixed + 8, (uint32_t)(size - RECORD_BATCH_LENGTH_SKEW));
    be_store32(fixed + 17, crc32c(fixed + RECORD_BATCH_CRC_START, size - RECORD_BATCH_CRC_START));
    batch = slice_of(fixed, size);
    record_batch_find_timestamp(batch, (int64_t)be_load64(data), 0, &scratch, DECOMPRESSED_BYTES_MAX, &offset,
                                &timestamp_ms);
    if (read_into_builder(batch))
        for (int codec = RECORD_COMPRESSION_NONE; codec <= RECORD_COMPRESSION_ZSTD; codec++)
            check_rebuilt(batch, (enum record_compression)codec);
    check_patches(fixed, size);
    free(fixed);
    return 0;
}
