/* wire/record_batch_builder.c - encodes records into a batch: the producer's hot path.
 *
 * The size of a record is computed first, memory for the whole of it reserved once, and the fields are then
 * written straight into place. A record is:
 *
 *   varint size of what follows | attributes 0 | varint timestamp delta | varint offset delta
 *   | varint key size, key | varint value size, value | varint header count | headers
 *
 * where the varints are zigzag and size -1 means null. */
#include "wire/record_batch.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "wire/compression.h"
#include "wire/record_batch_layout.h"
#include "wire/record_batch_small.h"

/* The two numbers of a record that depend on its batch, zigzag-encoded. */
struct record_deltas {
    uint64_t timestamp, offset;
};

/* The size of the headers and their count; above INT32_MAX when they are too large. */
__attribute__((noinline)) static size_t headers_size(const struct record *record)
{
    size_t size = varint_size((uint64_t)record->header_count << 1);

    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct record_header *header = &record->headers[i];

        if ((header->key.size | header->value.size) > INT32_MAX) return (size_t)INT32_MAX + 1;
        size += record_bytes_size(header->key.size, false);
        size += record_bytes_size(header->value.size, header->value_is_null);
        if (size > INT32_MAX) break;
    }
    return size;
}

/* What a record takes after its size field; above INT32_MAX when it is too large. */
static inline size_t body_size(const struct record *record, const struct record_deltas *deltas)
{
    size_t size = 1 + record_varint_size(deltas->timestamp) + record_varint_size(deltas->offset);

    if ((record->key.size | record->value.size | record->header_count) > INT32_MAX)
        return (size_t)INT32_MAX + 1;
    size += record_bytes_size(record->key.size, record->key_is_null);
    size += record_bytes_size(record->value.size, record->value_is_null);
    if (record->header_count == 0) return size + 1;
    return size + headers_size(record);
}

__attribute__((noinline)) static uint8_t *put_headers(uint8_t *to, const struct record *record)
{
    to = record_put_varint(to, (uint64_t)record->header_count << 1);
    for (uint32_t i = 0; i < record->header_count; i++) {
        to = record_put_bytes(to, record->headers[i].key, false);
        to = record_put_bytes(to, record->headers[i].value, record->headers[i].value_is_null);
    }
    return to;
}

__attribute__((always_inline)) static inline uint8_t *
put_record(uint8_t *to, const struct record *record, const struct record_deltas *deltas, size_t body)
{
    to = record_put_varint(to, (uint64_t)body << 1);
    *to++ = 0; /* attributes: none are defined */
    to = record_put_varint(to, deltas->timestamp);
    to = record_put_varint(to, deltas->offset);
    to = record_put_bytes(to, record->key, record->key_is_null);
    to = record_put_bytes(to, record->value, record->value_is_null);
    if (record->header_count > 0) return put_headers(to, record);
    *to = 0;
    return to + 1;
}

void record_batch_builder_init(struct record_batch_builder *builder)
{
    *builder = (struct record_batch_builder){.bytes = BUFFER_INIT};
}

void record_batch_builder_deinit(struct record_batch_builder *builder)
{
    buffer_deinit(&builder->bytes);
    record_batch_builder_init(builder);
}

void record_batch_builder_clear(struct record_batch_builder *builder)
{
    buffer_clear(&builder->bytes);
    builder->record_count = 0;
    builder->crc = 0;
    builder->summed = 0;
}

int record_batch_builder_add(struct record_batch_builder *builder, const struct record *record)
{
    struct buffer *bytes = &builder->bytes;
    bool is_first = builder->record_count == 0;
    int64_t base_timestamp_ms = is_first ? record->timestamp_ms : builder->base_timestamp_ms;
    size_t start = is_first ? RECORD_BATCH_HEADER_SIZE : bytes->size;
    /* Unsigned: a difference of two int64 may need 65 bits; it wraps here and back when read. */
    uint64_t timestamp_delta = (uint64_t)record->timestamp_ms - (uint64_t)base_timestamp_ms;
    struct record_deltas deltas = {
        .timestamp = zigzag_encode((int64_t)timestamp_delta),
        .offset = (uint64_t)builder->record_count << 1,
    };
    size_t body = body_size(record, &deltas);
    size_t end = start + record_varint_size((uint64_t)body << 1) + body;
    uint8_t *written;

    if (body > INT32_MAX || end > INT32_MAX) return MESH_ETOOLARGE;
    if (end > bytes->capacity && buffer_reserve(bytes, end - bytes->size) != 0) return MESH_ENOMEM;

    written = put_record(bytes->data + start, record, &deltas, body);
    MESH_ASSERT(written == bytes->data + end);
    bytes->size = end;
    builder->record_count++;
    builder->base_timestamp_ms = base_timestamp_ms;
    if (is_first || record->timestamp_ms > builder->max_timestamp_ms)
        builder->max_timestamp_ms = record->timestamp_ms;
    return 0;
}

void record_batch_builder_sum(struct record_batch_builder *builder)
{
    size_t start = RECORD_BATCH_HEADER_SIZE + builder->summed;

    if (builder->bytes.size <= start) return;
    builder->crc = crc32c_extend(builder->crc, builder->bytes.data + start, builder->bytes.size - start);
    builder->summed = builder->bytes.size - RECORD_BATCH_HEADER_SIZE;
}

size_t record_batch_record_size_max(const struct record *record)
{
    /* Size and offset delta, key and value size, header count: 5 bytes each at most; timestamp delta 10;
     * attributes. */
    size_t size = 5 * 5 + VARINT_SIZE_MAX + 1 + record->key.size + record->value.size;

    for (uint32_t i = 0; i < record->header_count; i++)
        size += 2 * 5 + record->headers[i].key.size + record->headers[i].value.size;
    return size;
}

/* Compresses the records into *compressed behind room for the header. *ret_smaller tells whether that is
 * worth it. */
static int compress_records(const struct record_batch_builder *builder, enum record_compression compression,
                            struct buffer *compressed, bool *ret_smaller)
{
    struct slice records = slice_of(builder->bytes.data + RECORD_BATCH_HEADER_SIZE,
                                    builder->bytes.size - RECORD_BATCH_HEADER_SIZE);
    int err;

    buffer_clear(compressed);
    err = buffer_reserve(compressed, RECORD_BATCH_HEADER_SIZE);
    if (err != 0) return err;
    compressed->size = RECORD_BATCH_HEADER_SIZE;
    err = compression_compress(compression, records, compressed);
    if (err != 0) return err;
    *ret_smaller = compressed->size < builder->bytes.size;
    return 0;
}

int record_batch_builder_finish(struct record_batch_builder *builder,
                                const struct record_batch_producer *producer, uint16_t attributes,
                                enum record_compression compression, struct buffer *compressed,
                                struct slice *ret_batch)
{
    struct buffer *bytes = &builder->bytes;
    struct record_batch_header header;

    if (builder->record_count == 0) return MESH_EINVAL;
    if (compression != RECORD_COMPRESSION_NONE) {
        bool smaller;
        int err = compress_records(builder, compression, compressed, &smaller);

        if (err != 0) return err;
        if (smaller)
            bytes = compressed;
        else
            compression = RECORD_COMPRESSION_NONE;
    }
    header = (struct record_batch_header){
        .base_offset = 0,
        .size = (uint32_t)bytes->size,
        .leader_epoch = -1,
        .attributes = (uint16_t)((attributes & ~RECORD_ATTRIBUTE_COMPRESSION) | compression),
        .last_offset_delta = builder->record_count - 1,
        .base_timestamp_ms = builder->base_timestamp_ms,
        .max_timestamp_ms = builder->max_timestamp_ms,
        .producer_id = producer->producer_id,
        .producer_epoch = producer->producer_epoch,
        .base_sequence = producer->base_sequence,
        .record_count = builder->record_count,
    };
    if (bytes == &builder->bytes && builder->summed > 0) {
        record_batch_builder_sum(builder);
        record_batch_write_header_summed(bytes->data, &header, builder->crc);
    } else {
        record_batch_write_header(bytes->data, &header);
    }
    *ret_batch = buffer_slice(bytes);
    return 0;
}

int record_batch_build_control(struct buffer *to, int64_t producer_id, int16_t producer_epoch,
                               int16_t control_type, int32_t coordinator_epoch, int64_t timestamp_ms)
{
    uint8_t key[4] = {0, 0}, value[6] = {0, 0}; /* each begins with version 0 */
    const struct record record = {.key = slice_of(key, sizeof(key)), .value = slice_of(value, sizeof(value))};
    const struct record_deltas deltas = {0, 0};
    size_t body = body_size(&record, &deltas);
    size_t size = RECORD_BATCH_HEADER_SIZE + varint_size((uint64_t)body << 1) + body;
    bool ends_transaction = control_type == 0 || control_type == 1;
    uint8_t *batch;

    if (buffer_reserve(to, size) != 0) return MESH_ENOMEM;
    be_store16(key + 2, (uint16_t)control_type);
    be_store32(value + 2, (uint32_t)coordinator_epoch);
    batch = to->data + to->size;
    put_record(batch + RECORD_BATCH_HEADER_SIZE, &record, &deltas, body);
    record_batch_write_header(
        batch,
        &(struct record_batch_header){
            .size = (uint32_t)size,
            .leader_epoch = -1,
            .attributes = RECORD_ATTRIBUTE_CONTROL | (ends_transaction ? RECORD_ATTRIBUTE_TRANSACTIONAL : 0),
            .base_timestamp_ms = timestamp_ms,
            .max_timestamp_ms = timestamp_ms,
            .producer_id = producer_id,
            .producer_epoch = producer_epoch,
            .base_sequence = -1,
            .record_count = 1,
        });
    to->size += size;
    return 0;
}
