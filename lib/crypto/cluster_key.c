/* crypto/cluster_key.c - see cluster_key.h. */
#include "crypto/cluster_key.h"

#include "base/bytes.h"
#include "base/error.h"

#include <sodium.h>
#include <stdio.h>

#define PREFIX        "mesh1:"
#define PREFIX_LENGTH 6
#define FAMILY        "mesh" /* what the prefixes of all versions begin with */
#define CHECKSUM_SIZE 3
#define DIGIT_COUNT   56 /* (32 + 3) * 8 / 5 */

static void hash_key(const uint8_t bytes[CLUSTER_KEY_SIZE], const char personal[16], uint8_t *to, size_t size)
{
    crypto_generichash_blake2b_salt_personal(to, size, bytes, CLUSTER_KEY_SIZE, NULL, 0, NULL, (const uint8_t *)personal);
}

void cluster_key_init(struct cluster_key *key, const uint8_t bytes[CLUSTER_KEY_SIZE])
{
    uint8_t id[crypto_generichash_blake2b_BYTES_MIN];

    hash_key(bytes, "mesh key id     ", id, sizeof id);
    memmove(key->bytes, bytes, CLUSTER_KEY_SIZE);
    key->id = be_load32(id);
    if (key->id == 0) key->id = 1;
}

void cluster_key_wipe(struct cluster_key *key)
{
    sodium_memzero(key, sizeof *key);
}

static void checksum(const uint8_t bytes[CLUSTER_KEY_SIZE], uint8_t to[CHECKSUM_SIZE])
{
    uint8_t hash[crypto_generichash_blake2b_BYTES_MIN];

    hash_key(bytes, "mesh key typed  ", hash, sizeof hash);
    memcpy(to, hash, CHECKSUM_SIZE);
    sodium_memzero(hash, sizeof hash);
}

/* ---- Crockford's base 32, without tables or branches that depend on the secret ---- */

/* All ones when low <= v <= high, else zero; all below 2^30. */
static unsigned between(unsigned v, unsigned low, unsigned high)
{
    return (((v - low) | (high - v)) >> 31) - 1;
}

/* Digits are 0-9 and the letters without i, l, o, u. */
static char digit_of(unsigned value)
{
    unsigned letter = 'a' - 10 + value;

    letter += between(value, 18, 31) & 1; /* past i */
    letter += between(value, 20, 31) & 1; /* past l */
    letter += between(value, 22, 31) & 1; /* past o */
    letter += between(value, 27, 31) & 1; /* past u */
    return (char)((between(value, 0, 9) & ('0' + value)) | (between(value, 10, 31) & letter));
}

/* The value of a digit in either case; i and l are read as 1, o as 0. Over 31 when it is none. */
static unsigned value_of(uint8_t character)
{
    unsigned c = character | (between(character, 'A', 'Z') & 0x20), value;

    value = between(c, '0', '9') & (c - '0' + 1);
    value |= (between(c, 'a', 'h') & (c - 'a' + 11)) | (between(c, 'j', 'k') & (c - 'j' + 19)) |
             (between(c, 'm', 'n') & (c - 'm' + 21)) | (between(c, 'p', 't') & (c - 'p' + 23)) |
             (between(c, 'v', 'z') & (c - 'v' + 28));
    value |= (between(c, 'i', 'i') & 2) | (between(c, 'l', 'l') & 2) | (between(c, 'o', 'o') & 1);
    return value - 1; /* one was added above, so that no match wraps around */
}

char *cluster_key_format(const struct cluster_key *key, char to[CLUSTER_KEY_TEXT_SIZE])
{
    uint8_t bytes[CLUSTER_KEY_SIZE + CHECKSUM_SIZE];
    unsigned bits = 0, bit_count = 0;
    char *at = to + PREFIX_LENGTH;

    memcpy(to, PREFIX, PREFIX_LENGTH);
    memcpy(bytes, key->bytes, CLUSTER_KEY_SIZE);
    checksum(key->bytes, bytes + CLUSTER_KEY_SIZE);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bits = (bits << 8 | bytes[i]) & 0xfff;
        for (bit_count += 8; bit_count >= 5; *at++ = digit_of(bits >> bit_count & 31))
            bit_count -= 5;
    }
    *at = '\0';
    sodium_memzero(bytes, sizeof bytes);
    return to;
}

static struct slice trim(struct slice text)
{
    static const char space[] = " \t\r\n";

    while (text.size != 0 && memchr(space, text.data[0], 4) != NULL)
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size != 0 && memchr(space, text.data[text.size - 1], 4) != NULL)
        text.size--;
    return text;
}

static bool has_prefix(struct slice text, const char *prefix)
{
    for (size_t i = 0; prefix[i] != '\0'; i++)
        if (i >= text.size || (text.data[i] | (between(text.data[i], 'A', 'Z') & 0x20)) != (uint8_t)prefix[i]) return false;
    return true;
}

static int check_frame(struct slice text, char *message, size_t message_size)
{
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.data, ':', text.size);

    if (!has_prefix(text, PREFIX) && has_prefix(text, FAMILY) && colon != NULL && colon - text.data <= 8) {
        snprintf(message, message_size, "this key is of a version that this mesh does not know: it knows %s only", PREFIX);
        return MESH_EVERSION;
    }
    if (!has_prefix(text, PREFIX)) {
        snprintf(message, message_size, "this is no cluster key: a key begins with %s", PREFIX);
        return MESH_EINVAL;
    }
    if (text.size != PREFIX_LENGTH + DIGIT_COUNT) {
        snprintf(message, message_size, "a cluster key has %d characters, this has %zu: copy it whole",
                 PREFIX_LENGTH + DIGIT_COUNT, text.size);
        return MESH_EINVAL;
    }
    return 0;
}

/* Returns 0, or the number of the first character that is no digit, counted from 1. */
static size_t decode_digits(const uint8_t *digits, uint8_t to[CLUSTER_KEY_SIZE + CHECKSUM_SIZE])
{
    unsigned bits = 0, bit_count = 0;

    for (size_t i = 0; i < DIGIT_COUNT; i++) {
        unsigned value = value_of(digits[i]);
        if (value > 31) return i + 1;
        bits = (bits << 5 | value) & 0xfff;
        bit_count += 5;
        if (bit_count < 8) continue;
        bit_count -= 8;
        *to++ = (uint8_t)(bits >> bit_count);
    }
    return 0;
}

int cluster_key_parse(struct slice text, struct cluster_key *ret_key, char *message, size_t message_size)
{
    uint8_t bytes[CLUSTER_KEY_SIZE + CHECKSUM_SIZE], want[CHECKSUM_SIZE];
    size_t wrong;
    int err;

    text = trim(text);
    err = check_frame(text, message, message_size);
    if (err != 0) return err;
    wrong = decode_digits(text.data + PREFIX_LENGTH, bytes);
    if (wrong != 0) {
        snprintf(message, message_size, "character %zu of the cluster key cannot be in a key: copy it again",
                 PREFIX_LENGTH + wrong);
        err = MESH_EINVAL;
    } else {
        checksum(bytes, want);
        if (sodium_memcmp(want, bytes + CLUSTER_KEY_SIZE, CHECKSUM_SIZE) == 0) {
            cluster_key_init(ret_key, bytes);
        } else {
            snprintf(message, message_size, "the cluster key is mistyped: its checksum is wrong; copy it again");
            err = MESH_ECORRUPT;
        }
    }
    sodium_memzero(bytes, sizeof bytes);
    return err;
}

char *cluster_key_id_format(uint32_t id, char to[CLUSTER_KEY_ID_STRING_SIZE])
{
    snprintf(to, CLUSTER_KEY_ID_STRING_SIZE, "%08x", id);
    return to;
}
