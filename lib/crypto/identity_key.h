/* crypto/identity_key.h - who a broker is: an Ed25519 key pair (RFC 8032), and the uuid that follows from its public half.
 *
 * The uuid is the first 16 bytes of a BLAKE2b hash of the public key with the bits of version 8 (RFC 9562) set, so nobody
 * can take another's id without its secret: ids certify themselves.
 *
 * What is signed is a hash of the message under a context, one for each use; a signature made for one use is
 * worthless for every other. Pure. Signing takes some 45 us, verifying 125 (test/bench/bench_crypto). */
#ifndef CRYPTO_IDENTITY_KEY_H
#define CRYPTO_IDENTITY_KEY_H

#include "base/slice.h"
#include "base/uuid.h"

#define IDENTITY_SEED_SIZE       32
#define IDENTITY_PUBLIC_KEY_SIZE 32
#define IDENTITY_SECRET_KEY_SIZE 64
#define IDENTITY_SIGNATURE_SIZE  64

enum identity_context { IDENTITY_GOSSIP, IDENTITY_LINK_INITIATOR, IDENTITY_LINK_RESPONDER };

struct identity_key {
    struct uuid id; /* identity_uuid(public_key) */
    uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE];
    uint8_t secret_key[IDENTITY_SECRET_KEY_SIZE]; /* the seed, then the public key */
};

/* The pair of this seed: 32 bytes of the system's randomness, kept by the caller (DIR/identity). */
void identity_key_init(struct identity_key *key, const uint8_t seed[IDENTITY_SEED_SIZE]);
void identity_key_wipe(struct identity_key *key);

struct uuid identity_uuid(const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE]);

void identity_sign(const struct identity_key *key, enum identity_context context, struct slice message,
                   uint8_t ret_signature[IDENTITY_SIGNATURE_SIZE]);

/* False as well when `id` does not belong to the key. */
bool identity_verify(const struct uuid *id, const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE], enum identity_context context,
                     struct slice message, const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);

/* The same under IDENTITY_GOSSIP, as gossip_signer wants them; `user` is a const struct identity_key (verify: unused). */
void identity_gossip_sign(void *user, struct slice message, uint8_t ret_signature[IDENTITY_SIGNATURE_SIZE]);
bool identity_gossip_verify(void *user, const struct uuid *id, const uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE],
                            struct slice message, const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);

#endif
