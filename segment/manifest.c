#include "segment/manifest.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC        0x314e4d4du /* "MMN1" */
#define MARKER_MAGIC 0x314d444du /* "MDM1" */
#define VERSION      1
#define HEADER_SIZE  48
#define LOG_FIXED    64
#define SEGMENT_SIZE 40
#define HOLE_SIZE    24
#define HOLE_CONDEMNED         (UINT64_C(1) << 63) /* in the offset where a hole ends; no offset is that large */
#define HOLE_OF_UNKNOWN_EPOCHS (UINT64_C(1) << 62)
#define HOLE_CONDEMNED_ANYWAY  (UINT64_C(1) << 61) /* not for its epochs alone */
#define HOLE_FLAGS             (HOLE_CONDEMNED | HOLE_OF_UNKNOWN_EPOCHS | HOLE_CONDEMNED_ANYWAY)
#define TRAILER_SIZE 8
#define SEGMENTS_MAX (1u << 20)

void manifest_path(uint32_t store_index, enum manifest_path_kind kind, char to[FS_PATH_MAX])
{
    const char *suffix = kind == MANIFEST_PATH_FILE ? "" : kind == MANIFEST_PATH_MARKER ? ".dirty" : ".new";

    if (store_index == MANIFEST_INDEX_RECOVERED)
        snprintf(to, FS_PATH_MAX, "manifest/recovered%s", suffix);
    else
        snprintf(to, FS_PATH_MAX, "manifest/%u%s", store_index, suffix);
}

bool manifest_parse_name(const char *name, uint32_t *ret_store_index, bool *ret_is_marker)
{
    uint64_t index = 0;
    const char *at = name;

    if (strcmp(name, "recovered") == 0) {
        *ret_store_index = MANIFEST_INDEX_RECOVERED;
        *ret_is_marker = false;
        return true;
    }
    for (; *at >= '0' && *at <= '9' && index < MANIFEST_INDEX_RECOVERED; at++)
        index = index * 10 + (uint64_t)(*at - '0');
    if (at == name || index >= MANIFEST_INDEX_RECOVERED) return false;
    if (*at != '\0' && strcmp(at, ".dirty") != 0) return false;
    *ret_store_index = (uint32_t)index;
    *ret_is_marker = *at != '\0';
    return true;
}

void manifest_encode_marker(const struct manifest_marker *marker, uint8_t to[MANIFEST_MARKER_SIZE])
{
    memset(to, 0, MANIFEST_MARKER_SIZE);
    le_store32(to, MARKER_MAGIC);
    le_store32(to + 4, VERSION);
    le_store64(to + 8, marker->generation);
    le_store64(to + 16, marker->nonce);
    le_store32(to + 24, crc32c(to, 24));
}

int manifest_decode_marker(struct slice bytes, struct manifest_marker *ret_marker)
{
    if (bytes.size < MANIFEST_MARKER_SIZE || le_load32(bytes.data) != MARKER_MAGIC) return MESH_ECORRUPT;
    if (le_load32(bytes.data + 24) != crc32c(bytes.data, 24)) return MESH_ECORRUPT;
    if (le_load32(bytes.data + 4) != VERSION) return MESH_EVERSION;
    *ret_marker = (struct manifest_marker){le_load64(bytes.data + 8), le_load64(bytes.data + 16)};
    return 0;
}

int manifest_encode_header(const struct manifest_header *header, struct buffer *to)
{
    uint8_t bytes[HEADER_SIZE] = {0};

    le_store32(bytes, MAGIC);
    le_store32(bytes + 4, VERSION);
    le_store64(bytes + 8, header->generation);
    le_store64(bytes + 16, header->sequence);
    le_store64(bytes + 24, header->live_frame);
    le_store64(bytes + 32, header->last_frame);
    le_store32(bytes + 40, header->log_count);
    return buffer_append(to, bytes, sizeof(bytes));
}

static int encode_segment(const struct manifest_segment *segment, struct buffer *to)
{
    uint8_t bytes[SEGMENT_SIZE] = {0};

    le_store64(bytes, segment->base_offset);
    le_store64(bytes + 8, segment->next_offset);
    le_store64(bytes + 16, (uint64_t)segment->first_timestamp_ms);
    le_store64(bytes + 24, (uint64_t)segment->max_timestamp_ms);
    le_store32(bytes + 32, segment->size);
    return buffer_append(to, bytes, sizeof(bytes));
}

static uint64_t hole_flags(const struct plog_hole *hole)
{
    if (hole->is_of_unknown_epochs) return HOLE_CONDEMNED | HOLE_OF_UNKNOWN_EPOCHS | (hole->is_condemned ? HOLE_CONDEMNED_ANYWAY : 0);
    return hole->is_condemned ? HOLE_CONDEMNED : 0;
}

static int encode_hole(const struct plog_hole *hole, struct buffer *to)
{
    uint8_t bytes[HOLE_SIZE] = {0};

    le_store64(bytes, hole->from);
    le_store64(bytes + 8, (hole->to & ~HOLE_FLAGS) | hole_flags(hole));
    le_store32(bytes + 16, hole->resume_position);
    le_store32(bytes + 20, hole->position);
    return buffer_append(to, bytes, sizeof(bytes));
}

int manifest_encode_log(const struct manifest_log *log, struct buffer *to)
{
    uint8_t bytes[LOG_FIXED] = {0};
    int err;

    memcpy(bytes, log->id.topic_id.bytes, UUID_SIZE);
    le_store32(bytes + 16, log->id.partition);
    le_store32(bytes + 20, log->segment_count);
    le_store32(bytes + 24, log->hole_count);
    le_store32(bytes + 28, log->deleted_offset > log->start_offset ? (uint32_t)(log->deleted_offset - log->start_offset) : 0);
    le_store64(bytes + 32, log->start_offset);
    le_store64(bytes + 40, log->end_offset);
    le_store64(bytes + 48, log->acked_offset);
    le_store64(bytes + 56, log->high_watermark);
    err = buffer_append(to, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < log->segment_count && err == 0; i++)
        err = encode_segment(manifest_segment_at(log, i), to);
    for (uint32_t i = 0; i < log->hole_count && err == 0; i++)
        err = encode_hole(&log->holes[i], to);
    if (err == 0) err = epoch_cache_encode(&log->epochs, to);
    return err != 0 ? err : producer_table_encode(&log->producers, to);
}

int manifest_encode_end(struct buffer *to)
{
    uint8_t bytes[TRAILER_SIZE] = {0};

    le_store32(bytes, crc32c(to->data, to->size));
    le_store32(bytes + 4, MAGIC);
    return buffer_append(to, bytes, sizeof(bytes));
}

int manifest_decode(struct slice bytes, struct manifest_header *ret_header, struct slice *ret_body)
{
    const uint8_t *at = bytes.data;
    size_t end;

    if (bytes.size < HEADER_SIZE + TRAILER_SIZE || le_load32(at) != MAGIC) return MESH_ECORRUPT;
    end = bytes.size - TRAILER_SIZE;
    if (le_load32(at + end + 4) != MAGIC || le_load32(at + end) != crc32c(at, end)) return MESH_ECORRUPT;
    if (le_load32(at + 4) != VERSION) return MESH_EVERSION;
    ret_header->generation = le_load64(at + 8);
    ret_header->sequence = le_load64(at + 16);
    ret_header->live_frame = le_load64(at + 24);
    ret_header->last_frame = le_load64(at + 32);
    ret_header->log_count = le_load32(at + 40);
    *ret_body = slice_of(at + HEADER_SIZE, end - HEADER_SIZE);
    return 0;
}

static void advance(struct slice *bytes, size_t size)
{
    bytes->data += size;
    bytes->size -= size;
}

static int decode_segments(struct slice *body, struct manifest_log *log)
{
    struct manifest_segment *segments = &log->only_segment;

    if (log->segment_count > 1) {
        log->segments = segments = malloc(log->segment_count * sizeof(*segments));
        if (segments == NULL) return MESH_ENOMEM;
    }
    for (uint32_t i = 0; i < log->segment_count; i++) {
        const uint8_t *at = body->data;
        segments[i] = (struct manifest_segment){
            .base_offset = le_load64(at),
            .next_offset = le_load64(at + 8),
            .first_timestamp_ms = (int64_t)le_load64(at + 16),
            .max_timestamp_ms = (int64_t)le_load64(at + 24),
            .size = le_load32(at + 32),
        };
        if (segments[i].next_offset < segments[i].base_offset) return MESH_ECORRUPT;
        if (i > 0 && segments[i].base_offset < segments[i - 1].next_offset) return MESH_ECORRUPT;
        advance(body, SEGMENT_SIZE);
    }
    return 0;
}

static int decode_holes(struct slice *body, struct manifest_log *log)
{
    if (log->hole_count == 0) return 0;
    log->holes = malloc(log->hole_count * sizeof(*log->holes));
    if (log->holes == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < log->hole_count; i++) {
        const uint8_t *at = body->data;
        uint64_t to = le_load64(at + 8);
        bool is_of_unknown_epochs = (to & HOLE_OF_UNKNOWN_EPOCHS) != 0;
        log->holes[i] = (struct plog_hole){.from = le_load64(at),
                                           .to = to & ~HOLE_FLAGS,
                                           .position = le_load32(at + 20),
                                           .resume_position = le_load32(at + 16),
                                           .is_condemned = (to & (is_of_unknown_epochs ? HOLE_CONDEMNED_ANYWAY : HOLE_CONDEMNED)) != 0,
                                           .is_of_unknown_epochs = is_of_unknown_epochs};
        advance(body, HOLE_SIZE);
    }
    return 0;
}

static int decode_log(struct slice *body, struct manifest_log *log)
{
    const uint8_t *at = body->data;
    int err;

    if (body->size < LOG_FIXED) return MESH_ECORRUPT;
    memcpy(log->id.topic_id.bytes, at, UUID_SIZE);
    log->id.partition = le_load32(at + 16);
    log->segment_count = le_load32(at + 20);
    log->hole_count = le_load32(at + 24);
    log->start_offset = le_load64(at + 32);
    log->deleted_offset = le_load32(at + 28) > 0 ? log->start_offset + le_load32(at + 28) : 0;
    log->end_offset = le_load64(at + 40);
    log->acked_offset = le_load64(at + 48);
    log->high_watermark = le_load64(at + 56);
    advance(body, LOG_FIXED);
    if (log->segment_count > SEGMENTS_MAX || log->hole_count > PLOG_HOLES_MAX ||
        (size_t)log->segment_count * SEGMENT_SIZE + (size_t)log->hole_count * HOLE_SIZE > body->size) {
        log->segment_count = log->hole_count = 0;
        return MESH_ECORRUPT;
    }
    err = decode_segments(body, log);
    if (err == 0) err = decode_holes(body, log);
    if (err == 0) err = epoch_cache_decode(&log->epochs, body);
    return err != 0 ? err : producer_table_decode(&log->producers, body);
}

int manifest_decode_log(struct slice *body, struct manifest_log *ret_log)
{
    struct manifest_log log = {.epochs = EPOCH_CACHE_INIT, .producers = PRODUCER_TABLE_INIT};
    int err = decode_log(body, &log);

    if (err != 0)
        manifest_log_deinit(&log);
    else
        *ret_log = log;
    return err;
}

void manifest_log_deinit(struct manifest_log *log)
{
    free(log->segments);
    free(log->holes);
    epoch_cache_deinit(&log->epochs);
    producer_table_deinit(&log->producers);
    *log = (struct manifest_log){.id = log->id, .epochs = EPOCH_CACHE_INIT, .producers = PRODUCER_TABLE_INIT};
}

int manifest_write(struct fs *fs, uint32_t store_index, struct slice bytes)
{
    struct iovec iov = {(void *)(uintptr_t)bytes.data, bytes.size};
    char temporary[FS_PATH_MAX], path[FS_PATH_MAX];
    struct fs_file *file = NULL;
    int err = fs->ops->mkdir(fs, "manifest");

    if (err != 0 && err != MESH_EEXISTS) return err;
    if (err == 0)
        err = fs->ops->sync_dir(fs, ".");
    else
        err = 0;
    manifest_path(store_index, MANIFEST_PATH_TEMPORARY, temporary);
    manifest_path(store_index, MANIFEST_PATH_FILE, path);
    if (err == 0) err = fs_open(fs, temporary, FS_WRITE | FS_CREATE, &file);
    if (err == 0) err = fs->ops->truncate(file, 0);
    if (err == 0) err = fs->ops->write(file, &iov, 1, 0);
    if (err == 0) err = fs->ops->sync(file);
    fs_unref(file);
    if (err == 0) err = fs->ops->rename(fs, temporary, path);
    return err != 0 ? err : fs->ops->sync_dir(fs, "manifest");
}
