#include "base/crc32c.h"

#include <isa-l/crc.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, bit-reversed */

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *at = data;

    /* isa-l takes an int length; pieces keep far below its limit. */
    crc = ~crc;
    while (size > 0) {
        int piece = size > (1u << 30) ? (1 << 30) : (int)size;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, piece, crc);
        at += piece;
        size -= (size_t)piece;
    }
    return ~crc;
}

uint32_t crc32c(const void *data, size_t size)
{
    return crc32c_extend(0, data, size);
}

/* a * b modulo the polynomial, in the bit-reversed representation (bit 31 is x^0). */
static uint32_t multiply_modulo(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t mask = 1u << 31; mask != 0; mask >>= 1) {
        if (a & mask) product ^= b;
        b = b & 1 ? (b >> 1) ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b)
{
    /* Appending n zero bytes multiplies a CRC by x^(8n); the initial and final inversions cancel out. */
    uint32_t power = 1u << 31;  /* x^0 */
    uint32_t square = 1u << 23; /* x^8 */

    for (; size_b != 0; size_b >>= 1) {
        if (size_b & 1) power = multiply_modulo(power, square);
        square = multiply_modulo(square, square);
    }
    return multiply_modulo(power, crc_a) ^ crc_b;
}
