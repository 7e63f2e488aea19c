/* wire/record_iterator.c - walks the records of a batch: the consumer's hot path.
 *
 * Safe on any bytes: a broker checks header and CRC only, so the records are as their producer made them. What does not
 * add up (sizes, counts, offsets that do not increase within the batch) is MESH_ECORRUPT. */
#include "wire/record_batch.h"

#include "base/bytes.h"
#include "base/error.h"
#include "wire/compression.h"

#define ENCODED_NULL 1 /* zigzag of the length -1 */

/* What take_*() return: the value, and where to go on; `next` is NULL when the bytes do not add up. In registers, unlike
 * output parameters. */
struct varint {
    const uint8_t *next;
    uint64_t value;
};

__attribute__((noinline, cold)) static struct varint take_any_varint(const uint8_t *at, const uint8_t *end)
{
    struct varint varint = {NULL, 0};

    varint.next = varint_decode(at, end, &varint.value);
    return varint;
}

/* The usual lengths, up to three bytes, are unrolled; the rest is left to varint_decode(). */
static inline struct varint take_varint(const uint8_t *at, const uint8_t *end)
{
    if (__builtin_expect(end - at < 3, 0)) return take_any_varint(at, end);
    if (at[0] < 0x80) return (struct varint){at + 1, at[0]};
    if (at[1] < 0x80) return (struct varint){at + 2, (at[0] & 0x7fu) | (uint64_t)at[1] << 7};
    if (at[2] < 0x80) return (struct varint){at + 3, (at[0] & 0x7fu) | (at[1] & 0x7fu) << 7 | (uint64_t)at[2] << 14};
    return take_any_varint(at, end);
}

/* A size and as many bytes: data NULL for null (size -1). */
struct field {
    const uint8_t *next;
    struct slice bytes;
};

static inline struct field take_field(const uint8_t *at, const uint8_t *end)
{
    struct varint size = take_varint(at, end);

    if (size.next == NULL) return (struct field){NULL, {NULL, 0}};
    if (size.value == ENCODED_NULL) return (struct field){size.next, {NULL, 0}};
    if ((size.value & 1) || size.value >> 1 > (uint64_t)(end - size.next)) return (struct field){NULL, {NULL, 0}};
    return (struct field){size.next + (size.value >> 1), {size.next, size.value >> 1}};
}

int record_header_next(struct slice *headers_encoded, struct record_header *ret_header)
{
    const uint8_t *end;
    struct field key, value;

    if (headers_encoded->size == 0) return 0;
    end = headers_encoded->data + headers_encoded->size;
    key = take_field(headers_encoded->data, end);
    if (key.next == NULL || key.bytes.data == NULL) return MESH_ECORRUPT; /* the key may not be null */
    value = take_field(key.next, end);
    if (value.next == NULL) return MESH_ECORRUPT;
    *ret_header = (struct record_header){
        .key = key.bytes,
        .value = value.bytes,
        .value_is_null = value.bytes.data == NULL,
    };
    *headers_encoded = slice_of(value.next, (size_t)(end - value.next));
    return 1;
}

/* Whether `encoded` is exactly `count` headers. */
__attribute__((noinline)) static bool headers_are_valid(struct slice encoded, uint64_t count)
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

/* Whether what stands between `at` and `end` is as many headers as the count says, `count` being zigzag. */
static inline bool headers_fit(const uint8_t *at, const uint8_t *end, uint64_t count)
{
    if (count == 0) return at == end;
    /* Each takes two bytes at least, so that `count`, which is twice the number, is bounded by the bytes left. */
    if (at > end || (count & 1) || count > (uint64_t)(end - at)) return false;
    return headers_are_valid(slice_of(at, (size_t)(end - at)), count >> 1);
}

int record_iterator_next(struct record_iterator *iterator, struct record *ret_record)
{
    const struct record_batch_header *batch = &iterator->header;
    const uint8_t *const end = iterator->end, *record_end;
    struct varint size, timestamp, offset, header_count;
    struct field key, value;

    if (iterator->remaining == 0) return iterator->at == end ? 0 : MESH_ECORRUPT;
    size = take_varint(iterator->at, end);
    if (size.next == NULL || (size.value & 1)) return MESH_ECORRUPT;
    if (size.value == 0 || size.value >> 1 > (uint64_t)(end - size.next)) return MESH_ECORRUPT;
    record_end = size.next + (size.value >> 1);

    /* The fields are kept from passing the end of the blob one by one, and that of the record all at once below. The
     * byte skipped are the attributes, of which none is defined. */
    if ((timestamp = take_varint(size.next + 1, end)).next == NULL) return MESH_ECORRUPT;
    if ((offset = take_varint(timestamp.next, end)).next == NULL) return MESH_ECORRUPT;
    if ((key = take_field(offset.next, end)).next == NULL) return MESH_ECORRUPT;
    if ((value = take_field(key.next, end)).next == NULL) return MESH_ECORRUPT;
    if ((header_count = take_varint(value.next, end)).next == NULL) return MESH_ECORRUPT;
    if (!headers_fit(header_count.next, record_end, header_count.value)) return MESH_ECORRUPT;

    if ((offset.value & 1) || offset.value >> 1 > (uint64_t)batch->last_offset_delta) return MESH_ECORRUPT;
    if (offset.value >> 1 < iterator->offset_delta_min) return MESH_ECORRUPT;
    iterator->offset_delta_min = (offset.value >> 1) + 1;
    iterator->at = record_end;
    iterator->remaining--;

    /* Field by field: copying a whole struct just written costs more than decoding it. */
    ret_record->offset = batch->base_offset + (int64_t)(offset.value >> 1);
    ret_record->timestamp_ms = (int64_t)((uint64_t)batch->base_timestamp_ms + (uint64_t)zigzag_decode(timestamp.value));
    if (batch->attributes & RECORD_ATTRIBUTE_LOG_APPEND_TIME) ret_record->timestamp_ms = batch->max_timestamp_ms;
    ret_record->key = key.bytes;
    ret_record->value = value.bytes;
    ret_record->key_is_null = key.bytes.data == NULL;
    ret_record->value_is_null = value.bytes.data == NULL;
    ret_record->header_count = (uint32_t)(header_count.value >> 1);
    ret_record->headers = NULL;
    ret_record->headers_encoded = slice_of(header_count.next, (size_t)(record_end - header_count.next));
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
