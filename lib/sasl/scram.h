/* sasl/scram.h - what a broker keeps instead of a password (RFC 5802, RFC 7677), and checking one against it.
 *
 * Pure: randomness is the caller's. Passwords and names are taken as the bytes they are: SASLprep, which RFC 5802 asks for, is done by no Kafka
 * client, so doing it here would only lock some of them out. */
#ifndef SASL_SCRAM_H
#define SASL_SCRAM_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum scram_hash { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 };

#define SCRAM_KEY_SIZE_MAX   64
#define SCRAM_SALT_SIZE_MIN  8
#define SCRAM_SALT_SIZE_MAX  64
#define SCRAM_SALT_SIZE      16   /* of those made here */
#define SCRAM_ITERATIONS_MIN 4096 /* RFC 7677 */
#define SCRAM_ITERATIONS_MAX 1000000
/* Twice what Kafka's own tools take. Every client pays for it with each connection to each broker (some of them in a scripting language), and a
 * broker with each PLAIN login: some 5 ms of a core. More only helps once verifiers were stolen; who fears that asks for more. */
#define SCRAM_ITERATIONS 8192
#define SCRAM_PASSWORD_SIZE_MAX 1024

struct scram_verifier {
    enum scram_hash hash;
    uint32_t iterations;
    uint8_t salt_size;
    uint8_t salt[SCRAM_SALT_SIZE_MAX], stored_key[SCRAM_KEY_SIZE_MAX], server_key[SCRAM_KEY_SIZE_MAX];
};

/* Bytes of a key: 32 or 64. */
size_t scram_key_size(enum scram_hash hash);

/* Takes time by the iterations: milliseconds. salt: SCRAM_SALT_SIZE_MIN to SCRAM_SALT_SIZE_MAX bytes. */
void scram_verifier_make(enum scram_hash hash, struct slice password, struct slice salt, uint32_t iterations, struct scram_verifier *ret_verifier);

/* The same of what the iterations have made of a password: SaltedPassword of RFC 5802, as long as the hash. */
void scram_verifier_of_salted(enum scram_hash hash, struct slice salted, struct slice salt, uint32_t iterations, struct scram_verifier *ret_verifier);

/* Whether it is the password; as slow as making a verifier, and in a time that does not depend on the answer. */
bool scram_verifier_accepts(const struct scram_verifier *verifier, struct slice password);

/* A verifier for a name that nobody has, which no password satisfies: the same name and secret always give the same salt, so that asking twice
 * does not tell. */
void scram_verifier_fake(enum scram_hash hash, const uint8_t secret[32], struct slice name, struct scram_verifier *ret_verifier);

/* HMAC with this hash; `ret` has scram_key_size() bytes. */
void scram_hmac(enum scram_hash hash, struct slice key, struct slice bytes, uint8_t *ret);
void scram_digest(enum scram_hash hash, struct slice bytes, uint8_t *ret);

#endif
