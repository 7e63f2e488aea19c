/* crypto/identity_key.c - see identity_key.h. */
#include "crypto/identity_key.h"

#include "base/assert.h"

#include <sodium.h>

/* What is hashed under another context is another message to Ed25519. 16 bytes each: BLAKE2b's personalisation. */
static const char contexts[][17] = {
    [IDENTITY_GOSSIP] = "mesh gossip v1  ",
    [IDENTITY_LINK_INITIATOR] = "mesh link init 1",
    [IDENTITY_LINK_RESPONDER] = "mesh link resp 1",
};

#define DIGEST_SIZE 64

static void digest(enum identity_context context, struct slice message, uint8_t to[DIGEST_SIZE])
{
    MESH_ASSERT((unsigned)context < sizeof contexts / sizeof contexts[0]);
    crypto_generichash_blake2b_salt_personal(to, DIGEST_SIZE, message.data, message.size, NULL, 0, NULL,
                                             (const uint8_t *)contexts[context]);
}

void identity_key_init(struct identity_key *key, const uint8_t seed[IDENTITY_SEED_SIZE])
{
    crypto_sign_seed_keypair(key->public_key, key->secret_key, seed);
    key->id = identity_uuid(key->public_key);
}

void identity_key_wipe(struct identity_key *key)
{
    sodium_memzero(key, sizeof *key);
}

struct uuid identity_uuid(const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE])
{
    struct uuid id;

    crypto_generichash_blake2b_salt_personal(id.bytes, UUID_SIZE, public_key, IDENTITY_PUBLIC_KEY_SIZE, NULL, 0, NULL,
                                             (const uint8_t *)"mesh broker id  ");
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80); /* version 8: made by a rule of our own */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
    return id;
}

void identity_sign(const struct identity_key *key, enum identity_context context, struct slice message,
                   uint8_t ret_signature[IDENTITY_SIGNATURE_SIZE])
{
    uint8_t hash[DIGEST_SIZE];

    digest(context, message, hash);
    crypto_sign_detached(ret_signature, NULL, hash, sizeof hash, key->secret_key);
}

bool identity_verify(const struct uuid *id, const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE], enum identity_context context,
                     struct slice message, const uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
    struct uuid want = identity_uuid(public_key);
    uint8_t hash[DIGEST_SIZE];

    if (!uuid_equal(&want, id)) return false;
    digest(context, message, hash);
    return crypto_sign_verify_detached(signature, hash, sizeof hash, public_key) == 0;
}

void identity_gossip_sign(void *user, struct slice message, uint8_t ret_signature[IDENTITY_SIGNATURE_SIZE])
{
    identity_sign(user, IDENTITY_GOSSIP, message, ret_signature);
}

bool identity_gossip_verify(void *user, const struct uuid *id, const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE],
                            struct slice message, const uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
    (void)user;
    return identity_verify(id, public_key, IDENTITY_GOSSIP, message, signature);
}
