/* Bytes as published tables print them. */
#ifndef TEST_CRYPTO_HEX_H
#define TEST_CRYPTO_HEX_H

#include <check.h>
#include <sodium.h>
#include <stdio.h>
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

/* Against test/golden/crypto/NAME.hex; tests run at the top of the tree. */
static inline void assert_golden(const uint8_t *bytes, size_t size, const char *name)
{
    char path[128], text[4096] = "";
    FILE *file;

    snprintf(path, sizeof path, "test/golden/crypto/%s.hex", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    assert_hex(bytes, size, text);
}

#endif
