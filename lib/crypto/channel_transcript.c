/* crypto/channel_transcript.c - see channel_transcript.h. */
#include "crypto/channel_transcript.h"

#include "base/bytes.h"

#include <sodium.h>

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

static const char protocol[] = "mesh link v1: XXpsk0, X25519, Ed25519, XChaCha20-Poly1305, BLAKE2b";

_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == TRANSCRIPT_TAG_SIZE, "the tag");

void transcript_init(struct transcript *transcript)
{
    memset(transcript, 0, sizeof *transcript);
    crypto_generichash_blake2b_salt_personal(transcript->hash, TRANSCRIPT_HASH_SIZE, (const uint8_t *)protocol,
                                             sizeof protocol - 1, NULL, 0, NULL, (const uint8_t *)"mesh link start ");
    memcpy(transcript->chain, transcript->hash, TRANSCRIPT_KEY_SIZE);
}

void transcript_mix_hash(struct transcript *transcript, struct slice bytes)
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init_salt_personal(&state, NULL, 0, TRANSCRIPT_HASH_SIZE, NULL,
                                                  (const uint8_t *)"mesh link hash  ");
    crypto_generichash_blake2b_update(&state, transcript->hash, TRANSCRIPT_HASH_SIZE);
    crypto_generichash_blake2b_update(&state, bytes.data, bytes.size);
    crypto_generichash_blake2b_final(&state, transcript->hash, TRANSCRIPT_HASH_SIZE);
}

/* Two secrets out of the chain and one more. */
static void expand(const struct transcript *transcript, struct slice secret, const char personal[16],
                   uint8_t ret_first[TRANSCRIPT_KEY_SIZE], uint8_t ret_second[TRANSCRIPT_KEY_SIZE])
{
    uint8_t both[2 * TRANSCRIPT_KEY_SIZE];

    crypto_generichash_blake2b_salt_personal(both, sizeof both, secret.data, secret.size, transcript->chain,
                                             TRANSCRIPT_KEY_SIZE, NULL, (const uint8_t *)personal);
    memcpy(ret_first, both, TRANSCRIPT_KEY_SIZE);
    memcpy(ret_second, both + TRANSCRIPT_KEY_SIZE, TRANSCRIPT_KEY_SIZE);
    sodium_memzero(both, sizeof both);
}

void transcript_mix_key(struct transcript *transcript, struct slice secret)
{
    expand(transcript, secret, "mesh link mixkey", transcript->chain, transcript->key);
    transcript->nonce = 0;
}

void transcript_mix_key_and_hash(struct transcript *transcript, struct slice secret)
{
    uint8_t hash[TRANSCRIPT_KEY_SIZE];

    expand(transcript, secret, "mesh link mixpsk", transcript->chain, hash);
    transcript_mix_hash(transcript, slice_of(hash, sizeof hash));
    sodium_memzero(hash, sizeof hash);
}

static void next_nonce(struct transcript *transcript, uint8_t nonce[NONCE_SIZE])
{
    memset(nonce, 0, NONCE_SIZE);
    le_store64(nonce, transcript->nonce++);
}

void transcript_encrypt(struct transcript *transcript, uint8_t *text, size_t size)
{
    uint8_t nonce[NONCE_SIZE];

    next_nonce(transcript, nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, text, size, transcript->hash, TRANSCRIPT_HASH_SIZE, NULL, nonce,
                                               transcript->key);
    transcript_mix_hash(transcript, slice_of(text, size + TRANSCRIPT_TAG_SIZE));
}

bool transcript_decrypt(struct transcript *transcript, uint8_t *text, size_t size)
{
    uint8_t nonce[NONCE_SIZE], hash[TRANSCRIPT_HASH_SIZE];
    bool is_authentic;

    next_nonce(transcript, nonce);
    memcpy(hash, transcript->hash, sizeof hash);
    transcript_mix_hash(transcript, slice_of(text, size + TRANSCRIPT_TAG_SIZE)); /* before it is overwritten */
    is_authentic = crypto_aead_xchacha20poly1305_ietf_decrypt(text, NULL, NULL, text, size + TRANSCRIPT_TAG_SIZE, hash,
                                                              sizeof hash, nonce, transcript->key) == 0;
    return is_authentic;
}

void transcript_split(const struct transcript *transcript, uint8_t ret_initiator[TRANSCRIPT_KEY_SIZE],
                      uint8_t ret_responder[TRANSCRIPT_KEY_SIZE])
{
    expand(transcript, slice_of(NULL, 0), "mesh link split ", ret_initiator, ret_responder);
}
