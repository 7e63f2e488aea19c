#include "store_model.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "segment/recovery.h"

#include <check.h>
#include <stdlib.h>

void model_memory_init(struct model_memory *memory, size_t size)
{
    *memory = (struct model_memory){.bytes = malloc(size), .size = size};
    ck_assert_ptr_nonnull(memory->bytes);
}

void model_memory_deinit(struct model_memory *memory)
{
    free(memory->bytes);
}

static const struct model_batch *last_batch(const struct model_log *log)
{
    return log->batch_count == 0 ? NULL : &log->batches[log->batch_count - 1];
}

static uint64_t batch_end(const struct model_batch *batch)
{
    return (uint64_t)record_batch_last_offset(&batch->header) + 1;
}

uint64_t model_end(const struct model_log *log)
{
    return log->batch_count == 0 ? log->base : batch_end(last_batch(log));
}

void model_copy(struct model_log *to, const struct model_log *from)
{
    memcpy(to, from, offsetof(struct model_log, batches));
    memcpy(to->batches, from->batches, from->batch_count * sizeof(from->batches[0]));
    memcpy(to->producers, from->producers, sizeof(to->producers));
}

/* ---- batches ---- */

/* The store looks at headers and CRCs only, so the records are one that is well formed and long enough. */
static size_t encode_record(uint8_t *to, struct random *random, uint32_t value_size)
{
    uint8_t body[64], *at = body;
    size_t head;

    *at++ = 0;                                 /* attributes */
    at = varint_encode(at, zigzag_encode(0));  /* timestamp delta */
    at = varint_encode(at, zigzag_encode(0));  /* offset delta */
    at = varint_encode(at, zigzag_encode(-1)); /* no key */
    at = varint_encode(at, zigzag_encode(value_size));
    head = (size_t)(at - body);
    at = varint_encode(to, zigzag_encode((int64_t)(head + value_size + 1)));
    memcpy(at, body, head);
    at += head;
    for (uint32_t i = 0; i + 8 <= value_size; i += 8)
        le_store64(at + i, random_next(random));
    memset(at + value_size / 8 * 8, 'v', value_size % 8);
    at += value_size;
    *at++ = 0; /* no headers */
    return (size_t)(at - to);
}

static void encode_header(uint8_t *to, const struct record_batch_header *header)
{
    be_store64(to, (uint64_t)header->base_offset);
    be_store32(to + 8, header->size - RECORD_BATCH_LENGTH_SKEW);
    be_store32(to + 12, (uint32_t)header->leader_epoch);
    to[16] = RECORD_BATCH_MAGIC;
    be_store16(to + 21, header->attributes);
    be_store32(to + 23, (uint32_t)header->last_offset_delta);
    be_store64(to + 27, (uint64_t)header->base_timestamp_ms);
    be_store64(to + 35, (uint64_t)header->max_timestamp_ms);
    be_store64(to + 43, (uint64_t)header->producer_id);
    be_store16(to + 51, (uint16_t)header->producer_epoch);
    be_store32(to + 53, (uint32_t)header->base_sequence);
    be_store32(to + 57, (uint32_t)header->record_count);
    be_store32(to + 17, crc32c(to + RECORD_BATCH_CRC_START, header->size - RECORD_BATCH_CRC_START));
}

struct model_batch *model_draw(struct model_log *log, struct model_memory *memory, struct random *random,
                               int producer, uint32_t value_size, int64_t now_ms)
{
    struct model_batch *batch = &log->batches[log->batch_count];
    struct record_batch_header *header = &batch->header;
    int32_t count = 1 + (int32_t)random_below(random, 4);

    if (log->batch_count == MODEL_BATCHES_MAX || memory->size - memory->used < value_size + 256) return NULL;
    batch->bytes = memory->bytes + memory->used;
    *header = (struct record_batch_header){
        .base_offset = (int64_t)model_end(log),
        .leader_epoch = log->epoch,
        .last_offset_delta = count - 1,
        .record_count = count,
        .base_timestamp_ms = now_ms,
        .max_timestamp_ms = now_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
    };
    if (producer >= 0) {
        header->producer_id = producer + 1;
        header->producer_epoch = log->producers[producer].epoch;
        header->base_sequence = log->producers[producer].next_sequence;
    }
    header->size = (uint32_t)(RECORD_BATCH_HEADER_SIZE +
                              encode_record(batch->bytes + RECORD_BATCH_HEADER_SIZE, random, value_size));
    encode_header(batch->bytes, header);
    ck_assert_int_eq(record_batch_parse_header(slice_of(batch->bytes, header->size), header), 0);
    return batch;
}

static void remember_producer(struct model_log *log, const struct record_batch_header *header)
{
    struct model_producer *producer;

    if (header->producer_id < 0) return;
    producer = &log->producers[header->producer_id - 1];
    producer->is_known = true;
    producer->epoch = header->producer_epoch;
    producer->next_sequence =
        (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->record_count) & INT32_MAX);
}

void model_append(struct model_log *log, uint64_t ticket)
{
    struct model_batch *batch = &log->batches[log->batch_count++];

    batch->ticket = ticket;
    remember_producer(log, &batch->header);
}

void model_truncate(struct model_log *log, uint64_t offset)
{
    bool is_shorter = false;

    while (log->batch_count > 0 && batch_end(last_batch(log)) > offset) {
        log->batch_count--;
        is_shorter = true;
    }
    if (!is_shorter) return;
    log->was_truncated = true;
    if (log->durable_end > model_end(log)) log->durable_end = model_end(log);
    for (int i = 0; i < MODEL_PRODUCERS_MAX; i++)
        log->producers[i] = (struct model_producer){.epoch = log->producers[i].epoch};
    for (uint32_t i = 0; i < log->batch_count; i++)
        remember_producer(log, &log->batches[i].header);
}

void model_restart(struct model_log *log, uint64_t offset, int32_t epoch)
{
    model_truncate(log, 0);
    log->batch_count = 0;
    log->base = log->start = log->durable_end = offset;
    log->base_epoch = offset == 0 ? -1 : epoch;
}

uint64_t model_round_down(const struct model_log *log, uint64_t offset)
{
    for (uint32_t i = 0; i < log->batch_count; i++) {
        if (batch_end(&log->batches[i]) > offset) return (uint64_t)log->batches[i].header.base_offset;
    }
    return model_end(log);
}

const struct model_batch *model_at(const struct model_log *log, uint64_t offset)
{
    uint32_t low = 0, high = log->batch_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint64_t)log->batches[middle].header.base_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == log->batch_count || (uint64_t)log->batches[low].header.base_offset != offset) return NULL;
    return &log->batches[low];
}

/* ---- comparing ---- */

static uint8_t *view_bytes(const struct plog_view *view, const char *where)
{
    uint8_t *bytes = malloc(view->size + 1), *at = bytes;

    ck_assert_ptr_nonnull(bytes);
    for (uint32_t i = 0; i < view->extent_count; i++) {
        const struct plog_extent *extent = &view->extents[i];
        size_t got = extent->size;
        int err = 0;
        if (extent->file != NULL)
            err = extent->file->fs->ops->read(extent->file, at, extent->size, extent->position, &got);
        else
            memcpy(at, extent->memory, extent->size);
        must(err == 0 && got == extent->size, "%s: extent does not read: %d", where, err);
        at += extent->size;
    }
    must(at == bytes + view->size, "%s: sizes of extents do not add up", where);
    return bytes;
}

/* Compares a view that was asked for at offset; returns the offset behind it. */
static uint64_t check_view(const struct model_log *log, const struct plog_view *view, uint64_t offset,
                           const char *where)
{
    uint8_t *bytes = view_bytes(view, where);
    uint64_t at = model_round_down(log, offset);
    size_t position = 0;

    while (position < view->size) {
        const struct model_batch *batch = model_at(log, at);
        must(batch != NULL, "%s: log %s: no batch begins at %lu", where, log->name, at);
        must(view->size - position >= batch->header.size &&
                 memcmp(bytes + position, batch->bytes, batch->header.size) == 0,
             "%s: log %s: bytes at offset %lu differ", where, log->name, at);
        position += batch->header.size;
        at = batch_end(batch);
    }
    must(view->next_offset == at, "%s: next offset %lu, not %lu", where, view->next_offset, at);
    free(bytes);
    return at;
}

void model_check_read(const struct model_log *log, struct plog *plog, uint64_t offset, uint32_t bytes_max,
                      const char *where)
{
    struct plog_view view;
    int err = plog_read(plog, offset, plog_end_offset(plog), bytes_max, &view);

    /* A log whose file failed keeps what was durable, and says of the rest that it is gone. */
    if (err == MESH_EIO && plog_error(plog) != 0 && offset >= log->durable_end) return;
    must(err == 0, "%s: log %s: reading at %lu of [%lu, %lu): %s", where, log->name, offset,
         plog_start_offset(plog), plog_end_offset(plog), mesh_strerror(err));
    check_view(log, &view, offset, where);
    plog_view_release(&view);
}

void model_check_bytes(const struct model_log *log, struct plog *plog, const char *where)
{
    uint64_t offset = plog_start_offset(plog), end = plog_end_offset(plog);

    while (offset < end) {
        struct plog_view view;
        uint64_t next;
        int err = plog_read(plog, offset, end, 1 << 20, &view);
        must(err == 0, "%s: log %s: reading at %lu of [%lu, %lu): %s", where, log->name, offset,
             plog_start_offset(plog), end, mesh_strerror(err));
        next = check_view(log, &view, offset, where);
        plog_view_release(&view);
        must(next > offset, "%s: log %s: nothing read at %lu", where, log->name, offset);
        offset = next;
    }
}

enum served { SERVED_RIGHT, SERVED_ROTTEN, REFUSED };

/* Asks for one batch. */
static enum served probe(const struct model_batch *batch, struct plog *plog, const char *where)
{
    uint64_t offset = (uint64_t)batch->header.base_offset;
    struct record_batch_header header;
    struct plog_view view;
    enum served result;
    uint8_t *bytes;
    int err = plog_read(plog, offset, plog_end_offset(plog), 1, &view);

    if (err != 0) return REFUSED;
    if (view.size == 0 || view.extent_count == 0) {
        plog_view_release(&view);
        return REFUSED;
    }
    bytes = view_bytes(&view, where);
    if (view.size >= batch->header.size && memcmp(bytes, batch->bytes, batch->header.size) == 0) {
        result = SERVED_RIGHT;
    } else {
        /* A consumer would take these bytes: they must not look sound. No CRC covers offset, length and
         * epoch. */
        bool is_prefix_only = view.size == batch->header.size &&
                              memcmp(bytes + RECORD_BATCH_CRC_START, batch->bytes + RECORD_BATCH_CRC_START,
                                     view.size - RECORD_BATCH_CRC_START) == 0;
        err = is_prefix_only ? MESH_ECORRUPT : record_batch_verify(slice_of(bytes, view.size), &header);
        must(err != 0 || header.base_offset > batch->header.base_offset,
             "%s: other bytes are served at offset %lu, and their CRC is right", where, offset);
        result = err == 0 ? REFUSED : SERVED_ROTTEN;
    }
    free(bytes);
    plog_view_release(&view);
    return result;
}

void model_check_durable(const struct model_log *log, struct plog *plog, const char *where)
{
    for (uint32_t i = 0; i < log->batch_count; i++) {
        const struct model_batch *batch = &log->batches[i];
        uint64_t base = (uint64_t)batch->header.base_offset;
        enum served served;
        if (base < plog_start_offset(plog) || base >= plog_end_offset(plog)) continue;
        served = probe(batch, plog, where);
        must(served == SERVED_RIGHT || (served == REFUSED && batch_end(batch) > log->durable_end),
             "%s: log %s: offset %lu was acknowledged (up to %lu) and is not served", where, log->name, base,
             log->durable_end);
    }
}

uint32_t model_count_unserved(const struct model_log *log, struct plog *plog, bool may_rot, const char *where)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < log->batch_count; i++) {
        const struct model_batch *batch = &log->batches[i];
        uint64_t base = (uint64_t)batch->header.base_offset;
        enum served served;
        if (base < plog_start_offset(plog) || batch_end(batch) > log->durable_end) continue;
        served = base >= plog_end_offset(plog) ? REFUSED : probe(batch, plog, where);
        must(may_rot || served != SERVED_ROTTEN, "%s: log %s: rotten bytes are served at offset %lu", where,
             log->name, base);
        count += served != SERVED_RIGHT;
    }
    return count;
}

void model_check_epochs(const struct model_log *log, struct plog *plog, const char *where)
{
    uint64_t start = plog_start_offset(plog), end = plog_end_offset(plog);
    int32_t previous = log->base == 0 ? -1 : log->base_epoch, found;

    for (uint32_t i = 0; i < log->batch_count; i++) {
        const struct model_batch *batch = &log->batches[i];
        uint64_t base = (uint64_t)batch->header.base_offset;
        if (batch_end(batch) == start) previous = batch->header.leader_epoch; /* retention took it; its epoch stays known */
        if (base < start || base >= end) continue;
        if (previous >= 0 && previous != batch->header.leader_epoch) {
            uint64_t got = plog_epoch_end_offset(plog, batch->header.leader_epoch - 1, &found);
            must(got == base && found == previous, "%s: log %s: epoch %d ends at %lu, not %lu", where,
                 log->name, found, got, base);
        }
        previous = batch->header.leader_epoch;
    }
    must(plog_last_epoch(plog) == previous, "%s: log %s: last epoch %d, not %d", where, log->name,
         plog_last_epoch(plog), previous);
    must(previous < 0 || plog_epoch_end_offset(plog, previous, &found) == end, "%s: the last epoch ends early", where);
}

/* The last batch must be known as a duplicate, its forerunners must not be taken for new ones. */
static void check_window(const struct model_log *log, struct plog *plog, int producer, const char *where)
{
    unsigned age = 0;

    for (uint32_t i = log->batch_count; i-- > 0 && age < 5;) {
        const struct record_batch_header *header = &log->batches[i].header;
        uint64_t base_offset = UINT64_MAX;
        int err;
        if (header->producer_id != producer + 1) continue;
        if (header->producer_epoch != log->producers[producer].epoch) break;
        if ((uint64_t)header->base_offset < plog_start_offset(plog)) break;
        err = plog_check_producer(plog, header, &base_offset);
        if (err == MESH_EOUT_OF_ORDER_SEQUENCE && age > 0 && log->was_truncated) continue;
        must(err == MESH_EDUPLICATE_SEQUENCE && base_offset == (uint64_t)header->base_offset,
             "%s: log %s: producer %d: batch at %ld (sequence %d, %u back) answers %s, offset %ld", where,
             log->name, producer + 1, header->base_offset, header->base_sequence, age, mesh_error_name(err),
             (long)base_offset);
        age++;
    }
}

void model_check_producers(const struct model_log *log, struct plog *plog, const char *where)
{
    for (int i = 0; i < MODEL_PRODUCERS_MAX; i++) {
        const struct model_producer *producer = &log->producers[i];
        struct record_batch_header next = {.producer_id = i + 1,
                                           .producer_epoch = producer->epoch,
                                           .base_sequence = producer->next_sequence,
                                           .record_count = 1};
        uint64_t base_offset;
        int err;
        if (!producer->is_known) continue;
        check_window(log, plog, i, where);
        err = plog_check_producer(plog, &next, &base_offset);
        must(err == 0, "%s: log %s: producer %d: its next sequence %d is refused: %s", where, log->name,
             i + 1, next.base_sequence, mesh_error_name(err));
    }
}
