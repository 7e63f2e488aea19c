/* wire/record_batch.c - the batch header: parsing, judging, and the patches that a leader makes in place. */
#include "wire/record_batch.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "wire/record_batch_layout.h"

int record_batch_parse_header(struct slice bytes, struct record_batch_header *ret_header)
{
    const uint8_t *at = bytes.data;
    struct record_batch_header header;
    uint32_t length;

    if (bytes.size < RECORD_BATCH_HEADER_SIZE) return MESH_EAGAIN;
    length = be_load32(at + BATCH_AT_LENGTH);
    if (at[BATCH_AT_MAGIC] != RECORD_BATCH_MAGIC) return MESH_ECORRUPT;
    if (length < RECORD_BATCH_HEADER_SIZE - RECORD_BATCH_LENGTH_SKEW || length > INT32_MAX)
        return MESH_ECORRUPT;

    header.base_offset = (int64_t)be_load64(at + BATCH_AT_BASE_OFFSET);
    header.size = length + RECORD_BATCH_LENGTH_SKEW;
    header.leader_epoch = (int32_t)be_load32(at + BATCH_AT_LEADER_EPOCH);
    header.crc = be_load32(at + BATCH_AT_CRC);
    header.attributes = be_load16(at + BATCH_AT_ATTRIBUTES);
    header.last_offset_delta = (int32_t)be_load32(at + BATCH_AT_LAST_OFFSET_DELTA);
    header.base_timestamp_ms = (int64_t)be_load64(at + BATCH_AT_BASE_TIMESTAMP);
    header.max_timestamp_ms = (int64_t)be_load64(at + BATCH_AT_MAX_TIMESTAMP);
    header.producer_id = (int64_t)be_load64(at + BATCH_AT_PRODUCER_ID);
    header.producer_epoch = (int16_t)be_load16(at + BATCH_AT_PRODUCER_EPOCH);
    header.base_sequence = (int32_t)be_load32(at + BATCH_AT_BASE_SEQUENCE);
    header.record_count = (int32_t)be_load32(at + BATCH_AT_RECORD_COUNT);

    if (header.base_offset < 0 || header.last_offset_delta < 0 || header.record_count < 0)
        return MESH_ECORRUPT;
    if (header.base_offset > INT64_MAX - header.last_offset_delta) return MESH_ECORRUPT;
    *ret_header = header;
    return 0;
}

static void write_fields(uint8_t *batch, const struct record_batch_header *header)
{
    MESH_ASSERT(header->size >= RECORD_BATCH_HEADER_SIZE);
    be_store64(batch + BATCH_AT_BASE_OFFSET, (uint64_t)header->base_offset);
    be_store32(batch + BATCH_AT_LENGTH, header->size - RECORD_BATCH_LENGTH_SKEW);
    be_store32(batch + BATCH_AT_LEADER_EPOCH, (uint32_t)header->leader_epoch);
    batch[BATCH_AT_MAGIC] = RECORD_BATCH_MAGIC;
    be_store16(batch + BATCH_AT_ATTRIBUTES, header->attributes);
    be_store32(batch + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)header->last_offset_delta);
    be_store64(batch + BATCH_AT_BASE_TIMESTAMP, (uint64_t)header->base_timestamp_ms);
    be_store64(batch + BATCH_AT_MAX_TIMESTAMP, (uint64_t)header->max_timestamp_ms);
    be_store64(batch + BATCH_AT_PRODUCER_ID, (uint64_t)header->producer_id);
    be_store16(batch + BATCH_AT_PRODUCER_EPOCH, (uint16_t)header->producer_epoch);
    be_store32(batch + BATCH_AT_BASE_SEQUENCE, (uint32_t)header->base_sequence);
    be_store32(batch + BATCH_AT_RECORD_COUNT, (uint32_t)header->record_count);
}

void record_batch_write_header(uint8_t *batch, const struct record_batch_header *header)
{
    write_fields(batch, header);
    be_store32(batch + BATCH_AT_CRC,
               crc32c(batch + RECORD_BATCH_CRC_START, header->size - RECORD_BATCH_CRC_START));
}

void record_batch_write_header_summed(uint8_t *batch, const struct record_batch_header *header,
                                      uint32_t records_crc)
{
    uint32_t fields_crc;

    write_fields(batch, header);
    fields_crc = crc32c(batch + RECORD_BATCH_CRC_START, RECORD_BATCH_HEADER_SIZE - RECORD_BATCH_CRC_START);
    be_store32(batch + BATCH_AT_CRC,
               crc32c_combine(fields_crc, records_crc, header->size - RECORD_BATCH_HEADER_SIZE));
}

static bool crc_matches(struct slice batch, uint32_t crc)
{
    return crc32c(batch.data + RECORD_BATCH_CRC_START, batch.size - RECORD_BATCH_CRC_START) == crc;
}

int record_batch_verify(struct slice bytes, struct record_batch_header *ret_header)
{
    struct record_batch_header header;
    int err = record_batch_parse_header(bytes, &header);

    if (err != 0) return err;
    if (header.size != bytes.size || !crc_matches(bytes, header.crc)) return MESH_ECORRUPT;
    *ret_header = header;
    return 0;
}

int record_batch_verify_produced(struct slice bytes, uint32_t batch_bytes_max,
                                 struct record_batch_header *ret_header)
{
    struct record_batch_header header;
    int err = record_batch_parse_header(bytes, &header);

    if (err == MESH_EAGAIN) return MESH_ECORRUPT; /* there is no more to come; whoever appends would wait for memory instead */
    if (err != 0) return err;
    if (header.size != bytes.size) return MESH_ECORRUPT;
    /* Before the CRC: what is too large anyway should not cost a pass over its bytes. */
    if (header.size > batch_bytes_max) return MESH_ETOOLARGE;
    if (!crc_matches(bytes, header.crc)) return MESH_ECORRUPT;

    if (header.record_count == 0 || header.last_offset_delta != header.record_count - 1)
        return MESH_EINVALID_RECORD;
    /* Nobody would ever end a transaction: who reads what is committed would wait for it for ever. */
    if (header.base_offset != 0 || (header.attributes & (RECORD_ATTRIBUTE_CONTROL | RECORD_ATTRIBUTE_TRANSACTIONAL)) != 0)
        return MESH_EINVALID_RECORD;
    if (header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0))
        return MESH_EINVALID_RECORD;
    if ((header.attributes & RECORD_ATTRIBUTE_COMPRESSION) > RECORD_COMPRESSION_ZSTD)
        return MESH_EUNSUPPORTED_COMPRESSION;
    *ret_header = header;
    return 0;
}

void record_batch_set_base_offset(uint8_t *batch, int64_t base_offset)
{
    be_store64(batch + BATCH_AT_BASE_OFFSET, (uint64_t)base_offset);
}

void record_batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch)
{
    be_store32(batch + BATCH_AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void record_batch_set_append_time(uint8_t *batch, int64_t append_time_ms)
{
    enum { PATCHED_END = BATCH_AT_MAX_TIMESTAMP + 8 };
    const size_t patched_size = PATCHED_END - RECORD_BATCH_CRC_START;
    size_t batch_size = (size_t)be_load32(batch + BATCH_AT_LENGTH) + RECORD_BATCH_LENGTH_SKEW;
    uint16_t attributes = be_load16(batch + BATCH_AT_ATTRIBUTES) | RECORD_ATTRIBUTE_LOG_APPEND_TIME;
    uint32_t before, after, crc;

    MESH_ASSERT(batch_size >= RECORD_BATCH_HEADER_SIZE);
    before = crc32c(batch + RECORD_BATCH_CRC_START, patched_size);
    be_store16(batch + BATCH_AT_ATTRIBUTES, attributes);
    be_store64(batch + BATCH_AT_MAX_TIMESTAMP, (uint64_t)append_time_ms);
    after = crc32c(batch + RECORD_BATCH_CRC_START, patched_size);

    /* CRC(new) = CRC(old) xor the difference of the patched prefix, moved past the bytes that follow it.
     * Unlike a fresh CRC over the records, this keeps damage that happened to them since they were verified
     * detectable. */
    crc = be_load32(batch + BATCH_AT_CRC) ^ crc32c_combine(before ^ after, 0, batch_size - PATCHED_END);
    be_store32(batch + BATCH_AT_CRC, crc);
}
