/* client/partitioner.h - which partition a record goes to.
 *
 * A key always maps to the partition that Kafka's default partitioner picks, so that clients of both kinds
 * agree on where a key lives. Pure functions. */
#ifndef CLIENT_PARTITIONER_H
#define CLIENT_PARTITIONER_H

#include "base/slice.h"

#include <stdint.h>

/* MurmurHash2 (A. Appleby), 32 bits, with the seed 0x9747b28c that Kafka's clients use. */
uint32_t partitioner_murmur2(struct slice key);

/* murmur2 with its sign bit cleared, modulo partition_count (> 0). */
int32_t partitioner_of_key(struct slice key, int32_t partition_count);

#endif
