#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <string.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, bit-reversed */

/* isa-l's folding pays from here on; below, its set-up costs more than the work: a frame's header and message
 * take half the time in the processor's own instruction (measured: 7 against 17 ns for 20 bytes). */
#define SMALL_SIZE_MAX 128

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t extend_small(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t state = ~crc;

    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        state = _mm_crc32_u64(state, word);
    }
    if (size & 4) {
        uint32_t word;
        memcpy(&word, at, sizeof(word));
        state = _mm_crc32_u32((uint32_t)state, word);
        at += 4;
    }
    for (size &= 3; size > 0; at++, size--)
        state = _mm_crc32_u8((uint32_t)state, *at);
    return ~(uint32_t)state;
}
#endif

/* isa-l reads three places at once, which no hardware prefetcher recognises: from beyond the first-level cache it does 6 to 9 GB/s.
 * Asking for each piece just before it is summed brings 15 to 18. */
#define PIECE_SIZE      1024
#define CACHE_LINE_SIZE 64

static void prefetch_piece(const unsigned char *at, size_t size)
{
    for (size_t i = 0; i < size; i += CACHE_LINE_SIZE)
        __builtin_prefetch(at + i);
}

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *at = data;

#ifdef __x86_64__
    if (size < SMALL_SIZE_MAX && __builtin_cpu_supports("sse4.2")) return extend_small(crc, data, size);
#endif
    crc = ~crc;
    while (size > 0) {
        /* The last piece is the longer one: short ones cost more than they are worth. */
        size_t piece = size < 2 * PIECE_SIZE ? size : PIECE_SIZE;

        prefetch_piece(at, piece);
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)piece, crc);
        at += piece;
        size -= piece;
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

/* x to the power of 2^i. The polynomial is x + 1 times one of degree 31: squaring 31 times leads back. */
#define POWER_COUNT 31
static const uint32_t powers[POWER_COUNT] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
};

#define ZEROS_SIZE 1024u /* a power of two; up to here the hardware is faster than the algebra */
static const uint8_t zeros[ZEROS_SIZE];

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b)
{
    /* Appending n zero bytes multiplies a CRC by x^(8n); the initial and final inversions cancel out. */
    uint32_t shifted = ~crc32c_extend(~crc_a, zeros, size_b % ZEROS_SIZE);
    unsigned exponent = 3; /* x^8 = x^(2^3) */

    for (size_b -= size_b % ZEROS_SIZE; size_b != 0; size_b >>= 1, exponent++)
        if (size_b & 1) shifted = multiply_modulo(shifted, powers[exponent % POWER_COUNT]);
    return shifted ^ crc_b;
}
