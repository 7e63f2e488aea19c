/* wire/record_batch.h - the record batch v2: the one form of records from producer to disk to consumer.
 *
 *   off size field                    off size field
 *     0    8 base offset    *          27    8 base timestamp, ms
 *     8    4 length after this field * 35    8 max timestamp, ms
 *    12    4 leader epoch   *          43    8 producer id (-1 none)
 *    16    1 magic = 2                 51    2 producer epoch
 *    17    4 CRC-32C of bytes 21..end  53    4 base sequence
 *    21    2 attributes                57    4 record count
 *    23    4 last offset delta         61    . records, or one compressed blob of them
 *
 * All integers big-endian. The fields marked * lie outside the CRC and are written by the leader. Source: the
 * Kafka protocol's RecordBatch (KIP-98), byte for byte. Pure functions; any thread. */
#ifndef WIRE_RECORD_BATCH_H
#define WIRE_RECORD_BATCH_H

#include "base/buffer.h"
#include "base/slice.h"

#include <stdbool.h>

#define RECORD_BATCH_HEADER_SIZE 61
#define RECORD_BATCH_LENGTH_SKEW 12 /* whole size in bytes = length field + this */
#define RECORD_BATCH_MAGIC       2
#define RECORD_BATCH_CRC_START   21 /* first byte that the CRC covers */

enum record_compression {
    RECORD_COMPRESSION_NONE,
    RECORD_COMPRESSION_GZIP,
    RECORD_COMPRESSION_SNAPPY,
    RECORD_COMPRESSION_LZ4,
    RECORD_COMPRESSION_ZSTD,
};

#define RECORD_ATTRIBUTE_COMPRESSION     0x0007
#define RECORD_ATTRIBUTE_LOG_APPEND_TIME 0x0008
#define RECORD_ATTRIBUTE_TRANSACTIONAL   0x0010
#define RECORD_ATTRIBUTE_CONTROL         0x0020
#define RECORD_ATTRIBUTE_DELETE_HORIZON  0x0040

struct record_batch_header {
    int64_t base_offset;
    uint32_t size; /* whole batch, header included, bytes */
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms;
    int64_t max_timestamp_ms;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

static inline int64_t record_batch_last_offset(const struct record_batch_header *header)
{
    return header->base_offset + header->last_offset_delta;
}

/* Decodes the header at the start of bytes; judges only its form. `bytes` may hold less than the batch.
 * Errors: MESH_EAGAIN (fewer than 61 bytes), MESH_ECORRUPT (magic, a size below 61, negative offset, count or
 * delta, base offset + delta overflows). *ret_header is written only on success. */
int record_batch_parse_header(struct slice bytes, struct record_batch_header *ret_header);

/* Parses, demands that bytes is exactly one whole batch, and verifies its CRC. Errors: as above,
 * MESH_ECORRUPT. */
int record_batch_verify(struct slice bytes, struct record_batch_header *ret_header);

/* What a producer may send, on top of verify: count > 0, delta == count - 1, base offset 0, no control bit and none of a transaction,
 * epoch and sequence not negative where there is a producer id, known codec, size <= batch_bytes_max. Errors:
 * MESH_ETOOLARGE, MESH_ECORRUPT, MESH_EINVALID_RECORD, MESH_EUNSUPPORTED_COMPRESSION. */
int record_batch_verify_produced(struct slice bytes, uint32_t batch_bytes_max,
                                 struct record_batch_header *ret_header);

/* Patches in place. batch points at the first byte of a whole batch. */
void record_batch_set_base_offset(uint8_t *batch, int64_t base_offset);
void record_batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch);

/* Sets the LogAppendTime bit and max timestamp, and corrects the CRC without reading the records (CRC-32C is
 * linear). */
void record_batch_set_append_time(uint8_t *batch, int64_t append_time_ms);

/* ---- Building ---- */

struct record_header {
    struct slice key; /* may not be NULL data with size > 0; the key of a header is never null */
    struct slice value;
    bool value_is_null; /* alone decides; the value's size is then ignored */
};

struct record {
    int64_t offset;       /* filled by the iterator; ignored by the builder */
    int64_t timestamp_ms; /* absolute */
    struct slice key, value;
    bool key_is_null, value_is_null; /* a null value is a tombstone */
    uint32_t header_count;
    const struct record_header
        *headers;                 /* builder: header_count of them. Iterator: NULL, see record_header_next */
    struct slice headers_encoded; /* iterator: header_count encoded headers, checked to be whole */
};

/* Fills one batch. Memory is kept and reused between batches: after the first ones, no allocation. */
struct record_batch_builder {
    struct buffer
        bytes; /* room for the header, then the encoded records; its size is 0 while there are none */
    int64_t base_timestamp_ms, max_timestamp_ms;
    int32_t record_count;
    uint32_t crc;      /* of the first `summed` bytes of records: summed while they are in the cache */
    size_t summed;
};

void record_batch_builder_init(struct record_batch_builder *builder);
void record_batch_builder_deinit(struct record_batch_builder *builder);
void record_batch_builder_clear(struct record_batch_builder *builder); /* keeps the memory */

/* Appends one record (copied). Errors: MESH_ENOMEM, MESH_ETOOLARGE (over INT32_MAX); the batch is then
 * unchanged. */
int record_batch_builder_add(struct record_batch_builder *builder, const struct record *record);

/* Sums the records that were added since the last time, for the CRC. Only their cost depends on when it is called, and
 * whether. */
void record_batch_builder_sum(struct record_batch_builder *builder);

/* An upper bound in bytes of what adding this record grows the uncompressed batch by. */
size_t record_batch_record_size_max(const struct record *record);

struct record_batch_producer {
    int64_t producer_id; /* -1: none; then epoch and sequence are -1 as well */
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* Completes the batch (header, compression, CRC) with base offset 0 and leader epoch -1. *ret_batch borrows
 * memory of the builder or of *compressed (used when compression is not NONE; kept by the caller for reuse)
 * until either is touched. When compression does not make the batch smaller it is stored uncompressed. May be
 * called again (another sequence, another codec): the records stay. The compression bits of `attributes` are
 * ignored. Errors: MESH_ENOMEM, MESH_EINVAL (no records), MESH_EUNSUPPORTED_COMPRESSION. */
int record_batch_builder_finish(struct record_batch_builder *builder,
                                const struct record_batch_producer *producer, uint16_t attributes,
                                enum record_compression compression, struct buffer *compressed,
                                struct slice *ret_batch);

/* Builds a control batch: one record, key {version 0, type}, value {version 0, coordinator epoch}. Type 0
 * abort, 1 commit (both carry the transactional bit); others are ours. Appends to *to. Errors: MESH_ENOMEM.
 */
int record_batch_build_control(struct buffer *to, int64_t producer_id, int16_t producer_epoch,
                               int16_t control_type, int32_t coordinator_epoch, int64_t timestamp_ms);

/* ---- Reading ---- */

struct record_iterator {
    struct record_batch_header header;
    const uint8_t *at, *end;
    int32_t remaining;
    uint64_t offset_delta_min; /* of the next record: offsets increase within a batch */
};

/* Starts on a verified batch. When it is compressed, the records are decompressed into *scratch (kept by the
 * caller for reuse; may be NULL for a batch known to be uncompressed), never beyond decompressed_bytes_max.
 * Records borrow from `batch` or `scratch`. Errors: MESH_ECORRUPT, MESH_ETOOLARGE (bomb), MESH_ENOMEM,
 * MESH_EUNSUPPORTED_COMPRESSION. */
int record_iterator_init(struct record_iterator *iterator, struct slice batch, struct buffer *scratch,
                         size_t decompressed_bytes_max);

/* 1: *ret_record holds the next record; 0: no more, and the blob was used up exactly; MESH_ECORRUPT (sizes
 * that do not add up, offsets outside the header's range or not increasing), again at each further call. */
int record_iterator_next(struct record_iterator *iterator, struct record *ret_record);

/* Reads the next header from *headers_encoded and advances it. 1: got one; 0: no more; MESH_ECORRUPT. */
int record_header_next(struct slice *headers_encoded, struct record_header *ret_header);

/* The offset and timestamp of the first record with timestamp >= timestamp_ms and offset >= offset_min, for time lookup inside a
 * batch. MESH_ENOTFOUND when there is none, and in control batches; otherwise errors as record_iterator_init. */
int record_batch_find_timestamp(struct slice batch, int64_t timestamp_ms, int64_t offset_min, struct buffer *scratch,
                                size_t decompressed_bytes_max, int64_t *ret_offset,
                                int64_t *ret_timestamp_ms);

#endif
