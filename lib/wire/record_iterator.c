/* wire/record_iterator.c - walks the records of a batch: the consumer's hot path.
 *
 * Safe on any bytes: a broker checks header and CRC only, so the records are as their producer made them.
 * What does not add up (sizes, counts, offsets that do not increase within the batch) is MESH_ECORRUPT. */
#include "wire/record_batch.h"

#include "base/bytes.h"
#include "base/error.h"
#include "wire/compression.h"

#define ENCODED_NULL     1 /* zigzag of the length -1 */
#define PREFETCH_RECORDS 3 /* how far ahead to fetch into the cache */

/* The functions below are written so that position and values stay in registers: what is not inlined passes
 * them by value. All return false when the bytes do not add up. */

struct varint {
    const uint8_t *next; /* NULL: not a varint */
    uint64_t value;
};

__attribute__((noinline, cold)) static struct varint any_varint(const uint8_t *at, const uint8_t *end)
{
    struct varint varint = {NULL, 0};

    varint.next = varint_decode(at, end, &varint.value);
    return varint;
}

/* Takes a varint from *at. The usual lengths, one to three bytes, are unrolled. has_room: three bytes are
 * known to be there. */
__attribute__((always_inline)) static inline bool take_varint(const uint8_t **at, const uint8_t *end,
                                                              bool has_room, uint64_t *ret_v)
{
    const uint8_t *from = *at;
    struct varint other;

    if (has_room || end - from >= 3) {
        uint64_t v = from[0];

        if (v < 0x80) {
            *at = from + 1;
            *ret_v = v;
            return true;
        }
        v += (uint64_t)from[1] << 7;
        if (v < 0x80 + (0x80 << 7)) {
            *at = from + 2;
            *ret_v = v - 0x80; /* the bit that said "more" */
            return true;
        }
        v += (uint64_t)from[2] << 14;
        if (v < 0x80 + (0x80 << 7) + (0x80 << 14)) {
            *at = from + 3;
            *ret_v = v - 0x80 - (0x80 << 7);
            return true;
        }
    }
    other = any_varint(from, end);
    *at = other.next;
    *ret_v = other.value;
    return other.next != NULL;
}

/* The number behind a zigzag one that may not be negative; a negative one becomes larger than any size. */
static inline uint64_t unsigned_of(uint64_t zigzag)
{
    return zigzag >> 1 | zigzag << 63;
}

/* Takes a size and as many bytes from *at; data NULL for null (size -1). */
__attribute__((always_inline)) static inline bool take_bytes(const uint8_t **at, const uint8_t *end,
                                                             bool has_room, struct slice *ret_bytes)
{
    uint64_t encoded, size;

    if (!take_varint(at, end, has_room, &encoded)) return false;
    size = unsigned_of(encoded);
    if (size > (uint64_t)(end - *at)) {
        *ret_bytes = (struct slice){NULL, 0};
        return encoded == ENCODED_NULL;
    }
    *ret_bytes = slice_of(*at, size);
    *at += size;
    return true;
}

int record_header_next(struct slice *headers_encoded, struct record_header *ret_header)
{
    const uint8_t *at = headers_encoded->data, *end;
    struct slice key, value;

    if (headers_encoded->size == 0) return 0;
    end = at + headers_encoded->size;
    if (!take_bytes(&at, end, false, &key) || key.data == NULL) return MESH_ECORRUPT; /* no key may be null */
    if (!take_bytes(&at, end, false, &value)) return MESH_ECORRUPT;
    *ret_header = (struct record_header){.key = key, .value = value, .value_is_null = value.data == NULL};
    *headers_encoded = slice_of(at, (size_t)(end - at));
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
    /* Compaction leaves empty batches behind, to keep the producer's last sequence: they hold no blob either.
     */
    if (compression != RECORD_COMPRESSION_NONE && records.size > 0) {
        buffer_clear(scratch);
        err = compression_decompress((enum record_compression)compression, records, decompressed_bytes_max,
                                     scratch);
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

/* Takes the header count; what follows it up to `end` must be as many headers. */
static inline bool take_headers(const uint8_t *at, const uint8_t *end, uint32_t *ret_count,
                                struct slice *ret_encoded)
{
    uint64_t count;

    *ret_count = 0;
    *ret_encoded = slice_of(at, 0);
    if (end - at == 1 && *at == 0) return true; /* nearly always */
    if (at >= end || !take_varint(&at, end, false, &count)) return false;
    /* A header takes two bytes at least. */
    if (unsigned_of(count) > (uint64_t)(end - at) / 2) return false;
    *ret_count = (uint32_t)unsigned_of(count);
    *ret_encoded = slice_of(at, (size_t)(end - at));
    return headers_are_valid(*ret_encoded, *ret_count);
}

/* Decodes the next record. Its fields are kept from passing the end of the blob one by one, and the end of
 * the record all at once, at the headers. has_room: at least RECORD_ROOM bytes of the blob are left. */
__attribute__((always_inline)) static inline bool decode(struct record_iterator *iterator, bool has_room,
                                                         struct record *ret_record)
{
    const struct record_batch_header *batch = &iterator->header;
    const uint8_t *at = iterator->at, *const end = iterator->end, *record_end;
    uint64_t size, timestamp_delta, offset_delta;
    struct slice key, value, headers;
    uint32_t header_count;

    if (!take_varint(&at, end, has_room, &size)) return false;
    size = unsigned_of(size);
    if (size - 1 >= (uint64_t)(end - at)) return false; /* zero wraps around */
    record_end = at + size;
    /* Of a record only its first and last bytes are looked at: no pattern that the processor would see coming. Most often
     * the records that follow are about as long. */
    if ((uint64_t)(end - record_end) > PREFETCH_RECORDS * size)
        __builtin_prefetch(record_end + PREFETCH_RECORDS * size);
    at++; /* attributes: none are defined */
    if (!take_varint(&at, end, has_room, &timestamp_delta)) return false;
    if (!take_varint(&at, end, has_room, &offset_delta)) return false;
    if (!take_bytes(&at, end, has_room, &key)) return false;
    if (!take_bytes(&at, end, false, &value)) return false;
    if (!take_headers(at, record_end, &header_count, &headers)) return false;
    offset_delta = unsigned_of(offset_delta);
    if (offset_delta > (uint64_t)batch->last_offset_delta || offset_delta < iterator->offset_delta_min)
        return false;

    iterator->at = record_end;
    iterator->remaining--;
    iterator->offset_delta_min = offset_delta + 1;
    ret_record->offset = batch->base_offset + (int64_t)offset_delta;
    ret_record->timestamp_ms =
        (batch->attributes & RECORD_ATTRIBUTE_LOG_APPEND_TIME)
            ? batch->max_timestamp_ms
            : (int64_t)((uint64_t)batch->base_timestamp_ms + (uint64_t)zigzag_decode(timestamp_delta));
    ret_record->key = key;
    ret_record->value = value;
    ret_record->key_is_null = key.data == NULL;
    ret_record->value_is_null = value.data == NULL;
    ret_record->header_count = header_count;
    ret_record->headers = NULL;
    ret_record->headers_encoded = headers;
    return true;
}

#define RECORD_ROOM                                                                                          \
    (4 * VARINT_SIZE_MAX + 1) /* of what stands before a record's key: four varints and a byte */

int record_iterator_next(struct record_iterator *iterator, struct record *ret_record)
{
    if (iterator->remaining == 0) return iterator->at == iterator->end ? 0 : MESH_ECORRUPT;
    if (iterator->end - iterator->at >= RECORD_ROOM)
        return decode(iterator, true, ret_record) ? 1 : MESH_ECORRUPT;
    return decode(iterator, false, ret_record) ? 1 : MESH_ECORRUPT;
}

int record_batch_find_timestamp(struct slice batch, int64_t timestamp_ms, int64_t offset_min, struct buffer *scratch,
                                size_t decompressed_bytes_max, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
    struct record_batch_header header;
    struct record_iterator iterator;
    struct record record;
    int err;

    if (record_batch_parse_header(batch, &header) != 0) return MESH_ECORRUPT;
    if (header.max_timestamp_ms < timestamp_ms || record_batch_last_offset(&header) < offset_min) return MESH_ENOTFOUND; /* spares the decompression */
    if ((header.attributes & RECORD_ATTRIBUTE_CONTROL) != 0) return MESH_ENOTFOUND; /* its time is a leader's: nobody's records are from then */
    err = record_iterator_init(&iterator, batch, scratch, decompressed_bytes_max);
    if (err != 0) return err;
    while ((err = record_iterator_next(&iterator, &record)) == 1) {
        if (record.timestamp_ms < timestamp_ms || record.offset < offset_min) continue;
        *ret_offset = record.offset;
        *ret_timestamp_ms = record.timestamp_ms;
        return 0;
    }
    return err != 0 ? err : MESH_ENOTFOUND;
}
