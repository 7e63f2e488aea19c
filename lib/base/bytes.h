/* base/bytes.h - integers in byte order, and variable-length integers.
 *
 * be_ = network order (Kafka's formats), le_ = little endian (our own formats). Pointers need no alignment.
 * Varints are protobuf's base-128; zigzag as in protobuf's sint32/sint64 and Kafka's record format. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(bits, swap)                                                                              \
    static inline uint##bits##_t be_load##bits(const void *from)                                              \
    {                                                                                                         \
        uint##bits##_t v;                                                                                     \
        memcpy(&v, from, sizeof(v));                                                                          \
        return swap(v);                                                                                       \
    }                                                                                                         \
    static inline void be_store##bits(void *to, uint##bits##_t v)                                             \
    {                                                                                                         \
        v = swap(v);                                                                                          \
        memcpy(to, &v, sizeof(v));                                                                            \
    }                                                                                                         \
    static inline uint##bits##_t le_load##bits(const void *from)                                              \
    {                                                                                                         \
        uint##bits##_t v;                                                                                     \
        memcpy(&v, from, sizeof(v));                                                                          \
        return v;                                                                                             \
    }                                                                                                         \
    static inline void le_store##bits(void *to, uint##bits##_t v)                                             \
    {                                                                                                         \
        memcpy(to, &v, sizeof(v));                                                                            \
    }

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "only little-endian machines are supported"
#endif
BYTES_DEFINE(16, __builtin_bswap16)
BYTES_DEFINE(32, __builtin_bswap32)
BYTES_DEFINE(64, __builtin_bswap64)
#undef BYTES_DEFINE

#define VARINT_SIZE_MAX 10 /* bytes of the longest encoded 64-bit value */

static inline uint64_t zigzag_encode(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t zigzag_decode(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Bytes that varint_encode() writes for v: 1..10. */
static inline size_t varint_size(uint64_t v)
{
    return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

/* Writes v at `to` (VARINT_SIZE_MAX bytes of room) and returns the byte after it. */
static inline uint8_t *varint_encode(uint8_t *to, uint64_t v)
{
    while (v >= 0x80) {
        *to++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *to++ = (uint8_t)v;
    return to;
}

/* Reads a varint from [from, end). Returns the byte after it, or NULL when it is truncated or longer than 64
 * bits; *ret_v is written only on success. */
static inline const uint8_t *varint_decode(const uint8_t *from, const uint8_t *end, uint64_t *ret_v)
{
    uint64_t v = 0;

    if (from < end && *from < 0x80) { /* most are one byte */
        *ret_v = *from;
        return from + 1;
    }
    if (end - from > 1 && from[1] < 0x80) { /* or two */
        *ret_v = (uint64_t)from[0] - 0x80 + ((uint64_t)from[1] << 7);
        return from + 2;
    }
    for (unsigned shift = 0; shift < 64 && from < end; shift += 7) {
        uint8_t byte = *from++;
        if (shift == 63 && byte > 1) return NULL;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_v = v;
            return from;
        }
    }
    return NULL;
}

/* Zeros, by the C library: for what is cleared for each message and has some hundred bytes. Compilers that see the size write a string
 * instruction (rep stos), which takes longer to begin than this takes in all. */
void bytes_clear(void *to, size_t size);

#endif
