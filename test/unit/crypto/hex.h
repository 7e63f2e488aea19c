/* Bytes as published tables print them. */
#ifndef TEST_CRYPTO_HEX_H
#define TEST_CRYPTO_HEX_H

#include <check.h>
#include <sodium.h>
#include <string.h>

/* Writes the bytes of `text` at `to` and returns how many; spaces are skipped. */
static inline size_t hex_bytes(const char *text, uint8_t *to, size_t size_max)
{
    size_t size = 0;
    const char *end = NULL;

    ck_assert_int_eq(sodium_hex2bin(to, size_max, text, strlen(text), " \n", &size, &end), 0);
    ck_assert_int_eq(*end, '\0');
    return size;
}

static inline void assert_hex(const uint8_t *bytes, size_t size, const char *want_text)
{
    uint8_t want[4096];
    char got_text[2 * sizeof want + 1];
    size_t want_size = hex_bytes(want_text, want, sizeof want);

    ck_assert_uint_le(size, sizeof want);
    sodium_bin2hex(got_text, sizeof got_text, bytes, size);
    ck_assert_msg(size == want_size && memcmp(bytes, want, size) == 0, "got %s", got_text);
}

#endif
