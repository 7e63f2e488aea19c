#include "segment/producer_scan.h"

#include "base/buffer.h"
#include "base/error.h"
#include "segment/segment_file.h"

#define READ_BYTES (256u << 10)

/* Walks from header to header. What lies between two of them is read only when it is near enough to come along. */
static int scan_file(struct fs_file *file, uint32_t size, struct buffer *buffer, struct producer_table *table)
{
    uint64_t start = 0; /* of the buffer in the file */
    uint32_t at = 0;
    int err = 0;

    if (size == 0) return 0;
    buffer_clear(buffer);
    while (err == 0 && at + RECORD_BATCH_HEADER_SIZE <= size) {
        struct record_batch_header header;
        if (at < start || at + RECORD_BATCH_HEADER_SIZE > start + buffer->size) {
            start = at;
            err = file->fs->ops->read(file, buffer->data, READ_BYTES, at, &buffer->size);
            if (err != 0) return err;
        }
        if (record_batch_parse_header(slice_of(buffer->data + (at - start), buffer->size - (at - start)), &header) != 0 ||
            header.size > size - at)
            return MESH_ECORRUPT;
        err = producer_table_record(table, &header, header.max_timestamp_ms);
        at += header.size;
    }
    return err;
}

int producer_scan(struct fs *fs, const struct plog_id *id, const struct producer_scan_segment *segments,
                  uint32_t segment_count, struct producer_table *table)
{
    struct buffer buffer = BUFFER_INIT;
    uint64_t bytes = 0;
    uint32_t first = segment_count;
    int err = buffer_reserve(&buffer, READ_BYTES);

    while (first > 0 && (first == segment_count || bytes + segments[first - 1].size <= PRODUCER_SCAN_BYTES_MAX))
        bytes += segments[--first].size;
    for (uint32_t i = first; i < segment_count && err == 0; i++) {
        struct fs_file *file = NULL;
        err = segment_open(fs, id, segments[i].base_offset, FS_READ, false, &file);
        if (err == MESH_ENOTFOUND) {
            err = 0; /* an empty segment has no file yet */
            continue;
        }
        if (err == 0) err = scan_file(file, segments[i].size, &buffer, table);
        fs_unref(file);
    }
    buffer_deinit(&buffer);
    return err;
}
