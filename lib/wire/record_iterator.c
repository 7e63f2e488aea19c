/* wire/record_iterator.c - walks the records of a batch: the consumer's hot path.
 *
 * Safe on any bytes: a broker checks header and CRC only, so the records are as their producer made them. What does not
 * add up (sizes, counts, offsets that do not increase within the batch) is MESH_ECORRUPT. */
#include "wire/record_batch.h"

#include "base/bytes.h"
#include "base/error.h"
#include "wire/compression.h"

#define ENCODED_NULL 1 /* zigzag of the length -1 */

/* varint_decode() with the usual lengths, one and two bytes, unrolled. */
static inline const uint8_t *take_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret_v)
{
    if (end - at >= 2) {
        if (at[0] < 0x80) {
            *ret_v = at[0];
            return at + 1;
        }
        if (at[1] < 0x80) {
            *ret_v = (at[0] & 0x7fu) | (uint64_t)at[1] << 7;
            return at + 2;
        }
    }
    return varint_decode(at, end, ret_v);
}

/* A size and as many bytes; size -1 is null. NULL when they do not fit before `end`. */
static inline const uint8_t *take_bytes(const uint8_t *at, const uint8_t *end, struct slice *ret_bytes,
                                        bool *ret_is_null)
{
    uint64_t encoded;

    at = take_varint(at, end, &encoded);
    if (at == NULL) return NULL;
    *ret_is_null = encoded == ENCODED_NULL;
    if (encoded == ENCODED_NULL) {
        *ret_bytes = (struct slice){NULL, 0};
        return at;
    }
    if ((encoded & 1) || encoded >> 1 > (uint64_t)(end - at)) return NULL; /* below -1, or past the end */
    *ret_bytes = slice_of(at, encoded >> 1);
    return at + (encoded >> 1);
}

int record_header_next(struct slice *headers_encoded, struct record_header *ret_header)
{
    const uint8_t *at, *end;
    struct record_header header;
    bool key_is_null;

    if (headers_encoded->size == 0) return 0;
    end = headers_encoded->data + headers_encoded->size;
    at = take_bytes(headers_encoded->data, end, &header.key, &key_is_null);
    if (at == NULL || key_is_null) return MESH_ECORRUPT;
    at = take_bytes(at, end, &header.value, &header.value_is_null);
    if (at == NULL) return MESH_ECORRUPT;
    *headers_encoded = slice_of(at, (size_t)(end - at));
    *ret_header = header;
    return 1;
}

/* Whether `encoded` is exactly `count` headers. */
static bool headers_are_valid(struct slice encoded, uint64_t count)
{
    struct record_header header;

    for (uint64_t i = 0; i < count; i++)
        if (record_header_next(&encoded, &header) != 1) return false;
    return encoded.size == 0;
}

int record_iterator_init(struct record_iterator *iterator, struct slice batch, struct buffer *scratch,
                         size_t decompressed_bytes_max)
{
    struct slice records;
    int err = record_batch_parse_header(batch, &iterator->header);
    unsigned compression;

    if (err != 0 || iterator->header.size != batch.size) return MESH_ECORRUPT;
    records = slice_of(batch.data + RECORD_BATCH_HEADER_SIZE, batch.size - RECORD_BATCH_HEADER_SIZE);
    compression = iterator->header.attributes & RECORD_ATTRIBUTE_COMPRESSION;
    /* Compaction leaves empty batches behind, to keep the producer's last sequence: they hold no blob either. */
    if (compression != RECORD_COMPRESSION_NONE && records.size > 0) {
        buffer_clear(scratch);
        err = compression_decompress((enum record_compression)compression, records, decompressed_bytes_max, scratch);
        if (err != 0) return err;
        if (scratch->size > 0) records = buffer_slice(scratch);
        records.size = scratch->size;
    }
    iterator->at = records.data;
    iterator->end = records.data + records.size;
    iterator->remaining = iterator->header.record_count;
    iterator->offset_delta_min = 0;
    return 0;
}

/* Decodes what stands between a record's size and its end. */
static inline bool decode_body(const struct record_iterator *iterator, const uint8_t *at, const uint8_t *end,
                               struct record *record, uint64_t *ret_offset_delta)
{
    const struct record_batch_header *header = &iterator->header;
    uint64_t timestamp_delta, offset_delta, header_count;

    if (at == end) return false;
    at++; /* attributes: none are defined */
    if ((at = take_varint(at, end, &timestamp_delta)) == NULL) return false;
    if ((at = take_varint(at, end, &offset_delta)) == NULL) return false;
    if ((at = take_bytes(at, end, &record->key, &record->key_is_null)) == NULL) return false;
    if ((at = take_bytes(at, end, &record->value, &record->value_is_null)) == NULL) return false;
    if ((at = take_varint(at, end, &header_count)) == NULL) return false;

    if ((offset_delta & 1) || offset_delta >> 1 > (uint64_t)header->last_offset_delta) return false;
    *ret_offset_delta = offset_delta >> 1;
    record->offset = header->base_offset + (int64_t)(offset_delta >> 1);
    record->timestamp_ms = (int64_t)((uint64_t)header->base_timestamp_ms + (uint64_t)zigzag_decode(timestamp_delta));
    if (header->attributes & RECORD_ATTRIBUTE_LOG_APPEND_TIME) record->timestamp_ms = header->max_timestamp_ms;

    record->headers = NULL;
    record->headers_encoded = slice_of(at, (size_t)(end - at));
    record->header_count = (uint32_t)(header_count >> 1);
    if (header_count == 0) return at == end;
    /* A header takes two bytes at least. */
    if ((header_count & 1) || header_count > (uint64_t)(end - at)) return false;
    return headers_are_valid(record->headers_encoded, header_count >> 1);
}

int record_iterator_next(struct record_iterator *iterator, struct record *ret_record)
{
    const uint8_t *at;
    uint64_t encoded_size, offset_delta;
    struct record record;

    if (iterator->remaining == 0) return iterator->at == iterator->end ? 0 : MESH_ECORRUPT;
    at = take_varint(iterator->at, iterator->end, &encoded_size);
    if (at == NULL || (encoded_size & 1) || encoded_size >> 1 > (uint64_t)(iterator->end - at)) return MESH_ECORRUPT;
    if (!decode_body(iterator, at, at + (encoded_size >> 1), &record, &offset_delta)) return MESH_ECORRUPT;
    if (offset_delta < iterator->offset_delta_min) return MESH_ECORRUPT;

    iterator->at = at + (encoded_size >> 1);
    iterator->offset_delta_min = offset_delta + 1;
    iterator->remaining--;
    *ret_record = record;
    return 1;
}

int record_batch_find_timestamp(struct slice batch, int64_t timestamp_ms, struct buffer *scratch,
                                size_t decompressed_bytes_max, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    struct record_batch_header header;
    struct record_iterator iterator;
    struct record record;
    int err;

    if (record_batch_parse_header(batch, &header) != 0) return MESH_ECORRUPT;
    if (header.max_timestamp_ms < timestamp_ms) return MESH_ENOTFOUND; /* spares the decompression */
    err = record_iterator_init(&iterator, batch, scratch, decompressed_bytes_max);
    if (err != 0) return err;
    while ((err = record_iterator_next(&iterator, &record)) == 1) {
        if (record.timestamp_ms < timestamp_ms) continue;
        *ret_offset = record.offset;
        *ret_timestamp_ms = record.timestamp_ms;
        return 0;
    }
    return err != 0 ? err : MESH_ENOTFOUND;
}
