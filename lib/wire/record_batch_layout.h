/* wire/record_batch_layout.h - where the fields of the batch header are. Private to lib/wire; see
 * record_batch.h for the picture. */
#ifndef WIRE_RECORD_BATCH_LAYOUT_H
#define WIRE_RECORD_BATCH_LAYOUT_H

#include "wire/record_batch.h"

#define BATCH_AT_BASE_OFFSET       0
#define BATCH_AT_LENGTH            8
#define BATCH_AT_LEADER_EPOCH      12
#define BATCH_AT_MAGIC             16
#define BATCH_AT_CRC               17
#define BATCH_AT_ATTRIBUTES        21
#define BATCH_AT_LAST_OFFSET_DELTA 23
#define BATCH_AT_BASE_TIMESTAMP    27
#define BATCH_AT_MAX_TIMESTAMP     35
#define BATCH_AT_PRODUCER_ID       43
#define BATCH_AT_PRODUCER_EPOCH    51
#define BATCH_AT_BASE_SEQUENCE     53
#define BATCH_AT_RECORD_COUNT      57

/* Writes all fields in front of records whose CRC is records_crc; header->crc is ignored. */
void record_batch_write_header_summed(uint8_t *batch, const struct record_batch_header *header,
                                      uint32_t records_crc);

/* Writes all fields in front of the records that stand at batch + 61 already, the CRC (header->crc is
 * ignored) last. */
void record_batch_write_header(uint8_t *batch, const struct record_batch_header *header);

#endif
