/* wire/record_batch_small.h - adding the usual record to a batch, written out where it is called.
 *
 * A producer adds millions of small records a second, each like the one before: no headers, a few KiB at
 * most, behind others of the same batch. For these nothing can fail and little needs measuring. Whatever is
 * unusual is left to record_batch_builder_add(), which writes the same bytes. The form of a record is
 * described in record_batch_builder.c. */
#ifndef WIRE_RECORD_BATCH_SMALL_H
#define WIRE_RECORD_BATCH_SMALL_H

#include "base/bytes.h"
#include "wire/record_batch.h"

#define RECORD_ENCODED_NULL 1          /* zigzag of the length -1 */
#define RECORD_SMALL_SIZE   8000u      /* bytes of key and value: then no length takes more than two bytes */
#define RECORD_SMALL_EXTRA  32u        /* room to have beside key and value: 15 are the most that is needed */
#define RECORD_SMALL_BATCH  (1u << 30) /* bytes of a batch: far from what cannot be said */
#define RECORD_SMALL_SUM    1024u       /* bytes: summed for the CRC while they are in the nearest cache, also when the
                                           next record goes to another of thousands of batches */
#define RECORD_SMALL_DELTA  8192u       /* ms after the first record: as two bytes of zigzag can say */

/* varint_size() and varint_encode() with the usual lengths, one to three bytes, decided by branches that the
 * processor foresees: from record to record the lengths hardly change. */
static inline size_t record_varint_size(uint64_t v)
{
    if (v < 0x80) return 1;
    if (v < 0x4000) return 2;
    return v < 0x200000 ? 3 : varint_size(v);
}

static inline uint8_t *record_put_varint(uint8_t *to, uint64_t v)
{
    if (v < 0x80) {
        to[0] = (uint8_t)v;
        return to + 1;
    }
    if (v < 0x4000) {
        to[0] = (uint8_t)(v | 0x80);
        to[1] = (uint8_t)(v >> 7);
        return to + 2;
    }
    if (v < 0x200000) {
        to[0] = (uint8_t)(v | 0x80);
        to[1] = (uint8_t)(v >> 7 | 0x80);
        to[2] = (uint8_t)(v >> 14);
        return to + 3;
    }
    return varint_encode(to, v);
}

static inline uint8_t *record_put_bytes(uint8_t *to, struct slice bytes, bool is_null)
{
    if (is_null) {
        *to = RECORD_ENCODED_NULL;
        return to + 1;
    }
    to = record_put_varint(to, (uint64_t)bytes.size << 1);
    if (bytes.size > 0) memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

static inline size_t record_bytes_size(size_t size, bool is_null)
{
    return is_null ? 1 : record_varint_size((uint64_t)size << 1) + size;
}

/* Appends a record without headers. False: it is not a small one, is the first of its batch, or there may be
 * too little memory; nothing has changed, and record_batch_builder_add() decides. A null key or value has
 * size 0. */
static inline bool record_batch_builder_add_small(struct record_batch_builder *builder, int64_t timestamp_ms,
                                                  struct slice key, bool key_is_null, struct slice value,
                                                  bool value_is_null)
{
    struct buffer *bytes = &builder->bytes;
    uint64_t later_ms = (uint64_t)timestamp_ms - (uint64_t)builder->base_timestamp_ms;
    uint32_t index = (uint32_t)builder->record_count;
    size_t body;
    uint8_t *to;

    if (index == 0 || key.size > RECORD_SMALL_SIZE || value.size > RECORD_SMALL_SIZE - key.size ||
        later_ms >= RECORD_SMALL_DELTA || bytes->size > RECORD_SMALL_BATCH ||
        bytes->capacity - bytes->size < key.size + value.size + RECORD_SMALL_EXTRA)
        return false;
    body = 1 + record_varint_size(later_ms << 1) + record_varint_size((uint64_t)index << 1) +
           record_bytes_size(key.size, key_is_null) + record_bytes_size(value.size, value_is_null) + 1;
    __builtin_prefetch(bytes->data + bytes->size + 512, 1);
    to = record_put_varint(bytes->data + bytes->size, (uint64_t)body << 1);
    *to++ = 0; /* attributes: none are defined */
    to = record_put_varint(to, later_ms << 1);
    to = record_put_varint(to, (uint64_t)index << 1);
    to = record_put_bytes(to, key, key_is_null);
    to = record_put_bytes(to, value, value_is_null);
    *to++ = 0; /* headers */
    bytes->size = (size_t)(to - bytes->data);
    builder->record_count++;
    if (timestamp_ms > builder->max_timestamp_ms) builder->max_timestamp_ms = timestamp_ms;
    if (bytes->size - builder->summed >= RECORD_SMALL_SUM) record_batch_builder_sum(builder);
    return true;
}

#endif
