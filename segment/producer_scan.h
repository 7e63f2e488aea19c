/* segment/producer_scan.h - reads the headers of a log's newest batches to learn what its producers wrote last. */
#ifndef SEGMENT_PRODUCER_SCAN_H
#define SEGMENT_PRODUCER_SCAN_H

#include "base/fs.h"
#include "segment/producer_table.h"
#include "segment/store.h"

#define PRODUCER_SCAN_BYTES_MAX (256u << 20) /* how far back from the end of a log it is worth reading */

struct producer_scan_segment {
    uint64_t base_offset;
    uint32_t size; /* bytes of batches */
};

/* Records the batches of as many segments, from the last one backwards, as PRODUCER_SCAN_BYTES_MAX allows (one at least)
 * into *table. Blocks; any thread. Errors: MESH_EIO, MESH_ENOMEM, MESH_ECORRUPT (bytes that are no batch): what *table holds
 * then must not be used. */
int producer_scan(struct fs *fs, const struct plog_id *id, const struct producer_scan_segment *segments,
                  uint32_t segment_count, struct producer_table *table);

#endif
