/* base/crc32c.h - CRC-32C (Castagnoli), as in RFC 3720 and Kafka's record batches. Any thread. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of size bytes: 0xe3069283 for "123456789", 0 for nothing. */
uint32_t crc32c(const void *data, size_t size);

/* Continues `crc`, the CRC of what came before, over size more bytes. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size);

/* The CRC of A followed by B, from the CRCs of both and B's size in bytes; O(log size), reads no data. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b);

#endif
