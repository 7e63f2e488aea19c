/* segment/manifest.h - the file that says what each log of a store has on disk, and the marker beside it.
 *
 *   manifest/<store index>         replaced atomically at every checkpoint; the last one before a clean stop
 * is exact manifest/<store index>.dirty   exists from a run's first write to its clean stop; holds the run's
 * generation manifest/recovered             written by recovery after a crash: everything of all stores of
 * earlier runs
 *
 * Encoding and decoding only; little endian, one CRC over all. Tables: FORMAT.md. Any thread. */
#ifndef SEGMENT_MANIFEST_H
#define SEGMENT_MANIFEST_H

#include "base/buffer.h"
#include "segment/epoch_cache.h"
#include "segment/plog.h"
#include "segment/producer_table.h"

#define MANIFEST_MARKER_SIZE     32
#define MANIFEST_INDEX_RECOVERED UINT32_MAX /* in paths: manifest/recovered */

enum manifest_path_kind { MANIFEST_PATH_FILE, MANIFEST_PATH_TEMPORARY, MANIFEST_PATH_MARKER };

void manifest_path(uint32_t store_index, enum manifest_path_kind kind, char to[FS_PATH_MAX]);

/* Parses a name in manifest/. False for temporary and foreign ones. */
bool manifest_parse_name(const char *name, uint32_t *ret_store_index, bool *ret_is_marker);

/* The run that writes: only journal frames with both of these belong to it. */
struct manifest_marker {
    uint64_t generation, nonce;
};

void manifest_encode_marker(const struct manifest_marker *marker, uint8_t to[MANIFEST_MARKER_SIZE]);
int manifest_decode_marker(struct slice bytes, struct manifest_marker *ret_marker); /* MESH_ECORRUPT, MESH_EVERSION */

struct manifest_header {
    uint64_t generation; /* of the run that wrote it */
    uint64_t sequence;   /* counts the manifests of a run */
    uint64_t live_frame; /* journal frames of this generation before this one are void */
    uint64_t last_frame; /* newest frame sealed when it was written */
    uint32_t log_count;
};

struct manifest_segment {
    uint64_t base_offset, next_offset;
    int64_t first_timestamp_ms, max_timestamp_ms;
    uint32_t size; /* durable bytes */
};

/* One log. Everything up to end_offset is in synced segments. */
struct manifest_log {
    struct plog_id id;
    uint64_t start_offset, end_offset;
    uint64_t acked_offset; /* of a poisoned log: more than that was acknowledged; else end_offset */
    uint64_t high_watermark; /* at least that was committed; 0: not known. May lie beyond end_offset */
    uint64_t deleted_offset; /* records before it are deleted; 0: none. At most 2^32 - 1 behind start_offset; may lie beyond end_offset */
    struct manifest_segment only_segment; /* most logs have one */
    struct manifest_segment *segments;    /* owned; NULL: it is in only_segment, if there is one */
    uint32_t segment_count;
    struct plog_hole *holes;
    uint32_t hole_count;
    struct epoch_cache epochs;
    struct producer_table producers;
};

static inline const struct manifest_segment *manifest_segment_at(const struct manifest_log *log, uint32_t index)
{
    return log->segments != NULL ? &log->segments[index] : &log->only_segment;
}

/* Writes header (with log_count), then each log, then the end; all append to the same buffer. Errors:
 * MESH_ENOMEM. */
int manifest_encode_header(const struct manifest_header *header, struct buffer *to);
int manifest_encode_log(const struct manifest_log *log, struct buffer *to);
int manifest_encode_end(struct buffer *to);

/* Verifies the whole and decodes the header; *ret_body then holds the logs. Errors: MESH_ECORRUPT,
 * MESH_EVERSION. */
int manifest_decode(struct slice bytes, struct manifest_header *ret_header, struct slice *ret_body);

/* Decodes the log at the start of *body and advances it. The caller owns its arrays and caches:
 * manifest_log_deinit(). */
int manifest_decode_log(struct slice *body, struct manifest_log *ret_log); /* MESH_ECORRUPT, MESH_ENOMEM */
void manifest_log_deinit(struct manifest_log *log);

/* Replaces a manifest durably: temporary file, sync, rename, sync of the directory. Blocks. */
int manifest_write(struct fs *fs, uint32_t store_index, struct slice bytes);

#endif
