/* sasl/scram.c - see scram.h. libsodium hashes; how it is put together is RFC 5802 section 3. */
#include "sasl/scram.h"

#include "base/assert.h"

#include <sodium.h>
#include <string.h>

/* Both hashes behind one face: PBKDF2 is the same over either. */
union hmac_state {
    crypto_auth_hmacsha256_state sha256;
    crypto_auth_hmacsha512_state sha512;
};

static void hmac_init(enum scram_hash hash, union hmac_state *state, struct slice key)
{
    static const uint8_t nothing[1];
    const uint8_t *data = key.size == 0 ? nothing : key.data;

    if (hash == SCRAM_SHA_256)
        crypto_auth_hmacsha256_init(&state->sha256, data, key.size);
    else
        crypto_auth_hmacsha512_init(&state->sha512, data, key.size);
}

static void hmac_update(enum scram_hash hash, union hmac_state *state, const uint8_t *data, size_t size)
{
    if (size == 0) return;
    if (hash == SCRAM_SHA_256)
        crypto_auth_hmacsha256_update(&state->sha256, data, size);
    else
        crypto_auth_hmacsha512_update(&state->sha512, data, size);
}

static void hmac_final(enum scram_hash hash, union hmac_state *state, uint8_t *ret)
{
    if (hash == SCRAM_SHA_256)
        crypto_auth_hmacsha256_final(&state->sha256, ret);
    else
        crypto_auth_hmacsha512_final(&state->sha512, ret);
}

size_t scram_key_size(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? crypto_hash_sha256_BYTES : crypto_hash_sha512_BYTES;
}

void scram_hmac(enum scram_hash hash, struct slice key, struct slice bytes, uint8_t *ret)
{
    union hmac_state state;

    hmac_init(hash, &state, key);
    hmac_update(hash, &state, bytes.data, bytes.size);
    hmac_final(hash, &state, ret);
    sodium_memzero(&state, sizeof(state));
}

void scram_digest(enum scram_hash hash, struct slice bytes, uint8_t *ret)
{
    if (hash == SCRAM_SHA_256)
        crypto_hash_sha256(ret, bytes.data, bytes.size);
    else
        crypto_hash_sha512(ret, bytes.data, bytes.size);
}

/* Hi() of RFC 5802: PBKDF2 with one block. The key's two blocks are hashed once, not once for each round. */
static void salt_password(enum scram_hash hash, struct slice password, struct slice salt, uint32_t iterations, uint8_t *ret)
{
    static const uint8_t first_block[4] = {0, 0, 0, 1};
    size_t size = scram_key_size(hash);
    uint8_t round[SCRAM_KEY_SIZE_MAX];
    union hmac_state keyed, state;

    hmac_init(hash, &keyed, password);
    state = keyed;
    hmac_update(hash, &state, salt.data, salt.size);
    hmac_update(hash, &state, first_block, sizeof(first_block));
    hmac_final(hash, &state, round);
    memcpy(ret, round, size);
    for (uint32_t i = 1; i < iterations; i++) {
        state = keyed;
        hmac_update(hash, &state, round, size);
        hmac_final(hash, &state, round);
        for (size_t j = 0; j < size; j++)
            ret[j] ^= round[j];
    }
    sodium_memzero(&keyed, sizeof(keyed));
    sodium_memzero(&state, sizeof(state));
    sodium_memzero(round, sizeof(round));
}

void scram_verifier_make(enum scram_hash hash, struct slice password, struct slice salt, uint32_t iterations, struct scram_verifier *ret_verifier)
{
    uint8_t salted[SCRAM_KEY_SIZE_MAX];

    MESH_ASSERT(iterations > 0);
    salt_password(hash, password, salt, iterations, salted);
    scram_verifier_of_salted(hash, slice_of(salted, scram_key_size(hash)), salt, iterations, ret_verifier);
    sodium_memzero(salted, sizeof(salted));
}

void scram_verifier_of_salted(enum scram_hash hash, struct slice salted, struct slice salt, uint32_t iterations, struct scram_verifier *ret_verifier)
{
    uint8_t client_key[SCRAM_KEY_SIZE_MAX];

    MESH_ASSERT(salt.size >= SCRAM_SALT_SIZE_MIN && salt.size <= SCRAM_SALT_SIZE_MAX && salted.size == scram_key_size(hash));
    memset(ret_verifier, 0, sizeof(*ret_verifier));
    ret_verifier->hash = hash;
    ret_verifier->iterations = iterations;
    ret_verifier->salt_size = (uint8_t)salt.size;
    memcpy(ret_verifier->salt, salt.data, salt.size);
    scram_hmac(hash, salted, slice_of_string("Client Key"), client_key);
    scram_digest(hash, slice_of(client_key, salted.size), ret_verifier->stored_key);
    scram_hmac(hash, salted, slice_of_string("Server Key"), ret_verifier->server_key);
    sodium_memzero(client_key, sizeof(client_key));
}

bool scram_verifier_accepts(const struct scram_verifier *verifier, struct slice password)
{
    struct scram_verifier made;
    bool is_same;

    scram_verifier_make(verifier->hash, password, slice_of(verifier->salt, verifier->salt_size), verifier->iterations, &made);
    is_same = sodium_memcmp(made.stored_key, verifier->stored_key, scram_key_size(verifier->hash)) == 0;
    sodium_memzero(&made, sizeof(made));
    return is_same;
}

void scram_verifier_fake(enum scram_hash hash, const uint8_t secret[32], struct slice name, struct scram_verifier *ret_verifier)
{
    size_t size = scram_key_size(hash);
    struct slice key = slice_of(secret, 32);
    uint8_t salt[SCRAM_KEY_SIZE_MAX];

    memset(ret_verifier, 0, sizeof(*ret_verifier));
    ret_verifier->hash = hash;
    ret_verifier->iterations = SCRAM_ITERATIONS;
    ret_verifier->salt_size = SCRAM_SALT_SIZE;
    scram_hmac(hash, key, name, salt);
    memcpy(ret_verifier->salt, salt, SCRAM_SALT_SIZE);
    /* Nobody knows what hashes to these, nor these without the secret. */
    scram_hmac(hash, key, slice_of(salt, size), ret_verifier->stored_key);
    scram_hmac(hash, key, slice_of(ret_verifier->stored_key, size), ret_verifier->server_key);
}
